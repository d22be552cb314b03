/* The way back through attention. With p = exp(s - max) / sum recomputed from q, keys and stats, and D = dout . out of the row:
 *     dp = dout . value,   ds = p (dp - D) scale,   dq += ds key,   dkey += ds q,   dvalue += p dout
 * (Dao et al. 2022, FlashAttention, appendix B.4, without its blocks of softmax).
 *
 * Queries go in blocks of tiles whose p and ds stay in the cache. For each block, threads first take tiles: p, ds and dq, whose
 * chain runs over keys ascending. Then they take pages: every element of dkeys and dvalues continues its one chain over the
 * queries that see it, rows ascending and within a row query heads ascending. Blocks follow each other in order of rows, so where
 * they are cut changes nothing. Pages may be shared by many runs (the prompt of a tree): `visits` lists for each page the
 * runs that read it. */
#include "cpu/cpu.h"
#include "cpu/kernels/attention.h"

/* p and ds of a block, all kv heads, for each thread: 1 MB, as they are read again from its cache (8 MB took 1.3 times as long). */
enum { STORE_FLOATS = 1 << 18 };

typedef struct {
    float *packed_dout;       /* [dim, TILE] */
    float *spare;             /* [dim] */
    const float **panel;      /* [max_pages] */
} scratch;

/* Position `at` of run `run`'s list is this page. */
typedef struct {
    int32_t run;
    int64_t at;
} visit;

typedef struct {
    fv_tiling tiling;
    const float *q, *keys, *values, *dout, *out, *stats;
    float *dq, *dkeys, *dvalues;
    /* The pages that are read at all, each once: used[i] is its number, place[number] = i. */
    int64_t used_count;
    int32_t *used, *place;
    int64_t *visit_from;      /* [used_count + 1] into visits */
    visit *visits;
    float *keys_t, *values_t; /* [used, kv_heads, 16, dim], [used, kv_heads, dim, 16]: turned around */
    /* The block at hand: tiles [tile_from, tile_to). */
    int64_t tile_from, tile_to, store_size;
    fv_tile *tiles;           /* [tiles] of all blocks */
    int64_t *offset;          /* [tiles] of its block: where a tile's part of the store begins */
    float *store;             /* [kv_heads, store_size]; a tile's: packed q [dim, TILE], p [pages, TILE, 16], ds likewise */
    scratch *scratch;
} job;

typedef struct {
    float *q, *p, *ds;
} tile_store;

static int64_t store_floats(const job *j, const fv_tile *tile) {
    return TILE * (j->tiling.dim + 2 * FV_PAGE * tile->pages);
}

static tile_store store_of(const job *j, int64_t tile, int64_t kv_head) {
    float *base = j->store + kv_head * j->store_size + j->offset[tile];
    float *p = base + TILE * j->tiling.dim;
    return (tile_store){base, p, p + TILE * FV_PAGE * j->tiles[tile].pages};
}

/* ---- pages: which are read, by whom, and turned around ------------------------------------------------------------------ */

static void index_pages(job *j, const fv_exec *x, int64_t page_count) {
    const fv_attention *a = j->tiling.a;
    int64_t total = a->run_page[a->runs];
    j->place = FV_TAKE(x->scratch, int32_t, page_count);
    j->used = FV_TAKE(x->scratch, int32_t, total);
    memset(j->place, 0xff, (size_t)page_count * sizeof *j->place);
    for (int64_t i = a->run_page[0]; i < total; i++)
        if (j->place[a->pages[i]] < 0) {
            j->place[a->pages[i]] = (int32_t)j->used_count;
            j->used[j->used_count++] = a->pages[i];
        }
    j->visit_from = FV_ZERO(x->scratch, int64_t, j->used_count + 2);
    j->visits = FV_TAKE(x->scratch, visit, total);
    int64_t *next = j->visit_from + 1; /* counts, then starts, and after filling the ends: the next page's starts */
    for (int64_t i = a->run_page[0]; i < total; i++) next[j->place[a->pages[i]] + 1]++;
    for (int64_t i = 0; i < j->used_count; i++) next[i + 1] += next[i];
    for (int run = 0; run < a->runs; run++)
        for (int64_t i = a->run_page[run]; i < a->run_page[run + 1]; i++)
            j->visits[next[j->place[a->pages[i]]]++] = (visit){run, i - a->run_page[run]};
}

