#!/usr/bin/env python3
"""tokenizer.py: our tokenizer against the `tokenizers` library, on generated texts of all scripts.

  tokenizer.py                              writes tests/language/data/tokenizer/cases.json: texts and what `tokenizers` makes of them
                                            and back, with models/tiny-vl/tokenizer.json
  tokenizer.py PEER qwen.tiktoken [COUNT]   compares COUNT (100,000) texts, and every character in some contexts, with Qwen's whole
                                            vocabulary; PEER is build/peer_texts (`cmake --build build --target peer_texts`)

Needs tokenizers. Qwen's vocabulary is in the wheel of dashscope (Apache-2.0), dashscope/resources/qwen.tiktoken: the 151,643 tokens that
Qwen2 to Qwen3-VL share. tokenizer.json is made from it here, with the added tokens of each family. Run by hand.
"""
import base64
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE.parent.parent / "models" / "tiny-vl" / "tokenizer.json"
# Scripts, punctuation, symbols, and what Unicode 15 and 16 brought (U+1C89, U+105C0, U+10D40, U+11F00, U+16D40, U+1E030, U+1E4D0, U+31350).
RANGES = [(0x20, 0x7F), (0xA0, 0x250), (0x250, 0x300), (0x300, 0x370), (0x370, 0x530), (0x531, 0x590), (0x590, 0x700), (0x700, 0x800),
          (0x840, 0x900), (0x900, 0xE00), (0xE00, 0xF00), (0xF00, 0x1000), (0x1000, 0x10A0), (0x10A0, 0x1100), (0x1100, 0x1200),
          (0x1200, 0x13A0), (0x13A0, 0x1700), (0x1700, 0x1A00), (0x1AB0, 0x1B00), (0x1B00, 0x1D00), (0x1C80, 0x1C90), (0x1DC0, 0x2000),
          (0x2000, 0x2100), (0x2100, 0x2200), (0x2200, 0x2C00), (0x2C00, 0x3000), (0x3000, 0x3100), (0x3100, 0x3400), (0x3400, 0x4DC0),
          (0x4E00, 0xA000), (0xA000, 0xAC00), (0xAC00, 0xD7A4), (0xF900, 0xFB00), (0xFB00, 0xFE00), (0xFE00, 0xFF00), (0xFF00, 0xFFF0),
          (0x10000, 0x10400), (0x10400, 0x10600), (0x10800, 0x10D00), (0x10D00, 0x11000), (0x11000, 0x11480), (0x11480, 0x11E00),
          (0x11F00, 0x11F5A), (0x12000, 0x12400), (0x13000, 0x13460), (0x16100, 0x1613A), (0x16A40, 0x16E00), (0x17000, 0x17100),
          (0x1B000, 0x1B200), (0x1D100, 0x1D800), (0x1DF00, 0x1E100), (0x1E100, 0x1E600), (0x1E800, 0x1EF00), (0x1F000, 0x1FB00),
          (0x20000, 0x20100), (0x2EBF0, 0x2EC00), (0x31350, 0x31360), (0xE0000, 0xE0080), (0xE000, 0xE010), (0x0, 0x20), (0x7F, 0xA0)]
WORDS = ["<|im_end|>", "<|im_start|>", "<think>", "</think>", "<tool_call>", "<|im_en", "<|fim_pad|>", "<|image_pad|>", "'s", "'LL", "'\u017f", "\r\n",
         "\n\n", "   ", "\u200d", "\ufe0f", "e\u0301", "\u212b", "\u0338", "1234", "<answer>7</answer>", "\u00a0", "\u3000", "\u180e", "\u0085",
         " ", "  ", " \n", "green plate", "image_zoom_in_tool", "\u00bd\u2167\u0967", "\u0315\u0334\u0323", "\u1100\u1161\u11a8", "\uac00\u11a7",
         "\U00011935\U00011930", "\u09c7\u09be", "\u0dd9\u0dcf\u0dca", "\u0f71\u0f72\u0f74", "\u0958", "\ufb1d", "a\u07fd\u0334", "a\U00010efd\u0334",
         "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "#\ufe0f\u20e3",
         "def f(x):\n    return x\n", "https://example.org/a?b=c&d", "{\"a\": [1, 2.5e-7]}", "don't", "I'M", "\\frac{a}{b}", "\t\t"]
FIXED = ["", " ", "Which digit is on the green plate?", '<tool_call>\n{"name": "image_zoom_in_tool", "arguments": {"bbox_2d": [12, 30, 48, 66]}}\n</tool_call>',
         "You are a helpful assistant.", " " * 300, " " * 300 + "x", "\n" * 100, "a" * 500, "ab" * 300, "!" * 200, "1" * 50, " \t" * 60 + "x",
         "日本語のテキストです。", "Привет, мир", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "สวัสดี", "안녕하세요", "👩‍👩‍👧‍👦🏳️‍🌈😀"]


def some_text(r):
    text = ""
    for _ in range(r.randint(1, 10)):
        k = r.random()
        if k < 0.35:
            text += r.choice(WORDS)
        elif k < 0.4:
            text += r.choice(" \n\t\r\u00a0\u3000ax1!\u0301") * r.randint(1, 60)
        else:
            low, high = r.choice(RANGES)
            text += "".join(chr(r.randrange(low, high)) for _ in range(r.randint(1, 6)))
    return text


