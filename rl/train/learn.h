/* What a policy learns from a batch of answers that have their rewards and advantages: passes over the tree, the objectives' streams, one backward, the optimizer; and the proof that the
 * log-probs of training are those of sampling. */
#ifndef FV_RL_LEARN_H
#define FV_RL_LEARN_H

#include "rl/engine/engine.h"
#include "rl/train/grpo_batch.h"
#include "rl/train/others.h"

typedef struct {
    fv_trainer *t;
    const fv_stage *stage;
    int64_t steps;                /* of the stage */
    const fv_pipeline *pipeline;
    const fv_others *others;
    const fv_engine *engine;      /* which has the answers' forward passes */
    const fv_rollout *beside[2];  /* answers that are only sampled: their log-probs are compared, too */
} fv_learner;

/* What the value head expects at the tokens of a batch, before it learns from them. */
fv_status fv_learn_values(const fv_learner *l, fv_grpo_batch *b, fv_error *err);

/* The stage's `updates` optimizer steps on a batch, and their metrics. FV_LIMIT where numbers are none any more, or a log-prob is not the one that was sampled with. */
fv_status fv_learn(const fv_learner *l, fv_grpo_batch *b, int64_t step, fv_metrics *m, fv_error *err);

#endif
