/* The processor's settings from a checkpoint folder, found in the order in which transformers looks for them (HF facts 1). */
#include "core/file.h"
#include "core/json.h"
#include "vision/processor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What transformers' classes hold where a file is silent. */
typedef struct {
    int patch;
    int64_t min_pixels, max_pixels;
    double mean[3], std[3];
    bool whole_clip, sample;
    double fps; /* 0: None */
} defaults;

#define CLIP_MEAN {0.48145466, 0.4578275, 0.40821073}
#define CLIP_STD {0.26862954, 0.26130258, 0.27577711}

static const defaults image_class = {14, 56 * 56, 28 * 28 * 1280, CLIP_MEAN, CLIP_STD, false, false, 0};          /* Qwen2VLImageProcessor, all families */
static const defaults qwen2_video_class = {14, 128 * 28 * 28, 28 * 28 * 768, CLIP_MEAN, CLIP_STD, false, false, 0}; /* Qwen2VLVideoProcessor */
static const defaults qwen3_video_class = {16, 128 * 32 * 32, 32 * 32 * 768, {0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, true, true, 2};

/* The object that holds the settings, and the file that it came from. */
typedef struct {
    json_t *file;
    fv_json_at at;
    char place[512];
} source;

/* Opens folder/name if it exists and has `key` (NULL: the whole file); else leaves s->file NULL. */
static fv_status try_file(source *s, const char *folder, const char *name, const char *key, fv_error *err) {
    char *path = fv_path_join(folder, name);
    if (!path) return fv_fail(err, FV_NO_MEMORY, "%s: no memory", folder);
    fv_status status = fv_file_exists(path) ? fv_json_read(&s->file, path, FV_BAD_MODEL, err) : FV_OK;
    snprintf(s->place, sizeof s->place, "%s%s%s", path, key ? ": " : "", key ? key : "");
    free(path);
    if (status != FV_OK || !s->file) return status;
    const json_t *root = key ? json_object_get(s->file, key) : s->file;
    s->at = (fv_json_at){.root = root, .place = s->place, .status = FV_BAD_MODEL};
    if (!root) {
        json_decref(s->file);
        s->file = NULL;
    } else if (!json_is_object(root)) {
        json_decref(s->file);
        s->file = NULL;
        return fv_fail(err, FV_BAD_MODEL, "%s: must be an object", s->place);
    }
    return FV_OK;
}

static fv_status find(source *s, const char *folder, bool video, fv_error *err) {
    FV_TRY(try_file(s, folder, "processor_config.json", video ? "video_processor" : "image_processor", err));
    if (!s->file && video) FV_TRY(try_file(s, folder, "video_preprocessor_config.json", NULL, err));
    if (!s->file) FV_TRY(try_file(s, folder, "preprocessor_config.json", NULL, err));
    if (!s->file)
        return fv_fail(err, FV_BAD_MODEL, "%s: no picture settings: processor_config.json or preprocessor_config.json must be there; copy it from the model that this one was made from",
                       folder);
    return FV_OK;
}

static fv_status choose(const defaults **out, fv_json_at at, bool video, const char *model_type, fv_error *err) {
    const char *field = video ? "video_processor_type" : "image_processor_type", *type;
    FV_TRY(fv_json_text_or(at, field, "", &type, err));
    if (*type && strncmp(type, "Qwen2", 5) != 0 && strncmp(type, "Qwen3VL", 7) != 0)
        return fv_fail(err, FV_UNSUPPORTED, "%s: %s must be Qwen's, got \"%s\"", at.place, field, type);
    bool qwen3 = strncmp(*type ? type : model_type, *type ? "Qwen3" : "qwen3", 5) == 0;
    *out = !video ? &image_class : qwen3 ? &qwen3_video_class : &qwen2_video_class;
    return FV_OK;
}

/* "min_pixels" and "max_pixels" win over "size", whose edges are pixel counts, too; the class for Qwen3-VL's clips knows only size. */
static fv_status read_limits(fv_processor *p, fv_json_at at, const defaults *d, fv_error *err) {
    const int64_t top = (int64_t)1 << 40;
    json_t *size;
    FV_TRY(fv_json_object_or(at, "size", &size, err));
    FV_TRY(fv_json_int_or(at, "size.shortest_edge", 1, top, size ? 0 : d->min_pixels, &p->min_pixels, err));
    FV_TRY(fv_json_int_or(at, "size.longest_edge", 1, top, size ? 0 : d->max_pixels, &p->max_pixels, err));
    if (!d->whole_clip) {
        FV_TRY(fv_json_int_or(at, "min_pixels", 1, top, p->min_pixels, &p->min_pixels, err));
        FV_TRY(fv_json_int_or(at, "max_pixels", 1, top, p->max_pixels, &p->max_pixels, err));
    }
    if (!p->min_pixels || !p->max_pixels) return fv_json_wrong(at, "size", "must have shortest_edge and longest_edge (pixel counts)", err);
    return FV_OK;
}

static fv_status read_sizes(fv_processor *p, fv_json_at at, const char *folder, const defaults *d, fv_error *err) {
    source config = {.file = NULL};
    FV_TRY(try_file(&config, folder, "config.json", NULL, err));
    fv_json_at c = config.at;
    static const char *const names[3][2] = {{"patch_size", "vision_config.patch_size"},
                                            {"merge_size", "vision_config.spatial_merge_size"},
                                            {"temporal_patch_size", "vision_config.temporal_patch_size"}};
    int64_t size[3] = {d->patch, 2, 2};
    const int64_t top[3] = {256, 16, FV_MAX_TEMPORAL};
    fv_status status = FV_OK;
    for (int i = 0; i < 3 && status == FV_OK; i++) {
        if (config.file) status = fv_json_int_or(c, names[i][1], 1, top[i], size[i], &size[i], err);
        if (status == FV_OK) status = fv_json_int_or(at, names[i][0], 1, top[i], size[i], &size[i], err);
    }
    json_decref(config.file);
    p->patch = (int)size[0];
    p->merge = (int)size[1];
    p->temporal = (int)size[2];
    return status;
}

static fv_status read_colour(float out[3], fv_json_at at, const char *field, const double fallback[3], fv_error *err) {
    json_t *list;
    FV_TRY(fv_json_list_or(at, field, &list, err));
    if (list && json_array_size(list) != 3) return fv_json_wrong(at, field, "must be three numbers", err);
    for (size_t c = 0; c < 3; c++) {
        const json_t *v = list ? json_array_get(list, c) : NULL;
        if (list && !json_is_number(v)) return fv_json_wrong(at, field, "must be three numbers", err);
        out[c] = (float)(list ? json_number_value(v) : fallback[c]);
    }
    return FV_OK;
}

static fv_status read_arithmetic(fv_processor *p, fv_json_at at, const defaults *d, fv_error *err) {
    FV_TRY(fv_json_bool_or(at, "do_resize", true, &p->resize, err));
    FV_TRY(fv_json_bool_or(at, "do_rescale", true, &p->rescale, err));
    FV_TRY(fv_json_bool_or(at, "do_normalize", true, &p->normalize, err));
    FV_TRY(fv_json_num_or(at, "rescale_factor", 1.0 / 255.0, &p->rescale_factor, err));
    if (!(p->rescale_factor > 0)) return fv_json_wrong(at, "rescale_factor", "must be above 0", err);
    FV_TRY(read_colour(p->mean, at, "image_mean", d->mean, err));
    FV_TRY(read_colour(p->std, at, "image_std", d->std, err));
    for (int c = 0; c < 3; c++)
        if (!(p->std[c] > 0)) return fv_json_wrong(at, "image_std", "must be above 0", err);
    int64_t resample;
    FV_TRY(fv_json_int_or(at, "resample", 0, 5, 3, &resample, err));
    if (resample != 3) return fv_fail(err, FV_UNSUPPORTED, "%s: resample must be 3 (bicubic), got %d", at.place, (int)resample);
    return FV_OK;
}

/* Which frames of a video file are looked at where a row does not say (vision/frames.h), and cap_pixels_per_frame. */
static fv_status read_sampling(fv_processor *p, fv_json_at at, const defaults *d, fv_error *err) {
    int64_t frames, least, most, tokens;
    bool cap;
    FV_TRY(fv_json_bool_or(at, "do_sample_frames", d->sample, &p->sample, err));
    FV_TRY(fv_json_num_or(at, "fps", d->fps, &p->fps, err));
    if (p->fps < 0) return fv_json_wrong(at, "fps", "must be positive", err);
    FV_TRY(fv_json_int_or(at, "num_frames", 1, 1 << 20, 0, &frames, err));
    FV_TRY(fv_json_int_or(at, "min_frames", 1, 1 << 20, 4, &least, err));
    FV_TRY(fv_json_int_or(at, "max_frames", 1, 1 << 20, 768, &most, err));
    FV_TRY(fv_json_bool_or(at, "cap_pixels_per_frame", false, &cap, err));
    FV_TRY(fv_json_int_or(at, "max_video_tokens", 1, 1 << 30, d->whole_clip ? 768 : 128000, &tokens, err));
    p->frames = (int)frames;
    p->min_frames = (int)least;
    p->max_frames = (int)most;
    p->cap_tokens = cap ? tokens : 0;
    return FV_OK;
}

fv_status fv_processor_read(fv_processor *out, const char *folder, bool video, const char *model_type, fv_error *err) {
    *out = (fv_processor){0};
    source s = {.file = NULL};
    FV_TRY(find(&s, folder, video, err));
    const defaults *d = NULL;
    fv_status status = choose(&d, s.at, video, model_type, err);
    if (status == FV_OK) {
        out->whole_clip = d->whole_clip;
        status = read_limits(out, s.at, d, err);
    }
    if (status == FV_OK) status = read_sizes(out, s.at, folder, d, err);
    if (status == FV_OK) status = read_arithmetic(out, s.at, d, err);
    if (status == FV_OK && video) status = read_sampling(out, s.at, d, err);
    json_decref(s.file);
    return status;
}
