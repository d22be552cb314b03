#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <string.h>

static double coefficient(const fv_use *u, const fv_moment *when) { return fv_get_at(u->options, "coefficient", when->step, when->steps); }

static bool compares(const fv_use *u, const fv_moment *when, fv_compared *out) {
    const char *to = fv_get_text(u->options, "to");
    *out = (fv_compared){.who = !strcmp(to, "teacher") ? FV_OTHER_TEACHER : !strcmp(to, "reference") ? FV_OTHER_REFERENCE : FV_OTHER_POLICY,
                         .blind = fv_get_bool(u->options, "blind"),
                         .beta = fv_get_at(u->options, "beta", when->step, when->steps)};
    return coefficient(u, when) != 0;
}

static fv_status check(const fv_use *u, fv_error *err) {
    if (strcmp(fv_get_text(u->options, "to"), "policy") || fv_get_bool(u->options, "blind")) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "kl: the policy is no distance away from itself; `to: policy` is for `blind: true`, the policy without its pictures");
}

/* coefficient * mean over trained tokens of the distance of the policy's whole distribution from another's, which is a constant: KL(policy || other) for beta 1, KL(other || policy) for
 * beta 0, the generalised Jensen-Shannon divergence between (Agarwal et al. 2023, arXiv 2306.13649, eq. 1 and algorithm 1; TRL's GKDTrainer). To a teacher, on the policy's own answers,
 * that is on-policy distillation; to the reference, the exact KL of which `grpo` has an estimate; with a negative coefficient, to the policy itself without pictures, it pays answers
 * that pictures matter to (after PAPO, arXiv 2507.06448, which blackens patches instead). */
static void kl(const fv_use *u, fv_streams *s, const fv_moment *when, double *loss) {
    double c = coefficient(u, when) / (double)s->total;
    for (int64_t t = 0; t < s->count && s->divergence; t++) {
        *loss += c * s->divergence[t];
        s->ddivergence[t] += (float)c;
    }
}

const fv_part fv_part_objective_kl = {.name = "kl",
                                      .hook = FV_HOOK_OBJECTIVE,
                                      .doc = "coefficient * mean distance of whole distributions from another's: beta 1: KL(policy || other), 0: KL(other || policy), between: Jensen-Shannon "
                                             "(GKD); blind: the other sees no pictures",
                                      .fields = "{coefficient: 1.0, to: teacher, beta: 1.0, blind: false}",
                                      .limits = "{coefficient: [-1.0e9, 1.0e9], to: [teacher, reference, policy], beta: [0, 1]}",
                                      .check = check,
                                      .objective = kl,
                                      .compares = compares};
