/* Matrix products against OpenBLAS's sgemm (same shape, same threads, turns taken, best of each) and, for one row, against the
 * memory's bandwidth. Prints CSV: what, ours, bar, ratio. Products are in GFLOP/s, bandwidths in GB/s. */
#include "core/ops.h"
#include "core/random.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 7 };
static const double turn_seconds = 0.03;

void openblas_set_num_threads(int n);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    const fv_ops *ops;
    fv_exec exec;
    int64_t m, n, k;
    float *x, *w, *y; /* [m, k], [n, k], [m, n] */
    uint16_t *half;   /* w in bf16 */
    void *packed;
    int64_t turn, copies; /* packed weights in rotation, so that caches do not hold them */
} work;

typedef void step(work *s);

static void forward(work *s) {
    fv_view w = fv_mat(s->w, s->n, s->k);
    const char *packed = (const char *)s->packed + (size_t)(s->turn++ % s->copies) * s->ops->linear_packed_bytes(w);
    s->ops->linear(&s->exec, &(fv_linear_map){ .y = fv_mat(s->y, s->m, s->n), .w = w, .packed = packed }, 1, fv_mat(s->x, s->m, s->k));
}
static void forward_bf16(work *s) {
    fv_view w = { .data = s->half, .dtype = FV_BF16, .rank = 2, .shape = { s->n, s->k } };
    const char *packed = (const char *)s->packed + (size_t)(s->turn++ % s->copies) * s->ops->linear_packed_bytes(w);
    s->ops->linear(&s->exec, &(fv_linear_map){ .y = fv_mat(s->y, s->m, s->n), .w = w, .packed = packed }, 1, fv_mat(s->x, s->m, s->k));
}
static void back_input(work *s) {
    s->ops->linear_back(&s->exec, fv_mat(s->x, s->m, s->k), fv_none, fv_none, fv_mat(s->y, s->m, s->n), fv_none, fv_mat(s->w, s->n, s->k), NULL);
}
static void back_weight(work *s) {
    s->ops->linear_back(&s->exec, fv_none, fv_mat(s->w, s->n, s->k), fv_none, fv_mat(s->y, s->m, s->n), fv_mat(s->x, s->m, s->k), fv_none, NULL);
}
static void pack(work *s) { s->ops->linear_pack(&s->exec, s->packed, fv_mat(s->w, s->n, s->k)); }

static void blas_forward(work *s) {
    const float *w = (const float *)s->packed + (s->turn++ % s->copies) * s->n * s->k;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->m, (int)s->n, (int)s->k, 1, s->x, (int)s->k, w, (int)s->k, 0,
                s->y, (int)s->n);
}
static void blas_back_input(work *s) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)s->m, (int)s->k, (int)s->n, 1, s->y, (int)s->n, s->w, (int)s->k,
                1, s->x, (int)s->k);
}
static void blas_back_weight(work *s) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)s->n, (int)s->k, (int)s->m, 1, s->y, (int)s->n, s->x, (int)s->k, 1,
                s->w, (int)s->k);
}
static void copy_weights(work *s) { memcpy(s->half, s->w, sizeof(float) * (size_t)(s->n * s->k)); }

/* Weights filled in; y is zero, so that steps which accumulate do not grow without end. */
static void prepare(work *s, int64_t m, int64_t n, int64_t k, int64_t copies) {
    s->m = m, s->n = n, s->k = k, s->copies = copies, s->turn = 0;
    s->x = fv_aligned_alloc(sizeof(float) * (size_t)(m * k));
    s->w = fv_aligned_alloc(sizeof(float) * (size_t)(n * k));
    s->y = fv_aligned_alloc(sizeof(float) * (size_t)(m * n));
    s->half = fv_aligned_alloc(sizeof(float) * (size_t)(n * k));
    s->packed = fv_aligned_alloc((size_t)copies * s->ops->linear_packed_bytes(fv_mat(s->w, n, k)));
    if (!s->x || !s->w || !s->y || !s->half || !s->packed) exit(1);
    for (int64_t i = 0; i < m * k; i++) s->x[i] = (float)fv_uniform_at(1, (uint64_t)i) - 0.5f;
    for (int64_t i = 0; i < n * k; i++) s->w[i] = (float)fv_uniform_at(2, (uint64_t)i) - 0.5f;
    memset(s->y, 0, sizeof(float) * (size_t)(m * n));
    memset(s->half, 0, sizeof(float) * (size_t)(n * k));
    for (int64_t i = 0; i < copies; i++) {
        char *at = (char *)s->packed + (size_t)i * s->ops->linear_packed_bytes(fv_mat(s->w, n, k));
        s->ops->linear_pack(&s->exec, at, fv_mat(s->w, n, k));
    }
}

static void finish(work *s) {
    free(s->x);
    free(s->w);
    free(s->y);
    free(s->half);
    free(s->packed);
}

/* Seconds of one call, the mean over a turn. */
static double turn(step *f, work *s) {
    double start = now(), spent;
    int calls = 0;
    do {
        f(s);
        calls++;
    } while ((spent = now() - start) < turn_seconds);
    return spent / calls;
}

