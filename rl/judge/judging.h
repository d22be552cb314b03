/* Judging in training: responses whose reward lacks a judge's word (fv_response.unjudged) are asked about, all of a step together, and are then to be paid
 * again with what was said. Every question and its answer is recorded (rl/judge/judge_record.h). What could not be asked has its error and takes no part in its group's baseline. */
#ifndef FV_RL_JUDGING_H
#define FV_RL_JUDGING_H

#include "rl/pipeline.h"
#include "rl/train/feed.h"
#include "rl/train/train.h"

typedef struct fv_judging fv_judging;

/* The term of a stage that asks a judge (NULL: none does), as far as can be told before it does: FV_BAD_RECIPE where the recipe has no judge, or the term no prompt. */
fv_status fv_judging_use(const fv_use **out, const fv_recipe *r, const fv_stage *stage, const fv_pipeline *p, fv_error *err);

/* For a stage whose pipeline needs a judge; all are borrowed. reference: see fv_judge_open. FV_BAD_RECIPE where the recipe has none, or a term no prompt. */
fv_status fv_judging_open(fv_judging **out, const fv_trainer *t, fv_slot *reference, const fv_stage *stage, const fv_pipeline *p, fv_error *err);
void fv_judging_close(fv_judging *j); /* NULL is fine */

/* A response that somebody may be asked about, and what the policy was asked there. */
typedef struct {
    fv_response *response;
    const fv_sample *sample;
} fv_judged;

/* After fv_pipeline_reward over a step's groups, before advantages: asks about those of list [count] that are unjudged. Texts that it gives to responses live until the next
 * step's call. A step's list may come several times, with other responses in some places (dynamic sampling): what stays the same is not asked again. */
fv_status fv_judging_run(fv_judging *j, const fv_judged *list, int count, fv_error *err);

/* judge/... and the time that it took, of this step. */
void fv_judging_metrics(const fv_judging *j, fv_metrics *m);

#endif
