/* What a product by mma.sync is made of, on every card from sm_80 on: the product of a warp's part of two tiles in a block's memory. Below it: the same
 * on the host, for the stand-in of a card. */
#ifndef FV_CUDA_KERNELS_MMA_H
#define FV_CUDA_KERNELS_MMA_H

#include "cuda/kernels/bf16.h"

/* A warp's part of a tile: outputs [row, row + 16 * high) and tokens [col, col + 8 * wide). */
typedef struct {
    int row, col, high, wide;
} fv_part;

enum { HIGH_MOST = 2, WIDE_MOST = 8 };

/* A warp's sixteen rows of 64 numbers, rounded, as they are multiplied from its registers. */
typedef struct {
    uint32_t v[BLOCK_SIDE / 16][4];
} fv_kept;

/* From sums as fv_multiply_part leaves them (high 1, wide 8): what was a result becomes a factor where it is. */
FV_DEVICE void fv_keep(fv_kept *to, const float *sum) {
#pragma unroll
    for (int l = 0; l < BLOCK_SIDE / 16; l++)
#pragma unroll
        for (int i = 0; i < 4; i++) to->v[l][i] = fv_two_bf16(sum[8 * l + 2 * i], sum[8 * l + 2 * i + 1]);
}

#ifdef __CUDACC__

