/* Runs that are killed, at any moment, and go on; and disks that fill up. */
#include "lesson.h"

#include "core/random.h"

#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KILLS = 20 };

/* Every kind of stage, a row that can't be read, a reference, stages that end between checkpoints, evaluations, an exported model. */
static fv_recipe *recipe_of(const char *out) {
    char head[512], stages[2048];
    snprintf(head, sizeof head,
             "threads: 1\nmuon: [language_model.layers.*]\neval_data: %s/questions.jsonl\nevaluate: {modes: [greedy], every: 5, max_new_tokens: 8}\ncheckpoint: {every: 3, keep: 2}\nexport: %s/%s/model", small_root,
             small_root, out);
    snprintf(stages, sizeof stages,
             "  - {name: learn, kind: sft, steps: 7, batch: 2, data: %s/films.jsonl, optim: {lr: 1.0e-2}}\n"
             "  - {name: rl, kind: grpo, steps: 5, rollout: {prompts: 2, group_size: 3, max_new_tokens: 12, every: 1, show: 3}, reward: {terms: [{term: length, max: 12, buffer: 11}]}, "
             "dynamic_sampling: 1, advantage: {kind: moving}, objective: {kl: {linear: [0.1, 0]}}, optim: {lr: 1.0e-2}}\n"
             "  - {name: pick, kind: filter, steps: 4, rollout: {prompts: 2, group_size: 2, max_new_tokens: 12}, reward: {terms: [{term: length, max: 12, buffer: 11}]}, keep: "
             "[{filter: reward, at_least: -2}]}\n"
             "  - {name: again, kind: sft, steps: 4, batch: 2, stop_at: 6.8, data: %s/%s/pick.jsonl, optim: {lr: 1.0e-3}}\n",
             small_root, small_root, out);
    return lesson_recipe(SMALL_QWEN25, out, NULL, head, stages);
}

static void run_whole(const char *out) {
    fv_error err = {0};
    if (lesson_run(recipe_of(out), false, &err) != FV_OK) fail_msg("%s", err.text);
}

/* Both runs have the same end: weights, moments, metrics, the filter's rows, the exported model, evaluations but for their times. */
static void check_same_end(const char *a, const char *b) {
    static const char *const files[] = {"pick.jsonl", "model/model.safetensors", "evaluations/rl-greedy/samples.jsonl", "trajectories/step-12.jsonl", "bad_rows.jsonl"};
    char left[256], right[256];
    lesson_same_run(a, b);
    for (size_t i = 0; i < FV_COUNT(files); i++) {
        snprintf(left, sizeof left, "%s/%s/%s", small_root, a, files[i]);
        snprintf(right, sizeof right, "%s/%s/%s", small_root, b, files[i]);
        lesson_same_file(left, right);
    }
}

/* Nothing that has a final name is half a thing, and nothing temporary is left. */
static void check_tidy(const char *out) {
    fv_names names;
    char path[128];
    static const char *const folders[] = {"", "/checkpoints", "/trajectories"};
    for (size_t f = 0; f < FV_COUNT(folders); f++) {
        snprintf(path, sizeof path, "%s%s", out, folders[f]);
        MUST(fv_folder_list(&names, small_path(path), err));
        for (size_t i = 0; i < names.count; i++)
            if (strstr(names.names[i], ".tmp-")) fail_msg("%s/%s was left", path, names.names[i]);
        if (f == 1) assert_int_equal(names.count, 2); /* keep: 2 */
        fv_names_free(&names);
    }
}

