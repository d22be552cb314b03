/* The tape, as core/pass.c and core/pass_ops.c share it: what every operation leaves for its way back. */
#ifndef FV_CORE_TAPE_H
#define FV_CORE_TAPE_H

#include "core/pass.h"

/* One record for all operations; each uses the fields that it needs. Lives in the pass's arena. */
typedef struct fv_step fv_step;
struct fv_step {
    void (*back)(fv_pass *p, const fv_step *s);
    fv_step *before;        /* the operation that ran before this one */
    fv_var *y;              /* its result; `back` is not called where nobody added to its gradient */
    fv_var *x[3];           /* its arguments */
    int weight, bias;       /* -1: none */
    fv_view saved, index, other;
    fv_activation act;
    int heads;
    bool in_place;          /* changes a value that another step made */
    fv_kv kv;
    const fv_runs *runs;
    fv_block_body *body;
    void *context;
};

/* Memory of a gradient that is done with. */
typedef struct fv_spare {
    struct fv_spare *next;
    float *data;
    int64_t elements;
} fv_spare;

struct fv_tape {
    fv_step *last;
    fv_spare *spare; /* last in, first out */
};

/* Leaves `step` on the tape (copied). Does nothing without a tape, or where the result is not tracked. */
void fv_tape_push(fv_pass *p, const fv_step *step);

/* n cleared numbers from the pass's arena. */
float *fv_tape_zeros(fv_pass *p, int64_t n);

/* The result of a costly operation; final where it was recorded earlier, and nothing is left to compute. */
fv_var *fv_costly_value(fv_pass *p, int64_t rows, int64_t cols, bool track);

/* A slot's parameter as operations take it, and its gradient; data NULL where there is none (weight -1, frozen). */
static inline fv_view weight_of(const fv_pass *p, int weight) { return weight < 0 ? fv_none : fv_weight_matrix(p->slot->params[weight].w); }
static inline bool trained(const fv_pass *p, int weight) { return weight >= 0 && fv_learns(&p->slot->params[weight]); }
static inline fv_view weight_grad(const fv_pass *p, int weight) { return trained(p, weight) ? fv_weight_matrix(p->slot->params[weight].grad) : fv_none; }

/* fv_linear of a weight that an adapter changes (core/pass_lora.c). First what the adapter sees of x [rows, r]: its product joins those of the operation that makes y, where it is of the same
 * x. Then the rest, from y = x W^T + bias (DoRA: without the bias), which the result may take over. Shapes fit. */
fv_view fv_lora_sees(fv_pass *p, const fv_var *y, int weight, fv_linear_map *products, int *count);
fv_var *fv_lora_linear(fv_pass *p, fv_var *x, fv_var *y, fv_view h, int weight, int bias);

/* Somebody has added to the gradient of x. */
bool fv_has_grad(const fv_var *x);

#endif
