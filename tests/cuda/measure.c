/* cuda_measure [small] [name]: every operation (whose name has this in it) of the CUDA table beside the CPU's, on the same numbers: how many numbers have
 * other bits, the largest difference relative to the largest number of its tensor, and the time a call takes on the card, in shapes of a model of 3 billion
 * weights; `small`: odd sizes that end anywhere in a tile, for the stand-in and for compute-sanitizer. Attention and sums over the vocabulary of the table of precision bf16 as well, whose bits are their
 * own: they are to be near. Ends with 1 where bits differ, or are not near. Needs no library but the C library's: it is what one runs first on a card (tests/cuda/on_card.sh). */
#include "core/progress.h"
#include "cuda/runs.h"
#include "tests/cuda/measure.h"

#include <math.h>

enum { TIMED = 20 };
static const double near = 2e-2; /* of the largest number of a tensor: what rounding to bf16 makes of sums over some hundred keys */

/* ---- matrix products: variant is rows, + HALF for weights in bf16, + EDGES for a large result whose sides end anywhere, with few terms ---- */

enum { HALF = 1 << 20, EDGES = 1 << 21, WIDTH = 2048, INNER = 11008, ROWS = 1024, ODD = 1283, ODD_TERMS = 19 };

static void make_linear(setup *s, int variant) {
    int64_t m = variant & ~(HALF | EDGES), n = size_of(s, WIDTH), k = size_of(s, WIDTH);
    if (s->small) m = m / 8 + 1;
    if (variant & EDGES) m = n = ODD, k = ODD_TERMS;
    results(s, m, n), numbers(s, m, k);
    if (variant & HALF) halves(s, n, k);
    else numbers(s, n, k);
    numbers(s, 1, n);
    s->weight = 2;
    s->flops = 2.0 * (double)m * (double)n * (double)k;
}
static void run_linear(const side *c, int variant) {
    (void)variant;
    c->ops->linear(&c->x, &(fv_linear_map){.y = c->v[0], .w = c->v[2], .packed = c->packed, .bias = c->v[3]}, 1, c->v[1]);
}

static void make_back_input(setup *s, int variant) {
    int64_t m = size_of(s, ROWS), n = size_of(s, WIDTH), k = size_of(s, WIDTH) + (s->small ? 1 : 64);
    if (variant & EDGES) m = k = ODD, n = ODD_TERMS;
    results(s, m, k), numbers(s, m, n);
    if (variant & HALF) halves(s, n, k);
    else numbers(s, n, k);
    s->flops = 2.0 * (double)m * (double)n * (double)k;
}
static void run_back_input(const side *c, int variant) {
    (void)variant;
    c->ops->linear_back(&c->x, c->v[0], fv_none, fv_none, c->v[1], fv_none, c->v[2], NULL);
}

static void make_back_weight(setup *s, int variant) {
    int64_t m = size_of(s, ROWS), n = size_of(s, WIDTH), k = size_of(s, WIDTH) + (s->small ? 1 : 64);
    if (variant & EDGES) n = k = ODD, m = ODD_TERMS;
    results(s, n, k), results(s, 1, n), numbers(s, m, n), numbers(s, m, k);
    s->flops = 2.0 * (double)m * (double)n * (double)k;
}
static void run_back_weight(const side *c, int variant) {
    (void)variant;
    c->ops->linear_back(&c->x, fv_none, c->v[0], c->v[1], c->v[2], c->v[3], fv_none, NULL);
}

/* ---- rows by index: variant 0 gather, 1 from bf16, 2 gather_add, 3 scatter_add, 4 scatter ---- */

static void make_rows(setup *s, int variant) {
    int64_t rows = size_of(s, ROWS), table = size_of(s, 4096), cols = size_of(s, WIDTH);
    if (variant >= 3) results(s, table, cols), numbers(s, rows, cols);
    else {
        results(s, rows, cols);
        if (variant == 1) halves(s, table, cols);
        else numbers(s, table, cols);
    }
    int32_t *index = integers(s, rows, -1, variant == 3 ? 9 : (int32_t)table); /* few rows get all of it: chains */
    for (int64_t r = 0; variant == 4 && r < rows; r++) index[r] = (int32_t)(r * 7 % table); /* distinct: 7 and the table's length share no factor */
}
static void run_rows(const side *c, int variant) {
    void (*const op[])(const fv_exec *, fv_view, fv_view, fv_view) = {c->ops->gather, c->ops->gather, c->ops->gather_add, c->ops->scatter_add, c->ops->scatter};
    op[variant](&c->x, c->v[0], c->v[1], c->v[2]);
}

