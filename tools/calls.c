#include "tools/calls.h"

#include <ctype.h>
#include <string.h>

/* A call of ours takes some hundred bytes; this keeps a runaway turn from being parsed at length. */
enum { FV_CALL_MOST = 65536 };

bool fv_pair_next(fv_span *out, const char **cursor, const char *open, const char *close) {
    const char *begin = strstr(*cursor, open);
    if (begin == NULL) return false;
    begin += strlen(open);
    const char *end = strstr(begin, close);
    if (end == NULL) return false;
    *out = (fv_span){begin, (size_t)(end - begin)};
    *cursor = end + strlen(close);
    return true;
}

fv_span fv_line_next(const char **at) {
    fv_span line = {*at, strcspn(*at, "\n\r\v\f")};
    *at += line.size;
    *at += strncmp(*at, "\r\n", 2) == 0 ? 2 : **at != 0;
    return line;
}

bool fv_turn_answer(fv_span *answer, const char *turn) {
    fv_span last = {NULL, 0};
    while (fv_pair_next(&last, &turn, "<answer>", "</answer>")) {}
    size_t i = 0;
    while (i < last.size && isspace((unsigned char)last.text[i])) i++;
    if (answer != NULL) *answer = last;
    return i < last.size;
}

void fv_call_clear(fv_call *c) {
    json_decref(c->arguments);
    *c = (fv_call){.arguments = NULL};
}

/* Takes "arguments" out of the call: an object, or a string with one (OpenAI's form). */
static fv_status fv_call_arguments(fv_call *out, const json_t *call, fv_error *err) {
    json_t *arguments = json_object_get(call, "arguments");
    if (json_is_string(arguments)) {
        json_t *inner = NULL;
        FV_TRY(fv_json_parse(&inner, json_string_value(arguments), json_string_length(arguments), "\"arguments\"", 1, FV_TOOL, err));
        out->arguments = inner;
    } else {
        out->arguments = json_incref(arguments);
    }
    if (json_is_object(out->arguments)) return FV_OK;
    fv_call_clear(out);
    return fv_fail(err, FV_TOOL, arguments == NULL ? "\"arguments\" is missing" : "\"arguments\" must be a JSON object");
}

fv_status fv_call_parse(fv_call *out, fv_span body, fv_error *err) {
    *out = (fv_call){.arguments = NULL};
    if (body.size > FV_CALL_MOST) return fv_fail(err, FV_TOOL, "the call is %zu bytes long, at most %d are read", body.size, FV_CALL_MOST);
    json_t *call = NULL;
    if (fv_json_parse(&call, body.text, body.size, "tool_call", 1, FV_TOOL, err) != FV_OK) return fv_fail_in(err, "the call is not valid JSON");
    fv_status status = FV_OK;
    const char *name = json_string_value(json_object_get(call, "name"));
    if (!json_is_object(call)) status = fv_fail(err, FV_TOOL, "the call must be a JSON object");
    else if (json_object_get(call, "name") == NULL) status = fv_fail(err, FV_TOOL, "\"name\" is missing");
    else if (name == NULL) status = fv_fail(err, FV_TOOL, "\"name\" must be a string");
    else if (name[0] == '\0' || strlen(name) >= sizeof out->name) status = fv_fail(err, FV_TOOL, "there is no tool \"%.40s\"", name);
    else status = fv_call_arguments(out, call, err);
    if (status == FV_OK) strcpy(out->name, name);
    json_decref(call);
    return status;
}

void fv_call_write(fv_text *out, const char *name, const json_t *arguments) {
    fv_text_add(out, "<tool_call>\n{\"name\": ");
    fv_text_json(out, name, strlen(name));
    fv_text_add(out, ", \"arguments\": ");
    fv_json_dump(out, arguments, 0);
    fv_text_add(out, "}\n</tool_call>");
}

fv_status fv_response_add(json_t *content, const char *image, const char *text, fv_error *err) {
    int failed = 0;
    if (image != NULL) {
        failed |= json_array_append_new(content, json_pack("{s:s, s:s}", "type", "text", "text", "<tool_response>"));
        failed |= json_array_append_new(content, json_pack("{s:s, s:s}", "type", "image", "image", image));
    }
    json_t *rest = json_sprintf("%s%s</tool_response>", image == NULL ? "<tool_response>" : "", text == NULL ? "" : text);
    failed |= json_array_append_new(content, json_pack("{s:s, s:o}", "type", "text", "text", rest));
    return failed ? fv_fail(err, FV_NO_MEMORY, "observation: out of memory") : FV_OK;
}

void fv_quote_add(fv_text *out, const char *text, size_t most) {
    size_t size = strlen(text);
    for (size_t i = 0; i < size && i < most;) {
        int n = fv_utf8_length(text + i, size - i);
        char c = text[i];
        if (n > 1) fv_text_bytes(out, text + i, (size_t)n);
        else fv_text_char(out, n == 0 || (unsigned char)c < 0x20 ? ' ' : c == '<' ? '(' : c == '>' ? ')' : c);
        i += n > 1 ? (size_t)n : 1;
    }
    if (size > most) fv_text_add(out, "...");
}
