/* What attention and its way back share: the plan on the card, tiles of queries, what a block copies of queries and pages, and scores.
 *
 * A tile is some queries that read the same pages: consecutive rows of a run, and for each row the query heads that share a kv head.
 * Query u of a tile is row (first + u) / group, head kv_head * group + (first + u) % group. Queries are computed side by side, each in the
 * chain it would have alone, so tiles never change bits.
 *
 * A block brings pages into its memory with asynchronous copies. Pages begin at multiples of 64 bytes (arenas and `alloc` see to it). */
#ifndef FV_CUDA_KERNELS_ATTENTION_H
#define FV_CUDA_KERNELS_ATTENTION_H

#include "cuda/device.h"

/* How a block goes about it; constants where this is inlined. */
typedef struct {
    int queries; /* of a tile, at most */
    int pages;   /* that are in the block's memory at once */
    int threads;
    int rows;    /* scores: queries of a thread, each with two keys */
    int mix_rows, mix_cols; /* sums over keys: queries and columns of a thread */
} fv_form;

/* Many queries of the same pages: prompts, pictures. Few: decoding, where the pages of one row must come fast. */
#define FV_FORM_MANY 32, 1, 64, 4, 8, 8
#define FV_FORM_FEW 8, 4, 256, 1, 8, 1
enum { FV_MANY = 32, FV_MANY_THREADS = 64, FV_FEW = 8, FV_FEW_PAGES = 4, FV_FEW_THREADS = 256 };

/* Columns of a head that a block makes sums for. A page's keys lie [dim][20] in a block's memory, its values and the queries [][FV_STRIDE_OF]: so
 * threads of a warp read different banks. A page has room for whole parts, since threads whose columns are none read them, too, and write
 * them nowhere: what they read nobody else must be writing. */
enum { FV_PART = 128, FV_KEY_STRIDE = FV_PAGE + 4 };
#define FV_STRIDE_OF(dim) (((dim) + 3) / 4 * 4 + 4)
#define FV_PAGE_ROOM(dim) (FV_KEY_STRIDE * (((dim) + FV_PART - 1) / FV_PART * FV_PART))

typedef struct {
    int32_t n;           /* queries */
    int32_t list;        /* where the run's pages begin in `pages` */
    int32_t page, pages; /* pages that any of the queries sees: positions [page, page + pages) of the run's list */
    int64_t first;       /* row * group + head of the first query */
} fv_tile;

/* The plan, all pointers on the card. */
typedef struct {
    const int32_t *pages, *limit, *first; /* first may be NULL */
    const fv_tile *tile;
    int64_t tiles, rows;
    int heads, kv_heads, group, dim;
    float scale;
} fv_plan;

/* What the kernels of the forward pass are given, in either arithmetic. */
typedef struct {
    fv_plan plan;
    float *out, *stats;
    const float *q, *keys, *values;
} fv_attention_job;

/* ---- on the host ---- */

static inline int32_t fv_first_of(const fv_attention *a, int64_t row) { return a->first != NULL ? a->first[row] : 0; }

/* The positions that any of the queries [first, first + n) sees lie in [*from, *to). */
static inline void fv_seen(int32_t *from, int32_t *to, const fv_attention *a, int64_t first, int32_t n) {
    int64_t group = a->heads / a->kv_heads;
    *from = INT32_MAX, *to = 0;
    for (int64_t row = first / group; row <= (first + n - 1) / group; row++) {
        int32_t low = fv_first_of(a, row);
        if (low < *from) *from = low;
        if (a->limit[row] > *to) *to = a->limit[row];
    }
}

/* Makes t->page and t->pages those of the positions [from, to). */
static inline void fv_span_pages(fv_tile *t, int32_t from, int32_t to) {
    t->page = from / FV_PAGE;
    t->pages = (to + FV_PAGE - 1) / FV_PAGE - t->page;
}

static inline fv_tile fv_tile_of(const fv_attention *a, int run, int64_t first, int queries) {
    int64_t group = a->heads / a->kv_heads, left = a->run_row[run + 1] * group - first;
    fv_tile t;
    t.n = left < queries ? (int32_t)left : queries;
    t.list = a->run_page[run];
    t.first = first;
    int32_t from, to;
    fv_seen(&from, &to, a, first, t.n);
    fv_span_pages(&t, from, to);
    return t;
}

