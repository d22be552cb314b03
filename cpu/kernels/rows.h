/* Walking along rows sixteen lanes at a time, and splitting rows among threads. Included by kernels, after cpu/simd.h. */
#ifndef FV_CPU_KERNELS_ROWS_H
#define FV_CPU_KERNELS_ROWS_H

#include "core/ops.h"
#include "cpu/simd.h"

/* How many lanes the step at `left` elements before the end has. */
FV_INLINE int fv_part(int64_t left) { return left < FV_LANES ? (int)left : FV_LANES; }

FV_INLINE fv_x16 fv_load_part(const float *p, int n) { return n == FV_LANES ? fv_load(p) : fv_load_n(p, n); }

FV_INLINE void fv_store_part(float *p, fv_x16 x, int n) {
    if (n == FV_LANES) fv_store(p, x);
    else fv_store_n(p, x, n);
}

/* n elements of an f32 or bf16 view, from element `at` on. */
FV_INLINE fv_x16 fv_load_view(fv_view v, int64_t at, int n) {
    if (v.dtype == FV_F32) return fv_load_part((const float *)v.data + at, n);
    const uint16_t *p = (const uint16_t *)v.data + at;
    return n == FV_LANES ? fv_load_bf16(p) : fv_load_bf16_n(p, n);
}

/* Rows (or columns, or items) a thread takes at least, when one costs about `cost` multiply-adds: some microseconds' work. */
FV_INLINE int64_t fv_grain(int64_t cost) { return 1 + 32768 / (cost > 0 ? cost : 1); }

FV_INLINE int fv_workers(const fv_exec *x) { return x->pool != NULL ? fv_pool_threads(x->pool) : 1; }

#endif