FV_DEVICE uint32_t fv_shared_at(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
/* Four matrices of 8 x 8 as mma.sync wants them; each lane gives the address of a row of one. turned: of a column. */
FV_DEVICE void fv_load_four(uint32_t *to, const char *from, bool turned) {
    if (turned)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(fv_shared_at(from)) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(fv_shared_at(from)) : "memory");
}
FV_DEVICE void fv_mma(float *sum, const uint32_t *a, const uint32_t *b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
/* The piece of 8 numbers (rows r, k from l; turned: rows from r, k l) of a tile. */
FV_DEVICE const char *fv_piece_of(const char *tile, int r, int l, bool turned) {
    return turned ? tile + r / BLOCK_SIDE * BLOCK_BYTES + fv_block_byte(l, r % BLOCK_SIDE) : tile + fv_block_byte(r, l);
}

/* What a warp multiplies at one time: 16 of k. */
typedef struct {
    uint32_t a[HIGH_MOST][4], b[WIDE_MOST / 2][4];
} fv_fragments;

FV_DEVICE void fv_load_fragments(fv_fragments *f, const char *a, const char *b, const fv_part w, int l, const int b_rows, const bool a_turned, const bool b_turned) {
    int lane = FV_THREAD % 32, in = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
#pragma unroll
    for (int m = 0; m < w.high; m++) /* rows 0 to 7 and 8 to 15 of k 0 to 7, then of k 8 to 15 */
        fv_load_four(f->a[m], a_turned ? fv_piece_of(a, w.row + m * 16 + second, l + third + in, true) : fv_piece_of(a, w.row + m * 16 + second + in, l + third, false), a_turned);
#pragma unroll
    for (int n = 0; n < w.wide; n += 2) /* k 0 to 7 and 8 to 15 of rows 0 to 7, then of rows 8 to 15 */
        fv_load_four(f->b[n / 2], b_turned ? fv_piece_of(b, w.col + n * 8 + third, l + second + in, true) : fv_piece_of(b, (w.col + n * 8 + third + in) % b_rows, l + second, false),
                     b_turned);
}

/* sum[(m * wide + n) * 4 + i] += 64 of k of a's row row + 16 m + lane / 4 + i / 2 * 8 with b's row col + 8 n + lane % 4 * 2 + i % 2. `b_rows`: a low tile of b
 * ends before what a load reads, which then begins again. The next 16 of k are on their way while these are multiplied. */
FV_DEVICE void fv_multiply_part(float *sum, const char *a, const char *b, const fv_part w, const int b_rows, const bool a_turned, const bool b_turned) {
    fv_fragments f[2];
    fv_load_fragments(&f[0], a, b, w, 0, b_rows, a_turned, b_turned);
#pragma unroll
    for (int l = 0; l < BLOCK_SIDE / 16; l++) {
        if (l + 1 < BLOCK_SIDE / 16) fv_load_fragments(&f[(l + 1) % 2], a, b, w, (l + 1) * 16, b_rows, a_turned, b_turned);
#pragma unroll
        for (int m = 0; m < w.high; m++)
#pragma unroll
            for (int n = 0; n < w.wide; n++) fv_mma(sum + (m * w.wide + n) * 4, f[l % 2].a[m], f[l % 2].b[n / 2] + n % 2 * 2);
    }
}

/* sum[n * 4 + i] += the warp's row lane / 4 + i / 2 * 8 times row 8 n + lane % 4 * 2 + i % 2 of b, a block of 64 x 64. */
FV_DEVICE void fv_multiply_kept(float *sum, const fv_kept *a, const char *b, const bool b_turned) {
    int lane = FV_THREAD % 32, in = lane % 8, second = lane / 8 % 2 * 8, third = lane / 16 * 8;
#pragma unroll
    for (int l = 0; l < BLOCK_SIDE / 16; l++)
#pragma unroll
        for (int n = 0; n < WIDE_MOST; n += 2) {
            uint32_t f[4];
            fv_load_four(f, b_turned ? fv_piece_of(b, n * 8 + third, l * 16 + second + in, true) : fv_piece_of(b, n * 8 + third + in, l * 16 + second, false), b_turned);
            fv_mma(sum + n * 4, a->v[l], f);
            fv_mma(sum + n * 4 + 4, a->v[l], f + 2);
        }
}

#else

FV_DEVICE float fv_part_number(const char *tile, int r, int l, bool turned) {
    const char *at = turned ? tile + r / BLOCK_SIDE * BLOCK_BYTES + fv_block_byte(l, r % BLOCK_SIDE) : tile + fv_block_byte(r, l);
    return fv_widen_bf16(*(const uint16_t *)at);
}
FV_DEVICE void fv_multiply_part(float *sum, const char *a, const char *b, const fv_part w, const int b_rows, const bool a_turned, const bool b_turned) {
    int lane = FV_THREAD % 32;
    for (int m = 0; m < w.high; m++)
        for (int n = 0; n < w.wide; n++)
            for (int i = 0; i < 4; i++) {
                float *to = sum + (m * w.wide + n) * 4 + i;
                int r = w.row + m * 16 + lane / 4 + i / 2 * 8, c = w.col + n * 8 + lane % 4 * 2 + i % 2;
                for (int l = 0; l < BLOCK_SIDE; l++) *to = fv_fma(fv_part_number(a, r, l, a_turned), fv_part_number(b, c % b_rows, l, b_turned), *to);
            }
}

/* Number (row, k) of what the warp keeps: lane row % 8 * 4 + k / 2 % 4 has it, whose four neighbours tell each other. */
FV_DEVICE void fv_multiply_kept(float *sum, const fv_kept *a, const char *b, const bool b_turned) {
    float left[2][BLOCK_SIDE];
    int lane = FV_THREAD % 32;
    for (int l = 0; l < BLOCK_SIDE / 16; l++)
        for (int i = 0; i < 4; i++) {
            double mine = (double)a->v[l][i], one = fv_across_double(mine, 1), two = fv_across_double(mine, 2), three = fv_across_double(one, 2), from[4];
            from[lane % 4] = mine, from[lane % 4 ^ 1] = one, from[lane % 4 ^ 2] = two, from[lane % 4 ^ 3] = three;
            for (int q = 0; q < 4; q++)
                for (int e = 0; e < 2; e++) left[i % 2][l * 16 + i / 2 * 8 + q * 2 + e] = fv_widen_bf16((uint16_t)((uint32_t)from[q] >> 16 * e));
        }
    for (int n = 0; n < WIDE_MOST; n++)
        for (int i = 0; i < 4; i++)
            for (int l = 0; l < BLOCK_SIDE; l++)
                sum[n * 4 + i] = fv_fma(left[i / 2][l], fv_part_number(b, n * 8 + lane % 4 * 2 + i % 2, l, b_turned), sum[n * 4 + i]);
}

#endif

#endif
