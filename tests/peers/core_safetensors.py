"""Makes tests/core/data/library.safetensors with the safetensors library (0.8.0), as tests/core/test_weights.c expects it:

    python tests/peers/core_safetensors.py
"""
import pathlib

import torch
from safetensors.torch import save_file

data = pathlib.Path(__file__).parent.parent / "core" / "data"
data.mkdir(exist_ok=True)
save_file(
    {
        "model.norm.weight": torch.tensor([1.0, -2.5, 3.25], dtype=torch.bfloat16),
        "a.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3) / 8,
        "z.half": torch.tensor([0.5, -1.0], dtype=torch.float16),
        "positions": torch.tensor([[7, -8]], dtype=torch.int64),
        "ids": torch.tensor([1, 2, 3], dtype=torch.int32),
        "mask": torch.tensor([True, False, True]),
        "bytes": torch.tensor([9, 8], dtype=torch.uint8),
        "double": torch.tensor(0.125, dtype=torch.float64),
        "b.weight": torch.tensor([1.0], dtype=torch.float32),
    },
    data / "library.safetensors",
    metadata={"format": "pt"},
)
