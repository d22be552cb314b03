/* Entries that are added to rows of a table: entry i to row index[i], in ascending order for each row. Where several go to one row, that row is
 * one thread's chain and no atomic addition's; the host, which has the indices, says which rows there are and what goes to each. */
#ifndef FV_CUDA_KERNELS_GROUPS_H
#define FV_CUDA_KERNELS_GROUPS_H

#include "cuda/device.h"

/* On the card, until the caller releases x->scratch. */
typedef struct {
    const int32_t *row;   /* [count] the rows that get something */
    const int32_t *start; /* [count + 1] where each row's entries begin in `entry` */
    const int32_t *entry;
    int64_t count;
} fv_groups;

typedef struct {
    int32_t row, entry;
} fv_pair_;

/* By row, entries that go to the same one as they were: some bits of the row at a time, the lowest first. The result is in `pair`, or in `other`. */
static inline fv_pair_ *fv_sort_pairs_(fv_pair_ *pair, fv_pair_ *other, int64_t n, int32_t largest) {
    enum { BITS = 11, BUCKETS = 1 << BITS };
    for (int shift = 0; shift == 0 || (shift < 31 && largest >> shift > 0); shift += BITS) {
        int32_t begin[BUCKETS + 1] = {0};
        for (int64_t i = 0; i < n; i++) begin[(pair[i].row >> shift) % BUCKETS + 1]++;
        for (int b = 0; b < BUCKETS; b++) begin[b + 1] += begin[b];
        for (int64_t i = 0; i < n; i++) other[begin[(pair[i].row >> shift) % BUCKETS]++] = pair[i];
        fv_pair_ *sorted = other;
        other = pair, pair = sorted;
    }
    return pair;
}

/* index on the host; entries whose index is -1 go nowhere. */
static inline fv_groups fv_groups_of(const fv_exec *x, const int32_t *index, int64_t n) {
    fv_pair_ *pair = FV_TAKE(x->scratch, fv_pair_, n), *other = FV_TAKE(x->scratch, fv_pair_, n);
    int32_t *row = FV_TAKE(x->scratch, int32_t, n), *start = FV_TAKE(x->scratch, int32_t, n + 1), *entry = FV_TAKE(x->scratch, int32_t, n);
    int64_t kept = 0, count = 0;
    int32_t largest = 0;
    for (int64_t i = 0; i < n; i++) {
        if (index[i] < 0) continue;
        if (index[i] > largest) largest = index[i];
        pair[kept].row = index[i];
        pair[kept++].entry = (int32_t)i;
    }
    pair = fv_sort_pairs_(pair, other, kept, largest);
    for (int64_t i = 0; i < kept; i++) {
        entry[i] = pair[i].entry;
        if (i > 0 && pair[i].row == pair[i - 1].row) continue;
        row[count] = pair[i].row;
        start[count++] = (int32_t)i;
    }
    start[count] = (int32_t)kept;
    fv_groups g;
    g.row = (const int32_t *)fv_cuda_stage(x, row, (size_t)count * sizeof *row);
    g.start = (const int32_t *)fv_cuda_stage(x, start, (size_t)(count + 1) * sizeof *start);
    g.entry = (const int32_t *)fv_cuda_stage(x, entry, (size_t)kept * sizeof *entry);
    g.count = count;
    return g;
}

#endif
