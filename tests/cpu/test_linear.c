/* Matrix products against the definition: one chain of fmaf per element, compared bit by bit, for every instruction set, any
 * number of threads and any split into calls. */
#include "products.h"

enum { MAX_TABLES = 3 };

typedef struct {
    const fv_ops *ops[MAX_TABLES];
    int tables;
    fv_exec exec[MAX_THREADS];
} fixture;

static int open_fixture(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->tables = fv_ops_cpu_all(f->ops, MAX_TABLES);
    open_execs(f->exec);
    *state = f;
    return f->tables ? 0 : -1;
}

static int close_fixture(void **state) {
    fixture *f = *state;
    close_execs(f->exec);
    free(f);
    return 0;
}

static float *copy_of(const float *x, int64_t n) {
    float *y = malloc(sizeof(float) * (size_t)(n ? n : 1));
    memcpy(y, x, sizeof(float) * (size_t)n);
    return y;
}

static void assert_same_bits(const float *got, const float *want, int64_t n, const char *what, const char *table, int threads) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof(float)) != 0)
            fail_msg("%s on %s with %d threads: element %lld is %a, the chain gives %a", what, table, threads, (long long)i,
                     (double)got[i], (double)want[i]);
}

/* c[i, j] = chain from c over l ascending of a[i * ar + l * ac] * b[l * br + j * bc]. */
static void naive(float *c, int64_t m, int64_t n, int64_t k, const float *a, int64_t ar, int64_t ac, const float *b, int64_t br,
                  int64_t bc) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t l = 0; l < k; l++) c[i * n + j] = fmaf(a[i * ar + l * ac], b[l * br + j * bc], c[i * n + j]);
}

static void check_forward(const fixture *f, int64_t m, int64_t n, int64_t k, bool bf16, bool with_bias) {
    float *in = numbers(1, m * k), *w = numbers(2, n * k), *bias = numbers(3, n);
    float *want = calloc((size_t)(m * n + 1), sizeof *want);
    uint16_t *half = malloc(sizeof *half * (size_t)(n * k + 1));
    if (bf16) {
        fv_from_f32(half, FV_BF16, w, n * k);
        fv_to_f32(w, half, FV_BF16, n * k);
    }
    for (int64_t r = 0; r < m && with_bias; r++) memcpy(want + r * n, bias, sizeof(float) * (size_t)n);
    naive(want, m, n, k, in, k, 1, w, 1, k);
    fv_view weight = bf16 ? bf16_view(half, n, k) : fv_mat(w, n, k);
    for (int o = 0; o < f->tables; o++) {
        for (int t = 0; t < MAX_THREADS; t++) {
            void *packed = malloc(f->ops[o]->linear_packed_bytes(weight));
            f->ops[o]->linear_pack(&f->exec[t], packed, weight);
            float *y = numbers(4, m * n); /* what was there must not matter */
            fv_view out = fv_mat(y, m, n), from = fv_mat(in, m, k), start = with_bias ? fv_vec(bias, n) : fv_none;
            f->ops[o]->linear(&f->exec[t], &(fv_linear_map){.y = out, .w = weight, .packed = packed, .bias = start}, 1, from);
            assert_same_bits(y, want, m * n, bf16 ? "linear bf16" : "linear", f->ops[o]->name, t + 1);
            if (!strncmp(f->ops[o]->name, "cpu", 3)) f->ops[o]->linear(&f->exec[t], &(fv_linear_map){.y = out, .w = weight, .bias = start}, 1, from);
            assert_same_bits(y, want, m * n, bf16 ? "linear bf16, not packed" : "linear, not packed", f->ops[o]->name, t + 1);
            free(y);
            free(packed);
        }
    }
    free(in), free(w), free(bias), free(want), free(half);
}

