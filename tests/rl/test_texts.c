/* Text metrics and graders against the packages that published rewards call (tests/rl/data/texts.json, made by tests/peers/systems.py), and by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/json.h"
#include "rl/rewards/compare.h"
#include "rl/rewards/thinking.h"
#include "rl/text/algebra.h"
#include "rl/text/mathruler.h"
#include "rl/text/mathverify.h"
#include "rl/text/porter.h"
#include "rl/text/python.h"
#include "rl/text/rouge.h"
#include "rl/text/wer.h"
#include "tools/literal.h"

#include <math.h>
#include <string.h>

static json_t *texts;

static int read_texts(void **state) {
    (void)state;
    fv_error err;
    return fv_json_read(&texts, FOVEA_SOURCE "/tests/rl/data/texts.json", FV_BAD_DATA, &err) == FV_OK ? 0 : -1;
}

static int drop_texts(void **state) {
    (void)state;
    json_decref(texts);
    return 0;
}

static fv_span text_at(const json_t *row, size_t i) { return fv_span_of(json_string_value(json_array_get(row, i))); }
static double number_at(const json_t *row, size_t i) { return json_number_value(json_array_get(row, i)); }
static fv_span of(const char *s) { return fv_span_of(s); }
static bool near(double a, double b) { return fabs(a - b) <= 1e-9; }

static void words_are_stemmed_as_nltk_does(void **state) {
    (void)state;
    size_t i;
    json_t *row;
    assert_true(json_array_size(json_object_get(texts, "stems")) > 80);
    json_array_foreach(json_object_get(texts, "stems"), i, row) {
        char word[64];
        fv_span given = text_at(row, 0), want = text_at(row, 1);
        memcpy(word, given.text, given.size);
        size_t n = fv_porter_stem(word, given.size, sizeof word);
        if (!fv_span_same((fv_span){word, n}, want)) fail_msg("%s: %.*s, nltk says %s", given.text, (int)n, word, want.text);
    }
}

static void errors_and_overlaps_are_those_of_the_packages(void **state) {
    (void)state;
    size_t i;
    json_t *row;
    fv_rouge r;
    assert_true(json_array_size(json_object_get(texts, "rouge")) == 7 && json_array_size(json_object_get(texts, "wer")) == 7);
    json_array_foreach(json_object_get(texts, "rouge"), i, row) {
        assert_true(fv_rouge_score(&r, text_at(row, 0), text_at(row, 1)));
        assert_true(near((r.one + r.two + r.longest) / 3, number_at(row, 2)));
    }
    json_array_foreach(json_object_get(texts, "wer"), i, row) {
        assert_true(near(fv_wer(text_at(row, 0), text_at(row, 1)), number_at(row, 2)));
        assert_true(near(fv_wer_jiwer(text_at(row, 0), text_at(row, 1)), number_at(row, 3)));
    }
    /* Accents part words, CJK vanishes, one word has no pairs of words. */
    assert_true(near(fv_compare_rouge(of("caf\u00e9"), of("caf")), 2.0 / 3) && fv_compare_rouge(of("\u4f60\u597d"), of("\u4f60\u597d")) == 0);
    assert_true(fv_rouge_score(&r, of("dying foxes"), of("die fox")) && r.one == 1 && r.two == 1 && r.longest == 1);
}

static void graders_agree(const char *name, bool (*grade)(fv_span, fv_span)) {
    size_t i, bad = 0;
    json_t *row;
    assert_true(json_array_size(json_object_get(texts, name)) > 100);
    json_array_foreach(json_object_get(texts, name), i, row) {
        bool same = grade(text_at(row, 0), text_at(row, 1));
        if (same != (number_at(row, 2) == 1)) print_error("%s: \"%s\", \"%s\": %s here\n", name, text_at(row, 0).text, text_at(row, 1).text, same ? "equal" : "unequal");
        bad += same != (number_at(row, 2) == 1);
    }
    assert_int_equal(bad, 0);
}

static void answers_are_graded_as_mathruler_does(void **state) {
    (void)state;
    graders_agree("mathruler", fv_mathruler_grade);
    assert_true(fv_span_same(fv_mathruler_boxed(of("\\boxed{1} and \\boxed{\\frac{1}{2}} .")), of("\\frac{1}{2}")));
    assert_true(fv_span_same(fv_mathruler_boxed(of("\\boxed{1")), of("None")) && fv_span_same(fv_mathruler_boxed(of("1")), of("None")));
}

