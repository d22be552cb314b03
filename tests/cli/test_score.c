/* fovea score and fovea rollout: shapes, bits, and what they say of bad rows. */
#include "tests/cli/program.h"

#include "core/weights.h"

#include <math.h>

static const char row_text[] =
    "{\"id\": \"a/b\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"p.png\", \"max_pixels\": 12544}, {\"type\": \"text\", \"text\": \"What "
    "digit?\"}]}, {\"role\": \"assistant\", \"content\": \"8\"}]}\n"
    "{\"id\": \"c\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Hello there\"}]}\n";

static void make_conversations(void) {
    make_rows();
    if (fv_file_exists("talk.jsonl")) return;
    fv_names pictures;
    char path[512];
    assert_int_equal(fv_folder_list(&pictures, "rows/pictures", NULL), FV_OK);
    snprintf(path, sizeof path, "rows/pictures/%s", pictures.names[0]);
    assert_int_equal(fv_file_copy(path, "p.png", NULL), FV_OK);
    fv_names_free(&pictures);
    write_file("talk.jsonl", row_text);
}

static void assert_shape(const fv_weights *w, const char *name, fv_dtype dtype, int64_t rows, int64_t cols) {
    const fv_tensor *t = fv_weights_find(w, name);
    if (!t) fail_msg("no tensor %s", name);
    assert_int_equal(t->view.dtype, dtype);
    assert_int_equal(t->view.rank, 2);
    assert_int_equal(t->view.shape[0], rows);
    assert_int_equal(t->view.shape[1], cols);
}

static void lines_have_the_contract_shape(void **state) {
    (void)state;
    make_model();
    make_conversations();
    run_well("score --model m --data talk.jsonl --out s.jsonl --dump dump");
    json_t *lines = read_lines("s.jsonl");
    assert_int_equal(json_array_size(lines), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *l = json_array_get(lines, i), *logprobs = json_object_get(l, "logprobs"), *mask = json_object_get(l, "loss_mask");
        size_t n = json_array_size(json_object_get(l, "input_ids")), learned = 0;
        assert_int_equal(json_array_size(logprobs), n);
        assert_int_equal(json_array_size(mask), n);
        assert_true(json_is_null(json_array_get(logprobs, 0)));
        for (size_t k = 1; k < n; k++) assert_true(json_real_value(json_array_get(logprobs, k)) < 0);
        for (size_t k = 0; k < n; k++) learned += (size_t)json_integer_value(json_array_get(mask, k));
        assert_true(learned >= 2); /* a word and the end of the turn */
        assert_int_equal(json_array_size(json_object_get(l, "image_grid_thw")), i == 0);
        assert_int_equal(json_array_size(json_object_get(l, "video_grid_thw")), 0);
        assert_int_equal(json_array_size(json_object_get(l, "second_per_grid_ts")), 0);
    }
    json_decref(lines);
}

static void dumps_hold_the_tensors_on_the_way(void **state) {
    (void)state;
    json_t *lines = read_lines("s.jsonl");
    int64_t n = (int64_t)json_array_size(json_object_get(json_array_get(lines, 0), "input_ids"));
    fv_weights *w;
    assert_int_equal(fv_weights_open(&w, "dump/a_b.safetensors", NULL), FV_OK);
    assert_shape(w, "pixel_values", FV_F32, 64, 1176);
    assert_shape(w, "image_embeds", FV_F32, 16, 192);
    assert_shape(w, "position_ids", FV_I64, 3, n);
    assert_shape(w, "hidden_states", FV_F32, n, 192);
    assert_int_equal(fv_weights_find(w, "logits")->view.shape[0], n);
    assert_null(fv_weights_find(w, "pixel_values_videos"));
    /* The logits give the log-prob of the second token: an independent sum in double. */
    const float *logits = fv_weights_find(w, "logits")->view.data;
    int64_t vocabulary = fv_weights_find(w, "logits")->view.shape[1];
    json_int_t id = json_integer_value(json_array_get(json_object_get(json_array_get(lines, 0), "input_ids"), 1));
    double sum = 0, logp = json_real_value(json_array_get(json_object_get(json_array_get(lines, 0), "logprobs"), 1));
    for (int64_t i = 0; i < vocabulary; i++) sum += exp((double)logits[i]);
    assert_true(fabs(logits[id] - log(sum) - logp) < 2e-6);
    fv_weights_close(w);
    json_decref(lines);
}

