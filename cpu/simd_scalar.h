/* The primitives of cpu/simd.h in plain C, with the hardware's scalar fused multiply-add (-mfma): the reference for the
 * other two, and the build in which a debugger shows every lane. */
#ifndef FV_CPU_SIMD_SCALAR_H
#define FV_CPU_SIMD_SCALAR_H

#include <immintrin.h> /* _mm_cvttss_si32: the hardware's rule for what does not fit, which a C cast leaves undefined */
#include <math.h>
#include <string.h>

typedef struct { float v[16]; } fv_x16;
typedef struct { int32_t v[16]; } fv_i16;
typedef struct { uint32_t bits; } fv_m16;
typedef struct { double v[16]; } fv_d16;

/* Defines a function whose lane l of the result is `value`. */
#define FV_LANEWISE_(result, name, parameters, value)                                                                  \
    FV_INLINE result name parameters {                                                                                 \
        result r;                                                                                                      \
        for (int l = 0; l < 16; l++) r.v[l] = value;                                                                   \
        return r;                                                                                                      \
    }
#define FV_LANE_MASK_(name, parameters, condition)                                                                     \
    FV_INLINE fv_m16 name parameters {                                                                                 \
        fv_m16 m = { 0 };                                                                                              \
        for (int l = 0; l < 16; l++) m.bits |= (uint32_t)(condition) << l;                                             \
        return m;                                                                                                      \
    }

FV_INLINE fv_m16 fv_mask_n(int n) { return (fv_m16){ (1u << n) - 1u }; }
FV_INLINE uint32_t fv_mask_bits(fv_m16 m) { return m.bits; }

