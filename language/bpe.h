/* Byte-pair merging of one word (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909): the pair of lowest rank first, the
 * leftmost of equals, until no neighbours have a merge. Order n log n in the length of the word, so long runs are no trap. */
#ifndef FV_LANGUAGE_BPE_H
#define FV_LANGUAGE_BPE_H

#include "language/tokenizer.h"

/* Which pairs of ids merge, at which rank, into which id: a hash table with linear probing, at most half full. */
typedef struct {
    struct fv_merge *slots;
    uint32_t mask; /* slots - 1, a power of two */
} fv_merges;

fv_status fv_merges_new(fv_merges *out, size_t count, fv_error *err); /* room for `count` merges */
void fv_merges_put(fv_merges *m, int32_t left, int32_t right, int32_t rank, int32_t id); /* a pair that is there gets the new rank */
void fv_merges_free(fv_merges *m);

/* Scratch of one thread; starts as {0}, grows with the longest word. */
typedef struct {
    struct fv_bpe_symbol *symbols;
    struct fv_bpe_candidate *heap;
    size_t room, waiting;
} fv_bpe_work;
void fv_bpe_work_free(fv_bpe_work *w);

/* Appends the ids of a word of `length` bytes; byte_id[b] is the id of the single byte b. */
fv_status fv_bpe_word(const fv_merges *m, const int32_t byte_id[256], const uint8_t *word, size_t length, fv_bpe_work *w, fv_ids *out, fv_error *err);

#endif
