/* The way back through attention on tensor cores (cuda/kernels/attention_back.h has the formulas): q, keys, values and dout rounded to bf16, p and ds where they are
 * multiplied, sums in f32.
 *
 * As in f32, one kernel takes tiles of queries (dq), and one pages (dkeys, dvalues), so that no two blocks add to the same number. A page may be in many runs' lists, beside
 * other pages in each. Up to four that all of them have in the same order make a bundle, which is a block's: most of a prompt is bundles of four. */
#include "cuda/kernels/attention_back.h"
#include "cuda/kernels/attention_bf16.h"

enum { TILE_THREADS = 128, PAGE_THREADS = 256, ROWS = 16, WIDE = FV_TC_KEYS / 8, HALF_WIDE = WIDE / 2 };

/* What a tile's queries bring; those beyond the last see nothing. Read at once, as q and dout are, which are rounded on their way. */
FV_DEVICE void bring_brings(fv_bringing *to, const fv_back_job *j, const fv_tile *t, int kv_head, const int threads) {
    for (int u = FV_THREAD; u < FV_TC_QUERIES; u += threads) {
        fv_bringing none = {0};
        to[u] = u < t->n ? j->brings[fv_query_at(&j->plan, t, kv_head, u)] : none;
    }
}

/* dp += dout . values, for the queries and keys of fv_tc_scores. */
FV_DEVICE void value_scores(float *dp, const char *dout, const char *values, int row, int col, const int wide, const int parts) {
    const fv_part w = {row, col, 1, wide};
#pragma unroll
    for (int part = 0; part < parts; part++) fv_multiply_part(dp, dout + part * BLOCK_BYTES, values + part * BLOCK_BYTES, w, BLOCK_SIDE, false, false);
}

/* ---- tiles: dq ------------------------------------------------------------------------------------------------------------- */

#define TILE_BYTES(parts) ((4 * (parts) + 1) * BLOCK_BYTES + FV_TC_QUERIES * (int)sizeof(fv_bringing))

/* ds of a thread's queries and keys into the block's memory. */
FV_DEVICE void weigh_tile(char *ds, const fv_bringing *brings, const float *s, const float *dp, int row, int position, float scale) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + lane / 4 + h * 8;
#pragma unroll
        for (int n = 0; n < WIDE; n++) {
            int key = n * 8 + lane % 4 * 2, at = n * 4 + h * 2;
            fv_pair_weights even = fv_weights_of(&brings[u], s[at], dp[at], scale, position + key);
            fv_pair_weights odd = fv_weights_of(&brings[u], s[at + 1], dp[at + 1], scale, position + key + 1);
            fv_put_two(ds, u, key, even.ds, odd.ds);
        }
    }
}

FV_DEVICE void add_dq(const fv_back_job *j, const fv_tile *t, const float *dq, int row, int kv_head, const int parts) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int e = 0; e < parts * WIDE * 4; e++) {
        int u = row + lane / 4 + e / 2 % 2 * 8, d = e / 4 * 8 + lane % 4 * 2 + e % 2;
        if (u >= t->n || d >= j->plan.dim) continue;
        float *to = j->dq + fv_query_at(&j->plan, t, kv_head, u) * j->plan.dim + d;
        *to = fv_add(*to, dq[e]);
    }
}

