/* The operations of a pass: check shapes, call the back end, leave the way back. Forward and way back stand side by side. */
#include "core/pass.h"
#include "core/recording.h"
#include "core/tape.h"

static const fv_ops *ops_of(const fv_pass *p) { return p->slot->ops; }
static const fv_exec *exec_of(const fv_pass *p) { return &p->slot->exec; }

static fv_var *value_like(fv_pass *p, const fv_var *x, bool track) { return fv_value(p, fv_rows(x->v), fv_cols(x->v), track); }

fv_var *fv_costly_value(fv_pass *p, int64_t rows, int64_t cols, bool track) {
    bool known;
    fv_var *y = fv_input(p, fv_costly(p, rows, cols, &known));
    y->track = track;
    y->final = known;
    return y;
}

/* to += from */
static void accumulate(fv_pass *p, fv_var *to, fv_view from) {
    if (to->track) ops_of(p)->axpy(exec_of(p), fv_grad(p, to), 1, from);
}

static bool same_shape(const fv_var *a, const fv_var *b) {
    return fv_rows(a->v) == fv_rows(b->v) && fv_cols(a->v) == fv_cols(b->v);
}

/* ---- linear ---- */

static void linear_back(fv_pass *p, const fv_step *s) {
    fv_view dy = fv_grad(p, s->y), dw = weight_grad(p, s->weight), dbias = weight_grad(p, s->bias);
    fv_view dx = s->x[0]->track ? fv_grad(p, s->x[0]) : fv_none;
    ops_of(p)->linear_back(exec_of(p), dx, dw, dbias, dy, s->x[0]->v, weight_of(p, s->weight), fv_slot_packed(p->slot, s->weight));
}

/* Whether an output follows something that is trained, though its input may not: a weight, or what adapts it. */
static bool map_learns(const fv_pass *p, const fv_affine *m) {
    const fv_adapted *d = p->slot->params[m->weight].adapted;
    return d ? trained(p, d->a) || trained(p, d->b) : trained(p, m->weight) || trained(p, m->bias);
}

/* The products first, all at once; then what adapters add, and the ways back, one by one. */
void fv_linears(fv_pass *p, fv_var *x, const fv_affine *maps, int count, fv_var **out) {
    fv_linear_map products[FV_MAPS_MOST]; /* and what adapters see of x, in the same operation */
    fv_view adapted[FV_AFFINES_MOST];
    int left = 0;
    for (int i = 0; i < count; i++) {
        const fv_param *param = &p->slot->params[maps[i].weight];
        fv_view w = weight_of(p, maps[i].weight), b = weight_of(p, maps[i].bias);
        bool fits = count <= FV_AFFINES_MOST && fv_cols(x->v) == fv_cols(w) && (!b.data || fv_elements(b) == w.shape[0]) && param->linear;
        out[i] = fv_costly_value(p, fv_rows(x->v), w.shape[0], x->track || map_learns(p, &maps[i]));
        if (!fv_pass_fits(p, fits, "fv_linear", "x [rows, k] needs a linear weight [n, k]", x->v, w) || out[i]->final) continue;
        if (param->adapted && param->adapted->magnitude >= 0) b = fv_none; /* DoRA's comes after its factors */
        products[left++] = (fv_linear_map){.y = out[i]->v, .w = w, .packed = fv_slot_packed(p->slot, maps[i].weight), .bias = b};
    }
    if (p->error.status != FV_OK) return;
    for (int i = 0; i < count; i++)
        if (p->slot->params[maps[i].weight].adapted) adapted[i] = fv_lora_sees(p, out[i], maps[i].weight, products, &left);
    if (left) ops_of(p)->linear(exec_of(p), products, left, x->v);
    for (int i = 0; i < count; i++) {
        fv_step s = {.back = linear_back, .y = out[i], .x = {x}, .weight = maps[i].weight, .bias = maps[i].bias};
        if (p->slot->params[s.weight].adapted) out[i] = fv_lora_linear(p, x, out[i], adapted[i], s.weight, s.bias);
        else fv_tape_push(p, &s);
    }
}

