/* Protocols against the published evaluators' own functions (tests/rl/data/protocols.json, made by tests/peers/protocols.py), and by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "rl/evaluate/evaluate_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static int enter(void **state) {
    (void)state;
    strcpy(folder, "/tmp/fovea-protocols-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    return fv_path_remove(folder, NULL) == FV_OK ? 0 : -1;
}

static json_t *json_of(const char *text) {
    json_t *out;
    fv_error err = {0};
    if (fv_json_parse(&out, text, strlen(text), "test", 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return out;
}

static void write_rows(const char *path, const json_t *rows) {
    fv_text t = {0};
    fv_error err = {0};
    fv_json_dump(&t, rows, 0);
    assert_false(t.failed);
    if (fv_file_write(path, t.data, t.size, &err) != FV_OK) fail_msg("%s", err.text);
    fv_text_clear(&t);
}

/* The result, with the lines of samples.jsonl by id under "lines", and what was said of bad rows under "bad". */
static void note_bad(void *context, const fv_error *why) { json_array_append_new(context, json_string(why->text)); }

static json_t *evaluate(const char *protocol, const json_t *rows, const char *by) {
    char path[128], samples[128], by_setting[64], protocol_setting[64];
    fv_error err = {0};
    fv_recipe *recipe = NULL;
    fv_evaluate_file_options o = {.folder = folder, .bad = note_bad, .context = json_array()};
    json_t *out = NULL, *lines = json_object(), *line;
    snprintf(path, sizeof path, "%s/rows.json", folder);
    snprintf(samples, sizeof samples, "%s/samples.jsonl", folder);
    snprintf(protocol_setting, sizeof protocol_setting, "evaluate.protocol=%s", protocol);
    snprintf(by_setting, sizeof by_setting, "evaluate.by=%s", by ? by : "");
    write_rows(path, rows);
    if (fv_evaluate_recipe_for(&recipe, "none", "none", (const char *const[]){"data=none", protocol_setting, by_setting}, by ? 3 : 2, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_evaluate_responses(&out, recipe, path, &o, &err) != FV_OK) fail_msg("%s", err.text);
    char *text;
    assert_int_equal(fv_file_read(&text, NULL, samples, &err), FV_OK);
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = 0;
        line = json_of(at);
        json_object_set_new(lines, json_string_value(json_object_get(line, "id")), line);
    }
    free(text);
    json_object_set_new(out, "lines", lines);
    json_object_set_new(out, "bad", o.context);
    fv_recipe_close(recipe);
    return out;
}

static bool near(const json_t *number, double want) { return json_is_number(number) && fabs(json_number_value(number) - want) < 1e-9; }

static bool same_row(const json_t *row, const json_t *line) {
    const json_t *want = json_object_get(row, "want"), *score = json_object_get(want, "score"), *extracted = json_object_get(want, "extracted");
    if (json_is_null(want)) return !line;
    if (json_is_string(want)) return line != NULL; /* left out of the mean, but told */
    return line && near(json_object_get(line, "score"), json_number_value(score)) && (!extracted || json_equal(extracted, json_object_get(line, "extracted")));
}

static void check_case(const json_t *c) {
    const char *name = json_string_value(json_object_get(c, "protocol")), *metric;
    json_t *rows = json_object_get(c, "rows"), *row, *value, *out = evaluate(name, rows, NULL), *se = json_object_get(c, "se_clustered");
    size_t i, bad = 0, unread = 0, left_out = 0;
    json_array_foreach(rows, i, row) {
        const json_t *line = json_object_get(json_object_get(out, "lines"), json_string_value(json_object_get(row, "id")));
        unread += json_is_null(json_object_get(row, "want"));
        left_out += json_is_string(json_object_get(row, "want"));
        if (same_row(row, line)) continue;
        print_error("%s: \"%s\": score %g, extracted \"%s\"\n", name, json_string_value(json_object_get(row, "response")), json_number_value(json_object_get(line, "score")),
                    line ? json_string_value(json_object_get(line, "extracted")) : "(no line)");
        bad++;
    }
    assert_int_equal(bad, 0);
    assert_true(i >= 15);
    assert_string_equal(json_string_value(json_object_get(out, "protocol")), name);
    assert_true(near(json_object_get(out, "accuracy"), json_number_value(json_object_get(c, "accuracy"))));
    assert_true(json_is_null(se) || near(json_object_get(out, "se_clustered"), json_number_value(se)));
    assert_int_equal(json_integer_value(json_object_get(out, "errors")), (json_int_t)unread);
    assert_int_equal(json_integer_value(json_object_get(out, "left_out")), (json_int_t)left_out);
    assert_int_equal(json_integer_value(json_object_get(out, "n")), (json_int_t)(i - unread - left_out));
    json_object_foreach(json_object_get(c, "metrics"), metric, value) assert_true(near(json_object_get(json_object_get(out, "metrics"), metric), json_number_value(value)));
    json_decref(out);
}

