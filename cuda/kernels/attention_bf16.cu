/* Attention of the bf16 table, on tensor cores: queries, keys and values in bf16, scores and sums in f32, p rounded to bf16 where it meets the values.
 *
 * Positions are cut into chunks of 256. In a chunk one walk over the pages, four at a time, with the largest score so far (Milakov and Gimelshein 2018, arXiv 1805.02867;
 * Dao 2023, FlashAttention-2, algorithm 1): new = max(old, scores); p = exp(s - new); sum = sum exp(old - new) + p; mixed = mixed exp(old - new) + p value. A chunk's
 * amount is then merged into that of the chunks before it, and the division by the sum comes last. Where the cuts are the same for every row, it makes no difference who
 * computes a chunk: where tiles are too few for the card, as in decoding, a block takes one chunk, of all queries that read the same pages of it, whichever run they are of
 * (so answers read the prompt that they share once), and another kernel merges.
 *
 * A warp has sixteen queries. The next group of pages is on its way while one is multiplied. */
#include "cuda/kernels/attention_bf16.h"

enum { THREADS = FV_TC_THREADS, ROWS = 16, WIDE = FV_TC_WIDE, STAGES = 2, CHUNK = 256, CHUNK_PAGES = CHUNK / FV_PAGE };

typedef struct {
    fv_attention_job a;
    const char *keys, *values; /* pages in bf16 */
    /* Of chunks that are computed alone: number (row_chunk[row] + chunk - first chunk of the row) * heads + head has its largest score and sum, and dim sums of values. NULL: none. */
    const int32_t *row_chunk;
    float *part_stats, *part_mixed;
} job;

/* What a thread knows of its two queries from some keys: the largest score (as q . key), the sum of p, and p times the values. */
typedef struct {
    float max[2], sum[2], mixed[FV_TC_PARTS * WIDE * 4];
} amount;

FV_DEVICE float nothing(void) { return fv_from_bits((fv_i16)0xff800000u); } /* -inf: no key was seen */

FV_DEVICE void begin(amount *y, const int parts) {
#pragma unroll
    for (int h = 0; h < 2; h++) y->max[h] = nothing(), y->sum[h] = 0;
#pragma unroll
    for (int e = 0; e < parts * WIDE * 4; e++) y->mixed[e] = 0;
}

/* How two amounts of the same query come together. */
typedef struct {
    float max, one, two; /* the larger of the scores, and what the amounts are scaled by */
} balance;

FV_DEVICE balance balance_of(float one, float two, float scale) {
    balance b;
    b.max = fv_max(one, two);
    b.one = one == nothing() ? 0 : fv_exp2_near(fv_mul(fv_sub(one, b.max), scale));
    b.two = two == nothing() ? 0 : fv_exp2_near(fv_mul(fv_sub(two, b.max), scale));
    return b;
}
FV_DEVICE float together(float one, float two, balance b) { return fv_add(fv_mul(one, b.one), fv_mul(two, b.two)); }

FV_DEVICE void merge(amount *all, const amount *more, float scale, const int parts) {
    balance b[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        b[h] = balance_of(all->max[h], more->max[h], scale);
        if (more->max[h] == nothing()) b[h].one = 1; /* as if it were not there */
        all->max[h] = b[h].max;
        all->sum[h] = together(all->sum[h], more->sum[h], b[h]);
    }
#pragma unroll
    for (int e = 0; e < parts * WIDE * 4; e++) all->mixed[e] = together(all->mixed[e], more->mixed[e], b[e / 2 % 2]);
}

/* Scores of a group to p, which takes their place; the sums so far are scaled to the new largest score. scale: of scores, times log2 e. */
FV_DEVICE void weigh(amount *y, float *s, const fv_query *see, int position, float scale, const int parts) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = y->max[h], sum = 0;
        bool whole = see[h].first <= position && see[h].limit >= position + FV_TC_KEYS;