fv_var *fv_linear(fv_pass *p, fv_var *x, int weight, int bias) {
    fv_var *y;
    fv_linears(p, x, &(fv_affine){weight, bias}, 1, &y);
    return y;
}

/* ---- norms ---- */

/* As rows of the weight's length: one head each, where the weight is shorter than a row. */
static fv_view norm_rows(fv_view v, fv_view w) {
    int64_t length = fv_elements(w);
    return fv_mat(fv_f32(v), fv_elements(v) / length, length);
}

static void rms_norm_back(fv_pass *p, const fv_step *s) {
    fv_view w = weight_of(p, s->weight);
    ops_of(p)->rms_norm_back(exec_of(p), norm_rows(fv_grad(p, s->x[0]), w), weight_grad(p, s->weight), norm_rows(fv_grad(p, s->y), w),
                             norm_rows(s->x[0]->v, w), w, s->saved);
}

fv_var *fv_rms_norm(fv_pass *p, fv_var *x, int weight, float eps) {
    fv_view w = weight_of(p, weight);
    fv_var *y = value_like(p, x, x->track || trained(p, weight));
    if (!fv_pass_fits(p, fv_cols(x->v) % fv_elements(w) == 0, "fv_rms_norm", "the weight's length must divide x's", x->v, w)) return y;
    int64_t rows = fv_elements(x->v) / fv_elements(w);
    fv_view inv = fv_vec(FV_NUMBERS(p->arena, rows), rows);
    ops_of(p)->rms_norm(exec_of(p), norm_rows(y->v, w), inv, norm_rows(x->v, w), w, eps);
    fv_tape_push(p, &(fv_step){.back = rms_norm_back, .y = y, .x = {x}, .weight = weight, .saved = inv});
    return y;
}

static void layer_norm_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->layer_norm_back(exec_of(p), fv_grad(p, s->x[0]), weight_grad(p, s->weight), weight_grad(p, s->bias), fv_grad(p, s->y), s->x[0]->v,
                               weight_of(p, s->weight), s->saved);
}

fv_var *fv_layer_norm(fv_pass *p, fv_var *x, int weight, int bias, float eps) {
    fv_view w = weight_of(p, weight), b = weight_of(p, bias);
    fv_var *y = value_like(p, x, x->track || trained(p, weight) || trained(p, bias));
    bool fits = fv_cols(x->v) == fv_elements(w) && fv_elements(b) == fv_elements(w);
    if (!fv_pass_fits(p, fits, "fv_layer_norm", "weight and bias must be as long as a row", x->v, w)) return y;
    fv_view stats = fv_mat(FV_NUMBERS(p->arena, 2 * fv_rows(x->v)), fv_rows(x->v), 2);
    ops_of(p)->layer_norm(exec_of(p), y->v, stats, x->v, w, b, eps);
    fv_tape_push(p, &(fv_step){.back = layer_norm_back, .y = y, .x = {x}, .weight = weight, .bias = bias, .saved = stats});
    return y;
}

/* ---- elementwise ---- */

/* The first argument takes over the result's gradient, which is done with, where it has none of its own yet: the usual case of a residual. */
static void add_back(fv_pass *p, const fv_step *s) {
    fv_var *first = s->x[0], *y = s->y;
    accumulate(p, s->x[1], fv_grad(p, y));
    if (!first->track || first->of || first->whole || fv_has_grad(first)) {
        accumulate(p, first, fv_grad(p, y));
        return;
    }
    first->grad = y->grad;
    y->grad = fv_none;
}

