/* The bench of a GRPO step says what it promises, on a model of any size. */
#include "program.h"

static json_t *read_stdout(void) {
    json_t *out;
    fv_error err = {0};
    if (fv_json_read(&out, "stdout", FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return out;
}

static void a_step_is_timed_in_its_parts(void **state) {
    (void)state;
    run_well("model init --preset tiny m");
    run_well("bench grpo --model m --json steps=1 threads=2");
    json_t *facts = read_stdout(), *seconds = json_object_get(facts, "seconds");
    assert_int_equal(json_integer_value(json_object_get(facts, "tokens")), 2048);
    static const char *const parts[] = {"prepare", "prompt", "decode", "reward", "update", "optimizer"};
    double total = json_number_value(json_object_get(seconds, "total")), sum = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        double part = json_number_value(json_object_get(seconds, parts[i]));
        assert_true(part > 0);
        sum += part;
    }
    assert_true(total > 0 && sum > 0.999 * total && sum < 1.001 * total); /* of one step, medians are that step's */
    json_decref(facts);
}

static void unknown_benches_are_usage_errors(void **state) {
    (void)state;
    assert_int_equal(run("bench gpro"), 2);
    assert_says("stderr", "decode, grpo, sft, tree, video");
    run_badly("bench video", 2, "needs --video FILE");
    assert_int_equal(run("bench grpo --model nowhere --json"), 1);
    assert_says("stderr", "nowhere");
}

static void each_bench_has_its_lines(void **state) {
    (void)state;
    static const struct {
        const char *arguments;
        size_t lines;
    } benches[] = {{"decode --model m", 3}, {"sft --model m", 2}, {"tree --model m", 1}, {"video --video " FOVEA_SOURCE "/tests/vision/data/video/h264.mp4", 1}};
    for (size_t i = 0; i < FV_COUNT(benches); i++) {
        char arguments[512];
        snprintf(arguments, sizeof arguments, "bench %s --json steps=1 threads=2", benches[i].arguments);
        run_well(arguments);
        json_t *facts = read_stdout(), *lines = json_object_get(facts, "lines"), *line;
        size_t k;
        assert_int_equal(json_array_size(lines), benches[i].lines);
        json_array_foreach(lines, k, line) assert_true(json_number_value(json_object_get(line, "ours")) > 0 && json_number_value(json_object_get(line, "bar")) > 0);
        json_decref(facts);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_timed_in_its_parts),
        cmocka_unit_test(each_bench_has_its_lines),
        cmocka_unit_test(unknown_benches_are_usage_errors),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
