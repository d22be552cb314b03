/* Videos in rows, all the way: looked at, scored, acted on, learned from. */
#include "tests/cli/program.h"

#define VIDEOS FOVEA_SOURCE "/tests/vision/data/video/"

static const char rows_text[] =
    "{\"id\": \"film\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"video\", \"video\": \"film.mp4\", \"fps\": 4, \"max_pixels\": 6272}, {\"type\": \"text\", \"text\": \"What moves?\"}]}, "
    "{\"role\": \"assistant\", \"content\": \"A box.\"}], \"answer\": \"box\"}\n"
    "{\"id\": \"part\", \"problem\": \"And here?\", \"videos\": [{\"video\": \"odd.webm\", \"frames\": {\"policy\": \"centers\", \"n\": 4}, \"video_end\": 1.2}], \"answer\": \"box\"}\n"
    "{\"id\": \"published\", \"problem\": \"Where?\", \"data_type\": \"video\", \"problem_type\": \"free-form\", \"path\": \"./slow.mkv\", \"solution\": \"<answer>left</answer>\"}\n";

static void make_films(void) {
    if (fv_file_exists("films.jsonl")) return;
    make_model();
    run_well("model init --preset " FOVEA_SOURCE "/tests/language/data/prompt/qwen3_vl.json q seed=5");
    assert_int_equal(fv_file_copy(VIDEOS "h264.mp4", "film.mp4", NULL), FV_OK);
    assert_int_equal(fv_file_copy(VIDEOS "vp9-odd.webm", "odd.webm", NULL), FV_OK);
    assert_int_equal(fv_file_copy(VIDEOS "av1.mkv", "slow.mkv", NULL), FV_OK);
    write_file("films.jsonl", rows_text);
}

static void a_file_of_videos_is_looked_at(void **state) {
    (void)state;
    make_films();
    run_well("data films.jsonl --json");
    json_t *f = read_json("stdout");
    assert_int_equal(json_integer_value(json_object_get(f, "videos")), 3);
    assert_int_equal(json_integer_value(json_object_get(f, "problem_count")), 0);
    json_decref(f);
    char *bytes = NULL;
    size_t size;
    assert_int_equal(fv_file_read(&bytes, &size, "film.mp4", NULL), FV_OK);
    assert_int_equal(fv_file_write("cut.mp4", bytes, size - 300, NULL), FV_OK);
    free(bytes);
    write_file("bad.jsonl", "{\"question\": \"?\", \"video\": \"cut.mp4\"}\n{\"question\": \"?\", \"video\": \"gone.mp4\"}\n{\"question\": \"?\", \"video\": \"films.jsonl\"}\n"
                            "{\"question\": \"?\", \"video\": {\"path\": \"film.mp4\", \"frames\": {\"policy\": \"any\", \"n\": 2}}}\n");
    run_badly("data bad.jsonl", 1, "bad.jsonl:1: ./cut.mp4: ends early");
    assert_says("stderr", "bad.jsonl:2: ./gone.mp4: no such file");
    assert_says("stderr", "bad.jsonl:3: ./films.jsonl: not a video that can be read");
    assert_says("stderr", "bad.jsonl:4: film.mp4: frames.policy must be uniform, centers, inner, linspace or fps, got \"any\"");
    run_badly("score --model m --data bad.jsonl --out none.jsonl", 1, "bad.jsonl:1: ./cut.mp4: ends early");
}

static void seconds_are_written(void **state) {
    (void)state;
    static const double want[] = {0.5, 0.6875, 0.25}; /* 6 of 12 frames at 8 a second; 4 of the 11 up to 1.2 s; all 12 */
    make_films();
    run_well("score --model m --data films.jsonl --out s.jsonl --dump d");
    json_t *lines = read_lines("s.jsonl");
    assert_int_equal(json_array_size(lines), 3);
    for (size_t i = 0; i < 3; i++) {
        const json_t *seconds = json_object_get(json_array_get(lines, i), "second_per_grid_ts"), *grids = json_object_get(json_array_get(lines, i), "video_grid_thw");
        assert_int_equal(json_array_size(grids), 1);
        assert_float_equal(json_real_value(json_array_get(seconds, 0)), want[i], 1e-12);
    }
    json_decref(lines);
    assert_true(fv_file_exists("d/film.safetensors"));
}

