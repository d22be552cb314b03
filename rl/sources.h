/* What a run reads and whose place it takes, looked at before an earlier run is moved aside and anything is made: a wrong name costs a message, and not an earlier run's name or the
 * hours until its stage begins. */
#ifndef FV_RL_SOURCES_H
#define FV_RL_SOURCES_H

#include "rl/recipe.h"

/* The export's place is free or an older model's; nothing that is read lies in the run folder of a new run (fresh); models, adapter, data, the
 * prompts of judges, and a new model's preset can be opened. What stages of the run itself write for later ones is not there yet. FV_BAD_RECIPE, or whatever opening says. */
fv_status fv_sources_check(const fv_recipe *r, bool fresh, fv_error *err);

/* A file that a recipe names beside itself (prompts of judges), malloc'ed; NULL when out of memory. */
char *fv_sources_beside(const fv_recipe *r, const char *name);
/* Copies the prompts that its judges are asked with below `folder`, under the names that its recipe.yaml has for them; names that lead elsewhere mean the same there. */
fv_status fv_sources_keep(const fv_recipe *r, const char *folder, fv_error *err);

#endif
