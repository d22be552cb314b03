/* One row of logits to its log-softmax: what log-probs, their way back, whole-vocabulary statistics and sampling share, so that a token has
 * the same log-prob wherever it is asked for.
 *
 * Rows are taken in shares of some thousand ids, a block each, so that few rows, too, are enough blocks for a card. First a share is divided by its row's
 * temperature and its largest number found, then e^x is summed up:
 *   in f32   in the CPU's order: sixteen lanes, each a chain over every sixteenth id. A block has a whole row. One warp adds, the others read the row and make e^x for it, a
 *            piece ahead. A lane's chain over 150,000 ids is some 10,000 additions in a row, 22 microseconds at least, and a multiprocessor has several rows at once.
 *   in bf16  whose bits are its own: over a thread's ids, a share's threads, the shares, the same for every number of rows. */
#ifndef FV_CUDA_KERNELS_LOGITS_H
#define FV_CUDA_KERNELS_LOGITS_H

#include "cuda/device.h"

/* Rows are taken in blocks whose logits fit here: some 400 rows of a vocabulary of 150,000, enough for the product to keep the card busy; whole
 * tiles of it, where that many fit. */
enum { LOGITS_BYTES = 256 << 20, LOGITS_TILE = 128 };

/* The block of a share. The stand-in of tests/cuda has small ones: its threads take turns. */
#ifndef FV_DRAW_THREADS
#define FV_DRAW_THREADS 256
#endif
enum { LOGITS_THREADS = FV_DRAW_THREADS, LOGITS_GROUPS = LOGITS_THREADS / FV_LANES, LOGITS_FOURS = 4, LOGITS_SHARE = 4 * LOGITS_FOURS * LOGITS_THREADS };

/* The block of a row's chains: a warp that adds, and makers of what it adds. Every fourth warp is of the adding one's scheduler, and makes nothing. */
enum { CHAIN_MAKERS = 256, CHAIN_THREADS = 352, CHAIN_FOURS = 2, CHAIN_PIECE = 4 * CHAIN_FOURS * CHAIN_MAKERS };

/* Where each number is by itself, a block of threads has a part of a row. */
enum { NUMBER_THREADS = 256, NUMBER_PART = 4 * NUMBER_THREADS };

static inline int64_t fv_logits_rows(int64_t vocabulary, int64_t rows) {
    int64_t most = LOGITS_BYTES / (vocabulary * (int64_t)sizeof(float));
    if (most >= LOGITS_TILE) most -= most % LOGITS_TILE;
    if (most < 1) most = 1;
    return rows < most ? rows : most;
}

/* A table's own products, by which these operations are done: in f32, or in bf16. */
typedef struct {
    __typeof__(fv_cuda_linear) *linear;
    __typeof__(fv_cuda_linear_back) *linear_back;
    bool of_shares; /* sums over the vocabulary are of shares, and not the CPU's chains */
} fv_products;
extern const fv_products fv_products_f32, fv_products_bf16; /* cuda/kernels/logprob.cu */

/* An operation of both tables from <op>_by, which takes the products first. */
#define FV_TABLE_OPS(op, parameters, ...)                                                                              \
    FV_TABLE_OP void fv_cuda_##op parameters { op##_by(&fv_products_f32, __VA_ARGS__); }                               \
    FV_TABLE_OP void fv_cuda_bf16_##op parameters { op##_by(&fv_products_bf16, __VA_ARGS__); }

/* logits [rows, vocabulary] = hidden[first .. first + rows) @ weight^T */
static inline void fv_logits(const fv_products *by, const fv_exec *x, float *logits, fv_view hidden, int64_t first, int64_t rows, fv_head head) {
    fv_linear_map map;
    memset(&map, 0, sizeof map);
    map.y = fv_mat(logits, rows, head.weight.shape[0]), map.w = head.weight, map.packed = head.packed;
    by->linear(x, &map, 1, fv_slice(hidden, first, rows));
}

/* From the gradients of such logits, dhidden += and dweight +=: both by one operation, which rounds dlogits once for them where it multiplies in bf16. */
static inline void fv_logits_back(const fv_products *by, const fv_exec *x, fv_view dhidden, fv_view dweight, float *dlogits, fv_view hidden, int64_t first, int64_t rows,
                                  fv_head head) {
    fv_view dx = dhidden.data != NULL ? fv_slice(dhidden, first, rows) : dhidden;
    by->linear_back(x, dx, dweight, fv_none, fv_mat(dlogits, rows, head.weight.shape[0]), fv_slice(hidden, first, rows), head.weight, head.packed);
}

typedef struct {
    float max, log_sum, entropy;
} fv_softmax;