#pragma unroll
        for (int i = 0; i < 2 * WIDE; i++) {
            float *x = s + i / 2 * 4 + h * 2 + i % 2;
            if (!whole && !fv_sees(&see[h], position + i / 2 * 8 + lane % 4 * 2 + i % 2)) *x = nothing();
            most = fv_max(*x, most);
        }
        most = fv_max(fv_across(most, 1), most);
        most = fv_max(fv_across(most, 2), most);
        float from = most == nothing() ? 0 : fv_mul(most, scale); /* nothing was seen yet: p and the sums stay 0 */
        float shrink = y->max[h] == nothing() ? 0 : fv_exp2_near(fv_mul(fv_sub(y->max[h], most), scale));
#pragma unroll
        for (int i = 0; i < 2 * WIDE; i++) {
            float *x = s + i / 2 * 4 + h * 2 + i % 2;
            *x = fv_exp2_near(fv_fma(*x, scale, -from)); /* 0 for what is not seen */
            sum = fv_add(sum, *x);
        }
        sum = fv_add(sum, fv_across(sum, 1));
        sum = fv_add(sum, fv_across(sum, 2));
        y->max[h] = most;
        y->sum[h] = fv_add(fv_mul(y->sum[h], shrink), sum);
#pragma unroll
        for (int e = 0; e < parts * WIDE * 2; e++) {
            float *m = y->mixed + e / 2 * 4 + h * 2 + e % 2;
            *m = fv_mul(*m, shrink);
        }
    }
}

/* Column d of what this thread has of query h: number e / 2 * 4 + h * 2 + e % 2 of mixed. */
FV_DEVICE int column_of(int e) { return e / 2 * 8 + FV_THREAD % 32 % 4 * 2 + e % 2; }

FV_DEVICE void store(const job *j, const fv_tile *t, const amount *y, int row, int kv_head, const int parts) {
    const fv_plan *p = &j->a.plan;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + FV_THREAD % 32 / 4 + h * 8;
        if (u >= t->n) continue;
        int64_t at = fv_query_at(p, t, kv_head, u);
        if (FV_THREAD % 4 == 0) j->a.stats[2 * at] = fv_mul(y->max[h], p->scale), j->a.stats[2 * at + 1] = y->sum[h];
#pragma unroll
        for (int e = 0; e < parts * WIDE * 2; e++)
            if (column_of(e) < p->dim) j->a.out[at * p->dim + column_of(e)] = fv_div(y->mixed[e / 2 * 4 + h * 2 + e % 2], y->sum[h]);
    }
}

/* A chunk's amount by itself, for those of the tile's queries that see any of it. */
FV_DEVICE void store_part(const job *j, const fv_tile *t, const amount *y, const fv_query *see, int row, int kv_head, const int parts) {
    const fv_plan *p = &j->a.plan;
    int chunk = t->page / CHUNK_PAGES;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + FV_THREAD % 32 / 4 + h * 8;
        if (u >= t->n || chunk < see[h].first / CHUNK || chunk >= (see[h].limit + CHUNK - 1) / CHUNK) continue;
        int64_t query = fv_query_at(p, t, kv_head, u), number = (int64_t)(j->row_chunk[query / p->heads] + chunk - see[h].first / CHUNK) * p->heads + query % p->heads;
        if (FV_THREAD % 4 == 0) j->part_stats[2 * number] = y->max[h], j->part_stats[2 * number + 1] = y->sum[h];
#pragma unroll
        for (int e = 0; e < parts * WIDE * 2; e++)
            if (column_of(e) < p->dim) j->part_mixed[number * p->dim + column_of(e)] = y->mixed[e / 2 * 4 + h * 2 + e % 2];
    }
}

#define ROOM_BYTES(parts) ((1 + 2 * STAGES) * (parts) * BLOCK_BYTES)