static void scores_are_those_of_the_evaluators(void **state) {
    (void)state;
    json_t *cases, *c;
    size_t i;
    fv_error err;
    assert_int_equal(fv_json_read(&cases, FOVEA_SOURCE "/tests/rl/data/protocols.json", FV_BAD_DATA, &err), FV_OK);
    assert_true(json_array_size(cases) >= 16);
    json_array_foreach(cases, i, c) check_case(c);
    json_decref(cases);
}

/* Rows of SophiaVL-R1 whose accuracy tests/peers/systems.py worked out. */
static void an_outcome_reward_is_a_protocol(void **state) {
    (void)state;
    char *text;
    fv_error err = {0};
    json_t *rows = json_array(), *row;
    size_t i, right = 0;
    assert_int_equal(fv_file_read(&text, NULL, FOVEA_SOURCE "/tests/rl/data/systems/sophiavl-r1.jsonl", &err), FV_OK);
    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1) {
        *end = 0;
        json_array_append_new(rows, json_of(at));
    }
    free(text);
    json_t *out = evaluate("sophiavl-r1", rows, NULL);
    json_array_foreach(rows, i, row) {
        const json_t *line = json_object_get(json_object_get(out, "lines"), json_string_value(json_object_get(row, "id")));
        double want = json_number_value(fv_json_find(row, "want.accuracy"));
        if (!near(json_object_get(line, "score"), want)) fail_msg("%s: %g, not %g", json_string_value(json_object_get(row, "id")), json_number_value(json_object_get(line, "score")), want);
        right += want > 0;
    }
    assert_true(i > 20 && right > 5);
    json_decref(out);
    json_decref(rows);
}

/* Scores and what was extracted, row by row; NULL: could not be used. */
static void marked(const char *protocol, const char *rows_text, const char *const *extracted, const double *scores, size_t n) {
    json_t *rows = json_of(rows_text), *out = evaluate(protocol, rows, NULL);
    assert_int_equal(json_array_size(rows), n);
    for (size_t i = 0; i < n; i++) {
        char id[24];
        snprintf(id, sizeof id, "%zu", i);
        const json_t *line = json_object_get(json_object_get(out, "lines"), id);
        if (!extracted[i]) assert_null(line);
        else if (!line || strcmp(json_string_value(json_object_get(line, "extracted")), extracted[i]) != 0 || !near(json_object_get(line, "score"), scores[i]))
            fail_msg("%s: row %zu: \"%s\"", protocol, i, line ? json_string_value(json_object_get(line, "extracted")) : "");
    }
    json_decref(out);
    json_decref(rows);
}

static void choices_are_read_in_one_way(void **state) {
    (void)state;
    marked("choice",
           "[{\"options\": [\"A. red\", \"B. blue\"], \"answer\": \"B\", \"response\": \"<answer>(B)</answer>\"},"
           " {\"options\": [\"A. red\", \"B. blue\"], \"answer\": \"B\", \"response\": \"Blue.\"},"
           " {\"options\": [\"red\", \"blue\"], \"answer\": \"blue\", \"response\": \"<think>A</think> B: blue\"},"
           " {\"candidates\": [\"red\", \"blue\"], \"answer\": \"red\", \"response\": \"A or B\"},"
           " {\"choices\": {\"A\": \"red\", \"B\": \"blue\"}, \"answer\": 1, \"response\": \"C\"},"
           " {\"options\": [\"same\", \"same\"], \"answer\": \"A\", \"response\": \"same\"},"
           " {\"options\": [\"red\", \"blue\"], \"solution\": \"<answer>A</answer>\", \"response\": \"A. red\"},"
           " {\"options\": [\"red\", \"blue\"], \"answer\": \"green\", \"response\": \"A\"},"
           " {\"answer\": \"A\", \"response\": \"A\"}]",
           (const char *const[]){"B", "B", "B", "", "", "", "A", NULL, NULL}, (const double[]){1, 1, 1, 0, 0, 0, 1, 0, 0}, 9);
}

