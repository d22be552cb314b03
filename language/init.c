/* A new model's folder: everything that transformers' AutoModelForImageTextToText and AutoProcessor need, or AutoModelForCausalLM and AutoTokenizer. */
#include "core/file.h"
#include "language/assets.h"
#include "language/init.h"
#include "language/model_parts.h"
#include "language/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

/* What differs between families beside their config. */
typedef struct {
    const char *template, *processor, *video_processor; /* of text models only the first */
    double mean[3], std[3];
    int64_t clip_min, clip_max; /* of a frame, or of a whole clip (Qwen3-VL) */
} family_row;

#define CLIP_MEAN {0.48145466, 0.4578275, 0.40821073}
#define CLIP_STD {0.26862954, 0.26130258, 0.27577711}
static const family_row families[] = {
    [FV_QWEN2] = {.template = "qwen2_5.jinja"},
    [FV_QWEN3] = {.template = "qwen3.jinja"},
    [FV_QWEN2_VL] = {.template = "qwen2_5_vl.jinja", .processor = "Qwen2VLProcessor", .video_processor = "Qwen2VLVideoProcessor",
                     .mean = CLIP_MEAN, .std = CLIP_STD, .clip_min = 3136, .clip_max = 602112},
    [FV_QWEN2_5_VL] = {.template = "qwen2_5_vl.jinja", .processor = "Qwen2_5_VLProcessor", .video_processor = "Qwen2VLVideoProcessor",
                       .mean = CLIP_MEAN, .std = CLIP_STD, .clip_min = 3136, .clip_max = 602112},
    [FV_QWEN3_VL] = {.template = "qwen3_vl.jinja", .processor = "Qwen3VLProcessor", .video_processor = "Qwen3VLVideoProcessor",
                     .mean = {0.5, 0.5, 0.5}, .std = {0.5, 0.5, 0.5}, .clip_min = 4096, .clip_max = 25165824},
};

enum { SMALLEST_VIEW = 56 * 56, LARGEST_VIEW = 1280 * 28 * 28 }; /* pixels: the defaults of Qwen2VLImageProcessor */

static const fv_asset *find_asset(const char *name) {
    for (size_t i = 0; i < fv_asset_count; i++)
        if (strcmp(fv_assets[i].name, name) == 0) return &fv_assets[i];
    return NULL;
}

static fv_status write_asset(const char *asset, const char *folder, const char *name, fv_error *err) {
    const fv_asset *a = find_asset(asset);
    char *path = fv_path_join(folder, name);
    fv_status status = a != NULL ? fv_file_write(path, a->data, a->size, err) : fv_fail(err, FV_UNSUPPORTED, "this program was built without %s", asset);
    free(path);
    return status;
}

/* ---- the config --------------------------------------------------------------------------------------------------- */

/* A preset by name, or a config.json. */
static fv_status read_config(json_t **out, const char *preset, fv_error *err) {
    static const char *const names[] = {"tiny", "mid"};
    for (size_t i = 0; i < FV_COUNT(names); i++) {
        char file[32];
        if (strcmp(preset, names[i]) != 0) continue;
        snprintf(file, sizeof file, "%s.json", names[i]);
        const fv_asset *a = find_asset(file);
        if (a != NULL) return fv_json_parse(out, (const char *)a->data, a->size, file, 1, FV_BAD_MODEL, err);
    }
    if (!fv_file_exists(preset)) return fv_fail(err, FV_BAD_USAGE, "preset must be tiny, mid or the path of a config.json, got %s", preset);
    return fv_json_read(out, preset, FV_BAD_MODEL, err);
}

/* A new model's tokenizer is the one that is built in. */
static fv_status own_tokenizer(fv_tokenizer **out, fv_error *err) {
    const char *name = "tokenizer.json";
    const fv_asset *a = find_asset(name);
    json_t *json;
    *out = NULL;
    if (a == NULL) return fv_fail(err, FV_UNSUPPORTED, "this program was built without %s", name);
    FV_TRY(fv_json_parse(&json, (const char *)a->data, a->size, name, 1, FV_BAD_MODEL, err));
    fv_tokenizer *t = calloc(1, sizeof *t);
    fv_status status = t != NULL ? fv_tokenizer_of(t, (fv_json_at){.root = json, .place = name, .status = FV_BAD_MODEL}, err) : fv_fail(err, FV_NO_MEMORY, "no memory for a tokenizer");
    json_decref(json);
    if (status == FV_OK) *out = t;
    else fv_tokenizer_close(t);
    return status;
}