/* blend; 1: its way back */
static void make_blend(setup *s, int variant) {
    int64_t rows = size_of(s, ROWS), table = size_of(s, 2304), cols = size_of(s, 1152);
    if (variant) results(s, table, cols), numbers(s, rows, cols);
    else results(s, rows, cols), numbers(s, table, cols);
    integers(s, rows * 4, 0, (int32_t)table);
    settings(s, rows, 4);
}
static void run_blend(const side *c, int variant) {
    if (variant) c->ops->blend_back(&c->x, c->v[0], c->v[1], c->v[2], c->v[3]);
    else c->ops->blend(&c->x, c->v[0], c->v[1], c->v[2], c->v[3]);
}

/* ---- norms: 0 rms, 1 its way back, 2 layer, 3 its way back; + ONE row, + FEW of them, + HEADS: of one head, + LONG rows, that a block takes in pieces; + HALF ---- */

enum { ONE = 4, FEW = 8, HEADS = 16, LONG = 32, LONG_ROW = 10001 };

static void make_norm(setup *s, int variant) {
    int64_t rows = size_of(s, ROWS), cols = size_of(s, variant % ONE < 2 ? WIDTH : 1280);
    if (variant & ONE) rows = 1, cols = WIDTH;
    if (variant & FEW) rows = s->small ? 5 : 64, cols = s->small ? 700 : WIDTH;
    if (variant & HEADS) rows *= 16, cols = 128;
    if (variant & LONG) rows = 3, cols = LONG_ROW;
    results(s, rows, cols);                        /* y, or dx */
    results(s, 1, variant % 2 ? cols : 2 * rows);  /* stats, or dw */
    numbers(s, rows, cols);                        /* x, w */
    if (variant & HALF) halves(s, 1, cols);
    else numbers(s, 1, cols);
    numbers(s, rows, cols), numbers(s, 1, 2 * rows); /* dy, stats: any will do */
    results(s, 1, cols);                           /* b, or db */
}
static void run_norm(const side *c, int variant) {
    const fv_view *v = c->v;
    variant %= ONE;
    if (variant == 0) c->ops->rms_norm(&c->x, v[0], v[1], v[2], v[3], 1e-6f);
    if (variant == 1) c->ops->rms_norm_back(&c->x, v[0], v[1], v[4], v[2], v[3], v[5]);
    if (variant == 2) c->ops->layer_norm(&c->x, v[0], v[1], v[2], v[3], v[6], 1e-6f);
    if (variant == 3) c->ops->layer_norm_back(&c->x, v[0], v[1], v[6], v[4], v[2], v[3], v[5]);
}

/* ---- rotary: 0 the table, 1 turning ---- */

static void make_rotary(setup *s, int variant) {
    int64_t rows = size_of(s, ROWS), half = size_of(s, 64);
    if (variant == 0) {
        results(s, rows, half), results(s, rows, half);
        integers(s, 3 * rows, 0, 30000), settings(s, 1, half), integers(s, half, 0, 3);
    } else {
        results(s, rows, 16 * 2 * half), numbers(s, rows, half), numbers(s, rows, half);
    }
}
static void run_rotary(const side *c, int variant) {
    if (variant) c->ops->rotary(&c->x, c->v[0], c->v[1], c->v[2], 16, 1);
    else c->ops->rotary_table(&c->x, c->v[0], c->v[1], c->v[2], c->v[3], c->v[4]);
}

/* ---- numbers one by one: 0 swiglu, 1 back, 2 + f act, 6 + f back, 10 add, 11 axpy, 12 scale, 13 dot ---- */

static void make_elements(setup *s, int variant) {
    int64_t rows = size_of(s, ROWS), cols = size_of(s, INNER);
    results(s, rows, cols);
    if (variant == 1) results(s, rows, cols);
    numbers(s, rows, cols), numbers(s, rows, cols), numbers(s, rows, cols);
    if (variant == 13) s->told = sizeof(double) / sizeof(float);
}
static void run_elements(const side *c, int variant) {
    const fv_view *v = c->v;
    const fv_ops *o = c->ops;
    if (variant == 0) o->swiglu(&c->x, v[0], v[1], v[2]);
    if (variant == 1) o->swiglu_back(&c->x, v[0], v[1], v[2], v[3], v[4]);
    if (variant >= 2 && variant < 6) o->act(&c->x, v[0], v[1], (fv_activation)(variant - 2));
    if (variant >= 6 && variant < 10) o->act_back(&c->x, v[0], v[1], v[2], (fv_activation)(variant - 6));
    if (variant == 10) o->add(&c->x, v[0], v[1], v[2]);
    if (variant == 11) o->axpy(&c->x, v[0], 0.3f, v[1]);
    if (variant == 12) o->scale(&c->x, v[0], 0.3f);
    if (variant != 13) return;
    double sum = o->dot(&c->x, v[1], v[2]);
    memcpy(c->told, &sum, sizeof sum);
}

