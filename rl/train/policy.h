/* What a recipe trains: the model's weights or its adapter's, the value head that some part wants, and which of them each stage freezes. */
#ifndef FV_RL_POLICY_H
#define FV_RL_POLICY_H

#include "core/slot.h"
#include "language/model.h"
#include "rl/recipe/recipe.h"

/* The adapter that the recipe names or describes is given to `m`. */
fv_status fv_train_adapt(fv_model *m, const fv_recipe *r, fv_error *err);
/* The policy: a slot over `weights` [m->count], the model's own or others of their shapes. What every stage freezes has no master, gradient or moments. */
fv_status fv_train_policy(fv_slot **out, const fv_recipe *r, const fv_model *m, const fv_weight *weights, const fv_ops *ops, fv_exec exec, fv_error *err);
/* Holds what a stage freezes (its own `freeze`, else the recipe's). A policy holds nothing else. Can't fail for a slot that fv_train_policy opened. */
fv_status fv_train_hold(fv_slot *policy, const fv_recipe *r, const fv_stage *stage, fv_error *err);

#endif
