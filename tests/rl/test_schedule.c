/* Scalars that change with the step, and the learning rate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "rl/recipe/schedule.h"
#include "rl/train/train.h"

#include <math.h>

static json_t *scalar(const char *text) {
    json_t *j = json_loads(text, JSON_DECODE_ANY, NULL);
    assert_non_null(j);
    return j;
}

static void check(const char *text, int64_t step, int64_t steps, double want) {
    json_t *j = scalar(text);
    const char *why;
    assert_true(fv_schedule_valid(j, &why));
    assert_true(fabs(fv_schedule_at(j, step, steps) - want) < 1e-12);
    json_decref(j);
}

static void values(void **state) {
    (void)state;
    check("0.5", 3, 10, 0.5);
    check("{\"constant\": 2}", 3, 10, 2);
    check("{\"linear\": [1, 0]}", 0, 10, 1);
    check("{\"linear\": [1, 0]}", 5, 10, 0.5);
    check("{\"linear\": [1, 3]}", 20, 10, 3); /* beyond the end: the end */
    check("{\"linear\": [1, 3]}", 0, 0, 3);   /* no steps: the end */
    check("{\"cosine\": [1, 0]}", 0, 10, 1);
    check("{\"cosine\": [1, 0]}", 5, 10, 0.5);
    check("{\"cosine\": [3, 1]}", 10, 10, 1);
    check("{\"cosine\": [1, 0]}", 2, 8, 0.5 * (1 + sqrt(0.5)));
    check("{\"exponential\": [2, 4]}", 0, 10, 2);
    check("{\"exponential\": [2, 4]}", 4, 10, 2 * 0.36787944117144233);
}

static void what_is_no_schedule(void **state) {
    (void)state;
    static const char *const bad[] = {"\"a\"", "[1, 2]", "{}", "null", "true", "{\"linear\": 1}", "{\"linear\": [1]}", "{\"linear\": [1, \"b\"]}", "{\"linear\": [1, 2], \"cosine\": [1, 2]}",
                                      "{\"exponential\": [1, 0]}", "{\"exponential\": [1, -3]}", "{\"steps\": [1, 2]}", "{\"constant\": [1]}", "{\"cosine\": [1, 2, 3]}"};
    for (size_t i = 0; i < FV_COUNT(bad); i++) {
        json_t *j = scalar(bad[i]);
        const char *why = NULL;
        if (fv_schedule_valid(j, &why)) fail_msg("%s was taken", bad[i]);
        assert_non_null(why);
        json_decref(j);
    }
}

static double rate(const char *optim, int64_t step, int64_t steps) {
    json_t *j = json_pack("{so}", "optim", scalar(optim));
    fv_stage stage = {.name = "s", .kind = FV_STAGE_SFT, .json = j};
    double lr = fv_train_rate(&stage, step, steps);
    json_decref(j);
    return lr;
}

static void learning_rates(void **state) {
    (void)state;
    static const char constant[] = "{\"lr\": 0.1, \"warmup\": 4, \"schedule\": \"constant\", \"final\": 0}";
    static const char linear[] = "{\"lr\": 0.1, \"warmup\": 2, \"schedule\": \"linear\", \"final\": 0.5}";
    static const char cosine[] = "{\"lr\": 0.1, \"warmup\": 0, \"schedule\": \"cosine\", \"final\": 0}";
    assert_true(fabs(rate(constant, 0, 100) - 0.025) < 1e-15);
    assert_true(rate(constant, 3, 100) == 0.1 && rate(constant, 99, 100) == 0.1);
    assert_true(fabs(rate(linear, 2, 12) - 0.1) < 1e-15);
    assert_true(fabs(rate(linear, 7, 12) - 0.075) < 1e-15);
    assert_true(fabs(rate(cosine, 5, 10) - 0.05) < 1e-15);
    assert_true(rate(cosine, 0, 10) == 0.1);
    assert_true(isfinite(rate(linear, 1, 2)) && isfinite(rate(linear, 5, 2)));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(what_is_no_schedule), cmocka_unit_test(learning_rates)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
