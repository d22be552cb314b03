/* fovea eval and fovea reward: figures that can be checked by hand. */
#include "tests/cli/program.h"

#include <math.h>

static void assert_near(const json_t *at, const char *path, double want) {
    double got = json_number_value(fv_json_find(at, path));
    if (!(fabs(got - want) < 1e-9)) fail_msg("%s is %.12g, expected %.12g", path, got, want);
}

static const char responses[] = "{\"id\": \"1\", \"group\": \"g\", \"response\": \"<answer>8</answer>\", \"answer\": \"8\", \"problem_type\": \"numerical\"}\n"
                                "{\"id\": \"2\", \"group\": \"g\", \"response\": \"It is <answer> 3 </answer><|im_end|>\", \"answer\": 3, \"problem_type\": \"numerical\"}\n"
                                "{\"id\": \"3\", \"group\": \"h\", \"response\": \"red\", \"answer\": \"blue\", \"problem_type\": \"colour\"}\n"
                                "{\"id\": \"4\", \"group\": \"h\", \"response\": \"<think>hm</think>blue\", \"solution\": \"<answer>blue</answer>\", \"problem_type\": \"colour\"}\n";

/* n 4, three right: p = 0.75; var_{n-1} = 0.25, se = 0.25. Clusters g: d = .25, .25; h: d = -.75, .25: sum of squared sums .25 + .25 = .5, of squares .75:
 * SE^2 = 1/16 + (.5 - .75)/16. */
static void responses_are_evaluated(void **state) {
    (void)state;
    write_file("responses.jsonl", responses);
    run_well("eval --responses responses.jsonl --protocol exact --out e --json");
    json_t *r = read_json("stdout");
    assert_string_equal(json_string_value(json_object_get(r, "protocol")), "exact");
    assert_near(r, "n", 4);
    assert_near(r, "accuracy", 0.75);
    assert_near(r, "se", 0.25);
    assert_near(r, "se_clustered", sqrt(0.0625 - 0.25 / 16));
    assert_near(r, "by.numerical.accuracy", 1);
    assert_near(r, "by.colour.accuracy", 0.5);
    assert_near(r, "by.colour.n", 2);
    assert_int_equal(json_array_size(json_object_get(r, "ci95")), 2); /* Wilson: statsmodels.proportion_confint(3, 4, method="wilson") */
    assert_true(fabs(json_number_value(json_array_get(json_object_get(r, "ci95"), 0)) - 0.3006418) < 1e-6);
    assert_true(fabs(json_number_value(json_array_get(json_object_get(r, "ci95"), 1)) - 0.9544127) < 1e-6);
    json_decref(r);
    json_t *lines = read_lines("e/samples.jsonl"), *second = json_array_get(lines, 1);
    assert_int_equal(json_array_size(lines), 4);
    assert_string_equal(json_string_value(json_object_get(second, "id")), "2");
    assert_string_equal(json_string_value(json_object_get(second, "extracted")), "3");
    assert_string_equal(json_string_value(json_object_get(second, "answer")), "3");
    assert_near(second, "score", 1);
    json_decref(lines);
    assert_true(fv_file_exists("e/results.json"));
    assert_says("e/report/report.html", "Fovea · evaluation");
    run_well("eval --responses e/samples.jsonl");
    assert_says("stdout", "75.0 %");
}

static void rows_without_answer_are_reported(void **state) {
    (void)state;
    write_file("some.jsonl", "{\"id\": \"1\", \"response\": \"8\", \"answer\": \"8\"}\n{\"id\": \"2\", \"response\": \"8\"}\nnonsense\n");
    run_badly("eval --responses some.jsonl --json", 1, "some.jsonl:2: exact needs an answer");
    assert_says("stderr", "some.jsonl:3");
    json_t *r = read_json("stdout");
    assert_near(r, "n", 1);
    assert_near(r, "errors", 2);
    json_decref(r);
    run_badly("eval --responses some.jsonl --protocol mvbench@lms", 2, "did you mean mvbench@lmms?");
    run_badly("eval --responses some.jsonl --protocol mvbench@lmms", 1, "some.jsonl:1: mvbench@lmms needs `candidates`");
    run_badly("eval --responses some.jsonl --model m", 2, "neither a recipe nor a model");
    run_badly("eval --responses some.jsonl --data some.jsonl", 2, "its rows are all the data");
    run_badly("eval", 2, "--model is missing");
    run_badly("eval --responses some.jsonl evaluate.bye=x", 1, "did you mean evaluate.by?");
}

