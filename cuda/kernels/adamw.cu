/* AdamW over whole buffers, a thread for each weight; core/lane_adamw.h has the formula. */
#include "cuda/device.h"

#include "core/lane_adamw.h"

enum { THREADS = 256 };

typedef struct {
    float *master, *m, *v;
    const float *grad;
    fv_view weight;
    fv_adamw_factors factors;
    int64_t n;
} job;

FV_GLOBAL(update_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i >= j.n) return;
    float w = j.master[i], m = j.m[i], v = j.v[i];
    fv_adamw_lanes(&j.factors, j.grad[i], &w, &m, &v);
    j.m[i] = m;
    j.v[i] = v;
    j.master[i] = w;
    if (j.weight.data == NULL) return;
    if (j.weight.dtype == FV_BF16) ((uint16_t *)j.weight.data)[i] = fv_round_bf16(w);
    else ((float *)j.weight.data)[i] = w;
}

FV_TABLE_OP void fv_cuda_adamw(const fv_exec *x, fv_view master, fv_view m, fv_view v, fv_view grad, fv_view weight, const fv_adamw *how) {
    (void)x;
    fv_cuda_begin("adamw", master, grad);
    job j = {0};
    j.master = fv_f32(master), j.m = fv_f32(m), j.v = fv_f32(v), j.grad = fv_f32(grad), j.weight = weight, j.n = fv_elements(master);
    j.factors = fv_adamw_factors_of(how);
    FV_LAUNCH(update_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}
