/* The primitives of cpu/simd.h on AVX2 and FMA: a virtual vector is two registers, lanes 0..7 and 8..15. */
#ifndef FV_CPU_SIMD_AVX2_H
#define FV_CPU_SIMD_AVX2_H

#include <immintrin.h>

typedef struct { __m256 low, high; } fv_x16;
typedef struct { __m256i low, high; } fv_i16;
typedef fv_i16 fv_m16; /* all ones or zero in each lane */
typedef struct { __m256d part[4]; } fv_d16;

/* f of both halves, for one, two or three arguments. */
#define FV_HALVES_1_(type, f, a) ((type){ f((a).low), f((a).high) })
#define FV_HALVES_2_(type, f, a, b) ((type){ f((a).low, (b).low), f((a).high, (b).high) })
#define FV_HALVES_3_(type, f, a, b, c) ((type){ f((a).low, (b).low, (c).low), f((a).high, (b).high, (c).high) })

FV_INLINE fv_i16 fv_iset1(int32_t i) { return (fv_i16){ _mm256_set1_epi32(i), _mm256_set1_epi32(i) }; }
FV_INLINE fv_x16 fv_set1(float f) { return (fv_x16){ _mm256_set1_ps(f), _mm256_set1_ps(f) }; }
FV_INLINE fv_x16 fv_zero(void) { return fv_set1(0.0f); }

FV_INLINE fv_m16 fv_mask_n(int n) {
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (fv_m16){ _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane), _mm256_cmpgt_epi32(_mm256_set1_epi32(n - 8), lane) };
}
FV_INLINE uint32_t fv_mask_bits(fv_m16 m) {
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(m.low)) |
           (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(m.high)) << 8;
}

FV_INLINE fv_x16 fv_load(const float *p) { return (fv_x16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
FV_INLINE fv_x16 fv_load_raw(const void *p) {
    const __m256i *half = p;
    return (fv_x16){ _mm256_castsi256_ps(_mm256_loadu_si256(half)), _mm256_castsi256_ps(_mm256_loadu_si256(half + 1)) };
}
FV_INLINE void fv_store(float *p, fv_x16 x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}
FV_INLINE fv_x16 fv_load_n(const float *p, int n) {
    fv_m16 m = fv_mask_n(n);
    return (fv_x16){ _mm256_maskload_ps(p, m.low), n > 8 ? _mm256_maskload_ps(p + 8, m.high) : _mm256_setzero_ps() };
}
FV_INLINE void fv_store_n(float *p, fv_x16 x, int n) {
    fv_m16 m = fv_mask_n(n);
    _mm256_maskstore_ps(p, m.low, x.low);
    if (n > 8) _mm256_maskstore_ps(p + 8, m.high, x.high);
}

FV_INLINE __m256 fv_widen_bf16_(const uint16_t *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)p)), 16));
}
FV_INLINE fv_x16 fv_load_bf16(const uint16_t *p) { return (fv_x16){ fv_widen_bf16_(p), fv_widen_bf16_(p + 8) }; }
FV_INLINE fv_x16 fv_load_bf16_n(const uint16_t *p, int n) {
    uint16_t lane[16] = { 0 };
    for (int l = 0; l < n; l++) lane[l] = p[l];
    return fv_load_bf16(lane);
}

