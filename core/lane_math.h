/* Elementary functions over the primitives of cpu/simd.h: one polynomial each, the same bits on every instruction set and device. Errors
 * below are in units in the last place, measured against libm in double by tests/cpu/simd_math_checks.h. Included by whoever has defined
 * the primitives: cpu/simd.h, for sixteen lanes at a time, and cuda/lane.h, for the one lane that a thread has. */
#ifndef FV_CORE_LANE_MATH_H
#define FV_CORE_LANE_MATH_H

FV_INLINE fv_x16 fv_neg(fv_x16 x) { return fv_from_bits(fv_ixor(fv_bits(x), fv_iset1(INT32_MIN))); }
FV_INLINE fv_x16 fv_abs(fv_x16 x) { return fv_from_bits(fv_iand(fv_bits(x), fv_iset1(INT32_MAX))); }

/* |x| with the sign of `sign`. */
FV_INLINE fv_x16 fv_copysign(fv_x16 x, fv_x16 sign) {
    return fv_from_bits(fv_ior(fv_iand(fv_bits(x), fv_iset1(INT32_MAX)), fv_iand(fv_bits(sign), fv_iset1(INT32_MIN))));
}

/* c[0] + c[1] x + ... by Horner's rule. `n` is a constant, so that the loop unrolls. */
FV_INLINE fv_x16 fv_polynomial(fv_x16 x, const float *c, int n) {
    fv_x16 y = fv_set1(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) y = fv_fma(y, x, fv_set1(c[i]));
    return y;
}

/* 2^n for integers -126..127. */
FV_INLINE fv_x16 fv_power_of_two(fv_i16 n) { return fv_from_bits(fv_ishl(fv_iadd(n, fv_iset1(127)), 23)); }

/* x = n ln 2 + r with |r| <= ln(2) / 2 and n the integer next to x / ln 2. ln 2 in two pieces, the first with trailing
 * zeros, so that r loses nothing (Cody and Waite 1980). */
FV_INLINE fv_x16 fv_reduce_ln2_(fv_x16 x, fv_x16 *n) {
    *n = fv_round(fv_mul(x, fv_set1(0x1.715476p+0f)));
    fv_x16 r = fv_fnma(*n, fv_set1(0x1.62e400p-1f), x);
    return fv_fnma(*n, fv_set1(0x1.7f7d1cp-20f), r);
}

/* (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2: Taylor's series; its remainder is 2^-27. */
FV_INLINE fv_x16 fv_exp_tail_(fv_x16 r) {
    static const float series[] = { 1.0f / 2, 1.0f / 6, 1.0f / 24, 1.0f / 120, 1.0f / 720, 1.0f / 5040 };
    return fv_polynomial(r, series, 6);
}

/* e^x, 1 ulp, also among subnormal results; 0 from -104 down and for -inf, inf above 88.73. */
FV_INLINE fv_x16 fv_exp(fv_x16 x) {
    x = fv_min(fv_set1(89.0f), fv_max(fv_set1(-105.0f), x)); /* in this order of arguments a NaN stays one */
    fv_x16 n, r = fv_reduce_ln2_(x, &n);
    fv_x16 y = fv_add(fv_fma(fv_mul(r, r), fv_exp_tail_(r), r), fv_set1(1.0f));
    fv_i16 k = fv_to_int(n), half = fv_isra(k, 1); /* in two factors, as 2^k itself may not be a number */
    return fv_mul(fv_mul(y, fv_power_of_two(half)), fv_power_of_two(fv_isub(k, half)));
}

/* Natural logarithm, 1 ulp, also of subnormals; -inf at 0, NaN below. With x = 2^e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)):
 * log(1 + f) = 2 artanh(s), s = f / (2 + f), arranged as f - (f^2/2 - s (f^2/2 + R(s^2))) to keep f exact (as in FDLIBM). */
FV_INLINE fv_x16 fv_log(fv_x16 x) {
    static const float series[] = { 2.0f / 3, 2.0f / 5, 2.0f / 7, 2.0f / 9, 2.0f / 11 };
    fv_m16 tiny = fv_lt(x, fv_set1(0x1p-126f));
    fv_i16 u = fv_bits(fv_select(tiny, fv_mul(x, fv_set1(0x1p24f)), x));
    fv_i16 shifted = fv_iadd(u, fv_iset1(0x3f800000 - 0x3f3504f3)); /* moves sqrt(1/2) to where the exponent changes */
    fv_x16 e = fv_to_float(fv_isub(fv_ishr(shifted, 23), fv_iselect(tiny, fv_iset1(127 + 24), fv_iset1(127))));
    fv_x16 m = fv_from_bits(fv_iadd(fv_iand(shifted, fv_iset1(0x007fffff)), fv_iset1(0x3f3504f3)));
    fv_x16 f = fv_sub(m, fv_set1(1.0f));
    fv_x16 s = fv_div(f, fv_add(f, fv_set1(2.0f))), z = fv_mul(s, s);
    fv_x16 half = fv_mul(fv_mul(fv_set1(0.5f), f), f);
    fv_x16 correction = fv_fma(s, fv_add(half, fv_mul(z, fv_polynomial(z, series, 5))), fv_mul(e, fv_set1(0x1.7f7d1cp-20f)));
    fv_x16 y = fv_fma(e, fv_set1(0x1.62e400p-1f), fv_sub(f, fv_sub(half, correction)));
    fv_x16 infinity = fv_from_bits(fv_iset1(0x7f800000));
    y = fv_select(fv_lt(x, infinity), y, x); /* inf and NaN are their own */
    y = fv_select(fv_eq(x, fv_zero()), fv_neg(infinity), y);
    return fv_select(fv_lt(x, fv_zero()), fv_from_bits(fv_iset1(0x7fc00000)), y);
}

