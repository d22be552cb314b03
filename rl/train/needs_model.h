/* A model that is only reckoned with: its slots and passes over hollow operations, which tell what real ones take. For rl/train/needs.c. */
#ifndef FV_RL_NEEDS_MODEL_H
#define FV_RL_NEEDS_MODEL_H

#include "core/threads.h"
#include "language/init.h"
#include "rl/train/train.h"

typedef struct {
    const fv_recipe *recipe;
    fv_ops ops;                /* hollow */
    fv_pool *pool;
    fv_arena *scratch;
    fv_model *model;           /* opened, or of one that is still to be made the outline */
    fv_new_weights shapes;     /* the outline's */
    fv_weight *weights;        /* [model->count] the model's without values */
    fv_slot *policy;
    bool made;                 /* there is a folder, so rows can be read for it */
} fv_needs_model;

fv_status fv_needs_open(fv_needs_model *m, const fv_recipe *recipe, fv_error *err);
void fv_needs_close(fv_needs_model *m);

/* What slots hold, in bytes. */
typedef struct {
    double file, droppable; /* as stored, in the file; of it, what is never read again */
    double held;            /* masters, packed copies, copies on a device */
    double optimizer;       /* gradients and moments */
    double offloaded;       /* of these, what lies in the host's memory beside a device */
} fv_needs_weights;
fv_needs_weights fv_needs_policy(const fv_needs_model *m);
/* A reference beside the policy (rl/train/others.c: open_reference). */
fv_status fv_needs_reference(const fv_needs_model *m, fv_needs_weights *out, fv_error *err);
/* A model of its own, not trained: a judge, a teacher. */
fv_status fv_needs_folder(const fv_needs_model *m, const char *folder, fv_needs_weights *out, fv_error *err);

/* The numbers that a pass of the policy takes from its arena: `rows` tokens, some of which stand for the pictures (at most all); log-probs of `wanted` rows, the hidden states of the
 * others not being asked for (0: of all). train: with a tape, and the way back; checkpoint: of blocks that run again. Only the grids of pictures are looked at. */
typedef struct {
    int64_t rows, wanted;
    const fv_patches *const *pictures;
    int picture_count;
    bool train, checkpoint;
} fv_needs_pass;
fv_status fv_needs_run(fv_needs_model *m, const fv_needs_pass *pass, double *bytes, fv_error *err);

/* The most that anything so far took of scratch, an update of the policy included. */
double fv_needs_scratch(fv_needs_model *m);

#endif