static void numbers_are_compared(void **state) {
    (void)state;
    marked("numeric",
           "[{\"answer\": 3, \"response\": \"There are 3.0 of 5\"}, {\"answer\": \"1,000 m\", \"response\": \"1000\"}, {\"answer\": 2.5, \"tolerance\": 0.1, \"response\": \"-2.5\"},"
           " {\"answer\": 2.5, \"tolerance\": 0.1, \"response\": \"<answer>2.59</answer>\"}, {\"answer\": 2.5, \"response\": \"three\"}, {\"answer\": \"none\", \"response\": \"3\"},"
           " {\"answer\": 1000, \"response\": \"1,0000\"}, {\"answer\": 0.5, \"response\": \".5e0\"}, {\"answer\": -5, \"response\": \"It is \xE2\x88\x92" "5 degrees\"}]",
           (const char *const[]){"3.0", "1000", "-2.5", "2.59", "", NULL, "1", ".5e0", "-5"}, (const double[]){1, 1, 0, 1, 0, 0, 0, 1, 1}, 9);
}

/* SQuAD's two figures: equal but for case, punctuation and articles; words shared. 2 of 3 and 2 words: 4/5; twice the same word counts as often as both have it: 2 * 1 / 3. */
static void words_are_compared(void **state) {
    (void)state;
    static const char rows[] = "[{\"answer\": \"the Eiffel Tower\", \"response\": \"Eiffel tower.\"}, {\"answer\": \"a red cup\", \"response\": \"<think>blue</think><answer>red cup there</answer>\"},"
                               " {\"answers\": [\"cat\", \"a dog\"], \"response\": \"Dog!\"}, {\"answer\": 3, \"response\": \"3\"}, {\"answer\": \"dog dog\", \"response\": \"dog\"},"
                               " {\"solution\": \"<answer>up</answer>\", \"response\": \"down\"}, {\"problem\": \"?\", \"response\": \"down\"}]";
    marked("open", rows, (const char *const[]){"Eiffel tower.", "red cup there", "Dog!", "3", "dog", "down", NULL}, (const double[]){1, 0, 1, 1, 0, 0, 0}, 7);
    json_t *json = json_of(rows), *out = evaluate("open", json, NULL);
    assert_true(near(fv_json_find(out, "metrics.f1"), (1 + 0.8 + 1 + 1 + 2.0 / 3 + 0) / 6));
    json_decref(out);
    json_decref(json);
}

/* Rows of the form that TW-GRPO's scripts write: of a model that was asked for letters alone all is the answer, and keys of one letter and of several are counted apart. */
static void letters_alone_are_answers(void **state) {
    (void)state;
#define SAID(key, said)                                                                                                \
    "{\"question\": {\"problem\": \"Which?\", \"data_type\": \"video\", \"problem_type\": \"multiple choice\", \"options\": [\"A. up\", \"B. down\", \"C. left\"], "    \
    "\"solution\": \"<answer>" key "</answer>\"}, \"ground_truth\": \"<answer>" key "</answer>\", \"model_output\": \"" said "\", \"extracted_answer\": \"" said "\"}"
    static const char rows[] = "[" SAID("B", "B") "," SAID("B", " B\\n") "," SAID("B", "B.") "," SAID("B", "b") "," SAID("B", "<answer>B</answer>") "," SAID("B", "") "," SAID("A,C", "A") ","
                               SAID("A,C", "C, A") "," SAID("A,C", "A,B") "," SAID("A,C", "A,C,C") "," SAID("B", "answer: B") "," SAID("A, C", "A , C") "]";
    marked("tw-grpo-zeroshot", rows, (const char *const[]){"B", "B", "B.", "b", "<answer>B</answer>", "", "A", "C, A", "A,B", "A,C,C", "answer: B", "A , C"},
           (const double[]){1, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1}, 12);
    json_t *json = json_of(rows), *out = evaluate("tw-grpo-zeroshot", json, NULL), *by = json_object_get(out, "by");
    assert_true(near(json_object_get(out, "accuracy"), 5.0 / 12) && near(fv_json_find(out, "metrics.partial_accuracy"), 5.5 / 12));
    assert_true(near(fv_json_find(by, "single_choice.n"), 7) && near(fv_json_find(by, "single_choice.accuracy"), 2.0 / 7));
    assert_true(near(fv_json_find(by, "multiple_choice.n"), 5) && near(fv_json_find(by, "multiple_choice.accuracy"), 3.0 / 5));
    json_decref(out);
    out = evaluate("tw-grpo", json, NULL); /* which looks for a pair, or for "answer" */
    assert_true(near(json_object_get(out, "accuracy"), 2.0 / 12) && near(fv_json_find(out, "by.single_choice.n"), 7));
    json_decref(out);
    json_decref(json);
}