void fv_add_to(fv_pass *p, fv_var *y, fv_var *a, fv_var *b) {
    y->track = a->track || b->track;
    if (!fv_pass_fits(p, same_shape(a, b), "fv_add", "shapes must be equal", a->v, b->v)) return;
    if (!fv_pass_fits(p, same_shape(y, a), "fv_add_to", "shapes must be equal", y->v, a->v)) return;
    ops_of(p)->add(exec_of(p), y->v, a->v, b->v);
    fv_tape_push(p, &(fv_step){.back = add_back, .y = y, .x = {a, b}});
}

fv_var *fv_add(fv_pass *p, fv_var *a, fv_var *b) {
    fv_var *y = value_like(p, a, false);
    fv_add_to(p, y, a, b);
    return y;
}

static void swiglu_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->swiglu_back(exec_of(p), fv_grad(p, s->x[0]), fv_grad(p, s->x[1]), fv_grad(p, s->y), s->x[0]->v, s->x[1]->v);
}

fv_var *fv_swiglu(fv_pass *p, fv_var *gate, fv_var *up) {
    fv_var *y = value_like(p, gate, gate->track || up->track);
    if (!fv_pass_fits(p, same_shape(gate, up), "fv_swiglu", "shapes must be equal", gate->v, up->v)) return y;
    ops_of(p)->swiglu(exec_of(p), y->v, gate->v, up->v);
    fv_tape_push(p, &(fv_step){.back = swiglu_back, .y = y, .x = {gate, up}});
    return y;
}

static void act_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->act_back(exec_of(p), fv_grad(p, s->x[0]), fv_grad(p, s->y), s->x[0]->v, s->act);
}

fv_var *fv_act(fv_pass *p, fv_var *x, fv_activation f) {
    fv_var *y = value_like(p, x, x->track);
    if (p->error.status != FV_OK) return y;
    ops_of(p)->act(exec_of(p), y->v, x->v, f);
    fv_tape_push(p, &(fv_step){.back = act_back, .y = y, .x = {x}, .act = f});
    return y;
}

/* ---- rows by index ---- */

static void embed_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->scatter_add(exec_of(p), weight_grad(p, s->weight), fv_grad(p, s->y), s->index);
}

/* Token ids come from files, so the indices themselves are checked, too: lowest .. rows - 1. */
static bool in_range(fv_view index, int64_t lowest, int64_t rows) {
    for (int64_t i = 0; i < fv_elements(index); i++)
        if (fv_i32(index)[i] < lowest || fv_i32(index)[i] >= rows) return false;
    return true;
}

fv_var *fv_embed(fv_pass *p, int weight, fv_view index) {
    fv_view table = weight_of(p, weight);
    fv_var *y = fv_value(p, fv_elements(index), fv_cols(table), trained(p, weight));
    if (!fv_pass_fits(p, in_range(index, -1, table.shape[0]), "fv_embed", "every index must be a row of the table, or -1", index, table)) return y;
    ops_of(p)->gather(exec_of(p), y->v, table, index);
    fv_tape_push(p, &(fv_step){.back = embed_back, .y = y, .weight = weight, .index = index});
    return y;
}

static void blend_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->blend_back(exec_of(p), weight_grad(p, s->weight), fv_grad(p, s->y), s->index, s->other);
}

fv_var *fv_blend(fv_pass *p, int weight, fv_view index, fv_view mix) {
    fv_view table = weight_of(p, weight);
    fv_var *y = fv_value(p, fv_rows(index), fv_cols(table), trained(p, weight));
    bool fits = fv_cols(index) == 4 && fv_cols(mix) == 4 && fv_rows(index) == fv_rows(mix);
    if (!fv_pass_fits(p, fits, "fv_blend", "indices and weights must be [n, 4]", index, mix)) return y;
    ops_of(p)->blend(exec_of(p), y->v, table, index, mix);
    fv_tape_push(p, &(fv_step){.back = blend_back, .y = y, .weight = weight, .index = index, .other = mix});
    return y;
}

static void gather_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->scatter_add(exec_of(p), fv_grad(p, s->x[0]), fv_grad(p, s->y), s->index);
}

