/* Orders without lists: where the i-th item of a shuffled reading, or of a mixture, comes from, by arithmetic alone. */
#ifndef FV_DATASETS_DRAW_H
#define FV_DATASETS_DRAW_H

#include <stdint.h>

/* The image of i under a permutation of 0..n-1 that key chooses: a Feistel network of six rounds of Philox on the next even power of two, walked
 * until it falls below n (Black and Rogaway 2002, "Ciphers with arbitrary finite domains"; fewer than four steps on average). 0 <= i < n. */
int64_t fv_permuted(uint64_t key, int64_t n, int64_t i);

/* The draw-th row of an endless shuffled reading of n rows: each epoch of n draws is a permutation of its own. */
int64_t fv_shuffled(uint64_t key, int64_t n, int64_t draw);

/* Mixtures repeat a pattern of this many draws, in which every source has a fixed number of places: shares are exact to 1 / 65536. */
#define FV_MIX_PLACES 65536

/* Sources in a mixture: first[s]..first[s + 1] are the places of source s, first[count] = FV_MIX_PLACES; draws go to them in van der Corput's
 * order (draw number with its 16 bits reversed), which spreads every source evenly. Gives the source, and in *nth how many of
 * its draws came before this one. */
int fv_mixed(const int32_t *first, int count, int64_t draw, int64_t *nth);

/* How many of the first `draws` draws go to a source. */
int64_t fv_mix_drawn(const int32_t *first, int source, int64_t draws);

/* Fills first[count + 1] from weights >= 0 that are not all 0: shares in proportion, at least one place each, but none for a weight of 0. count <= 1024. */
void fv_mix_places(int32_t *first, const double *weights, int count);

#endif