/* A block is (kv head, tile). */
FV_DEVICE void back_tile(const fv_back_job *j, const int parts) {
    const fv_plan *p = &j->plan;
    char *q = FV_SHARED(char), *dout = q + parts * BLOCK_BYTES, *keys = dout + parts * BLOCK_BYTES, *values = keys + parts * BLOCK_BYTES, *ds = values + parts * BLOCK_BYTES;
    fv_bringing *brings = (fv_bringing *)(ds + BLOCK_BYTES);
    int kv_head = (int)(FV_BLOCK / p->tiles), row = FV_THREAD / 32 * ROWS;
    fv_tile t = fv_block_tile(p, kv_head);
    bool mine = row < t.n; /* alike in a warp */
    const fv_part w = {row, 0, 1, WIDE};
    fv_tc_rows(q, j->q, p, &t, kv_head, parts, TILE_THREADS);
    fv_tc_rows(dout, j->dout, p, &t, kv_head, parts, TILE_THREADS);
    bring_brings(brings, j, &t, kv_head, TILE_THREADS);
    float dq[FV_TC_PARTS * WIDE * 4];
#pragma unroll
    for (int e = 0; e < FV_TC_PARTS * WIDE * 4; e++) dq[e] = 0;
    for (int page = t.page; page < t.page + t.pages; page += FV_TC_PAGES) {
        const int32_t *list = p->pages + t.list + page;
        int to = t.page + t.pages - page;
        float s[WIDE * 4], dp[WIDE * 4];
#pragma unroll
        for (int e = 0; e < WIDE * 4; e++) s[e] = dp[e] = 0;
        fv_tc_keys(keys, j->keys, p, list, 0, to, kv_head, parts, TILE_THREADS);
        fv_tc_values(values, j->values, p, list, 0, to, kv_head, parts, TILE_THREADS);
        FV_SYNC(); /* the group is there */
        if (mine) {
            fv_tc_scores(s, q, keys, row, 0, WIDE, parts);
            value_scores(dp, dout, values, row, 0, WIDE, parts);
            weigh_tile(ds, brings, s, dp, row, page * FV_PAGE, p->scale);
        }
        FV_SYNC(); /* ds is there */
#pragma unroll
        for (int part = 0; mine && part < parts; part++) fv_multiply_part(dq + part * WIDE * 4, ds, keys + part * BLOCK_BYTES, w, BLOCK_SIDE, false, false);
        FV_SYNC(); /* everybody is done with the group */
    }
    if (mine) add_dq(j, &t, dq, row, kv_head, parts);
}

FV_GLOBAL_OF(tile_back_64, fv_back_job, TILE_THREADS, 3) { back_tile(&j, 1); }
FV_GLOBAL_OF(tile_back_128, fv_back_job, TILE_THREADS, 2) { back_tile(&j, 2); }

/* ---- bundles of pages: dkeys, dvalues ---------------------------------------------------------------------------------------- */

#define PAGE_BYTES(parts) ((4 * (parts) + 2) * BLOCK_BYTES + FV_TC_QUERIES * (int)sizeof(fv_bringing))

/* A block's memory. */
typedef struct {
    char *keys, *values, *q, *dout, *p, *ds;
    fv_bringing *brings;
} room;

FV_DEVICE room room_of(const int parts) {
    room r;
    r.keys = FV_SHARED(char);
    r.values = r.keys + parts * BLOCK_BYTES;
    r.q = r.values + parts * BLOCK_BYTES;
    r.dout = r.q + parts * BLOCK_BYTES;
    r.p = r.dout + parts * BLOCK_BYTES;
    r.ds = r.p + BLOCK_BYTES;
    r.brings = (fv_bringing *)(r.ds + BLOCK_BYTES);
    return r;
}

/* p and ds of a tile and the bundle: a warp has sixteen queries and half of the keys. */
FV_DEVICE void weigh_bundle(const fv_back_job *j, const room *r, int position, const int parts) {
    int lane = FV_THREAD % 32, row = FV_THREAD / 32 % 4 * ROWS, col = FV_THREAD / 128 * (FV_TC_KEYS / 2);
    float s[HALF_WIDE * 4], dp[HALF_WIDE * 4];
#pragma unroll
    for (int e = 0; e < HALF_WIDE * 4; e++) s[e] = dp[e] = 0;
    fv_tc_scores(s, r->q, r->keys, row, col, HALF_WIDE, parts);
    value_scores(dp, r->dout, r->values, row, col, HALF_WIDE, parts);
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + lane / 4 + h * 8;
#pragma unroll
        for (int n = 0; n < HALF_WIDE; n++) {
            int key = col + n * 8 + lane % 4 * 2, at = n * 4 + h * 2;
            fv_pair_weights even = fv_weights_of(&r->brings[u], s[at], dp[at], j->plan.scale, position + key);
            fv_pair_weights odd = fv_weights_of(&r->brings[u], s[at + 1], dp[at + 1], j->plan.scale, position + key + 1);
            fv_put_two(r->p, u, key, even.p, odd.p);
            fv_put_two(r->ds, u, key, even.ds, odd.ds);
        }
    }
}

