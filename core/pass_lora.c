/* Linear operations with an adapter (core/adapter.h): y = x W^T + bias + (s * x A^T) B^T, W as it is and not trained. Written over the table of operations alone. */
#include "core/adapter.h"
#include "core/random.h"
#include "core/recording.h"
#include "core/tape.h"

static const fv_ops *ops_of(const fv_pass *p) { return p->slot->ops; }
static const fv_exec *exec_of(const fv_pass *p) { return &p->slot->exec; }

static fv_view fresh(fv_pass *p, int64_t rows, int64_t cols) { return fv_mat(FV_NUMBERS(p->arena, rows * cols), rows, cols); }

/* ---- dropout ---- */

typedef struct {
    int32_t *index;
    uint64_t key;
    unsigned least; /* of 65536 */
} choosing;

/* Four numbers from each draw of 64 bits. */
static void choose(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const choosing *c = context;
    for (int64_t i = begin; i < end; i++) {
        unsigned drawn = (unsigned)(fv_random_at(c->key, (uint64_t)i / 4) >> 16 * (i % 4)) & 0xffff;
        c->index[i] = drawn < c->least ? -1 : (int32_t)i;
    }
}

/* i32 [all elements of x]: each one's own number, or -1 where it is left out. Made anew on the way back, which costs less than keeping it. */
static fv_view chosen(fv_pass *p, fv_view x, int weight) {
    enum { GRAIN = 16384 };
    int64_t n = fv_elements(x);
    choosing c = {FV_TAKE(p->arena, int32_t, n), fv_random_key(p->dropout_key, "dropout", (uint64_t)weight, 0), (unsigned)(p->dropout * 65536 + 0.5f)};
    fv_parallel(p->slot->exec.pool, n, GRAIN, choose, &c);
    return fv_ints(c.index, n);
}

static fv_view column(fv_view x) { return fv_mat(fv_f32(x), fv_elements(x), 1); }

/* x as A sees it; *index absent without dropout. What is kept is divided by 1 - dropout as part of the scale. */
static fv_view seen_by_a(fv_pass *p, fv_view x, int weight, fv_view *index) {
    *index = fv_none;
    if (!(p->dropout > 0)) return x;
    *index = chosen(p, x, weight);
    fv_view some = fresh(p, fv_rows(x), fv_cols(x));
    ops_of(p)->gather(exec_of(p), column(some), column(x), *index);
    return some;
}

static float scale_of(const fv_pass *p, const fv_adapted *d) { return p->dropout > 0 ? d->scale / (1 - p->dropout) : d->scale; }

/* ---- plain LoRA ---- */

/* s->saved = h = s * x A^T [rows, r]:   dB += dy^T h;   dh = s * dy B;   dA += dh^T x;   dx += dy W + dh A */
static void lora_back(fv_pass *p, const fv_step *s) {
    const fv_adapted *d = p->slot->params[s->weight].adapted;
    fv_var *x = s->x[0];
    fv_view dy = fv_grad(p, s->y), dx = x->track ? fv_grad(p, x) : fv_none, index;
    if (x->track) ops_of(p)->linear_back(exec_of(p), dx, fv_none, fv_none, dy, fv_none, weight_of(p, s->weight), fv_slot_packed(p->slot, s->weight));
    fv_arena_mark mark = fv_arena_here(p->arena);
    int64_t rows = fv_rows(dy), rank = fv_cols(s->saved);
    fv_view dh = fv_mat(fv_tape_zeros(p, rows * rank), rows, rank), in = seen_by_a(p, x->v, s->weight, &index), din = dx;
    ops_of(p)->linear_back(exec_of(p), dh, weight_grad(p, d->b), fv_none, dy, s->saved, weight_of(p, d->b), fv_slot_packed(p->slot, d->b));
    ops_of(p)->scale(exec_of(p), dh, scale_of(p, d));
    if (x->track && index.data) din = fv_mat(fv_tape_zeros(p, fv_elements(dx)), rows, fv_cols(dx));
    ops_of(p)->linear_back(exec_of(p), din, weight_grad(p, d->a), fv_none, dh, in, weight_of(p, d->a), fv_slot_packed(p->slot, d->a));
    if (x->track && index.data) ops_of(p)->gather_add(exec_of(p), column(dx), column(din), index);
    fv_arena_release(p->arena, mark);
}

