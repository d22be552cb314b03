/* Activations and their derivatives over the primitives of cpu/simd.h: the same bits on every instruction set and device. Included after
 * core/ops.h and whatever defines the primitives (core/lane_math.h says who). */
#ifndef FV_CORE_LANE_ACTIVATION_H
#define FV_CORE_LANE_ACTIVATION_H

FV_INLINE fv_x16 fv_sigmoid(fv_x16 x) {
    fv_x16 one = fv_set1(1.0f);
    return fv_div(one, fv_add(one, fv_exp(fv_neg(x))));
}

/* x / (1 + e^-kx): SiLU at k = 1, OpenAI's "quick" GELU at k = 1.702. */
FV_INLINE fv_x16 fv_swish(fv_x16 x, float k) {
    return fv_div(x, fv_add(fv_set1(1.0f), fv_exp(fv_mul(fv_set1(-k), x))));
}

/* s (1 + kx (1 - s)), s = fv_sigmoid(kx) */
FV_INLINE fv_x16 fv_swish_slope(fv_x16 x, float k) {
    fv_x16 one = fv_set1(1.0f), kx = fv_mul(fv_set1(k), x), s = fv_sigmoid(kx);
    return fv_mul(s, fv_fma(kx, fv_sub(one, s), one));
}

/* Phi(x), the normal distribution function; GELU is x Phi(x) (Hendrycks & Gimpel 2016). */
FV_INLINE fv_x16 fv_normal_cdf(fv_x16 x) {
    fv_x16 half = fv_set1(0.5f);
    return fv_fma(half, fv_erf(fv_mul(x, fv_set1(0.70710678f))), half);
}

FV_INLINE fv_x16 fv_gelu_slope(fv_x16 x) {
    fv_x16 density = fv_mul(fv_set1(0.39894228f), fv_exp(fv_mul(fv_set1(-0.5f), fv_mul(x, x))));
    return fv_fma(x, density, fv_normal_cdf(x));
}

/* tanh(sqrt(2 / pi) (x + 0.044715 x^3)), the approximation's inner part */
FV_INLINE fv_x16 fv_gelu_tanh_inner(fv_x16 x) {
    fv_x16 cubic = fv_fma(fv_mul(fv_set1(0.044715f), fv_mul(x, x)), x, x);
    return fv_tanh(fv_mul(fv_set1(0.79788456f), cubic));
}

FV_INLINE fv_x16 fv_gelu_tanh_slope(fv_x16 x) {
    fv_x16 one = fv_set1(1.0f), half = fv_set1(0.5f), t = fv_gelu_tanh_inner(x);
    fv_x16 inner = fv_mul(fv_set1(0.79788456f), fv_fma(fv_set1(3 * 0.044715f), fv_mul(x, x), one));
    fv_x16 bend = fv_mul(fv_mul(half, x), fv_mul(fv_fnma(t, t, one), inner));
    return fv_fma(half, t, fv_add(half, bend));
}

FV_INLINE fv_x16 fv_activation_value(fv_x16 x, fv_activation f) {
    switch (f) {
    case FV_GELU_ERF: return fv_mul(x, fv_normal_cdf(x));
    case FV_GELU_TANH: return fv_mul(fv_mul(fv_set1(0.5f), x), fv_add(fv_set1(1.0f), fv_gelu_tanh_inner(x)));
    case FV_GELU_QUICK: return fv_swish(x, 1.702f);
    case FV_SILU: break;
    }
    return fv_swish(x, 1.0f);
}

FV_INLINE fv_x16 fv_activation_slope(fv_x16 x, fv_activation f) {
    switch (f) {
    case FV_GELU_ERF: return fv_gelu_slope(x);
    case FV_GELU_TANH: return fv_gelu_tanh_slope(x);
    case FV_GELU_QUICK: return fv_swish_slope(x, 1.702f);
    case FV_SILU: break;
    }
    return fv_swish_slope(x, 1.0f);
}

#endif
