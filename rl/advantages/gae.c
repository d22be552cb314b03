#include "rl/part.h"
#include "rl/pipeline.h"
#include "rl/recipe/recipe.h"

#include <math.h>

static fv_status check(const fv_use *u, fv_error *err) {
    const fv_uses *objectives = &u->pipeline->objectives;
    for (int k = 0; k < objectives->count; k++)
        if (objectives->uses[k].part->needs & FV_NEED_VALUE) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "gae: nothing teaches the value head that it goes by; give auxiliary: [{kind: value}]");
}

/* Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16) over the tokens that the policy wrote, with the reward at the last one:
 *     d_t = r_t + gamma V_{t+1} - V_t,   A_t = d_t + gamma lambda A_{t+1},   returns A_t + V_t,
 * V the value head's, 0 beyond the end. `advantage`, which is shown, is the first token's. */
static void gae(const fv_use *u, fv_group *g, const fv_moment *when) {
    double gamma = fv_get_at(u->options, "gamma", when->step, when->steps), lambda = fv_get_at(u->options, "lambda", when->step, when->steps);
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        double next = 0, after = 0, reward = r->reward;
        r->advantage = NAN; /* of a response without values */
        for (int t = r->value ? r->tokens - 1 : -1; t >= 0; t--) {
            double delta = reward + gamma * next - r->value[t];
            after = delta + gamma * lambda * after;
            next = r->value[t];
            reward = 0;
            r->token_advantage[t] = (float)after;
            r->returns[t] = (float)(after + r->value[t]);
            r->advantage = after;
        }
    }
}

/* Over all tokens of a batch: (A - mean) / sqrt(var + 1e-8), n - 1 in the variance (verl's and TRL's masked_whiten). */
static void whiten(const fv_use *u, const fv_group *groups, int count, const fv_moment *when) {
    (void)when;
    double n = 0, sum = 0, square = 0;
    if (!fv_get_bool(u->options, "whiten")) return;
    for (int pass = 0; pass < 3; pass++) {
        double mean = n > 0 ? sum / n : 0, scale = n > 1 ? 1 / sqrt(square / (n - 1) + 1e-8) : 1;
        for (int k = 0; k < count; k++)
            for (int i = 0; i < groups[k].count; i++) {
                const fv_response *r = &groups[k].items[i];
                for (int t = 0; t < r->tokens && r->value && !r->error[0] && !r->aside; t++) {
                    double a = r->token_advantage[t];
                    if (pass == 0) n++, sum += a;
                    else if (pass == 1) square += (a - mean) * (a - mean);
                    else r->token_advantage[t] = (float)((a - mean) * scale);
                }
                if (pass == 2 && r->value && r->tokens && !r->error[0] && !r->aside) groups[k].items[i].advantage = r->token_advantage[0];
            }
    }
}

const fv_part fv_part_advantage_gae = {.name = "gae",
                                       .hook = FV_HOOK_ADVANTAGE,
                                       .doc = "PPO's: generalised advantage estimation with a value head, the reward at the last token; wants the objective `value` beside `grpo`",
                                       .fields = "{gamma: 1.0, lambda: 0.95, whiten: true}",
                                       .limits = "{gamma: [0, 1], lambda: [0, 1]}",
                                       .scope = FV_SCOPE_TOKEN,
                                       .needs = FV_NEED_VALUE,
                                       .check = check,
                                       .advantage = gae,
                                       .settle = whiten};
