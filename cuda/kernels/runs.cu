/* Rows to bf16 and back, eight numbers a thread. Where they lie does not matter here: an array is one list. */
#include "cuda/kernels/bf16.h"
#include "cuda/runs.h"

enum { THREADS = 256 };

typedef struct {
    fv_rounding r;
    int64_t blocks; /* of an array */
    bool adds;
} job;

/* What a block works on: an array, or, behind the last, stats. */
typedef struct {
    float *wide;
    uint16_t *narrow;
    int64_t i; /* this thread's piece, or number */
    bool stats;
} part;

/* By comparisons: an index that is not known in advance would be a copy of all arrays in slow memory. */
FV_DEVICE part part_of(const job *j) {
    int which = (int)(FV_BLOCK / j->blocks);
    part p = {j->r.wide[0], j->r.narrow[0], (FV_BLOCK - which * j->blocks) * THREADS + FV_THREAD, which == j->r.count};
#pragma unroll
    for (int a = 1; a < FV_ROUNDED_MOST; a++)
        if (which == a) p.wide = j->r.wide[a], p.narrow = j->r.narrow[a];
    return p;
}

FV_GLOBAL(round_rows, job) {
    part p = part_of(&j);
    if (p.stats) {
        if (p.i < j.r.n_stats) j.r.log[p.i] = j.r.stats[2 * p.i];
        return;
    }
    if (8 * p.i >= j.r.n) return;
    fv_four a = *(const fv_four *)(p.wide + 8 * p.i), b = *(const fv_four *)(p.wide + 8 * p.i + 4);
    fv_piece out;
    out.v[0] = fv_two_bf16(a.v[0], a.v[1]), out.v[1] = fv_two_bf16(a.v[2], a.v[3]);
    out.v[2] = fv_two_bf16(b.v[0], b.v[1]), out.v[3] = fv_two_bf16(b.v[2], b.v[3]);
    *(fv_piece *)(p.narrow + 8 * p.i) = out;
}

FV_DEVICE fv_four four_of(uint32_t low, uint32_t high) {
    fv_four x = {{fv_widen_bf16((uint16_t)low), fv_widen_bf16((uint16_t)(low >> 16)), fv_widen_bf16((uint16_t)high), fv_widen_bf16((uint16_t)(high >> 16))}};
    return x;
}

FV_DEVICE fv_four four_sums(fv_four a, fv_four b) {
#pragma unroll
    for (int i = 0; i < 4; i++) a.v[i] = fv_add(a.v[i], b.v[i]);
    return a;
}

FV_GLOBAL(widen_rows, job) {
    part p = part_of(&j);
    if (p.stats) {
        if (p.i < j.r.n_stats) j.r.stats[2 * p.i] = j.r.log[p.i], j.r.stats[2 * p.i + 1] = 1;
        return;
    }
    if (8 * p.i >= j.r.n) return;
    fv_piece in = *(const fv_piece *)(p.narrow + 8 * p.i);
    fv_four *to = (fv_four *)(p.wide + 8 * p.i), a = four_of(in.v[0], in.v[1]), b = four_of(in.v[2], in.v[3]);
    if (j.adds) a = four_sums(to[0], a), b = four_sums(to[1], b);
    to[0] = a, to[1] = b;
}

static job job_of(const fv_rounding *r, bool adds) {
    job j;
    memset(&j, 0, sizeof j);
    j.r = *r, j.blocks = fv_blocks_of(r->n / 8, THREADS), j.adds = adds;
    return j;
}

FV_TABLE_OP void fv_cuda_round(const fv_rounding *r) {
    job j = job_of(r, false);
    FV_LAUNCH(round_rows, j.blocks * (r->count + (r->n_stats > 0)), THREADS, 0, j);
}

FV_TABLE_OP void fv_cuda_widen(const fv_rounding *r, bool adds) {
    job j = job_of(r, adds);
    FV_LAUNCH(widen_rows, j.blocks * (r->count + (r->n_stats > 0)), THREADS, 0, j);
}
