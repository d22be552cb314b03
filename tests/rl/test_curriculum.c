/* Curriculum: shares of sources that change with the step, rows that are a function of seed, step and place alone, and runs that are stopped on the way. */
#include "lesson.h"

#include "rl/recipe/schedule.h"

#include <math.h>

enum { EASY = 40, HARD = 60, BATCH = 8, STEPS = 200 };

/* EASY rows and then HARD ones, with weights as JSON; "" gives none. */
static json_t *mixture(const char *easy, const char *hard) {
    char text[512], weights[2][96];
    snprintf(weights[0], sizeof weights[0], *easy ? ", \"weight\": %s" : "%s", easy);
    snprintf(weights[1], sizeof weights[1], *hard ? ", \"weight\": %s" : "%s", hard);
    snprintf(text, sizeof text, "[{\"make\": \"words\", \"n\": %d%s}, {\"make\": \"words\", \"n\": %d%s}]", EASY, weights[0], HARD, weights[1]);
    json_t *spec = json_loads(text, 0, NULL);
    assert_non_null(spec);
    return spec;
}

static fv_curriculum opened(const char *easy, const char *hard) {
    fv_curriculum c;
    json_t *spec = mixture(easy, hard);
    MUST(fv_curriculum_open(&c, spec, 5, BATCH, STEPS, 0, err));
    json_decref(spec);
    return c;
}

/* The rows of all steps, in order. */
static void read_all(fv_curriculum *c, int64_t rows[STEPS * BATCH]) {
    for (int step = 0; step < STEPS; step++)
        for (int i = 0; i < BATCH; i++) rows[step * BATCH + i] = fv_curriculum_row(c, 9, step, i);
}

/* ---- Rows ---- */

/* Whatever has been drawn so far is what the weights of the steps add up to. */
static void shares_follow_their_schedules(void **state) {
    (void)state;
    static const char *const weights[][2] = {{"1", "{\"linear\": [0, 3]}"}, {"{\"cosine\": [1, 0]}", "{\"cosine\": [0, 1]}"}, {"{\"exponential\": [4, 30]}", ""}};
    for (size_t k = 0; k < FV_COUNT(weights); k++) {
        json_t *spec = mixture(weights[k][0], weights[k][1]);
        const json_t *easy = json_object_get(json_array_get(spec, 0), "weight"), *hard = json_object_get(json_array_get(spec, 1), "weight");
        fv_curriculum c = opened(weights[k][0], weights[k][1]);
        double want = 0, early = 0, late = 0;
        int64_t is = 0;
        for (int step = 0; step < STEPS; step++) {
            double a = fv_schedule_at(easy, step, STEPS), b = hard ? fv_schedule_at(hard, step, STEPS) : 1;
            int64_t before = is;
            for (int i = 0; i < BATCH; i++) is += fv_curriculum_row(&c, 9, step, i) >= EASY;
            want += BATCH * b / (a + b);
            assert_true(fabs((double)is - want) < 2 * BATCH); /* shares move while they are dealt out */
            early += step < STEPS / 10 ? (double)(is - before) : 0;
            late += step >= STEPS - STEPS / 10 ? (double)(is - before) : 0;
        }
        assert_true(late > 3 * early);
        fv_curriculum_close(&c);
        json_decref(spec);
    }
}

/* A weight of 0 is none at all; and every source is read whole before one of its rows comes again. */
static void sources_are_read_in_epochs_of_their_own(void **state) {
    (void)state;
    int64_t rows[STEPS * BATCH], seen[EASY + HARD] = {0}, count[2] = {0};
    fv_curriculum c = opened("1", "{\"linear\": [0, 3]}");
    read_all(&c, rows);
    for (int k = 0; k < STEPS * BATCH; k++) {
        int hard = rows[k] >= EASY;
        if (k < BATCH) assert_false(hard);
        assert_int_equal(seen[rows[k]]++, count[hard]++ / (hard ? HARD : EASY));
    }
    fv_curriculum_close(&c);
}

/* A reading that begins anywhere, or goes back, has the rows of one from the start: other attempts at a step ask with other seeds, in between. */
static void rows_are_functions_of_their_step(void **state) {
    (void)state;
    int64_t rows[STEPS * BATCH];
    static const int steps[] = {130, 131, 7, 0, 199, 130};
    fv_curriculum whole = opened("{\"cosine\": [2, 0]}", "{\"linear\": [0, 3]}"), resumed = opened("{\"cosine\": [2, 0]}", "{\"linear\": [0, 3]}");
    read_all(&whole, rows);
    for (size_t k = 0; k < FV_COUNT(steps); k++) {
        for (int i = BATCH - 1; i >= 0; i--) {
            assert_int_equal(fv_curriculum_row(&resumed, 9, steps[k], i), rows[steps[k] * BATCH + i]);
            assert_int_equal(fv_curriculum_row(&resumed, 10, steps[k], i) >= EASY, rows[steps[k] * BATCH + i] >= EASY);
        }
    }
    fv_curriculum_close(&whole);
    fv_curriculum_close(&resumed);
}