/* Items are (used page, kv head). */
static void turn_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    int64_t dim = j->tiling.dim, heads = j->tiling.a->kv_heads, panel = dim * FV_PAGE;
    for (int64_t i = begin; i < end; i++) {
        int64_t from = (j->used[i / heads] * heads + i % heads) * panel, to = i * panel;
        for (int64_t d = 0; d < dim; d++)
            for (int64_t l = 0; l < FV_PAGE; l++) {
                j->keys_t[to + l * dim + d] = j->keys[from + d * FV_PAGE + l];
                j->values_t[to + d * FV_PAGE + l] = j->values[from + l * dim + d];
            }
    }
}

/* ---- tiles: p, ds and dq ------------------------------------------------------------------------------------------------- */

/* Query u's scores and dp, in place, to p and ds. */
static void softmax_back(tile_store s, const fv_tile *tile, int u, float scale, const float *stats, float dot) {
    fv_x16 max = fv_set1(stats[0]), inverse = fv_set1(1.0f / stats[1]), factor = fv_set1(scale), d = fv_set1(dot);
    for (int64_t page = 0; page < tile->pages; page++) {
        float *p_lane = s.p + (page * TILE + u) * FV_PAGE, *ds_lane = s.ds + (page * TILE + u) * FV_PAGE;
        fv_x16 p = fv_mul(fv_exp(fv_sub(fv_mul(fv_load(p_lane), factor), max)), inverse);
        fv_x16 ds = fv_mul(fv_mul(p, fv_sub(fv_load(ds_lane), d)), factor);
        if (!fv_page_whole(tile, u, tile->page + page)) {
            p = fv_page_masked(p, 0.0f, tile, u, tile->page + page);
            ds = fv_page_masked(ds, 0.0f, tile, u, tile->page + page);
        }
        fv_store(p_lane, p);
        fv_store(ds_lane, ds);
    }
}

/* Queries that are not there weigh nothing. */
static void clear_query(tile_store s, const fv_tile *tile, int u) {
    for (int64_t page = 0; page < tile->pages; page++) {
        fv_store(s.p + (page * TILE + u) * FV_PAGE, fv_zero());
        fv_store(s.ds + (page * TILE + u) * FV_PAGE, fv_zero());
    }
}

static float row_dot(const float *a, const float *b, int64_t n) {
    fv_x16 sum = fv_zero();
    for (int64_t i = 0; i < n; i += FV_LANES) {
        int part = fv_part(n - i);
        sum = fv_fma(fv_load_part(a + i, part), fv_load_part(b + i, part), sum);
    }
    return fv_hsum(sum);
}

static void tile_back(const job *j, int64_t number, int64_t kv_head, const scratch *w) {
    const fv_tiling *t = &j->tiling;
    const fv_tile *tile = j->tiles + number;
    const int32_t *pages = fv_tile_pages(t, tile);
    tile_store s = store_of(j, number, kv_head);
    int64_t dim = t->dim, panel = dim * FV_PAGE, heads = t->a->kv_heads;

    fv_pack_queries(s.q, j->q, t, tile, kv_head);
    fv_pack_queries(w->packed_dout, j->dout, t, tile, kv_head);
    for (int64_t p = 0; p < tile->pages; p++) w->panel[p] = j->keys + (pages[p] * heads + kv_head) * panel;
    fv_dots(s.p, s.q, w->panel, tile->pages, dim, tile->n);
    for (int64_t p = 0; p < tile->pages; p++) w->panel[p] = j->values_t + (j->place[pages[p]] * heads + kv_head) * panel;
    fv_dots(s.ds, w->packed_dout, w->panel, tile->pages, dim, tile->n);

    float *dq[TILE];
    for (int u = 0; u < TILE; u++) {
        dq[u] = w->spare;
        if (u >= tile->n) {
            clear_query(s, tile, u);
            continue;
        }
        int64_t at = fv_query_head(t, tile, kv_head, u);
        softmax_back(s, tile, u, t->a->scale, j->stats + 2 * at, row_dot(j->dout + at * dim, j->out + at * dim, dim));
        dq[u] = j->dq + at * dim;
    }
    for (int64_t p = 0; p < tile->pages; p++) w->panel[p] = j->keys_t + (j->place[pages[p]] * heads + kv_head) * panel;
    fv_mix(dq, s.ds, w->panel, tile->pages, dim, tile->n);
}

