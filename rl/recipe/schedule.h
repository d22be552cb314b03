/* A scalar of a recipe that may change with the step: a number, or {cosine: [1, 0]}, {linear: [a, b]}, {exponential: [a, tau]}, {constant: a}. */
#ifndef FV_RL_SCHEDULE_H
#define FV_RL_SCHEDULE_H

#include "core/json.h"

/* Whether `value` is a scalar in one of these forms; if not, *why says what is wrong. */
bool fv_schedule_valid(const json_t *value, const char **why);

/* The value at `step` of `steps` (0-based; progress = step / steps, clamped to 0..1).
 * linear: a + (b - a) * progress.  cosine: b + (a - b) * (1 + cos(pi * progress)) / 2.  exponential: a * exp(-step / tau). */
double fv_schedule_at(const json_t *value, int64_t step, int64_t steps);

#endif
