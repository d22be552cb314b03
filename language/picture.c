/* Content parts to pictures: where they come from, their limits, their patches. */
#include "language/prompt.h"

#include "core/file.h"
#include "vision/frames.h"
#include "vision/source.h"
#include "vision/url.h"
#include "vision/video.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- owning ------------------------------------------------------------------------------------------------------- */

fv_picture *fv_picture_keep(fv_picture *p) {
    p->refs++;
    return p;
}

void fv_picture_drop(fv_picture *p) {
    if (p == NULL || --p->refs > 0) return;
    for (int i = 0; i < p->frame_count; i++) fv_image_free(p->frames[i]);
    free(p->frames);
    free(p->seconds);
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

static fv_status read_limits(fv_picture *p, const fv_media *media, const json_t *part, fv_error *err) {
    int64_t height, width;
    FV_TRY(fv_json_int_or(part_at(part), "min_pixels", 1, INT64_MAX, media->min_pixels, &p->min_pixels, err));
    FV_TRY(fv_json_int_or(part_at(part), "max_pixels", 1, INT64_MAX, media->max_pixels, &p->max_pixels, err));
    FV_TRY(fv_json_int_or(part_at(part), "resized_height", 1, UINT16_MAX, 0, &height, err));
    FV_TRY(fv_json_int_or(part_at(part), "resized_width", 1, UINT16_MAX, 0, &width, err));
    if (!height != !width) return fv_json_wrong(part_at(part), height ? "resized_height" : "resized_width", "must have the other side beside it", err);
    p->resized_height = (int)height;
    p->resized_width = (int)width;
    return FV_OK;
}

/* The size that the model sees of a picture or of `count` frames. One that was asked for has qwen-vl-utils' limits (smart_resize in vision_process.py, 4 to 16384 tokens a picture). */
static fv_status view_of(const fv_picture *p, const fv_processor *how, int count, int height, int width, int *view_height, int *view_width, fv_error *err) {
    int factor = how->patch * how->merge;
    int64_t token = (int64_t)factor * factor;
    if (p->resized_height) return fv_smart_resize(view_height, view_width, p->resized_height, p->resized_width, factor, 4 * token, 16384 * token, err);
    return fv_view_size(view_height, view_width, how, count, height, width, p->min_pixels, p->max_pixels, err);
}

/* "total_pixels", of all slots of a clip of `count` frames together: what is left for a frame where the family's limits are of frames, as in qwen-vl-utils (fetch_video in vision_process.py). */
static fv_status share_pixels(fv_picture *p, const fv_processor *how, const json_t *part, int count, fv_error *err) {
    int64_t total, least = p->min_pixels ? p->min_pixels : how->min_pixels, most = p->max_pixels ? p->max_pixels : how->max_pixels;
    FV_TRY(fv_json_int_or(part_at(part), "total_pixels", 1, INT64_MAX / how->temporal, 0, &total, err));
    if (!total) return FV_OK;
    double share = (double)total * how->temporal / (how->whole_clip ? 1 : count), floor = 1.05 * (double)least;
    if (share < floor) share = floor;
    p->max_pixels = share < (double)most ? (int64_t)share : most;
    return FV_OK;
}

static fv_status load_image(const char *name, const fv_media *media, fv_image **out, fv_error *err) {
    long k = fv_source_number(name);
    if (k < 0) return fv_image_load_url(out, media->folder, name, err);
    if (k >= media->image_count) return fv_fail(err, FV_BAD_DATA, "picture %s: there are %d pictures in memory", name, media->image_count);
    return fv_image_copy(out, media->images[k], err);
}

static fv_status load_still(fv_picture *p, const json_t *part, const json_t *source, const fv_media *media, fv_error *err) {
    FV_TRY(read_limits(p, media, part, err));
    if (json_is_array(source)) return fv_fail(err, FV_BAD_DATA, "image must be one name, got a list");
    return load_image(json_string_value(source), media, &p->image, err);
}

static fv_status take_room(fv_picture *p, size_t n, fv_error *err) {
    p->frames = calloc(n, sizeof(fv_image *));
    p->seconds = calloc(n, sizeof(double));
    return p->frames && p->seconds ? FV_OK : fv_fail(err, FV_NO_MEMORY, "no memory for a clip of %zu frames", n);
}

/* ---- clips whose frames are chosen: pictures of one rate ------------------------------------------------------------------ */

static fv_status load_frames(fv_picture *p, const json_t *names, const fv_media *media, fv_error *err) {
    size_t n = json_array_size(names);
    if (n == 0 || n > FV_MOST_FRAMES) return fv_fail(err, FV_BAD_DATA, "video must be a list of 1..%d pictures, got %zu", FV_MOST_FRAMES, n);
    FV_TRY(take_room(p, n, err));
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name == NULL) return fv_fail(err, FV_BAD_DATA, "video[%zu] must be the name of a picture", i);
        FV_TRY(load_image(name, media, &p->frames[i], err));
        p->seconds[i] = (double)i / p->fps;
        p->frame_count++;
    }
    return FV_OK;
}

