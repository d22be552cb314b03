/* The way back through attention on tensor cores (cuda/kernels/attention_back.h has the formulas): q, keys, values and dout in bf16, p and ds rounded where they are
 * multiplied, sums in f32.
 *
 * As in f32, one kernel takes tiles of queries (dq), and one pages (dkeys, dvalues), so that no two blocks add to the same number. A page may be in many runs' lists, beside
 * other pages in each. Up to four that all of them have in the same order make a bundle, which is a block's: most of a prompt is bundles of four.
 *
 * Queries and dout are rounded once, into blocks that both kernels copy tile by tile while they multiply the one before. A warp has sixteen queries and all keys of a group,
 * or sixteen keys of the bundle and all queries of a tile: so p and ds are made where they are multiplied from, in its registers. */
#include "cuda/attention.h"
#include "cuda/kernels/attention_back_bf16.h"

enum { THREADS = FV_TC_THREADS, ROWS = 16, WIDE = FV_TC_WIDE, STAGES = 2 };

/* ---- tiles of queries, rounded ---- */

/* A block is (kv head, tile). */
FV_DEVICE void round_tile(const fv_tc_back_job *j, const int parts) {
    const fv_plan *p = &j->b.plan;
    int kv_head = (int)(FV_BLOCK / p->tiles);
    fv_tile t = p->tile[FV_BLOCK % p->tiles];
    fv_tc_rows(j->q + FV_BLOCK * parts * BLOCK_BYTES, j->b.q, p, &t, 0, kv_head, FV_THREAD, parts);
    fv_tc_rows(j->dout + FV_BLOCK * parts * BLOCK_BYTES, j->b.dout, p, &t, 0, kv_head, FV_THREAD, parts);
    if (FV_THREAD >= FV_TC_QUERIES) return;
    fv_tc_row_stats y = {0, 0, 0, 0};
    if (FV_THREAD < t.n) {
        fv_bringing from = j->b.brings[fv_query_at(p, &t, kv_head, FV_THREAD)];
        y.lse = fv_mul(fv_sub(from.max, fv_log(from.inverse)), FV_LOG2_E), y.delta = from.dot, y.first = from.first, y.limit = from.limit;
    }
    j->row_stats[FV_BLOCK * FV_TC_QUERIES + FV_THREAD] = y;
}
FV_GLOBAL(round_tile_64, fv_tc_back_job) { round_tile(&j, 1); }
FV_GLOBAL(round_tile_128, fv_tc_back_job) { round_tile(&j, 2); }

#define STAGE_BYTES(parts) (2 * (parts) * BLOCK_BYTES + FV_TC_QUERIES * (int)sizeof(fv_tc_row_stats))

/* Asks for a tile's q, dout and its queries' row_stats, one behind the other. */
FV_DEVICE void bring_tile(char *q, const fv_tc_back_job *j, int64_t tile, int kv_head, const int parts) {
    char *dout = q + parts * BLOCK_BYTES;
    int64_t at = kv_head * j->b.plan.tiles + tile;
#pragma unroll
    for (int e = 0; e < parts * BLOCK_BYTES; e += THREADS * 16) {
        fv_copy_16(q + e + FV_THREAD * 16, j->q + at * parts * BLOCK_BYTES + e + FV_THREAD * 16, 16);
        fv_copy_16(dout + e + FV_THREAD * 16, j->dout + at * parts * BLOCK_BYTES + e + FV_THREAD * 16, 16);
    }
    if (FV_THREAD < FV_TC_QUERIES) fv_copy_16(dout + parts * BLOCK_BYTES + FV_THREAD * 16, (const char *)(j->row_stats + at * FV_TC_QUERIES + FV_THREAD), 16);
}

/* ---- tiles: dq ------------------------------------------------------------------------------------------------------------- */

#define TILE_BYTES(parts) (STAGE_BYTES(parts) + 2 * STAGES * (parts) * BLOCK_BYTES)

