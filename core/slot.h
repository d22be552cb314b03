/* A slot is a role that a model plays (policy, reference, judge): the model's weights as this role sees them. A slot that is
 * trained owns f32 masters, gradients and optimizer state of the weights that are not frozen; one that is not points at the
 * model's read-only weights, or has a copy of them on its device. Packed copies (core/ops.h: linear_pack) belong to the slot as well, since they follow the masters.
 * With an adapter (core/adapter.h) the model's weights stay as they are, and what is trained is the adapter's. */
#ifndef FV_CORE_SLOT_H
#define FV_CORE_SLOT_H

#include "core/ops.h"

/* A weight of a model: its name in the checkpoint and its values as stored (f32 or bf16; mapped, read-only). */
typedef struct {
    const char *name;
    fv_view view;
    bool used;   /* fv_weight_find has found it */
    bool linear; /* used as the matrix of a linear operation, so it may have a packed copy: [n, k] = [shape[0], the rest] */
} fv_weight;

/* How a model uses a weight, which says what shape it must have. */
typedef enum {
    FV_AS_VECTOR, /* [n]: a bias, a norm */
    FV_AS_TABLE,  /* [n, k]: rows are looked up */
    FV_AS_LINEAR, /* [n, k], or [n, ...] with k elements in the rest (convolutions whose kernel is their stride) */
} fv_weight_use;

/* Where models find their weights by name. */
typedef struct {
    fv_weight *weights;
    int count;
    const char *prefix; /* before every name: "model.visual." */
} fv_weight_list;

/* *out is the index of the weight prefix + name (printf's way), which must be f32 or bf16 and of the shape that `use` asks for; k is 0 for vectors.
 * FV_AS_LINEAR marks it as linear. FV_BAD_MODEL names the weight and both shapes. */
fv_status fv_weight_find(const fv_weight_list *list, int *out, fv_weight_use use, int64_t n, int64_t k, fv_error *err, const char *name, ...)
    FV_PRINTF(7, 8);

/* The view as operations take it: [n, k], where a convolution's kernel has a higher rank. */
fv_view fv_weight_matrix(fv_view v);

/* The first of `prefixes` that some weight's name begins with, or NULL. */
const char *fv_weight_prefix(const fv_weight *weights, int count, const char *const *prefixes, int prefix_count);

/* What an adapter adds to a linear weight: its parameters, by index in the slot. */
typedef struct {
    int a, b, magnitude; /* [r, k], [n, r], [n]; magnitude -1: plain LoRA */
    float scale;
} fv_adapted;

/* A value head: hidden states to one number each, weight [1, width] and bias [1]. Data NULL: zeros. */
typedef struct {
    fv_weight weight, bias;
} fv_value_head;

/* A weight as a slot sees it. */
typedef struct {
    const char *name;
    fv_view w;       /* what operations read: the model's view (on a device: its copy), or the f32 master where trained */
    bool linear;     /* the matrix of a linear operation */
    void *packed;    /* of w, for linear (of a DoRA magnitude: what core/adapter.c makes of it); filled on first use and after every update. NULL: read as it lies */
    bool stale;      /* packed does not follow w (yet, or any more) */
    const fv_adapted *adapted; /* NULL: no adapter changes it */
    fv_view grad;    /* f32, as w; data NULL where frozen */
    fv_view m, v;    /* AdamW's moments; data NULL where frozen. Muon has m alone */
    bool muon;       /* updated by Muon (core/muon.h), not AdamW */
    bool held;       /* stays as it is for now, with its moments: fv_slot_hold */
    int64_t missed;  /* of the slot's steps, those that were taken while it was held: AdamW's bias correction is of its own */
} fv_param;

static inline bool fv_learns(const fv_param *p) { return p->grad.data && !p->held; }