/* The rate is all that can be said of them, and how large they are seen (whole: with what is said for all rows). */
static fv_status load_list(fv_picture *p, const fv_model *m, const json_t *part, const json_t *whole, const json_t *names, const fv_media *media, fv_error *err) {
    static const char *const others[] = {"nframes", "frames", "min_frames", "max_frames", "video_start", "video_end"};
    for (size_t i = 0; i < FV_COUNT(others); i++)
        if (fv_json_find(part, others[i]) != NULL) return fv_json_wrong(part_at(part), others[i], "must be absent where video is a list or a folder of pictures", err);
    double sampled = 2; /* as qwen-vl-utils has it, and calls it; its users write texts, too */
    const char *word = json_string_value(json_object_get(part, "sample_fps"));
    if (word) sampled = strtod(word, NULL);
    else FV_TRY(fv_json_num_or(part_at(part), "sample_fps", 2, &sampled, err));
    FV_TRY(fv_json_num_or(part_at(part), "fps", sampled, &p->fps, err));
    if (!(p->fps > 0)) return fv_json_wrong(part_at(part), "fps", "must be positive", err);
    p->second_per_grid = m->video.temporal / p->fps;
    FV_TRY(load_frames(p, names, media, err));
    return share_pixels(p, &m->video, whole, p->frame_count, err);
}

static bool is_picture_name(const char *name) {
    static const char *const endings[] = {".png", ".jpg", ".jpeg"};
    const char *dot = strrchr(name, '.');
    bool is = false;
    for (size_t i = 0; i < FV_COUNT(endings) && dot != NULL; i++) is |= strcasecmp(dot, endings[i]) == 0;
    return is;
}

static fv_status load_folder(fv_picture *p, const fv_model *m, const json_t *part, const json_t *whole, const char *path, const fv_media *media, fv_error *err) {
    fv_names names;
    FV_TRY(fv_folder_list(&names, path, err));
    json_t *list = json_array();
    for (size_t i = 0; i < names.count && list != NULL; i++) {
        char *name = is_picture_name(names.names[i]) ? fv_path_join(path, names.names[i]) : NULL;
        if (name != NULL) json_array_append_new(list, json_string(name));
        free(name);
    }
    fv_names_free(&names);
    fv_media plain = {.images = media->images, .image_count = media->image_count}; /* the names hold the folder already */
    fv_status status = json_array_size(list) > 0 ? load_list(p, m, part, whole, list, &plain, err) : fv_fail(err, FV_BAD_DATA, "%s: there is no picture in it (.png, .jpg)", path);
    json_decref(list);
    return status;
}

/* ---- video files ---------------------------------------------------------------------------------------------------------- */

typedef struct {
    fv_picture *picture;
    int width, height; /* that the model sees */
} film;

static fv_status keep_frame(void *context, int k, const fv_image *frame, fv_error *err) {
    film *f = context;
    FV_TRY(fv_image_resize(&f->picture->frames[k], frame, f->width, f->height, err));
    f->picture->frame_count = k + 1;
    return FV_OK;
}

/* Patches are made of the frames as they are kept; the limits become those that leave them so. */
static fv_status cut_frames(fv_picture *p, const fv_processor *how, int width, int height, fv_error *err) {
    int64_t slots = (p->frame_count - 1) / how->temporal + 1;
    p->min_pixels = 1;
    p->max_pixels = slots * how->temporal * p->frames[0]->width * p->frames[0]->height;
    FV_TRY(fv_patches_sized(&p->patches, how, (const fv_image *const *)p->frames, p->frame_count, p->frames[0]->height, p->frames[0]->width, err));
    p->patches->width = width;
    p->patches->height = height;
    return FV_OK;
}

