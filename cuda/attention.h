/* The ways to compute attention of the bf16 table, which tests and timings ask for by name. */
#ifndef FV_CUDA_ATTENTION_H
#define FV_CUDA_ATTENTION_H

#ifdef __cplusplus
extern "C" {
#endif
#include "core/ops.h"

/* chunks: of positions, each by a block of its own; mma, wgmma: a block walks all keys of its queries, by the one instruction or the other. All have the same bits. */
typedef enum { FV_ATTEND_BEST, FV_ATTEND_CHUNKS, FV_ATTEND_MMA, FV_ATTEND_WGMMA } fv_attend_way;

/* The operation, on pages in bf16. wgmma: where fv_wgmma_runs (cuda/products.h). */
void fv_cuda_attend(fv_attend_way way, const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a);

/* Its way back. dq has the same bits both ways; gradients of pages are added up in another order by wgmma. */
void fv_cuda_attend_back(bool by_wgmma, const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view keys,
                         fv_view values, const fv_attention *a);

#ifdef __cplusplus
}
#endif

#endif
