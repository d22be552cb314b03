#!/usr/bin/env python3
"""Writes the corpus of tests/fuzz: small files of every kind that Fovea reads, valid ones and ones with the faults that people's files have.
Run from the root of the repository; needs nothing but Python."""
import json
import struct
from pathlib import Path

ROOT = Path("tests/fuzz/corpus")


def put(target, name, content):
    path = ROOT / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


# ---- tokenizer.json: every byte as a token, few merges ----
def alphabet():
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return {**{b: chr(b) for b in seen}, **{b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in seen)}}


def tokenizer(merges, added, pattern, normalizer="NFC", pairs=True):
    vocab = {c: i for i, c in enumerate(alphabet().values())}
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    tokens = [{"id": len(vocab) + i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": n, "special": s}
              for i, (t, n, s) in enumerate(added)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return json.dumps({
        "version": "1.0", "added_tokens": tokens, "normalizer": normalizer and {"type": normalizer},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]}, "post_processor": level, "decoder": level,
        "model": {"type": "BPE", "vocab": vocab, "merges": [list(m) if pairs else " ".join(m) for m in merges]},
    }, ensure_ascii=False)


WORDS = r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
MERGES = [("a", "t"), ("p", "l"), ("pl", "at"), ("plat", "e"), ("Ġ", "plate"), ("Ġplate", "s"), ("I", "t")]
put("tokenizer", "qwen.json", tokenizer(MERGES, [("<|im_end|>", False, True), ("<tool_call>", False, False)], WORDS))
put("tokenizer", "strings.json", tokenizer(MERGES, [("<|im_end|>", False, True), ("é", True, False)], r"\s+|\S+", None, pairs=False))
put("tokenizer", "bytes.json", tokenizer([], [], r"\p{L}+|."))
put("tokenizer", "empty-token.json", tokenizer([], [], r"\p{L}+|.").replace('"vocab": {', '"vocab": {"": 0, ', 1))  # the first token has no bytes
put("tokenizer", "no-model.json", '{"model": {"type": "Unigram", "vocab": []}}')


# ---- safetensors: a header and some data ----
def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


put("safetensors", "two.safetensors", safetensors({"__metadata__": {"format": "pt"}, "a": entry("F32", [2, 2], 0, 16), "b.weight": entry("BF16", [3], 16, 22)}, bytes(22)))
put("safetensors", "empty.safetensors", safetensors({}))
put("safetensors", "many.safetensors", safetensors({f"model.layers.{i}.w": entry("F16", [2], 4 * i, 4 * i + 4) for i in range(12)}, bytes(48)))
put("safetensors", "scalars.safetensors", safetensors({"s": entry("F64", [], 0, 8), "none": entry("I8", [0, 4], 8, 8), "t": entry("BOOL", [1, 1, 1, 1, 2], 8, 10)}, bytes(10)))
put("safetensors", "overlap.safetensors", safetensors({"a": entry("I8", [4], 0, 4), "b": entry("I8", [4], 3, 7)}, bytes(7)))
put("safetensors", "huge.safetensors", safetensors({"a": entry("F32", [4611686018427387904, 4], 0, 0)}))
put("safetensors", "long-header.safetensors", safetensors({}, length=2**63))
put("safetensors", "twice.safetensors", safetensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"x"))

# ---- recipes; lines "#= path=value" are overrides ----
put("recipe", "sft.yaml", """name: sft
model: {path: models/tiny-vl}
data: rows.jsonl
stages:
  - {kind: sft, epochs: 2, optim: {lr: 1.0e-4, schedule: cosine, warmup: 10}}
#= optim.lr=3e-4
#= out=runs/mine
""")
put("recipe", "grpo.yaml", """name: grpo
seed: 7
model: {init: tiny}
data: [{make: visual-search, n: 100, weight: 2}, {path: more.jsonl, weight: 0.5}]
eval_data: {make: visual-search, n: 10, split: test}
env: {tools: [image_zoom_in_tool], max_turns: 3}
freeze: [visual.*]
stages:
  - name: warm
    kind: sft
    steps: 3
  - name: rl
    kind: grpo
    steps: 100
    rollout: {prompts: 4, group_size: 8, temperature: {linear: [1.0, 0.7]}, top_p: 0.95, max_new_tokens: 96}
    reward: {variant: released, terms: [{term: exact, tolerance: 7}, {term: format, weight: {cosine: [1, 0]}}, {term: length, max: 64}]}
    advantage: {std: false}
    objective: {clip_low: 0.2, clip_high: 0.28, kl: {exponential: [0.1, 10]}, normalise: responses}
    auxiliary: [{term: entropy, coefficient: 0.01}]
    dynamic_sampling: 3
evaluate: {every: 25, n: 5, modes: [sampled, greedy, no_tool], score: {term: exact, tags: true}}
checkpoint: {every: 50, minutes: 2.5, keep: 3}
#= stages.rl.steps=20
#= stages.rl.objective.kl={cosine: [1, 0]}
""")
put("recipe", "filter.yaml", "model: {path: m}\ndata: r.jsonl\nstages:\n- kind: filter\n  steps: 5\n  keep:\n  - {filter: reward, at_least: 0.5}\n")
put("recipe", "aliases.yaml", "model: &m {path: m}\ndata: r.jsonl\nstages:\n- &s\n  kind: sft\n  name: \"one\"\n  optim: &o {lr: 1e-4}\n- kind: sft\n  name: 'two'\n  optim: *o\n")
put("recipe", "mistakes.yaml", "name: x\nmodel: {path: m, init: tiny}\ndata: r\nstages:\n- kind: grpo\n  rollout: {group_sise: 8, temperature: [1]}\n  steps: many\n")
put("recipe", "words.yaml", "%YAML 1.2\n---\nname: |\n  several\n  lines\nmodel: !!str m\n? [a, b]\n: c\n...\n")


