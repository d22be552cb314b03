/* unit: rows of length 1, as CLIP compares embeddings (arXiv 2103.00020, figure 3).   x, y [rows, cols]   inv [rows] */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

#include <math.h>

typedef struct {
    float *y, *inv, *dx;
    const float *x, *dy;
    int64_t cols;
} job;

/* y = x * inv, inv[r] = 1 / sqrt(sum_c x^2 + 1e-12) */
static void unit_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        const float *x = j->x + r * j->cols;
        fv_x16 squares = fv_zero(); /* element c goes to lane c % 16, and fv_hsum adds the lanes in one fixed tree */
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            fv_x16 v = fv_load_part(x + c, fv_part(j->cols - c));
            squares = fv_fma(v, v, squares);
        }
        j->inv[r] = 1.0f / sqrtf(fv_hsum(squares) + 1e-12f);
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_store_part(j->y + r * j->cols + c, fv_mul(fv_load_part(x + c, n), fv_set1(j->inv[r])), n);
        }
    }
}

void FV_KERNEL(unit)(const fv_exec *x, fv_view y, fv_view inv, fv_view in) {
    job j = {.y = fv_f32(y), .inv = fv_f32(inv), .x = fv_f32(in), .cols = fv_cols(in)};
    fv_parallel(x->pool, fv_rows(in), fv_grain(2 * j.cols), unit_rows, &j);
}

/* dx += inv * (dy - y * sum_c(dy * y)) */
static void unit_back_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        const float *y = j->y + r * j->cols, *dy = j->dy + r * j->cols;
        float *dx = j->dx + r * j->cols;
        fv_x16 dot = fv_zero();
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            dot = fv_fma(fv_load_part(dy + c, n), fv_load_part(y + c, n), dot);
        }
        fv_x16 pull = fv_set1(fv_hsum(dot)), inv = fv_set1(j->inv[r]);
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 g = fv_fnma(fv_load_part(y + c, n), pull, fv_load_part(dy + c, n));
            fv_store_part(dx + c, fv_fma(inv, g, fv_load_part(dx + c, n)), n);
        }
    }
}

void FV_KERNEL(unit_back)(const fv_exec *x, fv_view dx, fv_view dy, fv_view y, fv_view inv) {
    job j = {.y = fv_f32(y), .inv = fv_f32(inv), .dx = fv_f32(dx), .dy = fv_f32(dy), .cols = fv_cols(y)};
    fv_parallel(x->pool, fv_rows(y), fv_grain(2 * j.cols), unit_back_rows, &j);
}
