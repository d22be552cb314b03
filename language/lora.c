#include "language/lora.h"

#include "core/file.h"
#include "core/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char config_name[] = "adapter_config.json", tensors_name[] = "adapter_model.safetensors";
static const char before[] = "base_model.model."; /* every path in the file, from the object in which PEFT wraps a model */

/* ---- names ---- */

/* "model.language_model.layers.0.mlp.up_proj" of the weight "model.layers.0.mlp.up_proj.weight", and the ".weight". false: too long. */
static bool layer_name(const fv_lora_base *base, const char *weight, fv_layer_name *out, const char **suffix) {
    static const char visual[] = "visual.", model[] = "model.", new_visual[] = "model.visual.", new_text[] = "model.language_model.";
    const char *dot = strrchr(weight, '.'), *put = "", *put_old = "", *rest = weight;
    *suffix = dot ? dot : "";
    if (base->vision && !strncmp(rest, new_visual, strlen(new_visual))) rest += strlen(new_visual), put = new_visual, put_old = visual;
    else if (base->vision && !strncmp(rest, visual, strlen(visual))) rest += strlen(visual), put = new_visual, put_old = visual;
    else if (base->vision && !strncmp(rest, new_text, strlen(new_text))) rest += strlen(new_text), put = new_text, put_old = model;
    else if (base->vision && !strncmp(rest, model, strlen(model))) rest += strlen(model), put = new_text, put_old = model;
    int length = (int)(strlen(rest) - strlen(*suffix)), n = snprintf(out->path, sizeof out->path, "%s%.*s", put, length, rest);
    int m = snprintf(out->old, sizeof out->old, "%s%.*s", put_old, length, rest);
    return n < (int)sizeof out->path && m < (int)sizeof out->old;
}

/* ---- tensors: read from the file, or new ---- */

typedef struct {
    fv_lora *l;
    const fv_lora_base *base;
    uint64_t seed;       /* of new ones */
    bool *taken;         /* [tensors of the file] it has a place */
    fv_error *err;
} maker;

static fv_status no_memory(const maker *m) { return fv_fail(m->err, FV_NO_MEMORY, "%s: out of memory", m->l->config.place); }

static const fv_tensor *find(maker *m, const fv_layer_name *layer, const char *suffix) {
    const char *const paths[] = {layer->path, layer->old};
    for (size_t i = 0; i < FV_COUNT(paths); i++) {
        char name[320];
        snprintf(name, sizeof name, "%s%s%s", before, paths[i], suffix);
        const fv_tensor *t = fv_weights_find(m->l->file, name);
        if (!t) continue;
        m->taken[t - fv_weights_at(m->l->file, 0)] = true;
        return t;
    }
    fv_fail(m->err, FV_BAD_MODEL, "%s: no tensor %s%s%s, which target_modules or modules_to_save ask for", m->l->folder, before, layer->path, suffix);
    return NULL;
}

/* The tensor's name and memory for its values (f32), as `shape` is. */
static fv_status begin(maker *m, fv_weight *w, const fv_layer_name *layer, const char *suffix, fv_view shape) {
    char name[320];
    snprintf(name, sizeof name, "%s%s%s", before, layer->path, suffix);
    w->view = shape;
    w->view.dtype = FV_F32;
    w->view.data = calloc((size_t)fv_elements(shape) + 1, sizeof(float));
    w->name = strdup(name);
    return w->name && w->view.data ? FV_OK : no_memory(m);
}

static bool is_float(fv_dtype t) { return t == FV_F32 || t == FV_BF16 || t == FV_F16; }

static fv_status read_values(maker *m, fv_weight *w, const fv_layer_name *layer, const char *suffix) {
    const fv_tensor *t = find(m, layer, suffix);
    if (!t) return FV_BAD_MODEL;
    bool same = t->view.rank == w->view.rank && is_float(t->view.dtype);
    for (int i = 0; i < w->view.rank && same; i++) same = t->view.shape[i] == w->view.shape[i];
    char got[96], want[96];
    fv_shape_text(t->view, got);
    fv_shape_text(w->view, want);
    if (!same) return fv_fail(m->err, FV_BAD_MODEL, "%s: tensor %s must be floats %s, got %s %s", m->l->folder, t->name, want, fv_dtype_name(t->view.dtype), got);
    fv_to_f32(fv_f32(w->view), t->view.data, t->view.dtype, fv_elements(w->view));
    return FV_OK;
}

