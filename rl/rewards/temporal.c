#include "rl/pipeline.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <string.h>

static bool is(const char *value, const char *word) { return value && !strcmp(value, word); }

/* Mean accuracy of the ordered or of the shuffled answers, in f32 as the release adds them; NAN if there are none. */
static float mean_accuracy(const fv_group *g, int accuracy, bool shuffled) {
    float sum = 0;
    int n = 0;
    for (int i = 0; i < g->count; i++) {
        if (g->items[i].error[0] || is(g->items[i].frames, "shuffled") != shuffled) continue;
        sum += (float)g->items[i].terms[accuracy];
        n++;
    }
    return n ? sum / (float)n : NAN;
}

/* T-GRPO (Video-R1, arXiv 2503.21776; grpo_trainer.py): answers to the frames in order earn a bonus if their mean accuracy is at least `share` of that of answers to
 * shuffled frames, and they themselves are right (accuracy > 0.1). Answers to shuffled frames set that bar, and are neither trained on nor in the baseline. Pictures have
 * no order, and without shuffled frames there is no bar: 0. The paper compares the two as they are (share 1); 0.8 is the release's. */
static fv_status temporal(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    int accuracy;
    FV_TRY(fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &accuracy, err));
    float share = !strcmp(u->variant, "paper") ? 1 : (float)fv_get_at(u->options, "share", when->step, when->steps);
    float right = (float)fv_get_at(u->options, "right", when->step, when->steps);
    bool passed = mean_accuracy(g, accuracy, false) >= share * mean_accuracy(g, accuracy, true);
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (r->error[0]) continue;
        const char *type = fv_response_field(r, "data_type");
        r->aside = is(r->frames, "shuffled");
        if (r->frames && !r->aside && !is(r->frames, "ordered")) fv_response_lacks(r, u, "`frames` that is ordered or shuffled");
        else if (type ? !is(type, "image") && !is(type, "video") : !r->frames) fv_response_lacks(r, u, "`data_type` that is image or video");
        else r->terms[term] = passed && !r->aside && !is(type, "image") && (float)r->terms[accuracy] > right;
    }
    return FV_OK;
}

static fv_status check(const fv_use *u, fv_error *err) {
    int term;
    return fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &term, err);
}

const fv_part fv_part_reward_temporal = {.name = "temporal",
                                         .hook = FV_HOOK_REWARD,
                                         .doc = "1 for right answers to frames in order, where shuffled frames do not do better (Video-R1's T-GRPO)",
                                         .fields = "{accuracy: accuracy, share: 0.8, right: 0.1}",
                                         .limits = "{share: [0, 100], right: [0, 1]}",
                                         .scope = FV_SCOPE_GROUP,
                                         .needs = FV_NEED_SHUFFLED,
                                         .check = check,
                                         .reward = temporal};
