/* Content parts to pictures: where they come from, their limits, their patches. */
#include "language/prompt.h"

#include "vision/source.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_FRAMES = 4096 };

/* ---- owning ------------------------------------------------------------------------------------------------------- */

fv_picture *fv_picture_keep(fv_picture *p) {
    p->refs++;
    return p;
}

void fv_picture_drop(fv_picture *p) {
    if (p == NULL || --p->refs > 0) return;
    for (int i = 0; i < p->frame_count; i++) fv_image_free(p->frames[i]);
    free(p->frames);
    fv_image_free(p->image);
    fv_patches_free(p->patches);
    free(p);
}

/* ---- what a part says --------------------------------------------------------------------------------------------- */

static fv_json_at part_at(const json_t *part) {
    return (fv_json_at){.root = part, .place = "picture", .status = FV_BAD_DATA};
}

static bool is_video(const json_t *part) {
    const char *type = json_string_value(json_object_get(part, "type"));
    return fv_json_find(part, "video") != NULL || (type != NULL && strcmp(type, "video") == 0);
}

static fv_status load_image(const char *name, const fv_media *media, fv_image **out, fv_error *err) {
    if (name[0] == '#' && name[1] != '\0' && strspn(name + 1, "0123456789") == strlen(name + 1)) {
        long k = strtol(name + 1, NULL, 10);
        if (k >= media->image_count) return fv_fail(err, FV_BAD_DATA, "picture %s: there are %d pictures in memory", name, media->image_count);
        return fv_image_copy(out, media->images[k], err);
    }
    return fv_image_load_url(out, media->folder, name, err);
}

static fv_status load_frames(fv_picture *p, const json_t *names, const fv_media *media, fv_error *err) {
    size_t n = json_array_size(names);
    if (n == 0 || n > MOST_FRAMES) return fv_fail(err, FV_BAD_DATA, "video must be a list of 1..%d pictures, got %zu", MOST_FRAMES, n);
    p->frames = calloc(n, sizeof(fv_image *));
    if (p->frames == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for a clip of %zu frames", n);
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name == NULL) return fv_fail(err, FV_BAD_DATA, "video[%zu] must be the name of a picture", i);
        FV_TRY(load_image(name, media, &p->frames[i], err));
        p->frame_count++;
    }
    return FV_OK;
}

/* A list of pictures is a clip whose frames are already chosen: only their rate can be said. */
static fv_status load_clip(fv_picture *p, const fv_model *m, const json_t *part, const json_t *source, const fv_media *media, fv_error *err) {
    static const char *const choosing[] = {"nframes", "video_start", "video_end"};
    if (!json_is_array(source))
        return fv_fail(err, FV_UNSUPPORTED, "video %s: video files can't be read yet; give the frames as a list of pictures", json_string_value(source));
    for (size_t i = 0; i < FV_COUNT(choosing); i++)
        if (fv_json_find(part, choosing[i]) != NULL) return fv_json_wrong(part_at(part), choosing[i], "must be absent where video is a list of pictures", err);
    FV_TRY(fv_json_num_or(part_at(part), "fps", 2, &p->fps, err));
    if (!(p->fps > 0)) return fv_json_wrong(part_at(part), "fps", "must be positive", err);
    p->second_per_grid = m->video.temporal / p->fps;
    return load_frames(p, source, media, err);
}

/* ---- patches ------------------------------------------------------------------------------------------------------ */

/* Multiply and fold, eight bytes at a time: equal rows of equal shape have equal hashes, and 64 bits keep others apart. */
static uint64_t hash_patches(const fv_patches *patches, size_t columns) {
    const uint64_t odd = 0x9e3779b97f4a7c15u;
    size_t n = (size_t)fv_patches_rows(patches) * columns;
    uint64_t h = odd;
    for (int i = 0; i < 3; i++) h = (h ^ (uint64_t)patches->grid[i]) * odd;
    for (size_t i = 0; i < n; i += 2) {
        uint64_t pair = 0;
        memcpy(&pair, patches->pixels + i, (n - i > 1 ? 2 : 1) * sizeof(float));
        h = (h ^ pair) * odd;
        h ^= h >> 29;
    }
    return h;
}

static fv_status make_patches(fv_picture *p, const fv_model *m, const fv_media *media, const json_t *part, fv_error *err) {
    const fv_processor *processor = p->video ? &m->video : &m->image;
    FV_TRY(fv_json_int_or(part_at(part), "min_pixels", 1, INT64_MAX, media->min_pixels, &p->min_pixels, err));
    FV_TRY(fv_json_int_or(part_at(part), "max_pixels", 1, INT64_MAX, media->max_pixels, &p->max_pixels, err));
    const fv_image *const one[] = {p->image};
    const fv_image *const *frames = p->video ? (const fv_image *const *)p->frames : one;
    FV_TRY(fv_patches_make(&p->patches, processor, frames, p->video ? p->frame_count : 1, p->min_pixels, p->max_pixels, err));
    p->hash = hash_patches(p->patches, (size_t)3 * (size_t)processor->temporal * (size_t)processor->patch * (size_t)processor->patch);
    return FV_OK;
}

fv_status fv_picture_load(const fv_model *m, const json_t *part, const fv_media *media, fv_picture **out, fv_error *err) {
    static const fv_media nowhere = {0};
    *out = NULL;
    if (media == NULL) media = &nowhere;
    if (!m->config.has_vision) return fv_fail(err, FV_UNSUPPORTED, "%s is a text model (%s): it takes no pictures", m->folder, m->config.model_type);
    const json_t *source = fv_source_of(part);
    if (source == NULL) return fv_fail(err, FV_BAD_DATA, "a picture's part must have image, image_url, video, url or path with its name");
    fv_picture *p = calloc(1, sizeof *p);
    if (p == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for a picture");
    p->refs = 1;
    p->video = is_video(part);
    fv_status status;
    if (p->video) status = load_clip(p, m, part, source, media, err);
    else if (json_is_array(source)) status = fv_fail(err, FV_BAD_DATA, "image must be one name, got a list");
    else status = load_image(json_string_value(source), media, &p->image, err);
    if (status == FV_OK) status = make_patches(p, m, media, part, err);
    if (status == FV_OK) *out = p;
    else fv_picture_drop(p);
    return status;
}
