/* Attention of the bf16 table, on tensor cores: queries, keys and values rounded to bf16, scores and sums in f32, p rounded to bf16 where it meets the values.
 *
 * One walk over a tile's pages, four at a time, with the largest score so far (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao 2023, FlashAttention-2,
 * algorithm 1): new = max(old, scores); p = exp(s - new); sum = sum exp(old - new) + p; mixed = mixed exp(old - new) + p value. The division by the sum comes last. A warp has
 * sixteen queries; of few, as in decoding, one warp multiplies and all of them bring pages. */
#include "cuda/kernels/attention_bf16.h"

enum { THREADS = 128, ROWS = 16, WIDE = FV_TC_KEYS / 8 };

/* A block's memory: queries, keys, values, p, and what each query sees. */
typedef struct {
    char *q, *keys, *values, *p;
    fv_query *query;
} room;

#define ROOM_BYTES(parts) ((3 * (parts) + 1) * BLOCK_BYTES + FV_TC_QUERIES * (int)sizeof(fv_query))

FV_DEVICE room room_of(const int parts) {
    room r;
    r.q = FV_SHARED(char);
    r.keys = r.q + parts * BLOCK_BYTES;
    r.values = r.keys + parts * BLOCK_BYTES;
    r.p = r.values + parts * BLOCK_BYTES;
    r.query = (fv_query *)(r.p + BLOCK_BYTES);
    return r;
}

/* What a thread knows of its two queries: the largest score, and the sum of p. */
typedef struct {
    float max[2], sum[2];
} running;

/* Scores of a group to p in the block's memory. `shrink` gets what the sums so far are scaled by. */
FV_DEVICE void weigh(const room *r, const float *s, running *y, float *shrink, int row, int position, float scale) {
    const float none = fv_from_bits((fv_i16)0xff800000u);
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + lane / 4 + h * 8;
        fv_query see = r->query[u];
        float x[2 * WIDE], most = y->max[h], sum = 0;
#pragma unroll
        for (int i = 0; i < 2 * WIDE; i++) {
            x[i] = fv_sees(&see, position + i / 2 * 8 + lane % 4 * 2 + i % 2) ? fv_mul(s[i / 2 * 4 + h * 2 + i % 2], scale) : none;
            most = fv_max(x[i], most);
        }
        most = fv_max(fv_across(most, 1), most);
        most = fv_max(fv_across(most, 2), most);
        float from = most == none ? 0 : most; /* nothing was seen yet: p and the sums stay 0 */
        shrink[h] = y->max[h] == none ? 0 : fv_exp(fv_sub(y->max[h], from));
#pragma unroll
        for (int i = 0; i < 2 * WIDE; i++) {
            x[i] = x[i] == none ? 0 : fv_exp(fv_sub(x[i], from));
            sum = fv_add(sum, x[i]);
        }
        sum = fv_add(sum, fv_across(sum, 1));
        sum = fv_add(sum, fv_across(sum, 2));
        y->max[h] = most;
        y->sum[h] = fv_add(fv_mul(y->sum[h], shrink[h]), sum);
#pragma unroll
        for (int n = 0; n < WIDE; n++) fv_put_two(r->p, u, n * 8 + lane % 4 * 2, x[2 * n], x[2 * n + 1]);
    }
}

/* mixed = mixed * shrink + p values, for 64 columns a part. */
FV_DEVICE void mix(const room *r, float *mixed, const float *shrink, int row, const int parts) {
    const fv_part w = {row, 0, 1, WIDE};
#pragma unroll
    for (int e = 0; e < parts * WIDE * 4; e++) mixed[e] = fv_mul(mixed[e], shrink[e / 2 % 2]);
#pragma unroll
    for (int part = 0; part < parts; part++) fv_multiply_part(mixed + part * WIDE * 4, r->p, r->values + part * BLOCK_BYTES, w, BLOCK_SIDE, false, true);
}