# ---- rows ----
def lines(*rows):
    return "\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n"


CALL = {"type": "function", "function": {"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1, 2.5, None, -4]}}}
ENV = {"tools": ["image_zoom_in_tool"], "max_turns": 3, "coordinates": "thousand", "prompt": "plain", "hint": True}
put("rows", "messages.jsonl", lines(
    {"id": "7", "messages": [{"role": "user", "content": [{"type": "image", "image": "a.png", "max_pixels": 784}, {"type": "text", "text": "What digit? 🔍"}]}], "answer": "8", "env": ENV},
    {"id": "8", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}, {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [CALL]},
                             {"role": "tool", "content": "r"}, {"role": "assistant", "content": "<think>t</think>\n\n<answer>1</answer>"}], "tools": [CALL], "answer": 0.1},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}, {"type": "video", "video": ["1.png", "2.png"], "fps": 2}]}]}))
put("rows", "verl.jsonl", lines(
    {"prompt": [{"role": "user", "content": "<image>\nfirst <image> last"}], "images": [{"path": "a.png"}, {"url": "b.png", "min_pixels": 9}], "reward_model": {"ground_truth": "8"}, "extra_info": {"index": 3}},
    {"prompt": "2 + 2?", "completion": "4"},
    {"prompt": [{"role": "user", "content": "<video>What?"}], "videos": [{"type": "video", "video": "file:///v.mp4", "nframes": 8}], "images": None}))