/* A row that can't be read is reported and left out, also of a model's evaluation; samples are rows that give the same figures again. */
static void bad_rows_and_samples_again(void **state) {
    (void)state;
    make_model();
    write_file("bad.jsonl", "{\"id\": \"a\", \"problem\": \"What?\", \"answer\": \"8\"}\n{\"id\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"audio\"}]}], \"answer\": \"8\"}\n{broken\n");
    run_badly("eval --model m --data bad.jsonl max_new_tokens=1 --json", 1, "bad.jsonl:2: messages[0].content[0].type must be");
    assert_says("stderr", "bad.jsonl:3");
    json_t *r = read_json("stdout");
    assert_near(r, "n", 1);
    assert_near(r, "errors", 2);
    json_decref(r);
    write_file("near.jsonl", "{\"id\": \"a\", \"response\": \"<answer>8</answer>\", \"answer\": \"9\", \"tolerance\": 5, \"group\": \"g\", \"level\": 3}\n{\"id\": \"b\", \"response\": \"2\", \"answer\": 7}\n");
    for (int i = 0; i < 2; i++) {
        run_well(i ? "eval --responses again1/samples.jsonl --json --out again2 evaluate.by=level" : "eval --responses near.jsonl --json --out again1 evaluate.by=level");
        r = read_json("stdout");
        assert_near(r, "accuracy", 0.5);
        assert_near(r, "by.3.n", 1);
        json_decref(r);
    }
    run_well("eval --responses near.jsonl --json evaluate.n=1");
    r = read_json("stdout");
    assert_near(r, "n", 1);
    json_decref(r);
    run_badly("data n=5", 2, "name a FILE");
    run_badly("data make reason n=1 leave=nan --out bad-made", 1, "leave must be");
}

static void comes_to(const char *file, const char *text, const char *protocol, double accuracy, double n) {
    char arguments[256];
    write_file(file, text);
    snprintf(arguments, sizeof arguments, "eval --responses %s --protocol %s --json --out outputs", file, protocol);
    run_well(arguments);
    json_t *r = read_json("stdout");
    assert_near(r, "n", n);
    assert_near(r, "accuracy", accuracy);
    json_decref(r);
}

/* Files as others' evaluations leave them: one object with `results`, the row under `question`, pandas' empty cells and lists as texts. */
static void outputs_of_others_are_read(void **state) {
    (void)state;
    comes_to("video-r1.json",
             "{\n  \"results\": [\n    {\"problem_type\": \"multiple choice\", \"solution\": \"<answer>B</answer>\", \"output\": \"<answer>B</answer>\", \"prediction\": \"<answer>C</answer>\"},\n"
             "    {\"problem_type\": \"numerical\", \"solution\": \"<answer>3</answer>\", \"output\": \"<answer>4</answer>\"}\n  ],\n  \"final_acc\": [{\"mean_acc\": 0.5}]\n}\n",
             "video-r1", 0.5, 2);
    comes_to("tw-grpo.jsonl",
             "{\"question\": {\"problem\": \"Which?\", \"options\": [\"A. a\", \"B. b\"], \"solution\": \"<answer>B</answer>\"}, \"ground_truth\": \"<answer>B</answer>\", \"model_output\": "
             "\"<answer>B</answer>\"}\n",
             "tw-grpo", 1, 1);
    comes_to("kit.json",
             "[{\"A\": \"red\", \"B\": \"blue\", \"C\": NaN, \"answer\": \"B\", \"prediction\": \"B\", \"hint\": NaN, \"max\": -Infinity},"
             " {\"candidates\": \"['the NaN', \\\"the dog's\\\"]\", \"answer\": \"B\", \"prediction\": \"A\", \"note\": \"a NaN\"}]",
             "mcq@kit", 0.5, 2);
    comes_to("mvbench.json", "[{\"candidates\": \"['a man', 'a dog']\", \"answer\": \"a dog\", \"prediction\": \"(b)\"}]", "mvbench@kit", 1, 1);
    write_file("cells.json", "[{\"answer\": NaN,, \"response\": \"x\"}]");
    run_badly("eval --responses cells.json", 1, "cells.json:1:14: not JSON: invalid token near 'NaN'");
    write_file("half.json", "{\"results\": [{\"response\": \"8\", \"answer\": \"8\"}");
    run_badly("eval --responses half.json", 1, "half.json:1");
}

