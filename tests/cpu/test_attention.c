/* Attention over a tree: runs that share pages, branches inside a page, windows, odd head sizes. Against the definition in
 * double, and for the same bits on every instruction set and thread count. */
#include "core/ops.h"
#include "core/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_TABLES = 4, MAX_THREADS = 3 };

#ifndef NEAR /* of the largest number: f32 against double, over at most some hundred terms */
#define NEAR 2e-5
#endif

/* A prompt of `prompt` positions and `runs - 1` children of `length` rows each. */
typedef struct {
    const char *name;
    int heads, kv_heads, head_dim, runs, prompt, length, window;
} shape;

static const shape shapes[] = {
    {"small tree", 4, 2, 20, 4, 37, 9, 0},
    {"one head", 1, 1, 3, 3, 16, 5, 0},
    {"window", 6, 2, 16, 3, 40, 30, 21},
    {"five columns", 3, 3, 80, 2, 50, 11, 0},
    {"decoding", 7, 7, 33, 12, 70, 1, 0},
    {"many blocks", 8, 4, 8, 3, 200, 150, 0},
    {"two parts", 4, 2, 128, 4, 70, 20, 0},
    {"group of eight", 8, 1, 64, 9, 130, 1, 0},
    {"several chunks", 4, 1, 32, 5, 600, 3, 0},
    {"window of chunks", 2, 2, 24, 3, 530, 2, 300},
    {"far window", 2, 1, 40, 3, 700, 3, 200},
};

typedef struct {
    fv_attention a;
    int32_t *run_row, *run_page, *pages, *limit, *first;
    int page_count;
    int64_t rows_size, pages_size; /* floats of q, and of keys */
    float *q, *keys, *values, *dout;
    float *out, *stats, *dq, *dkeys, *dvalues;
} problem;

static float *normals(const char *what, int64_t n) {
    fv_random r = fv_random_stream(fv_random_key(3, what, 0, 0));
    float *x = calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)fv_normal(&r);
    return x;
}

/* The children keep the prompt's whole pages and have their own copy of the one in which they branch off. */
static problem new_problem(const shape *s) {
    problem p = {.page_count = 0};
    int rows = s->prompt + (s->runs - 1) * s->length, prompt_pages = (s->prompt + 15) / 16, shared = s->prompt / 16;
    int child_pages = (s->prompt + s->length + 15) / 16;
    p.run_row = calloc((size_t)s->runs + 1, sizeof(int32_t));
    p.run_page = calloc((size_t)s->runs + 1, sizeof(int32_t));
    p.pages = calloc((size_t)(prompt_pages + s->runs * child_pages), sizeof(int32_t));
    p.limit = calloc((size_t)rows, sizeof(int32_t));
    p.first = calloc((size_t)rows, sizeof(int32_t));
    int row = 0, listed = 0;
    p.page_count = 2 + prompt_pages; /* pages 0 and 1 are nobody's */
    for (int run = 0; run < s->runs; run++) {
        p.run_row[run] = row;
        p.run_page[run] = listed;
        int own = run == 0 ? prompt_pages : child_pages, n = run == 0 ? s->prompt : s->length;
        for (int i = 0; i < own; i++) p.pages[listed++] = run == 0 || i < shared ? 2 + prompt_pages - 1 - i : p.page_count++;
        for (int i = 0; i < n; i++, row++) {
            p.limit[row] = (run == 0 ? 0 : s->prompt) + i + 1;
            p.first[row] = s->window > 0 && p.limit[row] > s->window ? p.limit[row] - s->window : 0;
        }
    }
    p.run_row[s->runs] = row;
    p.run_page[s->runs] = listed;
    p.a = (fv_attention){.rows = rows, .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->head_dim, .scale = 1.0f / sqrtf((float)s->head_dim),
                         .runs = s->runs, .run_row = p.run_row, .run_page = p.run_page, .pages = p.pages, .limit = p.limit,
                         .first = s->window > 0 ? p.first : NULL};
    p.rows_size = (int64_t)rows * s->heads * s->head_dim;
    p.pages_size = (int64_t)p.page_count * s->kv_heads * s->head_dim * FV_PAGE;
    p.q = normals("q", p.rows_size), p.dout = normals("dout", p.rows_size);
    p.keys = normals("keys", p.pages_size), p.values = normals("values", p.pages_size);
    p.out = calloc((size_t)p.rows_size, sizeof(float)), p.dq = calloc((size_t)p.rows_size, sizeof(float));
    p.dkeys = calloc((size_t)p.pages_size, sizeof(float)), p.dvalues = calloc((size_t)p.pages_size, sizeof(float));
    p.stats = calloc((size_t)(rows * s->heads * 2), sizeof(float));
    return p;
}

