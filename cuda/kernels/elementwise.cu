/* Sums, multiples and dot products of whole buffers: a thread for each number. */
#include "cuda/device.h"

/* PIECE as on the CPU (core/ops.h: dot): the order of additions is the same. */
enum { THREADS = 256, PIECE = 4096, DOT_THREADS = 128, PIECES_A_BLOCK = DOT_THREADS / FV_LANES };

typedef struct {
    float *y;
    const float *a, *b;
    float factor;
    double *sums; /* one for each piece */
    int64_t n;
} job;

FV_GLOBAL(add_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i < j.n) j.y[i] = fv_add(j.a[i], j.b[i]);
}

FV_TABLE_OP void fv_cuda_add(const fv_exec *x, fv_view y, fv_view a, fv_view b) {
    (void)x;
    fv_cuda_begin("add", y, a);
    job j = {0};
    j.y = fv_f32(y), j.a = fv_f32(a), j.b = fv_f32(b), j.n = fv_elements(y);
    FV_LAUNCH(add_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}

FV_GLOBAL(axpy_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i < j.n) j.y[i] = fv_fma(j.factor, j.a[i], j.y[i]);
}

FV_TABLE_OP void fv_cuda_axpy(const fv_exec *x, fv_view y, float a, fv_view in) {
    (void)x;
    fv_cuda_begin("axpy", y, in);
    job j = {0};
    j.y = fv_f32(y), j.a = fv_f32(in), j.factor = a, j.n = fv_elements(y);
    FV_LAUNCH(axpy_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}

FV_GLOBAL(scale_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD;
    if (i < j.n) j.y[i] = fv_mul(j.factor, j.y[i]);
}

FV_TABLE_OP void fv_cuda_scale(const fv_exec *x, fv_view y, float a) {
    (void)x;
    fv_cuda_begin("scale", y, fv_none);
    job j = {0};
    j.y = fv_f32(y), j.factor = a, j.n = fv_elements(y);
    FV_LAUNCH(scale_numbers, fv_blocks_of(j.n, THREADS), THREADS, 0, j);
}

/* Sixteen lanes take a piece. */
FV_GLOBAL(dot_pieces, job) {
    int64_t piece = FV_BLOCK * PIECES_A_BLOCK + FV_THREAD / FV_LANES;
    int64_t stop = (piece + 1) * PIECE < j.n ? (piece + 1) * PIECE : j.n;
    double sum = 0;
    for (int64_t i = piece * PIECE + FV_THREAD % FV_LANES; i < stop; i += FV_LANES) sum = fma((double)j.a[i], (double)j.b[i], sum);
    sum = fv_dsum(sum);
    if (FV_THREAD % FV_LANES == 0 && piece * PIECE < j.n) j.sums[piece] = sum;
}

FV_TABLE_OP double fv_cuda_dot(const fv_exec *x, fv_view a, fv_view b) {
    fv_cuda_begin("dot", a, b);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {0};
    j.a = fv_f32(a), j.b = fv_f32(b), j.n = fv_elements(a);
    int64_t pieces = fv_blocks_of(j.n, PIECE);
    size_t bytes = (size_t)pieces * sizeof(double);
    j.sums = (double *)fv_arena_numbers(x->scratch, bytes);
    FV_LAUNCH(dot_pieces, fv_blocks_of(pieces, PIECES_A_BLOCK), DOT_THREADS, 0, j);
    double *sums = FV_TAKE(x->scratch, double, pieces), sum = 0;
    fv_cuda_download(sums, j.sums, bytes);
    for (int64_t i = 0; i < pieces; i++) sum += sums[i];
    fv_arena_release(x->scratch, mark);
    return sum;
}