/* A sample is marked again from its row, and not from what another protocol made of its answer. */
static void samples_are_marked_anew(void **state) {
    (void)state;
    comes_to("so.jsonl", "{\"response\": \"<answer>blue</answer>\", \"options\": [\"red\", \"blue\"], \"solution\": \"<answer>blue</answer>\", \"category\": \"colours\"}\n", "choice", 1, 1);
    run_well("eval --responses outputs/samples.jsonl --protocol exact --json");
    json_t *r = read_json("stdout");
    assert_near(r, "accuracy", 1);
    assert_near(r, "by.colours.n", 1);
    json_decref(r);
    comes_to("de.jsonl", "{\"reward_model\": {\"ground_truth\": \"left\"}, \"response\": \"<answer>A. left</answer>\"}\n", "deepeyes", 1, 1);
    run_well("eval --responses outputs/samples.jsonl --protocol deepeyes --json");
    r = read_json("stdout");
    assert_near(r, "accuracy", 1);
    json_decref(r);
}

/* An id stays what it was: a text or a number. Categories come from the field that is asked for. */
static void ids_are_as_given(void **state) {
    (void)state;
    write_file("numbered.jsonl", "{\"id\": 7, \"response\": \"8\", \"answer\": \"8\", \"problem\": \"What?\", \"level\": \"hard\"}\n{\"id\": \"8\", \"response\": \"8\", \"answer\": \"8\", \"problem\": \"What?\", \"category\": \"c\"}\n");
    make_model();
    run_well("eval --responses numbered.jsonl --out ids1 evaluate.by=level --json");
    json_t *r = read_json("stdout");
    assert_near(r, "by.hard.n", 1);
    assert_near(r, "by.c.n", 1);
    json_decref(r);
    run_well("eval --model m --data numbered.jsonl --out ids2 max_new_tokens=1");
    for (int i = 1; i <= 2; i++) {
        json_t *lines = read_lines(i == 1 ? "ids1/samples.jsonl" : "ids2/samples.jsonl");
        assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, 0), "id")), 7);
        assert_string_equal(json_string_value(json_object_get(json_array_get(lines, 1), "id")), "8");
        json_decref(lines);
    }
}

