/* Chat formats against the templates of Qwen's checkpoints: data/chat/cases.json is written by tests/peers/chat.py. */
#include "core/file.h"
#include "language/chat.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATA FOVEA_SOURCE "/tests/language/data/chat"

static const struct {
    const char *name;
    fv_family family;
    bool forgets;
    const char *opening, *without; /* what answers begin with, and where thinking is off */
} formats[] = {
    {"qwen2_5_vl", FV_QWEN2_5_VL, false, "", ""},
    {"qwen2_5", FV_QWEN2, false, "", ""},
    {"qwen3", FV_QWEN3, true, "", "<think>\n\n</think>\n\n"},
    {"qwen3_2025_04", FV_QWEN3, true, "", "<think>\n\n</think>\n\n"},
    {"qwen3_vl", FV_QWEN3_VL, false, "", ""},
    {"qwen3_instruct_2507", FV_QWEN3, false, "", ""},
    {"qwen3_thinking_2507", FV_QWEN3, true, "<think>\n", "<think>\n"},
    {"qwen3_vl_thinking", FV_QWEN3_VL, true, "<think>\n", "<think>\n"},
};

/* By its template, where it is here, else as its family's own. */
static fv_chat *open_named(const char *name) {
    fv_chat *chat = NULL;
    fv_error err = {0};
    for (size_t i = 0; i < FV_COUNT(formats); i++) {
        if (strcmp(formats[i].name, name) != 0) continue;
        char *folder = fv_path_join(DATA, name);
        if (fv_chat_open(&chat, folder, formats[i].family, &err) != FV_OK) fail_msg("%s", err.text);
        if (fv_folder_exists(folder)) assert_string_equal(fv_chat_note(chat), "");
        free(folder);
    }
    assert_non_null(chat);
    return chat;
}

/* Spans cover the text, and what is learned is what stands between "<|im_start|>assistant\n" and "<|im_end|>", this included. */
static void check_spans(const fv_chat_text *t, bool generation_prompt) {
    static const char head[] = "<|im_start|>assistant\n", tail[] = "<|im_end|>";
    size_t at = 0, learned = 0, turns = 0;
    for (int i = 0; i < t->span_count; i++) {
        assert_int_equal(t->spans[i].begin, at);
        at = t->spans[i].end;
        if (!t->spans[i].learn) continue;
        learned++;
        assert_memory_equal(t->text + t->spans[i].begin - strlen(head), head, strlen(head));
        assert_memory_equal(t->text + at - strlen(tail), tail, strlen(tail));
    }
    assert_int_equal(at, strlen(t->text));
    for (const char *s = t->text; (s = strstr(s, head)) != NULL; s++) turns++;
    assert_int_equal(learned + generation_prompt, turns);
}

static void renders_as_the_templates(void **state) {
    (void)state;
    json_t *cases, *c;
    fv_error err = {0};
    assert_int_equal(fv_json_read(&cases, DATA "/cases.json", FV_BAD_DATA, &err), FV_OK);
    assert_true(json_array_size(cases) >= 80);
    size_t i;
    json_array_foreach(cases, i, c) {
        fv_chat *chat = open_named(json_string_value(json_object_get(c, "template")));
        fv_chat_options options = {.tools = json_object_get(c, "tools"),
                                   .generation_prompt = json_is_true(json_object_get(c, "generation_prompt")),
                                   .thinking = (int)json_integer_value(json_object_get(c, "thinking"))};
        fv_chat_text got;
        if (fv_chat_render(chat, json_object_get(c, "messages"), &options, &got, &err) != FV_OK) fail_msg("case %zu: %s", i, err.text);
        if (strcmp(got.text, json_string_value(json_object_get(c, "text"))) != 0)
            fail_msg("case %zu\n--- ours\n%s\n--- the template's\n%s", i, got.text, json_string_value(json_object_get(c, "text")));
        check_spans(&got, options.generation_prompt);
        fv_chat_text_clear(&got);
        fv_chat_close(chat);
    }
    json_decref(cases);
}

