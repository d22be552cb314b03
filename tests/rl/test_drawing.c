/* ViLaSR's three stages on a very small model: a cold start on drawings, its own reflections picked out and learned, and GRPO with a gate. */
#include "drawing.h"

static int enter(void **state) {
    if (lesson_begin(state)) return -1;
    drawing_rows(true);
    return 0;
}

static json_t *lines_of(const char *path) {
    char *text, *next = NULL;
    json_t *out = json_array();
    MUST(fv_file_read(&text, NULL, small_path(path), err));
    for (char *line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next)) json_array_append_new(out, json_loads(line, 0, NULL));
    free(text);
    return out;
}

/* Trajectories of a file: each drawn picture is there with its number's source. Returns how many were drawn on a clip's frame. */
static int check_drawings(const json_t *rows) {
    int on_frames = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i), *turns = json_object_get(row, "turns"), *images = json_object_get(row, "images");
        json_int_t returned = 0;
        for (size_t t = 0; t < json_array_size(turns); t++) {
            const json_t *turn = json_array_get(turns, t), *n = json_object_get(turn, "returned");
            returned += json_integer_value(n);
            if (json_integer_value(n) == 0) continue;
            assert_string_equal(json_string_value(json_object_get(turn, "tool")), "image_draw_boxes_tool");
            bool clip = json_object_get(json_array_get(images, 0), "video") != NULL;
            on_frames += clip && json_integer_value(json_object_get(turn, "picture")) == 2;
        }
        assert_int_equal(returned, json_integer_value(json_object_get(row, "returned")));
        assert_int_equal(json_array_size(images), 1 + returned);
    }
    return on_frames;
}

static void three_stages(void **state) {
    (void)state;
    fv_text stages = {0};
    char head[512];
    fv_error why = {0};
    snprintf(head, sizeof head, "eval_data: %s/asked.jsonl\nevaluate: {modes: [greedy], max_new_tokens: 100, score: {term: exact, tags: true}}", small_root);
    char *cold = drawing_sft();
    fv_text_add(&stages, cold);
    free(cold);
#define ROLL "data: %s/asked.jsonl, rollout: {prompts: 6, group_size: 4, max_new_tokens: 100, every: 1, show: 24}"
#define RIGHT "{term: answer, name: accuracy, weight: %s, text: last_turn, compare: text}, {term: steps, name: format, weight: %s}, {term: reflection, weight: %s}"
    fv_text_printf(&stages, "  - {name: pick, kind: filter, steps: 2, " ROLL ", reward: {terms: [" RIGHT "]}, keep: [{filter: reward, at_least: 3}]}\n", small_root, "1", "1", "1");
    fv_text_add(&stages, "  - {name: reflect, kind: sft, steps: 2, batch: 2, data: {stage: pick}, optim: {lr: 1.0e-3}}\n");
    fv_text_printf(&stages, "  - {name: rl, kind: grpo, steps: 2, updates: 2, " ROLL ", reward: {terms: [" RIGHT "], shaping: [{rule: gate, by: accuracy}]}, optim: {lr: 1.0e-3}}\n", small_root, "0.5",
                   "0.5", "0");
    if (lesson_run(lesson_recipe(SMALL_QWEN25, "vilasr", NULL, head, stages.data), false, &why) != FV_OK) fail_msg("%s", why.text);
    fv_text_clear(&stages);
    char *metrics = lesson_metrics("vilasr"), *line = strstr(metrics, "{\"step\": 141");
    double share = lesson_value(line, "filter/kept");
    print_message("kept %.2f\n", share);
    assert_true(share > 0 && share < 0.5); /* one kind of three reflects, and half of that is wrong */
    line = strstr(metrics, "{\"step\": 145");
    assert_true(lesson_value(line, "sampling/sampling_logp_difference/max") == 0 && lesson_value(line, "grad_norm") > 0);
    assert_true(lesson_value(line, "reward") > 0);
    free(metrics);
    json_t *kept = lines_of("vilasr/pick.jsonl"), *shown = lines_of("vilasr/trajectories/step-145.jsonl");
    for (size_t i = 0; i < json_array_size(kept); i++) {
        const json_t *turns = json_object_get(json_array_get(kept, i), "turns");
        assert_int_equal(json_array_size(turns), 3);
        assert_int_equal(json_integer_value(json_object_get(json_array_get(turns, 1), "picture")), 2);
    }
    check_drawings(kept);
    assert_true(check_drawings(shown) > 0);
    json_decref(kept);
    json_decref(shown);
    char *page;
    MUST(fv_file_read(&page, NULL, small_path("vilasr/report.html"), err));
    assert_non_null(strstr(page, "made from picture 1"));
    free(page);
}

/* The prompt tells the first picture's size as the model sees it, a clip's frames' too; without a picture it says nothing of it. */
static void prompts_tell_the_size(void **state) {
    (void)state;
    small s;
    json_t *env = json_loads("{\"format\": \"actions\"}", 0, NULL), *spec = json_string(small_path("bare.jsonl"));
    small_write("bare.jsonl", "{\"id\": 1, \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a.png\", \"max_pixels\": 4000}, {\"type\": \"text\", \"text\": \"?\"}]}]}\n"
                              "{\"id\": 2, \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"video\", \"video\": [\"a.png\", \"b.png\"]}, {\"type\": \"text\", \"text\": \"?\"}]}]}\n"
                              "{\"id\": 3, \"messages\": [{\"role\": \"user\", \"content\": \"?\"}]}\n");
    static const char *const told[] = {"bottom-right corner is (56, 56)", "bottom-right corner is (84, 84)", "absolute coordinates in JSON format\n"};
    fv_dataset *data;
    fv_feed *feed;
    fv_feed_options options = {.env = env, .generate = true};
    small_open(&s, SMALL_QWEN25, NULL, 1, false);
    MUST(fv_dataset_open(&data, spec, 1, err));
    MUST(fv_feed_open(&feed, s.model, data, s.pool, &options, err));
    for (int64_t i = 0; i < 3; i++) {
        fv_sample sample;
        char *text;
        fv_feed_take(feed, &i, 1, &sample);
        if (sample.error.status != FV_OK) fail_msg("%s", sample.error.text);
        MUST(fv_tokenizer_decode(s.model->tokenizer, sample.prompt.tokens.ids, sample.prompt.tokens.count, false, &text, err));
        if (!strstr(text, told[i])) fail_msg("%s", text);
        free(text);
        fv_sample_clear(&sample);
    }
    fv_feed_close(feed);
    fv_dataset_close(data);
    small_close(&s);
    json_decref(spec);
    json_decref(env);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(three_stages), cmocka_unit_test(prompts_tell_the_size)};
    return cmocka_run_group_tests(tests, enter, small_end);
}
