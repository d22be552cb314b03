/* A recipe's rewards, advantages and token weights for given responses (CLI.md, "reward input and output"). No policy is loaded. */
#ifndef FV_RL_REWARD_ROWS_H
#define FV_RL_REWARD_ROWS_H

#include "rl/recipe/recipe.h"

typedef struct {
    int64_t rows, bad, groups; /* bad: written with an error */
} fv_reward_counts;

/* Whose rewards a recipe's are: the last stage that learns by them, else the last that filters by them; NULL: there is none. */
const fv_stage *fv_reward_stage(const fv_recipe *r);

/* The rules are those of the recipe's last stage that has reward terms. Writes `out` whole or not at all, a line a row of `data`, in its order. A row's own `step`
 * (its group's first) is the step that schedules see. */
fv_status fv_reward_rows(fv_reward_counts *counts, const fv_recipe *recipe, const char *data, const char *out, fv_error *err);

#endif
