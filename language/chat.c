#include "language/chat_parts.h"

#include "core/file.h"
#include "core/random.h"

#include <stdlib.h>
#include <string.h>

/* A format: who writes it, what answers begin with (as thinking is, and where it is off), and whether it leaves earlier thoughts out. */
typedef struct {
    fv_chat_format *write;
    const char *opening, *without;
    bool forgets;
} fv_chat_kind;

struct fv_chat {
    const fv_chat_kind *kind;
    char note[200];
};

/* ---- which format ------------------------------------------------------------------------------------------------- */

#define NO_THOUGHTS "<think>\n\n</think>\n\n"
static const fv_chat_kind vl = {fv_chat_write_vl, "", "", false};
static const fv_chat_kind qwen2_5 = {fv_chat_write_qwen2_5, "", "", false};
static const fv_chat_kind qwen3 = {fv_chat_write_qwen3, "", NO_THOUGHTS, true};
static const fv_chat_kind qwen3_instruct = {fv_chat_write_qwen3_instruct, "", "", false};
static const fv_chat_kind qwen3_thinking = {fv_chat_write_qwen3, "<think>\n", "<think>\n", true};
static const fv_chat_kind qwen3_vl = {fv_chat_write_qwen3_vl, "", "", false};
static const fv_chat_kind qwen3_vl_thinking = {fv_chat_write_qwen3_vl_thinking, "<think>\n", "<think>\n", true};

/* The templates that chat_formats.c writes, by the FNV-1a hash of their text without blanks at its end. */
static const struct {
    uint64_t hash;
    const fv_chat_kind *kind;
} known[] = {
    {0x71242f76359e71e8u, &vl},                /* Qwen2-VL-*-Instruct, Qwen2.5-VL-*-Instruct */
    {0xe642ce246d7f2e3du, &qwen2_5},           /* Qwen2.5-*-Instruct */
    {0x959a4551391a6549u, &qwen3},             /* Qwen3-* */
    {0x2bfdb7aa9754484eu, &qwen3},             /* Qwen3-* as first released, in April 2025: the same for contents that are texts */
    {0x3751fe8ea48448abu, &qwen3_instruct},    /* Qwen3-*-Instruct-2507 */
    {0xcd0d41a64dfce181u, &qwen3_thinking},    /* Qwen3-*-Thinking-2507 */
    {0x99ac253185d6f7c1u, &qwen3_vl},          /* Qwen3-VL-*-Instruct */
    {0x32334d10195d5f66u, &qwen3_vl_thinking}, /* Qwen3-VL-*-Thinking */
};

static const fv_chat_kind *kind_of_family(fv_family family) {
    switch (family) {
    case FV_QWEN2: return &qwen2_5;
    case FV_QWEN3: return &qwen3;
    case FV_QWEN2_VL:
    case FV_QWEN2_5_VL: return &vl;
    case FV_QWEN3_VL: return &qwen3_vl;
    }
    return &vl;
}

static uint64_t hash_of(const char *text, size_t size) {
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) size--;
    return fv_hash_bytes(text, size);
}

/* A template in JSON: a text, or tokenizer_config.json's list of {name, template} with one named "default". */
static const char *template_in(const json_t *json) {
    const json_t *value = json_object_get(json, "chat_template");
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name != NULL && strcmp(name, "default") == 0) return json_string_value(json_object_get(item, "template"));
    }
    return json_string_value(value);
}

static fv_status read_template(char **out, const char *folder, const char *name, fv_error *err) {
    char *path = fv_path_join(folder, name);
    fv_status status = FV_OK;
    if (path == NULL || fv_file_exists(path)) {
        size_t length = strlen(name);
        if (length > 6 && strcmp(name + length - 6, ".jinja") == 0) {
            status = fv_file_read(out, NULL, path, err);
        } else {
            json_t *json = NULL;
            status = fv_json_read(&json, path, FV_BAD_MODEL, err);
            const char *text = template_in(json);
            if (text != NULL && (*out = strdup(text)) == NULL) status = fv_fail(err, FV_NO_MEMORY, "%s: no memory for a chat template", path);
            json_decref(json);
        }
    }
    free(path);
    return status;
}

