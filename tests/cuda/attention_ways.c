/* cuda_attention_ways: attention of the bf16 table in each of its ways (cuda/attention.h) on the same numbers: prompts, answers below a shared prompt one row each, windows of a picture, sliding
 * windows. Every number must have the same bits in every way, and on the way back dq; dkeys and dvalues must be near each other. And runs that see all of themselves, as the table does
 * them, by cuDNN or not: the same bits every time, and one by one as all at once. Ends with 1 where that is not so. `large`: pictures as well, for a card. */
#include "core/random.h"
#include "cuda/attention.h"
#include "cuda/cuda.h"
#include "cuda/products.h"
#include "cuda/runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const fv_ops *ops;
static fv_exec exec;

/* `runs` runs of `rows` rows each, causal, below `shared` positions that all of them see; window: only so many positions back (0: all). */
typedef struct {
    const char *name;
    int heads, kv_heads, dim, runs, rows, shared, window;
} shape;

static const shape shapes[] = {
    {"prompt", 4, 2, 128, 1, 300, 0, 0},       {"prompt, narrow heads", 4, 2, 40, 1, 333, 0, 0}, {"answers' rows", 16, 2, 128, 13, 1, 528, 0},
    {"answers", 8, 1, 64, 3, 70, 288, 0},      {"windows", 2, 2, 80, 5, 64, 0, 0},               {"sliding", 4, 4, 48, 2, 150, 256, 200},
    {"sliding far", 4, 2, 48, 2, 100, 704, 200}, /* rows of one tile whose first chunks differ */
    {"odd heads", 7, 1, 33, 4, 30, 96, 0},       /* tiles begin inside a row */
    {"wide odd heads", 2, 2, 100, 2, 70, 48, 0},
};

/* Of three runs and more the second has no rows. */
static int rows_of(const shape *s, int run) { return s->runs > 2 && run == 1 ? 0 : s->rows; }

static void must(fv_status s, const fv_error *err) {
    if (s == FV_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(s == FV_UNSUPPORTED ? 77 : 1); /* 77: no card */
}

static fv_view on_card(const char *what, int64_t rows, int64_t cols) {
    fv_view v = fv_mat(NULL, rows, cols);
    fv_error err;
    fv_random r = fv_random_stream(fv_random_key(5, what, 0, 0));
    float *x = malloc(fv_bytes(v));
    for (int64_t i = 0; i < rows * cols; i++) x[i] = (float)fv_normal(&r);
    must(ops->alloc(&v.data, fv_bytes(v), &err), &err);
    ops->upload(v.data, x, fv_bytes(v));
    free(x);
    return v;
}

static fv_attention plan_of(const shape *s, int *page_count) {
    int whole = s->shared / FV_PAGE, own = (s->rows + FV_PAGE - 1) / FV_PAGE, rows = 0;
    for (int r = 0; r < s->runs; r++) rows += rows_of(s, r);
    int32_t *run_row = calloc((size_t)s->runs + 1, sizeof *run_row), *run_page = calloc((size_t)s->runs + 1, sizeof *run_page);
    int32_t *pages = calloc((size_t)(s->runs * (whole + own)), sizeof *pages), *limit = calloc((size_t)rows, sizeof *limit), *first = calloc((size_t)rows, sizeof *first);
    *page_count = whole + s->runs * own;
    for (int r = 0; r < s->runs; r++) run_row[r + 1] = run_row[r] + rows_of(s, r), run_page[r + 1] = (r + 1) * (whole + own);
    for (int r = 0; r < s->runs; r++)
        for (int p = 0; p < whole + own; p++) pages[r * (whole + own) + p] = *page_count - 1 - (p < whole ? p : whole + r * own + p - whole);
    for (int run = 0; run < s->runs; run++)
        for (int r = run_row[run]; r < run_row[run + 1]; r++) {
            limit[r] = s->shared + r - run_row[run] + 1;
            first[r] = s->window && limit[r] > s->window ? limit[r] - s->window : 0;
        }
    return (fv_attention){.rows = rows, .heads = s->heads, .kv_heads = s->kv_heads, .head_dim = s->dim, .scale = 1 / sqrtf((float)s->dim), .runs = s->runs, .run_row = run_row,
                          .run_page = run_page, .pages = pages, .limit = limit, .first = first};
}

static void free_plan(const fv_attention *a) {
    const int32_t *all[] = {a->run_row, a->run_page, a->pages, a->limit, a->first};
    for (size_t i = 0; i < FV_COUNT(all); i++) free((void *)(uintptr_t)all[i]);
}

static int64_t other_bits(const float *a, const float *b, int64_t n) {
    int64_t other = 0;
    for (int64_t i = 0; i < n; i++) other += memcmp(a + i, b + i, sizeof *a) != 0;
    return other;
}

/* The largest difference over the largest number. */
static double apart(const float *a, const float *b, int64_t n) {
    double largest = 0, size = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs((double)a[i] - (double)b[i])), size = fmax(size, fabs((double)b[i]));
    return isfinite(size) ? largest / size : INFINITY;
}

