/* README.md's "Your own data", run as it stands there: its shell blocks are cut out of the page. Then rows of verl and EasyR1 with the same two recipes. */
#include "tests/cli/program.h"

/* As in a clone: ./fovea, and what the page names by paths from the repository's root. */
static int begin(void **state) {
    if (enter_folder(state)) return -1;
    return symlink(FOVEA_PROGRAM, "fovea") || symlink(FOVEA_SOURCE "/recipes", "recipes") || symlink(FOVEA_SOURCE "/datasets", "datasets") || symlink(FOVEA_SOURCE "/models", "models");
}

/* ---- README.md ------------------------------------------------------------------------------------------------------ */

/* Writes the shell blocks of the page's section one after the other to `path`. Returns how many there are. */
static int cut_blocks(const char *path, const char *section) {
    char *page = contents(FOVEA_SOURCE "/README.md"), *at = strstr(page, section), *end;
    if (!at) fail_msg("README.md has no \"%s\"", section);
    at += strlen(section);
    if ((end = strstr(at, "\n## "))) *end = '\0';
    fv_text script = {0};
    int blocks = 0;
    for (; (at = strstr(at, "\n```sh\n")); at = end, blocks++) {
        at += strlen("\n```sh\n");
        if (!(end = strstr(at, "\n```"))) fail_msg("README.md: a block of \"%s\" has no end", section);
        fv_text_printf(&script, "%.*s\n", (int)(end - at), at);
    }
    write_file(path, script.data ? script.data : "");
    fv_text_clear(&script);
    free(page);
    return blocks;
}

static void assert_run_is_whole(const char *folder, const char *kind, int steps) {
    char path[128];
    snprintf(path, sizeof path, "%s/summary.json", folder);
    json_t *summary = read_json(path);
    const json_t *stages = json_object_get(summary, "stages"), *stage = json_array_get(stages, 0);
    assert_int_equal(json_array_size(stages), 1);
    assert_string_equal(json_string_value(json_object_get(stage, "kind")), kind);
    assert_int_equal(json_integer_value(json_object_get(stage, "steps")), steps);
    assert_true(json_array_size(json_object_get(summary, "evaluations")) > 0);
    json_decref(summary);
    snprintf(path, sizeof path, "%s/bad_rows.jsonl", folder);
    char *bad = contents(path);
    assert_string_equal(bad, "");
    free(bad);
}

static void the_page_runs(void **state) {
    (void)state;
    assert_int_equal(cut_blocks("page.sh", "\n## Your own data\n"), 2);
    if (system("sh -eu page.sh >stdout 2>stderr")) {
        char *text = contents("stderr");
        fail_msg("README.md, \"Your own data\": %s", text);
    }
    assert_says("stdout", "2 rows, 2 with an answer, 2 with an assistant's turn to learn from");
    assert_says("stdout", "problems    0");
    assert_run_is_whole("runs/mine-sft", "sft", 1); /* both epochs are less than one batch */
    assert_run_is_whole("runs/mine", "grpo", 2);
    assert_true(fv_file_exists("runs/mine-sft/model/config.json"));
    json_t *made = read_lines("runs/mine/trajectories/step-1.jsonl");
    assert_true(json_array_size(made) > 0);
    json_decref(made);
}

/* ---- rows of others ------------------------------------------------------------------------------------------------- */

#define VERL_ROW(turns)                                                                                                                              \
    "{\"data_source\": \"animals\", \"prompt\": [{\"role\": \"user\", \"content\": \"<image>Which animal is this?\"}" turns "], \"images\": "         \
    "[{\"image\": \"datasets/photographs/cat.jpg\", \"max_pixels\": 12544}], \"ability\": \"seeing\", \"reward_model\": {\"style\": \"rule\", "      \
    "\"ground_truth\": \"cat\"}, \"extra_info\": {\"split\": \"train\", \"index\": 0}}\n"
#define EASYR1_ROW(fields)                                                                                                                           \
    "{\"problem\": \"<image>Which animals are these?\", \"answer\": \"otters\", \"images\": [\"datasets/photographs/otters.jpg\"]" fields "}\n"

#define SMALL " --quiet evaluate.max_new_tokens=8"

/* Their rows hold what is right and nothing that an assistant said: reinforcement needs no more, and supervised training says what is missing. */
static void one_grpo_step_on_rows_of_verl_and_easyr1(void **state) {
    (void)state;
    write_file("others.jsonl", VERL_ROW("") EASYR1_ROW(""));
    run_well("train recipes/grpo.yaml data=others.jsonl eval_data=others.jsonl steps=1 rollout.prompts=2 rollout.group_size=2 rollout.max_new_tokens=8 out=others" SMALL);
    assert_run_is_whole("others", "grpo", 1);
    json_t *made = read_lines("others/trajectories/step-1.jsonl");
    assert_int_equal(json_array_size(made), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *line = json_array_get(made, i);
        bool verl = json_object_get(line, "data_source") != NULL;
        assert_string_equal(json_string_value(json_object_get(line, "answer")), verl ? "cat" : "otters");
        assert_int_equal(json_array_size(json_object_get(line, "images")), 1);
    }
    json_decref(made);
    run_badly("train recipes/sft.yaml data=others.jsonl eval_data=others.jsonl batch=2 out=refused" SMALL, 1, "none of 2 rows has an assistant's turn to learn from");
}

/* With a prompt that goes on to the assistant's turn, or a process and solution beside the problem, they can be learned from. */
static void one_supervised_step_on_rows_of_verl_and_easyr1(void **state) {
    (void)state;
    write_file("learn.jsonl", VERL_ROW(", {\"role\": \"assistant\", \"content\": \"<answer>cat</answer>\"}")
                                  EASYR1_ROW(", \"process\": \"<think>They swim.</think>\", \"solution\": \"<answer>otters</answer>\""));
    run_well("data learn.jsonl --json");
    json_t *facts = read_json("stdout");
    assert_int_equal(json_integer_value(json_object_get(facts, "learn")), 2);
    json_decref(facts);
    run_well("train recipes/sft.yaml data=learn.jsonl eval_data=learn.jsonl batch=2 out=learned" SMALL);
    assert_run_is_whole("learned", "sft", 1);
    json_t *lines = read_lines("learned/metrics.jsonl");
    assert_int_equal(json_array_size(lines), 1);
    assert_true(json_number_value(json_object_get(json_array_get(lines, 0), "loss")) > 0);
    json_decref(lines);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_runs),
        cmocka_unit_test(one_grpo_step_on_rows_of_verl_and_easyr1),
        cmocka_unit_test(one_supervised_step_on_rows_of_verl_and_easyr1),
    };
    return cmocka_run_group_tests(tests, begin, leave_folder);
}
