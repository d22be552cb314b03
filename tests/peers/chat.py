#!/usr/bin/env python3
"""chat.py: writes tests/language/data/chat/cases.json: conversations, and the text that each chat template makes of them.

Needs transformers (its Jinja environment renders) and trl (which carries the templates of Qwen's checkpoints). Run by hand.
Messages are those of OpenAI's and transformers' formats, some generated; keys that are null are left out first, as
transformers' processors do.
"""
import json
import pathlib
import random

import trl
from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent / "language" / "data" / "chat"
TEMPLATES = pathlib.Path(trl.__file__).parent / "chat_templates"
TOOL = {"type": "function", "function": {"name": "image_zoom_in_tool", "description": "Zoom in: é <b> & \"quotes\"",
        "parameters": {"type": "object", "properties": {"bbox_2d": {"type": "array", "items": {"type": "number"}, "minItems": 4},
                                                        "scale": {"type": "number", "default": 0.25}}, "required": ["bbox_2d"]}}}
ARGUMENTS = [{"bbox_2d": [12, 30.0, 48, 2e-07]}, {"a": None, "b": True, "c": {"d": [1e22, -0.0]}}, '{"bbox_2d": [1, 2, 3, 4]}', {}]
TEXTS = ["Hello", "", "What is on the\ngreen plate?", "a <think>b</think> c", "<think>\n\nhmm\n</think>\n\nYes.", "\n\nlate", "ünïcode 日本 😀",
         "<tool_response>\nold style\n</tool_response>", "</think>", "tail\n"]


def content(r, lists, media):
    if not lists or r.random() < 0.5:
        return r.choice(TEXTS)
    parts = []
    for _ in range(r.randint(0, 3)):
        k = r.random()
        if media and k < 0.25:
            parts.append({"type": "image", "image": "a.png"})
        elif media and k < 0.35:
            parts.append({"type": "image_url", "image_url": {"url": "b.png"}})
        elif media and k < 0.45:
            parts.append({"type": "video", "video": ["f0.png", "f1.png"]})
        else:
            parts.append({"type": "text", "text": r.choice(TEXTS)})
    return parts


def call(r):
    function = {"name": "image_zoom_in_tool", "arguments": r.choice(ARGUMENTS)}
    return {"type": "function", "function": function} if r.random() < 0.7 else function


def conversation(r, name):
    lists, media = name.endswith("vl") or name == "qwen3", name.endswith("vl")
    messages = []
    if r.random() < 0.5:
        messages.append({"role": "system", "content": r.choice(TEXTS)})
    for _ in range(r.randint(1, 3)):
        messages.append({"role": "user", "content": content(r, lists, media)})
        for _ in range(r.randint(0, 2)):
            turn = {"role": "assistant", "content": r.choice(TEXTS)}
            if r.random() < 0.4:
                turn["tool_calls"] = [call(r) for _ in range(r.randint(1, 2))]
                if r.random() < 0.4:
                    del turn["content"]
            if r.random() < 0.4:
                turn["reasoning_content"] = r.choice(["", "first\n", "\nI look closer.\n\n"])
            if "content" not in turn and name == "qwen3_instruct_2507":
                turn["content"] = ""
            messages.append(turn)
            if "tool_calls" in turn:
                for _ in turn["tool_calls"]:
                    messages.append({"role": "tool", "content": content(r, name.endswith("vl"), media)})
    return messages


def main():
    cases = []
    for name in ("qwen2_5_vl", "qwen2_5", "qwen3", "qwen3_instruct_2507", "qwen3_vl"):
        template = (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")
        r = random.Random(name)
        for _ in range(16):
            messages = conversation(r, name)
            case = {"template": name, "messages": messages, "tools": [TOOL] if r.random() < 0.4 else [],
                    "generation_prompt": r.random() < 0.5, "thinking": r.choice([0, 1, -1])}
            kwargs = {} if case["thinking"] == 0 else {"enable_thinking": case["thinking"] > 0}
            texts, _ = render_jinja_template(conversations=[messages], tools=case["tools"] or None, chat_template=template,
                                             add_generation_prompt=case["generation_prompt"], **kwargs)
            case["text"] = texts[0]
            cases.append(case)
    with open(OUT / "cases.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
