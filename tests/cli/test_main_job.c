/* The main job in small: the recipe itself, from the model that ships, with fewer steps. Same seed, same run, on every machine: that the reward rises is no matter
 * of luck, and a change that keeps it from rising is seen. */
#include "tests/cli/program.h"

#include <math.h>

#ifdef __SANITIZE_ADDRESS__
enum { COLD = 1, STEPS = 2 }; /* a sanitizer's checks make it thirty times slower: the way through is checked alone */
#else
enum { COLD = 40, STEPS = 24 };
#endif

static double mean_of(const json_t *lines, size_t first, size_t last, const char *name) {
    double sum = 0;
    for (size_t i = first; i < last; i++) sum += json_number_value(json_object_get(json_array_get(lines, i), name));
    return sum / (double)(last - first);
}

static void reward_rises(void **state) {
    (void)state;
    char arguments[1024];
    snprintf(arguments, sizeof arguments,
             "train %s/recipes/visual-search.yaml --quiet model.path=%s/models/tiny-vl out=run stages.cold-start.steps=%d stages.rl.steps=%d stages.rl.rollout.prompts=12 "
             "evaluate.n=8 evaluate.modes='[greedy]' checkpoint.every=0",
             FOVEA_SOURCE, FOVEA_SOURCE, COLD, STEPS);
    run_well(arguments);
    json_t *lines = read_lines("run/metrics.jsonl");
    size_t n = json_array_size(lines);
    assert_int_equal(n, COLD + STEPS);
    for (size_t i = COLD; i < n; i++) assert_true(json_number_value(json_object_get(json_array_get(lines, i), "sampling/sampling_logp_difference/max")) == 0);
    double before = mean_of(lines, COLD, COLD + STEPS / 4, "reward"), after = mean_of(lines, n - STEPS / 4, n, "reward");
    print_message("reward %.3f -> %.3f\n", before, after);
    if (STEPS > 10) assert_true(after > before + 0.15);
    json_decref(lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reward_rises)};
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
