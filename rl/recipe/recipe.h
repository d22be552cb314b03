/* A recipe: a YAML file, resolved. Every default is written out and every value checked against one table of fields, from which the checks, the help and
 * docs/recipe.md come. After fv_recipe_open the getters can't fail. */
#ifndef FV_RL_RECIPE_H
#define FV_RL_RECIPE_H

#include "core/json.h"
#include "core/yaml.h"

typedef enum { FV_STAGE_SFT = 1, FV_STAGE_GRPO = 2, FV_STAGE_FILTER = 4 } fv_stage_kind;
enum { FV_TOP = 8 }; /* a field of the recipe itself */

typedef enum { FV_FIELD_TEXT, FV_FIELD_CHOICE, FV_FIELD_INT, FV_FIELD_NUM, FV_FIELD_SCHEDULE, FV_FIELD_BOOL, FV_FIELD_LIST, FV_FIELD_SOURCE, FV_FIELD_ENV, FV_FIELD_MAP, FV_FIELD_PART, FV_FIELD_PARTS, FV_FIELD_NAMES } fv_field_kind;

/* One field: where it belongs, what it may be, what it is when left out. */
typedef struct {
    const char *path;      /* "optim.lr" */
    int where;             /* FV_TOP or a sum of stage kinds */
    fv_field_kind kind;
    double low, high;      /* INT, NUM, SCHEDULE */
    const char *fallback;  /* as YAML; "" = absent */
    const char *choices;   /* CHOICE: "sampled|greedy"; PART(S): the hook, "reward" */
    const char *help;
} fv_field;
const fv_field *fv_recipe_fields(int *count);

typedef struct {
    const char *name;      /* borrowed from json */
    fv_stage_kind kind;
    const json_t *json;    /* its resolved fields */
} fv_stage;

typedef struct fv_recipe {
    char *file;
    json_t *json;          /* resolved, with "stages" */
    fv_stage *stages;
    int stage_count;
} fv_recipe;

/* Reads, overrides ("path.to.field=value", where one stage alone has a field also without "stages.NAME."), checks, resolves. Errors: "recipe.yaml:14: rollout.group_size must be 2..1024, got 0". */
fv_status fv_recipe_open(fv_recipe **out, const char *path, const char *const *overrides, int override_count, fv_error *err);
fv_status fv_recipe_parse(fv_recipe **out, const char *text, const char *name, const char *const *overrides, int override_count, fv_error *err);
void fv_recipe_close(fv_recipe *r);
bool fv_recipe_of_stages(const char *assignment); /* "path=value" is of a field that stages alone have */
/* What rows without an `env` have in a stage (NULL: in the last one, which is what an evaluation by itself is of): the stage's own, else the recipe's; NULL: none. */
const json_t *fv_recipe_env(const fv_recipe *r, const fv_stage *stage);
/* Whether a stage is followed by an evaluation: a filter leaves the model as it is, so that only one that comes first is. */
bool fv_recipe_evaluates(const fv_recipe *r, const fv_stage *stage);
/* As YAML with every default: what a run folder keeps as recipe.yaml, and what reads back to the same recipe. */
void fv_recipe_write(const fv_recipe *r, fv_text *out);

/* YAML as JSON values, the caller's. */
json_t *fv_recipe_json(const fv_yaml *y);

/* Values by path in a resolved object (recipe->json, stage->json, or a part's). The field exists and has the type, or these return 0, NULL, false. */
int64_t fv_get_int(const json_t *at, const char *path);
double fv_get_num(const json_t *at, const char *path);
bool fv_get_bool(const json_t *at, const char *path);
const char *fv_get_text(const json_t *at, const char *path);
const json_t *fv_get(const json_t *at, const char *path);
double fv_get_at(const json_t *at, const char *path, int64_t step, int64_t steps); /* a schedule's value */

#endif
