/* A pass: one run of model code over operations. With a tape, every operation leaves its way back; without one, the same code
 * is inference. All memory of a pass comes from its arena, which must be one
 * for the slot's operations (fv_ops_arena): values are numbers, everything else lies on the host.
 *
 *     fv_var *h = fv_linear(p, x, layer->q_weight, layer->q_bias);
 *     ...
 *     const float *y = fv_read(p, h->v);
 *     fv_stream(p, h, dy);     // gradients of outputs are the caller's
 *     fv_pass_back(p);         // parameters' gradients are added to
 */
#ifndef FV_CORE_PASS_H
#define FV_CORE_PASS_H

#include "core/slot.h"

/* A value: [rows, cols] (f32). `grad` is cleared memory of the same shape from the first use on the way back. */
typedef struct fv_var {
    fv_view v;
    fv_view grad;      /* data NULL until somebody adds to it, and where `of` holds it: ask fv_grad */
    bool track;        /* depends on something trained */
    bool final;        /* a replayed result: what was done to it in place is done (core/recording.h) */
    struct fv_var *of; /* the value that this one is another shape of (fv_reshape), which holds the gradient; or NULL */
    struct fv_var *whole; /* the value that this one is some rows of (fv_select), whose gradient it goes on with; or NULL */
    fv_view chosen;       /* i32: which rows */
} fv_var;

typedef struct fv_tape fv_tape;
struct fv_recording;

/* Taps: read, or add a vector to, the hidden state after a decoder layer. */
typedef struct {
    int layer;
    void (*see)(void *context, int layer, fv_view hidden); /* [rows, width], where operations have it (fv_read); may be changed only where no tape runs */
    void *context;
} fv_tap;

typedef struct fv_pass {
    fv_slot *slot;
    fv_arena *arena;       /* the caller's: everything that the pass makes lives there */
    fv_tape *tape;         /* NULL: inference */
    bool checkpoint;       /* with a tape: blocks keep only their input and are run again on the way back */
    struct fv_recording *record; /* recording or replaying (core/recording.h); NULL: neither */
    float dropout;         /* of what an adapter's A sees: the probability that a number is left out; 0: off. For passes with a tape that teach */
    uint64_t dropout_key;  /* which ones: a function of this key, the weight, row and column (core/random.h) */
    const fv_tap *taps;    /* or NULL */
    int tap_count;
    fv_error error;        /* the first thing that did not fit (FV_LIMIT): a mistake in the code that made the pass */
} fv_pass;

/* Begins a pass on `slot`. train: with a tape. Costs nothing to end: reset or release the arena.
 *
 * Shapes are checked here, once, for all back ends. Where they don't fit, `error` says which operation, which shapes; from then on nothing is
 * computed, values have their shapes and undefined contents, and fv_pass_back does nothing: ask p->error.status after a pass. */
fv_pass fv_pass_begin(fv_slot *slot, fv_arena *arena, bool train);
/* How that is checked, also by models: true if all is well so far and `fits` holds. The first time that it does not, p->error says "operation:
 * rule, got [a] and [b]". */
bool fv_pass_fits(fv_pass *p, bool fits, const char *operation, const char *rule, fv_view a, fv_view b);
/* Runs the tape backwards and empties it; gradients of values that operations made are gone then. Gradients of trained parameters are added to slot->params[].grad. */
void fv_pass_back(fv_pass *p);

/* Values. fv_input takes the view as it is (no gradient). fv_value makes an uncleared [rows, cols]. */
fv_var *fv_input(fv_pass *p, fv_view v);
fv_var *fv_value(fv_pass *p, int64_t rows, int64_t cols, bool track);
/* The gradient of x, cleared on first use, where x's operations have it. */
fv_view fv_grad(fv_pass *p, fv_var *x);

/* Between the host and the operations' memory. fv_read: the numbers of f32 v for the host to read, until the arena is given back. fv_stream: x's gradient
 * becomes these: what objectives say before fv_pass_back. */
const float *fv_read(fv_pass *p, fv_view v);
void fv_stream(fv_pass *p, fv_var *x, const float *values);

/* The weights of a linear operation or of a norm. */
typedef struct {
    int weight, bias;
} fv_affine;

enum { FV_AFFINES_MOST = FV_MAPS_MOST / 2 }; /* each may have an adapter, which sees the same x */

/* Weights are named by their index in slot->params; -1 is "absent" where an argument says so. Views of indices, weights and tables are kept by
 * the tape: they must live as long as the pass.
 * Shapes: x [rows, k] unless said otherwise. Every function returns a new value and leaves its arguments alone, except fv_rotary. */