static void answers_are_verified_as_math_verify_does(void **state) {
    (void)state;
    graders_agree("verify", fv_math_verify);
}

static void expressions_are_equal_everywhere_or_not_at_all(void **state) {
    (void)state;
    static const char *const zero[] = {"(2x)-(x*2)", "(x+1)^2-x^2-2x-1", "ab-ba", "sqrt(8)-2sqrt(2)", "1/3+1/6-1/2", "0.5-1/2", "x(x+1)-x^2-x", "2^-1-0.5", "3!-6", "-2^2+4", "(1/2x)-x/2", "sqrt(2)*0.5-sqrt(2)/2", "ln(4)-2ln(2)"};
    static const char *const not_zero[] = {"x-y", "sqrt(x^2)-x", "1.4142135623730951-sqrt(2)", "2^0.5-sqrt(2)", "0.3333333333333333-1/3", "1/0-1/0", "", "()", "1,2-1,2", "(1", "5//1-5", "is-is", "a=a"};
    double x;
    for (size_t i = 0; i < FV_COUNT(zero); i++)
        if (!fv_algebra_is_zero(of(zero[i]), 0)) fail_msg("%s is zero", zero[i]);
    for (size_t i = 0; i < FV_COUNT(not_zero); i++)
        if (fv_algebra_is_zero(of(not_zero[i]), 0)) fail_msg("%s is not zero", not_zero[i]);
    assert_true(fv_algebra_is_zero(of("2^0.5-sqrt(2)"), 1e-15)); /* in f64 they are the same */
    assert_true(fv_algebra_number(of("2pi/2"), &x) && near(x, 3.141592653589793) && !fv_algebra_number(of("x"), &x) && !fv_algebra_number(of("sqrt(-1)"), &x));
    char deep[400];
    memset(deep, '(', sizeof deep);
    assert_false(fv_algebra_is_zero((fv_span){deep, sizeof deep}, 0));
}

static void python_reads_numbers_and_blanks(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {{" 1_000.5\n", 1000.5}, {"+.5", 0.5}, {"5.", 5}, {"-1e-2", -0.01}, {"\uff11\u0662", 12}, {"Infinity", INFINITY}, {"1\xe3\x80\x80", 1}};
    static const char *const bad[] = {"", ".", "1__0", "_1", "1_", "0x10", "1e", "e5", "1 2", "--1", "1,5", "infi", "nano"};
    double x;
    for (size_t i = 0; i < FV_COUNT(good); i++)
        if (!fv_py_float(of(good[i].text), &x) || x != good[i].value) fail_msg("float(%s)", good[i].text);
    for (size_t i = 0; i < FV_COUNT(bad); i++)
        if (fv_py_float(of(bad[i]), &x)) fail_msg("float(%s) raises", bad[i]);
    assert_true(fv_py_float(of("-nan"), &x) && isnan(x));
    assert_true(fv_span_same(fv_py_strip(of("\u3000\x1c a\u00a0b \n")), of("a\u00a0b")));
    assert_int_equal(fv_py_length(of("\u00e9\u4f60a")), 3);
}

static void literals_are_pythons(void **state) {
    (void)state;
    static const struct {
        const char *text, *json;
    } good[] = {{"[1, 2.5, -3,]", "[1, 2.5, -3]"}, {"(1, 'a', None, True)", "[1, \"a\", null, true]"}, {"{'k': (1)}  # end\n", "{\"k\": 1}"}, {"\n[]\n\n", "[]"}, {"'a' \"b\"", "\"ab\""}, {"{1, 2}", "[1, 2]"}, {"1,", "[1]"},
                {"'\\u00e9\\x41\\n\\q'", "\"\u00e9A\\n\\\\q\""}, {"{}", "{}"}, {"()", "[]"}, {"[\n1,\n  2]", "[1, 2]"},
                {"[..., 0x1f, -0b11]", "[null, 31, -3]"}, {"r'a\\'b' u\"c\"", "\"a\\\\'bc\""}};
    static const char *const bad[] = {"", "[1", "true", "[null]", "1 2", "[1 2]", "\n  [1]", "{'a': }", "{'a': 1, 2}", "'a", "f(1)", "[01]", "[1,,2]", "1a", "{[1]: 2}", "0x", "0xg", "r", "...."};
    for (size_t i = 0; i < FV_COUNT(good); i++) {
        json_t *v = fv_literal(of(good[i].text));
        fv_text t = {0};
        if (!v) fail_msg("%s is a value", good[i].text);
        fv_json_dump(&t, v, 0);
        assert_string_equal(t.data, good[i].json);
        fv_text_clear(&t);
        json_decref(v);
    }
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        json_t *v = fv_literal(of(bad[i]));
        if (v) fail_msg("%s is no value", bad[i]);
    }
}