/* The plan, with tiles of at most `queries` (0: without any). Until the caller releases x->scratch; *tiles, the host's copy, too. run_tile [runs + 1] gets where each run's tiles begin. */
static inline fv_plan fv_plan_of(const fv_exec *x, const fv_attention *a, int queries, fv_tile **tiles, int64_t *run_tile) {
    fv_plan p;
    memset(&p, 0, sizeof p);
    p.heads = a->heads, p.kv_heads = a->kv_heads, p.group = a->heads / a->kv_heads, p.dim = a->head_dim;
    p.scale = a->scale;
    p.rows = a->rows;
    size_t rows = (size_t)a->rows * sizeof(int32_t);
    p.pages = (const int32_t *)fv_cuda_stage(x, a->pages, (size_t)a->run_page[a->runs] * sizeof(int32_t));
    p.limit = (const int32_t *)fv_cuda_stage(x, a->limit, rows);
    p.first = (const int32_t *)fv_cuda_stage(x, a->first, rows);
    if (queries == 0) return p;
    for (int run = 0; run < a->runs; run++) p.tiles += fv_blocks_of((int64_t)(a->run_row[run + 1] - a->run_row[run]) * p.group, queries);
    fv_tile *tile = FV_TAKE(x->scratch, fv_tile, p.tiles);
    int64_t n = 0;
    for (int run = 0; run < a->runs; run++) {
        if (run_tile != NULL) run_tile[run] = n;
        for (int64_t first = (int64_t)a->run_row[run] * p.group; first < (int64_t)a->run_row[run + 1] * p.group; first += queries)
            tile[n++] = fv_tile_of(a, run, first, queries);
    }
    if (run_tile != NULL) run_tile[a->runs] = n;
    if (tiles != NULL) *tiles = tile;
    p.tile = (const fv_tile *)fv_cuda_stage(x, tile, (size_t)p.tiles * sizeof *tile);
    return p;
}

/* ---- on the card ---- */

/* The block's tile. Late rows of a text see more pages than early ones: so that what a multiprocessor has evens out, every second kv head's tiles come
 * in the other order. */
FV_DEVICE fv_tile fv_block_tile(const fv_plan *p, int kv_head) {
    int64_t n = FV_BLOCK % p->tiles;
    return p->tile[kv_head % 2 ? p->tiles - 1 - n : n];
}

/* The positions that a query sees. */
typedef struct {
    int32_t first, limit;
} fv_query;

/* Where query u's row of [rows, heads * dim] is in [rows, heads]. */
FV_DEVICE int64_t fv_query_at(const fv_plan *p, const fv_tile *t, int kv_head, int u) {
    uint32_t q = (uint32_t)t->first + (uint32_t)u, group = (uint32_t)p->group;
    return (int64_t)(q / group) * p->heads + kv_head * p->group + (int64_t)(q % group);
}

FV_DEVICE fv_query fv_query_of(const fv_plan *p, const fv_tile *t, int u) {
    fv_query y = {0, 0}; /* beyond the last: sees nothing */
    if (u >= t->n) return y;
    uint32_t row = ((uint32_t)t->first + (uint32_t)u) / (uint32_t)p->group;
    y.first = p->first != NULL ? p->first[row] : 0;
    y.limit = p->limit[row];
    return y;
}

FV_DEVICE bool fv_sees(const fv_query *y, int32_t position) { return position >= y->first && position < y->limit; }

/* The panel [dim, 16] or [16, dim] of a page and a kv head. */
FV_DEVICE int64_t fv_panel_at(const fv_plan *p, int32_t page, int kv_head) { return ((int64_t)page * p->kv_heads + kv_head) * p->dim * FV_PAGE; }

/* One row of dim numbers, by `threads` threads of which this is number `me`; whole quadruples at once where they lie so. */
FV_DEVICE void fv_bring_row(float *to, const float *from, int dim, int me, int threads) {
    if (dim % 4 == 0 && (uintptr_t)from % 16 == 0)
        for (int e = 4 * me; e < dim; e += 4 * threads) fv_copy_16(to + e, from + e, 16);
    else
        for (int e = me; e < dim; e += threads) to[e] = from[e];
}

