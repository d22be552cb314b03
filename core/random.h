/* Counter-based randomness (Philox 4x32-10, Salmon et al. 2011): a draw is a function of (key, position) alone, so a run is
 * the same whatever the thread count or the order of work, also after a resume. */
#ifndef FV_CORE_RANDOM_H
#define FV_CORE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t key;
    uint64_t position; /* the next draw's */
} fv_random;

/* A key for a purpose: fv_random_key(seed, "rollout", step, row). Different words give independent streams. */
uint64_t fv_random_key(uint64_t seed, const char *purpose, uint64_t a, uint64_t b);

/* Fowler, Noll, Vo: FNV-1a, 64 bits (RFC 9923): a name for bytes, where nobody means harm. */
uint64_t fv_hash_bytes(const void *bytes, size_t size);

uint64_t fv_random_at(uint64_t key, uint64_t position);          /* 64 random bits */
double fv_uniform_at(uint64_t key, uint64_t position);           /* [0, 1), 53 bits */

/* A stream is a position that moves on. */
fv_random fv_random_stream(uint64_t key);
uint64_t fv_random_next(fv_random *r);
double fv_uniform(fv_random *r);                                 /* [0, 1) */
double fv_uniform_in(fv_random *r, double low, double high);     /* [low, high) */
int64_t fv_below(fv_random *r, int64_t n);                       /* 0..n-1, unbiased; n > 0 */
double fv_normal(fv_random *r);                                  /* mean 0, variance 1 (Box-Muller, own log/cos: same everywhere) */
void fv_shuffle(fv_random *r, void *items, int64_t n, int64_t size);

#endif