/* What a policy wrote about a video has its log-probs again from the frames beside the trajectories, without the video. */
static void rollouts_are_scored_with_the_same_bits(void **state) {
    (void)state;
    static const char *const models[] = {"m", "q"};
    make_films();
    for (size_t i = 0; i < FV_COUNT(models); i++) {
        char words[256];
        snprintf(words, sizeof words, "rollout --model %s --data films.jsonl -n 2 --out r%s max_new_tokens=6", models[i], models[i]);
        run_well(words);
        snprintf(words, sizeof words, "score --model %s --data r%s/trajectories.jsonl --out again.jsonl threads=1", models[i], models[i]);
        assert_int_equal(run_with("FOVEA_ISA=scalar", words), 0);
        snprintf(words, sizeof words, "r%s/trajectories.jsonl", models[i]);
        json_t *sampled = read_lines(words), *scored = read_lines("again.jsonl");
        assert_int_equal(json_array_size(sampled), 6);
        assert_int_equal(json_array_size(scored), 6);
        for (size_t k = 0, written = 0; k < 6; k++, written = 0) {
            const json_t *a = json_object_get(json_array_get(sampled, k), "logprobs"), *b = json_object_get(json_array_get(scored, k), "logprobs");
            for (size_t t = 0; t < json_array_size(a); t++) {
                if (json_is_null(json_array_get(a, t))) continue;
                assert_true(json_number_value(json_array_get(a, t)) == json_number_value(json_array_get(b, t)));
                written++;
            }
            assert_true(written > 0);
            assert_true(json_object_get(json_array_get(json_object_get(json_array_get(sampled, k), "images"), 0), "video") != NULL);
        }
        json_decref(sampled);
        json_decref(scored);
    }
}

/* A folder of pictures is the list of them in the order of their names. */
static void frames_may_be_a_folder(void **state) {
    (void)state;
    make_films();
    run_well("data make clip n=1 --out rows");
    json_t *rows = read_lines("rows/clip.jsonl"), *list = NULL, *parts = json_object_get(json_array_get(json_object_get(json_array_get(rows, 0), "messages"), 0), "content");
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (json_object_get(json_array_get(parts, i), "video")) list = json_array_get(parts, i);
    assert_non_null(list);
    json_t *names = json_object_get(list, "video");
    assert_int_equal(fv_folder_make("frames", NULL), FV_OK);
    write_file("frames/notes.txt", "not a picture");
    for (size_t i = 0; i < json_array_size(names); i++) {
        char from[256], to[64];
        snprintf(from, sizeof from, "rows/%s", json_string_value(json_array_get(names, i)));
        snprintf(to, sizeof to, "frames/%03zu.png", i);
        assert_int_equal(fv_file_copy(from, to, NULL), FV_OK);
    }
    fv_text one = {0}, other = {0};
    fv_json_dump(&one, json_array_get(rows, 0), 0);
    json_object_set_new(list, "video", json_string("../frames"));
    fv_json_dump(&other, json_array_get(rows, 0), 0);
    fv_text_char(&one, '\n');
    fv_text_char(&other, '\n');
    write_file("rows/list.jsonl", one.data);
    write_file("rows/folder.jsonl", other.data);
    run_well("data rows/folder.jsonl");
    run_well("score --model q --data rows/list.jsonl --out list-scores.jsonl");
    run_well("score --model q --data rows/folder.jsonl --out folder-scores.jsonl");
    assert_true(same_files("list-scores.jsonl", "folder-scores.jsonl"));
    fv_text_clear(&one);
    fv_text_clear(&other);
    json_decref(rows);
}

static void videos_are_learned_from(void **state) {
    (void)state;
    make_films();
    write_file("learn.yaml", "name: films\nout: run\nmodel: {path: m}\neval_data: films.jsonl\ndata: films.jsonl\nevaluate: {max_new_tokens: 4}\nvideo: {nframes: 4}\nstages:\n"
                             "  - {name: tell, kind: sft, steps: 1, batch: 1, data: told.jsonl, optim: {lr: 1.0e-4}}\n"
                             "  - {name: try, kind: grpo, steps: 1, rollout: {prompts: 2, group_size: 2, max_new_tokens: 4}, optim: {lr: 1.0e-5}}\n");
    char *text = contents("films.jsonl");
    *(strchr(text, '\n') + 1) = '\0'; /* the row with an assistant's turn */
    write_file("told.jsonl", text);
    free(text);
    run_well("train learn.yaml"); /* which stops if a sampled log-prob is not the trainer's */
    json_t *summary = read_json("run/summary.json");
    assert_int_equal(json_array_size(json_object_get(summary, "stages")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(summary, "evaluations"), 0), "n")), 3);
    json_decref(summary);
    run_badly("train learn.yaml out=no video='{fps: 0}'", 1, "video: fps must be positive");
    run_badly("eval --model m --data films.jsonl video='{pixels: 9}'", 1, "video: there is no field pixels");
    char *bad = contents("run/bad_rows.jsonl");
    assert_string_equal(bad, "");
    free(bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_videos_is_looked_at),
        cmocka_unit_test(seconds_are_written),
        cmocka_unit_test(rollouts_are_scored_with_the_same_bits),
        cmocka_unit_test(frames_may_be_a_folder),
        cmocka_unit_test(videos_are_learned_from),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