/* ---- attention: 0 a prompt, 1 decoding below a prompt that is shared, 2 windows of a picture, 3 a long prompt; + BACK: the way back; + BF16: the table of precision bf16 ---- */

enum { BACK = 8, BF16 = 1 << 22 };

static void make_plan(setup *s, int heads, int kv_heads, int dim, int runs, int rows_a_run, int shared) {
    int own = (rows_a_run + FV_PAGE - 1) / FV_PAGE, listed = shared + own, rows = runs * rows_a_run;
    int32_t *run_row = integers(s, runs + 1, 0, 1), *run_page = integers(s, runs + 1, 0, 1), *pages = integers(s, (int64_t)runs * listed, 0, 1);
    int32_t *limit = integers(s, rows, 0, 1);
    for (int r = 0; r <= runs; r++) run_row[r] = r * rows_a_run, run_page[r] = r * listed;
    for (int r = 0; r < runs; r++)
        for (int p = 0; p < listed; p++) pages[r * listed + p] = p < shared ? p : shared + r * own + p - shared;
    for (int r = 0; r < rows; r++) limit[r] = shared * FV_PAGE + r % rows_a_run + 1;
    s->plan = (fv_attention){.rows = rows, .heads = heads, .kv_heads = kv_heads, .head_dim = dim, .scale = 1 / sqrtf((float)dim), .runs = runs,
                             .run_row = run_row, .run_page = run_page, .pages = pages, .limit = limit};
    s->flops = 0;
    for (int r = 0; r < rows; r++) s->flops += 4.0 * limit[r] * heads * dim;
}

static void make_attention(setup *s, int variant) {
    int kind = variant % BACK, page_count;
    if (kind == 0) make_plan(s, 16, 2, (int)size_of(s, 128), 1, (int)size_of(s, ROWS), 0);
    if (kind == 1) make_plan(s, 16, 2, (int)size_of(s, 128), (int)size_of(s, 64), 1, (int)size_of(s, 64));
    if (kind == 2) make_plan(s, 16, 16, (int)size_of(s, 80), (int)size_of(s, 64), 64, 0);
    if (kind == 3) make_plan(s, 16, 2, (int)size_of(s, 128), 1, (int)size_of(s, 4 * ROWS), 0);
    const fv_attention *a = &s->plan;
    page_count = 1;
    for (int i = 0; i < a->run_page[a->runs]; i++)
        if (a->pages[i] >= page_count) page_count = a->pages[i] + 1;
    int64_t width = (int64_t)a->heads * a->head_dim, page = (int64_t)a->kv_heads * a->head_dim * FV_PAGE;
    results(s, a->rows, width), results(s, a->rows, 2 * a->heads); /* 4, 5: out, stats */
    numbers(s, a->rows, width), numbers(s, page_count, page), numbers(s, page_count, page); /* 6, 7, 8: q, keys, values */
    s->paged = true;
    if (!(variant & BACK)) return;
    results(s, a->rows, width), results(s, page_count, page), results(s, page_count, page); /* 9, 10, 11: dq, dkeys, dvalues */
    s->flops *= 2.5;
}
static fv_view as_pages(const side *c, int i, bool keys) {
    const fv_attention *a = &c->s->plan;
    fv_view v = c->v[i];
    int64_t pages = v.shape[0];
    v.rank = 4;
    v.shape[0] = pages, v.shape[1] = a->kv_heads, v.shape[2] = keys ? a->head_dim : FV_PAGE, v.shape[3] = keys ? FV_PAGE : a->head_dim;
    return v;
}
/* Keys and values as the side's table has them: where that is not f32, they are buffers 7 and 8 of its own, which open_side has written. */
static fv_view kept(const side *c, int i, bool keys) {
    const fv_attention *a = &c->s->plan;
    fv_view v = fv_page_view(c->ops->page_dtype(a->head_dim), c->v[i].data, c->v[i].shape[0], a->kv_heads, a->head_dim, keys);
    if (c->pages[0]) v.data = c->pages[keys ? 0 : 1];
    return v;
}
static void run_attention(const side *c, int variant) {
    fv_view keys = kept(c, 7, true), values = kept(c, 8, false);
    c->ops->attention(&c->x, c->v[4], c->v[5], c->v[6], keys, values, &c->s->plan);
    if (!(variant & BACK)) return;
    c->ops->attention_back(&c->x, c->v[9], as_pages(c, 10, true), as_pages(c, 11, false), c->v[6], c->v[4], c->v[5], c->v[6], keys, values,
                           &c->s->plan); /* dout is q: any numbers will do */
}