FV_DEVICE void store(const fv_attention_job *j, const fv_tile *t, const float *mixed, const running *y, int row, int kv_head, const int parts) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + lane / 4 + h * 8;
        if (u >= t->n) continue;
        int64_t at = fv_query_at(&j->plan, t, kv_head, u);
        if (lane % 4 == 0) j->stats[2 * at] = y->max[h], j->stats[2 * at + 1] = y->sum[h];
#pragma unroll
        for (int e = 0; e < parts * WIDE * 2; e++) {
            int d = e / 2 * 8 + lane % 4 * 2 + e % 2;
            if (d < j->plan.dim) j->out[at * j->plan.dim + d] = fv_div(mixed[e / 2 * 4 + h * 2 + e % 2], y->sum[h]);
        }
    }
}

/* A block is (kv head, tile). */
FV_DEVICE void attend(const fv_attention_job *j, const int parts) {
    const fv_plan *p = &j->plan;
    room r = room_of(parts);
    int kv_head = (int)(FV_BLOCK / p->tiles), row = FV_THREAD / 32 * ROWS;
    fv_tile t = fv_block_tile(p, kv_head);
    bool mine = row < t.n; /* alike in a warp */
    for (int u = FV_THREAD; u < FV_TC_QUERIES; u += THREADS) r.query[u] = fv_query_of(p, &t, u);
    fv_tc_rows(r.q, j->q, p, &t, kv_head, parts, THREADS);

    float mixed[FV_TC_PARTS * WIDE * 4];
    running y = {{fv_from_bits((fv_i16)0xff800000u), fv_from_bits((fv_i16)0xff800000u)}, {0, 0}};
#pragma unroll
    for (int e = 0; e < FV_TC_PARTS * WIDE * 4; e++) mixed[e] = 0;
    for (int page = t.page / FV_TC_PAGES * FV_TC_PAGES; page < t.page + t.pages; page += FV_TC_PAGES) {
        const int32_t *list = p->pages + t.list + page;
        int from = t.page - page, to = t.page + t.pages - page;
        float s[WIDE * 4], shrink[2];
#pragma unroll
        for (int e = 0; e < WIDE * 4; e++) s[e] = 0;
        fv_tc_keys(r.keys, j->keys, p, list, from, to, kv_head, parts, THREADS);
        fv_tc_values(r.values, j->values, p, list, from, to, kv_head, parts, THREADS);
        FV_SYNC(); /* the group is there */
        if (mine) {
            fv_tc_scores(s, r.q, r.keys, row, 0, WIDE, parts);
            weigh(&r, s, &y, shrink, row, page * FV_PAGE, p->scale);
        }
        FV_SYNC(); /* p is there */
        if (mine) mix(&r, mixed, shrink, row, parts);
        FV_SYNC(); /* everybody is done with the group */
    }
    if (mine) store(j, &t, mixed, &y, row, kv_head, parts);
}

FV_GLOBAL_OF(attend_64, fv_attention_job, THREADS, 4) { attend(&j, 1); }
FV_GLOBAL_OF(attend_128, fv_attention_job, THREADS, 2) { attend(&j, 2); }

FV_TABLE_OP void fv_cuda_bf16_attention(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    if (a->head_dim > FV_TC_MOST) {
        fv_cuda_attention(x, out, stats, q, keys, values, a);
        return;
    }
    fv_cuda_begin("attention", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    fv_attention_job j = {fv_plan_of(x, a, FV_TC_QUERIES, NULL, NULL), fv_f32(out), fv_f32(stats), fv_f32(q), fv_f32(keys), fv_f32(values)};
    int64_t blocks = j.plan.tiles * a->kv_heads;
    if (fv_tc_parts(a->head_dim) == 1) FV_LAUNCH(attend_64, blocks, THREADS, ROOM_BYTES(1), j);
    else FV_LAUNCH(attend_128, blocks, THREADS, ROOM_BYTES(2), j);
    fv_arena_release(x->scratch, mark);
}
