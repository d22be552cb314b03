#include "rl/pipeline.h"

/* ViLaSR (verl/utils/reward_score/gcot.py, gcot_compute_score): the sum is paid only where the term `by` is more than `above`; else that term's value alone. */
static void gate(const fv_use *u, fv_group *g, const fv_moment *when) {
    double above = fv_get_at(u->options, "above", when->step, when->steps);
    int term = 0;
    fv_pipeline_find(u, fv_get_text(u->options, "by"), &term, NULL); /* check has found it */
    for (int i = 0; i < g->count; i++)
        if (!(g->items[i].terms[term] > above)) g->items[i].reward = g->items[i].terms[term];
}

static fv_status check(const fv_use *u, fv_error *err) {
    int term;
    return fv_pipeline_find(u, fv_get_text(u->options, "by"), &term, err);
}

const fv_part fv_part_shaping_gate = {.name = "gate",
                                      .hook = FV_HOOK_SHAPING,
                                      .doc = "where the term `by` is not more than `above`, it alone is the reward (ViLaSR)",
                                      .fields = "{by: accuracy, above: 0.0}",
                                      .check = check,
                                      .shape = gate};
