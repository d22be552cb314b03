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

/* How a kernel walks through a product's matrices. */
typedef struct {
    fv_product p;
    int64_t a_unit, a_step, b_unit, b_step; /* bytes to the next 64 outputs or tokens, and to the next 64 of k */
    int64_t a_blocks, b_blocks;             /* blocks of 64 outputs, and of tokens, that there are in memory */
    int k_blocks;
} fv_walk;

static inline fv_walk fv_walk_of(const fv_product *p) {
    fv_walk w = {0};
    w.p = *p;
    w.a_unit = p->a_turned ? p->a.col_step : p->a.row_step, w.a_step = p->a_turned ? p->a.row_step : p->a.col_step;
    w.b_unit = p->b_turned ? p->b.col_step : p->b.row_step, w.b_step = p->b_turned ? p->b.row_step : p->b.col_step;
    w.a_blocks = fv_blocks_of(p->outputs, BLOCK_SIDE), w.b_blocks = fv_blocks_of(p->tokens, BLOCK_SIDE);
    w.k_blocks = (int)fv_blocks_of(p->k, BLOCK_SIDE);
    return w;
}

/* A chain's end. */
FV_DEVICE void fv_product_end(const fv_product *p, int64_t token, int64_t output, float sum) {
    float *y = p->y + token * p->outputs + output;
    *y = fv_add(!p->fresh ? *y : p->bias != NULL ? p->bias[output] : 0, sum);
}

#endif