static void gradients_bear_the_weights_names_and_shapes(void **state) {
    (void)state;
    make_model();
    make_conversations();
    run_well("score --model m --data talk.jsonl --out s2.jsonl --grad g.safetensors threads=2");
    assert_true(same_files("s.jsonl", "s2.jsonl")); /* the pass with a tape has the bits of the one without */
    fv_weights *g, *w;
    assert_int_equal(fv_weights_open(&g, "g.safetensors", NULL), FV_OK);
    assert_int_equal(fv_weights_open(&w, "m", NULL), FV_OK);
    assert_int_equal(fv_weights_count(g), fv_weights_count(w));
    double norm = 0;
    for (size_t i = 0; i < fv_weights_count(w); i++) {
        const fv_tensor *a = fv_weights_at(w, i), *b = fv_weights_find(g, a->name);
        assert_non_null(b);
        assert_int_equal(b->view.dtype, FV_F32);
        assert_int_equal(a->view.rank, b->view.rank);
        assert_memory_equal(a->view.shape, b->view.shape, (size_t)a->view.rank * sizeof(int64_t));
        for (int64_t k = 0; k < fv_elements(b->view); k++) norm += (double)fv_f32(b->view)[k] * fv_f32(b->view)[k];
    }
    assert_true(norm > 0 && isfinite(norm));
    fv_weights_close(g);
    fv_weights_close(w);
    /* The mean over the file, whatever the passes: two copies of a row have its gradient. */
    write_file("once.jsonl", strchr(row_text, '\n') + 1);
    char twice[1024];
    snprintf(twice, sizeof twice, "%s%s", strchr(row_text, '\n') + 1, "{\"id\": \"d\", \"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Hello there\"}]}\n");
    write_file("twice.jsonl", twice);
    run_well("score --model m --data once.jsonl --out x.jsonl --grad once.safetensors");
    run_well("score --model m --data twice.jsonl --out x.jsonl --grad twice.safetensors");
    assert_int_equal(fv_weights_open(&g, "once.safetensors", NULL), FV_OK);
    assert_int_equal(fv_weights_open(&w, "twice.safetensors", NULL), FV_OK);
    const fv_tensor *a = fv_weights_find(g, "model.language_model.norm.weight"), *b = fv_weights_find(w, "model.language_model.norm.weight");
    for (int64_t k = 0; k < fv_elements(a->view); k++) assert_true(fabsf(fv_f32(a->view)[k] - fv_f32(b->view)[k]) <= 1e-5f * fabsf(fv_f32(a->view)[k]) + 1e-8f);
    fv_weights_close(g);
    fv_weights_close(w);
}

/* ---- What was sampled gets the same bits again ---- */

/* Every log-prob of a trajectory is the score's, as the same f32. */
static void assert_same_bits(const char *trajectories, const char *scores) {
    json_t *a = read_lines(trajectories), *b = read_lines(scores);
    assert_int_equal(json_array_size(a), json_array_size(b));
    int sampled = 0;
    for (size_t i = 0; i < json_array_size(a); i++) {
        const json_t *x = json_array_get(a, i), *y = json_array_get(b, i), *p = json_object_get(x, "logprobs"), *q = json_object_get(y, "logprobs");
        assert_true(json_equal(json_object_get(x, "input_ids"), json_object_get(y, "input_ids")));
        assert_true(json_equal(json_object_get(x, "loss_mask"), json_object_get(y, "loss_mask")));
        for (size_t k = 0; k < json_array_size(p); k++) {
            if (json_is_null(json_array_get(p, k))) continue;
            float u = (float)json_number_value(json_array_get(p, k)), v = (float)json_number_value(json_array_get(q, k));
            assert_memory_equal(&u, &v, sizeof u);
            sampled++;
        }
    }
    assert_true(sampled > 40);
    json_decref(a);
    json_decref(b);
}

