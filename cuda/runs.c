/* Attention of runs. f32: over pages, with the CPU's bits. bf16: by cuDNN, from numbers that are rounded for it, where it is there and has a plan for the head; else over pages in bf16.
 *
 * cuDNN is given consecutive runs, as many at once as its workspace allows. What it works on is rounded once for all of them. Its kernels go on the stream by themselves, so the window of
 * launches is given to the card before.
 *
 * Exactness: a run's bits are its own, alone or beside others, whatever the plan (tests/cuda/cudnn_probe.c, tests/cuda/attention_ways.c). Long runs have their way back over pages, as cuDNN's
 * takes memory by the square of rows there; which run is long is said by its own length, so this changes no bits either. stats are (log of the sum, 1) then: as pages' attention has them, a largest score and a sum. */
#include "cuda/runs.h"

#include "core/runs.h"
#include "cuda/cuda.h"
#include "cuda/cudnn.h"
#include "cuda/runtime.h"

#include <stdio.h>
#include <string.h>

enum { HEADS_MOST = 128, HEADS_STEP = 8, KINDS = 8, INTS_ALIGNED = 4, WORKSPACE_ALIGNED = 256 };

static const fv_paged f32_pages = {fv_cuda_page_dtype, fv_cuda_clear, fv_cuda_kv_write, fv_cuda_kv_write_back, fv_cuda_attention, fv_cuda_attention_back};
static const fv_paged bf16_pages = {fv_cuda_bf16_page_dtype, fv_cuda_clear, fv_cuda_bf16_kv_write, fv_cuda_kv_write_back, fv_cuda_bf16_attention, fv_cuda_bf16_attention_back};

void fv_cuda_attend_runs(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r) {
    fv_runs_over_pages(&f32_pages, x, out, stats, q, k, v, r);
}

void fv_cuda_attend_runs_back(const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v,
                              const fv_runs *r) {
    fv_runs_over_pages_back(&f32_pages, x, dq, dk, dv, dout, out, stats, q, k, v, r);
}

/* ---- who does it ---- */

static struct {
    bool asked;
    fv_cudnn *library; /* NULL: there is none */
    fv_error why;      /* or why it does not do all */
    struct {
        int heads, head_dim;
        bool fits;
    } kind[KINDS]; /* of towers that were seen */
    int kinds;
} cudnn;

bool fv_cuda_runs_open(bool wanted) {
    if (!cudnn.asked && !wanted) fv_fail(&cudnn.why, FV_UNSUPPORTED, "cudnn: FOVEA_CUDNN=0 leaves it out");
    if (!cudnn.asked && wanted && fv_cudnn_open(&cudnn.library, fv_cuda_stream(), NULL, &cudnn.why) == FV_OK) cudnn.why.text[0] = 0;
    cudnn.asked = true;
    return cudnn.library != NULL;
}

const char *fv_cuda_runs_by(void) {
    static char name[32];
    if (cudnn.why.text[0]) return cudnn.why.text;
    snprintf(name, sizeof name, "cuDNN %zu", cudnn.library ? fv_cudnn_version(cudnn.library) : (size_t)0);
    return name;
}

static fv_cudnn_shape shape_of(const fv_runs *r, int windows, int longest, bool back) {
    return (fv_cudnn_shape){.layout = FV_CUDNN_RAGGED, .back = back, .deterministic = true, .heads = r->heads, .head_dim = r->head_dim, .windows = windows,
                            .longest = longest, .rows = (int64_t)windows * longest, .step = (int64_t)r->heads * r->head_dim, .scale = r->scale, .engine.count = -1};
}

