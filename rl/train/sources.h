/* What a run reads and whose place it takes, looked at before an earlier run is moved aside and anything is made: a wrong name costs a message, and not an earlier run's name or the
 * hours until its stage begins. */
#ifndef FV_RL_SOURCES_H
#define FV_RL_SOURCES_H

#include "rl/recipe/recipe.h"

/* When it is looked at. */
typedef struct {
    const char *moved; /* the folder that is moved aside for the run, so that nothing in it can be read; NULL: none is */
    const char *made;  /* a folder that is still to be made (a comparison's shared run): what lies in it is not looked for; NULL: none */
    int stage;         /* the first that is still to run: what those before it read is not needed any more */
} fv_sources_when;

/* The export's place is free or an older model's; models, adapter, data, and a new model's preset can be opened; a stage that needs a judge has one, and its prompts can be read: *prompts
 * gets {name: text}, the caller's, since a recipe may lie, with them, in the folder that is moved. What filters of the run write for stages behind them is not there yet. FV_BAD_RECIPE, or
 * whatever opening says. */
fv_status fv_sources_open(json_t **prompts, const fv_recipe *r, fv_sources_when when, fv_error *err);

/* Writes prompts below `folder`, under the names that its recipe.yaml has for them (absolute names mean the same there). */
fv_status fv_sources_keep(const json_t *prompts, const char *folder, fv_error *err);

/* A file that a recipe names beside itself, malloc'ed; NULL when out of memory. */
char *fv_sources_beside(const fv_recipe *r, const char *name);

#endif
