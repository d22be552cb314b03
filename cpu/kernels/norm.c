/* RMS-norm and layer-norm. Sums over a row: sixteen lanes, then the tree of cpu/simd.h; square root and divisions are true
 * ones. A row is as long as the weight, so that per-head norms of [rows, heads * head_dim] are rows * heads rows. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

#include <math.h>

typedef struct {
    float *y, *stats; /* forward: results. stats: inv [rows] for rms, (mean, inv) [rows, 2] for layer norm */
    const float *in, *dy;
    float *dx, *dw, *db;
    fv_view w, b;
    int64_t rows, cols;
    float eps;
} job;

static int64_t rows_of(fv_view in, fv_view w) {
    return fv_elements(in) / fv_elements(w);
}

/* ---- rms_norm: y = x * inv * w, inv = 1 / sqrt(mean(x^2) + eps) -------------------------------------------------------- */

static void rms_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        const float *in = j->in + r * j->cols;
        fv_x16 squares = fv_zero();
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            fv_x16 x = fv_load_part(in + c, fv_part(j->cols - c));
            squares = fv_fma(x, x, squares);
        }
        float inv = 1.0f / sqrtf(fv_hsum(squares) / (float)j->cols + j->eps);
        j->stats[r] = inv;
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 x = fv_mul(fv_load_part(in + c, n), fv_set1(inv));
            fv_store_part(j->y + r * j->cols + c, fv_mul(x, fv_load_view(j->w, c, n)), n);
        }
    }
}

void FV_KERNEL(rms_norm)(const fv_exec *x, fv_view y, fv_view inv, fv_view in, fv_view w, float eps) {
    job j = {.y = fv_f32(y), .stats = fv_f32(inv), .in = fv_f32(in), .w = w, .rows = rows_of(in, w), .cols = fv_elements(w), .eps = eps};
    fv_parallel(x->pool, j.rows, fv_grain(2 * j.cols), rms_rows, &j);
}

/* dx += inv * (g - x * inv^2 * mean(g * x)) with g = dy * w */
static void rms_back_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        const float *in = j->in + r * j->cols, *dy = j->dy + r * j->cols;
        float *dx = j->dx + r * j->cols, inv = j->stats[r];
        fv_x16 dot = fv_zero();
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            dot = fv_fma(fv_mul(fv_load_part(dy + c, n), fv_load_view(j->w, c, n)), fv_load_part(in + c, n), dot);
        }
        fv_x16 pull = fv_set1(inv * inv * (fv_hsum(dot) / (float)j->cols));
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 g = fv_mul(fv_load_part(dy + c, n), fv_load_view(j->w, c, n));
            g = fv_fnma(fv_load_part(in + c, n), pull, g);
            fv_store_part(dx + c, fv_fma(fv_set1(inv), g, fv_load_part(dx + c, n)), n);
        }
    }
}

/* dw[c] += sum_r dy * (x * inv), rows ascending */
static void rms_back_columns(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = 0; r < j->rows; r++) {
        const float *in = j->in + r * j->cols, *dy = j->dy + r * j->cols;
        fv_x16 inv = fv_set1(j->stats[r]);
        for (int64_t c = begin; c < end; c += FV_LANES) {
            int n = fv_part(end - c);
            fv_x16 x = fv_mul(fv_load_part(in + c, n), inv);
            fv_store_part(j->dw + c, fv_fma(fv_load_part(dy + c, n), x, fv_load_part(j->dw + c, n)), n);
        }
    }
}

void FV_KERNEL(rms_norm_back)(const fv_exec *x, fv_view dx, fv_view dw, fv_view dy, fv_view in, fv_view w, fv_view inv) {
    job j = {.stats = fv_f32(inv), .in = fv_f32(in), .dy = fv_f32(dy), .dx = fv_f32(dx), .dw = fv_f32(dw), .w = w,
             .rows = rows_of(in, w), .cols = fv_elements(w)};
    if (j.dx != NULL) fv_parallel(x->pool, j.rows, fv_grain(2 * j.cols), rms_back_rows, &j);
    if (j.dw != NULL) fv_parallel(x->pool, j.cols, fv_grain(j.rows), rms_back_columns, &j);
}

/* ---- layer_norm: y = (x - mean) * inv * w + b, inv = 1 / sqrt(mean((x - mean)^2) + eps) --------------------------------- */

