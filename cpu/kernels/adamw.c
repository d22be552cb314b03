/* AdamW (Loshchilov & Hutter 2019, algorithm 2), in PyTorch's order of operations:
 *     w -= lr wd w;   m += (1 - b1)(g - m);   v = b2 v + (1 - b2) g^2;   w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps) */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

#include <math.h>

typedef struct {
    float *master, *m, *v;
    const float *grad;
    fv_view weight;
    float keep, grad_scale, b2, one_b1, one_b2, step_size, root2, eps;
} job;

/* Repeated squaring: only multiplications, so the same everywhere. */
static double power(double base, int64_t n) {
    double result = 1;
    for (; n > 0; n >>= 1, base *= base)
        if (n & 1) result *= base;
    return result;
}

static void update_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_x16 g = fv_mul(fv_load_part(j->grad + i, n), fv_set1(j->grad_scale));
        fv_x16 w = fv_mul(fv_load_part(j->master + i, n), fv_set1(j->keep));
        fv_x16 m = fv_load_part(j->m + i, n), v = fv_load_part(j->v + i, n);
        m = fv_fma(fv_set1(j->one_b1), fv_sub(g, m), m);
        v = fv_fma(fv_mul(fv_set1(j->one_b2), g), g, fv_mul(fv_set1(j->b2), v));
        fv_x16 root = fv_add(fv_div(fv_sqrt(v), fv_set1(j->root2)), fv_set1(j->eps));
        w = fv_fnma(fv_set1(j->step_size), fv_div(m, root), w);
        fv_store_part(j->m + i, m, n);
        fv_store_part(j->v + i, v, n);
        fv_store_part(j->master + i, w, n);
        if (j->weight.data == NULL) continue;
        if (j->weight.dtype == FV_BF16) fv_store_bf16_n((uint16_t *)j->weight.data + i, w, n);
        else fv_store_part((float *)j->weight.data + i, w, n);
    }
}

void FV_KERNEL(adamw)(const fv_exec *x, fv_view master, fv_view m, fv_view v, fv_view grad, fv_view weight, const fv_adamw *how) {
    double b1 = how->beta1, b2 = how->beta2;
    job j = {.master = fv_f32(master), .m = fv_f32(m), .v = fv_f32(v), .grad = fv_f32(grad), .weight = weight};
    j.keep = (float)(1 - (double)how->lr * how->weight_decay);
    j.grad_scale = how->grad_scale;
    j.one_b1 = (float)(1 - b1);
    j.b2 = how->beta2;
    j.one_b2 = (float)(1 - b2);
    j.step_size = (float)(how->lr / (1 - power(b1, how->step)));
    j.root2 = (float)sqrt(1 - power(b2, how->step));
    j.eps = how->eps;
    fv_parallel(x->pool, fv_elements(master), fv_grain(6), update_range, &j);
}
