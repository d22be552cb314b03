/* PPO: a value head on the policy, advantages by generalised advantage estimation, the clipped value loss. The head learns what to expect, is kept beside the model and gone on with, and
 * costs no exactness. */
#include "lesson.h"

#include "rl/reward_rows.h"

#include <sys/wait.h>
#include <unistd.h>

static int teach(void **state) {
    if (lesson_begin(state)) return -1;
    char *stage = lesson_sft(80);
    for (int kind = 0; kind < 2; kind++) MUST(lesson_run(lesson_recipe(kind, kind ? "taught1" : "taught0", NULL, NULL, stage), false, err));
    free(stage);
    return 0;
}

#define GAE "advantage: {kind: gae}, auxiliary: [{kind: value}]"

static fv_recipe *recipe_of(int kind, const char *out, const char *model, const char *head, int steps, const char *more) {
    fv_text stage = {0};
    char taught[64];
    snprintf(taught, sizeof taught, "taught%d/checkpoints/step-80", kind);
    fv_text_printf(&stage, "  - {name: rl, kind: grpo, steps: %d, rollout: {prompts: 4, group_size: 4, max_new_tokens: 40}, optim: {lr: 1.0e-3, micro_tokens: 900}, reward: {terms: [{term: exact}, {term: tool}]}, %s}\n", steps,
                   more);
    fv_recipe *r = lesson_recipe(kind, out, model ? model : taught, head, stage.data);
    fv_text_clear(&stage);
    return r;
}

static void run(int kind, const char *out, const char *model, const char *head, int steps, const char *more) { MUST(lesson_run(recipe_of(kind, out, model, head, steps, more), false, err)); }

/* A metric in every step; all compared log-probs were equal. */
static int values_of(const char *out, const char *name, double *values) {
    char *metrics = lesson_metrics(out), *save;
    int n = 0;
    for (char *line = strtok_r(metrics, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        double difference = lesson_value(line, "sampling/sampling_logp_difference/max");
        assert_true(isnan(difference) || difference == 0);
        values[n++] = lesson_value(line, name);
    }
    free(metrics);
    return n;
}

/* It begins at nothing and comes to expect what happens. */
static void a_head_learns_what_to_expect(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        const char *out = kind ? "ppo1" : "ppo0";
        double value[64], returns[64], explained[64], before = 0, after = 0;
        run(kind, out, NULL, NULL, 24, GAE);
        int n = values_of(out, "critic/values/mean", value);
        values_of(out, "critic/returns/mean", returns);
        values_of(out, "critic/vf_explained_var", explained);
        assert_int_equal(n, 24);
        assert_true(value[0] == 0 && explained[0] == 0 && returns[0] > 0);
        for (int i = 0; i < 4; i++) before += fabs(returns[i] - value[i]) / 4, after += fabs(returns[n - 1 - i] - value[n - 1 - i]) / 4;
        if (!(after < 0.5 * before)) fail_msg("kind %d: off by %g at first, by %g in the end", kind, before, after);
    }
}

/* Beside the model, under names that others read; gone on with by the next run. */
static void the_head_lies_beside_the_model(void **state) {
    (void)state;
    double value[8];
    char path[400];
    fv_weights *file;
    fv_view view;
    run(0, "first", NULL, NULL, 6, GAE);
    snprintf(path, sizeof path, "%s/%s", lesson_checkpoint("first"), FV_VALUE_HEAD);
    MUST(fv_weights_open(&file, path, err));
    MUST(fv_weights_get(file, "v_head.summary.weight", &view, err));
    assert_true(view.dtype == FV_F32 && view.rank == 2 && view.shape[0] == 1 && view.shape[1] == 32);
    MUST(fv_weights_get(file, "v_head.summary.bias", &view, err));
    assert_true(view.rank == 1 && view.shape[0] == 1 && *(const float *)view.data != 0);
    fv_weights_close(file);
    run(0, "second", "first/checkpoints/step-6", NULL, 1, GAE);
    values_of("second", "critic/values/mean", value);
    assert_true(value[0] != 0);
    /* a head of another model's width is refused by name */
    MUST(fv_folder_make(small_path("wide"), err));
    fv_error why = {0};
    static const float wide[40] = {0};
    fv_tensor parts[] = {{"v_head.summary.weight", fv_mat((float *)(uintptr_t)wide, 1, 40)}, {"v_head.summary.bias", fv_vec((float *)(uintptr_t)wide, 1)}};
    MUST(fv_weights_save_from(path, parts, 2, FV_DTYPES, NULL, err));
    assert_int_equal(lesson_run(recipe_of(0, "third", "first/checkpoints/step-6", NULL, 1, GAE), false, &why), FV_BAD_MODEL);
    assert_non_null(strstr(why.text, "v_head.summary.weight must have 32 numbers"));
}

