#!/usr/bin/env python3
"""folder.py DIR [--rows FILE] [--fovea build/fovea]

Whether a folder that Fovea wrote opens in transformers (f32, eager attention) and computes the same there. A few conversations go through `fovea score --dump --grad`
and, made ready from the same messages, through transformers. A line for each comparison says how far apart they are and what is allowed; the exit code is 1 if one is
out of bounds:

  weights                 how many transformers misses, has no use for, or finds in another shape
  input_ids, positions    how many differ
  pixel_values            largest difference in grey levels, of pictures and of clips
  hidden_states, logits   largest difference over the largest value
  gradient                of the mean negative log-prob over all tokens with loss_mask 1 (the program's own), for each weight: largest difference over the weight's
                          largest gradient; where that is tiny (of a bias of keys nothing is left but roundings), over the largest of all weights

--rows FILE: conversations of yours, as JSON lines; pictures are files beside it, and a video is a list of pictures. Two choices of ours are made here too (HF facts 8, 9):
a Qwen3-VL clip's placeholder is replaced together with the tokens around it, and what follows a clip begins after the largest position so far. Run by hand, from the
root of the repository, with torch, torchvision, transformers 5.23, safetensors, pillow and numpy.
"""
import argparse
import itertools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers
from PIL import Image, ImageOps
from safetensors.torch import load_file

import prompt

LEVEL = 1.001  # one, and the roundings of normalising
FORWARD, GRADIENT = 2e-5, 1e-3
TINY = 1e-5  # of the largest gradient of all weights
THREADS = 2
TAKEN = ("input_ids", "pixel_values", "image_grid_thw", "pixel_values_videos", "video_grid_thw")
NONE = torch.empty(0)

compared = bad = 0


def judge(what, figure, most):
    global compared, bad
    kept = figure <= most  # NaN is not
    compared, bad = compared + 1, bad + (not kept)
    print(f"{what}: {figure:.3g}, at most {most:g}" + ("" if kept else "  OUT OF BOUNDS"), flush=True)


def apart(got, want, scale=None):
    """The largest difference over `scale`, or else over the largest value."""
    if got.shape != want.shape:
        return math.inf
    return ((got.double() - want.double()).abs().max() / (want.abs().max() if scale is None else scale)).item()


def grey_levels(got, want, how):
    """The largest difference in levels of 8 bits. A row of patches has one colour after another, each with a scale of its own."""
    if got.shape != want.shape:
        return math.inf
    level = how.rescale_factor / torch.tensor(how.image_std)
    return ((got - want).abs().view(len(got), 3, -1) / level[:, None]).max().item()


def open_folder(path):
    """-> model, and its processor (of a text model its tokenizer)"""
    vision = hasattr(transformers.AutoConfig.from_pretrained(path), "vision_config")
    kind = transformers.AutoModelForImageTextToText if vision else transformers.AutoModelForCausalLM
    model, told = kind.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        judge(" ".join(["weights,", what, *sorted(map(str, told[what]))]), len(told[what]), 0)
    return model.eval(), (transformers.AutoProcessor if vision else transformers.AutoTokenizer).from_pretrained(path)


