/* Where a response says its answer, and when two answers are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "rl/answer.h"

#include <math.h>
#include <string.h>

static void found(const char *response, const char *want) {
    fv_span s = fv_answer_find(response);
    if (s.size != strlen(want) || memcmp(s.text, want, s.size)) fail_msg("\"%s\": found \"%.*s\"", response, (int)s.size, s.text);
}

static bool same(const char *given, const char *right, double tolerance, bool ignore_case) {
    return fv_answer_same((fv_span){given, strlen(given)}, right, tolerance, ignore_case);
}

static void answers_are_found(void **state) {
    (void)state;
    found("<answer>7</answer>", "7");
    found("<answer> 7\n</answer> and more", "7");
    found("<answer>1</answer><answer>2</answer>", "2"); /* the last */
    found("<answer>1</answer> <answer>2", "<answer>1</answer> <answer>2"); /* the last is not closed: no pair; then the last turn */
    found("", "");
    found("  plain \n", "plain");
    found("<think>hm, 4?</think> 5", "5");
    found("one<|im_end|>\n<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\ntwo<|im_end|>", "two");
    found("<|im_start|>assistant\n<think>a</think>\n b <|im_end|>\n", "b");
    assert_null(fv_answer_tag("</answer><answer>").text);
    assert_null(fv_answer_tag("nothing").text);
    fv_span empty = fv_answer_tag("<answer> </answer>");
    assert_true(empty.text && empty.size == 0);
}

static void answers_are_compared(void **state) {
    (void)state;
    assert_true(same("8", "8", -1, false));
    assert_true(same("8", " 8\n", -1, false)); /* blanks about the right answer don't count */
    assert_false(same("08", "8", -1, false));
    assert_false(same("Red", "red", -1, false));
    assert_true(same("Red", "red", -1, true));
    assert_false(same("reds", "red", -1, true));
    assert_true(same("08", "8", 0, false));
    assert_true(same("[12, 30]", "14 29", 2, false));
    assert_false(same("[12, 30]", "14 27", 2, false));
    assert_false(same("[12, 30, 1]", "12 30", 2, false));
    assert_false(same("12 px", "12", 2, false));
    assert_true(same("", "", 0, false));
    assert_false(same("nan", "5", 1e9, false));
    assert_true(same("inf", "inf ", 1, false)); /* equal as text */
    assert_false(same("5", "6", NAN, false));
    assert_false(fv_answer_same((fv_span){0}, "8", 1, true));
    assert_true(same("1e2", "100", 0, false));
}

/* More numbers or text than anybody compares: refused, not overrun. */
static void long_answers_are_safe(void **state) {
    (void)state;
    char text[2000];
    memset(text, '1', sizeof text - 1);
    text[sizeof text - 1] = 0;
    assert_false(same(text, "1", 5, false));
    for (size_t i = 1; i < 200; i += 2) text[i] = ' ';
    text[200] = 0;
    assert_false(same(text, "1 1", 5, false));
}

static void spans(void **state) {
    (void)state;
    fv_span s = {"  Ab ", 5};
    s = fv_span_strip(s);
    assert_true(fv_span_is(s, "Ab", false) && fv_span_is(s, "aB", true) && !fv_span_is(s, "ab", false) && !fv_span_is(s, "A", true));
    assert_int_equal(fv_span_strip((fv_span){" \n\t", 3}).size, 0);
    assert_false(fv_span_is((fv_span){0}, "", false));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers_are_found), cmocka_unit_test(answers_are_compared), cmocka_unit_test(long_answers_are_safe), cmocka_unit_test(spans)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