/* The tile's rows of x [rows, heads * dim]: to[u * stride + d]. */
FV_DEVICE void fv_bring_queries(float *to, const float *x, const fv_plan *p, const fv_tile *t, int kv_head, const int threads) {
    enum { TOGETHER = 8 };
    for (int u = FV_THREAD / TOGETHER; u < t->n; u += threads / TOGETHER)
        fv_bring_row(to + u * FV_STRIDE_OF(p->dim), x + fv_query_at(p, t, kv_head, u) * p->dim, p->dim, FV_THREAD % TOGETHER, TOGETHER);
}

/* Keys of `count` pages: to[(page * dim + d) * 20 + lane]; and values: to[(page * 16 + lane) * stride + d]. */
FV_DEVICE void fv_bring_keys(float *to, const float *keys, const fv_plan *p, const int32_t *pages, int count, int kv_head, const fv_form f) {
    for (int c = 0; c < count; c++) {
        const float *panel = keys + fv_panel_at(p, pages[c], kv_head);
        for (int e = FV_THREAD; e < p->dim * 4; e += f.threads) fv_copy_16(to + (c * p->dim + e / 4) * FV_KEY_STRIDE + e % 4 * 4, panel + e * 4, 16);
    }
}
FV_DEVICE void fv_bring_values(float *to, const float *values, const fv_plan *p, const int32_t *pages, int count, int kv_head, const fv_form f) {
    int stride = FV_STRIDE_OF(p->dim), lane = FV_THREAD % FV_PAGE;
    for (int c = 0; c < count; c++)
        fv_bring_row(to + (c * FV_PAGE + lane) * stride, values + fv_panel_at(p, pages[c], kv_head) + (int64_t)lane * p->dim, p->dim, FV_THREAD / FV_PAGE,
                     f.threads / FV_PAGE);
}

/* ---- scores: a thread has two keys of the pages and f.rows queries ---- */

enum { FV_PAIRS = FV_PAGE / 2 };

FV_DEVICE int fv_pair_of(const fv_form f) { return FV_THREAD % (f.pages * FV_PAIRS); }
FV_DEVICE int fv_score_row(int i, const fv_form f) { return i * (f.queries / f.rows) + FV_THREAD / (f.pages * FV_PAIRS); }

/* s[rows][2] = sum_d q[d] key[d], each d ascending. */
FV_DEVICE void fv_scores(float *s, const float *q, const float *keys, int dim, const fv_form f) {
    const float *key = keys + fv_pair_of(f) / FV_PAIRS * dim * FV_KEY_STRIDE + fv_pair_of(f) % FV_PAIRS * 2;
    int stride = FV_STRIDE_OF(dim), d = 0;
#pragma unroll
    for (int i = 0; i < 2 * f.rows; i++) s[i] = 0;
#pragma unroll 2
    for (; d + 4 <= dim; d += 4) {
        fv_two k[4];
#pragma unroll
        for (int e = 0; e < 4; e++) k[e] = *(const fv_two *)(key + (d + e) * FV_KEY_STRIDE);
#pragma unroll
        for (int i = 0; i < f.rows; i++) {
            fv_four x = *(const fv_four *)(q + fv_score_row(i, f) * stride + d);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                s[2 * i] = fv_fma(x.v[e], k[e].v[0], s[2 * i]);
                s[2 * i + 1] = fv_fma(x.v[e], k[e].v[1], s[2 * i + 1]);
            }
        }
    }
#pragma unroll 1
    for (; d < dim; d++) {
        fv_two k = *(const fv_two *)(key + d * FV_KEY_STRIDE);
#pragma unroll
        for (int i = 0; i < f.rows; i++) {
            float x = q[fv_score_row(i, f) * stride + d];
            s[2 * i] = fv_fma(x, k.v[0], s[2 * i]);
            s[2 * i + 1] = fv_fma(x, k.v[1], s[2 * i + 1]);
        }
    }
}

/* ---- sums over keys: a thread has f.mix_rows queries and f.mix_cols columns of the block's part of a head ---- */

FV_DEVICE bool fv_mixes(const fv_form f) { return FV_THREAD < f.queries / f.mix_rows * (FV_PART / f.mix_cols); }
FV_DEVICE int fv_mix_row(int v, const fv_form f) { return v * (f.queries / f.mix_rows) + FV_THREAD / (FV_PART / f.mix_cols); }
FV_DEVICE int fv_mix_col(int c, const fv_form f) { return c * (FV_PART / f.mix_cols) + FV_THREAD % (FV_PART / f.mix_cols); }

#endif
