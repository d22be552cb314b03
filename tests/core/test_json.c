#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static json_t *parsed(const char *text) {
    json_t *value;
    fv_error err = {.text = ""};
    if (fv_json_parse(&value, text, strlen(text), "t.json", 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return value;
}

static void check_same(const char *text) {
    json_t *value = parsed(text);
    fv_text out = {0};
    fv_json_dump(&out, value, 0);
    assert_string_equal(out.data, text);
    fv_text_clear(&out);
    json_decref(value);
}

static void writes_as_python(void **state) {
    (void)state;
    check_same("{}");
    check_same("[]");
    check_same("[1, 1.0, -0.0, 1e-05, 1e+22, 0.1, 9223372036854775807, -9223372036854775808]");
    check_same("{\"z\": 1, \"a\": {\"y\": [], \"b\": [null, true, false]}, \"m\": \"\xc3\xa9 \\\"x\\\" \\u0001\"}");
    check_same("\"text alone\"");
}

/* Many keys, inserted in a scrambled order: neither sorted nor hashed on the way out. */
static void keys_keep_their_order(void **state) {
    (void)state;
    fv_text text = {0};
    for (int i = 0; i < 1000; i++) fv_text_printf(&text, "%s\"k%d\": %d", i ? ", " : "{", i * 7919 % 1000, i);
    fv_text_char(&text, '}');
    check_same(text.data);
    fv_text_clear(&text);
}

static void indented(void **state) {
    (void)state;
    json_t *value = parsed("{\"r\": 16, \"t\": [\"q\", {}], \"e\": []}");
    fv_text out = {0};
    fv_json_dump(&out, value, 2);
    assert_string_equal(out.data, "{\n  \"r\": 16,\n  \"t\": [\n    \"q\",\n    {}\n  ],\n  \"e\": []\n}");
    fv_text_clear(&out);
    json_decref(value);
}

static void check_error(const char *text, int line, const char *want) {
    json_t *value;
    fv_error err;
    assert_int_equal(fv_json_parse(&value, text, strlen(text), "rows.jsonl", line, FV_BAD_DATA, &err), FV_BAD_DATA);
    assert_null(value);
    if (!strstr(err.text, want)) fail_msg("%s lacks %s", err.text, want);
}

static void broken_text(void **state) {
    (void)state;
    check_error("{\"a\": 1,\n \"b\": }", 1, "rows.jsonl:2:7: not JSON: ");
    check_error("{\"a\": nul}", 17, "rows.jsonl:17:");
    check_error("", 3, "rows.jsonl:3:1: not JSON: ");
    check_error("[1] x", 1, "rows.jsonl:1:5: not JSON: ");
    check_error("[NaN]", 1, "not JSON");
    check_error("\"\xff\"", 1, "not JSON");
    check_error("[1e999]", 1, "not JSON");
    char deep[5001];
    memset(deep, '[', 5000);
    deep[5000] = '\0';
    check_error(deep, 1, "not JSON");
}

static void equal_keys(void **state) {
    (void)state;
    const char *text = "{\"a\": 1, \"b\": 2, \"a\": 3}";
    json_t *value = parsed(text);
    assert_int_equal(json_integer_value(json_object_get(value, "a")), 3);
    json_decref(value);
    fv_error err;
    assert_int_equal(fv_json_parse_strict(&value, text, strlen(text), "h", 1, FV_BAD_MODEL, &err), FV_BAD_MODEL);
}

static void huge_integers_become_reals(void **state) {
    (void)state;
    json_t *value = parsed("{\"12345678901234567890\": [1000000000000000019884624838656, -9223372036854775809, 9223372036854775807, 7],"
                           " \"s\": \"\\\"99999999999999999999\", \"r\": 1.5e3}");
    fv_text out = {0};
    fv_json_dump(&out, value, 0);
    assert_string_equal(out.data, "{\"12345678901234567890\": [1e+30, -9.223372036854776e+18, 9223372036854775807, 7],"
                                  " \"s\": \"\\\"99999999999999999999\", \"r\": 1500.0}");
    fv_text_clear(&out);
    json_decref(value);
}

static void typed_fields(void **state) {
    (void)state;
    json_t *root = parsed("{\"n\": 3, \"x\": 2.5, \"s\": \"a\", \"b\": true, \"l\": [1], \"none\": null, \"in\": {\"deep\": {\"n\": 7}}}");
    fv_json_at at = {root, "rows.jsonl:17", FV_BAD_DATA};
    fv_error err;
    int64_t n;
    double x;
    bool b;
    const char *s;
    json_t *v;
    assert_int_equal(fv_json_int(at, "n", 0, 10, &n, &err), FV_OK);
    assert_int_equal(n, 3);
    assert_int_equal(fv_json_int(at, "in.deep.n", 0, 10, &n, &err), FV_OK);
    assert_int_equal(n, 7);
    assert_int_equal(fv_json_num(at, "x", &x, &err), FV_OK);
    assert_true(x == 2.5);
    assert_int_equal(fv_json_num(at, "n", &x, &err), FV_OK);
    assert_true(x == 3);
    assert_int_equal(fv_json_bool(at, "b", &b, &err), FV_OK);
    assert_true(b);
    assert_int_equal(fv_json_text(at, "s", &s, &err), FV_OK);
    assert_string_equal(s, "a");
    assert_int_equal(fv_json_list(at, "l", &v, &err), FV_OK);
    assert_int_equal(json_array_size(v), 1);
    assert_int_equal(fv_json_object(at, "in.deep", &v, &err), FV_OK);

    assert_int_equal(fv_json_int(at, "n", 4, 10, &n, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "rows.jsonl:17: n must be an integer in 4..10, got 3");
    assert_int_equal(fv_json_int(at, "x", 0, 10, &n, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "rows.jsonl:17: x must be an integer in 0..10, got 2.5");
    assert_int_equal(fv_json_text(at, "in.deep.s", &s, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "rows.jsonl:17: in.deep.s must be a text, but it is missing");
    assert_int_equal(fv_json_bool(at, "s", &b, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "rows.jsonl:17: s must be true or false, got \"a\"");
    assert_int_equal(fv_json_list(at, "none", &v, &err), FV_BAD_DATA);
    assert_string_equal(err.text, "rows.jsonl:17: none must be a list, got null");
    assert_int_equal(fv_json_text(at, "s.more", &s, &err), FV_BAD_DATA);

    assert_int_equal(fv_json_int_or(at, "none", 0, 9, -1, &n, &err), FV_OK);
    assert_int_equal(n, -1);
    assert_int_equal(fv_json_text_or(at, "missing", "d", &s, &err), FV_OK);
    assert_string_equal(s, "d");
    assert_int_equal(fv_json_num_or(at, "missing.too", 0.5, &x, &err), FV_OK);
    assert_true(x == 0.5);
    assert_int_equal(fv_json_bool_or(at, "n", false, &b, &err), FV_BAD_DATA); /* there, but of the wrong type */
    assert_int_equal(fv_json_list_or(at, "missing", &v, &err), FV_OK);
    assert_null(v);
    assert_int_equal(fv_json_object_or(at, "l", &v, &err), FV_BAD_DATA);
    json_decref(root);
}

static void long_values_are_cut(void **state) {
    (void)state;
    char text[300] = "{\"s\": \"";
    for (int i = 0; i < 60; i++) strcat(text, "\xc3\xa9");
    strcat(text, "\"}");
    json_t *root = parsed(text);
    fv_error err;
    assert_int_equal(fv_json_wrong((fv_json_at){root, "p", FV_BAD_MODEL}, "s", "must be short", &err), FV_BAD_MODEL);
    assert_int_equal(strlen(err.text), strlen("p: s must be short, got ") + 61 + 3); /* no half character */
    json_decref(root);
}

static void files(void **state) {
    (void)state;
    json_t *value;
    fv_error err;
    assert_int_equal(fv_json_read(&value, "/nonexistent/config.json", FV_BAD_MODEL, &err), FV_IO);
    assert_null(value);
    char path[] = "/tmp/fovea-json-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "{\"a\":\n1,}", 9), 9);
    close(fd);
    assert_int_equal(fv_json_read(&value, path, FV_BAD_MODEL, &err), FV_BAD_MODEL);
    char want[64];
    snprintf(want, sizeof want, "%s:2:3: not JSON: ", path);
    assert_memory_equal(err.text, want, strlen(want));
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_as_python), cmocka_unit_test(keys_keep_their_order), cmocka_unit_test(indented),
        cmocka_unit_test(broken_text),      cmocka_unit_test(equal_keys),            cmocka_unit_test(huge_integers_become_reals),
        cmocka_unit_test(typed_fields),     cmocka_unit_test(long_values_are_cut),   cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
