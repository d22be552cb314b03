/* Attention of runs (core/ops.h: attend_runs) in the bf16 table: by cuDNN where it is there, else over pages in bf16. */
#ifndef FV_CUDA_RUNS_H
#define FV_CUDA_RUNS_H

#ifdef __cplusplus
extern "C" {
#endif
#include "core/ops.h"

/* Opens cuDNN, once for the process and before anything is computed, unless `wanted` says no: who does the runs of a kind of head never changes afterwards. False: there is none. */
bool fv_cuda_runs_open(bool wanted);
/* Who has done them so far, for reports: "cuDNN 91900", or why it does not, or not for all heads, in its words. Until the next call. */
const char *fv_cuda_runs_by(void);

/* cuda/kernels/runs.cu: numbers on their way to cuDNN and back. */

enum { FV_ROUNDED_MOST = 5 };

/* `count` arrays of `n` numbers, f32 on one side and bf16 on the other; n is a multiple of 8, all are aligned to 16 bytes. And for each of n_stats rows' heads cuDNN's one number, the log of a sum,
 * beside the two of stats, a largest score and a sum: (log, 1). n_stats <= n / 8; 0: none. */
typedef struct {
    float *wide[FV_ROUNDED_MOST];
    uint16_t *narrow[FV_ROUNDED_MOST];
    int count;
    int64_t n, n_stats;
    float *stats, *log;
} fv_rounding;

void fv_cuda_round(const fv_rounding *j);            /* narrow = wide, log = stats */
void fv_cuda_widen(const fv_rounding *j, bool adds); /* wide = narrow, or += ; stats = log */

#ifdef __cplusplus
}
#endif

#endif
