/* Attention of the bf16 table, on tensor cores: queries, keys and values in bf16, scores and sums in f32, p rounded to bf16 where it meets the values.
 *
 * Positions are cut into chunks of 256, and a chunk's amount is merged into that of the chunks before it. Where the cuts are the same for every row, it makes no difference who
 * computes a chunk: where tiles are too few for the card, as in decoding, a block takes one chunk, of all queries that read the same pages of it, whichever run they are of
 * (so answers read the prompt that they share once), and another kernel merges.
 *
 * A warp has sixteen queries. The next group of pages is on its way while one is multiplied. */
#include "cuda/attention.h"
#include "cuda/kernels/online_softmax.h"

enum { THREADS = FV_TC_THREADS, ROWS = 16, WIDE = FV_TC_WIDE, STAGES = 2 };

#define ROOM_BYTES(parts) ((1 + 2 * STAGES) * (parts) * BLOCK_BYTES)

/* A block is (kv head, tile). alone: the tile is of one chunk. */
FV_DEVICE void attend(const fv_tc_job *j, const int parts, const bool alone) {
    const fv_plan *p = &j->a.plan;
    char *q = FV_SHARED(char), *stage = q + parts * BLOCK_BYTES;
    int kv_head = (int)(FV_BLOCK / p->tiles), row = FV_THREAD / 32 * ROWS;
    fv_tile t = fv_block_tile(p, kv_head);
    bool mine = row < t.n; /* alike in a warp */
    int end = t.page + t.pages, page = t.page / FV_TC_PAGES * FV_TC_PAGES;
    const int32_t *list = p->pages + t.list;
    fv_query see[2];
    fv_online all, y;
    float scale = fv_mul(p->scale, FV_LOG2_E);

    fv_tc_bring_group(stage, j->keys, j->values, p, list + page, t.page - page, end - page, kv_head, parts);
    fv_copy_end();
    fv_tc_rows(q, j->a.q, p, &t, 0, kv_head, FV_THREAD, parts);
#pragma unroll
    for (int h = 0; h < 2; h++) see[h] = fv_query_of(p, &t, row + FV_THREAD % 32 / 4 + h * 8);
    fv_online_begin(&all, parts);
    fv_online_begin(&y, parts);
    for (int number = 0; page < end; page += FV_TC_PAGES, number++) {
        char *keys = stage + number % STAGES * 2 * parts * BLOCK_BYTES, *values = keys + parts * BLOCK_BYTES;
        int next = page + FV_TC_PAGES;
        if (next < end) fv_tc_bring_group(stage + (number + 1) % STAGES * 2 * parts * BLOCK_BYTES, j->keys, j->values, p, list + next, 0, end - next, kv_head, parts);
        fv_copy_end();
        fv_copy_wait(1);
        FV_SYNC(); /* the group is there */
        if (mine) {
            float s[WIDE * 4], rescale[2];
            fv_kept weights;
            fv_tc_scores(s, q, keys, row, parts);
            fv_online_exponentiate(y.max, y.sum, rescale, s, see, page * FV_PAGE, scale);
            fv_online_rescale(&y, rescale, parts);
            fv_keep(&weights, s);
            fv_tc_mix(y.mixed, &weights, values, parts);
            if (!alone && (next % FV_TC_CHUNK_PAGES == 0 || next >= end)) {
                fv_online_combine(&all, &y, scale, parts);
                fv_online_begin(&y, parts);
            }
        }
        FV_SYNC(); /* everybody is done with the group */
    }
    if (mine && alone) fv_online_store_part(j, &t, &y, see, row, kv_head, parts);
    if (mine && !alone) fv_online_store(j, &t, &all, row, kv_head, parts);
}

FV_GLOBAL_OF(attend_64, fv_tc_job, THREADS, 3) { attend(&j, 1, false); }
FV_GLOBAL_OF(attend_128, fv_tc_job, THREADS, 2) { attend(&j, 2, false); }
FV_GLOBAL_OF(attend_chunk_64, fv_tc_job, THREADS, 3) { attend(&j, 1, true); }
FV_GLOBAL_OF(attend_chunk_128, fv_tc_job, THREADS, 2) { attend(&j, 2, true); }