static void start_a(const maker *m, fv_weight *w) {
    int64_t n = fv_elements(w->view);
    double bound = 1 / sqrt((double)(n / w->view.shape[0]));
    fv_random r = fv_random_stream(fv_random_key(m->seed, w->name, 0, 0));
    for (int64_t i = 0; i < n; i++) fv_f32(w->view)[i] = (float)fv_uniform_in(&r, -bound, bound);
}

static fv_status start_magnitude(maker *m, fv_weight *w, fv_view of) {
    int64_t n = of.shape[0], k = fv_elements(of) / n;
    float *row = malloc((size_t)k * sizeof *row);
    if (!row) return no_memory(m);
    for (int64_t j = 0; j < n; j++) {
        double squares = 0;
        fv_to_f32(row, (const char *)of.data + (size_t)(j * k) * fv_dtype_size(of.dtype), of.dtype, k);
        for (int64_t i = 0; i < k; i++) squares += (double)row[i] * (double)row[i];
        fv_f32(w->view)[j] = (float)sqrt(squares);
    }
    free(row);
    return FV_OK;
}

/* ---- layers ---- */

/* A has the weight's shape with r rows, B is [n, r]; a convolution's B ends in ones. */
static fv_status add_part(maker *m, int weight, const fv_layer_name *layer) {
    fv_view w = m->base->weights[weight].view, a = w, b = w;
    fv_lora *l = m->l;
    fv_adapter_part *part = &l->adapter.parts[l->adapter.part_count++];
    int64_t rank;
    part->weight = weight;
    FV_TRY(fv_lora_config_rank(&l->config, layer, &rank, &part->scale, m->err));
    a.shape[0] = b.shape[1] = rank;
    for (int i = 2; i < b.rank; i++) b.shape[i] = 1;
    FV_TRY(begin(m, &part->a, layer, ".lora_A.weight", a));
    FV_TRY(begin(m, &part->b, layer, ".lora_B.weight", b));
    if (l->config.dora) FV_TRY(begin(m, &part->magnitude, layer, ".lora_magnitude_vector", (fv_view){.rank = 1, .shape = {w.shape[0]}}));
    if (l->file) {
        FV_TRY(read_values(m, &part->a, layer, ".lora_A.weight"));
        FV_TRY(read_values(m, &part->b, layer, ".lora_B.weight"));
        return l->config.dora ? read_values(m, &part->magnitude, layer, ".lora_magnitude_vector") : FV_OK;
    }
    start_a(m, &part->a);
    return l->config.dora ? start_magnitude(m, &part->magnitude, w) : FV_OK;
}

/* A weight that is brought whole: mapped, or the model's own to start from. */
static fv_status add_whole(maker *m, int weight, const fv_layer_name *layer, const char *suffix) {
    const fv_weight *of = &m->base->weights[weight];
    fv_adapter_whole *whole = &m->l->adapter.wholes[m->l->adapter.whole_count++];
    char name[320], got[96], want[96];
    snprintf(name, sizeof name, "%s%s%s", before, layer->path, suffix);
    *whole = (fv_adapter_whole){.weight = weight, .own = {.name = strdup(name), .view = of->view, .linear = of->linear}};
    if (!whole->own.name) return no_memory(m);
    if (!m->l->file) return FV_OK;
    const fv_tensor *t = find(m, layer, suffix);
    if (!t) return FV_BAD_MODEL;
    whole->own.view = t->view;
    fv_shape_text(t->view, got);
    fv_shape_text(of->view, want);
    if (strcmp(got, want) || (t->view.dtype != FV_F32 && t->view.dtype != FV_BF16))
        return fv_fail(m->err, FV_BAD_MODEL, "%s: tensor %s must be F32 or BF16 %s, got %s %s", m->l->folder, t->name, want, fv_dtype_name(t->view.dtype), got);
    return FV_OK;
}

static bool is_projection(const fv_layer_name *layer) { return !strcmp(layer->path, "lm_head"); }
static bool is_embedding(const fv_layer_name *layer) { return strstr(layer->path, "embed_tokens") != NULL; }

static fv_status refuse(const maker *m, const fv_layer_name *layer, const char *why) {
    return fv_fail(m->err, FV_UNSUPPORTED, "%s: %s %s", m->l->config.place, layer->path, why);
}

