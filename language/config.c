#include "language/config.h"

#include "core/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What transformers 5 takes where a key is absent (it leaves out keys that have these values when it saves), family by family. */
typedef struct {
    const char *model_type;
    fv_family family;
    bool has_vision;
    fv_text_config text; /* head_dim 0: hidden / heads */
    fv_tower_config vision;
    const char *vision_act;
} fv_family_row;

static const fv_family_row families[] = {
    {.model_type = "qwen2",
     .family = FV_QWEN2,
     .text = {.hidden = 4096, .layers = 32, .heads = 32, .kv_heads = 32, .intermediate = 22016, .vocabulary = 151936, .max_positions = 32768,
              .rms_eps = 1e-6f, .rope_theta = 1e4, .qkv_bias = true}},
    {.model_type = "qwen3",
     .family = FV_QWEN3,
     .text = {.hidden = 4096, .layers = 32, .heads = 32, .kv_heads = 32, .head_dim = 128, .intermediate = 22016, .vocabulary = 151936,
              .max_positions = 32768, .rms_eps = 1e-6f, .rope_theta = 1e4, .qk_norm = true}},
    {.model_type = "qwen2_vl",
     .family = FV_QWEN2_VL,
     .has_vision = true,
     .text = {.hidden = 8192, .layers = 80, .heads = 64, .kv_heads = 8, .intermediate = 29568, .vocabulary = 152064, .max_positions = 32768,
              .rms_eps = 1e-5f, .rope_theta = 1e6, .mrope_section = {16, 24, 24}, .mrope_count = 3, .qkv_bias = true},
     .vision = {.hidden = 1280, .depth = 32, .heads = 16, .out_hidden = 3584, .patch = 14},
     .vision_act = "quick_gelu"},
    {.model_type = "qwen2_5_vl",
     .family = FV_QWEN2_5_VL,
     .has_vision = true,
     .text = {.hidden = 8192, .layers = 80, .heads = 64, .kv_heads = 8, .intermediate = 29568, .vocabulary = 152064, .max_positions = 32768,
              .rms_eps = 1e-5f, .rope_theta = 1e6, .mrope_section = {16, 24, 24}, .mrope_count = 3, .qkv_bias = true},
     .vision = {.hidden = 3584, .depth = 32, .heads = 16, .intermediate = 3420, .out_hidden = 3584, .patch = 14, .rms_norm = true, .gated = true,
                .window = 112, .full_blocks = 1ull << 7 | 1ull << 15 | 1ull << 23 | 1ull << 31},
     .vision_act = "silu"},
    {.model_type = "qwen3_vl",
     .family = FV_QWEN3_VL,
     .has_vision = true,
     .text = {.hidden = 4096, .layers = 32, .heads = 32, .kv_heads = 32, .head_dim = 128, .intermediate = 22016, .vocabulary = 151936,
              .max_positions = 128000, .rms_eps = 1e-6f, .rope_theta = 5e5, .mrope_section = {24, 20, 20}, .mrope_count = 3, .mrope_interleaved = true,
              .qk_norm = true},
     .vision = {.hidden = 1152, .depth = 27, .heads = 16, .intermediate = 4304, .out_hidden = 3584, .patch = 16, .patch_bias = true,
                .positions = 2304, .deepstack = {8, 16, 24}, .deepstack_count = 3},
     .vision_act = "gelu_pytorch_tanh"},
};

static const struct {
    const char *name;
    fv_activation act;
} activations[] = {{"gelu", FV_GELU_ERF}, {"gelu_pytorch_tanh", FV_GELU_TANH}, {"quick_gelu", FV_GELU_QUICK}, {"silu", FV_SILU}};

enum { WIDEST = 1 << 20 }; /* no dimension of a model is near this; it keeps products within 64 bits */

static fv_status unsupported(fv_json_at at, const char *field, const char *rule, fv_error *err) {
    at.status = FV_UNSUPPORTED;
    return fv_json_wrong(at, field, rule, err);
}

