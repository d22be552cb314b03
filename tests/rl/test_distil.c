/* The objective `kl`: whole distributions against another slot's. A student comes nearer to its teacher on answers of its own; the reference is no distance away at first; pictures make a
 * difference; and with its coefficient at zero nothing of plain GRPO changes. */
#include "lesson.h"

#include "rl/train/others.h"

static int teach(void **state) {
    if (lesson_begin(state)) return -1;
    char *stage = lesson_sft(60);
    for (int kind = 0; kind < 2; kind++) MUST(lesson_run(lesson_recipe(kind, kind ? "taught1" : "taught0", NULL, NULL, stage), false, err));
    free(stage);
    char *weak = lesson_sft(25);
    for (int kind = 0; kind < 2; kind++) MUST(lesson_run(lesson_recipe(kind, kind ? "weak1" : "weak0", NULL, NULL, weak), false, err));
    free(weak);
    return 0;
}

static fv_status run(int kind, const char *out, const char *head, int steps, const char *more) {
    fv_text stage = {0};
    char model[64];
    fv_error err = {0};
    snprintf(model, sizeof model, "weak%d/checkpoints/step-25", kind);
    fv_text_printf(&stage, "  - {name: rl, kind: grpo, steps: %d, rollout: {prompts: 4, group_size: 4, max_new_tokens: 40}, optim: {lr: 3.0e-3}, reward: {terms: [{term: exact}, {term: tool}]}, %s}\n",
                   steps, more);
    fv_status s = lesson_run(lesson_recipe(kind, out, model, head, stage.data), false, &err);
    fv_text_clear(&stage);
    if (s != FV_OK) print_message("%s\n", err.text);
    return s;
}

static const char *teacher_of(int kind) {
    static char head[400];
    snprintf(head, sizeof head, "teacher: {path: %s/taught%d/checkpoints/step-60}", small_root, kind);
    return head;
}

/* Means of a metric over the first and the last `n` steps; all compared log-probs were equal. */
static void ends_of(const char *out, const char *name, int n, double *first, double *last) {
    char *metrics = lesson_metrics(out), *save;
    double values[100];
    int count = 0;
    for (char *line = strtok_r(metrics, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        values[count++] = lesson_value(line, name);
        assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0);
    }
    assert_true(count >= n);
    *first = *last = 0;
    for (int i = 0; i < n; i++) *first += values[i] / n, *last += values[count - 1 - i] / n;
    free(metrics);
}

/* The objective alone: no reward decides anything. Both ends of beta, and between. */
static void a_student_comes_nearer_to_its_teacher(void **state) {
    (void)state;
    static const char *const betas[] = {"1", "0", "0.5"};
    for (int kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < FV_COUNT(betas); i++) {
            char out[32], more[96];
            double first, last;
            snprintf(out, sizeof out, "student%d-%zu", kind, i);
            snprintf(more, sizeof more, "objective: {kind: kl, beta: %s}", betas[i]);
            assert_int_equal(run(kind, out, teacher_of(kind), 24, more), FV_OK);
            ends_of(out, "divergence/kl", 4, &first, &last);
            if (!(first > 0 && last < 0.6 * first)) fail_msg("kind %d, beta %s: %g at first, %g in the end", kind, betas[i], first, last);
        }
}

/* Nothing is paid: rows need no answer. */
static void rows_need_no_answer(void **state) {
    (void)state;
    char *questions, *at, more[200];
    double first, last;
    MUST(fv_file_read(&questions, NULL, small_path("questions.jsonl"), err));
    while ((at = strstr(questions, "\"answer\""))) memcpy(at, "\"unused\"", strlen("\"unused\""));
    small_write("unanswered.jsonl", questions);
    free(questions);
    fv_text stage = {0};
    snprintf(more, sizeof more, "objective: {kind: kl}, reward: {terms: []}, data: %s", small_path("unanswered.jsonl"));
    fv_text_printf(&stage, "  - {name: rl, kind: grpo, steps: 6, rollout: {prompts: 4, group_size: 2, max_new_tokens: 40}, optim: {lr: 3.0e-3}, %s}\n", more);
    MUST(lesson_run(lesson_recipe(0, "unanswered", "weak0/checkpoints/step-25", teacher_of(0), stage.data), false, err));
    fv_text_clear(&stage);
    ends_of("unanswered", "divergence/kl", 2, &first, &last);
    assert_true(first > 0 && last > 0 && last != first);
}

static void the_reference_is_the_policy_at_first(void **state) {
    (void)state;
    double first, last;
    assert_int_equal(run(0, "leashed", NULL, 3, "auxiliary: [{kind: kl, to: reference, coefficient: 0.1}]"), FV_OK);
    ends_of("leashed", "divergence/kl", 1, &first, &last);
    assert_true(first == 0); /* bit for bit, and not nearly */
    assert_true(last > 0);
}