/* Runs that see all of themselves, as a tower's: 0 windows of 64 rows, 1 a picture of 1024; + BACK, + BF16 */
static fv_runs runs_of(const side *c) {
    int rows = (int)fv_rows(c->v[2]), each = fv_i32(c->v[6])[1], dim = (int)fv_cols(c->v[2]) / 16;
    return (fv_runs){.rows = rows, .heads = 16, .head_dim = dim, .scale = 1 / sqrtf((float)dim), .runs = rows / each, .run_row = fv_i32(c->v[6])};
}
static void make_runs(setup *s, int variant) {
    int each = variant % BACK ? (int)size_of(s, ROWS) : s->small ? 13 : 64, runs = variant % BACK ? 1 : (int)size_of(s, 64), rows = each * runs;
    int64_t width = 16 * (s->small ? 8 : 80);
    results(s, rows, width), results(s, rows, 2 * 16);                      /* 0, 1: out, stats */
    numbers(s, rows, width), numbers(s, rows, width), numbers(s, rows, width); /* 2, 3, 4: q, k, v */
    numbers(s, rows, width);                                                /* 5: dout */
    int32_t *run_row = integers(s, runs + 1, 0, 1);
    for (int i = 0; i <= runs; i++) run_row[i] = i * each;
    for (int i = 0; variant & BACK && i < 3; i++) results(s, rows, width); /* 7, 8, 9: dq, dk, dv */
    s->b[1].out = !(variant & BF16); /* a largest score and a sum, or the log of a sum and 1 */
    s->flops = 4.0 * rows * each * (double)width * (variant & BACK ? 3.5 : 1);
}
static void run_runs(const side *c, int variant) {
    const fv_view *v = c->v;
    fv_runs r = runs_of(c);
    c->ops->attend_runs(&c->x, v[0], v[1], v[2], v[3], v[4], &r);
    if (variant & BACK) c->ops->attend_runs_back(&c->x, v[7], v[8], v[9], v[5], v[0], v[1], v[2], v[3], v[4], &r);
}

/* kv_write; 1: its way back. Rows go to several slots. */
static void make_pages(setup *s, int variant) {
    enum { KV = 2 };
    int64_t rows = size_of(s, ROWS), dim = size_of(s, 128), pages = (rows + rows / 2 + FV_PAGE - 1) / FV_PAGE, writes = rows + rows / 2;
    for (int i = 0; i < 2; i++) {
        if (variant) numbers(s, pages, KV * dim * FV_PAGE);
        else results(s, pages, KV * dim * FV_PAGE);
    }
    for (int i = 0; i < 2; i++) {
        if (variant) results(s, rows, KV * dim);
        else numbers(s, rows, KV * dim);
    }
    int32_t *row = integers(s, writes, 0, 1), *slot = integers(s, writes, 0, 1);
    for (int64_t i = 0; i < writes; i++) row[i] = (int32_t)(i % rows), slot[i] = (int32_t)i;
    s->plan = (fv_attention){.kv_heads = KV, .head_dim = (int)dim};
}
static void run_pages(const side *c, int variant) {
    fv_view keys = as_pages(c, 0, true), values = as_pages(c, 1, false);
    if (variant) c->ops->kv_write_back(&c->x, c->v[2], c->v[3], keys, values, c->v[4], c->v[5]);
    else c->ops->kv_write(&c->x, keys, values, c->v[2], c->v[3], c->v[4], c->v[5]);
}

/* ---- the vocabulary: 0 log-probs, 1 their way back, 2 the second pass, 3 greedy, 4 drawing, 5 drawing with top-k and top-p; + SINGLE: one row; + BF16 ---- */