def make_picture(path, width, height, left):
    """Noise, and a box at `left`."""
    a = np.random.default_rng(width).integers(150, 256, (height, width, 3), dtype=np.uint8)
    a[height // 4 : height // 2, left : left + width // 3] = (30, 90, 200)
    Image.fromarray(a).save(path)


def write_rows(folder, vision):
    """Conversations and their pictures; the file's path."""

    def turn(role, content):
        return {"role": role, "content": content if isinstance(content, str) else [{"type": "text", "text": p} if isinstance(p, str) else p for p in content]}

    rows = [{"id": "text", "messages": [turn("user", "How many plates are there, 3 or 12?"), turn("assistant", "There are 12: caf\u00e9 plates."),
                                        turn("user", "Sure?"), turn("assistant", "Yes.")]},
            {"id": "system", "messages": [turn("system", "Be brief."), turn("user", "Write a list."), turn("assistant", "- one\n- two\n\nThat is all")]}]
    if vision:
        frames = [f"frame{i}.png" for i in range(5)]  # an odd number, and at this rate time goes beyond height and width
        for i, name in enumerate(frames):
            make_picture(folder / name, 120, 90, 16 * i)
        make_picture(folder / "wide.png", 150, 60, 20)
        make_picture(folder / "high.png", 47, 130, 10)
        wide, high, clip = {"type": "image", "image": "wide.png"}, {"type": "image", "image": "high.png"}, {"type": "video", "video": frames, "fps": 1}
        rows += [{"id": "picture", "messages": [turn("user", [wide, "What is blue?"]), turn("assistant", "The box.")]},
                 {"id": "clip", "messages": [turn("user", ["Two pictures: ", wide, " and ", high, "."]), turn("assistant", "One is wide."),
                                             turn("user", [clip, "What moves?"]), turn("assistant", "The box, to the right.")]}]
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return path


def score(fovea, model, rows, folder):
    """What the program says: lines, tensors on the way, gradients."""
    scores, dump, gradient = folder / "scores.jsonl", folder / "dump", folder / "gradient.safetensors"
    command = [fovea, "score", "--model", model, "--data", rows, "--out", scores, "--dump", dump, "--grad", gradient, f"threads={THREADS}"]
    if code := subprocess.run(command).returncode:
        sys.exit(f"{fovea} score of {rows} with {model} failed with exit code {code} (see above)")
    lines = [json.loads(line) for line in open(scores, encoding="utf-8")]
    return lines, [load_file(dump / (line["id"].replace("/", "_") + ".safetensors")) for line in lines], load_file(gradient)


def read_rows(path):
    rows = [json.loads(line) for line in open(path, encoding="utf-8") if line.strip()]
    for number, row in enumerate(rows, 1):
        if "messages" not in row:
            sys.exit(f"{path}:{number}: messages is missing; rows are conversations here, as transformers' chat templates take them")
        for part in parts(row):
            kind = part.get("type")
            taken = kind in ("text", "image", "video") and isinstance(part.get(kind), list if kind == "video" else str)
            if not taken or "min_pixels" in part or "max_pixels" in part:
                sys.exit(f"{path}:{number}: part {json.dumps(part)}: parts are text, image with a file and video with a list of files here, without limits of their own")
    return rows


def parts(row):
    return [part for message in row["messages"] if isinstance(message.get("content"), list) for part in message["content"]]


def load_picture(path):
    """As Fovea decodes: turned as the file says, on white where it is transparent."""
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image.convert("RGB")


def after_the_largest(positions, kinds):
    """transformers' own positions [3, tokens] by the rule of transformers 4, Qwen's own code and vLLM: 5.23 leaves time out of account in what follows a clip."""
    out, first = torch.empty_like(positions), 0
    for _, run in itertools.groupby(range(len(kinds)), key=kinds.__getitem__):
        run = list(run)
        own = positions[:, run] - positions[0, run[0]]
        out[:, run] = own + first
        first += own.max() + 1
    return out


def prepare(model, processor, row, folder):
    """What transformers' model takes, and positions [axes, tokens]."""
    vision = hasattr(processor, "image_processor")
    tokenizer = processor.tokenizer if vision else processor
    text = processor.apply_chat_template(row["messages"], tools=row.get("tools"), tokenize=False, chat_template=processor.chat_template or tokenizer.chat_template)
    if not vision:
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return {"input_ids": ids}, torch.arange(ids.shape[1])[None]
    if model.config.model_type == "qwen3_vl":  # as transformers 4.57 and vLLM, see prompt.py
        text = text.replace("<|vision_start|><|video_pad|><|vision_end|>", "<|video_pad|>")
    pictures = [load_picture(folder / part["image"]) for part in parts(row) if part["type"] == "image"]
    clips = [([load_picture(folder / name) for name in part["video"]], part.get("fps", 2)) for part in parts(row) if part["type"] == "video"]
    how = {}
    if clips:
        how = dict(videos=[frames for frames, _ in clips], do_sample_frames=False, video_metadata=[
            {"fps": fps, "total_num_frames": len(frames), "frames_indices": list(range(len(frames)))} for frames, fps in clips])
    out = processor(text=[text], images=pictures or None, return_tensors="pt", **how)
    seen = prompt.seen(model.config.model_type, model.model, out)
    positions = after_the_largest(torch.tensor(seen["positions"]), out["mm_token_type_ids"][0].tolist())
    return {**{k: out[k] for k in TAKEN if k in out}, "position_ids": positions[:, None]}, positions


def compare_tokens(name, inputs, positions, scored, dump):
    ids, ours = inputs["input_ids"][0].tolist(), scored["input_ids"]
    different = [i for i, (a, b) in enumerate(itertools.zip_longest(ids, ours)) if a != b]
    judge(f"{name}: input_ids, of {len(ids)}", len(different), 0)
    if different:
        at = different[0]
        sys.exit(f"{name}: nothing more can be compared: from token {at} on transformers has {ids[at : at + 8]}, Fovea {ours[at : at + 8]}")
    if "position_ids" in dump:
        same = dump["position_ids"].shape == positions.shape
        judge(f"{name}: positions, of {positions.numel()}", int((dump["position_ids"] != positions).sum()) if same else math.inf, 0)


def compare_row(name, model, processor, inputs, scored, dump, learned):
    """Forward, and back with the row's share in the gradient of the mean over `learned` tokens."""
    for key, part in (("pixel_values", "image_processor"), ("pixel_values_videos", "video_processor")):
        if key in inputs or key in dump:
            judge(f"{name}: {key}, grey levels", grey_levels(dump.get(key, NONE), inputs.get(key, NONE), getattr(processor, part)), LEVEL)
    hidden = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, given: hidden.append(given[0][0].detach()))
    logits = model(**inputs, use_cache=False).logits[0]
    hook.remove()
    judge(f"{name}: hidden_states", apart(dump["hidden_states"], hidden[0]), FORWARD)
    judge(f"{name}: logits", apart(dump["logits"], logits.detach()), FORWARD)
    logp = torch.log_softmax(logits[:-1], -1).gather(1, inputs["input_ids"][0, 1:, None])[:, 0]
    (-logp[torch.tensor(scored["loss_mask"][1:]) == 1].sum() / learned).backward()