/* Both ways back, from what the forward pass has left. */
static bool back_is_alike(const shape *s, const fv_attention *a, fv_view q, fv_view keys, fv_view values, fv_view out, fv_view stats) {
    enum { MOST = 1000 }; /* of a number: 1e-3 */
    int64_t width = (int64_t)s->heads * s->dim, pages = keys.shape[0], rows = a->rows * width, panel = pages * s->kv_heads * s->dim * FV_PAGE, numbers = rows + 2 * panel;
    fv_view dout = on_card("dout", a->rows, width), grads = on_card("grads", 1, numbers);
    float *got[2];
    fv_error err;
    for (int by_wgmma = 0; by_wgmma < 2; by_wgmma++) {
        float *to = fv_f32(grads);
        got[by_wgmma] = malloc((size_t)numbers * sizeof(float));
        if (by_wgmma && !fv_wgmma_runs()) continue;
        ops->clear(&exec, to, fv_bytes(grads));
        fv_cuda_attend_back(by_wgmma, &exec, fv_mat(to, a->rows, width), fv_page_view(FV_F32, to + rows, pages, s->kv_heads, s->dim, true),
                            fv_page_view(FV_F32, to + rows + panel, pages, s->kv_heads, s->dim, false), dout, out, stats, q, keys, values, a);
        ops->download(got[by_wgmma], to, (size_t)numbers * sizeof(float));
        must(ops->check(&err), &err);
    }
    int64_t other = fv_wgmma_runs() ? other_bits(got[1], got[0], rows) : 0;
    double far = fv_wgmma_runs() ? fmax(apart(got[1] + rows, got[0] + rows, panel), apart(got[1] + rows + panel, got[0] + rows + panel, panel)) : 0;
    printf("%-22s  dq %lld other bits, dkeys and dvalues %.1e apart\n", "", (long long)other, far);
    ops->free(dout.data), ops->free(grads.data);
    free(got[0]), free(got[1]);
    return other == 0 && far * MOST <= 1;
}

static bool same_in_all(const shape *s) {
    static const struct {
        fv_attend_way way;
        const char *name;
    } ways[] = {{FV_ATTEND_CHUNKS, "chunks"}, {FV_ATTEND_MMA, "mma"}, {FV_ATTEND_WGMMA, "wgmma"}};
    int page_count;
    bool all = true;
    fv_error err;
    fv_attention a = plan_of(s, &page_count);
    int64_t width = (int64_t)s->heads * s->dim, kv_width = (int64_t)s->kv_heads * s->dim, slots = (int64_t)page_count * FV_PAGE, numbers = a.rows * (width + 2 * s->heads);
    fv_view q = on_card("q", a.rows, width), k = on_card("k", slots, kv_width), v = on_card("v", slots, kv_width), out = on_card("out", a.rows, width + 2 * s->heads);
    fv_view keys = fv_page_view(FV_BF16, NULL, page_count, s->kv_heads, s->dim, true), values = keys;
    int32_t *slot = malloc((size_t)slots * sizeof *slot);
    for (int i = 0; i < slots; i++) slot[i] = i;
    must(ops->alloc(&keys.data, fv_bytes(keys), &err), &err);
    must(ops->alloc(&values.data, fv_bytes(values), &err), &err);
    ops->kv_write(&exec, keys, values, k, v, fv_ints(slot, slots), fv_ints(slot, slots));
    float *got = malloc((size_t)numbers * sizeof *got), *want = malloc((size_t)numbers * sizeof *want);
    printf("%-22s", s->name);
    for (size_t w = 0; w < FV_COUNT(ways); w++) {
        if (ways[w].way == FV_ATTEND_WGMMA && !fv_wgmma_runs()) continue;
        ops->clear(&exec, out.data, fv_bytes(out));
        fv_cuda_attend(ways[w].way, &exec, fv_mat(fv_f32(out), a.rows, width), fv_mat(fv_f32(out) + a.rows * width, a.rows, 2 * s->heads), q, keys, values, &a);
        ops->download(w ? got : want, out.data, (size_t)numbers * sizeof(float));
        must(ops->check(&err), &err);
        int64_t other = w ? other_bits(got, want, numbers) : 0;
        printf("  %s %lld", ways[w].name, (long long)other);
        all = all && other == 0;
    }
    printf("  other bits of %lld\n", (long long)numbers);
    all = back_is_alike(s, &a, q, keys, values, fv_mat(fv_f32(out), a.rows, width), fv_mat(fv_f32(out) + a.rows * width, a.rows, 2 * s->heads)) && all;
    if (!all) printf("%-22s  NOT ALIKE\n", s->name);
    fv_view views[] = {q, k, v, out, keys, values};
    for (size_t i = 0; i < FV_COUNT(views); i++) ops->free(views[i].data);
    free(got), free(want), free(slot);
    free_plan(&a);
    return all;
}

/* ---- runs that see all of themselves ---- */

enum { TOWER_RUNS = 70, TOWER_RESULTS = 5, AGAIN = 3 }; /* out, stats, dq, dk, dv */

typedef struct {
    const char *name;
    int heads, dim, runs, length[8]; /* in turn */
    bool large;
} tower;

