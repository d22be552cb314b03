/* The way back through attention (cuda/kernels/attention_back.h has the formulas).
 *
 * Three kernels. The first makes what a query brings to all keys. The second takes tiles: dq, whose chain runs over keys ascending. The third
 * takes pages, which many runs may share (the prompt of a tree): every element of dkeys and dvalues is one thread's chain over the queries
 * that see it, rows ascending and within a row query heads ascending, so no two blocks add to the same number. A block has half of a page's
 * keys, so that the first page of a long prompt, which all of its rows see, is not waited for longer than must be; the first pages
 * begin first. Both make p and ds for themselves. */
#include "cuda/kernels/attention_back.h"

enum { PAGE_THREADS = 64, PAGE_KEYS = 8, HALVES = FV_PAGE / PAGE_KEYS };

/* What a tile's queries bring, into the block's memory; those beyond the last see nothing, as `first` and `limit` are 0 there. */
FV_DEVICE void bring_brings(fv_bringing *to, const fv_back_job *j, const fv_tile *t, int kv_head, const int threads) {
    for (int e = FV_THREAD; e < 2 * FV_MANY; e += threads) {
        int u = e / 2;
        int64_t at = u < t->n ? fv_query_at(&j->plan, t, kv_head, u) : 0;
        fv_copy_16((float *)&to[u] + e % 2 * 4, (const float *)&j->brings[at] + e % 2 * 4, u < t->n ? 16 : 0);
    }
}

/* ---- tiles: dq ------------------------------------------------------------------------------------------------------------- */

enum { WIDTH = FV_PAGE + 4 };

/* A block's memory. */
typedef struct {
    float *q, *dout;        /* [queries][stride] */
    float *keys, *values;   /* keys of a page and of the next; values of a page */
    float *ds;              /* [queries][20] */
    fv_bringing *brings;
} tile_room;

#define TILE_BYTES(dim)                                                                                                \
    ((FV_MANY * (2 * FV_STRIDE_OF(dim) + WIDTH) + 3 * FV_PAGE_ROOM(dim)) * sizeof(float) + FV_MANY * sizeof(fv_bringing))

FV_DEVICE tile_room tile_room_of(int dim) {
    tile_room r;
    r.q = FV_SHARED(float);
    r.dout = r.q + FV_MANY * FV_STRIDE_OF(dim);
    r.keys = r.dout + FV_MANY * FV_STRIDE_OF(dim);
    r.values = r.keys + 2 * FV_PAGE_ROOM(dim);
    r.ds = r.values + FV_PAGE_ROOM(dim);
    r.brings = (fv_bringing *)(r.ds + FV_MANY * WIDTH);
    return r;
}

/* dp[rows][2] = sum_d dout[d] value[d], each d ascending, for the keys and queries of fv_scores. */
FV_DEVICE void value_scores(float *dp, const float *dout, const float *values, int dim, const fv_form f) {
    int stride = FV_STRIDE_OF(dim), d = 0;
    const float *value = values + 2 * fv_pair_of(f) * stride;
#pragma unroll
    for (int i = 0; i < 2 * f.rows; i++) dp[i] = 0;
#pragma unroll 2
    for (; d + 4 <= dim; d += 4) {
        fv_four even = *(const fv_four *)(value + d), odd = *(const fv_four *)(value + stride + d);
#pragma unroll
        for (int i = 0; i < f.rows; i++) {
            fv_four x = *(const fv_four *)(dout + fv_score_row(i, f) * stride + d);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                dp[2 * i] = fv_fma(x.v[e], even.v[e], dp[2 * i]);
                dp[2 * i + 1] = fv_fma(x.v[e], odd.v[e], dp[2 * i + 1]);
            }
        }
    }
#pragma unroll 1
    for (; d < dim; d++)
#pragma unroll
        for (int i = 0; i < f.rows; i++) {
            float x = dout[fv_score_row(i, f) * stride + d];
            dp[2 * i] = fv_fma(x, value[d], dp[2 * i]);
            dp[2 * i + 1] = fv_fma(x, value[stride + d], dp[2 * i + 1]);
        }
}

