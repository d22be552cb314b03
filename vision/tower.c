#include "vision/tower.h"

#include "core/rotary.h"
#include "vision/tower_layout.h"

#include <stdio.h>
#include <stdlib.h>

static const float norm_eps = 1e-6f; /* every norm of every family (HF facts 7) */

/* Weights by index in the slot; -1 where the family has none. */
typedef struct {
    fv_affine norm1, qkv, proj, norm2, gate, up, down; /* without a gate: up, act, down */
} block;

typedef struct {
    fv_affine norm, fc1, fc2;
} merger;

struct fv_tower {
    fv_tower_config c;
    int weights; /* the model has */
    fv_affine patch;
    int positions;
    block *blocks;
    merger merger, deepstack[FV_MAX_DEEPSTACK];
    float *inv_freq; /* [head_dim / 2] */
    int32_t *axis;   /* [head_dim / 2] 0: turns with the patch's row, 1: with its column */
};

/* ---- opening ---- */

/* What the families call the same weights (HF facts 2). */
typedef struct {
    const char *fc1, *fc2, *merger_norm, *merger_fc1, *merger_fc2;
} names;
static const names qwen2_names = {"mlp.fc1", "mlp.fc2", "ln_q", "mlp.0", "mlp.2"};
static const names qwen3_names = {"mlp.linear_fc1", "mlp.linear_fc2", "norm", "linear_fc1", "linear_fc2"};

static const names *names_of(const fv_tower_config *c) { return c->positions ? &qwen3_names : &qwen2_names; }

static fv_status find_linear(const fv_weight_list *list, fv_affine *out, int64_t n, int64_t k, bool bias, const char *place, const char *name, fv_error *err) {
    out->bias = -1;
    FV_TRY(fv_weight_find(list, &out->weight, FV_AS_LINEAR, n, k, err, "%s%s.weight", place, name));
    return bias ? fv_weight_find(list, &out->bias, FV_AS_VECTOR, n, 0, err, "%s%s.bias", place, name) : FV_OK;
}

static fv_status find_norm(const fv_weight_list *list, fv_affine *out, int64_t n, bool bias, const char *place, const char *name, fv_error *err) {
    out->bias = -1;
    FV_TRY(fv_weight_find(list, &out->weight, FV_AS_VECTOR, n, 0, err, "%s%s.weight", place, name));
    return bias ? fv_weight_find(list, &out->bias, FV_AS_VECTOR, n, 0, err, "%s%s.bias", place, name) : FV_OK;
}

static fv_status find_block(block *b, const fv_weight_list *list, int i, const fv_tower_config *c, fv_error *err) {
    char place[32];
    snprintf(place, sizeof place, "blocks.%d.", i);
    const char *up = c->gated ? "mlp.up_proj" : names_of(c)->fc1, *down = c->gated ? "mlp.down_proj" : names_of(c)->fc2;
    FV_TRY(find_norm(list, &b->norm1, c->hidden, !c->rms_norm, place, "norm1", err));
    FV_TRY(find_linear(list, &b->qkv, 3 * (int64_t)c->hidden, c->hidden, true, place, "attn.qkv", err));
    FV_TRY(find_linear(list, &b->proj, c->hidden, c->hidden, true, place, "attn.proj", err));
    FV_TRY(find_norm(list, &b->norm2, c->hidden, !c->rms_norm, place, "norm2", err));
    if (c->gated) FV_TRY(find_linear(list, &b->gate, c->intermediate, c->hidden, true, place, "mlp.gate_proj", err));
    FV_TRY(find_linear(list, &b->up, c->intermediate, c->hidden, true, place, up, err));
    return find_linear(list, &b->down, c->hidden, c->intermediate, true, place, down, err);
}

/* The main merger's norm is over a patch, a deepstack merger's over the merged patches. */
static fv_status find_merger(merger *m, const fv_weight_list *list, const char *place, bool norm_merged, const fv_tower_config *c, fv_error *err) {
    int64_t merged = (int64_t)c->hidden * c->merge * c->merge;
    FV_TRY(find_norm(list, &m->norm, norm_merged ? merged : c->hidden, !c->rms_norm, place, names_of(c)->merger_norm, err));
    FV_TRY(find_linear(list, &m->fc1, merged, merged, true, place, names_of(c)->merger_fc1, err));
    return find_linear(list, &m->fc2, c->out_hidden, merged, true, place, names_of(c)->merger_fc2, err);
}

