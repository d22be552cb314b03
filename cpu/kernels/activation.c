/* Gated and plain activations, with their derivatives beside them. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

typedef struct {
    float *y;
    const float *a, *b, *dy;
    float *da, *db;
    fv_activation f;
} job;

FV_INLINE fv_x16 sigmoid(fv_x16 x) {
    fv_x16 one = fv_set1(1.0f);
    return fv_div(one, fv_add(one, fv_exp(fv_neg(x))));
}

/* x / (1 + e^-kx): SiLU at k = 1, OpenAI's "quick" GELU at k = 1.702. */
FV_INLINE fv_x16 swish(fv_x16 x, float k) {
    return fv_div(x, fv_add(fv_set1(1.0f), fv_exp(fv_mul(fv_set1(-k), x))));
}

/* s (1 + kx (1 - s)), s = sigmoid(kx) */
FV_INLINE fv_x16 swish_slope(fv_x16 x, float k) {
    fv_x16 one = fv_set1(1.0f), kx = fv_mul(fv_set1(k), x), s = sigmoid(kx);
    return fv_mul(s, fv_fma(kx, fv_sub(one, s), one));
}

/* Phi(x), the normal distribution function; GELU is x Phi(x) (Hendrycks & Gimpel 2016). */
FV_INLINE fv_x16 normal_cdf(fv_x16 x) {
    fv_x16 half = fv_set1(0.5f);
    return fv_fma(half, fv_erf(fv_mul(x, fv_set1(0.70710678f))), half);
}

FV_INLINE fv_x16 gelu_slope(fv_x16 x) {
    fv_x16 density = fv_mul(fv_set1(0.39894228f), fv_exp(fv_mul(fv_set1(-0.5f), fv_mul(x, x))));
    return fv_fma(x, density, normal_cdf(x));
}

/* tanh(sqrt(2 / pi) (x + 0.044715 x^3)), the approximation's inner part */
FV_INLINE fv_x16 gelu_tanh_inner(fv_x16 x) {
    fv_x16 cubic = fv_fma(fv_mul(fv_set1(0.044715f), fv_mul(x, x)), x, x);
    return fv_tanh(fv_mul(fv_set1(0.79788456f), cubic));
}

FV_INLINE fv_x16 gelu_tanh_slope(fv_x16 x) {
    fv_x16 one = fv_set1(1.0f), half = fv_set1(0.5f), t = gelu_tanh_inner(x);
    fv_x16 inner = fv_mul(fv_set1(0.79788456f), fv_fma(fv_set1(3 * 0.044715f), fv_mul(x, x), one));
    fv_x16 bend = fv_mul(fv_mul(half, x), fv_mul(fv_fnma(t, t, one), inner));
    return fv_fma(half, t, fv_add(half, bend));
}

FV_INLINE fv_x16 value(fv_x16 x, fv_activation f) {
    switch (f) {
    case FV_GELU_ERF: return fv_mul(x, normal_cdf(x));
    case FV_GELU_TANH: return fv_mul(fv_mul(fv_set1(0.5f), x), fv_add(fv_set1(1.0f), gelu_tanh_inner(x)));
    case FV_GELU_QUICK: return swish(x, 1.702f);
    case FV_SILU: break;
    }
    return swish(x, 1.0f);
}

FV_INLINE fv_x16 slope(fv_x16 x, fv_activation f) {
    switch (f) {
    case FV_GELU_ERF: return gelu_slope(x);
    case FV_GELU_TANH: return gelu_tanh_slope(x);
    case FV_GELU_QUICK: return swish_slope(x, 1.702f);
    case FV_SILU: break;
    }
    return swish_slope(x, 1.0f);
}

/* y = silu(gate) * up */
static void swiglu_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_store_part(j->y + i, fv_mul(swish(fv_load_part(j->a + i, n), 1.0f), fv_load_part(j->b + i, n)), n);
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
        fv_x16 gate = fv_load_part(j->a + i, n), dy = fv_load_part(j->dy + i, n), s = sigmoid(gate);
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
        fv_store_part(j->y + i, value(fv_load_part(j->a + i, n), j->f), n);
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
        fv_x16 d = fv_fma(fv_load_part(j->dy + i, n), slope(fv_load_part(j->a + i, n), j->f), fv_load_part(j->da + i, n));
        fv_store_part(j->da + i, d, n);
    }
}

void FV_KERNEL(act_back)(const fv_exec *x, fv_view dx, fv_view dy, fv_view in, fv_activation f) {
    job j = {.a = fv_f32(in), .dy = fv_f32(dy), .da = fv_f32(dx), .f = f};
    fv_parallel(x->pool, fv_elements(dy), fv_grain(6), act_back_range, &j);
}