FV_DEVICE void weigh_page(const fv_back_job *j, const tile_room *r, const float *keys, int position, const fv_form f) {
    float s[8], dp[8];
    fv_scores(s, r->q, keys, j->plan.dim, f);
    value_scores(dp, r->dout, r->values, j->plan.dim, f);
#pragma unroll
    for (int i = 0; i < f.rows; i++) {
        int u = fv_score_row(i, f), lane = 2 * fv_pair_of(f);
        fv_two ds;
        ds.v[0] = fv_weights_of(&r->brings[u], s[2 * i], dp[2 * i], j->plan.scale, position + lane).ds;
        ds.v[1] = fv_weights_of(&r->brings[u], s[2 * i + 1], dp[2 * i + 1], j->plan.scale, position + lane + 1).ds;
        *(fv_two *)(r->ds + u * WIDTH + lane) = ds;
    }
}

/* dq[rows][cols] += ds key, over the keys of a page; keys [dim][20] from the block's first column on. */
FV_DEVICE void mix_keys(float *dq, const float *ds, const float *keys, const fv_form f) {
#pragma unroll
    for (int l = 0; l < FV_PAGE; l += 4) {
        fv_four w[8];
#pragma unroll
        for (int v = 0; v < f.mix_rows; v++) w[v] = *(const fv_four *)(ds + fv_mix_row(v, f) * WIDTH + l);
#pragma unroll
        for (int c = 0; c < f.mix_cols; c++) {
            fv_four x = *(const fv_four *)(keys + fv_mix_col(c, f) * FV_KEY_STRIDE + l);
#pragma unroll
            for (int e = 0; e < 4; e++)
#pragma unroll
                for (int v = 0; v < f.mix_rows; v++) dq[v * f.mix_cols + c] = fv_fma(w[v].v[e], x.v[e], dq[v * f.mix_cols + c]);
        }
    }
}

/* This thread's part of dq, from the card's memory or, with `store`, to it. */
FV_DEVICE void move_dq(const fv_back_job *j, const fv_tile *t, float *dq, int kv_head, int col, const bool store, const fv_form f) {
#pragma unroll
    for (int v = 0; v < f.mix_rows; v++) {
        int u = fv_mix_row(v, f);
        float *row = j->dq + (u < t->n ? fv_query_at(&j->plan, t, kv_head, u) * j->plan.dim : 0);
#pragma unroll
        for (int c = 0; c < f.mix_cols; c++) {
            int d = col + fv_mix_col(c, f);
            bool there = u < t->n && d < j->plan.dim;
            if (!store) dq[v * f.mix_cols + c] = there ? row[d] : 0;
            else if (there) row[d] = dq[v * f.mix_cols + c];
        }
    }
}

/* A block is (columns [128 * part ..) of a head, kv head, tile). */
FV_GLOBAL_OF(tile_back, fv_back_job, FV_MANY_THREADS, 3) {
    const fv_form f = {FV_FORM_MANY};
    const fv_plan *p = &j.plan;
    tile_room r = tile_room_of(p->dim);
    int kv_head = (int)(FV_BLOCK / p->tiles % p->kv_heads), col = (int)(FV_BLOCK / p->tiles / p->kv_heads) * FV_PART;
    fv_tile t = fv_block_tile(p, kv_head);
    const int32_t *pages = p->pages + t.list + t.page;
    fv_bring_queries(r.q, j.q, p, &t, kv_head, f.threads);
    fv_bring_queries(r.dout, j.dout, p, &t, kv_head, f.threads);
    bring_brings(r.brings, &j, &t, kv_head, f.threads);
    fv_bring_keys(r.keys, j.keys, p, pages, 1, kv_head, f);
    fv_bring_values(r.values, j.values, p, pages, 1, kv_head, f);
    fv_copy_end();

    float dq[64];
    move_dq(&j, &t, dq, kv_head, col, false, f);
    for (int i = 0; i < t.pages; i++) {
        const float *keys = r.keys + i % 2 * FV_PAGE_ROOM(p->dim);
        fv_copy_wait(0);
        FV_SYNC(); /* the page is there, and everybody is done with the one before */
        if (i + 1 < t.pages) fv_bring_keys(r.keys + (i + 1) % 2 * FV_PAGE_ROOM(p->dim), j.keys, p, pages + i + 1, 1, kv_head, f);
        weigh_page(&j, &r, keys, (t.page + i) * FV_PAGE, f);
        FV_SYNC(); /* everybody is done with the values */
        if (i + 1 < t.pages) fv_bring_values(r.values, j.values, p, pages + i + 1, 1, kv_head, f);
        fv_copy_end();
        mix_keys(dq, r.ds, keys + col * FV_KEY_STRIDE, f);
    }
    move_dq(&j, &t, dq, kv_head, col, true, f);
}