static fv_status add_weight(maker *m, int weight, bool *used_names) {
    const fv_weight *w = &m->base->weights[weight];
    fv_layer_name layer;
    const char *suffix;
    bool target;
    if (!layer_name(m->base, w->name, &layer, &suffix)) return fv_fail(m->err, FV_UNSUPPORTED, "%s: %s: the name is too long", m->l->config.place, w->name);
    if (fv_lora_config_saves(&m->l->config, &layer, used_names)) {
        /* PEFT would train a copy beside the output projection, which stays what it was */
        if (is_embedding(&layer) && w->linear) return refuse(m, &layer, "is also the output projection (tied), so it can't be among modules_to_save");
        if (is_projection(&layer) && !w->linear) return refuse(m, &layer, "is not used, since the output projection is tied to the embeddings; it can't be among modules_to_save");
        return add_whole(m, weight, &layer, suffix);
    }
    if (strcmp(suffix, ".weight")) return FV_OK;
    bool plain = w->linear && w->view.rank == 2 && !is_projection(&layer) && !is_embedding(&layer);
    FV_TRY(fv_lora_config_targets(&m->l->config, &layer, plain, &target, m->err));
    if (!target) return FV_OK;
    if (is_projection(&layer) || is_embedding(&layer))
        return refuse(m, &layer, "can't have low-rank matrices (embeddings and the output projection are not supported as target_modules); modules_to_save trains it whole");
    if (!w->linear) return refuse(m, &layer, "is taken by target_modules, but it is not a linear layer");
    if (w->view.rank > 2 && m->l->config.dora) return refuse(m, &layer, "is a convolution, for which use_dora is not supported");
    return add_part(m, weight, &layer);
}

/* ---- the whole ---- */

static fv_status add_all(maker *m, bool *used_names) {
    const fv_lora *l = m->l;
    for (int i = 0; i < m->base->count; i++) FV_TRY(add_weight(m, i, used_names));
    const json_t *names = fv_json_find(l->json, "modules_to_save");
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!used_names[i])
            return fv_fail(m->err, FV_BAD_MODEL, "%s: modules_to_save: the model has no %s", l->config.place, json_string_value(json_array_get(names, i)));
    if (!l->adapter.part_count) return fv_json_wrong((fv_json_at){l->json, l->config.place, FV_BAD_MODEL}, "target_modules", "takes no layer of the model", m->err);
    for (size_t i = 0; l->file && i < fv_weights_count(l->file); i++)
        if (!m->taken[i])
            return fv_fail(m->err, FV_BAD_MODEL, "%s: tensor %s belongs to nothing that target_modules and modules_to_save take", l->folder, fv_weights_at(l->file, i)->name);
    return FV_OK;
}

static fv_status make(fv_lora *l, uint64_t seed, const fv_lora_base *base, fv_error *err) {
    FV_TRY(fv_lora_config_read(&l->config, l->json, l->place, err));
    size_t count = (size_t)base->count + 1;
    l->adapter.parts = calloc(count, sizeof *l->adapter.parts);
    l->adapter.wholes = calloc(count, sizeof *l->adapter.wholes);
    bool *names = calloc(json_array_size(fv_json_find(l->json, "modules_to_save")) + 1, sizeof *names);
    maker m = {.l = l, .base = base, .seed = seed, .err = err, .taken = calloc((l->file ? fv_weights_count(l->file) : 0) + 1, sizeof *m.taken)};
    bool all = l->adapter.parts && l->adapter.wholes && names && m.taken;
    fv_status s = all ? add_all(&m, names) : no_memory(&m);
    free(names);
    free(m.taken);
    return s;
}

bool fv_lora_is_folder(const char *folder) {
    char *path = fv_path_join(folder, config_name);
    bool is = path && fv_file_exists(path);
    free(path);
    return is;
}

static fv_status open_files(fv_lora *l, fv_error *err) {
    char *tensors = fv_path_join(l->folder, tensors_name);
    l->place = fv_path_join(l->folder, config_name);
    fv_status s = fv_json_read(&l->json, l->place, FV_BAD_MODEL, err);
    if (s == FV_OK) s = fv_weights_open(&l->file, tensors, err);
    if (s == FV_OK) s = fv_weights_widen(l->file, err); /* F16: modules_to_save are read as a model's weights are */
    free(tensors);
    return s;
}

