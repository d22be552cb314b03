/* Training an adapter: miniatures of whole runs. The exactness of passes with one is in test_replay.c, PEFT's numbers are in tests/language/test_lora.c. */
#include "lesson.h"

#include <sys/wait.h>
#include <unistd.h>

static const char plain[] = "lora: {r: 4, alpha: 8, targets: [q_proj, v_proj, down_proj, attn.qkv], modules_to_save: [merger], rslora: true, dropout: 0.1}\n";
static const char dora[] = "lora: {r: 2, alpha: 4, targets: all-linear, dora: true, modules_to_save: [lm_head]}\n";

/* A supervised stage and a reinforced one, which has a reference; ends between checkpoints; an export. */
static fv_recipe *recipe_of(int kind, const char *out, int threads, const char *lora) {
    char head[512], stages[1024];
    snprintf(head, sizeof head, "threads: %d\ncheckpoint: {every: 2, keep: 2}\nexport: %s/%s/exported\n%s", threads, small_root, out, lora);
    snprintf(stages, sizeof stages,
             "  - {name: learn, kind: sft, steps: 3, batch: 2, data: %s/lesson.jsonl, optim: {lr: 1.0e-2}}\n"
             "  - {name: rl, kind: grpo, steps: 3, rollout: {prompts: 2, group_size: 3, max_new_tokens: 12}, reward: {terms: [{term: length, max: 12, buffer: 11}]}, objective: {kl: 0.1}, "
             "optim: {lr: 1.0e-2}}\n",
             small_root);
    return lesson_recipe(kind, out, NULL, head, stages);
}

static void run_whole(int kind, const char *out, int threads, const char *lora) {
    fv_error err = {0};
    if (lesson_run(recipe_of(kind, out, threads, lora), false, &err) != FV_OK) fail_msg("%s", err.text);
}

static int begin(void **state) {
    if (lesson_begin(state)) return -1;
    run_whole(SMALL_QWEN25, "plain", 1, plain);
    run_whole(SMALL_QWEN3, "dora", 1, dora);
    return 0;
}

/* What was sampled has the bits of what is trained, also with dropout among the recipe's settings; the reference is the model without its adapter, which the
 * policy has moved away from before; there are no whole models in the run folder. */
static void only_the_adapter_is_trained(void **state) {
    (void)state;
    static const char *const runs[] = {"plain", "dora"};
    for (size_t i = 0; i < FV_COUNT(runs); i++) {
        char *metrics = lesson_metrics(runs[i]), path[400];
        int rl = 0;
        for (char *line = strtok(metrics, "\n"); line; line = strtok(NULL, "\n")) {
            assert_true(lesson_value(line, "grad_norm") > 0);
            if (!strstr(line, "\"stage\": \"rl\"")) continue;
            rl++;
            assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0);
            assert_true(lesson_value(line, "kl") > 0);
        }
        assert_int_equal(rl, 3);
        free(metrics);
        const char *folder = lesson_checkpoint(runs[i]);
        assert_true(fv_lora_is_folder(folder));
        snprintf(path, sizeof path, "%s/model.safetensors", folder);
        assert_false(fv_file_exists(path));
        snprintf(path, sizeof path, "%s/%s/reference-rl", small_root, runs[i]);
        assert_false(fv_folder_exists(path));
    }
}

/* A checkpoint opens by itself: its model, from base_model_name_or_path, and the adapter, which is what was exported. */
static void checkpoints_are_adapters(void **state) {
    (void)state;
    static const char *const runs[] = {"plain", "dora"};
    for (size_t i = 0; i < FV_COUNT(runs); i++) {
        small s;
        char exported[300], checkpoint[400], from[440], to[440];
        snprintf(checkpoint, sizeof checkpoint, "%s", lesson_checkpoint(runs[i]));
        snprintf(exported, sizeof exported, "%s/%s/exported", small_root, runs[i]);
        small_open_at(&s, checkpoint, NULL, 1, false);
        assert_string_equal(s.model->folder, small_path(i ? "model1" : "model0"));
        json_t *facts = fv_lora_facts(s.model->lora);
        assert_int_equal(json_integer_value(json_object_get(facts, "r")), i ? 2 : 4);
        assert_true(json_integer_value(json_object_get(facts, "saved")) == (i ? 1 : 5)); /* lm_head; merger.ln_q, and two layers with their biases */
        json_decref(facts);
        small_close(&s);
        snprintf(from, sizeof from, "%s/adapter_model.safetensors", checkpoint);
        snprintf(to, sizeof to, "%s/adapter_model.safetensors", exported);
        lesson_same_file(from, to);
    }
}

static void threads_make_no_difference(void **state) {
    (void)state;
    run_whole(SMALL_QWEN25, "plain2", 2, plain);
    lesson_same_run("plain", "plain2");
}

/* Dropout changes the losses of a supervised stage as soon as B is not 0 any more, after the first step. */
static void dropout_is_on_where_rows_are_learned(void **state) {
    (void)state;
    run_whole(SMALL_QWEN25, "whole", 1, "lora: {r: 4, alpha: 8, targets: [q_proj, v_proj, down_proj, attn.qkv], modules_to_save: [merger], rslora: true}\n");
    char *with = lesson_metrics("plain"), *without = lesson_metrics("whole");
    assert_true(lesson_value(with, "loss") == lesson_value(without, "loss"));
    assert_true(lesson_value(strstr(with, "{\"step\": 2"), "loss") != lesson_value(strstr(without, "{\"step\": 2"), "loss"));
    free(with);
    free(without);
}