/* A block is (kv head, tile). alone: the tile is of one chunk. */
FV_DEVICE void attend(const job *j, const int parts, const bool alone) {
    const fv_plan *p = &j->a.plan;
    char *q = FV_SHARED(char), *stage = q + parts * BLOCK_BYTES;
    int kv_head = (int)(FV_BLOCK / p->tiles), row = FV_THREAD / 32 * ROWS;
    fv_tile t = fv_block_tile(p, kv_head);
    bool mine = row < t.n; /* alike in a warp */
    int end = t.page + t.pages, page = t.page / FV_TC_PAGES * FV_TC_PAGES;
    const int32_t *list = p->pages + t.list;
    fv_query see[2];
    amount all, y;
    float scale = fv_mul(p->scale, FV_LOG2_E);

    fv_tc_bring(stage, j->keys, p, list + page, t.page - page, end - page, kv_head, parts);
    fv_tc_bring(stage + parts * BLOCK_BYTES, j->values, p, list + page, t.page - page, end - page, kv_head, parts);
    fv_copy_end();
    fv_tc_rows(q, j->a.q, p, &t, kv_head, parts);
#pragma unroll
    for (int h = 0; h < 2; h++) see[h] = fv_query_of(p, &t, row + FV_THREAD % 32 / 4 + h * 8);
    begin(&all, parts);
    begin(&y, parts);
    for (int number = 0; page < end; page += FV_TC_PAGES, number++) {
        char *keys = stage + number % STAGES * 2 * parts * BLOCK_BYTES, *values = keys + parts * BLOCK_BYTES;
        int next = page + FV_TC_PAGES;
        if (next < end) {
            char *to = stage + (number + 1) % STAGES * 2 * parts * BLOCK_BYTES;
            fv_tc_bring(to, j->keys, p, list + next, 0, end - next, kv_head, parts);
            fv_tc_bring(to + parts * BLOCK_BYTES, j->values, p, list + next, 0, end - next, kv_head, parts);
        }
        fv_copy_end();
        fv_copy_wait(1);
        FV_SYNC(); /* the group is there */
        if (mine) {
            float s[WIDE * 4];
            fv_kept weights;
            fv_tc_scores(s, q, keys, row, parts);
            weigh(&y, s, see, page * FV_PAGE, scale, parts);
            fv_keep(&weights, s);
            fv_tc_mix(y.mixed, &weights, values, parts);
            if (!alone && (next % CHUNK_PAGES == 0 || next >= end)) {
                merge(&all, &y, scale, parts);
                begin(&y, parts);
            }
        }
        FV_SYNC(); /* everybody is done with the group */
    }
    if (mine && alone) store_part(j, &t, &y, see, row, kv_head, parts);
    if (mine && !alone) store(j, &t, &all, row, kv_head, parts);
}

FV_GLOBAL_OF(attend_64, job, THREADS, 3) { attend(&j, 1, false); }
FV_GLOBAL_OF(attend_128, job, THREADS, 2) { attend(&j, 2, false); }
FV_GLOBAL_OF(attend_chunk_64, job, THREADS, 3) { attend(&j, 1, true); }
FV_GLOBAL_OF(attend_chunk_128, job, THREADS, 2) { attend(&j, 2, true); }

/* A block is a row's head: its chunks together, as `merge` and `store` have it. */
FV_GLOBAL(merge_chunks, job) {
    const fv_plan *p = &j.a.plan;
    int64_t row = FV_BLOCK / p->heads, head = FV_BLOCK % p->heads;
    int d = FV_THREAD;
    float max = nothing(), sum = 0, mixed = 0, scale = fv_mul(p->scale, FV_LOG2_E);
    for (int64_t c = j.row_chunk[row]; c < j.row_chunk[row + 1]; c++) {
        int64_t number = c * p->heads + head;
        float more = j.part_stats[2 * number];
        balance b = balance_of(max, more, scale);
        if (more == nothing()) b.one = 1;
        max = b.max;
        sum = together(sum, j.part_stats[2 * number + 1], b);
        mixed = together(mixed, d < p->dim ? j.part_mixed[number * p->dim + d] : 0, b);
    }
    if (d == 0) j.a.stats[2 * FV_BLOCK] = fv_mul(max, p->scale), j.a.stats[2 * FV_BLOCK + 1] = sum;
    if (d < p->dim) j.a.out[FV_BLOCK * p->dim + d] = fv_div(mixed, sum);
}

/* ---- on the host ---- */

static int32_t first_of(const fv_attention *a, int64_t row) { return a->first != NULL ? a->first[row] : 0; }