/* ---- pages: dkeys, dvalues ------------------------------------------------------------------------------------------------- */

/* A block's memory: its keys and values, p and ds, and two tiles of queries: this and the next. */
typedef struct {
    float *keys, *values; /* [8][stride] */
    float *p, *ds;        /* [queries][8] */
    float *tiles;
} page_room;

/* A tile in it. */
typedef struct {
    float *q, *dout; /* [queries][stride] */
    fv_bringing *brings;
} page_tile;

#define PAGE_TILE_NUMBERS(dim) (2 * FV_MANY * FV_STRIDE_OF(dim) + FV_MANY * (int)(sizeof(fv_bringing) / sizeof(float)))
#define PAGE_BYTES(dim) ((2 * PAGE_KEYS * (FV_STRIDE_OF(dim) + FV_MANY) + 2 * PAGE_TILE_NUMBERS(dim)) * sizeof(float))

FV_DEVICE page_room page_room_of(int dim) {
    page_room r;
    r.keys = FV_SHARED(float);
    r.values = r.keys + PAGE_KEYS * FV_STRIDE_OF(dim);
    r.p = r.values + PAGE_KEYS * FV_STRIDE_OF(dim);
    r.ds = r.p + PAGE_KEYS * FV_MANY;
    r.tiles = r.ds + PAGE_KEYS * FV_MANY;
    return r;
}

FV_DEVICE page_tile page_tile_of(const page_room *r, int i, int dim) {
    page_tile t;
    t.q = r->tiles + i % 2 * PAGE_TILE_NUMBERS(dim);
    t.dout = t.q + FV_MANY * FV_STRIDE_OF(dim);
    t.brings = (fv_bringing *)(t.dout + FV_MANY * FV_STRIDE_OF(dim));
    return t;
}

/* Begins to bring the next tile, and returns its queries; 0: there is none. */
FV_DEVICE int bring_tile(const fv_back_job *j, page_tile to, fv_cursor *c, int32_t *at, int kv_head) {
    fv_tile t = fv_next_tile(j, c, at, 1);
    if (t.n > 0) {
        fv_bring_queries(to.q, j->q, &j->plan, &t, kv_head, PAGE_THREADS);
        fv_bring_queries(to.dout, j->dout, &j->plan, &t, kv_head, PAGE_THREADS);
        bring_brings(to.brings, j, &t, kv_head, PAGE_THREADS);
    }
    fv_copy_end();
    return t.n;
}

/* The chains q . key (half of the threads) and dout . value (the others) of the tile's queries and the block's keys, to `p` and to `ds`: a thread has four
 * queries and two keys. */
FV_DEVICE void score_tile(const page_room *r, const page_tile *t, int dim) {
    enum { PAIRS = PAGE_KEYS / 2, GROUPS = PAGE_THREADS / 2 / PAIRS, EACH = FV_MANY / GROUPS };
    bool values = FV_THREAD >= PAGE_THREADS / 2;
    int stride = FV_STRIDE_OF(dim), lane = FV_THREAD % PAIRS, u = FV_THREAD % (PAGE_THREADS / 2) / PAIRS, d = 0;
    const float *key = (values ? r->values : r->keys) + lane * stride, *row = (values ? t->dout : t->q) + u * stride;
    float s[2 * EACH];
#pragma unroll
    for (int i = 0; i < 2 * EACH; i++) s[i] = 0;
#pragma unroll 2
    for (; d + 4 <= dim; d += 4) {
        fv_four low = *(const fv_four *)(key + d), high = *(const fv_four *)(key + PAIRS * stride + d);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            fv_four x = *(const fv_four *)(row + i * GROUPS * stride + d);
#pragma unroll
            for (int e = 0; e < 4; e++) s[2 * i] = fv_fma(x.v[e], low.v[e], s[2 * i]), s[2 * i + 1] = fv_fma(x.v[e], high.v[e], s[2 * i + 1]);
        }
    }