enum { SINGLE = 8 };

static void make_vocabulary(setup *s, int variant) {
    bool single = variant & SINGLE;
    variant %= SINGLE;
    int64_t rows = single ? 1 : variant == 2 ? 8 : size_of(s, variant > 2 ? 64 : 512), width = size_of(s, WIDTH), words = s->small ? 2341 : 151936;
    results(s, rows, 1), results(s, rows, 1), results(s, rows, 2); /* logp, entropy, lse */
    numbers(s, rows, width), numbers(s, words, width);             /* 3, 4: hidden, weight */
    float *w = fv_f32(s->b[4].v);
    for (int64_t i = 0; i < words * width; i++) w[i] *= 0.1f;
    settings(s, rows, 1), integers(s, rows, 0, (int32_t)words);    /* 5, 6: temperature, target */
    if (variant == 1) results(s, rows, width), results(s, words, width), numbers(s, rows, 1), numbers(s, rows, 1);
    s->weight = 4;
    s->told = variant == 2 ? rows * words : variant > 2 ? 3 * rows : 0;
    s->how = calloc((size_t)rows, sizeof *s->how);
    for (int64_t r = 0; r < rows; r++)
        s->how[r] = (fv_sampling){.temperature = variant == 3 ? 0 : 1, .top_p = variant == 5 ? 0.9f : 1, .top_k = variant == 5 && r % 2 ? 50 : 0, .key = 11, .position = (uint64_t)r};
    s->flops = 2.0 * (double)rows * (double)words * (double)width * (variant == 1 ? 4 : 1);
}
static void see(void *context, int64_t row, int64_t rows, int64_t col, int64_t cols, const float *logp) {
    const side *c = context;
    for (int64_t i = 0; i < rows * cols; i++) c->told[row * cols + col + i] = logp[i];
}
static void run_vocabulary(const side *c, int variant) {
    const fv_view *v = c->v;
    bool bf16 = variant & BF16;
    variant %= SINGLE;
    fv_head head = {v[4], c->packed};
    if (variant < 3) c->ops->logprob(&c->x, v[0], v[1], v[2], v[3], head, v[6], v[5]);
    if (variant == 1) c->ops->logprob_back(&c->x, v[7], v[8], v[9], v[10], v[1], v[2], v[3], head, v[6], v[5]);
    if (variant == 2) c->ops->vocabulary(&c->x, v[2], v[3], head, v[5], see, (void *)(uintptr_t)c);
    if (variant < 3) return;
    int64_t rows = fv_rows(v[3]);
    int32_t *id = malloc((size_t)rows * sizeof *id);
    c->ops->sample(&c->x, id, c->told, c->told + rows, v[3], head, c->s->how);
    for (int64_t r = 0; r < rows; r++) c->told[2 * rows + r] = (float)id[r];
    for (int64_t r = 0; bf16 && r < rows; r++) c->told[r] = c->told[2 * rows + r] = 0; /* other ids, where a logit is another */
    free(id);
}

static void make_adamw(setup *s, int variant) {
    (void)variant;
    int64_t rows = size_of(s, WIDTH), cols = size_of(s, INNER);
    results(s, rows, cols), results(s, rows, cols), results(s, rows, cols), numbers(s, rows, cols);
    float *v = fv_f32(s->b[2].v);
    for (int64_t i = 0; i < rows * cols; i++) v[i] = v[i] * v[i];
    halves(s, rows, cols);
    s->b[4].out = true;
}
static void run_adamw(const side *c, int variant) {
    (void)variant;
    fv_adamw how = {.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f, .grad_scale = 0.5f, .step = 3};
    c->ops->adamw(&c->x, c->v[0], c->v[1], c->v[2], c->v[3], c->v[4], &how);
}