/* Sine and cosine, 2 ulp for |x| up to 1e5 (rotary angles reach the position itself); beyond, precision fades but the
 * results stay bits that every machine agrees on. x = n pi/2 + r with pi/2 in three pieces: the first subtraction is exact. */
FV_INLINE void fv_sincos(fv_x16 x, fv_x16 *sin, fv_x16 *cos) {
    static const float odd[] = { -1.0f / 6, 1.0f / 120, -1.0f / 5040, 1.0f / 362880 };
    static const float even[] = { -0.5f, 1.0f / 24, -1.0f / 720, 1.0f / 40320, -1.0f / 3628800 };
    fv_x16 n = fv_round(fv_mul(x, fv_set1(0x1.45f306p-1f)));
    fv_x16 r = fv_fnma(n, fv_set1(0x1.921fb6p+0f), x);
    r = fv_fnma(n, fv_set1(-0x1.777a5cp-25f), r);
    r = fv_fnma(n, fv_set1(-0x1.ee59dap-50f), r);
    fv_x16 z = fv_mul(r, r);
    fv_x16 s = fv_fma(fv_mul(z, r), fv_polynomial(z, odd, 4), r);
    fv_x16 c = fv_fma(z, fv_polynomial(z, even, 5), fv_set1(1.0f));
    fv_i16 quadrant = fv_to_int(n), one = fv_iset1(1), two = fv_iset1(2);
    fv_m16 swap = fv_ieq(fv_iand(quadrant, one), one);
    fv_i16 minus_sin = fv_ishl(fv_iand(quadrant, two), 30);
    fv_i16 minus_cos = fv_ishl(fv_iand(fv_iadd(quadrant, one), two), 30);
    *sin = fv_from_bits(fv_ixor(fv_bits(fv_select(swap, c, s)), minus_sin));
    *cos = fv_from_bits(fv_ixor(fv_bits(fv_select(swap, s, c)), minus_cos));
}

FV_INLINE fv_x16 fv_sin(fv_x16 x) {
    fv_x16 s, c;
    fv_sincos(x, &s, &c);
    return s;
}

FV_INLINE fv_x16 fv_cos(fv_x16 x) {
    fv_x16 s, c;
    fv_sincos(x, &s, &c);
    return c;
}

/* Hyperbolic tangent, 3 ulp: m / (m + 2) with m = e^(2|x|) - 1, which is accurate near 0 too, so one formula does. */
FV_INLINE fv_x16 fv_tanh(fv_x16 x) {
    fv_x16 y = fv_min(fv_set1(20.0f), fv_mul(fv_set1(2.0f), fv_abs(x))); /* tanh(10) rounds to 1 */
    fv_x16 n, r = fv_reduce_ln2_(y, &n);
    fv_x16 small = fv_fma(fv_mul(r, r), fv_exp_tail_(r), r); /* e^r - 1 */
    fv_x16 scale = fv_power_of_two(fv_to_int(n));
    fv_x16 m = fv_fma(scale, small, fv_sub(scale, fv_set1(1.0f)));
    return fv_copysign(fv_div(m, fv_add(m, fv_set1(2.0f))), x);
}

/* Error function, 2 ulp. Below 1, x + x P(x^2); above, 1 - exp(-Q(x)) where Q(x) = -log(erfc(x)) on [1, 4]; erf(4) rounds to 1.
 * Both polynomials interpolate at Chebyshev's nodes; errors 1.3e-9 relative and 4.8e-10 absolute. */
FV_INLINE fv_x16 fv_erf(fv_x16 x) {
    static const float below[] = { 0.1283791658f, -0.37612626667f, 0.11283594715f, -0.026854212010f, 0.0051890874230f,
                                   -0.00080168642833f, 7.8758750504e-05f };
    static const float above[] = { -0.00032013805006f, 1.1302334348f, 0.63182605155f, 0.11008008295f, -0.026421136008f,
                                   0.0047595962940f, -0.00059680562584f, 4.6058042712e-05f, -1.6371514158e-06f };
    fv_x16 a = fv_abs(x), far = fv_min(fv_set1(4.0f), a);
    fv_x16 near = fv_fma(a, fv_polynomial(fv_mul(a, a), below, 7), a);
    fv_x16 tail = fv_sub(fv_set1(1.0f), fv_exp(fv_neg(fv_polynomial(far, above, 9))));
    return fv_copysign(fv_select(fv_lt(a, fv_set1(1.0f)), near, tail), x);
}

#endif
