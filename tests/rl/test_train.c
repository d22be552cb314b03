/* Miniatures of training: a model learns to zoom and is then reinforced. Same seed, same run, whatever it runs on. */
#include "lesson.h"

static const char rl_stage[] = "  - {name: rl, kind: grpo, steps: 4, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60, show: 2, every: 2}, reward: {terms: [{term: exact}, {term: "
                               "format, weight: 0.1}]}, dynamic_sampling: 2, objective: {kl: 0.05, clip_high: 0.3}, auxiliary: [{kind: entropy, coefficient: 0.01}], "
                               "optim: {lr: 2.0e-3, micro_tokens: 700}}\n";

static char taught[SMALL_KINDS][64]; /* models that have learned the lesson, by their paths below the root */

/* Three more steps of the lesson, then `rest`. */
static void train(int kind, const char *out, const char *head, const char *rest) {
    fv_error err = {0};
    fv_text t = {0};
    char *learn = lesson_sft(3);
    fv_text_printf(&t, "%s%s", learn, rest);
    if (lesson_run(lesson_recipe(kind, out, taught[kind], head, t.data), false, &err) != FV_OK) fail_msg("%s", err.text);
    free(learn);
    fv_text_clear(&t);
}

static int teach(void **state) {
    if (lesson_begin(state)) return -1;
    for (int k = 0; k < SMALL_KINDS; k++) {
        fv_error err = {0};
        char out[16], *stages = lesson_sft(60);
        snprintf(out, sizeof out, "taught%d", k);
        if (lesson_run(lesson_recipe(k, out, NULL, NULL, stages), false, &err) != FV_OK) fail_msg("%s", err.text);
        snprintf(taught[k], sizeof taught[k], "%s/checkpoints/step-60", out);
        free(stages);
    }
    return 0;
}

/* All instruction sets, but with a sanitizer's checks, which make the others slow, the best one. */
static int first_table(int n) {
#ifdef __SANITIZE_ADDRESS__
    return n - 1;
#else
    (void)n;
    return 0;
#endif
}

static void same_seed_same_run(void **state) {
    int kind = (int)(intptr_t)*state;
    const fv_ops *tables[4];
    int n = fv_ops_cpu_all(tables, 4);
    char first[32], out[32], head[128];
    snprintf(first, sizeof first, "run%d", kind);
    static const char *const muon[SMALL_KINDS] = {[SMALL_QWEN25] = "muon: [language_model.layers.*, visual.blocks.*]"}; /* one kind with it, the others without */
    snprintf(head, sizeof head, "threads: 1\n%s", muon[kind] ? muon[kind] : "");
    train(kind, first, head, rl_stage);
    for (int i = first_table(n); i < n; i++)
        for (int threads = 1; threads <= 2; threads++) {
            snprintf(out, sizeof out, "run%d-%d-%d", kind, i, threads);
            snprintf(head, sizeof head, "threads: %d\n%s", threads, muon[kind] ? muon[kind] : "");
            setenv("FOVEA_ISA", strrchr(tables[i]->name, '-') + 1, 1); /* "cpu-avx2" */
            train(kind, out, head, rl_stage);
            unsetenv("FOVEA_ISA");
            lesson_same_run(first, out);
        }
}

static void another_seed_differs(void **state) {
    (void)state;
    train(SMALL_QWEN25, "seeded", "threads: 1\nseed: 4", rl_stage);
    char *a = lesson_metrics("run0"), *b = lesson_metrics("seeded");
    assert_string_not_equal(a, b);
    free(a);
    free(b);
}

