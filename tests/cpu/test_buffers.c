/* Operations on whole buffers and page slots: scatters, sums, dot products, key and value writes, AdamW. */
#include "core/ops.h"
#include "core/random.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_TABLES = 4, MAX_THREADS = 3 };

static struct {
    const fv_ops *ops[MAX_TABLES];
    int tables;
    fv_exec exec[MAX_THREADS + 1];
} fixture;

#define EACH_TABLE_AND_THREADS(ops_, x_)                                                                               \
    for (int t_ = 0; t_ < fixture.tables; t_++)                                                                        \
        for (int n_ = 1; n_ <= MAX_THREADS; n_++)                                                                      \
            for (const fv_ops *ops_ = fixture.ops[t_]; ops_; ops_ = NULL)                                              \
                for (const fv_exec *x_ = &fixture.exec[n_]; x_; x_ = NULL)

static void fill(float *x, int64_t n, uint64_t key) {
    fv_random r = fv_random_stream(key);
    for (int64_t i = 0; i < n; i++) x[i] = (float)fv_normal(&r);
}

static void rows_in_and_out(void **state) {
    (void)state;
    enum { ROWS = 5, COLS = 21, TABLE = 7 };
    static const int32_t distinct[ROWS] = {6, 0, 3, -1, 2}, repeated[ROWS] = {1, 4, 1, -1, 1};
    float table[TABLE * COLS], in[ROWS * COLS], y[TABLE * COLS], base[TABLE * COLS];
    fill(table, TABLE * COLS, 1), fill(in, ROWS * COLS, 2), fill(base, TABLE * COLS, 3);
    EACH_TABLE_AND_THREADS(ops, x) {
        memcpy(y, base, sizeof y);
        ops->gather_add(x, fv_mat(y, ROWS, COLS), fv_mat(table, TABLE, COLS), fv_ints(repeated, ROWS));
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < COLS; c++)
                assert_true(y[r * COLS + c] == (repeated[r] < 0 ? base[r * COLS + c] : base[r * COLS + c] + table[repeated[r] * COLS + c]));
        memcpy(y, base, sizeof y);
        ops->scatter(x, fv_mat(y, TABLE, COLS), fv_mat(in, ROWS, COLS), fv_ints(distinct, ROWS));
        assert_memory_equal(y + 6 * COLS, in, COLS * sizeof(float));
        assert_memory_equal(y + 2 * COLS, in + 4 * COLS, COLS * sizeof(float));
        assert_memory_equal(y + 5 * COLS, base + 5 * COLS, COLS * sizeof(float));
        memcpy(y, base, sizeof y);
        ops->scatter_add(x, fv_mat(y, TABLE, COLS), fv_mat(in, ROWS, COLS), fv_ints(repeated, ROWS));
        for (int c = 0; c < COLS; c++) assert_true(y[COLS + c] == ((base[COLS + c] + in[c]) + in[2 * COLS + c]) + in[4 * COLS + c]);
    }
}

static void tables_in_bf16(void **state) {
    (void)state;
    enum { ROWS = 3, COLS = 35 };
    float wide[ROWS * COLS], rounded[ROWS * COLS], y[ROWS * COLS], want[ROWS * COLS], inv[ROWS];
    uint16_t half[ROWS * COLS];
    const int32_t index[ROWS] = {2, 0, 2};
    fill(wide, ROWS * COLS, 4);
    fv_from_f32(half, FV_BF16, wide, ROWS * COLS);
    fv_to_f32(rounded, half, FV_BF16, ROWS * COLS);
    fv_view table = {.data = half, .dtype = FV_BF16, .rank = 2, .shape = {ROWS, COLS}}, weight = {.data = half, .dtype = FV_BF16, .rank = 1, .shape = {COLS}};
    EACH_TABLE_AND_THREADS(ops, x) {
        ops->gather(x, fv_mat(y, ROWS, COLS), table, fv_ints(index, ROWS));
        for (int r = 0; r < ROWS; r++) assert_memory_equal(y + r * COLS, rounded + index[r] * COLS, COLS * sizeof(float));
        ops->rms_norm(x, fv_mat(y, ROWS, COLS), fv_vec(inv, ROWS), fv_mat(wide, ROWS, COLS), weight, 1e-6f);
        ops->rms_norm(x, fv_mat(want, ROWS, COLS), fv_vec(inv, ROWS), fv_mat(wide, ROWS, COLS), fv_vec(rounded, COLS), 1e-6f);
        assert_memory_equal(y, want, sizeof y);
    }
}

static void sums_and_products(void **state) {
    (void)state;
    enum { N = 3 * 4096 + 77 };
    static float a[N], b[N], y[N];
    fill(a, N, 5), fill(b, N, 6);
    double exact = 0, first = 0;
    for (int i = 0; i < N; i++) exact += (double)a[i] * b[i];
    EACH_TABLE_AND_THREADS(ops, x) {
        double dot = ops->dot(x, fv_vec(a, N), fv_vec(b, N));
        assert_true(fabs(dot - exact) < 1e-10);
        if (first == 0) first = dot;
        assert_memory_equal(&dot, &first, sizeof dot);
        ops->add(x, fv_vec(y, N), fv_vec(a, N), fv_vec(b, N));
        for (int i = 0; i < N; i++) assert_true(y[i] == a[i] + b[i]);
        ops->axpy(x, fv_vec(y, N), -0.75f, fv_vec(b, N));
        for (int i = 0; i < N; i++) assert_true(y[i] == fmaf(-0.75f, b[i], a[i] + b[i]));
        memcpy(y, a, sizeof y);
        ops->scale(x, fv_vec(y, N), 3.0f);
        for (int i = 0; i < N; i++) assert_true(y[i] == 3.0f * a[i]);
    }
}

