/* Rollouts over a file: trajectories alone, nothing is trained. */
#ifndef FV_RL_ROLLOUT_FILE_H
#define FV_RL_ROLLOUT_FILE_H

#include "rl/score.h"

typedef struct {
    const char *folder;      /* gets trajectories.jsonl and pictures/ */
    const json_t *env;       /* of rows without their own; NULL: none */
    int group_size;          /* answers a row, with ids ROW#K; 0: one, with the row's id */
    float temperature, top_p; /* temperature 0: greedy */
    int max_new_tokens;      /* a turn */
    int max_tokens;          /* context; 0: what the model allows */
    uint64_t seed;
    fv_bad_row *bad;         /* may be NULL */
    void *context;
    bool quiet;
    const volatile int *stop; /* may be NULL */
} fv_rollout_file_options;

typedef struct {
    int64_t rows, bad, trajectories, tokens, calls, failures; /* tokens: that the policy wrote */
} fv_rollout_file_counts;

/* Rows are taken in batches, in order; what a row's answers say depends on (seed, its number) alone. When stopped (FV_CANCELLED) the file holds whole lines of
 * the batches that were done. */
fv_status fv_rollout_file(fv_rollout_file_counts *counts, fv_session *s, const fv_dataset *data, const fv_rollout_file_options *options, fv_error *err);

#endif