static void scores_of_rollouts_have_the_same_bits(void **state) {
    (void)state;
    static const char *const isas[] = {"FOVEA_ISA=scalar", "FOVEA_ISA=avx2", "FOVEA_ISA=avx512"};
    make_model();
    make_rows();
    run_well("rollout --model m --data rows/visual-search.jsonl -n 3 --out r max_new_tokens=9 temperature=1.3 top_p=0.9 threads=1");
    run_well("score --model m --data r/trajectories.jsonl --out first.jsonl threads=1");
    assert_same_bits("r/trajectories.jsonl", "first.jsonl");
    for (size_t i = 0; i < FV_COUNT(isas); i++) {
        int code = run_with(isas[i], "score --model m --data r/trajectories.jsonl --out again.jsonl threads=2");
        if (code) {
            assert_says("stderr", "this processor does not have it");
            continue;
        }
        assert_true(same_files("first.jsonl", "again.jsonl"));
        assert_int_equal(run_with(isas[i], "rollout --model m --data rows/visual-search.jsonl -n 3 --out r2 max_new_tokens=9 temperature=1.3 top_p=0.9 threads=2"), 0);
        assert_true(same_files("r/trajectories.jsonl", "r2/trajectories.jsonl"));
    }
}

/* A file's lines, the last one first. */
static void reverse_lines(const char *from, const char *to) {
    char *text = contents(from);
    fv_text reversed = {0};
    for (size_t end = strlen(text), start; end > 0; end = start) {
        for (start = end - 1; start > 0 && text[start - 1] != '\n';) start--;
        fv_text_bytes(&reversed, text + start, end - start);
    }
    write_file(to, reversed.data);
    fv_text_clear(&reversed);
    free(text);
}

/* The model that ships calls its tool, so that crops come back between what it says. Rows are scored in another order too: no row may count on those before it. */
static void scores_of_zooms_have_the_same_bits(void **state) {
    (void)state;
    run_well("data make visual-search n=4 split=test --out plates"); /* with the env of recipes/visual-search.yaml in each row */
    run_well("rollout --model " FOVEA_SOURCE "/models/tiny-vl --data plates/visual-search.jsonl -n 2 --out z max_new_tokens=64 temperature=1");
    json_t *made = read_lines("z/trajectories.jsonl");
    assert_int_equal(json_array_size(made), 8);
    int zooms = 0;
    for (size_t i = 0; i < 8; i++) zooms += json_array_size(json_object_get(json_array_get(made, i), "images")) >= 2;
    json_decref(made);
    assert_true(zooms >= 1);
    run_well("score --model " FOVEA_SOURCE "/models/tiny-vl --data z/trajectories.jsonl --out zooms.jsonl");
    assert_same_bits("z/trajectories.jsonl", "zooms.jsonl");
    reverse_lines("z/trajectories.jsonl", "z/reversed.jsonl");
    assert_int_equal(run_with("FOVEA_ISA=scalar", "score --model " FOVEA_SOURCE "/models/tiny-vl --data z/reversed.jsonl --out back.jsonl threads=1"), 0);
    reverse_lines("back.jsonl", "forth.jsonl");
    assert_true(same_files("zooms.jsonl", "forth.jsonl"));
    run_well("score --model " FOVEA_SOURCE "/models/tiny-vl --data z/reversed.jsonl --out back2.jsonl threads=2");
    assert_true(same_files("back.jsonl", "back2.jsonl"));
}

/* The first user turn's pictures and clips, as rollouts list them. */
static json_t *media_of(const json_t *row) {
    const json_t *content = json_object_get(json_array_get(json_object_get(row, "messages"), 0), "content");
    json_t *images = json_array();
    for (size_t k = 0; k < json_array_size(content); k++)
        if (!json_object_get(json_array_get(content, k), "text")) json_array_append(images, json_array_get(content, k));
    return images;
}

