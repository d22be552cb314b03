/* What attention and its way back share: tiles of queries, and the two products over a page.
 *
 * A tile is up to TILE queries that read the same pages: consecutive rows of a run, and for each row the query heads that share
 * a kv head. Query u of a tile is row (first + u) / group, head kv_head * group + (first + u) % group. Queries of a tile are
 * computed side by side, each in the chain it would have alone, so tiles never change bits. */
#ifndef FV_CPU_KERNELS_ATTENTION_H
#define FV_CPU_KERNELS_ATTENTION_H

#include "cpu/kernels/rows.h"

#include <math.h>
#include <string.h>

enum { TILE = 8 };

/* How many queries, pages and 16-wide columns a register block has: as many accumulators as the registers carry. With fewer
 * queries a block takes more pages and columns instead, for every chain needs others beside it to hide its latency. */
#if defined(FV_ISA_avx512)
enum { BLOCK_QUERIES = 8, BLOCK_PAGES = 2, BLOCK_COLS = 3, WIDEST = 8 };
#elif defined(FV_ISA_avx2)
enum { BLOCK_QUERIES = 4, BLOCK_PAGES = 1, BLOCK_COLS = 1, WIDEST = 4 };
#else
enum { BLOCK_QUERIES = 1, BLOCK_PAGES = 1, BLOCK_COLS = 1, WIDEST = 1 };
#endif

/* The tiles of all runs, in order: run i has tiles [run_tile[i], run_tile[i + 1]). */
typedef struct {
    const fv_attention *a;
    int64_t group, dim; /* query heads to a kv head; head_dim */
    int64_t *run_tile;
    int64_t tiles;
    int64_t max_pages; /* of any run */
} fv_tiling;

typedef struct {
    int run, n;      /* queries in this tile: 1 .. TILE */
    int64_t first;   /* row * group + head of its first query */
    int64_t page, pages; /* pages that any of its rows sees: [page, page + pages) of the run's list */
    int32_t low[TILE], high[TILE]; /* each query sees keys [low, high) */
} fv_tile;

/* Scratch lives until the caller's release. */
FV_INLINE fv_tiling fv_tiling_of(const fv_exec *x, const fv_attention *a) {
    fv_tiling t = {.a = a, .group = a->heads / a->kv_heads, .dim = a->head_dim, .run_tile = FV_TAKE(x->scratch, int64_t, a->runs + 1)};
    for (int i = 0; i < a->runs; i++) {
        t.run_tile[i] = t.tiles;
        t.tiles += ((a->run_row[i + 1] - a->run_row[i]) * t.group + TILE - 1) / TILE;
        if (a->run_page[i + 1] - a->run_page[i] > t.max_pages) t.max_pages = a->run_page[i + 1] - a->run_page[i];
    }
    t.run_tile[a->runs] = t.tiles;
    return t;
}

FV_INLINE fv_tile fv_tile_at(const fv_tiling *t, int64_t number) {
    const fv_attention *a = t->a;
    int low = 0, high = a->runs; /* the run with run_tile[run] <= number < run_tile[run + 1] */
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (t->run_tile[middle] <= number) low = middle;
        else high = middle;
    }
    fv_tile tile = {.run = low};
    tile.first = a->run_row[low] * t->group + (number - t->run_tile[low]) * TILE;
    int64_t left = a->run_row[low + 1] * t->group - tile.first;
    tile.n = left < TILE ? (int)left : TILE;
    int32_t from = INT32_MAX, to = 0;
    for (int u = 0; u < tile.n; u++) {
        int64_t row = (tile.first + u) / t->group;
        tile.low[u] = a->first != NULL ? a->first[row] : 0;
        tile.high[u] = a->limit[row];
        if (tile.low[u] < from) from = tile.low[u];
        if (tile.high[u] > to) to = tile.high[u];
    }
    tile.page = from / FV_PAGE;
    tile.pages = (to + FV_PAGE - 1) / FV_PAGE - tile.page;
    return tile;
}

/* Where query u's row of [rows, heads * head_dim] begins, and its place in [rows, heads]. */
FV_INLINE int64_t fv_query_head(const fv_tiling *t, const fv_tile *tile, int64_t kv_head, int u) {
    int64_t q = tile->first + u;
    return q / t->group * t->a->heads + kv_head * t->group + q % t->group;
}