/* Pictures make a difference; at a cost they make less of one, and paid for, more than that. */
static void what_pictures_change_is_seen(void **state) {
    (void)state;
    double first, paid, cost;
    for (int kind = 0; kind < 2; kind++) {
        const char *out = kind ? "costs1" : "costs0";
        assert_int_equal(run(kind, out, NULL, 12, "objective: {kind: kl, to: policy, blind: true, coefficient: 0.3}"), FV_OK);
        ends_of(out, "divergence/kl", 2, &first, &cost);
        if (!(first > 0 && cost < 0.5 * first)) fail_msg("kind %d: %g at first, %g at a cost", kind, first, cost);
    }
    assert_int_equal(run(0, "paid", NULL, 12, "objective: {kind: kl, to: policy, blind: true, coefficient: -0.3}"), FV_OK);
    ends_of("costs0", "divergence/kl", 2, &first, &cost);
    ends_of("paid", "divergence/kl", 2, &first, &paid);
    if (!(paid > 2 * cost)) fail_msg("%g paid, %g at a cost", paid, cost);
}

static void without_its_coefficient_it_is_plain_grpo(void **state) {
    (void)state;
    char path[2][300];
    assert_int_equal(run(0, "plain", NULL, 4, "updates: 2, auxiliary: [{kind: entropy}]"), FV_OK); /* as many objectives: flat groups are passed through, too */
    assert_int_equal(run(0, "idle", teacher_of(0), 4, "updates: 2, auxiliary: [{kind: kl, coefficient: 0}]"), FV_OK);
    for (int i = 0; i < 2; i++) snprintf(path[i], sizeof path[i], "%s/model.safetensors", lesson_checkpoint(i ? "idle" : "plain"));
    lesson_same_file(path[0], path[1]);
    double first, last;
    ends_of("idle", "divergence/kl", 4, &first, &last);
    assert_true(isnan(first)); /* what counts for nothing is not computed, and not said */
}

/* The same whatever computed it, and whether decoding's forward was taken over or not. */
static void threads_and_replays_change_nothing(void **state) {
    (void)state;
    char path[3][300], head[500];
    static const char *const outs[] = {"one", "two", "replayed"};
    static const char *const more[] = {"verify: 1", "verify: 1", "verify: 0"};
    for (int i = 0; i < 3; i++) {
        char stage[128];
        snprintf(head, sizeof head, "%s\nthreads: %d", teacher_of(1), i == 1 ? 2 : 1);
        snprintf(stage, sizeof stage, "%s, auxiliary: [{kind: kl, coefficient: 0.5, beta: 0.3}]", more[i]);
        assert_int_equal(run(1, outs[i], head, 3, stage), FV_OK);
        snprintf(path[i], sizeof path[i], "%s/model.safetensors", lesson_checkpoint(outs[i]));
        if (i) lesson_same_file(path[0], path[i]);
    }
}

static void refused(int kind, const char *head, const char *more, const char *says) {
    fv_text stage = {0};
    fv_error why = {0};
    char model[64];
    snprintf(model, sizeof model, "weak%d/checkpoints/step-25", kind);
    fv_text_printf(&stage, "  - {name: rl, kind: grpo, steps: 1, rollout: {prompts: 2, group_size: 2, max_new_tokens: 4}, %s}\n", more);
    fv_status s = lesson_run(lesson_recipe(kind, "refused", model, head, stage.data), false, &why);
    fv_text_clear(&stage);
    if (s != FV_BAD_RECIPE || !strstr(why.text, says)) fail_msg("status %d: %s; wanted \"%s\"", s, why.text, says);
}

static void impossible_teachers_are_refused(void **state) {
    (void)state;
    refused(0, NULL, "objective: {kind: kl}", "give teacher: {path: FOLDER}");
    refused(0, teacher_of(1), "objective: {kind: kl}", "a teacher is of the policy's family");
    refused(0, NULL, "objective: {kind: kl, to: policy}", "blind: true");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_student_comes_nearer_to_its_teacher),
        cmocka_unit_test(rows_need_no_answer), cmocka_unit_test(the_reference_is_the_policy_at_first),
        cmocka_unit_test(what_pictures_change_is_seen),
        cmocka_unit_test(without_its_coefficient_it_is_plain_grpo),
        cmocka_unit_test(threads_and_replays_change_nothing),
        cmocka_unit_test(impossible_teachers_are_refused),
    };
    return cmocka_run_group_tests(tests, teach, small_end);
}
