/* AdamW (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order of operations:
 *     w -= lr wd w;   m += (1 - b1)(g - m);   v = b2 v + (1 - b2) g^2;   w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 * over the primitives of cpu/simd.h. Included after core/ops.h and whatever defines the primitives (core/lane_math.h says who). */
#ifndef FV_CORE_LANE_ADAMW_H
#define FV_CORE_LANE_ADAMW_H

#include <math.h>

/* What a step multiplies by, computed once, in double. */
typedef struct {
    float keep, grad_scale, b2, one_b1, one_b2, step_size, root2, eps;
} fv_adamw_factors;

/* Repeated squaring: only multiplications, so the same everywhere. */
static inline double fv_adamw_power_(double base, int64_t n) {
    double result = 1;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

static inline fv_adamw_factors fv_adamw_factors_of(const fv_adamw *how) {
    double b1 = how->beta1, b2 = how->beta2;
    fv_adamw_factors f;
    f.keep = (float)(1 - (double)how->lr * how->weight_decay);
    f.grad_scale = how->grad_scale;
    f.one_b1 = (float)(1 - b1);
    f.b2 = how->beta2;
    f.one_b2 = (float)(1 - b2);
    f.step_size = (float)(how->lr / (1 - fv_adamw_power_(b1, how->step)));
    f.root2 = (float)sqrt(1 - fv_adamw_power_(b2, how->step));
    f.eps = how->eps;
    return f;
}

/* One step of master w and moments m, v under gradient g. */
FV_INLINE void fv_adamw_lanes(const fv_adamw_factors *f, fv_x16 g, fv_x16 *w, fv_x16 *m, fv_x16 *v) {
    g = fv_mul(g, fv_set1(f->grad_scale));
    *w = fv_mul(*w, fv_set1(f->keep));
    *m = fv_fma(fv_set1(f->one_b1), fv_sub(g, *m), *m);
    *v = fv_fma(fv_mul(fv_set1(f->one_b2), g), g, fv_mul(fv_set1(f->b2), *v));
    fv_x16 root = fv_add(fv_div(fv_sqrt(*v), fv_set1(f->root2)), fv_set1(f->eps));
    *w = fv_fnma(fv_set1(f->step_size), fv_div(*m, root), *w);
}

#endif
