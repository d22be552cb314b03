#!/usr/bin/env python3
"""chat.py: our chat formats against the templates of Qwen's checkpoints, on generated conversations.

  chat.py                 writes tests/language/data/chat/cases.json: conversations, and the text that each template makes of them
  chat.py PEER [COUNT]    compares COUNT (1,000) conversations of each template, text and tokens; PEER is build/peer_texts
                          (`cmake --build build --target peer_texts`), the tokenizer models/tiny-vl's

Needs transformers (its Jinja environment renders), tokenizers, and the templates that are not beside the cases from the wheel of trl (Apache-2.0):
trl installed, or TRL_TEMPLATES a folder with qwen2_5.jinja and the others. Run by hand. Messages are those of OpenAI's and transformers' formats; keys that are null
are left out first, as apply_chat_template does.
"""
import importlib.util
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "language" / "data" / "chat"
# Each template with the family (language/config.h: fv_family) whose checkpoints have it.
TEMPLATES = {"qwen2_5_vl": 3, "qwen2_5": 0, "qwen3": 1, "qwen3_2025_04": 1, "qwen3_instruct_2507": 1, "qwen3_thinking_2507": 1, "qwen3_vl": 4,
             "qwen3_vl_thinking": 4}
TOOLS = [{"type": "function", "function": {"name": "image_zoom_in_tool", "description": "Zoom in: é <b> & \"quotes\"",
          "parameters": {"type": "object", "properties": {"bbox_2d": {"type": "array", "items": {"type": "number"}, "minItems": 4},
                                                          "scale": {"type": "number", "default": 0.25}}, "required": ["bbox_2d"]}}},
         {"name": "no_arguments", "parameters": {}, "strict": None, "weights": [1e-07, 3.0, 1e16, True]}]
NUMBERS = [0, 1, -1, 12, 2**53 + 1, 2**63 - 1, -2**63, 0.1, -0.0, 1.0, 30.0, 0.25, 2e-07, 1e-05, 0.0001, 1e15, 1e16, 123456789012345680.0, 1e21, 1e22,
           5e-324, 1.7976931348623157e308, 2.5e-308, 1 / 3, 100.10000000000001, 3.141592653589793]
TEXTS = ["Hello", "", "What is on the\ngreen plate?", "a <think>b</think> c", "<think>\n\nhmm\n</think>\n\nYes.", "\n\nlate", "ünïcode 日本 😀",
         "<tool_response>\nold style\n</tool_response>", "</think>", "tail\n", "<think>\nopen", "x</think>\n\ny</think>\nz", " \t", "<|im_end|>",
         "<tool_response>\nhalf", "{\"a\": 1}", "e\u0301 \u2028 \u200d \x7f", "\\n 'single' \"double\" </script> & <b>", "1,234.5", "\r\n"]


def value(r, depth=0):
    k = r.random()
    if k < 0.15 and depth < 3:
        return {r.choice(["a", "bbox_2d", "ключ", "q\"", "", "x\ty"]) + str(i): value(r, depth + 1) for i in range(r.randint(0, 3))}
    if k < 0.3 and depth < 3:
        return [value(r, depth + 1) for _ in range(r.randint(0, 4))]
    return r.choice([None, True, False, r.choice(TEXTS), "\x01\x1f\b\f", *r.sample(NUMBERS, 4), r.random() * 10 ** r.randint(-9, 20)])


def arguments(r):
    k = r.random()
    if k < 0.2:
        return json.dumps(value(r))
    if k < 0.3:
        return r.choice(["", "not JSON", "{}"])
    return {"bbox_2d": [r.choice(NUMBERS) for _ in range(4)], **{f"k{i}": value(r) for i in range(r.randint(0, 3))}}


def content(r, lists, media):
    if not lists or r.random() < 0.5:
        return r.choice(TEXTS)
    parts = []
    for _ in range(r.randint(0, 4)):
        k = r.random()
        if media and k < 0.2:
            parts.append({"type": "image", "image": "a.png", "max_pixels": 12544})
        elif media and k < 0.3:
            parts.append({"type": "image_url", "image_url": {"url": "b.png"}})
        elif media and k < 0.35:
            parts.append({"image": "c.png"})
        elif media and k < 0.5:
            parts.append({"type": "video", "video": ["f0.png", "f1.png"], "fps": 2.0})
        else:
            parts.append({"type": "text", "text": r.choice(TEXTS)} if r.random() < 0.9 else {"text": r.choice(TEXTS)})
    return parts