/* What the steps of a run say of themselves. */
static void steps_say_what_was_done(void **state) {
    (void)state;
    char *metrics = lesson_metrics("run0");
    int rl = 0, moved = 0, lines = 0;
    for (char *line = strtok(metrics, "\n"); line; line = strtok(NULL, "\n")) {
        assert_true(lesson_value(line, "step") == ++lines);
        if (!strstr(line, "\"stage\": \"rl\"")) {
            assert_true(lesson_value(line, "loss") > 0 && lesson_value(line, "grad_norm") > 0);
            continue;
        }
        rl++;
        assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0);
        assert_true(lesson_value(line, "sampling/sampling_logp_difference/mean") == 0);
        assert_true(lesson_value(line, "sampling/importance_sampling_ratio/min") == 1 && lesson_value(line, "sampling/importance_sampling_ratio/max") == 1);
        double kl = lesson_value(line, "kl"), flat = lesson_value(line, "frac_reward_zero_std");
        assert_true(rl == 1 ? kl == 0 : kl >= 0); /* the policy sets out from its reference */
        moved += kl > 0;
        assert_true(flat >= 0 && flat <= 1);
        assert_true(lesson_value(line, "num_turns/max") >= 2 && lesson_value(line, "num_turns/min") >= 1 && lesson_value(line, "num_turns/min") <= lesson_value(line, "num_turns/mean") && lesson_value(line, "tools/call_frequency") > 0);
        assert_true(lesson_value(line, "rewards/format/mean") <= 1 && isfinite(lesson_value(line, "completions/mean_length")));
        assert_true(lesson_value(line, "grad_norm") > 0);
    }
    free(metrics);
    assert_true(lines == 7 && rl == 4 && moved == 3);
}

/* Several updates on a batch: only the first is on-policy, and the comparison covers all of it before. */
static void later_updates_are_off_policy(void **state) {
    (void)state;
    train(SMALL_QWEN25, "updates", "threads: 2",
          "  - {name: rl, kind: grpo, steps: 2, updates: 3, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60}, objective: {normalise: responses, clip_low: 0.0001, clip_high: "
          "0.0001}, optim: {lr: 1.0e-2}}\n");
    char *metrics = lesson_metrics("updates"), *line = strstr(metrics, "{\"step\": 4");
    assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0);
    double low = lesson_value(line, "clip_ratio/low_mean"), high = lesson_value(line, "clip_ratio/high_mean");
    assert_true(low + high > 0 && lesson_value(line, "clip_ratio/region_mean") == low + high);
    assert_true(lesson_value(line, "clip_ratio/low_min") == 0 && lesson_value(line, "clip_ratio/high_max") > high); /* of the updates; the first clips nothing */
    free(metrics);
}

/* An update's gradient does not depend on how many rows go through at once, but for the order of sums. */
static void passes_do_not_change_an_update(void **state) {
    (void)state;
    static const char stage[] = "  - {name: rl, kind: grpo, steps: 1, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60}, optim: {lr: 1.0e-3, micro_tokens: %d}}\n";
    double loss[2], norm[2];
    for (int k = 0; k < 2; k++) {
        char text[512];
        const char *out = k ? "micro" : "whole";
        snprintf(text, sizeof text, stage, k ? 1 : 100000);
        train(SMALL_QWEN3, out, "", text);
        char *metrics = lesson_metrics(out), *line = strstr(metrics, "{\"step\": 4");
        loss[k] = lesson_value(line, "loss");
        norm[k] = lesson_value(line, "grad_norm");
        free(metrics);
    }
    assert_true(norm[0] > 0 && fabs(norm[0] - norm[1]) < 1e-5 * norm[0] && fabs(loss[0] - loss[1]) < 1e-6);
}

/* Blocks that run again on the way back, of rows to learn and of what was sampled (whose forward decoding had recorded): the same run. */
static void blocks_may_run_again(void **state) {
    (void)state;
    static const char stages[] = "  - {name: more, kind: sft, steps: 2, batch: 4, data: %s/lesson.jsonl, optim: {lr: 1.0e-3, gradient_checkpointing: %s}}\n"
                                 "  - {name: rl, kind: grpo, steps: 2, verify: 2, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60}, optim: {lr: 1.0e-3, gradient_checkpointing: %s}}\n";
    for (int k = 0; k < 2; k++) {
        char text[640];
        const char *again = k ? "true" : "false";
        snprintf(text, sizeof text, stages, small_root, again, again);
        train(SMALL_QWEN3, k ? "again" : "kept-blocks", "", text);
    }
    lesson_same_run("again", "kept-blocks");
}

