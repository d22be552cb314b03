#include "rl/judge/judge_prompt.h"

#include "core/file.h"
#include "rl/rewards/reading.h"

#include <stdlib.h>
#include <string.h>

/* The text of [name]: up to the next heading or the end, without the line break before that. NULL: there is none, or no memory. */
static char *section(const char *text, const char *name) {
    static const char *const headings[] = {"\n[system]\n", "\n[user]\n"};
    char heading[16] = "\n[";
    strcat(strcat(heading, name), "]\n");
    const char *at = strstr(text, heading);
    if (!at) return NULL;
    at += strlen(heading);
    size_t n = strlen(at);
    if (n && at[n - 1] == '\n') n--;
    for (size_t i = 0; i < FV_COUNT(headings); i++) {
        const char *next = strstr(at, headings[i]);
        if (next && (size_t)(next - at) < n) n = (size_t)(next - at);
    }
    return strndup(at, n);
}

/* Comments end at the first line that is none. */
static const char *behind_comments(const char *text) {
    while (*text == '#') {
        const char *end = strchr(text, '\n');
        if (!end || end[1] != '#') return end ? end : "";
        text = end + 1;
    }
    return text;
}

fv_status fv_judge_prompt_read(fv_judge_prompt *out, const char *path, fv_error *err) {
    char *text;
    *out = (fv_judge_prompt){0};
    FV_TRY(fv_file_read(&text, NULL, path, err));
    const char *body = behind_comments(text);
    out->system = section(body, "system");
    out->user = section(body, "user");
    free(text);
    if (out->user) return FV_OK;
    fv_judge_prompt_clear(out);
    return fv_fail(err, FV_BAD_RECIPE, "%s: a judge's prompt is comments with #, then a line [system] and its text (or neither), then a line [user] and its text", path);
}

void fv_judge_prompt_clear(fv_judge_prompt *p) {
    free(p->system);
    free(p->user);
    *p = (fv_judge_prompt){0};
}

/* Taking tokens out may bring new ones together: until nothing changes. */
static void add_value(fv_text *out, const char *value) {
    fv_text now = {0}, next = {0};
    fv_text_add(&now, value ? value : "");
    for (;;) {
        fv_text_rewind(&next);
        fv_read_plain(&next, now.data ? now.data : "");
        if (next.size == now.size || next.failed) break;
        fv_edit_swap(&now, &next);
    }
    fv_text_bytes(out, next.data, next.size);
    out->failed |= next.failed;
    fv_text_clear(&now);
    fv_text_clear(&next);
}

/* Ends the text part that is being written. */
static void add_part(json_t *parts, fv_text *text) {
    if (text->size) json_array_append_new(parts, json_pack("{s: s, s: s%}", "type", "text", "text", text->data, text->size));
    fv_text_rewind(text);
}

/* The user's content: a text, or a list of parts where there are pictures. */
static json_t *fill_user(const char *user, const fv_judge_values *v) {
    const struct {
        const char *mark, *value;
    } marks[] = {{"{question}", v->question}, {"{answer}", v->answer}, {"{given}", v->given}, {"{images}", NULL}};
    fv_text text = {0};
    json_t *parts = json_array();
    while (*user) {
        size_t k = 0;
        while (k < FV_COUNT(marks) && strncmp(user, marks[k].mark, strlen(marks[k].mark)) != 0) k++;
        if (k == FV_COUNT(marks)) {
            fv_text_char(&text, *user++);
            continue;
        }
        user += strlen(marks[k].mark);
        if (strcmp(marks[k].mark, "{images}") != 0) {
            add_value(&text, marks[k].value);
            continue;
        }
        if (v->images) add_part(parts, &text);
        for (int i = 0; i < v->images; i++) json_array_append_new(parts, json_pack("{s: s, s: o}", "type", "image", "image", json_sprintf("#%d", i)));
    }
    bool failed = text.failed;
    json_t *content = json_array_size(parts) ? (add_part(parts, &text), json_incref(parts)) : json_stringn(text.data ? text.data : "", text.size);
    fv_text_clear(&text);
    json_decref(parts);
    return failed ? (json_decref(content), NULL) : content;
}

json_t *fv_judge_prompt_fill(const fv_judge_prompt *p, const fv_judge_values *values) {
    json_t *messages = json_array(), *content = fill_user(p->user, values);
    if (p->system) json_array_append_new(messages, json_pack("{s: s, s: s}", "role", "system", "content", p->system));
    if (content && json_array_append_new(messages, json_pack("{s: s, s: o}", "role", "user", "content", content)) == 0) return messages;
    json_decref(messages);
    return NULL;
}

void fv_judge_add_asked(fv_text *out, const json_t *row) {
    const char *own = json_string_value(fv_json_find(row, "extra_info.question")), *problem = json_string_value(json_object_get(row, "problem")), *question = json_string_value(json_object_get(row, "question"));
    const json_t *messages = json_object_get(row, "messages"), *last = NULL;
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
        if (role && !strcmp(role, "user")) last = json_object_get(json_array_get(messages, i), "content");
    }
    if (own || !last) {
        fv_text_add(out, own ? own : problem ? problem : question ? question : "");
    } else if (json_is_string(last)) {
        fv_text_add(out, json_string_value(last));
    } else {
        for (size_t i = 0; i < json_array_size(last); i++) {
            const char *text = json_string_value(json_object_get(json_array_get(last, i), "text"));
            if (text) fv_text_add(out, text);
        }
    }
}
