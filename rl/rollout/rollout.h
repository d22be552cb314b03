/* Rollouts: agents act in their environments until every episode has ended. The engine writes, tools run on worker threads meanwhile, observations go back
 * into the tree. */
#ifndef FV_RL_ROLLOUT_H
#define FV_RL_ROLLOUT_H

#include "rl/engine/engine.h"
#include "rl/train/feed.h"

enum { FV_MAX_TURNS = 64 };

/* One turn of the agent and what the environment made of it. */
typedef struct {
    int segment;              /* what the policy wrote */
    int observation;          /* the answer's segment, -1: none */
    fv_step step;
} fv_agent_turn;

typedef struct {
    int sample;               /* index into the rollout's samples: its row, its prompt */
    int member;               /* 0 .. group_size - 1 */
    int prompt, leaf;         /* segments */
    fv_agent_turn *turns;
    int turn_count, turn_room;
    const char *stop_reason;  /* "answer", "end", "turns", "length", "context", "environment", "stopped", "error" */
    bool truncated;
    int tokens, pictures, calls, failures; /* written by the policy; pictures that came back; tool calls; bad ones */
    char *text;               /* everything after the prompt, observations included, special tokens kept; owned */
    fv_error error;           /* an episode that broke (an environment's own failure): reported, not trained on */
} fv_trajectory;

typedef struct {
    fv_tree *tree;
    bool beside;              /* the tree is another rollout's */
    fv_sample *samples;       /* [sample_count] borrowed */
    int sample_count, group_size;
    bool numbered;            /* files name trajectories ROW#K, also in groups of one */
    int64_t numbered_from;    /* what files add to K, where a row is rolled out more than once */
    fv_trajectory *trajectories; /* [sample_count * group_size], groups together; those of bad samples have stop_reason "error" */
    fv_engine_stats stats;
} fv_rollout;

typedef struct {
    int group_size;
    float temperature, top_p;
    int top_k;
    int max_new_tokens;       /* a turn */
    int max_response;         /* all turns and observations of an episode */
    int max_tokens;           /* context */
    uint64_t seed;            /* with `step` and the sample's number: draws and environments */
    int64_t step;
    const int64_t *numbers;   /* [sample_count] the samples' numbers, below 2^53: places in the data set, or anything that tells them apart */
    const char *forced;       /* text that every first turn begins with (the "no_tool" evaluation: "<answer>"); NULL: none. Not trained on */
    const volatile int *stop; /* once it is not 0, episodes end where they are; may be NULL */
} fv_rollout_options;

/* Called after every step of the engine with the episodes that have ended; what was written so far is in the tree. May be NULL. */
typedef void fv_rollout_watch(void *context, int ended, int all);

/* tools: worker threads for environments; NULL: they run in between. On failure *out is empty. */
fv_status fv_rollout_run(fv_rollout *out, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, fv_sample *samples, int sample_count,
                         const fv_rollout_options *options, fv_rollout_watch *watch, void *context, fv_error *err);
/* Rolls out anew the samples that `again` [sample_count] marks (they may be other rows by now), in the same tree; the others stay as they are. On failure r
 * is to be cleared. */
fv_status fv_rollout_again(fv_rollout *r, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, const bool *again, const fv_rollout_options *options,
                           fv_error *err);
/* Further samples, below roots of their own, in the tree of a rollout that has run and that lives longer; what the engine computed stays. Of them those that `only` [sample_count]
 * marks. *out is {0}, and trajectories of the others have stop_reason NULL then; or what an earlier call made, and the others stay as they are. On failure it is empty. */
fv_status fv_rollout_beside(fv_rollout *out, const fv_rollout *first, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, fv_sample *samples,
                            int sample_count, const bool *only, const fv_rollout_options *options, fv_error *err);
/* Conversations go on: each sample's prompt, which holds only what is said next, goes below the leaf of each of its trajectories, and these become what the agent
 * makes of it. What the engine computed stays: it must have run nothing else meanwhile. On failure r is to be cleared. */
fv_status fv_rollout_go_on(fv_rollout *r, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, const fv_rollout_options *options,
                           fv_rollout_watch *watch, void *context, fv_error *err);
void fv_rollout_clear(fv_rollout *r);

#endif
