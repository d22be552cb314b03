#include "rl/answer.h"
#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <stdio.h>

/* 1 if the answer (fv_answer_find) is the row's, else 0. A row's own `tolerance` makes it a comparison of numbers. */
static fv_status exact(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)err;
    bool ignore_case = fv_get_bool(u->options, "ignore_case"), tags = fv_get_bool(u->options, "tags");
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (!r->text || !r->answer) {
            if (!r->error[0]) snprintf(r->error, sizeof r->error, "%s: exact needs %s", r->place ? r->place : r->id, r->text ? "an answer" : "a response");
            continue;
        }
        const json_t *own = r->row ? json_object_get(r->row, "tolerance") : NULL;
        double tolerance = json_is_number(own) ? json_number_value(own) : fv_get_at(u->options, "tolerance", when->step, when->steps);
        fv_span given = tags ? fv_answer_tag(r->text) : fv_answer_find(r->text);
        r->terms[term] = fv_answer_same(given, r->answer, tolerance, ignore_case);
    }
    return FV_OK;
}

const fv_part fv_part_reward_exact = {.name = "exact",
                                      .hook = FV_HOOK_REWARD,
                                      .doc = "1 if the answer equals the row's (tags: only inside <answer>), 0 otherwise; tolerance >= 0 compares numbers",
                                      .fields = "{ignore_case: false, tolerance: -1.0, tags: false}",
                                      .scope = FV_SCOPE_ITEM,
                                      .reward = exact};