fv_var *fv_linear(fv_pass *p, fv_var *x, int weight, int bias);                   /* bias -1: none -> [rows, n] */
/* Several of one x, at most FV_AFFINES_MOST: out[i] as fv_linear would make them one after the other, to the bits of the way back; a device does them together. */
void fv_linears(fv_pass *p, fv_var *x, const fv_affine *maps, int count, fv_var **out);
fv_var *fv_rms_norm(fv_pass *p, fv_var *x, int weight, float eps);                /* the weight's length divides cols: per head if smaller */
fv_var *fv_layer_norm(fv_pass *p, fv_var *x, int weight, int bias, float eps);
fv_var *fv_add(fv_pass *p, fv_var *a, fv_var *b);
void fv_add_to(fv_pass *p, fv_var *y, fv_var *a, fv_var *b);                      /* the same into y, a value of fv_value that nobody has used */
fv_var *fv_swiglu(fv_pass *p, fv_var *gate, fv_var *up);
fv_var *fv_act(fv_pass *p, fv_var *x, fv_activation f);
fv_var *fv_reshape(fv_pass *p, fv_var *x, int64_t rows, int64_t cols);           /* the same memory and gradient */
fv_var *fv_embed(fv_pass *p, int weight, fv_view index);                          /* rows of a table; index -1: zeros */
fv_var *fv_blend(fv_pass *p, int weight, fv_view index, fv_view mix);             /* [n, 4] indices and weights into a table */
fv_var *fv_gather(fv_pass *p, fv_var *x, fv_view index);                          /* y[r] = x[index[r]]; index -1: zeros */
/* y = rows index (distinct) of x, gradient included: what is added to y's goes on where x's stood, so that sums over several uses of a row are the
 * chains that they would be without the choice. Between the uses of y nothing else of x is used: select just before, or keep them apart. */
fv_var *fv_select(fv_pass *p, fv_var *x, fv_view index);
fv_var *fv_overwrite(fv_pass *p, fv_var *base, fv_var *x, fv_view index);         /* y = base with row index[r] (distinct) replaced by x[r] */
fv_var *fv_add_rows(fv_pass *p, fv_var *base, fv_var *x, fv_view index);          /* y = base; y[index[r]] += x[r] */
void fv_rotary(fv_pass *p, fv_var *x, fv_view cos, fv_view sin, int heads);       /* in place, before x is used elsewhere; cos, sin [rows, half] */

/* Where the keys and values of a layer lie. In decoding they are the page pool's, and are written to. With a tape (or without one, where keys is
 * absent) they are made for the call, cleared, from the arena. row/slot: which rows of k, v go to which page slots (core/ops.h: kv_write). */
typedef struct {
    fv_view keys, values;   /* of fv_page_view */
    fv_view row, slot;      /* i32 [writes] */
    int pages;              /* how many, where the call makes them */
    const fv_attention *plan;
} fv_kv;
fv_var *fv_attend(fv_pass *p, fv_var *q, fv_var *k, fv_var *v, const fv_kv *kv);  /* -> [rows, heads * head_dim] */

/* The same in runs of which every row sees all (core/ops.h: attend_runs), for which nobody makes pages; q, k, v [rows, heads * head_dim]. r lives as long as the pass. */
fv_var *fv_attend_runs(fv_pass *p, fv_var *q, fv_var *k, fv_var *v, const fv_runs *r);

/* Log-probs of targets, with the output projection. logp, entropy: [rows, 1] each. temperature f32 [rows]. target i32 [rows]. */
typedef struct {
    fv_var *hidden; /* of these rows */
    fv_var *logp, *entropy;
    fv_view lse;    /* absent of known ones */
} fv_scored;
fv_scored fv_logprob(fv_pass *p, fv_var *hidden, int head_weight, fv_view target, fv_view temperature);
/* The same where the results are known, since these tokens were sampled from these hidden states (logp, entropy: the host's, [rows]): only the way back is left. */
fv_scored fv_logprob_known(fv_pass *p, fv_var *hidden, int head_weight, fv_view target, fv_view temperature, const float *logp, const float *entropy);
/* How far the distributions of scored rows, whose lse is there, are from others' (core/ops.h: divergence), which live as long as the pass: [rows, 1]. */
fv_var *fv_divergence(fv_pass *p, const fv_scored *scored, int head_weight, const fv_distribution *other, fv_view temperature, float beta);

/* Runs a block: body makes y, of the shape of x, with fv_add_to as its last operation, so that nothing has to be copied when what else it took from the arena is given back. That is
 * where no way back needs it: without a tape, where nothing is trained (a frozen tower), and with p->checkpoint: then body runs once more on the way back (Chen et al. 2016,
 * arXiv 1604.06174), with the same bits. Body's only tracked value from outside is x, nothing of body but y is used afterwards, and context lives as long as the pass. */
typedef void fv_block_body(fv_pass *p, fv_var *y, fv_var *x, void *context);
fv_var *fv_block(fv_pass *p, fv_var *x, fv_block_body *body, void *context);

#endif
