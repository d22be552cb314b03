#include "language/decoder.h"

#include "core/rotary.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Weights of a layer, by index in the slot; -1 where the family has none. */
typedef struct {
    int attention_norm, o, q_norm, k_norm;
    fv_affine qkv[3];
    int mlp_norm, gate, up, down;
} layer;

struct fv_decoder {
    fv_text_config c;
    int weights;             /* the model has */
    int embed, norm, head;
    float *inv_freq;         /* [head_dim / 2] */
    int32_t *axis;           /* [head_dim / 2] which position a frequency turns with: t, h or w */
    layer *layers;
};

/* ---- opening ---- */

static fv_status find_layer(layer *l, const fv_weight_list *list, int i, const fv_text_config *c, fv_error *err) {
    int64_t q = (int64_t)c->heads * c->head_dim, kv = (int64_t)c->kv_heads * c->head_dim;
    const struct {
        int *out;
        fv_weight_use use;
        int64_t n, k;
        const char *name;
        bool present;
    } want[] = {
        {&l->attention_norm, FV_AS_VECTOR, c->hidden, 0, "input_layernorm.weight", true},
        {&l->qkv[0].weight, FV_AS_LINEAR, q, c->hidden, "self_attn.q_proj.weight", true},
        {&l->qkv[1].weight, FV_AS_LINEAR, kv, c->hidden, "self_attn.k_proj.weight", true},
        {&l->qkv[2].weight, FV_AS_LINEAR, kv, c->hidden, "self_attn.v_proj.weight", true},
        {&l->o, FV_AS_LINEAR, c->hidden, q, "self_attn.o_proj.weight", true},
        {&l->qkv[0].bias, FV_AS_VECTOR, q, 0, "self_attn.q_proj.bias", c->qkv_bias},
        {&l->qkv[1].bias, FV_AS_VECTOR, kv, 0, "self_attn.k_proj.bias", c->qkv_bias},
        {&l->qkv[2].bias, FV_AS_VECTOR, kv, 0, "self_attn.v_proj.bias", c->qkv_bias},
        {&l->q_norm, FV_AS_VECTOR, c->head_dim, 0, "self_attn.q_norm.weight", c->qk_norm},
        {&l->k_norm, FV_AS_VECTOR, c->head_dim, 0, "self_attn.k_norm.weight", c->qk_norm},
        {&l->mlp_norm, FV_AS_VECTOR, c->hidden, 0, "post_attention_layernorm.weight", true},
        {&l->gate, FV_AS_LINEAR, c->intermediate, c->hidden, "mlp.gate_proj.weight", true},
        {&l->up, FV_AS_LINEAR, c->intermediate, c->hidden, "mlp.up_proj.weight", true},
        {&l->down, FV_AS_LINEAR, c->hidden, c->intermediate, "mlp.down_proj.weight", true},
    };
    for (size_t w = 0; w < FV_COUNT(want); w++) {
        *want[w].out = -1;
        if (want[w].present) FV_TRY(fv_weight_find(list, want[w].out, want[w].use, want[w].n, want[w].k, err, "layers.%d.%s", i, want[w].name));
    }
    return FV_OK;
}

static const fv_weight *named(const fv_weight_list *list, const char *name) {
    size_t n = strlen(list->prefix);
    for (int i = 0; i < list->count; i++)
        if (!strncmp(list->weights[i].name, list->prefix, n) && !strcmp(list->weights[i].name + n, name)) return &list->weights[i];
    return NULL;
}

static bool same_values(const fv_weight *a, const fv_weight *b) {
    return !a->view.data || !b->view.data || (a->view.dtype == b->view.dtype && fv_bytes(a->view) == fv_bytes(b->view) && !memcmp(a->view.data, b->view.data, fv_bytes(a->view)));
}

/* Embedding and head. Of a tied model they are one, whichever of the two names is in the file; where both are and differ, they are not tied, whatever config.json says (as
 * transformers 5 has it: somebody trained the head). */