fv_status fv_lora_open(fv_lora **out, const char *folder, const fv_lora_base *base, fv_error *err) {
    *out = NULL;
    fv_lora *l = calloc(1, sizeof *l);
    if (l) l->folder = strdup(folder);
    fv_status s = l && l->folder ? open_files(l, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", folder);
    if (s == FV_OK) s = make(l, 0, base, err);
    if (s == FV_OK) *out = l;
    else fv_lora_close(l);
    return s;
}

fv_status fv_lora_new(fv_lora **out, const json_t *json, uint64_t seed, const fv_lora_base *base, fv_error *err) {
    *out = NULL;
    fv_lora *l = calloc(1, sizeof *l);
    if (l) l->json = json_deep_copy(json);
    if (l) l->place = strdup("lora");
    fv_status s = l && l->json && l->place ? make(l, seed, base, err) : fv_fail(err, FV_NO_MEMORY, "lora: out of memory");
    if (s == FV_OK) *out = l;
    else fv_lora_close(l);
    return s;
}

void fv_lora_close(fv_lora *l) {
    if (!l) return;
    for (int i = 0; i < l->adapter.part_count; i++) {
        const fv_adapter_part *part = &l->adapter.parts[i];
        const fv_weight *const each[] = {&part->a, &part->b, &part->magnitude};
        for (size_t k = 0; k < FV_COUNT(each); k++) {
            free((char *)(uintptr_t)each[k]->name);
            free(each[k]->view.data);
        }
    }
    for (int i = 0; i < l->adapter.whole_count; i++) free((char *)(uintptr_t)l->adapter.wholes[i].own.name);
    free(l->adapter.parts);
    free(l->adapter.wholes);
    fv_weights_close(l->file);
    json_decref(l->json);
    free(l->folder);
    free(l->place);
    free(l);
}

/* ---- saving ---- */

static fv_status save_config(const fv_lora *l, const char *base_folder, const char *folder, fv_error *err) {
    char *absolute = fv_path_absolute(base_folder);
    json_t *json = json_deep_copy(l->json);
    fv_text t = {0};
    if (json && absolute) json_object_set_new(json, "base_model_name_or_path", json_string(absolute));
    if (json) fv_json_dump(&t, json, 2);
    t.failed |= !json || !absolute;
    json_decref(json);
    free(absolute);
    return fv_file_save(folder, config_name, &t, err);
}

/* Names are the adapter's, values the slot's where there is one. */
static size_t list_tensors(const fv_lora *l, const fv_slot *slot, fv_tensor *out) {
    size_t n = 0;
    for (int i = 0; i < l->adapter.part_count; i++) {
        const fv_adapter_part *part = &l->adapter.parts[i];
        const fv_adapted *d = slot ? slot->params[part->weight].adapted : NULL;
        out[n++] = (fv_tensor){part->a.name, d ? slot->params[d->a].w : part->a.view};
        out[n++] = (fv_tensor){part->b.name, d ? slot->params[d->b].w : part->b.view};
        if (part->magnitude.name) out[n++] = (fv_tensor){part->magnitude.name, d ? slot->params[d->magnitude].w : part->magnitude.view};
    }
    for (int i = 0; i < l->adapter.whole_count; i++) {
        const fv_adapter_whole *whole = &l->adapter.wholes[i];
        out[n++] = (fv_tensor){whole->own.name, slot ? slot->params[whole->weight].w : whole->own.view};
    }
    return n;
}

fv_status fv_lora_save(const fv_lora *l, const fv_slot *slot, const char *base_folder, const char *folder, fv_dtype dtype, fv_error *err) {
    FV_TRY(fv_folder_make(folder, err));
    FV_TRY(save_config(l, base_folder, folder, err));
    char *path = fv_path_join(folder, tensors_name);
    fv_tensor *tensors = calloc(3 * (size_t)l->adapter.part_count + (size_t)l->adapter.whole_count + 1, sizeof *tensors);
    fv_status s = path && tensors ? fv_weights_save_from(path, tensors, list_tensors(l, slot, tensors), dtype, slot ? slot->ops : NULL, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", folder);
    free(tensors);
    free(path);
    return s;
}

/* ---- facts ---- */

json_t *fv_lora_facts(const fv_lora *l) {
    int64_t parameters = 0;
    for (int i = 0; i < l->adapter.part_count; i++) {
        const fv_adapter_part *part = &l->adapter.parts[i];
        parameters += fv_elements(part->a.view) + fv_elements(part->b.view) + (part->magnitude.name ? fv_elements(part->magnitude.view) : 0);
    }
    for (int i = 0; i < l->adapter.whole_count; i++) parameters += fv_elements(l->adapter.wholes[i].own.view);
    const fv_lora_config *c = &l->config;
    return json_pack("{s: s, s: I, s: f, s: b, s: b, s: f, s: i, s: i, s: I}", "folder", l->folder ? l->folder : "", "r", (json_int_t)c->r, "alpha", c->alpha, "rslora", c->rslora, "dora",
                     c->dora, "dropout", c->dropout, "layers", l->adapter.part_count, "saved", l->adapter.whole_count, "parameters", (json_int_t)parameters);
}