/* What is found of a share: its largest number; and with x less the row's largest, the sums of e^x and e^x x. */
typedef struct {
    float max, sum, weighted;
} fv_share;

#define FV_MINUS_INFINITY fv_from_bits((fv_i16)0xff800000u)

/* ---- a block together: room [threads / 16]; everybody gets the result ---- */

FV_DEVICE float fv_block_max(float *room, float mine, const int threads) {
    mine = fv_hmax(mine);
    FV_SYNC(); /* what was there before has been read */
    if (FV_THREAD % FV_LANES == 0) room[FV_THREAD / FV_LANES] = mine;
    FV_SYNC();
    for (int g = 0; g < threads / FV_LANES; g++) mine = fv_max(room[g], mine);
    return mine;
}

FV_DEVICE float fv_block_sum(float *room, float mine, const int threads) {
    float sum = 0;
    mine = fv_hsum(mine);
    FV_SYNC();
    if (FV_THREAD % FV_LANES == 0) room[FV_THREAD / FV_LANES] = mine;
    FV_SYNC();
    for (int g = 0; g < threads / FV_LANES; g++) sum = fv_add(sum, room[g]);
    return sum;
}

/* The largest of `count` numbers that lie `stride` apart. */
FV_DEVICE float fv_largest(float *room, const float *list, int64_t count, int stride, const int threads) {
    float max = FV_MINUS_INFINITY;
#pragma unroll 1 /* there is one, mostly */
    for (int64_t i = FV_THREAD; i < count; i += threads) max = fv_max(list[i * stride], max);
    return fv_block_max(room, max, threads);
}
enum { SHARE_STRIDE = sizeof(fv_share) / sizeof(float) };

/* ---- a share: the thread has four ids next to each other, and four of LOGITS_FOURS - 1 places further on ---- */

FV_DEVICE int64_t fv_share_id(int64_t first, int k) { return first + 4 * (FV_THREAD + k * LOGITS_THREADS); }

FV_DEVICE void fv_share_read(fv_four *x, const float *row, int64_t first, int64_t n, float beyond) {
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++) x[k] = fv_four_at(row, fv_share_id(first, k), n, beyond);
}

/* Reads the share, divided by its temperature also in place; the thread's largest. */
FV_DEVICE float fv_share_cool(fv_four *x, float *row, int64_t first, int64_t n, float temperature) {
    float max = FV_MINUS_INFINITY;
    fv_share_read(x, row, first, n, FV_MINUS_INFINITY);
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++) {
        if (temperature != 1.0f) { /* x / 1 is x */
            for (int d = 0; d < 4; d++) x[k].v[d] = fv_div(x[k].v[d], temperature);
            fv_put_four(row, fv_share_id(first, k), n, x[k]);
        }
        for (int d = 0; d < 4; d++) max = fv_max(x[k].v[d], max);
    }
    return max;
}

FV_DEVICE void fv_share_exp(fv_four *e, const fv_four *x, float max) {
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++)
        for (int d = 0; d < 4; d++) e[k].v[d] = fv_exp(fv_sub(x[k].v[d], max));
}

/* The share's sums, of e that fv_share_exp has made of the row's largest. */
FV_DEVICE void fv_share_sum(fv_share *share, float *room, const fv_four *e, const fv_four *x, float max, int64_t first, int64_t n) {
    float sum = 0, weighted = 0;
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++)
        for (int d = 0; d < 4; d++) {
            if (fv_share_id(first, k) + d >= n) continue;
            sum = fv_add(sum, e[k].v[d]);
            weighted = fv_fma(e[k].v[d], fv_sub(x[k].v[d], max), weighted);
        }
    sum = fv_block_sum(room, sum, LOGITS_THREADS), weighted = fv_block_sum(room, weighted, LOGITS_THREADS);
    if (FV_THREAD == 0) share->sum = sum, share->weighted = weighted;
}

/* ---- a row: log sum_v e^(x_v - max), and the entropy log_sum - sum_v e^(x_v - max) (x_v - max) / sum ---- */

FV_DEVICE fv_softmax fv_softmax_of(float max, float sum, float weighted) {
    fv_softmax s;
    s.max = max, s.log_sum = fv_log(sum), s.entropy = s.log_sum - weighted / sum;
    return s;
}

/* From its shares. All threads of the warp come here. */
FV_DEVICE fv_softmax fv_softmax_of_shares(const fv_share *share, int64_t shares, float max) {
    float sum = 0, weighted = 0;
    for (int64_t s = FV_THREAD % FV_LANES; s < shares; s += FV_LANES) sum = fv_add(sum, share[s].sum), weighted = fv_add(weighted, share[s].weighted);
    return fv_softmax_of(max, fv_hsum(sum), fv_hsum(weighted));
}

