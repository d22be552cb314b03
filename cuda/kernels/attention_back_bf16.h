/* What the two ways back through attention on tensor cores share (mma.sync, and wgmma where there is a Hopper; cuda/kernels/attention_back.h has the formulas). */
#ifndef FV_CUDA_KERNELS_ATTENTION_BACK_BF16_H
#define FV_CUDA_KERNELS_ATTENTION_BACK_BF16_H

#include "cuda/kernels/attention_back.h"
#include "cuda/kernels/attention_bf16.h"

/* A query's log-sum-exp, times log2 e, and delta = dout . out, as they are copied: p is 2 to the power of q . key scale log2 e - lse. */
typedef struct {
    float lse, delta;
    int32_t first, limit;
} __attribute__((aligned(16))) fv_tc_row_stats;

typedef struct {
    fv_back_job b;
    const char *keys, *values; /* pages in bf16 */
    char *q, *dout;            /* [kv_heads, tiles, parts] blocks [query][column] */
    fv_tc_row_stats *row_stats;    /* [kv_heads, tiles, queries]; those beyond the last see nothing */
    const int32_t *pairs;      /* [pair_count] pairs of a run's tiles, by the first's number; -1 - number: of one tile */
    int64_t pair_count;
} fv_tc_back_job;

/* p and ds, from q . key and dout . value, which they take the places of. */
FV_DEVICE void fv_tc_back_weigh(const fv_tc_row_stats *y, float *s, float *dp, int32_t position, float exponent, float scale) {
    bool sees = position >= y->first && position < y->limit;
    float p = sees ? fv_exp2_near(fv_fma(*s, exponent, -y->lse)) : 0;
    *s = p;
    *dp = fv_mul(fv_mul(p, fv_sub(*dp, y->delta)), scale);
}

FV_DEVICE void fv_tc_add_dq(const fv_back_job *j, const fv_tile *t, const float *dq, int row, int kv_head, const int parts) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + lane / 4 + h * 8;
        if (u >= t->n) continue;
        float *to = j->dq + fv_query_at(&j->plan, t, kv_head, u) * j->plan.dim;
#pragma unroll
        for (int e = 0; e < parts * FV_TC_WIDE * 2; e++) {
            int d = e / 2 * 8 + lane % 4 * 2 + e % 2;
            if (d < j->plan.dim) to[d] = fv_add(to[d], dq[e / 2 * 4 + h * 2 + e % 2]);
        }
    }
}

/* A warp's sums of sixteen keys into the gradients' pages, which are f32. */
FV_DEVICE void fv_tc_add_bundle(const fv_back_job *j, const float *dkeys, const float *dvalues, const int32_t *pages, int count, int kv_head, const int parts) {
    int lane = FV_THREAD % 32, c = FV_THREAD / 32 % 4, dim = j->plan.dim; /* a warp's keys are a page */
    if (c >= count) return;
    int64_t panel = fv_panel_at(&j->plan, pages[c], kv_head);
#pragma unroll
    for (int e = 0; e < parts * FV_TC_WIDE * 4; e++) {
        int slot = lane / 4 + e / 2 % 2 * 8, d = e / 4 * 8 + lane % 4 * 2 + e % 2;
        if (d >= dim) continue;
        float *key = j->dkeys + panel + d * FV_PAGE + slot, *value = j->dvalues + panel + slot * dim + d;
        *key = fv_add(*key, dkeys[e]);
        *value = fv_add(*value, dvalues[e]);
    }
}

/* dq, dkeys and dvalues on Hopper's own instructions (cuda/kernels/attention_back_wgmma.cu). */
FV_TABLE_OP void fv_attend_back_wgmma(const fv_tc_back_job *j);

#endif
