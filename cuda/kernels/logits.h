/* One row of logits to its log-softmax: what log-probs, their way back, whole-vocabulary statistics and sampling share, so that a token has
 * the same log-prob wherever it is asked for.
 *
 * A block takes a row. Its sums are the CPU's: sixteen lanes, each a chain over every sixteenth id. Only the chains themselves need that
 * order, so one warp adds and the others read the row and make e^x for it, a piece ahead. A lane's chain over 150,000 ids is then some
 * 10,000 additions in a row, 25 microseconds, and a multiprocessor has several rows at once. */
#ifndef FV_CUDA_KERNELS_LOGITS_H
#define FV_CUDA_KERNELS_LOGITS_H

#include "cuda/device.h"

/* Rows are taken in blocks whose logits fit here: some 400 rows of a vocabulary of 150,000, enough for the product to keep the card busy; whole
 * tiles of it, where that many fit. */
enum { LOGITS_BYTES = 256 << 20, LOGITS_TILE = 128 };

/* A row's block: a warp that adds, and makers of what it adds. */
enum { LOGITS_WARP = 32, LOGITS_MAKERS = 256, LOGITS_THREADS = LOGITS_WARP + LOGITS_MAKERS, LOGITS_EACH = 4, LOGITS_PIECE = LOGITS_MAKERS * LOGITS_EACH };

static inline int64_t fv_logits_rows(int64_t vocabulary, int64_t rows) {
    int64_t most = LOGITS_BYTES / (vocabulary * (int64_t)sizeof(float));
    if (most >= LOGITS_TILE) most -= most % LOGITS_TILE;
    if (most < 1) most = 1;
    return rows < most ? rows : most;
}

/* The products of a table, by which these operations are done: in f32, or in bf16. */
typedef struct {
    void (*linear)(const fv_exec *x, fv_view y, fv_view in, fv_view w, const void *packed, fv_view bias);
    void (*back_input)(const fv_exec *x, fv_view dx, fv_view dy, fv_view w, const void *packed);
    void (*back_weight)(const fv_exec *x, fv_view dw, fv_view dbias, fv_view dy, fv_view in);
} fv_products;
extern const fv_products fv_products_f32, fv_products_bf16; /* cuda/kernels/logprob.cu */

/* An operation of both tables from <op>_by, which takes the products first. */
#define FV_TABLE_OPS(op, parameters, ...)                                                                              \
    FV_TABLE_OP void fv_cuda_##op parameters { op##_by(&fv_products_f32, __VA_ARGS__); }                               \
    FV_TABLE_OP void fv_cuda_bf16_##op parameters { op##_by(&fv_products_bf16, __VA_ARGS__); }

/* logits [rows, vocabulary] = hidden[first .. first + rows) @ weight^T */
static inline void fv_logits(const fv_products *by, const fv_exec *x, float *logits, fv_view hidden, int64_t first, int64_t rows, fv_head head) {
    by->linear(x, fv_mat(logits, rows, head.weight.shape[0]), fv_slice(hidden, first, rows), head.weight, head.packed, fv_none);
}

typedef struct {
    float max, log_sum, entropy;
} fv_softmax;

/* The block's memory: what the adding warp adds, this piece and the next; and what the groups of sixteen threads found. */
typedef struct {
    float e[2][LOGITS_PIECE], x[2][LOGITS_PIECE];
    float largest[LOGITS_THREADS / FV_LANES][FV_LANES];
    fv_softmax all;
} fv_logits_room;

/* Divides the row by its temperature, in place, and returns the maximum. A group of sixteen threads has a span of the row and a lane goes
 * through it upwards, so that the first of equals is found (0 and -0 are), as by one lane alone. */
