/* The online softmax of attention's forward pass on tensor cores, between its two products, whichever instruction multiplies: scores to p, what some keys gave and what others did combined, results.
 * One walk over the keys with the largest score so far (Milakov and Gimelshein 2018, arXiv 1805.02867; Dao 2023, FlashAttention-2, algorithm 1): new = max(old, scores);
 * p = exp(s - new); sum = sum exp(old - new) + p; mixed = mixed exp(old - new) + p value. The division by the sum comes last.
 *
 * A warp has sixteen queries of a tile, from `row` on, and a thread two of them: row + lane / 4 and 8 more, each with three others. */
#ifndef FV_CUDA_KERNELS_ONLINE_SOFTMAX_H
#define FV_CUDA_KERNELS_ONLINE_SOFTMAX_H

#include "cuda/kernels/attention_bf16.h"

/* Positions are cut into chunks, at the same places for all rows. */
enum { FV_TC_CHUNK = 256, FV_TC_CHUNK_PAGES = FV_TC_CHUNK / FV_PAGE };

typedef struct {
    fv_attention_job a;
    const char *keys, *values; /* pages in bf16 */
    /* Of chunks that are computed alone: number (row_chunk[row] + chunk - first chunk of the row) * heads + head has its largest score and sum, and dim sums of values. NULL: none. */
    const int32_t *row_chunk;
    float *part_stats, *part_mixed;
} fv_tc_job;

/* The state of a thread's two queries after some keys: the largest score (as q . key), the sum of p, and p times the values. */
typedef struct {
    float max[2], sum[2], mixed[FV_TC_PARTS * FV_TC_WIDE * 4];
} fv_online;

FV_DEVICE float fv_nothing(void) { return fv_from_bits((fv_i16)0xff800000u); } /* -inf: no key was seen */

FV_DEVICE void fv_online_begin(fv_online *y, const int parts) {
#pragma unroll
    for (int h = 0; h < 2; h++) y->max[h] = fv_nothing(), y->sum[h] = 0;
#pragma unroll
    for (int e = 0; e < parts * FV_TC_WIDE * 4; e++) y->mixed[e] = 0;
}

/* How two amounts of the same query come together. */
typedef struct {
    float max, one, two; /* the larger of the scores, and what the amounts are scaled by */
} fv_combining;

FV_DEVICE fv_combining fv_combining_of(float one, float two, float scale) {
    fv_combining b;
    b.max = fv_max(one, two);
    b.one = two == fv_nothing() ? 1 : one == fv_nothing() ? 0 : fv_exp2_near(fv_mul(fv_sub(one, b.max), scale)); /* no second: as if it were not there */
    b.two = two == fv_nothing() ? 0 : fv_exp2_near(fv_mul(fv_sub(two, b.max), scale));
    return b;
}
FV_DEVICE float fv_together(float one, float two, fv_combining b) { return fv_add(fv_mul(one, b.one), fv_mul(two, b.two)); }

FV_DEVICE void fv_online_combine(fv_online *all, const fv_online *more, float scale, const int parts) {
    fv_combining b[2];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        b[h] = fv_combining_of(all->max[h], more->max[h], scale);
        all->max[h] = b[h].max;
        all->sum[h] = fv_together(all->sum[h], more->sum[h], b[h]);
    }
#pragma unroll
    for (int e = 0; e < parts * FV_TC_WIDE * 4; e++) all->mixed[e] = fv_together(all->mixed[e], more->mixed[e], b[e / 2 % 2]);
}

/* Scores of a group to p, which takes their place, and the largest score and the sum so far to those with it. rescale: what mixed is to be scaled by, before p and values are added. scale: of
 * scores, times log2 e. */
FV_DEVICE void fv_online_exponentiate(float *max, float *sums, float *rescale, float *s, const fv_query *see, int position, float scale) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        float most = max[h], sum = 0;
        bool whole = see[h].first <= position && see[h].limit >= position + FV_TC_KEYS;
