"""Writes tests/rl/data/protocols.json: responses and what the published evaluators make of them, by their own functions.

    pip install numpy pandas torch
    git clone https://github.com/EvolvingLMMs-Lab/lmms-eval         # and check out 75571cfe
    git clone https://github.com/open-compass/VLMEvalKit            # e8e78f05
    git clone https://github.com/tulerfeng/Video-R1                 # 59d65c34
    git clone https://github.com/AntResearchNLP/ViLaSR              # 61669c02
    git clone https://github.com/longmalongma/TW-GRPO               # aa529ffc
    git clone https://github.com/Visual-Agent/DeepEyes              # 6c5e7967
    git clone https://github.com/doc-doc/NExT-GQA                   # 63772e0
    python tests/peers/protocols.py FOLDER                          # the folder that they are in
    python tests/peers/protocols.py FOLDER --check build/fovea 2000 # instead: that many random responses a protocol through the program

The packages are not imported, which would need all that they depend on: the functions that score are taken out of their files as they stand. Stated here once more is
only what lies between them: which function gets what, and what a judge said.
"""
import ast
import collections
import json
import math
import os
import random
import re
import string
import subprocess
import sys
import tempfile
import types
import typing

import numpy as np
import pandas as pd
import torch

ROOT = sys.argv[1]
HERE = os.path.join(os.path.dirname(__file__), "..", "rl", "data")
rng = random.Random(7)
quiet = types.SimpleNamespace(info=lambda *a: None, debug=lambda *a: None, warning=lambda *a: None, error=lambda *a: None)


class Failed(Exception):
    """The evaluator itself would stop with an error, or draw by chance."""


# ---- Functions of the packages ----

