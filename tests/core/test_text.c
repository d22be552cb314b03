#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void appending(void **state) {
    (void)state;
    fv_text t = {0};
    fv_text_add(&t, "a");
    fv_text_char(&t, 'b');
    fv_text_printf(&t, "%d-%s", 12, "c");
    fv_text_bytes(&t, "\0d", 2);
    assert_int_equal(t.size, 8);
    assert_memory_equal(t.data, "ab12-c\0d", 9);
    for (int i = 0; i < 10000; i++) fv_text_i64(&t, INT64_MIN);
    assert_int_equal(t.size, 8 + 10000 * 20);
    assert_false(t.failed);
    fv_text_rewind(&t);
    assert_string_equal(t.data, "");
    char *out;
    size_t size;
    fv_text_add(&t, "left");
    assert_int_equal(fv_text_take(&t, &out, &size, NULL), FV_OK);
    assert_string_equal(out, "left");
    assert_int_equal(size, 4);
    assert_null(t.data);
    free(out);
    assert_int_equal(fv_text_take(&t, &out, NULL, NULL), FV_OK); /* of nothing */
    assert_string_equal(out, "");
    free(out);
}

static void out_of_memory_is_kept(void **state) {
    (void)state;
    fv_text t = {0};
    fv_error err;
    fv_text_add(&t, "kept");
    fv_text_bytes(&t, "", SIZE_MAX - 2);
    assert_true(t.failed);
    fv_text_add(&t, "ignored");
    assert_string_equal(t.data, "kept");
    char *out;
    assert_int_equal(fv_text_take(&t, &out, NULL, &err), FV_NO_MEMORY);
    assert_null(out);
}

static void check_json(const char *bytes, size_t size, const char *want) {
    fv_text t = {0};
    fv_text_json(&t, bytes, size);
    assert_string_equal(t.data, want);
    fv_text_clear(&t);
}

static void json_strings(void **state) {
    (void)state;
    check_json("", 0, "\"\"");
    check_json("a\"\\/\n\r\t\b\f\x01\x1f\x7f", 12, "\"a\\\"\\\\/\\n\\r\\t\\b\\f\\u0001\\u001f\x7f\"");
    check_json("\0", 1, "\"\\u0000\"");
    check_json("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    /* not UTF-8: a lone continuation, a character that is cut, an overlong '/', a surrogate, U+110000 */
    check_json("\x80x", 2, "\"\xef\xbf\xbdx\"");
    check_json("\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json("\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    check_json("\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void check_f64(double x, const char *want) {
    fv_text t = {0};
    fv_text_f64(&t, x);
    assert_string_equal(t.data, want);
    fv_text_clear(&t);
}

/* What Python's repr says. */
static void doubles_look_as_in_python(void **state) {
    (void)state;
    check_f64(0.0, "0.0");
    check_f64(-0.0, "-0.0");
    check_f64(1.0, "1.0");
    check_f64(0.1, "0.1");
    check_f64(0.1 + 0.2, "0.30000000000000004");
    check_f64(1.0 / 3.0, "0.3333333333333333");
    check_f64(0.0001, "0.0001");
    check_f64(0.00001, "1e-05");
    check_f64(1.5e-7, "1.5e-07");
    check_f64(123456.789, "123456.789");
    check_f64(1e15, "1000000000000000.0");
    check_f64(1e16, "1e+16");
    check_f64(1e22, "1e+22");
    check_f64(1e23, "1e+23");
    check_f64(9007199254740993.0, "9007199254740992.0");
    check_f64(-1.7976931348623157e308, "-1.7976931348623157e+308");
    check_f64(5e-324, "5e-324");
    check_f64(2.2250738585072014e-308, "2.2250738585072014e-308");
    check_f64(0x1p-44, "5.684341886080802e-14"); /* the nearest of 16 digits does not read back */
    check_f64(0x1p-24, "5.960464477539063e-08");
    check_f64(NAN, "null");
    check_f64(-INFINITY, "null");
}

static uint64_t next(uint64_t *s) { return *s = *s * 6364136223846793005u + 1442695040888963407u, (*s >> 32) ^ (*s << 32); }

static void numbers_read_back(void **state) {
    (void)state;
    uint64_t seed = 7;
    fv_text t = {0};
    for (int i = 0; i < 50000; i++) {
        uint64_t bits = next(&seed), back_bits;
        double d, back;
        memcpy(&d, &bits, 8);
        fv_text_rewind(&t);
        fv_text_f64(&t, d);
        if (isfinite(d)) {
            back = strtod(t.data, NULL);
            memcpy(&back_bits, &back, 8);
            assert_int_equal(back_bits, bits);
        }
        float f;
        memcpy(&f, &bits, 4);
        if (i % 7 == 0) f = ldexpf(1, i % 250 - 140); /* powers of two and subnormals as well */
        if (!isfinite(f)) continue;
        fv_text_rewind(&t);
        fv_text_f32(&t, f);
        float direct = strtof(t.data, NULL), by_double = (float)strtod(t.data, NULL);
        assert_memory_equal(&direct, &f, 4);
        assert_memory_equal(&by_double, &f, 4);
    }
    fv_text_clear(&t);
}

static void floats_are_short(void **state) {
    (void)state;
    static const struct { float x; const char *want; } cases[] = {
        {0.1f, "0.1"}, {-0.7f, "-0.7"}, {16777216.0f, "16777216.0"}, {3.4028235e38f, "3.4028235e+38"}, {1e-45f, "1e-45"}, {1.0f / 3, "0.33333334"},
    };
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_text t = {0};
        fv_text_f32(&t, cases[i].x);
        assert_string_equal(t.data, cases[i].want);
        fv_text_clear(&t);
    }
}

static void suggestions(void **state) {
    (void)state;
    static const char *const fields[] = {"group_size", "prompts", "temperature", "top_p", "max_new_tokens"};
    assert_string_equal(fv_suggest("groupsize", fields, 5), "group_size");
    assert_string_equal(fv_suggest("temprature", fields, 5), "temperature");
    assert_string_equal(fv_suggest("promtps", fields, 5), "prompts"); /* a swap counts once */
    assert_string_equal(fv_suggest("Top_P", fields, 5), "top_p");
    assert_null(fv_suggest("learning_rate", fields, 5));
    assert_null(fv_suggest("x", fields, 5));
    assert_null(fv_suggest("anything", NULL, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appending),
        cmocka_unit_test(out_of_memory_is_kept),
        cmocka_unit_test(json_strings),
        cmocka_unit_test(doubles_look_as_in_python),
        cmocka_unit_test(numbers_read_back),
        cmocka_unit_test(floats_are_short),
        cmocka_unit_test(suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
