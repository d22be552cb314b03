/* Attention over pages of keys and values: out = sum_j p_j value_j, p = softmax(q . key * scale) over the keys a row sees.
 *
 * Two walks over a tile's pages, in the CPU's order of additions. The first finds the largest score. The second makes the scores again,
 * takes p = exp(s - max), exactly 0 where not seen, sums p in its sixteen lanes page by page and then by the tree, and mixes the values in
 * one chain over keys ascending; the division by the sum comes last. Making scores twice costs half of the arithmetic again and no
 * memory: a tile's scores would not fit into a block's. */
#include "cuda/kernels/attention.h"

/* A block's memory, and where it is. */
typedef struct {
    float *q;       /* [queries][stride] */
    float *pages, *others; /* keys of some pages and of the next, or their values */
    float *weight;  /* [queries][16 pages + 4]: scores, then p */
    float *number;  /* [queries]: the largest score, then the sum */
    fv_query *query;
    fv_tile t;
    const int32_t *list; /* the tile's pages */
    int kv_head, width;
} room;

#define ROOM_BYTES(queries, pages, dim)                                                                                \
    (((queries) * (FV_STRIDE_OF(dim) + FV_PAGE * (pages) + 5) + 2 * (pages) * FV_PAGE_ROOM(dim)) * sizeof(float) + (queries) * sizeof(fv_query))

FV_DEVICE room room_of(const fv_plan *p, const fv_form f) {
    room r;
    r.q = FV_SHARED(float);
    r.pages = r.q + f.queries * FV_STRIDE_OF(p->dim);
    r.others = r.pages + f.pages * FV_PAGE_ROOM(p->dim);
    r.weight = r.others + f.pages * FV_PAGE_ROOM(p->dim);
    r.width = FV_PAGE * f.pages + 4;
    r.number = r.weight + f.queries * r.width;
    r.query = (fv_query *)(r.number + f.queries);
    r.kv_head = (int)(FV_BLOCK / p->tiles % p->kv_heads);
    r.t = fv_block_tile(p, r.kv_head);
    r.list = p->pages + r.t.list + r.t.page;
    return r;
}

FV_DEVICE int pages_from(const room *r, int page, const fv_form f) { return r->t.pages - page < f.pages ? r->t.pages - page : f.pages; }

FV_DEVICE void bring_keys(const fv_attention_job *j, const room *r, float *to, int page, const fv_form f) {
    if (page < r->t.pages) fv_bring_keys(to, j->keys, &j->plan, r->list + page, pages_from(r, page, f), r->kv_head, f);
    fv_copy_end();
}

/* Scores of the pages whose keys are here into r->weight: -inf where not seen; or, in the second walk, p. */
FV_DEVICE void weigh(const fv_attention_job *j, const room *r, const float *keys, int page, bool second, const fv_form f) {
    float s[8] = {0}, none = second ? 0 : fv_from_bits((fv_i16)0xff800000u);
    int pair = fv_pair_of(f), position = (r->t.page + page) * FV_PAGE + 2 * pair;
    bool there = pair / FV_PAIRS < pages_from(r, page, f);
    if (there) fv_scores(s, r->q, keys, j->plan.dim, f);
#pragma unroll
    for (int i = 0; i < f.rows; i++) {
        int u = fv_score_row(i, f);
        fv_two w;
#pragma unroll
        for (int e = 0; e < 2; e++) {
            bool seen = there && fv_sees(&r->query[u], position + e);
            float x = seen ? fv_mul(s[2 * i + e], j->plan.scale) : none;
            w.v[e] = seen && second ? fv_exp(fv_sub(x, r->number[u])) : x;
        }
        *(fv_two *)(r->weight + u * r->width + 2 * pair) = w;
    }
}

/* Sixteen threads are a query's lanes: each thread has the same lane of several queries. */
FV_DEVICE int lane_rows(const fv_form f) { return f.queries * FV_LANES > f.threads ? f.queries * FV_LANES / f.threads : 1; }
FV_DEVICE int lane_row(int i, const fv_form f) { return (FV_THREAD + i * f.threads) / FV_LANES; }

/* The largest scores. The lanes' chains run over pages ascending, as the CPU's, so that the first of equals is found (0 and -0 are). */
FV_DEVICE void find_largest(const fv_attention_job *j, const room *r, const fv_form f) {
    float max[8];
#pragma unroll
    for (int i = 0; i < 8; i++) max[i] = fv_from_bits((fv_i16)0xff800000u);
    bring_keys(j, r, r->pages, 0, f);
    for (int page = 0; page < r->t.pages; page += f.pages) {
        bool odd = page / f.pages % 2;
        fv_copy_wait(0);
        FV_SYNC();
        bring_keys(j, r, odd ? r->pages : r->others, page + f.pages, f);
        weigh(j, r, odd ? r->others : r->pages, page, false, f);
        FV_SYNC();
#pragma unroll
        for (int i = 0; i < lane_rows(f); i++)
            for (int c = 0; lane_row(i, f) < f.queries && c < pages_from(r, page, f); c++)
                max[i] = fv_max(r->weight[lane_row(i, f) * r->width + c * FV_PAGE + FV_THREAD % FV_LANES], max[i]);
    }
#pragma unroll
    for (int i = 0; i < lane_rows(f); i++) {
        float all = fv_hmax(max[i]);
        if (lane_row(i, f) < f.queries && FV_THREAD % FV_LANES == 0) r->number[lane_row(i, f)] = all;
    }
}

