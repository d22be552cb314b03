#include "rl/rewards/sources.h"
#include "rl/text/python.h"

static bool balanced(fv_span s, const char *open, const char *close) { return fv_py_count(s, open) == fv_py_count(s, close); }

/* DeepEyes' format (verl/utils/reward_score/vl_agent.py): -1 if thinking tags, pictures or, behind the last </think>, answer tags are not balanced, or the answer shows a fault
 * by itself; else 0. Mathematics has no pictures and no answer tags. */
static bool faulty(const char *text, fv_source kind) {
    fv_span all = fv_span_of(text), behind = fv_sources_behind_thinking(text);
    bool formed;
    fv_sources_answer(kind, text, &formed);
    if (!formed || !balanced(all, "<think>", "</think>")) return true;
    if (kind == FV_SOURCE_MATH) return false;
    return !balanced(all, "<|vision_start|><|image_pad|>", "<|image_pad|><|vision_end|>") || !balanced(behind, "<answer>", "</answer>");
}

static fv_status balance(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when, (void)err;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        fv_source kind = fv_sources_kind(r, u);
        if (!r->text) fv_response_lacks(r, u, "a response");
        if (kind != FV_SOURCE_UNKNOWN && r->text) r->terms[term] = faulty(r->text, kind) ? -1 : 0;
    }
    return FV_OK;
}

const fv_part fv_part_reward_balance = {.name = "balance",
                                        .hook = FV_HOOK_REWARD,
                                        .doc = "-1 if tags or pictures are not balanced, or the answer is missing or too long, 0 otherwise (DeepEyes, by data_source)",
                                        .fields = "{}",
                                        .scope = FV_SCOPE_ITEM,
                                        .reward = balance};