fv_var *fv_gather(fv_pass *p, fv_var *x, fv_view index) {
    fv_var *y = fv_value(p, fv_elements(index), fv_cols(x->v), x->track);
    if (!fv_pass_fits(p, in_range(index, -1, fv_rows(x->v)), "fv_gather", "every index must be a row of x, or -1", x->v, index)) return y;
    ops_of(p)->gather(exec_of(p), y->v, x->v, index);
    fv_tape_push(p, &(fv_step){.back = gather_back, .y = y, .x = {x}, .index = index});
    return y;
}

/* The rows' gradients began as copies of x's (fv_grad): they go back to their places. */
static void select_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->scatter(exec_of(p), fv_grad(p, s->x[0]), fv_grad(p, s->y), s->index);
}

fv_var *fv_select(fv_pass *p, fv_var *x, fv_view index) {
    fv_var *y = fv_value(p, fv_elements(index), fv_cols(x->v), x->track);
    if (!fv_pass_fits(p, in_range(index, 0, fv_rows(x->v)), "fv_select", "every index must be a row of x", x->v, index)) return y;
    ops_of(p)->gather(exec_of(p), y->v, x->v, index);
    y->whole = x;
    y->chosen = index;
    fv_tape_push(p, &(fv_step){.back = select_back, .y = y, .x = {x}, .index = index});
    return y;
}

/* Rows 0, 1, 2, ... */
static fv_view every_row(fv_pass *p, int64_t rows) {
    int32_t *index = FV_TAKE(p->arena, int32_t, rows);
    for (int64_t r = 0; r < rows; r++) index[r] = (int32_t)r;
    return fv_ints(index, rows);
}

/* `other` is every row of base that stays, -1 for one that is replaced: gather leaves it 0, and its gradient stays out. */
static void overwrite_back(fv_pass *p, const fv_step *s) {
    fv_view dy = fv_grad(p, s->y);
    if (s->x[0]->track) ops_of(p)->gather_add(exec_of(p), fv_grad(p, s->x[0]), dy, s->other);
    if (s->x[1]->track) ops_of(p)->gather_add(exec_of(p), fv_grad(p, s->x[1]), dy, s->index);
}

fv_var *fv_overwrite(fv_pass *p, fv_var *base, fv_var *x, fv_view index) {
    fv_var *y = value_like(p, base, base->track || x->track);
    bool fits = fv_cols(base->v) == fv_cols(x->v) && fv_elements(index) == fv_rows(x->v) && in_range(index, 0, fv_rows(base->v));
    if (!fv_pass_fits(p, fits, "fv_overwrite", "each row of x needs a row of base", base->v, x->v)) return y;
    fv_view stays = every_row(p, fv_rows(base->v));
    for (int64_t i = 0; i < fv_elements(index); i++)
        fv_i32(stays)[fv_i32(index)[i]] = -1;
    ops_of(p)->gather(exec_of(p), y->v, base->v, stays);
    ops_of(p)->scatter(exec_of(p), y->v, x->v, index);
    fv_tape_push(p, &(fv_step){.back = overwrite_back, .y = y, .x = {base, x}, .index = index, .other = stays});
    return y;
}

static void add_rows_back(fv_pass *p, const fv_step *s) {
    accumulate(p, s->x[0], fv_grad(p, s->y));
    if (s->x[1]->track) ops_of(p)->gather_add(exec_of(p), fv_grad(p, s->x[1]), fv_grad(p, s->y), s->index);
}

