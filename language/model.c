#include "language/model_parts.h"

#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static fv_status list_weights(fv_model *m, fv_error *err) {
    size_t count = fv_weights_count(m->file);
    FV_TRY(fv_weights_widen(m->file, err));
    m->weights = calloc(count ? count : 1, sizeof *m->weights);
    if (m->weights == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for the list of weights", m->folder);
    for (size_t i = 0; i < count; i++) {
        const fv_tensor *t = fv_weights_at(m->file, i);
        if (t->view.dtype != FV_F32 && t->view.dtype != FV_BF16)
            return fv_fail(err, FV_UNSUPPORTED, "%s: tensor %s must be F32, BF16 or F16, got %s", m->folder, t->name, fv_dtype_name(t->view.dtype));
        m->weights[i] = (fv_weight){.name = t->name, .view = t->view};
    }
    m->count = (int)count;
    return FV_OK;
}

/* Where no config names the end of a turn, the tokenizer's own does: a string, or an object with `content`. */
static fv_status ending_from_tokenizer(fv_model *m, const char *key, int *id, fv_error *err) {
    char *path = fv_path_join(m->folder, "tokenizer_config.json");
    json_t *json = NULL;
    fv_status status = FV_OK;
    if (path == NULL || fv_file_exists(path)) status = fv_json_read(&json, path, FV_BAD_MODEL, err);
    const json_t *token = fv_json_find(json, key);
    if (json_is_object(token)) token = json_object_get(token, "content");
    if (json_is_string(token)) *id = fv_tokenizer_id(m->tokenizer, json_string_value(token));
    json_decref(json);
    free(path);
    return status;
}

static fv_status finish_endings(fv_model *m, fv_error *err) {
    if (m->config.eos_count == 0) {
        int id = -1;
        FV_TRY(ending_from_tokenizer(m, "eos_token", &id, err));
        if (id >= 0) m->config.eos[m->config.eos_count++] = id;
    }
    if (m->config.pad < 0) FV_TRY(ending_from_tokenizer(m, "pad_token", &m->config.pad, err));
    if (m->config.eos_count == 0)
        return fv_fail(err, FV_BAD_MODEL, "%s: no eos_token_id in generation_config.json or config.json, no eos_token in tokenizer_config.json", m->folder);
    for (int i = 0; i < m->config.eos_count; i++)
        if (m->config.eos[i] >= m->config.text.vocabulary)
            return fv_fail(err, FV_BAD_MODEL, "%s: eos_token_id must be below vocab_size %d, got %d", m->folder, m->config.text.vocabulary, m->config.eos[i]);
    return FV_OK;
}

/* The chat formats write placeholders as text, the towers' rows go where config.json's ids stand. */
static fv_status check_placeholders(const fv_model *m, fv_error *err) {
    const struct {
        const char *field, *text;
        int id;
    } both[] = {{"image_token_id", "<|image_pad|>", m->config.image_token}, {"video_token_id", "<|video_pad|>", m->config.video_token}};
    for (size_t i = 0; i < FV_COUNT(both) && m->config.has_vision; i++) {
        int id = fv_tokenizer_id(m->tokenizer, both[i].text);
        if (id != both[i].id)
            return fv_fail(err, FV_BAD_MODEL, "%s: config.json: %s is %d, but %s has id %d in tokenizer.json", m->folder, both[i].field, both[i].id,
                           both[i].text, id);
    }
    return FV_OK;
}

static fv_status open_text(fv_model *m, fv_error *err) {
    char *path = fv_path_join(m->folder, "tokenizer.json");
    fv_status status = path == NULL ? fv_fail(err, FV_NO_MEMORY, "%s: no memory for a path", m->folder) : fv_tokenizer_open(&m->tokenizer, path, err);
    free(path);
    FV_TRY(status);
    if (fv_tokenizer_size(m->tokenizer) > m->config.text.vocabulary)
        return fv_fail(err, FV_BAD_MODEL, "%s: tokenizer.json has %d ids, but vocab_size in config.json is %d", m->folder, fv_tokenizer_size(m->tokenizer),
                       m->config.text.vocabulary);
    FV_TRY(check_placeholders(m, err));
    FV_TRY(finish_endings(m, err));
    return fv_chat_open(&m->chat, m->folder, m->config.family, err);
}

static fv_status open_processors(fv_model *m, fv_error *err) {
    if (!m->config.has_vision) return FV_OK;
    FV_TRY(fv_processor_read(&m->image, m->folder, false, m->config.model_type, err));
    FV_TRY(fv_processor_read(&m->video, m->folder, true, m->config.model_type, err));
    const fv_tower_config *v = &m->config.vision;
    const fv_processor *both[] = {&m->image, &m->video};
    for (size_t i = 0; i < FV_COUNT(both); i++)
        if (both[i]->patch != v->patch || both[i]->merge != v->merge || both[i]->temporal != v->temporal)
            return fv_fail(err, FV_BAD_MODEL, "%s: the processor's patch, merge and temporal sizes %d, %d, %d differ from the tower's %d, %d, %d", m->folder,
                           both[i]->patch, both[i]->merge, both[i]->temporal, v->patch, v->merge, v->temporal);
    return FV_OK;
}

