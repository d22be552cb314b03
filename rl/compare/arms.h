/* A comparison: a recipe with `arms` (docs/comparing.md), as the ordinary recipes of its runs. Every arm runs once with every seed, each in a folder of its own below the
 * recipe's `out`; stages that are `shared` run once, before all of them, and every run begins with the model that they end with. */
#ifndef FV_RL_ARMS_H
#define FV_RL_ARMS_H

#include "rl/recipe/recipe_tree.h"

enum { FV_ARMS_MOST = 8 /* each has a colour of its own */, FV_ARMS_SEEDS = 32, FV_ARMS_METRICS = 12 };

/* One run: an arm with a seed. */
typedef struct {
    int arm;
    int64_t seed;
    fv_recipe *recipe;     /* what `fovea train` with the arm's overrides would run */
} fv_arm_run;

typedef struct fv_arms {
    fv_recipe *recipe;     /* the whole, resolved */
    fv_yaml *tree;         /* the same as it was given, overrides in it */
    fv_recipe *shared;     /* the first stages; NULL: none are shared */
    const char *names[FV_ARMS_MOST]; /* of arms, borrowed from the recipe */
    int64_t seeds[FV_ARMS_SEEDS];
    int arm_count, seed_count, shared_stages;
    fv_arm_run *runs;      /* [seed_count * arm_count]: all arms with the first seed, then with the second */
} fv_arms;

/* True if the recipe is a comparison, to be opened with fv_arms_open. */
bool fv_arms_wanted(const fv_recipe *recipe);

/* As fv_recipe_open, of a recipe with arms. Everything that can be known before training is checked for every arm: fields, parts, sources of rows. Errors name the arm:
 * "recipe.yaml:9: arms.trust: unknown field stages.rl.optm; did you mean optim?" */
fv_status fv_arms_open(fv_arms **out, const char *path, const char *const *overrides, int override_count, fv_error *err);
void fv_arms_close(fv_arms *a);

const char *fv_arms_folder(const fv_recipe *run);  /* its `out` */
const char *fv_arms_name(const fv_recipe *run);    /* the last name of that: "trust-2", "shared" */

#endif
