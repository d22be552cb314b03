/* Precision bf16 on the CPU: products of numbers rounded to bf16, near the definition; and a row's bits depend on that row alone, whatever the batch, the number of threads, and whether the weight
 * was packed beforehand. Skipped on processors without dot products of bf16. */
#include "products.h"

enum { ROWS = 31, STRIDE_MOST = 3 };

typedef struct {
    const fv_ops *ops; /* NULL: not here */
    fv_exec exec[MAX_THREADS];
} fixture;

static int begin(void **state) {
    fixture *f = calloc(1, sizeof *f);
    fv_error err;
    if (fv_ops_find(&f->ops, "cpu", "bf16", &err) != FV_OK) f->ops = NULL;
    open_execs(f->exec);
    *state = f;
    return 0;
}

static int end(void **state) {
    fixture *f = *state;
    close_execs(f->exec);
    free(f);
    return 0;
}

static float *rounded(const float *x, int64_t n) {
    float *y = malloc(sizeof(float) * (size_t)(n ? n : 1));
    uint16_t *half = malloc(sizeof *half * (size_t)(n ? n : 1));
    fv_from_f32(half, FV_BF16, x, n);
    fv_to_f32(y, half, FV_BF16, n);
    free(half);
    return y;
}

/* c[m, n] is start + a b of the rounded numbers, within what sums in f32 may lose. a(i, l) at a[i * ar + l * ac], b(l, j) at b[l * br + j * bc]. */
static void check_near(const float *c, const float *start, int64_t m, int64_t n, int64_t k, const float *a, int64_t ar, int64_t ac, const float *b, int64_t br, int64_t bc, const char *what) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = start ? (double)start[i * n + j] : 0, all = fabs(sum);
            for (int64_t l = 0; l < k; l++) {
                double term = (double)a[i * ar + l * ac] * (double)b[l * br + j * bc];
                sum += term;
                all += fabs(term);
            }
            if (!(fabs((double)c[i * n + j] - sum) <= 1e-6 * all + 1e-30)) fail_msg("%s (%lld, %lld): %.9g, by the definition %.9g", what, (long long)i, (long long)j, (double)c[i * n + j], sum);
        }
}

static void check_same(const float *got, const float *want, int64_t n, const char *what, int threads) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof *got)) fail_msg("%s, %d threads: number %lld is %a, not %a", what, threads, (long long)i, (double)got[i], (double)want[i]);
}

/* Forward: all rows at once near the definition; then any rows of them, with any threads, packed or not, in the same bits. */
static void check_forward(const fixture *f, int64_t m, int64_t n, int64_t k, bool stored) {
    float *in = numbers(1, m * k), *w = numbers(2, n * k), *bias = numbers(3, n), *first = numbers(4, m * n), *y = numbers(5, m * n);
    float *in2 = rounded(in, m * k), *w2 = rounded(w, n * k), *start = malloc(sizeof *start * (size_t)(m * n + 1));
    uint16_t *half = malloc(sizeof *half * (size_t)(n * k + 1));
    fv_from_f32(half, FV_BF16, w, n * k);
    fv_view weight = stored ? bf16_view(half, n, k) : fv_mat(w, n, k);
    for (int64_t r = 0; r < m; r++) memcpy(start + r * n, bias, sizeof *bias * (size_t)n);
    void *packed = malloc(f->ops->linear_packed_bytes(weight));
    for (int t = 0; t < MAX_THREADS; t++) {
        f->ops->linear_pack(&f->exec[t], packed, weight);
        f->ops->linear(&f->exec[t], &(fv_linear_map){.y = fv_mat(t ? y : first, m, n), .w = weight, .packed = packed, .bias = fv_vec(bias, n)}, 1, fv_mat(in, m, k));
        if (t) check_same(y, first, m * n, "linear", t + 1);
        f->ops->linear(&f->exec[t], &(fv_linear_map){.y = fv_mat(y, m, n), .w = weight, .bias = fv_vec(bias, n)}, 1, fv_mat(in, m, k));
        check_same(y, first, m * n, "linear, not packed", t + 1);
        for (int64_t r = 0, some = 1; r < m; r += some, some = some % STRIDE_MOST + 1) {
            some = some < m - r ? some : m - r;
            f->ops->linear(&f->exec[t], &(fv_linear_map){.y = fv_mat(y, some, n), .w = weight, .packed = packed, .bias = fv_vec(bias, n)}, 1, fv_mat(in + r * k, some, k));
            check_same(y, first + r * n, some * n, "linear, few rows", t + 1);
        }
    }
    check_near(first, start, m, n, k, in2, k, 1, w2, 1, k, "linear");
    free(in), free(w), free(bias), free(first), free(y), free(in2), free(w2), free(start), free(half), free(packed);
}

