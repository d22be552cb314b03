#!/usr/bin/env python3
"""torch_grpo.py MODEL [--steps 5] [--threads 2] [--check] [--device cuda --dtype bfloat16] [--prompts 4] [--tokens 64] [--side 224] [--checkpoint]

The work of `fovea bench grpo` in PyTorch, made as fast as we could on a CPU: 4 prompts with a picture of 224 x 224, 8 answers
of exactly 64 tokens each, one AdamW update, f32. MODEL is a Qwen2.5-VL folder whose picture windows are all of one size.
On a card, in bf16, weights and moments are bf16 as well, which is less than training wants and the fastest there is (bench/peers/card.py).

How it is fast:
  - in decoding a group is one row of a batch: its 8 answers stand side by side behind the one prompt, and a mask says who sees
    whom. So the prompt's keys and values are never repeated, and attention is one call for 4 rows instead of one for 32;
  - tower and prompt run once, with a graph: decoding reads their keys and values, the update goes back through them;
  - the cache is laid out by time, so that a decoding step writes one contiguous stretch of it, and reads no more than the
    quarter of it that time has reached;
  - q, k, v are one product, and so are gate and up; logits are made only for answers; AdamW is fused;
  - torch.compile on all three passes.
--check: log-probs and a few gradients beside those of transformers' own model.
"""
import argparse
import json
import os
import resource
import statistics
import time
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.filterwarnings("ignore")

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--warmup", type=int, default=2)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--no-compile", action="store_true")
parser.add_argument("--check", action="store_true")
parser.add_argument("--device", default="cpu")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--prompts", type=int, default=4)
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--side", type=int, default=224)
parser.add_argument("--checkpoint", action="store_true", help="layers keep their input alone and run again on the way back: what large models need")
args = parser.parse_args()

import numpy as np
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
import transformers
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

torch.set_num_threads(args.threads)
torch.set_default_device(args.device)
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

PROMPTS, GROUP, NEW, SIDE = args.prompts, 8, args.tokens, args.side
ANSWERS, QUARTER = PROMPTS * GROUP, NEW // 4
QUESTION = "How many boxes are there in the picture? Think first and give a number."
MINUS = float("-inf")


def pictures(seed):
    """Noise below, three coloured boxes above."""
    out = []
    for i in range(PROMPTS):
        draw = np.random.default_rng(1000 * seed + i)
        a = draw.integers(180, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        for _ in range(3):
            (x, y), (w, h) = draw.integers(0, SIDE - 64, 2), draw.integers(16, 64, 2)
            a[y:y + h, x:x + w] = draw.integers(0, 256, 3)
        out.append(Image.fromarray(a))
    return out


hf = AutoModelForImageTextToText.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).to(args.device).eval()
processor = AutoProcessor.from_pretrained(args.model)
text_config, vision_config = hf.config.text_config, hf.config.vision_config
heads, kv_heads = text_config.num_attention_heads, text_config.num_key_value_heads
dim, eps = text_config.hidden_size // heads, text_config.rms_norm_eps
vision_heads = vision_config.num_heads


def weight(*parts):
    return torch.cat([p.detach() for p in parts]).clone().requires_grad_()


def load():
    """Our weights: a dict a layer, products that share an input joined."""
    visual, decoder = hf.model.visual, hf.model.language_model
    blocks = [{"norm1": weight(b.norm1.weight), "norm2": weight(b.norm2.weight),
               "qkv": weight(b.attn.qkv.weight), "qkv_b": weight(b.attn.qkv.bias),
               "out": weight(b.attn.proj.weight), "out_b": weight(b.attn.proj.bias),
               "up": weight(b.mlp.gate_proj.weight, b.mlp.up_proj.weight), "up_b": weight(b.mlp.gate_proj.bias, b.mlp.up_proj.bias),
               "down": weight(b.mlp.down_proj.weight), "down_b": weight(b.mlp.down_proj.bias)} for b in visual.blocks]
    layers = [{"norm1": weight(l.input_layernorm.weight), "norm2": weight(l.post_attention_layernorm.weight),
               "qkv": weight(l.self_attn.q_proj.weight, l.self_attn.k_proj.weight, l.self_attn.v_proj.weight),
               "qkv_b": weight(l.self_attn.q_proj.bias, l.self_attn.k_proj.bias, l.self_attn.v_proj.bias),
               "out": weight(l.self_attn.o_proj.weight), "up": weight(l.mlp.gate_proj.weight, l.mlp.up_proj.weight),
               "down": weight(l.mlp.down_proj.weight)} for l in decoder.layers]
    m = visual.merger
    ends = {"patch": weight(visual.patch_embed.proj.weight.flatten(1)), "merge_norm": weight(m.ln_q.weight),
            "merge1": weight(m.mlp[0].weight), "merge1_b": weight(m.mlp[0].bias), "merge2": weight(m.mlp[2].weight), "merge2_b": weight(m.mlp[2].bias),
            "embed": weight(decoder.embed_tokens.weight), "norm": weight(decoder.norm.weight)}
    return blocks, layers, ends


