/* A step's rollouts with their responses: which tokens of the tree belong to which response, and what the metrics say of them. */
#ifndef FV_RL_GRPO_BATCH_H
#define FV_RL_GRPO_BATCH_H

#include "rl/engine/pack.h"
#include "rl/pipeline.h"
#include "rl/rollout/rollout.h"
#include "rl/train/run.h"

typedef struct {
    int prompts, group_size;
    int64_t *numbers;         /* [prompts] rows of the data set */
    int64_t *places;          /* [prompts] 0, 1, ...: what the draws go by, since a row may be there twice */
    fv_sample *samples;       /* [prompts] */
    fv_rollout rollout;
    fv_response *responses;   /* [prompts * group_size] */
    fv_group *groups;         /* [prompts] */
    double *terms;            /* [responses][terms] */
    float *tokens;            /* all responses' logp, entropy, advantage, weight, value and return of trained tokens */
    int32_t *response_tokens; /* [responses] */
    int longest;              /* tokens of the longest */
    double *noted;            /* [prompts][longest] for what is found of positions (rl/engine/vocabulary.h) */
    int *response_of, *offset_of; /* by segment: which response wrote it (-1: none), and where its first token stands among that response's */
    bool by_reward; /* groups are flat where rewards are equal: nothing makes advantages of them */
} fv_grpo_batch;

fv_status fv_grpo_batch_open(fv_grpo_batch *b, int prompts, int group_size, fv_error *err);
void fv_grpo_batch_clear(fv_grpo_batch *b); /* after a step: gives rollout and samples back */
void fv_grpo_batch_close(fv_grpo_batch *b);

/* After the rollout, and again after parts of it were rolled out anew: fills responses and groups, with room for `terms` reward terms each. */
fv_status fv_grpo_batch_index(fv_grpo_batch *b, int terms, fv_error *err);
int fv_grpo_batch_flat(const fv_grpo_batch *b);                    /* groups whose advantages are all zero; with a value head, whose rewards are equal */
bool fv_grpo_batch_is_flat(const fv_grpo_batch *b, int prompt);
/* What an update on prompts [first, last) is normalised by: its sound responses, and their tokens. */
int fv_grpo_batch_sound(const fv_grpo_batch *b, int first, int last, int64_t *tokens);

/* Leaves of the trajectories that an update on prompts [first, last) learns from: sound ones, of groups that are not flat (all: of every group). train false: of
 * all others of the batch. leaves: room for all responses. */
int fv_grpo_batch_leaves(const fv_grpo_batch *b, int first, int last, bool all, bool train, int *leaves);

/* Streams of the targets of a pass; arrays from the arena; what is written to, reference_logp and value are left NULL, total and responses 0. */
void fv_grpo_batch_streams(const fv_grpo_batch *b, const fv_targets *targets, const float *logp, const float *entropy, fv_streams *out, fv_arena *arena);

/* What the value head says of the targets of a pass becomes `value` of their responses. */
void fv_grpo_batch_values(fv_grpo_batch *b, const fv_targets *targets, const float *value);

/* TRL's and verl's tags for what was sampled. */
void fv_grpo_batch_metrics(const fv_grpo_batch *b, const fv_pipeline *p, fv_metrics *m);

#endif