fv_status fv_chat_open(fv_chat **out, const char *folder, fv_family family, fv_error *err) {
    static const char *const places[] = {"chat_template.jinja", "chat_template.json", "tokenizer_config.json"};
    char *text = NULL;
    *out = NULL;
    for (size_t i = 0; i < FV_COUNT(places) && text == NULL; i++) FV_TRY(read_template(&text, folder, places[i], err));
    fv_chat *c = calloc(1, sizeof *c);
    if (c == NULL) {
        free(text);
        return fv_fail(err, FV_NO_MEMORY, "%s: no memory for a chat format", folder);
    }
    uint64_t hash = text != NULL ? hash_of(text, strlen(text)) : 0;
    for (size_t i = 0; i < FV_COUNT(known) && text != NULL; i++)
        if (known[i].hash == hash) c->kind = known[i].kind;
    if (c->kind == NULL) {
        c->kind = kind_of_family(family);
        if (text == NULL) snprintf(c->note, sizeof c->note, "no chat template in the folder; the family's is used");
        else snprintf(c->note, sizeof c->note, "chat template differs from the known ones (hash %016llx); the family's is used", (unsigned long long)hash);
    }
    free(text);
    *out = c;
    return FV_OK;
}

void fv_chat_close(fv_chat *c) {
    free(c);
}

const char *fv_chat_note(const fv_chat *c) {
    return c->note;
}

bool fv_chat_forgets(const fv_chat *c) {
    return c->kind->forgets;
}

const char *fv_chat_opening(const fv_chat *c, int thinking) {
    return thinking < 0 ? c->kind->without : c->kind->opening;
}

/* ---- rendering ---------------------------------------------------------------------------------------------------- */

static fv_status check_messages(const json_t *messages, fv_error *err) {
    if (!json_is_array(messages) || json_array_size(messages) == 0) return fv_fail(err, FV_BAD_DATA, "messages must be a list with at least one message");
    size_t i;
    json_t *message;
    json_array_foreach(messages, i, message) {
        const char *role = json_string_value(json_object_get(message, "role"));
        if (role == NULL || role[0] == '\0') return fv_fail(err, FV_BAD_DATA, "messages[%zu] must be an object with a role (system, user, assistant, tool)", i);
        const json_t *weight = strcmp(role, "assistant") == 0 ? json_object_get(message, "weight") : NULL;
        if (fv_json_bit(weight, 1) < 0) return fv_fail(err, FV_BAD_DATA, "messages[%zu].weight must be 0 or 1", i);
    }
    return FV_OK;
}

/* An assistant's turn of weight 0 is not learned. Formats write one such span for each assistant's message, in order. */
static void drop_weightless(const json_t *messages, fv_chat_text *t) {
    int span = 0;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *message = json_array_get(messages, i), *weight = json_object_get(message, "weight");
        if (strcmp(json_string_value(json_object_get(message, "role")), "assistant") != 0) continue;
        while (span < t->span_count && !t->spans[span].turn) span++;
        if (span == t->span_count) return;
        t->spans[span++].learn = fv_json_bit(weight, 1) != 0;
    }
}

fv_status fv_chat_render(const fv_chat *c, const json_t *messages, const fv_chat_options *options, fv_chat_text *out, fv_error *err) {
    static const fv_chat_options none = {0};
    *out = (fv_chat_text){0};
    FV_TRY(check_messages(messages, err));
    fv_chat_writer w = {.messages = messages, .options = options != NULL ? options : &none, .out = out, .err = err};
    c->kind->write(&w);
    if (w.options->generation_prompt && !w.options->no_opening) fv_chat_add(&w, fv_chat_opening(c, w.options->thinking));
    fv_chat_end_learning(&w);
    if (w.status == FV_OK) w.status = fv_text_take(&w.text, &out->text, NULL, err);
    fv_text_clear(&w.text);
    if (w.status == FV_OK) drop_weightless(messages, out);
    else fv_chat_text_clear(out);
    return w.status;
}

void fv_chat_text_clear(fv_chat_text *t) {
    free(t->text);
    free(t->spans);
    free(t->media);
    *t = (fv_chat_text){0};
}
