#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <math.h>
#include <stdio.h>

/* DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13): 0 up to max - buffer tokens, falling to -1 at max, -1 beyond. */
static fv_status length(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)err;
    double max = fv_get_at(u->options, "max", when->step, when->steps), buffer = fv_get_at(u->options, "buffer", when->step, when->steps);
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (isnan(r->length)) {
            if (!r->error[0]) snprintf(r->error, sizeof r->error, "%s: length needs the response's length in tokens", r->place ? r->place : r->id);
            continue;
        }
        double over = r->length - (max - buffer);
        r->terms[term] = over <= 0 ? 0 : over >= buffer ? -1 : -over / buffer;
    }
    return FV_OK;
}

const fv_part fv_part_reward_length = {.name = "length",
                                       .hook = FV_HOOK_REWARD,
                                       .doc = "soft overlong punishment: 0 up to max - buffer tokens, linearly to -1 at max (DAPO eq. 13)",
                                       .fields = "{max: 256, buffer: 64}",
                                       .limits = "{max: [1, 1.0e9], buffer: [0, 1.0e9]}",
                                       .scope = FV_SCOPE_ITEM,
                                       .reward = length};