static void a_model_is_evaluated(void **state) {
    (void)state;
    make_model();
    make_rows();
    run_well("eval --model m --data rows/visual-search.jsonl --out e1 max_new_tokens=6 --json threads=1");
    json_t *r = read_json("stdout");
    assert_near(r, "n", 6);
    assert_string_equal(json_string_value(json_object_get(r, "mode")), "greedy");
    assert_says("e1/report/report.html", "greedy accuracy on 6 samples is");
    assert_says("e1/report/report.html", "<h2>Held-out samples</h2>");
    assert_non_null(json_object_get(r, "se_clustered"));
    json_decref(r);
    run_well("eval --model m --data rows/visual-search.jsonl --out e3 max_new_tokens=6 --json --protocol numeric");
    r = read_json("stdout");
    assert_near(r, "n", 6);
    assert_near(r, "left_out", 0);
    assert_string_equal(json_string_value(json_object_get(r, "protocol")), "numeric");
    json_decref(r);
    r = read_lines("e3/samples.jsonl");
    assert_true(json_string_length(json_object_get(json_array_get(r, 0), "answer")) > 0);
    json_decref(r);
    run_well("eval --model m --data rows/visual-search.jsonl --out e2 max_new_tokens=6 threads=2");
    assert_true(same_files("e1/samples.jsonl", "e2/samples.jsonl"));
    run_well("eval " FOVEA_SOURCE "/recipes/grpo.yaml model.path=m eval_data=rows/visual-search.jsonl max_new_tokens=4 evaluate.n=3 --json");
    r = read_json("stdout");
    assert_near(r, "n", 3);
    assert_near(r, "modes.greedy.n", 3);
    assert_near(r, "modes.sampled.n", 3);
    json_decref(r);
    run_badly("eval --model m --data rows/visual-search.jsonl evaluate.modes=[fast]", 1, "evaluate.modes");
    write_file("sized.jsonl", "{\"id\": 1, \"problem\": \"What is it?\", \"answer\": \"cat\", \"images\": [\"" FOVEA_SOURCE "/datasets/photographs/cat.jpg\"]}\n");
    run_well("eval --model m --data sized.jsonl --out e3 max_new_tokens=3 'image={min_pixels: 30000, max_pixels: 60000}'"); /* what was seen is seen again by whoever reads the trajectory */
    run_well("score --model m --data e3/report/evaluations/greedy/trajectories.jsonl --out again.jsonl");
    run_badly("eval " FOVEA_SOURCE "/recipes/grpo.yaml model.path=m", 1, "eval_data is missing");
}

/* Rewards 1 and 0: mean .5, std (n - 1) sqrt(.5); advantage .5 / (sqrt(.5) + 1e-4). */
static void rewards_come_with_advantages(void **state) {
    (void)state;
    write_file("answers.jsonl", "{\"id\": 1, \"group\": \"g\", \"response\": \"<answer>8</answer>\", \"answer\": \"8\"}\n"
                                "{\"id\": \"2\", \"response\": \"<answer>8</answer>\", \"answer\": 8}\n"
                                "{\"id\": \"3\", \"group\": \"h\", \"response\": \"<answer>8</answer>\", \"answer\": 8}\n"
                                "{\"id\": \"4\", \"group\": \"g\", \"response\": \"<answer>3</answer>\", \"solution\": \"<answer>8</answer>\"}\n"
                                "{\"id\": \"5\", \"group\": \"g\", \"response\": \"<answer>3</answer>\"}\n"
                                "{\"id\": \"6\", \"group\": \"g\", \"logprobs\": [[-1, -2]]}\n"
                                "{\"id\": \"8\", \"group\": 1.5, \"response\": \"8\", \"answer\": \"8\"}\n"
                                "{\"id\": null, \"response\": \"8\", \"answer\": \"8\"}\n");
    run_well("reward --recipe " FOVEA_SOURCE "/recipes/grpo.yaml --data answers.jsonl --out o.jsonl");
    json_t *lines = read_lines("o.jsonl");
    double advantage = 0.5 / (sqrt(0.5) + 1e-4);
    assert_int_equal(json_array_size(lines), 8);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(lines, 0), "id")), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(lines, 6), "error")), "answers.jsonl:7: group must be a text or an integer");
    assert_string_equal(json_string_value(json_object_get(json_array_get(lines, 7), "id")), "7"); /* none: its number */
    assert_near(json_array_get(lines, 0), "terms.exact", 1);
    assert_near(json_array_get(lines, 0), "advantage", advantage);
    assert_near(json_array_get(lines, 1), "reward", 1);
    assert_null(json_object_get(json_array_get(lines, 1), "advantage"));
    assert_near(json_array_get(lines, 2), "advantage", 0);
    assert_near(json_array_get(lines, 3), "advantage", -advantage);
    assert_non_null(strstr(json_string_value(json_object_get(json_array_get(lines, 4), "error")), "answers.jsonl:5: exact needs an answer"));
    assert_int_equal(json_object_size(json_array_get(lines, 4)), 2);
    assert_non_null(strstr(json_string_value(json_object_get(json_array_get(lines, 5), "error")), "token weights"));
    json_decref(lines);
    write_file("filter.yaml", "model: {init: tiny}\ndata: d\nstages:\n  - {kind: grpo, steps: 1, reward: {terms: [{term: exact, weight: 2.0}]}}\n  - {kind: filter, steps: 1}\n");
    run_well("reward --recipe " FOVEA_SOURCE "/recipes/visual-search.yaml --data answers.jsonl --out f.jsonl");
    run_well("reward --recipe " FOVEA_SOURCE "/recipes/vilasr.yaml --data answers.jsonl --out f.jsonl reward.variant=paper advantage.std=false");
    run_well("reward --recipe filter.yaml --data answers.jsonl --out f.jsonl"); /* what the objective sees, though the filter stands behind it */
    lines = read_lines("f.jsonl");
    assert_near(json_array_get(lines, 0), "reward", 2);
    assert_non_null(json_object_get(json_array_get(lines, 0), "advantage"));
    json_decref(lines);
    write_file("right.jsonl", "{\"id\": 1, \"response\": \"<answer>8</answer>\", \"answer\": \"8\"}\n");
    run_well("eval --responses right.jsonl 'evaluate.score={term: exact, weight: 2.0}' --json"); /* an accuracy, whatever the weight */
    json_t *r = read_json("stdout");
    assert_near(r, "accuracy", 1);
    json_decref(r);
    run_well("reward --recipe " FOVEA_SOURCE "/recipes/grpo.yaml --data answers.jsonl --out o.jsonl advantage.std=false 'reward.terms=[{term: exact, weight: 2.0}, {term: format, weight: 0.5}]'");
    lines = read_lines("o.jsonl");
    assert_near(json_array_get(lines, 0), "reward", 2.5);
    assert_near(json_array_get(lines, 0), "terms.format", 1);
    assert_near(json_array_get(lines, 0), "advantage", 1);
    json_decref(lines);
    run_badly("reward --recipe " FOVEA_SOURCE "/recipes/sft.yaml --data answers.jsonl --out o.jsonl", 1, "no stage has reward terms");
    run_badly("reward --recipe nowhere.yaml --data answers.jsonl --out o.jsonl", 1, "nowhere.yaml");
    run_badly("reward --recipe " FOVEA_SOURCE "/recipes/grpo.yaml --data nowhere.jsonl --out o.jsonl", 1, "nowhere.jsonl");
    run_badly("reward --recipe " FOVEA_SOURCE "/recipes/grpo.yaml --data answers.jsonl --out o.jsonl reward.term=[]", 1, "did you mean");
}