/* Whether two runs' lists have the same pages in a chunk (of which `other` may have fewer than are there). */
static bool same_pages(const fv_attention *a, int run, int other, int chunk) {
    int at = chunk * CHUNK_PAGES, have = a->run_page[run + 1] - a->run_page[run] - at, has = a->run_page[other + 1] - a->run_page[other] - at;
    if (have > CHUNK_PAGES) have = CHUNK_PAGES;
    if (has > CHUNK_PAGES) has = CHUNK_PAGES;
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
            int has = (a->run_page[r + 1] - a->run_page[r] + CHUNK_PAGES - 1) / CHUNK_PAGES;
            if (has > chunks) chunks = has;
        }
        for (int chunk = 0; chunk < chunks; chunk++)
            for (int from = run, to; from < after; from = to) {
                to = from + 1;
                while (to < after && same_pages(a, from, to, chunk)) to++;
                for (int64_t first = a->run_row[from] * group, end = a->run_row[to] * group; first < end; first += FV_TC_QUERIES) {
                    int32_t low = INT32_MAX, high = 0, begin = chunk * CHUNK, last = begin + CHUNK;
                    fv_tile t;
                    t.n = (int32_t)(end - first < FV_TC_QUERIES ? end - first : FV_TC_QUERIES);
                    t.list = a->run_page[from];
                    t.first = first;
                    for (int64_t row = first / group; row <= (first + t.n - 1) / group; row++) {
                        if (first_of(a, row) < low) low = first_of(a, row);
                        if (a->limit[row] > high) high = a->limit[row];
                    }
                    if (low < begin) low = begin;
                    if (high > last) high = last;
                    if (low >= high) continue;
                    t.page = low / FV_PAGE;
                    t.pages = (high + FV_PAGE - 1) / FV_PAGE - t.page;
                    if (n < room) tile[n] = t;
                    n++;
                }
            }
    }
    return n;
}

/* Whether blocks are too few for the card, or their queries for the pages that they read. */
static bool is_better_cut(const fv_attention *a, int64_t blocks) {
    int64_t longest = 0, queries = (int64_t)a->rows * (a->heads / a->kv_heads);
    for (int row = 0; row < a->rows; row++)
        if (a->limit[row] - first_of(a, row) > longest) longest = a->limit[row] - first_of(a, row);
    return longest > CHUNK && (blocks < 2 * (int64_t)fv_cuda_multiprocessors() || queries < (int64_t)a->runs * FV_TC_QUERIES / 2);
}

/* Chunk by chunk. */
static void attend_cut(const fv_exec *x, job *j, const fv_attention *a) {
    fv_plan *p = &j->a.plan;
    int32_t *row_chunk = FV_TAKE(x->scratch, int32_t, a->rows + 1);
    row_chunk[0] = 0;
    for (int row = 0; row < a->rows; row++) row_chunk[row + 1] = row_chunk[row] + (a->limit[row] + CHUNK - 1) / CHUNK - first_of(a, row) / CHUNK;
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

FV_TABLE_OP void fv_cuda_bf16_attention(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    if (keys.dtype == FV_F32) {
        fv_cuda_attention(x, out, stats, q, keys, values, a);
        return;
    }
    fv_cuda_begin("attention", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j;
    memset(&j, 0, sizeof j);
    j.a.out = fv_f32(out), j.a.stats = fv_f32(stats), j.a.q = fv_f32(q);
    j.keys = (const char *)keys.data, j.values = (const char *)values.data;
    j.a.plan = fv_plan_of(x, a, FV_TC_QUERIES, NULL, NULL);
    int64_t blocks = j.a.plan.tiles * a->kv_heads;
    if (is_better_cut(a, blocks)) attend_cut(x, &j, a);
    else if (fv_tc_parts(a->head_dim) == 1) FV_LAUNCH(attend_64, blocks, THREADS, ROOM_BYTES(1), j);
    else FV_LAUNCH(attend_128, blocks, THREADS, ROOM_BYTES(2), j);
    fv_arena_release(x->scratch, mark);
}
