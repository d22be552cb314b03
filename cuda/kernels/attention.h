/* What attention and its way back share: the plan on the card, tiles of queries, and one score.
 *
 * A tile is up to TILE queries that read the same pages: consecutive rows of a run, and for each row the query heads that share a kv head.
 * Query u of a tile is row (first + u) / group, head kv_head * group + (first + u) % group. Queries are computed side by side, each in the
 * chain it would have alone, so tiles never change bits. A block has a thread for each (query, key of a page): TILE * 16. */
#ifndef FV_CUDA_KERNELS_ATTENTION_H
#define FV_CUDA_KERNELS_ATTENTION_H

#include "cuda/device.h"

enum { TILE = 8, THREADS = TILE * FV_PAGE };

typedef struct {
    int32_t n;           /* queries: 1 .. TILE */
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

/* ---- on the host ---- */

static inline fv_tile fv_tile_of(const fv_attention *a, int run, int64_t first) {
    int64_t group = a->heads / a->kv_heads, left = a->run_row[run + 1] * group - first;
    fv_tile t;
    t.n = left < TILE ? (int32_t)left : TILE;
    t.list = a->run_page[run];
    t.first = first;
    int32_t from = INT32_MAX, to = 0;
    for (int64_t row = first / group; row <= (first + t.n - 1) / group; row++) {
        int32_t low = a->first != NULL ? a->first[row] : 0;
        if (low < from) from = low;
        if (a->limit[row] > to) to = a->limit[row];
    }
    t.page = from / FV_PAGE;
    t.pages = (to + FV_PAGE - 1) / FV_PAGE - t.page;
    return t;
}

/* Until the caller releases x->scratch. run_tile [runs + 1] (may be NULL) gets where each run's tiles begin. */
static inline fv_plan fv_plan_of(const fv_exec *x, const fv_attention *a, int64_t *run_tile) {
    fv_plan p;
    p.heads = a->heads, p.kv_heads = a->kv_heads, p.group = a->heads / a->kv_heads, p.dim = a->head_dim;
    p.scale = a->scale;
    p.rows = a->rows;
    p.tiles = 0;
    for (int run = 0; run < a->runs; run++) p.tiles += fv_blocks_of((int64_t)(a->run_row[run + 1] - a->run_row[run]) * p.group, TILE);
    fv_tile *tile = FV_TAKE(x->scratch, fv_tile, p.tiles);
    int64_t n = 0;
    for (int run = 0; run < a->runs; run++) {
        if (run_tile != NULL) run_tile[run] = n;
        for (int64_t first = (int64_t)a->run_row[run] * p.group; first < (int64_t)a->run_row[run + 1] * p.group; first += TILE)
            tile[n++] = fv_tile_of(a, run, first);
    }
    if (run_tile != NULL) run_tile[a->runs] = n;
    size_t rows = (size_t)a->rows * sizeof(int32_t);
    p.tile = (const fv_tile *)fv_cuda_stage(x, tile, (size_t)p.tiles * sizeof *tile);
    p.pages = (const int32_t *)fv_cuda_stage(x, a->pages, (size_t)a->run_page[a->runs] * sizeof(int32_t));
    p.limit = (const int32_t *)fv_cuda_stage(x, a->limit, rows);
    p.first = (const int32_t *)fv_cuda_stage(x, a->first, rows);
    return p;
}

/* ---- on the card ---- */

/* Where query u's row of [rows, heads * dim] is in [rows, heads]. */
FV_DEVICE int64_t fv_query_head(const fv_plan *p, const fv_tile *t, int kv_head, int u) {
    int64_t q = t->first + u;
    return q / p->group * p->heads + (int64_t)kv_head * p->group + q % p->group;
}

/* Query u sees the key at this position. */
FV_DEVICE bool fv_sees(const fv_plan *p, const fv_tile *t, int u, int64_t position) {
    int64_t row = (t->first + u) / p->group;
    return position < p->limit[row] && (p->first == NULL || position >= p->first[row]);
}

/* The panel [dim, 16] or [16, dim] of a page and a kv head. */
FV_DEVICE int64_t fv_panel_at(const fv_plan *p, int32_t page, int kv_head) { return ((int64_t)page * p->kv_heads + kv_head) * p->dim * FV_PAGE; }

/* The tile's rows of x into the block's memory: to[u * dim + d]. */
FV_DEVICE void fv_load_queries(float *to, const float *x, const fv_plan *p, const fv_tile *t, int kv_head) {
    for (int e = FV_THREAD; e < t->n * p->dim; e += THREADS)
        to[e] = x[fv_query_head(p, t, kv_head, e / p->dim) * p->dim + e % p->dim];
}

/* sum_d a[d] * b[d * step], d ascending */
FV_DEVICE float fv_chain(const float *a, const float *b, int dim, int64_t step) {
    float sum = 0;
    for (int d = 0; d < dim; d++) sum = fv_fma(a[d], b[d * step], sum);
    return sum;
}

#endif
