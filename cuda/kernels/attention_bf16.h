/* What attention on tensor cores and its way back share: tiles of 64 queries and of 64 keys, rounded to bf16 on the way into a block's memory, and the products of a
 * warp's sixteen queries with them (cuda/kernels/mma.h).
 *
 * Exactness. A row's numbers depend on that row alone: scores are one chain of mma.sync over a head's columns; keys come in groups of four pages that begin at the
 * path's root, whatever other rows are in the tile; groups of which a row sees nothing change none of its numbers (they add zeros, and scale by 1). So a
 * row that is decoded by itself has the bits that it has in training's packed pass. */
#ifndef FV_CUDA_KERNELS_ATTENTION_BF16_H
#define FV_CUDA_KERNELS_ATTENTION_BF16_H

#include "cuda/kernels/attention.h"
#include "cuda/kernels/mma.h"

/* A group of keys is four pages. A head has at most two parts of 64 columns: wider ones are the f32 kernels'. */
enum { FV_TC_QUERIES = 64, FV_TC_KEYS = 64, FV_TC_PAGES = FV_TC_KEYS / FV_PAGE, FV_TC_PARTS = 2, FV_TC_MOST = FV_TC_PARTS * BLOCK_SIDE };

static inline int fv_tc_parts(int dim) { return dim > BLOCK_SIDE ? 2 : 1; }

/* The first `there` of eight numbers as bf16, zeros after them. */
FV_DEVICE void fv_put_piece(char *to, const float *from, int there) {
    float x[8];
    if (there >= 8 && (uintptr_t)from % 16 == 0) {
        *(fv_four *)x = *(const fv_four *)from;
        *(fv_four *)(x + 4) = *(const fv_four *)(from + 4);
    } else {
#pragma unroll
        for (int i = 0; i < 8; i++) x[i] = i < there ? from[i] : 0;
    }
    fv_piece out;
#pragma unroll
    for (int i = 0; i < 4; i++) out.v[i] = (uint32_t)fv_round_bf16(x[2 * i]) | (uint32_t)fv_round_bf16(x[2 * i + 1]) << 16;
    *(fv_piece *)to = out;
}

/* The tile's rows of x [rows, heads * dim]: [query][column], a block of 64 x 64 a part. */
FV_DEVICE void fv_tc_rows(char *to, const float *x, const fv_plan *p, const fv_tile *t, int kv_head, const int parts, const int threads) {
    for (int e = FV_THREAD; e < FV_TC_QUERIES * parts * 8; e += threads) {
        int u = e / (parts * 8), d = e % (parts * 8) * 8, there = u < t->n ? p->dim - d : 0;
        fv_put_piece(to + d / BLOCK_SIDE * BLOCK_BYTES + fv_block_byte(u, d % BLOCK_SIDE), x + (there > 0 ? fv_query_at(p, t, kv_head, u) * p->dim + d : 0), there);
    }
}

/* Keys of pages list[from .. to) (of four): [column][key], 64 columns a part; zeros where there is no page. */
FV_DEVICE void fv_tc_keys(char *out, const float *keys, const fv_plan *p, const int32_t *list, int from, int to, int kv_head, const int parts, const int threads) {
    enum { HALVES_ = FV_PAGE / 8 };
    for (int e = FV_THREAD; e < FV_TC_PAGES * parts * BLOCK_SIDE * HALVES_; e += threads) {
        int c = e / (parts * BLOCK_SIDE * HALVES_), d = e / HALVES_ % (parts * BLOCK_SIDE), half = e % HALVES_;
        bool there = c >= from && c < to && d < p->dim;
        fv_put_piece(out + d / BLOCK_SIDE * BLOCK_BYTES + fv_block_byte(d % BLOCK_SIDE, c * FV_PAGE + half * 8),
                     keys + (there ? fv_panel_at(p, list[c], kv_head) + d * FV_PAGE + half * 8 : 0), there ? 8 : 0);
    }
}

/* Values of the same: [key][column], a block of 64 x 64 a part. */
FV_DEVICE void fv_tc_values(char *out, const float *values, const fv_plan *p, const int32_t *list, int from, int to, int kv_head, const int parts, const int threads) {
    for (int e = FV_THREAD; e < FV_TC_KEYS * parts * 8; e += threads) {
        int key = e / (parts * 8), d = e % (parts * 8) * 8, c = key / FV_PAGE, there = c >= from && c < to ? p->dim - d : 0;
        fv_put_piece(out + d / BLOCK_SIDE * BLOCK_BYTES + fv_block_byte(key, d % BLOCK_SIDE),
                     values + (there > 0 ? fv_panel_at(p, list[c], kv_head) + (int64_t)(key % FV_PAGE) * p->dim + d : 0), there);
    }
}

/* s += rows [rows][column] times keys [column][key]: 16 queries from `row` on by 8 * wide keys from `col` on. As fv_multiply_part leaves them: number n * 4 + i
 * is query row + lane / 4 + i / 2 * 8, key col + 8 n + lane % 4 * 2 + i % 2. */
FV_DEVICE void fv_tc_scores(float *s, const char *rows, const char *keys, int row, int col, const int wide, const int parts) {
    const fv_part w = {row, col, 1, wide};
#pragma unroll
    for (int part = 0; part < parts; part++) fv_multiply_part(s, rows + part * BLOCK_BYTES, keys + part * BLOCK_BYTES, w, BLOCK_SIDE, false, true);
}

/* Two neighbours of a row of a block, which begin at an even column. */
FV_DEVICE void fv_put_two(char *block, int row, int col, float a, float b) {
    *(uint32_t *)(block + fv_block_byte(row, col)) = (uint32_t)fv_round_bf16(a) | (uint32_t)fv_round_bf16(b) << 16;
}

#endif
