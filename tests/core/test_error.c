#include "core/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void message_and_status(void **state) {
    (void)state;
    fv_error e = {0};
    assert_int_equal(fv_fail(&e, FV_BAD_RECIPE, "%s must be %d..%d, got %d", "group_size", 2, 1024, 0), FV_BAD_RECIPE);
    assert_int_equal(e.status, FV_BAD_RECIPE);
    assert_string_equal(e.text, "group_size must be 2..1024, got 0");
    assert_int_equal(fv_fail(NULL, FV_IO, "nobody reads this"), FV_IO);
}

static void places_stack_in_front(void **state) {
    (void)state;
    fv_error e = {0};
    fv_fail(&e, FV_BAD_DATA, "no answer");
    assert_int_equal(fv_fail_in(&e, "line %d", 7), FV_BAD_DATA);
    assert_int_equal(fv_fail_in(&e, "%s", "a.jsonl"), FV_BAD_DATA);
    assert_string_equal(e.text, "a.jsonl: line 7: no answer");
    assert_int_equal(fv_fail_in(NULL, "nowhere"), FV_OK);
}

static void long_texts_are_cut(void **state) {
    (void)state;
    char longer[3000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    fv_error e = {0};
    fv_fail(&e, FV_IO, "%s", longer);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    fv_fail_in(&e, "place");
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_memory_equal(e.text, "place: xxx", 10);
    fv_fail_in(&e, "%s", longer); /* the place alone fills it */
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

static void every_status_has_a_word(void **state) {
    (void)state;
    assert_string_equal(fv_status_name(FV_OK), "done");
    assert_string_equal(fv_status_name(FV_CANCELLED), "stopped");
    assert_string_equal(fv_status_name((fv_status)99), "unknown status");
}

static fv_status callee(fv_status s) {
    FV_TRY(s);
    return FV_CANCELLED;
}

static void try_returns_early(void **state) {
    (void)state;
    assert_int_equal(callee(FV_LIMIT), FV_LIMIT);
    assert_int_equal(callee(FV_OK), FV_CANCELLED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_and_status), cmocka_unit_test(places_stack_in_front), cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(every_status_has_a_word), cmocka_unit_test(try_returns_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
