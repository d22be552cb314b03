/* A generator makes rows from nothing but (seed, split, number): tasks with exact answers on photographs and plain grounds. */
#ifndef FV_DATASETS_GENERATOR_H
#define FV_DATASETS_GENERATOR_H

#include "datasets/row.h"

typedef struct {
    uint64_t seed;
    const char *split;       /* "train", "test"; test uses photographs that train never sees */
    const json_t *options;   /* the generator's own, checked against its list */
} fv_generator_how;

typedef struct {
    const char *name;        /* "visual-search" */
    const char *help;        /* one line */
    const char *options;     /* "plates=3..6 size=448": names with defaults, for help and for refusing unknown ones */
    fv_status (*make)(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err);
} fv_generator;

const fv_generator *fv_generator_find(const char *name); /* NULL if there is none */
const fv_generator *const *fv_generators(int *count);

#endif