static void free_problem(problem *p) {
    void *all[] = {p->run_row, p->run_page, p->pages, p->limit, p->first, p->q, p->keys, p->values, p->dout, p->out, p->stats, p->dq, p->dkeys, p->dvalues};
    for (size_t i = 0; i < FV_COUNT(all); i++) free(all[i]);
}

static int64_t key_at(const problem *p, int page, int kv, int d, int lane) {
    return (((int64_t)page * p->a.kv_heads + kv) * p->a.head_dim + d) * FV_PAGE + lane;
}
static int64_t value_at(const problem *p, int page, int kv, int d, int lane) {
    return (((int64_t)page * p->a.kv_heads + kv) * FV_PAGE + lane) * p->a.head_dim + d;
}

/* Keys and values as the table keeps them: written by it, from rows. */
static void table_pages(const problem *p, const fv_ops *ops, fv_exec x, fv_view *keys, fv_view *values) {
    const fv_attention *a = &p->a;
    fv_dtype dtype = ops->page_dtype(a->head_dim);
    *keys = fv_page_view(dtype, NULL, p->page_count, a->kv_heads, a->head_dim, true), *values = fv_page_view(dtype, NULL, p->page_count, a->kv_heads, a->head_dim, false);
    keys->data = calloc(1, fv_bytes(*keys)), values->data = calloc(1, fv_bytes(*values));
    int64_t slots = (int64_t)p->page_count * FV_PAGE, width = (int64_t)a->kv_heads * a->head_dim;
    float *k = calloc((size_t)(slots * width), sizeof *k), *v = calloc((size_t)(slots * width), sizeof *v);
    int32_t *slot = calloc((size_t)slots, sizeof *slot);
    for (int s = 0; s < slots; s++) {
        slot[s] = s;
        for (int kv = 0; kv < a->kv_heads; kv++)
            for (int d = 0; d < a->head_dim; d++) {
                k[s * width + kv * a->head_dim + d] = p->keys[key_at(p, s / FV_PAGE, kv, d, s % FV_PAGE)];
                v[s * width + kv * a->head_dim + d] = p->values[value_at(p, s / FV_PAGE, kv, d, s % FV_PAGE)];
            }
    }
    ops->kv_write(&x, *keys, *values, fv_mat(k, slots, width), fv_mat(v, slots, width), fv_ints(slot, slots), fv_ints(slot, slots));
    free(k), free(v), free(slot);
}

static void run_on(problem *p, const fv_ops *ops, fv_exec x) {
    int64_t width = (int64_t)p->a.heads * p->a.head_dim;
    memset(p->dq, 0, (size_t)p->rows_size * sizeof(float));
    memset(p->dkeys, 0, (size_t)p->pages_size * sizeof(float));
    memset(p->dvalues, 0, (size_t)p->pages_size * sizeof(float));
    fv_view q = fv_mat(p->q, p->a.rows, width), out = fv_mat(p->out, p->a.rows, width), dq = fv_mat(p->dq, p->a.rows, width);
    fv_view dout = fv_mat(p->dout, p->a.rows, width), stats = fv_mat(p->stats, p->a.rows, 2 * p->a.heads);
    fv_view keys, values, dkeys = fv_page_view(FV_F32, p->dkeys, p->page_count, p->a.kv_heads, p->a.head_dim, true);
    table_pages(p, ops, x, &keys, &values);
    ops->attention(&x, out, stats, q, keys, values, &p->a);
    ops->attention_back(&x, dq, dkeys, fv_page_view(FV_F32, p->dvalues, p->page_count, p->a.kv_heads, p->a.head_dim, false), dout, out, stats, q, keys, values, &p->a);
    free(keys.data), free(values.data);
}

/* ---- the definition, in double ------------------------------------------------------------------------------------------------ */

typedef struct {
    double *out, *dq, *dkeys, *dvalues;
} truth;