/* mixed[rows][cols] += p value, over the keys of one page; values [16][stride] from the block's first column on. */
FV_DEVICE void mix_page(float *mixed, const float *weight, int width, const float *values, int stride, const fv_form f) {
#pragma unroll
    for (int l = 0; l < FV_PAGE; l += 4) {
        fv_four w[8];
#pragma unroll
        for (int v = 0; v < f.mix_rows; v++) w[v] = *(const fv_four *)(weight + fv_mix_row(v, f) * width + l);
#pragma unroll
        for (int e = 0; e < 4; e++)
#pragma unroll
            for (int c = 0; c < f.mix_cols; c++) {
                float x = values[(l + e) * stride + fv_mix_col(c, f)];
#pragma unroll
                for (int v = 0; v < f.mix_rows; v++) mixed[v * f.mix_cols + c] = fv_fma(w[v].v[e], x, mixed[v * f.mix_cols + c]);
            }
    }
}

/* The second walk: mixed, and the sums of the lanes' p. */
FV_DEVICE void mix_values(const fv_attention_job *j, const room *r, float *mixed, float *sum, int col, const fv_form f) {
    const fv_plan *p = &j->plan;
    int stride = FV_STRIDE_OF(p->dim);
    bring_keys(j, r, r->pages, 0, f);
    for (int page = 0; page < r->t.pages; page += f.pages) {
        int count = pages_from(r, page, f);
        fv_copy_wait(0);
        FV_SYNC(); /* the keys are there, and everybody is done with the values before */
        fv_bring_values(r->others, j->values, p, r->list + page, count, r->kv_head, f);
        fv_copy_end();
        weigh(j, r, r->pages, page, true, f);
        fv_copy_wait(0);
        FV_SYNC(); /* the values are there, and everybody is done with the keys */
        bring_keys(j, r, r->pages, page + f.pages, f);
#pragma unroll
        for (int i = 0; i < lane_rows(f); i++)
            for (int c = 0; lane_row(i, f) < f.queries && c < count; c++)
                sum[i] = fv_add(sum[i], r->weight[lane_row(i, f) * r->width + c * FV_PAGE + FV_THREAD % FV_LANES]);
        for (int c = 0; fv_mixes(f) && c < count; c++)
            mix_page(mixed, r->weight + c * FV_PAGE, r->width, r->others + c * FV_PAGE * stride + col, stride, f);
    }
}

/* A block is (columns [128 * part ..) of a head, kv head, tile); tiles that share a kv head are neighbours. */
FV_DEVICE void attend(const fv_attention_job *j, const fv_form f) {
    const fv_plan *p = &j->plan;
    room r = room_of(p, f);
    int col = (int)(FV_BLOCK / p->tiles / p->kv_heads) * FV_PART;
    for (int u = FV_THREAD; u < f.queries; u += f.threads) r.query[u] = fv_query_of(p, &r.t, u);
    fv_bring_queries(r.q, j->q, p, &r.t, r.kv_head, f.threads);
    find_largest(j, &r, f); /* whose first wait is for the queries, too */

    float mixed[64], sum[8];
#pragma unroll
    for (int i = 0; i < 64; i++) mixed[i] = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) sum[i] = 0;
    FV_SYNC(); /* everybody is done with the keys of the first walk, and sees the largest scores */
    mix_values(j, &r, mixed, sum, col, f);
    FV_SYNC();
#pragma unroll
    for (int i = 0; i < lane_rows(f); i++) {
        float all = fv_hsum(sum[i]);
        int u = lane_row(i, f);
        if (FV_THREAD % FV_LANES != 0 || u >= r.t.n) continue;
        int64_t at = fv_query_at(p, &r.t, r.kv_head, u);
        j->stats[2 * at] = r.number[u];
        j->stats[2 * at + 1] = all;
        r.number[u] = all;
    }
    FV_SYNC();
#pragma unroll
    for (int v = 0; v < f.mix_rows; v++) {
        int u = fv_mix_row(v, f);
        if (!fv_mixes(f) || u >= r.t.n) continue;
        float *out = j->out + fv_query_at(p, &r.t, r.kv_head, u) * p->dim + col;
#pragma unroll
        for (int c = 0; c < f.mix_cols; c++)
            if (col + fv_mix_col(c, f) < p->dim) out[fv_mix_col(c, f)] = fv_div(mixed[v * f.mix_cols + c], r.number[u]);
    }
}

FV_GLOBAL_OF(attend_many, fv_attention_job, FV_MANY_THREADS, 5) {
    const fv_form f = {FV_FORM_MANY};
    attend(&j, f);
}
FV_GLOBAL_OF(attend_few, fv_attention_job, FV_FEW_THREADS, 2) {
    const fv_form f = {FV_FORM_FEW};
    attend(&j, f);
}

FV_TABLE_OP void fv_cuda_attention(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    fv_cuda_begin("attention", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    /* Few queries a run, and heads whose pages fit into a block four at a time. */
    bool few = (int64_t)a->rows * (a->heads / a->kv_heads) <= 2 * FV_FEW * (int64_t)a->runs && a->head_dim <= FV_PART;
    fv_attention_job j = {fv_plan_of(x, a, few ? FV_FEW : FV_MANY, NULL, NULL), fv_f32(out), fv_f32(stats), fv_f32(q), fv_f32(keys), fv_f32(values)};
    int64_t blocks = j.plan.tiles * a->kv_heads * fv_blocks_of(a->head_dim, FV_PART);
    if (few) FV_LAUNCH(attend_few, blocks, FV_FEW_THREADS, ROOM_BYTES(FV_FEW, FV_FEW_PAGES, a->head_dim), j);
    else FV_LAUNCH(attend_many, blocks, FV_MANY_THREADS, ROOM_BYTES(FV_MANY, 1, a->head_dim), j);
    fv_arena_release(x->scratch, mark);
}