/* The weight whose values this one's name stands for in a file. A tied model's file may have the projection once more, which nothing reads: it is what the embeddings
 * are, also after they were trained. */
static int source_of(const fv_model *m, int weight) {
    const char *name = m->weights[weight].name;
    size_t n = strlen(name), end = strlen("lm_head.weight");
    return n >= end && !strcmp(name + n - end, "lm_head.weight") ? fv_decoder_head(m->decoder) : weight;
}

/* transformers tells of them, too: more often than not the config is not that of the weights. The spare head of a tied model is none of them. */
static void note_weights(fv_model *m) {
    int idle = 0, first = 0;
    for (int i = m->count - 1; i >= 0; i--) {
        if (m->weights[i].used || source_of(m, i) != i) continue;
        idle++;
        first = i;
    }
    size_t n = strlen(m->note);
    if (idle) snprintf(m->note + n, sizeof m->note - n, "%sconfig.json has no use for %d of the folder's weights, such as %s", n ? "; " : "", idle, m->weights[first].name);
}

static fv_status open_all(fv_model *m, fv_error *err) {
    FV_TRY(fv_config_read(&m->config, m->folder, err));
    FV_TRY(open_text(m, err));
    FV_TRY(open_processors(m, err));
    FV_TRY(fv_weights_open(&m->file, m->folder, err));
    FV_TRY(list_weights(m, err));
    fv_status status = FV_OK;
    if (m->config.has_vision) status = fv_tower_open(&m->tower, &m->config.vision, m->weights, m->count, err);
    if (status == FV_OK) status = fv_decoder_open(&m->decoder, &m->config.text, m->weights, m->count, err);
    if (status != FV_OK) return fv_fail_in(err, "%s", m->folder);
    snprintf(m->note, sizeof m->note, "%s", fv_chat_note(m->chat));
    note_weights(m);
    return FV_OK;
}

static fv_status open_folder(fv_model **out, const char *folder, fv_error *err) {
    if (!fv_folder_exists(folder)) return fv_fail(err, FV_BAD_MODEL, "%s: no such folder; a model is a Hugging Face folder with config.json", folder);
    fv_model *m = calloc(1, sizeof *m);
    if (m == NULL || (m->folder = strdup(folder)) == NULL) {
        free(m);
        return fv_fail(err, FV_NO_MEMORY, "%s: no memory for a model", folder);
    }
    fv_status status = open_all(m, err);
    if (status != FV_OK) {
        fv_model_close(m);
        return status;
    }
    *out = m;
    return FV_OK;
}

/* ---- adapters ----------------------------------------------------------------------------------------------------- */

static fv_lora_base base_of(const fv_model *m) { return (fv_lora_base){m->weights, m->count, m->config.has_vision}; }

static fv_status want_none(const fv_model *m, fv_error *err) {
    if (m->lora == NULL) return FV_OK;
    return fv_fail(err, FV_BAD_USAGE, "%s is itself an adapter, to which no other can be added: give its model, %s", m->lora->folder, m->folder);
}

fv_status fv_model_adapt(fv_model *m, const char *folder, fv_error *err) {
    fv_lora_base base = base_of(m);
    FV_TRY(want_none(m, err));
    return fv_lora_open(&m->lora, folder, &base, err);
}

fv_status fv_model_adapt_new(fv_model *m, const json_t *config, uint64_t seed, fv_error *err) {
    fv_lora_base base = base_of(m);
    FV_TRY(want_none(m, err));
    return fv_lora_new(&m->lora, config, seed, &base, err);
}

const fv_adapter *fv_model_adapter(const fv_model *m) { return m->lora != NULL ? &m->lora->adapter : NULL; }

/* The folder that base_model_name_or_path means, malloc'ed. */
static fv_status find_base(char **out, const char *folder, fv_error *err) {
    const char *name;
    json_t *json = NULL;
    char *config = fv_path_join(folder, "adapter_config.json");
    fv_status status = fv_json_read(&json, config, FV_BAD_MODEL, err);
    if (status == FV_OK) status = fv_json_text((fv_json_at){json, config, FV_BAD_MODEL}, "base_model_name_or_path", &name, err);
    if (status == FV_OK) {
        *out = fv_folder_exists(name) ? strdup(name) : fv_path_join(folder, name);
        if (*out == NULL) status = fv_fail(err, FV_NO_MEMORY, "%s: no memory for a path", folder);
        else if (!fv_folder_exists(*out) || fv_lora_is_folder(*out))
            status = fv_fail(err, FV_BAD_MODEL, "%s: base_model_name_or_path must be the folder of the adapter's model, got %s", config, name);
    }
    json_decref(json);
    free(config);
    return status;
}

