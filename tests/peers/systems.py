"""Writes tests/rl/data/texts.json and tests/rl/data/systems/*.jsonl: rewards of six published systems, worked out from their formulas.

    pip install rouge_score==0.1.2 nltk jiwer==4.0.0 mathruler==0.1.0 math-verify==0.9.0
    python tests/peers/systems.py

Formulas are stated here once more, from the papers and from what docs/papers/ say of the released code; only the text metrics that those call are taken
from the packages themselves. Standard deviations are over n - 1.
"""
import json
import math
import os
import random
import re
import statistics
import struct

from jiwer import wer as jiwer_wer
from mathruler.grader import extract_boxed_content, grade_answer
from math_verify import parse, verify
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

HERE = os.path.join(os.path.dirname(__file__), "..", "rl", "data")
rng = random.Random(11)
scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
WORDS = ("the quick brown foxes jumped over lazy dogs while dying skies were running happily into generalizations news relational conditional hopping "
         "fitted troubles ponies ties cries fully formality apologies enjoyment spies agreed plastered motoring").split()


# ---- Text metrics ----

def rouge(a, b):
    return sum(s.fmeasure for s in scorer.score(a, b).values()) / 3


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        row, last = [i + 1], row
        for j, y in enumerate(b):
            row.append(last[j] if x == y else 1 + min(last[j], last[j + 1], row[j]))
    return row[-1]


def word_errors(right, given):
    right, given = right.split(), given.split()
    return distance(right, given) / max(1, len(right))


def to_float(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def first_pair(text, miss):
    found = re.search("<answer>(.*?)</answer>", text, re.S)
    return found.group(1) if found else miss


def advantages(rewards, eps):
    if max(rewards) - min(rewards) < 1e-12:
        return [0.0] * len(rewards)
    mean, deviation = statistics.mean(rewards), statistics.stdev(rewards)
    return [(r - mean) / (deviation + eps) for r in rewards]


def add_advantages(rows, eps):
    """Of groups that stand together; a lone response has mean 0 and deviation 1."""
    for name in dict.fromkeys(r["group"] for r in rows):
        group = [r["want"] for r in rows if r["group"] == name]
        rewards = [w["reward"] for w in group]
        for w, gain in zip(group, advantages(rewards, eps) if len(group) > 1 else [rewards[0] / (1 + eps)]):
            w["advantage"] = gain


def sentence(n):
    return " ".join(rng.choice(WORDS) for _ in range(n))


def worse(text):
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(words) + 1)
        words[at:at + rng.randint(0, 1)] = rng.choice([[], [rng.choice(WORDS)]])
    return " ".join(words)


# ---- SophiaVL-R1: accuracy by type behind the form; thinking of those who may be right; Trust-GRPO ----

def sophia_accuracy(response, right, kind):
    if not re.fullmatch("<think>.*?</think>.*<answer>.*?</answer>.*", response, re.S):
        return 0.0
    given = first_pair(response, response).replace("$", "")
    right = right.replace("$", "")
    if kind == "multiple choice":
        given, key = [p.strip() for p in given.split(",")], right.split(",")
        return float(len(given) == len(key) and all(p in key for p in given))
    if kind == "OCR":
        return math.exp(-jiwer_wer(right.strip(), given.strip()))
    if kind in ("free-form", "text"):
        return rouge(given, right)
    return float(grade_answer(given, right))


def sophia_rewards(accuracy, thinking, step, tau, paper):
    """What each response's thinking counts as, and the rewards."""
    right = [a >= 0.5 for a in accuracy]
    if not paper:
        flat = all(a >= 0.9 for a in accuracy) or all(a <= 0.1 for a in accuracy)
        thinking = [0.0 if flat or a < 0.2 else t for a, t in zip(accuracy, thinking)]
    c = [t for t, r in zip(thinking, right) if r]
    w = [t for t, r in zip(thinking, right) if not r]
    better, worse_ = statistics.mean(c or [0]), statistics.mean(w or [0])
    trusted = not c or (paper and not w) or better >= worse_
    gamma = 1.0 if trusted else math.exp(better - worse_)
    return thinking, [a + gamma * 0.3 * math.exp(-step / tau) * t for a, t in zip(accuracy, thinking)]