static fv_status find_weights(fv_tower *t, fv_weight *weights, int count, fv_error *err) {
    static const char *const prefixes[] = {"model.visual.", "visual."}; /* HF facts 2: new and old layout */
    const fv_tower_config *c = &t->c;
    fv_weight_list list = {weights, count, fv_weight_prefix(weights, count, prefixes, 2)};
    if (!list.prefix) return fv_fail(err, FV_BAD_MODEL, "weights: no tensor of the vision tower (visual.* or model.visual.*)");
    int64_t pixels = (int64_t)c->channels * c->temporal * c->patch * c->patch;
    FV_TRY(find_linear(&list, &t->patch, c->hidden, pixels, c->patch_bias, "", "patch_embed.proj", err));
    if (c->positions) FV_TRY(fv_weight_find(&list, &t->positions, FV_AS_TABLE, c->positions, c->hidden, err, "pos_embed.weight"));
    for (int i = 0; i < c->depth; i++) FV_TRY(find_block(&t->blocks[i], &list, i, c, err));
    FV_TRY(find_merger(&t->merger, &list, "merger.", false, c, err));
    for (int i = 0; i < c->deepstack_count; i++) {
        char place[48];
        snprintf(place, sizeof place, "deepstack_merger_list.%d.", i);
        FV_TRY(find_merger(&t->deepstack[i], &list, place, true, c, err));
    }
    return FV_OK;
}

fv_status fv_tower_open(fv_tower **out, const fv_tower_config *c, fv_weight *weights, int count, fv_error *err) {
    *out = NULL;
    int half = c->hidden / c->heads / 2;
    fv_tower *t = calloc(1, sizeof *t);
    if (t) *t = (fv_tower){.c = *c, .weights = count};
    if (t) t->inv_freq = calloc((size_t)half, sizeof *t->inv_freq);
    if (t) t->axis = calloc((size_t)half, sizeof *t->axis);
    if (t) t->blocks = calloc((size_t)c->depth, sizeof *t->blocks);
    fv_status status = FV_OK;
    if (!t || !t->inv_freq || !t->axis || !t->blocks) status = fv_fail(err, FV_NO_MEMORY, "vision tower: out of memory");
    if (status == FV_OK) status = find_weights(t, weights, count, err);
    if (status != FV_OK) {
        fv_tower_close(t);
        return status;
    }
    fv_rotary_frequencies(t->inv_freq, half / 2, half, 1e4); /* the same for rows, and again for columns */
    for (int i = 0; i < half / 2; i++) {
        t->inv_freq[half / 2 + i] = t->inv_freq[i];
        t->axis[half / 2 + i] = 1;
    }
    *out = t;
    return FV_OK;
}

void fv_tower_close(fv_tower *t) {
    if (!t) return;
    free(t->inv_freq);
    free(t->axis);
    free(t->blocks);
    free(t);
}

/* ---- forward ---- */

/* What a block needs beside its input; kept in the arena for the way back. */
typedef struct {
    const fv_tower *t;
    const block *weights;
    const fv_view *third; /* q, k, v */
    fv_view cos, sin;
    const fv_runs *runs;
} block_context;

static fv_var *linear(fv_pass *p, fv_var *x, fv_affine a) { return fv_linear(p, x, a.weight, a.bias); }

static fv_var *norm(fv_pass *p, fv_var *x, fv_affine a, const fv_tower_config *c) {
    return c->rms_norm ? fv_rms_norm(p, x, a.weight, norm_eps) : fv_layer_norm(p, x, a.weight, a.bias, norm_eps);
}

static fv_var *attention(fv_pass *p, fv_var *x, const block_context *at) {
    const fv_tower_config *c = &at->t->c;
    const block *b = at->weights;
    fv_var *qkv = linear(p, norm(p, x, b->norm1, c), b->qkv), *part[3];
    qkv = fv_reshape(p, qkv, 3 * fv_rows(x->v), c->hidden); /* a row holds q, k and v: three rows of the width */
    for (int i = 0; i < 3; i++) part[i] = fv_gather(p, qkv, at->third[i]);
    fv_rotary(p, part[0], at->cos, at->sin, c->heads);
    fv_rotary(p, part[1], at->cos, at->sin, c->heads);
    return linear(p, fv_attend_runs(p, part[0], part[1], part[2], at->runs), b->proj);
}

