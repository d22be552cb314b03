/* Weighted sums of four rows of a table: learned positions, interpolated bilinearly. A thread for each number.
 * y[r] = sum_{j<4} weight[r,j] * table[index[r,j]]: one chain of fused multiply-adds from 0, j ascending. */
#include "cuda/kernels/groups.h"

enum { THREADS = 256, CORNERS = 4 };

typedef struct {
    fv_view table;
    float *rows_of; /* y or dy [rows, cols] */
    const int32_t *index;
    const float *weight;
    fv_groups groups;
    int64_t rows, cols;
} job;

static job job_of(const fv_exec *x, fv_view table, fv_view y, fv_view index, fv_view weight) {
    job j = {0};
    j.table = table;
    j.rows_of = fv_f32(y);
    j.rows = fv_elements(index) / CORNERS;
    j.cols = j.rows > 0 ? fv_elements(y) / j.rows : 0;
    j.weight = (const float *)fv_cuda_stage(x, weight.data, fv_bytes(weight));
    return j;
}

FV_GLOBAL(blend_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, r = i / j.cols, c = i % j.cols;
    if (r >= j.rows) return;
    float sum = 0;
    for (int64_t k = r * CORNERS; k < (r + 1) * CORNERS; k++) sum = fv_fma(j.weight[k], fv_load_view(&j.table, j.index[k] * j.cols + c), sum);
    j.rows_of[i] = sum;
}

FV_TABLE_OP void fv_cuda_blend(const fv_exec *x, fv_view y, fv_view table, fv_view index, fv_view weight) {
    fv_cuda_begin("blend", y, table);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = job_of(x, table, y, index, weight);
    j.index = fv_cuda_ints(x, index);
    FV_LAUNCH(blend_numbers, fv_blocks_of(j.rows * j.cols, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}

/* dtable[index[r,j]] += weight[r,j] * dy[r], r then j ascending: a chain for each row of the table. */
FV_GLOBAL(blend_back_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, g = i / j.cols, c = i % j.cols;
    if (g >= j.groups.count) return;
    float *to = (float *)j.table.data + j.groups.row[g] * j.cols + c, sum = *to;
    for (int32_t k = j.groups.start[g]; k < j.groups.start[g + 1]; k++) {
        int64_t corner = j.groups.entry[k];
        sum = fv_fma(j.weight[corner], j.rows_of[corner / CORNERS * j.cols + c], sum);
    }
    *to = sum;
}

FV_TABLE_OP void fv_cuda_blend_back(const fv_exec *x, fv_view dtable, fv_view dy, fv_view index, fv_view weight) {
    fv_cuda_begin("blend_back", dtable, dy);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = job_of(x, dtable, dy, index, weight);
    j.groups = fv_groups_of(x, fv_i32(index), j.rows * CORNERS);
    FV_LAUNCH(blend_back_numbers, fv_blocks_of(j.groups.count * j.cols, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}
