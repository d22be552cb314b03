/* Weighted sums of four rows of a table: learned positions, interpolated bilinearly.
 * y[r] = sum_{j<4} weight[r,j] * table[index[r,j]]: one chain of fused multiply-adds from 0, j ascending. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

enum { CORNERS = 4 };

typedef struct {
    fv_view table;
    float *rows_of; /* y or dy [rows, cols] */
    const int32_t *index;
    const float *weight;
    int64_t rows, cols;
} job;

static job job_of(fv_view table, fv_view y, fv_view index, fv_view weight) {
    int64_t rows = fv_elements(index) / CORNERS;
    return (job){table, fv_f32(y), fv_i32(index), fv_f32(weight), rows, rows > 0 ? fv_elements(y) / rows : 0};
}

static void blend_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *b = context;
    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < b->cols; c += FV_LANES) {
            int n = fv_part(b->cols - c);
            fv_x16 sum = fv_zero();
            for (int64_t j = r * CORNERS; j < (r + 1) * CORNERS; j++)
                sum = fv_fma(fv_set1(b->weight[j]), fv_load_view(b->table, b->index[j] * b->cols + c, n), sum);
            fv_store_part(b->rows_of + r * b->cols + c, sum, n);
        }
}

void FV_KERNEL(blend)(const fv_exec *x, fv_view y, fv_view table, fv_view index, fv_view weight) {
    job b = job_of(table, y, index, weight);
    fv_parallel(x->pool, b.rows, fv_grain(CORNERS * b.cols), blend_rows, &b);
}

/* dtable[index[r,j]] += weight[r,j] * dy[r], r then j ascending; threads take columns. */
static void blend_back_columns(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *b = context;
    for (int64_t j = 0; j < b->rows * CORNERS; j++) {
        float *d = fv_f32(b->table) + b->index[j] * b->cols;
        const float *dy = b->rows_of + j / CORNERS * b->cols;
        fv_x16 w = fv_set1(b->weight[j]);
        for (int64_t c = begin; c < end; c += FV_LANES) {
            int n = fv_part(end - c);
            fv_store_part(d + c, fv_fma(w, fv_load_part(dy + c, n), fv_load_part(d + c, n)), n);
        }
    }
}

void FV_KERNEL(blend_back)(const fv_exec *x, fv_view dtable, fv_view dy, fv_view index, fv_view weight) {
    job b = job_of(dtable, dy, index, weight);
    fv_parallel(x->pool, b.cols, fv_grain(CORNERS * b.rows), blend_back_columns, &b);
}