/* A warp's sums of sixteen keys: of values (the first four warps) or of keys. */
FV_DEVICE void add_bundle(const fv_back_job *j, const float *sum, const int32_t *pages, int count, int kv_head, const int parts) {
    int lane = FV_THREAD % 32, row = FV_THREAD / 32 % 4 * ROWS, dim = j->plan.dim;
    bool keys = FV_THREAD >= 128;
#pragma unroll
    for (int e = 0; e < parts * WIDE * 4; e++) {
        int key = row + lane / 4 + e / 2 % 2 * 8, d = e / 4 * 8 + lane % 4 * 2 + e % 2, c = key / FV_PAGE;
        if (c >= count || d >= dim) continue;
        float *to = (keys ? j->dkeys : j->dvalues) + fv_panel_at(&j->plan, pages[c], kv_head) + (keys ? d * FV_PAGE + key % FV_PAGE : key % FV_PAGE * dim + d);
        *to = fv_add(*to, sum[e]);
    }
}

/* A block is (bundle, kv head): the first pages, which most queries see, begin first. */
FV_DEVICE void back_bundle(const fv_back_job *j, const int parts) {
    const fv_plan *p = &j->plan;
    room r = room_of(parts);
    int kv_head = (int)(FV_BLOCK % p->kv_heads), count = 0, row = FV_THREAD / 32 % 4 * ROWS;
    int64_t bundle = FV_BLOCK / p->kv_heads;
    const int32_t *pages = j->used + bundle * FV_TC_PAGES;
    while (count < FV_TC_PAGES && pages[count] >= 0) count++;
    const char *left = FV_THREAD < 128 ? r.p : r.ds, *right = FV_THREAD < 128 ? r.dout : r.q;
    const fv_part w = {row, 0, 1, WIDE};
    fv_tc_keys(r.keys, j->keys, p, pages, 0, count, kv_head, parts, PAGE_THREADS);
    fv_tc_values(r.values, j->values, p, pages, 0, count, kv_head, parts, PAGE_THREADS);
    float sum[FV_TC_PARTS * WIDE * 4];
#pragma unroll
    for (int e = 0; e < FV_TC_PARTS * WIDE * 4; e++) sum[e] = 0;
    fv_cursor c = {j->visit_from[bundle], j->visit_from[bundle + 1], -1};
    int32_t at = 0;
    for (;;) {
        fv_tile t = fv_next_tile(j, &c, &at, count);
        if (t.n == 0) break; /* for all threads */
        fv_tc_rows(r.q, j->q, p, &t, kv_head, parts, PAGE_THREADS);
        fv_tc_rows(r.dout, j->dout, p, &t, kv_head, parts, PAGE_THREADS);
        bring_brings(r.brings, j, &t, kv_head, PAGE_THREADS);
        FV_SYNC(); /* the tile is there */
        weigh_bundle(j, &r, at * FV_PAGE, parts);
        FV_SYNC(); /* p and ds are there */
#pragma unroll
        for (int part = 0; part < parts; part++) fv_multiply_part(sum + part * WIDE * 4, left, right + part * BLOCK_BYTES, w, BLOCK_SIDE, true, true);
        FV_SYNC(); /* everybody is done with the tile */
    }
    add_bundle(j, sum, pages, count, kv_head, parts);
}

FV_GLOBAL_OF(bundle_back_64, fv_back_job, PAGE_THREADS, 1) { back_bundle(&j, 1); }
FV_GLOBAL_OF(bundle_back_128, fv_back_job, PAGE_THREADS, 1) { back_bundle(&j, 2); }

/* ---- on the host ------------------------------------------------------------------------------------------------------------- */

enum { UNKNOWN = -1, SEVERAL = -2 }; /* what stands beside a page in the lists */

static void note_neighbour(int32_t *to, int32_t page) { *to = *to == UNKNOWN || *to == page ? page : SEVERAL; }

