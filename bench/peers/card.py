#!/usr/bin/env python3
"""card.py attention [--measure build-card/cuda_measure] [--rounds 3]
card.py grpo --model DIR [--fovea build/fovea] [--prompts 8] [--tokens 256] [--side 1008] [--lora] [--alone]

On a machine with an NVIDIA card, against PyTorch in the same run. Lines of what,ours,bar,ratio, as `fovea bench` prints them: more is better.

attention: bf16, forward, and forward with its way back, on the shapes of tests/cuda/measure.c (which tests/cuda/on_card.sh builds), against
  F.scaled_dot_product_attention by cuDNN. Where answers share a prompt cuDNN is given its keys and values once for each of them, since it knows no other way.
grpo: a whole step of `fovea train device=cuda precision=bf16` against bench/peers/torch_grpo.py: prompts with a picture, 8 answers each of exactly so many tokens. DIR: a
  Qwen2.5-VL folder (random weights will do). Ours trains f32 masters with f32 moments; the peer's weights and moments are bf16.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("what", choices=["attention", "grpo"])
parser.add_argument("--measure", default="build-card/cuda_measure")
parser.add_argument("--fovea", default="build/fovea")
parser.add_argument("--model")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--prompts", type=int, default=8)
parser.add_argument("--tokens", type=int, default=256)
parser.add_argument("--side", type=int, default=1008)
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--lora", action="store_true")
parser.add_argument("--alone", action="store_true", help="grpo: without the peer")
parser.add_argument("overrides", nargs="*", help="grpo: more of the recipe, as `fovea train` takes it")
args = parser.parse_intermixed_args()
here = pathlib.Path(__file__).parent


def line(what, ours, bar):
    print(f"{what},{ours:.4g},{bar:.4g},{ours / bar:.3f}", flush=True)


# ---- attention ----

# name in cuda_measure: batch, heads, kv heads, queries, keys, columns, causal
SHAPES = {"prompt": (1, 16, 2, 1024, 1024, 128, True), "4096": (1, 16, 2, 4096, 4096, 128, True),
          "windows": (64, 16, 16, 64, 64, 80, True), "decoding": (64, 16, 2, 1, 1025, 128, False)}


def ours_attention():
    """Microseconds a call by (shape, whether the way back is in it): the best of some rounds."""
    best = {}
    for _ in range(args.rounds):
        for text in subprocess.run([args.measure, "bf16"], capture_output=True, text=True).stdout.splitlines():
            shape = next((s for s in SHAPES if s in text.split("  ")[0]), None)
            if shape and "bf16" in text and "linear" not in text and "gather" not in text:
                micros = float(text.split()[-3])  # before GB/s and GFLOP/s; names may be wider than their column
                key = (shape, "back" in text)
                best[key] = min(best.get(key, micros), micros)
    return best


def peer_attention(shape, back):
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
    batch, heads, kv_heads, queries, keys, dim, causal = SHAPES[shape]
    make = lambda h, n: torch.randn(batch, h, n, dim, device="cuda", dtype=torch.bfloat16, requires_grad=back)
    q, k, v = make(heads, queries), make(kv_heads, keys), make(kv_heads, keys)
    dout = torch.randn_like(q)

    def run():
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=kv_heads < heads)
        if back:
            q.grad = k.grad = v.grad = None
            y.backward(dout)

    best = float("inf")
    with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
        for turn in range(args.rounds + 1):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(20):
                run()
            end.record()
            torch.cuda.synchronize()
            best = min(best, begin.elapsed_time(end) * 1e3 / 20) if turn else best
    return best


def attention():
    ours = ours_attention()
    if not ours:
        sys.exit(f"{args.measure} printed no times of attention; tests/cuda/on_card.sh builds it")
    for (shape, back), micros in sorted(ours.items()):
        line(f"attention {shape}{' and back' if back else ''} calls/s", 1e6 / micros, 1e6 / peer_attention(shape, back))


# ---- a GRPO step ----

def rows(folder):
    """Pictures as torch_grpo.py's: noise, three boxes, and a question."""
    import numpy as np
    from PIL import Image
    lines = []
    for i in range(args.prompts * (args.steps + 1)):
        draw = np.random.default_rng(i)
        a = draw.integers(180, 256, (args.side, args.side, 3), dtype=np.uint8)
        for _ in range(3):
            (x, y), (w, h) = draw.integers(0, args.side - 64, 2), draw.integers(16, 64, 2)
            a[y:y + h, x:x + w] = draw.integers(0, 256, 3)
        Image.fromarray(a).save(folder / f"{i}.png", compress_level=1)
        content = [{"type": "image", "image": f"{i}.png"}, {"type": "text", "text": "How many boxes are there in the picture? Think first and give a number."}]
        lines.append(json.dumps({"id": str(i), "messages": [{"role": "user", "content": content}], "answer": "3"}))
    (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "rows.jsonl"


def ours_grpo(folder):
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"""name: card
out: {folder}/run
model: {{path: {pathlib.Path(args.model).resolve()}}}
device: cuda
precision: bf16
data: {rows(folder)}
stages:
  - {{name: rl, kind: grpo, steps: {args.steps}, rollout: {{prompts: {args.prompts}, group_size: 8, max_new_tokens: {args.tokens}, ignore_eos: true}},
     reward: {{terms: [{{term: repetition, n: 1}}]}}, optim: {{lr: 1.0e-6}}}}
""")
    extra = [*(["lora.r=16", "lora.targets=all-linear"] if args.lora else []), *args.overrides]
    steps = steps_of([args.fovea, "train", recipe, *extra], folder / "run/metrics.jsonl")
    return statistics.median(s["step_time"] for s in steps[1:]), steps[-1]


def steps_of(command, metrics):
    """Its metrics, until all steps are there: what a run saves at its end are its weights and moments, which take longer than the steps."""
    run, lines = subprocess.Popen(command, stdout=sys.stderr), []
    try:
        while len(lines) < args.steps:
            ended = run.poll() is not None
            time.sleep(0.05)
            lines = metrics.read_text().split("\n")[:-1] if metrics.exists() else []  # whole lines
            if ended and len(lines) < args.steps:
                sys.exit(f"{' '.join(map(str, command))}: ended with {run.returncode}, after {len(lines)} of {args.steps} steps")
    finally:
        run.terminate()
        run.wait()
    return [json.loads(text) for text in lines]


def grpo():
    if not args.model:
        parser.error("grpo needs --model DIR")
    with tempfile.TemporaryDirectory() as folder:
        ours, last = ours_grpo(pathlib.Path(folder))
    print(json.dumps({k: v for k, v in last.items() if k.startswith(("timing_s/", "perf/", "memory/"))}), file=sys.stderr)
    if args.alone:
        return print(f"grpo step: {ours:.3f} s")
    peer = subprocess.run([sys.executable, here / "torch_grpo.py", args.model, "--device", "cuda", "--dtype", "bfloat16", "--prompts", str(args.prompts),
                           "--tokens", str(args.tokens), "--side", str(args.side), "--steps", str(args.steps), "--checkpoint"], check=True, capture_output=True, text=True)
    theirs = json.loads(peer.stdout.splitlines()[-1])
    print(json.dumps(theirs), file=sys.stderr)
    line("grpo steps/s", 1 / ours, 1 / theirs["seconds"]["total"])


{"attention": attention, "grpo": grpo}[args.what]()