/* Both ways have a plan for a picture of 1024 rows, of which other plans have their engines. */
static bool has_plans(const fv_runs *r) {
    fv_cudnn_plan *plan;
    fv_error err;
    fv_status status = FV_OK;
    if (r->head_dim % HEADS_STEP || r->head_dim > HEADS_MOST) status = fv_fail(&err, FV_UNSUPPORTED, "cudnn: heads of %d columns are not given to it", r->head_dim);
    for (int back = 0; back < 2 && status == FV_OK; back++) {
        fv_cudnn_shape s = shape_of(r, 1, 1024, back);
        status = fv_cudnn_find(&plan, cudnn.library, &s, &err);
    }
    if (status != FV_OK) cudnn.why = err;
    return status == FV_OK;
}

/* Decided when heads of this kind are seen first, and kept. */
static bool by_cudnn(const fv_runs *r) {
    int i = 0;
    if (!cudnn.library) return false;
    while (i < cudnn.kinds && (cudnn.kind[i].heads != r->heads || cudnn.kind[i].head_dim != r->head_dim)) i++;
    if (i == KINDS) return false;
    if (i == cudnn.kinds) {
        cudnn.kind[i].heads = r->heads, cudnn.kind[i].head_dim = r->head_dim, cudnn.kind[i].fits = has_plans(r);
        cudnn.kinds++;
    }
    return cudnn.kind[i].fits;
}

/* ---- what cuDNN is given at once ---- */

typedef struct {
    int first, count; /* runs */
    fv_cudnn_plan *plan;
    const int32_t *lengths, *rows, *stats; /* on the card: lengths, and elements before each run: in rows, from the group's first on, and in log */
} group;

static int length_of(const fv_runs *r, int run) { return r->run_row[run + 1] - r->run_row[run]; }

/* Consecutive runs from `first` on, as many as one call should have: the same both ways. */
static group group_from(const fv_runs *r, int first, int *longest) {
    group g = {.first = first, .count = 1};
    *longest = length_of(r, first);
    for (int run = first + 1; run < r->runs; run++, g.count++) {
        int most = length_of(r, run) > *longest ? length_of(r, run) : *longest;
        fv_cudnn_shape s = shape_of(r, g.count + 1, most, true);
        if (fv_cudnn_windows_at_once(&s) <= g.count) break;
        *longest = most;
    }
    return g;
}

static int padded(int n) { return (n + INTS_ALIGNED - 1) / INTS_ALIGNED * INTS_ALIGNED; }

/* Lengths and offsets of a group's windows, behind each other; windows of the plan that the group has not got are empty. */
static int write_numbers(int32_t *to, const fv_runs *r, const group *g) {
    int windows = fv_cudnn_shape_of(g->plan)->windows, width = r->heads * r->head_dim, first = r->run_row[g->first];
    int32_t *rows = to + padded(windows), *stats = rows + padded(windows + 1);
    for (int i = 0; i <= windows; i++) {
        int at = r->run_row[g->first + (i < g->count ? i : g->count)];
        if (i < windows) to[i] = i < g->count ? length_of(r, g->first + i) : 0;
        rows[i] = (at - first) * width, stats[i] = at * r->heads;
    }
    return padded(windows) + 2 * padded(windows + 1);
}

/* Groups of all runs with their plans, and their numbers on the card; the number of groups, 0 after an error. Before anything is launched (fv_cuda_stage). */
static int make_groups(group **out, const fv_exec *x, const fv_runs *r, bool back) {
    group *groups = FV_TAKE(x->scratch, group, r->runs);
    int count = 0, ints = 0;
    for (int first = 0, longest; first < r->runs; first = groups[count - 1].first + groups[count - 1].count) {
        fv_error err;
        group *g = &groups[count++];
        *g = group_from(r, first, &longest);
        fv_cudnn_shape s = shape_of(r, g->count, longest, back);
        if (fv_cudnn_find(&g->plan, cudnn.library, &s, &err) != FV_OK) return fv_cuda_failed(&err), 0;
        int windows = fv_cudnn_shape_of(g->plan)->windows;
        ints += padded(windows) + 2 * padded(windows + 1);
    }
    int32_t *numbers = FV_ZERO(x->scratch, int32_t, ints);
    for (int i = 0, at = 0; i < count; i++) at += write_numbers(numbers + at, r, &groups[i]);
    const int32_t *there = fv_cuda_stage(x, numbers, (size_t)ints * sizeof *numbers);
    for (int i = 0; i < count; i++) {
        int windows = fv_cudnn_shape_of(groups[i].plan)->windows;
        groups[i].lengths = there, groups[i].rows = there + padded(windows), groups[i].stats = groups[i].rows + padded(windows + 1);
        there = groups[i].stats + padded(windows + 1);
    }
    *out = groups;
    return count;
}