/* Bundles, and which runs visit them. */
static void index_bundles(fv_back_job *j, const fv_exec *x, const fv_attention *a, const fv_tile *tile, const int64_t *run_tile, int64_t page_count) {
    int64_t total = a->run_page[a->runs];
    int32_t *before = FV_TAKE(x->scratch, int32_t, page_count), *behind = FV_TAKE(x->scratch, int32_t, page_count), *place = FV_TAKE(x->scratch, int32_t, page_count);
    int32_t *used = FV_TAKE(x->scratch, int32_t, total * FV_TC_PAGES), *size = FV_TAKE(x->scratch, int32_t, total);
    for (int64_t i = 0; i < page_count; i++) before[i] = behind[i] = place[i] = UNKNOWN;
    for (int run = 0; run < a->runs; run++)
        for (int32_t i = a->run_page[run]; i < a->run_page[run + 1]; i++) {
            note_neighbour(&before[a->pages[i]], i > a->run_page[run] ? a->pages[i - 1] : SEVERAL);
            note_neighbour(&behind[a->pages[i]], i + 1 < a->run_page[run + 1] ? a->pages[i + 1] : SEVERAL);
        }
    j->used_count = 0;
    for (int run = 0; run < a->runs; run++)
        for (int32_t i = a->run_page[run]; i < a->run_page[run + 1]; i++) {
            int32_t page = a->pages[i], last = i > a->run_page[run] ? a->pages[i - 1] : UNKNOWN;
            if (place[page] >= 0) continue;
            bool joins = last >= 0 && behind[last] == page && before[page] == last && size[place[last]] < FV_TC_PAGES;
            int64_t b = joins ? place[last] : j->used_count++;
            if (!joins) {
                size[b] = 0;
                for (int c = 0; c < FV_TC_PAGES; c++) used[b * FV_TC_PAGES + c] = -1;
            }
            used[b * FV_TC_PAGES + size[b]++] = page;
            place[page] = (int32_t)b;
        }
    int32_t *from = FV_ZERO(x->scratch, int32_t, j->used_count + 2), *next = from + 1; /* counts, then starts, and after filling the ends: the next one's starts */
    fv_visit *visits = FV_TAKE(x->scratch, fv_visit, total);
    int64_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int run = 0; run < a->runs; run++)
            for (int32_t i = a->run_page[run]; i < a->run_page[run + 1]; i++) {
                int32_t b = place[a->pages[i]];
                if (used[(int64_t)b * FV_TC_PAGES] != a->pages[i]) continue; /* not the bundle's first */
                if (pass == 0) next[b + 1]++, count++;
                else {
                    int32_t to = next[b]++;
                    visits[to] = fv_visit_of(tile, run_tile, run, i - a->run_page[run], size[b]);
                }
            }
        for (int64_t b = 0; pass == 0 && b < j->used_count; b++) next[b + 1] += next[b];
    }
    j->used = (const int32_t *)fv_cuda_stage(x, used, (size_t)(j->used_count * FV_TC_PAGES) * sizeof *used);
    j->visit_from = (const int32_t *)fv_cuda_stage(x, from, (size_t)(j->used_count + 1) * sizeof *from);
    j->visits = (const fv_visit *)fv_cuda_stage(x, visits, (size_t)count * sizeof *visits);
}

FV_TABLE_OP void fv_cuda_bf16_attention_back(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                                             fv_view keys, fv_view values, const fv_attention *a) {
    if (a->head_dim > FV_TC_MOST) {
        fv_cuda_attention_back(x, dq, dkeys, dvalues, dout, out, stats, q, keys, values, a);
        return;
    }
    fv_cuda_begin("attention_back", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t *run_tile = FV_TAKE(x->scratch, int64_t, a->runs + 1);
    fv_tile *tile;
    fv_back_job j = fv_back_job_of(x, dq, dkeys, dvalues, dout, out, stats, q, keys, values, a, FV_TC_QUERIES, &tile, run_tile);
    index_bundles(&j, x, a, tile, run_tile, keys.shape[0]);
    int64_t tiles = j.plan.tiles * a->kv_heads, bundles = j.used_count * a->kv_heads;
    fv_launch_bring_rows(&j);
    if (fv_tc_parts(a->head_dim) == 1) {
        FV_LAUNCH(tile_back_64, tiles, TILE_THREADS, TILE_BYTES(1), j);
        FV_LAUNCH(bundle_back_64, bundles, PAGE_THREADS, PAGE_BYTES(1), j);
    } else {
        FV_LAUNCH(tile_back_128, tiles, TILE_THREADS, TILE_BYTES(2), j);
        FV_LAUNCH(bundle_back_128, bundles, PAGE_THREADS, PAGE_BYTES(2), j);
    }
    fv_arena_release(x->scratch, mark);
}