/* *out (holding the default) becomes the field's value, 1..hi (0.. where zero is true). */
static fv_status size_field(fv_json_at at, const char *field, int64_t hi, int *out, fv_error *err) {
    int64_t value;
    FV_TRY(fv_json_int_or(at, field, 1, hi, *out, &value, err));
    *out = (int)value;
    return FV_OK;
}

/* A field that transformers reads and Fovea does not: it may be there with the one value that changes nothing. */
static fv_status must_be_zero(fv_json_at at, const char *field, fv_error *err) {
    const json_t *v = fv_json_find(at.root, field);
    if (v == NULL || json_is_false(v) || (json_is_number(v) && json_number_value(v) == 0)) return FV_OK;
    return unsupported(at, field, "must be absent, false or 0 here", err);
}

static fv_status must_be_one_of(fv_json_at at, const char *field, const char *a, const char *b, const char *rule, fv_error *err) {
    const json_t *v = fv_json_find(at.root, field);
    if (v == NULL) return FV_OK;
    if (json_is_string(v) && (strcmp(json_string_value(v), a) == 0 || strcmp(json_string_value(v), b) == 0)) return FV_OK;
    return unsupported(at, field, rule, err);
}

static fv_status refuse_unknown_text(fv_json_at at, fv_error *err) {
    static const char *const absent[] = {"attention_bias", "attention_dropout", "num_experts", "num_local_experts", "mlp_bias"};
    for (size_t i = 0; i < FV_COUNT(absent); i++) FV_TRY(must_be_zero(at, absent[i], err));
    FV_TRY(must_be_one_of(at, "hidden_act", "silu", "silu", "must be silu", err));
    json_t *types;
    FV_TRY(fv_json_list_or(at, "layer_types", &types, err));
    for (size_t i = 0; i < json_array_size(types); i++) {
        const char *type = json_string_value(json_array_get(types, i));
        if (type == NULL || strcmp(type, "full_attention") != 0)
            return unsupported(at, "layer_types", "must be full_attention for every layer", err);
    }
    return FV_OK;
}

/* Windows of attention (Qwen2 and Qwen3, text and vision; Qwen3-VL has none): layers from max_window_layers on have one, unless layer_types says otherwise. */
static fv_status refuse_windows(fv_json_at at, const fv_text_config *t, fv_error *err) {
    bool on;
    int64_t first;
    json_t *types = fv_json_find(at.root, "layer_types"), *window = json_object_get(at.root, "sliding_window");
    FV_TRY(fv_json_bool_or(at, "use_sliding_window", false, &on, err));
    FV_TRY(fv_json_int_or(at, "max_window_layers", 0, INT64_MAX, t->mrope_count ? 80 : 28, &first, err));
    bool none = window != NULL && json_is_null(window); /* where it is absent it is 4096 */
    return !on || none || types != NULL || t->mrope_interleaved || first >= t->layers ? FV_OK : unsupported(at, "use_sliding_window", "must be false", err);
}

static fv_status read_mrope(fv_json_at at, const char *key, fv_text_config *t, fv_error *err) {
    char field[64];
    snprintf(field, sizeof field, "%s.mrope_section", key);
    json_t *section;
    FV_TRY(fv_json_list_or(at, field, &section, err));
    if (section == NULL) return FV_OK;
    t->mrope_count = (int)json_array_size(section);
    if (t->mrope_count < (t->mrope_interleaved ? 3 : 1) || t->mrope_count > FV_MROPE_SECTIONS) return fv_json_wrong(at, field, "must have three numbers", err);
    for (size_t i = 0; i < (size_t)t->mrope_count; i++) {
        const json_t *n = json_array_get(section, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > WIDEST)
            return fv_json_wrong(at, field, "must have three numbers", err);
        t->mrope_section[i] = (int)json_integer_value(n);
    }
    return FV_OK;
}

