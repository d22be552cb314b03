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

static const char visual[] = "visual.", model[] = "model.", new_visual[] = "model.visual.", new_text[] = "model.language_model.";

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

/* Whether the adapter was made when transformers' Qwen-VL classes nested otherwise. Its settings and its tensors both go by the names of that time, and stay so. */
static bool is_older(const fv_lora *l) {
    for (size_t i = 0; l->file && i < fv_weights_count(l->file); i++) {
        const char *path = fv_weights_at(l->file, i)->name;
        if (!begins(path, before)) continue;
        path += strlen(before);
        if (begins(path, visual) || (begins(path, model) && !begins(path, new_visual) && !begins(path, new_text))) return true;
    }
    return false;
}

enum { LONGEST_PATH = 256 };

/* "model.language_model.layers.0.mlp.up_proj" of the weight "model.layers.0.mlp.up_proj.weight", and the ".weight". false: too long. */
static bool layer_path(const fv_lora_base *base, bool older, const char *weight, char out[LONGEST_PATH], const char **suffix) {
    const char *dot = strrchr(weight, '.'), *put = "", *rest = weight;
    *suffix = dot ? dot : "";
    const struct {
        const char *begin, *put;
    } names[] = {{new_visual, older ? visual : new_visual}, {visual, older ? visual : new_visual}, {new_text, older ? model : new_text}, {model, older ? model : new_text}};
    for (size_t i = 0; i < FV_COUNT(names) && base->vision && !*put; i++)
        if (begins(weight, names[i].begin)) rest = weight + strlen(names[i].begin), put = names[i].put;
    return snprintf(out, LONGEST_PATH, "%s%.*s", put, (int)(strlen(rest) - strlen(*suffix)), rest) < LONGEST_PATH;
}

/* ---- tensors: read from the file, or new ---- */

typedef struct {
    fv_lora *l;
    const fv_lora_base *base;
    bool older;          /* is_older */
    uint64_t seed;       /* of new ones */
    bool *taken;         /* [tensors of the file] it has a place */
    bool *saves, *targets; /* [names of modules_to_save, of target_modules] it takes something */
    fv_error *err;
} maker;

static fv_status no_memory(const maker *m) { return fv_fail(m->err, FV_NO_MEMORY, "%s: out of memory", m->l->config.place); }

static const fv_tensor *find(maker *m, const char *name) {
    const fv_tensor *t = fv_weights_find(m->l->file, name);
    if (t) m->taken[t - fv_weights_at(m->l->file, 0)] = true;
    else fv_fail(m->err, FV_BAD_MODEL, "%s: no tensor %s, which target_modules or modules_to_save ask for", m->l->folder, name);
    return t;
}

/* The tensor's name and memory for its values (f32), as `shape` is. */
static fv_status begin(maker *m, fv_weight *w, const char *path, const char *suffix, fv_view shape) {
    char name[LONGEST_PATH + 64];
    snprintf(name, sizeof name, "%s%s%s", before, path, suffix);
    w->view = shape;
    w->view.dtype = FV_F32;
    w->view.data = calloc((size_t)fv_elements(shape) + 1, sizeof(float));
    w->name = strdup(name);
    return w->name && w->view.data ? FV_OK : no_memory(m);
}

static bool is_float(fv_dtype t) { return t == FV_F32 || t == FV_BF16 || t == FV_F16; }