FV_INLINE float fv_widen_bf16_(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

FV_LANEWISE_(fv_x16, fv_set1, (float f), f)
FV_LANEWISE_(fv_x16, fv_zero, (void), 0.0f)
FV_LANEWISE_(fv_x16, fv_load, (const float *p), p[l])
FV_LANEWISE_(fv_x16, fv_load_n, (const float *p, int n), l < n ? p[l] : 0.0f)
FV_INLINE fv_x16 fv_load_raw(const void *p) {
    fv_x16 x;
    memcpy(&x, p, sizeof x);
    return x;
}
FV_LANEWISE_(fv_x16, fv_load_bf16, (const uint16_t *p), fv_widen_bf16_(p[l]))
FV_LANEWISE_(fv_x16, fv_load_bf16_n, (const uint16_t *p, int n), l < n ? fv_widen_bf16_(p[l]) : 0.0f)
FV_INLINE void fv_store_n(float *p, fv_x16 x, int n) {
    for (int l = 0; l < n; l++) p[l] = x.v[l];
}
FV_INLINE void fv_store(float *p, fv_x16 x) { fv_store_n(p, x, 16); }

FV_LANEWISE_(fv_x16, fv_add, (fv_x16 a, fv_x16 b), a.v[l] + b.v[l])
FV_LANEWISE_(fv_x16, fv_sub, (fv_x16 a, fv_x16 b), a.v[l] - b.v[l])
FV_LANEWISE_(fv_x16, fv_mul, (fv_x16 a, fv_x16 b), a.v[l] * b.v[l])
FV_LANEWISE_(fv_x16, fv_div, (fv_x16 a, fv_x16 b), a.v[l] / b.v[l])
FV_LANEWISE_(fv_x16, fv_sqrt, (fv_x16 a), sqrtf(a.v[l]))
FV_LANEWISE_(fv_x16, fv_fma, (fv_x16 a, fv_x16 b, fv_x16 c), fmaf(a.v[l], b.v[l], c.v[l]))
FV_LANEWISE_(fv_x16, fv_fnma, (fv_x16 a, fv_x16 b, fv_x16 c), fmaf(-a.v[l], b.v[l], c.v[l]))
FV_LANEWISE_(fv_x16, fv_min, (fv_x16 a, fv_x16 b), a.v[l] < b.v[l] ? a.v[l] : b.v[l])
FV_LANEWISE_(fv_x16, fv_max, (fv_x16 a, fv_x16 b), a.v[l] > b.v[l] ? a.v[l] : b.v[l])
FV_LANEWISE_(fv_x16, fv_round, (fv_x16 x), rintf(x.v[l]))

FV_LANE_MASK_(fv_lt, (fv_x16 a, fv_x16 b), a.v[l] < b.v[l])
FV_LANE_MASK_(fv_le, (fv_x16 a, fv_x16 b), a.v[l] <= b.v[l])
FV_LANE_MASK_(fv_eq, (fv_x16 a, fv_x16 b), a.v[l] == b.v[l])
FV_LANE_MASK_(fv_ieq, (fv_i16 i, fv_i16 j), i.v[l] == j.v[l])
FV_LANE_MASK_(fv_igt, (fv_i16 i, fv_i16 j), i.v[l] > j.v[l])
FV_LANEWISE_(fv_x16, fv_select, (fv_m16 m, fv_x16 a, fv_x16 b), (m.bits >> l & 1) ? a.v[l] : b.v[l])
FV_LANEWISE_(fv_i16, fv_iselect, (fv_m16 m, fv_i16 i, fv_i16 j), (m.bits >> l & 1) ? i.v[l] : j.v[l])

/* Sums and shifts wrap, as in the registers: through unsigned. */
FV_LANEWISE_(fv_i16, fv_iset1, (int32_t i), i)
FV_LANEWISE_(fv_i16, fv_iload, (const int32_t *p), p[l])
FV_INLINE void fv_istore(int32_t *p, fv_i16 i) { memcpy(p, i.v, sizeof i.v); }
FV_LANEWISE_(fv_i16, fv_iadd, (fv_i16 i, fv_i16 j), (int32_t)((uint32_t)i.v[l] + (uint32_t)j.v[l]))
FV_LANEWISE_(fv_i16, fv_isub, (fv_i16 i, fv_i16 j), (int32_t)((uint32_t)i.v[l] - (uint32_t)j.v[l]))
FV_LANEWISE_(fv_i16, fv_iand, (fv_i16 i, fv_i16 j), i.v[l] & j.v[l])
FV_LANEWISE_(fv_i16, fv_ior, (fv_i16 i, fv_i16 j), i.v[l] | j.v[l])
FV_LANEWISE_(fv_i16, fv_ixor, (fv_i16 i, fv_i16 j), i.v[l] ^ j.v[l])
FV_LANEWISE_(fv_i16, fv_ishl, (fv_i16 i, int c), (int32_t)((uint32_t)i.v[l] << c))
FV_LANEWISE_(fv_i16, fv_ishr, (fv_i16 i, int c), (int32_t)((uint32_t)i.v[l] >> c))
FV_LANEWISE_(fv_i16, fv_isra, (fv_i16 i, int c), i.v[l] >> c)
FV_LANEWISE_(fv_i16, fv_to_int, (fv_x16 x), _mm_cvttss_si32(_mm_set_ss(x.v[l])))
FV_LANEWISE_(fv_x16, fv_to_float, (fv_i16 i), (float)i.v[l])

FV_INLINE fv_i16 fv_bits(fv_x16 x) {
    fv_i16 i;
    memcpy(&i, &x, sizeof i);
    return i;
}
FV_INLINE fv_x16 fv_from_bits(fv_i16 i) {
    fv_x16 x;
    memcpy(&x, &i, sizeof x);
    return x;
}

FV_INLINE float fv_hsum(fv_x16 x) {
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++) x.v[l] += x.v[l + half];
    return x.v[0];
}

FV_INLINE float fv_hmax(fv_x16 x) {
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++) x.v[l] = x.v[l] > x.v[l + half] ? x.v[l] : x.v[l + half];
    return x.v[0];
}

FV_INLINE void fv_store_low_halves_n_(uint16_t *p, fv_i16 i, int n) {
    for (int l = 0; l < n; l++) p[l] = (uint16_t)i.v[l];
}

FV_INLINE void fv_transpose(fv_x16 x[16]) {
    for (int i = 0; i < 16; i++) {
        for (int j = 0; j < i; j++) {
            float f = x[i].v[j];
            x[i].v[j] = x[j].v[i];
            x[j].v[i] = f;
        }
    }
}

FV_LANEWISE_(fv_d16, fv_dzero, (void), 0.0)
FV_LANEWISE_(fv_d16, fv_dfma, (fv_x16 x, fv_x16 y, fv_d16 d), fma((double)x.v[l], (double)y.v[l], d.v[l]))

FV_INLINE double fv_dsum(fv_d16 d) {
    for (int half = 8; half >= 1; half /= 2)
        for (int l = 0; l < half; l++) d.v[l] += d.v[l + half];
    return d.v[0];
}

#endif
