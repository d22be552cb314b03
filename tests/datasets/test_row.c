#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "datasets/row.h"

#include <stdlib.h>
#include <string.h>

static void answer_is(const char *json, const char *want) {
    fv_row *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->id = strdup("7");
    r->json = json_loads(json, 0, NULL);
    assert_int_equal(fv_row_settle(r, NULL), FV_OK);
    if (want == NULL) assert_null(fv_row_answer(r));
    else assert_string_equal(fv_row_answer(r), want);
    assert_string_equal(fv_row_text(r, "id"), "7");
    fv_row_free(r);
}

static void answers(void **state) {
    (void)state;
    answer_is("{\"answer\": \"8\"}", "8");
    answer_is("{\"answer\": 8}", "8");
    answer_is("{\"answer\": 0.1}", "0.1");
    answer_is("{\"answer\": 8.0}", "8.0");
    answer_is("{\"answer\": [\"A\", \"C\"]}", "[\"A\", \"C\"]");
    answer_is("{\"answer\": null, \"solution\": \"so <answer>B</answer>\"}", "B");
    answer_is("{\"solution\": \"<answer>B</answer>\", \"reward_model\": {\"ground_truth\": \"C\"}}", "B");
    answer_is("{\"solution\": \"no tags\", \"reward_model\": {\"ground_truth\": 3}}", "3");
    answer_is("{\"solution\": \"no tags\"}", "no tags");
    answer_is("{\"reward_model\": {}}", NULL);
    answer_is("{}", NULL);
}

static void freeing_nothing(void **state) {
    (void)state;
    fv_row_free(NULL);
    fv_row_free(calloc(1, sizeof(fv_row)));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(freeing_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