FV_INLINE fv_x16 fv_add(fv_x16 a, fv_x16 b) { return FV_HALVES_2_(fv_x16, _mm256_add_ps, a, b); }
FV_INLINE fv_x16 fv_sub(fv_x16 a, fv_x16 b) { return FV_HALVES_2_(fv_x16, _mm256_sub_ps, a, b); }
FV_INLINE fv_x16 fv_mul(fv_x16 a, fv_x16 b) { return FV_HALVES_2_(fv_x16, _mm256_mul_ps, a, b); }
FV_INLINE fv_x16 fv_div(fv_x16 a, fv_x16 b) { return FV_HALVES_2_(fv_x16, _mm256_div_ps, a, b); }
FV_INLINE fv_x16 fv_sqrt(fv_x16 a) { return FV_HALVES_1_(fv_x16, _mm256_sqrt_ps, a); }
FV_INLINE fv_x16 fv_fma(fv_x16 a, fv_x16 b, fv_x16 c) { return FV_HALVES_3_(fv_x16, _mm256_fmadd_ps, a, b, c); }
FV_INLINE fv_x16 fv_fnma(fv_x16 a, fv_x16 b, fv_x16 c) { return FV_HALVES_3_(fv_x16, _mm256_fnmadd_ps, a, b, c); }
FV_INLINE fv_x16 fv_min(fv_x16 a, fv_x16 b) { return FV_HALVES_2_(fv_x16, _mm256_min_ps, a, b); }
FV_INLINE fv_x16 fv_max(fv_x16 a, fv_x16 b) { return FV_HALVES_2_(fv_x16, _mm256_max_ps, a, b); }
#define FV_ROUND_HALF_(h) _mm256_round_ps(h, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
FV_INLINE fv_x16 fv_round(fv_x16 x) { return FV_HALVES_1_(fv_x16, FV_ROUND_HALF_, x); }

#define FV_COMPARE_(rule, a, b)                                                                                        \
    ((fv_m16){ _mm256_castps_si256(_mm256_cmp_ps((a).low, (b).low, rule)),                                             \
               _mm256_castps_si256(_mm256_cmp_ps((a).high, (b).high, rule)) })
FV_INLINE fv_m16 fv_lt(fv_x16 a, fv_x16 b) { return FV_COMPARE_(_CMP_LT_OQ, a, b); }
FV_INLINE fv_m16 fv_le(fv_x16 a, fv_x16 b) { return FV_COMPARE_(_CMP_LE_OQ, a, b); }
FV_INLINE fv_m16 fv_eq(fv_x16 a, fv_x16 b) { return FV_COMPARE_(_CMP_EQ_OQ, a, b); }
FV_INLINE fv_m16 fv_ieq(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_m16, _mm256_cmpeq_epi32, i, j); }
FV_INLINE fv_m16 fv_igt(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_m16, _mm256_cmpgt_epi32, i, j); }
FV_INLINE fv_x16 fv_select(fv_m16 m, fv_x16 a, fv_x16 b) {
    return (fv_x16){ _mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(m.low)),
                     _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(m.high)) };
}
FV_INLINE fv_i16 fv_iselect(fv_m16 m, fv_i16 i, fv_i16 j) {
    return (fv_i16){ _mm256_blendv_epi8(j.low, i.low, m.low), _mm256_blendv_epi8(j.high, i.high, m.high) };
}

FV_INLINE fv_i16 fv_iload(const int32_t *p) {
    return (fv_i16){ _mm256_loadu_si256((const void *)p), _mm256_loadu_si256((const void *)(p + 8)) };
}
FV_INLINE void fv_istore(int32_t *p, fv_i16 i) {
    _mm256_storeu_si256((void *)p, i.low);
    _mm256_storeu_si256((void *)(p + 8), i.high);
}
FV_INLINE fv_i16 fv_iadd(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_i16, _mm256_add_epi32, i, j); }
FV_INLINE fv_i16 fv_isub(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_i16, _mm256_sub_epi32, i, j); }
FV_INLINE fv_i16 fv_iand(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_i16, _mm256_and_si256, i, j); }
FV_INLINE fv_i16 fv_ior(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_i16, _mm256_or_si256, i, j); }
FV_INLINE fv_i16 fv_ixor(fv_i16 i, fv_i16 j) { return FV_HALVES_2_(fv_i16, _mm256_xor_si256, i, j); }
FV_INLINE fv_i16 fv_ishl(fv_i16 i, int c) { return (fv_i16){ _mm256_slli_epi32(i.low, c), _mm256_slli_epi32(i.high, c) }; }
FV_INLINE fv_i16 fv_ishr(fv_i16 i, int c) { return (fv_i16){ _mm256_srli_epi32(i.low, c), _mm256_srli_epi32(i.high, c) }; }
FV_INLINE fv_i16 fv_isra(fv_i16 i, int c) { return (fv_i16){ _mm256_srai_epi32(i.low, c), _mm256_srai_epi32(i.high, c) }; }
FV_INLINE fv_i16 fv_to_int(fv_x16 x) { return FV_HALVES_1_(fv_i16, _mm256_cvttps_epi32, x); }
FV_INLINE fv_x16 fv_to_float(fv_i16 i) { return FV_HALVES_1_(fv_x16, _mm256_cvtepi32_ps, i); }
FV_INLINE fv_i16 fv_bits(fv_x16 x) { return FV_HALVES_1_(fv_i16, _mm256_castps_si256, x); }
FV_INLINE fv_x16 fv_from_bits(fv_i16 i) { return FV_HALVES_1_(fv_x16, _mm256_castsi256_ps, i); }

