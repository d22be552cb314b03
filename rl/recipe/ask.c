#include "rl/recipe/ask.h"

#include <string.h>

void fv_ask_fill(fv_text *out, const char *text, const char *const *names, const char *const *with, int count) {
    while (*text) {
        int k = 0;
        while (k < count && strncmp(text, names[k], strlen(names[k]))) k++;
        if (k == count) {
            fv_text_char(out, *text++);
            continue;
        }
        if (with[k]) fv_text_add(out, with[k]);
        text += strlen(names[k]);
    }
}

static const char *role_of(const json_t *messages, size_t i) {
    const char *role = json_string_value(json_object_get(json_array_get(messages, i), "role"));
    return role ? role : "";
}

/* The last user's turn before the first assistant's; the number of messages if there is none. */
static size_t asking_turn(const json_t *messages) {
    size_t n = json_array_size(messages), turn = n;
    for (size_t i = 0; i < n && strcmp(role_of(messages, i), "assistant"); i++)
        if (!strcmp(role_of(messages, i), "user")) turn = i;
    return turn;
}

static const char *part_text(const json_t *part) { return json_string_value(json_object_get(part, "text")); }

void fv_ask_question(fv_text *out, const json_t *messages) {
    const json_t *content = json_object_get(json_array_get(messages, asking_turn(messages)), "content");
    if (json_is_string(content)) fv_text_add(out, json_string_value(content));
    for (size_t i = 0; i < json_array_size(content); i++)
        if (part_text(json_array_get(content, i))) fv_text_add(out, part_text(json_array_get(content, i)));
}

/* The turn's content with one text, where its first one was, or at its end. */
static json_t *say(const json_t *content, const char *text) {
    if (json_is_string(content)) return json_string(text);
    json_t *out = json_array(), *said = json_pack("{s: s, s: s}", "type", "text", "text", text);
    bool done = false;
    int failed = !out || !said;
    for (size_t i = 0; i < json_array_size(content) && !failed; i++) {
        json_t *part = json_array_get(content, i);
        if (!part_text(part)) failed = json_array_append(out, part);
        else if (!done) failed = json_array_append(out, said), done = true;
    }
    if (!failed && !done) failed = json_array_append(out, said);
    json_decref(said);
    if (!failed) return out;
    json_decref(out);
    return NULL;
}

json_t *fv_ask_messages(const json_t *ask, const json_t *row, const json_t *messages) {
    static const char *const names[] = {"{question}", "{hint}"};
    const char *type = json_string_value(json_object_get(row, "problem_type"));
    size_t turn = asking_turn(messages);
    json_t *out = json_copy((json_t *)messages), *message = json_copy(json_array_get(messages, turn));
    fv_text question = {0}, text = {0};
    fv_ask_question(&question, messages);
    const char *const with[] = {question.data, type ? json_string_value(json_object_get(json_object_get(ask, "hints"), type)) : NULL};
    fv_ask_fill(&text, json_string_value(json_object_get(ask, "text")), names, with, 2);
    bool failed = !out || question.failed || text.failed;
    if (message && !failed) { /* a conversation without a user's turn stays as it is */
        json_t *content = say(json_object_get(message, "content"), text.data ? text.data : "");
        failed = !content || json_object_set_new(message, "content", content) || json_array_set(out, turn, message);
    }
    json_decref(message);
    fv_text_clear(&question);
    fv_text_clear(&text);
    if (!failed) return out;
    json_decref(out);
    return NULL;
}
