#include "rl/pipeline.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <string.h>

/* Video-R1's length bonus (grpo_trainer.py, len_control): 1 for right answers (accuracy > 0.1) of low..high tokens, both included, where at least `least` of the group are
 * right; else 0. The paper asks for no other right answer (least 1). */
static fv_status window(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    int accuracy, n = 0, least = !strcmp(u->variant, "paper") ? 1 : (int)fv_get_at(u->options, "least", when->step, when->steps);
    FV_TRY(fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &accuracy, err));
    double low = fv_get_at(u->options, "low", when->step, when->steps), high = fv_get_at(u->options, "high", when->step, when->steps);
    float right = (float)fv_get_at(u->options, "right", when->step, when->steps);
    for (int i = 0; i < g->count; i++) n += !g->items[i].error[0] && !g->items[i].aside && (float)g->items[i].terms[accuracy] > right;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (r->error[0]) continue;
        bool counts = n >= least && !r->aside && (float)r->terms[accuracy] > right;
        if (counts && isnan(r->length)) fv_response_lacks(r, u, "`length`, its tokens");
        else r->terms[term] = counts && r->length >= low && r->length <= high;
    }
    return FV_OK;
}

static fv_status check(const fv_use *u, fv_error *err) {
    int term;
    return fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &term, err);
}

const fv_part fv_part_reward_window = {.name = "window",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "1 for right answers of low..high tokens, where at least `least` of the group are right (Video-R1's length bonus)",
                                       .fields = "{accuracy: accuracy, low: 320, high: 512, least: 2, right: 0.1}",
                                       .limits = "{low: [0, 1.0e9], high: [0, 1.0e9], least: [1, 1024], right: [0, 1]}",
                                       .scope = FV_SCOPE_GROUP,
                                       .check = check,
                                       .reward = window};