/* A block is a row's head: its chunks together, as fv_online_combine and fv_online_store have it. */
FV_GLOBAL(merge_chunks, fv_tc_job) {
    const fv_plan *p = &j.a.plan;
    int64_t row = FV_BLOCK / p->heads, head = FV_BLOCK % p->heads;
    int d = FV_THREAD;
    float max = fv_nothing(), sum = 0, mixed = 0, scale = fv_mul(p->scale, FV_LOG2_E);
    for (int64_t c = j.row_chunk[row]; c < j.row_chunk[row + 1]; c++) {
        int64_t number = c * p->heads + head;
        float more = j.part_stats[2 * number];
        fv_combining b = fv_combining_of(max, more, scale);
        max = b.max;
        sum = fv_together(sum, j.part_stats[2 * number + 1], b);
        mixed = fv_together(mixed, d < p->dim ? j.part_mixed[number * p->dim + d] : 0, b);
    }
    if (d == 0) j.a.stats[2 * FV_BLOCK] = fv_mul(max, p->scale), j.a.stats[2 * FV_BLOCK + 1] = sum;
    if (d < p->dim) j.a.out[FV_BLOCK * p->dim + d] = fv_div(mixed, sum);
}

/* ---- on the host ---- */

/* Whether two runs' lists have the same pages in a chunk (of which `other` may have fewer than are there). */
static bool same_pages(const fv_attention *a, int run, int other, int chunk) {
    int at = chunk * FV_TC_CHUNK_PAGES, have = a->run_page[run + 1] - a->run_page[run] - at, has = a->run_page[other + 1] - a->run_page[other] - at;
    if (have > FV_TC_CHUNK_PAGES) have = FV_TC_CHUNK_PAGES;
    if (has > FV_TC_CHUNK_PAGES) has = FV_TC_CHUNK_PAGES;
    return have > 0 && have == has && !memcmp(a->pages + a->run_page[run] + at, a->pages + a->run_page[other] + at, (size_t)have * sizeof *a->pages);
}

/* Tiles of one chunk each, of queries that read the same pages of it; from `room` on none is written, but all are counted. */
static int64_t cut(fv_tile *tile, int64_t room, const fv_attention *a) {
    int64_t group = a->heads / a->kv_heads, n = 0;
    for (int run = 0, after; run < a->runs; run = after) {
        /* The runs from here on that are taken together: one of many queries, or several of which all queries fit into a tile. */
        after = run + 1;
        while (after < a->runs && (int64_t)(a->run_row[after + 1] - a->run_row[run]) * group <= FV_TC_QUERIES) after++;
        int chunks = 0;
        for (int r = run; r < after; r++) {
            int has = (a->run_page[r + 1] - a->run_page[r] + FV_TC_CHUNK_PAGES - 1) / FV_TC_CHUNK_PAGES;
            if (has > chunks) chunks = has;
        }
        for (int chunk = 0; chunk < chunks; chunk++)
            for (int from = run, to; from < after; from = to) {
                to = from + 1;
                while (to < after && same_pages(a, from, to, chunk)) to++;
                for (int64_t first = a->run_row[from] * group, end = a->run_row[to] * group; first < end; first += FV_TC_QUERIES) {
                    int32_t low, high, begin = chunk * FV_TC_CHUNK, last = begin + FV_TC_CHUNK;
                    fv_tile t;
                    t.n = (int32_t)(end - first < FV_TC_QUERIES ? end - first : FV_TC_QUERIES);
                    t.list = a->run_page[from];
                    t.first = first;
                    fv_seen(&low, &high, a, first, t.n);
                    if (low < begin) low = begin;
                    if (high > last) high = last;
                    if (low >= high) continue;
                    fv_span_pages(&t, low, high);
                    if (n < room) tile[n] = t;
                    n++;
                }
            }
    }
    return n;
}