/* Ids become the tokenizer's, and the vocabulary, unless the config has one with room for them. */
static void adopt_tokenizer(json_t *config, const fv_tokenizer *t) {
    static const struct {
        const char *key, *token;
    } ids[] = {{"image_token_id", "<|image_pad|>"},
               {"video_token_id", "<|video_pad|>"},
               {"vision_start_token_id", "<|vision_start|>"},
               {"vision_end_token_id", "<|vision_end|>"}};
    json_t *text = json_object_get(config, "text_config");
    if (text == NULL) text = config;
    if (json_integer_value(json_object_get(text, "vocab_size")) < fv_tokenizer_size(t)) json_object_set_new(text, "vocab_size", json_integer(fv_tokenizer_size(t)));
    json_object_set_new(text, "bos_token_id", json_integer(fv_tokenizer_id(t, "<|endoftext|>")));
    json_object_set_new(text, "eos_token_id", json_integer(fv_tokenizer_id(t, "<|im_end|>")));
    for (size_t i = 0; i < FV_COUNT(ids) && json_object_get(config, "vision_config"); i++)
        json_object_set_new(config, ids[i].key, json_integer(fv_tokenizer_id(t, ids[i].token)));
}

/* ---- the other files ---------------------------------------------------------------------------------------------- */

static fv_status write_generation(const fv_tokenizer *t, const char *folder, fv_error *err) {
    int end = fv_tokenizer_id(t, "<|im_end|>"), text_end = fv_tokenizer_id(t, "<|endoftext|>");
    json_t *json = json_pack("{s:i, s:b, s:[i, i], s:i, s:f}", "bos_token_id", text_end, "do_sample", 1, "eos_token_id", end, text_end,
                             "pad_token_id", text_end, "temperature", 1.0);
    fv_status status = fv_json_save(json, folder, "generation_config.json", err);
    json_decref(json);
    return status;
}

/* What image and video processors have in common. NULL when out of memory. */
static json_t *processor_json(const fv_config *c, const family_row *f, int64_t smallest, int64_t largest) {
    return json_pack("{s:b, s:b, s:b, s:b, s:[f, f, f], s:[f, f, f], s:i, s:i, s:i, s:i, s:f, s:{s:I, s:I}}", /* in the order of what follows */
                     "do_convert_rgb", 1, "do_normalize", 1, "do_rescale", 1, "do_resize", 1,
                     "image_mean", f->mean[0], f->mean[1], f->mean[2], "image_std", f->std[0], f->std[1], f->std[2],
                     "merge_size", c->vision.merge, "patch_size", c->vision.patch, "temporal_patch_size", c->vision.temporal, "resample", 3,
                     "rescale_factor", 1.0 / 255, "size", "longest_edge", (json_int_t)largest, "shortest_edge", (json_int_t)smallest);
}

/* preprocessor_config.json for readers of published checkpoints, processor_config.json for transformers 5. */
static fv_status write_processors(const fv_config *c, const family_row *f, const char *folder, fv_error *err) {
    json_t *image = processor_json(c, f, SMALLEST_VIEW, LARGEST_VIEW), *video = processor_json(c, f, f->clip_min, f->clip_max);
    json_object_set_new(image, "image_processor_type", json_string("Qwen2VLImageProcessor"));
    json_object_set_new(video, "video_processor_type", json_string(f->video_processor));
    json_object_set_new(video, "do_sample_frames", json_boolean(c->family == FV_QWEN3_VL));
    json_object_set_new(video, "min_frames", json_integer(4));
    json_object_set_new(video, "max_frames", json_integer(768));
    if (c->family == FV_QWEN3_VL) json_object_set_new(video, "fps", json_integer(2));
    fv_status status = fv_json_save(image, folder, "preprocessor_config.json", err);
    json_t *both = json_pack("{s:o?, s:s, s:o?}", "image_processor", image, "processor_class", f->processor, "video_processor", video);
    if (status == FV_OK) status = fv_json_save(both, folder, "processor_config.json", err);
    json_decref(both);
    return status;
}

