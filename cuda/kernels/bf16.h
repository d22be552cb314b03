/* What kernels share that read matrices in blocks of bf16 (cuda/products.h). */
#ifndef FV_CUDA_KERNELS_BF16_H
#define FV_CUDA_KERNELS_BF16_H

#include "cuda/device.h"
#include "cuda/products.h"

/* Byte of element (r, c) of a block. */
FV_DEVICE int fv_block_byte(int r, int c) { return r * BLOCK_ROW_BYTES + ((c / 8 ^ r % 8) * 16) + c % 8 * 2; }

/* Two neighbours as bf16, the first below. */
FV_DEVICE uint32_t fv_two_bf16(float a, float b) {
#ifdef __CUDACC__
    uint32_t two;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(b), "f"(a));
    return two;
#else
    return (uint32_t)fv_round_bf16(a) | (uint32_t)fv_round_bf16(b) << 16;
#endif
}

/* 2^x, as the card's own instruction makes it: near, and the same for the same x on the same kind of card. */
FV_DEVICE float fv_exp2_near(float x) {
#ifdef __CUDACC__
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return exp2f(x);
#endif
}

/* Sixteen bytes that move at once: eight numbers. */
typedef struct {
    uint32_t v[4];
} __attribute__((aligned(16))) fv_piece;

/* One of the products that share a launch. Tiles of outputs are counted through all of them. */
typedef struct {
    const char *a;
    int outputs, blocks; /* blocks of 64 outputs that there are in memory */
    int first;           /* its first tile of outputs */
    float *y, scale;
    fv_view bias;
} fv_walk_part;

/* How a kernel walks through products' matrices. */
typedef struct {
    fv_walk_part parts[FV_MAPS_MOST];
    const char *b;
    int tokens;
    bool fresh;
    int a_tiles, b_tiles;
    int64_t a_unit, a_step, b_unit, b_step; /* bytes to the next 64 outputs or tokens, and to the next 64 of k */
    int b_blocks;                           /* of 64 tokens that there are in memory */
    int k_blocks;
} fv_walk;

/* In tiles of so many outputs and tokens. */
static inline fv_walk fv_walk_of(const fv_product *p, int count, int64_t outputs, int64_t tokens) {
    fv_walk w = {0};
    for (int i = 0; i < FV_MAPS_MOST; i++) {
        fv_walk_part *part = &w.parts[i];
        part->first = i < count ? w.a_tiles : INT32_MAX;
        if (i >= count) continue;
        part->a = p[i].a.data, part->outputs = (int)p[i].outputs, part->blocks = (int)fv_blocks_of(p[i].outputs, BLOCK_SIDE);
        part->y = p[i].y, part->bias = p[i].bias, part->scale = p[i].scale != 0 ? p[i].scale : 1;
        w.a_tiles += (int)fv_blocks_of(p[i].outputs, outputs);
    }
    w.b = p->b.data, w.tokens = (int)p->tokens, w.fresh = p->fresh, w.b_tiles = (int)fv_blocks_of(p->tokens, tokens);
    w.a_unit = p->a_turned ? p->a.col_step : p->a.row_step, w.a_step = p->a_turned ? p->a.row_step : p->a.col_step;
    w.b_unit = p->b_turned ? p->b.col_step : p->b.row_step, w.b_step = p->b_turned ? p->b.row_step : p->b.col_step;
    w.b_blocks = (int)fv_blocks_of(p->tokens, BLOCK_SIDE);
    w.k_blocks = (int)fv_blocks_of(p->k, BLOCK_SIDE);
    return w;
}

/* The product that a tile of outputs belongs to. Chosen by comparisons: an index that is not known in advance would be a copy of all of them in slow memory. */
FV_DEVICE fv_walk_part fv_part_at(const fv_walk *w, int tile) {
    fv_walk_part part = w->parts[0];
#pragma unroll
    for (int i = 1; i < FV_MAPS_MOST; i++)
        if (tile >= w->parts[i].first) part = w->parts[i];
    return part;
}

/* What an output's chain starts from: its bias, if it has one and nothing is there. */
FV_DEVICE float fv_start(const fv_walk *w, const fv_walk_part *part, int64_t output) { return w->fresh && part->bias.data != NULL ? fv_load_view(&part->bias, output) : 0; }

#endif