static fv_status find_ends(fv_decoder *d, const fv_weight_list *list, const fv_weight_list *top, fv_error *err) {
    const fv_text_config *c = &d->c;
    const fv_weight *embed = named(list, "embed_tokens.weight"), *head = named(top, "lm_head.weight");
    bool one = c->tied && !(embed && head && !same_values(embed, head)), by_head = one && !embed && head;
    FV_TRY(fv_weight_find(by_head ? top : list, &d->embed, FV_AS_TABLE, c->vocabulary, c->hidden, err, by_head ? "lm_head.weight" : "embed_tokens.weight"));
    return fv_weight_find(one && !by_head ? list : top, &d->head, FV_AS_LINEAR, c->vocabulary, c->hidden, err, one && !by_head ? "embed_tokens.weight" : "lm_head.weight");
}

static fv_status find_weights(fv_decoder *d, fv_weight *weights, int count, fv_error *err) {
    static const char *const prefixes[] = {"model.language_model.", "model."}; /* HF facts 2: new and old layout */
    const fv_text_config *c = &d->c;
    fv_weight_list list = {weights, count, fv_weight_prefix(weights, count, prefixes, 2)}, top = {weights, count, ""};
    if (!list.prefix) return fv_fail(err, FV_BAD_MODEL, "weights: no tensor model.embed_tokens.weight or model.language_model.embed_tokens.weight");
    FV_TRY(fv_weight_find(&list, &d->norm, FV_AS_VECTOR, c->hidden, 0, err, "norm.weight"));
    FV_TRY(find_ends(d, &list, &top, err));
    for (int i = 0; i < c->layers; i++) FV_TRY(find_layer(&d->layers[i], &list, i, c, err));
    return FV_OK;
}

/* HF facts 8: consecutive runs of frequencies for t, h, w, or interleaved; all t for text models. */
static int32_t axis_of(const fv_text_config *c, int i) {
    const int *section = c->mrope_section;
    if (c->mrope_interleaved) return i % 3 && i < 3 * section[i % 3] ? i % 3 : 0;
    int run = 0, end = c->mrope_count ? section[0] : 0;
    while (run < c->mrope_count && i >= end) end += ++run < c->mrope_count ? section[run] : 0;
    return run % 3;
}

fv_status fv_decoder_open(fv_decoder **out, const fv_text_config *c, fv_weight *weights, int count, fv_error *err) {
    *out = NULL;
    int half = c->head_dim / 2;
    fv_decoder *d = calloc(1, sizeof *d);
    if (d) *d = (fv_decoder){.c = *c, .weights = count};
    if (d) d->inv_freq = calloc((size_t)half, sizeof *d->inv_freq);
    if (d) d->axis = calloc((size_t)half, sizeof *d->axis);
    if (d) d->layers = calloc((size_t)c->layers, sizeof *d->layers);
    fv_status status = FV_OK;
    if (!d || !d->inv_freq || !d->axis || !d->layers) status = fv_fail(err, FV_NO_MEMORY, "decoder: out of memory");
    if (status == FV_OK) status = find_weights(d, weights, count, err);
    if (status != FV_OK) {
        fv_decoder_close(d);
        return status;
    }
    fv_rotary_frequencies(d->inv_freq, half, c->head_dim, c->rope_theta);
    for (int i = 0; i < half; i++) d->axis[i] = axis_of(c, i);
    *out = d;
    return FV_OK;
}

void fv_decoder_close(fv_decoder *d) {
    if (!d) return;
    free(d->inv_freq);
    free(d->axis);
    free(d->layers);
    free(d);
}

int fv_decoder_head(const fv_decoder *d) { return d->head; }

/* ---- forward ---- */

/* What a layer needs beside its input; kept in the arena for the way back. */
typedef struct {
    const fv_decoder *d;
    const layer *weights;
    fv_view cos, sin;
    fv_kv kv;
    fv_view wanted;       /* rows that go on from here, absent: all. The others give only keys and values */
    fv_view q_cos, q_sin; /* of the rows that go on */
} layer_context;

static fv_var *going_on(fv_pass *p, fv_var *x, const layer_context *at) { return at->wanted.data ? fv_select(p, x, at->wanted) : x; }

