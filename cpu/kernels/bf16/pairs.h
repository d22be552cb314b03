/* Pairs of bf16 in 32 bits, sixteen of them a vector: what the processor's dot products (AVX512_BF16) take. Beside cpu/simd.h, whose fv_x16 carries them as bits. */
#ifndef FV_CPU_KERNELS_BF16_PAIRS_H
#define FV_CPU_KERNELS_BF16_PAIRS_H

#include "cpu/simd.h"

enum { FV_PAIR_NUMBERS = 2 * FV_LANES };

/* sum + a.low * b.low + a.high * b.high in each lane, as the chip adds them: tiny numbers are taken for 0, whatever the mode. */
FV_INLINE fv_x16 fv_dot_pairs(fv_x16 a, fv_x16 b, fv_x16 sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* The first n (0..32) numbers at p as pairs (p[0], p[1]), (p[2], p[3]), ...; zeros beyond. */
FV_INLINE fv_x16 fv_load_pairs_bf16(const uint16_t *p, int n) {
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(n >= FV_PAIR_NUMBERS ? ~0u : (1u << n) - 1u, p));
}
FV_INLINE fv_x16 fv_load_pairs_f32(const float *p, int n) {
    fv_x16 low = fv_load_n(p, n < FV_LANES ? n : FV_LANES), high = n > FV_LANES ? fv_load_n(p + FV_LANES, n - FV_LANES) : fv_zero();
    return (fv_x16)_mm512_cvtne2ps_pbh(high, low);
}

/* Lane l: (low[l], high[l]), rounded to bf16. */
FV_INLINE fv_x16 fv_join_pairs(fv_x16 low, fv_x16 high) {
    __m512i l = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low)), h = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
    return _mm512_castsi512_ps(_mm512_or_si512(l, _mm512_slli_epi32(h, 16)));
}

#endif
