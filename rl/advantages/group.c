#include "rl/part.h"
#include "rl/recipe.h"

#include <math.h>

/* GRPO (arXiv 2402.03300, section 4.1.2): A_i = (r_i - mean) / (std + eps), std over n - 1. std: false leaves the division out (Dr.GRPO, arXiv 2503.20783).
 * A lone response gets 0. */
static void group(const fv_use *u, fv_group *g, const fv_moment *when) {
    (void)when;
    double mean = 0, square = 0;
    for (int i = 0; i < g->count; i++) mean += g->items[i].reward;
    mean /= g->count;
    for (int i = 0; i < g->count; i++) square += (g->items[i].reward - mean) * (g->items[i].reward - mean);
    double std = g->count > 1 ? sqrt(square / (g->count - 1)) : 0;
    double scale = fv_get_bool(u->options, "std") ? 1.0 / (std + fv_get_num(u->options, "eps")) : 1.0;
    for (int i = 0; i < g->count; i++) g->items[i].advantage = g->count > 1 ? (g->items[i].reward - mean) * scale : 0;
}

const fv_part fv_part_advantage_group = {.name = "group",
                                         .hook = FV_HOOK_ADVANTAGE,
                                         .doc = "GRPO: (reward - group mean) / (group std + eps); std: false is Dr.GRPO's",
                                         .fields = "{std: true, eps: 1.0e-4}",
                                         .advantage = group};