/* What rollout writes, reward takes as it is, whatever the terms need. */
static void trajectories_are_paid(void **state) {
    (void)state;
    run_well("rollout --model m --data rows/visual-search.jsonl -n 2 --out t max_new_tokens=6");
    run_well("reward --recipe " FOVEA_SOURCE "/recipes/grpo.yaml --data t/trajectories.jsonl --out o.jsonl 'reward.terms=[{term: exact}, {term: tool}, {term: length, max: 4, "
             "buffer: 2}]'");
    json_t *lines = read_lines("o.jsonl"), *line;
    size_t i;
    assert_true(json_array_size(lines) > 0);
    json_array_foreach(lines, i, line) {
        if (json_object_get(line, "error")) fail_msg("%s", json_string_value(json_object_get(line, "error")));
        assert_near(line, "terms.tool", 0);
        assert_true(json_is_number(fv_json_find(line, "terms.length")) && json_is_number(json_object_get(line, "advantage")));
    }
    json_decref(lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_are_evaluated),
        cmocka_unit_test(rows_without_answer_are_reported),
        cmocka_unit_test(outputs_of_others_are_read),
        cmocka_unit_test(samples_are_marked_anew),
        cmocka_unit_test(ids_are_as_given), cmocka_unit_test(bad_rows_and_samples_again),
        cmocka_unit_test(a_model_is_evaluated),
        cmocka_unit_test(rewards_come_with_advantages),
        cmocka_unit_test(trajectories_are_paid),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