static void conversations_given_as_tokens_have_the_same_bits(void **state) {
    (void)state;
    make_model();
    run_well("data make clip n=3 --out rows");
    run_well("score --model m --data rows/clip.jsonl --out messages.jsonl");
    json_t *rows = read_lines("rows/clip.jsonl"), *scores = read_lines("messages.jsonl");
    fv_text text = {0};
    for (size_t i = 0; i < 3; i++) {
        const json_t *score = json_array_get(scores, i);
        assert_int_equal(json_array_size(json_object_get(score, "video_grid_thw")), 1);
        assert_int_equal(json_array_size(json_object_get(score, "second_per_grid_ts")), 1);
        json_t *row = json_pack("{s: O, s: O, s: O, s: o}", "id", json_object_get(score, "id"), "input_ids", json_object_get(score, "input_ids"), "loss_mask", json_object_get(score, "loss_mask"),
                                "images", media_of(json_array_get(rows, i)));
        fv_json_dump(&text, row, 0);
        fv_text_char(&text, '\n');
        json_decref(row);
    }
    write_file("rows/tokens.jsonl", text.data);
    fv_text_clear(&text);
    json_decref(rows);
    json_decref(scores);
    run_well("score --model m --data rows/tokens.jsonl --out tokens.jsonl threads=2");
    assert_true(same_files("messages.jsonl", "tokens.jsonl"));
}

static void greedy_rollouts_are_scored_at_temperature_one(void **state) {
    (void)state;
    make_model();
    make_rows();
    run_well("rollout --model m --data rows/visual-search.jsonl --out g max_new_tokens=16 temperature=0");
    run_well("score --model m --data g/trajectories.jsonl --out gs.jsonl");
    assert_same_bits("g/trajectories.jsonl", "gs.jsonl");
}

static void trajectories_are_named_by_row_and_answer(void **state) {
    (void)state;
    json_t *rows = read_lines("rows/visual-search.jsonl"), *made = read_lines("r/trajectories.jsonl");
    assert_int_equal(json_array_size(made), 18);
    for (size_t i = 0; i < 18; i++) {
        char id[128];
        const char *row = json_string_value(json_object_get(json_array_get(rows, i / 3), "id"));
        snprintf(id, sizeof id, "%s#%zu", row, i % 3);
        assert_string_equal(json_string_value(json_object_get(json_array_get(made, i), "id")), id);
        assert_string_equal(json_string_value(json_object_get(json_array_get(made, i), "group")), row);
        assert_int_equal(json_array_size(json_object_get(json_array_get(made, i), "images")), 1);
    }
    json_decref(made);
    run_well("rollout --model m --data rows/visual-search.jsonl -n 1 --out one max_new_tokens=1");
    run_well("rollout --model m --data rows/visual-search.jsonl --out alone max_new_tokens=1");
    char *one = contents("one/trajectories.jsonl"), *alone = contents("alone/trajectories.jsonl"), id[128];
    snprintf(id, sizeof id, "{\"id\": \"%s#0\", ", json_string_value(json_object_get(json_array_get(rows, 0), "id")));
    assert_memory_equal(one, id, strlen(id));
    assert_null(strchr(alone, '#'));
    free(one);
    free(alone);
    json_decref(rows);
    run_well("rollout --model m --data rows/visual-search.jsonl -n 3 --out r3 max_new_tokens=9 temperature=1.3 top_p=0.9 seed=2");
    assert_false(same_files("r/trajectories.jsonl", "r3/trajectories.jsonl"));
}

/* ---- What goes wrong ---- */

static void bad_rows_are_named_and_the_others_written(void **state) {
    (void)state;
    make_model();
    char text[2048];
    snprintf(text, sizeof text, "{\"id\": \"x\", \"messages\": 3}\n%s{\"id\": \"y\", \"input_ids\": [1, 2], \"loss_mask\": [1]}\n{\"id\": \"z\", \"input_ids\": [1, 99999]}\n"
             "{\"id\": \"v\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"gone.png\"}]}]}\n", strchr(row_text, '\n') + 1);
    write_file("bad.jsonl", text);
    run_badly("score --model m --data bad.jsonl --out b.jsonl", 1, "bad.jsonl:1:");
    assert_says("stderr", "loss_mask must be a list of 2 numbers");
    assert_says("stderr", "input_ids[1] must be 0..");
    assert_says("stderr", "gone.png");
    assert_says("stderr", "4 of 5 rows");
    json_t *lines = read_lines("b.jsonl");
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
    run_badly("rollout --model m --data bad.jsonl --out br max_new_tokens=2", 1, "bad.jsonl:1:");
}