/* The frames of `list`, resized to what the model sees. */
static fv_status decode_film(fv_picture *p, const fv_processor *how, fv_video *video, const fv_frame_list *list, int width, int height, fv_error *err) {
    fv_video_facts facts = fv_video_about(video);
    film f = {.picture = p, .width = width, .height = height};
    FV_TRY(take_room(p, (size_t)list->count, err));
    for (int i = 0; i < list->count; i++) p->seconds[i] = (double)list->index[i] / facts.fps;
    FV_TRY(fv_video_decode(video, list->index, list->count, keep_frame, &f, err));
    p->fps = list->fps;
    p->second_per_grid = how->temporal / p->fps;
    return cut_frames(p, how, facts.width, facts.height, err);
}

/* What may be said for all rows: which frames, and how large. A part that says any of the former says all of it. */
static const char *const choosing[] = {"fps", "nframes", "frames", "min_frames", "max_frames"}, *const limiting[] = {"min_pixels", "max_pixels"}, *const sharing[] = {"total_pixels"};

static bool is_in(const char *key, const char *const *list, size_t n) {
    bool is = false;
    for (size_t i = 0; i < n; i++) is |= strcmp(key, list[i]) == 0;
    return is;
}

/* The limits that are said, in place of *p's. */
static fv_status limit(fv_processor *p, fv_json_at at, fv_error *err) {
    int64_t least, most;
    FV_TRY(fv_json_int_or(at, "min_pixels", 1, INT64_MAX, p->min_pixels, &least, err));
    FV_TRY(fv_json_int_or(at, "max_pixels", 1, INT64_MAX, p->max_pixels, &most, err));
    if (least > most) return fv_fail(err, FV_BAD_RECIPE, "%s: min_pixels %lld is more than max_pixels %lld", at.place, (long long)least, (long long)most);
    p->min_pixels = least;
    p->max_pixels = most;
    return FV_OK;
}

static fv_status watch_images(fv_model *m, const json_t *fields, fv_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)fields, key, value)
        if (!is_in(key, limiting, FV_COUNT(limiting))) return fv_fail(err, FV_BAD_RECIPE, "image: there is no field %.40s; min_pixels and max_pixels are known", key);
    return limit(&m->image, (fv_json_at){.root = fields, .place = "image", .status = FV_BAD_RECIPE}, err);
}

static fv_status watch_videos(fv_model *m, const json_t *fields, fv_error *err) {
    fv_json_at at = {.root = fields, .place = "video", .status = FV_BAD_RECIPE};
    fv_processor said = {.min_pixels = 1, .max_pixels = INT64_MAX};
    fv_frame_wish wish;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)fields, key, value)
        if (!is_in(key, choosing, FV_COUNT(choosing)) && !is_in(key, limiting, FV_COUNT(limiting)) && !is_in(key, sharing, FV_COUNT(sharing)))
            return fv_fail(err, FV_BAD_RECIPE, "video: there is no field %.40s; fps, nframes, frames, min_frames, max_frames, min_pixels, max_pixels, total_pixels are known", key);
    FV_TRY(fv_frame_wish_read(&wish, at, err));
    FV_TRY(limit(&said, at, err));
    json_decref(m->video_fields);
    m->video_fields = fields != NULL ? json_deep_copy(fields) : NULL;
    return fields == NULL || m->video_fields != NULL ? FV_OK : fv_fail(err, FV_NO_MEMORY, "video: out of memory");
}

fv_status fv_model_watch(fv_model *m, const json_t *image, const json_t *video, fv_error *err) {
    m->image_watched = image != NULL && m->config.has_vision;
    if (m->image_watched) FV_TRY(watch_images(m, image, err));
    return watch_videos(m, video, err);
}

/* The part with the fields of all rows that it does not say, a new reference. Values are copied: several threads read rows. */
static json_t *whole_part(const fv_model *m, const json_t *part) {
    json_t *out = json_copy((json_t *)part), *value;
    const char *key;
    bool chooses = false;
    for (size_t i = 0; i < FV_COUNT(choosing); i++) chooses |= fv_json_find(part, choosing[i]) != NULL;
    json_object_foreach(m->video_fields, key, value)
        if (fv_json_find(part, key) == NULL && !(chooses && is_in(key, choosing, FV_COUNT(choosing)))) json_object_set_new(out, key, json_deep_copy(value));
    return out;
}