static fv_var *mlp(fv_pass *p, fv_var *x, const block_context *at) {
    const fv_tower_config *c = &at->t->c;
    const block *b = at->weights;
    fv_var *h = norm(p, x, b->norm2, c);
    if (c->gated) {
        fv_var *up_gate[2];
        fv_linears(p, h, (fv_affine[]){b->up, b->gate}, 2, up_gate);
        return linear(p, fv_swiglu(p, up_gate[1], up_gate[0]), b->down);
    }
    return linear(p, fv_act(p, linear(p, h, b->up), c->act), b->down);
}

static void run_block(fv_pass *p, fv_var *y, fv_var *x, void *context) {
    const block_context *at = context;
    x = fv_add(p, x, attention(p, x, at));
    fv_add_to(p, y, x, mlp(p, x, at));
}

/* [patches, hidden] to [merged, out_hidden] */
static fv_var *merge(fv_pass *p, fv_var *x, const merger *m, bool norm_merged, const fv_tower_layout *l, const fv_tower_config *c) {
    int64_t width = (int64_t)c->hidden * c->merge * c->merge;
    if (norm_merged) x = norm(p, fv_reshape(p, x, l->cells, width), m->norm, c);
    else x = fv_reshape(p, norm(p, x, m->norm, c), l->cells, width);
    x = linear(p, fv_act(p, linear(p, x, m->fc1), FV_GELU_ERF), m->fc2);
    return l->permuted ? fv_gather(p, x, l->back) : x;
}

/* Patches of all pictures, embedded, in the tower's order. */
static fv_var *embed(fv_pass *p, const fv_tower *t, const fv_patches *const *pictures, int count, const fv_tower_layout *l) {
    const fv_tower_config *c = &t->c;
    int64_t cols = (int64_t)c->channels * c->temporal * c->patch * c->patch;
    float *pixels = FV_NUMBERS(p->arena, l->rows * cols), *to = pixels;
    for (int i = 0; i < count; i++) {
        int64_t n = fv_patches_rows(pictures[i]) * cols;
        p->slot->ops->upload(to, pictures[i]->pixels, (size_t)n * sizeof *to);
        to += n;
    }
    fv_var *x = fv_input(p, fv_mat(pixels, l->rows, cols));
    if (l->permuted) x = fv_gather(p, x, l->order);
    x = linear(p, x, t->patch);
    return c->positions ? fv_add(p, x, fv_blend(p, t->positions, l->corner, l->mix)) : x;
}

static block_context shared_context(fv_pass *p, const fv_tower *t, const fv_tower_layout *l) {
    int64_t half = t->c.hidden / t->c.heads / 2;
    block_context at = {.t = t, .third = l->third};
    at.cos = fv_mat(FV_NUMBERS(p->arena, l->rows * half), l->rows, half);
    at.sin = fv_mat(FV_NUMBERS(p->arena, l->rows * half), l->rows, half);
    p->slot->ops->rotary_table(&p->slot->exec, at.cos, at.sin, l->position, fv_vec(t->inv_freq, half), fv_ints(t->axis, half));
    return at;
}

fv_tower_out fv_tower_forward(fv_pass *p, const fv_tower *t, const fv_patches *const *pictures, int count) {
    const fv_tower_config *c = &t->c;
    fv_tower_layout *l = FV_TAKE(p->arena, fv_tower_layout, 1);
    *l = fv_tower_lay_out(p->arena, c, pictures, count);
    fv_tower_out out = {.embeds = NULL};
    if (!fv_pass_fits(p, p->slot->weights == t->weights, "fv_tower_forward", "the slot must be of the tower's model", l->order, l->back)) {
        out.embeds = fv_value(p, l->cells, c->out_hidden, false);
        return out;
    }
    block_context shared = shared_context(p, t, l);
    fv_var *x = embed(p, t, pictures, count, l);
    for (int i = 0, level = 0; i < c->depth; i++) {
        block_context *at = FV_TAKE(p->arena, block_context, 1);
        *at = shared;
        at->weights = &t->blocks[i];
        at->runs = c->window && !(c->full_blocks >> i & 1) ? &l->window : &l->frame;
        x = fv_block(p, x, run_block, at);
        int k = 0;
        while (k < c->deepstack_count && c->deepstack[k] != i) k++;
        if (k < c->deepstack_count) out.deepstack[level++] = merge(p, x, &t->deepstack[k], true, l, c);
    }
    out.embeds = merge(p, x, &t->merger, false, l, c);
    return out;
}
