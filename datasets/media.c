#include "datasets/media.h"

#include "vision/url.h"

#include <stdio.h>
#include <string.h>

const char *const fv_media_names[FV_MEDIA_KINDS] = {"image", "video"};
static const char *const fv_media_marks[FV_MEDIA_KINDS] = {"<image>", "<video>"};

void fv_media_clear(fv_media_list *m) {
    for (int k = 0; k < FV_MEDIA_KINDS; k++) json_decref(m->parts[k]);
    *m = (fv_media_list){.place = NULL};
}

static fv_status fv_no_memory(const char *place, fv_error *err) {
    return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", place);
}

const char *fv_media_type(const json_t *part) {
    static const char *const keys[] = {"image", "image_url", "video", "video_url", "text"};
    const char *type = json_string_value(json_object_get(part, "type"));
    for (size_t i = 0; i < FV_COUNT(keys) && type == NULL; i++)
        if (fv_json_find(part, keys[i]) != NULL) type = keys[i];
    return type;
}

/* ---- one picture or video ------------------------------------------------------------------------------------------- */

/* Where an entry that is an object has its picture, the best source first: {"bytes", "path"} of Hugging Face's datasets has a path that need not
 * exist here. `base64` is transformers' name for the same bytes, or for a data: URL. */
static json_t *fv_media_source(const json_t *entry, int kind) {
    const char *const keys[] = {"bytes", "base64", kind == FV_MEDIA_VIDEO ? "video" : "image", kind == FV_MEDIA_VIDEO ? "video_url" : "image_url", "path", "url"};
    for (size_t i = 0; i < FV_COUNT(keys); i++) {
        json_t *value = json_object_get(entry, keys[i]);
        if (value == NULL || json_is_null(value)) continue;
        if (json_is_object(value)) return fv_media_source(value, kind); /* OpenAI's {"image_url": {"url": ...}}, or {"image": {"bytes", "path"}} */
        bool bare = i < 2 && json_is_string(value) && !fv_url_is_data(json_string_value(value));
        if (bare) return json_sprintf("data:%s/unknown;base64,%s", fv_media_names[kind], json_string_value(value));
        return json_incref(value);
    }
    return NULL;
}

static bool fv_is_frames(const json_t *value) {
    size_t n = json_array_size(value), texts = 0;
    for (size_t i = 0; i < n; i++) texts += json_is_string(json_array_get(value, i)) ? 1 : 0;
    return n > 0 && texts == n;
}

fv_status fv_media_part(json_t **out, const json_t *entry, int kind, const char *place, const char *field, fv_error *err) {
    const char *name = fv_media_names[kind];
    *out = NULL;
    json_t *part = json_is_object(entry) ? json_copy((json_t *)entry) : json_object();
    json_t *source = json_is_object(entry) ? fv_media_source(entry, kind) : json_incref((json_t *)entry);
    bool good = (json_is_string(source) && json_string_length(source) > 0) || (kind == FV_MEDIA_VIDEO && fv_is_frames(source));
    if (!good) {
        json_decref(part);
        json_decref(source);
        return fv_fail(err, FV_BAD_DATA, "%s: %s must be a path, a URL or an object with \"%s\", \"path\", \"url\" or \"bytes\" (base64)%s", place, field, name,
                       kind == FV_MEDIA_VIDEO ? ", or a list of frames" : "");
    }
    static const char *const sources[] = {"bytes", "base64", "image", "video", "image_url", "video_url", "path", "url"};
    for (size_t i = 0; i < FV_COUNT(sources); i++) json_object_del(part, sources[i]);
    if (json_object_set_new(part, "type", json_string(name)) != 0 || json_object_set_new(part, name, source) != 0) {
        json_decref(part);
        return fv_no_memory(place, err);
    }
    *out = part;
    return FV_OK;
}

/* ---- the row's lists ------------------------------------------------------------------------------------------------ */