static void numbers_are_compared(void **state) {
    (void)state;
    assert_true(near(fv_compare_relative(of("4.5"), of("5")), 0.9f) && fv_compare_relative(of("2.5"), of("5")) == 0 && fv_compare_relative(of("5"), of("5.")) == 1); /* off by exactly 10%, by 50% */
    assert_true(fv_compare_relative(of("none"), of("5")) == 0 && fv_compare_relative(of("0"), of("0")) == 1);
    assert_true(fv_compare_rounded(of("2.675"), of("2.67")) == 1 && fv_compare_rounded(of("2.675"), of("2.68")) == 0 && fv_compare_rounded(of("5.0"), of("5")) == 0 && fv_compare_rounded(of("5,000"), of("5000.0")) == 1);
    assert_true(fv_compare_regression(of("nan"), of("5")) == 1 && fv_compare_regression(of("x"), of("5")) == 0 && near(fv_compare_regression(of("4"), of("5")), 0.8));
}

/* Two boxes of 100 x 100: one off by 20 in x (IoU 80/120), one far away. */
static void boxes_are_matched_one_to_one(void **state) {
    (void)state;
    assert_true(near(fv_compare_iou(of("[120, 0, 20, 100]"), of("0 0 100 100")), 2.0 / 3)); /* corners in any order */
    assert_true(fv_compare_hit(of("20,0,120,100"), of("0,0,100,100")) == 1 && fv_compare_hit(of("60,0,160,100"), of("0,0,100,100")) == 0);
    assert_true(near(fv_compare_boxes(of("[[20,0,120,100],[500,500,600,600]]"), of("[[0,0,100,100]]")), 2.0 / 3));
    /* The first overlaps both, the second only the first one's nearest: both are matched all the same. */
    assert_true(fv_compare_boxes(of("[10,0,110,100],[0,0,100,100]"), of("[15,0,115,100],[40,0,140,100]")) == 1);
    assert_true(fv_compare_boxes(of("none"), of("[0,0,1,1]")) == 0 && fv_compare_boxes(of("none"), of("none")) == 1 && fv_compare_iou(of(""), of("[0,0,1,1]")) == 0);
    assert_true(fv_compare_iou(of("[0,0,0,0]"), of("[0,0,0,0]")) == 0);
}

/* The first pattern that is there decides, and a plain number comes before the one behind </think>. */
static void scores_are_read_from_what_a_judge_says(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double score;
    } cases[] = {{"<answer> 0.8 </answer>", 0.8}, {"\\box{0.3} <answer>0.9</answer>", 0.3}, {"0.55", 0}, {"Score: 0.7.", 0.7}, {"</think> <answer>0.85</answer>", 0}, {"</think> <answer>2.5</answer>", 1}, {"</think>7.5", 1}, {"**3 wrong steps**", 1},
                 {"Total Wrong Steps**: 0", 0}, {"nothing", 0}, {"", 0}, {"10", 0}, {"</think>2.3.4", 0}};
    for (size_t i = 0; i < FV_COUNT(cases); i++)
        if (fv_thinking_score(of(cases[i].text), NULL) != cases[i].score) fail_msg("\"%s\": %g", cases[i].text, fv_thinking_score(of(cases[i].text), NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_stemmed_as_nltk_does), cmocka_unit_test(errors_and_overlaps_are_those_of_the_packages), cmocka_unit_test(answers_are_graded_as_mathruler_does),
        cmocka_unit_test(answers_are_verified_as_math_verify_does), cmocka_unit_test(expressions_are_equal_everywhere_or_not_at_all), cmocka_unit_test(python_reads_numbers_and_blanks),
        cmocka_unit_test(literals_are_pythons), cmocka_unit_test(numbers_are_compared), cmocka_unit_test(boxes_are_matched_one_to_one), cmocka_unit_test(scores_are_read_from_what_a_judge_says),
    };
    return cmocka_run_group_tests(tests, read_texts, drop_texts);
}
