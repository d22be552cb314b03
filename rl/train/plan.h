/* What a run will do, with estimated times and the memory that it needs, before it begins. */
#ifndef FV_RL_PLAN_H
#define FV_RL_PLAN_H

#include "rl/compare/arms.h"
#include "rl/train/needs.h"

/* Appends lines for a terminal: what `needs` says of memory, a line a stage with its steps and sizes, and one for its evaluations. Times are those of an earlier run of the same model in
 * the run folder (or in the newest one that was moved aside, NAME.1 ...), by stage and size; else they follow from two forward passes over the first rows, which
 * are timed here; where that would take long itself, or the model is still to be made, none are given. A plan never fails for a reason that the
 * run itself would meet (a missing model or file): it says less then. Only FV_NO_MEMORY. */
fv_status fv_plan_text(fv_text *out, const fv_recipe *recipe, const fv_needs *needs, fv_error *err);

/* The same for a comparison: what is shared, each arm's stages once, and the time of all arms with all seeds. An earlier one is looked for in the same way. */
fv_status fv_plan_arms(fv_text *out, const fv_arms *arms, fv_error *err);

#endif
