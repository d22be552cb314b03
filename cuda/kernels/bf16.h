/* What kernels share that read matrices in blocks of bf16 (cuda/products.h). */
#ifndef FV_CUDA_KERNELS_BF16_H
#define FV_CUDA_KERNELS_BF16_H

#include "cuda/device.h"
#include "cuda/products.h"

/* Byte of element (r, c) of a block. */
FV_DEVICE int fv_block_byte(int r, int c) { return r * BLOCK_ROW_BYTES + ((c / 8 ^ r % 8) * 16) + c % 8 * 2; }

/* A chain's end. */
FV_DEVICE void fv_product_end(const fv_product *p, int64_t token, int64_t output, float sum) {
    float *y = p->y + token * p->outputs + output;
    *y = fv_add(!p->fresh ? *y : p->bias != NULL ? p->bias[output] : 0, sum);
}

#endif
