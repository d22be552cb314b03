/* AdamW over whole buffers; core/lane_adamw.h has the formula. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

#include "core/lane_adamw.h"

typedef struct {
    float *master, *m, *v;
    const float *grad;
    fv_view weight;
    fv_adamw_factors factors;
} job;

static void update_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_x16 w = fv_load_part(j->master + i, n), m = fv_load_part(j->m + i, n), v = fv_load_part(j->v + i, n);
        fv_adamw_lanes(&j->factors, fv_load_part(j->grad + i, n), &w, &m, &v);
        fv_store_part(j->m + i, m, n);
        fv_store_part(j->v + i, v, n);
        fv_store_part(j->master + i, w, n);
        if (j->weight.data == NULL) continue;
        if (j->weight.dtype == FV_BF16) fv_store_bf16_n((uint16_t *)j->weight.data + i, w, n);
        else fv_store_part((float *)j->weight.data + i, w, n);
    }
}

void FV_KERNEL(adamw)(const fv_exec *x, fv_view master, fv_view m, fv_view v, fv_view grad, fv_view weight, const fv_adamw *how) {
    job j = {.master = fv_f32(master), .m = fv_f32(m), .v = fv_f32(v), .grad = fv_f32(grad), .weight = weight, .factors = fv_adamw_factors_of(how)};
    fv_parallel(x->pool, fv_elements(master), fv_grain(6), update_range, &j);
}
