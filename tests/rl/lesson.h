/* A lesson for a very small model: rows with pictures, each answered after one zoom; the same pictures have two answers, so that what is sampled earns
 * now something and now nothing. And runs of training on it. */
#ifndef FV_TESTS_RL_LESSON_H
#define FV_TESTS_RL_LESSON_H

#include "small.h"

#include "rl/train/train.h"

enum { LESSON_ROWS = 4 };

static inline void lesson_picture(const char *name, unsigned seed) {
    fv_image *im = small_picture(84, 84, seed);
    fv_error err = {0};
    if (fv_image_save(im, small_path(name), &err) != FV_OK) fail_msg("%s", err.text);
    fv_image_free(im);
}

/* Group set-up: small_begin, then lesson.jsonl (whole conversations) and questions.jsonl (their first turns), with their pictures. */
static inline int lesson_begin(void **state) {
    if (small_begin(state)) return -1;
    fv_text lesson = {0}, questions = {0};
    lesson_picture("a.png", 1);
    lesson_picture("b.png", 2);
    lesson_picture("crop.png", 3);
    for (int i = 0; i < LESSON_ROWS; i++) {
        const char *picture = i / 2 ? "a.png" : "b.png";
        char answer[128];
        snprintf(answer, sizeof answer, "\"answer\": \"%d\", \"problem_type\": \"%s\"}\n", i % 2 ? 3 : 8, i / 2 ? "first" : "second");
        static const char question[] = "{\"id\": \"row%d\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"%s\"}, {\"type\": \"text\", \"text\": "
                                       "\"Which digit?\"}]}";
        fv_text_printf(&questions, question, i, picture);
        fv_text_printf(&questions, "], %s", answer);
        fv_text_printf(&lesson, question, i, picture);
        fv_text_printf(&lesson,
                       ", {\"role\": \"assistant\", \"content\": \"<tool_call>{\\\"name\\\": \\\"image_zoom_in_tool\\\", \\\"arguments\\\": {\\\"bbox_2d\\\": [0, 0, %d, 56]}}"
                       "</tool_call>\"}, {\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"<tool_response>\"}, {\"type\": \"image\", \"image\": \"crop.png\"}, "
                       "{\"type\": \"text\", \"text\": \"</tool_response>\"}]}, {\"role\": \"assistant\", \"content\": \"<answer>%d</answer>\"}], %s",
                       i / 2 ? 56 : 84, i % 2 ? 3 : 8, answer);
    }
    small_write("lesson.jsonl", lesson.data);
    small_write("questions.jsonl", questions.data);
    fv_text_clear(&lesson);
    fv_text_clear(&questions);
    return 0;
}

/* Another file of rows: the lesson's, and one whose video (cut.mp4) ends early. */
static inline void lesson_with_cut_video(const char *name) {
    char *bytes, *lesson;
    size_t size;
    MUST(fv_file_read(&bytes, &size, FOVEA_SOURCE "/tests/vision/data/video/h264.mp4", err));
    MUST(fv_file_write(small_path("cut.mp4"), bytes, size - 300, err));
    MUST(fv_file_read(&lesson, NULL, small_path("lesson.jsonl"), err));
    fv_text t = {0};
    fv_text_add(&t, lesson);
    fv_text_add(&t, "{\"id\": \"film\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"video\", \"video\": \"cut.mp4\"}, {\"type\": \"text\", \"text\": \"Which digit?\"}]}, "
                    "{\"role\": \"assistant\", \"content\": \"<answer>8</answer>\"}], \"answer\": \"8\"}\n");
    small_write(name, t.data);
    fv_text_clear(&t);
    free(lesson);
    free(bytes);
}

/* A recipe over the lesson: `stages` is the YAML below "stages:". */
static inline fv_recipe *lesson_recipe(int kind, const char *out, const char *model, const char *head, const char *stages) {
    fv_text t = {0};
    fv_recipe *r;
    fv_error err = {0};
    if (!head || !strstr(head, "seed:")) fv_text_add(&t, "seed: 3\n");
    fv_text_printf(&t, "name: lesson\nout: %s/%s\nmodel: {path: %s/%s}\ndata: %s/questions.jsonl\n", small_root, out, small_root,
                   model ? model : kind ? "model1" : "model0", small_root);
    fv_text_printf(&t, "env: {tools: [image_zoom_in_tool], prompt: none, max_turns: 3, hint: false}\n%s\nstages:\n%s", head ? head : "", stages);
    if (fv_recipe_parse(&r, t.data, "lesson.yaml", NULL, 0, &err) != FV_OK) fail_msg("%s", err.text);
    fv_text_clear(&t);
    return r;
}

