/* The primitives of cpu/simd.h on AVX-512: a virtual vector is one register. */
#ifndef FV_CPU_SIMD_AVX512_H
#define FV_CPU_SIMD_AVX512_H

#include <immintrin.h>

typedef __m512 fv_x16;
typedef __m512i fv_i16;
typedef __mmask16 fv_m16;
typedef struct { __m512d low, high; } fv_d16;

FV_INLINE fv_m16 fv_mask_n(int n) { return (fv_m16)((1u << n) - 1u); }
FV_INLINE uint32_t fv_mask_bits(fv_m16 m) { return m; }

FV_INLINE fv_x16 fv_zero(void) { return _mm512_setzero_ps(); }
FV_INLINE fv_x16 fv_set1(float f) { return _mm512_set1_ps(f); }
FV_INLINE fv_x16 fv_load(const float *p) { return _mm512_loadu_ps(p); }
FV_INLINE fv_x16 fv_load_raw(const void *p) { return _mm512_castsi512_ps(_mm512_loadu_si512(p)); }
FV_INLINE void fv_store(float *p, fv_x16 x) { _mm512_storeu_ps(p, x); }
FV_INLINE fv_x16 fv_load_n(const float *p, int n) { return _mm512_maskz_loadu_ps(fv_mask_n(n), p); }
FV_INLINE void fv_store_n(float *p, fv_x16 x, int n) { _mm512_mask_storeu_ps(p, fv_mask_n(n), x); }

