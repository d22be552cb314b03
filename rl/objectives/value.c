#include "rl/part.h"
#include "rl/pipeline.h"
#include "rl/recipe/recipe.h"

#include <math.h>

/* coefficient * mean of max((V - R)^2, (clip(V, old - c, old + c) - R)^2) / 2 over trained tokens, R the returns: PPO's clipped value loss (OpenAI baselines; verl's compute_value_loss, TRL's
 * PPOTrainer); clip 0: (V - R)^2 / 2. Its gradient goes through the head into the model. */
static void value(const fv_use *u, fv_streams *s, const fv_moment *when, double *loss) {
    double c = fv_get_at(u->options, "coefficient", when->step, when->steps) / (double)s->total, clip = fv_get_at(u->options, "clip", when->step, when->steps);
    for (int64_t t = 0; t < s->count && s->value && c != 0; t++) {
        double v = s->value[t], old = s->old_value[t], r = s->returns[t], near = clip > 0 ? fmin(fmax(v, old - clip), old + clip) : v;
        bool held = (near - r) * (near - r) > (v - r) * (v - r); /* the clipped one counts, and has no slope */
        *loss += 0.5 * c * (held ? (near - r) * (near - r) : (v - r) * (v - r));
        if (!held) s->dvalue[t] += (float)(c * (v - r));
    }
}

/* What a head is to expect is the advantage's to say; one that counts for nothing needs nobody. */
static fv_status check(const fv_use *u, fv_error *err) {
    const json_t *c = json_object_get(u->options, "coefficient");
    bool says = json_is_number(c) && json_number_value(c) == 0;
    for (int k = 0; k < u->pipeline->advantage.count; k++) says |= (u->pipeline->advantage.uses[k].part->needs & FV_NEED_VALUE) != 0;
    return says ? FV_OK : fv_fail(err, FV_BAD_RECIPE, "value: the advantage has no returns for it to learn; give advantage: {kind: gae}");
}

const fv_part fv_part_objective_value = {.name = "value",
                                         .hook = FV_HOOK_OBJECTIVE,
                                         .doc = "PPO's clipped value loss: coefficient * mean squared error of the value head / 2; clip: how far a value may move from the sampled one (0: any)",
                                         .fields = "{coefficient: 0.5, clip: 0.2}",
                                         .limits = "{coefficient: [0, 1.0e9], clip: [0, 1.0e9]}",
                                         .needs = FV_NEED_VALUE,
                                         .check = check,
                                         .objective = value};