static json_t *parse(const char *text) {
    json_t *json;
    fv_error err = {0};
    if (fv_json_parse(&json, text, strlen(text), "here", 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return json;
}

static void lists_media_in_order(void **state) {
    (void)state;
    fv_chat *chat = open_named("qwen3_vl");
    json_t *messages = parse("[{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a\"}, {\"type\": \"text\", \"text\": \"x\"}, {\"video\": [\"b\"]}]},"
                             " {\"role\": \"tool\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": \"c\"}}]}]");
    fv_chat_text t;
    fv_error err = {0};
    assert_int_equal(fv_chat_render(chat, messages, NULL, &t, &err), FV_OK);
    assert_int_equal(t.media_count, 3);
    assert_string_equal(json_string_value(json_object_get(t.media[0], "image")), "a");
    assert_non_null(json_object_get(t.media[1], "video"));
    assert_non_null(json_object_get(t.media[2], "image_url"));
    fv_chat_text_clear(&t);
    json_decref(messages);
    fv_chat_close(chat);
}

static void a_list_of_texts_is_a_text(void **state) {
    (void)state;
    fv_chat *chat = open_named("qwen2_5");
    json_t *listed = parse("[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"a \"}, {\"type\": \"text\", \"text\": \"b\"}]}]");
    json_t *plain = parse("[{\"role\": \"user\", \"content\": \"a b\"}]");
    fv_chat_text one, two;
    fv_error err = {0};
    assert_int_equal(fv_chat_render(chat, listed, &(fv_chat_options){0}, &one, &err), FV_OK);
    assert_int_equal(fv_chat_render(chat, plain, &(fv_chat_options){0}, &two, &err), FV_OK);
    assert_string_equal(one.text, two.text);
    fv_chat_text_clear(&one);
    fv_chat_text_clear(&two);
    json_decref(listed);
    json_decref(plain);
    fv_chat_close(chat);
}

/* "weight": 0 takes a turn's loss, in every format, and nothing else. */
static void weightless_turns_are_not_learned(void **state) {
    (void)state;
    json_t *messages = parse("[{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"first\", \"weight\": 0}, {\"role\": \"user\", \"content\": \"b\"}, "
                             "{\"role\": \"assistant\", \"content\": \"second\", \"weight\": 1}, {\"role\": \"user\", \"content\": \"c\"}, {\"role\": \"assistant\", \"content\": \"third\"}]");
    for (size_t i = 0; i < FV_COUNT(formats); i++) {
        fv_chat *chat = open_named(formats[i].name);
        fv_chat_text t;
        fv_text learned = {0};
        fv_error err = {0};
        assert_int_equal(fv_chat_render(chat, messages, NULL, &t, &err), FV_OK);
        for (int k = 0; k < t.span_count; k++)
            if (t.spans[k].learn) fv_text_bytes(&learned, t.text + t.spans[k].begin, t.spans[k].end - t.spans[k].begin);
        if (strstr(learned.data, "first") || !strstr(learned.data, "second") || !strstr(learned.data, "third")) fail_msg("%s learns %s", formats[i].name, learned.data);
        assert_non_null(strstr(t.text, "first"));
        fv_text_clear(&learned);
        fv_chat_text_clear(&t);
        fv_chat_close(chat);
    }
    json_object_set_new(json_array_get(messages, 1), "weight", json_real(0.5));
    fv_chat *chat = open_named("qwen3_vl");
    fv_chat_text t;
    fv_error err = {0};
    assert_int_equal(fv_chat_render(chat, messages, NULL, &t, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "messages[1].weight must be 0 or 1");
    fv_chat_close(chat);
    json_decref(messages);
}

static void formats_know_how_answers_begin(void **state) {
    (void)state;
    for (size_t i = 0; i < FV_COUNT(formats); i++) {
        fv_chat *chat = open_named(formats[i].name);
        assert_int_equal(fv_chat_forgets(chat), formats[i].forgets);
        assert_string_equal(fv_chat_opening(chat, 0), formats[i].opening);
        assert_string_equal(fv_chat_opening(chat, 1), formats[i].opening);
        assert_string_equal(fv_chat_opening(chat, -1), formats[i].without);
        fv_chat_close(chat);
    }
}

static void known_templates_have_no_note(void **state) {
    (void)state;
    static const char *const shipped[] = {"qwen2_5_vl", "qwen3_vl"};
    char folder[] = "/tmp/fovea-chat-XXXXXX", path[64];
    fv_error err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/chat_template.jinja", folder);
    for (size_t i = 0; i < FV_COUNT(shipped); i++) {
        char from[200];
        snprintf(from, sizeof from, FOVEA_SOURCE "/language/templates/%s.jinja", shipped[i]);
        assert_int_equal(fv_file_copy(from, path, &err), FV_OK);
        fv_chat *chat;
        assert_int_equal(fv_chat_open(&chat, folder, FV_QWEN2, &err), FV_OK);
        assert_string_equal(fv_chat_note(chat), "");
        fv_chat_close(chat);
    }
    assert_int_equal(fv_file_write(path, "{{ messages }}", 14, &err), FV_OK);
    fv_chat *chat;
    assert_int_equal(fv_chat_open(&chat, folder, FV_QWEN2, &err), FV_OK);
    assert_non_null(strstr(fv_chat_note(chat), "differs"));
    fv_chat_close(chat);
    assert_int_equal(fv_path_remove(folder, &err), FV_OK);
}

static void complaints_name_the_field(void **state) {
    (void)state;
    static const struct {
        const char *format, *messages, *says;
    } bad[] = {
        {"qwen2_5_vl", "[]", "at least one message"},
        {"qwen2_5_vl", "[{\"content\": \"x\"}]", "messages[0] must be an object with a role"},
        {"qwen2_5_vl", "[{\"role\": \"user\", \"content\": 3}]", "messages[0].content must be a text or a list of parts, got 3"},
        {"qwen2_5", "[{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"x\"}]}]", "messages[0].content must be a text"},
        {"qwen3_vl", "[{\"role\": \"user\", \"content\": [{\"type\": \"audio\"}]}]", "messages[0].content[0] must be a text, an image or a video part"},
        {"qwen3", "[{\"role\": \"assistant\", \"tool_calls\": [{\"name\": \"x\"}]}]", "messages[0].tool_calls[0] must have a name and arguments"},
        {"qwen3", "[{\"role\": \"assistant\", \"tool_calls\": 1}]", "messages[0].tool_calls must be a list, got 1"},
    };
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        fv_chat *chat = open_named(bad[i].format);
        json_t *messages = parse(bad[i].messages);
        fv_chat_text t;
        fv_error err = {0};
        assert_int_equal(fv_chat_render(chat, messages, NULL, &t, &err), FV_BAD_DATA);
        if (strstr(err.text, bad[i].says) == NULL) fail_msg("%s", err.text);
        assert_null(t.text);
        json_decref(messages);
        fv_chat_close(chat);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renders_as_the_templates), cmocka_unit_test(lists_media_in_order),
        cmocka_unit_test(a_list_of_texts_is_a_text), cmocka_unit_test(known_templates_have_no_note), cmocka_unit_test(weightless_turns_are_not_learned), cmocka_unit_test(formats_know_how_answers_begin),
        cmocka_unit_test(complaints_name_the_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