/* transformers 4 has rope_theta and rope_scaling, transformers 5 both in rope_parameters; rope_scaling wins where both are there and it says something. */
static fv_status read_rope(fv_json_at at, fv_text_config *t, fv_error *err) {
    const json_t *old = fv_json_find(at.root, "rope_scaling");
    const char *key = old != NULL && !(json_is_object(old) && json_object_size(old) == 0) ? "rope_scaling" : "rope_parameters";
    char field[64];
    json_t *object;
    FV_TRY(fv_json_object_or(at, "rope_scaling", &object, err));
    FV_TRY(fv_json_object_or(at, "rope_parameters", &object, err));
    snprintf(field, sizeof field, "%s.rope_theta", key);
    const char *const places[] = {"rope_theta", field};
    for (size_t i = 0; i < FV_COUNT(places); i++) {
        FV_TRY(fv_json_num_or(at, places[i], t->rope_theta, &t->rope_theta, err));
        if (!(t->rope_theta > 0)) return fv_json_wrong(at, places[i], "must be positive", err);
    }
    static const char *const types[] = {"type", "rope_type"};
    for (size_t i = 0; i < FV_COUNT(types); i++) {
        snprintf(field, sizeof field, "%s.%s", key, types[i]);
        FV_TRY(must_be_one_of(at, field, "default", "mrope", "must be default or mrope", err));
    }
    static const char *const partial[] = {"%s", "rope_scaling.%s", "rope_parameters.%s"};
    for (size_t i = 0; i < FV_COUNT(partial); i++) {
        double factor;
        snprintf(field, sizeof field, partial[i], "partial_rotary_factor");
        FV_TRY(fv_json_num_or(at, field, 1, &factor, err));
        if (factor != 1) return unsupported(at, field, "must be 1", err);
    }
    return t->mrope_count ? read_mrope(at, key, t, err) : FV_OK;
}

static fv_status check_text(const fv_text_config *t, fv_json_at at, fv_error *err) {
    if (t->heads % t->kv_heads != 0) return fv_json_wrong(at, "num_key_value_heads", "must divide num_attention_heads", err);
    if (t->head_dim % 2 != 0) return fv_json_wrong(at, "head_dim", "must be even", err);
    int64_t sum = 0; /* interleaved sections are cut at the end (transformers' apply_interleaved_mrope) */
    for (int i = 0; i < t->mrope_count; i++) sum += t->mrope_section[i];
    if (t->mrope_count == 0 || t->mrope_interleaved || sum == t->head_dim / 2) return FV_OK;
    return fv_fail(err, at.status, "%s: mrope_section must add up to half of head_dim, %d, got %lld", at.place, t->head_dim / 2, (long long)sum);
}

static fv_status read_text(fv_json_at at, fv_text_config *t, fv_error *err) {
    FV_TRY(refuse_unknown_text(at, err));
    const struct {
        const char *name;
        int *to;
    } sizes[] = {{"hidden_size", &t->hidden},        {"num_hidden_layers", &t->layers},      {"num_attention_heads", &t->heads},
                 {"vocab_size", &t->vocabulary},     {"intermediate_size", &t->intermediate}, {"num_key_value_heads", &t->kv_heads},
                 {"head_dim", &t->head_dim}};
    const json_t *kv = json_object_get(at.root, "num_key_value_heads"), *dim = json_object_get(at.root, "head_dim");
    for (size_t i = 0; i < FV_COUNT(sizes); i++)
        if (sizes[i].to != &t->head_dim || t->head_dim != 0 || (dim != NULL && !json_is_null(dim)))
            FV_TRY(size_field(at, sizes[i].name, WIDEST, sizes[i].to, err));
    FV_TRY(size_field(at, "max_position_embeddings", 1 << 30, &t->max_positions, err));
    if (json_is_null(kv)) t->kv_heads = t->heads;
    if (t->head_dim == 0 && t->hidden % t->heads != 0) return fv_json_wrong(at, "hidden_size", "must be a multiple of num_attention_heads", err);
    if (t->head_dim == 0) t->head_dim = t->hidden / t->heads;
    double eps;
    FV_TRY(fv_json_num_or(at, "rms_norm_eps", (double)t->rms_eps, &eps, err));
    if (!(eps >= 0)) return fv_json_wrong(at, "rms_norm_eps", "must not be negative", err);
    t->rms_eps = (float)eps;
    FV_TRY(refuse_windows(at, t, err));
    FV_TRY(read_rope(at, t, err));
    return check_text(t, at, err);
}