static void define_head(const problem *p, truth t, int run, int row, int head) {
    const fv_attention *a = &p->a;
    int kv = head / (a->heads / a->kv_heads), low = a->first ? a->first[row] : 0, high = a->limit[row], dim = a->head_dim;
    int64_t at = ((int64_t)row * a->heads + head) * dim;
    double *w = calloc((size_t)high, sizeof(double)), sum = 0, dot = 0;
    for (int j = low; j < high; j++) {
        int page = a->pages[a->run_page[run] + j / FV_PAGE];
        double s = 0;
        for (int d = 0; d < dim; d++) s += (double)p->q[at + d] * p->keys[key_at(p, page, kv, d, j % FV_PAGE)];
        sum += w[j] = exp(s * a->scale);
    }
    for (int j = low; j < high; j++) {
        int page = a->pages[a->run_page[run] + j / FV_PAGE];
        w[j] /= sum;
        for (int d = 0; d < dim; d++) t.out[at + d] += w[j] * p->values[value_at(p, page, kv, d, j % FV_PAGE)];
    }
    for (int d = 0; d < dim; d++) dot += t.out[at + d] * p->dout[at + d];
    for (int j = low; j < high; j++) {
        int page = a->pages[a->run_page[run] + j / FV_PAGE], lane = j % FV_PAGE;
        double dp = 0;
        for (int d = 0; d < dim; d++) dp += (double)p->dout[at + d] * p->values[value_at(p, page, kv, d, lane)];
        double ds = w[j] * (dp - dot) * a->scale;
        for (int d = 0; d < dim; d++) {
            t.dq[at + d] += ds * p->keys[key_at(p, page, kv, d, lane)];
            t.dkeys[key_at(p, page, kv, d, lane)] += ds * p->q[at + d];
            t.dvalues[value_at(p, page, kv, d, lane)] += w[j] * p->dout[at + d];
        }
    }
    free(w);
}

static void assert_near(const char *shape_name, const char *what, const float *got, const double *want, int64_t n) {
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= NEAR * largest)) fail_msg("%s: %s[%d] is %.9g, not %.9g", shape_name, what, (int)i, got[i], want[i]);
}

static void is_the_definition(void **state) {
    fv_exec *exec = *state;
    const fv_ops *ops[MAX_TABLES];
    assert_true(fv_ops_cpu_all(ops, MAX_TABLES) > 0);
    for (size_t i = 0; i < FV_COUNT(shapes); i++) {
        problem p = new_problem(&shapes[i]);
        run_on(&p, ops[0], exec[1]);
        truth t = {calloc((size_t)p.rows_size, sizeof(double)), calloc((size_t)p.rows_size, sizeof(double)),
                   calloc((size_t)p.pages_size, sizeof(double)), calloc((size_t)p.pages_size, sizeof(double))};
        for (int run = 0; run < p.a.runs; run++)
            for (int row = p.run_row[run]; row < p.run_row[run + 1]; row++)
                for (int head = 0; head < p.a.heads; head++) define_head(&p, t, run, row, head);
        assert_near(shapes[i].name, "out", p.out, t.out, p.rows_size);
        assert_near(shapes[i].name, "dq", p.dq, t.dq, p.rows_size);
        assert_near(shapes[i].name, "dkeys", p.dkeys, t.dkeys, p.pages_size);
        assert_near(shapes[i].name, "dvalues", p.dvalues, t.dvalues, p.pages_size);
        free(t.out), free(t.dq), free(t.dkeys), free(t.dvalues);
        free_problem(&p);
    }
}

/* ---- bits --------------------------------------------------------------------------------------------------------------------- */

static void assert_same(const char *where, const char *what, const float *got, const float *want, int64_t n) {
    if (memcmp(got, want, (size_t)n * sizeof(float)) != 0) fail_msg("%s: %s has other bits", where, what);
}

static void same_on_every_table_and_thread_count(void **state) {
    fv_exec *exec = *state;
    const fv_ops *ops[MAX_TABLES];
    int tables = fv_ops_cpu_all(ops, MAX_TABLES);
    for (size_t i = 0; i < FV_COUNT(shapes); i++) {
        problem want = new_problem(&shapes[i]), got = new_problem(&shapes[i]);
        run_on(&want, ops[0], exec[1]);
        for (int t = 0; t < tables; t++)
            for (int threads = 1; threads <= MAX_THREADS; threads++) {
                char where[80];
                snprintf(where, sizeof where, "%s on %s, %d threads", shapes[i].name, ops[t]->name, threads);
                run_on(&got, ops[t], exec[threads]);
                assert_same(where, "out", got.out, want.out, want.rows_size);
                assert_same(where, "stats", got.stats, want.stats, (int64_t)want.a.rows * want.a.heads * 2);
                assert_same(where, "dq", got.dq, want.dq, want.rows_size);
                assert_same(where, "dkeys", got.dkeys, want.dkeys, want.pages_size);
                assert_same(where, "dvalues", got.dvalues, want.dvalues, want.pages_size);
            }
        free_problem(&want);
        free_problem(&got);
    }
}

