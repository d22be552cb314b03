/* Rows picked from a table and put into one: a thread for each number. y[r] = table[index[r]] and its kin; core/ops.h has the shapes. */
#include "cuda/kernels/groups.h"

enum { THREADS = 256 };

typedef struct {
    float *to;
    fv_view from;
    const int32_t *index;
    fv_groups groups;
    int64_t rows, cols;
    bool add;
} job;

FV_GLOBAL(gather_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, r = i / j.cols, c = i % j.cols;
    if (r >= j.rows) return;
    int64_t at = j.index[r];
    if (at >= 0) {
        float x = fv_load_view(&j.from, at * j.cols + c);
        j.to[i] = j.add ? fv_add(j.to[i], x) : x;
    } else if (!j.add) {
        j.to[i] = 0;
    }
}

static void gather(const fv_exec *x, fv_view y, fv_view table, fv_view index, bool add) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {0};
    j.to = fv_f32(y), j.from = table, j.rows = fv_elements(index), j.add = add;
    if (j.rows == 0) return;
    j.index = fv_cuda_ints(x, index);
    j.cols = fv_elements(y) / j.rows;
    FV_LAUNCH(gather_numbers, fv_blocks_of(j.rows * j.cols, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}

FV_TABLE_OP void fv_cuda_gather(const fv_exec *x, fv_view y, fv_view table, fv_view index) {
    fv_cuda_begin("gather", y, table);
    gather(x, y, table, index, false);
}

FV_TABLE_OP void fv_cuda_gather_add(const fv_exec *x, fv_view y, fv_view table, fv_view index) {
    fv_cuda_begin("gather_add", y, table);
    gather(x, y, table, index, true);
}

FV_GLOBAL(scatter_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, r = i / j.cols, c = i % j.cols;
    if (r < j.rows && j.index[r] >= 0) j.to[j.index[r] * j.cols + c] = ((const float *)j.from.data)[i];
}

FV_TABLE_OP void fv_cuda_scatter(const fv_exec *x, fv_view y, fv_view in, fv_view index) {
    fv_cuda_begin("scatter", y, in);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {0};
    j.to = fv_f32(y), j.from = in, j.rows = fv_elements(index);
    if (j.rows == 0) return;
    j.index = fv_cuda_ints(x, index);
    j.cols = fv_elements(in) / j.rows;
    FV_LAUNCH(scatter_numbers, fv_blocks_of(j.rows * j.cols, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}

/* Columns of a row that gets something: a chain over the rows that go there, ascending. */
FV_GLOBAL(scatter_add_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, g = i / j.cols, c = i % j.cols;
    if (g >= j.groups.count) return;
    float *to = j.to + j.groups.row[g] * j.cols + c, sum = *to;
    for (int32_t k = j.groups.start[g]; k < j.groups.start[g + 1]; k++)
        sum = fv_add(sum, ((const float *)j.from.data)[j.groups.entry[k] * j.cols + c]);
    *to = sum;
}

FV_TABLE_OP void fv_cuda_scatter_add(const fv_exec *x, fv_view y, fv_view in, fv_view index) {
    fv_cuda_begin("scatter_add", y, in);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {0};
    j.to = fv_f32(y), j.from = in, j.rows = fv_elements(index);
    if (j.rows == 0) return;
    j.cols = fv_elements(in) / j.rows;
    j.groups = fv_groups_of(x, fv_i32(index), j.rows);
    FV_LAUNCH(scatter_add_numbers, fv_blocks_of(j.groups.count * j.cols, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}