/* Row 1 goes to two slots: its gradient is the sum of theirs. */
static void page_slots(void **state) {
    (void)state;
    enum { ROWS = 3, KV = 2, DIM = 5, PAGES = 3, COLS = KV * DIM, SIZE = PAGES * COLS * FV_PAGE };
    static const int32_t row[] = {0, 1, 2, 1}, slot[] = {15, 16, 33, 47};
    float k[ROWS * COLS], v[ROWS * COLS], keys[SIZE], values[SIZE], dk[ROWS * COLS], dv[ROWS * COLS];
    fill(k, ROWS * COLS, 7), fill(v, ROWS * COLS, 8);
    fv_view key_pages = {.data = keys, .rank = 4, .shape = {PAGES, KV, DIM, FV_PAGE}}, value_pages = {.data = values, .rank = 4, .shape = {PAGES, KV, FV_PAGE, DIM}};
    EACH_TABLE_AND_THREADS(ops, x) {
        memset(keys, 0, sizeof keys), memset(values, 0, sizeof values), memset(dk, 0, sizeof dk), memset(dv, 0, sizeof dv);
        ops->kv_write(x, key_pages, value_pages, fv_mat(k, ROWS, COLS), fv_mat(v, ROWS, COLS), fv_ints(row, 4), fv_ints(slot, 4));
        int filled = 0;
        for (int i = 0; i < SIZE; i++) filled += keys[i] != 0;
        assert_int_equal(filled, 4 * COLS);
        for (int i = 0; i < 4; i++)
            for (int h = 0; h < KV; h++)
                for (int d = 0; d < DIM; d++) {
                    int page = slot[i] / FV_PAGE, lane = slot[i] % FV_PAGE, c = row[i] * COLS + h * DIM + d;
                    assert_true(keys[((page * KV + h) * DIM + d) * FV_PAGE + lane] == k[c]);
                    assert_true(values[((page * KV + h) * FV_PAGE + lane) * DIM + d] == v[c]);
                }
        ops->kv_write_back(x, fv_mat(dk, ROWS, COLS), fv_mat(dv, ROWS, COLS), key_pages, value_pages, fv_ints(row, 4), fv_ints(slot, 4));
        for (int c = 0; c < ROWS * COLS; c++) {
            float times = c / COLS == 1 ? 2.0f : 1.0f;
            assert_true(dk[c] == times * k[c] && dv[c] == times * v[c]);
        }
    }
}

static void read_list(json_t *entry, const char *name, float *out, size_t n) {
    json_t *list = json_object_get(entry, name);
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++) out[i] = (float)json_number_value(json_array_get(list, i));
}

static void adamw_is_pytorchs(void **state) {
    (void)state;
    enum { N = 10, STEPS = 3 };
    json_t *file = json_load_file(FOVEA_SOURCE "/tests/cpu/data/ops.json", 0, NULL), *entry = json_object_get(file, "adamw");
    float start[N], grad[STEPS * N], after[N], factor, first[N] = {0};
    read_list(entry, "master", start, N), read_list(entry, "grad", grad, STEPS * N), read_list(entry, "after", after, N), read_list(entry, "grad_scale", &factor, 1);
    json_decref(file);
    EACH_TABLE_AND_THREADS(ops, x) {
        float w[N], m[N] = {0}, v[N] = {0};
        uint16_t half[N];
        memcpy(w, start, sizeof w);
        fv_view weight = {.data = half, .dtype = FV_BF16, .rank = 1, .shape = {N}};
        for (int s = 0; s < STEPS; s++) {
            fv_adamw how = {.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f, .grad_scale = factor, .step = s + 1};
            ops->adamw(x, fv_vec(w, N), fv_vec(m, N), fv_vec(v, N), fv_vec(grad + s * N, N), s ? weight : fv_none, &how);
        }
        for (int i = 0; i < N; i++) assert_true(fabsf(w[i] - after[i]) <= 1e-6f * (1 + fabsf(after[i])));
        uint16_t rounded[N];
        fv_from_f32(rounded, FV_BF16, w, N);
        assert_memory_equal(half, rounded, sizeof half);
        if (first[0] == 0) memcpy(first, w, sizeof w);
        assert_memory_equal(first, w, sizeof w);
    }
}

static int open_fixture(void **state) {
    (void)state;
    fixture.tables = fv_ops_cpu_all(fixture.ops, MAX_TABLES);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fixture.exec[threads].scratch = fv_arena_new(0);
        if (fv_pool_open(&fixture.exec[threads].pool, threads, NULL) != FV_OK) return -1;
    }
    return fixture.tables > 0 ? 0 : -1;
}

static int close_fixture(void **state) {
    (void)state;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fv_pool_close(fixture.exec[threads].pool);
        fv_arena_free(fixture.exec[threads].scratch);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_and_out), cmocka_unit_test(tables_in_bf16), cmocka_unit_test(sums_and_products), cmocka_unit_test(page_slots),
        cmocka_unit_test(adamw_is_pytorchs),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
