#include "rl/part.h"
#include "rl/recipe/recipe.h"

/* - coefficient * mean entropy of the trained tokens: a bonus for staying undecided. */
static void entropy(const fv_use *u, fv_streams *s, const fv_moment *when, double *loss) {
    double c = fv_get_at(u->options, "coefficient", when->step, when->steps) / (double)s->total;
    if (c == 0) return;
    for (int64_t t = 0; t < s->count; t++) {
        *loss -= c * s->entropy[t];
        s->dentropy[t] -= (float)c;
    }
}

const fv_part fv_part_objective_entropy = {.name = "entropy",
                                           .hook = FV_HOOK_OBJECTIVE,
                                           .doc = "entropy bonus: - coefficient * mean token entropy",
                                           .fields = "{coefficient: 0.0}",
                                           .limits = "{coefficient: [-10, 10]}",
                                           .objective = entropy};