/* Maps of one input, with biases in bf16 and in f32, some of them scaled: each has the bits that it has alone. */
static void check_several(const fixture *f, int64_t m, int64_t k) {
    enum { N = 70 };
    static const int64_t n[FV_MAPS_MOST] = { N, 3, 33, 16, 5, 20 };
    static const float scale[FV_MAPS_MOST] = { 0, 0.3f, 0, 1, 2, 0 };
    float *in = numbers(1, m * k), *w = numbers(2, N * k), *bias = numbers(3, N), *y[2 * FV_MAPS_MOST];
    uint16_t half[N];
    fv_from_f32(half, FV_BF16, bias, N);
    fv_to_f32(bias, half, FV_BF16, N);
    for (int i = 0; i < 2 * FV_MAPS_MOST; i++) y[i] = numbers(4, m * N);
    for (int o = 0; o < f->tables; o++)
        for (int t = 0; t < MAX_THREADS; t++) {
            fv_linear_map maps[FV_MAPS_MOST];
            for (int i = 0; i < FV_MAPS_MOST; i++) {
                fv_view weight = fv_mat(w + (N - n[i]) * k, n[i], k);
                void *packed = malloc(f->ops[o]->linear_packed_bytes(weight));
                f->ops[o]->linear_pack(&f->exec[t], packed, weight);
                fv_view stored = fv_vec(bias, n[i]);
                if (i % 2 == 0) stored = (fv_view){ .data = half, .dtype = FV_BF16, .rank = 1, .shape = { n[i] } };
                maps[i] = (fv_linear_map){ .y = fv_mat(y[i], m, n[i]), .w = weight, .packed = packed, .bias = stored, .scale = scale[i] };
                fv_linear_map alone = { .y = fv_mat(y[FV_MAPS_MOST + i], m, n[i]), .w = weight, .packed = packed, .bias = fv_vec(bias, n[i]) };
                f->ops[o]->linear(&f->exec[t], &alone, 1, fv_mat(in, m, k));
                for (int64_t e = 0; e < m * n[i] && scale[i] != 0; e++) y[FV_MAPS_MOST + i][e] *= scale[i];
            }
            f->ops[o]->linear(&f->exec[t], maps, FV_MAPS_MOST, fv_mat(in, m, k));
            for (int i = 0; i < FV_MAPS_MOST; i++) {
                assert_same_bits(y[i], y[FV_MAPS_MOST + i], m * n[i], "linear of several maps", f->ops[o]->name, t + 1);
                free((void *)(uintptr_t)maps[i].packed);
            }
        }
    for (int i = 0; i < 2 * FV_MAPS_MOST; i++) free(y[i]);
    free(in), free(w), free(bias);
}

/* A chain that starts from what y holds. */
static void check_adding(const fixture *f, int64_t m, int64_t n, int64_t k) {
    float *in = numbers(1, m * k), *w = numbers(2, n * k), *there = numbers(3, m * n), *want = copy_of(there, m * n);
    naive(want, m, n, k, in, k, 1, w, 1, k);
    for (int o = 0; o < f->tables; o++)
        for (int t = 0; t < MAX_THREADS; t++) {
            float *y = copy_of(there, m * n);
            fv_view weight = fv_mat(w, n, k);
            void *packed = malloc(f->ops[o]->linear_packed_bytes(weight));
            f->ops[o]->linear_pack(&f->exec[t], packed, weight);
            f->ops[o]->linear(&f->exec[t], &(fv_linear_map){ .y = fv_mat(y, m, n), .w = weight, .packed = packed, .adds = true }, 1, fv_mat(in, m, k));
            assert_same_bits(y, want, m * n, "linear that adds", f->ops[o]->name, t + 1);
            free(packed), free(y);
        }
    free(in), free(w), free(there), free(want);
}