/* The block's memory: what the adding warp adds, this piece and the next: e^x and x of two ids in four numbers. */
typedef struct {
    fv_four pairs[2][CHAIN_PIECE / 2];
    float largest[CHAIN_THREADS / FV_LANES];
    fv_softmax all;
} fv_chain_room;

FV_DEVICE void fv_chain_read(fv_four *x, const float *row, int64_t n, int64_t from, int maker) {
#pragma unroll
    for (int k = 0; k < CHAIN_FOURS; k++) x[k] = fv_four_at(row, from + 4 * (maker + k * CHAIN_MAKERS), n, 0);
}

FV_DEVICE void fv_chain_make(fv_four *pairs, const fv_four *x, float max, int maker) {
#pragma unroll
    for (int k = 0; k < CHAIN_FOURS; k++)
        for (int d = 0; d < 4; d += 2) {
            fv_four p;
            p.v[1] = fv_sub(x[k].v[d], max), p.v[3] = fv_sub(x[k].v[d + 1], max);
            p.v[0] = fv_exp(p.v[1]), p.v[2] = fv_exp(p.v[3]);
            pairs[2 * (maker + k * CHAIN_MAKERS) + d / 2] = p;
        }
}

/* A lane goes on with its chains: some pairs are read together, so that an addition waits for the one before it alone. */
FV_DEVICE void fv_chain_add(float *sum, float *weighted, const fv_four *pairs, int end) {
    enum { DEEP = 32 };
    const fv_two *at = (const fv_two *)pairs;
    int i = FV_THREAD;
    for (; i + (DEEP - 1) * FV_LANES < end; i += DEEP * FV_LANES) {
        fv_two p[DEEP];
#pragma unroll
        for (int d = 0; d < DEEP; d++) p[d] = at[i + d * FV_LANES];
#pragma unroll
        for (int d = 0; d < DEEP; d++) *sum = fv_add(*sum, p[d].v[0]), *weighted = fv_fma(p[d].v[0], p[d].v[1], *weighted);
    }
#pragma unroll 1
    for (; i < end; i += FV_LANES) *sum = fv_add(*sum, at[i].v[0]), *weighted = fv_fma(at[i].v[0], at[i].v[1], *weighted);
}

/* Where the largest number is 0, its sign is that of the first in each lane, as the CPU finds it. A warp's. */
FV_DEVICE float fv_chain_zero(const float *row, int64_t n) {
    float max = FV_MINUS_INFINITY;
    for (int64_t v = FV_THREAD % FV_LANES; v < n && max < 0; v += FV_LANES)
        if (row[v] == 0) max = row[v];
    return fv_hmax(max);
}

/* By the CPU's chains, from a row whose largest number is known. */
FV_DEVICE fv_softmax fv_softmax_of_chains(fv_chain_room *room, const float *row, int64_t n, float max) {
    int warp = FV_THREAD / FV_WARP, maker = warp % 4 ? (warp - warp / 4 - 1) * FV_WARP + FV_THREAD % FV_WARP : -1;
    float sum = 0, weighted = 0;
    fv_four x[CHAIN_FOURS], next[CHAIN_FOURS];
    if (maker >= 0) fv_chain_read(next, row, n, 0, maker);
    for (int64_t from = -CHAIN_PIECE; from < n; from += CHAIN_PIECE) {
        FV_SYNC();
        if (maker >= 0 && from + CHAIN_PIECE < n) {
            for (int k = 0; k < CHAIN_FOURS; k++) x[k] = next[k];
            fv_chain_read(next, row, n, from + 2 * CHAIN_PIECE, maker); /* comes while e^x is made */
            fv_chain_make(room->pairs[(from / CHAIN_PIECE + 1) % 2], x, max, maker);
        }
        if (FV_THREAD < FV_LANES && from >= 0)
            fv_chain_add(&sum, &weighted, room->pairs[from / CHAIN_PIECE % 2], n - from < CHAIN_PIECE ? (int)(n - from) : CHAIN_PIECE);
    }
    if (warp == 0) { /* a warp exchanges together: its second half brings nothing that is looked at */
        fv_softmax all = fv_softmax_of(max == 0 ? fv_chain_zero(row, n) : max, fv_hsum(sum), fv_hsum(weighted));
        if (FV_THREAD == 0) room->all = all;
    }
    FV_SYNC();
    return room->all;
}

FV_DEVICE float fv_logits_logp(const float *row, int64_t id, float max, float log_sum) { return (row[id] - max) - log_sum; }

#endif
