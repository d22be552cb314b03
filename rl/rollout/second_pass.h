/* The second pass (Vision-SR1, arXiv 2508.19652): the same policy answers once more, from the description that it wrote and without the picture, once for each response. Whether it is
 * right then is paid to that response: its description was enough. Both passes are in one tree; no gradient is the second one's, as in the release. */
#ifndef FV_RL_SECOND_PASS_H
#define FV_RL_SECOND_PASS_H

#include "rl/pipeline.h"
#include "rl/rollout/rollout.h"
#include "rl/train/run.h"

typedef struct {
    const char *ask;      /* the user's turn, with {description} and {question}; borrowed from the stage */
    int count;            /* responses of a step */
    fv_sample *samples;   /* [count] what the second pass is asked; rows are the first pass's */
    int64_t *numbers;     /* [count] 0, 1, ... */
    bool *asked;          /* [count] the response has a description */
    bool *now;            /* [count] is asked in this run */
    fv_rollout rollout;   /* groups of one */
} fv_second_pass;

/* FV_BAD_RECIPE where the stage does not say what to ask. place: "recipe.yaml: stages.rl". */
fv_status fv_second_pass_open(fv_second_pass *p, const json_t *stage, const char *place, int count, fv_error *err);
void fv_second_pass_close(fv_second_pass *p);
void fv_second_pass_clear(fv_second_pass *p); /* after a step */

/* After `first` has run with `options`, of the samples that `again` marks (NULL: all, the first time in a step). What a response describes is the inside of its first <description>
 * pair; one without is not asked: the release hands over the whole response, answer and all. */
fv_status fv_second_pass_run(fv_second_pass *p, const fv_rollout *first, fv_engine *e, const fv_model *m, fv_slot *slot, const fv_rollout_options *options, const bool *again,
                             fv_error *err);

/* What response i's second pass wrote: "" if it was not asked, NULL if it broke. */
const char *fv_second_pass_text(const fv_second_pass *p, int i);
/* Puts it into the responses [count]; one whose second pass broke has its error. */
void fv_second_pass_tell(const fv_second_pass *p, fv_response *responses);
void fv_second_pass_metrics(const fv_second_pass *p, fv_metrics *m);

#endif