/* A term that weighs nothing at first is in the metrics from the first step on, and then pays what its schedule says; so does nucleus sampling begin with none. */
static void weights_go_with_the_step(void **state) {
    (void)state;
    static const char stage[] = "  - {name: rl, kind: grpo, steps: 4, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60, top_p: %s}, "
                                "reward: {terms: [{term: exact}, {term: format, weight: {linear: [0, 0.8]}}]}, optim: {lr: 1.0e-3}}\n";
    static const char *const top_p[] = {"{linear: [1, 0.1]}", "1.0"};
    char *lines[2][4], *metrics[2];
    double formed = 0;
    for (int k = 0; k < 2; k++) {
        char text[512], start[32];
        snprintf(text, sizeof text, stage, top_p[k]);
        train(SMALL_QWEN25, k ? "weighed" : "narrowed", "threads: 1", text);
        metrics[k] = lesson_metrics(k ? "weighed" : "narrowed");
        for (int i = 0; i < 4; i++) {
            snprintf(start, sizeof start, "{\"step\": %d", 4 + i);
            char *line = lines[k][i] = strstr(metrics[k], start);
            double form = lesson_value(line, "rewards/format/mean"), paid = lesson_value(line, "rewards/exact/mean") + 0.2 * i * form;
            assert_true(fabs(lesson_value(line, "reward") - paid) < 1e-9);
            formed += form;
            assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0);
        }
    }
    size_t first = (size_t)(lines[0][1] - lines[0][0]);
    assert_true(formed > 0 && first == (size_t)(lines[1][1] - lines[1][0]) && !memcmp(lines[0][0], lines[1][0], first));
    assert_string_not_equal(lines[0][3], lines[1][3]);
    free(metrics[0]);
    free(metrics[1]);
}

/* Rejection sampling: good trajectories become rows of tokens, which a later stage learns from. */
static void what_is_kept_can_be_learned(void **state) {
    (void)state;
    train(SMALL_QWEN3, "kept", "",
             "  - {name: pick, kind: filter, steps: 2, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60}, keep: [{filter: reward, at_least: 1.0}]}\n"
             "  - {name: again, kind: sft, steps: 3, batch: 3, data: {stage: pick}, optim: {lr: 1.0e-3}}\n");
    char *metrics = lesson_metrics("kept"), *line = strstr(metrics, "{\"step\": 4");
    double share = lesson_value(line, "filter/kept");
    assert_true(share > 0 && share < 1);
    line = strstr(metrics, "{\"step\": 8");
    assert_true(lesson_value(line, "loss") > 0);
    free(metrics);
    char *rows;
    MUST(fv_file_read(&rows, NULL, small_path("kept/pick.jsonl"), err));
    for (char *row = strtok(rows, "\n"); row; row = strtok(NULL, "\n")) {
        assert_true(lesson_value(row, "reward") == 1);
        assert_non_null(strstr(row, "\"input_ids\": ["));
    }
    free(rows);
}

/* Held-out answers are shown with all that reinforcement pays for them, before it and after it. */
static void check_shown(const char *evaluation) {
    char path[128], *text;
    snprintf(path, sizeof path, "evaluated/evaluations/%s/trajectories.jsonl", evaluation);
    MUST(fv_file_read(&text, NULL, small_path(path), err));
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        json_t *j = json_loads(line, 0, NULL);
        const json_t *terms = json_object_get(j, "terms");
        double sum = 0.8 * fv_get_num(terms, "exact") + 0.2 * fv_get_num(terms, "format") + 0.4 * fv_get_num(terms, "tool");
        assert_true(json_object_size(terms) == 3 && fabs(fv_get_num(j, "reward") - sum) < 1e-9);
        json_decref(j);
    }
    assert_int_equal(lines, LESSON_ROWS);
    free(text);
}

