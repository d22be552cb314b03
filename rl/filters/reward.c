#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <math.h>

static bool keep(const fv_use *u, const fv_response *r, const fv_moment *when) {
    return !isnan(r->reward) && r->reward >= fv_get_at(u->options, "at_least", when->step, when->steps);
}

const fv_part fv_part_filter_reward = {
    .name = "reward", .hook = FV_HOOK_FILTER, .doc = "keeps trajectories whose reward is at_least", .fields = "{at_least: 1.0}", .keep = keep};