static const op_case cases[] = {
    {"linear, 1 row", make_linear, run_linear, 1}, {"linear, 64 rows", make_linear, run_linear, 64}, {"linear, 1024 rows", make_linear, run_linear, 1024},
    {"linear bf16, 1 row", make_linear, run_linear, 1 | HALF}, {"linear bf16, 64 rows", make_linear, run_linear, 64 | HALF},
    {"linear bf16, 1024 rows", make_linear, run_linear, 1024 | HALF}, {"linear, edges", make_linear, run_linear, EDGES},
    {"linear bf16, edges", make_linear, run_linear, EDGES | HALF},
    {"linear_back, dx", make_back_input, run_back_input, 0}, {"linear_back bf16, dx", make_back_input, run_back_input, HALF},
    {"linear_back, dx, edges", make_back_input, run_back_input, EDGES}, {"linear_back, dw", make_back_weight, run_back_weight, 0},
    {"linear_back, dw, edges", make_back_weight, run_back_weight, EDGES},
    {"gather", make_rows, run_rows, 0}, {"gather bf16", make_rows, run_rows, 1}, {"gather_add", make_rows, run_rows, 2},
    {"scatter_add, long chains", make_rows, run_rows, 3}, {"scatter", make_rows, run_rows, 4},
    {"blend", make_blend, run_blend, 0}, {"blend_back", make_blend, run_blend, 1},
    {"rms_norm", make_norm, run_norm, 0}, {"rms_norm_back", make_norm, run_norm, 1}, {"layer_norm", make_norm, run_norm, 2},
    {"layer_norm_back", make_norm, run_norm, 3},
    {"rms_norm, 1 row", make_norm, run_norm, ONE}, {"rms_norm, 64 rows", make_norm, run_norm, FEW}, {"rms_norm, heads", make_norm, run_norm, HEADS},
    {"rms_norm bf16, heads", make_norm, run_norm, HEADS | HALF}, {"rms_norm_back, heads", make_norm, run_norm, HEADS | 1},
    {"rms_norm, long rows", make_norm, run_norm, LONG}, {"rms_norm_back, long rows", make_norm, run_norm, LONG | 1},
    {"layer_norm, long rows", make_norm, run_norm, LONG | 2}, {"layer_norm_back, long rows", make_norm, run_norm, LONG | 3},
    {"rotary_table", make_rotary, run_rotary, 0}, {"rotary", make_rotary, run_rotary, 1},
    {"swiglu", make_elements, run_elements, 0}, {"swiglu_back", make_elements, run_elements, 1},
    {"gelu erf", make_elements, run_elements, 2 + FV_GELU_ERF}, {"gelu tanh", make_elements, run_elements, 2 + FV_GELU_TANH},
    {"gelu quick", make_elements, run_elements, 2 + FV_GELU_QUICK}, {"silu", make_elements, run_elements, 2 + FV_SILU},
    {"gelu erf back", make_elements, run_elements, 6 + FV_GELU_ERF}, {"gelu tanh back", make_elements, run_elements, 6 + FV_GELU_TANH},
    {"gelu quick back", make_elements, run_elements, 6 + FV_GELU_QUICK}, {"silu back", make_elements, run_elements, 6 + FV_SILU},
    {"add", make_elements, run_elements, 10}, {"axpy", make_elements, run_elements, 11}, {"scale", make_elements, run_elements, 12},
    {"dot", make_elements, run_elements, 13},
    {"kv_write", make_pages, run_pages, 0}, {"kv_write_back", make_pages, run_pages, 1},
    {"attention, prompt", make_attention, run_attention, 0}, {"attention, decoding", make_attention, run_attention, 1},
    {"attention, windows", make_attention, run_attention, 2}, {"... and back, prompt", make_attention, run_attention, BACK},
    {"... and back, decoding", make_attention, run_attention, BACK | 1}, {"... and back, windows", make_attention, run_attention, BACK | 2},
    {"attention bf16, prompt", make_attention, run_attention, BF16}, {"attention bf16, decoding", make_attention, run_attention, BF16 | 1},
    {"attention bf16, windows", make_attention, run_attention, BF16 | 2}, {"attention bf16, 4096 rows", make_attention, run_attention, BF16 | 3},
    {"... bf16 and back, prompt", make_attention, run_attention, BF16 | BACK}, {"... bf16 and back, decoding", make_attention, run_attention, BF16 | BACK | 1},
    {"... bf16 and back, windows", make_attention, run_attention, BF16 | BACK | 2}, {"... bf16 and back, 4096", make_attention, run_attention, BF16 | BACK | 3},
    {"runs, windows", make_runs, run_runs, 0}, {"runs, a picture", make_runs, run_runs, 1},
    {"runs and back, windows", make_runs, run_runs, BACK}, {"runs and back, a picture", make_runs, run_runs, BACK | 1},
    {"runs bf16, windows", make_runs, run_runs, BF16}, {"runs bf16, a picture", make_runs, run_runs, BF16 | 1},
    {"runs bf16, back, windows", make_runs, run_runs, BF16 | BACK}, {"runs bf16, back, a picture", make_runs, run_runs, BF16 | BACK | 1},
    {"logprob", make_vocabulary, run_vocabulary, 0}, {"... and back", make_vocabulary, run_vocabulary, 1}, {"vocabulary", make_vocabulary, run_vocabulary, 2},
    {"sample, greedy", make_vocabulary, run_vocabulary, 3}, {"sample", make_vocabulary, run_vocabulary, 4},
    {"sample, 1 row", make_vocabulary, run_vocabulary, SINGLE | 4}, {"sample, top-k and top-p", make_vocabulary, run_vocabulary, 5},
    {"logprob bf16", make_vocabulary, run_vocabulary, BF16}, {"sample bf16, 1 row", make_vocabulary, run_vocabulary, BF16 | SINGLE | 4},
    {"sample bf16", make_vocabulary, run_vocabulary, BF16 | 4}, {"adamw", make_adamw, run_adamw, 0},
};