static void evaluations_are_written(void **state) {
    (void)state;
    static const char rl[] = "  - {name: rl, kind: grpo, steps: 1, rollout: {prompts: 2, group_size: 2, max_new_tokens: 60}, optim: {lr: 1.0e-4}, "
                             "reward: {terms: [{term: exact, weight: 0.8}, {term: format, weight: 0.2}, {term: tool, weight: 0.4}]}}\n";
    char head[512];
    snprintf(head, sizeof head, "eval_data: %s/questions.jsonl\nevaluate: {modes: [sampled, greedy, no_tool], max_new_tokens: 60}\nexport: %s/exported\nsave: bf16", small_root, small_root);
    train(SMALL_QWEN25, "evaluated", head, rl);
    json_t *summary;
    MUST(fv_json_read(&summary, small_path("evaluated/summary.json"), FV_BAD_DATA, err));
    const json_t *e = json_object_get(summary, "evaluations");
    assert_int_equal(json_array_size(e), 6);
    for (size_t i = 0; i < 3; i++) {
        const json_t *one = json_array_get(e, i);
        double accuracy = fv_get_num(one, "accuracy");
        assert_int_equal(fv_get_int(one, "n"), LESSON_ROWS);
        assert_string_equal(fv_get_text(one, "after_stage"), "learn");
        assert_true(accuracy >= 0 && accuracy <= 1);
        assert_true(json_number_value(json_array_get(fv_get(one, "ci95"), 0)) <= accuracy);
        if (i == 1) assert_true(accuracy == 0.5 && fv_get_num(one, "calls_per_answer") > 0); /* equal questions with two answers */
    }
    assert_true(fv_get_num(summary, "seconds") > 0);
    assert_string_equal(fv_get_text(json_array_get(json_object_get(summary, "stages"), 0), "kind"), "sft");
    json_decref(summary);
    check_shown("learn-sampled");
    check_shown("rl-greedy");
    assert_true(fv_file_exists(small_path("evaluated/evaluations/learn-greedy/samples.jsonl")) && fv_file_exists(small_path("evaluated/report.html")));
    fv_model *m;
    MUST(fv_model_open(&m, small_path("exported"), err));
    assert_int_equal(m->weights[0].view.dtype, FV_BF16);
    fv_model_close(m);
}

/* Rows that can't be used: noted and left out, or the end of it, as the user chose. */
static void bad_rows_are_skipped_or_stop(void **state) {
    (void)state;
    fv_error why = {0};
    char stages[512], *noted;
    fv_text t = {0};
    MUST(fv_file_read(&noted, NULL, small_path("lesson.jsonl"), err));
    fv_text_printf(&t, "%s{\"id\": \"broken\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"nowhere.png\"}]}], \"answer\": \"1\"}\n", noted);
    free(noted);
    small_write("some-bad.jsonl", t.data);
    fv_text_clear(&t);
    snprintf(stages, sizeof stages, "  - {kind: sft, steps: 3, batch: 5, data: %s/some-bad.jsonl}\n", small_root);
    assert_int_equal(lesson_run(lesson_recipe(0, "skip", NULL, "bad_rows: skip", stages), false, &why), FV_OK);
    MUST(fv_file_read(&noted, NULL, small_path("skip/bad_rows.jsonl"), err));
    assert_non_null(strstr(noted, "\"broken\""));
    assert_non_null(strstr(noted, "nowhere.png"));
    free(noted);
    char *metrics = lesson_metrics("skip");
    assert_true(lesson_value(metrics, "data/bad_rows") == 1);
    free(metrics);
    snprintf(stages, sizeof stages, "  - {kind: sft, epochs: 1, batch: 1, data: %s/some-bad.jsonl}\n", small_root); /* one step has nothing but the bad row */
    assert_int_equal(lesson_run(lesson_recipe(0, "skip-step", NULL, "bad_rows: skip", stages), false, &why), FV_OK);
    metrics = lesson_metrics("skip-step");
    assert_non_null(strstr(metrics, "\"loss\": null"));
    free(metrics);
    assert_int_not_equal(lesson_run(lesson_recipe(0, "stop", NULL, "bad_rows: stop", stages), false, &why), FV_OK);
    assert_non_null(strstr(why.text, "nowhere.png"));
    snprintf(stages, sizeof stages, "  - {name: rl, kind: grpo, steps: 2, rollout: {prompts: 5, group_size: 2, max_new_tokens: 8}, data: %s/some-bad.jsonl}\n", small_root);
    assert_int_equal(lesson_run(lesson_recipe(0, "skip-rl", NULL, NULL, stages), false, &why), FV_OK);
    metrics = lesson_metrics("skip-rl");
    assert_true(fabs(lesson_value(metrics, "response/aborted_ratio") - 0.2) < 1e-12 && lesson_value(metrics, "data/bad_rows") == 1);
    assert_true(lesson_value(metrics, "sampling/sampling_logp_difference/max") == 0);
    free(metrics);
}