/* A list of block numbers, in any order; those that a tower of fewer blocks doesn't have say nothing. At most `room`. */
static fv_status read_blocks(fv_json_at at, const char *field, int *out, int room, int *count, fv_error *err) {
    json_t *list;
    FV_TRY(fv_json_list_or(at, field, &list, err));
    if (list == NULL) return FV_OK;
    if (json_array_size(list) > (size_t)room) return unsupported(at, field, "has too many entries", err);
    *count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *n = json_array_get(list, i);
        if (!json_is_integer(n) || json_integer_value(n) < 0 || json_integer_value(n) > WIDEST) return fv_json_wrong(at, field, "must be numbers of blocks, from 0", err);
        out[(*count)++] = (int)json_integer_value(n);
    }
    return FV_OK;
}

static fv_status read_vision_act(fv_json_at at, const char *fallback, fv_tower_config *v, fv_error *err) {
    const char *name;
    FV_TRY(fv_json_text_or(at, "hidden_act", fallback, &name, err));
    for (size_t i = 0; i < FV_COUNT(activations); i++) {
        if (strcmp(name, activations[i].name) != 0) continue;
        v->act = activations[i].act;
        if (v->gated && v->act != FV_SILU) return unsupported(at, "hidden_act", "must be silu", err);
        return FV_OK;
    }
    return unsupported(at, "hidden_act", "must be gelu, gelu_pytorch_tanh, quick_gelu or silu", err);
}

/* Qwen2-VL calls the tower's width embed_dim and its output hidden_size; the others hidden_size and out_hidden_size (HF facts 1). */
static fv_status read_vision_sizes(fv_json_at at, fv_family family, fv_tower_config *v, fv_error *err) {
    bool old = family == FV_QWEN2_VL;
    FV_TRY(size_field(at, old ? "embed_dim" : "hidden_size", WIDEST, &v->hidden, err));
    FV_TRY(size_field(at, old ? "hidden_size" : "out_hidden_size", WIDEST, &v->out_hidden, err));
    FV_TRY(size_field(at, "depth", 64, &v->depth, err)); /* full_blocks has 64 bits */
    FV_TRY(size_field(at, "num_heads", WIDEST, &v->heads, err));
    FV_TRY(size_field(at, "patch_size", 1024, &v->patch, err));
    FV_TRY(size_field(at, "spatial_merge_size", 16, &v->merge, err));
    FV_TRY(size_field(at, "temporal_patch_size", 16, &v->temporal, err));
    FV_TRY(size_field(at, "in_channels", 16, &v->channels, err));
    if (v->channels != 3) return unsupported(at, "in_channels", "must be 3", err);
    if (v->hidden % v->heads != 0 || v->hidden / v->heads % 4 != 0)
        return fv_json_wrong(at, "num_heads", "must divide the width into heads of a multiple of 4", err);
    if (!old) return size_field(at, "intermediate_size", WIDEST, &v->intermediate, err);
    double ratio;
    FV_TRY(fv_json_num_or(at, "mlp_ratio", 4, &ratio, err));
    if (!(ratio >= 1 && ratio <= 64)) return fv_json_wrong(at, "mlp_ratio", "must be 1..64", err);
    v->intermediate = (int)(v->hidden * ratio);
    return FV_OK;
}