typedef struct fv_slot {
    const char *name;     /* "policy" */
    const fv_ops *ops;
    fv_exec exec;         /* the pool and scratch of whoever drives this slot */
    fv_param *params;     /* [count]: the model's weights in their order, then the adapter's parameters, then the value head's */
    int count, weights;   /* all; those of the model */
    int head;             /* the value head's weight among params, its bias behind it; -1: there is none */
    fv_adapted *adapted;  /* [the adapter's parts] */
    struct fv_slot *lender; /* whose packed copies this slot uses where both see the same weight; or NULL */
    int64_t room;         /* bytes that packed copies of weights that are not trained may still take */
    uint64_t version;     /* counts updates; log-probs are of (slot, version) */
    int64_t steps;        /* optimizer steps taken, for AdamW's bias correction (less a weight's `missed`) */
} fv_slot;

typedef struct {
    const char *name;
    bool train;
    bool offload;      /* moments in the host's memory (ops->alloc_host): of a device's memory 8 bytes a parameter less, over the bus at each step */
    bool no_optimizer; /* with train: gradients without AdamW's moments; fv_slot_step must not be called */
    const char *const *freeze; /* name patterns with '*', as in "visual.*"; a pattern matches the whole name or what follows "model." */
    int freeze_count;
    const char *const *muon; /* such patterns too: which matrices Muon updates (rank 2 alone; what else a pattern matches stays with AdamW) */
    int muon_count;
    const struct fv_adapter *adapter; /* NULL: none. With one, `train` means its parameters alone; patterns still name the model's weights, and an
                                       * adapter's matrices go with the weight that they change */
    const fv_value_head *head; /* of a slot that is trained, with it; NULL: none */
    struct fv_slot *lender; /* of the same weights; must outlive this slot. NULL: none */
    int64_t packed_most; /* bytes of packed copies of weights that are not trained; 0: fv_packed_most. Weights beyond are read as they lie, which is slower for few rows */
} fv_slot_options;

/* Half of the memory that there is (core/memory.h): with its packed copies a model takes twice its file, of which the system may drop one half. */
int64_t fv_packed_most(void);

/* Opens a slot over `weights` (kept by the caller as long as the slot). All memory is taken here: a pass can't run out of it half way.
 * On failure *out is NULL: FV_NO_MEMORY, or FV_BAD_RECIPE for a pattern that matches nothing. */
fv_status fv_slot_open(fv_slot **out, const fv_ops *ops, fv_exec exec, const fv_weight *weights, int count, const fv_slot_options *options, fv_error *err);
void fv_slot_close(fv_slot *s);

/* The packed form of a linear weight, made if it is stale; NULL where it has none. Called by one thread at a time. */
const void *fv_slot_packed(fv_slot *s, int weight);

/* Of what is trained, the weights that patterns name stay as they are until the next call (a stage's freeze; none: all learn). FV_BAD_RECIPE as opening. */
fv_status fv_slot_hold(fv_slot *s, const char *const *patterns, int pattern_count, fv_error *err);

void fv_slot_zero_grad(fv_slot *s);
double fv_slot_grad_norm(const fv_slot *s); /* L2 over the gradients of all that learns, params in order, in double */

/* One step of AdamW, or of Muon where the slot was opened so, with the gradient scaled by min(1, clip / norm) (clip 0: off). Decay applies to matrices (rank >= 2) only, as in
 * transformers' Trainer. Counts `version` and `steps`, marks packed copies stale. *norm (may be NULL) gets the norm before clipping. */
typedef struct {
    float lr, beta1, beta2, eps, weight_decay, clip;
    float muon_rate; /* Muon's learning rate as a multiple of lr; 0: 1 */
} fv_optim;
void fv_slot_step(fv_slot *s, const fv_optim *how, double *norm);

/* Snapshot and restore of trained weights (meta-gradients, tests): buffer of fv_slot_trained(s) floats. Restoring counts as an update of
 * `version`, since keys and values that were computed in between are of other weights; moments and `steps` stay as they are. */
int64_t fv_slot_trained(const fv_slot *s);
void fv_slot_snapshot(const fv_slot *s, float *out);
void fv_slot_restore(fv_slot *s, const float *in);

#endif