def sophia(paper):
    rows = []
    for g in range(12):
        kind = ["numerical", "multiple choice", "OCR", "free-form", "text", "unheard of"][g % 6]
        right = {"numerical": "$\\frac{1}{2}$", "multiple choice": ["A", "A,C"][g // 6], "OCR": sentence(5), "free-form": sentence(6), "text": sentence(4)}.get(kind, "5")
        step, tau = rng.choice([1, 40, 900]), rng.choice([500, 12000])
        group, thinking = [], []
        for i in range(6):
            given = rng.choice([right, right, "0.5", "C, A", "B", "", worse(right)])
            group.append(rng.choice(["<think>so</think>", "<think>so</think> and ", "<think>so</think>", "no thought", " <think>late</think>"]) + f"<answer>{given}</answer>" + rng.choice(["", "\n", " ."]))
            thinking.append(rng.choice([0.0, 0.3, 0.5, 0.9, 1.0]))
        accuracy = [sophia_accuracy(r, right, kind) for r in group]
        counted, rewards = sophia_rewards(accuracy, thinking, step, tau, paper)
        for i, r in enumerate(group):
            rows.append({"id": f"{g}-{i}", "group": str(g), "response": r, "solution": f"<answer>{right}</answer>", "problem_type": kind, "step": step, "anneal_steps": tau,
                         "thinking_reward": thinking[i], "want": {"accuracy": accuracy[i], "thinking": counted[i], "reward": rewards[i], "advantage": advantages(rewards, 1e-6)[i],
                                                                  "format": float(bool(re.fullmatch("<think>.*?</think>.*<answer>.*?</answer>.*", r, re.S)))}})
    return rows


# ---- DeepEyes: judged accuracy, balance, a bonus for pictures that helped ----

PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
HINT = ("\nThink first, call **image_zoom_in_tool** if needed, then answer. Format strictly as:  <think>...</think>  <tool_call>...</tool_call> (if tools needed)  "
        "<answer>...</answer> ")  # of every observation with a picture: verl/workers/agent/envs/mm_process_engine/prompt.py, USER_PROMPT_V2


def deepeyes_row(source, response, answer, judge, accuracy, fault, paper):
    pictures = response.count("<|vision_start|><|image_pad|>")
    tool = float(pictures > 0 and accuracy > 0.5)
    total = 1.2 * accuracy - 0.4 * fault if source == "xince" else 0.8 * accuracy - 0.2 * fault + 1.2 * tool
    return {"data_source": source, "question": "Where?", "response": response, "answer": answer, "judge_text": judge, "images": pictures,
            "want": {"accuracy": float(accuracy), "format": -float(fault), "tool": tool, "reward": accuracy - fault + tool if paper else total}}


def deepeyes(paper):
    call, end = "<think>look</think><tool_call>{}</tool_call><|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
    look, told, refused = call + "<tool_response>" + PICTURE + "</tool_response>" + end, call + "<tool_response>" + PICTURE + HINT + "</tool_response>" + end, call + "Error: no" + end
    done = "<think>so</think><answer>left</answer>"
    cases = [  # source, response, answer, what the judge says, accuracy, whether there is a fault
        ("vstar", done, "left", "Judgement: 1", 1, 0), ("vstar", look + done, "left", "Judgement: 1", 1, 0), ("vstar", look + done, "left", "Judgement: 0", 0, 0),
        ("vl_agent", done, "left", " 1 ", 1, 0), ("chart", done, "left", "It is 1", 0, 0), ("vstar", done, "left", "Judgement: perhaps", 0, 0), ("vstar", done, "left", "judgement: 1", 0, 0),
        ("vstar", done, "left", "Judgement: 0. Judgement: 1", 1, 0), ("vstar", "<think>so<answer>left</answer>", "left", "1", 1, 1), ("vstar", "<think>a</think><answer>left", "left", "1", 1, 1),
        ("vstar", "left", "left", "1", 1, 0), ("vstar", "<answer>x</answer><think>a</think>", "x", "1", 1, 0), ("vstar", "<think>a</think><answer>" + "é" * 999 + "</answer>", "x", "1", 1, 0),
        ("vstar", "<think>a</think><answer>" + "é" * 1000 + "</answer>", "x", "1", 0, 1), ("vstar", "<|vision_start|><|image_pad|>" + done, "left", "1", 1, 1),
        ("geoguessr", done, "left", "## Equivalence Judgement\nTRUE", 1, 0), ("geoguessr", done, "left", "## Equivalence Judgement\nFalse", 0, 0), ("geoguessr", done, "left", "true or false", 0, 0),
        ("geoguessr", "<think>a</think>left", "left", "TRUE", 0, 1), ("geoguessr", "<think>a</think><answer> </answer>", "left", "TRUE", 0, 1), ("geoguessr", look + done, "left", "true", 1, 0),
        ("xince", "<think>a</think>\\boxed{5}", "5", "FALSE", 1, 0), ("xince", "<think>a</think>\\boxed{4} \\boxed{5.0}", "5", "FALSE", 1, 1), ("xince", "<think>\\boxed{5}</think>5", "5", "TRUE", 0, 1),
        ("xince", "<think>a</think>\\boxed{7}", "5", "## Equivalence Judgement TRUE", 1, 0), ("xince", "<think>a</think>\\boxed{7}", "5", "", 0, 0), ("xince", "<think>a\\boxed{5}", "5", "FALSE", 1, 1),
        ("thinklite_eureka", "<think>a</think>\\boxed{1/2}", "0.5", "FALSE", 1, 0),
        # A hint's tags count: an answer tag closes behind its thinking, and an answer stands in it, also where nothing follows the observation.
        ("vstar", told + done, "left", "Judgement: 1", 1, 0), ("vstar", told + "left</answer>", "left", "Judgement: 1", 1, 1), ("vstar", told + "<answer>left", "left", "1", 1, 1),
        ("vstar", told + "<think>so", "left", "0", 0, 1), ("vstar", told, "left", "Judgement: 0", 0, 0), ("vstar", told, "left", "Judgement: 1", 1, 0),
        ("vstar", look, "left", "Judgement: 0", 0, 0), ("vstar", refused + done, "left", "1", 1, 0), ("vstar", refused, "left", "0", 0, 0), ("geoguessr", told, "left", "FALSE", 0, 0),
        ("geoguessr", look, "left", "TRUE", 0, 1), ("geoguessr", told + "left", "left", "TRUE", 1, 0), ("vstar", told + told + done, "left", "1", 1, 0),
    ]
    rows = []
    for n, c in enumerate(cases):  # groups of four; the last response is alone
        source = "xince" if c[0] == "thinklite_eureka" else c[0]
        row = deepeyes_row(source, *c[1:], paper)
        rows.append({"id": str(n), "group": str(n // 4), **row, "data_source": c[0]})
    add_advantages(rows, 1e-6)
    return rows


# ---- ViLaSR: accuracy and format by halves behind a gate ----

def f32(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def relative_accuracy(a, g):
    error = f32(f32(abs(f32(a) - f32(g))) / f32(abs(f32(g)) + f32(1e-8)))
    return sum(error < f32(1 - f32(0.5 + 0.05 * k)) for k in range(10)) / 10


def vilasr():
    observation = "<|im_end|>\n<|im_start|>user\n" + PICTURE + "\nThe index of the given image is 2 (width: 448, height: 448).<|im_end|>\n<|im_start|>assistant\n"

    def draw(block):
        return "<think>draw</think> Action: Object Mapper\n```json\n" + block + "\n```" + observation

    def say(answer):
        return f"<think>done</think> Action: Answer\n<answer> {answer} </answer>"

    one, two = '[{"index": 1, "bbox_2d": [1, 2, 3, 4], "label": "a"}]', "[{'index': 2, 'bbox_2d': (1.0, 2, 3, 5), 'label': 'a'},]"
    line = '[{"index": 1, "start_point_2d": [1, 2], "end_point_2d": [3, 4], "label": "way"}]'
    cases = [  # response, answer, type, accuracy, format, reflection
        (say("B"), "B", "multiple choice", 1, 1, 0), (say("b"), "B", "multiple choice", 0, 1, 0), (draw(one) + say("B"), "B", "multiple choice", 1, 1, 0),
        (draw(one) + draw(two) + say("B"), "B", "multiple choice", 1, 1, 1), (draw(one) + draw(one) + say("B"), "B", "multiple choice", 1, 1, 0), (draw(line) + say("B"), "B", "multiple choice", 1, 1, 0),
        (draw('[{"bbox_2d": [1, 2, 3, 4]}]') + say("B"), "B", "multiple choice", 1, 0, 0), (draw('[{"bbox_2d": [1, 2, 3, 4], "label": null}]') + say("B"), "B", "multiple choice", 1, 0, 0),
        (draw('[{"bbox_2d": [1, 2, 3, 4], "label": None}]') + say("B"), "B", "multiple choice", 1, 1, 0), (draw("[1, 2") + say("B"), "B", "multiple choice", 1, 0, 0),
        ("<answer>B</answer>", "B", "multiple choice", 1, 0, 0), (say("B") + observation + say("B"), "B", "multiple choice", 1, 0, 0), (say("B") + observation, "B", "multiple choice", 0, 0, 0),
        (say("B") + "<|im_end|>", "B", "multiple choice", 1, 1, 0), (say("B"), "B", "free-form", 0, 1, 0), (say("about 4.5 m"), "5", "regression", relative_accuracy(4.5, 5), 1, 0),
        (say("5.5"), "5", "numerical", 0.9, 1, 0), (say("7.5"), "5", "numerical", 0, 1, 0), (say("five"), "5", "numerical", 0, 1, 0), (say("-5"), "5", "numerical", 0, 1, 0),
        (say("0"), "0", "regression", 1, 1, 0), (say("3.3"), "3", "regression", relative_accuracy(3.3, 3), 1, 0), (draw(one) + say("12"), "10", "numerical", relative_accuracy(12, 10), 1, 0), ("", "B", "multiple choice", 0, 0, 0),
    ]
    rows = []
    for n, (response, answer, kind, accuracy, form, reflection) in enumerate(cases):
        reward = 0.5 * accuracy + 0.5 * form if accuracy > 0 else 0
        rows.append({"id": str(n), "group": str(n // 4), "response": response, "answer": answer, "problem_type": kind,
                     "want": {"accuracy": float(accuracy), "format": float(form), "reflection": float(reflection), "reward": float(reward)}})
    add_advantages(rows, 1e-6)
    return rows


# ---- TW-GRPO: options of several, and token weights ----

def options_share(given, right, whole):
    given, right = ({o.strip() for o in t.replace(" ", "").split(",")} for t in (given, right))
    share = len(given) / len(right) if given <= right else 0.0
    return 0.0 if whole and share < 1 else share


def token_weights(group, alpha):
    longest, vocabulary = max(map(len, group)), len(group[0][0])
    ended = [-math.log(vocabulary)] * vocabulary
    apart = []
    for t in range(longest):
        rows = [r[t] if t < len(r) else ended for r in group]
        mean = [statistics.fmean(column) for column in zip(*rows)]
        d = [[min(11, max(-11, m - x)) for m, x in zip(mean, row)] for row in rows]
        apart.append(statistics.fmean(sum(math.exp(x) - x - 1 for x in row) for row in d))
    low, high = min(apart), max(apart)
    return [1 + (alpha - 1) * (x - low) / (high - low + 1e-8) for x in apart]


def tw_grpo(whole):
    rows, form = [], r"<think>.*?</think>\s*<answer>.*?</answer>[\s!]*$"
    cases = ["A", "A,C", "C, A", "A,B", "A,A", "", "a", "A C", " A,C ", "$A$"]
    for g, right in enumerate(["A", "A,C", "C"]):
        group = [f"<think>t</think><answer>{a}</answer>" + e for a, e in zip(cases, ["", "!", " !\n", " .", "", "", "<answer>", "", "", ""])]
        group += ["So: <think>t</think><answer>A</answer>", "So.<think>t</think>\n<answer>A,C</answer>"]
        group += ["<think>t</think><think>t</think><answer>A</answer>", "<think>t <think>t</think><answer>C</answer>"]
        rewards = []
        for r in group:
            accuracy = options_share(first_pair(r, r).strip(), right, whole)
            format_ = float(r.count("<think>") < 2 and r.count("<answer>") < 2 and bool(re.search(form, r.strip(), re.S)))
            rewards.append((accuracy, format_))
        gain = advantages([a + f for a, f in rewards], 1e-4)
        for i, r in enumerate(group):
            rows.append({"id": f"{g}-{i}", "group": str(g), "response": r, "solution": f"<answer>{right}</answer>",
                         "want": {"accuracy": rewards[i][0], "format": rewards[i][1], "reward": sum(rewards[i]), "advantage": gain[i]}})
    for given, right in [("$\\frac{1}{2}$", "$0.5$"), ("\\boxed{5}", "$5$"), ("$(x+1)^2$", "$x^2+2x+1$"), ("$3$", "$4$"), ("$50\\%$", "$0.5$")]:
        response, solution = f"<think>t</think><answer>{given}</answer>", f"<answer>{right}</answer>"
        same = verify(parse(response), parse(solution))
        rows.append({"id": given, "response": response, "solution": solution, "want": {"accuracy": 1.0 if same else options_share(given, right, whole)}})
    if whole:
        return rows
    for g, (lengths, vocabulary, alpha) in enumerate([((2, 4, 1), 5, 1.7), ((3, 3), 4, 2.0), ((2,), 3, 1.7), ((4, 2, 2, 3), 6, 1.0)]):
        group = []
        for n in lengths:
            logits = [[rng.gauss(0, 3 if g == 0 else 1) for _ in range(vocabulary)] for _ in range(n)]
            group.append([[round(x - math.log(sum(map(math.exp, row))), 6) for x in row] for row in logits])
        weights = token_weights(group, alpha)
        for i, r in enumerate(group):
            rows.append({"id": f"w{g}-{i}", "group": f"w{g}", "alpha": alpha, "logprobs": r, "want": {"token_weights": weights[:len(r)]}})
    return rows


# ---- Vision-SR1: both passes' boxes ----

def vision_sr1():
    rows, form = [], r"\s*<description>.*?</description>\s*<think>.*?</think>\s*\\boxed\{.*?\}\s*"
    described = "<description>d</description>"
    responses = [described + "<think>t</think>\\boxed{5}", described + " <think>t</think>\n\\boxed{\\frac{1}{2}} ", described + "<think>t</think> so \\boxed{5}", "< description > d < / description > < think > t < / think > \\boxed{5}",
                 described + "<think>t</think>\\boxed{1 / 2}", "\\boxed{5}", "nothing", described + "<think>t</think>\\boxed{5", described + "<think>t</think>\\boxed{4}\\boxed{5}", described + "<think>t</think>\\boxed{A}<|im_end|>"]
    for g, right in enumerate(["5", "0.5", "A", "None"]):
        group = [(r, rng.choice(["<think>t</think>\\boxed{5}", "\\boxed{.5}", described + "<think>t</think>\\boxed{a}", "nothing"])) for r in responses]
        want = []
        for r, second in group:
            tight = re.sub(r"\s*([<>/])\s*", r"\1", r.replace("<|im_end|>", ""))
            want.append({"accuracy": float(grade_answer(extract_boxed_content(tight), right)), "format": float(bool(re.fullmatch(form, tight, re.S))),
                         "description_accuracy": float(grade_answer(extract_boxed_content(second), right)), "description_format": float(bool(re.fullmatch(form, second, re.S)))})
            want[-1]["reward"] = 0.9 * want[-1]["accuracy"] + 0.1 * want[-1]["format"] + want[-1]["description_accuracy"]
        gain = advantages([w["reward"] for w in want], 1e-6)
        for i, (r, second) in enumerate(group):
            rows.append({"id": f"{g}-{i}", "group": str(g), "question": "?", "response": r, "description_response": second, "answer": right, "want": {**want[i], "advantage": gain[i]}})
    return rows


# ---- Video-R1: answers of five types, T-GRPO, length ----

def video_accuracy(given, right, kind):
    given, right = given.strip(), right.strip()
    if kind == "multiple choice":
        return float(given == right)
    if kind == "OCR":
        return max(0.0, 1 - word_errors(right, given))
    if kind == "free-form":
        return rouge(right, given)
    a, g = to_float(given), to_float(right)
    if a is None or g is None:
        return 0.0
    if kind == "numerical":
        return float(any(c in given for c in ".,") == any(c in right for c in ".,") and round(a, 2) == round(g, 2))
    return 1 - min(1.0, max(0.0, (abs(a - g) + 1e-9) / (abs(g) + 1e-9)))


def video_r1(paper):
    rows = []
    for n, (given, right, kind) in enumerate([("A", "A", "multiple choice"), ("a", "A", "multiple choice"), ("5.0", "5", "numerical"), ("5.0", "5.001", "numerical"), ("5,000", "5000.0", "numerical"), ("1,000", "1000", "numerical"),
                                              ("2.675", "2.67", "numerical"), ("nan", "nan", "numerical"), ("inf", "inf", "numerical"), ("nan", "5", "regression"), ("4.5", "5", "regression"), ("x", "5", "regression"), ("0", "0", "regression"),
                                              ("a b d", "a b c", "OCR"), ("", "", "OCR"), ("A b", "a b", "OCR"), ("dog", "dogs", "free-form"), ("Café au lait", "cafe au lait", "free-form"), ("B", "B", "unheard of")]):
        accuracy = 0.0 if kind == "unheard of" else video_accuracy(given, right, kind)
        rows.append({"id": f"a{n}", "response": f"<think>t</think> <answer> {given} </answer>", "solution": f"<answer>{right}</answer>", "problem_type": kind, "data_type": "image", "length": 10, "want": {"accuracy": accuracy, "format": 1.0}})
    for g in range(10):
        kind, media = ["multiple choice", "free-form"][g % 2], ["video", "video", "image"][g % 3]
        right = "B" if g % 2 == 0 else sentence(5)
        group = []
        for i in range(8 if media == "image" else 12):
            given = rng.choice([right, right if g % 4 else "C", "C", worse(right)])
            group.append({"response": f"<think>t</think><answer>{given}</answer>" + rng.choice(["", "", "\n"]), "frames": "shuffled" if i > 7 else "ordered", "length": rng.choice([319, 320, 400, 512, 513]), "given": given})
        accuracy = [video_accuracy(r["given"], right, kind) for r in group]
        ordered, shuffled = accuracy[:8], accuracy[8:]
        passed = media == "video" and statistics.mean(ordered) >= (1.0 if paper else 0.8) * statistics.mean(shuffled)
        several = sum(a > 0.1 for a in ordered) > (0 if paper else 1)
        want = []
        for r, a in zip(group, accuracy):
            w = {"accuracy": a, "format": float(not r["response"].endswith("\n"))}
            if r["frames"] == "ordered":
                w.update(temporal=float(passed and a > 0.1), length=float(several and a > 0.1 and 320 <= r["length"] <= 512))
                w["reward"] = a + w["format"] + 0.3 * w["temporal"] + 0.2 * w["length"]
            want.append(w)
        for w, gain in zip(want, advantages([w["reward"] for w in want[:8]], 1e-4)):
            w["advantage"] = gain
        for i, (r, w) in enumerate(zip(group, want)):
            del r["given"]
            rows.append({"id": f"{g}-{i}", "group": str(g), **r, "solution": f"<answer>{right}</answer>", "problem_type": kind, "data_type": media, "want": w})
    return rows


# ---- Texts ----

GROUPS = [["5", "5.0", "{5}", "\\text{5 cm}", "5 cm^2", "5 \\text{ cm}", "\\$5", "k=5", "speed=5", "\\mathbf{5}", "5 hours"], ["1/2", "\\frac12", "2/4", "0.50", ".5", "50\\%", "\\dfrac{1}{2}"], ["1,000", "1000", "1e3", "12,34", "1234"],
          ["(1,2)", "(1, 2)", "[1,2]", "(2,1)", "1,2", "1 and 2", "(2/2,2)"], ["x^2+2x+1", "(x+1)^2", "(x+1)(x+1)", "x(x+2)+1"], ["\\sqrt2", "sqrt(2)", "2^(1/2)", "2^0.5", "1.4142135623730951", "\u221a2"], ["2\\sqrt{3}", "\\sqrt{12}"],
          ["\\frac{\\pi}{2}", "pi/2", "0.5pi", "3.14/2"], ["90^\\circ", "90^{\\circ}", "90 degrees"], ["Red", "\\text{red}", "blue"], ["7 3/4", "7\\frac{3}{4}", "31/4"], ["- 3", "-3", "\u22123"], ["5 million", "5*10^6", "5000000"],
          ["monday", "mon"], ["ab", "ba", "a*b"], ["\uff11\uff12", "12"], ["2.99999999", "3"], ["\\frac{x+1}{2}", "x+1/2", "(x+1)/2"], ["3!", "6"], ["2^10", "1024"],
          ["None", ""], ["a^2-b^2", "(a+b)(a-b)"], ["\\sqrt", "\\frac"],
          ["abc", "cba", "ab", "ba"], ["x+y+z", "z+y+x", "x+y"], ["2^{3^2}", "2^9", "2^{9}", "512", "2^3^2"], ["2^{10}", "1024", "4^5"], ["(x+1)^{2}", "((x+1))^2", "x^2+2x+1"],
          ["x^{12}", "x^6x^6", "x^{6}*x^{6}", "x^12"], ["3 billion", "3*10^9", "3000000000", "3 trillion"], ["2 trillion", "2*10^12", "2000000000000", "2 million"],
          ["1 or 2", "1,2", "2 or 1", "1 and 2", "(1,2)", "1"], ["x=1 or x=2", "x=1,x=2", "1 or 2"]]
VERIFY = ["$\\frac{1}{2}$", "$0.5$", "0.5", "1/2", "$50\\%$", "$2\\sqrt{3}$", "$\\sqrt{12}$", "\\boxed{5}", "$5$", "5", "$\\{1,2\\}$", "$\\{2,1\\}$", "$(1,2)$", "$(2,1)$", "$\\frac{\\pi}{2}$", "$x^2+2x+1$", "$(x+1)^2$", "$x=5$", "the answer is 5", "red", ""]

# Forms that answers take in LaTeX, those that are equal beside those that are not.
LATEX = [["x>3", "3<x", "x<3", "x \\ge 3", "(3,\\infty)", "3", "x=3", "x \\neq 3"], ["1<x<3", "3>x>1", "(1,3)", "1 \\le x < 3", "[1,3)", "x \\in (1,3)"],
         ["[1,2]\\cup[3,4]", "[3,4] \\cup [1,2]", "[1,2]\\cup[3,5]", "[1,2]"], ["(-\\infty, 3]", "(-\\infty,3]", "x \\leq 3", "\\infty", "+\\infty"],
         ["\\pm 3", "-3, 3", "\\{3,-3\\}", "x=\\pm 3", "3"], ["x=1,x=2", "1,2", "x=1\\text{ or }x=2", "x_1=1,x_2=2"], ["(a,b)=(2,3)", "(2,3)", "a=2,b=3"],
         ["1\\frac{1}{2}", "1.5", "\\frac{3}{2}", "0.5", "-1\\frac{1}{2}", "-1.5", "1 \\dfrac{1}{2}"], ["2\\frac{3}{4}x", "\\frac{3}{2}x", "2.75x"], ["1:2", "\\frac{1}{2}", "2:4", "2"],
         ["30\\,\\mathrm{cm}", "30", "30 \\mathrm{~cm}^{2}", "30\\,\\text{m/s}"], ["\\log_2 8", "3", "\\log_{2}8", "\\log 1000"], ["2\\ln 2", "\\ln 4", "\\ln{4}", "2", "4"], ["e^2", "7.389056", "\\exp(2)"],
         ["\\sin 2x", "2\\sin x\\cos x", "\\sin(2x)", "2x"], ["\\sin^2 x+\\cos^2 x", "1"], ["\\arctan 2", "\\tan^{-1}(2)", "\\arctan(2)"], ["\\cos\\theta", "\\cos \\theta", "\\sin\\theta", "\\theta"],
         ["2\\alpha+\\beta", "\\beta+2\\alpha", "2\\beta+\\alpha"], ["x_1+x_2", "x_2+x_1", "x_1", "2x"], ["a_{n}=2n+1", "2n+1", "2n"], ["|-5|", "5", "-5"], ["|x-1|", "|1-x|", "x-1"],
         ["\\binom{5}{2}", "10", "\\frac{5}{2}"], ["\\binom{n}{2}", "\\frac{n(n-1)}{2}"], ["\\lfloor 5.5 \\rfloor", "5", "5.5"], ["\\text{(A)}", "A", "\\textbf{(A)}", "\\text{A}", "B"], ["2x+y=1", "4x+2y=2", "y=1-2x", "1"],
         ["x+y=1", "1", "y+x=1"], ["\\boxed{\\boxed{5}}", "5"], ["\\emptyset", "\\{\\}"], ["\\mathbb{R}", "(-\\infty,\\infty)"], ["5_{8}", "5"], ["12\u03c0", "12\\pi"], ["\\sum_{i=1}^{4} i", "4", "1"]]


def texts():
    stem = PorterStemmer()
    extra = ("sky skies lying innings proceed happy enjoy by say hopefulness goodness callousness predication operator feudalism decisiveness radically differently vilely analogously valency hesitancy conformably revival allowance "
             "inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent adoption homologous communism activate angularity effective bowdlerize probate rate cease controlling rolling geology theology "
             "painfully owed used eggs adding seed tied died applied syzygy yyyes 2ndly x9ing").split()
    ruler = [[a, b, int(grade_answer(a, b))] for g in GROUPS for a in g for b in g if a != b]
    checked = [[a, b, int(verify(parse(a), parse(b)))] for a in VERIFY for b in VERIFY]
    latex = [[f"${a}$", f"${b}$", int(verify(parse(f"${a}$"), parse(f"${b}$")))] for g in LATEX for a in g for b in g if a != b]
    pairs = [(sentence(n), n) for n in (1, 2, 5, 9)]
    pairs = [(a, worse(a)) for a, _ in pairs] + [("a  b\tc", "a b c"), ("a b", ""), ("Stop.", "stop")]
    return {"stems": [[w, stem.stem(w)] for w in sorted(set(WORDS + extra)) if len(w) > 3], "mathruler": ruler, "verify": [c for c in checked if c[2] or c[0] < c[1]] + latex,
            "rouge": [[a, b, rouge(a, b)] for a, b in pairs], "wer": [[a, b, word_errors(a, b), jiwer_wer(a, b)] for a, b in pairs]}


def write(name, rows):
    with open(os.path.join(HERE, "systems", name + ".jsonl"), "w") as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def main():
    with open(os.path.join(HERE, "texts.json"), "w") as f:
        f.write("{" + ",\n".join(f"{json.dumps(k)}: [" + ",\n".join(json.dumps(x, ensure_ascii=False) for x in v) + "]" for k, v in texts().items()) + "}\n")
    for name, rows in [("sophiavl-r1", sophia(False)), ("sophiavl-r1.paper", sophia(True)), ("deepeyes", deepeyes(False)), ("deepeyes.paper", deepeyes(True)), ("vilasr", vilasr()),
                       ("tw-grpo", tw_grpo(False)), ("tw-grpo.whole-set", tw_grpo(True)), ("vision-sr1", vision_sr1()), ("video-r1", video_r1(False)), ("video-r1.paper", video_r1(True))]:
        write(name, rows)


if __name__ == "__main__":
    main()
