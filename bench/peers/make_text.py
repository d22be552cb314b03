#!/usr/bin/env python3
"""make_text.py DIR: a text model of Qwen2.5-0.5B's shape with random weights in bf16, for hf.py text. Its tokenizer is the one
that models/tiny-vl has (the shape's other 151,000 rows stand for no token): what is measured is arithmetic, not text."""
import pathlib
import shutil
import sys

import torch
from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

out = pathlib.Path(sys.argv[1])
small = pathlib.Path(__file__).resolve().parents[2] / "models" / "tiny-vl"
torch.manual_seed(0)
config = Qwen2Config(vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, max_position_embeddings=32768,
                     rms_norm_eps=1e-6, rope_theta=1e6, tie_word_embeddings=True, use_sliding_window=False, bos_token_id=0, eos_token_id=0, dtype="bfloat16")
model = Qwen2ForCausalLM(config).to(torch.bfloat16)
model.generation_config = GenerationConfig(eos_token_id=0, pad_token_id=0)
model.save_pretrained(out)
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(small / name, out / name)
print(f"{out}: {sum(p.numel() for p in model.parameters()) / 1e6:.0f} million parameters")
