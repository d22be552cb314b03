/* fovea data and fovea model: making, looking, and what they say of what is wrong. */
#include "tests/cli/program.h"

static void rows_are_made_with_their_pictures(void **state) {
    (void)state;
    run_well("data make visual-search n=70 split=test seed=4 size=224 --out a threads=1");
    run_well("data make visual-search n=70 split=test seed=4 size=224 --out b threads=3");
    assert_true(same_files("a/visual-search.jsonl", "b/visual-search.jsonl"));
    assert_true(same_files("a/visual-search.png", "b/visual-search.png"));
    json_t *rows = read_lines("a/visual-search.jsonl");
    assert_int_equal(json_array_size(rows), 70);
    for (size_t i = 0; i < 70; i++) {
        char a[512], b[512];
        const json_t *row = json_array_get(rows, i), *content = json_object_get(json_array_get(json_object_get(row, "messages"), 0), "content");
        const char *name = json_string_value(json_object_get(json_array_get(content, 0), "image"));
        assert_non_null(json_string_value(json_object_get(row, "answer")));
        assert_int_equal(strncmp(name, "pictures/", 9), 0);
        snprintf(a, sizeof a, "a/%s", name);
        snprintf(b, sizeof b, "b/%s", name);
        assert_true(same_files(a, b));
    }
    json_decref(rows);
    run_well("data make visual-search n=2 seed=5 plates=2 size=320 --out c");
    run_badly("data make visual-serch n=2 --out c", 1, "visual-search");
    run_badly("data make visual-search n=2 plats=3 --out c", 1, "plats");
    run_badly("data make visual-search n=2", 2, "--out is missing");
    run_badly("data make", 2, "name one generator");
}

static void a_file_is_looked_at(void **state) {
    (void)state;
    run_well("data a/visual-search.jsonl --json");
    json_t *f = read_json("stdout");
    assert_int_equal(json_integer_value(json_object_get(f, "n")), 70);
    assert_int_equal(json_integer_value(json_object_get(f, "answers")), 70);
    assert_int_equal(json_integer_value(fv_json_find(f, "formats.messages")), 70);
    assert_int_equal(json_integer_value(fv_json_find(f, "pictures.named")), 70);
    assert_int_equal(json_integer_value(fv_json_find(f, "pictures.opened")), 64);
    assert_int_equal(json_integer_value(json_object_get(f, "problem_count")), 0);
    assert_int_equal(json_array_size(json_object_get(f, "rows")), 3);
    json_decref(f);
    run_well("data a/visual-search.jsonl");
    assert_says("stdout", "70 rows");
    run_well("data a/visual-search.jsonl seed=3 threads=2 device=cpu"); /* as every verb */
    run_badly("data a/visual-search.jsonl n=3", 2, "unknown setting n=3");
    run_well("data");
    assert_says("stdout", "visual-search");
}

static void problems_have_their_place(void **state) {
    (void)state;
    write_file("text.png", "not a picture");
    write_file("bad.jsonl", "{\"id\": \"1\", \"problem\": \"What?\", \"images\": [\"gone.png\"], \"answer\": \"2\"}\n"
                            "{\"id\": \"2\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"text.png\"}]}]}\n"
                            "{\"id\": \"3\"}\n"
                            "{\"id\": \"4\", \"question\": \"Why?\", \"env\": {\"max_turns\": 0}}\n"
                            "{\"id\": \"5\", \"conversations\": [{\"from\": \"human\", \"value\": \"Hi\"}, {\"from\": \"gpt\", \"value\": \"Ho\"}]}\n");
    assert_int_equal(run("data bad.jsonl --json"), 1);
    assert_says("stderr", "bad.jsonl:1:");
    assert_says("stderr", "gone.png");
    assert_says("stderr", "bad.jsonl:2:");
    assert_says("stderr", "bad.jsonl:3:");
    assert_says("stderr", "bad.jsonl:4: env: max_turns must be");
    json_t *f = read_json("stdout");
    assert_int_equal(json_integer_value(json_object_get(f, "problem_count")), 4);
    assert_int_equal(json_integer_value(json_object_get(f, "n")), 5);
    json_decref(f);
    write_file("cut.json", "[{\"id\": 1},");
    run_badly("data cut.json", 1, "cut.json");
    run_badly("data nowhere.jsonl", 1, "nowhere.jsonl");
}