static const tower towers[] = {
    {"runs of 64", 2, 80, 5, {64}, false},
    {"runs, mixed", 2, 80, 12, {64, 20, 7, 64, 33, 130, 64, 48}, false},
    {"windows", 16, 80, 64, {64}, true},
    {"windows, mixed", 16, 80, 70, {64, 32, 16, 48, 64, 8, 24, 4}, true},
    {"a picture and others", 16, 80, 10, {5184, 64, 1024, 300, 64, 1920, 16, 1024}, true},
    {"pictures, heads of 64", 16, 64, 6, {1024, 64, 2500, 900, 1100, 1024}, true},
};

static void attend(const tower *t, const fv_runs *all, int first, int end, const fv_view given[4], const fv_view result[TOWER_RESULTS]) {
    int32_t run_row[TOWER_RUNS + 1];
    int from = all->run_row[first];
    fv_runs r = *all;
    fv_view in[4], to[TOWER_RESULTS];
    for (int i = first; i <= end; i++) run_row[i - first] = all->run_row[i] - from;
    r.run_row = run_row, r.runs = end - first, r.rows = run_row[r.runs];
    for (int i = 0; i < 4; i++) in[i] = fv_mat(fv_f32(given[i]) + (int64_t)from * t->heads * t->dim, r.rows, (int64_t)t->heads * t->dim);
    for (int i = 0; i < TOWER_RESULTS; i++) to[i] = fv_mat(fv_f32(result[i]) + from * fv_cols(result[i]), r.rows, fv_cols(result[i]));
    ops->attend_runs(&exec, to[0], to[1], in[0], in[1], in[2], &r);
    ops->attend_runs_back(&exec, to[2], to[3], to[4], in[3], to[0], to[1], in[0], in[1], in[2], &r);
}

static bool runs_stay(const tower *t) {
    static const char *const names[] = {"q", "k", "v", "dout"}, *const results[TOWER_RESULTS] = {"out", "stats", "dq", "dk", "dv"};
    int32_t run_row[TOWER_RUNS + 1] = {0};
    fv_runs r = {.heads = t->heads, .head_dim = t->dim, .scale = 1 / sqrtf((float)t->dim), .runs = t->runs, .run_row = run_row};
    fv_view given[4], result[TOWER_RESULTS];
    float *want[TOWER_RESULTS], *got;
    bool all = true;
    fv_error err;
    int kinds = 0;
    while (kinds < 8 && t->length[kinds]) kinds++;
    for (int i = 0; i < t->runs; i++) run_row[i + 1] = r.rows += t->length[i % kinds];
    int64_t most = (int64_t)r.rows * t->heads * (t->dim > 2 ? t->dim : 2);
    for (int i = 0; i < 4; i++) given[i] = on_card(names[i], r.rows, (int64_t)t->heads * t->dim);
    for (int i = 0; i < TOWER_RESULTS; i++) result[i] = on_card(results[i], r.rows, (int64_t)t->heads * (i == 1 ? 2 : t->dim)), want[i] = malloc(fv_bytes(result[i]));
    got = malloc((size_t)most * sizeof *got);
    printf("%-22s ", t->name);
    for (int turn = 0; turn <= AGAIN; turn++) {
        for (int i = 2; i < TOWER_RESULTS; i++) ops->clear(&exec, result[i].data, fv_bytes(result[i]));
        if (turn < AGAIN) attend(t, &r, 0, r.runs, given, result);
        for (int run = 0; turn == AGAIN && run < r.runs; run++) attend(t, &r, run, run + 1, given, result);
        for (int i = 0; i < TOWER_RESULTS; i++) {
            ops->download(turn ? got : want[i], result[i].data, fv_bytes(result[i]));
            must(ops->check(&err), &err);
            int64_t other = turn ? other_bits(got, want[i], fv_elements(result[i])) : 0;
            if (turn == AGAIN) printf(" %s alone %lld", results[i], (long long)other);
            else if (other) printf(" %s VARIES %lld", results[i], (long long)other);
            all = all && other == 0;
        }
    }
    printf("  other bits of %lld rows%s\n", (long long)r.rows, all ? "" : "  NOT ALIKE");
    for (int i = 0; i < 4; i++) ops->free(given[i].data);
    for (int i = 0; i < TOWER_RESULTS; i++) ops->free(result[i].data), free(want[i]);
    free(got);
    return all;
}

int main(int argc, char **argv) {
    fv_error err;
    bool all = true, large = argc > 1 && !strcmp(argv[1], "large");
    must(fv_cuda_table(&ops, FV_PRECISION_BF16, &err), &err);
    exec.scratch = fv_ops_arena(ops, 0);
    for (size_t i = 0; i < FV_COUNT(shapes); i++) all = same_in_all(&shapes[i]) && all;
    for (size_t i = 0; i < FV_COUNT(towers); i++)
        if (large || !towers[i].large) all = runs_stay(&towers[i]) && all;
    printf("runs: %s\n", fv_cuda_runs_by());
    fv_arena_free(exec.scratch);
    return all ? 0 : 1;
}