/* Rows in bf16, packed as in f32: NULL where a way has none. */
typedef struct {
    uint16_t *q, *k, *v, *out, *dout, *dq, *dk, *dv;
    float *log;
} rounded;

static uint16_t *take_rows(const fv_exec *x, fv_view like) { return fv_arena_numbers(x->scratch, (size_t)fv_elements(like) * sizeof(uint16_t)); }
static float *take_log(const fv_exec *x, const fv_runs *r) { return FV_NUMBERS(x->scratch, (int64_t)r->rows * r->heads); }

static uint16_t *from_row(uint16_t *rows, int64_t element) { return rows ? rows + element : NULL; }

static void run_group(const fv_exec *x, const fv_runs *r, const group *g, const rounded *n) {
    fv_error err;
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t at = (int64_t)r->run_row[g->first] * r->heads * r->head_dim;
    uintptr_t workspace = (uintptr_t)fv_arena_numbers(x->scratch, fv_cudnn_workspace(g->plan) + WORKSPACE_ALIGNED);
    fv_cudnn_call call = {.out = from_row(n->out, at), .stats = n->log, .q = from_row(n->q, at), .k = from_row(n->k, at), .v = from_row(n->v, at), .dout = from_row(n->dout, at),
                          .dq = from_row(n->dq, at), .dk = from_row(n->dk, at), .dv = from_row(n->dv, at), .lengths = g->lengths, .offset_in = g->rows, .offset_out = g->rows,
                          .offset_stats = g->stats};
    call.workspace = (void *)((workspace + WORKSPACE_ALIGNED - 1) / WORKSPACE_ALIGNED * WORKSPACE_ALIGNED);
    if (fv_cuda_well() && fv_cudnn_run(g->plan, &call, &err) != FV_OK) fv_cuda_failed(&err);
    fv_arena_release(x->scratch, mark);
}

static void run_groups(const fv_exec *x, const fv_runs *r, const group *groups, int count, const rounded *n) {
    fv_cuda_flush();
    for (int i = 0; i < count; i++) run_group(x, r, &groups[i], n);
}

/* ---- forward ---- */

void fv_cuda_bf16_attend_runs(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v, const fv_runs *r) {
    if (!by_cudnn(r)) {
        fv_runs_over_pages(&bf16_pages, x, out, stats, q, k, v, r);
        return;
    }
    fv_cuda_begin("attend_runs", q, k);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    group *groups;
    int count = make_groups(&groups, x, r, false);
    rounded n = {.q = take_rows(x, q), .k = take_rows(x, k), .v = take_rows(x, v), .out = take_rows(x, out), .log = take_log(x, r)};
    fv_rounding in = {.wide = {fv_f32(q), fv_f32(k), fv_f32(v)}, .narrow = {n.q, n.k, n.v}, .count = 3, .n = fv_elements(q)};
    fv_rounding back = {.wide = {fv_f32(out)}, .narrow = {n.out}, .count = 1, .n = fv_elements(out), .n_stats = (int64_t)r->rows * r->heads, .stats = fv_f32(stats), .log = n.log};
    fv_cuda_round(&in);
    run_groups(x, r, groups, count, &n);
    fv_cuda_widen(&back, false);
    fv_arena_release(x->scratch, mark);
}

/* ---- back ---- */

static bool is_long(const fv_runs *r, int run) {
    fv_cudnn_shape s = shape_of(r, 1, length_of(r, run), true);
    return fv_cudnn_windows_at_once(&s) == 0;
}