/* boxes are Vision-SR1's only place for an answer. */
static void boxes_are_graded(void **state) {
    (void)state;
    marked("vision-sr1", "[{\"answer\": \"0.5\", \"response\": \"A \\\\boxed{3} or \\\\boxed{\\\\frac{1}{2}}\"}, {\"answer\": \"B\", \"response\": \"\\\\boxed{B}\"}, {\"answer\": 7, \"response\": \"7\"}, {\"answer\": 0.5, \"response\": \"\\\\boxed{0.5}\"}]",
           (const char *const[]){"\\frac{1}{2}", "B", "None", "0.5"}, (const double[]){1, 1, 0, 1}, 4);
}

/* CLEVRER: words in any case; verdicts by letters, words or options with their letters, all of which must be right; options are counted over all questions of a type. */
static void verdicts_are_counted(void **state) {
    (void)state;
    static const char counter[] = "{\"question_type\": \"counterfactual\", \"scene_index\": 10001, \"choices\": [{\"choice\": \"a\", \"answer\": \"correct\"}, {\"choice\": \"b\", \"answer\": \"wrong\"}, "
                                  "{\"choice\": \"c\", \"answer\": \"correct\"}], \"response\": \"%s\"}",
                      none[] = "{\"question_type\": \"counterfactual\", \"choices\": [{\"choice\": \"a\", \"answer\": \"wrong\"}], \"response\": \"%s\"}",
                      word[] = "{\"question_type\": \"descriptive\", \"answer\": \"yes\", \"response\": \"%s\"}";
    static const struct {
        const char *row, *response, *extracted;
        double score;
        int options; /* verdicts that are right */
    } cases[] = {{counter, "<answer>A, C</answer>", "A,C", 1, 3}, {counter, "<answer>A and C.</answer>", "A,C", 1, 3},          {counter, "A", "A", 0, 2},
                 {counter, "correct, wrong, correct", "A,C", 1, 3}, {counter, "correct, correct", "", 0, 0},                     {counter, "(A) it moves\\n(C) it rests", "A,C", 1, 3},
                 {counter, "none", "none", 0, 1},                {counter, "A, D", "", 0, 0}, {counter, "and", "", 0, 0},                                    {counter, "I think A", "", 0, 0},
                 {counter, "", "", 0, 0},                        {none, "<think>A</think><answer>None</answer>", "none", 1, 1}, {none, "A", "A", 0, 0},
                 {word, "<answer>Yes.</answer>", "Yes", 1, 0},   {word, "no", "no", 0, 0}};
    fv_text t = {0};
    double right = 0, options = 0;
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_text_char(&t, i ? ',' : '[');
        fv_text_printf(&t, cases[i].row, cases[i].response);
        right += cases[i].score;
        options += cases[i].options;
    }
    fv_text_char(&t, ']');
    json_t *json = json_of(t.data), *out = evaluate("clevrer", json, NULL), *line;
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        char id[32];
        snprintf(id, sizeof id, "%zu", i);
        line = json_object_get(json_object_get(out, "lines"), id);
        if (strcmp(json_string_value(json_object_get(line, "extracted")), cases[i].extracted) || !near(json_object_get(line, "score"), cases[i].score))
            fail_msg("\"%s\": %s, %g", cases[i].response, json_string_value(json_object_get(line, "extracted")), json_number_value(json_object_get(line, "score")));
    }
    assert_true(near(json_object_get(out, "accuracy"), right / FV_COUNT(cases)));
    assert_true(near(fv_json_find(out, "metrics.counterfactual_options"), options / (11 * 3 + 2)));
    assert_true(json_is_null(json_object_get(json_object_get(out, "metrics"), "predictive_options")));
    assert_true(near(fv_json_find(out, "by.descriptive.accuracy"), 0.5));
    json_decref(out);
    json_decref(json);
    fv_text_clear(&t);
    out = evaluate("clevrer", json = json_of("[{\"question_type\": \"predictive\", \"choices\": [{\"choice\": \"a\"}], \"response\": \"A\"}, {\"question_type\": \"odd\", \"response\": \"A\"}]"), NULL);
    assert_int_equal(json_integer_value(json_object_get(out, "errors")), 2);
    assert_non_null(strstr(json_string_value(json_array_get(json_object_get(out, "bad"), 0)), "clevrer needs `choices`, each with an `answer` that is correct or wrong"));
    json_decref(out);
    json_decref(json);
}