def write_cases():
    tokenizer = Tokenizer.from_file(str(TINY))
    r = random.Random(1)
    cases = []
    for text in FIXED + [t for t in (some_text(r) for _ in range(250)) if "\0" not in t][:180]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False),
                      "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
    with open(HERE.parent / "language" / "data" / "tokenizer" / "cases.json", "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases")


# ---- Qwen's vocabulary as tokenizer.json -----------------------------------------------------------------------------------------------

QWEN3_5 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
FAMILIES = {"qwen2": (3, None), "qwen2_vl": (14, None), "qwen2_5": (22, None), "qwen3": (26, None), "qwen3_5's expression": (26, QWEN3_5)}


def byte_names():
    """GPT-2's alphabet: a printable character for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names, more = {b: chr(b) for b in printable}, 256
    for b in range(256):
        if b not in names:
            names[b] = chr(more)
            more += 1
    return names


def halves(token, ranks):
    """The last merge that makes a token: merge by rank until two parts are left."""
    parts = [token[i:i + 1] for i in range(len(token))]
    while len(parts) > 2:
        at = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], 1 << 30))
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    return parts


def qwen_files(path, folder):
    """tokenizer.json of each family, in `folder`: added tokens are the first of models/tiny-vl's, which are those of Qwen3, in order."""
    ranks = {}
    for line in open(path, "rb"):
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    names = byte_names()
    spell = {t: "".join(names[b] for b in t) for t in ranks}
    model = {"type": "BPE", "vocab": {spell[t]: i for t, i in ranks.items()},
             "merges": [[spell[h] for h in halves(t, ranks)] for t, _ in sorted(ranks.items(), key=lambda item: item[1]) if len(t) > 1]}
    tiny = json.loads(TINY.read_text(encoding="utf-8"))
    print(len(ranks), "tokens,", len(model["merges"]), "merges")
    for name, (added, regex) in FAMILIES.items():
        tokenizer = dict(tiny, model=model, added_tokens=[dict(a, id=len(ranks) + i) for i, a in enumerate(tiny["added_tokens"][:added])])
        if regex:
            tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = regex
        (folder / (name + ".json")).write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


# ---- the comparison --------------------------------------------------------------------------------------------------------------------

def every_character():
    """All characters but most of the large scripts', private ones, and NUL to tell texts apart: as letter, number, blank, mark; packed."""
    large = [(0x3400, 0x4DC0), (0x4E00, 0xA000), (0xAC00, 0xD7A4), (0xE000, 0xF900), (0x17000, 0x18D00), (0x20000, 0x323B0)]
    points = [c for c in [*range(1, 0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200)]
              if c % 16 == 0 or not any(low <= c < high - 1 for low, high in large)]
    for i in range(0, len(points), 32):
        yield "".join(f"x{chr(c)}1 {chr(c)}{chr(c)}\n a\u0315{chr(c)} a{chr(c)}\u0334 a\u0323{chr(c)}" for c in points[i:i + 32])


def broken(r, data):
    """Bytes that are hardly UTF-8 any more."""
    data = bytearray(data)
    for _ in range(r.randint(1, 3)):
        at = r.randint(0, len(data))
        k = r.random()
        if k < 0.5:
            data[at:at] = bytes(r.choice((0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xE4, 0xED, 0xA0, 0xF0, 0xF4, 0x90, 0xFF)) for _ in range(r.randint(1, 3)))
        else:
            del data[at:at + 1]
    return bytes(data)


def compare(peer, path, tokenizer, inputs):
    begin = time.process_time()
    texts = [data.decode("utf-8", "replace") for data in inputs]
    want = tokenizer.encode_batch(texts, add_special_tokens=False)
    theirs = time.process_time() - begin
    done = subprocess.run([peer, path], input=b"".join(d.hex().encode() + b"\n" for d in inputs), stdout=subprocess.PIPE, check=True)
    wrong = 0
    for data, text, theirs_ids, line in zip(inputs, texts, want, done.stdout.decode().split("\n")):
        head, back = line.split("|")
        replaced, *ids = map(int, head.split())
        lost = text.count("\ufffd") - data.decode("utf-8", "ignore").count("\ufffd")
        decoded = bytes.fromhex(back).decode("utf-8")
        if ids != theirs_ids.ids or replaced != lost or ("\0" not in text and decoded != tokenizer.decode(theirs_ids.ids, skip_special_tokens=False)):
            wrong += 1
            if wrong <= 5:
                print("differs:", ascii(data), "theirs", theirs_ids.ids, "ours", ids, replaced, lost)
    return wrong, sum(len(e.ids) for e in want), theirs


def main_full(peer, vocabulary, count):
    r = random.Random(2)
    texts = [some_text(r).encode() for _ in range(count)]
    texts = [broken(r, t) if i % 20 == 0 else t for i, t in enumerate(texts)]
    characters = [t.encode() for t in every_character()]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        qwen_files(vocabulary, folder)
        failed = 0
        for name in FAMILIES:
            path = str(folder / (name + ".json"))
            tokenizer = Tokenizer.from_file(path)
            inputs = texts + characters if name == "qwen3" else [t.encode() for t in FIXED] + texts[:count // 20] + characters[::20]
            wrong, tokens, seconds = compare(peer, path, tokenizer, inputs)
            failed += wrong
            print(f"{name}: {len(inputs)} texts, {tokens} tokens, {wrong} differ ({seconds:.1f} s in tokenizers)", flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main_full(sys.argv[1], sys.argv[2], int((sys.argv[3:] or ["100000"])[0])) if len(sys.argv) > 2 else write_cases())