/* A block is (kv head, tile). */
FV_DEVICE void back_tile(const fv_tc_back_job *j, const int parts) {
    const fv_plan *p = &j->b.plan;
    char *q = FV_SHARED(char), *dout = q + parts * BLOCK_BYTES, *stage = q + STAGE_BYTES(parts);
    const fv_tc_row_stats *row_stats = (const fv_tc_row_stats *)(dout + parts * BLOCK_BYTES);
    int kv_head = (int)(FV_BLOCK / p->tiles), row = FV_THREAD / 32 * ROWS, lane = FV_THREAD % 32;
    int64_t tile = kv_head % 2 ? p->tiles - 1 - FV_BLOCK % p->tiles : FV_BLOCK % p->tiles;
    fv_tile t = fv_block_tile(p, kv_head);
    bool mine = row < t.n; /* alike in a warp */
    const int32_t *list = p->pages + t.list;
    int end = t.page + t.pages, page = t.page;
    float exponent = fv_mul(p->scale, FV_LOG2_E), dq[FV_TC_PARTS * WIDE * 4];
#pragma unroll
    for (int e = 0; e < FV_TC_PARTS * WIDE * 4; e++) dq[e] = 0;
    bring_tile(q, j, tile, kv_head, parts);
    fv_tc_bring_group(stage, j->keys, j->values, p, list + page, 0, end - page, kv_head, parts);
    fv_copy_end();
    for (int number = 0; page < end; page += FV_TC_PAGES, number++) {
        char *keys = stage + number % STAGES * 2 * parts * BLOCK_BYTES, *values = keys + parts * BLOCK_BYTES;
        int next = page + FV_TC_PAGES;
        if (next < end) fv_tc_bring_group(stage + (number + 1) % STAGES * 2 * parts * BLOCK_BYTES, j->keys, j->values, p, list + next, 0, end - next, kv_head, parts);
        fv_copy_end();
        fv_copy_wait(1);
        FV_SYNC(); /* the group is there */
        if (mine) {
            float s[WIDE * 4], ds[WIDE * 4];
            fv_kept kept;
            fv_tc_scores(s, q, keys, row, parts);
            fv_tc_scores(ds, dout, values, row, parts);
#pragma unroll
            for (int e = 0; e < WIDE * 4; e++)
                fv_tc_back_weigh(&row_stats[row + lane / 4 + e / 2 % 2 * 8], &s[e], &ds[e], page * FV_PAGE + e / 4 * 8 + lane % 4 * 2 + e % 2, exponent, p->scale);
            fv_keep(&kept, ds);
            fv_tc_mix(dq, &kept, keys, parts);
        }
        FV_SYNC(); /* everybody is done with the group */
    }
    if (mine) fv_tc_add_dq(&j->b, &t, dq, row, kv_head, parts);
}

FV_GLOBAL_OF(tile_back_64, fv_tc_back_job, THREADS, 3) { back_tile(&j, 1); }
FV_GLOBAL_OF(tile_back_128, fv_tc_back_job, THREADS, 2) { back_tile(&j, 2); }

/* ---- bundles of pages: dkeys, dvalues ---------------------------------------------------------------------------------------- */

#define BUNDLE_BYTES(parts) (2 * (parts) * BLOCK_BYTES + STAGES * STAGE_BYTES(parts))

/* A block is (bundle, kv head): the first pages, which most queries see, begin first. */
FV_DEVICE void back_bundle(const fv_tc_back_job *j, const int parts) {
    const fv_plan *p = &j->b.plan;
    char *keys = FV_SHARED(char), *values = keys + parts * BLOCK_BYTES, *stage = values + parts * BLOCK_BYTES;
    int kv_head = (int)(FV_BLOCK % p->kv_heads), count = 0, row = FV_THREAD / 32 * ROWS, lane = FV_THREAD % 32;
    int64_t bundle = FV_BLOCK / p->kv_heads;
    const int32_t *pages = j->b.used + bundle * FV_TC_PAGES;
    while (count < FV_TC_PAGES && pages[count] >= 0) count++;
    float exponent = fv_mul(p->scale, FV_LOG2_E), dkeys[FV_TC_PARTS * WIDE * 4], dvalues[FV_TC_PARTS * WIDE * 4];
#pragma unroll
    for (int e = 0; e < FV_TC_PARTS * WIDE * 4; e++) dkeys[e] = dvalues[e] = 0;
    fv_cursor c = {j->b.visit_from[bundle], j->b.visit_from[bundle + 1], -1};
    int32_t at = 0, next_at = 0;
    fv_tc_bring_group(keys, j->keys, j->values, p, pages, 0, count, kv_head, parts);
    bool more = fv_next_tile(&j->b, &c, &next_at, count).n > 0; /* for all threads */
    if (more) bring_tile(stage, j, c.tile - 1, kv_head, parts);
    fv_copy_end();
    for (int number = 0; more; number++) {
        char *q = stage + number % STAGES * STAGE_BYTES(parts), *dout = q + parts * BLOCK_BYTES;
        const fv_tc_row_stats *row_stats = (const fv_tc_row_stats *)(dout + parts * BLOCK_BYTES);
        at = next_at;
        more = fv_next_tile(&j->b, &c, &next_at, count).n > 0;
        if (more) bring_tile(stage + (number + 1) % STAGES * STAGE_BYTES(parts), j, c.tile - 1, kv_head, parts);
        fv_copy_end();
        fv_copy_wait(1);
        FV_SYNC(); /* the tile is there */
        float s[WIDE * 4], ds[WIDE * 4];
        fv_kept kept;
        fv_tc_scores(s, keys, q, row, parts);
        fv_tc_scores(ds, values, dout, row, parts);
#pragma unroll
        for (int e = 0; e < WIDE * 4; e++)
            fv_tc_back_weigh(&row_stats[e / 4 * 8 + lane % 4 * 2 + e % 2], &s[e], &ds[e], at * FV_PAGE + row + lane / 4 + e / 2 % 2 * 8, exponent, p->scale);
        fv_keep(&kept, s);
        fv_tc_mix(dvalues, &kept, dout, parts);
        fv_keep(&kept, ds);
        fv_tc_mix(dkeys, &kept, q, parts);
        FV_SYNC(); /* everybody is done with the tile */
    }
    fv_copy_wait(0); /* a page that nobody sees: its own copies */
    fv_tc_add_bundle(&j->b, dkeys, dvalues, pages, count, kv_head, parts);
}

