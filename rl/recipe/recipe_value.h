/* One value of a recipe: from YAML, checked against its field (and a part's options against the part), as it is resolved. */
#ifndef FV_RL_RECIPE_VALUE_H
#define FV_RL_RECIPE_VALUE_H

#include "rl/recipe/recipe.h"

/* *out, the caller's, is what `y` gives for the field. FV_BAD_RECIPE names prefix + the field's path, the rule and the value. */
fv_status fv_recipe_value(const fv_yaml *y, const fv_field *f, const char *prefix, json_t **out, fv_error *err);

/* A default, which the table has as YAML; NULL for "". The caller's. */
json_t *fv_recipe_default(const char *yaml);

/* Names of stages and terms: letters, digits, "-", "_" and ".", since they become names of files and metrics. */
bool fv_recipe_good_name(const char *name);

#endif
