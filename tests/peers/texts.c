/* Our side of comparisons of texts: tokenizer.py and chat.py write lines, this program answers each with one. `cmake --build build --target peer_texts`.
 *   peer_texts TOKENIZER.json        a line is bytes in hexadecimal: "REPLACED ID ID ...|text decoded again, in hexadecimal"
 *   peer_texts TOKENIZER.json chat   a line is JSON, {"folder" (of the template), "family" (fv_family), "messages", "tools", "generation_prompt", "thinking"}:
 *                                    {"text", "ids"} or {"error"} */
#include "language/prompt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int die(const fv_error *err) {
    fprintf(stderr, "%s\n", err->text);
    return 1;
}

static fv_status answer_bytes(const fv_tokenizer *t, const char *line, fv_error *err) {
    size_t n = strlen(line) / 2;
    char *bytes = malloc(n + 1), *back = NULL;
    fv_ids ids = {0};
    int replaced = 0;
    if (bytes == NULL) return fv_fail(err, FV_NO_MEMORY, "no memory");
    for (size_t i = 0; i < n; i++) bytes[i] = (char)strtol((char[]){line[2 * i], line[2 * i + 1], '\0'}, NULL, 16);
    fv_status s = fv_tokenizer_encode(t, bytes, n, &ids, &replaced, err);
    if (s == FV_OK) s = fv_tokenizer_decode(t, ids.ids, ids.count, false, &back, err);
    if (s == FV_OK) {
        printf("%d", replaced);
        for (int i = 0; i < ids.count; i++) printf(" %d", ids.ids[i]);
        putchar('|');
        for (const char *p = back; *p; p++) printf("%02x", (unsigned)(uint8_t)*p);
        putchar('\n');
    }
    fv_ids_clear(&ids);
    free(back);
    free(bytes);
    return s;
}

/* The text, and its tokens as prompts have them: cut where an assistant's turns begin and end. With pictures in it, as the text alone has them. */
static fv_status answer_chat(fv_tokenizer *t, const json_t *line, json_t *out, fv_error *err) {
    fv_model m = {.tokenizer = t};
    fv_chat_options o = {.tools = json_object_get(line, "tools"), .generation_prompt = json_is_true(json_object_get(line, "generation_prompt")),
                         .thinking = (int)json_integer_value(json_object_get(line, "thinking"))};
    fv_chat_text text = {0};
    fv_prompt p = {0};
    const json_t *messages = json_object_get(line, "messages");
    FV_TRY(fv_chat_open(&m.chat, json_string_value(json_object_get(line, "folder")), (fv_family)json_integer_value(json_object_get(line, "family")), err));
    fv_status s = fv_chat_note(m.chat)[0] ? fv_fail(err, FV_BAD_MODEL, "%s", fv_chat_note(m.chat)) : fv_chat_render(m.chat, messages, &o, &text, err);
    if (s == FV_OK && text.media_count == 0) s = fv_prompt_make(&m, messages, &o, NULL, &p, err);
    else if (s == FV_OK) s = fv_tokenizer_encode(t, text.text, strlen(text.text), &p.tokens, NULL, err);
    if (s == FV_OK) {
        json_t *ids = json_array();
        for (int i = 0; i < p.tokens.count; i++) json_array_append_new(ids, json_integer(p.tokens.ids[i]));
        json_object_set_new(out, "text", json_string(text.text));
        json_object_set_new(out, "ids", ids);
    }
    fv_prompt_clear(&p);
    fv_chat_text_clear(&text);
    fv_chat_close(m.chat);
    return s;
}

static fv_status answer_json(fv_tokenizer *t, const char *text, fv_error *err) {
    json_t *line, *out = json_object();
    fv_text said = {0};
    FV_TRY(fv_json_parse(&line, text, strlen(text), "line", 1, FV_BAD_DATA, err));
    if (answer_chat(t, line, out, err) != FV_OK) json_object_set_new(out, "error", json_string(err->text));
    fv_json_dump(&said, out, 0);
    puts(said.data);
    fv_text_clear(&said);
    json_decref(out);
    json_decref(line);
    return FV_OK;
}

int main(int argc, char **argv) {
    fv_tokenizer *t;
    fv_error err = {0};
    char *line = NULL;
    size_t room = 0;
    if (argc < 2) return 2;
    fv_status s = fv_tokenizer_open(&t, argv[1], &err);
    for (ssize_t n; s == FV_OK && (n = getline(&line, &room, stdin)) > 0;) {
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        s = argc > 2 ? answer_json(t, line, &err) : answer_bytes(t, line, &err);
    }
    free(line);
    fv_tokenizer_close(t);
    return s == FV_OK ? 0 : die(&err);
}