#pragma unroll
        for (int i = 0; i < 2 * FV_TC_WIDE; i++) {
            float *x = s + i / 2 * 4 + h * 2 + i % 2;
            if (!whole && !fv_sees(&see[h], position + i / 2 * 8 + lane % 4 * 2 + i % 2)) *x = fv_nothing();
            most = fv_max(*x, most);
        }
        most = fv_max(fv_across(most, 1), most);
        most = fv_max(fv_across(most, 2), most);
        float from = most == fv_nothing() ? 0 : fv_mul(most, scale); /* nothing was seen yet: p and the sums stay 0 */
        rescale[h] = max[h] == fv_nothing() ? 0 : fv_exp2_near(fv_mul(fv_sub(max[h], most), scale));
#pragma unroll
        for (int i = 0; i < 2 * FV_TC_WIDE; i++) {
            float *x = s + i / 2 * 4 + h * 2 + i % 2;
            *x = fv_exp2_near(fv_fma(*x, scale, -from)); /* 0 for what is not seen */
            sum = fv_add(sum, *x);
        }
        sum = fv_add(sum, fv_across(sum, 1));
        sum = fv_add(sum, fv_across(sum, 2));
        max[h] = most;
        sums[h] = fv_add(fv_mul(sums[h], rescale[h]), sum);
    }
}

FV_DEVICE void fv_online_rescale(fv_online *y, const float *rescale, const int parts) {
#pragma unroll
    for (int e = 0; e < parts * FV_TC_WIDE * 4; e++) y->mixed[e] = fv_mul(y->mixed[e], rescale[e / 2 % 2]);
}

/* Column d of what this thread has of query h: number e / 2 * 4 + h * 2 + e % 2 of mixed. */
FV_DEVICE int fv_online_column(int e) { return e / 2 * 8 + FV_THREAD % 32 % 4 * 2 + e % 2; }

FV_DEVICE void fv_online_store(const fv_tc_job *j, const fv_tile *t, const fv_online *y, int row, int kv_head, const int parts) {
    const fv_plan *p = &j->a.plan;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + FV_THREAD % 32 / 4 + h * 8;
        if (u >= t->n) continue;
        int64_t at = fv_query_at(p, t, kv_head, u);
        if (FV_THREAD % 4 == 0) j->a.stats[2 * at] = fv_mul(y->max[h], p->scale), j->a.stats[2 * at + 1] = y->sum[h];
#pragma unroll
        for (int e = 0; e < parts * FV_TC_WIDE * 2; e++)
            if (fv_online_column(e) < p->dim) j->a.out[at * p->dim + fv_online_column(e)] = fv_div(y->mixed[e / 2 * 4 + h * 2 + e % 2], y->sum[h]);
    }
}

/* A chunk's amount by itself, for those of the tile's queries that see any of it. */
FV_DEVICE void fv_online_store_part(const fv_tc_job *j, const fv_tile *t, const fv_online *y, const fv_query *see, int row, int kv_head, const int parts) {
    const fv_plan *p = &j->a.plan;
    int chunk = t->page / FV_TC_CHUNK_PAGES;
#pragma unroll
    for (int h = 0; h < 2; h++) {
        int u = row + FV_THREAD % 32 / 4 + h * 8;
        if (u >= t->n || chunk < see[h].first / FV_TC_CHUNK || chunk >= (see[h].limit + FV_TC_CHUNK - 1) / FV_TC_CHUNK) continue;
        int64_t query = fv_query_at(p, t, kv_head, u), number = (int64_t)(j->row_chunk[query / p->heads] + chunk - see[h].first / FV_TC_CHUNK) * p->heads + query % p->heads;
        if (FV_THREAD % 4 == 0) j->part_stats[2 * number] = y->max[h], j->part_stats[2 * number + 1] = y->sum[h];
#pragma unroll
        for (int e = 0; e < parts * FV_TC_WIDE * 2; e++)
            if (fv_online_column(e) < p->dim) j->part_mixed[number * p->dim + fv_online_column(e)] = y->mixed[e / 2 * 4 + h * 2 + e % 2];
    }
}

/* Where tiles are many, on Hopper's own instructions (cuda/kernels/attention_wgmma.cu); fv_wgmma_runs() says whether there are. Tiles have FV_TC_MANY queries. */
enum { FV_TC_MANY = 2 * FV_TC_QUERIES };
FV_TABLE_OP void fv_attend_wgmma(const fv_tc_job *j);

#endif