/* A video that ends early is such a row, in every kind of stage; each step says how many it has skipped. */
static void cut_videos_are_skipped_or_stop(void **state) {
    (void)state;
    static const char *const stages[] = {"  - {kind: sft, steps: 2, batch: 5, data: %s/films.jsonl}\n",
                                         "  - {kind: grpo, steps: 2, rollout: {prompts: 5, group_size: 2, max_new_tokens: 8}, data: %s/films.jsonl}\n",
                                         "  - {kind: filter, steps: 2, rollout: {prompts: 5, group_size: 2, max_new_tokens: 8}, data: %s/films.jsonl}\n"};
    lesson_with_cut_video("films.jsonl");
    for (size_t k = 0; k < FV_COUNT(stages); k++) {
        fv_error why = {0};
        char text[256], out[32], path[64], *noted;
        int steps = 0, rows = 0;
        snprintf(text, sizeof text, stages[k], small_root);
        snprintf(out, sizeof out, "films%zu", k);
        snprintf(path, sizeof path, "%s/bad_rows.jsonl", out);
        if (lesson_run(lesson_recipe(0, out, NULL, "bad_rows: skip", text), false, &why) != FV_OK) fail_msg("%s", why.text);
        char *metrics = lesson_metrics(out);
        for (char *line = strtok(metrics, "\n"); line; line = strtok(NULL, "\n"), steps++) assert_true(lesson_value(line, "data/bad_rows") == 1); /* all five rows are in each */
        free(metrics);
        MUST(fv_file_read(&noted, NULL, small_path(path), err));
        for (char *line = strtok(noted, "\n"); line; line = strtok(NULL, "\n"), rows++)
            assert_true(strstr(line, "\"film\"") && strstr(line, "films.jsonl:5: ") && strstr(line, "ends early"));
        free(noted);
        assert_true(steps == 2 && rows == 2);
        assert_int_not_equal(lesson_run(lesson_recipe(0, "films-stop", NULL, "bad_rows: stop", text), false, &why), FV_OK);
        assert_non_null(strstr(why.text, "ends early"));
    }
}

/* Products in bf16, where the processor has them: what is sampled still has the log-probs of training, and threads change nothing. */
static void bf16_is_on_policy(void **state) {
    (void)state;
    const fv_ops *ops;
    fv_error why;
    if (fv_ops_find(&ops, "cpu", "bf16", &why) != FV_OK) skip();
    for (int threads = 1; threads <= 2; threads++) {
        char head[64], out[16];
        snprintf(head, sizeof head, "threads: %d\nprecision: bf16", threads);
        snprintf(out, sizeof out, "bf16-%d", threads);
        fv_error err = {0};
        if (lesson_run(lesson_recipe(0, out, NULL, head, "  - {name: rl, kind: grpo, steps: 2, rollout: {prompts: 3, group_size: 4, max_new_tokens: 24}, reward: {terms: [{term: length, max: 24, buffer: 20}]}}\n"), false, &err) != FV_OK)
            fail_msg("%s", err.text);
        char *metrics = lesson_metrics(out);
        assert_true(lesson_value(metrics, "sampling/sampling_logp_difference/max") == 0 && lesson_value(metrics, "grad_norm") > 0);
        free(metrics);
    }
    lesson_same_run("bf16-1", "bf16-2");
}

