/* Judging in training: responses whose reward lacks a judge's word (fv_response.unjudged) are asked about, all of a step together, and are then to be paid
 * again with what was said. Every question and its answer is recorded (rl/judge_record.h). What could not be asked has its error and takes no part in its group's baseline. */
#ifndef FV_RL_JUDGING_H
#define FV_RL_JUDGING_H

#include "rl/grpo_batch.h"
#include "rl/train.h"

typedef struct fv_judging fv_judging;

/* For a stage whose pipeline needs a judge; all are borrowed. FV_BAD_RECIPE where the recipe has none, or a term no prompt. */
fv_status fv_judging_open(fv_judging **out, const fv_trainer *t, const fv_stage *stage, const fv_pipeline *p, fv_error *err);
void fv_judging_close(fv_judging *j); /* NULL is fine */

/* After fv_pipeline_reward over the batch's groups, before advantages. Texts that it gives to responses live until the next step's call. A step's batch may come several
 * times, with other responses in some places (dynamic sampling): what stays the same is not asked again. */
fv_status fv_judging_run(fv_judging *j, fv_grpo_batch *b, fv_error *err);

/* judge/... and the time that it took, of this step. */
void fv_judging_metrics(const fv_judging *j, fv_metrics *m);

#endif
