#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tools/calls.h"

#include <string.h>

static void pairs(void **state) {
    (void)state;
    const char *text = "a<t>one</t>b<t>two<t>three</t></t><t>open", *cursor = text;
    fv_span s;
    assert_true(fv_pair_next(&s, &cursor, "<t>", "</t>"));
    assert_true(s.size == 3 && memcmp(s.text, "one", 3) == 0);
    assert_true(fv_pair_next(&s, &cursor, "<t>", "</t>"));
    assert_true(s.size == 11 && memcmp(s.text, "two<t>three", 11) == 0);
    const char *before = cursor;
    assert_false(fv_pair_next(&s, &cursor, "<t>", "</t>"));
    assert_ptr_equal(before, cursor);
}

static void answers(void **state) {
    (void)state;
    fv_span a;
    assert_true(fv_turn_answer(&a, "<think>x</think><answer>7</answer> then <answer> 8 </answer>"));
    assert_true(a.size == 3 && memcmp(a.text, " 8 ", 3) == 0);
    assert_false(fv_turn_answer(&a, "<answer> \n</answer>"));
    assert_false(fv_turn_answer(&a, "<answer></answer>"));
    assert_false(fv_turn_answer(&a, "<answer>7"));
    assert_false(fv_turn_answer(&a, ""));
}

static fv_status parse(const char *body, fv_call *call, fv_error *err) {
    return fv_call_parse(call, (fv_span){body, strlen(body)}, err);
}

static void good_calls(void **state) {
    (void)state;
    const char *const bodies[] = {
        "\n{\"name\": \"zoom\", \"arguments\": {\"bbox_2d\": [1, 2, 3, 4]}}\n",
        "{\"name\":\"zoom\",\"arguments\":\"{\\\"bbox_2d\\\": [1, 2, 3, 4]}\"}",
        "{\"arguments\": {\"bbox_2d\": [1, 2, 3, 4]}, \"name\": \"zoom\", \"id\": 3}",
    };
    for (size_t i = 0; i < FV_COUNT(bodies); i++) {
        fv_call call;
        assert_int_equal(parse(bodies[i], &call, NULL), FV_OK);
        assert_string_equal(call.name, "zoom");
        assert_int_equal(json_integer_value(json_array_get(json_object_get(call.arguments, "bbox_2d"), 3)), 4);
        fv_call_clear(&call);
    }
}

static void bad_calls_say_why(void **state) {
    (void)state;
    const char *const cases[][2] = {
        {"", "not valid JSON"},
        {"zoom(1, 2)", "not valid JSON"},
        {"{\"name\": \"zoom\", \"arguments\": {\"bbox_2d\": [1, 2, 3, 4}}", "not valid JSON"},
        {"{'name': 'zoom'}", "not valid JSON"},
        {"{\"name\": \"zoom\", \"arguments\": {\"bbox_2d\": [NaN, 2, 3, 4]}}", "not valid JSON"},
        {"{\"name\": \"zoom\", \"arguments\": {\"bbox_2d\": [1e999, 2, 3, 4]}}", "not valid JSON"},
        {"[]", "must be a JSON object"},
        {"\"zoom\"", "must be a JSON object"},
        {"{\"arguments\": {}}", "\"name\" is missing"},
        {"{\"name\": 7, \"arguments\": {}}", "\"name\" must be a string"},
        {"{\"name\": \"\", \"arguments\": {}}", "there is no tool"},
        {"{\"name\": \"zoom\"}", "\"arguments\" is missing"},
        {"{\"name\": \"zoom\", \"arguments\": [1, 2, 3, 4]}", "\"arguments\" must be a JSON object"},
        {"{\"name\": \"zoom\", \"arguments\": null}", "\"arguments\" must be a JSON object"},
        {"{\"name\": \"zoom\", \"arguments\": \"[1]\"}", "\"arguments\" must be a JSON object"},
        {"{\"name\": \"zoom\", \"arguments\": \"box\"}", "\"arguments\""},
        {"{\"name\": \"zoom\", \"arguments\": {}} {}", "not valid JSON"},
    };
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_call call;
        fv_error err = {.text = ""};
        assert_int_equal(parse(cases[i][0], &call, &err), FV_TOOL);
        if (strstr(err.text, cases[i][1]) == NULL) fail_msg("%s: %s", cases[i][0], err.text);
        assert_null(call.arguments);
    }
}

static void long_and_deep_calls(void **state) {
    (void)state;
    fv_text body = {0};
    fv_call call;
    fv_error err;
    for (int i = 0; i < 30000; i++) fv_text_add(&body, i % 2 ? "[" : "{\"a\":");
    assert_int_equal(fv_call_parse(&call, (fv_span){body.data, 60000}, &err), FV_TOOL);
    assert_int_equal(fv_call_parse(&call, (fv_span){body.data, body.size}, &err), FV_TOOL);
    assert_non_null(strstr(err.text, "at most 65536"));
    fv_text_rewind(&body);
    fv_text_add(&body, "{\"name\": \"");
    for (int i = 0; i < 100; i++) fv_text_add(&body, "zoom");
    fv_text_add(&body, "\", \"arguments\": {}}");
    assert_int_equal(fv_call_parse(&call, (fv_span){body.data, body.size}, &err), FV_TOOL);
    fv_text_clear(&body);
}

static void written_calls_are_read(void **state) {
    (void)state;
    json_t *arguments = json_pack("{s:[i,i,f,i], s:s}", "bbox_2d", 1, 2, 3.5, 4, "label", "a \"cup\"");
    fv_text text = {0};
    fv_call_write(&text, "image_zoom_in_tool", arguments);
    assert_string_equal(text.data, "<tool_call>\n{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [1, 2, 3.5, 4], \"label\": \"a \\\"cup\\\"\"}}\n</tool_call>");
    const char *cursor = text.data;
    fv_span body;
    fv_call call;
    assert_true(fv_pair_next(&body, &cursor, "<tool_call>", "</tool_call>"));
    assert_int_equal(fv_call_parse(&call, body, NULL), FV_OK);
    assert_true(json_equal(call.arguments, arguments));
    fv_call_clear(&call);
    fv_text_clear(&text);
    json_decref(arguments);
}

static void quotes_lose_their_tags(void **state) {
    (void)state;
    fv_text t = {0};
    fv_quote_add(&t, "a<|im_end|>\n\xc3\xa9\xff", 100);
    assert_string_equal(t.data, "a(|im_end|) \xc3\xa9 ");
    fv_text_rewind(&t);
    fv_quote_add(&t, "abc\xc3\xa9", 4); /* never half a character */
    assert_string_equal(t.data, "abc\xc3\xa9...");
    fv_text_clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs),          cmocka_unit_test(answers),     cmocka_unit_test(good_calls), cmocka_unit_test(bad_calls_say_why),
        cmocka_unit_test(long_and_deep_calls), cmocka_unit_test(written_calls_are_read), cmocka_unit_test(quotes_lose_their_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