/* Weights under `part` of two checkpoints: all of them the same, or none. */
static void compare_part(const char *a, const char *b, const char *part, bool same) {
    fv_weights *x, *y;
    char path[2][160];
    int seen = 0;
    snprintf(path[0], sizeof path[0], "%s/model.safetensors", a);
    snprintf(path[1], sizeof path[1], "%s/model.safetensors", b);
    MUST(fv_weights_open(&x, small_path(path[0]), err));
    MUST(fv_weights_open(&y, small_path(path[1]), err));
    for (size_t i = 0; i < fv_weights_count(x); i++) {
        const fv_tensor *v = fv_weights_at(x, i);
        fv_view w;
        if (!strstr(v->name, part)) continue;
        MUST(fv_weights_get(y, v->name, &w, err));
        if (same != (memcmp(v->view.data, w.data, fv_bytes(w)) == 0)) fail_msg("%s: %s %s", b, v->name, same ? "has moved" : "has not moved");
        seen++;
    }
    assert_true(seen > 0);
    fv_weights_close(x);
    fv_weights_close(y);
}

/* A stage's own freeze takes the place of the recipe's. What is held in one stage has the bits that it had, and learns in the next; a stage that holds what another run freezes
 * throughout has that run's bits. */
static void stages_freeze_their_own(void **state) {
    (void)state;
    char stages[1024], one[600];
    fv_error err = {0};
    snprintf(one, sizeof one, "  - {name: one, kind: sft, steps: 2, batch: 4, data: %s/lesson.jsonl, optim: {lr: 1.0e-2, weight_decay: 0.1}}\n", small_root);
    snprintf(stages, sizeof stages, "%s  - {name: two, kind: grpo, freeze: [language_model.*], steps: 2, rollout: {prompts: 4, group_size: 4, max_new_tokens: 60}, optim: {lr: 1.0e-2, weight_decay: 0.1}}\n", one);
    if (lesson_run(lesson_recipe(0, "hold-one", taught[0], "freeze: [visual.*]", one), false, &err) != FV_OK) fail_msg("%s", err.text);
    if (lesson_run(lesson_recipe(0, "hold-two", taught[0], "freeze: [visual.*]", stages), false, &err) != FV_OK) fail_msg("%s", err.text);
    compare_part("hold-one/checkpoints/step-2", "hold-two/checkpoints/step-2", "", true);
    compare_part(taught[0], "hold-two/checkpoints/step-2", "visual.", true);
    compare_part(taught[0], "hold-two/checkpoints/step-2", "layers.0.mlp", false);
    compare_part("hold-two/checkpoints/step-2", "hold-two/checkpoints/step-4", "layers.", true);
    compare_part("hold-two/checkpoints/step-2", "hold-two/checkpoints/step-4", "visual.blocks.0.mlp", false);
}

