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

/* Threads: a warp that adds, and those that bring. Rows of a stage, and stages that are on their way or being added. */
enum { FV_COLUMNS = 32, FV_COLUMN_BRINGING = 128, FV_COLUMN_THREADS = FV_COLUMNS + FV_COLUMN_BRINGING, FV_COLUMN_ROWS = 32, FV_COLUMN_STAGES = 5 };

/* Some rows of the block's columns, in the block's memory. */
typedef struct {
    float a[FV_COLUMN_ROWS][FV_COLUMNS], b[FV_COLUMN_ROWS][FV_COLUMNS], stats[2 * FV_COLUMN_ROWS];
} __attribute__((aligned(16))) fv_column_rows;

/* Lines of `wide` numbers from a matrix whose lines are `stride` apart: count of them, of each the first `inside` numbers, then zeros. */
FV_DEVICE void fv_bring_lines(float *to, const float *from, int wide, int64_t stride, int count, int64_t inside) {
    bool quads = stride % 4 == 0 && (uintptr_t)from % 16 == 0;
    for (int e = 4 * (FV_THREAD - FV_COLUMNS); e < wide * count; e += 4 * FV_COLUMN_BRINGING) {
        int64_t left = inside - e % wide;
        const float *at = from + e / wide * stride + e % wide;
        if (quads && left > 0) fv_copy_16(to + e, at, left < 4 ? (int)left * (int)sizeof(float) : 16);
        else
            for (int d = 0; d < 4; d++) to[e + d] = d < left ? at[d] : 0;
    }
}

FV_DEVICE void fv_bring_column_rows(fv_column_rows *to, const fv_columns *j, int64_t row, int64_t col) {
    if (row < j->rows && FV_THREAD >= FV_COLUMNS) {
        int count = j->rows - row < FV_COLUMN_ROWS ? (int)(j->rows - row) : FV_COLUMN_ROWS;
        fv_bring_lines(to->a[0], j->a + row * j->cols + col, FV_COLUMNS, j->cols, count, j->cols - col);
        if (j->b != NULL) fv_bring_lines(to->b[0], j->b + row * j->cols + col, FV_COLUMNS, j->cols, count, j->cols - col);
        if (j->width > 0) fv_bring_lines(to->stats, j->stats + row * j->width, 2 * FV_COLUMN_ROWS, 0, 1, (int64_t)count * j->width);
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
    FV_BLOCK_SHARED fv_column_rows stage[FV_COLUMN_STAGES];
    int64_t col = FV_BLOCK * FV_COLUMNS;
    bool mine = FV_THREAD < FV_COLUMNS && col + FV_THREAD < j->cols;
    float sum = mine && sums != NULL ? sums[col + FV_THREAD] : 0, other = mine && others != NULL ? others[col + FV_THREAD] : 0;
    for (int i = 0; i < FV_COLUMN_STAGES - 1; i++) fv_bring_column_rows(&stage[i], j, i * FV_COLUMN_ROWS, col);
    for (int64_t row = 0, i = 0; row < j->rows; row += FV_COLUMN_ROWS, i++) {
        fv_copy_wait(FV_COLUMN_STAGES - 2);
        FV_SYNC();
        int next = FV_COLUMN_STAGES - 1;
        fv_bring_column_rows(&stage[(i + next) % FV_COLUMN_STAGES], j, row + next * FV_COLUMN_ROWS, col);
        const fv_column_rows *rows = &stage[i % FV_COLUMN_STAGES];
        int left = j->rows - row < FV_COLUMN_ROWS ? (int)(j->rows - row) : FV_COLUMN_ROWS;
#pragma unroll 16
        for (int r = 0; FV_THREAD < FV_COLUMNS && r < left; r++) fv_add_row(&sum, &other, rows, r, kind);
    }
    if (mine && sums != NULL) sums[col + FV_THREAD] = sum;
    if (mine && others != NULL) others[col + FV_THREAD] = other;
}

#endif
