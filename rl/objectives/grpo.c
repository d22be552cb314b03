#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <math.h>
#include <string.h>

/* What a token's term is multiplied by, so that the sum over tokens is the reduction that `normalise` names:
 *   tokens     mean over all trained tokens of the batch (DAPO, verl)
 *   responses  mean over a response's tokens, then over responses (GRPO's paper)
 *   constant   sum over tokens / (responses * length): Dr.GRPO, with `length` a constant */
static double share(const char *normalise, const fv_streams *s, int64_t t, double length) {
    if (!strcmp(normalise, "responses")) return 1.0 / ((double)s->responses * s->response_tokens[s->response[t]]);
    if (!strcmp(normalise, "constant")) return 1.0 / ((double)s->responses * length);
    return 1.0 / (double)s->total;
}

/* -min(ratio A, clip(ratio, 1 - low, 1 + high) A) per token, ratio = exp(logp - old) (PPO, arXiv 1707.06347 eq. 7), with `dual` > 0 bounded by dual * A where A < 0
 * (arXiv 1912.09729); plus kl * (exp(d) - d - 1), d = reference - logp ("k3", Schulman 2020; GRPO eq. 4), with kl_bound > 0 clamped to +-kl_bound, beyond which it has no slope
 * (Video-R1, TW-GRPO: src/open_r1/trainer/grpo_trainer.py). */
static void grpo(const fv_use *u, fv_streams *s, const fv_moment *when, double *loss) {
    double low = fv_get_at(u->options, "clip_low", when->step, when->steps), high = fv_get_at(u->options, "clip_high", when->step, when->steps);
    double kl = fv_get_at(u->options, "kl", when->step, when->steps), dual = fv_get_at(u->options, "dual", when->step, when->steps);
    double length = fv_get_at(u->options, "length", when->step, when->steps), bound = fv_get_at(u->options, "kl_bound", when->step, when->steps);
    const char *normalise = fv_get_text(u->options, "normalise");
    for (int64_t t = 0; t < s->count; t++) {
        double c = share(normalise, s, t, length) * s->weight[t], a = s->advantage[t];
        double ratio = exp((double)s->logp[t] - (double)s->old_logp[t]);
        double clipped = ratio < 1 - low ? 1 - low : ratio > 1 + high ? 1 + high : ratio;
        double value = ratio * a, slope = ratio * a;
        if (clipped * a < value) {
            value = clipped * a;
            slope = 0;
            *(clipped > ratio ? &s->clipped_low : &s->clipped_high) += 1;
        }
        if (dual > 0 && a < 0 && value < dual * a) value = dual * a, slope = 0;
        *loss -= c * value;
        s->dlogp[t] -= (float)(c * slope);
        if (kl != 0 && s->reference_logp) {
            double d = (double)s->reference_logp[t] - (double)s->logp[t];
            bool beyond = bound > 0 && fabs(d) > bound;
            if (beyond) d = copysign(bound, d);
            *loss += c * kl * (exp(d) - d - 1);
            if (!beyond) s->dlogp[t] += (float)(c * kl * (1 - exp(d)));
        }
    }
}

const fv_part fv_part_objective_grpo = {.name = "grpo",
                                        .hook = FV_HOOK_OBJECTIVE,
                                        .doc = "clipped policy gradient with k3 KL to the reference, differences clamped to +-kl_bound (0: not); "
                                               "normalise: tokens (DAPO), responses (GRPO), constant (Dr.GRPO)",
                                        .fields = "{clip_low: 0.2, clip_high: 0.2, dual: 0.0, kl: 0.0, kl_bound: 0.0, normalise: tokens, length: 1024}",
                                        .limits = "{clip_low: [0, 1], clip_high: [0, 1.0e9], dual: [0, 1.0e9], kl: [0, 1.0e9], kl_bound: [0, 700], "
                                                  "normalise: [tokens, responses, constant], length: [1, 1.0e9]}",
                                        .objective = grpo};