fv_var *fv_add_rows(fv_pass *p, fv_var *base, fv_var *x, fv_view index) {
    fv_var *y = value_like(p, base, base->track || x->track);
    bool fits = fv_cols(base->v) == fv_cols(x->v) && fv_elements(index) == fv_rows(x->v) && in_range(index, 0, fv_rows(base->v));
    if (!fv_pass_fits(p, fits, "fv_add_rows", "each row of x needs a row of base", base->v, x->v)) return y;
    ops_of(p)->gather(exec_of(p), y->v, base->v, every_row(p, fv_rows(base->v)));
    ops_of(p)->scatter_add(exec_of(p), y->v, x->v, index);
    fv_tape_push(p, &(fv_step){.back = add_rows_back, .y = y, .x = {base, x}, .index = index});
    return y;
}

/* ---- attention ---- */

static void rotary_back(fv_pass *p, const fv_step *s) {
    ops_of(p)->rotary(exec_of(p), fv_grad(p, s->y), s->saved, s->other, s->heads, -1);
}

void fv_rotary(fv_pass *p, fv_var *x, fv_view cos, fv_view sin, int heads) {
    bool fits = fv_rows(cos) == fv_rows(x->v) && 2 * heads * fv_cols(cos) == fv_cols(x->v) && fv_elements(cos) == fv_elements(sin);
    if (!fv_pass_fits(p, fits, "fv_rotary", "x must be [rows, heads * 2 * half], cos and sin [rows, half]", x->v, cos)) return;
    if (!x->final) ops_of(p)->rotary(exec_of(p), x->v, cos, sin, heads, 1);
    fv_tape_push(p, &(fv_step){.back = rotary_back, .y = x, .saved = cos, .other = sin, .heads = heads, .in_place = true});
}

/* Cleared pages: positions that nobody writes are zero. */
static fv_view make_pages(fv_pass *p, const fv_kv *kv, fv_dtype dtype, bool keys) {
    fv_view v = fv_page_view(dtype, NULL, kv->pages, kv->plan->kv_heads, kv->plan->head_dim, keys);
    v.data = fv_tape_zeros(p, (int64_t)(fv_bytes(v) / sizeof(float)));
    return v;
}

static void attend_back(fv_pass *p, const fv_step *s) {
    fv_view dq = fv_grad(p, s->x[0]), dk = fv_grad(p, s->x[1]), dv = fv_grad(p, s->x[2]);
    fv_arena_mark mark = fv_arena_here(p->arena);
    fv_view dkeys = make_pages(p, &s->kv, FV_F32, true), dvalues = make_pages(p, &s->kv, FV_F32, false);
    ops_of(p)->attention_back(exec_of(p), dq, dkeys, dvalues, fv_grad(p, s->y), s->y->v, s->saved, s->x[0]->v, s->kv.keys, s->kv.values, s->kv.plan);
    ops_of(p)->kv_write_back(exec_of(p), dk, dv, dkeys, dvalues, s->kv.row, s->kv.slot);
    fv_arena_release(p->arena, mark);
}

static bool attention_fits(fv_pass *p, const fv_var *q, const fv_var *k, const fv_var *v, const fv_kv *kv) {
    const fv_attention *a = kv->plan;
    bool rows = fv_rows(q->v) == a->rows && fv_cols(q->v) == (int64_t)a->heads * a->head_dim;
    bool keys = same_shape(k, v) && fv_cols(k->v) == (int64_t)a->kv_heads * a->head_dim;
    return fv_pass_fits(p, rows && keys, "fv_attend", "q and k must be as the plan has rows and heads", q->v, k->v) &&
           fv_pass_fits(p, fv_elements(kv->row) == fv_elements(kv->slot), "fv_attend", "every written row needs a slot", kv->row, kv->slot) &&
           fv_pass_fits(p, !p->tape || !kv->keys.data, "fv_attend", "with a tape, pages are made for the pass", kv->keys, kv->values);
}