static fv_status read_values(maker *m, fv_weight *w) {
    const fv_tensor *t = find(m, w->name);
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
static fv_status add_part(maker *m, int weight, const char *path) {
    fv_view w = m->base->weights[weight].view, a = w, b = w;
    fv_lora *l = m->l;
    fv_adapter_part *part = &l->adapter.parts[l->adapter.part_count++];
    int64_t rank;
    part->weight = weight;
    FV_TRY(fv_lora_config_rank(&l->config, path, &rank, &part->scale, m->err));
    a.shape[0] = b.shape[1] = rank;
    for (int i = 2; i < b.rank; i++) b.shape[i] = 1;
    FV_TRY(begin(m, &part->a, path, ".lora_A.weight", a));
    FV_TRY(begin(m, &part->b, path, ".lora_B.weight", b));
    if (l->config.dora) FV_TRY(begin(m, &part->magnitude, path, ".lora_magnitude_vector", (fv_view){.rank = 1, .shape = {w.shape[0]}}));
    if (l->file) {
        FV_TRY(read_values(m, &part->a));
        FV_TRY(read_values(m, &part->b));
        return l->config.dora ? read_values(m, &part->magnitude) : FV_OK;
    }
    start_a(m, &part->a);
    return l->config.dora ? start_magnitude(m, &part->magnitude, w) : FV_OK;
}

/* A weight that is brought whole: mapped, or the model's own to start from. */
static fv_status add_whole(maker *m, int weight, const char *path, const char *suffix) {
    const fv_weight *of = &m->base->weights[weight];
    fv_adapter_whole *whole = &m->l->adapter.wholes[m->l->adapter.whole_count++];
    char name[LONGEST_PATH + 64], got[96], want[96];
    snprintf(name, sizeof name, "%s%s%s", before, path, suffix);
    *whole = (fv_adapter_whole){.weight = weight, .own = {.name = strdup(name), .view = of->view, .linear = of->linear}};
    if (!whole->own.name) return no_memory(m);
    if (!m->l->file) return FV_OK;
    const fv_tensor *t = find(m, name);
    if (!t) return FV_BAD_MODEL;
    whole->own.view = t->view;
    fv_shape_text(t->view, got);
    fv_shape_text(of->view, want);
    if (strcmp(got, want) || (t->view.dtype != FV_F32 && t->view.dtype != FV_BF16))
        return fv_fail(m->err, FV_BAD_MODEL, "%s: tensor %s must be F32 or BF16 %s, got %s %s", m->l->folder, t->name, want, fv_dtype_name(t->view.dtype), got);
    return FV_OK;
}

static bool is_projection(const char *path) { return !strcmp(path, "lm_head"); }
static bool is_embedding(const char *path) { return strstr(path, "embed_tokens") != NULL; }

static fv_status refuse(const maker *m, const char *path, const char *why) {
    return fv_fail(m->err, FV_UNSUPPORTED, "%s: %s %s", m->l->config.place, path, why);
}

static fv_status add_weight(maker *m, int weight) {
    const fv_weight *w = &m->base->weights[weight];
    char path[LONGEST_PATH];
    const char *suffix;
    bool target;
    if (!layer_path(m->base, m->older, w->name, path, &suffix)) return fv_fail(m->err, FV_UNSUPPORTED, "%s: %s: the name is too long", m->l->config.place, w->name);
    if (fv_lora_config_saves(&m->l->config, path, m->saves)) {
        /* PEFT would train a copy beside the output projection, which stays what it was */
        if (is_embedding(path) && w->linear) return refuse(m, path, "is also the output projection (tied), so it can't be among modules_to_save");
        if (is_projection(path) && !w->linear) return refuse(m, path, "is not used, since the output projection is tied to the embeddings; it can't be among modules_to_save");
        return add_whole(m, weight, path, suffix);
    }
    if (strcmp(suffix, ".weight")) return FV_OK;
    bool plain = w->linear && w->view.rank == 2 && !is_projection(path) && !is_embedding(path);
    FV_TRY(fv_lora_config_targets(&m->l->config, path, plain, m->targets, &target, m->err));
    if (!target) return FV_OK;
    if (is_projection(path) || is_embedding(path))
        return refuse(m, path, "can't have low-rank matrices (embeddings and the output projection are not supported as target_modules); modules_to_save trains it whole");
    if (!w->linear) return refuse(m, path, "is taken by target_modules, but it is not a linear layer");
    if (w->view.rank > 2 && m->l->config.dora) return refuse(m, path, "is a convolution, for which use_dora is not supported");
    return add_part(m, weight, path);
}

/* ---- the whole ---- */

/* A name of a list that takes nothing: NULL if there is none. */
static const char *idle_name(const json_t *list, const bool *used) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!used[i]) return json_string_value(json_array_get(list, i));
    return NULL;
}

static fv_status add_all(maker *m) {
    const fv_lora *l = m->l;
    for (int i = 0; i < m->base->count; i++) FV_TRY(add_weight(m, i));
    const json_t *targets = fv_json_find(l->json, "target_modules");
    const char *missing = idle_name(fv_json_find(l->json, "modules_to_save"), m->saves), *idle = idle_name(targets, m->targets);
    if (missing) return fv_fail(m->err, FV_BAD_MODEL, "%s: modules_to_save: the model has no %s", l->config.place, missing);
    if (!l->adapter.part_count) return fv_json_wrong((fv_json_at){l->json, l->config.place, FV_BAD_MODEL}, "target_modules", "takes no layer of the model", m->err);
    if (!l->file && idle) /* PEFT takes it in silence, and its adapters may have such names: lists are made for many models */
        return fv_fail(m->err, FV_BAD_MODEL, "%s: target_modules: %s takes no layer of the model; they go by the ends of names like %s", l->config.place, idle,
                       m->base->vision ? "model.language_model.layers.0.self_attn.q_proj and model.visual.blocks.0.attn.qkv" : "model.layers.0.self_attn.q_proj");
    for (size_t i = 0; l->file && i < fv_weights_count(l->file); i++)
        if (!m->taken[i])
            return fv_fail(m->err, FV_BAD_MODEL, "%s: tensor %s belongs to nothing that target_modules and modules_to_save take", l->folder, fv_weights_at(l->file, i)->name);
    return FV_OK;
}

static bool *flags(size_t count) { return calloc(count + 1, sizeof(bool)); }

static fv_status make(fv_lora *l, uint64_t seed, const fv_lora_base *base, fv_error *err) {
    FV_TRY(fv_lora_config_read(&l->config, l->json, l->place, err));
    size_t count = (size_t)base->count + 1;
    l->adapter.parts = calloc(count, sizeof *l->adapter.parts);
    l->adapter.wholes = calloc(count, sizeof *l->adapter.wholes);
    maker m = {.l = l, .base = base, .older = base->vision && is_older(l), .seed = seed, .err = err, .taken = flags(l->file ? fv_weights_count(l->file) : 0),
               .saves = flags(json_array_size(fv_json_find(l->json, "modules_to_save"))), .targets = flags(json_array_size(fv_json_find(l->json, "target_modules")))};
    bool all = l->adapter.parts && l->adapter.wholes && m.taken && m.saves && m.targets;
    fv_status s = all ? add_all(&m) : no_memory(&m);
    free(m.taken);
    free(m.saves);
    free(m.targets);
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