/* A checkpoint that has a name is whole: everything in it can be opened. */
static void check_checkpoints_whole(const char *out) {
    fv_names names;
    char path[256], file[300];
    snprintf(path, sizeof path, "%s/checkpoints", out);
    if (fv_folder_list(&names, small_path(path), NULL) != FV_OK) return; /* killed before there was any */
    for (size_t i = 0; i < names.count; i++) {
        fv_model *m;
        fv_weights *w;
        json_t *state;
        if (strstr(names.names[i], ".tmp-")) continue;
        snprintf(path, sizeof path, "%s/%s/checkpoints/%s", small_root, out, names.names[i]);
        MUST(fv_model_open(&m, path, err));
        snprintf(file, sizeof file, "%s/trainer_state/optimizer.safetensors", path);
        MUST(fv_weights_open(&w, file, err));
        snprintf(file, sizeof file, "%s/trainer_state/state.json", path);
        MUST(fv_json_read(&state, file, FV_BAD_DATA, err));
        json_decref(state);
        fv_weights_close(w);
        fv_model_close(m);
    }
    fv_names_free(&names);
}

/* Runs it (or goes on with it) in a process of its own, which dies at write `at` (0: never) or after some milliseconds (0: never). True: it came to its end. */
static bool run_and_kill(const char *out, bool resume, int64_t at, int milliseconds) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        fv_error err = {0};
        if (at) fv_file_inject(at, FV_INJECT_KILL);
        _exit(lesson_run(recipe_of(out), resume, &err) == FV_OK ? 0 : (fprintf(stderr, "%s\n", err.text), 1));
    }
    if (milliseconds) {
        nanosleep(&(struct timespec){milliseconds / 1000, milliseconds % 1000 * 1000000L}, NULL);
        kill(child, SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status)) fail_msg("%s: the run failed by itself", out);
    if (WIFSIGNALED(status)) assert_int_equal(WTERMSIG(status), SIGKILL);
    return WIFEXITED(status);
}

/* How many writes a whole run makes, and how long it takes; leaves "whole" to compare with. */
static int64_t writes;
static int duration;