/* Items are (kv head, tile of the block). */
static void tile_range(void *context, int64_t begin, int64_t end, int worker) {
    const job *j = context;
    int64_t count = j->tile_to - j->tile_from;
    for (int64_t i = begin; i < end; i++) tile_back(j, j->tile_from + i % count, i / count, j->scratch + worker);
}

/* ---- pages: dkeys and dvalues -------------------------------------------------------------------------------------------- */

/* dkey[d][lane] += ds[u][lane] * q[d][u], u ascending */
FV_INLINE void add_keys(float *dkey, const float *ds, const float *q, int64_t dim) {
    for (int from = 0; from < TILE; from += BLOCK_QUERIES) {
        fv_x16 weight[BLOCK_QUERIES];
#pragma GCC unroll 8
        for (int u = 0; u < BLOCK_QUERIES; u++) weight[u] = fv_load(ds + (from + u) * FV_PAGE);
        for (int64_t d = 0; d < dim; d++) {
            fv_x16 sum = fv_load(dkey + d * FV_PAGE);
#pragma GCC unroll 8
            for (int u = 0; u < BLOCK_QUERIES; u++) sum = fv_fma(weight[u], fv_set1(q[d * TILE + from + u]), sum);
            fv_store(dkey + d * FV_PAGE, sum);
        }
    }
}

/* dvalue[lane][d .. d + n) += p[u][lane] * dout[u][d ..], u ascending */
FV_INLINE void add_values(float *dvalue, const float *p, const float *const *dout, int64_t dim, int64_t d, int n) {
    for (int from = 0; from < TILE; from += BLOCK_QUERIES) {
        fv_x16 row[BLOCK_QUERIES];
#pragma GCC unroll 8
        for (int u = 0; u < BLOCK_QUERIES; u++) row[u] = fv_load_n(dout[from + u] + d, n);
        for (int64_t lane = 0; lane < FV_PAGE; lane++) {
            float *to = dvalue + lane * dim + d;
            fv_x16 sum = fv_load_n(to, n);
#pragma GCC unroll 8
            for (int u = 0; u < BLOCK_QUERIES; u++) sum = fv_fma(fv_set1(p[(from + u) * FV_PAGE + lane]), row[u], sum);
            fv_store_n(to, sum, n);
        }
    }
}

/* What the tile gives to the page at position `page` of its list. */
static void add_tile(const job *j, int64_t number, int64_t kv_head, int64_t page, float *dkey, float *dvalue) {
    const fv_tiling *t = &j->tiling;
    const fv_tile *tile = j->tiles + number;
    tile_store s = store_of(j, number, kv_head);
    int64_t at = (page - tile->page) * TILE * FV_PAGE;
    const float *dout[TILE];
    for (int u = 0; u < TILE; u++) dout[u] = j->dout + fv_query_head(t, tile, kv_head, u < tile->n ? u : 0) * t->dim;
    add_keys(dkey, s.ds + at, s.q, t->dim);
    int64_t d = 0;
    for (; d + FV_LANES <= t->dim; d += FV_LANES) add_values(dvalue, s.p + at, dout, t->dim, d, FV_LANES);
    if (d < t->dim) add_values(dvalue, s.p + at, dout, t->dim, d, (int)(t->dim - d));
}