static fv_status open_adapted(fv_model **out, const char *folder, fv_error *err) {
    char *base = NULL;
    fv_status status = find_base(&base, folder, err);
    if (status == FV_OK) status = open_folder(out, base, err);
    if (status == FV_OK) status = fv_model_adapt(*out, folder, err);
    free(base);
    return status;
}

fv_status fv_model_open(fv_model **out, const char *folder, fv_error *err) {
    *out = NULL;
    fv_error own;
    if (err == NULL) err = &own; /* fv_fail_in needs one to carry the status */
    if (!fv_lora_is_folder(folder)) return open_folder(out, folder, err);
    fv_status status = open_adapted(out, folder, err);
    if (status == FV_OK) return FV_OK;
    fv_model_close(*out);
    *out = NULL;
    return status;
}

void fv_model_close(fv_model *m) {
    if (m == NULL) return;
    fv_lora_close(m->lora);
    fv_decoder_close(m->decoder);
    fv_tower_close(m->tower);
    free(m->weights);
    json_decref(m->video_fields);
    fv_weights_close(m->file);
    fv_chat_close(m->chat);
    fv_tokenizer_close(m->tokenizer);
    fv_config_clear(&m->config);
    free(m->folder);
    free(m);
}

/* ---- what a policy may write -------------------------------------------------------------------------------------- */

void fv_model_banned(const fv_model *m, uint8_t *banned) {
    const fv_config *c = &m->config;
    for (int id = 0; id < c->text.vocabulary; id++) {
        size_t length;
        banned[id] = fv_tokenizer_bytes(m->tokenizer, id, &length) == NULL || fv_tokenizer_is_special(m->tokenizer, id);
    }
    const int media[] = {c->image_token, c->video_token, c->vision_start, c->vision_end};
    for (size_t i = 0; i < FV_COUNT(media); i++)
        if (media[i] >= 0) banned[media[i]] = 1;
    for (int i = 0; i < c->eos_count; i++) banned[c->eos[i]] = 0;
}

/* ---- saving ------------------------------------------------------------------------------------------------------- */

/* What stands in a checkpoint beside its config and its weights. */
static const char *const companions[] = {
    "generation_config.json", "tokenizer.json",      "tokenizer_config.json",   "vocab.json",
    "merges.txt",             "added_tokens.json",   "special_tokens_map.json", "chat_template.jinja",
    "chat_template.json",     "processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json",
};

static fv_status copy_companions(const fv_model *m, const char *folder, fv_error *err) {
    for (size_t i = 0; i < FV_COUNT(companions); i++) {
        char *from = fv_path_join(m->folder, companions[i]), *to = fv_path_join(folder, companions[i]);
        fv_status status = FV_OK;
        if (from == NULL || to == NULL) status = fv_fail(err, FV_NO_MEMORY, "%s: no memory for a path", folder);
        else if (fv_file_exists(from)) status = fv_file_copy(from, to, err);
        free(from);
        free(to);
        FV_TRY(status);
    }
    return FV_OK;
}

/* transformers 4 writes torch_dtype, transformers 5 dtype; nested configs repeat it. A key that is there gets the new value. */
static void set_dtype(json_t *config, const char *value, bool add) {
    static const char *const keys[] = {"dtype", "torch_dtype"};
    bool found = false;
    for (size_t i = 0; i < FV_COUNT(keys); i++) {
        if (json_object_get(config, keys[i]) == NULL) continue;
        json_object_set_new(config, keys[i], json_string(value));
        found = true;
    }
    if (!found && add) json_object_set_new(config, "dtype", json_string(value));
}

static const char *dtype_word(fv_dtype dtype) {
    return dtype == FV_BF16 ? "bfloat16" : dtype == FV_F16 ? "float16" : "float32";
}

fv_status fv_model_write_config(const json_t *config, const char *folder, fv_dtype dtype, fv_error *err) {
    json_t *copy = json_deep_copy(config);
    if (dtype != FV_DTYPES) {
        set_dtype(copy, dtype_word(dtype), true);
        set_dtype(json_object_get(copy, "text_config"), dtype_word(dtype), false);
        set_dtype(json_object_get(copy, "vision_config"), dtype_word(dtype), false);
    }
    fv_status status = fv_json_save(copy, folder, "config.json", err);
    json_decref(copy);
    return status;
}

