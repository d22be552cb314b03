/* The primitives of cpu/simd.h for one lane: what core/lane_math.h and its kin are written over, where a thread is one of sixteen lanes.
 * Division and square root are the exact ones (nvcc's default; the build says so), sums and products are never contracted, and nothing is
 * flushed to zero. */
#ifndef FV_CUDA_LANE_H
#define FV_CUDA_LANE_H

#include <math.h>
#include <stdint.h>

typedef float fv_x16;
typedef int32_t fv_i16;
typedef int fv_m16;

enum { FV_LANES = 16 };

FV_INLINE fv_i16 fv_bits(fv_x16 x) {
#ifdef __CUDACC__
    return __float_as_int(x);
#else
    fv_i16 i;
    memcpy(&i, &x, sizeof i);
    return i;
#endif
}

FV_INLINE fv_x16 fv_from_bits(fv_i16 i) {
#ifdef __CUDACC__
    return __int_as_float(i);
#else
    fv_x16 x;
    memcpy(&x, &i, sizeof x);
    return x;
#endif
}

/* Towards zero. What does not fit differs from cpu/simd.h's (the largest number there is, and 0 for NaN), where only undefined numbers come from. */
FV_INLINE fv_i16 fv_to_int(fv_x16 x) {
#ifdef __CUDACC__
    return __float2int_rz(x);
#else
    return x >= 2147483648.0f ? INT32_MAX : x >= -2147483648.0f ? (fv_i16)x : x == x ? INT32_MIN : 0;
#endif
}

FV_INLINE fv_x16 fv_set1(float f) { return f; }
FV_INLINE fv_x16 fv_zero(void) { return 0.0f; }
FV_INLINE fv_x16 fv_add(fv_x16 a, fv_x16 b) { return a + b; }
FV_INLINE fv_x16 fv_sub(fv_x16 a, fv_x16 b) { return a - b; }
FV_INLINE fv_x16 fv_mul(fv_x16 a, fv_x16 b) { return a * b; }
FV_INLINE fv_x16 fv_div(fv_x16 a, fv_x16 b) { return a / b; }
FV_INLINE fv_x16 fv_sqrt(fv_x16 a) { return sqrtf(a); }
FV_INLINE fv_x16 fv_fma(fv_x16 a, fv_x16 b, fv_x16 c) { return fmaf(a, b, c); }
FV_INLINE fv_x16 fv_fnma(fv_x16 a, fv_x16 b, fv_x16 c) { return fmaf(-a, b, c); }
FV_INLINE fv_x16 fv_min(fv_x16 a, fv_x16 b) { return a < b ? a : b; }
FV_INLINE fv_x16 fv_max(fv_x16 a, fv_x16 b) { return a > b ? a : b; }
FV_INLINE fv_x16 fv_round(fv_x16 x) { return rintf(x); }
FV_INLINE fv_m16 fv_lt(fv_x16 a, fv_x16 b) { return a < b; }
FV_INLINE fv_m16 fv_eq(fv_x16 a, fv_x16 b) { return a == b; }
FV_INLINE fv_m16 fv_ieq(fv_i16 i, fv_i16 j) { return i == j; }
FV_INLINE fv_x16 fv_select(fv_m16 m, fv_x16 a, fv_x16 b) { return m ? a : b; }
FV_INLINE fv_i16 fv_iselect(fv_m16 m, fv_i16 i, fv_i16 j) { return m ? i : j; }

/* Sums and shifts wrap: through unsigned. */
FV_INLINE fv_i16 fv_iset1(int32_t i) { return i; }
FV_INLINE fv_i16 fv_iadd(fv_i16 i, fv_i16 j) { return (fv_i16)((uint32_t)i + (uint32_t)j); }
FV_INLINE fv_i16 fv_isub(fv_i16 i, fv_i16 j) { return (fv_i16)((uint32_t)i - (uint32_t)j); }
FV_INLINE fv_i16 fv_iand(fv_i16 i, fv_i16 j) { return i & j; }
FV_INLINE fv_i16 fv_ior(fv_i16 i, fv_i16 j) { return i | j; }
FV_INLINE fv_i16 fv_ixor(fv_i16 i, fv_i16 j) { return i ^ j; }
FV_INLINE fv_i16 fv_ishl(fv_i16 i, int c) { return (fv_i16)((uint32_t)i << c); }
FV_INLINE fv_i16 fv_ishr(fv_i16 i, int c) { return (fv_i16)((uint32_t)i >> c); }
FV_INLINE fv_i16 fv_isra(fv_i16 i, int c) { return i >> c; }
FV_INLINE fv_x16 fv_to_float(fv_i16 i) { return (float)i; }

FV_INLINE float fv_widen_bf16(uint16_t h) { return fv_from_bits((fv_i16)((uint32_t)h << 16)); }

/* To nearest even; a NaN stays one: as fv_store_bf16_n of cpu/simd.h. */
FV_INLINE uint16_t fv_round_bf16(float x) {
    uint32_t u = (uint32_t)fv_bits(x);
    return (uint16_t)((x == x ? u + 0x7fffu + (u >> 16 & 1u) : u | 0x400000u) >> 16);
}

#endif