static fv_status read_vision(fv_json_at at, const fv_family_row *row, fv_tower_config *v, fv_error *err) {
    v->channels = 3, v->merge = 2, v->temporal = 2;
    FV_TRY(read_vision_sizes(at, row->family, v, err));
    FV_TRY(read_vision_act(at, row->vision_act, v, err));
    double theta;
    FV_TRY(fv_json_num_or(at, "rope_parameters.rope_theta", 1e4, &theta, err));
    if (theta != 1e4) return unsupported(at, "rope_parameters.rope_theta", "must be 10000", err);
    if (row->family == FV_QWEN2_5_VL) {
        FV_TRY(size_field(at, "window_size", WIDEST, &v->window, err));
        if (v->window / v->patch / v->merge == 0) return fv_json_wrong(at, "window_size", "must hold a merged patch", err);
        int blocks[64], count = -1;
        FV_TRY(read_blocks(at, "fullatt_block_indexes", blocks, 64, &count, err));
        if (count >= 0) v->full_blocks = 0;
        for (int i = 0; i < count; i++)
            if (blocks[i] < 64) v->full_blocks |= 1ull << blocks[i];
    }
    if (row->family == FV_QWEN3_VL) {
        FV_TRY(size_field(at, "num_position_embeddings", WIDEST, &v->positions, err));
        int side = (int)sqrt((double)v->positions);
        if (side * side != v->positions) return fv_json_wrong(at, "num_position_embeddings", "must be a square", err);
        FV_TRY(read_blocks(at, "deepstack_visual_indexes", v->deepstack, FV_MAX_DEEPSTACK, &v->deepstack_count, err));
    }
    return FV_OK;
}

static fv_status read_token_ids(fv_json_at at, fv_config *c, fv_error *err) {
    const struct {
        const char *name;
        int64_t fallback;
        int *to;
    } ids[] = {{"image_token_id", 151655, &c->image_token},
               {"video_token_id", 151656, &c->video_token},
               {"vision_start_token_id", 151652, &c->vision_start},
               {"vision_end_token_id", 151653, &c->vision_end}};
    for (size_t i = 0; i < FV_COUNT(ids); i++) {
        int64_t id;
        FV_TRY(fv_json_int_or(at, ids[i].name, 0, WIDEST, ids[i].fallback, &id, err));
        if (id >= c->text.vocabulary)
            return fv_fail(err, at.status, "%s: %s must be below vocab_size %d, got %lld", at.place, ids[i].name, c->text.vocabulary, (long long)id);
        *ids[i].to = (int)id;
    }
    return FV_OK;
}

/* eos_token_id: an id or a list of ids. Leaves what is there if the field is absent. */
static fv_status read_eos(fv_json_at at, fv_config *c, fv_error *err) {
    json_t *eos = fv_json_find(at.root, "eos_token_id");
    size_t n = json_is_array(eos) ? json_array_size(eos) : eos != NULL;
    if (n == 0) return FV_OK;
    if (n > FV_COUNT(c->eos)) return unsupported(at, "eos_token_id", "must have at most 8 ids", err);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_is_array(eos) ? json_array_get(eos, i) : eos;
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > WIDEST)
            return fv_json_wrong(at, "eos_token_id", "must be an id or a list of ids", err);
        c->eos[i] = (int)json_integer_value(id);
    }
    c->eos_count = (int)n;
    return FV_OK;
}

static fv_status read_endings(fv_json_at at, fv_config *c, fv_error *err) {
    int64_t pad;
    FV_TRY(read_eos(at, c, err));
    FV_TRY(fv_json_int_or(at, "pad_token_id", -1, WIDEST, c->pad, &pad, err));
    c->pad = (int)pad;
    return FV_OK;
}

static const fv_family_row *find_family(fv_json_at at, fv_error *err) {
    const char *type;
    if (fv_json_text(at, "model_type", &type, err) != FV_OK) return NULL;
    for (size_t i = 0; i < FV_COUNT(families); i++)
        if (strcmp(type, families[i].model_type) == 0) return &families[i];
    unsupported(at, "model_type", "must be qwen2, qwen3, qwen2_vl, qwen2_5_vl or qwen3_vl", err);
    return NULL;
}