static void layer_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        const float *in = j->in + r * j->cols;
        fv_x16 sum = fv_zero(), squares = fv_zero();
        for (int64_t c = 0; c < j->cols; c += FV_LANES) sum = fv_add(sum, fv_load_part(in + c, fv_part(j->cols - c)));
        float mean = fv_hsum(sum) / (float)j->cols;
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 x = fv_sub(fv_load_part(in + c, n), fv_set1(mean));
            x = fv_select(fv_mask_n(n), x, fv_zero()); /* lanes past the end are 0 - mean */
            squares = fv_fma(x, x, squares);
        }
        float inv = 1.0f / sqrtf(fv_hsum(squares) / (float)j->cols + j->eps);
        j->stats[2 * r] = mean;
        j->stats[2 * r + 1] = inv;
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 x = fv_mul(fv_sub(fv_load_part(in + c, n), fv_set1(mean)), fv_set1(inv));
            fv_store_part(j->y + r * j->cols + c, fv_fma(x, fv_load_view(j->w, c, n), fv_load_view(j->b, c, n)), n);
        }
    }
}

void FV_KERNEL(layer_norm)(const fv_exec *x, fv_view y, fv_view stats, fv_view in, fv_view w, fv_view b, float eps) {
    job j = {.y = fv_f32(y), .stats = fv_f32(stats), .in = fv_f32(in), .w = w, .b = b, .rows = rows_of(in, w),
             .cols = fv_elements(w), .eps = eps};
    fv_parallel(x->pool, j.rows, fv_grain(3 * j.cols), layer_rows, &j);
}

/* dx += inv * (g - mean(g) - xhat * mean(g * xhat)) with g = dy * w, xhat = (x - mean) * inv */
static void layer_back_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++) {
        const float *in = j->in + r * j->cols, *dy = j->dy + r * j->cols;
        float *dx = j->dx + r * j->cols;
        fv_x16 mean = fv_set1(j->stats[2 * r]), inv = fv_set1(j->stats[2 * r + 1]), sum = fv_zero(), dot = fv_zero();
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 g = fv_mul(fv_load_part(dy + c, n), fv_load_view(j->w, c, n)); /* 0 past the end */
            sum = fv_add(sum, g);
            dot = fv_fma(g, fv_mul(fv_sub(fv_load_part(in + c, n), mean), inv), dot);
        }
        fv_x16 mean_g = fv_set1(fv_hsum(sum) / (float)j->cols), pull = fv_set1(fv_hsum(dot) / (float)j->cols);
        for (int64_t c = 0; c < j->cols; c += FV_LANES) {
            int n = fv_part(j->cols - c);
            fv_x16 g = fv_mul(fv_load_part(dy + c, n), fv_load_view(j->w, c, n));
            fv_x16 hat = fv_mul(fv_sub(fv_load_part(in + c, n), mean), inv);
            g = fv_fnma(hat, pull, fv_sub(g, mean_g));
            fv_store_part(dx + c, fv_fma(inv, g, fv_load_part(dx + c, n)), n);
        }
    }
}

/* dw += sum_r dy * xhat, db += sum_r dy, rows ascending */
static void layer_back_columns(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = 0; r < j->rows; r++) {
        const float *in = j->in + r * j->cols, *dy = j->dy + r * j->cols;
        fv_x16 mean = fv_set1(j->stats[2 * r]), inv = fv_set1(j->stats[2 * r + 1]);
        for (int64_t c = begin; c < end; c += FV_LANES) {
            int n = fv_part(end - c);
            fv_x16 d = fv_load_part(dy + c, n), hat = fv_mul(fv_sub(fv_load_part(in + c, n), mean), inv);
            if (j->dw != NULL) fv_store_part(j->dw + c, fv_fma(d, hat, fv_load_part(j->dw + c, n)), n);
            if (j->db != NULL) fv_store_part(j->db + c, fv_add(fv_load_part(j->db + c, n), d), n);
        }
    }
}

void FV_KERNEL(layer_norm_back)(const fv_exec *x, fv_view dx, fv_view dw, fv_view db, fv_view dy, fv_view in, fv_view w, fv_view stats) {
    job j = {.stats = fv_f32(stats), .in = fv_f32(in), .dy = fv_f32(dy), .dx = fv_f32(dx), .dw = fv_f32(dw), .db = fv_f32(db),
             .w = w, .rows = rows_of(in, w), .cols = fv_elements(w)};
    if (j.dx != NULL) fv_parallel(x->pool, j.rows, fv_grain(3 * j.cols), layer_back_rows, &j);
    if (j.dw != NULL || j.db != NULL) fv_parallel(x->pool, j.cols, fv_grain(2 * j.rows), layer_back_columns, &j);
}
