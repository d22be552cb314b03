"""PyTorch's numbers for the operations of core/ops.h, forward and backward: writes tests/cpu/data/ops.json.

    python tests/peers/ops_torch.py            (torch 2.x; everything is computed in float64 from float32 inputs)

One entry a case of tests/cpu/test_ops.c, under its name: "rows", then a flat list for each field, and under "d<field>" the gradient that
came in (for outputs) or that went out (for inputs).
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(20261124)
cases = {}


def normal(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).double()


def case(name, rows, inputs, outputs, ints=None, constants=None):
    """inputs: tensors that want gradients; outputs: a function of them that returns a dict of tensors."""
    leaves = {k: v.clone().requires_grad_(True) for k, v in inputs.items()}
    results = outputs(**leaves)
    seeds = {k: normal(*v.shape) for k, v in results.items()}
    sum((results[k] * seeds[k]).sum() for k in results).backward()
    fields = {**{k: v for k, v in inputs.items()}, **(constants or {}), **results}
    fields |= {"d" + k: v for k, v in seeds.items()} | {"d" + k: v.grad for k, v in leaves.items()}
    entry = {k: [float(f"{x:.9g}") for x in v.detach().flatten().tolist()] for k, v in fields.items()}
    cases[name] = {"rows": rows, **entry, **{k: v.flatten().tolist() for k, v in (ints or {}).items()}}


R = 3

case("rms_norm", R, {"x": normal(R, 21), "w": normal(21)}, lambda x, w: {"y": x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * w})
case("layer_norm", R, {"x": normal(R, 37) + 2, "w": normal(37), "b": normal(37)}, lambda x, w, b: {"y": F.layer_norm(x, (37,), w, b, 1e-6)})

index = torch.tensor([4, -1, 4])
padded = lambda table: torch.cat([table, torch.zeros(1, table.shape[1], dtype=table.dtype)])
case("gather", R, {"table": normal(5, 18)}, lambda table: {"y": padded(table)[index]}, {"index": index})

corners, mix = torch.randint(0, 6, (R, 4)), torch.rand(R, 4).double()
mix = mix.float().double()
case("blend", R, {"table": normal(6, 19)}, lambda table: {"y": (table[corners] * mix[..., None]).sum(1)}, {"index": corners}, {"mix": mix})

# multimodal rotary: frequency i turns by the position on axis[i]; two heads of 2 * 9
position, axis = torch.tensor([[5, 0], [301, 7], [29999, 2]]), torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 0])
inv_freq = (10000.0 ** (-torch.arange(9).double() / 9)).float()


def rotary(x):
    angle = (position[:, axis].float() * inv_freq).double()
    cos, sin = (torch.cat([t, t], -1)[:, None] for t in (angle.cos(), angle.sin()))
    h = x.view(R, 2, 18)
    half = torch.cat([-h[..., 9:], h[..., :9]], -1)
    return {"y": (h * cos + half * sin).view(R, 36)}


case("rotary", R, {"x": normal(R, 36)}, rotary, {"position": position})

case("swiglu", R, {"gate": normal(R, 23, scale=3), "up": normal(R, 23)}, lambda gate, up: {"y": F.silu(gate) * up})
case("silu", R, {"x": normal(R, 23, scale=3)}, lambda x: {"y": F.silu(x)})
case("gelu_erf", R, {"x": normal(R, 23, scale=2)}, lambda x: {"y": F.gelu(x)})
case("gelu_tanh", R, {"x": normal(R, 23, scale=2)}, lambda x: {"y": F.gelu(x, approximate="tanh")})
case("gelu_quick", R, {"x": normal(R, 23, scale=2)}, lambda x: {"y": x * torch.sigmoid(1.702 * x)})

# grouped attention over pages [page, kv head, head_dim, 16] and [page, kv head, 16, head_dim]; the path is pages 2, 0
HEADS, KV, DIM, PAGES, PATH = 4, 2, 6, 3, [2, 0]


def attention(limit, window):
    def run(q, keys, values):
        k = keys.view(PAGES, KV, DIM, 16)[PATH].permute(1, 0, 3, 2).reshape(KV, -1, DIM).repeat_interleave(HEADS // KV, 0)
        v = values.view(PAGES, KV, 16, DIM)[PATH].permute(1, 0, 2, 3).reshape(KV, -1, DIM).repeat_interleave(HEADS // KV, 0)
        at = torch.arange(16 * len(PATH))
        seen = at[None] < limit[:, None]
        if window:
            seen &= at[None] >= limit[:, None] - window
        out = F.scaled_dot_product_attention(q.view(R, HEADS, DIM).transpose(0, 1), k, v, attn_mask=seen, scale=0.25)
        return {"out": out.transpose(0, 1).reshape(R, HEADS * DIM)}

    return run


def pages():
    return {"q": normal(R, HEADS * DIM), "keys": normal(PAGES * KV * DIM * 16), "values": normal(PAGES * KV * DIM * 16)}


limit = torch.tensor([1, 16, 31])
case("attention", R, pages(), attention(limit, 0), {"limit": limit})
limit = torch.tensor([3, 20, 32])
case("attention_window", R, pages(), attention(limit, 11), {"limit": limit})

target, temperature = torch.tensor([3, 28, 0]), torch.tensor([1.0, 0.5, 1.75]).double()


def logprob(hidden, weight):
    logp = torch.log_softmax(hidden @ weight.view(29, 12).T / temperature[:, None], -1)
    return {"logp": logp.gather(1, target[:, None])[:, 0], "entropy": -(logp.exp() * logp).sum(-1)}


case("logprob", R, {"hidden": normal(R, 12), "weight": normal(29 * 12)}, logprob, {"target": target}, {"temperature": temperature})

# AdamW: three steps on ten numbers, the gradients scaled as clipping does
w, steps, clip = torch.nn.Parameter(normal(10)), [normal(10) for _ in range(3)], 0.5
entry = {"rows": 1, "master": w.tolist(), "grad": torch.cat(steps).tolist(), "grad_scale": [clip]}
optimizer = torch.optim.AdamW([w], lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
for g in steps:
    w.grad = g * clip
    optimizer.step()
entry["after"] = w.tolist()
cases["adamw"] = entry

case("linear", R, {"x": normal(R, 19), "w": normal(23 * 19), "b": normal(23)}, lambda x, w, b: {"y": F.linear(x, w.view(23, 19), b)})

# the same log-probs, whose way back is gone alone; and how far they are from another model's, at beta as the name says (TRL's generalized_jsd_loss, row by row)
cases["logprob_alone"] = cases["logprob"]


def divergence(beta, other, vocabulary):
    head = torch.tensor([(i * 7 % 13 - 6) / 8 for i in range(vocabulary * 5)]).double().view(vocabulary, 5)

    def rows(hidden, weight):
        lp = torch.log_softmax(hidden @ weight.view(29, 12).T / temperature[:, None], -1)
        lq = torch.log_softmax(other @ head.T / temperature[:, None], -1)
        lp, lq = lp[:, :vocabulary], lq[:, :29]  # ids of both
        kl = lambda log_m, log_q: F.kl_div(log_m, log_q, reduction="none", log_target=True).sum(-1)  # KL(q || m)
        if beta in (0, 1):
            return {"y": kl(lq, lp) if beta else kl(lp, lq)}
        lm = torch.logsumexp(torch.stack([lp + math.log1p(-beta), lq + math.log(beta)]), 0)
        return {"y": beta * kl(lm, lq) + (1 - beta) * kl(lm, lp)}

    return rows


for beta, vocabulary in ((0, 29), (0.25, 37), (1, 23)):
    other = normal(R, 5)
    inputs = {"hidden": normal(R, 12), "weight": normal(29 * 12)}
    case(f"divergence_{beta}_of_{vocabulary}", R, inputs, divergence(beta, other, vocabulary), constants={"other": other, "temperature": temperature})

# keys and values into pages of the layout above: row r goes to two lanes of page r, one in each half
lane = torch.tensor([[0, 7], [5, 0], [3, 2]])


def kv_write(k, v):
    def pages_of(rows):
        pages = torch.zeros(R, 16, KV, DIM).double()
        pages[torch.arange(R)[:, None], lane + torch.tensor([0, 8])] = rows.view(R, 1, KV, DIM)
        return pages

    return {"keys": pages_of(k).permute(0, 2, 3, 1), "values": pages_of(v).permute(0, 2, 1, 3)}


case("kv_write", R, {"k": normal(R, KV * DIM), "v": normal(R, KV * DIM)}, kv_write, {"lane": lane})

# twenty rows of two heads, as a run of three and one of seventeen, each of which sees all of itself
RUN, RUN_HEADS, RUN_ENDS = 20, 2, [3, 20]


def attend_runs(q, k, v):
    rows = [x.view(R, RUN, RUN_HEADS, DIM).transpose(1, 2) for x in (q, k, v)]
    parts = [F.scaled_dot_product_attention(*(x[:, :, first:end] for x in rows), scale=0.25) for first, end in zip([0] + RUN_ENDS, RUN_ENDS)]
    return {"out": torch.cat(parts, 2).transpose(1, 2).reshape(R, RUN * RUN_HEADS * DIM)}


case("attend_runs", R, {x: normal(R, RUN * RUN_HEADS * DIM) for x in ("q", "k", "v")}, attend_runs)

out = pathlib.Path(__file__).parent.parent / "cpu" / "data" / "ops.json"
out.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in cases.items()) + "\n}\n")
print(out, out.stat().st_size, "bytes; torch", torch.__version__)
