/* Whole rows of log-probs, for parts that look at distributions and not only at what was drawn (TW-GRPO's token weights). The rows of a group's answers are made position by position by
 * the second pass over the vocabulary (core/ops.h), a few positions at a time, looked at and forgotten: what is kept is a hidden state a token, and one number a position. */
#ifndef FV_RL_VOCABULARY_H
#define FV_RL_VOCABULARY_H

#include "rl/engine/engine.h"
#include "rl/train/grpo_batch.h"

typedef struct {
    const fv_model *model;
    fv_slot *slot;          /* the policy, as it sampled */
    const fv_engine *engine; /* has its forward passes (fv_engine_replay); NULL: they are made anew */
    fv_arena *arena;        /* reset after each pass */
    int64_t micro_tokens;   /* rows of one forward pass */
    size_t room;            /* bytes of whole rows, in double, that are held at once, but for one position with more; 0: 64 MiB */
} fv_vocabulary_source;

/* Lets the pipeline's part visit all positions of a prompt's answers, which are the first of `g`, but for those with an error; `noted` of these is the batch's, until it is indexed
 * again. */
fv_status fv_vocabulary_visit_group(const fv_vocabulary_source *from, fv_grpo_batch *b, int prompt, fv_group *g, const fv_pipeline *p, const fv_moment *when, fv_error *err);

#endif
