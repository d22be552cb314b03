/* Running a comparison (rl/compare/arms.h): OUT/shared, then OUT/ARM-SEED for every seed and arm, each as `fovea train` runs it, then OUT/comparison.json and OUT/comparison.html. */
#ifndef FV_RL_COMPARE_H
#define FV_RL_COMPARE_H

#include "rl/compare/arms.h"
#include "rl/train/train.h"

/* An earlier OUT is moved aside as a run's folder is. With options->resume runs that have ended stay as they are, the one that was stopped goes on; runs of another recipe are
 * FV_BAD_RECIPE, since their figures would stand beside these. What was found is appended to `table` for a terminal (NULL: it is not wanted). */
fv_status fv_compare(const fv_arms *a, const fv_train_options *options, fv_text *table, fv_error *err);

#endif