def take(path, *names, **more):
    """The functions and constants called `names` of a file, wherever in it they are defined, in a namespace of their own."""
    tree = ast.parse(open(os.path.join(ROOT, path), encoding="utf-8").read())
    space = dict(vars(typing), re=re, string=string, np=np, pd=pd, torch=torch, json=json, os=os, math=math, partial=__import__("functools").partial, cp=__import__("copy"),
                 defaultdict=collections.defaultdict, eval_logger=quiet, logger=quiet, logging=quiet, print=lambda *a: None)
    space.update(more)
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
            found.setdefault(node.name, node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            found.setdefault(node.targets[0].id, node)
    missing = set(names) - set(found)
    assert not missing, (path, missing)
    for name in names:
        exec(compile(ast.Module([found[name]], []), path, "exec"), space)
    space.update(more)
    return types.SimpleNamespace(**{k: v for k, v in space.items() if not k.startswith("__")}, space=space)


L, K = "lmms-eval/lmms_eval/", "VLMEvalKit/vlmeval/"
mcq = take(L + "tasks/_task_utils/mcq_extract.py", "_DEFAULT_CHOICES", "_ANSWER_PHRASES", "_FORMAT_PRIORITY", "extract_mcq_answer")
for name in ("lmms_eval", "lmms_eval.tasks", "lmms_eval.tasks._task_utils", "lmms_eval.tasks._task_utils.mcq_extract"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["lmms_eval.tasks._task_utils.mcq_extract"].extract_mcq_answer = mcq.extract_mcq_answer
strip_tags = take(L + "api/reasoning.py", "strip_reasoning_tags").strip_reasoning_tags
TAGS = [["<think>", "</think>"], ["<analysis>", "</analysis>"]]  # lmms_eval/__main__.py, the default of --reasoning_tags


def lmms_text(response):
    return strip_tags(response, TAGS)


def chance(*args):
    raise Failed("chance")


# ---- Rows and what they get. Each: a function that makes a row's fields, and one that gives (score, extracted or None) or what the mean leaves out (None) ----

TEXTS = ["red", "a red ball", "blue", "The dog", "dog and cat", "3", "it runs away", "Éclair", "left", "none of the others", "because it fell"]
LETTERS = "ABCDE"


def options(n):
    return rng.sample(TEXTS, n)


def judge(row, *args, **kwargs):
    if "judge_text" not in row:
        raise Failed("no judge")
    return row["judge_text"]


def mcq_row():
    texts = options(rng.choice([2, 4, 4, 5]))
    form = rng.choice(["options", "choices", "letters"])
    row = {"answer": LETTERS[rng.randrange(len(texts))]}
    if form == "options":
        row["options"] = [f"{c}. {t}" for c, t in zip(LETTERS, texts)]
    elif form == "choices":
        row["choices"] = dict(zip(LETTERS, texts))
    else:
        row.update(zip(LETTERS, texts))
    return row, texts


def mcq_lmms(row, texts, response):
    said = mcq.extract_mcq_answer(lmms_text(response), list(LETTERS[:len(texts)]))
    return float(said == row["answer"]), said


kit = take(K + "utils/matching_util.py", "_VERBOSE_ANSWER_RE", "can_infer_option", "can_infer_text", "can_infer")


def mcq_kit(row, texts, response):
    said = kit.can_infer(response, dict(zip(LETTERS, texts))) or "Z"
    return float(said == row["answer"]), said


videomme = take(L + "tasks/videomme/utils.py", "VIDEO_TYPE", "CATEGORIES", "SUB_CATEGORIES", "TASK_CATEGORIES", "extract_characters_regex", "videomme_process_results",
                "videomme_aggregate_results")


def videomme_row():
    video = rng.randrange(4)
    texts = options(4)
    row = {"question_id": str(rng.random()), "videoID": f"v{video}", "duration": videomme.VIDEO_TYPE[video % 3], "domain": videomme.CATEGORIES[video],
           "sub_category": videomme.SUB_CATEGORIES[3 * video], "task_type": rng.choice(videomme.TASK_CATEGORIES), "answer": rng.choice("ABCD"),
           "question": "What?" if rng.random() < 0.6 else "What?\n" + "\n".join(f"{c}. {t}." for c, t in zip(LETTERS, texts))}
    return row, texts


def videomme_lmms(row, texts, response):
    got = videomme.videomme_process_results(row, [lmms_text(response)])["videomme_perception_score"]
    return got["score"], got["pred_answer"]


def videomme_lmms_mean(rows):
    return videomme.videomme_aggregate_results([videomme.videomme_process_results(r, [lmms_text(r["response"])])["videomme_perception_score"] for r in rows]) / 100


choose = take(K + "dataset/utils/multiple_choice.py", "build_choices", "extract_answer_from_item", can_infer=kit.can_infer, cn_string=lambda s: False,
              build_option_str=lambda c: "", build_prompt=lambda *a: "")
vkit = take(K + "dataset/utils/videomme.py", "extract_option", "extract_characters_regex", extract_answer_from_item=choose.extract_answer_from_item)


def videomme_kit(row, texts, response):
    said = vkit.extract_characters_regex(response)
    if said == "":
        said = vkit.extract_option(None, dict(row, prediction=response), "Video-MME")
    return float(int(said == row["answer"])), said


mv = take(L + "tasks/mvbench/utils.py", "mcq_acc", "mvbench_process_results", "mvbench_aggregate_results")


def mvbench_row():
    texts = options(rng.choice([2, 3, 4, 5]))
    return {"candidates": texts, "answer": rng.choice(texts), "task_type": rng.choice(["Action Sequence", "Scene Transition"]), "video": f"{rng.randrange(5)}.mp4"}, texts


def mvbench_lmms(row, texts, response):
    got = mv.mvbench_process_results(row, [lmms_text(response)])["mvbench_accuracy"]
    return None if got["pred_answer"] == "" else (float(got["score"]), None)


def mvbench_lmms_mean(rows):
    return mv.mvbench_aggregate_results([mv.mvbench_process_results(r, [lmms_text(r["response"])])["mvbench_accuracy"] for r in rows]) / 100


mvkit = take(K + "dataset/utils/mvbench.py", "check_ans_with_model", "get_dimension_rating", extract_answer_from_item=choose.extract_answer_from_item, load=lambda data: data)


def mvbench_kit_score(row, response):
    """dataset/mvbench.py, evaluate."""
    at = max(i for i, c in enumerate(row["candidates"]) if c == row["answer"])
    item = dict(row, prediction=response, question="What?", **dict(zip(string.ascii_uppercase, row["candidates"])))
    item["answer"] = LETTERS[row["candidates"].index(row["answer"])]
    if "Failed to obtain answer via API." in response:
        return -1
    return int(mvkit.check_ans_with_model(response, f"({chr(ord('A') + at)}) {row['answer']}", None, item, "MVBench"))


def mvbench_kit(row, texts, response):
    return float(bool(mvbench_kit_score(row, response))), None


def mvbench_kit_mean(rows):
    right, n, _ = mvkit.get_dimension_rating(pd.DataFrame([{"task_type": r["task_type"], "score": mvbench_kit_score(r, r["response"])} for r in rows]))["overall"]
    return right / n


nextqa = take(L + "tasks/nextqa/utils.py", "OPTIONS", "get_multi_choice_info", "parse_multi_choice_response", "nextqa_mc_process_results", random=types.SimpleNamespace(choice=chance))


def nextqa_row():
    texts = options(5)
    return dict({f"a{i}": t for i, t in enumerate(texts)}, answer=rng.randrange(5), type=rng.choice(["CW", "TN"]), video=rng.randrange(4)), texts


def nextqa_lmms(row, texts, response):
    try:
        info = nextqa.get_multi_choice_info(row)
        return float(nextqa.nextqa_mc_process_results(row, [lmms_text(response)])["exact_match"]), nextqa.parse_multi_choice_response(lmms_text(response), info[1], info[0])
    except Failed:
        return 0.2, ""  # the mean of what five draws would give


mmvu = take(L + "tasks/mmvu/utils.py", "construct_question_prompt", "normalize_math_notation", "evaluate_with_rule_based", "evaluate_with_llm_judge", "extract_category",
            "mmvu_process_results", "mmvu_aggregate_results_val")
binary = take(L + "verifiers/base.py", "parse_binary_response").parse_binary_response


def mmvu_row():
    texts = options(5)
    subject = rng.choice(["Biology", "Pharmacy", "Law", "Computer_Science", "Alchemy"])
    row = {"id": str(rng.random()), "video_path": f"https://x/videos/{subject}/{rng.randrange(9)}.mp4", "question": "What?"}
    if rng.random() < 0.5:
        return dict(row, question_type="multiple-choice", choices=dict(zip(LETTERS, texts)), answer=rng.choice(LETTERS)), texts
    answer = rng.choice(["Depth-First Search (DFS)", "O(n²)", "3.14", "red ball", "the cell wall", "42 kg", "a dog and a cat", "no"])
    judged = {"judge_text": rng.choice(["1", "0", "Incorrect", "CORRECT", "yes", "no"])} if rng.random() < 0.7 else {}
    return dict(row, question_type="open-ended", choices={}, answer=answer, **judged), [answer, answer.lower(), "O(n^2)", "3.145", "search depth-first dfs"]


def mmvu_result(row, response):
    reply = lambda **k: types.SimpleNamespace(is_correct=binary(judge(row)))
    mmvu.space["_get_pipeline"] = lambda: reply
    got = mmvu.mmvu_process_results(row, [lmms_text(response)])["accuracy"]
    if row["question_type"] != "multiple-choice" and not mmvu.evaluate_with_rule_based(row, lmms_text(response)):
        judge(row)  # what stops here is no rule's: without a reply lmms-eval counts it as wrong
    return got


def mmvu_lmms(row, texts, response):
    got = mmvu_result(row, response)
    return None if got["category"] == "Alchemy" else (float(got["correct"]), None)


def mmvu_lmms_mean(rows):
    return mmvu.mmvu_aggregate_results_val([mmvu_result(r, r["response"]) for r in rows]) / 100


temp = take(L + "tasks/tempcompass/utils.py", "llm_output_to_rating", "eval_rule", "extract_pred", "tempcompass_process_results_multi_choice", "tempcompass_process_results_yes_no",
            "tempcompass_process_results_caption_matching", "tempcompass_aggregate_rating")


def tempcompass_row():
    texts = options(3)
    judged = {"judge_text": rng.choice(["Correct", "Incorrect", "It is Correct.", "That is Incorrect, not Correct"])} if rng.random() < 0.7 else {}
    row = dict(judged, video_id=str(rng.randrange(5)), dim=rng.choice(["action", "order"]))
    form = rng.choice(["choice", "yes", "caption"])
    if form == "choice":
        lines = [f"{c}. {t}" for c, t in zip(LETTERS, texts)]
        return dict(row, question="What?\n" + "\n".join(lines), answer=rng.choice(lines)), lines
    if form == "yes":
        return dict(row, question="Is it?", answer=rng.choice(["yes", "no"])), ["Yes", "no", "No, it", "yes."]
    name = rng.choice(["Caption", "Sentence", "Option"])
    lines = [f"{name} {c}: {t}" for c, t in zip(rng.choice(["ABC", "123"]), texts)]
    return dict(row, question="Which?\n" + "\n".join(lines), answer=rng.choice(lines)), lines + [x.split(": ")[0] for x in lines] + ["A) " + t for t in texts] + ["1", "2", "A", "B.", *texts]


def tempcompass_result(row, response):
    def ask(prompt, *args):
        text = judge(row)
        return text, temp.llm_output_to_rating(text)
    temp.space["get_eval_result"] = ask
    form = "yes_no" if row["answer"] in ("yes", "no") else "caption_matching" if re.match(r"(Caption|Sentence|Option) ", row["answer"]) else "multi_choice"
    return getattr(temp, "tempcompass_process_results_" + form)(row, [lmms_text(response)])["avg_accuracy"]


def tempcompass_lmms(row, texts, response):
    return float(tempcompass_result(row, response)["rating"]), None


def tempcompass_lmms_mean(rows):
    return temp.tempcompass_aggregate_rating([tempcompass_result(r, r["response"]) for r in rows], None) / 100


vsi = take(L + "tasks/vsibench/utils.py", "_NUMBER_WORDS", "_NUM_RE", "MCA_QUESTION_TYPES", "NA_QUESTION_TYPES", "METRICS_FOR_MCA", "METRICS_FOR_NA", "WORST_CASE_FOR_METRICS",
           "fuzzy_matching", "exact_match", "abs_dist_norm", "mean_relative_accuracy", "to_float", "extract_number", "vsibench_process_results", "_compute_all_subscores")
NUMBERS = ["3", "2.7", "2.75", "3.3", "1.5", "4.5", "10", "9", "9.5", "three", "Two boxes", "twenty-one", "three hundred and twenty-one", "one apple, room 2", "-3", "about 3 and 4", "a thousand"]


def vsi_row():
    kind = rng.choice(vsi.MCA_QUESTION_TYPES + vsi.NA_QUESTION_TYPES)
    row = {"question_type": kind, "scene_name": f"s{rng.randrange(6)}"}
    if kind in vsi.MCA_QUESTION_TYPES:
        return dict(row, options=["A. left", "B. right"], ground_truth=rng.choice("AB")), ["A", "B.", "b", "A. left", "A\nB"]
    return dict(row, options=None, ground_truth=rng.choice(["3", "10", "2.5", 321, 1.7, "21"])), NUMBERS


def vsi_result(row, response):
    doc = dict(row)
    vsi.vsibench_process_results(doc, [lmms_text(response)])
    return doc


def vsi_lmms(row, texts, response):
    doc = vsi_result(row, response)
    return float(doc["accuracy"] if "accuracy" in doc else doc["MRA:.5:.95:.05"]), None


def vsi_lmms_mean(rows):
    return float(vsi._compute_all_subscores([vsi_result(r, r["response"]) for r in rows])["overall"])


vstar = take(L + "tasks/vstar_bench/utils.py", "extract_answer_letter", "vstar_process_results", "vstar_aggregate_results")


def vstar_row():
    return {"label": rng.choice("ABCD"), "category": rng.choice(["direct_attributes", "relative_position"]), "question_id": "1", "text": "Is it? (A) red (B) blue"}, options(4)


def vstar_lmms(row, texts, response):
    got = vstar.vstar_process_results(row, [lmms_text(response)])["vstar_overall_acc"]
    return got["score"], got["prediction"] or ""


ref = take(L + "tasks/refcoco/utils_rec.py", "COCO_REC_METRICS", "parse_float_sequence_within", "refcoco_bbox_rec_process_result", "compute_iou", "compute_accuracy", "compute_center_accuracy",
           "refcoco_bbox_rec_aggregation_result")


def refcoco_row():
    x, y = rng.uniform(0, 0.5), rng.uniform(0, 0.5)
    box = [x, y, x + rng.uniform(0.1, 0.5), y + rng.uniform(0.1, 0.5)]
    near = [round(v + rng.uniform(-0.06, 0.06), 3) for v in box]
    return {"question_id": "1", "answer": "the dog", "bbox": box}, [str(near), str(box), "[%.2f,%.2f, %.2f ,%.2f ]" % tuple(near), str([round(640 * v) for v in box]), str([near[2], near[1], near[0], near[3]]), "[1, 2, 3]"]


def refcoco_results(rows):
    return [ref.refcoco_bbox_rec_process_result(r, [lmms_text(r["response"])])["refcoco_IoU"] for r in rows]


def refcoco_lmms(row, texts, response):
    return float(ref.refcoco_bbox_rec_aggregation_result(refcoco_results([dict(row, response=response)]), "ACC@0.5")), None


def refcoco_metrics(rows):
    return {m: float(ref.refcoco_bbox_rec_aggregation_result(refcoco_results(rows), m)) for m in ref.COCO_REC_METRICS}


# ---- Systems ----

r1 = take("Video-R1/src/eval_bench.py", "extract_answer", "normalize_number", "mean_relative_accuracy", "reward_fn")
lasr = take("ViLaSR/eval/evaluate.py", "extract_answer", "normalize_number", "mean_relative_accuracy", "reward_fn")
tw = take("TW-GRPO/src/eval/eval_general_videor1.py", "extract_answer", "calculate_accuracy_score")
RIGHT = {"multiple choice": ["A", "B", "b. red", "AB"], "numerical": ["3", "3.0", "1,000", "2.675", "-1", "2.68"], "regression": ["3", "2.7", "3.3", "10", "9", "1,5", "2.75"]}


def system_row(*kinds):
    kind = rng.choice(kinds)
    words = RIGHT.get(kind, ["red"])
    return {"problem_type": kind, "solution": f"<answer>{rng.choice(words)}</answer>"}, words + [f"<answer>{w}</answer>" for w in words] + [f"<think>x</think>\n<answer> {w} </answer>" for w in words]


def video_r1(row, texts, response):
    return r1.reward_fn(row, response, row["problem_type"]), None


def video_r1_metrics(rows):
    means = {True: [], False: []}
    for r in rows:
        means[r["problem_type"] == "regression"].append(video_r1(r, None, r["response"])[0])
    return {"mean_acc": torch.tensor(means[False], dtype=torch.float64).mean().item(), "mean_mra": torch.tensor(means[True], dtype=torch.float64).mean().item()}


def vilasr(row, texts, response):
    try:
        return float(lasr.reward_fn(response, row["solution"], row["problem_type"])), None
    except IndexError:
        return 0.0, None  # the script stops where a choice is empty


def tw_row():
    return {"solution": "<answer>" + rng.choice(["A", "A,C", "B, D"]) + "</answer>"}, ["<answer>A</answer>", "<answer>A,C</answer>", "<answer>C, A</answer>", "answer: B , D", "Answer is B", "ANSWER A,C"]


def tw_partial(row, response):
    return tw.calculate_accuracy_score(None, tw.extract_answer(None, response.strip()), row["solution"])


def tw_grpo(row, texts, response):
    return float(tw_partial(row, response) == 1.0), None


def tw_metrics(rows):
    return {"partial_accuracy": sum(tw_partial(r, r["response"]) for r in rows) / len(rows)}


def deepeyes_row():
    answer = rng.choice(["The ball is red.", "left"])
    judged = {"judge_text": rng.choice(["1", "0", "Judgement: 1", "[x] Judgement: 0", "maybe"])} if rng.random() < 0.7 else {}
    return dict(judged, answer=answer), ["<answer>A</answer>", "<answer> B. </answer>", f"<answer>A. {answer}</answer>", "\\boxed{A}", "A.", "<answer>\\boxed{B}</answer>", "red"]


def deepeyes(row, texts, response):
    said = response
    if "</answer>" in response and "<answer>" in response:  # eval/eval_vstar.py
        said = response.split("<answer>")[1].split("</answer>")[0].strip()
    reply = types.SimpleNamespace(choices=[types.SimpleNamespace(message=types.SimpleNamespace(content=row.get("judge_text", "none")))])
    create = lambda **k: reply if "judge_text" in row else chance()
    eyes = take("DeepEyes/eval/judge_result.py", "process", get_prompt=lambda *a: "", eval_model_name="", error_nums_type=collections.Counter(), test_type="",
                client=types.SimpleNamespace(chat=types.SimpleNamespace(completions=types.SimpleNamespace(create=create))))
    line = json.dumps({"question": "What?", "answer": row["answer"], "pred_ans": said, "pred_output": []})
    return float(eyes.process(line)[0]), said if "\\boxed" not in said else None


gqa_said = []
gqa = take("NExT-GQA/code/TempGQA/eval_ground.py", "get_tIoU", "eval_ground", print=lambda *a: gqa_said.append(a[0]))


def gqa_row():
    texts = rng.sample(["red ball", "the dog runs", "a dog and a cat", "left of it", "to play", "Because it is cold", "water"], 5)
    spans = [sorted(rng.randrange(0, 200) / 10 for _ in range(2)) for _ in range(rng.randint(1, 3))]
    return dict({f"a{i}": t for i, t in enumerate(texts)}, answer=rng.choice(texts), type=rng.choice(["CW", "TN", "TP"]), video_id=str(rng.randrange(4)), location=spans), texts + [
        "[%.1f, %.1f]" % tuple(sorted(rng.randrange(0, 220) / 10 for _ in range(2))), "%ds to %d s" % (rng.randrange(9), rng.randrange(20)), "<answer>", "</answer>"]


def gqa_read(row, text):
    """What is ours: the span, and the choice beside it."""
    text, number = lmms_text(text), r"(\d+(?:\.\d+)?)"
    found = list(re.finditer(r"\[\s*" + number + r"\s*,\s*" + number + r"\s*\]", text)) or list(re.finditer(r"(?<![\d:.])" + number + r"\s*(?:s|sec|seconds)?\s*(?:-|\u2013|to)\s*" + number + r"(?![\d:])", text))
    if not found:
        return None, None
    kept = text[:found[-1].start()] + text[found[-1].end():]
    pair = re.search(r"<answer>(.*?)</answer>", kept, re.DOTALL)
    said, texts = (pair[1] if pair else kept).strip(" \t\n,;"), [row[f"a{i}"] for i in range(5)]
    letter = re.match(r"([A-E])(?:[.):]|\Z)|\(([A-E])\)", said)
    same = [i for i, t in enumerate(texts) if t.lower() == said.strip(".").lower()]
    return [float(found[-1][1]), float(found[-1][2])], LETTERS.index(letter[1] or letter[2]) if letter else same[0] if same else None


def gqa_score(row, texts, response):
    """Acc@GQA of one question, by the evaluator's own count."""
    span, choice = gqa_read(row, response)
    if span is None:
        return None
    gqa_said.clear()
    gqa.eval_ground({"v": {"location": {"q": row["location"]}}}, {"v_q": span}, {"v_q": {"answer": row["answer"], "prediction": choice is not None and row[f"a{choice}"]}})
    return float(gqa_said[1].split()[0]) / 100, "" if choice is None else LETTERS[choice]


def gqa_metrics(rows):
    """Its printed line has one decimal: of all rows at once, and so of numbers that it rounds; here its sums are made again from get_tIoU."""
    read = [(r, *gqa_read(r, r["response"])) for r in rows]
    read = [x for x in read if x[1]]
    best = [[max([0] + [gqa.get_tIoU(loc, span)[k] for loc in r["location"]]) for r, span, _ in read] for k in (0, 1)]
    share = lambda values, least: sum(v >= least for v in values) / len(values)
    gqa_said.clear()
    gqa.eval_ground({str(i): {"location": {"q": r["location"]}} for i, (r, _, _) in enumerate(read)}, {f"{i}_q": span for i, (_, span, _) in enumerate(read)})
    ours = {"IoP": np.mean(best[1]), "IoP@0.3": share(best[1], 0.3), "IoP@0.5": share(best[1], 0.5), "IoU": np.mean(best[0]), "IoU@0.3": share(best[0], 0.3), "IoU@0.5": share(best[0], 0.5)}
    assert all(abs(float(theirs) - 100 * v) < 0.051 for theirs, v in zip(gqa_said[1].split()[1:], ours.values())), (gqa_said, ours)
    return dict({k: float(v) for k, v in ours.items()}, acc=sum(c is not None and r[f"a{c}"] == r["answer"] for r, _, c in read) / len(read))


# ---- All of them: row, score, mean by the evaluator's own aggregation (or None: plain), metrics, responses that show its traps ----

LETTER_TRAPS = ["B", "(C)", "the answer is B, not C", "A man in B", "Based on this, A", "The answer is a dog", "answer is because", "", " ", ".", "Z", "B. or C.", "C) as B: says", "A市", "市A",
                "I say 'D'", "정답은 B", "选C", "so DCBA", "a", "the letter \"C\"", "<think>A</think>B", "A</think> C", "<think>B"]
PROTOCOLS = {
    "mcq@lmms": (mcq_row, mcq_lmms, None, None, LETTER_TRAPS),
    "mcq@kit": (mcq_row, mcq_kit, None, None, LETTER_TRAPS + ["one two three four five B", "B one two three four five", "A and B", "Cannot determine the answer", "red", "it is a RED BALL", "correct answer  is **d**"]),
    "videomme@lmms": (videomme_row, videomme_lmms, videomme_lmms_mean, None, LETTER_TRAPS),
    "videomme@kit": (videomme_row, videomme_kit, None, None, LETTER_TRAPS + ["Best option: C", "The best option is C", "Answer: D", "Failed to obtain answer via API.", "Cannot determine the answer", "answer is b", "none of it"]),
    "mvbench@lmms": (mvbench_row, mvbench_lmms, mvbench_lmms_mean, None, LETTER_TRAPS + ["a man falls", "b. red", "1,000 (B)", "B" + "." * 40 + " x", "x.B" * 35 + " C", "3.C", "'B'", "F", "e-mail", "A. red\nB", "A.\nred"]),
    "mvbench@kit": (mvbench_row, mvbench_kit, mvbench_kit_mean, None, LETTER_TRAPS + ["(", ")", "b)", "b.", "B\nred", "Failed to obtain answer via API.", "it is red"]),
    "nextqa@lmms": (nextqa_row, nextqa_lmms, None, None, LETTER_TRAPS + ["(A) or (B)", "A B", "A. B.", "the man said that it runs away now", "I think that the dog is left of red", "x A"]),
    "mmvu@lmms": (mmvu_row, mmvu_lmms, mmvu_lmms_mean, None, LETTER_TRAPS + ["a ball", "the dog", "nothing 3.149", "O (n^2)", "The cell has a wall, the cell", "dog, cat and a dog", "42.005"]),
    "tempcompass@lmms": (tempcompass_row, tempcompass_lmms, tempcompass_lmms_mean, None, ["A", "B.", "C) x", "AB", "B: x", "yes", "Nothing", "Yes, it", "Caption A", "Caption B.", "1", "A) red", ""]),
    "vsi@lmms": (vsi_row, vsi_lmms, vsi_lmms_mean, None, ["A", "b.", "B. right", "A left", "A\nleft", "...", "", *NUMBERS]),
    "vstar@lmms": (vstar_row, vstar_lmms, None, None, LETTER_TRAPS + ["Answer: C", "the choice is d", "option\n: B", "x(C)", "x c ] y", "one d here", "ob", "I like it"]),
    "refcoco@lmms": (refcoco_row, refcoco_lmms, None, refcoco_metrics, ["[0, 0, 1, 1]", "[0.1,0.2,0.3]", "(0.1, 0.2, 0.5, 0.6)", "box [ 0.1 , 0.2, 0.5, 0.6 ]", "[1e-1, 0.2, 0.5, 0.6]", "[-0.1, 0, .5, 1]", "[0,0,0.5,0.5] [0,0,1,1]", ""]),
    "video-r1": (lambda: system_row("multiple choice", "numerical", "regression", "free-form"), video_r1, None, video_r1_metrics, ["A", "", "<answer></answer>", "<answer>B", "3.", "1,000.0"]),
    "vilasr": (lambda: system_row("multiple choice", "numerical", "regression"), vilasr, None, None, ["a", "", "<answer> </answer>", "B. red", "3.", "2.7", "3.3"]),
    "tw-grpo": (tw_row, tw_grpo, None, tw_metrics, ["A,C", "<answer></answer>", "The answer: A, C, E", "answer A", "<answer>A,A</answer>"]),
    "deepeyes": (deepeyes_row, deepeyes, None, None, ["A", "B", "AA", "", "A. left", "</answer> A <answer>", "<answer>A</answer><answer>B</answer>"]),
    "nextgqa": (gqa_row, gqa_score, None, gqa_metrics, ["A [0, 20]", "<answer>B</answer> [2.5,7]", "[0, 9.5] (C)", "[1, 2] <answer>D [3, 12]</answer>", "E. 3s - 8 s", "A 0:03 to 0:07", "B", "", "C [5, 5]", "D: [9, 3]", "<think>[1, 2]</think>A [4, 10]", "from 2 to 11 seconds: A", "red ball, [0, 10]"]),
}
FRAGMENTS = ["A", "B", "C", "D", "E", "(A)", "(B)", "C.", "D:", "B)", "a", "b", "the answer is", "The best answer is", "answer is **", "Answer:", "Best option:", "The best option is", "because", "Based on",
             "A man", "not", "or", ",", ".", "'", "\n", "答案是", "é", "市", "<think>", "</think>", "Z", "I can't process this file.", "yes", "no", "it", "says that", "\t", "/", "1,2", "_B_", "<analysis>x</analysis>"]


def random_response(texts):
    if rng.random() < 0.5:
        return rng.choice(texts) + rng.choice(["", "", ".", " ", "\n"])
    return rng.choice(["", " ", " "]).join(rng.choice(FRAGMENTS + texts) for _ in range(rng.randint(1, 7)))


# ---- Standard errors ----

clustered_stderr = take(L + "api/metrics.py", "clustered_stderr", collections=collections).clustered_stderr
CLUSTERS = {"videomme@lmms": "videoID", "videomme@kit": "videoID", "mvbench@lmms": "video", "mvbench@kit": "video", "nextqa@lmms": "video", "mmvu@lmms": "video_path",
            "tempcompass@lmms": "video_id", "vsi@lmms": "scene_name", "nextgqa": "video_id"}


def clustered(name, rows, scores):
    """lmms-eval's clustered standard error of a plain mean; for VSI-Bench the same of the mean over tasks, each row with its weight in it (rl/evaluate/strata.h)."""
    if name not in CLUSTERS:
        return None
    keys = [r[CLUSTERS[name]] for r in rows]
    if name != "vsi@lmms":
        return clustered_stderr(scores, keys)
    kinds = [r["question_type"] for r in rows]
    task_of = {k: re.sub("_(easy|medium|hard)$", "", k) for k in kinds}
    variance, pulls, squares = 0, collections.Counter(), 0
    for kind in sorted(task_of):
        mine = [s for s, k in zip(scores, kinds) if k == kind]
        weight = 1 / len(set(task_of.values())) / sum(t == task_of[kind] for t in task_of.values())
        variance += weight ** 2 * (np.var(mine, ddof=1) if len(mine) > 1 else 0) / len(mine)
        for s, k, key in zip(scores, kinds, keys):
            if k == kind:
                pull = weight / len(mine) * (s - np.mean(mine))
                pulls[key] += pull
                squares += pull ** 2
    return math.sqrt(variance + sum(p ** 2 for p in pulls.values()) - squares)


def make(name, count):
    """`count` rows: the traps in turn, then random ones. Rows whose evaluator would ask a judge that said nothing have want null."""
    row_of, score, mean, metrics, traps = PROTOCOLS[name]
    rows, used = [], []
    for i in range(count):
        row, texts = row_of()
        response = traps[i] if i < len(traps) else random_response(texts)
        try:
            got = score(row, texts, response)
            want = {"score": got[0]} if got else "left out"
            if got and got[1] is not None:
                want["extracted"] = got[1]
            used.append(dict(row, response=response))
        except Failed:
            want = None
        rows.append(dict(row, id=str(i), response=response, want=want))
    counted = [r for r in rows if isinstance(r["want"], dict)]
    scores = [r["want"]["score"] for r in counted]
    return {"protocol": name, "rows": rows, "se_clustered": clustered(name, counted, scores), "accuracy": float(mean(used)) if mean else sum(scores) / len(scores), "metrics": metrics(used) if metrics else {}}


# ---- The program on many ----

def check(program, count):
    bad = 0
    for name in PROTOCOLS:
        case = make(name, count)
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/rows.jsonl", "w") as f:
                f.writelines(json.dumps({k: v for k, v in r.items() if k != "want"}) + "\n" for r in case["rows"])
            out = subprocess.run([program, "eval", "--responses", folder + "/rows.jsonl", "--protocol", name, "--out", folder, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            result, lines = json.loads(out.stdout), {x["id"]: x for x in map(json.loads, open(folder + "/samples.jsonl"))}
        wrong = []
        for r in case["rows"]:
            line, want = lines.get(r["id"]), r["want"]
            if want != "left out" and (want is None) != (line is None) or isinstance(want, dict) and (abs(line["score"] - want["score"]) > 1e-12 or want.get("extracted", line["extracted"]) != line["extracted"]):
                wrong.append((r, line and (line["score"], line["extracted"])))
        same = abs(result["accuracy"] - case["accuracy"]) < 1e-9 and all(abs(result["metrics"][k] - v) < 1e-9 for k, v in case["metrics"].items())
        same &= case["se_clustered"] is None or abs(result["se_clustered"] - case["se_clustered"]) < 1e-9
        print(f"{name:18} {len(case['rows'])} rows, {len(wrong)} differ; accuracy {result['accuracy']:.6f}, theirs {case['accuracy']:.6f}" + ("" if same else "   DIFFERENT"))
        for r, got in wrong[:4]:
            print("   ", json.dumps(r, ensure_ascii=False), "here:", got)
        bad += len(wrong) + (not same)
    sys.exit(bad > 0)


if "--check" in sys.argv:
    check(sys.argv[3], int(sys.argv[4]))
with open(os.path.join(HERE, "protocols.json"), "w") as f:
    f.write("[\n" + ",\n".join(
        "{\"protocol\": %s, \"accuracy\": %s, \"se_clustered\": %s, \"metrics\": %s, \"rows\": [\n%s]}" % (
            *(json.dumps(c[k]) for k in ("protocol", "accuracy", "se_clustered", "metrics")), ",\n".join(json.dumps(r, ensure_ascii=False) for r in c["rows"]))
        for c in (make(name, len(PROTOCOLS[name][4]) + 10) for name in PROTOCOLS)) + "]\n")