static void mistakes_have_messages(void **state) {
    (void)state;
    fv_text wild = {0}; /* weights so large that their products are no numbers */
    const char *range = strstr(small_configs[0], "\"initializer_range\": 0.2");
    fv_text_printf(&wild, "%.*s\"initializer_range\": 1e30%s", (int)(range - small_configs[0]), small_configs[0], range + strlen("\"initializer_range\": 0.2"));
    small_write("wild.json", wild.data);
    fv_text_clear(&wild);
    MUST(fv_model_init(small_path("wild.json"), 1, small_path("wild"), FV_F32, err));
    static const struct {
        const char *model, *head, *stages, *want;
    } cases[] = {
        {"nowhere", "", "  - {kind: sft}\n", "nowhere"},
        {NULL, "freeze: [nothing.*]", "  - {kind: sft, data: LESSON}\n", "freeze: nothing.*"},
        {NULL, "freeze: ['*']", "  - {kind: sft, data: LESSON}\n", "nothing is left to train"},
        {NULL, "", "  - {name: one, kind: sft, steps: 1, data: LESSON}\n  - {name: two, kind: sft, steps: 1, freeze: ['*']}\n", "stages.two: freeze: all weights are frozen"},
        {NULL, "freeze: ['*q_proj*']\nlora: {r: 2, targets: [q_proj]}", "  - {kind: sft, data: LESSON}\n", "freeze: all weights that the adapter changes are frozen"},
        {NULL, "muon: [nothing.*]", "  - {kind: sft, data: LESSON}\n", "muon: nothing.*"},
        {NULL, "", "  - {kind: sft, data: nowhere.jsonl}\n", "nowhere.jsonl"},
        {NULL, "", "  - {kind: sft, epochs: 0}\n", "lesson.yaml: stages.sft: neither steps nor epochs"},
        {NULL, "", "  - {kind: sft, max_tokens: 16, steps: 1}\n", "bad_rows.jsonl says what was skipped"},
        {NULL, "device: cuda", "  - {kind: sft}\n", "cuda"},
        {"wild", "", "  - {kind: sft, steps: 3, batch: 4, data: LESSON}\n", "a lower optim.lr may help"},
        {NULL, "eval_data: nowhere.jsonl", "  - {kind: sft, steps: 1, data: LESSON}\n", "nowhere.jsonl"},
        {NULL, "", "  - {name: one, kind: sft, steps: 1, data: LESSON}\n  - {name: two, kind: sft, data: nowhere.jsonl}\n", "nowhere.jsonl"},
    };
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_error err = {0};
        char out[32], stages[512];
        const char *lesson = strstr(cases[i].stages, "LESSON");
        snprintf(out, sizeof out, "mistake%zu", i);
        if (lesson) snprintf(stages, sizeof stages, "%.*s%s/lesson.jsonl%s", (int)(lesson - cases[i].stages), cases[i].stages, small_root, lesson + 6);
        else snprintf(stages, sizeof stages, "%s", cases[i].stages);
        if (lesson_run(lesson_recipe(0, out, cases[i].model, cases[i].head, stages), false, &err) == FV_OK) fail_msg("case %zu was taken", i);
        if (!strstr(err.text, cases[i].want)) fail_msg("case %zu says \"%s\"", i, err.text);
        char metrics[64];
        snprintf(metrics, sizeof metrics, "%s/metrics.jsonl", out);
        json_t *line = NULL; /* what can be known before the first step is told before it */
        if (fv_json_read(&line, small_path(metrics), FV_BAD_DATA, NULL) == FV_OK) fail_msg("case %zu went as far as a step", i);
    }
}

/* Rows of which none can be used end a stage: it would learn nothing to its end. */
static void nothing_to_score_is_an_error(void **state) {
    (void)state;
    static const char *const kinds[] = {"grpo", "filter"};
    small_write("all-bad.jsonl", "{\"id\": \"broken\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"nowhere.png\"}]}], \"answer\": \"1\"}\n"
                                 "{\"id\": \"unanswered\", \"messages\": [{\"role\": \"user\", \"content\": \"Why?\"}]}\n");
    for (size_t i = 0; i < FV_COUNT(kinds); i++) {
        fv_error why = {0};
        char stages[512], out[32];
        snprintf(stages, sizeof stages, "  - {kind: %s, steps: 9, rollout: {prompts: 2, group_size: 2, max_new_tokens: 4}, data: %s/all-bad.jsonl}\n", kinds[i], small_root);
        snprintf(out, sizeof out, "fruitless%zu", i);
        assert_int_equal(lesson_run(lesson_recipe(0, out, NULL, NULL, stages), false, &why), FV_BAD_DATA);
        assert_non_null(strstr(why.text, "none of 2 rows could be used"));
        assert_non_null(strstr(why.text, "nowhere.png"));
    }
}

