/* The way back through attention. With p = exp(s - max) / sum made again from q, keys and stats, and D = dout . out of the row:
 *     dp = dout . value,   ds = p (dp - D) scale,   dq += ds key,   dkey += ds q,   dvalue += p dout
 * (Dao et al. 2022, FlashAttention, appendix B.4, without its blocks of softmax).
 *
 * Two kernels. The first takes tiles: dq, whose chain runs over keys ascending. The second takes pages, which many runs may share (the prompt
 * of a tree): every element of dkeys and dvalues is one thread's chain over the queries that see it, rows ascending and within a row query
 * heads ascending, so no two blocks add to the same number. Both make p and ds for themselves. */
#include "cuda/kernels/attention.h"

/* Position `at` of a run's list is this page; the run's tiles are [from, to). */
typedef struct {
    int32_t from, to, at;
} visit;

typedef struct {
    fv_plan plan;
    const float *q, *keys, *values, *dout, *out, *stats;
    float *dq, *dkeys, *dvalues;
    /* The pages that are read at all, each once: page used[i] is read by visits [visit_from[i], visit_from[i + 1]), runs ascending. */
    const int32_t *used, *visit_from;
    const visit *visits;
    int64_t used_count;
} job;

/* One query and one key of a page: this thread's. */
typedef struct {
    float p, ds;
} weights;

/* What a query brings: constant for all pages. */
typedef struct {
    float max, inverse, dot;
} query;

/* Query u's max, 1 / sum and D; all sixteen lanes of it together. */
FV_DEVICE query query_of(const job *j, const fv_tile *t, int kv_head, int u) {
    int lane = FV_THREAD % FV_LANES, dim = j->plan.dim;
    query y;
    y.max = y.inverse = y.dot = 0;
    float sum = 0;
    if (u < t->n) {
        int64_t at = fv_query_head(&j->plan, t, kv_head, u);
        y.max = j->stats[2 * at];
        y.inverse = 1.0f / j->stats[2 * at + 1];
        for (int64_t d = lane; d < dim; d += FV_LANES) sum = fv_fma(j->dout[at * dim + d], j->out[at * dim + d], sum);
    }
    y.dot = fv_hsum(sum);
    return y;
}

/* q and dout of the tile lie in the block's memory, [TILE, dim] each. */
FV_DEVICE weights weights_of(const job *j, const fv_tile *t, const query *y, const float *q, const float *dout, int32_t page, int at, int kv_head) {
    const fv_plan *p = &j->plan;
    int u = FV_THREAD / FV_PAGE, lane = FV_THREAD % FV_PAGE;
    weights w;
    w.p = w.ds = 0;
    if (u >= t->n || !fv_sees(p, t, u, (int64_t)at * FV_PAGE + lane)) return w;
    int64_t panel = fv_panel_at(p, page, kv_head);
    float s = fv_mul(fv_chain(q + u * p->dim, j->keys + panel + lane, p->dim, FV_PAGE), p->scale);
    float dp = fv_chain(dout + u * p->dim, j->values + panel + (int64_t)lane * p->dim, p->dim, 1);
    w.p = fv_mul(fv_exp(fv_sub(s, y->max)), y->inverse);
    w.ds = fv_mul(fv_mul(w.p, fv_sub(dp, y->dot)), p->scale);
    return w;
}

/* A block is (kv head, columns [128 * part ..) of a head, tile). */
FV_GLOBAL(tile_back, job) {
    const fv_plan *p = &j.plan;
    FV_BLOCK_SHARED float ds[THREADS];
    float *q = FV_SHARED(float), *dout = q + TILE * p->dim;
    int parts = (p->dim + THREADS - 1) / THREADS, kv_head = (int)(FV_BLOCK / p->tiles / parts);
    int d = (int)(FV_BLOCK / p->tiles % parts) * THREADS + FV_THREAD;
    fv_tile t = p->tile[FV_BLOCK % p->tiles];
    const int32_t *pages = p->pages + t.list + t.page;
    fv_load_queries(q, j.q, p, &t, kv_head);
    fv_load_queries(dout, j.dout, p, &t, kv_head);
    FV_SYNC();

    query y = query_of(&j, &t, kv_head, FV_THREAD / FV_PAGE);
    float dq[TILE];
#pragma unroll
    for (int v = 0; v < TILE; v++) dq[v] = v < t.n && d < p->dim ? j.dq[fv_query_head(p, &t, kv_head, v) * p->dim + d] : 0;
    for (int i = 0; i < t.pages; i++) {
        ds[FV_THREAD] = weights_of(&j, &t, &y, q, dout, pages[i], t.page + i, kv_head).ds;
        FV_SYNC();
        const float *key = j.keys + fv_panel_at(p, pages[i], kv_head) + (int64_t)d * FV_PAGE;
        for (int l = 0; d < p->dim && l < FV_PAGE; l++) {
            float x = key[l];
#pragma unroll
            for (int v = 0; v < TILE; v++) dq[v] = fv_fma(ds[v * FV_PAGE + l], x, dq[v]);
        }
        FV_SYNC();
    }
#pragma unroll
    for (int v = 0; v < TILE; v++)
        if (v < t.n && d < p->dim) j.dq[fv_query_head(p, &t, kv_head, v) * p->dim + d] = dq[v];
}

