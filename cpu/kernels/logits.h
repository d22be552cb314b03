/* One row of logits to its log-softmax: the routine that log-probs, their way back, whole-vocabulary statistics and sampling
 * share, so that a token has the same log-prob wherever it is asked for. */
#ifndef FV_CPU_KERNELS_LOGITS_H
#define FV_CPU_KERNELS_LOGITS_H

#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

/* Rows are taken in blocks whose logits fit here: enough rows to keep the matrix product busy with a vocabulary of 150,000. */
enum { LOGITS_BYTES = 32 << 20 };

FV_INLINE int64_t fv_logits_rows(int64_t vocabulary, int64_t rows) {
    int64_t most = LOGITS_BYTES / (vocabulary * (int64_t)sizeof(float));
    if (most > 16) most -= most % 16;
    if (most < 1) most = 1;
    return rows < most ? rows : most;
}

/* logits [rows, vocabulary] = hidden[first .. first + rows) @ weight^T */
FV_INLINE void fv_logits(const fv_exec *x, float *logits, fv_view hidden, int64_t first, int64_t rows, fv_head head) {
    fv_view out = fv_mat(logits, rows, head.weight.shape[0]);
    FV_KERNEL(linear)(x, &(fv_linear_map){.y = out, .w = head.weight, .packed = head.packed}, 1, fv_slice(hidden, first, rows));
}

typedef struct {
    float max, log_sum, entropy;
} fv_softmax;

/* Divides a row by its temperature, in place, and returns the maximum. */
FV_INLINE float fv_logits_cool(float *row, int64_t n, float temperature) {
    fv_x16 max = fv_set1(-__builtin_inff()), t = fv_set1(temperature);
    bool warm = temperature != 1.0f; /* x / 1 is x */
    for (int64_t v = 0; v < n; v += FV_LANES) {
        int part = fv_part(n - v);
        fv_x16 x = fv_load_part(row + v, part);
        if (warm) fv_store_part(row + v, x = fv_div(x, t), part);
        if (part < FV_LANES) x = fv_select(fv_mask_n(part), x, max);
        max = fv_max(x, max);
    }
    return fv_hmax(max);
}

/* The row after fv_logits_cool: log sum_v e^(x_v - max), and the entropy log_sum - sum_v e^(x_v - max) (x_v - max) / sum. */
FV_INLINE fv_softmax fv_logits_softmax(const float *row, int64_t n, float max) {
    fv_x16 sum = fv_zero(), weighted = fv_zero(), m = fv_set1(max);
    for (int64_t v = 0; v < n; v += FV_LANES) {
        int part = fv_part(n - v);
        fv_x16 x = fv_sub(fv_load_part(row + v, part), m), e = fv_exp(x);
        if (part < FV_LANES) e = fv_select(fv_mask_n(part), e, fv_zero());
        sum = fv_add(sum, e);
        weighted = fv_fma(e, x, weighted);
    }
    float total = fv_hsum(sum), lane[FV_LANES];
    fv_store(lane, fv_log(fv_set1(total)));
    return (fv_softmax){max, lane[0], lane[0] - fv_hsum(weighted) / total};
}

FV_INLINE float fv_logits_logp(const float *row, int64_t id, float max, float log_sum) {
    return (row[id] - max) - log_sum;
}

#endif
