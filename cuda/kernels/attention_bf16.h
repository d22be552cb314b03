/* What attention on tensor cores and its way back share: pages in bf16, tiles of 64 queries and groups of 64 keys in a block's memory, and the products of a warp's sixteen
 * queries with them (cuda/kernels/mma.h).
 *
 * A page of a kv head is parts of 64 columns, each [16 positions][64 columns] in bf16, swizzled as a block of cuda/products.h is: four pages copied one below the other are a block of
 * 64 keys. Keys and values lie alike. Columns beyond the head are zeros.
 *
 * Exactness. A row's numbers depend on that row alone: scores are one chain over a head's columns; in the forward pass keys come in groups of four pages that begin at the
 * path's root, whatever other rows are in the tile, and groups of which a row sees nothing change none of its numbers (they add zeros, and scale by 1). So a
 * row that is decoded by itself has the bits that it has in training's packed pass. On the way back groups begin where the tile's first query sees something: dq is a chain in steps of 16 keys,
 * which are a page, and pages that are not seen add zeros, so where groups begin makes no difference. */
#ifndef FV_CUDA_KERNELS_ATTENTION_BF16_H
#define FV_CUDA_KERNELS_ATTENTION_BF16_H

#include "cuda/kernels/attention.h"
#include "cuda/kernels/mma.h"

/* A group of keys is four pages. A head has at most two parts of 64 columns: wider ones are the f32 kernels', with pages in f32. */
enum { FV_TC_QUERIES = 64, FV_TC_KEYS = 64, FV_TC_PAGES = FV_TC_KEYS / FV_PAGE, FV_TC_PARTS = 2, FV_TC_MOST = FV_TC_PARTS * BLOCK_SIDE };
enum { FV_TC_PANEL = FV_PAGE * BLOCK_ROW_BYTES, FV_TC_THREADS = 128, FV_TC_WIDE = FV_TC_KEYS / 8 };

static inline int fv_tc_parts(int dim) { return dim > BLOCK_SIDE ? 2 : 1; }

/* log2 e: scores become exponents of 2. */
#define FV_LOG2_E 0x1.715476p+0f

/* The first `there` of eight numbers as bf16, zeros after them. */
FV_DEVICE fv_piece fv_piece_from(const float *from, int there) {
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
    for (int i = 0; i < 4; i++) out.v[i] = fv_two_bf16(x[2 * i], x[2 * i + 1]);
    return out;
}

/* 64 of the tile's rows of x [rows, heads * dim], from `first` on, by 128 threads of which this is number `me`: [query][column], a block of 64 x 64 a part. Several are asked for before
 * the first is written. */
FV_DEVICE void fv_tc_rows(char *to, const float *x, const fv_plan *p, const fv_tile *t, int first, int kv_head, int me, const int parts) {
    enum { AT_ONCE = 4 };
    const int steps = FV_TC_QUERIES * parts * 8 / FV_TC_THREADS;
#pragma unroll
    for (int step = 0; step < steps; step += AT_ONCE) {
        fv_piece piece[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int e = (step + i) * FV_TC_THREADS + me, u = first + e / (parts * 8), d = e % (parts * 8) * 8, there = u < t->n ? p->dim - d : 0;
            piece[i] = fv_piece_from(x + (there > 0 ? fv_query_at(p, t, kv_head, u) * p->dim + d : 0), there);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int e = (step + i) * FV_TC_THREADS + me, u = e / (parts * 8), d = e % (parts * 8) * 8;
            *(fv_piece *)(to + d / BLOCK_SIDE * BLOCK_BYTES + fv_block_byte(u, d % BLOCK_SIDE)) = piece[i];
        }
    }
}

/* Asks for pages list[from .. until) (of four) of keys or values: [key][column], a block a part; zeros where there is no page. */
FV_DEVICE void fv_tc_bring(char *to, const char *pages, const fv_plan *p, const int32_t *list, int from, int until, int kv_head, const int parts) {
#pragma unroll
    for (int c = 0; c < FV_TC_PAGES; c++) {
        bool there = c >= from && c < until;
        const char *panel = pages + ((int64_t)(there ? list[c] : 0) * p->kv_heads + kv_head) * parts * FV_TC_PANEL + FV_THREAD * 16;
#pragma unroll
        for (int part = 0; part < parts; part++) fv_copy_16(to + part * BLOCK_BYTES + c * FV_TC_PANEL + FV_THREAD * 16, panel + part * FV_TC_PANEL, there ? 16 : 0);
    }
}

/* Keys and values of such pages, one behind the other. */
FV_DEVICE void fv_tc_bring_group(char *to, const char *keys, const char *values, const fv_plan *p, const int32_t *list, int from, int until, int kv_head, const int parts) {
    fv_tc_bring(to, keys, p, list, from, until, kv_head, parts);
    fv_tc_bring(to + parts * BLOCK_BYTES, values, p, list, from, until, kv_head, parts);
}

/* s += rows [row][column] times others [row][column]: 16 of the first from `row` on by 64 of the second. As fv_multiply_part leaves them: number n * 4 + i
 * is row + lane / 4 + i / 2 * 8 of the first with 8 n + lane % 4 * 2 + i % 2 of the second. */
FV_DEVICE void fv_tc_scores(float *s, const char *rows, const char *others, int row, const int parts) {
    const fv_part w = {row, 0, 1, FV_TC_WIDE};
#pragma unroll
    for (int e = 0; e < FV_TC_WIDE * 4; e++) s[e] = 0;
#pragma unroll
    for (int part = 0; part < parts; part++) fv_multiply_part(s, rows + part * BLOCK_BYTES, others + part * BLOCK_BYTES, w, BLOCK_SIDE, false, false);
}

/* sum += the warp's sixteen rows of 64 numbers times others [row][column], for 64 columns a part. */
FV_DEVICE void fv_tc_mix(float *sum, const fv_kept *rows, const char *others, const int parts) {
#pragma unroll
    for (int part = 0; part < parts; part++) fv_multiply_kept(sum + part * FV_TC_WIDE * 4, rows, others + part * BLOCK_BYTES, true);
}

#endif