/* What decoding does: one row at a time, later keys not yet written (zero pages), gives the packed pass' bits. */
static void decode(fv_exec *exec, const shape *of) {
    const fv_ops *ops[MAX_TABLES];
    int tables = fv_ops_cpu_all(ops, MAX_TABLES);
    problem packed = new_problem(of), single = new_problem(of);
    run_on(&packed, ops[0], exec[2]);
    const fv_attention *a = &packed.a;
    int run = a->runs - 1; /* the last child, whose own pages nobody shares */
    for (int row = a->run_row[run]; row < a->run_row[run + 1]; row++) {
        int32_t run_row[] = {0, 1}, run_page[] = {0, (a->limit[row] + FV_PAGE - 1) / FV_PAGE};
        for (int j = a->limit[row]; j < run_page[1] * FV_PAGE; j++)
            for (int kv = 0; kv < a->kv_heads; kv++)
                for (int d = 0; d < a->head_dim; d++) {
                    int page = a->pages[a->run_page[run] + j / FV_PAGE];
                    single.keys[key_at(&single, page, kv, d, j % FV_PAGE)] = 0;
                    single.values[value_at(&single, page, kv, d, j % FV_PAGE)] = 0;
                }
        fv_attention one = *a;
        one.rows = one.runs = 1, one.run_row = run_row, one.run_page = run_page, one.pages = a->pages + a->run_page[run], one.limit = a->limit + row;
        if (a->first) one.first = a->first + row;
        int64_t width = (int64_t)a->heads * a->head_dim;
        for (int t = 0; t < tables; t++) {
            float *out = single.out, *stats = single.stats;
            fv_view keys, values;
            table_pages(&single, ops[t], exec[1], &keys, &values);
            ops[t]->attention(&exec[1], fv_mat(out, 1, width), fv_mat(stats, 1, 2 * a->heads), fv_mat(packed.q + row * width, 1, width), keys, values, &one);
            free(keys.data), free(values.data);
            assert_same("decoding", "out", out, packed.out + row * width, width);
            assert_same("decoding", "stats", stats, packed.stats + row * 2 * a->heads, 2 * a->heads);
        }
        /* the next row's own keys come in again */
        memcpy(single.keys, packed.keys, (size_t)packed.pages_size * sizeof(float));
        memcpy(single.values, packed.values, (size_t)packed.pages_size * sizeof(float));
    }
    free_problem(&packed);
    free_problem(&single);
}

/* The children's rows number `at`, all at once: a run each. */
static void decode_together(fv_exec *exec, const shape *of, int at) {
    const fv_ops *ops[MAX_TABLES];
    int tables = fv_ops_cpu_all(ops, MAX_TABLES), children = of->runs - 1;
    problem packed = new_problem(of);
    run_on(&packed, ops[0], exec[2]);
    const fv_attention *a = &packed.a;
    int64_t width = (int64_t)a->heads * a->head_dim;
    int32_t *run_row = calloc((size_t)children + 1, sizeof *run_row), *limit = calloc((size_t)children, sizeof *limit), *first = calloc((size_t)children, sizeof *first);
    float *q = calloc((size_t)(children * width), sizeof *q), *out = calloc((size_t)(children * width), sizeof *out);
    float *stats = calloc((size_t)children * 2 * (size_t)a->heads, sizeof *stats);
    for (int c = 0; c < children; c++) {
        int row = a->run_row[c + 1] + at;
        run_row[c + 1] = c + 1, limit[c] = a->limit[row], first[c] = a->first ? a->first[row] : 0;
        memcpy(q + c * width, packed.q + row * width, (size_t)width * sizeof *q);
    }
    fv_attention all = *a;
    all.rows = all.runs = children, all.run_row = run_row, all.run_page = a->run_page + 1, all.limit = limit, all.first = a->first ? first : NULL;
    for (int t = 0; t < tables; t++) {
        fv_view keys, values;
        table_pages(&packed, ops[t], exec[1], &keys, &values);
        ops[t]->attention(&exec[1], fv_mat(out, children, width), fv_mat(stats, children, 2 * a->heads), fv_mat(q, children, width), keys, values, &all);
        free(keys.data), free(values.data);
        for (int c = 0; c < children; c++) {
            int row = a->run_row[c + 1] + at;
            assert_same("decoding together", "out", out + c * width, packed.out + row * width, width);
            assert_same("decoding together", "stats", stats + c * 2 * a->heads, packed.stats + row * 2 * a->heads, 2 * a->heads);
        }
    }
    free(run_row), free(limit), free(first), free(q), free(out), free(stats);
    free_problem(&packed);
}