#pragma unroll 1
    for (; d < dim; d++)
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            float x = row[i * GROUPS * stride + d];
            s[2 * i] = fv_fma(x, key[d], s[2 * i]), s[2 * i + 1] = fv_fma(x, key[PAIRS * stride + d], s[2 * i + 1]);
        }
#pragma unroll
    for (int i = 0; i < 2 * EACH; i++) (values ? r->ds : r->p)[(u + i / 2 * GROUPS) * PAGE_KEYS + lane + i % 2 * PAIRS] = s[i];
}

/* p and ds from the chains, in their places; the first key is at `position`. */
FV_DEVICE void weigh_tile(const page_room *r, const page_tile *t, float scale, int32_t position) {
#pragma unroll
    for (int i = 0; i < FV_MANY * PAGE_KEYS / PAGE_THREADS; i++) {
        int at = FV_THREAD + i * PAGE_THREADS;
        fv_pair_weights w = fv_weights_of(&t->brings[at / PAGE_KEYS], r->p[at], r->ds[at], scale, position + at % PAGE_KEYS);
        r->p[at] = w.p;
        r->ds[at] = w.ds;
    }
}

/* What a thread adds up: gradients of the block's keys (half of the threads) or values, in four columns: [key][column]. */
typedef struct {
    bool values;
    int lane, d; /* the first key of the page, the first column */
    float *at;   /* the page's panel in dkeys or dvalues */
} share;

FV_DEVICE share share_of(const fv_back_job *j, int64_t panel, int half, int col) {
    share s;
    s.values = FV_THREAD >= PAGE_THREADS / 2;
    s.lane = half * PAGE_KEYS;
    s.d = col + FV_THREAD % (PAGE_THREADS / 2) * 4;
    s.at = (s.values ? j->dvalues : j->dkeys) + panel;
    return s;
}

FV_DEVICE void move_share(const share *s, float *sum, int dim, const bool store) {
#pragma unroll
    for (int l = 0; l < PAGE_KEYS; l++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int lane = s->lane + l, d = s->d + e;
            float *at = s->at + (s->values ? lane * dim + d : d * FV_PAGE + lane);
            if (!store) sum[4 * l + e] = d < dim ? *at : 0;
            else if (d < dim) *at = sum[4 * l + e];
        }
}

FV_DEVICE void add_tile(const share *s, float *sum, const page_room *r, const page_tile *t, int n, int dim) {
    const float *weight = s->values ? r->p : r->ds, *row = (s->values ? t->dout : t->q) + s->d;
    if (s->d >= dim) return;
#pragma unroll 4
    for (int u = 0; u < n; u++) {
        fv_four low = *(const fv_four *)(weight + u * PAGE_KEYS), high = *(const fv_four *)(weight + u * PAGE_KEYS + 4);
        fv_four x = *(const fv_four *)(row + u * FV_STRIDE_OF(dim));
#pragma unroll
        for (int l = 0; l < 4; l++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sum[4 * l + e] = fv_fma(low.v[l], x.v[e], sum[4 * l + e]);
                sum[16 + 4 * l + e] = fv_fma(high.v[l], x.v[e], sum[16 + 4 * l + e]);
            }
    }
}

