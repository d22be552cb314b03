/* Muon against its definition in double, and for the same bits whatever the instruction set and the number of threads. */
#include "core/muon.h"
#include "core/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 96 * 40, MAX_TABLES = 4 };

static void fill(float *out, int n, uint64_t key) {
    for (int i = 0; i < n; i++) out[i] = (float)fv_uniform_at(key, (uint64_t)i) - 0.5f;
}

/* out [n, n] = x x^T of x [n, k] */
static void square(double *out, const double *x, int n, int k) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int c = 0; c < k; c++) sum += x[i * k + c] * x[j * k + c];
            out[i * n + j] = sum;
        }
}

/* The definition (Jordan et al. 2024): X = g / |g|, then five times X = a X + (b A + c A A) X with A = X X^T, which for the longer side is the same polynomial. */
static void orthogonal(double *x, int n, int k) {
    static double a[MOST * 4], b[MOST * 4], next[MOST];
    double length = 0;
    for (int i = 0; i < n * k; i++) length += x[i] * x[i];
    for (int i = 0; i < n * k; i++) x[i] /= sqrt(length) + 1e-7;
    for (int step = 0; step < 5; step++) {
        square(a, x, n, k);
        square(b, a, n, n); /* a is symmetric */
        for (int i = 0; i < n * n; i++) b[i] = -4.7750 * a[i] + 2.0315 * b[i];
        for (int i = 0; i < n; i++)
            for (int c = 0; c < k; c++) {
                double sum = 3.4445 * x[i * k + c];
                for (int j = 0; j < n; j++) sum += b[i * n + j] * x[j * k + c];
                next[i * k + c] = sum;
            }
        memcpy(x, next, sizeof(double) * (size_t)(n * k));
    }
}

static const int shapes[][2] = {{1, 1}, {3, 7}, {7, 3}, {16, 16}, {40, 96}, {96, 40}, {33, 1}, {1, 33}};

typedef struct {
    const fv_ops *ops[MAX_TABLES];
    int tables;
    fv_pool *pool;
    fv_arena *scratch;
} fixture;
static fixture f;

static void is_the_polynomial(void **state) {
    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        int n = shapes[s][0], k = shapes[s][1];
        static float g[MOST], first[MOST];
        static double want[MOST];
        fill(g, n * k, s);
        for (int i = 0; i < n * k; i++) want[i] = g[i];
        orthogonal(want, n, k);
        for (int t = 0; t < 2 * f.tables; t++) {
            fill(g, n * k, s);
            fv_exec x = {t % 2 ? f.pool : NULL, f.scratch};
            fv_muon_orthogonalize(f.ops[t / 2], &x, fv_mat(g, n, k));
            for (int i = 0; i < n * k && t == 0; i++) assert_float_equal(g[i], want[i], 2e-5); /* entries are at most 1.2; chains of up to 96 terms, five times */
            if (t == 0) memcpy(first, g, sizeof first);
            assert_memory_equal(g, first, sizeof(float) * (size_t)(n * k));
        }
    }
}

static void rows_become_orthonormal(void **state) {
    (void)state;
    static float g[MOST];
    static double x[MOST], gram[MOST];
    fill(g, 16 * 96, 5);
    fv_muon_orthogonalize(f.ops[0], &(fv_exec){NULL, f.scratch}, fv_mat(g, 16, 96));
    for (int i = 0; i < 16 * 96; i++) x[i] = g[i];
    square(gram, x, 16, 96);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 16; j++) assert_true(i == j ? gram[i * 16 + j] > 0.46 && gram[i * 16 + j] < 1.5 : fabs(gram[i * 16 + j]) < 0.4);
}

static void a_step_by_hand(void **state) {
    (void)state;
    enum { N = 5, K = 12 };
    float w[N * K], m[N * K], g[N * K], w0[N * K], m0[N * K];
    double u[N * K];
    fill(w, N * K, 1), fill(m, N * K, 2), fill(g, N * K, 3);
    memcpy(w0, w, sizeof w), memcpy(m0, m, sizeof m);
    for (int i = 0; i < N * K; i++) u[i] = 0.95 * (0.95 * m0[i] + 0.05 * 0.5 * g[i]) + 0.05 * 0.5 * g[i];
    orthogonal(u, N, K);
    fv_muon how = {.lr = 0.01f, .weight_decay = 0.1f, .grad_scale = 0.5f};
    fv_muon_step(f.ops[0], &(fv_exec){NULL, f.scratch}, fv_mat(w, N, K), fv_mat(m, N, K), fv_mat(g, N, K), &how);
    for (int i = 0; i < N * K; i++) {
        assert_float_equal(m[i], 0.95 * m0[i] + 0.05 * 0.5 * g[i], 1e-7);
        assert_float_equal(w[i], w0[i] * (1 - 0.01 * 0.1) - 0.2 * sqrt(K) * 0.01 * u[i], 1e-6);
    }
}

static void nothing_moves_nothing(void **state) {
    (void)state;
    float g[6] = {0}, w[6] = {1, 2, 3, 4, 5, 6}, m[6] = {0};
    fv_muon_step(f.ops[0], &(fv_exec){NULL, f.scratch}, fv_mat(w, 2, 3), fv_mat(m, 2, 3), fv_mat(g, 2, 3), &(fv_muon){.lr = 1, .grad_scale = 1});
    for (int i = 0; i < 6; i++) assert_true(w[i] == (float)(i + 1) && m[i] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_polynomial), cmocka_unit_test(rows_become_orthonormal), cmocka_unit_test(a_step_by_hand),
                                       cmocka_unit_test(nothing_moves_nothing)};
    f.tables = fv_ops_cpu_all(f.ops, MAX_TABLES);
    f.scratch = fv_arena_new(1 << 20);
    if (fv_pool_open(&f.pool, 2, NULL) != FV_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fv_pool_close(f.pool);
    fv_arena_free(f.scratch);
    return failed;
}