/* Best of all turns, ours and the bar's in alternation, so that a busy moment hits both. OpenBLAS's threads go on spinning for
 * some 25 ms after a call: ours wait until they sleep. */
static void compare(const char *what, work *s, step *ours, step *bar, double amount, double bar_amount) {
    double best = 1e9, best_bar = 1e9;
    for (int i = 0; i < TURNS; i++) {
        double a = turn(ours, s), b = turn(bar, s);
        if (fv_pool_threads(s->exec.pool) > 1) usleep(40000);
        if (a < best) best = a;
        if (b < best_bar) best_bar = b;
    }
    double rate = amount / best * 1e-9, rate_bar = bar_amount / best_bar * 1e-9;
    printf("%s %lldx%lldx%lld %d threads,%.1f,%.1f,%.3f\n", what, (long long)s->m, (long long)s->n, (long long)s->k,
           fv_pool_threads(s->exec.pool), rate, rate_bar, rate / rate_bar);
    fflush(stdout);
}

static void products(work *s, int64_t m, int64_t n, int64_t k) {
    double flops = 2.0 * (double)m * (double)n * (double)k;
    prepare(s, m, n, k, 1);
    compare("forward", s, forward, blas_forward, flops, flops);
    compare("forward bf16", s, forward_bf16, blas_forward, flops, flops);
    memset(s->y, 0, sizeof(float) * (size_t)(m * n));
    compare("back_input", s, back_input, blas_back_input, flops, flops);
    compare("back_weight", s, back_weight, blas_back_weight, flops, flops);
    double bytes = 4.0 * (double)n * (double)k;
    compare("pack GB/s against memcpy", s, pack, copy_weights, bytes, bytes);
    finish(s);
}

static void blas_unpacked(work *s) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)s->m, (int)s->n, (int)s->k, 1, s->x, (int)s->k, s->w, (int)s->k, 0, s->y, (int)s->n);
}

/* Precision bf16 against OpenBLAS in f32. */
static void products_bf16(work *s, int64_t m, int64_t n, int64_t k) {
    double flops = 2.0 * (double)m * (double)n * (double)k;
    prepare(s, m, n, k, 1);
    compare("precision bf16: forward", s, forward, blas_unpacked, flops, flops);
    memset(s->y, 0, sizeof(float) * (size_t)(m * n));
    compare("precision bf16: back_input", s, back_input, blas_back_input, flops, flops);
    compare("precision bf16: back_weight", s, back_weight, blas_back_weight, flops, flops);
    finish(s);
}

/* One row over 256 MB of weights in rotation, against the sum of as many bytes. */
typedef struct {
    const float *data;
    double total[64];
} stream;

static void read_range(void *context, int64_t begin, int64_t end, int worker) {
    stream *s = context;
    float sum[64] = { 0 };
    for (int64_t i = begin; i < end; i++)
        for (int j = 0; j < 64; j++) sum[j] += s->data[i * 64 + j];
    for (int j = 0; j < 64; j++) s->total[worker % 64] += (double)sum[j];
}

static void read_weights(work *s) {
    stream t = { .data = (const float *)s->packed + (s->turn++ % s->copies) * s->n * s->k };
    fv_parallel(s->exec.pool, s->n * s->k / 64, 1, read_range, &t);
}

static void few_rows(work *s, int64_t m) {
    double flops = 2.0 * (double)m * 2048 * 2048, bytes = 4.0 * 2048 * 2048;
    prepare(s, m, 2048, 2048, 16);
    compare("forward, 256 MB of weights", s, forward, blas_forward, flops, flops);
    compare("GB/s of weights against reading them", s, forward, read_weights, bytes, bytes);
    finish(s);
}

int main(int argc, char **argv) {
    int most = argc > 1 ? atoi(argv[1]) : 2;
    work s = { .exec.scratch = fv_arena_new(0) };
    const fv_ops *f32, *bf16;
    fv_error err;
    if (fv_ops_find(&f32, "cpu", NULL, &err) != FV_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (fv_ops_find(&bf16, "cpu", "bf16", &err) != FV_OK) bf16 = NULL;
    printf("what,ours,bar,ratio\n");
    for (int threads = 1; threads <= most; threads++) {
        if (fv_pool_open(&s.exec.pool, threads, &err) != FV_OK) return 1;
        openblas_set_num_threads(threads);
        static const int64_t shapes[][3] = {
            { 512, 2048, 2048 }, { 700, 256, 704 }, { 700, 704, 256 }, { 700, 16, 256 }, { 64, 256, 256 }, { 8, 256, 704 },
        };
        s.ops = f32;
        for (size_t i = 0; i < FV_COUNT(shapes); i++) products(&s, shapes[i][0], shapes[i][1], shapes[i][2]);
        few_rows(&s, 1);
        few_rows(&s, 8);
        s.ops = bf16;
        for (size_t i = 0; i < FV_COUNT(shapes) && bf16; i++) products_bf16(&s, shapes[i][0], shapes[i][1], shapes[i][2]);
        fv_pool_close(s.exec.pool);
    }
    fv_arena_free(s.exec.scratch);
    return 0;
}
