/* Rows picked from a table and put into one. y[r] = table[index[r]] and its kin; core/ops.h has the shapes. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

#include <string.h>

typedef struct {
    fv_view to, from;
    const int32_t *index;
    int64_t rows, cols;
    bool add;
} job;

static job job_of(fv_view to, fv_view from, fv_view row_like, fv_view index, bool add) {
    int64_t rows = fv_elements(index);
    return (job){to, from, fv_i32(index), rows, rows > 0 ? fv_elements(row_like) / rows : 0, add};
}

static void gather_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        float *y = fv_f32(j->to) + r * j->cols;
        if (j->index[r] < 0) {
            if (!j->add) memset(y, 0, (size_t)j->cols * sizeof *y);
            continue;
        }
        int64_t at = j->index[r] * j->cols;
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 x = fv_load_view(j->from, at + c, n);
            fv_store_part(y + c, j->add ? fv_add(fv_load_part(y + c, n), x) : x, n);
        }
    }
}

void FV_KERNEL(gather)(const fv_exec *x, fv_view y, fv_view table, fv_view index) {
    job j = job_of(y, table, y, index, false);
    fv_parallel(x->pool, j.rows, fv_grain(j.cols), gather_rows, &j);
}

void FV_KERNEL(gather_add)(const fv_exec *x, fv_view y, fv_view table, fv_view index) {
    job j = job_of(y, table, y, index, true);
    fv_parallel(x->pool, j.rows, fv_grain(j.cols), gather_rows, &j);
}

static void scatter_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++)
        if (j->index[r] >= 0)
            memcpy(fv_f32(j->to) + j->index[r] * j->cols, fv_f32(j->from) + r * j->cols, (size_t)j->cols * sizeof(float));
}

void FV_KERNEL(scatter)(const fv_exec *x, fv_view y, fv_view in, fv_view index) {
    job j = job_of(y, in, in, index, false);
    fv_parallel(x->pool, j.rows, fv_grain(j.cols), scatter_rows, &j);
}

/* Several rows may go to one, so threads take columns and every thread walks all rows in order. */
static void scatter_add_columns(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = 0; r < j->rows; r++) {
        if (j->index[r] < 0) continue;
        float *y = fv_f32(j->to) + j->index[r] * j->cols;
        const float *in = fv_f32(j->from) + r * j->cols;
        for (int64_t c = begin; c < end; c += FV_LANES) {
            int n = fv_part(end - c);
            fv_store_part(y + c, fv_add(fv_load_part(y + c, n), fv_load_part(in + c, n)), n);
        }
    }
}

void FV_KERNEL(scatter_add)(const fv_exec *x, fv_view y, fv_view in, fv_view index) {
    job j = job_of(y, in, in, index, true);
    fv_parallel(x->pool, j.cols, fv_grain(j.rows), scatter_add_columns, &j);
}