/* Views of some rows of everything that a way back is given. */
typedef struct {
    fv_view dq, dk, dv, dout, out, stats, q, k, v;
} way_back;

static fv_view some_rows(fv_view v, int64_t first, int64_t rows, int64_t cols) { return fv_mat(fv_f32(v) + first * cols, rows, cols); }

static way_back part_of(const way_back *b, const fv_runs *r, int64_t first, int64_t rows) {
    int64_t width = (int64_t)r->heads * r->head_dim;
    return (way_back){some_rows(b->dq, first, rows, width),   some_rows(b->dk, first, rows, width),  some_rows(b->dv, first, rows, width),
                      some_rows(b->dout, first, rows, width), some_rows(b->out, first, rows, width), some_rows(b->stats, first, rows, 2 * (int64_t)r->heads),
                      some_rows(b->q, first, rows, width),    some_rows(b->k, first, rows, width),   some_rows(b->v, first, rows, width)};
}

static void back_by_cudnn(const fv_exec *x, const way_back *b, const fv_runs *r) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    group *groups;
    int count = make_groups(&groups, x, r, true);
    rounded n = {.q = take_rows(x, b->q), .k = take_rows(x, b->k), .v = take_rows(x, b->v), .out = take_rows(x, b->out), .dout = take_rows(x, b->dout), .dq = take_rows(x, b->dq),
                 .dk = take_rows(x, b->dk), .dv = take_rows(x, b->dv), .log = take_log(x, r)};
    fv_rounding in = {.wide = {fv_f32(b->q), fv_f32(b->k), fv_f32(b->v), fv_f32(b->out), fv_f32(b->dout)}, .narrow = {n.q, n.k, n.v, n.out, n.dout}, .count = 5,
                      .n = fv_elements(b->q), .n_stats = (int64_t)r->rows * r->heads, .stats = fv_f32(b->stats), .log = n.log};
    fv_rounding back = {.wide = {fv_f32(b->dq), fv_f32(b->dk), fv_f32(b->dv)}, .narrow = {n.dq, n.dk, n.dv}, .count = 3, .n = fv_elements(b->q)};
    fv_cuda_round(&in);
    run_groups(x, r, groups, count, &n);
    fv_cuda_widen(&back, true);
    fv_arena_release(x->scratch, mark);
}

static void back_over_pages(const fv_exec *x, const way_back *b, const fv_runs *r) {
    fv_runs_over_pages_back(&bf16_pages, x, b->dq, b->dk, b->dv, b->dout, b->out, b->stats, b->q, b->k, b->v, r);
}

void fv_cuda_bf16_attend_runs_back(const fv_exec *x, fv_view dq, fv_view dk, fv_view dv, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view k, fv_view v,
                                   const fv_runs *r) {
    way_back all = {dq, dk, dv, dout, out, stats, q, k, v};
    if (!by_cudnn(r)) {
        back_over_pages(x, &all, r);
        return;
    }
    fv_cuda_begin("attend_runs_back", q, k);
    for (int first = 0, end; first < r->runs; first = end) {
        fv_arena_mark mark = fv_arena_here(x->scratch);
        for (end = first + 1; end < r->runs && is_long(r, end) == is_long(r, first);) end++;
        int from = r->run_row[first], rows = r->run_row[end] - from;
        int32_t *run_row = FV_TAKE(x->scratch, int32_t, end - first + 1);
        for (int run = first; run <= end; run++) run_row[run - first] = r->run_row[run] - from;
        fv_runs some = {.rows = rows, .heads = r->heads, .head_dim = r->head_dim, .scale = r->scale, .runs = end - first, .run_row = run_row};
        way_back part = part_of(&all, r, from, rows);
        if (is_long(r, first)) back_over_pages(x, &part, &some);
        else back_by_cudnn(x, &part, &some);
        fv_arena_release(x->scratch, mark);
    }
}
