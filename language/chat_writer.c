#include "language/chat_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fv_chat_add_bytes(fv_chat_writer *w, const char *text, size_t size) {
    if (w->status == FV_OK) fv_text_bytes(&w->text, text, size);
}

void fv_chat_add(fv_chat_writer *w, const char *text) {
    fv_chat_add_bytes(w, text, strlen(text));
}

void fv_chat_add_json(fv_chat_writer *w, const json_t *value) {
    if (w->status == FV_OK) fv_json_dump(&w->text, value, 0);
}

/* Lists of a conversation's text double their room when it is full: at counts that are powers of two. */
static void *grow(void *list, int count, size_t item) {
    return (count & (count - 1)) != 0 ? list : realloc(list, (count > 0 ? (size_t)count * 2 : 1) * item);
}

static void out_of_memory(fv_chat_writer *w) {
    if (w->status == FV_OK) w->status = fv_fail(w->err, FV_NO_MEMORY, "no memory for a conversation");
}

static void end_span(fv_chat_writer *w, bool learn_next) {
    fv_chat_text *out = w->out;
    size_t begin = out->span_count > 0 ? out->spans[out->span_count - 1].end : 0;
    if (w->status == FV_OK && w->text.size > begin) {
        fv_chat_span *spans = grow(out->spans, out->span_count, sizeof *spans);
        if (spans == NULL) {
            out_of_memory(w);
        } else {
            out->spans = spans;
            out->spans[out->span_count++] = (fv_chat_span){.begin = begin, .end = w->text.size, .turn = w->learn, .learn = w->learn};
        }
    }
    w->learn = learn_next;
}

void fv_chat_begin_learning(fv_chat_writer *w) {
    end_span(w, true);
}

void fv_chat_end_learning(fv_chat_writer *w) {
    end_span(w, false);
}

void fv_chat_complain(fv_chat_writer *w, size_t message, const char *field, const char *rule, const json_t *value) {
    if (w->status != FV_OK) return;
    fv_text got = {0};
    if (value != NULL) fv_json_dump(&got, value, 0);
    bool cut = got.size > 60;
    w->status = fv_fail(w->err, FV_BAD_DATA, "messages[%zu]%s %s, got %.*s%s", message, field, rule, cut ? 57 : 60,
                        got.data ? got.data : "nothing", cut ? "..." : "");
    fv_text_clear(&got);
}

const json_t *fv_chat_field(const fv_chat_writer *w, size_t i, const char *key) {
    const json_t *value = json_object_get(json_array_get(w->messages, i), key);
    return json_is_null(value) ? NULL : value;
}

bool fv_chat_is_role(const fv_chat_writer *w, size_t i, const char *role) {
    const char *is = json_string_value(fv_chat_field(w, i, "role"));
    return is != NULL && strcmp(is, role) == 0;
}

static void add_medium(fv_chat_writer *w, const json_t *part, const char *placeholder) {
    fv_chat_text *out = w->out;
    const json_t **media = grow(out->media, out->media_count, sizeof *media);
    if (media == NULL) {
        out_of_memory(w);
        return;
    }
    out->media = media;
    out->media[out->media_count++] = part;
    fv_chat_add(w, placeholder);
}

void fv_chat_add_parts(fv_chat_writer *w, size_t i, const json_t *parts, bool media) {
    size_t k;
    json_t *part;
    json_array_foreach(parts, k, part) {
        char field[48];
        snprintf(field, sizeof field, ".content[%zu]", k);
        const char *type = json_string_value(json_object_get(part, "type"));
        if (type == NULL) type = "";
        const json_t *text = json_object_get(part, "text");
        if (strcmp(type, "image") == 0 || json_object_get(part, "image") != NULL || json_object_get(part, "image_url") != NULL) {
            if (media) add_medium(w, part, "<|vision_start|><|image_pad|><|vision_end|>");
        } else if (strcmp(type, "video") == 0 || json_object_get(part, "video") != NULL) {
            if (media) add_medium(w, part, "<|vision_start|><|video_pad|><|vision_end|>");
        } else if (json_is_string(text)) {
            fv_chat_add_bytes(w, json_string_value(text), json_string_length(text));
        } else {
            fv_chat_complain(w, i, field, "must be a text, an image or a video part", part);
        }
    }
}