static void decoding_has_the_bits_of_the_packed_pass(void **state) {
    for (size_t i = 0; i < FV_COUNT(shapes); i++) {
        if (shapes[i].runs < 2 || shapes[i].length >= 20) continue;
        decode(*state, &shapes[i]);
        decode_together(*state, &shapes[i], shapes[i].length - 1);
    }
}

/* ---- runs that see all of themselves ------------------------------------------------------------------------------------------- */

enum { RUNS = 6, RESULTS = 5 }; /* out, stats, dq, dk, dv */

static const struct {
    const char *name;
    int heads, head_dim, length[RUNS + 1];
} towers[] = {
    {"windows", 2, 80, {64, 64, 48, 16}}, {"all lengths", 3, 20, {5, 64, 17, 1, 33, 16}}, {"a picture", 1, 128, {150}}, {"beside windows", 2, 40, {16, 131, 8, 64}},
};

typedef struct {
    fv_runs r;
    int32_t run_row[RUNS + 1];
    float *given[4]; /* q, k, v, dout */
    float *result[RESULTS];
    int64_t size[RESULTS];
} tower;

static tower new_tower(size_t i) {
    static const char *const names[] = {"q", "k", "v", "dout"};
    tower t = {.r = {.heads = towers[i].heads, .head_dim = towers[i].head_dim, .scale = 1.0f / sqrtf((float)towers[i].head_dim)}};
    for (; towers[i].length[t.r.runs]; t.r.runs++) t.run_row[t.r.runs + 1] = t.r.rows += towers[i].length[t.r.runs];
    int64_t heads = (int64_t)t.r.rows * t.r.heads;
    for (int g = 0; g < 4; g++) t.given[g] = normals(names[g], heads * t.r.head_dim);
    for (int n = 0; n < RESULTS; n++) t.size[n] = n == 1 ? 2 * heads : heads * t.r.head_dim, t.result[n] = calloc((size_t)t.size[n], sizeof(float));
    return t;
}

static void free_tower(tower *t) {
    for (int g = 0; g < 4; g++) free(t->given[g]);
    for (int n = 0; n < RESULTS; n++) free(t->result[n]);
}

/* Runs [first, end) of it, both ways, as if there were no others. */
static void run_tower(tower *t, const fv_ops *ops, fv_exec x, int first, int end) {
    int32_t run_row[RUNS + 1], from = t->run_row[first];
    int64_t width = (int64_t)t->r.heads * t->r.head_dim;
    fv_runs r = t->r;
    fv_view given[4], result[RESULTS];
    for (int i = first; i <= end; i++) run_row[i - first] = t->run_row[i] - from;
    r.run_row = run_row, r.runs = end - first, r.rows = run_row[r.runs];
    for (int g = 0; g < 4; g++) given[g] = fv_mat(t->given[g] + from * width, r.rows, width);
    for (int n = 0; n < RESULTS; n++) {
        int64_t cols = n == 1 ? 2 * r.heads : width;
        result[n] = fv_mat(t->result[n] + from * cols, r.rows, cols);
        if (n > 1) memset(result[n].data, 0, fv_bytes(result[n]));
    }
    ops->attend_runs(&x, result[0], result[1], given[0], given[1], given[2], &r);
    ops->attend_runs_back(&x, result[2], result[3], result[4], given[3], result[0], result[1], given[0], given[1], given[2], &r);
}

