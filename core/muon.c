#include "core/muon.h"

#include <math.h>

static const float MOMENTUM = 0.95f;

/* X = a X + (b A + c A A) X with A = X X^T: a quintic on the singular values of X that takes (0, 1] near 1 within five steps (Jordan et al. 2024). */
enum { ITERATIONS = 5 };
static const float A1 = 3.4445f, A3 = -4.7750f, A5 = 2.0315f;

static fv_view scratch(const fv_exec *x, int64_t rows, int64_t cols) {
    return fv_mat(FV_NUMBERS(x->scratch, rows * cols), rows, cols);
}

/* y = factor * x, as x + x and half of it, since the table of operations has no copy and y may never have been written (scale and axpy read it). Doubling and halving
 * are exact, so that it has the bits of one product. */
static void scaled(const fv_ops *ops, const fv_exec *x, fv_view y, fv_view in, float factor) {
    ops->add(x, y, in, in);
    ops->scale(x, y, factor / 2);
}

/* out [side, side] = the product of X with itself over its longer side. A wide X is the weight of a linear operation on itself (`packed` has room for
 * it); for a tall one it is the way back of a weight, which adds, so that out starts at 0 (times the top of X: any numbers that are there). */
static void square(const fv_ops *ops, const fv_exec *x, fv_view out, fv_view in, void *packed) {
    if (packed) {
        ops->linear_pack(x, packed, in);
        ops->linear(x, &(fv_linear_map){.y = out, .w = in, .packed = packed}, 1, in);
        return;
    }
    scaled(ops, x, out, fv_mat(in.data, fv_rows(out), fv_cols(out)), 0);
    ops->linear_back(x, fv_none, out, fv_none, in, in, fv_none, NULL);
}

/* out += a b */
static void times(const fv_ops *ops, const fv_exec *x, fv_view out, fv_view a, fv_view b) { ops->linear_back(x, out, fv_none, fv_none, a, fv_none, b, NULL); }

void fv_muon_orthogonalize(const fv_ops *ops, const fv_exec *x, fv_view g) {
    double length = sqrt(ops->dot(x, g, g));
    if (!(length > 0)) return;
    int64_t rows = fv_rows(g), cols = fv_cols(g), side = rows < cols ? rows : cols;
    fv_arena_mark mark = fv_arena_here(x->scratch);
    fv_view from = scratch(x, rows, cols), to = g, a = scratch(x, side, side), b = scratch(x, side, side);
    void *packed = rows < cols ? fv_arena_numbers(x->scratch, ops->linear_packed_bytes(from)) : NULL;
    scaled(ops, x, from, g, (float)(1 / (length + 1e-7)));
    for (int i = 0; i < ITERATIONS; i++) {
        square(ops, x, a, from, packed);
        scaled(ops, x, b, a, A3 / A5);
        times(ops, x, b, a, a);
        ops->scale(x, b, A5);
        scaled(ops, x, to, from, A1);
        if (rows < cols) times(ops, x, to, b, from);
        else times(ops, x, to, from, b);
        fv_view other = from;
        from = to;
        to = other;
    }
    if (from.data != g.data) scaled(ops, x, g, from, 1);
    fv_arena_release(x->scratch, mark);
}

void fv_muon_step(const fv_ops *ops, const fv_exec *x, fv_view master, fv_view m, fv_view grad, const fv_muon *how) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    fv_view u = scratch(x, fv_rows(master), fv_cols(master));
    float fresh = (1 - MOMENTUM) * how->grad_scale;
    ops->scale(x, m, MOMENTUM);
    ops->axpy(x, m, fresh, grad);
    scaled(ops, x, u, m, MOMENTUM);
    ops->axpy(x, u, fresh, grad);
    fv_muon_orthogonalize(ops, x, u);
    double longer = (double)(fv_rows(master) > fv_cols(master) ? fv_rows(master) : fv_cols(master));
    ops->scale(x, master, (float)(1 - (double)how->lr * how->weight_decay));
    ops->axpy(x, master, (float)(-0.2 * sqrt(longer) * how->lr), u);
    fv_arena_release(x->scratch, mark);
}