static fv_var *attention(fv_pass *p, fv_var *x, const layer_context *at) {
    const fv_text_config *c = &at->d->c;
    const layer *l = at->weights;
    fv_var *h = fv_rms_norm(p, x, l->attention_norm, c->rms_eps);
    fv_var *qkv[3];
    int own = at->wanted.data ? 1 : 0; /* queries of some rows have an input of their own */
    if (own) fv_linears(p, going_on(p, h, at), l->qkv, 1, qkv);
    fv_linears(p, h, l->qkv + own, 3 - own, qkv + own);
    fv_var *q = qkv[0], *k = qkv[1], *v = qkv[2];
    if (c->qk_norm) {
        q = fv_rms_norm(p, q, l->q_norm, c->rms_eps);
        k = fv_rms_norm(p, k, l->k_norm, c->rms_eps);
    }
    fv_rotary(p, q, at->q_cos, at->q_sin, c->heads);
    fv_rotary(p, k, at->cos, at->sin, c->kv_heads);
    return fv_linear(p, fv_attend(p, q, k, v, &at->kv), l->o, -1);
}

static fv_var *mlp(fv_pass *p, fv_var *x, const layer_context *at) {
    const layer *l = at->weights;
    fv_var *h = fv_rms_norm(p, x, l->mlp_norm, at->d->c.rms_eps);
    fv_var *up_gate[2];
    fv_linears(p, h, (fv_affine[]){{l->up, -1}, {l->gate, -1}}, 2, up_gate);
    return fv_linear(p, fv_swiglu(p, up_gate[1], up_gate[0]), l->down, -1);
}

static void run_layer(fv_pass *p, fv_var *y, fv_var *x, void *context) {
    const layer_context *at = context;
    fv_var *seen = attention(p, x, at);
    x = fv_add(p, going_on(p, x, at), seen);
    fv_add_to(p, y, x, mlp(p, x, at));
}

static layer_context shared_context(fv_pass *p, const fv_decoder *d, const fv_batch *b) {
    const fv_text_config *c = &d->c;
    int64_t rows = fv_elements(b->ids), half = c->head_dim / 2;
    layer_context at = {.d = d};
    at.cos = fv_mat(FV_NUMBERS(p->arena, rows * half), rows, half);
    at.sin = fv_mat(FV_NUMBERS(p->arena, rows * half), rows, half);
    p->slot->ops->rotary_table(&p->slot->exec, at.cos, at.sin, b->position, fv_vec(d->inv_freq, half), fv_ints(d->axis, half));
    at.q_cos = at.cos;
    at.q_sin = at.sin;
    fv_attention *plan = FV_TAKE(p->arena, fv_attention, 1);
    *plan = b->plan;
    plan->heads = c->heads;
    plan->kv_heads = c->kv_heads;
    plan->head_dim = c->head_dim;
    plan->scale = (float)(1 / sqrt(c->head_dim));
    at.kv = (fv_kv){.row = b->kv_row, .slot = b->kv_slot, .pages = b->pages, .plan = plan};
    return at;
}

static fv_view rows_of(fv_pass *p, fv_view v, fv_view index) {
    fv_view rows = fv_mat(FV_NUMBERS(p->arena, fv_elements(index) * fv_cols(v)), fv_elements(index), fv_cols(v));
    p->slot->ops->gather(&p->slot->exec, rows, v, index);
    return rows;
}

/* The context of a layer where only some rows go on: its queries are theirs, its keys and values still everybody's. */
static void narrow(fv_pass *p, layer_context *at, fv_view wanted) {
    const fv_attention *whole = at->kv.plan;
    fv_attention *plan = FV_TAKE(p->arena, fv_attention, 1);
    int rows = (int)fv_elements(wanted);
    int32_t *run_row = FV_TAKE(p->arena, int32_t, whole->runs + 1), *limit = FV_TAKE(p->arena, int32_t, rows), *first = FV_TAKE(p->arena, int32_t, rows);
    for (int i = 0, r = 0; i <= whole->runs; i++) {
        while (r < rows && fv_i32(wanted)[r] < whole->run_row[i]) r++;
        run_row[i] = r;
    }
    for (int i = 0; i < rows; i++) {
        limit[i] = whole->limit[fv_i32(wanted)[i]];
        first[i] = whole->first ? whole->first[fv_i32(wanted)[i]] : 0;
    }
    *plan = *whole;
    plan->rows = rows;
    plan->run_row = run_row;
    plan->limit = limit;
    plan->first = whole->first ? first : NULL;
    at->kv.plan = plan;
    at->wanted = wanted;
    at->q_cos = rows_of(p, at->cos, wanted);
    at->q_sin = rows_of(p, at->sin, wanted);
}

