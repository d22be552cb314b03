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

int64_t fv_mix_drawn(const int32_t *first, int source, int64_t draws) {
    int64_t block = draws / FV_MIX_PLACES, within = draws % FV_MIX_PLACES;
    return block * (first[source + 1] - first[source]) + fv_places_below(within, first[source + 1]) - fv_places_below(within, first[source]);
}

int fv_mixed(const int32_t *first, int count, int64_t draw, int64_t *nth) {
    int32_t place = (int32_t)fv_reversed((uint32_t)(draw % FV_MIX_PLACES), FV_MIX_BITS);
    int s = 0;
    while (s + 1 < count && place >= first[s + 1]) s++;
    *nth = fv_mix_drawn(first, s, draw);
    return s;
}

void fv_mix_places(int32_t *first, const double *weights, int count) {
    double all = 0, sum = 0;
    int32_t later = 0; /* sources behind that need a place */
    for (int s = 0; s < count; s++) {
        all += weights[s];
        later += weights[s] > 0;
    }
    first[0] = 0;
    for (int s = 0; s < count; s++) {
        sum += weights[s];
        later -= weights[s] > 0;
        int32_t end = (int32_t)(sum / all * FV_MIX_PLACES + 0.5), least = first[s] + (weights[s] > 0), most = FV_MIX_PLACES - later;
        first[s + 1] = end < least ? least : end > most ? most : end;
    }
    first[count] = FV_MIX_PLACES;
}