/* Items are (kv head, used page). */
static void page_range(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    const fv_tiling *t = &j->tiling;
    for (int64_t i = begin; i < end; i++) {
        int64_t kv_head = i / j->used_count, used = i % j->used_count;
        int64_t page = (j->used[used] * t->a->kv_heads + kv_head) * t->dim * FV_PAGE;
        for (int64_t v = j->visit_from[used]; v < j->visit_from[used + 1]; v++) {
            visit by = j->visits[v];
            int64_t from = t->run_tile[by.run], to = t->run_tile[by.run + 1];
            if (from < j->tile_from) from = j->tile_from;
            if (to > j->tile_to) to = j->tile_to;
            for (int64_t n = from; n < to; n++) {
                const fv_tile *tile = j->tiles + n;
                if (by.at >= tile->page && by.at < tile->page + tile->pages) add_tile(j, n, kv_head, by.at, j->dkeys + page, j->dvalues + page);
            }
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------- */

/* From tile_from on, as many tiles as fit in the store, at least one. */
static void next_block(job *j, int64_t most) {
    j->store_size = 0;
    for (j->tile_to = j->tile_from; j->tile_to < j->tiling.tiles; j->tile_to++) {
        int64_t size = store_floats(j, j->tiles + j->tile_to);
        if (j->store_size > 0 && j->store_size + size > most) break;
        j->offset[j->tile_to] = j->store_size;
        j->store_size += size;
    }
}

static void prepare(job *j, const fv_exec *x, int64_t page_count) {
    const fv_tiling *t = &j->tiling;
    int64_t heads = t->a->kv_heads, panel = t->dim * FV_PAGE;
    index_pages(j, x, page_count);
    j->keys_t = FV_TAKE(x->scratch, float, j->used_count * heads * panel);
    j->values_t = FV_TAKE(x->scratch, float, j->used_count * heads * panel);
    j->tiles = FV_TAKE(x->scratch, fv_tile, t->tiles);
    j->offset = FV_TAKE(x->scratch, int64_t, t->tiles);
    for (int64_t i = 0; i < t->tiles; i++) j->tiles[i] = fv_tile_at(t, i);
    j->scratch = FV_TAKE(x->scratch, scratch, fv_workers(x));
    for (int i = 0; i < fv_workers(x); i++)
        j->scratch[i] = (scratch){FV_TAKE(x->scratch, float, t->dim * TILE), FV_ZERO(x->scratch, float, t->dim),
                                  FV_TAKE(x->scratch, const float *, t->max_pages)};
}

void FV_KERNEL(attention_back)(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                               fv_view keys, fv_view values, const fv_attention *a) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {.tiling = fv_tiling_of(x, a), .q = fv_f32(q), .keys = fv_f32(keys), .values = fv_f32(values), .dout = fv_f32(dout), .out = fv_f32(out),
             .stats = fv_f32(stats), .dq = fv_f32(dq), .dkeys = fv_f32(dkeys), .dvalues = fv_f32(dvalues)};
    prepare(&j, x, keys.shape[0]);
    int64_t heads = a->kv_heads, dim = a->head_dim;
    fv_parallel(x->pool, j.used_count * heads, fv_grain(4 * dim * FV_PAGE), turn_range, &j);
    int64_t most = (int64_t)STORE_FLOATS * fv_workers(x) / heads, largest = 0;
    for (int64_t i = 0; i < j.tiling.tiles; i++)
        if (store_floats(&j, j.tiles + i) > largest) largest = store_floats(&j, j.tiles + i);
    if (most < largest) most = largest;
    j.store = FV_TAKE(x->scratch, float, heads * most);
    for (; j.tile_from < j.tiling.tiles; j.tile_from = j.tile_to) {
        next_block(&j, most);
        fv_parallel(x->pool, heads * (j.tile_to - j.tile_from), 1, tile_range, &j);
        fv_parallel(x->pool, heads * j.used_count, 1, page_range, &j);
    }
    fv_arena_release(x->scratch, mark);
}
