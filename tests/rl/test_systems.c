/* Six published systems: the rewards of their recipes for responses whose rewards were worked out independently (tests/rl/data/systems, made by tests/peers/systems.py),
 * and that each is plain GRPO with its own coefficients at zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "rl/part.h"
#include "rl/pipeline.h"
#include "rl/reward_rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_SETTINGS = 8 };

static char folder[64];

static int enter(void **state) {
    (void)state;
    strcpy(folder, "/tmp/fovea-systems-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int leave(void **state) {
    (void)state;
    return fv_path_remove(folder, NULL) == FV_OK ? 0 : -1;
}

/* A file's lines as JSON values. */
static json_t *lines_of(const char *path) {
    char *text;
    size_t size;
    fv_error err = {0};
    json_t *out = json_array(), *line;
    if (fv_file_read(&text, &size, path, &err) != FV_OK) fail_msg("%s", err.text);
    for (char *at = text, *end; *at; at = end + 1) {
        end = strchr(at, '\n');
        assert_non_null(end);
        if (fv_json_parse(&line, at, (size_t)(end - at), path, 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
        json_array_append_new(out, line);
    }
    free(text);
    return out;
}

static fv_recipe *open_recipe(const char *name, const char *const *settings) {
    char path[256];
    const char *all[MOST_SETTINGS + 1] = {"data=responses"};
    int n = 1;
    fv_recipe *r;
    fv_error err = {0};
    while (settings && settings[n - 1]) all[n] = settings[n - 1], n++;
    snprintf(path, sizeof path, "%s/recipes/%s.yaml", FOVEA_SOURCE, name);
    if (fv_recipe_open(&r, path, all, n, &err) != FV_OK) fail_msg("%s", err.text);
    return r;
}

/* What the recipe (with settings, a list that ends in NULL) makes of a file of responses. */
static json_t *rewards_of(const char *name, const char *data, const char *const *settings) {
    char out[128];
    fv_reward_counts counts;
    fv_error err = {0};
    fv_recipe *r = open_recipe(name, settings);
    snprintf(out, sizeof out, "%s/out.jsonl", folder);
    if (fv_reward_rows(&counts, r, data, out, &err) != FV_OK) fail_msg("%s", err.text);
    fv_recipe_close(r);
    return lines_of(out);
}

static json_t *rewards_of_rows(const char *name, const char *rows, const char *const *settings) {
    char data[128];
    fv_error err = {0};
    snprintf(data, sizeof data, "%s/rows.jsonl", folder);
    assert_int_equal(fv_file_write(data, rows, strlen(rows), &err), FV_OK);
    return rewards_of(name, data, settings);
}

static bool near(const json_t *a, const json_t *b) { return json_is_number(a) && fabs(json_number_value(a) - json_number_value(b)) <= 1e-6; }

static void check_row(const char *file, const json_t *row, const json_t *out) {
    const char *key;
    json_t *want, *error = json_object_get(out, "error");
    if (error) fail_msg("%s: %s", file, json_string_value(error));
    json_object_foreach(json_object_get(row, "want"), key, want) {
        bool own = !strcmp(key, "reward") || !strcmp(key, "advantage") || !strcmp(key, "token_weights");
        const json_t *got = own ? json_object_get(out, key) : json_object_get(json_object_get(out, "terms"), key);
        bool same = json_is_array(want) ? json_array_size(got) == json_array_size(want) : near(got, want);
        for (size_t i = 0; i < json_array_size(want) && same; i++) same = near(json_array_get(got, i), json_array_get(want, i));
        if (!same) fail_msg("%s: row %s: %s is %g, expected %g", file, json_string_value(json_object_get(row, "id")), key, json_number_value(got), json_number_value(want));
    }
}

static void check_file(const char *recipe, const char *file, const char *const *settings) {
    char data[256];
    size_t i;
    json_t *row;
    snprintf(data, sizeof data, "%s/tests/rl/data/systems/%s.jsonl", FOVEA_SOURCE, file);
    json_t *rows = lines_of(data), *out = rewards_of(recipe, data, settings);
    assert_true(json_array_size(rows) >= 20);
    assert_int_equal(json_array_size(rows), json_array_size(out));
    json_array_foreach(rows, i, row) check_row(file, row, json_array_get(out, i));
    json_decref(rows);
    json_decref(out);
}

static const char *const paper[] = {"stages.rl.reward.variant=paper", NULL};
static const char *const whole_set[] = {"reward.terms.accuracy.compare=whole-set", NULL};

static void sophiavl_r1(void **state) { (void)state, check_file("sophiavl-r1", "sophiavl-r1", NULL), check_file("sophiavl-r1", "sophiavl-r1.paper", paper); }
static void deepeyes(void **state) { (void)state, check_file("deepeyes", "deepeyes", NULL), check_file("deepeyes", "deepeyes.paper", paper); }
static void vilasr(void **state) { (void)state, check_file("vilasr", "vilasr", NULL); }
static void tw_grpo(void **state) { (void)state, check_file("tw-grpo", "tw-grpo", NULL), check_file("tw-grpo", "tw-grpo.whole-set", whole_set); }
static void vision_sr1(void **state) { (void)state, check_file("vision-sr1", "vision-sr1", NULL); }
static void video_r1(void **state) { (void)state, check_file("video-r1", "video-r1", NULL), check_file("video-r1", "video-r1.paper", paper); }

/* What a recipe makes of its file, but for the alpha that rows bring, which would stand above the recipe's. */
static json_t *rewards_of_own(const char *recipe, const char *const *settings) {
    char data[256];
    size_t i;
    json_t *row;
    fv_text text = {0};
    snprintf(data, sizeof data, "%s/tests/rl/data/systems/%s.jsonl", FOVEA_SOURCE, recipe);
    json_t *rows = lines_of(data);
    json_array_foreach(rows, i, row) {
        json_object_del(row, "alpha");
        fv_json_dump(&text, row, 0);
        fv_text_char(&text, '\n');
    }
    json_t *out = rewards_of_rows(recipe, text.data, settings);
    fv_text_clear(&text);
    json_decref(rows);
    return out;
}

/* Reward and advantage in bits, and no token weighs more than another: the plain recipe has no weights. */
static bool same_as_plain(const json_t *row, const json_t *plain) {
    static const char *const keys[] = {"reward", "advantage"};
    const json_t *weights = json_object_get(row, "token_weights");
    bool same = true;
    for (size_t k = 0; k < FV_COUNT(keys); k++) {
        json_t *a = json_object_get(row, keys[k]), *b = json_object_get(plain, keys[k]);
        same &= a && b ? json_equal(a, b) : a == b;
    }
    for (size_t t = 0; t < json_array_size(weights); t++) same &= json_number_value(json_array_get(weights, t)) == 1;
    return same;
}

/* With its own coefficients at zero a recipe's rewards and advantages are those of its accuracy and format alone, and its token weights 1: the same bits. As it is they are not. */
static void zero_coefficients_give_plain_grpo(void **state) {
    (void)state;
    static const struct {
        const char *recipe, *off[4], *plain[4];
    } cases[] = {
        {"sophiavl-r1", {"reward.shaping.0.scale=0"}, {"reward.shaping=[]", "reward.terms.1={term: exact}", "reward.terms.1.weight=0"}},
        {"video-r1", {"reward.terms.2.weight=0", "reward.terms.3.weight=0"}, {"reward.terms.3={term: length}", "reward.terms.3.weight=0", "reward.terms.2.weight=0"}},
        {"vision-sr1", {"reward.terms.2.weight=0"}, {"reward.terms.2={term: exact}", "reward.terms.2.weight=0"}},
        {"tw-grpo", {"weights.0.alpha=1"}, {"weights=[]"}},
        {"deepeyes", {"reward.terms.2.weight=0", "reward.shaping.0.weights.tool=0"}, {"reward.terms.2={term: repetition, name: tool}", "reward.terms.2.weight=0", "reward.shaping.0.weights.tool=0"}},
        {"vilasr", {"stages.rl.reward.shaping.0.above=-1"}, {"stages.rl.reward.shaping=[]"}},
    };
    for (size_t c = 0; c < FV_COUNT(cases); c++) {
        const char *name = cases[c].recipe;
        json_t *off = rewards_of_own(name, cases[c].off), *plain = rewards_of_own(name, cases[c].plain), *own = rewards_of_own(name, NULL);
        size_t gains = 0, weighed = 0, changed = 0;
        for (size_t i = 0; i < json_array_size(plain); i++) {
            const json_t *x = json_array_get(off, i), *y = json_array_get(plain, i), *z = json_array_get(own, i);
            if (json_object_get(x, "error") || json_object_get(z, "error")) fail_msg("%s: row %zu has an error", name, i); /* the plain recipe has nothing for rows of weights alone */
            if (!same_as_plain(x, y)) fail_msg("%s: row %zu differs", name, i);
            gains += json_object_get(x, "advantage") != NULL;
            weighed += json_object_get(x, "token_weights") != NULL;
            changed += !same_as_plain(z, y);
        }
        if (gains < 20 || (weighed > 0) != !strcmp(name, "tw-grpo")) fail_msg("%s: %zu advantages and %zu rows of token weights were compared", name, gains, weighed);
        if (!changed) fail_msg("%s: its own coefficients change nothing", name);
        json_decref(off);
        json_decref(plain);
        json_decref(own);
    }
}

/* alpha 1: every weight is 1, in bits; 2: the most different position weighs 2. */
static void token_weights_go_from_one_to_alpha(void **state) {
    (void)state;
    static const char rows[] = "{\"id\": 1, \"group\": \"g\", \"logprobs\": [[-0.1, -2.4], [-0.7, -0.7], [-3.0, -0.05]]}\n{\"id\": 2, \"group\": \"g\", \"logprobs\": [[-0.1, -2.4], [-0.1, -2.4]]}\n"
                               "{\"id\": 3, \"group\": \"g\", \"logprobs\": [[-0.1]]}\n{\"id\": 4, \"group\": \"h\", \"logprobs\": [0.5]}\n"
                               "{\"id\": 5, \"group\": \"h\", \"response\": \"A\", \"solution\": \"A\", \"logprobs\": [null, -0.5]}\n"; /* as trajectories are written */
    json_t *flat = rewards_of_rows("tw-grpo", rows, (const char *const[]){"weights.0.alpha=1", NULL}), *steep = rewards_of_rows("tw-grpo", rows, (const char *const[]){"weights.0.alpha=2", NULL});
    for (size_t i = 0; i < 2; i++) {
        const json_t *w = json_object_get(json_array_get(flat, i), "token_weights");
        assert_int_equal(json_array_size(w), 3 - i);
        for (size_t k = 0; k < json_array_size(w); k++) assert_true(json_number_value(json_array_get(w, k)) == 1);
    }
    const json_t *w = json_object_get(json_array_get(steep, 0), "token_weights");
    assert_true(json_number_value(json_array_get(w, 0)) == 1 && json_number_value(json_array_get(w, 1)) < 2 && fabs(json_number_value(json_array_get(w, 2)) - 2) < 1e-6);
    for (size_t i = 2; i < 4; i++) assert_non_null(strstr(json_string_value(json_object_get(json_array_get(steep, i), "error")), "list of numbers"));
    assert_true(json_object_get(json_array_get(steep, 4), "reward") && !json_object_get(json_array_get(steep, 4), "token_weights"));
    json_decref(flat);
    json_decref(steep);
}

/* The step that a row says is the one that weights go by; steps are the recipe's. */
static void weights_go_by_the_rows_step(void **state) {
    (void)state;
    static const char rows[] = "{\"id\": 1, \"group\": \"a\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\"}\n"
                               "{\"id\": 2, \"group\": \"b\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\", \"step\": 5}\n"
                               "{\"id\": 3, \"group\": \"c\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\", \"step\": 20}\n";
    static const double want[] = {1, 1.25, 1.5};
    json_t *out = rewards_of_rows("tw-grpo", rows, (const char *const[]){"steps=10", "reward.terms.format.weight={linear: [0, 0.5]}", NULL});
    for (size_t i = 0; i < 3; i++) {
        const json_t *row = json_array_get(out, i);
        assert_true(fabs(fv_get_num(row, "reward") - want[i]) < 1e-9 && fv_get_num(row, "terms.format") == 1);
    }
    json_decref(out);
}

/* What a term needs and a row lacks is that row's error; the others of its group are paid, and are their own baseline. */
static void rows_that_lack_something_have_errors(void **state) {
    (void)state;
    static const char rows[] = "{\"id\": 1, \"group\": \"g\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\", \"problem_type\": \"multiple choice\", \"step\": 1, \"thinking_reward\": 1}\n"
                               "{\"id\": 2, \"group\": \"g\", \"response\": \"<think>t</think><answer>B</answer>\", \"solution\": \"A\", \"problem_type\": \"multiple choice\", \"step\": 1}\n"
                               "{\"id\": 3, \"group\": \"g\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\", \"problem_type\": \"multiple choice\", \"step\": 1}\n"
                               "{\"id\": 4, \"group\": \"g\", \"solution\": \"A\", \"problem_type\": \"multiple choice\", \"step\": 1, \"thinking_reward\": 1}\n"
                               "{\"id\": 5, \"group\": \"g\", \"response\": \"x\", \"problem_type\": \"multiple choice\", \"thinking_reward\": 1}\n"
                               "{\"id\": 6, \"group\": \"g\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\", \"problem_type\": \"multiple choice\", \"step\": \"1\", \"thinking_reward\": 1}\n"
                               "{\"id\": 7, \"group\": \"g\", \"response\": \"<think>t</think><answer>A</answer>\", \"solution\": \"A\", \"problem_type\": \"multiple choice\", \"step\": 1, \"thinking_reward\": 7}\n";
    static const char *const errors[] = {NULL, NULL, "thinking_reward", "response", "answer", "step must be a number", "thinking_reward must be a number, 0..1"}; /* a wrong response is not asked about */
    json_t *out = rewards_of_rows("sophiavl-r1", rows, NULL);
    for (size_t i = 0; i < FV_COUNT(errors); i++) {
        const char *error = json_string_value(json_object_get(json_array_get(out, i), "error"));
        if (errors[i] ? !error || !strstr(error, errors[i]) : error != NULL) fail_msg("row %zu: %s", i + 1, error ? error : "no error");
    }
    double reward = 1 + 0.3 * exp(-1.0 / 12000), advantage = reward / 2 / (reward / sqrt(2) + 1e-6); /* two responses: mean r/2, deviation r/sqrt(2) */
    assert_true(fabs(json_number_value(json_object_get(json_array_get(out, 0), "advantage")) - advantage) < 1e-9);
    json_decref(out);
}

/* Answers to shuffled frames set the bar, and have no advantage: 2 of 4 in order, 3 of 4 shuffled, 0.5 < 0.8 * 0.75. */
static void shuffled_frames_set_the_bar(void **state) {
    (void)state;
    char rows[4096] = "";
    for (int i = 0; i < 8; i++)
        snprintf(rows + strlen(rows), sizeof rows - strlen(rows),
                 "{\"id\": %d, \"group\": \"g\", \"response\": \"<think>t</think><answer>%s</answer>\", \"solution\": \"<answer>A</answer>\", \"problem_type\": \"multiple choice\", \"data_type\": \"video\", \"frames\": \"%s\", \"length\": 400}\n", i,
                 (i < 4 ? i < 2 : i < 7) ? "A" : "B", i < 4 ? "ordered" : "shuffled");
    json_t *out = rewards_of_rows("video-r1", rows, NULL), *low = rewards_of_rows("video-r1", rows, (const char *const[]){"reward.terms.2.share=0.6", NULL});
    for (size_t i = 0; i < 8; i++) {
        const json_t *x = json_array_get(out, i);
        assert_true((json_object_get(x, "advantage") != NULL) == (i < 4));
        assert_true(json_number_value(json_object_get(json_object_get(x, "terms"), "temporal")) == 0);
        assert_true(json_number_value(json_object_get(json_object_get(json_array_get(low, i), "terms"), "temporal")) == (i < 2));
    }
    assert_true(fabs(json_number_value(json_object_get(json_array_get(low, 0), "reward")) - 2.5) < 1e-12);
    json_decref(out);
    json_decref(low);
}

/* Parts say what training must provide, and names that nobody has are refused when a recipe is opened. */
static void needs_and_names_are_known_when_a_recipe_opens(void **state) {
    (void)state;
    static const struct {
        const char *recipe;
        unsigned needs;
    } cases[] = {{"sophiavl-r1", FV_NEED_JUDGE | FV_NEED_REFERENCE}, {"deepeyes", FV_NEED_JUDGE}, {"vilasr", 0}, {"tw-grpo", FV_NEED_VOCABULARY},
                 {"vision-sr1", FV_NEED_SECOND_PASS | FV_NEED_REFERENCE}, {"video-r1", FV_NEED_SHUFFLED | FV_NEED_REFERENCE}};
    static const char *const wrong[][2] = {{"reward.terms.0.by_type={numerical: mathrular}", "did you mean \"mathruler\"?"}, {"reward.terms.0.name=accurate", "no term \"accuracy\""},
                                           {"reward.terms.0.by_type={OCR: 3}", "by_type.OCR"}, {"reward.shaping.0.thinking=thoughts", "no term \"thoughts\""}};
    fv_pipeline *p;
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        fv_error err = {0};
        fv_recipe *r = open_recipe(cases[i].recipe, NULL);
        assert_int_equal(fv_pipeline_open(&p, r->stages[r->stage_count - 1].json, &err), FV_OK);
        assert_int_equal(p->needs, cases[i].needs);
        fv_text written = {0}; /* what a run folder keeps of it is the same recipe */
        fv_recipe *again;
        fv_recipe_write(r, &written);
        assert_int_equal(fv_recipe_parse(&again, written.data, "written", NULL, 0, &err), FV_OK);
        assert_true(json_equal(r->json, again->json));
        fv_recipe_close(again);
        fv_text_clear(&written);
        fv_pipeline_close(p);
        fv_recipe_close(r);
    }
    for (size_t i = 0; i < FV_COUNT(wrong); i++) {
        fv_error err = {0};
        fv_recipe *r = open_recipe("sophiavl-r1", (const char *const[]){wrong[i][0], NULL});
        assert_int_equal(fv_pipeline_open(&p, r->stages[0].json, &err), FV_BAD_RECIPE);
        if (!strstr(err.text, wrong[i][1])) fail_msg("%s: %s", wrong[i][0], err.text);
        fv_recipe_close(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sophiavl_r1), cmocka_unit_test(deepeyes), cmocka_unit_test(vilasr), cmocka_unit_test(tw_grpo), cmocka_unit_test(vision_sr1), cmocka_unit_test(video_r1),
        cmocka_unit_test(zero_coefficients_give_plain_grpo), cmocka_unit_test(token_weights_go_from_one_to_alpha), cmocka_unit_test(rows_that_lack_something_have_errors), cmocka_unit_test(shuffled_frames_set_the_bar),
        cmocka_unit_test(weights_go_by_the_rows_step), cmocka_unit_test(needs_and_names_are_known_when_a_recipe_opens),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
