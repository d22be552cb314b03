/* Products in bf16 on tensor cores: matrices as these take them, and the two ways to multiply.
 *
 * A matrix lies in blocks of 64 rows by 64 columns: a row of a block is 128 bytes, and its eight pieces of 16 bytes are at piece ^ (row % 8), so that
 * eight rows of one piece touch all of a block's memory banks (the "128-byte swizzle" of Hopper's instructions, and as good for ldmatrix). Rows and columns
 * beyond the matrix are zeros, up to a multiple of 64. The blocks' order is free: weights have those of the same rows beside each other, inputs
 * those of the same columns below each other.
 *
 * Exactness: an element is one chain over ascending k in steps of 16, each step one operation of the tensor cores, and then added to what
 * it starts from. Its bits depend neither on the tile it is in nor on its place there; on an H100 wgmma of every width and mma.sync all
 * give the same bits, also on numbers of mixed magnitudes, cancelling ones and subnormals (tests/cuda/products.c). So tiles are chosen by
 * speed alone. */
#ifndef FV_CUDA_PRODUCTS_H
#define FV_CUDA_PRODUCTS_H

#ifdef __cplusplus
extern "C" {
#endif
#include "core/ops.h"

enum { BLOCK_SIDE = 64, BLOCK_ROW_BYTES = 128, BLOCK_BYTES = BLOCK_SIDE * BLOCK_ROW_BYTES };

typedef struct {
    char *data;
    int64_t row_step, col_step; /* bytes to the block below, and to the one on the right */
} fv_blocks;

/* y[t, o] = (start + sum_k a(o, k) b(t, k)) scale;   y is [tokens, outputs]. A matrix that is turned has k down its rows. */
typedef struct {
    fv_blocks a, b; /* b, where a is not turned: of fv_token_rows(tokens) rows; else of fv_whole_rows */
    bool a_turned, b_turned;
    int64_t outputs, tokens, k;
    float *y;
    bool fresh;   /* start is the bias (zero if absent), not what y holds */
    fv_view bias; /* [outputs] */
    float scale;  /* 0: 1 */
} fv_product;

/* 1 .. FV_MAPS_MOST products on this card's tensor cores, in one launch: of the same b, and alike but for a's data, outputs, y, bias and scale. */
void fv_multiply(const fv_product *p, int count);

/* The two ways, which tests and timings ask for by name. mma.sync, everywhere: */
void fv_multiply_mma(const fv_product *p, int count);
/* wgmma, where fv_wgmma_runs, and k > 0: in a kind of tile (fv_wgmma_tile is its name, NULL past the last), or, below 0, in the one that seems fastest. False:
 * this kind does not take such a product. */
bool fv_multiply_wgmma(const fv_product *p, int count, int in_tile);
const char *fv_wgmma_tile(int kind);
bool fv_wgmma_runs(void);

/* A weight as linear_pack left it: blocks of the same 64 rows beside each other, so that few outputs are one stream of memory. */
fv_blocks fv_weight_blocks(const void *packed, int64_t cols);
/* Inputs or gradients, rounded into scratch; rows: with those that are zeros. Blocks of the same 64 columns are below each other, so that any number
 * of rows is one piece of memory. */
fv_blocks fv_input_blocks(const fv_exec *x, fv_view in, int64_t rows);

/* Rows of whole blocks. */
static inline int64_t fv_whole_rows(int64_t rows) { return (rows + BLOCK_SIDE - 1) / BLOCK_SIDE * BLOCK_SIDE; }

/* Few tokens end before a block does: the tile that takes them is no higher. */
static inline int64_t fv_token_rows(int64_t tokens) {
    for (int64_t rows = 8; rows < BLOCK_SIDE; rows *= 2)
        if (tokens <= rows) return rows;
    return fv_whole_rows(tokens);
}
#ifdef __cplusplus
}
#endif

#endif