FV_INLINE float fv_hsum(fv_x16 x) {
    __m256 s = _mm256_add_ps(x.low, x.high);
    __m128 t = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_add_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_add_ss(t, _mm_movehdup_ps(t)));
}

FV_INLINE float fv_hmax(fv_x16 x) {
    __m256 s = _mm256_max_ps(x.low, x.high);
    __m128 t = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    t = _mm_max_ps(t, _mm_movehl_ps(t, t));
    return _mm_cvtss_f32(_mm_max_ss(t, _mm_movehdup_ps(t)));
}

FV_INLINE void fv_store_low_halves_n_(uint16_t *p, fv_i16 i, int n) {
    __m256i mixed = _mm256_packus_epi32(i.low, i.high); /* quarters 0 2 1 3 */
    uint16_t lane[16];
    _mm256_storeu_si256((void *)(n == 16 ? p : lane), _mm256_permute4x64_epi64(mixed, 0xd8));
    for (int l = 0; n < 16 && l < n; l++) p[l] = lane[l];
}

FV_INLINE void fv_transpose_8_(__m256 x[8]) {
    __m256 t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        __m256 a = _mm256_unpacklo_ps(x[i], x[i + 1]), b = _mm256_unpackhi_ps(x[i], x[i + 1]);
        __m256 c = _mm256_unpacklo_ps(x[i + 2], x[i + 3]), d = _mm256_unpackhi_ps(x[i + 2], x[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}

/* By quarters: the two off the diagonal change places. */
FV_INLINE void fv_transpose(fv_x16 x[16]) {
    __m256 a[8], b[8], c[8], d[8];
    for (int i = 0; i < 8; i++) a[i] = x[i].low, b[i] = x[i].high, c[i] = x[i + 8].low, d[i] = x[i + 8].high;
    fv_transpose_8_(a);
    fv_transpose_8_(b);
    fv_transpose_8_(c);
    fv_transpose_8_(d);
    for (int i = 0; i < 8; i++) x[i] = (fv_x16){ a[i], c[i] }, x[i + 8] = (fv_x16){ b[i], d[i] };
}

FV_INLINE fv_d16 fv_dzero(void) {
    __m256d zero = _mm256_setzero_pd();
    return (fv_d16){ { zero, zero, zero, zero } };
}

FV_INLINE fv_d16 fv_dfma(fv_x16 x, fv_x16 y, fv_d16 d) {
    __m128 a[4] = { _mm256_castps256_ps128(x.low), _mm256_extractf128_ps(x.low, 1), _mm256_castps256_ps128(x.high),
                    _mm256_extractf128_ps(x.high, 1) };
    __m128 b[4] = { _mm256_castps256_ps128(y.low), _mm256_extractf128_ps(y.low, 1), _mm256_castps256_ps128(y.high),
                    _mm256_extractf128_ps(y.high, 1) };
    for (int i = 0; i < 4; i++) d.part[i] = _mm256_fmadd_pd(_mm256_cvtps_pd(a[i]), _mm256_cvtps_pd(b[i]), d.part[i]);
    return d;
}

FV_INLINE double fv_dsum(fv_d16 d) {
    __m256d t = _mm256_add_pd(_mm256_add_pd(d.part[0], d.part[2]), _mm256_add_pd(d.part[1], d.part[3]));
    __m128d u = _mm_add_pd(_mm256_castpd256_pd128(t), _mm256_extractf128_pd(t, 1));
    return _mm_cvtsd_f64(_mm_add_sd(u, _mm_unpackhi_pd(u, u)));
}

#endif
