#include "core/pass.h"

#include "core/tape.h"

#include <string.h>

fv_pass fv_pass_begin(fv_slot *slot, fv_arena *arena, bool train) {
    return (fv_pass){.slot = slot, .arena = arena, .tape = train ? FV_ZERO(arena, fv_tape, 1) : NULL};
}

bool fv_pass_fits(fv_pass *p, bool fits, const char *operation, const char *rule, fv_view a, fv_view b) {
    if (p->error.status != FV_OK) return false;
    if (fits) return true;
    char first[96], second[96];
    fv_shape_text(a, first);
    fv_shape_text(b, second);
    fv_fail(&p->error, FV_LIMIT, "%s: %s, got %s and %s", operation, rule, first, second);
    return false;
}

/* ---- values ---- */

static fv_var *new_var(fv_pass *p, fv_view v, bool track) {
    fv_var *x = FV_ZERO(p->arena, fv_var, 1);
    x->v = v;
    x->track = track;
    return x;
}

const float *fv_read(fv_pass *p, fv_view v) {
    if (p->slot->ops->device == FV_CPU) return fv_f32(v);
    float *out = FV_TAKE(p->arena, float, fv_elements(v));
    p->slot->ops->download(out, v.data, fv_bytes(v));
    return out;
}

fv_var *fv_input(fv_pass *p, fv_view v) { return new_var(p, v, false); }

fv_var *fv_value(fv_pass *p, int64_t rows, int64_t cols, bool track) {
    return new_var(p, fv_mat(FV_NUMBERS(p->arena, rows * cols), rows, cols), track);
}

fv_var *fv_reshape(fv_pass *p, fv_var *x, int64_t rows, int64_t cols) {
    fv_var *y = new_var(p, fv_mat(fv_f32(x->v), rows, cols), x->track);
    y->of = x->of ? x->of : x;
    y->final = x->final;
    if (!fv_pass_fits(p, rows * cols == fv_elements(x->v), "fv_reshape", "both shapes must have as many elements", x->v, y->v))
        y->v.data = FV_NUMBERS(p->arena, rows * cols);
    return y;
}

static float *clear(fv_pass *p, float *data, int64_t n) {
    p->slot->ops->clear(&p->slot->exec, data, (size_t)n * sizeof(float));
    return data;
}

float *fv_tape_zeros(fv_pass *p, int64_t n) { return clear(p, FV_NUMBERS(p->arena, n), n); }

/* On the way back a gradient is done with as soon as the step that made its value has run. The next of its size takes its memory, which is then
 * still in the caches: layers are alike, so that a few buffers serve them all. */
enum { WORTH_KEEPING = 1024 };

static void give_up_grad(fv_pass *p, fv_var *y) {
    int64_t n = fv_elements(y->v);
    if (y->of || !y->grad.data || n < WORTH_KEEPING) return;
    fv_spare *spare = FV_TAKE(p->arena, fv_spare, 1);
    *spare = (fv_spare){p->tape->spare, fv_f32(y->grad), n};
    p->tape->spare = spare;
    y->grad = fv_none;
}

static float *grad_memory(fv_pass *p, int64_t n) {
    for (fv_spare **at = p->tape ? &p->tape->spare : NULL; at && *at; at = &(*at)->next) {
        if ((*at)->elements != n) continue;
        float *found = (*at)->data;
        *at = (*at)->next;
        return found;
    }
    return FV_NUMBERS(p->arena, n);
}

fv_view fv_grad(fv_pass *p, fv_var *x) {
    fv_var *holder = x->of ? x->of : x;
    if (!holder->grad.data) {
        fv_view fresh = holder->v, whole = holder->whole ? fv_grad(p, holder->whole) : fv_none;
        fresh.data = grad_memory(p, fv_elements(fresh));
        if (holder->whole) p->slot->ops->gather(&p->slot->exec, fresh, whole, holder->chosen);
        else clear(p, fresh.data, fv_elements(fresh));
        holder->grad = fresh;
    }
    fv_view grad = x->v;
    grad.data = holder->grad.data;
    return grad;
}

void fv_stream(fv_pass *p, fv_var *x, const float *values) {
    fv_view grad = fv_grad(p, x);
    p->slot->ops->upload(grad.data, values, fv_bytes(grad));
}

bool fv_has_grad(const fv_var *x) { return (x->of ? x->of : x)->grad.data != NULL; }

/* ---- the tape ---- */

void fv_tape_push(fv_pass *p, const fv_step *step) {
    if (!p->tape || (step->y && !step->y->track)) return;
    fv_step *kept = FV_TAKE(p->arena, fv_step, 1);
    *kept = *step;
    kept->before = p->tape->last;
    p->tape->last = kept;
}

void fv_pass_back(fv_pass *p) {
    if (!p->tape || p->error.status != FV_OK) return;
    for (const fv_step *s = p->tape->last; s; s = s->before) {
        if (s->y && !fv_has_grad(s->y)) continue;
        s->back(p, s);
        if (s->y && !s->in_place) give_up_grad(p, s->y);
    }
    *p->tape = (fv_tape){0};
}

/* ---- blocks ---- */

/* The same operations on the same input: the same values. The gradient of the input must outlive what is given back afterwards. */
static void block_back(fv_pass *p, const fv_step *s) {
    if (s->x[0]->track) fv_grad(p, s->x[0]);
    fv_arena_mark mark = fv_arena_here(p->arena);
    fv_tape *tape = p->tape, again = {0};
    p->tape = &again;
    fv_var *y = fv_value(p, fv_rows(s->y->v), fv_cols(s->y->v), true);
    s->body(p, y, s->x[0], s->context);
    y->grad = fv_grad(p, s->y);
    fv_pass_back(p);
    p->tape = tape;
    fv_arena_release(p->arena, mark);
}

/* What body took is given back without a tape, or where (with `record`) nothing on it was tracked. */
fv_var *fv_block(fv_pass *p, fv_var *x, fv_block_body *body, void *context) {
    bool record = p->tape && !p->checkpoint;
    fv_var *y = fv_value(p, fv_rows(x->v), fv_cols(x->v), false);
    fv_arena_mark mark = fv_arena_here(p->arena);
    fv_tape *tape = p->tape;
    if (!record) p->tape = NULL;
    body(p, y, x, context);
    p->tape = tape;
    if (record && y->track) return y;
    fv_arena_release(p->arena, mark);
    if (!record) fv_tape_push(p, &(fv_step){.back = block_back, .y = y, .x = {x}, .body = body, .context = context});
    return y;
}