FV_GLOBAL_OF(bundle_back_64, fv_tc_back_job, THREADS, 2) { back_bundle(&j, 1); }
FV_GLOBAL_OF(bundle_back_128, fv_tc_back_job, THREADS, 2) { back_bundle(&j, 2); }

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

/* Tiles that are beside each other in a run. */
static void index_pairs(fv_tc_back_job *j, const fv_exec *x, const fv_attention *a, const int64_t *run_tile) {
    int32_t *pairs = FV_TAKE(x->scratch, int32_t, j->b.plan.tiles);
    j->pair_count = 0;
    for (int run = 0; run < a->runs; run++)
        for (int64_t t = run_tile[run]; t < run_tile[run + 1]; t += 2) pairs[j->pair_count++] = (int32_t)(t + 1 < run_tile[run + 1] ? t : -1 - t);
    j->pairs = (const int32_t *)fv_cuda_stage(x, pairs, (size_t)j->pair_count * sizeof *pairs);
}

FV_TABLE_OP void fv_cuda_attend_back(bool by_wgmma, const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                                     fv_view keys, fv_view values, const fv_attention *a) {
    fv_cuda_begin("attention_back", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t *run_tile = FV_TAKE(x->scratch, int64_t, a->runs + 1);
    fv_tile *tile;
    fv_tc_back_job j;
    memset(&j, 0, sizeof j);
    fv_view none = fv_none;
    j.b = fv_back_job_of(x, dq, dkeys, dvalues, dout, out, stats, q, none, none, a, FV_TC_QUERIES, &tile, run_tile);
    index_bundles(&j.b, x, a, tile, run_tile, keys.shape[0]);
    if (by_wgmma) index_pairs(&j, x, a, run_tile); /* staged before anything is launched (cuda/staged.c) */
    int parts = fv_tc_parts(a->head_dim);
    int64_t tiles = j.b.plan.tiles * a->kv_heads, bundles = j.b.used_count * a->kv_heads;
    j.keys = (const char *)keys.data, j.values = (const char *)values.data;
    j.q = (char *)fv_arena_numbers(x->scratch, (size_t)(tiles * parts) * BLOCK_BYTES);
    j.dout = (char *)fv_arena_numbers(x->scratch, (size_t)(tiles * parts) * BLOCK_BYTES);
    j.row_stats = (fv_tc_row_stats *)fv_arena_numbers(x->scratch, (size_t)tiles * FV_TC_QUERIES * sizeof *j.row_stats);
    fv_launch_bring_rows(&j.b);
    if (parts == 1) FV_LAUNCH(round_tile_64, tiles, THREADS, 0, j);
    else FV_LAUNCH(round_tile_128, tiles, THREADS, 0, j);
    if (by_wgmma) fv_attend_back_wgmma(&j);
    else if (parts == 1) {
        FV_LAUNCH(tile_back_64, tiles, THREADS, TILE_BYTES(1), j);
        FV_LAUNCH(bundle_back_64, bundles, THREADS, BUNDLE_BYTES(1), j);
    } else {
        FV_LAUNCH(tile_back_128, tiles, THREADS, TILE_BYTES(2), j);
        FV_LAUNCH(bundle_back_128, bundles, THREADS, BUNDLE_BYTES(2), j);
    }
    fv_arena_release(x->scratch, mark);
}

FV_TABLE_OP void fv_cuda_bf16_attention_back(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q,
                                             fv_view keys, fv_view values, const fv_attention *a) {
    if (keys.dtype == FV_F32) fv_cuda_attention_back(x, dq, dkeys, dvalues, dout, out, stats, q, keys, values, a);
    else fv_cuda_attend_back(fv_wgmma_runs(), x, dq, dkeys, dvalues, dout, out, stats, q, keys, values, a);
}