/* Each row's tensors have a file of their own, and what can't be written is told before anything is computed. */
static void files_of_rows_are_their_own(void **state) {
    (void)state;
    make_model();
    fv_text rows = {0};
    static const char talk[] = "\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n";
    fv_text_printf(&rows, "{\"id\": \"a/b\", %s{\"id\": \"a_b\", %s{\"id\": \"%0250d\", %s", talk, talk, 7, talk);
    fv_text_add(&rows, "{\"id\": \"t\", \"input_ids\": [1, 2], \"temperature\": -1}\n");
    write_file("names.jsonl", rows.data);
    fv_text_clear(&rows);
    run_badly("score --model m --data names.jsonl --out n.jsonl --dump names", 1, "names.jsonl:2: id a_b is the name of a file under --dump");
    assert_says("stderr", "names.jsonl:3: id is the name of a file under --dump and must have at most 232 bytes");
    assert_says("stderr", "names.jsonl:4: temperature must be a number from 0");
    json_t *lines = read_lines("n.jsonl");
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
    run_badly("score --model m --data names.jsonl --out n2.jsonl", 1, "1 of 4 rows"); /* without files any id will do */
    run_badly("score --model m --data names.jsonl --out n3.jsonl --grad nowhere/g.safetensors", 1, "nowhere/g.safetensors: create");
    assert_false(fv_file_exists("n3.jsonl"));
    run_badly("score --model m --data names.jsonl --out names", 1, "names: write: a file's name is needed");
    run_badly("score --model m --data names.jsonl --out /dev/stdout", 1, "1 of 4 rows");
    assert_true(same_files("stdout", "n2.jsonl"));
}

static void wrong_words_are_usage_errors(void **state) {
    (void)state;
    make_model();
    run_badly("score --model m --data talk.jsonl", 2, "--out is missing");
    run_badly("score --model m --data talk.jsonl --out s.jsonl --dmp d", 2, "did you mean --dump?");
    run_badly("score --model m --data talk.jsonl --out s.jsonl temprature=1", 2, "did you mean temperature?");
    run_badly("score --model m --data talk.jsonl --out s.jsonl threads=-1", 2, "threads must be a whole number");
    run_badly("score --model m --data talk.jsonl --out s.jsonl device=cuda", 1, "without CUDA");
    run_badly("score --model nowhere --data talk.jsonl --out s.jsonl", 1, "nowhere");
    run_badly("score --model m --data nowhere.jsonl --out s.jsonl", 1, "nowhere.jsonl");
    run_badly("score --model m --data talk.jsonl --out s9.jsonl temperature=1e-40", 1, "talk.jsonl:1: the log-prob of token 1 is no finite number");
    run_badly("rollout --model m --data talk.jsonl --out r9 max_new_tokens=2 temperature=1e-40", 1, "no token could be drawn at temperature");
    run_badly("rollout --model m --data talk.jsonl --out r9 -n 0", 2, "-n must be a whole number 1..1024, got 0");
    run_badly("rollout --model m --data talk.jsonl --out r9 --env '[1]'", 1, "an environment is a mapping");
    run_badly("rollout --model m --data talk.jsonl --out r9 --env '{max_turn: 3}'", 1, "max_turn");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_have_the_contract_shape),
        cmocka_unit_test(dumps_hold_the_tensors_on_the_way),
        cmocka_unit_test(gradients_bear_the_weights_names_and_shapes),
        cmocka_unit_test(scores_of_rollouts_have_the_same_bits),
        cmocka_unit_test(scores_of_zooms_have_the_same_bits),
        cmocka_unit_test(conversations_given_as_tokens_have_the_same_bits),
        cmocka_unit_test(greedy_rollouts_are_scored_at_temperature_one),
        cmocka_unit_test(trajectories_are_named_by_row_and_answer),
        cmocka_unit_test(bad_rows_are_named_and_the_others_written),
        cmocka_unit_test(files_of_rows_are_their_own),
        cmocka_unit_test(wrong_words_are_usage_errors),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
