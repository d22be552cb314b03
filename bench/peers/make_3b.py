#!/usr/bin/env python3
"""make_3b.py LIKE DIR: a model of Qwen2.5-VL-3B's shape with random weights in bf16, for card.py grpo and `fovea bench decode`; on a card, if there is one. Tokenizer, template and
processor are those of LIKE, which `fovea model init --preset mid LIKE` makes: the shape's other 151,000 rows stand for no token. What is measured is arithmetic, not text."""
import json
import pathlib
import sys

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, GenerationConfig

like, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
raw = json.loads((like / "config.json").read_text())
raw["text_config"].update(vocab_size=151936, hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, num_attention_heads=16, num_key_value_heads=2, tie_word_embeddings=True,
                          rope_parameters={"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]})
raw["vision_config"].update(depth=32, hidden_size=1280, intermediate_size=3420, num_heads=16, out_hidden_size=2048, patch_size=14, window_size=112, fullatt_block_indexes=[7, 15, 23, 31])
raw["tie_word_embeddings"] = True
raw["dtype"] = "bfloat16"
out.mkdir(parents=True, exist_ok=True)
(out / "config.json").write_text(json.dumps(raw, indent=2))
torch.manual_seed(0)
torch.set_default_device("cuda" if torch.cuda.is_available() else "cpu")
model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(out), dtype=torch.bfloat16)
model.save_pretrained(out)
(out / "config.json").write_text(json.dumps(raw, indent=2))
for file in like.iterdir():
    if file.name not in ("config.json", "model.safetensors"):
        text = file.read_text()
        (out / file.name).write_text(text.replace('"longest_edge": 1003520', '"longest_edge": 1016064'))  # pictures of 1008 x 1008: whole windows
print(f"{out}: {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")
