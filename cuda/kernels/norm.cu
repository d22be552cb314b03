/* RMS-norm and layer-norm. Sixteen threads are a row's sixteen lanes; the ways back of the weights are a thread's chain for each column. A
 * row is as long as the weight, so that per-head norms of [rows, heads * head_dim] are rows * heads rows. */
#include "cuda/kernels/columns.h"

enum { THREADS = 128, ROWS = THREADS / FV_LANES };

typedef struct {
    float *y, *stats; /* forward: results. stats: inv [rows] for rms, (mean, inv) [rows, 2] for layer norm */
    const float *in, *dy;
    float *dx, *dw, *db;
    fv_view w, b;
    int64_t rows, cols;
    float eps;
    fv_columns columns; /* on the way back */
} job;

static job job_of(fv_view in, fv_view w, fv_view stats) {
    job j = {0};
    j.in = fv_f32(in), j.w = w, j.stats = fv_f32(stats), j.cols = fv_elements(w), j.rows = fv_elements(in) / fv_elements(w);
    return j;
}

/* The row of this thread's lanes. Those past the last take the last again and write nothing: a warp's threads add up together. */
FV_DEVICE int64_t row_at(const job *j, bool *there) {
    int64_t r = FV_BLOCK * ROWS + FV_THREAD / FV_LANES;
    *there = r < j->rows;
    return *there ? r : j->rows - 1;
}

/* ---- rms_norm: y = x * inv * w, inv = 1 / sqrt(mean(x^2) + eps) -------------------------------------------------------- */

FV_GLOBAL(rms_rows, job) {
    bool there;
    int64_t r = row_at(&j, &there), lane = FV_THREAD % FV_LANES;
    const float *in = j.in + r * j.cols;
    float squares = 0;
    for (int64_t c = lane; c < j.cols; c += FV_LANES) squares = fv_fma(in[c], in[c], squares);
    float inv = 1.0f / sqrtf(fv_hsum(squares) / (float)j.cols + j.eps);
    if (!there) return;
    if (lane == 0) j.stats[r] = inv;
    for (int64_t c = lane; c < j.cols; c += FV_LANES) j.y[r * j.cols + c] = fv_mul(fv_mul(in[c], inv), fv_load_view(&j.w, c));
}

FV_TABLE_OP void fv_cuda_rms_norm(const fv_exec *x, fv_view y, fv_view inv, fv_view in, fv_view w, float eps) {
    (void)x;
    fv_cuda_begin("rms_norm", in, w);
    job j = job_of(in, w, inv);
    j.y = fv_f32(y), j.eps = eps;
    FV_LAUNCH(rms_rows, fv_blocks_of(j.rows, ROWS), THREADS, 0, j);
}

/* dx += inv * (g - x * inv^2 * mean(g * x)) with g = dy * w */
FV_GLOBAL(rms_back_rows, job) {
    bool there;
    int64_t r = row_at(&j, &there), lane = FV_THREAD % FV_LANES;
    const float *in = j.in + r * j.cols, *dy = j.dy + r * j.cols;
    float *dx = j.dx + r * j.cols, inv = j.stats[r], dot = 0;
    for (int64_t c = lane; c < j.cols; c += FV_LANES) dot = fv_fma(fv_mul(dy[c], fv_load_view(&j.w, c)), in[c], dot);
    float pull = inv * inv * (fv_hsum(dot) / (float)j.cols);
    for (int64_t c = lane; there && c < j.cols; c += FV_LANES) {
        float g = fv_fnma(in[c], pull, fv_mul(dy[c], fv_load_view(&j.w, c)));
        dx[c] = fv_fma(inv, g, dx[c]);
    }
}

static fv_columns columns_of(const job *j, int width) {
    fv_columns c = {0};
    c.a = j->dy, c.b = j->in, c.stats = j->stats, c.width = width, c.rows = j->rows, c.cols = j->cols;
    return c;
}

/* dw[c] += sum_r dy * (x * inv), rows ascending */
FV_GLOBAL(rms_back_columns, job) { fv_add_columns(&j.columns, j.dw, NULL, FV_ADD_RMS); }