static int run_once(void **state) {
    if (lesson_begin(state)) return -1;
    lesson_with_cut_video("films.jsonl");
    struct timespec begin, end;
    int64_t before = fv_file_operations();
    clock_gettime(CLOCK_MONOTONIC, &begin);
    run_whole("whole");
    clock_gettime(CLOCK_MONOTONIC, &end);
    char *bad_rows;
    MUST(fv_file_read(&bad_rows, NULL, small_path("whole/bad_rows.jsonl"), err));
    assert_true(strstr(bad_rows, "\"film\"") && strstr(bad_rows, "ends early"));
    free(bad_rows);
    writes = fv_file_operations() - before;
    duration = (int)((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
    print_message("a run makes %d writes in %d ms\n", (int)writes, duration);
    return 0;
}

/* Killed again and again: at a random write, or at a random time, until it comes to its end. */
static void a_killed_run_ends_as_the_others(void **state) {
    (void)state;
    fv_random random = fv_random_stream(fv_random_key(11, "kill", 0, 0));
    int kills = 0;
    for (int round = 0; kills < KILLS; round++) {
        char out[32];
        snprintf(out, sizeof out, "killed%d", round);
        bool done = false, began = false;
        for (int tries = 0; !done; tries++) {
            bool by_time = fv_below(&random, 3) == 0;
            int64_t at = by_time ? 0 : 1 + fv_below(&random, writes);
            int wait = by_time ? 1 + (int)fv_below(&random, duration) : 0;
            if (tries == 6) at = wait = 0; /* enough: let it end */
            done = run_and_kill(out, began, at, wait);
            began = true;
            kills += !done;
            if (!done) check_checkpoints_whole(out);
        }
        check_same_end("whole", out);
        check_tidy(out);
        MUST(fv_path_remove(small_path(out), err));
    }
    print_message("%d kills\n", kills);
}

/* A disk that fills up at any of many writes: a message that names the file, whole checkpoints, and when there is room again it goes on. */
static void a_full_disk_stops_with_a_message(void **state) {
    (void)state;
    int stopped = 0;
    int64_t step = writes / 16 > 0 ? writes / 16 : 1;
    for (int64_t n = 1; n <= writes; n += step) {
        fv_error err = {0};
        fv_file_inject(n, FV_INJECT_FULL);
        fv_status s = lesson_run(recipe_of("full"), false, &err);
        fv_file_inject(0, FV_INJECT_NOTHING);
        if (s != FV_OK) {
            stopped++;
            if (s != FV_IO || !strstr(err.text, small_root) || !strstr(err.text, "No space left")) fail_msg("write %d: \"%s\"", (int)n, err.text);
            check_checkpoints_whole("full");
            if (lesson_run(recipe_of("full"), true, &err) != FV_OK) fail_msg("write %d: %s", (int)n, err.text);
        } /* else a line of the log was lost, which costs nothing */
        check_same_end("whole", "full");
        check_tidy("full");
        fv_path_remove(small_path("full"), NULL);
        fv_path_remove(small_path("full.1"), NULL);
    }
    print_message("%d of the disks that filled up stopped the run\n", stopped);
    assert_true(stopped >= 12);
}

/* A signal: the step is finished, a checkpoint written, and the run goes on from there. */
static void a_stopped_run_goes_on(void **state) {
    (void)state;
    static volatile int stop = 1;
    fv_train_options o = {.quiet = true, .stop = &stop};
    fv_error why = {0};
    for (int i = 0; i < 3; i++) {
        fv_recipe *r = recipe_of("stopped");
        o.resume = i > 0;
        assert_int_equal(fv_train(r, &o, &why), FV_CANCELLED);
        assert_non_null(strstr(why.text, "--resume"));
        fv_recipe_close(r);
    }
    assert_int_equal(lesson_run(recipe_of("stopped"), true, &why), FV_OK);
    check_same_end("whole", "stopped");
}

/* A run that has come to its end does nothing more. */
static void a_finished_run_stays(void **state) {
    (void)state;
    fv_error why = {0};
    char *before = lesson_metrics("whole");
    assert_int_equal(lesson_run(recipe_of("whole"), true, &why), FV_OK);
    char *after = lesson_metrics("whole");
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* What a checkpoint must not be: of another model. */
static void another_model_is_refused(void **state) {
    (void)state;
    fv_error why = {0};
    fv_recipe *r = lesson_recipe(SMALL_QWEN3, "whole", NULL, NULL, "  - {name: learn, kind: sft, steps: 20, batch: 2}\n");
    assert_int_not_equal(lesson_run(r, true, &why), FV_OK);
    assert_non_null(strstr(why.text, "optimizer.safetensors"));
}

/* A run goes on with the stages that it has done, and the one that it is in. */
static void other_stages_are_refused(void **state) {
    (void)state;
    static const char *const stages[] = {"  - {name: other, kind: sft, steps: 7, batch: 2, data: LESSON}\n", "  - {name: learn, kind: sft, steps: 7, batch: 2, data: LESSON}\n"};
    static const char *const says[] = {"whole: stage 1 was learn when this run did it and is other now", "whole: stage 2 was rl when this run did it and is missing now"};
    for (size_t i = 0; i < FV_COUNT(stages); i++) {
        char rest[256];
        fv_error why = {0};
        snprintf(rest, sizeof rest, "%.*s%s/films.jsonl}\n", (int)(strstr(stages[i], "LESSON") - stages[i]), stages[i], small_root);
        assert_int_equal(lesson_run(lesson_recipe(SMALL_QWEN25, "whole", NULL, "muon: [language_model.layers.*]", rest), true, &why), FV_BAD_RECIPE);
        if (!strstr(why.text, says[i])) fail_msg("%s", why.text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_run_ends_as_the_others),
        cmocka_unit_test(a_full_disk_stops_with_a_message),
        cmocka_unit_test(a_stopped_run_goes_on),
        cmocka_unit_test(a_finished_run_stays),
        cmocka_unit_test(another_model_is_refused),
        cmocka_unit_test(other_stages_are_refused),
    };
    return cmocka_run_group_tests(tests, run_once, small_end);
}