blocks, layers, ends = load()
parameters = [p for part in (*blocks, *layers, ends) for p in part.values()]
optimizer = torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0, fused=True)
banned = torch.zeros(ends["embed"].shape[0])
banned[hf.generation_config.eos_token_id + [hf.config.image_token_id, hf.config.video_token_id]] = MINUS
prompt_text = processor.apply_chat_template([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": QUESTION}]}],
                                            add_generation_prompt=True)


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


def gated(x, up, up_b, down, down_b):
    gate, value = F.linear(x, up, up_b).chunk(2, -1)
    return F.linear(F.silu(gate) * value, down, down_b)


def attend(q, k, v, mask):
    """Query heads that share a kv head stand side by side as more queries of it: no kernel has to know of groups."""
    n, group = q.shape[2], heads // kv_heads
    q = q.reshape(q.shape[0], kv_heads, group * n, dim)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask.to(q.dtype).repeat(group, 1))
    return y.reshape(q.shape[0], heads, n, dim)


def ready(images, count=1):
    """The processor's tensors, on the device."""
    return {k: v.to(args.device, hf.dtype if v.is_floating_point() else None)
            for k, v in processor(text=[prompt_text] * (PROMPTS * count), images=images, return_tensors="pt").items()}


def synced():
    if args.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def norm(x, w, e=eps):
    return F.rms_norm(x, w.shape, w, e)


def layer(f, *inputs):
    """f(*inputs), with few activations kept if asked for."""
    return torch.utils.checkpoint.checkpoint(f, *inputs, use_reentrant=False) if args.checkpoint else f(*inputs)


class Shape:
    """What only the prompt's shape decides: order of patches, rotary tables, masks. Made once."""

    def __init__(self, inputs):
        grid = inputs["image_grid_thw"]
        self.order, ends_at = get_vision_window_index(grid, spatial_merge_size=2, window_size=vision_config.window_size, patch_size=vision_config.patch_size)
        sizes = {n for n in torch.as_tensor(ends_at).diff().tolist() if n}
        assert len(sizes) == 1, "windows of one size only"
        self.windows = inputs["pixel_values"].shape[0] // sizes.pop()
        self.back = torch.argsort(self.order)
        tables = hf.model.visual.rotary_pos_emb(inputs["pixel_values"], get_vision_position_ids(grid, 2))
        self.vision_cos, self.vision_sin = (t.view(-1, 4, t.shape[-1])[self.order].flatten(0, 1).unsqueeze(1).to(hf.dtype) for t in tables)
        position, delta = hf.model.get_rope_index(inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=grid)
        self.tokens = inputs["input_ids"].shape[1]
        self.first = int((inputs["input_ids"][0] == hf.config.image_token_id).nonzero()[0])
        rotary, like = hf.model.language_model.rotary_emb, ends["norm"]
        self.cos, self.sin = rotary(like, position[:, :1])
        time_at = (self.tokens + delta[0] + torch.arange(NEW)).view(1, 1, -1).expand(3, 1, -1)
        cos, sin = (t[0] for t in rotary(like, time_at))
        self.step_cos, self.step_sin = cos, sin
        # The update: an answer a row (a mask over whole groups, as in decoding, took a fifth longer). It sees the prompt, and itself so far.
        n = NEW - 1
        self.update_cos, self.update_sin = cos[:n], sin[:n]
        self.update_mask = F.pad(torch.full((n, n), MINUS).triu(1), (self.tokens, 0))
        # Decoding: the cache has the prompt, then GROUP slots a time. At time t an answer sees its own slot of every time up to t.
        slot_time, slot_answer = torch.arange(NEW * GROUP) // GROUP, torch.arange(NEW * GROUP) % GROUP
        seen = (slot_answer[None, None] == torch.arange(GROUP)[None, :, None]) & (slot_time[None, None] <= torch.arange(NEW)[:, None, None])
        self.step_mask = F.pad(torch.zeros(NEW, GROUP, NEW * GROUP).masked_fill(~seen, MINUS), (self.tokens, 0))


