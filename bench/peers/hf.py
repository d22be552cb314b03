#!/usr/bin/env python3
"""hf.py text|train|video|grpo --fovea build/fovea --model DIR [--video FILE] [--shared FOLDER] [--threads 2] [--rounds 3]

transformers and Fovea in turns, on the same model and machine; prints what,ours,bar,ratio, where the bar is transformers'. Lines of
peak memory are the most that either process had in those turns (there, less is better).

  text   a prompt of 512 tokens, in f32 and bf16 (ours: precision=bf16); writing one answer and eight beside each other, in the
         type of the file (ours: f32 arithmetic over weights as they lie). DIR: a text model
  train  a supervised step of 8 conversations with a picture of 224 x 224 and 64 tokens of answer: forward, backward, AdamW.
         Ours with a prompt each, and with four answers a prompt (the peer has no way to share one). DIR: a vision model
  video  FILE decoded, resized and cut into patches by the folder's processor (torchcodec decodes). DIR: a vision model
  grpo   seconds of a GRPO step of 4 prompts with a picture of 224 x 224 and 8 answers of 64 tokens each, every program in its own
         process; the ratio is bar / ours. The bars: torch_grpo.py beside this file, and best_torch.py and trl_grpo.py of FOLDER
         where one is given. DIR: as torch_grpo.py takes it

Each figure is the best of its rounds on either side: what other processes take is neither program's.
"""
import argparse
import gc
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.filterwarnings("ignore")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["text", "train", "video", "grpo"])
parser.add_argument("--fovea", default="build/fovea")
parser.add_argument("--model", required=True)
parser.add_argument("--video")
parser.add_argument("--shared", type=pathlib.Path)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--rounds", type=int, default=3)
args = parser.parse_args()

import numpy as np
import torch
import transformers
from PIL import Image

torch.set_num_threads(args.threads)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

QUESTION = "How many boxes are there in the picture? Think first and give a number."


our_peak = 0.0


def ours(bench, *more, steps=2):
    global our_peak
    command = [args.fovea, "bench", bench, "--model", args.model, "--json", f"threads={args.threads}", f"steps={steps}", *more]
    facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    our_peak = max(our_peak, facts["peak_gib"])
    return facts


def forget_peaks():
    global our_peak
    our_peak = 0.0
    gc.collect()
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")  # the most is what there is now (proc_pid_clear_refs(5))


def peaks_line(what):
    with open("/proc/self/status") as f:
        line(f"peak memory GiB {what}", our_peak, int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1]) / 2**20)


def line(what, mine, theirs, ratio=None):
    print(f"{what},{mine:.4g},{theirs:.4g},{ratio or mine / theirs:.3f}", flush=True)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(measure_ours, measure_theirs):
    """Two dictionaries of the largest figures of all rounds, ours after a first, uncounted round of theirs."""
    measure_theirs()
    best = [{}, {}]
    for _ in range(args.rounds):
        for kept, measure in zip(best, (measure_ours, measure_theirs)):
            for name, value in measure().items():
                kept[name] = max(value, kept.get(name, 0))
    return best


def text():
    def theirs(model):
        def generate(answers, length, new):
            ids = torch.randint(0, 200, (answers, length), generator=torch.Generator().manual_seed(answers))
            with torch.no_grad():
                model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, min_new_tokens=new, do_sample=True, top_k=0,
                               top_p=1.0, pad_token_id=0)

        def measure():
            out = {"prompt": 512 / seconds(lambda: generate(1, 512, 1))}
            for name, answers in (("one", 1), ("eight", 8)):
                first = seconds(lambda: generate(answers, 32, 1))
                out[name] = answers * 63 / (seconds(lambda: generate(answers, 32, 64)) - first)
            return out

        return measure

    for dtype, precision in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        model = None
        forget_peaks()
        model = transformers.AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype).eval()
        a, b = in_turns(lambda: ours("decode", f"precision={precision}")["tokens_per_s"], theirs(model))
        line(f"prompt of 512 tokens/s {precision}", a["prompt"], b["prompt"])
        if precision == "f32":
            f32 = a
        else:  # the bits of ours are those of f32 arithmetic in both
            line("one answer tokens/s bf16 weights f32 arithmetic", f32["one"], b["one"])
            line("eight answers tokens/s bf16 weights f32 arithmetic", f32["eight"], b["eight"])
            line("eight answers tokens/s precision=bf16", a["eight"], b["eight"])
        peaks_line(f"reading and writing {precision}")