static inline fv_status lesson_run(fv_recipe *r, bool resume, fv_error *err) {
    fv_train_options o = {.resume = resume, .quiet = true};
    fv_status s = fv_train(r, &o, err);
    fv_recipe_close(r);
    return s;
}

/* A stage of learning the lesson; after 100 steps a model of this kind zooms and answers. The caller's. */
static inline char *lesson_sft(int steps) {
    fv_text t = {0};
    fv_text_printf(&t, "  - {name: learn, kind: sft, steps: %d, batch: 4, data: %s/lesson.jsonl, optim: {lr: 1.0e-2, warmup: 5, schedule: linear, final: 0.1, beta2: 0.95}}\n", steps,
                   small_root);
    return t.data;
}

/* The newest checkpoint's folder. */
static inline const char *lesson_checkpoint(const char *run) {
    fv_names names;
    long best = -1;
    fv_error err = {0};
    char path[128];
    snprintf(path, sizeof path, "%s/checkpoints", run);
    if (fv_folder_list(&names, small_path(path), &err) != FV_OK) fail_msg("%s", err.text);
    for (size_t i = 0; i < names.count; i++)
        if (!strncmp(names.names[i], "step-", 5) && strtol(names.names[i] + 5, NULL, 10) > best) best = strtol(names.names[i] + 5, NULL, 10);
    fv_names_free(&names);
    if (best < 0) return NULL;
    snprintf(path, sizeof path, "%s/checkpoints/step-%ld", run, best);
    return small_path(path);
}

/* The file without what time decides: step_time, timing_s/..., perf/..., memory/... The caller's. */
static inline char *lesson_metrics(const char *run) {
    char path[128], *text, *out;
    fv_error err = {0};
    snprintf(path, sizeof path, "%s/metrics.jsonl", run);
    if (fv_file_read(&text, NULL, small_path(path), &err) != FV_OK) fail_msg("%s", err.text);
    out = malloc(strlen(text) + 1);
    char *to = out;
    for (const char *at = text; *at;) {
        if (!strncmp(at, ", \"step_time\"", 13) || !strncmp(at, ", \"timing_s/", 12) || !strncmp(at, ", \"perf/", 8) || !strncmp(at, ", \"memory/", 10)) at += 2 + strcspn(at + 2, ",}");
        else *to++ = *at++;
    }
    *to = 0;
    free(text);
    return out;
}

static inline double lesson_value(const char *line, const char *name) {
    json_t *j = json_loads(line, JSON_DISABLE_EOF_CHECK, NULL);
    const json_t *v = json_object_get(j, name);
    double out = v ? json_number_value(v) : NAN;
    json_decref(j);
    return out;
}

static inline void lesson_same_file(const char *a, const char *b) {
    char *x, *y;
    size_t m, n;
    fv_error err = {0};
    if (fv_file_read(&x, &m, a, &err) != FV_OK || fv_file_read(&y, &n, b, &err) != FV_OK) fail_msg("%s", err.text);
    if (m != n || memcmp(x, y, m)) fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}

/* Two runs ended with the same weights, moments and metrics. */
static inline void lesson_same_run(const char *a, const char *b) {
    char path[2][300], *x = lesson_metrics(a), *y = lesson_metrics(b);
    size_t n = 0;
    while (x[n] && x[n] == y[n]) n++;
    if (x[n] != y[n]) fail_msg("the metrics of %s and %s part at \"%.60s\" and \"%.60s\"", a, b, n > 30 ? x + n - 30 : x, n > 30 ? y + n - 30 : y);
    free(x);
    free(y);
    const char *files[] = {"model.safetensors", "trainer_state/optimizer.safetensors"};
    for (size_t i = 0; i < FV_COUNT(files); i++) {
        const char *left = lesson_checkpoint(a), *right = lesson_checkpoint(b);
        assert_true(left && right);
        if (i == 0 && fv_lora_is_folder(left)) files[0] = "adapter_model.safetensors";
        snprintf(path[0], sizeof path[0], "%s/%s", left, files[i]);
        snprintf(path[1], sizeof path[1], "%s/%s", right, files[i]);
        lesson_same_file(path[0], path[1]);
    }
}

#endif
