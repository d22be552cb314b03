#include "rl/recipe/recipe.h"
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

/* One word and not the other behind the last heading, in any case. */
static bool says_only(const char *judge_text, const char *word, const char *other) {
    fv_text t = {0};
    fv_span s = fv_py_after_last(fv_py_strip(fv_span_of(judge_text)), "## Equivalence Judgement");
    for (size_t i = 0; i < s.size; i++) fv_text_char(&t, (char)(s.text[i] >= 'A' && s.text[i] <= 'Z' ? s.text[i] + 32 : s.text[i]));
    bool yes = fv_py_find(fv_edit_span(&t), word) && !fv_py_find(fv_edit_span(&t), other);
    fv_text_clear(&t);
    return yes;
}

static bool says_true(const char *judge_text) { return says_only(judge_text, "true", "false"); }

/* DeepEyes' accuracy (verl/utils/reward_score/vl_agent.py). Where the answer is missing, or too long, nothing that the judge says counts. */
static void judge(const fv_use *u, fv_response *r, fv_source kind, double *out) {
    bool formed;
    fv_span given = fv_sources_answer(kind, r->text, &formed);
    if (!given.text || (kind != FV_SOURCE_MATH && !formed)) *out = 0;
    else if (kind == FV_SOURCE_MATH && !r->answer) fv_response_lacks(r, u, "an answer");
    else if (kind == FV_SOURCE_MATH && fv_math_verify(fv_span_of(r->answer), given)) *out = 1;
    else if (!r->judge_text) fv_response_unjudged(r, u, "`judge_text`");
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

/* The answer that the term looks at; each kind of data has words of its own (the same file: get_prompt, COMMON_VERIFY_PROMPT, MATH_VERIFY_PROMPT). */
static void ask(const fv_use *u, const fv_response *r, const char **prompt, fv_text *given) {
    static const char *const names[] = {[FV_SOURCE_PERCEPTION] = "perception", [FV_SOURCE_PLACE] = "place", [FV_SOURCE_MATH] = "math"};
    fv_response reading = *r;
    fv_source kind = fv_sources_kind(&reading, u); /* known: r is unjudged */
    bool formed;
    fv_span answer = fv_sources_answer(kind, r->text, &formed);
    *prompt = names[kind];
    fv_text_bytes(given, answer.text, answer.size);
}

/* Less than the release takes: there, what says neither counts as wrong. */
static bool hears(const fv_use *u, const fv_response *r, const char *judge_text) {
    fv_response reading = *r;
    bool by_words = fv_sources_kind(&reading, u) != FV_SOURCE_PERCEPTION;
    fv_span s = fv_py_strip(fv_span_of(judge_text));
    if (by_words) return says_true(judge_text) || says_only(judge_text, "false", "true");
    if (!fv_py_find(s, "Judgement:")) return is(s, "1") || is(s, "0");
    s = fv_py_after_last(s, "Judgement:");
    return fv_py_find(s, "1") || fv_py_find(s, "0");
}

const fv_part fv_part_reward_judged = {.name = "judged",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "1 if a judge says that the answer is right, 0 otherwise; boxed mathematics by math-verify first (DeepEyes, by data_source); "
                                              "prompt: files with what it is asked {perception: F, place: F, math: F}; temperature: of its answers, one or by those names, where not the judge's",
                                       .fields = "{prompt: null, temperature: null}",
                                       .scope = FV_SCOPE_ITEM,
                                       .needs = FV_NEED_JUDGE,
                                       .ask = ask,
                                       .hears = hears,
                                       .reward = judged};
