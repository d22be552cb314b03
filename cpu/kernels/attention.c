/* Attention over pages of keys and values: out = sum_j p_j value_j, p = softmax(q . key * scale) over the keys a row sees.
 *
 * Two passes for each tile of queries. The first makes scores, 16 keys at a time, each one chain over head_dim, and their
 * maximum; keys that a row does not see are -inf. The second takes p = exp(s - max), exactly 0 where not seen, sums p in the
 * lanes page by page and then by the tree, and mixes the values in one chain over keys ascending; the division by the sum comes
 * last. Pages that no row of a tile sees are left out: they would add zeros. */
#include "cpu/cpu.h"
#include "cpu/kernels/attention.h"

typedef struct {
    fv_tiling tiling;
    float *out, *stats;
    const float *q, *keys, *values;
    struct scratch *scratch; /* one for each worker */
} job;

struct scratch {
    float *packed;       /* [dim, TILE] */
    float *scores;       /* [max_pages, TILE, 16] */
    float *spare;        /* [dim]: where queries that fill up a block go: their weights are 0 */
    const float **panel; /* [max_pages] */
};

/* Scores to masked, scaled scores; their maximum. */
static float scale_scores(float *s, const fv_tile *tile, int u, float scale) {
    fv_x16 max = fv_set1(-INFINITY);
    for (int64_t p = 0; p < tile->pages; p++) {
        float *lane = s + (p * TILE + u) * FV_PAGE;
        fv_x16 x = fv_mul(fv_load(lane), fv_set1(scale));
        if (!fv_page_whole(tile, u, tile->page + p)) x = fv_page_masked(x, -INFINITY, tile, u, tile->page + p);
        fv_store(lane, x);
        max = fv_max(x, max);
    }
    return fv_hmax(max);
}

/* Scores to exp(s - max); their sum. */
static float exponentials(float *s, const fv_tile *tile, int u, float max) {
    fv_x16 sum = fv_zero();
    for (int64_t p = 0; p < tile->pages; p++) {
        float *lane = s + (p * TILE + u) * FV_PAGE;
        fv_x16 e = fv_exp(fv_sub(fv_load(lane), fv_set1(max)));
        if (!fv_page_whole(tile, u, tile->page + p)) e = fv_page_masked(e, 0.0f, tile, u, tile->page + p);
        fv_store(lane, e);
        sum = fv_add(sum, e);
    }
    return fv_hsum(sum);
}

static void attend_tile(const job *j, const fv_tile *tile, int64_t kv_head, const struct scratch *w) {
    const fv_tiling *t = &j->tiling;
    int64_t panel = t->dim * FV_PAGE;
    const int32_t *pages = fv_tile_pages(t, tile);
    for (int64_t p = 0; p < tile->pages; p++) w->panel[p] = j->keys + (pages[p] * t->a->kv_heads + kv_head) * panel;
    fv_pack_queries(w->packed, j->q, t, tile, kv_head);
    fv_dots(w->scores, w->packed, w->panel, tile->pages, t->dim, tile->n);

    float *out[TILE], sum[TILE];
    for (int u = 0; u < TILE; u++) {
        out[u] = w->spare;
        if (u >= tile->n) continue;
        int64_t at = fv_query_head(t, tile, kv_head, u);
        float max = scale_scores(w->scores, tile, u, t->a->scale);
        sum[u] = exponentials(w->scores, tile, u, max);
        j->stats[2 * at] = max;
        j->stats[2 * at + 1] = sum[u];
        out[u] = j->out + at * t->dim;
        memset(out[u], 0, (size_t)t->dim * sizeof *out[u]);
    }

    for (int64_t p = 0; p < tile->pages; p++) w->panel[p] = j->values + (pages[p] * t->a->kv_heads + kv_head) * panel;
    fv_mix(out, w->scores, w->panel, tile->pages, t->dim, tile->n);
    for (int u = 0; u < tile->n; u++)
        for (int64_t d = 0; d < t->dim; d += FV_LANES) {
            int n = fv_part(t->dim - d);
            fv_store_part(out[u] + d, fv_div(fv_load_part(out[u] + d, n), fv_set1(sum[u])), n);
        }
}

/* Items are (kv head, tile), kv head outermost: a thread stays with pages that its cache holds. */
static void attend_range(void *context, int64_t begin, int64_t end, int worker) {
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        fv_tile tile = fv_tile_at(&j->tiling, i % j->tiling.tiles);
        attend_tile(j, &tile, i / j->tiling.tiles, j->scratch + worker);
    }
}

void FV_KERNEL(attention)(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {.tiling = fv_tiling_of(x, a), .out = fv_f32(out), .stats = fv_f32(stats), .q = fv_f32(q), .keys = fv_f32(keys), .values = fv_f32(values)};
    int64_t dim = j.tiling.dim, pages = j.tiling.max_pages;
    j.scratch = FV_TAKE(x->scratch, struct scratch, fv_workers(x));
    for (int i = 0; i < fv_workers(x); i++) {
        j.scratch[i].packed = FV_TAKE(x->scratch, float, dim * TILE);
        j.scratch[i].scores = FV_TAKE(x->scratch, float, pages * TILE * FV_PAGE);
        j.scratch[i].spare = FV_ZERO(x->scratch, float, dim);
        j.scratch[i].panel = FV_TAKE(x->scratch, const float *, pages);
    }
    fv_parallel(x->pool, a->kv_heads * j.tiling.tiles, fv_grain(TILE * FV_PAGE * dim * pages / 16), attend_range, &j);
    fv_arena_release(x->scratch, mark);
}
