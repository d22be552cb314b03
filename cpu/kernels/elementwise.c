/* Sums, multiples and dot products of whole buffers. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

/* dot's pieces: fixed, so that the order of additions does not depend on the threads. */
enum { PIECE = 4096 };

typedef struct {
    float *y;
    const float *a, *b;
    float factor;
    double *sums; /* one for each piece */
    int64_t n;
} job;

static void add_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_store_part(j->y + i, fv_add(fv_load_part(j->a + i, n), fv_load_part(j->b + i, n)), n);
    }
}

void FV_KERNEL(add)(const fv_exec *x, fv_view y, fv_view a, fv_view b) {
    job j = {.y = fv_f32(y), .a = fv_f32(a), .b = fv_f32(b)};
    fv_parallel(x->pool, fv_elements(y), fv_grain(1), add_range, &j);
}

static void axpy_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    fv_x16 factor = fv_set1(j->factor);
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_store_part(j->y + i, fv_fma(factor, fv_load_part(j->a + i, n), fv_load_part(j->y + i, n)), n);
    }
}

void FV_KERNEL(axpy)(const fv_exec *x, fv_view y, float a, fv_view in) {
    job j = {.y = fv_f32(y), .a = fv_f32(in), .factor = a};
    fv_parallel(x->pool, fv_elements(y), fv_grain(1), axpy_range, &j);
}

static void scale_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    fv_x16 factor = fv_set1(j->factor);
    for (int64_t i = begin; i < end; i += FV_LANES) {
        int n = fv_part(end - i);
        fv_store_part(j->y + i, fv_mul(factor, fv_load_part(j->y + i, n)), n);
    }
}

void FV_KERNEL(scale)(const fv_exec *x, fv_view y, float a) {
    job j = {.y = fv_f32(y), .factor = a};
    fv_parallel(x->pool, fv_elements(y), fv_grain(1), scale_range, &j);
}

static void dot_pieces(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t piece = begin; piece < end; piece++) {
        int64_t stop = (piece + 1) * PIECE < j->n ? (piece + 1) * PIECE : j->n;
        fv_d16 sum = fv_dzero();
        for (int64_t i = piece * PIECE; i < stop; i += FV_LANES) {
            int n = fv_part(stop - i);
            sum = fv_dfma(fv_load_part(j->a + i, n), fv_load_part(j->b + i, n), sum);
        }
        j->sums[piece] = fv_dsum(sum);
    }
}

double FV_KERNEL(dot)(const fv_exec *x, fv_view a, fv_view b) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {.a = fv_f32(a), .b = fv_f32(b), .n = fv_elements(a)};
    int64_t pieces = (j.n + PIECE - 1) / PIECE;
    j.sums = FV_TAKE(x->scratch, double, pieces);
    fv_parallel(x->pool, pieces, fv_grain(PIECE), dot_pieces, &j);
    double sum = 0;
    for (int64_t i = 0; i < pieces; i++) sum += j.sums[i];
    fv_arena_release(x->scratch, mark);
    return sum;
}