/* The page numbers that the tile reads. */
FV_INLINE const int32_t *fv_tile_pages(const fv_tiling *t, const fv_tile *tile) {
    return t->a->pages + t->a->run_page[tile->run] + tile->page;
}

/* The tile's rows of x [rows, heads * head_dim] side by side: out[d * TILE + u]; 0 for queries that are not there. */
FV_INLINE void fv_pack_queries(float *out, const float *x, const fv_tiling *t, const fv_tile *tile, int64_t kv_head) {
    const float *row[TILE];
    for (int u = 0; u < tile->n; u++) row[u] = x + fv_query_head(t, tile, kv_head, u) * t->dim;
    for (int64_t d = 0; d < t->dim; d++) { /* all rows at once, so that their cache misses overlap */
        for (int u = 0; u < tile->n; u++) out[d * TILE + u] = row[u][d];
        for (int u = tile->n; u < TILE; u++) out[d * TILE + u] = 0;
    }
}

/* Keys of page position `page` that query u sees, as a mask; whole pages are the common case. */
FV_INLINE bool fv_page_whole(const fv_tile *tile, int u, int64_t page) {
    return tile->low[u] <= page * FV_PAGE && tile->high[u] >= (page + 1) * FV_PAGE;
}
FV_INLINE int fv_lane_of(int64_t position, int64_t page) {
    int64_t lane = position - page * FV_PAGE;
    return lane < 0 ? 0 : lane > FV_PAGE ? FV_PAGE : (int)lane;
}
FV_INLINE fv_x16 fv_page_masked(fv_x16 x, float hidden, const fv_tile *tile, int u, int64_t page) {
    fv_x16 other = fv_set1(hidden);
    x = fv_select(fv_mask_n(fv_lane_of(tile->high[u], page)), x, other);
    return fv_select(fv_mask_n(fv_lane_of(tile->low[u], page)), other, x);
}

/* ---- dots: s[page][u][lane] = sum_d x[u][d] * panel[d][lane], d ascending; panels are [dim, 16] ------------------------- */

/* A block of `queries` and `pages`, both constants after inlining. */
FV_INLINE void fv_dots_block(float *s, const float *packed, const float *const *panel, int64_t dim, int queries, int pages) {
    fv_x16 sum[TILE][8];
#pragma GCC unroll 8
    for (int u = 0; u < queries; u++)
#pragma GCC unroll 8
        for (int p = 0; p < pages; p++) sum[u][p] = fv_zero();
    for (int64_t d = 0; d < dim; d++) {
        fv_x16 k[8];
#pragma GCC unroll 8
        for (int p = 0; p < pages; p++) k[p] = fv_load(panel[p] + d * FV_PAGE);
#pragma GCC unroll 8
        for (int u = 0; u < queries; u++) {
            fv_x16 q = fv_set1(packed[d * TILE + u]);
#pragma GCC unroll 8
            for (int p = 0; p < pages; p++) sum[u][p] = fv_fma(q, k[p], sum[u][p]);
        }
    }
#pragma GCC unroll 8
    for (int u = 0; u < queries; u++)
#pragma GCC unroll 8
        for (int p = 0; p < pages; p++) fv_store(s + (p * TILE + u) * FV_PAGE, sum[u][p]);
}

/* All pages for `queries` queries, `wide` pages at a time. */
FV_INLINE void fv_dots_queries(float *s, const float *packed, const float *const *panel, int64_t pages, int64_t dim, int queries, int wide) {
    int64_t p = 0;
    for (; p + wide <= pages; p += wide) fv_dots_block(s + p * TILE * FV_PAGE, packed, panel + p, dim, queries, wide);
    for (; p < pages; p++) fv_dots_block(s + p * TILE * FV_PAGE, packed, panel + p, dim, queries, 1);
}

/* s [pages, TILE, 16] for the first n queries, and zeros for those that fill up a block. */
FV_INLINE void fv_dots(float *s, const float *packed, const float *const *panel, int64_t pages, int64_t dim, int n) {
    if (n == 1 && BLOCK_QUERIES > 1) fv_dots_queries(s, packed, panel, pages, dim, 1, WIDEST);
    else if (n == 2 && BLOCK_QUERIES > 2) fv_dots_queries(s, packed, panel, pages, dim, 2, WIDEST / 2);
    else if (n <= 4 && BLOCK_QUERIES > 4) fv_dots_queries(s, packed, panel, pages, dim, 4, 2 * BLOCK_PAGES);
    else
        for (int u = 0; u < n; u += BLOCK_QUERIES)
            fv_dots_queries(s + u * FV_PAGE, packed + u, panel, pages, dim, BLOCK_QUERIES, BLOCK_PAGES);
}