/* The model's folder with these values, [count], in place of its own; they lie where `ops` has its memory (NULL: the host's). */
static fv_status save_whole(const fv_model *m, const fv_tensor *tensors, const fv_ops *ops, const char *folder, fv_dtype dtype, fv_error *err) {
    FV_TRY(fv_folder_make(folder, err));
    FV_TRY(copy_companions(m, folder, err));
    FV_TRY(fv_model_write_config(m->config.raw, folder, dtype, err));
    char *path = fv_path_join(folder, "model.safetensors");
    fv_status status = path == NULL ? fv_fail(err, FV_NO_MEMORY, "%s: no memory for a path", folder) : fv_weights_save_from(path, tensors, (size_t)m->count, dtype, ops, err);
    free(path);
    return status;
}

/* The model's weights as a slot has them (NULL: its own), malloc'ed. */
static fv_status list_tensors(fv_tensor **out, const fv_model *m, const fv_slot *slot, fv_error *err) {
    *out = calloc((size_t)m->count + 1, sizeof **out);
    if (*out == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: no memory for the list of weights", m->folder);
    for (int i = 0; i < m->count; i++)
        (*out)[i] = (fv_tensor){.name = m->weights[i].name, .view = slot != NULL ? slot->params[source_of(m, i)].w : fv_weights_stored(m->file, (size_t)i)};
    return FV_OK;
}

fv_status fv_model_want_empty(const char *folder, fv_error *err) {
    fv_names there = {0};
    if (fv_folder_exists(folder)) FV_TRY(fv_folder_list(&there, folder, err));
    size_t count = there.count;
    fv_names_free(&there);
    return count == 0 ? FV_OK : fv_fail(err, FV_BAD_USAGE, "%s: must be a new or empty folder, has %zu entries", folder, count);
}

fv_status fv_model_save(const fv_model *m, const fv_slot *slot, const char *folder, fv_dtype dtype, fv_error *err) {
    fv_tensor *tensors;
    FV_TRY(fv_model_want_empty(folder, err));
    if (m->lora != NULL) return fv_lora_save(m->lora, slot, m->folder, folder, dtype, err);
    FV_TRY(list_tensors(&tensors, m, slot, err));
    fv_status status = save_whole(m, tensors, slot != NULL ? slot->ops : NULL, folder, dtype, err);
    free(tensors);
    return status;
}

/* Replaces `view` by what the adapter makes of that weight or has in its place, in the view's type; the memory is the caller's. */
static fv_status merge_weight(fv_view *view, fv_slot *slot, int weight, fv_error *err) {
    enum { BLOCK = 64 };
    const fv_param *from = &slot->params[weight];
    int64_t n = view->shape[0], k = fv_elements(*view) / n;
    size_t row = (size_t)k * fv_dtype_size(view->dtype);
    float *rows = malloc((size_t)(BLOCK * k) * sizeof *rows);
    char *merged = malloc((size_t)n * row);
    if (rows == NULL || merged == NULL) {
        free(rows);
        free(merged);
        return fv_fail(err, FV_NO_MEMORY, "%s: no memory for it merged", from->name);
    }
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t some = n - first < BLOCK ? n - first : BLOCK;
        if (from->adapted != NULL) fv_adapter_rows(slot, weight, first, fv_mat(rows, some, k));
        else fv_to_f32(rows, (const char *)from->w.data + (size_t)(first * k) * fv_dtype_size(from->w.dtype), from->w.dtype, some * k);
        fv_from_f32(merged + (size_t)first * row, view->dtype, rows, some * k);
    }
    free(rows);
    view->data = merged;
    return FV_OK;
}

fv_status fv_model_save_merged(const fv_model *m, fv_slot *slot, const char *folder, fv_dtype dtype, fv_error *err) {
    fv_tensor *tensors;
    FV_TRY(fv_model_want_empty(folder, err));
    FV_TRY(list_tensors(&tensors, m, slot, err));
    bool *made = calloc((size_t)m->count + 1, sizeof *made);
    fv_status status = made != NULL ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: no memory for the list of weights", m->folder);
    int done = 0;
    for (; done < m->count && status == FV_OK; done++) {
        fv_view stored = fv_weights_stored(m->file, (size_t)done), *view = &tensors[done].view; /* F16 is F32 in memory, and F16 again in the file */
        int source = source_of(m, done);
        made[done] = slot->params[source].adapted != NULL || view->data != m->weights[source].view.data;
        if (!made[done]) *view = stored;
        else view->dtype = dtype == FV_DTYPES ? stored.dtype : dtype; /* rounded once */
        if (made[done]) status = merge_weight(view, slot, source, err);
        made[done] &= status == FV_OK;
    }
    if (status == FV_OK) status = save_whole(m, tensors, NULL, folder, dtype, err);
    for (int i = 0; i < done; i++)
        if (made[i]) free(tensors[i].view.data);
    free(made);
    free(tensors);
    return status;
}