static void define_run(const tower *t, double *const want[RESULTS], int run, int head) {
    int dim = t->r.head_dim, from = t->run_row[run], n = t->run_row[run + 1] - from;
    double *w = calloc((size_t)n, sizeof *w);
#define AT(i) (((int64_t)(from + (i)) * t->r.heads + head) * dim)
    for (int i = 0; i < n; i++) {
        const float *q = t->given[0] + AT(i), *dout = t->given[3] + AT(i);
        double sum = 0, dot = 0;
        for (int j = 0; j < n; j++) {
            double s = 0;
            for (int d = 0; d < dim; d++) s += (double)q[d] * t->given[1][AT(j) + d];
            sum += w[j] = exp(s * t->r.scale);
        }
        for (int j = 0; j < n; j++) w[j] /= sum;
        for (int j = 0; j < n; j++)
            for (int d = 0; d < dim; d++) want[0][AT(i) + d] += w[j] * t->given[2][AT(j) + d];
        for (int d = 0; d < dim; d++) dot += want[0][AT(i) + d] * dout[d];
        for (int j = 0; j < n; j++) {
            double dp = 0;
            for (int d = 0; d < dim; d++) dp += (double)dout[d] * t->given[2][AT(j) + d];
            for (int d = 0; d < dim; d++) {
                want[2][AT(i) + d] += w[j] * (dp - dot) * t->r.scale * t->given[1][AT(j) + d];
                want[3][AT(j) + d] += w[j] * (dp - dot) * t->r.scale * q[d];
                want[4][AT(j) + d] += w[j] * dout[d];
            }
        }
    }
#undef AT
    free(w);
}

static void runs_are_the_definition(void **state) {
    static const char *const names[RESULTS] = {"out", "stats", "dq", "dk", "dv"};
    fv_exec *exec = *state;
    const fv_ops *ops[MAX_TABLES];
    int tables = fv_ops_cpu_all(ops, MAX_TABLES);
    for (size_t i = 0; i < FV_COUNT(towers); i++) {
        tower t = new_tower(i);
        double *want[RESULTS];
        for (int n = 0; n < RESULTS; n++) want[n] = calloc((size_t)t.size[n], sizeof(double));
        for (int run = 0; run < t.r.runs; run++)
            for (int head = 0; head < t.r.heads; head++) define_run(&t, want, run, head);
        run_tower(&t, ops[tables - 1], exec[1], 0, t.r.runs);
        for (int n = 0; n < RESULTS; n++)
            if (n != 1) assert_near(towers[i].name, names[n], t.result[n], want[n], t.size[n]);
        for (int n = 0; n < RESULTS; n++) free(want[n]);
        free_tower(&t);
    }
}

/* All at once, and every run for itself, on every table: the bits of the first table, which has all at once. */
static void runs_see_themselves_alone(void **state) {
    static const char *const names[RESULTS] = {"out", "stats", "dq", "dk", "dv"};
    fv_exec *exec = *state;
    const fv_ops *ops[MAX_TABLES];
    int tables = fv_ops_cpu_all(ops, MAX_TABLES);
    for (size_t i = 0; i < FV_COUNT(towers); i++) {
        tower want = new_tower(i), got = new_tower(i);
        run_tower(&want, ops[0], exec[1], 0, want.r.runs);
        for (int t = 0; t < tables; t++)
            for (int threads = 1; threads <= MAX_THREADS; threads++)
                for (int alone = 0; alone < 2; alone++) {
                    char where[80];
                    snprintf(where, sizeof where, "%s on %s, %d threads%s", towers[i].name, ops[t]->name, threads, alone ? ", one by one" : "");
                    for (int run = 0; alone && run < got.r.runs; run++) run_tower(&got, ops[t], exec[threads], run, run + 1);
                    if (!alone) run_tower(&got, ops[t], exec[threads], 0, got.r.runs);
                    for (int n = 0; n < RESULTS; n++) assert_same(where, names[n], got.result[n], want.result[n], want.size[n]);
                }
        free_tower(&want);
        free_tower(&got);
    }
}

static int open_exec(void **state) {
    fv_exec *exec = calloc(MAX_THREADS + 1, sizeof *exec);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        exec[threads].scratch = fv_arena_new(0);
        if (fv_pool_open(&exec[threads].pool, threads, NULL) != FV_OK) return -1;
    }
    *state = exec;
    return 0;
}

static int close_exec(void **state) {
    fv_exec *exec = *state;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fv_pool_close(exec[threads].pool);
        fv_arena_free(exec[threads].scratch);
    }
    free(exec);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_the_definition), cmocka_unit_test(same_on_every_table_and_thread_count),
        cmocka_unit_test(decoding_has_the_bits_of_the_packed_pass), cmocka_unit_test(runs_are_the_definition), cmocka_unit_test(runs_see_themselves_alone),
    };
    return cmocka_run_group_tests(tests, open_exec, close_exec);
}