/* ---- mix: out[u][d] += sum over pages and lanes, ascending, of p[page][u][lane] * panel[lane][d]; panels are [16, dim] --- */

/* Columns [d, d + 16 * cols), the last vector only `width` wide, of `queries` queries. */
FV_INLINE void fv_mix_block(float *const *out, const float *p, const float *const *panel, int64_t pages, int64_t dim, int64_t d, int queries,
                            int cols, int width) {
    fv_x16 sum[TILE][8];
#pragma GCC unroll 8
    for (int u = 0; u < queries; u++)
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++) sum[u][c] = fv_load_n(out[u] + d + c * FV_LANES, c == cols - 1 ? width : FV_LANES);
    for (int64_t page = 0; page < pages; page++, p += TILE * FV_PAGE) {
        const float *row = panel[page] + d;
        for (int lane = 0; lane < FV_PAGE; lane++, row += dim) {
            fv_x16 v[8];
#pragma GCC unroll 8
            for (int c = 0; c < cols; c++)
                v[c] = c == cols - 1 && width < FV_LANES ? fv_load_n(row + c * FV_LANES, width) : fv_load(row + c * FV_LANES);
#pragma GCC unroll 8
            for (int u = 0; u < queries; u++) {
                fv_x16 weight = fv_set1(p[u * FV_PAGE + lane]);
#pragma GCC unroll 8
                for (int c = 0; c < cols; c++) sum[u][c] = fv_fma(weight, v[c], sum[u][c]);
            }
        }
    }
#pragma GCC unroll 8
    for (int u = 0; u < queries; u++)
#pragma GCC unroll 8
        for (int c = 0; c < cols; c++) fv_store_n(out[u] + d + c * FV_LANES, sum[u][c], c == cols - 1 ? width : FV_LANES);
}

/* All columns for `queries` queries, at most `wide` (a constant, 1 .. 4) vectors at a time. */
FV_INLINE void fv_mix_queries(float *const *out, const float *p, const float *const *panel, int64_t pages, int64_t dim, int queries, int wide) {
    for (int64_t d = 0, left = (dim + FV_LANES - 1) / FV_LANES; left > 0;) {
        int cols = left < wide ? (int)left : left == wide + 1 ? wide / 2 + wide % 2 : wide; /* two halves rather than a lone last one */
        int width = dim - d < cols * FV_LANES ? (int)(dim - d) % FV_LANES : FV_LANES;
        if (wide >= 4 && cols == 4) fv_mix_block(out, p, panel, pages, dim, d, queries, 4, width);
        else if (wide >= 3 && cols == 3) fv_mix_block(out, p, panel, pages, dim, d, queries, 3, width);
        else if (wide >= 2 && cols == 2) fv_mix_block(out, p, panel, pages, dim, d, queries, 2, width);
        else fv_mix_block(out, p, panel, pages, dim, d, queries, 1, width);
        d += cols * FV_LANES;
        left -= cols;
    }
}

/* out: a pointer to `dim` floats for each of TILE queries, also for those past n that fill up a block. */
FV_INLINE void fv_mix(float *const *out, const float *p, const float *const *panel, int64_t pages, int64_t dim, int n) {
    enum { COLS = WIDEST > 4 ? 4 : WIDEST }; /* a head is rarely wider than 4 vectors */
    if (n == 1 && BLOCK_QUERIES > 1) fv_mix_queries(out, p, panel, pages, dim, 1, COLS);
    else if (n == 2 && BLOCK_QUERIES > 2) fv_mix_queries(out, p, panel, pages, dim, 2, COLS > 2 && BLOCK_COLS < 2 ? 2 : COLS);
    else if (n <= 4 && BLOCK_QUERIES > 4) fv_mix_queries(out, p, panel, pages, dim, 4, COLS);
    else
        for (int u = 0; u < n; u += BLOCK_QUERIES) fv_mix_queries(out + u, p + u * FV_PAGE, panel, pages, dim, BLOCK_QUERIES, BLOCK_COLS);
}

#endif