FV_TABLE_OP void fv_cuda_rms_norm_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view dy, fv_view in, fv_view w, fv_view inv) {
    (void)x;
    fv_cuda_begin("rms_norm_back", in, w);
    job j = job_of(in, w, inv);
    j.dy = fv_f32(dy), j.dx = fv_f32(dx), j.dw = fv_f32(dw);
    if (j.dx != NULL) FV_LAUNCH(rms_back_rows, fv_blocks_of(j.rows, ROWS), THREADS, 0, j);
    j.columns = columns_of(&j, 1);
    if (j.dw != NULL) FV_LAUNCH(rms_back_columns, fv_blocks_of(j.cols, FV_COLUMNS), FV_COLUMN_THREADS, 0, j);
}

/* ---- layer_norm: y = (x - mean) * inv * w + b, inv = 1 / sqrt(mean((x - mean)^2) + eps) --------------------------------- */

FV_GLOBAL(layer_rows, job) {
    bool there;
    int64_t r = row_at(&j, &there), lane = FV_THREAD % FV_LANES;
    const float *in = j.in + r * j.cols;
    float sum = 0, squares = 0;
    for (int64_t c = lane; c < j.cols; c += FV_LANES) sum = fv_add(sum, in[c]);
    float mean = fv_hsum(sum) / (float)j.cols;
    for (int64_t c = lane; c < j.cols; c += FV_LANES) {
        float x = fv_sub(in[c], mean);
        squares = fv_fma(x, x, squares);
    }
    float inv = 1.0f / sqrtf(fv_hsum(squares) / (float)j.cols + j.eps);
    if (!there) return;
    if (lane == 0) j.stats[2 * r] = mean, j.stats[2 * r + 1] = inv;
    for (int64_t c = lane; c < j.cols; c += FV_LANES)
        j.y[r * j.cols + c] = fv_fma(fv_mul(fv_sub(in[c], mean), inv), fv_load_view(&j.w, c), fv_load_view(&j.b, c));
}

FV_TABLE_OP void fv_cuda_layer_norm(const fv_exec *x, fv_view y, fv_view stats, fv_view in, fv_view w, fv_view b, float eps) {
    (void)x;
    fv_cuda_begin("layer_norm", in, w);
    job j = job_of(in, w, stats);
    j.y = fv_f32(y), j.b = b, j.eps = eps;
    FV_LAUNCH(layer_rows, fv_blocks_of(j.rows, ROWS), THREADS, 0, j);
}

/* dx += inv * (g - mean(g) - xhat * mean(g * xhat)) with g = dy * w, xhat = (x - mean) * inv */
FV_GLOBAL(layer_back_rows, job) {
    bool there;
    int64_t r = row_at(&j, &there), lane = FV_THREAD % FV_LANES;
    const float *in = j.in + r * j.cols, *dy = j.dy + r * j.cols;
    float *dx = j.dx + r * j.cols, mean = j.stats[2 * r], inv = j.stats[2 * r + 1], sum = 0, dot = 0;
    for (int64_t c = lane; c < j.cols; c += FV_LANES) {
        float g = fv_mul(dy[c], fv_load_view(&j.w, c));
        sum = fv_add(sum, g);
        dot = fv_fma(g, fv_mul(fv_sub(in[c], mean), inv), dot);
    }
    float mean_g = fv_hsum(sum) / (float)j.cols, pull = fv_hsum(dot) / (float)j.cols;
    for (int64_t c = lane; there && c < j.cols; c += FV_LANES) {
        float g = fv_mul(dy[c], fv_load_view(&j.w, c)), hat = fv_mul(fv_sub(in[c], mean), inv);
        dx[c] = fv_fma(inv, fv_fnma(hat, pull, fv_sub(g, mean_g)), dx[c]);
    }
}

/* dw += sum_r dy * xhat, db += sum_r dy, rows ascending */
FV_GLOBAL(layer_back_columns, job) { fv_add_columns(&j.columns, j.dw, j.db, FV_ADD_LAYER); }

FV_TABLE_OP void fv_cuda_layer_norm_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view db, fv_view dy, fv_view in, fv_view w, fv_view stats) {
    (void)x;
    fv_cuda_begin("layer_norm_back", in, w);
    job j = job_of(in, w, stats);
    j.dy = fv_f32(dy), j.dx = fv_f32(dx), j.dw = fv_f32(dw), j.db = fv_f32(db);
    if (j.dx != NULL) FV_LAUNCH(layer_back_rows, fv_blocks_of(j.rows, ROWS), THREADS, 0, j);
    j.columns = columns_of(&j, 2);
    if (j.dw != NULL || j.db != NULL) FV_LAUNCH(layer_back_columns, fv_blocks_of(j.cols, FV_COLUMNS), FV_COLUMN_THREADS, 0, j);
}