static void threads_replays_and_kills_change_nothing(void **state) {
    (void)state;
    run(1, "one", NULL, "threads: 1", 4, "updates: 2, verify: 1, " GAE);
    run(1, "two", NULL, "threads: 2", 4, "updates: 2, verify: 1, " GAE);
    lesson_same_run("one", "two");
    run(1, "replayed", NULL, "threads: 2", 4, "updates: 2, verify: 0, " GAE);
    char path[2][400];
    for (int i = 0; i < 2; i++) snprintf(path[i], sizeof path[i], "%s/trainer_state/optimizer.safetensors", lesson_checkpoint(i ? "replayed" : "one"));
    lesson_same_file(path[0], path[1]);
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fv_error err = {0};
        fv_file_inject(60, FV_INJECT_KILL);
        lesson_run(recipe_of(1, "killed", NULL, "threads: 1\ncheckpoint: {every: 1}", 4, "updates: 2, verify: 1, " GAE), false, &err);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    MUST(lesson_run(recipe_of(1, "killed", NULL, "threads: 1\ncheckpoint: {every: 1}", 4, "updates: 2, verify: 1, " GAE), true, err));
    lesson_same_run("one", "killed");
}

/* A head that is paid no attention to changes nothing. */
static void without_its_coefficient_it_is_plain_grpo(void **state) {
    (void)state;
    char path[2][400];
    run(0, "plain", NULL, NULL, 4, "auxiliary: [{kind: entropy}]");
    run(0, "idle", NULL, NULL, 4, "auxiliary: [{kind: value, coefficient: 0}]");
    for (int i = 0; i < 2; i++) snprintf(path[i], sizeof path[i], "%s/model.safetensors", lesson_checkpoint(i ? "idle" : "plain"));
    lesson_same_file(path[0], path[1]);
}

/* Patterns are about the model: a head is trained, by AdamW, whatever they say. */
static void a_head_is_never_frozen(void **state) {
    (void)state;
    double value[8];
    run(0, "biases", NULL, "freeze: ['*.weight']\nmuon: ['*']", 4, GAE);
    values_of("biases", "critic/values/mean", value);
    assert_true(value[0] == 0 && value[3] != 0);
}

static void refused(const char *more, const char *says) {
    fv_error why = {0};
    assert_int_equal(lesson_run(recipe_of(0, "refused", NULL, NULL, 1, more), false, &why), FV_BAD_RECIPE);
    if (!strstr(why.text, says)) fail_msg("%s; wanted \"%s\"", why.text, says);
}

static void one_half_alone_is_refused(void **state) {
    (void)state;
    refused("advantage: {kind: gae}", "give auxiliary: [{kind: value}]");
    refused("auxiliary: [{kind: value}]", "give advantage: {kind: gae}");
}

/* `fovea reward` makes the same of values in a file; without them there is a reward and no advantage. */
static void values_of_a_file_are_estimated_by(void **state) {
    (void)state;
    fv_reward_counts counts;
    char *text;
    small_write("valued.jsonl", "{\"id\": \"a\", \"group\": \"g\", \"response\": \"<answer>8</answer>\", \"answer\": \"8\", \"images\": 0, \"values\": [0.5, 0.25, 0.75]}\n"
                                "{\"id\": \"b\", \"group\": \"g\", \"response\": \"<answer>3</answer>\", \"answer\": \"8\", \"images\": 0}\n"
                                "{\"id\": \"d\", \"group\": \"g\", \"response\": \"<answer>3</answer>\", \"answer\": \"8\", \"images\": 0, \"values\": [1, 2], \"logprobs\": [[-1, -2], [-1, -2], [-1, -2]]}\n"
                                "{\"id\": \"c\", \"group\": \"g\", \"response\": \"<answer>3</answer>\", \"answer\": \"8\", \"images\": 0, \"values\": [1, \"x\"]}\n");
    fv_recipe *r = recipe_of(0, "valued", NULL, NULL, 1, "advantage: {kind: gae, gamma: 0.9, lambda: 0.5, whiten: false}, auxiliary: [{kind: value}]");
    MUST(fv_reward_rows(&counts, r, small_path("valued.jsonl"), small_path("paid.jsonl"), err));
    fv_recipe_close(r);
    MUST(fv_file_read(&text, NULL, small_path("paid.jsonl"), err));
    char *a = strtok(text, "\n"), *b = strtok(NULL, "\n"), *d = strtok(NULL, "\n"), *c = strtok(NULL, "\n");
    /* worked out by hand: 1 - 0.75, then 0.9 * 0.75 - 0.25 + 0.45 * 0.25, then 0.9 * 0.25 - 0.5 + 0.45 * 0.5375 */
    if (!strstr(a, "\"token_advantages\": [-0.033125, 0.5375, 0.25]") && !strstr(a, "\"token_advantages\": [-0.0331249982, 0.537500024, 0.25]")) fail_msg("%s", a);
    assert_true(fabs(lesson_value(a, "advantage") + 0.033125) < 1e-7);
    assert_true(strstr(b, "\"reward\"") && !strstr(b, "advantage"));
    assert_non_null(strstr(c, "values must be a list of numbers"));
    assert_non_null(strstr(d, "values must be a list of numbers, one before each token"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_learns_what_to_expect),       cmocka_unit_test(the_head_lies_beside_the_model),
        cmocka_unit_test(threads_replays_and_kills_change_nothing), cmocka_unit_test(without_its_coefficient_it_is_plain_grpo),
        cmocka_unit_test(a_head_is_never_frozen), cmocka_unit_test(one_half_alone_is_refused), cmocka_unit_test(values_of_a_file_are_estimated_by),
    };
    return cmocka_run_group_tests(tests, teach, small_end);
}
