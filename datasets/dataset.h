/* Rows in: files (.json, .jsonl) of every format that CLI.md names, generators, and weighted mixtures of them. Access by number, so that any order,
 * shard or resume is a matter of numbers. Safe to read from several threads. */
#ifndef FV_DATASETS_DATASET_H
#define FV_DATASETS_DATASET_H

#include "datasets/row.h"

typedef struct fv_dataset fv_dataset;

/* spec: a path (a text); {"path": F, "weight": 2.0, "invert": 0.5}; {"make": GENERATOR, "n": rows, "split": "train", "seed": ..., "weight": ..., and the generator's own
 * options}; or a list of those, a mixture of at most 1024 sources. n is 10000 unless given, split "train", the seed of rows that are made is `seed`.
 * Without weights a mixture reads as if its sources were one file after the other; as soon as one source has a weight, weights (1 where
 * missing) are shares of the draws. In a mixture the id of source s's row ID is "s/ID", s counted from 1.
 * invert: that share of a file's questions, drawn by `seed` and the row's number, is inverted (datasets/invert.h).
 * Unknown fields and wrong values are FV_BAD_RECIPE ("data[1].weight must be ..."); rowfile.h says what is wrong with a file. */
fv_status fv_dataset_open(fv_dataset **out, const json_t *spec, uint64_t seed, fv_error *err);
void fv_dataset_close(fv_dataset *d); /* NULL is fine */
int64_t fv_dataset_count(const fv_dataset *d);
/* Row `index` (0-based), the caller's. A bad row is FV_BAD_DATA with its place; the caller decides whether to skip it. */
fv_status fv_dataset_row(const fv_dataset *d, int64_t index, fv_row **out, fv_error *err);
/* Which row the `draw`-th sample of an endless shuffled reading is: epoch after epoch, each a permutation; in mixtures by weight, each source in epochs
 * of its own. A pure function of (d, seed, draw), in constant time; draw >= 0. */
int64_t fv_dataset_draw(const fv_dataset *d, uint64_t seed, int64_t draw);
/* The row of one source (0-based) that a mixture by weight takes at that source's `nth` draw: for readings whose weights change on the way. */
int64_t fv_dataset_draw_of(const fv_dataset *d, uint64_t seed, int source, int64_t nth);
/* Row `i` of `n` that stand for all: the first ones of a single source, of a list every source's share (by weights where there are some). n at most the count. */
int64_t fv_dataset_some(const fv_dataset *d, int64_t i, int64_t n);

#endif