/* Two tasks: one of two categories with means 1/2 and 1, one with 0: (3/4 + 0) / 2. Weights 1/4, 1/4, 1/2. */
static void tasks_are_averaged(void **state) {
    (void)state;
    static const char row[] = "{\"question_type\": \"%s\", \"ground_truth\": \"A\", \"response\": \"%s\", \"level\": \"%s\"}";
    static const char *const rows[][3] = {{"object_rel_direction_easy", "A", "x"}, {"object_rel_direction_easy", "B", "y"}, {"object_rel_direction_hard", "A", "x"}, {"route_planning", "C", "x"}};
    fv_text t = {0};
    for (size_t i = 0; i < FV_COUNT(rows); i++) {
        fv_text_char(&t, i ? ',' : '[');
        fv_text_printf(&t, row, rows[i][0], rows[i][1], rows[i][2]);
    }
    fv_text_char(&t, ']');
    json_t *json = json_of(t.data), *out = evaluate("vsi@lmms", json, "level"), *by = json_object_get(out, "by");
    assert_true(near(json_object_get(out, "accuracy"), 0.375));
    assert_true(near(json_object_get(out, "se"), sqrt(0.5 / 2) / 4)); /* only the first category varies: var 1/2, n 2, weight 1/4 */
    assert_true(near(fv_json_find(by, "object_rel_direction.accuracy"), 0.75) && near(fv_json_find(by, "object_rel_direction.n"), 3));
    assert_true(near(fv_json_find(by, "object_rel_direction_easy.accuracy"), 0.5) && near(fv_json_find(by, "x.n"), 3));
    assert_null(json_object_get(by, "object_counting"));
    json_decref(out);
    json_decref(json);
    fv_text_clear(&t);
}

/* A row counts in each of a protocol's categories, and a log of lmms-eval or rows of VLMEvalKit are read as they are. */
static void published_outputs_are_read(void **state) {
    (void)state;
#define DOC "\"doc\": {\"answer\": \"B\", \"duration\": \"long\", \"domain\": \"Knowledge\", \"videoID\": \"v\"}"
    json_t *rows = json_of("[{\"doc_id\": 4, " DOC ", \"target\": \"B\", \"resps\": [[\"<think>A</think> B.\"]], \"filtered_resps\": [\"B.\"]},"
                           " {\"doc_id\": 5, " DOC ", \"resps\": [\"Best option: A\"]}]");
    json_t *out = evaluate("videomme@lmms", rows, NULL), *by = json_object_get(out, "by");
    assert_true(near(json_object_get(out, "accuracy"), 0.5) && near(fv_json_find(by, "long.n"), 2) && near(fv_json_find(by, "Knowledge.accuracy"), 0.5));
    json_decref(out);
    json_decref(rows);
    rows = json_of("[{\"index\": 0, \"answer\": \"B\", \"prediction\": \"Best option: A\"}, {\"index\": 1, \"answer\": \"B\", \"response\": \"A\", \"prediction\": \"B\"}, {\"doc\": {}, \"answer\": \"B\"}]");
    out = evaluate("videomme@kit", rows, NULL);
    assert_true(near(json_object_get(out, "accuracy"), 0.5) && near(json_object_get(out, "errors"), 1)); /* B of "Best" */
    assert_non_null(strstr(json_string_value(json_array_get(json_object_get(out, "bad"), 0)), "videomme@kit needs a response"));
    json_decref(out);
    json_decref(rows);
}