/* Killed at writes all over the run, and gone on with. */
static void a_killed_run_ends_as_the_others(void **state) {
    (void)state;
    static const char *const runs[] = {"plain", "dora"};
    for (size_t i = 0; i < FV_COUNT(runs); i++)
        for (int at = 25; at < 150; at += 60) {
            char out[32];
            bool ended = false;
            int tries = 0;
            snprintf(out, sizeof out, "%s-%d", runs[i], at);
            for (; !ended; tries++) {
                pid_t child = fork();
                assert_true(child >= 0 && tries < 20);
                if (child == 0) {
                    fv_error err = {0};
                    if (tries < 2) fv_file_inject(at, FV_INJECT_KILL);
                    _exit(lesson_run(recipe_of((int)i, out, 1, i ? dora : plain), tries > 0, &err) == FV_OK ? 0 : (fprintf(stderr, "%s\n", err.text), 1));
                }
                int status;
                assert_int_equal(waitpid(child, &status, 0), child);
                assert_false(WIFEXITED(status) && WEXITSTATUS(status));
                ended = WIFEXITED(status);
            }
            assert_true(tries > 1); /* it was killed */
            lesson_same_run(runs[i], out);
        }
}

/* `adapter` goes on from one: its own settings, its values. A model path that is an adapter's folder is the same. */
static void goes_on_from_an_adapter(void **state) {
    (void)state;
    char head[400], path[300], stage[400];
    fv_error err = {0};
    snprintf(stage, sizeof stage, "  - {name: more, kind: sft, steps: 2, batch: 2, data: %s/lesson.jsonl, optim: {lr: 1.0e-2}}\n", small_root);
    snprintf(head, sizeof head, "threads: 1\nadapter: %s/plain/exported", small_root);
    if (lesson_run(lesson_recipe(SMALL_QWEN25, "more", NULL, head, stage), false, &err) != FV_OK) fail_msg("%s", err.text);
    if (lesson_run(lesson_recipe(SMALL_QWEN25, "same", "plain/exported", "threads: 1", stage), false, &err) != FV_OK) fail_msg("%s", err.text);
    lesson_same_run("more", "same");
    json_t *was, *is;
    snprintf(path, sizeof path, "%s/adapter_config.json", lesson_checkpoint("more"));
    assert_int_equal(fv_json_read(&is, path, FV_BAD_MODEL, &err), FV_OK);
    assert_int_equal(fv_json_read(&was, small_path("plain/exported/adapter_config.json"), FV_BAD_MODEL, &err), FV_OK);
    assert_true(json_equal(is, was));
    json_decref(is);
    json_decref(was);
}

static void wrong_recipes_are_told(void **state) {
    (void)state;
    static const struct {
        const char *head, *complaint;
    } wrong[] = {
        {"lora: {r: 4}", "needs both r"},
        {"lora: {targets: [q_proj]}", "needs both r"},
        {"lora: {r: 4, targets: [q_proj]}\nadapter: somewhere", "there can only be one"},
        {"lora: {r: 4, targets: {a: 1}}", "lora.targets must be a list of names"},
    };
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        fv_recipe *r;
        fv_text t = {0};
        fv_error err = {0};
        fv_text_printf(&t, "model: {path: m}\ndata: d\n%s\nstages: [{kind: sft, steps: 1}]\n", wrong[i].head);
        assert_int_equal(fv_recipe_parse(&r, t.data, "wrong.yaml", NULL, 0, &err), FV_BAD_RECIPE);
        if (!strstr(err.text, wrong[i].complaint)) fail_msg("\"%s\" says nothing of \"%s\"", err.text, wrong[i].complaint);
        fv_text_clear(&t);
    }
    static const struct {
        const char *model, *head, *complaint;
    } late[] = {
        {NULL, "lora: {r: 4, targets: all-linear, dora: true, dropout: 0.1}", "dropout with DoRA"},
        {NULL, "lora: {r: 4, targets: [q_porj]}", "lesson.yaml: lora: target_modules takes no layer of the model"},
        {"plain/exported", "lora: {r: 4, targets: [q_proj]}", "is itself an adapter"},
    };
    for (size_t i = 0; i < FV_COUNT(late); i++) {
        fv_error err = {0};
        fv_recipe *r = lesson_recipe(SMALL_QWEN25, "wrong", late[i].model, late[i].head, "  - {name: learn, kind: sft, steps: 1, batch: 2}\n");
        assert_int_not_equal(lesson_run(r, false, &err), FV_OK);
        if (!strstr(err.text, late[i].complaint)) fail_msg("\"%s\" says nothing of \"%s\"", err.text, late[i].complaint);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_adapter_is_trained),     cmocka_unit_test(checkpoints_are_adapters), cmocka_unit_test(threads_make_no_difference),
        cmocka_unit_test(dropout_is_on_where_rows_are_learned), cmocka_unit_test(a_killed_run_ends_as_the_others), cmocka_unit_test(goes_on_from_an_adapter),  cmocka_unit_test(wrong_recipes_are_told),
    };
    return cmocka_run_group_tests(tests, begin, small_end);
}