FV_DEVICE float fv_logits_cool(fv_logits_room *room, float *row, int64_t n, float temperature) {
    enum { GROUPS = LOGITS_THREADS / FV_LANES };
    int group = FV_THREAD / FV_LANES, lane = FV_THREAD % FV_LANES;
    int64_t steps = (n + FV_LANES - 1) / FV_LANES, from = steps * group / GROUPS, to = steps * (group + 1) / GROUPS;
    float max = fv_from_bits((fv_i16)0xff800000u); /* -inf */
    for (int64_t v = from * FV_LANES + lane; v < to * FV_LANES; v += 8 * FV_LANES) {
        float x[8];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int64_t at = v + i * FV_LANES;
            x[i] = at < to * FV_LANES && at < n ? row[at] : fv_from_bits((fv_i16)0xff800000u);
        }
#pragma unroll
        for (int i = 0; i < 8; i++) {
            int64_t at = v + i * FV_LANES;
            if (temperature != 1.0f) { /* x / 1 is x */
                x[i] = fv_div(x[i], temperature);
                if (at < to * FV_LANES && at < n) row[at] = x[i];
            }
            max = fv_max(x[i], max);
        }
    }
    room->largest[group][lane] = max;
    FV_SYNC();
    max = room->largest[0][lane];
    for (int g = 1; g < GROUPS; g++) max = fv_max(room->largest[g][lane], max);
    return fv_hmax(max);
}

/* A maker's share of the piece that begins at `from`: e^(x - max) and x - max. */
FV_DEVICE void fv_logits_make(fv_logits_room *room, const float *row, int64_t n, float max, int64_t from) {
    int at = FV_THREAD - LOGITS_WARP, piece = (int)(from / LOGITS_PIECE % 2);
    float l[LOGITS_EACH];
#pragma unroll
    for (int i = 0; i < LOGITS_EACH; i++) {
        int64_t v = from + at + i * LOGITS_MAKERS;
        l[i] = v < n ? row[v] : max;
    }
#pragma unroll
    for (int i = 0; i < LOGITS_EACH; i++) {
        float x = fv_sub(l[i], max);
        room->x[piece][at + i * LOGITS_MAKERS] = x;
        room->e[piece][at + i * LOGITS_MAKERS] = fv_exp(x);
    }
}

/* The row after fv_logits_cool: log sum_v e^(x_v - max), and the entropy log_sum - sum_v e^(x_v - max) (x_v - max) / sum. All threads of the block get it. */
FV_DEVICE fv_softmax fv_logits_softmax(fv_logits_room *room, const float *row, int64_t n, float max) {
    float sum = 0, weighted = 0;
    for (int64_t from = -LOGITS_PIECE; from < n; from += LOGITS_PIECE) {
        FV_SYNC();
        if (FV_THREAD >= LOGITS_WARP) {
            if (from + LOGITS_PIECE < n) fv_logits_make(room, row, n, max, from + LOGITS_PIECE);
        } else if (FV_THREAD < FV_LANES && from >= 0) {
            const float *e = room->e[from / LOGITS_PIECE % 2], *x = room->x[from / LOGITS_PIECE % 2];
            int end = n - from < LOGITS_PIECE ? (int)(n - from) : LOGITS_PIECE;
#pragma unroll 16
            for (int i = FV_THREAD; i < end; i += FV_LANES) {
                sum = fv_add(sum, e[i]);
                weighted = fv_fma(e[i], x[i], weighted);
            }
        }
    }
    if (FV_THREAD < LOGITS_WARP) { /* a warp exchanges together: its second half brings nothing that is looked at */
        sum = fv_hsum(sum);
        weighted = fv_hsum(weighted);
    }
    if (FV_THREAD == 0) {
        room->all.max = max;
        room->all.log_sum = fv_log(sum);
        room->all.entropy = room->all.log_sum - weighted / sum;
    }
    FV_SYNC();
    return room->all;
}

FV_DEVICE float fv_logits_logp(const float *row, int64_t id, float max, float log_sum) { return (row[id] - max) - log_sum; }

#endif