/* Schedules that stand still are numbers, and without schedules rows are the data set's own draws. */
static void what_does_not_change_is_as_ever(void **state) {
    (void)state;
    static const char *const weights[][2] = {{"1", "3"}, {"{\"constant\": 1}", "{\"linear\": [3, 3]}"}, {"2", ""}, {"", ""}};
    for (size_t k = 0; k < FV_COUNT(weights); k++) {
        fv_dataset *plain;
        json_t *spec = mixture(k == 1 ? "1" : weights[k][0], k == 1 ? "3" : weights[k][1]);
        fv_curriculum c = opened(weights[k][0], weights[k][1]);
        MUST(fv_dataset_open(&plain, spec, 5, err));
        assert_int_equal(c.spec != NULL, k == 1);
        for (int64_t draw = 0; draw < STEPS * BATCH; draw++) assert_int_equal(fv_curriculum_row(&c, 9, draw / BATCH, (int)(draw % BATCH)), fv_dataset_draw(plain, 9, draw));
        fv_dataset_close(plain);
        fv_curriculum_close(&c);
        json_decref(spec);
    }
}

static void some_source_has_a_weight(void **state) {
    (void)state;
    static const struct {
        const char *easy, *hard, *why;
    } cases[] = {{"{\"linear\": [0, 1]}", "{\"linear\": [0, 2]}", "data: no source has a weight above 0 at step 0 of 200"},
                 {"{\"exponential\": [1, 0.1]}", "{\"exponential\": [1, 0.2]}", "data: no source has a weight above 0 at step 199 of 200"}};
    for (size_t k = 0; k < FV_COUNT(cases); k++) {
        fv_curriculum c;
        fv_error why = {0};
        json_t *spec = mixture(cases[k].easy, cases[k].hard);
        assert_int_equal(fv_curriculum_open(&c, spec, 5, BATCH, STEPS, 0, &why), FV_BAD_RECIPE);
        if (!strstr(why.text, cases[k].why)) fail_msg("%s", why.text);
        json_decref(spec);
    }
}

/* ---- Runs ---- */

/* Both kinds of training, the second with further batches in its steps. */
static fv_recipe *recipe_of(const char *out, int threads) {
    char head[128], stages[2048];
    snprintf(head, sizeof head, "threads: %d\ncheckpoint: {every: 2, keep: 2}\n", threads);
    snprintf(stages, sizeof stages,
             "  - {name: learn, kind: sft, steps: 4, batch: 3, data: [{path: %s/lesson.jsonl, weight: {linear: [1, 0]}}, {path: %s/short.jsonl, weight: {linear: [0, 1]}}], "
             "optim: {lr: 1.0e-2}}\n"
             "  - {name: rl, kind: grpo, steps: 3, data: [{path: %s/questions.jsonl, weight: {cosine: [1, 0]}}, {path: %s/short.jsonl}], "
             "rollout: {prompts: 3, group_size: 2, max_new_tokens: 8}, dynamic_sampling: 1, reward: {terms: [{term: length, max: 12, buffer: 11}]}, optim: {lr: 1.0e-2}}\n",
             small_root, small_root, small_root, small_root);
    return lesson_recipe(SMALL_QWEN25, out, NULL, head, stages);
}

static void stopped_runs_and_more_threads_have_the_same_rows(void **state) {
    (void)state;
    static volatile int stop = 1;
    fv_train_options o = {.quiet = true, .stop = &stop};
    fv_error why = {0};
    fv_status s = FV_CANCELLED;
    int stops = 0;
    small_write("short.jsonl", "{\"id\": \"a\", \"messages\": [{\"role\": \"user\", \"content\": \"Say 1\"}, {\"role\": \"assistant\", \"content\": \"1\"}], \"answer\": \"1\"}\n"
                               "{\"id\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": \"Say 2, twice\"}, {\"role\": \"assistant\", \"content\": \"2 2\"}], \"answer\": \"2\"}\n");
    MUST(lesson_run(recipe_of("whole", 1), false, err));
    MUST(lesson_run(recipe_of("threads", 2), false, err));
    lesson_same_run("whole", "threads");
    for (; s == FV_CANCELLED; stops += s == FV_CANCELLED) {
        fv_recipe *r = recipe_of("stopped", 1);
        o.resume = stops > 0;
        s = fv_train(r, &o, &why);
        fv_recipe_close(r);
    }
    if (s != FV_OK) fail_msg("%s", why.text);
    assert_int_equal(stops, 5); /* after each step but the last one of a stage */
    lesson_same_run("whole", "stopped");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_their_schedules),   cmocka_unit_test(sources_are_read_in_epochs_of_their_own),
        cmocka_unit_test(rows_are_functions_of_their_step), cmocka_unit_test(what_does_not_change_is_as_ever),
        cmocka_unit_test(some_source_has_a_weight),         cmocka_unit_test(stopped_runs_and_more_threads_have_the_same_rows),
    };
    return cmocka_run_group_tests(tests, lesson_begin, small_end);
}
