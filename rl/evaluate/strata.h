/* Means over tasks instead of over rows: rows counted by category, categories averaged within tasks, tasks averaged. */
#ifndef FV_RL_STRATA_H
#define FV_RL_STRATA_H

#include "rl/evaluate/protocol.h"
#include "rl/evaluate/tally.h"

/* Of rows counted in tallies[i] by their category levels[i] (up to a {0}), sets fv_estimate_write's fields of `out`, and adds tasks of several categories to its "by".
 * accuracy = mean over tasks of the mean over categories, of those that have rows. With W_i the weight that category i has in it, SE^2 = sum W_i^2 var_i / n_i; clustered,
 * to that is added sum over clusters of ((sum w d)^2 - sum (w d)^2), w = W_i / n_i, d = score - mean_i: for one category both are fv_tally_write's. ci95 is the normal
 * interval, cut to 0..1. */
void fv_strata_write(const fv_tally *tallies, const fv_level *levels, json_t *out);

#endif
