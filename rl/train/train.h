/* Training: a recipe's stages, one after the other, in a run folder. */
#ifndef FV_RL_TRAIN_H
#define FV_RL_TRAIN_H

#include "core/progress.h"
#include "rl/engine/pack.h"
#include "rl/recipe/recipe.h"
#include "rl/train/curriculum.h"
#include "rl/train/feed.h"
#include "rl/train/needs.h"
#include "rl/train/policy.h"
#include "rl/train/run.h"

/* What a stage works with. Owned by fv_train. */
typedef struct fv_trainer {
    const fv_recipe *recipe;
    fv_run *run;
    fv_model *model;
    const fv_ops *ops;
    fv_pool *pool;
    fv_arena *scratch;       /* for operations */
    fv_arena *arena;         /* for passes; reset after each */
    fv_slot *policy;
    uint64_t seed;
    int64_t step;            /* updates so far, over all stages */
    int stage;               /* number of the present one */
    int64_t bad_rows;        /* that the present step has skipped */
    json_t *state;           /* what a checkpoint keeps beside weights: stage, stage_step, evaluations, parts' states */
    double began;            /* fv_now() when the run (or its resumption) began */
    double earlier;          /* seconds that it ran before it was resumed */
    double checkpointed;     /* fv_now() of the last checkpoint */
    bool quiet;
    const char *label;       /* see fv_train_options */
    const volatile int *stop;
} fv_trainer;

typedef struct {
    bool resume, quiet;
    const char *label;        /* which run this is, for progress lines: "trust-2, 5 of 6"; NULL: there is only one */
    const fv_needs *needs;    /* of this recipe, where they have been found already; NULL: they are found */
    const volatile int *stop; /* set by a signal: finish the step, write a checkpoint, return FV_CANCELLED; may be NULL */
} fv_train_options;

/* Runs all of it, unless what it reads is not there (rl/train/sources.h) or it can't fit into memory (FV_LIMIT): then nothing has been written. On failure the last checkpoint is whole and err says what went wrong. */
fv_status fv_train(const fv_recipe *recipe, const fv_train_options *options, fv_error *err);

/* The stages. `from` is the first step to do (0, or where a resumed run goes on). */
fv_status fv_train_sft(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err);
fv_status fv_train_grpo(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err);
fv_status fv_train_filter(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err);

/* What they share. */
fv_progress *fv_train_progress(const fv_trainer *t, const fv_stage *stage, int64_t from, int64_t steps); /* NULL where it is quiet */
double fv_train_rate(const fv_stage *stage, int64_t step, int64_t steps);            /* the learning rate of a step */
fv_optim fv_train_optim(const fv_stage *stage, int64_t step, int64_t steps);
/* After a step: writes its metrics, and evaluates and checkpoints where that is due. done: steps of the stage that are finished. */
fv_status fv_train_after(fv_trainer *t, const fv_stage *stage, int64_t done, int64_t steps, fv_metrics *m, fv_error *err);
/* What the last step of a stage is followed by: its evaluation, entry and checkpoint. For stages that are resumed with fewer steps than they have taken. */
fv_status fv_train_end(fv_trainer *t, const fv_stage *stage, int64_t done, fv_error *err);
/* Opens the stage's data (its own, else the recipe's), as its steps take rows of it. */
fv_status fv_train_data(fv_trainer *t, const fv_stage *stage, fv_curriculum *out, fv_error *err);
/* Records the samples that can't be used, for the step's `data/bad_rows`; where bad_rows is stop, the first of them is the error. */
fv_status fv_train_bad_rows(fv_trainer *t, const fv_sample *samples, int count, fv_error *err);
/* Bytes of activations that a stage's decoding may keep for training; 0: it keeps none, since every forward is an independent one. */
size_t fv_train_record(const fv_stage *stage);

/* Whether rows of the next step are read while this one computes (rl/train/feed.h: fv_feed_expect): where the computing is a card's. */
static inline bool fv_train_reads_ahead(fv_device device) { return device != FV_CPU; }
/* Leaves whose paths make a pass of at most `limit` rows: the next ones from `first`. Returns how many (at least 1). */
int fv_train_micro(const fv_tree *tree, const int *leaves, int count, int first, int64_t limit);

#endif