/* Newer logs leave the benchmark's row out, and what was said where the filter changed nothing; ids are the logs' own. */
static void newer_logs_are_read(void **state) {
    (void)state;
    json_t *rows = json_of("[{\"doc_id\": 4, \"target\": \"C\", \"filtered_resps\": \"The best answer is (C).\", \"input\": {\"duration\": \"no\"}, \"videomme_perception_score\": {\"duration\": \"long\", \"answer\": \"C\", \"category\": \"Knowledge\", \"task_category\": \"Counting\"}},"
                           " {\"doc_id\": \"five\", \"target\": \"B\", \"filtered_resps\": \"B\", \"resps\": [\"<think>C</think>B\"]},"
                           " {\"doc_id\": \"six\", \"doc\": {\"id\": 7.5, \"answer\": \"B\"}, \"resps\": [[\"A\"]]}, {\"index\": 9, \"answer\": \"B\", \"response\": null, \"prediction\": 2}]");
    json_t *out = evaluate("videomme@lmms", rows, NULL), *lines = json_object_get(out, "lines");
    assert_true(near(json_object_get(out, "accuracy"), 0.5) && near(json_object_get(out, "n"), 4) && near(fv_json_find(out, "by.long.accuracy"), 1) && near(fv_json_find(out, "by.Knowledge.n"), 1) &&
                near(fv_json_find(out, "by.Counting.n"), 1));
    assert_string_equal(json_string_value(fv_json_find(lines, "six.doc_id")), "six");
    assert_string_equal(json_string_value(fv_json_find(lines, "five.response")), "<think>C</think>B");
    assert_string_equal(json_string_value(fv_json_find(lines, "3.response")), "2");
    json_decref(out);
    json_decref(rows);
    rows = json_of("[{\"doc_id\": 1, \"target\": \"a dog\", \"filtered_resps\": [\"(B)\"], \"mvbench_accuracy\": {\"pred_answer\": \"B\", \"gt_answer\": \"B\", \"score\": 1}}]");
    out = evaluate("mvbench@lmms", rows, NULL);
    assert_true(near(json_object_get(out, "accuracy"), 1) && near(json_object_get(out, "n"), 1));
    json_decref(out);
    json_decref(rows);
    rows = json_of("[{\"doc_id\": 1, \"doc\": {\"answer\": \"A. up\"}, \"resps\": [[\"It goes up, I think\"]], \"avg_accuracy\": {\"chatgpt_response\": \"Correct\"}}]"); /* its judge's word */
    out = evaluate("tempcompass@lmms", rows, NULL);
    assert_true(near(json_object_get(out, "accuracy"), 1) && near(json_object_get(out, "n"), 1));
    json_decref(out);
    json_decref(rows);
}

static void numbers_are_options(void **state) {
    (void)state;
    json_t *rows = json_of("[{\"options\": [3, 4], \"answer\": \"B\", \"prediction\": \"4\"}, {\"A\": 3, \"B\": 4.5, \"answer\": \"B\", \"prediction\": \"it: 4.5\"}, "
                           "{\"choices\": {\"A\": 7, \"B\": 8}, \"answer\": \"8\", \"prediction\": \"7\"}]");
    json_t *out = evaluate("mcq@kit", rows, NULL);
    assert_true(near(json_object_get(out, "n"), 3) && near(json_object_get(out, "accuracy"), 2.0 / 3));
    json_decref(out);
    json_decref(rows);
}

static void names_are_suggested(void **state) {
    (void)state;
    const fv_protocol *p;
    fv_error err;
    int n;
    assert_int_equal(fv_protocol_find(&p, "mvbench@lms", &err), FV_UNSUPPORTED);
    assert_non_null(strstr(err.text, "did you mean mvbench@lmms?"));
    assert_int_equal(fv_protocol_find(&p, "nothing like it", &err), FV_UNSUPPORTED);
    assert_null(p);
    const fv_protocol *const *all = fv_protocols(&n);
    for (int i = 0; i < n; i++) {
        assert_non_null(strstr(err.text, all[i]->name));
        assert_int_equal(fv_protocol_find(&p, all[i]->name, &err), FV_OK);
        assert_ptr_equal(p, all[i]);
        assert_true(p->mark || i == 0); /* all but exact */
        fv_protocol_find(&p, "nothing like it", &err);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_evaluators), cmocka_unit_test(an_outcome_reward_is_a_protocol), cmocka_unit_test(choices_are_read_in_one_way), cmocka_unit_test(numbers_are_compared), cmocka_unit_test(words_are_compared),
        cmocka_unit_test(letters_alone_are_answers),
        cmocka_unit_test(boxes_are_graded),                   cmocka_unit_test(verdicts_are_counted), cmocka_unit_test(tasks_are_averaged),              cmocka_unit_test(published_outputs_are_read), cmocka_unit_test(newer_logs_are_read), cmocka_unit_test(numbers_are_options),  cmocka_unit_test(names_are_suggested),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
