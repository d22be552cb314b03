/* Gated and plain activations over whole buffers, with their ways back beside them. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

#include "core/lane_activation.h"

typedef struct {
    float *y;
    const float *a, *b, *dy;
    float *da, *db;
    fv_activation f;
} job;

/* y = silu(gate) * up */
static void swiglu_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_store_part(j->y + i, fv_mul(fv_swish(fv_load_part(j->a + i, n), 1.0f), fv_load_part(j->b + i, n)), n);
    }
}

void FV_KERNEL(swiglu)(const fv_exec *x, fv_view y, fv_view gate, fv_view up) {
    job j = {.y = fv_f32(y), .a = fv_f32(gate), .b = fv_f32(up)};
    fv_parallel(x->pool, fv_elements(y), fv_grain(4), swiglu_range, &j);
}

/* dgate += dy * up * silu'(gate);   dup += dy * silu(gate) */
static void swiglu_back_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    fv_x16 one = fv_set1(1.0f);
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_x16 gate = fv_load_part(j->a + i, n), dy = fv_load_part(j->dy + i, n), s = fv_sigmoid(gate);
        fv_x16 bend = fv_mul(s, fv_fma(gate, fv_sub(one, s), one));
        fv_x16 dgate = fv_fma(fv_mul(dy, fv_load_part(j->b + i, n)), bend, fv_load_part(j->da + i, n));
        fv_x16 dup = fv_fma(dy, fv_mul(gate, s), fv_load_part(j->db + i, n));
        fv_store_part(j->da + i, dgate, n);
        fv_store_part(j->db + i, dup, n);
    }
}

void FV_KERNEL(swiglu_back)(const fv_exec *x, fv_view dgate, fv_view dup, fv_view dy, fv_view gate, fv_view up) {
    job j = {.a = fv_f32(gate), .b = fv_f32(up), .dy = fv_f32(dy), .da = fv_f32(dgate), .db = fv_f32(dup)};
    fv_parallel(x->pool, fv_elements(dy), fv_grain(6), swiglu_back_range, &j);
}

static void act_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_store_part(j->y + i, fv_activation_value(fv_load_part(j->a + i, n), j->f), n);
    }
}

void FV_KERNEL(act)(const fv_exec *x, fv_view y, fv_view in, fv_activation f) {
    job j = {.y = fv_f32(y), .a = fv_f32(in), .f = f};
    fv_parallel(x->pool, fv_elements(y), fv_grain(4), act_range, &j);
}

static void act_back_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_x16 d = fv_fma(fv_load_part(j->dy + i, n), fv_activation_slope(fv_load_part(j->a + i, n), j->f), fv_load_part(j->da + i, n));
        fv_store_part(j->da + i, d, n);
    }
}

void FV_KERNEL(act_back)(const fv_exec *x, fv_view dx, fv_view dy, fv_view in, fv_activation f) {
    job j = {.a = fv_f32(in), .dy = fv_f32(dy), .da = fv_f32(dx), .f = f};
    fv_parallel(x->pool, fv_elements(dy), fv_grain(6), act_back_range, &j);
}
