/* Evaluations by themselves: of a recipe's model on its eval_data, or of responses that exist already. */
#ifndef FV_RL_EVALUATE_FILE_H
#define FV_RL_EVALUATE_FILE_H

#include "rl/evaluate/evaluate.h"

typedef struct {
    const char *folder;        /* samples.jsonl (of the first mode; of others samples-greedy.jsonl), results.json, and report/report.html; NULL: none */
    float temperature, top_p;  /* of sampled mode; 0: 1 */
    bool quiet;
    fv_bad_row *bad;           /* may be NULL */
    void *context;
    void (*note)(const char *model, const char *note); /* as fv_session_options' */
} fv_evaluate_file_options;

/* *result, the caller's: {"protocol", "mode", "n", "accuracy", "se", "se_clustered", "ci95", "by", ... as fv_evaluate} of the recipe's first mode; with several, "modes"
 * holds all by name. */
fv_status fv_evaluate_recipe(json_t **result, const fv_recipe *recipe, const fv_evaluate_file_options *options, fv_error *err);

/* The same from rows with `response` (rl/responses.h): {"protocol", "n", "accuracy", "se", "se_clustered", "ci95", "by", "errors", ... as fv_marks_write}. Of the
 * recipe only what fv_marking_open reads and evaluate.n matter. */
fv_status fv_evaluate_responses(json_t **result, const fv_recipe *recipe, const char *path, const fv_evaluate_file_options *options, fv_error *err);

/* A recipe that only evaluates `model` on `data`, for fv_evaluate_recipe; overrides as fv_recipe_open's. */
fv_status fv_evaluate_recipe_for(fv_recipe **out, const char *model, const char *data, const char *const *overrides, int count, fv_error *err);

#endif