/* Adds what `field` holds: one entry, or a list of them. A list of texts under `video` or `path` is one video of frames. */
static fv_status fv_media_field(fv_media_list *m, const json_t *row, const char *field, int kind, fv_error *err) {
    const json_t *value = json_object_get(row, field);
    if (value == NULL || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0)) return FV_OK; /* "image": "" is LLaVA's none */
    bool list = json_is_array(value) && !(strcmp(field, "videos") != 0 && kind == FV_MEDIA_VIDEO && fv_is_frames(value));
    size_t n = list ? json_array_size(value) : 1;
    if (m->parts[kind] == NULL) m->parts[kind] = json_array();
    for (size_t i = 0; i < n; i++) {
        char name[64];
        snprintf(name, sizeof name, list ? "%s[%zu]" : "%s", field, i);
        json_t *part;
        FV_TRY(fv_media_part(&part, list ? json_array_get(value, i) : value, kind, m->place, name, err));
        if (json_array_append_new(m->parts[kind], part) != 0) return fv_no_memory(m->place, err);
    }
    return FV_OK;
}

fv_status fv_media_collect(fv_media_list *m, const json_t *row, const char *place, fv_error *err) {
    static const struct {
        const char *field;
        int kind;
    } fields[] = {{"images", FV_MEDIA_IMAGE}, {"image", FV_MEDIA_IMAGE}, {"image_path", FV_MEDIA_IMAGE}, {"videos", FV_MEDIA_VIDEO}, {"video", FV_MEDIA_VIDEO}};
    m->place = place;
    for (size_t i = 0; i < FV_COUNT(fields); i++) FV_TRY(fv_media_field(m, row, fields[i].field, fields[i].kind, err));
    const char *type = json_string_value(json_object_get(row, "data_type"));
    const json_t *path = json_object_get(row, "path");
    if (type == NULL || strcmp(type, "text") == 0) return FV_OK;
    for (int k = 0; k < FV_MEDIA_KINDS; k++) {
        if (strcmp(type, fv_media_names[k]) != 0) continue;
        if (path != NULL) return fv_media_field(m, row, "path", k, err);
        bool none = m->parts[FV_MEDIA_IMAGE] == NULL && m->parts[FV_MEDIA_VIDEO] == NULL;
        return none && !json_is_array(json_object_get(row, "messages")) ? fv_fail(err, FV_BAD_DATA, "%s: data_type is %s, but there is no path", place, type) : FV_OK;
    }
    return path == NULL ? FV_OK : fv_fail(err, FV_BAD_DATA, "%s: data_type must be image, video or text, got \"%.40s\"", place, type);
}

/* ---- placing -------------------------------------------------------------------------------------------------------- */

static size_t fv_media_count(const fv_media_list *m, int kind) {
    return json_array_size(m->parts[kind]);
}

/* The next medium of a kind, which `field` asks for. LLaVA-Video marks clips as pictures. */
static fv_status fv_media_next(fv_media_list *m, int kind, json_t **out, const char *field, fv_error *err) {
    if (kind == FV_MEDIA_IMAGE && fv_media_count(m, FV_MEDIA_IMAGE) == 0 && fv_media_count(m, FV_MEDIA_VIDEO) > 0) kind = FV_MEDIA_VIDEO;
    if (m->used[kind] >= fv_media_count(m, kind))
        return fv_fail(err, FV_BAD_DATA, "%s: %s asks for %s number %zu, but the row has %zu", m->place, field, fv_media_names[kind], m->used[kind] + 1,
                       fv_media_count(m, kind));
    *out = json_array_get(m->parts[kind], m->used[kind]++);
    return FV_OK;
}

/* The first mark in `text`; *kind says which. */
static const char *fv_first_mark(const char *text, int *kind) {
    const char *first = NULL;
    for (int k = 0; k < FV_MEDIA_KINDS; k++) {
        const char *at = strstr(text, fv_media_marks[k]);
        if (at != NULL && (first == NULL || at < first)) first = at, *kind = k;
    }
    return first;
}

/* Appends `text` to a list of parts, its marks replaced. */
static fv_status fv_place_text(fv_media_list *m, json_t *parts, const char *text, const char *field, fv_error *err) {
    int kind = 0, failed = 0;
    for (const char *mark; !m->lenient && (mark = fv_first_mark(text, &kind)) != NULL; text = mark + strlen(fv_media_marks[kind])) {
        json_t *part;
        FV_TRY(fv_media_next(m, kind, &part, field, err));
        if (mark > text) failed |= json_array_append_new(parts, json_pack("{s:s, s:s%}", "type", "text", "text", text, (size_t)(mark - text)));
        failed |= json_array_append(parts, part);
    }
    if (text[0] != '\0') failed |= json_array_append_new(parts, json_pack("{s:s, s:s}", "type", "text", "text", text));
    return failed ? fv_no_memory(m->place, err) : FV_OK;
}

