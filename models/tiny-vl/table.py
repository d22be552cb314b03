#!/usr/bin/env python3
"""table.py RUN: README's table of tasks from a run's last evaluation (evaluations/*/samples.jsonl), with 95 % Wilson intervals.

Transcriptions are counted by picture (all glyphs right) and by glyph (1 - edit distance / length, blanks left out).
"""
import json
import math
import pathlib
import sys


def wilson(right, n, z=1.959964):
    p, d = right / n, 1 + z * z / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / d, (middle + half) / d


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def main():
    run = pathlib.Path(sys.argv[1])
    last = [json.loads(line) for line in (run / "evaluations.jsonl").open()][-1]
    groups, glyphs, wrong = {}, 0, 0
    for line in (run / "evaluations" / last["name"] / "samples.jsonl").open():
        s = json.loads(line)
        groups.setdefault(s["category"], []).append(s["score"])
        if s["category"].startswith("transcribe/"):
            a, b = s["answer"].replace(" ", ""), s["extracted"].replace(" ", "")
            glyphs += len(a)
            wrong += min(len(a), distance(a, b))
    print("| task | right | 95 % interval | n |\n|---|---|---|---|")
    for name, scores in sorted(groups.items()):
        low, high = wilson(sum(scores), len(scores))
        print(f"| {name} | {100 * sum(scores) / len(scores):.1f} % | {100 * low:.0f} .. {100 * high:.0f} | {len(scores)} |")
    if glyphs:
        print(f"| transcribe, by glyph | {100 * (1 - wrong / glyphs):.1f} % | | {glyphs} |")


if __name__ == "__main__":
    main()