def pictures(count):
    """Noise below, three coloured boxes above."""
    out = []
    for i in range(count):
        draw = np.random.default_rng(i)
        a = draw.integers(180, 256, (224, 224, 3), dtype=np.uint8)
        for _ in range(3):
            x, y, w, h = (int(draw.integers(*r)) for r in ((0, 160), (0, 160), (16, 64), (16, 64)))
            a[y:y + h, x:x + w] = draw.integers(0, 256, 3)
        out.append(Image.fromarray(a))
    return out


def train():
    processor = transformers.AutoProcessor.from_pretrained(args.model)
    prompt = processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}], add_generation_prompt=True)
    x = dict(processor(text=[prompt] * 8, images=pictures(8), return_tensors="pt"))
    answers = torch.randint(0, 200, (8, 64), generator=torch.Generator().manual_seed(0))
    before = x["input_ids"].shape[1]
    x["input_ids"] = torch.cat((x["input_ids"], answers), 1)
    x["attention_mask"] = torch.ones_like(x["input_ids"])
    if "mm_token_type_ids" in x:
        x["mm_token_type_ids"] = torch.cat((x["mm_token_type_ids"], torch.zeros_like(answers, dtype=x["mm_token_type_ids"].dtype)), 1)
    x["labels"] = x["input_ids"].clone()
    x["labels"][:, :before] = -100
    for dtype, precision in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
        model = optimizer = None
        forget_peaks()
        model = transformers.AutoModelForImageTextToText.from_pretrained(args.model, dtype=torch.float32).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)

        def step():
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):  # masters stay f32, as ours do
                loss = model(**x, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

        def theirs():
            return {"step": 512 / min(seconds(step) for _ in range(3))}

        def mine():
            s = ours("sft", f"precision={precision}")["seconds"]
            return {"apart": 512 / s["apart"], "shared": 512 / s["shared"]}

        a, b = in_turns(mine, theirs)
        line(f"training answer tokens/s {precision} a prompt each", a["apart"], b["step"])
        line(f"training answer tokens/s {precision} four answers a prompt", a["shared"], b["step"])
        peaks_line(f"training {precision}")


def video():
    processor = transformers.AutoProcessor.from_pretrained(args.model)
    frames = 0

    def ready():
        nonlocal frames
        out = processor(text=["<|vision_start|><|video_pad|><|vision_end|>"], videos=[args.video], return_tensors="pt")
        frames = int(out["video_grid_thw"][0, 0])

    forget_peaks()
    a, b = in_turns(lambda: {"files": 1 / ours("video", "--video", args.video)["seconds"]}, lambda: {"files": 1 / seconds(ready)})
    line(f"video files/s to patches ({frames} frame pairs)", a["files"], b["files"])
    peaks_line("video")


def peer(*command):
    """What a peer's last line says. Its peak counts from the process that started it, this one, which is smaller than any of them."""
    run = subprocess.run([sys.executable, *map(str, command), "--threads", str(args.threads)], stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{command[0]} failed with exit code {run.returncode} (see above)")
    return json.loads(run.stdout.splitlines()[-1])


def grpo():
    here = pathlib.Path(__file__).resolve().parent
    commands = {"torch_grpo": (here / "torch_grpo.py", args.model)}
    if args.shared:
        commands["best_torch"] = (args.shared / "best_torch.py", args.model)
        commands["trl_grpo"] = (args.shared / "trl_grpo.py", args.model, 4)  # of these steps the first is left out
    for script, *_ in commands.values():
        if not script.is_file():
            parser.error(f"--shared {args.shared}: there is no {script.name} in it")
    mine, theirs = [], {name: [] for name in commands}
    for _ in range(args.rounds):
        mine.append(ours("grpo", steps=0)["seconds"]["total"])
        for name, command in commands.items():
            theirs[name].append(peer(*command))
    for name, said in theirs.items():
        best = min(facts["seconds"]["total"] for facts in said)
        line(f"GRPO step seconds beside {name}", min(mine), best, best / min(mine))
        line(f"peak memory GiB GRPO step beside {name}", our_peak, max(facts["peak_rss_mb"] for facts in said) / 1024)


{"text": text, "train": train, "video": video, "grpo": grpo}[args.what]()
