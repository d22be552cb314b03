#!/usr/bin/env python3
"""round_trip.py [--fovea build/fovea]

transformers' own folders go through Fovea: of every family, in F32, BF16 and F16, in one file and in shards, a folder that transformers saved is written again by
`fovea model merge` (with an adapter as PEFT makes it, whose B is zero: every tensor is read, some are computed with, and nothing may change). Then every tensor must have
the name, type, shape and bytes that it had, config.json every key that it had, and transformers must open the folder without a complaint. The exit code is 1 if not.
Run by hand, from the root of the repository, with torch, transformers 5.23, peft, safetensors.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import peft
import torch
import transformers
from safetensors import safe_open

import tiny_models

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--fovea", default="build/fovea")
args = parser.parse_args()
transformers.logging.set_verbosity_error()
SMALL = pathlib.Path("models/tiny-vl")
bad = 0


def tensors(folder):
    """name -> type, shape, bytes, of all files"""
    out = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as f:
            for name in f.keys():
                t = f.get_tensor(name)
                out[name] = (t.dtype, tuple(t.shape), t.contiguous().view(torch.uint8).numpy().tobytes())
    return out


def write(folder, model, shards):
    """As transformers saves it; with the tokenizer that a folder needs to be opened."""
    model.save_pretrained(folder, max_shard_size="20KB" if shards else "5GB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(SMALL / name, folder / name)
    if hasattr(model.config, "vision_config"):
        facts = json.loads((SMALL / "preprocessor_config.json").read_text())
        vision = model.config.vision_config
        facts |= dict(patch_size=vision.patch_size, merge_size=vision.spatial_merge_size, temporal_patch_size=vision.temporal_patch_size)
        (folder / "preprocessor_config.json").write_text(json.dumps(facts))


def trip(builder, dtype, shards, root):
    kind, config, _, _ = builder()
    ids = transformers.AutoTokenizer.from_pretrained(SMALL)
    text = getattr(config, "text_config", config)
    text.vocab_size, text.eos_token_id = len(ids) + 3, ids.convert_tokens_to_ids("<|im_end|>")
    if hasattr(config, "vision_config"):
        for what, token in (("image_token_id", "<|image_pad|>"), ("video_token_id", "<|video_pad|>"), ("vision_start_token_id", "<|vision_start|>"), ("vision_end_token_id", "<|vision_end|>")):
            setattr(config, what, ids.convert_tokens_to_ids(token))
    model = kind(config)
    tiny_models.randomize(model, torch.Generator().manual_seed(1))
    model = model.to(dtype)
    before, adapter, after = root / "before", root / "adapter", root / "after"
    write(before, model, shards)
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"])).save_pretrained(adapter)
    subprocess.run([args.fovea, "model", "merge", before, adapter, after], check=True, stdout=subprocess.DEVNULL)
    was, now = tensors(before), tensors(after)
    wrong = [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
    keys, kept = (json.loads((folder / "config.json").read_text()) for folder in (before, after))
    wrong += [f"config.json: {key}" for key in keys if keys[key] != kept.get(key)]
    told = kind.from_pretrained(after, output_loading_info=True)[1]
    wrong += [f"transformers: {what} {sorted(map(str, told[what]))}" for what in ("missing_keys", "unexpected_keys", "mismatched_keys") if told[what]]
    return len(was), wrong


for builder in (tiny_models.qwen2_vl, tiny_models.qwen2_5_vl, tiny_models.qwen3_vl, tiny_models.qwen2, tiny_models.qwen3):
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for shards in (False, True):
            with tempfile.TemporaryDirectory() as root:
                count, wrong = trip(builder, dtype, shards, pathlib.Path(root))
            bad += len(wrong)
            print(f"{builder.__name__} {str(dtype)[6:]} {'shards' if shards else 'one file'}: {count} tensors, " + (f"{len(wrong)} CHANGED: {wrong[:5]}" if wrong else "all as they were"), flush=True)
sys.exit(bad > 0)