/* ---- running them ---- */

static void must(fv_status status, const fv_error *err) {
    if (status != FV_OK) fail(err->text);
}

/* The numbers of f32 pages in pages of the table's own kind: as rows, and from there by it. */
static void write_pages(side *c) {
    const fv_attention *a = &c->s->plan;
    const float *from[2] = {fv_f32(c->s->b[7].v), fv_f32(c->s->b[8].v)};
    int64_t pages = c->v[7].shape[0], slots = pages * FV_PAGE, width = (int64_t)a->kv_heads * a->head_dim;
    int32_t *slot = malloc((size_t)slots * sizeof *slot);
    fv_view row[2], page[2];
    fv_error err;
    for (int i = 0; i < 2; i++) {
        float *x = malloc((size_t)(slots * width) * sizeof *x);
        for (int64_t s = 0; s < slots; s++)
            for (int64_t e = 0, d; e < width; e++) {
                int64_t panel = (s / FV_PAGE * a->kv_heads + e / a->head_dim) * a->head_dim * FV_PAGE;
                d = e % a->head_dim, slot[s] = (int32_t)s;
                x[s * width + e] = from[i][panel + (i == 0 ? d * FV_PAGE + s % FV_PAGE : s % FV_PAGE * a->head_dim + d)];
            }
        row[i] = fv_mat(NULL, slots, width), page[i] = fv_page_view(c->ops->page_dtype(a->head_dim), NULL, pages, a->kv_heads, a->head_dim, i == 0);
        must(c->ops->alloc(&row[i].data, fv_bytes(row[i]), &err), &err);
        must(c->ops->alloc(&page[i].data, fv_bytes(page[i]), &err), &err);
        c->ops->upload(row[i].data, x, fv_bytes(row[i]));
        c->pages[i] = page[i].data;
        free(x);
    }
    c->ops->kv_write(&c->x, page[0], page[1], row[0], row[1], fv_ints(slot, slots), fv_ints(slot, slots));
    for (int i = 0; i < 2; i++) c->ops->free(row[i].data);
    free(slot);
}

static side open_side(const fv_ops *ops, fv_exec x, const setup *s) {
    side c = {.ops = ops, .x = x, .s = s};
    fv_error err;
    c.told = calloc((size_t)s->told + 1, sizeof *c.told);
    for (int i = 0; i < s->count; i++) {
        c.v[i] = s->b[i].v;
        if (s->b[i].host) continue;
        must(ops->alloc(&c.v[i].data, fv_bytes(c.v[i]), &err), &err);
        ops->upload(c.v[i].data, s->b[i].v.data, fv_bytes(c.v[i]));
    }
    if (s->paged && ops->page_dtype(s->plan.head_dim) != FV_F32) write_pages(&c);
    if (s->weight >= 0) {
        void *packed;
        must(ops->alloc(&packed, ops->linear_packed_bytes(c.v[s->weight]), &err), &err);
        ops->linear_pack(&x, packed, c.v[s->weight]);
        c.packed = packed;
    }
    return c;
}

static void close_side(side *c) {
    for (int i = 0; i < 2; i++) c->ops->free(c->pages[i]);
    for (int i = 0; i < c->s->count; i++)
        if (!c->s->b[i].host) c->ops->free(c->v[i].data);
    c->ops->free((void *)(uintptr_t)c->packed);
    free(c->told);
}

typedef struct {
    int64_t numbers, other; /* compared; of other bits */
    double relative;        /* the largest difference over the largest number of its tensor */
} difference;

