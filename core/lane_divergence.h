/* How far two distributions are apart, id by id, over the primitives of cpu/simd.h: the same bits on every instruction set and device. Included after core/ops.h and whatever
 * defines the primitives (core/lane_math.h says who).
 *
 * The generalised Jensen-Shannon divergence of p, which learns, from q (Agarwal et al. 2023, "On-policy distillation", arXiv 2306.13649, eq. 1; TRL's generalized_jsd_loss):
 *     D = beta KL(q || m) + (1 - beta) KL(p || m),  m = beta q + (1 - beta) p;   KL(q || p) for beta 0, KL(p || q) for beta 1 */
#ifndef FV_CORE_LANE_DIVERGENCE_H
#define FV_CORE_LANE_DIVERGENCE_H

#include <math.h>

/* beta, and the logarithms that a mixture takes. */
typedef struct {
    float beta, log_beta, log_rest;
} fv_divergence_factors;

static inline fv_divergence_factors fv_divergence_factors_of(float beta) {
    fv_divergence_factors f;
    f.beta = beta;
    f.log_beta = (float)log((double)beta);
    f.log_rest = (float)log1p(-(double)beta);
    return f;
}

/* Rows of the larger of both vocabularies: what a block of logits has to have room for. */
static inline int64_t fv_divergence_vocabulary(const fv_distribution *p, const fv_distribution *q) {
    int64_t a = p->head.weight.shape[0], b = q->head.weight.shape[0];
    return a > b ? a : b;
}

/* What an id adds to D, and to its slope: pull = dD/dlog p, and dD/dlogit = pull - p * (sum of all pulls). */
typedef struct {
    fv_x16 value, pull;
} fv_apart;

/* log m of an id */
FV_INLINE fv_x16 fv_log_mixture_(fv_x16 lp, fv_x16 lq, const fv_divergence_factors *f) {
    fv_x16 a = fv_add(lq, fv_set1(f->log_beta)), b = fv_add(lp, fv_set1(f->log_rest)), most = fv_max(a, b);
    return fv_add(most, fv_log(fv_add(fv_exp(fv_sub(a, most)), fv_exp(fv_sub(b, most)))));
}

FV_INLINE fv_apart fv_apart_of(fv_x16 lp, fv_x16 lq, const fv_divergence_factors *f) {
    fv_apart out;
    if (f->beta == 0.0f) {
        fv_x16 q = fv_exp(lq);
        out.value = fv_mul(q, fv_sub(lq, lp));
        out.pull = fv_neg(q);
        return out;
    }
    fv_x16 p = fv_exp(lp);
    if (f->beta == 1.0f) {
        out.value = fv_mul(p, fv_sub(lp, lq));
        out.pull = fv_add(out.value, p);
        return out;
    }
    fv_x16 lm = fv_log_mixture_(lp, lq, f);
    out.pull = fv_mul(fv_mul(fv_set1(1.0f - f->beta), p), fv_sub(lp, lm));
    out.value = fv_fma(fv_mul(fv_set1(f->beta), fv_exp(lq)), fv_sub(lq, lm), out.pull);
    return out;
}

#endif
