#include "datasets/draw.h"

#include "core/random.h"

enum { FV_ROUNDS = 6, FV_MIX_BITS = 16 };

int64_t fv_permuted(uint64_t key, int64_t n, int64_t i) {
    int half = 1;
    while (half < 31 && ((int64_t)1 << 2 * half) < n) half++;
    uint64_t mask = ((uint64_t)1 << half) - 1, value = (uint64_t)i;
    do {
        uint64_t left = value >> half, right = value & mask;
        for (uint64_t round = 0; round < FV_ROUNDS; round++) {
            uint64_t mixed = left ^ (fv_random_at(key, round << 32 | right) & mask);
            left = right;
            right = mixed;
        }
        value = left << half | right;
    } while (value >= (uint64_t)n);
    return (int64_t)value;
}

int64_t fv_shuffled(uint64_t key, int64_t n, int64_t draw) {
    uint64_t epoch = (uint64_t)(draw / n);
    return fv_permuted(fv_random_key(key, "epoch", epoch, 0), n, draw % n);
}

/* ---- mixtures ------------------------------------------------------------------------------------------------------- */

static uint32_t fv_reversed(uint32_t v, int bits) {
    uint32_t r = 0;
    for (int i = 0; i < bits; i++) r = r << 1 | (v >> i & 1);
    return r;
}

/* How many of the draws 0..end-1 (end <= 2^16) have a place below `limit`. The range is cut into aligned runs of 2^k draws: the reversed numbers of a
 * run are r, r + step, r + 2 step, ... with step = 2^(16 - k) and r < step the reversed upper bits. */
static int64_t fv_places_below(int64_t end, int64_t limit) {
    int64_t count = 0, begin = 0;
    for (int k = FV_MIX_BITS; k >= 0; k--) {
        if (!(end >> k & 1)) continue;
        int64_t step = (int64_t)1 << (FV_MIX_BITS - k), r = fv_reversed((uint32_t)(begin >> k), FV_MIX_BITS - k);
        int64_t below = limit > r ? (limit - r + step - 1) / step : 0, run = (int64_t)1 << k;
        count += below < run ? below : run;
        begin += run;
    }
    return count;
}

int fv_mixed(const int32_t *first, int count, int64_t draw, int64_t *nth) {
    int64_t block = draw / FV_MIX_PLACES, within = draw % FV_MIX_PLACES;
    int32_t place = (int32_t)fv_reversed((uint32_t)within, FV_MIX_BITS);
    int s = 0;
    while (s + 1 < count && place >= first[s + 1]) s++;
    *nth = block * (first[s + 1] - first[s]) + fv_places_below(within, first[s + 1]) - fv_places_below(within, first[s]);
    return s;
}

void fv_mix_places(int32_t *first, const double *weights, int count) {
    double all = 0, sum = 0;
    for (int s = 0; s < count; s++) all += weights[s];
    first[0] = 0;
    for (int s = 0; s < count; s++) {
        sum += weights[s];
        int32_t end = (int32_t)(sum / all * FV_MIX_PLACES + 0.5), least = first[s] + 1, most = FV_MIX_PLACES - (count - 1 - s);
        first[s + 1] = end < least ? least : end > most ? most : end;
    }
    first[count] = FV_MIX_PLACES;
}
