#include "rl/recipe.h"
#include "rl/rewards/sources.h"
#include "rl/text/mathverify.h"
#include "rl/text/python.h"

#include <string.h>

static bool is(fv_span s, const char *word) { return fv_span_same(s, fv_span_of(word)); }

/* "Judgement: 1", or 1 alone; what can't be read is 0. */
static bool says_one(const char *judge_text) {
    fv_span s = fv_py_strip(fv_span_of(judge_text));
    if (!fv_py_find(s, "Judgement:")) return is(s, "1");
    return fv_py_find(fv_py_after_last(s, "Judgement:"), "1") != NULL;
}

/* TRUE and not FALSE behind the last heading, in any case. */
static bool says_true(const char *judge_text) {
    fv_text t = {0};
    fv_span s = fv_py_after_last(fv_py_strip(fv_span_of(judge_text)), "## Equivalence Judgement");
    for (size_t i = 0; i < s.size; i++) fv_text_char(&t, (char)(s.text[i] >= 'A' && s.text[i] <= 'Z' ? s.text[i] + 32 : s.text[i]));
    bool yes = fv_py_find(fv_edit_span(&t), "true") && !fv_py_find(fv_edit_span(&t), "false");
    fv_text_clear(&t);
    return yes;
}

/* DeepEyes' accuracy (verl/utils/reward_score/vl_agent.py). Where the answer is missing, or too long, nothing that the judge says counts. */
static void judge(const fv_use *u, fv_response *r, fv_source kind, double *out) {
    bool formed;
    fv_span given = fv_sources_answer(kind, r->text, &formed);
    *out = 0;
    if (!given.text || (kind != FV_SOURCE_MATH && !formed)) return;
    if (kind == FV_SOURCE_MATH && !r->answer) fv_response_lacks(r, u, "an answer");
    else if (kind == FV_SOURCE_MATH && fv_math_verify(fv_span_of(r->answer), given)) *out = 1;
    else if (!r->judge_text) fv_response_lacks(r, u, "`judge_text`");
    else *out = kind == FV_SOURCE_PERCEPTION ? says_one(r->judge_text) : says_true(r->judge_text);
}

static fv_status judged(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when, (void)err;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        fv_source kind = fv_sources_kind(r, u);
        if (!r->text) fv_response_lacks(r, u, "a response");
        if (kind != FV_SOURCE_UNKNOWN && r->text) judge(u, r, kind, &r->terms[term]);
    }
    return FV_OK;
}

const fv_part fv_part_reward_judged = {.name = "judged",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "1 if a judge says that the answer is right, 0 otherwise; boxed mathematics by math-verify first (DeepEyes, by data_source)",
                                       .fields = "{}",
                                       .scope = FV_SCOPE_ITEM,
                                       .needs = FV_NEED_JUDGE,
                                       .reward = judged};
