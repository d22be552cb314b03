#include "rl/model_facts.h"

#include <string.h>

typedef struct {
    int64_t total, vision, embedding, layers, head; /* parameters */
    int64_t file, packed, lying, widened;           /* bytes */
    fv_dtype dtype;
    bool mixed;
} counts;

static bool holds(const char *name, const char *word) { return strstr(name, word) != NULL; }

static void count(counts *c, const fv_model *m, const fv_ops *ops) {
    int64_t most = fv_packed_most();
    for (int i = 0; i < m->count; i++) {
        const fv_weight *w = &m->weights[i];
        fv_view stored = fv_weights_stored(m->file, (size_t)i);
        int64_t n = fv_elements(w->view);
        int64_t *part = holds(w->name, "visual.") ? &c->vision : holds(w->name, "embed_tokens") ? &c->embedding : holds(w->name, "lm_head") ? &c->head : &c->layers;
        *part += n;
        c->total += n;
        c->file += (int64_t)fv_bytes(stored);
        int64_t copy = w->linear ? (int64_t)ops->linear_packed_bytes(fv_weight_matrix(w->view)) : 0;
        if (c->packed + copy <= most) c->packed += copy;
        else c->lying += copy;
        if (stored.dtype == FV_F16) c->widened += (int64_t)fv_bytes(w->view);
        if (i == 0) c->dtype = stored.dtype;
        else if (stored.dtype != c->dtype) c->mixed = true;
    }
}

static json_t *text_facts(const fv_text_config *t) {
    return json_pack("{s: i, s: i, s: i, s: i, s: i, s: i}", "hidden", t->hidden, "layers", t->layers, "heads", t->heads, "kv_heads", t->kv_heads, "head_dim", t->head_dim,
                     "intermediate", t->intermediate);
}

static json_t *vision_facts(const fv_config *c) {
    const fv_tower_config *v = &c->vision;
    if (!c->has_vision) return json_null();
    return json_pack("{s: i, s: i, s: i, s: i, s: i, s: i, s: i, s: i}", "hidden", v->hidden, "layers", v->depth, "heads", v->heads, "intermediate", v->intermediate, "patch", v->patch,
                     "merge", v->merge, "temporal", v->temporal, "window", v->window);
}

static json_t *tokenizer_facts(const fv_model *m) {
    json_t *end = json_array();
    for (int i = 0; i < m->config.eos_count; i++) json_array_append_new(end, json_integer(m->config.eos[i]));
    return json_pack("{s: i, s: i, s: o}", "size", fv_tokenizer_size(m->tokenizer), "vocabulary", m->config.text.vocabulary, "end", end);
}

fv_status fv_model_facts(json_t **out, const fv_model *m, const fv_ops *ops, fv_error *err) {
    counts c = {0};
    count(&c, m, ops);
    const fv_config *k = &m->config;
    json_t *limits = json_pack("{s: i}", "max_positions", k->text.max_positions);
    if (k->has_vision) {
        json_object_set_new(limits, "min_pixels", json_integer(m->image.min_pixels));
        json_object_set_new(limits, "max_pixels", json_integer(m->image.max_pixels));
    }
    json_t *parameters = json_pack("{s: I, s: I, s: I, s: I, s: I}", "total", (json_int_t)c.total, "vision", (json_int_t)c.vision, "embedding", (json_int_t)c.embedding, "layers",
                                   (json_int_t)c.layers, "head", (json_int_t)c.head);
    json_t *adapter = m->lora ? fv_lora_facts(m->lora) : json_null();
    int64_t trained = m->lora ? json_integer_value(json_object_get(adapter, "parameters")) : c.total;
    *out = json_pack("{s: s, s: s, s: o, s: s, s: I, s: I, s: I, s: I, s: I, s: b, s: o, s: o, s: o, s: o, s: s, s: o}", "folder", m->folder, "model_type", k->model_type, "parameters", parameters, "dtype",
                     c.mixed ? "mixed" : fv_dtype_name(c.dtype), "file_bytes", (json_int_t)c.file, "packed_bytes", (json_int_t)c.packed, "unpacked_bytes", (json_int_t)c.lying,
                     "widened_bytes", (json_int_t)c.widened, "trained_bytes", (json_int_t)(16 * trained), "tied",
                     k->text.tied, "text", text_facts(&k->text), "vision", vision_facts(k), "tokenizer", tokenizer_facts(m), "limits", limits, "note", m->note, "adapter", adapter);
    return *out ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", m->folder);
}
