#include "language/init.h"

#include "core/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { NORMAL, ONES, ZEROS } filling;

typedef struct {
    fv_new_weights *out;
    uint64_t seed;
    bool shapes; /* no numbers */
    double std;
    fv_status status; /* the first failure; what follows does nothing */
    fv_error *err;
} maker;

static void fill(maker *m, const char *name, filling how, float *data, int64_t n) {
    fv_random r = fv_random_stream(fv_random_key(m->seed, name, 0, 0));
    for (int64_t i = 0; i < n; i++) data[i] = how == NORMAL ? (float)(m->std * fv_normal(&r)) : how == ONES ? 1.0f : 0.0f;
}

/* Adds prefix + name + suffix of the given shape. */
static void add(maker *m, filling how, fv_view shape, const char *prefix, const char *name, const char *suffix) {
    fv_new_weights *out = m->out;
    if (m->status != FV_OK) return;
    if (out->count == out->room) {
        size_t room = out->room ? out->room * 2 : 64;
        fv_tensor *grown = realloc(out->tensors, room * sizeof *grown);
        if (grown != NULL) out->tensors = grown, out->room = room;
    }
    char full[200];
    snprintf(full, sizeof full, "%s%s%s", prefix, name, suffix);
    fv_tensor t = {.name = strdup(full), .view = shape};
    t.view.dtype = FV_F32, t.view.device = FV_CPU;
    if (!m->shapes) t.view.data = malloc(fv_bytes(t.view));
    if (out->count == out->room || t.name == NULL || (!m->shapes && t.view.data == NULL)) {
        m->status = fv_fail(m->err, FV_NO_MEMORY, "no memory for the new tensor %s (%zu bytes)", full, fv_bytes(t.view));
        free((char *)t.name);
        free(t.view.data);
        return;
    }
    if (!m->shapes) fill(m, t.name, how, fv_f32(t.view), fv_elements(t.view));
    out->tensors[out->count++] = t;
}

static void vector(maker *m, filling how, const char *prefix, const char *name, const char *suffix, int n) {
    add(m, how, (fv_view){.rank = 1, .shape = {n}}, prefix, name, suffix);
}

static void linear(maker *m, const char *prefix, const char *name, int n, int k, bool bias) {
    add(m, NORMAL, (fv_view){.rank = 2, .shape = {n, k}}, prefix, name, ".weight");
    if (bias) vector(m, ZEROS, prefix, name, ".bias", n);
}

static void norm(maker *m, const char *prefix, const char *name, int n, bool bias) {
    vector(m, ONES, prefix, name, ".weight", n);
    if (bias) vector(m, ZEROS, prefix, name, ".bias", n);
}

/* Learned positions start so much wider than matrices, since they are added to what a patch shows (sums over a thousand pixels): drowned in it, a
 * small model takes thousands of steps to find out where things are. A power of two, so that scaling is exact. */
static const double POSITION_SCALE = 8;

/* ---- the tower (HF facts 2) --------------------------------------------------------------------------------------- */

static void add_block(maker *m, const fv_config *c, int number) {
    const fv_tower_config *v = &c->vision;
    bool qwen3 = c->family == FV_QWEN3_VL;
    char p[64];
    snprintf(p, sizeof p, "model.visual.blocks.%d.", number);
    norm(m, p, "norm1", v->hidden, !v->rms_norm);
    norm(m, p, "norm2", v->hidden, !v->rms_norm);
    linear(m, p, "attn.qkv", 3 * v->hidden, v->hidden, true);
    linear(m, p, "attn.proj", v->hidden, v->hidden, true);
    if (v->gated) {
        linear(m, p, "mlp.gate_proj", v->intermediate, v->hidden, true);
        linear(m, p, "mlp.up_proj", v->intermediate, v->hidden, true);
        linear(m, p, "mlp.down_proj", v->hidden, v->intermediate, true);
    } else {
        linear(m, p, qwen3 ? "mlp.linear_fc1" : "mlp.fc1", v->intermediate, v->hidden, true);
        linear(m, p, qwen3 ? "mlp.linear_fc2" : "mlp.fc2", v->hidden, v->intermediate, true);
    }
}

static void add_qwen3_merger(maker *m, const fv_tower_config *v, const char *prefix, int normed) {
    int wide = v->hidden * v->merge * v->merge;
    norm(m, prefix, "norm", normed, true);
    linear(m, prefix, "linear_fc1", wide, wide, true);
    linear(m, prefix, "linear_fc2", v->out_hidden, wide, true);
}

