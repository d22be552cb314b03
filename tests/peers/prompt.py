#!/usr/bin/env python3
"""prompt.py: writes tests/language/data/prompt/cases.json: conversations with pictures, as transformers' processors and models see them.

For Qwen2.5-VL, Qwen3-VL and Qwen2-VL: input_ids, grids, second_per_grid_ts of the processor, and position_ids of get_rope_index. Only sizes of
pictures matter here, so the cases name sizes. Two choices of ours are made here too (HF facts 8, 9): a Qwen3-VL clip's placeholder is
replaced together with the tokens around it, and clips are short enough that the next position is the same by both rules. Run by hand.
"""
import json
import pathlib

import torch
from PIL import Image
from transformers import (PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLModel, Qwen2_5_VLProcessor, Qwen2VLImageProcessor,
                          Qwen2VLConfig, Qwen2VLModel, Qwen2VLProcessor, Qwen2VLVideoProcessor, Qwen3VLConfig, Qwen3VLModel, Qwen3VLProcessor,
                          Qwen3VLVideoProcessor)

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
A, B, C = [100, 80], [60, 200], [31, 33]
TEXT = {"type": "text", "text": "Which digit is on the green plate?"}
CASES = [
    {"messages": [{"role": "user", "content": [{"type": "image", "image": "#0"}, TEXT]}], "images": [A], "generation_prompt": True},
    {"messages": [{"role": "system", "content": "Look."}, {"role": "user", "content": [TEXT, {"type": "image", "image": "#0"}]},
                  {"role": "assistant", "content": "\n\nIt is 7."},
                  {"role": "user", "content": [{"type": "image", "image": "#1"}, {"type": "image", "image": "#2"}]},
                  {"role": "assistant", "content": "e\u0301 <answer>7</answer>"}], "images": [A, B, C]},
    {"messages": [{"role": "user", "content": "no picture"}, {"role": "assistant", "content": "\n"}], "images": []},
    {"messages": [{"role": "user", "content": [{"type": "video", "video": ["#0", "#1", "#2", "#3"], "fps": 4}, {"type": "text", "text": " moved"}]},
                  {"role": "assistant", "content": "left"}], "images": [A, A, A, A]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Clip: "}, {"type": "video", "video": ["#0", "#1", "#2"]},
                                               {"type": "image", "image": "#3"}, TEXT]}], "images": [B, B, B, C], "generation_prompt": True},
]


def parts(case, size=None):
    images, videos = [], []
    for message in case["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else []:
            for key, out in (("image", images), ("video", videos)):
                if part["type"] == key:
                    names = part[key] if key == "video" else [part[key]]
                    pictures = [Image.new("RGB", tuple(case["images"][int(n[1:])]), (40, 90, 160)) for n in names]
                    out.append((pictures, part.get("fps", 2)) if key == "video" else pictures[0])
    return images, videos


def families(tokenizer):
    pixels = dict(min_pixels=3136, max_pixels=1003520)
    ids = {f"{n}_token_id": tokenizer.convert_tokens_to_ids(f"<|{t}|>") for n, t in
           (("image", "image_pad"), ("video", "video_pad"), ("vision_start", "vision_start"), ("vision_end", "vision_end"))}
    preset = json.loads((ROOT / "language/presets/tiny.json").read_text())
    preset["text_config"]["vocab_size"] = len(tokenizer)
    two = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=14, **pixels), tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(patch_size=14, size={"shortest_edge": 3136, "longest_edge": 602112}),
        chat_template=(ROOT / "language/templates/qwen2_5_vl.jinja").read_text())
    yield "qwen2_5_vl", two, Qwen2_5_VLModel(Qwen2_5_VLConfig(**preset, **ids))
    preset = json.loads((HERE.parent / "language/data/prompt/qwen3_vl.json").read_text())
    preset["text_config"]["vocab_size"] = len(tokenizer)
    half = dict(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    three = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, **half, **pixels), tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(patch_size=16, **half, size={"shortest_edge": 4096, "longest_edge": 25165824}),
        chat_template=(ROOT / "language/templates/qwen3_vl.jinja").read_text())
    yield "qwen3_vl", three, Qwen3VLModel(Qwen3VLConfig(**preset, **ids))
    preset = json.loads((HERE.parent / "language/data/prompt/qwen2_vl.json").read_text())
    preset["text_config"]["vocab_size"] = len(tokenizer)
    old = Qwen2VLProcessor(image_processor=two.image_processor, tokenizer=tokenizer, video_processor=two.video_processor, chat_template=two.chat_template)
    yield "qwen2_vl", old, Qwen2VLModel(Qwen2VLConfig(**preset, **ids))


def run(family, processor, model, case):
    text = processor.apply_chat_template(case["messages"], add_generation_prompt=case.get("generation_prompt", False), tokenize=False)
    if family == "qwen3_vl":
        text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
    images, videos = parts(case)
    kwargs = {}
    if videos:
        kwargs = dict(videos=[v for v, _ in videos], do_sample_frames=False, video_metadata=[
            {"fps": fps, "total_num_frames": len(v), "frames_indices": list(range(len(v)))} for v, fps in videos])
    return seen(family, model, processor(text=[text], images=images or None, return_tensors="pt", **kwargs))


def seen(family, model, out):
    """What the model is given: tokens, grids and positions."""
    rope = {k: out[k] for k in ("image_grid_thw", "video_grid_thw") if k in out}
    if "second_per_grid_ts" in out and family == "qwen2_5_vl":
        rope["second_per_grid_ts"] = torch.as_tensor(out["second_per_grid_ts"])
    positions, delta = model.get_rope_index(out["input_ids"], mm_token_type_ids=out["mm_token_type_ids"], **rope)
    return {"ids": out["input_ids"][0].tolist(), "positions": positions[:, 0].tolist(),
            "next": int(delta[0]) + out["input_ids"].shape[1],
            "image_grid_thw": out.get("image_grid_thw", torch.zeros(0, 3)).tolist(), "video_grid_thw": out.get("video_grid_thw", torch.zeros(0, 3)).tolist(),
            "second_per_grid_ts": [float(x) for x in rope.get("second_per_grid_ts", [])]}


def main():
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "models/tiny-vl/tokenizer.json"), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    cases = [dict(case, family=family, want=run(family, processor, model, case))
             for family, processor, model in families(tokenizer) for case in CASES]
    with open(HERE.parent / "language" / "data" / "prompt" / "cases.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases", [len(c["want"]["ids"]) for c in cases])


if __name__ == "__main__":
    main()
