/* Answers to shuffled frames (Video-R1's T-GRPO, arXiv 2503.21776): half as many as a group has, to the same clip with its frames in random order. They set the bar for the others
 * (rl/rewards/temporal.c), are in no baseline and are not trained on. A prompt without a clip has none. */
#ifndef FV_RL_SHUFFLED_H
#define FV_RL_SHUFFLED_H

#include "rl/train/grpo_batch.h"

typedef struct {
    int prompts, size;    /* groups; shuffled answers of each */
    fv_sample *samples;   /* [prompts] rows are the ordered ones' */
    bool *clip;           /* [prompts] there is something to shuffle */
    bool *now;            /* [prompts] is asked in this run */
    fv_rollout rollout;
    int terms;
    double *term;         /* [prompts * size][terms] */
    fv_response *responses; /* [prompts * size] */
    fv_response *joined;  /* [group + size] a group with its shuffled answers */
} fv_shuffled;

fv_status fv_shuffled_open(fv_shuffled *s, int prompts, int group_size, int terms, fv_error *err);
void fv_shuffled_close(fv_shuffled *s);
void fv_shuffled_clear(fv_shuffled *s); /* after a step */

/* After the batch was rolled out with `options`, of the prompts that `again` marks (NULL: all, the first time in a step). Orders go by options->seed, the step and the prompt's place. */
fv_status fv_shuffled_run(fv_shuffled *s, const fv_grpo_batch *b, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, const fv_rollout_options *options,
                          const bool *again, fv_error *err);

/* Fills `responses`, as fv_grpo_batch_index does for the batch's own. */
void fv_shuffled_index(fv_shuffled *s);
/* The prompt's group with its shuffled answers behind it, to be judged as one, until the next; then what was found of each goes back to where it belongs. */
fv_group fv_shuffled_join(fv_shuffled *s, const fv_grpo_batch *b, int prompt);
void fv_shuffled_part(fv_shuffled *s, fv_grpo_batch *b, int prompt);

void fv_shuffled_metrics(const fv_shuffled *s, const fv_pipeline *p, fv_metrics *m);

#endif