def call(r):
    function = {"name": r.choice(["image_zoom_in_tool", "no_arguments", "naïve"]), "arguments": arguments(r)}
    return r.choice([{"type": "function", "function": function}, {"id": "c1", "type": "function", "function": function}, function])


def assistant(r, name):
    turn = {"role": "assistant", "content": r.choice(TEXTS)}
    if "vl" in name and r.random() < 0.3:
        turn["content"] = [{"type": "text", "text": r.choice(TEXTS)} for _ in range(r.randint(0, 2))]
    if r.random() < 0.4:
        turn["tool_calls"] = [call(r) for _ in range(r.randint(0, 3))]
        if turn["tool_calls"] and r.random() < 0.4:
            turn["content"] = None
    elif r.random() < 0.2:
        turn["tool_calls"] = None
    if r.random() < 0.4:
        turn[r.choice(["reasoning_content", "reasoning_content", "reasoning", "thinking"])] = r.choice(["", "first\n", "\nI look closer.\n\n", None])
    return turn


def conversation(r, name):
    lists, media = "vl" in name or name.startswith("qwen3"), "vl" in name
    messages = []
    if r.random() < 0.5:
        messages.append({"role": "system", "content": r.choice(TEXTS)})
    for _ in range(r.randint(1, 4)):
        if r.random() < 0.95:
            messages.append({"role": "user", "content": content(r, lists, media)})
        if r.random() < 0.05 and messages:
            messages.append({"role": "system", "content": r.choice(TEXTS)})
        for _ in range(r.randint(0, 2)):
            turn = assistant(r, name)
            messages.append(turn)
            for _ in turn.get("tool_calls") or []:
                messages.append({"role": "tool", "content": content(r, "vl" in name, media)})
    return messages or [{"role": "user", "content": "Hello"}]


def cases_of(name, text, seed, count):
    r = random.Random(seed)
    while count > 0:
        messages = conversation(r, name)
        case = {"template": name, "messages": messages, "tools": r.choice([[], [], TOOLS[:1], TOOLS]), "generation_prompt": r.random() < 0.5,
                "thinking": r.choice([0, 1, -1])}
        kwargs = {} if case["thinking"] == 0 else {"enable_thinking": case["thinking"] > 0}
        told = [{k: v for k, v in m.items() if v is not None} for m in messages]
        try:
            texts, _ = render_jinja_template(conversations=[told], tools=case["tools"] or None, chat_template=text,
                                             add_generation_prompt=case["generation_prompt"], **kwargs)
        except Exception:  # the template itself fails: a turn without content, where it wants one
            continue
        case["text"] = texts[0]
        count -= 1
        yield case


def template(name):
    """The file of a template: beside the cases, or TRL's."""
    own = OUT / name / "chat_template.jinja"
    if own.exists():
        return own
    trl = os.environ.get("TRL_TEMPLATES") or pathlib.Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
    return pathlib.Path(trl) / f"{name}.jinja"


def write_cases():
    cases = [c for name in TEMPLATES for c in cases_of(name, template(name).read_text(encoding="utf-8"), name, 10)]
    with open(OUT / "cases.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
    print(len(cases), "cases")


def compare(peer, count):
    from tokenizers import Tokenizer
    path = HERE.parent.parent / "models" / "tiny-vl" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    failed = 0
    for name, family in TEMPLATES.items():
        with tempfile.TemporaryDirectory() as model:
            shutil.copy(template(name), pathlib.Path(model) / "chat_template.jinja")
            cases = list(cases_of(name, template(name).read_text(encoding="utf-8"), name + "!", count))
            lines = "".join(json.dumps({**c, "text": None, "folder": model, "family": family}) + "\n" for c in cases)
            done = subprocess.run([peer, str(path), "chat"], input=lines.encode(), stdout=subprocess.PIPE, check=True)
        want = tokenizer.encode_batch([c["text"] for c in cases], add_special_tokens=False)
        wrong = 0
        for case, ids, line in zip(cases, want, done.stdout.decode().split("\n")):
            ours = json.loads(line)
            if ours.get("text") != case["text"] or ours["ids"] != ids.ids:
                wrong += 1
                if wrong <= 3:
                    print(json.dumps(case["messages"], ensure_ascii=False), "\n--- theirs\n" + case["text"] + "\n--- ours\n" + (ours.get("text") or ours["error"]))
        print(f"{name}: {count} conversations, {sum(len(w.ids) for w in want)} tokens, {wrong} differ", flush=True)
        failed += wrong
    return failed != 0


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(compare(sys.argv[1], int((sys.argv[2:] or ["1000"])[0])))
    write_cases()