static fv_status write_weights(const fv_config *c, uint64_t seed, const char *folder, fv_dtype dtype, fv_error *err) {
    fv_new_weights w;
    FV_TRY(fv_new_weights_make(&w, c, seed, err));
    char *path = fv_path_join(folder, "model.safetensors");
    fv_status status = fv_weights_save(path, w.tensors, w.count, dtype, err);
    fv_new_weights_clear(&w);
    free(path);
    return status;
}

/* ---- all ---------------------------------------------------------------------------------------------------------- */

/* The tokenizer comes first: the config takes its ids. `place` names the config in messages. */
static fv_status new_config(fv_config *out, json_t *raw, const fv_tokenizer *t, const char *place, fv_error *err) {
    adopt_tokenizer(raw, t);
    return fv_config_of(out, raw, place, err);
}

static fv_status write_model(json_t *raw, const char *place, uint64_t seed, const char *folder, fv_dtype dtype, fv_error *err) {
    fv_tokenizer *t;
    fv_config c = {0};
    FV_TRY(write_asset("tokenizer.json", folder, "tokenizer.json", err));
    FV_TRY(write_asset("tokenizer_config.json", folder, "tokenizer_config.json", err));
    FV_TRY(own_tokenizer(&t, err));
    fv_status status = new_config(&c, raw, t, place, err);
    const family_row *f = &families[c.family]; /* the first one's if the config could not be read */
    if (status == FV_OK) status = write_asset(f->template, folder, "chat_template.jinja", err);
    if (status == FV_OK) status = write_generation(t, folder, err);
    if (status == FV_OK && c.has_vision) status = write_processors(&c, f, folder, err);
    if (status == FV_OK) status = fv_model_write_config(c.raw, folder, dtype, err);
    if (status == FV_OK) status = write_weights(&c, seed, folder, dtype, err);
    fv_config_clear(&c);
    fv_tokenizer_close(t);
    return status;
}

fv_status fv_model_init(const char *preset, uint64_t seed, const char *folder, fv_dtype dtype, fv_error *err) {
    json_t *raw = NULL;
    char *temporary = NULL;
    FV_TRY(fv_model_want_empty(folder, err));
    FV_TRY(read_config(&raw, preset, err));
    fv_status status = json_is_object(raw) ? fv_folder_begin(&temporary, folder, err) : fv_fail(err, FV_BAD_MODEL, "%s: must be an object", preset);
    if (status == FV_OK) status = write_model(raw, preset, seed, temporary, dtype, err);
    if (status == FV_OK) status = fv_folder_commit(temporary, folder, err);
    else if (temporary != NULL) fv_path_remove(temporary, NULL);
    json_decref(raw);
    free(temporary);
    return status;
}

/* Over m->config, which is filled in. */
static fv_status outline(fv_model *m, fv_new_weights *shapes, fv_error *err) {
    FV_TRY(fv_new_weights_shapes(shapes, &m->config, err));
    m->count = (int)shapes->count;
    m->weights = calloc(shapes->count + 1, sizeof *m->weights);
    if (m->weights == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for a list of weights");
    for (int i = 0; i < m->count; i++) m->weights[i] = (fv_weight){.name = shapes->tensors[i].name, .view = shapes->tensors[i].view};
    if (m->config.has_vision) FV_TRY(fv_tower_open(&m->tower, &m->config.vision, m->weights, m->count, err));
    return fv_decoder_open(&m->decoder, &m->config.text, m->weights, m->count, err);
}

fv_status fv_model_outline(fv_model **out, fv_new_weights *shapes, const char *preset, fv_error *err) {
    json_t *raw;
    *out = NULL;
    *shapes = (fv_new_weights){0};
    FV_TRY(read_config(&raw, preset, err));
    fv_model *m = calloc(1, sizeof *m);
    fv_status status = m == NULL ? fv_fail(err, FV_NO_MEMORY, "no memory for a model") : json_is_object(raw) ? FV_OK : fv_fail(err, FV_BAD_MODEL, "%s: must be an object", preset);
    if (status == FV_OK) status = own_tokenizer(&m->tokenizer, err);
    if (status == FV_OK) status = new_config(&m->config, raw, m->tokenizer, preset, err);
    if (status == FV_OK) status = outline(m, shapes, err);
    json_decref(raw);
    if (status == FV_OK) *out = m;
    else fv_model_close(m);
    if (status != FV_OK) fv_new_weights_clear(shapes);
    return status;
}
