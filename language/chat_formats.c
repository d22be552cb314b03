/* The chat formats of Qwen's checkpoints, written out: each function gives the text that its template gives (HF facts 11; the template
 * of each is named). tests/peers/chat.py compares them with the templates themselves. */
#include "language/chat_parts.h"

#include <stdio.h>
#include <string.h>

static bool has_tools(const fv_chat_writer *w) {
    return json_array_size(w->options->tools) > 0;
}

static bool only_texts(const json_t *content) {
    size_t i;
    json_t *part;
    json_array_foreach(content, i, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        if (type == NULL || strcmp(type, "text") != 0) return false;
    }
    return json_is_array(content);
}

/* A message's content as text: "" where it is missing; a list of texts is one text (the templates themselves fail on a list), others are errors. */
static void add_text_content(fv_chat_writer *w, size_t i) {
    const json_t *content = fv_chat_field(w, i, "content");
    if (json_is_string(content)) fv_chat_add_bytes(w, json_string_value(content), json_string_length(content));
    else if (only_texts(content)) fv_chat_add_parts(w, i, content, false);
    else if (content != NULL) fv_chat_complain(w, i, ".content", "must be a text for this model's chat format", content);
}

/* A text, or a list of parts. */
static void add_content(fv_chat_writer *w, size_t i, bool media) {
    const json_t *content = fv_chat_field(w, i, "content");
    if (json_is_string(content)) fv_chat_add_bytes(w, json_string_value(content), json_string_length(content));
    else if (json_is_array(content)) fv_chat_add_parts(w, i, content, media);
    else if (content != NULL) fv_chat_complain(w, i, ".content", "must be a text or a list of parts", content);
}

static void begin_turn(fv_chat_writer *w, const char *role) {
    fv_chat_add(w, "<|im_start|>");
    fv_chat_add(w, role);
    fv_chat_add(w, "\n");
    if (strcmp(role, "assistant") == 0) fv_chat_begin_learning(w);
}

static void end_turn(fv_chat_writer *w) {
    fv_chat_add(w, "<|im_end|>");
    if (w->learn) fv_chat_end_learning(w);
    fv_chat_add(w, "\n");
}

static const char *role_of(const fv_chat_writer *w, size_t i) {
    return json_string_value(fv_chat_field(w, i, "role"));
}

/* ---- tools -------------------------------------------------------------------------------------------------------- */

static void add_tools(fv_chat_writer *w) {
    size_t i;
    json_t *tool;
    fv_chat_add(w, "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
                   "You are provided with function signatures within <tools></tools> XML tags:\n<tools>");
    json_array_foreach(w->options->tools, i, tool) {
        fv_chat_add(w, "\n");
        fv_chat_add_json(w, tool);
    }
    fv_chat_add(w, "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
                   "<tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>");
}

static void add_call(fv_chat_writer *w, size_t i, size_t k, const json_t *call, bool texts_as_they_are) {
    char field[64];
    const json_t *function = json_object_get(call, "function");
    if (json_is_object(function)) call = function;
    const json_t *name = json_object_get(call, "name"), *arguments = json_object_get(call, "arguments");
    snprintf(field, sizeof field, ".tool_calls[%zu]", k);
    if (!json_is_string(name) || arguments == NULL) fv_chat_complain(w, i, field, "must have a name and arguments", call);
    fv_chat_add(w, "<tool_call>\n{\"name\": \"");
    if (json_is_string(name)) fv_chat_add(w, json_string_value(name));
    fv_chat_add(w, "\", \"arguments\": ");
    if (texts_as_they_are && json_is_string(arguments)) fv_chat_add(w, json_string_value(arguments));
    else if (arguments != NULL) fv_chat_add_json(w, arguments);
    fv_chat_add(w, "}\n</tool_call>");
}

/* `newline_first`: something stands before the first call. */
static void add_calls(fv_chat_writer *w, size_t i, bool newline_first, bool texts_as_they_are) {
    const json_t *calls = fv_chat_field(w, i, "tool_calls");
    if (calls != NULL && !json_is_array(calls)) fv_chat_complain(w, i, ".tool_calls", "must be a list", calls);
    size_t k;
    json_t *call;
    json_array_foreach(calls, k, call) {
        if (k > 0 || newline_first) fv_chat_add(w, "\n");
        add_call(w, i, k, call, texts_as_they_are);
    }
}

/* Consecutive tool turns are one user turn. */
static void add_tool_turn(fv_chat_writer *w, size_t i, void (*add)(fv_chat_writer *w, size_t i)) {
    if (i == 0 || !fv_chat_is_role(w, i - 1, "tool")) fv_chat_add(w, "<|im_start|>user");
    fv_chat_add(w, "\n<tool_response>\n");
    add(w, i);
    fv_chat_add(w, "\n</tool_response>");
    if (!fv_chat_is_role(w, i + 1, "tool")) fv_chat_add(w, "<|im_end|>\n");
}

