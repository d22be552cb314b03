/* Evaluation: one answer a row, marked by a protocol or a reward term, with an interval, by category. */
#ifndef FV_RL_EVALUATE_H
#define FV_RL_EVALUATE_H

#include "core/file.h"
#include "rl/evaluate/asked.h"
#include "rl/evaluate/marks.h"
#include "rl/rollout/rollout.h"

enum { FV_EVALUATE_ROWS = 128, FV_EVALUATE_TOKENS = 32768 /* max_tokens of a run's evaluations */ };

typedef struct {
    const char *name;          /* "visual-search after rl" */
    const char *label;         /* what the progress line begins with; NULL: nothing */
    const char *mode;          /* sampled (temperature 1), greedy, no_tool (greedy, no tools, the answer forced by "<answer>") */
    const json_t *env;         /* of rows without their own */
    const json_t *ask;         /* what rows are asked with (rl/recipe/ask.h); NULL: as they say it */
    const char *samples_path;  /* a JSON line a row (lmms-eval's keys beside CLI.md's); NULL: none */
    const char *show_folder;   /* trajectories of the first `show` rows with their pictures, for the report; NULL: none */
    int show;
    const fv_pipeline *paid;   /* shown with what it pays for each as well, term by term (fv_pipeline_pays_alone); NULL: with the mark alone */
    fv_moment when;            /* of what is paid */
    fv_asked *asked;           /* who is asked where a protocol leaves an answer open; NULL: nobody */
    int64_t n;                 /* rows; 0: all */
    int max_new_tokens, max_tokens;
    float temperature, top_p;  /* sampled mode; 0: 1 */
    uint64_t seed;             /* of sampling */
    int batch;                 /* rows at once; 0: FV_EVALUATE_ROWS */
    bool quiet;
    fv_bad_row *bad;           /* may be NULL */
    void *context;
} fv_evaluate_options;

/* *result, the caller's: {"name", "mode", what fv_marks_write writes, "calls_per_answer",
 * "failed_calls", "target_hits" (share of boxes that hold the row's target_box by at least 0.9; null without), "length", "errors", "seconds"}.
 * Rows that could not be used are counted in "errors" and left out. */
fv_status fv_evaluate(json_t **result, const fv_model *m, fv_slot *slot, fv_pool *pool, fv_jobs *tools, const fv_dataset *data, const fv_marking *marking,
                      const fv_evaluate_options *options, fv_error *err);

#endif