/* An exported model takes an older one's place, which is kept, and no other folder's. */
static void exports_cost_nobody_anything(void **state) {
    (void)state;
    fv_error why = {0};
    char head[512], stages[512];
    snprintf(stages, sizeof stages, "  - {kind: sft, steps: 1, batch: 1, data: %s/lesson.jsonl}\n", small_root);
    MUST(fv_folder_make(small_path("mine"), err));
    small_write("mine/letter.txt", "Dear");
    snprintf(head, sizeof head, "export: %s/mine", small_root);
    assert_int_equal(lesson_run(lesson_recipe(0, "exports", NULL, head, stages), false, &why), FV_BAD_RECIPE);
    assert_non_null(strstr(why.text, "mine holds something else"));
    assert_true(fv_file_exists(small_path("mine/letter.txt")));
    snprintf(head, sizeof head, "export: %s/mine/letter.txt", small_root);
    assert_int_equal(lesson_run(lesson_recipe(0, "exports", NULL, head, stages), false, &why), FV_BAD_RECIPE);
    snprintf(head, sizeof head, "export: %s/", small_root);
    assert_int_equal(lesson_run(lesson_recipe(0, "exports", NULL, head, stages), false, &why), FV_BAD_RECIPE);
    assert_non_null(strstr(why.text, "holds the run"));
    assert_false(fv_folder_exists(small_path("exports")));
    snprintf(head, sizeof head, "export: %s/shelf/model/", small_root);
    for (int i = 0; i < 2; i++) assert_int_equal(lesson_run(lesson_recipe(0, "exports/", NULL, head, stages), false, &why), FV_OK);
    assert_true(fv_file_exists(small_path("shelf/model/config.json")) && fv_file_exists(small_path("shelf/model.1/config.json")));
    assert_true(fv_file_exists(small_path("exports/report.html")) && fv_file_exists(small_path("exports.1/report.html")));
    assert_int_equal(lesson_run(lesson_recipe(0, "exports/", NULL, head, stages), true, &why), FV_OK); /* it had ended: nothing is written again */
    assert_false(fv_folder_exists(small_path("shelf/model.2")));
    snprintf(head, sizeof head, "export: %s/shelf/model", small_root); /* trained on in its own place: whole, with all that is copied from it */
    assert_int_equal(lesson_run(lesson_recipe(0, "exports", "shelf/model", head, stages), false, &why), FV_OK);
    assert_true(fv_file_exists(small_path("shelf/model/tokenizer.json")) && fv_folder_exists(small_path("shelf/model.2")));
    fv_model *m;
    MUST(fv_model_open(&m, small_path("shelf/model"), err));
    fv_model_close(m);
}

/* A second run of the same name does not cost anyone the first. */
static void an_earlier_run_is_kept(void **state) {
    (void)state;
    char more[512];
    snprintf(more, sizeof more, "  - {name: more, kind: sft, steps: 1, batch: 1, data: %s/lesson.jsonl}\n", small_root);
    train(SMALL_QWEN25, "twice", "", "");
    train(SMALL_QWEN25, "twice", "", more);
    char *first = lesson_metrics("twice.1"), *second = lesson_metrics("twice");
    assert_null(strstr(first, "\"step\": 4"));
    assert_non_null(strstr(second, "\"step\": 4"));
    free(first);
    free(second);
}

static void a_finished_run_says_so(void **state) {
    (void)state;
    fv_error why = {0};
    char stages[512];
    for (int steps = 1; steps <= 3; steps += 2)
        for (int again = 0; again < 2; again++) {
            snprintf(stages, sizeof stages, "  - {kind: sft, steps: %d, batch: 1, data: %s/lesson.jsonl}\n", steps, small_root);
            assert_int_equal(lesson_run(lesson_recipe(0, "finished", NULL, NULL, stages), steps > 1 || again, &why), steps == 1 ? FV_OK : FV_BAD_RECIPE);
        }
    assert_non_null(strstr(why.text, "finished/checkpoints/step-1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"same seed, same run (Qwen2.5-VL)", same_seed_same_run, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"same seed, same run (Qwen3-VL)", same_seed_same_run, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        cmocka_unit_test(another_seed_differs),
        cmocka_unit_test(steps_say_what_was_done),
        cmocka_unit_test(later_updates_are_off_policy),
        cmocka_unit_test(passes_do_not_change_an_update),
        cmocka_unit_test(blocks_may_run_again),
        cmocka_unit_test(weights_go_with_the_step),
        cmocka_unit_test(what_is_kept_can_be_learned),
        cmocka_unit_test(evaluations_are_written),
        cmocka_unit_test(bad_rows_are_skipped_or_stop),
        cmocka_unit_test(cut_videos_are_skipped_or_stop),
        cmocka_unit_test(stages_freeze_their_own),
        cmocka_unit_test(bf16_is_on_policy), cmocka_unit_test(mistakes_have_messages),
        cmocka_unit_test(nothing_to_score_is_an_error),
        cmocka_unit_test(exports_cost_nobody_anything),
        cmocka_unit_test(an_earlier_run_is_kept),
        cmocka_unit_test(a_finished_run_says_so),
    };
    return cmocka_run_group_tests(tests, teach, small_end);
}