static void compare(difference *d, const float *a, const float *b, int64_t n) {
    double largest = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        d->numbers++;
        d->other += memcmp(a + i, b + i, sizeof *a) != 0;
        double apart = fabs((double)a[i] - (double)b[i]);
        if (memcmp(a + i, b + i, sizeof *a)) largest = apart <= largest ? largest : isnan(apart) ? INFINITY : apart; /* a NaN on one side stays */
        size = fmax(size, fabs((double)b[i]));
    }
    double relative = largest == 0 ? 0 : size > 0 && !isinf(largest) ? largest / size : INFINITY;
    d->relative = fmax(d->relative, relative);
}

static difference compare_sides(const side *card, const side *cpu, fv_error *err) {
    difference d = {0};
    for (int i = 0; i < card->s->count; i++) {
        if (!card->s->b[i].out) continue;
        fv_view v = card->v[i];
        int64_t n = fv_elements(v);
        void *got = malloc(fv_bytes(v) + 1);
        float *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
        card->ops->download(got, v.data, fv_bytes(v));
        fv_to_f32(a, got, v.dtype, n);
        fv_to_f32(b, cpu->v[i].data, v.dtype, n);
        compare(&d, a, b, n);
        free(got), free(a), free(b);
    }
    compare(&d, card->told, cpu->told, card->s->told);
    must(card->ops->check(err), err);
    return d;
}

/* Seconds a call. */
static double time_of(const op_case *c, const side *card, int calls) {
    fv_error err;
    c->run(card, c->variant);
    must(card->ops->check(&err), &err);
    double start = fv_now();
    for (int i = 0; i < calls; i++) c->run(card, c->variant);
    must(card->ops->check(&err), &err);
    return (fv_now() - start) / calls;
}

static bool run_case(const op_case *c, const fv_ops *const ops[3], const fv_exec x[2], bool small) {
    bool bf16 = c->variant & BF16;
    setup s = {.small = small, .weight = -1};
    c->make(&s, c->variant);
    s.bytes = bytes_of(&s);
    side cpu = open_side(ops[0], x[0], &s), card = open_side(ops[bf16 ? 2 : 1], x[1], &s);
    fv_error err;
    c->run(&cpu, c->variant);
    c->run(&card, c->variant);
    must(card.ops->check(&err), &err);
    difference d = compare_sides(&card, &cpu, &err);
    double seconds = small ? 0 : time_of(c, &card, TIMED);
    printf("%-26s %12lld %10lld %10.1e", c->name, (long long)d.numbers, (long long)d.other, d.relative);
    if (!small) printf(" %12.1f %10.1f %10.1f", seconds * 1e6, s.bytes / seconds / 1e9, s.flops / seconds / 1e9);
    bool good = bf16 ? d.relative <= near : d.other == 0;
    printf("%s\n", good ? "" : bf16 ? "  NOT NEAR" : "  OTHER BITS");
    fflush(stdout);
    close_side(&cpu), close_side(&card);
    for (int i = 0; i < s.count; i++) free(s.b[i].v.data);
    free(s.how);
    return good;
}

int main(int argc, char **argv) {
    bool small = argc > 1 && !strcmp(argv[1], "small"), all = true;
    const char *name = argc > 1 + small ? argv[1 + small] : "";
    const fv_ops *ops[3];
    fv_exec x[2] = {{0}};
    fv_error err;
    must(fv_ops_find(&ops[0], "cpu", NULL, &err), &err);
    must(fv_cuda_table(&ops[1], FV_PRECISION_F32, &err), &err);
    must(fv_cuda_table(&ops[2], FV_PRECISION_BF16, &err), &err);
    must(fv_pool_open(&x[0].pool, 0, &err), &err);
    for (int i = 0; i < 2; i++) x[i].scratch = fv_ops_arena(ops[i], 0);
    printf("%-26s %12s %10s %10s%s\n", "operation", "numbers", "other bits", "relative", small ? "" : "   microsecs       GB/s    GFLOP/s");
    for (size_t i = 0; i < FV_COUNT(cases); i++)
        if (strstr(cases[i].name, name)) all = run_case(&cases[i], ops, x, small) && all;
    printf("runs in bf16: %s\n", fv_cuda_runs_by());
    printf("%s\n", all ? "every number has the CPU's bits, and those of bf16 are near" : "some numbers have other bits than the CPU's, or are not near");
    for (int i = 0; i < 2; i++) fv_arena_free(x[i].scratch);
    fv_pool_close(x[0].pool);
    return all ? 0 : 1;
}
