/* Chains down the columns of matrices [rows, cols], rows ascending: gradients of biases and of norms' weights. A warp has 32 columns; the block's other
 * threads help to bring the rows to come, so that a chain waits for its additions and not for the card's memory. */
#ifndef FV_CUDA_KERNELS_COLUMNS_H
#define FV_CUDA_KERNELS_COLUMNS_H

#include "cuda/device.h"

/* a, or a and b, and what each row has for all of its columns: `width` (0, 1, 2) of `stats`. */
typedef struct {
    const float *a, *b, *stats;
    int width;
    int64_t rows, cols;
} fv_columns;

enum { FV_COLUMNS = 32, FV_COLUMN_THREADS = 128, FV_COLUMN_ROWS = 64 };

/* Some rows of the block's columns, in the block's memory. */
typedef struct {
    float a[FV_COLUMN_ROWS][FV_COLUMNS], b[FV_COLUMN_ROWS][FV_COLUMNS], stats[2 * FV_COLUMN_ROWS];
} __attribute__((aligned(16))) fv_column_rows;

FV_DEVICE void fv_bring_columns(float *to, const float *from, const fv_columns *j, int64_t row, int64_t col) {
    bool quads = j->cols % 4 == 0 && (uintptr_t)from % 16 == 0;
    for (int e = FV_THREAD; e < FV_COLUMN_ROWS * FV_COLUMNS / 4; e += FV_COLUMN_THREADS) {
        int64_t r = row + e / (FV_COLUMNS / 4), c = col + e % (FV_COLUMNS / 4) * 4;
        const float *at = from + r * j->cols + c;
        if (r >= j->rows) continue;
        if (quads && c < j->cols) fv_copy_16(to + 4 * e, at, 16);
        else
            for (int d = 0; d < 4; d++) to[4 * e + d] = c + d < j->cols ? at[d] : 0;
    }
}

FV_DEVICE void fv_bring_column_rows(fv_column_rows *to, const fv_columns *j, int64_t row, int64_t col) {
    if (row < j->rows) {
        fv_bring_columns(to->a[0], j->a, j, row, col);
        if (j->b != NULL) fv_bring_columns(to->b[0], j->b, j, row, col);
        for (int64_t e = FV_THREAD, from = row * j->width; e < FV_COLUMN_ROWS * j->width && from + e < j->rows * j->width; e += FV_COLUMN_THREADS)
            to->stats[e] = j->stats[from + e];
    }
    fv_copy_end();
}

/* What is added for each row, with a, b and stats s of it. */
typedef enum {
    FV_ADD,      /* sum += a */
    FV_ADD_RMS,  /* sum += a (b s) */
    FV_ADD_LAYER /* sum += a ((b - s0) s1), and other += a */
} fv_column_sum;

FV_DEVICE void fv_add_row(float *sum, float *other, const fv_column_rows *rows, int r, const fv_column_sum kind) {
    float a = rows->a[r][FV_THREAD], b = rows->b[r][FV_THREAD];
    if (kind == FV_ADD) *sum = fv_add(*sum, a);
    if (kind == FV_ADD_RMS) *sum = fv_fma(a, fv_mul(b, rows->stats[r]), *sum);
    if (kind != FV_ADD_LAYER) return;
    *sum = fv_fma(a, fv_mul(fv_sub(b, rows->stats[2 * r]), rows->stats[2 * r + 1]), *sum);
    *other = fv_add(*other, a);
}

/* Goes on with the chains at sums [cols] and, of FV_ADD_LAYER, at others; either may be NULL. A block is 32 columns. */
FV_DEVICE void fv_add_columns(const fv_columns *j, float *sums, float *others, const fv_column_sum kind) {
    FV_BLOCK_SHARED fv_column_rows stage[2];
    int64_t col = FV_BLOCK * FV_COLUMNS;
    bool mine = FV_THREAD < FV_COLUMNS && col + FV_THREAD < j->cols;
    float sum = mine && sums != NULL ? sums[col + FV_THREAD] : 0, other = mine && others != NULL ? others[col + FV_THREAD] : 0;
    fv_bring_column_rows(&stage[0], j, 0, col);
    for (int64_t row = 0; row < j->rows; row += FV_COLUMN_ROWS) {
        int here = (int)(row / FV_COLUMN_ROWS % 2);
        fv_copy_wait(0);
        FV_SYNC();
        fv_bring_column_rows(&stage[1 - here], j, row + FV_COLUMN_ROWS, col);
        int left = j->rows - row < FV_COLUMN_ROWS ? (int)(j->rows - row) : FV_COLUMN_ROWS;
#pragma unroll 16
        for (int r = 0; FV_THREAD < FV_COLUMNS && r < left; r++) fv_add_row(&sum, &other, &stage[here], r, kind);
    }
    if (mine && sums != NULL) sums[col + FV_THREAD] = sum;
    if (mine && others != NULL) others[col + FV_THREAD] = other;
}

#endif
