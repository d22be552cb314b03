#include "rl/answer.h"
#include "rl/part.h"

#include <math.h>
#include <stdio.h>

/* DeepEyes (arXiv 2505.14362, released code): 1 if the answer is right and at least one picture came back from a tool, else 0. */
static fv_status tool(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)u, (void)when, (void)err;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (!r->text || !r->answer || isnan(r->images)) {
            snprintf(r->error, sizeof r->error, "%s: tool needs response, answer and images", r->place ? r->place : r->id);
            continue;
        }
        r->terms[term] = r->images >= 1 && fv_answer_same(fv_answer_find(r->text), r->answer, -1, false);
    }
    return FV_OK;
}

const fv_part fv_part_reward_tool = {.name = "tool",
                                     .hook = FV_HOOK_REWARD,
                                     .doc = "1 if the answer is right and a tool returned a picture (DeepEyes' conditional tool reward)",
                                     .fields = "{}",
                                     .scope = FV_SCOPE_ITEM,
                                     .reward = tool};