/* h = s * x A^T, which the way back needs: recorded, as y is with what the adapter adds. */
fv_view fv_lora_sees(fv_pass *p, const fv_var *y, int weight, fv_linear_map *products, int *count) {
    const fv_adapted *d = p->slot->params[weight].adapted;
    fv_view a = weight_of(p, d->a);
    bool known;
    fv_view h = fv_costly(p, fv_rows(y->v), a.shape[0], &known);
    if (!y->final && !(p->dropout > 0)) products[(*count)++] = (fv_linear_map){.y = h, .w = a, .packed = fv_slot_packed(p->slot, d->a), .scale = d->scale};
    return h;
}

/* y += h B^T. With dropout A sees another x than W: h is made here. */
static void lora(fv_pass *p, fv_var *x, fv_var *y, fv_view h, int weight) {
    const fv_adapted *d = p->slot->params[weight].adapted;
    if (!y->final) {
        fv_arena_mark mark = fv_arena_here(p->arena);
        fv_view index;
        if (p->dropout > 0)
            ops_of(p)->linear(exec_of(p), &(fv_linear_map){.y = h, .w = weight_of(p, d->a), .packed = fv_slot_packed(p->slot, d->a), .scale = scale_of(p, d)}, 1,
                              seen_by_a(p, x->v, weight, &index));
        ops_of(p)->linear(exec_of(p), &(fv_linear_map){.y = y->v, .w = weight_of(p, d->b), .packed = fv_slot_packed(p->slot, d->b), .adds = true}, 1, h);
        fv_arena_release(p->arena, mark);
    }
    fv_tape_push(p, &(fv_step){.back = lora_back, .y = y, .x = {x}, .weight = weight, .saved = h});
}

/* ---- DoRA ---- */

/* s->saved = inv, 2^-32 in every row. rms_norm's own way back is that of the product, since its mean does not count (core/adapter.h). What it gives for
 * the weight is sum dy x 2^-32; times 1 / |row| and 2^32 that is the magnitude's. */
static void dora_back(fv_pass *p, const fv_step *s) {
    int m = p->slot->params[s->weight].adapted->magnitude;
    fv_var *x = s->x[0];
    fv_view factors = fv_adapter_factors(p->slot, s->weight), dy = fv_grad(p, s->y), dx = x->track ? fv_grad(p, x) : fv_none;
    int64_t n = fv_cols(factors);
    fv_arena_mark mark = fv_arena_here(p->arena);
    fv_view sum = trained(p, m) ? fv_vec(fv_tape_zeros(p, n), n) : fv_none, dm = fv_vec(FV_NUMBERS(p->arena, n), n);
    ops_of(p)->rms_norm_back(exec_of(p), dx, sum, dy, x->v, fv_vec(fv_f32(factors), n), s->saved);
    if (sum.data) {
        ops_of(p)->rms_norm(exec_of(p), dm, fv_vec(FV_NUMBERS(p->arena, 1), 1), sum, fv_vec(fv_f32(factors) + n, n), FV_COLUMN_EPS);
        ops_of(p)->axpy(exec_of(p), weight_grad(p, m), FV_COLUMN_LIFT, dm);
    }
    fv_arena_release(p->arena, mark);
}

/* y = m / |row| * x + bias, by column */
static fv_var *dora(fv_pass *p, fv_var *x, int weight, int bias) {
    fv_view factors = fv_adapter_factors(p->slot, weight);
    int64_t rows = fv_rows(x->v), n = fv_cols(factors);
    fv_var *y = fv_value(p, rows, n, x->track || trained(p, p->slot->params[weight].adapted->magnitude));
    fv_view inv = fv_vec(FV_NUMBERS(p->arena, rows), rows);
    ops_of(p)->rms_norm(exec_of(p), y->v, inv, x->v, fv_vec(fv_f32(factors), n), FV_COLUMN_EPS);
    if (bias >= 0) { /* gathered first, since it may be bf16 */
        fv_arena_mark mark = fv_arena_here(p->arena);
        fv_view all = fresh(p, rows, n);
        ops_of(p)->gather(exec_of(p), all, weight_of(p, bias), fv_ints(FV_ZERO(p->arena, int32_t, rows), rows));
        ops_of(p)->axpy(exec_of(p), y->v, 1, all);
        fv_arena_release(p->arena, mark);
    }
    fv_tape_push(p, &(fv_step){.back = dora_back, .y = y, .x = {x}, .weight = weight, .bias = bias, .saved = inv});
    return y;
}

fv_var *fv_lora_linear(fv_pass *p, fv_var *x, fv_var *y, fv_view h, int weight, int bias) {
    lora(p, x, y, h, weight);
    return p->slot->params[weight].adapted->magnitude < 0 ? y : dora(p, y, weight, bias);
}
