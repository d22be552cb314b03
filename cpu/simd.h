/* Sixteen virtual lanes, the same on every machine. A kernel in cpu/kernels/ is written once over the types and functions
 * here and compiled for each instruction set: one 512-bit register, two of 256 bits, or sixteen floats. Every primitive is
 * exact in IEEE's sense (one rounding, to nearest even) and fused multiply-adds are written where they are wanted, so all
 * builds give the same bits. There are no reciprocal approximations and no flush to zero.
 *
 * The build defines FV_ISA (scalar, avx2, avx512) and FV_ISA_<it>. A public kernel is `void FV_KERNEL(rms_norm)(...)`,
 * which becomes fv_cpu_<isa>_rms_norm; cpu/cpu.h declares it. Everything else in a kernel's file is static.
 *
 * Primitives, from simd_<isa>.h; x, y, a, b are fv_x16 (f32), i, j are fv_i16 (i32), m is fv_m16 (a mask):
 *   fv_load(p) fv_store(p, x)          16 floats, any alignment
 *   fv_load_n(p, n) fv_store_n(p, x, n)  the first n (0..16) floats; the other lanes load as 0 and are not touched in memory
 *   fv_load_raw(p)                     64 bytes of anything as they are
 *   fv_load_bf16(p) fv_load_bf16_n(p, n) u16 storage, widened exactly
 *   fv_set1(f) fv_zero()
 *   fv_add fv_sub fv_mul fv_div fv_sqrt
 *   fv_fma(a, b, c)                    a * b + c, one rounding;   fv_fnma(a, b, c) = c - a * b
 *   fv_min(a, b) fv_max(a, b)          a < b ? a : b and a > b ? a : b: the second where either is NaN or both are zeros
 *   fv_round(x)                        to the nearest integer, ties to even
 *   fv_lt fv_le fv_eq (a, b)           ordered: false where either is NaN;   fv_ieq(i, j) fv_igt(i, j) signed
 *   fv_select(m, a, b)                 m ? a : b;   fv_iselect(m, i, j)
 *   fv_mask_n(n)                       the first n lanes;   fv_mask_bits(m) bit l for lane l
 *   fv_iset1 fv_iload(p) fv_istore(p, i) fv_iadd fv_isub fv_iand fv_ior fv_ixor
 *   fv_ishl(i, c) fv_ishr(i, c) fv_isra(i, c)   by a constant; ishr shifts zeros in, isra the sign
 *   fv_to_int(x)                       towards zero; INT32_MIN where it does not fit
 *   fv_to_float(i)                     to nearest
 *   fv_bits(x) fv_from_bits(i)         the same 32 bits
 *   fv_hsum(x) fv_hmax(x)              over the lanes, in the fixed tree: l + (l + 8), then + 4, + 2, + 1
 *   fv_transpose(x)                    of an array x[16]: lane i of x[j] and lane j of x[i] change places
 * and for sums in double: fv_d16, fv_dzero(), fv_dfma(x, y, d) = d + (double)x * (double)y, fv_dsum(d) in the same tree. */
#ifndef FV_CPU_SIMD_H
#define FV_CPU_SIMD_H

#include <stdint.h>

#define FV_INLINE static inline __attribute__((always_inline))

#define FV_PASTE_(isa, name) fv_cpu_##isa##_##name
#define FV_PASTE(isa, name) FV_PASTE_(isa, name)
#define FV_KERNEL(name) FV_PASTE(FV_ISA, name)

enum { FV_LANES = 16 };

#if defined(FV_ISA_avx512)
#include "cpu/simd_avx512.h"
#elif defined(FV_ISA_avx2)
#include "cpu/simd_avx2.h"
#elif defined(FV_ISA_scalar)
#include "cpu/simd_scalar.h"
#else
#error "cpu/simd.h is for cpu/kernels/, which are compiled with FV_ISA_scalar, FV_ISA_avx2 or FV_ISA_avx512"
#endif

/* The first n (0..16) lanes as bf16: to nearest even; a NaN stays one. */
FV_INLINE void fv_store_bf16_n(uint16_t *p, fv_x16 x, int n) {
    fv_i16 u = fv_bits(x);
    fv_i16 odd = fv_iand(fv_ishr(u, 16), fv_iset1(1));
    fv_i16 rounded = fv_iadd(u, fv_iadd(fv_iset1(0x7fff), odd));
    fv_i16 quiet = fv_ior(u, fv_iset1(0x400000));
    fv_store_low_halves_n_(p, fv_ishr(fv_iselect(fv_eq(x, x), rounded, quiet), 16), n);
}

#include "core/lane_math.h"

#endif
