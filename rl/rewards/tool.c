#include "rl/answer.h"
#include "rl/pipeline.h"
#include "rl/rewards/reading.h"
#include "rl/text/python.h"

#include <math.h>
#include <stdio.h>

/* Pictures that came back: counted by the rollout, or as the text shows them. NAN: nobody knows. */
static double pictures(const fv_response *r) {
    if (!isnan(r->images)) return r->images;
    return r->text ? fv_py_count(fv_span_of(r->text), "<|vision_start|><|image_pad|>") : NAN;
}

/* DeepEyes (arXiv 2505.14362, released code): 1 if the answer is right and at least one picture came back from a tool, else 0. Right is what the term `accuracy` says is
 * more than a half, where one is named (mathematics, which has no tools, is not paid for them); else an answer that equals the row's. */
static fv_status tool(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    const char *accuracy = fv_get_text(u->options, "accuracy");
    int by = 0;
    if (*accuracy) FV_TRY(fv_pipeline_find(u, accuracy, &by, err));
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (*accuracy) {
            if (!r->error[0]) r->terms[term] = pictures(r) >= 1 && r->terms[by] > 0.5;
            continue;
        }
        if (!r->text || !r->answer || isnan(r->images)) {
            if (!r->error[0]) snprintf(r->error, sizeof r->error, "%s: tool needs response, answer and images", r->place ? r->place : r->id);
            continue;
        }
        r->terms[term] = r->images >= 1 && fv_answer_same(fv_answer_find(r->text), r->answer, -1, false);
    }
    return FV_OK;
}

static fv_status check(const fv_use *u, fv_error *err) {
    int term;
    return *fv_get_text(u->options, "accuracy") ? fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &term, err) : FV_OK;
}

const fv_part fv_part_reward_tool = {.name = "tool",
                                     .hook = FV_HOOK_REWARD,
                                     .doc = "1 if the answer is right (accuracy: by that term) and a tool returned a picture (DeepEyes' conditional tool reward)",
                                     .fields = "{accuracy: ''}",
                                     .scope = FV_SCOPE_ITEM,
                                     .check = check,
                                     .reward = tool};
