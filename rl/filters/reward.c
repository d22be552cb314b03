#include "rl/part.h"
#include "rl/recipe.h"

#include <math.h>

static bool keep(const fv_use *u, const fv_response *r) { return !isnan(r->reward) && r->reward >= fv_get_num(u->options, "at_least"); }

const fv_part fv_part_filter_reward = {
    .name = "reward", .hook = FV_HOOK_FILTER, .doc = "keeps trajectories whose reward is at_least", .fields = "{at_least: 1.0}", .keep = keep};
