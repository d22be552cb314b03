/* A recipe as the tree that its file is, before it is resolved: for recipes that are made from another one (rl/compare/arms.c). fv_recipe_open is all three steps in one:
 * fv_yaml_read, fv_recipe_change, fv_recipe_resolve. */
#ifndef FV_RL_RECIPE_TREE_H
#define FV_RL_RECIPE_TREE_H

#include "rl/recipe/recipe.h"

/* Names the stages that have no name after their kind, and applies overrides ("path.to.field=value", where one stage alone has a field also without "stages.NAME."). */
fv_status fv_recipe_change(fv_yaml *y, const char *const *overrides, int override_count, fv_error *err);

/* The stage that a field without "stages.NAME." is of: the only one that has it; -1: none or several, or it is the recipe's. */
int fv_recipe_stage_of(const fv_yaml *y, const char *path);

/* Checks and resolves; `name` is what messages call its file. Takes y over, also when it fails; y NULL is FV_NO_MEMORY. */
fv_status fv_recipe_resolve(fv_recipe **out, fv_yaml *y, const char *name, fv_error *err);

#endif