put("rows", "others.jsonl", lines(
    {"image": "coco/1.jpg", "conversations": [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A cup."}]},
    {"problem_id": 3, "problem": "What happens?", "data_type": "video", "problem_type": "multiple choice", "options": ["A. it falls", "B. it rises"], "solution": "<answer>B</answer>", "path": "./v.mp4"},
    {"problem": "Compare <image> and <image>.", "answer": ["same", 1], "images": ["a.png", {"bytes": "QUJD"}]},
    {"question": "Where?", "image_path": ["a.png", "b.png"], "data_type": "maze"}))
put("rows", "tokens.jsonl", lines({"id": "r#1", "group": "r", "input_ids": [1, 2, 3], "logprobs": [None, -0.5, -1e-5], "loss_mask": [0, 1, 1], "temperature": 1.0, "images": [{"image": "a.png", "max_pixels": 784}]}))
put("rows", "array.json", json.dumps([{"id": "a", "messages": [{"role": "user", "content": "q"}]}, {"id": "b", "prompt": "p"}], indent=1))
put("rows", "broken.jsonl", '\ufeff{"id": 1, "messages": []}\r\n\n{"id": 1, "messages": [{"role": "user"}]}\n{"messages": {"role": "user"}\n[1, 2]\n')
put("rows", "results.json", json.dumps({"results": [{"problem": "Which?", "options": "['a man', \"the dog's\"]", "answer": "B"}, {"problem": "How many?", "answer": 2.5}], "final_acc": [0.5]}, indent=1))

# ---- turns of a policy ----
for name, turn in {
    "zoom": '<think>Small.</think>\n<tool_call>\n{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [4, 2, 30, 20], "label": "plate", "image_index": 1}}\n</tool_call>',
    "rotate": '<tool_call>{"name": "image_rotate_tool", "arguments": "{\\"angle\\": -33.5}"}</tool_call>',
    "boxes": '<tool_call>{"name": "image_draw_boxes_tool", "arguments": {"boxes": [{"bbox_2d": [1, 1, 20, 9], "label": "cup"}, {"bbox_2d": [-5, 3, 900, 22]}]}}</tool_call>',
    "lines": '<tool_call>{"name": "image_draw_lines_tool", "arguments": {"lines": [{"start_point_2d": [1, 2], "end_point_2d": [40.5, 20], "label": "é 🔍"}], "index": 1}}</tool_call>',
    "points": '<tool_call>{"name": "image_draw_points_tool", "arguments": {"points": [{"point_2d": [10, 20], "label": "A"}, {"point_2d": [0, 0]}]}}</tool_call>',
    "several": '<tool_call>{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [30, 20, 4, 2]}}</tool_call> and <tool_call>{"name": "nothing", "arguments": {}}</tool_call><tool_call>{',
    "answer": "<answer> 8 </answer><|im_end|>",
    "call": '{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [1e308, -1e308, NaN, null]}}',
    "mapper": '<think>Two.</think> Action: Object Mapper\n```json\n[{"index": 1, "bbox_2d": [1, 1, 20, 9], "label": "cup é"}, {"index": 1, "bbox_2d": [9e9, -3, 5], "label": 7}]\n```',
    "tracer": "<think>A way.</think> Action: Path Tracer\n```json\n[{'index': 1, 'start_point_2d': (1, 2), 'end_point_2d': [50.5, 1e308], 'label': 'way'},]  # there\n```",
    "nowhere": '<think></think> Action: Object Mapper\n```json\n[{"index": 2, "bbox_2d": [1, 1, 20, 9], "label": "cup"}]\n```\n```json\n[{',
}.items():
    put("turn", name + ".txt", turn)

# ---- answers of a policy, and the right ones ----
for name, answer in {
    "number": "$1,000.50$ cm\n\\text{1000.5} meters",
    "fraction": "7\\frac{3}{4}\n31/4",
    "expression": "(x+1)^2\nx^2 + 2x + 1",
    "roots": "\\boxed{\\left(\\frac{\\sqrt{12}}{2}, 50\\%\\right)}\nThe answer is $(\\sqrt3, 0.5)$.",
    "set": "$\\{1, 2\\}$ and $3!$\n$\\{2,1\\}$",
    "words": "The dying foxes, caf\u00e9 \u4f60\nthe die fox cafe",
    "choice": "A, C\nC,A",
    "boxes": "[[10, 20, 30.5, 40]]\n(1, 2, 3, 4) -5 6 7 8",
    "value": "[{'bbox_2d': (1, -2.5e0, 3, 4), 'label': \"a\\n\\u00e9\" 'b'}, {1, 2}, None,] # end",
    "episode": "<think>a</think> Action: Object Mapper\n```json\n[{\"index\": 1, \"bbox_2d\": [1, 2, 3, 4], \"label\": \"a\"}]\n```<|im_end|>\n<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n<think>b</think> Action: Answer\n<answer>B</answer>",
    "judge": "</think> <answer> 0.8 </answer>\n**2 wrong steps** Total Wrong Steps**: 3",
}.items():
    put("answer", "long-digits.txt", "n" + "4" * 80 + "n\n5")
put("answer", "head-alone.txt", "<|im_start|>\n5")
put("answer", name + ".txt", answer)

# ---- config.json of every family ----
VISION = {"depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "out_hidden_size": 32, "in_channels": 3, "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2}
TEXT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 400, "hidden_act": "silu", "rms_norm_eps": 1e-6,
        "max_position_embeddings": 4096}
IDS = {"image_token_id": 390, "video_token_id": 391, "vision_start_token_id": 392, "vision_end_token_id": 393, "eos_token_id": [394, 395]}
put("config", "qwen2_5_vl.json", json.dumps({"model_type": "qwen2_5_vl", **IDS, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "text_config": {**TEXT, "model_type": "qwen2_5_vl_text", "rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]}},
    "vision_config": {**VISION, "model_type": "qwen2_5_vl", "window_size": 56, "fullatt_block_indexes": [1], "tokens_per_second": 2, "hidden_act": "silu"}}, indent=2))
put("config", "qwen3_vl.json", json.dumps({"model_type": "qwen3_vl", **IDS, "tie_word_embeddings": False,
    "text_config": {**TEXT, "model_type": "qwen3_vl_text", "head_dim": 12, "attention_bias": False, "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [2, 2, 2], "mrope_interleaved": True}},
    "vision_config": {**VISION, "model_type": "qwen3_vl", "num_position_embeddings": 16, "deepstack_visual_indexes": [0], "hidden_act": "gelu_pytorch_tanh"}}, indent=2))
put("config", "qwen2_vl.json", json.dumps({"model_type": "qwen2_vl", **IDS, **TEXT, "rope_theta": 1e6, "rope_scaling": {"type": "mrope", "mrope_section": [2, 1, 1]},
    "vision_config": {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 4, "in_chans": 3, "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2}}))
put("config", "qwen3.json", json.dumps({"model_type": "qwen3", **TEXT, "head_dim": 8, "rope_theta": 1e6, "tie_word_embeddings": True, "eos_token_id": 3, "sliding_window": None, "use_sliding_window": False}))
put("config", "llama.json", '{"model_type": "llama", "hidden_size": 32}')
