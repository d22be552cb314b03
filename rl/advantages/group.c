#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <math.h>
#include <string.h>

static bool all_equal(const fv_group *g) {
    for (int i = 1; i < g->count; i++)
        if (g->items[i].reward != g->items[0].reward) return false;
    return true;
}

/* GRPO (arXiv 2402.03300, section 4.1.2): A_i = (r_i - mean) / (std + eps), std over n - 1. std: false leaves the division out (Dr.GRPO, arXiv 2503.20783).
 * Equal rewards (and so a lone response) give exactly 0, where rounding of the mean would leave a trace. lone: reward gives the response of a group of one mean 0 and deviation 1, as the
 * versions of verl and EasyR1 do that SophiaVL-R1 and DeepEyes build on (core_algos.py, compute_grpo_outcome_advantage); not one that is left of a group whose others failed,
 * which those have as zeros. */
static void group(const fv_use *u, fv_group *g, const fv_moment *when) {
    double mean = 0, square = 0, eps = fv_get_at(u->options, "eps", when->step, when->steps);
    bool equal = all_equal(g);
    for (int i = 0; i < g->count; i++) mean += g->items[i].reward;
    mean /= g->count;
    for (int i = 0; i < g->count; i++) square += (g->items[i].reward - mean) * (g->items[i].reward - mean);
    double std = g->count > 1 ? sqrt(square / (g->count - 1)) : 0;
    if (g->count == 1 && !g->failed && !strcmp(fv_get_text(u->options, "lone"), "reward")) mean = 0, std = 1, equal = false;
    double scale = fv_get_bool(u->options, "std") ? 1.0 / (std + eps) : 1.0;
    for (int i = 0; i < g->count; i++) g->items[i].advantage = equal ? 0 : (g->items[i].reward - mean) * scale;
}

const fv_part fv_part_advantage_group = {.name = "group",
                                         .hook = FV_HOOK_ADVANTAGE,
                                         .doc = "GRPO: (reward - group mean) / (group std + eps); std: false is Dr.GRPO's; lone: what a group of one has, 0 or its reward",
                                         .fields = "{std: true, eps: 1.0e-4, lone: zero}",
                                         .limits = "{eps: [0, 1], lone: [zero, reward]}",
                                         .advantage = group};