FV_INLINE fv_x16 fv_widen_bf16_(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
FV_INLINE fv_x16 fv_load_bf16(const uint16_t *p) { return fv_widen_bf16_(_mm256_loadu_si256((const void *)p)); }
FV_INLINE fv_x16 fv_load_bf16_n(const uint16_t *p, int n) { return fv_widen_bf16_(_mm256_maskz_loadu_epi16(fv_mask_n(n), p)); }

FV_INLINE fv_x16 fv_add(fv_x16 a, fv_x16 b) { return _mm512_add_ps(a, b); }
FV_INLINE fv_x16 fv_sub(fv_x16 a, fv_x16 b) { return _mm512_sub_ps(a, b); }
FV_INLINE fv_x16 fv_mul(fv_x16 a, fv_x16 b) { return _mm512_mul_ps(a, b); }
FV_INLINE fv_x16 fv_div(fv_x16 a, fv_x16 b) { return _mm512_div_ps(a, b); }
FV_INLINE fv_x16 fv_sqrt(fv_x16 a) { return _mm512_sqrt_ps(a); }
FV_INLINE fv_x16 fv_fma(fv_x16 a, fv_x16 b, fv_x16 c) { return _mm512_fmadd_ps(a, b, c); }
FV_INLINE fv_x16 fv_fnma(fv_x16 a, fv_x16 b, fv_x16 c) { return _mm512_fnmadd_ps(a, b, c); }
FV_INLINE fv_x16 fv_min(fv_x16 a, fv_x16 b) { return _mm512_min_ps(a, b); }
FV_INLINE fv_x16 fv_max(fv_x16 a, fv_x16 b) { return _mm512_max_ps(a, b); }
FV_INLINE fv_x16 fv_round(fv_x16 x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }

FV_INLINE fv_m16 fv_lt(fv_x16 a, fv_x16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
FV_INLINE fv_m16 fv_le(fv_x16 a, fv_x16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
FV_INLINE fv_m16 fv_eq(fv_x16 a, fv_x16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
FV_INLINE fv_m16 fv_ieq(fv_i16 i, fv_i16 j) { return _mm512_cmpeq_epi32_mask(i, j); }
FV_INLINE fv_m16 fv_igt(fv_i16 i, fv_i16 j) { return _mm512_cmpgt_epi32_mask(i, j); }
FV_INLINE fv_x16 fv_select(fv_m16 m, fv_x16 a, fv_x16 b) { return _mm512_mask_blend_ps(m, b, a); }
FV_INLINE fv_i16 fv_iselect(fv_m16 m, fv_i16 i, fv_i16 j) { return _mm512_mask_blend_epi32(m, j, i); }

FV_INLINE fv_i16 fv_iset1(int32_t i) { return _mm512_set1_epi32(i); }
FV_INLINE fv_i16 fv_iload(const int32_t *p) { return _mm512_loadu_si512(p); }
FV_INLINE void fv_istore(int32_t *p, fv_i16 i) { _mm512_storeu_si512(p, i); }
FV_INLINE fv_i16 fv_iadd(fv_i16 i, fv_i16 j) { return _mm512_add_epi32(i, j); }
FV_INLINE fv_i16 fv_isub(fv_i16 i, fv_i16 j) { return _mm512_sub_epi32(i, j); }
FV_INLINE fv_i16 fv_iand(fv_i16 i, fv_i16 j) { return _mm512_and_si512(i, j); }
FV_INLINE fv_i16 fv_ior(fv_i16 i, fv_i16 j) { return _mm512_or_si512(i, j); }
FV_INLINE fv_i16 fv_ixor(fv_i16 i, fv_i16 j) { return _mm512_xor_si512(i, j); }
FV_INLINE fv_i16 fv_ishl(fv_i16 i, unsigned c) { return _mm512_slli_epi32(i, c); }
FV_INLINE fv_i16 fv_ishr(fv_i16 i, unsigned c) { return _mm512_srli_epi32(i, c); }
FV_INLINE fv_i16 fv_isra(fv_i16 i, unsigned c) { return _mm512_srai_epi32(i, c); }
FV_INLINE fv_i16 fv_to_int(fv_x16 x) { return _mm512_cvttps_epi32(x); }
FV_INLINE fv_x16 fv_to_float(fv_i16 i) { return _mm512_cvtepi32_ps(i); }
FV_INLINE fv_i16 fv_bits(fv_x16 x) { return _mm512_castps_si512(x); }
FV_INLINE fv_x16 fv_from_bits(fv_i16 i) { return _mm512_castsi512_ps(i); }

FV_INLINE float fv_hsum(fv_x16 x) {
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

FV_INLINE float fv_hmax(fv_x16 x) {
    __m256 s = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

FV_INLINE void fv_store_low_halves_n_(uint16_t *p, fv_i16 i, int n) {
    _mm512_mask_cvtepi32_storeu_epi16(p, fv_mask_n(n), i);
}

/* Four rounds, each exchanging blocks of the lane numbers' next bit: 1, 2 within quarters, 4, 8 between them. */
FV_INLINE void fv_transpose(fv_x16 x[16]) {
    __m512 t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(x[i], x[i + 1]));
        __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(x[i], x[i + 1]));
        __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(x[i + 2], x[i + 3]));
        __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(x[i + 2], x[i + 3]));
        t[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        t[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        t[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        t[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        __m512 c = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        x[i] = _mm512_shuffle_f32x4(a, b, 0x88);
        x[i + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
        x[i + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
        x[i + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

FV_INLINE fv_d16 fv_dzero(void) { return (fv_d16){ _mm512_setzero_pd(), _mm512_setzero_pd() }; }

FV_INLINE __m512d fv_upper_(fv_x16 x) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(x, 1)); }
FV_INLINE __m512d fv_lower_(fv_x16 x) { return _mm512_cvtps_pd(_mm512_castps512_ps256(x)); }

FV_INLINE fv_d16 fv_dfma(fv_x16 x, fv_x16 y, fv_d16 d) {
    return (fv_d16){ _mm512_fmadd_pd(fv_lower_(x), fv_lower_(y), d.low), _mm512_fmadd_pd(fv_upper_(x), fv_upper_(y), d.high) };
}

FV_INLINE double fv_dsum(fv_d16 d) {
    __m512d s = _mm512_add_pd(d.low, d.high);
    __m256d t = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
    __m128d u = _mm_add_pd(_mm256_castpd256_pd128(t), _mm256_extractf128_pd(t, 1));
    return _mm_cvtsd_f64(_mm_add_sd(u, _mm_unpackhi_pd(u, u)));
}

#endif