static void end_conversation(fv_chat_writer *w) {
    if (w->options->generation_prompt) fv_chat_add(w, "<|im_start|>assistant\n");
}

/* ---- Qwen2-VL, Qwen2.5-VL: roles as they are, no tools ------------------------------------------------------------- */

void fv_chat_write_vl(fv_chat_writer *w) {
    if (!fv_chat_is_role(w, 0, "system")) fv_chat_add(w, "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n");
    for (size_t i = 0; i < json_array_size(w->messages); i++) {
        begin_turn(w, role_of(w, i));
        add_content(w, i, true);
        end_turn(w);
    }
    end_conversation(w);
}

/* ---- Qwen2.5 ------------------------------------------------------------------------------------------------------- */

static void qwen2_5_system(fv_chat_writer *w) {
    begin_turn(w, "system");
    if (fv_chat_is_role(w, 0, "system")) add_text_content(w, 0);
    else fv_chat_add(w, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.");
    if (has_tools(w)) {
        fv_chat_add(w, "\n\n");
        add_tools(w);
    }
    end_turn(w);
}

void fv_chat_write_qwen2_5(fv_chat_writer *w) {
    qwen2_5_system(w);
    for (size_t i = 0; i < json_array_size(w->messages); i++) {
        if (fv_chat_is_role(w, i, "tool")) {
            add_tool_turn(w, i, add_text_content);
        } else if (fv_chat_is_role(w, i, "user") || fv_chat_is_role(w, i, "assistant") || (i > 0 && fv_chat_is_role(w, i, "system"))) {
            begin_turn(w, role_of(w, i));
            add_text_content(w, i);
            const json_t *content = fv_chat_field(w, i, "content");
            if (fv_chat_is_role(w, i, "assistant")) add_calls(w, i, json_string_length(content) > 0 || json_array_size(content) > 0, false);
            end_turn(w);
        }
    }
    end_conversation(w);
}

/* ---- Qwen3 --------------------------------------------------------------------------------------------------------- */

/* A piece of a message. */
typedef struct {
    const char *at;
    size_t size;
} span;

static span whole(const char *text) {
    return (span){.at = text, .size = strlen(text)};
}

static span without_newlines(span s, bool left, bool right) {
    while (left && s.size > 0 && s.at[0] == '\n') s.at++, s.size--;
    while (right && s.size > 0 && s.at[s.size - 1] == '\n') s.size--;
    return s;
}

/* Where `word` first begins in s, or where it last ends; s.size or 0 if it does not occur. */
static size_t first_of(span s, const char *word) {
    const char *found = memmem(s.at, s.size, word, strlen(word));
    return found != NULL ? (size_t)(found - s.at) : s.size;
}

static size_t after_last(span s, const char *word) {
    size_t end = 0, n = strlen(word);
    for (const char *found; (found = memmem(s.at + end, s.size - end, word, n)) != NULL;) end = (size_t)(found - s.at) + n;
    return end;
}

/* Content that is no text counts as empty. */
static const char *qwen3_content(const fv_chat_writer *w, size_t i) {
    const char *text = json_string_value(fv_chat_field(w, i, "content"));
    return text != NULL ? text : "";
}

static void qwen3_tool_content(fv_chat_writer *w, size_t i) {
    fv_chat_add(w, qwen3_content(w, i));
}

static void qwen3_system(fv_chat_writer *w) {
    bool given = fv_chat_is_role(w, 0, "system");
    if (!given && !has_tools(w)) return;
    begin_turn(w, "system");
    if (given) add_text_content(w, 0);
    if (given && has_tools(w)) fv_chat_add(w, "\n\n");
    if (has_tools(w)) add_tools(w);
    end_turn(w);
}

/* The last question that a person asked: thoughts before it are forgotten. Tool responses written as user turns are no questions. */
static size_t last_question(const fv_chat_writer *w) {
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    for (size_t i = json_array_size(w->messages); i-- > 0;) {
        const char *text = json_string_value(fv_chat_field(w, i, "content"));
        if (!fv_chat_is_role(w, i, "user") || text == NULL) continue;
        size_t size = strlen(text), tail = sizeof close - 1;
        bool response = strncmp(text, open, sizeof open - 1) == 0 && size >= tail && strcmp(text + size - tail, close) == 0;
        if (!response) return i;
    }
    return json_array_size(w->messages) - 1;
}

/* Thoughts under the names that transformers takes for the same, the first that is there. */
static const json_t *given_thoughts(const fv_chat_writer *w, size_t i) {
    static const char *const names[] = {"reasoning_content", "thinking", "reasoning"};
    const json_t *given = NULL;
    for (size_t k = 0; k < FV_COUNT(names) && given == NULL; k++) given = fv_chat_field(w, i, names[k]);
    return given;
}

/* Thoughts come in a field of their own, or in the content up to </think>. */
static void split_thoughts(const fv_chat_writer *w, size_t i, span *thoughts, span *content) {
    const json_t *given = given_thoughts(w, i);
    *content = whole(qwen3_content(w, i));
    *thoughts = whole(json_is_string(given) ? json_string_value(given) : "");
    size_t end = first_of(*content, "</think>");
    if (json_is_string(given) || end == content->size) return;
    span before = without_newlines((span){.at = content->at, .size = end}, false, true);
    size_t begin = after_last(before, "<think>");
    *thoughts = without_newlines((span){.at = before.at + begin, .size = before.size - begin}, true, false);
    size_t rest = after_last(*content, "</think>");
    *content = without_newlines((span){.at = content->at + rest, .size = content->size - rest}, true, false);
}

static void qwen3_assistant(fv_chat_writer *w, size_t i, size_t question) {
    span thoughts, content;
    split_thoughts(w, i, &thoughts, &content);
    begin_turn(w, "assistant");
    bool last = i + 1 == json_array_size(w->messages);
    span shown = content;
    if (i > question && (last || thoughts.size > 0)) {
        thoughts = without_newlines(thoughts, true, true);
        fv_chat_add(w, "<think>\n");
        fv_chat_add_bytes(w, thoughts.at, thoughts.size);
        fv_chat_add(w, "\n</think>\n\n");
        shown = without_newlines(content, true, false);
    }
    fv_chat_add_bytes(w, shown.at, shown.size);
    add_calls(w, i, content.size > 0, true);
    end_turn(w);
}

static void write_qwen3(fv_chat_writer *w, bool thoughts) {
    qwen3_system(w);
    size_t question = last_question(w);
    for (size_t i = 0; i < json_array_size(w->messages); i++) {
        if (fv_chat_is_role(w, i, "tool")) {
            add_tool_turn(w, i, qwen3_tool_content);
        } else if (fv_chat_is_role(w, i, "assistant") && thoughts) {
            qwen3_assistant(w, i, question);
        } else if (fv_chat_is_role(w, i, "user") || fv_chat_is_role(w, i, "assistant") || (i > 0 && fv_chat_is_role(w, i, "system"))) {
            begin_turn(w, role_of(w, i));
            fv_chat_add(w, qwen3_content(w, i));
            if (fv_chat_is_role(w, i, "assistant")) add_calls(w, i, qwen3_content(w, i)[0] != '\0', true);
            end_turn(w);
        }
    }
    end_conversation(w);
}

void fv_chat_write_qwen3(fv_chat_writer *w) {
    write_qwen3(w, true);
}

void fv_chat_write_qwen3_instruct(fv_chat_writer *w) {
    write_qwen3(w, false);
}

/* ---- Qwen3-VL ------------------------------------------------------------------------------------------------------ */

static void add_all_content(fv_chat_writer *w, size_t i) {
    add_content(w, i, true);
}

static void qwen3_vl_system(fv_chat_writer *w) {
    bool given = fv_chat_is_role(w, 0, "system");
    if (!given && !has_tools(w)) return;
    begin_turn(w, "system");
    if (given) add_content(w, 0, false);
    if (given && has_tools(w)) fv_chat_add(w, "\n\n");
    if (has_tools(w)) add_tools(w);
    end_turn(w);
}

void fv_chat_write_qwen3_vl(fv_chat_writer *w) {
    qwen3_vl_system(w);
    for (size_t i = 0; i < json_array_size(w->messages); i++) {
        if (fv_chat_is_role(w, i, "tool")) {
            add_tool_turn(w, i, add_all_content);
        } else if (fv_chat_is_role(w, i, "user")) {
            begin_turn(w, "user");
            add_content(w, i, true);
            end_turn(w);
        } else if (fv_chat_is_role(w, i, "assistant")) {
            const json_t *content = fv_chat_field(w, i, "content");
            begin_turn(w, "assistant");
            add_content(w, i, false);
            add_calls(w, i, json_string_length(content) > 0 || json_array_size(content) > 0, true);
            end_turn(w);
        }
    }
    end_conversation(w);
}

/* A message with its content as text, placeholders of pictures and clips in it; the media are noted. */
static json_t *flattened(fv_chat_writer *w, size_t i) {
    size_t begin = w->text.size;
    json_t *copy = json_copy(json_array_get(w->messages, i));
    add_content(w, i, true);
    size_t size = w->text.size - begin;
    if (copy != NULL) json_object_set_new(copy, "content", json_stringn(size > 0 ? w->text.data + begin : "", size));
    w->text.size = begin;
    return copy;
}

/* Qwen3's format, over the texts of messages. */
void fv_chat_write_qwen3_vl_thinking(fv_chat_writer *w) {
    const json_t *given = w->messages;
    json_t *flat = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) json_array_append_new(flat, flattened(w, i));
    w->messages = flat;
    write_qwen3(w, true);
    w->messages = given;
    json_decref(flat);
}
