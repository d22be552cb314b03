/* Matrices in bf16 as tensor cores take them, and products of two of them.
 *
 * A matrix lies in blocks of 64 rows by 64 columns: a row of a block is 128 bytes, and its eight pieces of 16 bytes are at piece ^ (row % 8), so that
 * eight rows of one piece touch all of a block's memory banks (the "128-byte swizzle" of Hopper's instructions, and as good for ldmatrix). Rows and columns
 * beyond the matrix are zeros, up to a multiple of 64. The blocks' order is free: weights have those of the same rows beside each other, inputs
 * those of the same columns.
 *
 * Exactness: an element is one chain over ascending k in steps of 16, each step one operation of the tensor cores, and then added to what
 * it starts from. An element's bits depend neither on the tile it is in nor on its place there; on an H100 wgmma of every width and mma.sync all
 * gave the same bits, on numbers of mixed magnitudes, cancelling ones and subnormals (docs/cuda.md). So tiles are chosen by speed alone. */
#ifndef FV_CUDA_KERNELS_BF16_H
#define FV_CUDA_KERNELS_BF16_H

#include "cuda/device.h"

enum { BLOCK_SIDE = 64, BLOCK_ROW_BYTES = 128, BLOCK_BYTES = BLOCK_SIDE * BLOCK_ROW_BYTES };

typedef struct {
    char *data;
    int64_t row_step, col_step; /* bytes to the block below, and to the one on the right */
} fv_blocks;

/* y[t, o] = start + sum_k a(o, k) b(t, k);   y is [tokens, outputs]. A matrix that is turned has k down its rows. */
typedef struct {
    fv_blocks a, b; /* b, where a is not turned: of fv_token_rows(tokens) rows; else of whole blocks */
    bool a_turned, b_turned;
    int64_t outputs, tokens, k;
    float *y;
    bool fresh;        /* start is the bias (zero if NULL), not what y holds */
    const float *bias; /* [outputs] */
} fv_product;

/* On this card's tensor cores. */
FV_TABLE_OP void fv_multiply(const fv_product *p);

/* The two ways, which tests and timings ask for by name. mma.sync, everywhere: */
FV_TABLE_OP void fv_multiply_mma(const fv_product *p);
/* wgmma, where fv_wgmma_runs: k > 0, in a kind of tile (fv_wgmma_tile is its name, NULL past the last), or, below 0, in the one that seems fastest. False: this kind
 * does not take such a product. */
FV_TABLE_OP bool fv_multiply_wgmma(const fv_product *p, int in_tile);
FV_TABLE_OP const char *fv_wgmma_tile(int kind);
FV_TABLE_OP bool fv_wgmma_runs(void);

/* linear_back_input with the weight as linear_pack left it. */
FV_TABLE_OP void fv_cuda_bf16_back_input_of(const fv_exec *x, fv_view dx, fv_view dy, fv_view w, const void *packed);

/* Few tokens end before a block does: the tile that takes them is no higher. */
static inline int64_t fv_token_rows(int64_t tokens) {
    for (int64_t rows = 8; rows < BLOCK_SIDE; rows *= 2)
        if (tokens <= rows) return rows;
    return fv_blocks_of(tokens, BLOCK_SIDE) * BLOCK_SIDE;
}

/* Byte of element (r, c) of a block. */
FV_DEVICE int fv_block_byte(int r, int c) { return r * BLOCK_ROW_BYTES + ((c / 8 ^ r % 8) * 16) + c % 8 * 2; }

/* A chain's end. */
FV_DEVICE void fv_product_end(const fv_product *p, int64_t token, int64_t output, float sum) {
    float *y = p->y + token * p->outputs + output;
    *y = fv_add(!p->fresh ? *y : p->bias != NULL ? p->bias[output] : 0, sum);
}

#endif