def tower(s, pixels):
    x = F.linear(pixels, ends["patch"])
    width = x.shape[-1]
    x = x.view(-1, 4, width)[s.order].view(-1, width)
    def block(i, b, x):
        runs = PROMPTS if i in vision_config.fullatt_block_indexes else s.windows
        q, k, v = F.linear(norm(x, b["norm1"], 1e-6), b["qkv"], b["qkv_b"]).view(-1, 3, vision_heads, width // vision_heads).unbind(1)
        q, k = turn(q, s.vision_cos, s.vision_sin), turn(k, s.vision_cos, s.vision_sin)
        q, k, v = (t.reshape(runs, -1, vision_heads, width // vision_heads).transpose(1, 2) for t in (q, k, v))
        x = x + F.linear(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, width), b["out"], b["out_b"])
        return x + gated(norm(x, b["norm2"], 1e-6), b["up"], b["up_b"], b["down"], b["down_b"])

    for i, b in enumerate(blocks):
        x = layer(block, i, b, x)
    x = F.gelu(F.linear(norm(x, ends["merge_norm"], 1e-6).view(-1, 4 * width), ends["merge1"], ends["merge1_b"]))
    return F.linear(x, ends["merge2"], ends["merge2_b"])[s.back].view(PROMPTS, -1, ends["embed"].shape[1])


def qkv(l, x, cos, sin):
    y = F.linear(norm(x, l["norm1"]), l["qkv"], l["qkv_b"]).view(*x.shape[:2], heads + 2 * kv_heads, dim).transpose(1, 2)
    q, k, v = y.split((heads, kv_heads, kv_heads), 1)
    return turn(q, cos, sin), turn(k, cos, sin), v


def rest(l, x, y):
    x = x + F.linear(y.transpose(1, 2).reshape(x.shape), l["out"])
    return x + gated(norm(x, l["norm2"]), l["up"], None, l["down"], None)


def read_prompt(ids, pixels):
    """-> hidden state of the last token [PROMPTS, width], keys and values of all layers"""
    seen = tower(shape, pixels)
    x = F.embedding(ids, ends["embed"])
    x = torch.cat((x[:, :shape.first], seen, x[:, shape.first + seen.shape[1]:]), 1)
    keys, values = [], []

    def prompt_layer(l, x):
        q, k, v = qkv(l, x, shape.cos, shape.sin)
        return rest(l, x, F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)), k, v

    for l in layers:
        x, k, v = layer(prompt_layer, l, x)
        keys.append(k)
        values.append(v)
    return norm(x[:, -1], ends["norm"]), keys, values


def choose(hidden, noise):
    """Sampling at temperature 1 by exponential noise."""
    return (F.linear(hidden, ends["embed"]).float() + banned - noise.log()).argmax(-1)


def decode(tokens, cos, sin, mask, slots, keys, values, noise):
    """One token more for all answers: tokens [PROMPTS, GROUP]."""
    x = F.embedding(tokens, ends["embed"])
    for i, l in enumerate(layers):
        q, k, v = qkv(l, x, cos, sin)
        keys[i].index_copy_(2, slots, k)
        values[i].index_copy_(2, slots, v)
        x = rest(l, x, attend(q, keys[i], values[i], mask))
    return choose(norm(x, ends["norm"]), noise)


def logps(last, keys, values, tokens):
    """Log-probs of tokens [PROMPTS, GROUP, NEW] -> the same shape"""
    x = F.embedding(tokens[:, :, :-1].reshape(ANSWERS, -1), ends["embed"])

    def update_layer(l, x, keys, values):
        q, k, v = qkv(l, x, shape.update_cos, shape.update_sin)
        k, v = (torch.cat((p.unsqueeze(1).expand(-1, GROUP, -1, -1, -1).flatten(0, 1), own), 2) for p, own in ((keys, k), (values, v)))
        return rest(l, x, attend(q, k, v, shape.update_mask))

    for i, l in enumerate(layers):
        x = layer(update_layer, l, x, keys[i], values[i])
    x = norm(x, ends["norm"]).view(PROMPTS, GROUP, NEW - 1, -1)
    x = torch.cat((last.view(PROMPTS, 1, 1, -1).expand(-1, GROUP, -1, -1), x), 2)
    return -F.cross_entropy(F.linear(x, ends["embed"]).flatten(0, 2).float(), tokens.flatten(), reduction="none").view(tokens.shape)


def loss_of(last, keys, values, tokens, advantage):
    now = logps(last, keys, values, tokens)
    ratio = torch.exp(now - now.detach())
    return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()


fast = (lambda f: f) if args.no_compile else (lambda f: torch.compile(f, dynamic=False))
fast_prompt, fast_decode, fast_loss = fast(read_prompt), fast(decode), fast(loss_of)
shape = None


@torch.no_grad()
def roll_out(last, keys, values, seed):
    draws = torch.Generator(args.device).manual_seed(seed)
    noise = lambda: torch.empty(PROMPTS, GROUP, banned.shape[0]).exponential_(generator=draws)
    room = (0, 0, 0, NEW * GROUP)
    keys, values = [F.pad(k.detach(), room) for k in keys], [F.pad(v.detach(), room) for v in values]
    tokens = torch.empty(PROMPTS, GROUP, NEW, dtype=torch.long)
    tokens[:, :, 0] = now = choose(last.detach().unsqueeze(1), noise())
    for t in range(NEW - 1):
        slots = torch.arange(shape.tokens + t * GROUP, shape.tokens + (t + 1) * GROUP)
        end = shape.tokens + (t // QUARTER + 1) * QUARTER * GROUP
        now = fast_decode(now, shape.step_cos[t:t + 1], shape.step_sin[t:t + 1], shape.step_mask[t, :, :end], slots, [k[:, :, :end] for k in keys],
                          [v[:, :, :end] for v in values], noise())
        tokens[:, :, t + 1] = now
    return tokens


def reward(text):
    return sum(text.encode()[:64]) % 97 / 97.0


def step(images, seed):
    global shape
    at = [synced()]
    inputs = ready(images)
    shape = shape or Shape(inputs)
    at.append(synced())
    last, keys, values = fast_prompt(inputs["input_ids"], inputs["pixel_values"])
    at.append(synced())
    tokens = roll_out(last, keys, values, seed)
    at.append(synced())
    texts = processor.batch_decode(tokens.view(ANSWERS, NEW).tolist(), skip_special_tokens=True)
    r = torch.tensor([reward(t) for t in texts]).view(PROMPTS, GROUP, 1)
    advantage = (r - r.mean(1, keepdim=True)) / (r.std(1, keepdim=True) + 1e-4)
    at.append(synced())
    fast_loss(last, keys, values, tokens, advantage).backward()
    at.append(synced())
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    at.append(synced())
    return [b - a for a, b in zip(at, at[1:])]


def check():
    """Against transformers: largest difference of a log-prob, relative differences of some gradients."""
    global shape
    images = pictures(0)
    inputs = ready(images)
    shape = shape or Shape(inputs)
    last, keys, values = read_prompt(inputs["input_ids"], inputs["pixel_values"])
    tokens = roll_out(last, keys, values, 1)
    advantage = torch.randn(PROMPTS, GROUP, 1, generator=torch.Generator(args.device).manual_seed(2))
    ours = logps(last, keys, values, tokens)
    loss_of(last, keys, values, tokens, advantage).backward()
    full = ready([p for p in images for _ in range(GROUP)], GROUP)
    answers = tokens.view(ANSWERS, NEW)
    ids = torch.cat((full["input_ids"], answers), 1)
    kinds = torch.cat((full["mm_token_type_ids"], torch.zeros_like(answers)), 1)
    logits = hf(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=full["pixel_values"], image_grid_thw=full["image_grid_thw"],
                mm_token_type_ids=kinds).logits[:, shape.tokens - 1:-1]
    theirs = torch.log_softmax(logits, -1).gather(-1, answers.unsqueeze(-1)).view(tokens.shape)
    (-(torch.exp(theirs - theirs.detach()) * advantage).mean()).backward()
    pairs = {"embed": (ends["embed"], hf.model.language_model.embed_tokens.weight),
             "layer0.down": (layers[0]["down"], hf.model.language_model.layers[0].mlp.down_proj.weight),
             "block0.qkv": (blocks[0]["qkv"], hf.model.visual.blocks[0].attn.qkv.weight)}
    out = {"logp": float((ours - theirs).abs().max())}
    out.update({k: float((a.grad - b.grad).norm() / b.grad.norm()) for k, (a, b) in pairs.items()})
    optimizer.zero_grad()
    hf.zero_grad()
    return out


checked = check() if args.check else None
rows = []
for i in range(args.warmup + args.steps):
    laps = step(pictures(i), i)
    if i >= args.warmup:
        rows.append([*laps, sum(laps)])
names = ("prepare", "prompt", "decode", "reward", "update", "optimizer", "total")
print(json.dumps({"peer": "torch_grpo", "model": args.model, "threads": args.threads, "steps": len(rows), "torch": torch.__version__,
                  "seconds": {n: round(statistics.median(c), 4) for n, c in zip(names, zip(*rows))},
                  "total_range": [round(min(r[-1] for r in rows), 4), round(max(r[-1] for r in rows), 4)], "tokens": ANSWERS * NEW,
                  "peak_device_gib": torch.cuda.max_memory_allocated() / 2**30 if args.device == "cuda" else None, "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), "check": checked}))