/* A tile's part of the page at position `at` of its list: dkey and dvalue are columns d of the page's sixteen keys. */
FV_DEVICE void add_tile(const job *j, const fv_tile *t, int32_t page, int at, int kv_head, int d, float *shared, float *dkey, float *dvalue) {
    int dim = j->plan.dim;
    float *p = shared, *ds = p + THREADS, *q = ds + THREADS, *dout = q + TILE * dim;
    FV_SYNC(); /* everybody is done with the tile before */
    fv_load_queries(q, j->q, &j->plan, t, kv_head);
    fv_load_queries(dout, j->dout, &j->plan, t, kv_head);
    query y = query_of(j, t, kv_head, FV_THREAD / FV_PAGE);
    FV_SYNC();
    weights w = weights_of(j, t, &y, q, dout, page, at, kv_head);
    p[FV_THREAD] = w.p;
    ds[FV_THREAD] = w.ds;
    FV_SYNC();
    for (int u = 0; d < dim && u < t->n; u++) {
        float x = q[u * dim + d], dx = dout[u * dim + d];
#pragma unroll
        for (int l = 0; l < FV_PAGE; l++) {
            dkey[l] = fv_fma(ds[u * FV_PAGE + l], x, dkey[l]);
            dvalue[l] = fv_fma(p[u * FV_PAGE + l], dx, dvalue[l]);
        }
    }
}

/* A block is (kv head, columns [128 * part ..) of a head, used page). */
FV_GLOBAL(page_back, job) {
    int dim = j.plan.dim, parts = (dim + THREADS - 1) / THREADS, kv_head = (int)(FV_BLOCK / j.used_count / parts);
    int d = (int)(FV_BLOCK / j.used_count % parts) * THREADS + FV_THREAD;
    int64_t used = FV_BLOCK % j.used_count, panel = fv_panel_at(&j.plan, j.used[used], kv_head);
    float dkey[FV_PAGE], dvalue[FV_PAGE];
#pragma unroll
    for (int l = 0; l < FV_PAGE; l++) {
        dkey[l] = d < dim ? j.dkeys[panel + (int64_t)d * FV_PAGE + l] : 0;
        dvalue[l] = d < dim ? j.dvalues[panel + (int64_t)l * dim + d] : 0;
    }
    for (int32_t v = j.visit_from[used]; v < j.visit_from[used + 1]; v++) {
        visit by = j.visits[v];
        for (int32_t n = by.from; n < by.to; n++) {
            fv_tile t = j.plan.tile[n];
            if (by.at >= t.page && by.at < t.page + t.pages)
                add_tile(&j, &t, j.used[used], by.at, kv_head, d, FV_SHARED(float), dkey, dvalue);
        }
    }
#pragma unroll
    for (int l = 0; l < FV_PAGE; l++) {
        if (d >= dim) continue;
        j.dkeys[panel + (int64_t)d * FV_PAGE + l] = dkey[l];
        j.dvalues[panel + (int64_t)l * dim + d] = dvalue[l];
    }
}

/* Which pages are read, and by whom; run_tile [runs + 1] from fv_plan_of. */
static void index_pages(job *j, const fv_exec *x, const fv_attention *a, const int64_t *run_tile, int64_t page_count) {
    int64_t total = a->run_page[a->runs];
    int32_t *place = FV_TAKE(x->scratch, int32_t, page_count), *used = FV_TAKE(x->scratch, int32_t, total);
    for (int64_t i = 0; i < page_count; i++) place[i] = -1;
    j->used_count = 0;
    for (int64_t i = a->run_page[0]; i < total; i++)
        if (place[a->pages[i]] < 0) {
            place[a->pages[i]] = (int32_t)j->used_count;
            used[j->used_count++] = a->pages[i];
        }
    int32_t *from = FV_ZERO(x->scratch, int32_t, j->used_count + 2), *next = from + 1; /* counts, then starts, and after filling the ends: the next page's starts */
    visit *visits = FV_TAKE(x->scratch, visit, total);
    for (int64_t i = a->run_page[0]; i < total; i++) next[place[a->pages[i]] + 1]++;
    for (int64_t i = 0; i < j->used_count; i++) next[i + 1] += next[i];
    for (int run = 0; run < a->runs; run++)
        for (int32_t i = a->run_page[run]; i < a->run_page[run + 1]; i++) {
            visit *v = &visits[next[place[a->pages[i]]]++];
            v->from = (int32_t)run_tile[run];
            v->to = (int32_t)run_tile[run + 1];
            v->at = i - a->run_page[run];
        }
    j->used = (const int32_t *)fv_cuda_stage(x, used, (size_t)j->used_count * sizeof *used);
    j->visit_from = (const int32_t *)fv_cuda_stage(x, from, (size_t)(j->used_count + 1) * sizeof *from);
    j->visits = (const visit *)fv_cuda_stage(x, visits, (size_t)total * sizeof *visits);
}

FV_TABLE_OP void fv_cuda_attention_back(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                                        fv_view keys, fv_view values, const fv_attention *a) {
    fv_cuda_begin("attention_back", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t *run_tile = FV_TAKE(x->scratch, int64_t, a->runs + 1), parts = fv_blocks_of(a->head_dim, THREADS);
    job j;
    j.plan = fv_plan_of(x, a, run_tile);
    j.q = fv_f32(q), j.keys = fv_f32(keys), j.values = fv_f32(values), j.dout = fv_f32(dout), j.out = fv_f32(out), j.stats = fv_f32(stats);
    j.dq = fv_f32(dq), j.dkeys = fv_f32(dkeys), j.dvalues = fv_f32(dvalues);
    index_pages(&j, x, a, run_tile, keys.shape[0]);
    size_t queries = (size_t)(2 * TILE * a->head_dim) * sizeof(float);
    FV_LAUNCH(tile_back, j.plan.tiles * parts * a->kv_heads, THREADS, queries, j);
    FV_LAUNCH(page_back, j.used_count * parts * a->kv_heads, THREADS, queries + 2 * THREADS * sizeof(float), j);
    fv_arena_release(x->scratch, mark);
}