fv_var *fv_attend(fv_pass *p, fv_var *q, fv_var *k, fv_var *v, const fv_kv *kv) {
    fv_var *y = fv_costly_value(p, fv_rows(q->v), fv_cols(q->v), q->track || k->track || v->track);
    bool known;
    fv_view stats = fv_costly(p, fv_rows(q->v), 2 * (int64_t)kv->plan->heads, &known);
    if (!attention_fits(p, q, k, v, kv)) return y;
    fv_step s = {.back = attend_back, .y = y, .x = {q, k, v}, .kv = *kv, .saved = fv_vec(fv_f32(stats), fv_elements(stats))};
    fv_dtype dtype = ops_of(p)->page_dtype(kv->plan->head_dim);
    if (!kv->keys.data) s.kv.keys = make_pages(p, kv, dtype, true), s.kv.values = make_pages(p, kv, dtype, false);
    ops_of(p)->kv_write(exec_of(p), s.kv.keys, s.kv.values, k->v, v->v, kv->row, kv->slot);
    if (!y->final || !known) ops_of(p)->attention(exec_of(p), y->v, s.saved, q->v, s.kv.keys, s.kv.values, kv->plan);
    fv_tape_push(p, &s);
    return y;
}

static void attend_runs_back(fv_pass *p, const fv_step *s) {
    fv_var *q = s->x[0], *k = s->x[1], *v = s->x[2];
    ops_of(p)->attend_runs_back(exec_of(p), fv_grad(p, q), fv_grad(p, k), fv_grad(p, v), fv_grad(p, s->y), s->y->v, s->saved, q->v, k->v, v->v, s->runs);
}

fv_var *fv_attend_runs(fv_pass *p, fv_var *q, fv_var *k, fv_var *v, const fv_runs *r) {
    fv_var *y = fv_costly_value(p, fv_rows(q->v), fv_cols(q->v), q->track || k->track || v->track);
    bool known, fits = fv_rows(q->v) == r->rows && fv_cols(q->v) == (int64_t)r->heads * r->head_dim;
    fv_view stats = fv_costly(p, fv_rows(q->v), 2 * (int64_t)r->heads, &known);
    if (!fv_pass_fits(p, fits && same_shape(q, k) && same_shape(q, v), "fv_attend_runs", "q, k and v must be as the runs have rows and heads", q->v, k->v)) return y;
    stats = fv_vec(fv_f32(stats), fv_elements(stats));
    if (!y->final || !known) ops_of(p)->attend_runs(exec_of(p), y->v, stats, q->v, k->v, v->v, r);
    fv_tape_push(p, &(fv_step){.back = attend_runs_back, .y = y, .x = {q, k, v}, .saved = stats, .runs = r});
    return y;
}

/* ---- log-probs ---- */

static fv_head head_of(fv_pass *p, int weight) { return (fv_head){.weight = weight_of(p, weight), .packed = fv_slot_packed(p->slot, weight)}; }

/* Two results, so this step is asked whether or not somebody added to either. */
static void logprob_back(fv_pass *p, const fv_step *s) {
    fv_var *hidden = s->x[0], *logp = s->x[1], *entropy = s->x[2];
    if (!fv_has_grad(logp) && !fv_has_grad(entropy)) return;
    fv_view dentropy = fv_has_grad(entropy) ? fv_grad(p, entropy) : fv_none;
    ops_of(p)->logprob_back(exec_of(p), fv_grad(p, hidden), weight_grad(p, s->weight), fv_grad(p, logp), dentropy, entropy->v, s->saved, hidden->v,
                            head_of(p, s->weight), s->index, s->other);
}

static bool logprob_fits(fv_pass *p, fv_var *hidden, int head_weight, fv_view target, fv_view temperature) {
    int64_t rows = fv_rows(hidden->v);
    fv_view w = weight_of(p, head_weight);
    bool fits = fv_cols(w) == fv_cols(hidden->v) && p->slot->params[head_weight].linear;
    if (!fv_pass_fits(p, fits, "fv_logprob", "hidden [rows, k] needs a head [vocabulary, k]", hidden->v, w)) return false;
    fits = fv_elements(target) == rows && fv_elements(temperature) == rows && in_range(target, 0, w.shape[0]);
    return fv_pass_fits(p, fits, "fv_logprob", "each row needs a target in the vocabulary and a temperature", hidden->v, target);
}

