#include "rl/rewards/format.h"

#include "core/error.h"
#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <string.h>

static bool matches(const char *pattern, fv_span text) {
    fv_span g;
    return fv_regex_in(pattern, text, &g, 1);
}

/* SophiaVL-R1 (verl/utils/reward_score/math.py, math_format_reward): starts with a thinking pair, an answer pair somewhere behind it. */
static bool think_then_answer(fv_span text) { return matches("(?s)\\A<think>.*?</think>.*<answer>.*?</answer>.*\\z", text); }

/* Video-R1 (src/r1-v/src/open_r1/grpo.py, format_reward): the two pairs and nothing else; a line break at the end is something else. */
static bool think_answer(fv_span text) { return matches("(?s)\\A<think>.*?</think>" FV_RE_SPACE "*<answer>.*?</answer>\\z", text); }

/* TW-GRPO (src/open_r1/grpo.py, format_reward): ends in the two pairs, exclamation marks and blanks; each tag opens at most once. */
static bool ends_in_answer(fv_span text) {
    if (fv_py_count(text, "<think>") > 1 || fv_py_count(text, "<answer>") > 1) return false;
    return matches("(?s)<think>.*?</think>" FV_RE_SPACE "*<answer>.*?</answer>(?:" FV_RE_SPACE "|!)*$", fv_py_strip(text));
}

/* Vision-SR1 (train_examples/reward_function/see_think_selfReward.py, format_reward). */
static bool describe_think_box(fv_span text) {
    return matches("(?s)\\A" FV_RE_SPACE "*<description>.*?</description>" FV_RE_SPACE "*<think>.*?</think>" FV_RE_SPACE "*\\\\boxed\\{.*?\\}" FV_RE_SPACE "*\\z", text);
}

fv_format *fv_format_find(const char *name) {
    static const struct {
        const char *name;
        fv_format *format;
    } formats[] = {
#define X(word, function) {word, function},
        FV_FORMATS(X)
#undef X
    };
    for (size_t i = 0; i < FV_COUNT(formats); i++)
        if (!strcmp(formats[i].name, name)) return formats[i].format;
    return NULL;
}
