#!/usr/bin/env python3
"""tokenizer.py: writes tests/language/data/tokenizer/cases.json: texts, and what `tokenizers` makes of them and back.

The tokenizer is models/tiny-vl/tokenizer.json. Run by hand. Texts of many scripts, control tokens, blanks and numbers, generated.
"""
import json
import pathlib
import random

from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
RANGES = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700), (0x900, 0x980), (0xE00, 0xE80),
          (0x1100, 0x1200), (0x2000, 0x2100), (0x2100, 0x2200), (0x3000, 0x3100), (0x4E00, 0x4F00), (0xAC00, 0xAD00),
          (0xFB00, 0xFB50), (0xFF00, 0xFF60), (0x1F300, 0x1F700), (0x1D400, 0x1D500), (0x9, 0xE)]
WORDS = ["<|im_end|>", "<|im_start|>", "<think>", "</think>", "<tool_call>", "<|im_en", "'s", "'LL", "'\u017f", "\r\n", "\n\n", "   ",
         "\u200d", "\ufe0f", "e\u0301", "\u212b", "\u0338", "1234", "<answer>7</answer>", "\u00a0", "\u3000", "\u180e", "\u0085",
         " ", "  ", " \n", "green plate", "image_zoom_in_tool", "\u00bd\u2167\u0967"]
FIXED = ["", " ", "Which digit is on the green plate?", '<tool_call>\n{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [12, 30, 48, 66]}}\n</tool_call>',
         "You are a helpful assistant.", " " * 300, " " * 300 + "x", "\n" * 100, "a" * 500, "ab" * 300, "!" * 200, "1" * 50, " \t" * 60 + "x",
         "日本語のテキストです。", "Привет, мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดี", "안녕하세요", "👩‍👩‍👧‍👦🏳️‍🌈😀"]


def main():
    tokenizer = Tokenizer.from_file(str(HERE.parent.parent / "models" / "tiny-vl" / "tokenizer.json"))
    r = random.Random(1)
    texts = list(FIXED)
    for _ in range(200):
        text = ""
        for _ in range(r.randint(1, 10)):
            if r.random() < 0.4:
                text += r.choice(WORDS)
            else:
                low, high = r.choice(RANGES)
                text += "".join(chr(r.randrange(low, high)) for _ in range(r.randint(1, 5)))
        texts.append(text)
    cases = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                      "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
    with open(HERE.parent / "language" / "data" / "tokenizer" / "cases.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases")


if __name__ == "__main__":
    main()