static fv_status read_all(fv_config *c, fv_json_at at, const fv_family_row *row, fv_error *err) {
    fv_json_at text = at, vision = at;
    json_t *sub, *quantized;
    FV_TRY(fv_json_object_or(at, "quantization_config", &quantized, err));
    if (quantized != NULL) return unsupported(at, "quantization_config", "must be absent (weights in f32, bf16 or f16)", err);
    FV_TRY(fv_json_object_or(at, "text_config", &sub, err));
    char text_place[300], vision_place[300];
    if (row->has_vision && sub != NULL) {
        snprintf(text_place, sizeof text_place, "%s: text_config", at.place);
        text.root = sub, text.place = text_place;
    }
    c->text = row->text;
    FV_TRY(read_text(text, &c->text, err));
    bool outer, inner;
    FV_TRY(fv_json_bool_or(at, "tie_word_embeddings", false, &outer, err));
    FV_TRY(fv_json_bool_or(text, "tie_word_embeddings", false, &inner, err));
    c->text.tied = outer || inner; /* Qwen3-VL's class looks at the outer one alone; a head of its own in the file is used in any case (language/decoder.c) */
    FV_TRY(read_endings(text, c, err));
    if (!row->has_vision) return FV_OK;
    FV_TRY(fv_json_object(at, "vision_config", &sub, err));
    snprintf(vision_place, sizeof vision_place, "%s: vision_config", at.place);
    vision.root = sub, vision.place = vision_place;
    c->vision = row->vision;
    FV_TRY(read_vision(vision, row, &c->vision, err));
    if (c->family == FV_QWEN2_5_VL) {
        c->tokens_per_second = 4;
        FV_TRY(size_field(vision, "tokens_per_second", 1000, &c->tokens_per_second, err));
    }
    if (c->vision.out_hidden != c->text.hidden)
        return fv_fail(err, at.status, "%s: the tower's output is %d wide, the text model %d; they must be equal", at.place, c->vision.out_hidden,
                       c->text.hidden);
    return read_token_ids(at, c, err);
}

fv_status fv_config_of(fv_config *out, json_t *raw, const char *place, fv_error *err) {
    *out = (fv_config){.image_token = -1, .video_token = -1, .vision_start = -1, .vision_end = -1, .pad = -1};
    fv_json_at at = {.root = raw, .place = place, .status = FV_BAD_MODEL};
    if (!json_is_object(raw)) return fv_fail(err, FV_BAD_MODEL, "%s: must be an object", place);
    const fv_family_row *row = find_family(at, err);
    if (row == NULL) return err != NULL ? err->status : FV_BAD_MODEL;
    out->family = row->family;
    out->has_vision = row->has_vision;
    snprintf(out->model_type, sizeof out->model_type, "%s", row->model_type);
    out->raw = json_incref(raw);
    fv_status status = read_all(out, at, row, err);
    if (status != FV_OK) fv_config_clear(out);
    return status;
}

/* generation_config.json is optional; what it says about the end of a turn goes before config.json. */
static fv_status read_generation(fv_config *c, const char *folder, fv_error *err) {
    char *path = fv_path_join(folder, "generation_config.json");
    json_t *json = NULL;
    fv_status status = FV_OK;
    if (path == NULL || fv_file_exists(path)) status = fv_json_read(&json, path, FV_BAD_MODEL, err);
    if (status == FV_OK && json != NULL) status = read_endings((fv_json_at){.root = json, .place = path, .status = FV_BAD_MODEL}, c, err);
    json_decref(json);
    free(path);
    return status;
}

fv_status fv_config_read(fv_config *out, const char *folder, fv_error *err) {
    *out = (fv_config){0};
    char *path = fv_path_join(folder, "config.json");
    json_t *raw = NULL;
    fv_status status = fv_json_read(&raw, path, FV_BAD_MODEL, err);
    if (status == FV_OK) status = fv_config_of(out, raw, path, err);
    if (status == FV_OK) status = read_generation(out, folder, err);
    if (status != FV_OK) fv_config_clear(out);
    json_decref(raw);
    free(path);
    return status;
}

void fv_config_clear(fv_config *c) {
    json_decref(c->raw);
    *c = (fv_config){0};
}