static void check_back(const fixture *f, int64_t m, int64_t n, int64_t k, bool stored) {
    float *in = numbers(1, m * k), *w = numbers(2, n * k), *dy = numbers(3, m * n), *dx0 = numbers(4, m * k), *dw0 = numbers(5, n * k), *db0 = numbers(6, n), *all[3] = {NULL};
    float *in2 = rounded(in, m * k), *w2 = rounded(w, n * k), *dy2 = rounded(dy, m * n);
    uint16_t *half = malloc(sizeof *half * (size_t)(n * k + 1));
    fv_from_f32(half, FV_BF16, w, n * k);
    fv_view weight = stored ? bf16_view(half, n, k) : fv_mat(w, n, k);
    for (int t = 0; t < MAX_THREADS; t++) {
        float *dx = numbers(4, m * k), *dw = numbers(5, n * k), *db = numbers(6, n), *now[3] = {dx, dw, db};
        const int64_t sizes[3] = {m * k, n * k, n};
        f->ops->linear_back(&f->exec[t], fv_mat(dx, m, k), fv_mat(dw, n, k), fv_vec(db, n), fv_mat(dy, m, n), fv_mat(in, m, k), weight, NULL);
        for (int i = 0; i < 3; i++) {
            if (t) check_same(now[i], all[i], sizes[i], i == 0 ? "linear_back's input" : "linear_back's weight", t + 1);
            if (t) free(now[i]);
            else all[i] = now[i];
        }
    }
    check_near(all[0], dx0, m, k, n, dy2, n, 1, w2, k, 1, "linear_back's input");
    check_near(all[1], dw0, n, k, m, dy2, 1, n, in2, k, 1, "linear_back's weight");
    for (int64_t j = 0; j < n; j++) {
        float sum = db0[j];
        for (int64_t r = 0; r < m; r++) sum += dy[r * n + j];
        assert_true(sum == all[2][j]); /* no product: in f32 */
    }
    for (int i = 0; i < 3; i++) free(all[i]);
    free(in), free(w), free(dy), free(dx0), free(dw0), free(db0), free(in2), free(w2), free(dy2), free(half);
}

static void products_are_near_and_rows_alone(void **state) {
    const fixture *f = *state;
    if (!f->ops) skip();
    assert_string_equal(f->ops->name, "cpu-avx512-bf16");
    for (int64_t m = 1; m <= ROWS; m++) check_forward(f, m, 16 * m + m % 3, 19 + m, m % 2);
    static const int64_t sizes[][3] = {{1, 1, 1}, {2, 1, 3}, {1, 5, 1}, {17, 31, 33}, {15, 33, 1}, {129, 1, 64}, {40, 33, 1201}, {200, 97, 1601}, {1, 64, 20001}, {3, 300, 5}};
    for (size_t i = 0; i < FV_COUNT(sizes); i++) check_forward(f, sizes[i][0], sizes[i][1], sizes[i][2], i % 2);
}

static void ways_back_are_near_and_threads_agree(void **state) {
    const fixture *f = *state;
    if (!f->ops) skip();
    static const int64_t sizes[][3] = {{1, 1, 1}, {2, 1, 3}, {7, 31, 33}, {15, 33, 1}, {64, 49, 70}, {513, 49, 70}, {900, 35, 20}, {1201, 40, 33}, {20, 450, 35}, {9, 1100, 16}};
    for (size_t i = 0; i < FV_COUNT(sizes); i++) check_back(f, sizes[i][0], sizes[i][1], sizes[i][2], i % 2);
}

/* What an output projection gives of a token: the same wherever it is asked for. */
static void sampled_tokens_have_the_log_prob_of_training(void **state) {
    const fixture *f = *state;
    if (!f->ops) skip();
    enum { R = 37, H = 50, V = 333 };
    float *hidden = numbers(1, R * H), *w = numbers(2, V * H), logp[R], lse[2 * R], hot[R], drawn[R];
    int32_t id[R];
    void *packed = malloc(f->ops->linear_packed_bytes(fv_mat(w, V, H)));
    f->ops->linear_pack(&f->exec[0], packed, fv_mat(w, V, H));
    fv_head head = {.weight = fv_mat(w, V, H), .packed = packed};
    for (int r = 0; r < R; r++) {
        fv_sampling how = {.temperature = 1, .top_p = 1, .key = 7, .position = (uint64_t)r};
        hot[r] = 1;
        f->ops->sample(&f->exec[r % MAX_THREADS], id + r, drawn + r, NULL, fv_mat(hidden + r * H, 1, H), head, &how);
    }
    for (int t = 0; t < MAX_THREADS; t++) {
        fv_view targets = {.data = id, .dtype = FV_I32, .rank = 1, .shape = {R}};
        f->ops->logprob(&f->exec[t], fv_vec(logp, R), fv_none, fv_mat(lse, R, 2), fv_mat(hidden, R, H), head, targets, fv_vec(hot, R));
        check_same(logp, drawn, R, "logprob", t + 1);
    }
    free(hidden), free(w), free(packed);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_are_near_and_rows_alone), cmocka_unit_test(ways_back_are_near_and_threads_agree),
                                       cmocka_unit_test(sampled_tokens_have_the_log_prob_of_training)};
    return cmocka_run_group_tests(tests, begin, end);
}
