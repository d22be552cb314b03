#include "core/tape.h"
#include "tests/examples/unit.h"

static void unit_back(fv_pass *p, const fv_step *s) {
    example_ops_of(p->slot->ops)->unit_back(&p->slot->exec, fv_grad(p, s->x[0]), fv_grad(p, s->y), s->y->v, s->saved);
}

fv_var *fv_unit(fv_pass *p, fv_var *x) {
    int64_t rows = fv_rows(x->v);
    fv_var *y = fv_value(p, rows, fv_cols(x->v), x->track);
    fv_view inv = fv_vec(FV_NUMBERS(p->arena, rows), rows);
    if (p->error.status != FV_OK) return y;
    example_ops_of(p->slot->ops)->unit(&p->slot->exec, y->v, inv, x->v);
    fv_tape_push(p, &(fv_step){.back = unit_back, .y = y, .x = {x}, .saved = inv});
    return y;
}