static void a_model_is_made_and_shown(void **state) {
    (void)state;
    run_well("model init --preset tiny m seed=7");
    run_well("model init --preset m/config.json m2 seed=7");
    assert_true(same_files("m/model.safetensors", "m2/model.safetensors"));
    run_well("model init --preset tiny m3 seed=8 dtype=bf16");
    run_well("model m --json");
    json_t *f = read_json("stdout"), *parts = json_object_get(f, "parameters");
    assert_string_equal(json_string_value(json_object_get(f, "model_type")), "qwen2_5_vl");
    assert_string_equal(json_string_value(json_object_get(f, "dtype")), "F32");
    json_int_t total = json_integer_value(json_object_get(parts, "total")), sum = 0;
    const char *key;
    json_t *value;
    json_object_foreach(parts, key, value) sum += json_integer_value(value);
    assert_int_equal(sum, 2 * total);
    assert_int_equal(json_integer_value(json_object_get(f, "file_bytes")), 4 * total);
    json_decref(f);
    run_well("model m3");
    assert_says("stdout", "BF16");
    run_well("model init --preset tiny shelf/m4/");
    run_well("model shelf/m4/");
    run_badly("model init --preset tiny m", 2, "m");
    run_badly("model init --preset huge m9", 2, "tiny");
    run_badly("model init m9", 2, "--preset is missing");
    run_badly("model init --preset tiny", 2, "name the new folder");
    run_badly("model nowhere", 1, "nowhere");
    run_badly("model merge", 2, "name the model, the adapter and the new folder");
    write_file("m3/config.json", "{\"model_type\": \"llama\"}");
    run_badly("model m3", 1, "llama");
}

static void help_teaches_every_verb(void **state) {
    (void)state;
    static const char *const verbs[] = {"train", "eval", "rollout", "score", "reward", "data", "model", "help"};
    run_well("help");
    for (size_t i = 0; i < FV_COUNT(verbs); i++) {
        char command[64], usage[64];
        assert_says("stdout", verbs[i]);
        snprintf(command, sizeof command, "help %s", verbs[i]);
        snprintf(usage, sizeof usage, "usage: fovea %s", verbs[i]);
        run_well(command);
        assert_says("stdout", usage);
        run_well("help");
    }
    run_well("help eval");
    assert_says("stdout", "  videomme@lmms "); /* protocols are listed */
    run_well("--version");
    assert_says("stdout", "fovea ");
    run_badly("scor", 2, "did you mean score?");
    run_badly("help nonsense", 2, "there is no verb nonsense");
    assert_int_equal(run(""), 2); /* and nothing on stdout but results */
    assert_says("stderr", "usage: fovea VERB");
    char *text = contents("stdout");
    assert_string_equal(text, "");
    free(text);
}

/* Results that could not be written are a failure, wherever they go. */
static void a_full_disk_is_noticed(void **state) {
    (void)state;
    assert_int_equal(run_with("sh -c '\"$0\" \"$@\" >/dev/full'", "data a/visual-search.jsonl --json"), 1);
    assert_says("stderr", "stdout: write: ");
    assert_int_equal(run_with("sh -c '\"$0\" \"$@\" >/dev/full'", "--version"), 1);
    assert_says("stderr", "stdout: write: No space left on device");
    assert_int_equal(run_with("FOVEA_TEST_FAIL_WRITE=2", "data make visual-search n=1 --out full"), 1);
    assert_says("stderr", "No space left on device");
    assert_false(fv_file_exists("full/visual-search.jsonl"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_made_with_their_pictures), cmocka_unit_test(a_file_is_looked_at), cmocka_unit_test(problems_have_their_place),
        cmocka_unit_test(a_model_is_made_and_shown),         cmocka_unit_test(help_teaches_every_verb),
        cmocka_unit_test(a_full_disk_is_noticed),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
