/* Every family through miniatures of whole runs, with weights in f32 and in bf16, trained whole and by an adapter; those that see are shown a clip. What was
 * sampled has the bits of what is trained, on another instruction set and number of threads, too, and a run that is stopped ends as the others. */
#include "lesson.h"

static const char adapter[] = "lora: {r: 2, alpha: 4, targets: all-linear}\n";

/* NAME-lesson.jsonl (whole conversations) and NAME-questions.jsonl (their first turns). */
static void write_rows(const char *name, const char *content) {
    fv_text lesson = {0}, questions = {0};
    char path[64];
    for (int i = 0; i < LESSON_ROWS; i++) {
        fv_text *both[] = {&lesson, &questions};
        for (size_t k = 0; k < FV_COUNT(both); k++) fv_text_printf(both[k], "{\"id\": \"row%d\", \"answer\": \"%d\", \"messages\": [{\"role\": \"user\", \"content\": %s}", i, i, content);
        fv_text_printf(&lesson, ", {\"role\": \"assistant\", \"content\": \"<answer>%d</answer>\"}", i);
        for (size_t k = 0; k < FV_COUNT(both); k++) fv_text_add(both[k], "]}\n");
    }
    snprintf(path, sizeof path, "%s-lesson.jsonl", name);
    small_write(path, lesson.data);
    snprintf(path, sizeof path, "%s-questions.jsonl", name);
    small_write(path, questions.data);
    fv_text_clear(&lesson);
    fv_text_clear(&questions);
}

static int begin(void **state) {
    if (lesson_begin(state)) return -1;
    write_rows("text", "\"What moved?\"");
    write_rows("clip", "[{\"type\": \"video\", \"video\": [\"a.png\", \"b.png\", \"crop.png\", \"a.png\"]}, {\"type\": \"text\", \"text\": \"What moved?\"}]");
    return 0;
}

/* A supervised stage and a reinforced one, which has a reference; entropy moves it where all of a group earn the same. */
static fv_recipe *recipe_of(int kind, const char *out, int threads, const char *lora) {
    const char *rows = kind == SMALL_TEXT2 || kind == SMALL_TEXT3 ? "text" : "clip";
    fv_text t = {0};
    fv_recipe *r;
    fv_error err = {0};
    fv_text_printf(&t, "name: family\nseed: 3\nout: %s/%s\nmodel: {path: %s/model%d}\ndata: %s/%s-questions.jsonl\n", small_root, out, small_root, kind, small_root, rows);
    fv_text_printf(&t, "threads: %d\ncheckpoint: {every: 2, keep: 2}\n%sstages:\n", threads, lora);
    fv_text_printf(&t, "  - {name: learn, kind: sft, steps: 2, batch: 2, data: %s/%s-lesson.jsonl, optim: {lr: 1.0e-2}}\n", small_root, rows);
    fv_text_add(&t, "  - {name: rl, kind: grpo, steps: 2, rollout: {prompts: 2, group_size: 3, max_new_tokens: 12}, reward: {terms: [{term: length, max: 12, buffer: 11}]}, "
                    "objective: {kl: 0.1}, auxiliary: [{kind: entropy, coefficient: 0.01}], optim: {lr: 1.0e-2}}\n");
    if (fv_recipe_parse(&r, t.data, "family.yaml", NULL, 0, &err) != FV_OK) fail_msg("%s", err.text);
    fv_text_clear(&t);
    return r;
}

static void run_whole(int kind, const char *out, int threads, const char *lora) {
    fv_error err = {0};
    if (lesson_run(recipe_of(kind, out, threads, lora), false, &err) != FV_OK) fail_msg("%s: %s", small_configs[kind], err.text);
}

/* Each step moved something, and what was sampled had the bits of the pass that trained it. */
static void check_exact(const char *run) {
    char *metrics = lesson_metrics(run);
    int steps = 0, sampled = 0;
    for (char *line = strtok(metrics, "\n"); line; line = strtok(NULL, "\n"), steps++) {
        assert_true(lesson_value(line, "grad_norm") > 0);
        if (!strstr(line, "\"stage\": \"rl\"")) continue;
        sampled++;
        assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0);
    }
    assert_true(steps == 4 && sampled == 2);
    free(metrics);
}

/* Stopped after each of its first two steps, in the middle of a stage and at its end. */
static void run_stopped(int kind, const char *out, const char *lora) {
    static volatile int stop = 1;
    fv_error err = {0};
    for (int i = 0; i < 2; i++) {
        fv_recipe *r = recipe_of(kind, out, 1, lora);
        fv_train_options o = {.resume = i > 0, .quiet = true, .stop = &stop};
        assert_int_equal(fv_train(r, &o, &err), FV_CANCELLED);
        fv_recipe_close(r);
    }
    if (lesson_run(recipe_of(kind, out, 1, lora), true, &err) != FV_OK) fail_msg("%s", err.text);
}

static void every_way_runs_the_same(void **state) {
    int kind = (int)(intptr_t)*state;
    const fv_ops *tables[4];
    static const char *const ways[] = {"", adapter};
    int n = fv_ops_cpu_all(tables, 4); /* the first is what a run takes by itself, the last the plainest */
    for (size_t i = 0; i < FV_COUNT(ways); i++) {
        char whole[32], other[32], stopped[32];
        snprintf(whole, sizeof whole, "whole%d-%zu", kind, i);
        snprintf(other, sizeof other, "other%d-%zu", kind, i);
        snprintf(stopped, sizeof stopped, "stopped%d-%zu", kind, i);
        run_whole(kind, whole, 1, ways[i]);
        check_exact(whole);
        setenv("FOVEA_ISA", strrchr(tables[n - 1]->name, '-') + 1, 1); /* "cpu-scalar" */
        run_whole(kind, other, 2, ways[i]);
        unsetenv("FOVEA_ISA");
        lesson_same_run(whole, other);
        run_stopped(kind, stopped, ways[i]);
        lesson_same_run(whole, stopped);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"every way runs the same (Qwen2.5-VL)", every_way_runs_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"every way runs the same (Qwen3-VL)", every_way_runs_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        {"every way runs the same (Qwen2-VL, bf16)", every_way_runs_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN2_VL},
        {"every way runs the same (Qwen2)", every_way_runs_the_same, NULL, NULL, (void *)(intptr_t)SMALL_TEXT2},
        {"every way runs the same (Qwen3, bf16)", every_way_runs_the_same, NULL, NULL, (void *)(intptr_t)SMALL_TEXT3},
    };
    return cmocka_run_group_tests(tests, begin, small_end);
}