static bool rows_in_order(fv_view index, int64_t rows) {
    for (int64_t i = 0, least = 0; i < fv_elements(index); least = fv_i32(index)[i++] + 1)
        if (fv_i32(index)[i] < least || fv_i32(index)[i] >= rows) return false;
    return true;
}

static fv_var *embed(fv_pass *p, const fv_decoder *d, const fv_batch *b) {
    fv_var *x = fv_embed(p, d->embed, b->ids);
    if (!b->visual || !b->visual->embeds) return x;
    return fv_overwrite(p, x, fv_gather(p, b->visual->embeds, b->visual_index), b->visual_row);
}

/* Deepstack (Qwen3-VL): the tower's k-th level is added after text layer k, whatever tower block it is from (HF facts 7). */
static fv_var *add_deepstack(fv_pass *p, fv_var *x, const fv_batch *b, int level) {
    if (!b->visual || level >= FV_MAX_DEEPSTACK || !b->visual->deepstack[level]) return x;
    return fv_add_rows(p, x, fv_gather(p, b->visual->deepstack[level], b->visual_index), b->visual_row);
}

static void show_taps(const fv_pass *p, int i, const fv_var *x) {
    for (int t = 0; t < p->tap_count; t++)
        if (p->taps[t].layer == i) p->taps[t].see(p->taps[t].context, i, x->v);
}

/* The layer after which only wanted rows go on: the last, unless somebody else looks at its rows; -1: none. */
static int narrowed_layer(const fv_pass *p, const fv_decoder *d, const fv_batch *b) {
    int last = d->c.layers - 1;
    bool shown = p->tap_count || p->record || (b->visual && last < FV_MAX_DEEPSTACK && b->visual->deepstack[last]);
    return b->wanted.data && !shown ? last : -1;
}

fv_var *fv_decoder_forward(fv_pass *p, const fv_decoder *d, const fv_batch *b) {
    int64_t rows = fv_elements(b->ids);
    bool fits = p->slot->weights == d->weights && fv_elements(b->position) == 3 * rows && b->plan.rows == rows;
    if (!fv_pass_fits(p, fits, "fv_decoder_forward", "slot, positions [3, rows] and plan must be of this model and these rows", b->ids, b->position))
        return fv_value(p, rows, d->c.hidden, false);
    if (b->wanted.data && !fv_pass_fits(p, rows_in_order(b->wanted, rows), "fv_decoder_forward", "wanted rows must be rows, ascending", b->wanted, b->ids))
        return fv_value(p, fv_elements(b->wanted), d->c.hidden, false);
    layer_context shared = shared_context(p, d, b);
    fv_var *x = embed(p, d, b);
    int narrowed = narrowed_layer(p, d, b);
    for (int i = 0; i < d->c.layers; i++) {
        layer_context *at = FV_TAKE(p->arena, layer_context, 1);
        *at = shared;
        at->weights = &d->layers[i];
        if (b->keys) at->kv.keys = b->keys[i], at->kv.values = b->values[i];
        if (i == narrowed) {
            narrow(p, at, b->wanted);
            fv_var *y = fv_value(p, fv_elements(b->wanted), d->c.hidden, false);
            run_layer(p, y, x, at); /* no block, which would keep its shape: to run it again would spare nothing, its way back comes first */
            x = y;
        } else {
            x = add_deepstack(p, fv_block(p, x, run_layer, at), b, i);
        }
        show_taps(p, i, x);
    }
    if (b->wanted.data && narrowed < 0) x = fv_select(p, x, b->wanted);
    return fv_rms_norm(p, x, d->norm, d->c.rms_eps);
}
