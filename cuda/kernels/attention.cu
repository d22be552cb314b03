/* Attention over pages of keys and values: out = sum_j p_j value_j, p = softmax(q . key * scale) over the keys a row sees.
 *
 * Two walks over a tile's pages, in the CPU's order of additions. The first finds the largest score. The second makes the scores again,
 * takes p = exp(s - max), exactly 0 where not seen, sums p in its sixteen lanes page by page and then by the tree, and mixes the values in
 * one chain over keys ascending; the division by the sum comes last. Making scores twice costs half of the arithmetic again and no
 * memory: a tile's scores would not fit into a block's. */
#include "cuda/kernels/attention.h"

typedef struct {
    fv_plan plan;
    float *out, *stats;
    const float *q, *keys, *values;
} job;

FV_DEVICE float score(const job *j, const float *q, int32_t page, int kv_head) {
    const float *key = j->keys + fv_panel_at(&j->plan, page, kv_head) + FV_THREAD % FV_PAGE;
    return fv_mul(fv_chain(q + FV_THREAD / FV_PAGE * j->plan.dim, key, j->plan.dim, FV_PAGE), j->plan.scale);
}

/* A block is (kv head, columns [128 * part ..) of a head, tile); tiles that share a kv head are neighbours. */
FV_GLOBAL(attend_tile, job) {
    const fv_plan *p = &j.plan;
    FV_BLOCK_SHARED float weight[THREADS], sums[TILE];
    float *q = FV_SHARED(float); /* [TILE, dim] */
    int parts = (p->dim + THREADS - 1) / THREADS, kv_head = (int)(FV_BLOCK / p->tiles / parts);
    int u = FV_THREAD / FV_PAGE, lane = FV_THREAD % FV_PAGE, d = (int)(FV_BLOCK / p->tiles % parts) * THREADS + FV_THREAD;
    fv_tile t = p->tile[FV_BLOCK % p->tiles];
    const int32_t *pages = p->pages + t.list + t.page;
    fv_load_queries(q, j.q, p, &t, kv_head);
    FV_SYNC();

    float max = fv_from_bits((fv_i16)0xff800000u); /* -inf */
    for (int i = 0; i < t.pages; i++) {
        if (u >= t.n || !fv_sees(p, &t, u, (int64_t)(t.page + i) * FV_PAGE + lane)) continue;
        max = fv_max(score(&j, q, pages[i], kv_head), max);
    }
    max = fv_hmax(max);

    float sum = 0, mixed[TILE];
    for (int v = 0; v < TILE; v++) mixed[v] = 0;
    for (int i = 0; i < t.pages; i++) {
        bool seen = u < t.n && fv_sees(p, &t, u, (int64_t)(t.page + i) * FV_PAGE + lane);
        float e = seen ? fv_exp(fv_sub(score(&j, q, pages[i], kv_head), max)) : 0;
        sum = fv_add(sum, e);
        weight[FV_THREAD] = e;
        FV_SYNC();
        const float *value = j.values + fv_panel_at(p, pages[i], kv_head) + d;
        for (int l = 0; d < p->dim && l < FV_PAGE; l++) {
            float x = value[(int64_t)l * p->dim];
#pragma unroll
            for (int v = 0; v < TILE; v++) mixed[v] = fv_fma(weight[v * FV_PAGE + l], x, mixed[v]);
        }
        FV_SYNC();
    }

    sum = fv_hsum(sum);
    if (lane == 0) sums[u] = sum;
    if (lane == 0 && u < t.n) {
        int64_t at = fv_query_head(p, &t, kv_head, u);
        j.stats[2 * at] = max;
        j.stats[2 * at + 1] = sum;
    }
    FV_SYNC();
#pragma unroll
    for (int v = 0; v < TILE; v++)
        if (v < t.n && d < p->dim) j.out[fv_query_head(p, &t, kv_head, v) * p->dim + d] = fv_div(mixed[v], sums[v]);
}

FV_TABLE_OP void fv_cuda_attention(const fv_exec *x, fv_view out, fv_view stats, fv_view q, fv_view keys, fv_view values, const fv_attention *a) {
    fv_cuda_begin("attention", q, keys);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j;
    j.plan = fv_plan_of(x, a, NULL);
    j.out = fv_f32(out), j.stats = fv_f32(stats), j.q = fv_f32(q), j.keys = fv_f32(keys), j.values = fv_f32(values);
    int64_t parts = fv_blocks_of(a->head_dim, THREADS);
    FV_LAUNCH(attend_tile, j.plan.tiles * parts * a->kv_heads, THREADS, (size_t)(TILE * a->head_dim) * sizeof(float), j);
    fv_arena_release(x->scratch, mark);
}
