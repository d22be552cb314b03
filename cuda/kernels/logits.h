/* One row of logits to its log-softmax: what log-probs, their way back, whole-vocabulary statistics and sampling share, so that a token has
 * the same log-prob wherever it is asked for. Sixteen threads are a row's sixteen lanes, in the CPU's order of additions. */
#ifndef FV_CUDA_KERNELS_LOGITS_H
#define FV_CUDA_KERNELS_LOGITS_H

#include "cuda/device.h"

/* Rows are taken in blocks whose logits fit here: some 400 rows of a vocabulary of 150,000, enough for the product to keep the card busy. */
enum { LOGITS_BYTES = 256 << 20, LOGITS_THREADS = 32, LOGITS_ROWS = LOGITS_THREADS / FV_LANES };

static inline int64_t fv_logits_rows(int64_t vocabulary, int64_t rows) {
    int64_t most = LOGITS_BYTES / (vocabulary * (int64_t)sizeof(float));
    if (most < 1) most = 1;
    return rows < most ? rows : most;
}

/* logits [rows, vocabulary] = hidden[first .. first + rows) @ weight^T */
static inline void fv_logits(const fv_exec *x, float *logits, fv_view hidden, int64_t first, int64_t rows, fv_head head) {
    fv_cuda_linear(x, fv_mat(logits, rows, head.weight.shape[0]), fv_slice(hidden, first, rows), head.weight, head.packed, fv_none);
}

typedef struct {
    float max, log_sum, entropy;
} fv_softmax;

/* Divides a row by its temperature, in place, and returns the maximum. Threads past the last row take the last again, with `there` false. */
FV_DEVICE float fv_logits_cool(float *row, int64_t n, float temperature, bool there) {
    float max = fv_from_bits((fv_i16)0xff800000u); /* -inf */
#pragma unroll 8
    for (int64_t v = FV_THREAD % FV_LANES; there && v < n; v += FV_LANES) {
        float x = row[v];
        if (temperature != 1.0f) row[v] = x = fv_div(x, temperature); /* x / 1 is x */
        max = fv_max(x, max);
    }
    return fv_hmax(max);
}

/* The row after fv_logits_cool: log sum_v e^(x_v - max), and the entropy log_sum - sum_v e^(x_v - max) (x_v - max) / sum. */
FV_DEVICE fv_softmax fv_logits_softmax(const float *row, int64_t n, float max, bool there) {
    float sum = 0, weighted = 0;
#pragma unroll 8
    for (int64_t v = FV_THREAD % FV_LANES; there && v < n; v += FV_LANES) {
        float x = fv_sub(row[v], max), e = fv_exp(x);
        sum = fv_add(sum, e);
        weighted = fv_fma(e, x, weighted);
    }
    fv_softmax s;
    sum = fv_hsum(sum);
    s.max = max;
    s.log_sum = fv_log(sum);
    s.entropy = s.log_sum - fv_hsum(weighted) / sum;
    return s;
}

FV_DEVICE float fv_logits_logp(const float *row, int64_t id, float max, float log_sum) { return (row[id] - max) - log_sum; }

#endif
