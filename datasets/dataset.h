/* Rows in: files (.json, .jsonl) of every format that CLI.md names, generators, and weighted mixtures of them. Access by number, so that any order,
 * shard or resume is a matter of numbers. Safe to read from several threads. */
#ifndef FV_DATASETS_DATASET_H
#define FV_DATASETS_DATASET_H

#include "datasets/row.h"

typedef struct fv_dataset fv_dataset;

/* spec: a path, {"make": GENERATOR, "n":, "split":, "seed":, options...}, {"path": F, "weight": 2.0}, or a list of those (a mixture). */
fv_status fv_dataset_open(fv_dataset **out, const json_t *spec, uint64_t seed, fv_error *err);
void fv_dataset_close(fv_dataset *d);
int64_t fv_dataset_count(const fv_dataset *d);
/* Row `index` (0-based). A bad row is FV_BAD_DATA with its place; the caller decides whether to skip it. */
fv_status fv_dataset_row(const fv_dataset *d, int64_t index, fv_row **out, fv_error *err);
/* Which row the `draw`-th sample of an endless shuffled reading is: epoch after epoch, each a permutation; mixtures by weight. Pure function of seed. */
int64_t fv_dataset_draw(const fv_dataset *d, uint64_t seed, int64_t draw);

#endif