/* One part of a list: text with marks, a medium of its own, or an empty part that stands for the row's next one. */
static fv_status fv_place_part(fv_media_list *m, json_t *parts, json_t *part, const char *field, fv_error *err) {
    const char *type = fv_media_type(part);
    if (strcmp(type, "text") == 0) return fv_place_text(m, parts, json_string_value(json_object_get(part, "text")), field, err);
    int kind = strncmp(type, "video", 5) == 0 ? FV_MEDIA_VIDEO : FV_MEDIA_IMAGE;
    json_t *source = fv_media_source(part, kind), *placed = NULL;
    bool empty = source == NULL;
    json_decref(source);
    if (empty) {
        FV_TRY(fv_media_next(m, kind, &placed, field, err));
        json_incref(placed);
    } else {
        m->inline_media = true;
        char name[128];
        snprintf(name, sizeof name, "%s.%s", field, type);
        FV_TRY(fv_media_part(&placed, part, kind, m->place, name, err));
    }
    return json_array_append_new(parts, placed) == 0 ? FV_OK : fv_no_memory(m->place, err);
}

static fv_status fv_place_message(fv_media_list *m, json_t *message, size_t index, fv_error *err) {
    json_t *content = json_object_get(message, "content");
    char field[96];
    int kind;
    snprintf(field, sizeof field, "messages[%zu].content", index);
    if (json_is_string(content) && (m->lenient || fv_first_mark(json_string_value(content), &kind) == NULL)) return FV_OK;
    if (!json_is_string(content) && !json_is_array(content)) return FV_OK;
    json_t *parts = json_array();
    fv_status s = parts == NULL ? fv_no_memory(m->place, err) : FV_OK;
    if (s == FV_OK && json_is_string(content)) s = fv_place_text(m, parts, json_string_value(content), field, err);
    for (size_t i = 0; s == FV_OK && i < json_array_size(content); i++) {
        snprintf(field, sizeof field, "messages[%zu].content[%zu]", index, i);
        s = fv_place_part(m, parts, json_array_get(content, i), field, err);
    }
    if (s != FV_OK) json_decref(parts);
    else if (json_object_set_new(message, "content", parts) != 0) s = fv_no_memory(m->place, err);
    return s;
}

/* Without a single mark: all media before the text of the first user turn. */
static fv_status fv_place_in_front(fv_media_list *m, json_t *messages, fv_error *err) {
    json_t *message = NULL;
    for (size_t i = 0; i < json_array_size(messages) && message == NULL; i++) {
        json_t *one = json_array_get(messages, i);
        if (strcmp(json_string_value(json_object_get(one, "role")), "user") == 0) message = one;
    }
    if (message == NULL) return fv_fail(err, FV_BAD_DATA, "%s: the row has pictures, but no user turn to show them in", m->place);
    json_t *parts = json_array(), *content = json_object_get(message, "content");
    for (int k = 0; k < FV_MEDIA_KINDS; k++)
        if (m->parts[k] != NULL) json_array_extend(parts, m->parts[k]);
    if (json_is_array(content)) json_array_extend(parts, content);
    else if (json_is_string(content)) json_array_append_new(parts, json_pack("{s:s, s:O}", "type", "text", "text", content));
    return json_object_set_new(message, "content", parts) == 0 ? FV_OK : fv_no_memory(m->place, err);
}

fv_status fv_media_place(fv_media_list *m, json_t *messages, fv_error *err) {
    for (size_t i = 0; i < json_array_size(messages); i++) FV_TRY(fv_place_message(m, json_array_get(messages, i), i, err));
    size_t used = m->used[FV_MEDIA_IMAGE] + m->used[FV_MEDIA_VIDEO];
    size_t there = fv_media_count(m, FV_MEDIA_IMAGE) + fv_media_count(m, FV_MEDIA_VIDEO);
    if (used == there || m->inline_media) return FV_OK; /* beside media of their own, messages may repeat them in a list */
    if (used == 0) return fv_place_in_front(m, messages, err);
    int kind = m->used[FV_MEDIA_IMAGE] < fv_media_count(m, FV_MEDIA_IMAGE) ? FV_MEDIA_IMAGE : FV_MEDIA_VIDEO;
    return fv_fail(err, FV_BAD_DATA, "%s: the row has %zu %ss, but its text has only %zu %s marks", m->place, fv_media_count(m, kind), fv_media_names[kind],
                   m->used[kind], fv_media_marks[kind]);
}