/* A block is (used page, columns [128 * part ..) of a head, kv head, half of the page's keys). */
FV_GLOBAL_OF(page_back, fv_back_job, PAGE_THREADS, 2) {
    int dim = j.plan.dim, parts = (dim + FV_PART - 1) / FV_PART, half = (int)(FV_BLOCK % HALVES), kv_head = (int)(FV_BLOCK / HALVES % j.plan.kv_heads);
    int64_t rest = FV_BLOCK / HALVES / j.plan.kv_heads, used = rest / parts, panel = fv_panel_at(&j.plan, j.used[used], kv_head);
    page_room r = page_room_of(dim);
    share mine = share_of(&j, panel, half, (int)(rest % parts) * FV_PART);
    for (int e = FV_THREAD; e < PAGE_KEYS * dim; e += PAGE_THREADS) {
        int lane = e % PAGE_KEYS, d = e / PAGE_KEYS, row = e / dim, col = e % dim;
        r.keys[lane * FV_STRIDE_OF(dim) + d] = j.keys[panel + (int64_t)d * FV_PAGE + half * PAGE_KEYS + lane];
        r.values[row * FV_STRIDE_OF(dim) + col] = j.values[panel + (int64_t)(half * PAGE_KEYS + row) * dim + col];
    }
    float sum[4 * PAGE_KEYS];
    move_share(&mine, sum, dim, false);
    fv_cursor c = {j.visit_from[used], j.visit_from[used + 1], -1};
    int32_t at = 0, next_at = 0;
    int n = bring_tile(&j, page_tile_of(&r, 0, dim), &c, &at, kv_head);
    for (int i = 0; n > 0; i++) {
        page_tile t = page_tile_of(&r, i, dim);
        fv_copy_wait(0);
        FV_SYNC(); /* the tile is there, and everybody is done with the one before */
        int next = bring_tile(&j, page_tile_of(&r, i + 1, dim), &c, &next_at, kv_head);
        score_tile(&r, &t, dim);
        FV_SYNC();
        weigh_tile(&r, &t, j.plan.scale, at * FV_PAGE + half * PAGE_KEYS);
        FV_SYNC();
        add_tile(&mine, sum, &r, &t, n, dim);
        n = next, at = next_at;
    }
    move_share(&mine, sum, dim, true);
}

/* Which pages are read, and by whom; tile and run_tile [runs + 1] from fv_plan_of. */
static void index_pages(fv_back_job *j, const fv_exec *x, const fv_attention *a, const fv_tile *tile, const int64_t *run_tile, int64_t page_count) {
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
    fv_visit *visits = FV_TAKE(x->scratch, fv_visit, total);
    for (int64_t i = a->run_page[0]; i < total; i++) next[place[a->pages[i]] + 1]++;
    for (int64_t i = 0; i < j->used_count; i++) next[i + 1] += next[i];
    for (int run = 0; run < a->runs; run++)
        for (int32_t i = a->run_page[run]; i < a->run_page[run + 1]; i++) {
            int32_t to = next[place[a->pages[i]]]++;
            visits[to] = fv_visit_of(tile, run_tile, run, i - a->run_page[run], 1);
        }
    j->used = (const int32_t *)fv_cuda_stage(x, used, (size_t)j->used_count * sizeof *used);
    j->visit_from = (const int32_t *)fv_cuda_stage(x, from, (size_t)(j->used_count + 1) * sizeof *from);
    j->visits = (const fv_visit *)fv_cuda_stage(x, visits, (size_t)total * sizeof *visits);
}

FV_TABLE_OP void fv_cuda_attention_back(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                                        fv_view keys, fv_view values, const fv_attention *a) {
    fv_cuda_begin("attention_back", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t *run_tile = FV_TAKE(x->scratch, int64_t, a->runs + 1), blocks = fv_blocks_of(a->head_dim, FV_PART) * a->kv_heads;
    fv_tile *tile;
    fv_back_job j = fv_back_job_of(x, dq, dkeys, dvalues, dout, out, stats, q, keys, values, a, FV_MANY, &tile, run_tile);
    index_pages(&j, x, a, tile, run_tile, keys.shape[0]);
    fv_launch_bring_rows(&j);
    FV_LAUNCH(tile_back, j.plan.tiles * blocks, FV_MANY_THREADS, TILE_BYTES(a->head_dim), j);
    FV_LAUNCH(page_back, j.used_count * blocks * HALVES, PAGE_THREADS, PAGE_BYTES(a->head_dim), j);
    fv_arena_release(x->scratch, mark);
}