static void add_tower(maker *m, const fv_config *c) {
    const fv_tower_config *v = &c->vision;
    int wide = v->hidden * v->merge * v->merge;
    add(m, NORMAL, (fv_view){.rank = 5, .shape = {v->hidden, v->channels, v->temporal, v->patch, v->patch}}, "model.visual.", "patch_embed.proj", ".weight");
    if (v->patch_bias) vector(m, ZEROS, "model.visual.", "patch_embed.proj", ".bias", v->hidden);
    if (v->positions) {
        m->std *= POSITION_SCALE;
        add(m, NORMAL, (fv_view){.rank = 2, .shape = {v->positions, v->hidden}}, "model.visual.", "pos_embed", ".weight");
        m->std /= POSITION_SCALE;
    }
    for (int i = 0; i < v->depth; i++) add_block(m, c, i);
    if (c->family == FV_QWEN3_VL) {
        add_qwen3_merger(m, v, "model.visual.merger.", v->hidden);
        for (int k = 0; k < v->deepstack_count; k++) {
            char p[64];
            snprintf(p, sizeof p, "model.visual.deepstack_merger_list.%d.", k);
            add_qwen3_merger(m, v, p, wide);
        }
    } else {
        norm(m, "model.visual.", "merger.ln_q", v->hidden, !v->rms_norm);
        linear(m, "model.visual.", "merger.mlp.0", wide, wide, true);
        linear(m, "model.visual.", "merger.mlp.2", v->out_hidden, wide, true);
    }
}

/* ---- the decoder -------------------------------------------------------------------------------------------------- */

static void add_layer(maker *m, const fv_text_config *t, const char *prefix, int number) {
    char p[64];
    snprintf(p, sizeof p, "%slayers.%d.", prefix, number);
    norm(m, p, "input_layernorm", t->hidden, false);
    linear(m, p, "self_attn.q_proj", t->heads * t->head_dim, t->hidden, t->qkv_bias);
    linear(m, p, "self_attn.k_proj", t->kv_heads * t->head_dim, t->hidden, t->qkv_bias);
    linear(m, p, "self_attn.v_proj", t->kv_heads * t->head_dim, t->hidden, t->qkv_bias);
    linear(m, p, "self_attn.o_proj", t->hidden, t->heads * t->head_dim, false);
    if (t->qk_norm) {
        norm(m, p, "self_attn.q_norm", t->head_dim, false);
        norm(m, p, "self_attn.k_norm", t->head_dim, false);
    }
    norm(m, p, "post_attention_layernorm", t->hidden, false);
    linear(m, p, "mlp.gate_proj", t->intermediate, t->hidden, false);
    linear(m, p, "mlp.up_proj", t->intermediate, t->hidden, false);
    linear(m, p, "mlp.down_proj", t->hidden, t->intermediate, false);
}

static void add_decoder(maker *m, const fv_text_config *t, const char *prefix) {
    linear(m, prefix, "embed_tokens", t->vocabulary, t->hidden, false);
    for (int i = 0; i < t->layers; i++) add_layer(m, t, prefix, i);
    norm(m, prefix, "norm", t->hidden, false);
    if (!t->tied) linear(m, "", "lm_head", t->vocabulary, t->hidden, false);
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

/* Of a part of the config; text models have it at the top. */
static double std_of(const fv_config *c, const char *part) {
    const json_t *at = json_object_get(c->raw, part), *range = json_object_get(at ? at : c->raw, "initializer_range");
    return json_is_number(range) ? json_number_value(range) : 0.02;
}

static fv_status add_all(maker *m, const fv_config *c) {
    *m->out = (fv_new_weights){0};
    m->std = std_of(c, "vision_config");
    if (c->has_vision) add_tower(m, c);
    m->std = std_of(c, "text_config");
    add_decoder(m, &c->text, c->has_vision ? "model.language_model." : "model.");
    if (m->status != FV_OK) fv_new_weights_clear(m->out);
    return m->status;
}

fv_status fv_new_weights_make(fv_new_weights *out, const fv_config *c, uint64_t seed, fv_error *err) {
    return add_all(&(maker){.out = out, .seed = seed, .err = err}, c);
}

fv_status fv_new_weights_shapes(fv_new_weights *out, const fv_config *c, fv_error *err) { return add_all(&(maker){.out = out, .shapes = true, .err = err}, c); }

void fv_new_weights_clear(fv_new_weights *w) {
    for (size_t i = 0; i < w->count; i++) {
        free((char *)w->tensors[i].name);
        free(w->tensors[i].view.data);
    }
    free(w->tensors);
    *w = (fv_new_weights){0};
}
