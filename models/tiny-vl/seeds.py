#!/usr/bin/env python3
"""seeds.py RUN...: the table of docs/tiny-vl.md from runs of recipes/visual-search.yaml, one a seed, from their summary.json and metrics.jsonl."""
import json
import pathlib
import sys


def column(run):
    summary = json.loads((run / "summary.json").read_text())
    e = {(x["after_stage"], x["mode"]): x for x in summary["evaluations"] if x.get("final", True)}
    first, last = [s["name"] for s in summary["stages"]]
    percent = lambda x: f"{100 * x['accuracy']:.1f} % [{100 * x['ci95'][0]:.1f}, {100 * x['ci95'][1]:.1f}]"
    both = lambda mode: f"{100 * e[first, mode]['accuracy']:.1f}, {100 * e[last, mode]['accuracy']:.1f} %"
    apart = [json.loads(line).get("sampling/sampling_logp_difference/max") for line in (run / "metrics.jsonl").open()]
    return {
        "sampled, after the cold start": percent(e[first, "sampled"]),
        "sampled, after RL": percent(e[last, "sampled"]),
        "greedy, before and after": both("greedy"),
        "without the tool, before and after": both("no_tool"),
        "sampled boxes that hold the whole asked plate": f"{100 * e[first, 'sampled']['target_hits']:.1f} to {100 * e[last, 'sampled']['target_hits']:.1f} %",
        "largest difference of log-probs between rollout and training": f"{max(x for x in apart if x is not None):g}",
        "answers of an evaluation": str(e[last, "sampled"]["n"]),
        "seconds": f"{summary['seconds']:.0f}",
    }


def main():
    columns = [column(pathlib.Path(p)) for p in sys.argv[1:]]
    print("| | " + " | ".join(f"seed {i + 1}" for i in range(len(columns))) + " |\n|---" + "|---" * len(columns) + "|")
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(c[name] for c in columns) + " |")


if __name__ == "__main__":
    main()