def their_name(name, names):
    """What transformers calls a weight of the file, in the older layout of names too."""
    if name in names:
        return name
    return "model." + name if name.startswith("visual.") else name.replace("model.", "model.language_model.", 1)


def compare_gradients(model, gradients):
    want = {n: torch.zeros_like(w) if w.grad is None else w.grad for n, w in model.named_parameters()}
    got = {their_name(n, want): g for n, g in gradients.items()}
    alone = sorted(want.keys() ^ got.keys())
    judge(" ".join(["gradient, weights that one side alone has", *alone]), len(alone), 0)
    most = max(g.abs().max() for g in want.values())
    figures = {}
    for name in sorted(want.keys() & got.keys()):
        own = want[name].abs().max()
        figures[name] = apart(got[name], want[name], own if own >= TINY * most else most)
    worst = max(figures, key=lambda n: float("inf") if figures[n] != figures[n] else figures[n])  # NaN is worse than all
    for name in figures:
        if name == worst or not figures[name] <= GRADIENT:
            judge(f"gradient {name}" + (f", the worst of {len(figures)}" if name == worst else ""), figures[name], GRADIENT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--rows", type=pathlib.Path)
    parser.add_argument("--fovea", default="build/fovea")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    model, processor = open_folder(args.folder)
    with tempfile.TemporaryDirectory() as made:
        path = args.rows or write_rows(pathlib.Path(made), hasattr(processor, "image_processor"))
        rows = read_rows(path)
        lines, dumps, gradients = score(args.fovea, args.folder, path, pathlib.Path(made))
        learned = sum(sum(line["loss_mask"][1:]) for line in lines)
        for row, line, dump in zip(rows, lines, dumps, strict=True):
            inputs, positions = prepare(model, processor, row, path.parent)
            compare_tokens(line["id"], inputs, positions, line, dump)
            compare_row(line["id"], model, processor, inputs, line, dump, learned)
    compare_gradients(model, gradients)
    print(f"{compared} comparisons, {bad} out of bounds")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
