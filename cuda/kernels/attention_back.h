/* What the two ways back through attention share (f32, and bf16 on tensor cores): what a query brings to all keys, p and ds of a query and a key, and which tiles of queries
 * see which pages. With p = exp(s - max) / sum made again from q, keys and stats, and D = dout . out of the row:
 *     dp = dout . value,   ds = p (dp - D) scale,   dq += ds key,   dkey += ds q,   dvalue += p dout
 * (Dao et al. 2022, FlashAttention, appendix B.4, without its blocks of softmax). */
#ifndef FV_CUDA_KERNELS_ATTENTION_BACK_H
#define FV_CUDA_KERNELS_ATTENTION_BACK_H

#include "cuda/kernels/attention.h"

enum { FV_ROW_THREADS = 128 };

/* What a query brings: constant for all pages. Two quadruples, as they are copied. */
typedef struct {
    float max, inverse, dot;
    int32_t first, limit, pad[3];
} __attribute__((aligned(16))) fv_bringing;

/* Position `at` of a run's list is this page (or the first of these); tiles [from, to) of the run, of which the first and the last see it. */
typedef struct {
    int32_t from, to, at;
} fv_visit;

typedef struct {
    fv_plan plan;
    const float *q, *keys, *values, *dout, *out, *stats;
    float *dq, *dkeys, *dvalues;
    fv_bringing *brings; /* [rows, heads] */
    /* What is read at all, each once: pages `used`, one or some at a time; number i is read by visits [visit_from[i], visit_from[i + 1]), runs ascending. */
    const int32_t *used, *visit_from;
    const fv_visit *visits;
    int64_t used_count;
} fv_back_job;

/* ---- on the host ---- */

/* The plan, with tiles of at most `queries`, and the rest but for what is used; *tiles and run_tile [runs + 1] as fv_plan_of. */
static inline fv_back_job fv_back_job_of(const fv_exec *x, fv_view dq, fv_view dkeys, fv_view dvalues, fv_view dout, fv_view out, fv_view stats, fv_view q, fv_view keys,
                                         fv_view values, const fv_attention *a, int queries, fv_tile **tiles, int64_t *run_tile) {
    fv_back_job j;
    j.plan = fv_plan_of(x, a, queries, tiles, run_tile);
    j.q = fv_f32(q), j.keys = fv_f32(keys), j.values = fv_f32(values), j.dout = fv_f32(dout), j.out = fv_f32(out), j.stats = fv_f32(stats);
    j.dq = fv_f32(dq), j.dkeys = fv_f32(dkeys), j.dvalues = fv_f32(dvalues);
    j.brings = (fv_bringing *)fv_arena_numbers(x->scratch, (size_t)a->rows * (size_t)a->heads * sizeof *j.brings);
    j.used = NULL, j.visit_from = NULL, j.visits = NULL, j.used_count = 0;
    return j;
}

/* Whether a tile's queries see any of `count` pages from position `at` of their list on. */
static inline bool fv_tile_reads(const fv_tile *t, int32_t at, int32_t count) { return at < t->page + t->pages && at + count > t->page; }

/* A visit of such pages by a run, whose tiles are run_tile[run] .. run_tile[run + 1]. */
static inline fv_visit fv_visit_of(const fv_tile *tile, const int64_t *run_tile, int run, int32_t at, int32_t count) {
    fv_visit v;
    v.from = (int32_t)run_tile[run], v.to = (int32_t)run_tile[run + 1], v.at = at;
    while (v.from < v.to && !fv_tile_reads(tile + v.from, at, count)) v.from++;
    while (v.from < v.to && !fv_tile_reads(tile + v.to - 1, at, count)) v.to--;
    return v;
}

/* ---- on the card ---- */

/* Max, 1 / sum and D: sixteen threads for each row of [rows, heads]. */
FV_GLOBAL(fv_bring_rows, fv_back_job) {
    const fv_plan *p = &j.plan;
    int64_t at = FV_BLOCK * (FV_ROW_THREADS / FV_LANES) + FV_THREAD / FV_LANES, row = at / p->heads;
    int lane = FV_THREAD % FV_LANES;
    bool there = row < p->rows;
    float sum = 0;
    for (int d = lane; there && d < p->dim; d += FV_LANES) sum = fv_fma(j.dout[at * p->dim + d], j.out[at * p->dim + d], sum);
    sum = fv_hsum(sum);
    if (!there || lane != 0) return;
    fv_bringing y = {0};
    y.max = j.stats[2 * at];
    y.inverse = 1.0f / j.stats[2 * at + 1];
    y.dot = sum;
    y.first = p->first != NULL ? p->first[row] : 0;
    y.limit = p->limit[row];
    j.brings[at] = y;
}
static inline void fv_launch_bring_rows(const fv_back_job *j) {
    FV_LAUNCH(fv_bring_rows, fv_blocks_of(j->plan.rows * j->plan.heads, FV_ROW_THREADS / FV_LANES), FV_ROW_THREADS, 0, *j);
}

typedef struct {
    float p, ds;
} fv_pair_weights;

/* From the chains q . key and dout . value. */
FV_DEVICE fv_pair_weights fv_weights_of(const fv_bringing *y, float qk, float dp, float scale, int32_t position) {
    fv_pair_weights w = {0, 0};
    if (position < y->first || position >= y->limit) return w;
    w.p = fv_mul(fv_exp(fv_sub(fv_mul(qk, scale), y->max)), y->inverse);
    w.ds = fv_mul(fv_mul(w.p, fv_sub(dp, y->dot)), scale);
    return w;
}

/* Where a block is in the tiles that see its pages. */
typedef struct {
    int32_t next, end; /* of visits */
    int32_t tile;      /* the next of the visit's; < 0: its first */
} fv_cursor;

/* The next tile that sees any of `count` pages, and the first page's position in its list. Without one the tile has no queries. */
FV_DEVICE fv_tile fv_next_tile(const fv_back_job *j, fv_cursor *c, int32_t *at, int32_t count) {
    fv_tile t = {0, 0, 0, 0, 0};
    for (; c->next < c->end; c->next++, c->tile = -1) {
        fv_visit v = j->visits[c->next];
        *at = v.at;
        for (c->tile = c->tile < 0 ? v.from : c->tile; c->tile < v.to;) {
            t = j->plan.tile[c->tile++];
            if (v.at < t.page + t.pages && v.at + count > t.page) return t;
        }
    }
    t.n = 0;
    return t;
}

#endif