/* In chunks, where blocks would be too few for the card, or their queries for the pages that they read; by wgmma, where runs fill its large tiles. */
static fv_attend_way best_way(const fv_attention *a) {
    int64_t longest = 0, queries = (int64_t)a->rows * (a->heads / a->kv_heads), most = queries / FV_TC_QUERIES * a->kv_heads;
    for (int row = 0; row < a->rows; row++)
        if (a->limit[row] - fv_first_of(a, row) > longest) longest = a->limit[row] - fv_first_of(a, row);
    bool few = queries < (int64_t)a->runs * FV_TC_QUERIES / 2, many = queries > (int64_t)a->runs * (FV_TC_MANY * 3 / 4);
    if (longest > FV_TC_CHUNK && (few || most < (int64_t)fv_cuda_multiprocessors())) return FV_ATTEND_CHUNKS;
    return many && fv_wgmma_runs() ? FV_ATTEND_WGMMA : FV_ATTEND_MMA;
}

/* Chunk by chunk. */
static void attend_cut(const fv_exec *x, fv_tc_job *j, const fv_attention *a) {
    fv_plan *p = &j->a.plan;
    int32_t *row_chunk = FV_TAKE(x->scratch, int32_t, a->rows + 1);
    row_chunk[0] = 0;
    for (int row = 0; row < a->rows; row++) row_chunk[row + 1] = row_chunk[row] + (a->limit[row] + FV_TC_CHUNK - 1) / FV_TC_CHUNK - fv_first_of(a, row) / FV_TC_CHUNK;
    int64_t numbers = (int64_t)row_chunk[a->rows] * a->heads;
    p->tiles = cut(NULL, 0, a);
    fv_tile *tile = FV_TAKE(x->scratch, fv_tile, p->tiles);
    cut(tile, p->tiles, a);
    p->tile = (const fv_tile *)fv_cuda_stage(x, tile, (size_t)p->tiles * sizeof *tile);
    j->row_chunk = (const int32_t *)fv_cuda_stage(x, row_chunk, (size_t)(a->rows + 1) * sizeof *row_chunk);
    j->part_stats = FV_NUMBERS(x->scratch, 2 * numbers);
    j->part_mixed = FV_NUMBERS(x->scratch, numbers * a->head_dim);
    if (fv_tc_parts(a->head_dim) == 1) FV_LAUNCH(attend_chunk_64, p->tiles * a->kv_heads, THREADS, ROOM_BYTES(1), *j);
    else FV_LAUNCH(attend_chunk_128, p->tiles * a->kv_heads, THREADS, ROOM_BYTES(2), *j);
    FV_LAUNCH(merge_chunks, (int64_t)a->rows * a->heads, fv_tc_parts(a->head_dim) * BLOCK_SIDE, 0, *j);
}

FV_TABLE_OP void fv_cuda_attend(fv_attend_way way, const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    fv_cuda_begin("attention", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    fv_tc_job j;
    memset(&j, 0, sizeof j);
    j.a.out = fv_f32(out), j.a.stats = fv_f32(stats), j.a.q = fv_f32(q);
    j.keys = (const char *)keys.data, j.values = (const char *)values.data;
    if (way == FV_ATTEND_BEST) way = best_way(a);
    j.a.plan = fv_plan_of(x, a, way == FV_ATTEND_CHUNKS ? 0 : way == FV_ATTEND_WGMMA ? (int)FV_TC_MANY : (int)FV_TC_QUERIES, NULL, NULL);
    int64_t blocks = j.a.plan.tiles * a->kv_heads;
    if (way == FV_ATTEND_CHUNKS) attend_cut(x, &j, a);
    else if (way == FV_ATTEND_WGMMA) fv_attend_wgmma(&j);
    else if (fv_tc_parts(a->head_dim) == 1) FV_LAUNCH(attend_64, blocks, THREADS, ROOM_BYTES(1), j);
    else FV_LAUNCH(attend_128, blocks, THREADS, ROOM_BYTES(2), j);
    fv_arena_release(x->scratch, mark);
}

FV_TABLE_OP void fv_cuda_bf16_attention(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    if (keys.dtype == FV_F32) fv_cuda_attention(x, out, stats, q, keys, values, a);
    else fv_cuda_attend(FV_ATTEND_BEST, x, out, stats, q, keys, values, a);
}