static fv_scored scored_of(fv_pass *p, fv_var *hidden, int head_weight) {
    bool track = hidden->track || trained(p, head_weight);
    return (fv_scored){.hidden = hidden, .logp = fv_value(p, fv_rows(hidden->v), 1, track), .entropy = fv_value(p, fv_rows(hidden->v), 1, track)};
}

static void push_logprob(fv_pass *p, fv_var *hidden, int head_weight, const fv_scored *out, fv_view target, fv_view temperature) {
    if (!out->logp->track) return;
    fv_tape_push(p, &(fv_step){.back = logprob_back, .x = {hidden, out->logp, out->entropy}, .weight = head_weight, .saved = out->lse, .index = target,
                               .other = temperature});
}

fv_scored fv_logprob(fv_pass *p, fv_var *hidden, int head_weight, fv_view target, fv_view temperature) {
    int64_t rows = fv_rows(hidden->v);
    fv_scored out = scored_of(p, hidden, head_weight);
    out.lse = fv_mat(FV_NUMBERS(p->arena, 2 * rows), rows, 2);
    if (!logprob_fits(p, hidden, head_weight, target, temperature)) return out;
    ops_of(p)->logprob(exec_of(p), out.logp->v, out.entropy->v, out.lse, hidden->v, head_of(p, head_weight), target, temperature);
    push_logprob(p, hidden, head_weight, &out, target, temperature);
    return out;
}

fv_scored fv_logprob_known(fv_pass *p, fv_var *hidden, int head_weight, fv_view target, fv_view temperature, const float *logp, const float *entropy) {
    fv_scored out = scored_of(p, hidden, head_weight);
    if (!logprob_fits(p, hidden, head_weight, target, temperature)) return out;
    ops_of(p)->upload(out.logp->v.data, logp, fv_bytes(out.logp->v));
    ops_of(p)->upload(out.entropy->v.data, entropy, fv_bytes(out.entropy->v));
    push_logprob(p, hidden, head_weight, &out, target, temperature);
    return out;
}

/* ---- distances of distributions ---- */

typedef struct {
    fv_distribution other;
    fv_view lse, pull, temperature;
    float beta;
} apart;

static void divergence_back(fv_pass *p, const fv_step *s) {
    const apart *a = s->context;
    fv_distribution own = {s->x[0]->v, a->lse, head_of(p, s->weight)};
    ops_of(p)->divergence_back(exec_of(p), fv_grad(p, s->x[0]), weight_grad(p, s->weight), fv_grad(p, s->y), a->pull, own, a->other, a->temperature, a->beta);
}

fv_var *fv_divergence(fv_pass *p, const fv_scored *scored, int head_weight, const fv_distribution *other, fv_view temperature, float beta) {
    fv_var *hidden = scored->hidden, *y = fv_value(p, fv_rows(hidden->v), 1, scored->logp->track);
    int64_t rows = fv_rows(hidden->v);
    apart *a = FV_TAKE(p->arena, apart, 1);
    *a = (apart){*other, scored->lse, fv_vec(FV_NUMBERS(p->arena, rows), rows), temperature, beta};
    bool fits = scored->lse.data && fv_rows(other->hidden) == rows && fv_elements(temperature) == rows && fv_cols(other->hidden) == fv_cols(other->head.weight);
    if (!fv_pass_fits(p, fits, "fv_divergence", "scored rows need others' rows and a temperature", hidden->v, other->hidden)) return y;
    ops_of(p)->divergence(exec_of(p), y->v, a->pull, (fv_distribution){hidden->v, scored->lse, head_of(p, head_weight)}, *other, temperature, beta);
    fv_tape_push(p, &(fv_step){.back = divergence_back, .y = y, .x = {hidden}, .weight = head_weight, .context = a});
    return y;
}