static fv_status load_film(fv_picture *p, const fv_model *m, const json_t *part, const char *name, const fv_media *media, fv_error *err) {
    fv_frame_wish wish;
    fv_frame_list list = {0};
    fv_video *video;
    int width, height;
    FV_TRY(fv_frame_wish_read(&wish, part_at(part), err));
    FV_TRY(fv_video_load_url(&video, media->folder, name, err));
    fv_video_facts facts = fv_video_about(video);
    fv_status status = fv_frames_choose(&list, &m->video, &wish, facts.frames, facts.fps, err);
    if (status == FV_OK) status = share_pixels(p, &m->video, part, list.count, err);
    if (status == FV_OK) status = view_of(p, &m->video, list.count, facts.height, facts.width, &height, &width, err);
    if (status != FV_OK) fv_fail_in(err, "%.200s", name);
    else status = decode_film(p, &m->video, video, &list, width, height, err);
    fv_frame_list_clear(&list);
    fv_video_close(video);
    return status;
}

/* part: what the row says; whole: with what is said for all rows. Of a list's or a folder's frames, which are chosen already, only the limits are left open. */
static fv_status load_clip(fv_picture *p, const fv_model *m, const json_t *part, const json_t *whole, const json_t *source, const fv_media *media, fv_error *err) {
    FV_TRY(read_limits(p, media, whole, err));
    if (json_is_array(source)) return load_list(p, m, part, whole, source, media, err);
    const char *name = json_string_value(source);
    char *path = NULL;
    if (!fv_url_is_data(name)) FV_TRY(fv_url_path(&path, media->folder, name, "videos", err));
    fv_status status = path && fv_folder_exists(path) ? load_folder(p, m, part, whole, path, media, err) : load_film(p, m, whole, name, media, err);
    free(path);
    return status;
}

static fv_status load_video(fv_picture *p, const fv_model *m, const json_t *part, const json_t *source, const fv_media *media, fv_error *err) {
    json_t *whole = whole_part(m, part);
    fv_status status = whole ? load_clip(p, m, part, whole, source, media, err) : fv_fail(err, FV_NO_MEMORY, "video: out of memory");
    json_decref(whole);
    return status;
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

/* Of what has been loaded; a film's are there already. */
static fv_status make_patches(fv_picture *p, const fv_model *m, fv_error *err) {
    const fv_processor *processor = p->video ? &m->video : &m->image;
    const fv_image *const one[] = {p->image};
    const fv_image *const *frames = p->video ? (const fv_image *const *)p->frames : one;
    int count = p->video ? p->frame_count : 1, height, width;
    if (!p->patches && !p->resized_height) FV_TRY(fv_patches_make(&p->patches, processor, frames, count, p->min_pixels, p->max_pixels, err));
    if (!p->patches) {
        FV_TRY(view_of(p, processor, count, frames[0]->height, frames[0]->width, &height, &width, err));
        FV_TRY(fv_patches_sized(&p->patches, processor, frames, count, height, width, err));
    }
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
    fv_status status = p->video ? load_video(p, m, part, source, media, err) : load_still(p, part, source, media, err);
    if (status == FV_OK && !p->video && m->image_watched) { /* the folder alone does not say them: whoever reads the picture again must be told */
        if (!p->min_pixels) p->min_pixels = m->image.min_pixels;
        if (!p->max_pixels) p->max_pixels = m->image.max_pixels;
    }
    if (status == FV_OK) status = make_patches(p, m, err);
    if (status == FV_OK) *out = p;
    else fv_picture_drop(p);
    return status;
}

static fv_status copy_frames(fv_picture *p, const fv_picture *clip, const int *order, fv_error *err) {
    FV_TRY(take_room(p, (size_t)clip->frame_count, err));
    for (int i = 0; i < clip->frame_count; i++) {
        FV_TRY(fv_image_copy(&p->frames[i], clip->frames[order[i]], err));
        p->seconds[i] = clip->seconds[i];
        p->frame_count++;
    }
    return FV_OK;
}

fv_status fv_picture_reorder(const fv_model *m, const fv_picture *clip, const int *order, fv_picture **out, fv_error *err) {
    *out = NULL;
    fv_picture *p = calloc(1, sizeof *p);
    if (p == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory for a picture");
    *p = (fv_picture){.refs = 1, .video = true, .fps = clip->fps, .second_per_grid = clip->second_per_grid, .min_pixels = clip->min_pixels, .max_pixels = clip->max_pixels,
                      .resized_height = clip->resized_height, .resized_width = clip->resized_width};
    fv_status status = copy_frames(p, clip, order, err);
    if (status == FV_OK) status = make_patches(p, m, err);
    if (status != FV_OK) {
        fv_picture_drop(p);
        return status;
    }
    p->patches->width = clip->patches->width; /* a film's frames are kept as the model sees them, and were larger */
    p->patches->height = clip->patches->height;
    *out = p;
    return FV_OK;
}