static void check_back(const fixture *f, int64_t m, int64_t n, int64_t k, bool bf16) {
    float *in = numbers(1, m * k), *w = numbers(2, n * k), *dy = numbers(3, m * n);
    float *dx0 = numbers(4, m * k), *dw0 = numbers(5, n * k), *db0 = numbers(6, n);
    uint16_t *half = malloc(sizeof *half * (size_t)(n * k + 1));
    if (bf16) {
        fv_from_f32(half, FV_BF16, w, n * k);
        fv_to_f32(w, half, FV_BF16, n * k);
    }
    float *dx1 = copy_of(dx0, m * k), *dw1 = copy_of(dw0, n * k), *db1 = copy_of(db0, n);
    naive(dx1, m, k, n, dy, n, 1, w, k, 1);
    naive(dw1, n, k, m, dy, 1, n, in, k, 1);
    for (int64_t r = 0; r < m; r++)
        for (int64_t j = 0; j < n; j++) db1[j] += dy[r * n + j];
    for (int o = 0; o < f->tables; o++) {
        const fv_ops *ops = f->ops[o];
        for (int t = 0; t < MAX_THREADS; t++) {
            float *dx = copy_of(dx0, m * k), *dw = copy_of(dw0, n * k), *db = copy_of(db0, n);
            fv_view weight = bf16 ? bf16_view(half, n, k) : fv_mat(w, n, k);
            /* Two calls over a part of the rows each have the bits of one. */
            int64_t cut = m / 3;
            ops->linear_back(&f->exec[t], fv_mat(dx, cut, k), fv_mat(dw, n, k), fv_vec(db, n), fv_mat(dy, cut, n), fv_mat(in, cut, k), weight, NULL);
            ops->linear_back(&f->exec[t], fv_mat(dx + cut * k, m - cut, k), fv_mat(dw, n, k), fv_vec(db, n), fv_mat(dy + cut * n, m - cut, n),
                             fv_mat(in + cut * k, m - cut, k), weight, NULL);
            assert_same_bits(dx, dx1, m * k, "linear_back's input", ops->name, t + 1);
            assert_same_bits(dw, dw1, n * k, "linear_back's weight", ops->name, t + 1);
            assert_same_bits(db, db1, n, "linear_back's bias", ops->name, t + 1);
            ops->linear_back(&f->exec[t], fv_none, fv_none, fv_vec(db, n), fv_mat(dy, m, n), fv_mat(in, m, k), weight, NULL);
            assert_same_bits(dx, dx1, m * k, "an absent dx", ops->name, t + 1);
            assert_same_bits(dw, dw1, n * k, "an absent dw", ops->name, t + 1);
            memcpy(dx, dx0, sizeof *dx * (size_t)(m * k));
            ops->linear_back(&f->exec[t], fv_mat(dx, m, k), fv_none, fv_none, fv_mat(dy, m, n), fv_none, weight, NULL);
            assert_same_bits(dx, dx1, m * k, "dx alone", ops->name, t + 1);
            free(dx), free(dw), free(db);
        }
    }
    free(in), free(w), free(dy), free(dx0), free(dw0), free(db0), free(half), free(dx1), free(dw1), free(db1);
}

/* Row 0 of m rows has the same bits whatever m: follows from the chain, and is checked at sizes where tiles change. */
static void rows_do_not_see_each_other(void **state) {
    static const int64_t rows[] = { 1, 2, 7, 8, 64, 513 };
    for (size_t i = 0; i < FV_COUNT(rows); i++) check_forward(*state, rows[i], 97, 65, false, true);
    for (size_t i = 0; i < FV_COUNT(rows); i++) check_forward(*state, rows[i], 97, 65, true, false);
}

static void maps_of_one_input(void **state) {
    static const int64_t rows[] = { 1, 7, 64, 100 };
    for (size_t i = 0; i < FV_COUNT(rows); i++) check_several(*state, rows[i], 65);
    for (size_t i = 0; i < FV_COUNT(rows); i++) check_adding(*state, rows[i], 37, 19);
    check_adding(*state, 40, 33, 1201);
}

static void every_tile_height_and_width(void **state) {
    for (int64_t m = 1; m <= 30; m++) check_forward(*state, m, 16 * m + m % 3, 19, m % 2, m % 3);
    for (int64_t n = 1; n <= 300; n = n * 2 + 1) check_forward(*state, 3, n, 5, false, true);
}

static void long_chains_rest_in_memory(void **state) {
    check_forward(*state, 40, 33, 1201, false, true);
    check_forward(*state, 40, 33, 1201, true, true);
    check_forward(*state, 700, 40, 801, false, false);
    check_forward(*state, 1, 16, 8200, false, true);
    check_forward(*state, 2, 64, 8200, true, true);
}

static void odd_sizes(void **state) {
    static const int64_t sizes[][3] = {
        { 1, 1, 1 }, { 2, 1, 3 }, { 1, 5, 1 }, { 17, 31, 33 }, { 15, 33, 1 }, { 129, 1, 64 }, { 0, 4, 4 },
    };
    for (size_t i = 0; i < FV_COUNT(sizes); i++) {
        check_forward(*state, sizes[i][0], sizes[i][1], sizes[i][2], i % 2, true);
        check_back(*state, sizes[i][0], sizes[i][1], sizes[i][2], i % 2);
    }
}

static void gradients_continue_their_chains(void **state) {
    static const int64_t rows[] = { 1, 2, 7, 8, 64, 513 };
    for (size_t i = 0; i < FV_COUNT(rows); i++) check_back(*state, rows[i], 49, 70, i % 2);
    check_back(*state, 900, 35, 20, false);
    check_back(*state, 20, 450, 35, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_do_not_see_each_other), cmocka_unit_test(maps_of_one_input), cmocka_unit_test(every_tile_height_and_width),
        cmocka_unit_test(long_chains_rest_in_memory), cmocka_unit_test(odd_sizes),
        cmocka_unit_test(gradients_continue_their_chains),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
