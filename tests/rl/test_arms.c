/* Comparisons: what recipes with arms are refused for, the worked example of docs/comparing.md from start to end, with a stop on the way, and that an arm has the bits of
 * the run that one would write by hand. */
#include "lesson.h"

#include "rl/compare/compare.h"
#include "rl/compare/comparison.h"
#include "rl/compare/spread.h"
#include "rl/train/plan.h"

#define EXAMPLE FOVEA_SOURCE "/tests/examples/compare.yaml"

/* ---- What is refused ---- */

static const char plain[] = "name: test\nmodel: {init: tiny}\ndata: {make: count, n: 4}\nout: somewhere\n%s\n"
                            "stages:\n  - {name: learn, kind: sft, steps: 1}\n  - {name: rl, kind: grpo, steps: 2}\n  - {name: pick, kind: filter, steps: 1}\n";

static fv_status open_text(fv_arms **out, const char *fields, fv_error *err) {
    char text[2048];
    snprintf(text, sizeof text, plain, fields);
    small_write("arms.yaml", text);
    return fv_arms_open(out, small_path("arms.yaml"), NULL, 0, err);
}

static void refused(const char *fields, const char *want) {
    fv_arms *a;
    fv_error err = {0};
    if (open_text(&a, fields, &err) == FV_OK) fail_msg("was taken, but should say: %s", want);
    assert_null(a);
    assert_int_equal(err.status, FV_BAD_RECIPE);
    if (!strstr(err.text, want)) fail_msg("says \"%s\" and not \"%s\"", err.text, want);
}

static void mistakes_are_told_before_anything_runs(void **state) {
    (void)state;
    refused("arms: {a: {}, b: {stages.rl.optm.lr: 1}}", "arms.yaml:5: arms.b: unknown field stages.rl.optm; did you mean optim?");
    refused("arms: {a: {stages.rl.rollout.group_size: 1}}", "arms.a: override stages.rl.rollout.group_size=1: stages.rl.rollout.group_size must be 2..1024, got 1");
    refused("arms: {a: {stages.rll.steps: 1}}", "arms.a: override stages.rll.steps=1: there is no rll; did you mean rl?");
    refused("arms: {a: {stages.rl.reward.terms: [{term: exat}]}}", "there is no reward \"exat\"; did you mean \"exact\"?");
    refused("arms: {a: {stages.rl.reward.shaping: [{rule: trust}]}}", "arms.yaml:5: arms.a: ");
    refused("arms: {a: {seed: 3}}", "arms.a: seed is the same for all arms");
    refused("arms: {a: {stages: []}}", "arms.a: name the fields of stages one by one");
    refused("arms: {a: {stages.learn.steps: 3}}\nshared: [learn]", "arms.a: stages.learn.steps can't be changed, since stage learn runs once for all arms");
    refused("arms: {a: {stages.0.steps: 3}}\nshared: [learn]", "since stage learn runs once");
    refused("arms: {a: {batch: 3}}\nshared: [learn]", "arms.a: batch can't be changed, since stage learn runs once"); /* the only supervised stage */
    refused("arms: {a: {model.init: mid}}\nshared: [learn]", "arms.a: model.init can't be changed, since every arm begins with the model of the shared stages");
    refused("arms: {}", "arms must name at least one arm");
    refused("arms: {a: 3}", "arms.a must be a mapping of what it changes");
    refused("arms: {a/b: {}}", "arms: names are 1 to 64 letters");
    refused("arms: {a: {}}\nshared: [rl]", "shared must be the first stages in their order, and not all of them; stage 1 of 3 is learn");
    refused("arms: {a: {}}\nshared: [learn, rl, pick]", "and not all of them; stage 3 of 3 is pick");
    refused("arms: {a: {}}\nseeds: [1, 1]", "seeds must be different whole numbers");
    refused("arms: {a: {}}\nseeds: [one]", "seeds must be different whole numbers");
    refused("arms: {a: {}}\nexport: there", "export is not for a recipe with arms");
    refused("seeds: [1, 2]", "arms.yaml:5: seeds is a field of comparisons");
}

/* ---- What runs ---- */

static void arms_become_ordinary_recipes(void **state) {
    (void)state;
    fv_arms *a;
    MUST(open_text(&a, "arms: {a: {}, b: {stages.rl.steps: 5, muon: [x]}}\nseeds: [4, 7]\nshared: [learn]\nlora: {r: 2, targets: all-linear}", err));
    fv_error why = {0};
    assert_int_equal(fv_train(a->recipe, &(fv_train_options){.quiet = true}, &why), FV_BAD_RECIPE); /* not one run that leaves the arms out */
    assert_int_equal(a->arm_count * a->seed_count, 4);
    assert_int_equal(a->shared->stage_count, 1);
    assert_string_equal(fv_get_text(a->shared->json, "export"), "somewhere/shared/model");
    assert_int_equal(fv_get_int(a->shared->json, "lora.r"), 2);
    const fv_recipe *r = a->runs[3].recipe;
    assert_string_equal(fv_arms_folder(r), "somewhere/b-7");
    assert_string_equal(fv_get_text(r->json, "name"), "test, b-7");
    assert_string_equal(fv_get_text(r->json, "model.path"), "somewhere/shared/model");
    assert_null(fv_get(r->json, "model.init"));
    assert_int_equal(fv_get_int(r->json, "lora.r"), 0); /* it is in the shared model's folder */
    assert_int_equal(fv_get_int(r->json, "seed"), 7);
    assert_int_equal(r->stage_count, 2);
    assert_int_equal(fv_get_int(r->stages[0].json, "steps"), 5);
    assert_int_equal(fv_get_int(a->runs[2].recipe->stages[0].json, "steps"), 2);
    assert_null(fv_get(r->json, "arms"));
    fv_arms_close(a);
}

static void an_arm_may_leave_stages_out(void **state) {
    (void)state;
    fv_arms *a;
    MUST(open_text(&a, "arms: {a: {}, b: {stages.rl: null}, c: {stages.pick: }}\nshared: [learn]", err));
    assert_int_equal(a->runs[0].recipe->stage_count, 2);
    assert_int_equal(a->runs[1].recipe->stage_count, 1);
    assert_string_equal(a->runs[1].recipe->stages[0].name, "pick");
    assert_string_equal(a->runs[2].recipe->stages[0].name, "rl");
    fv_arms_close(a);
    refused("arms: {a: {stages.learn: null}}\nshared: [learn]", "stages.learn can't be changed, since stage learn runs once");
    refused("arms: {a: {stages.rl: null, stages.pick: null}}\nshared: [learn]", "stages must be a list of at least one stage");
}

/* What a shared filter kept is read from where it was written; a filter of the arm's own is its own. */
static void kept_rows_of_shared_stages_are_found(void **state) {
    (void)state;
    static const char text[] = "model: {init: tiny}\nout: o\ndata: {make: count, n: 4}\nshared: [pick]\narms: {a: {}}\nstages:\n  - {name: pick, kind: filter, steps: 1}\n"
                               "  - {name: more, kind: filter, steps: 1}\n  - {name: learn, kind: sft, steps: 1, data: [{stage: pick, weight: 2}, {stage: more}]}\n";
    fv_arms *a;
    small_write("kept.yaml", text);
    MUST(fv_arms_open(&a, small_path("kept.yaml"), NULL, 0, err));
    const json_t *data = fv_get(a->runs[0].recipe->stages[1].json, "data");
    assert_string_equal(fv_get_text(json_array_get(data, 0), "path"), "o/shared/pick.jsonl");
    assert_int_equal(fv_get_int(json_array_get(data, 0), "weight"), 2);
    assert_null(fv_get(json_array_get(data, 0), "stage"));
    assert_string_equal(fv_get_text(json_array_get(data, 1), "stage"), "more");
    fv_arms_close(a);
}

/* ---- The example ---- */

static fv_arms *open_example(const char *further) {
    char out[128], model[128];
    const char *overrides[] = {out, model, "threads=1", further};
    fv_arms *a;
    snprintf(out, sizeof out, "out=%s/whole", small_root);
    snprintf(model, sizeof model, "model={path: %s/model0}", small_root);
    MUST(fv_arms_open(&a, EXAMPLE, overrides, further ? 4 : 3, err));
    return a;
}

/* The second arm with the second seed, as one would write it. */
static fv_recipe *by_hand(void) {
    fv_text t = {0};
    fv_recipe *r;
    fv_text_printf(&t,
                   "seed: 2\nthreads: 1\nout: %s/hand\nmodel: {path: %s/whole/shared/model}\neval_data: {make: visual-search, n: 4, split: test}\n"
                   "evaluate: {modes: [greedy], max_new_tokens: 8}\nenv: {tools: [image_zoom_in_tool], max_turns: 2, prompt: compact}\nstages:\n  - name: rl\n    kind: grpo\n"
                   "    data: {make: visual-search, n: 8}\n    steps: 2\n    rollout: {prompts: 2, group_size: 4, max_new_tokens: 12}\n    optim: {lr: 1.0e-3}\n",
                   small_root, small_root);
    MUST(fv_recipe_parse(&r, t.data, "hand.yaml", (const char *const[]){"reward.terms=[{term: exact}, {term: length, weight: 0.5, max: 12, buffer: 11}]"}, 1, err));
    fv_text_clear(&t);
    return r;
}

static char *text_of(const char *name) {
    char *text;
    MUST(fv_file_read(&text, NULL, small_path(name), err));
    return text;
}

/* Stopped in the shared stage and again in the second arm, and gone on with. */
static int run_example(void **state) {
    if (lesson_begin(state)) return -1;
    static volatile int stop = 1;
    fv_train_options o = {.quiet = true, .stop = &stop};
    fv_error why = {0};
    fv_arms *a = open_example(NULL);
    for (int i = 0; i < 3; i++, o.resume = true)
        if (fv_compare(a, &o, NULL, &why) != FV_CANCELLED || !strstr(why.text, "--resume")) return -1;
    stop = 0;
    fv_status s = fv_compare(a, &o, NULL, &why);
    if (s != FV_OK) print_error("%s\n", why.text);
    fv_arms_close(a);
    return s != FV_OK;
}

static void an_arm_has_the_bits_of_the_run_by_hand(void **state) {
    (void)state;
    MUST(lesson_run(by_hand(), false, err));
    lesson_same_run("hand", "whole/short-2");
    char *one = lesson_metrics("whole/short-1"), *two = lesson_metrics("whole/short-2"), *other = lesson_metrics("whole/plain-2");
    assert_string_not_equal(one, two);
    assert_string_not_equal(two, other);
    free(one);
    free(two);
    free(other);
}

static void the_table_has_what_the_runs_say(void **state) {
    (void)state;
    json_t *all;
    MUST(fv_json_read(&all, small_path("whole/comparison.json"), FV_BAD_DATA, err));
    const json_t *arm = fv_get(all, "arms.short"), *length = json_object_get(fv_get(arm, "metrics"), "completions/mean_length");
    char *metrics = text_of("whole/short-2/metrics.jsonl");
    double last = lesson_value(strchr(metrics, '\n') + 1, "completions/mean_length"), first = json_number_value(json_array_get(fv_get(length, "values"), 0));
    free(metrics);
    assert_true(json_number_value(json_array_get(fv_get(length, "values"), 1)) == last); /* the last tenth of two steps is the second */
    assert_true(fabs(fv_get_num(length, "mean") - (first + last) / 2) < 1e-12);
    assert_true(fabs(fv_get_num(length, "se") - fabs(first - last) / 2) < 1e-12);
    const json_t *greedy = fv_get(arm, "accuracy.greedy"), *base = fv_get(all, "arms.plain.accuracy.greedy");
    assert_int_equal(fv_get_int(greedy, "n"), 4);
    assert_true(fabs(fv_get_num(greedy, "difference.mean") - (fv_get_num(greedy, "mean") - fv_get_num(base, "mean"))) < 1e-12);
    assert_null(fv_get(base, "difference"));
    assert_true(json_is_number(fv_get(all, "start.accuracy.greedy")));
    assert_int_equal(json_object_size(fv_get(arm, "changes")), 1);
    assert_string_equal(json_string_value(json_array_get(fv_get(arm, "runs"), 1)), "short-2");
    json_decref(all);
}

static void the_page_and_the_table_show_both_arms(void **state) {
    (void)state;
    fv_arms *a = open_example(NULL);
    fv_comparison c;
    fv_text t = {0};
    char *page = text_of("whole/comparison.html");
    static const char *const shown[] = {"<h1>brevity</h1>", "href=\"shared/report.html\"", "href=\"short-2/report.html\"", "stages.rl.reward.terms: ", "class=\"k1 band\"", "completions/mean_length"};
    for (size_t i = 0; i < FV_COUNT(shown); i++)
        if (!strstr(page, shown[i])) fail_msg("the page lacks %s", shown[i]);
    assert_true(!strstr(page, "http://") && !strstr(page, "nan") && !strstr(page, "inf,"));
    free(page);
    MUST(fv_comparison_open(&c, a, err));
    MUST(fv_comparison_text(&t, &c, err));
    fv_comparison_close(&c);
    assert_true(strstr(t.data, "greedy accuracy") && strstr(t.data, "plain") && strstr(t.data, "to plain") && strstr(t.data, "short"));
    fv_text_clear(&t);
    MUST(fv_plan_arms(&t, a, err));
    assert_true(strstr(t.data, "2 arms x 2 seeds") && strstr(t.data, "shared: cold-start") && strstr(t.data, "short: rl") && strstr(t.data, "times as in"));
    fv_text_clear(&t);
    fv_arms_close(a);
}

/* Runs that have ended are not touched; runs of another recipe are not taken for this one's. */
static void a_finished_comparison_stays(void **state) {
    (void)state;
    fv_train_options o = {.quiet = true, .resume = true};
    fv_error why = {0};
    char *before = text_of("whole/plain-1/log.txt"), *table = text_of("whole/comparison.json"), *page = text_of("whole/comparison.html");
    fv_arms *a = open_example(NULL);
    MUST(fv_compare(a, &o, NULL, err));
    fv_arms_close(a);
    char *after = text_of("whole/plain-1/log.txt"), *table_after = text_of("whole/comparison.json"), *page_after = text_of("whole/comparison.html");
    assert_string_equal(before, after);
    assert_string_equal(table, table_after);
    assert_string_equal(page, page_after);
    a = open_example("stages.rl.optim.lr=2.0e-3");
    assert_int_equal(fv_compare(a, &o, NULL, &why), FV_BAD_RECIPE);
    if (!strstr(why.text, "plain-1: was made by another recipe")) fail_msg("%s", why.text);
    fv_arms_close(a);
    char *const all[] = {before, table, page, after, table_after, page_after};
    for (size_t i = 0; i < FV_COUNT(all); i++) free(all[i]);
}

/* ---- Intervals ---- */

/* Quantiles of Student's t as they are printed everywhere (Abramowitz and Stegun, table 26.10). */
static void intervals_are_students(void **state) {
    (void)state;
    static const struct {
        int freedom;
        double t;
    } printed[] = {{1, 12.706}, {2, 4.303}, {3, 3.182}, {4, 2.776}, {5, 2.571}, {9, 2.262}, {10, 2.228}, {30, 2.042}, {120, 1.980}};
    for (size_t i = 0; i < FV_COUNT(printed); i++)
        if (fabs(fv_student(0.95, printed[i].freedom) - printed[i].t) > 6e-4) fail_msg("t of %d is %.5f", printed[i].freedom, fv_student(0.95, printed[i].freedom));
    fv_spread s = fv_spread_of((const double[]){2, NAN, 4, 9}, NULL, 4); /* mean 5, variance 13 */
    assert_int_equal(s.n, 3);
    assert_true(s.mean == 5 && fabs(s.se - sqrt(13.0 / 3)) < 1e-12 && fabs(s.high - 5 - 4.30265 * s.se) < 1e-3);
    s = fv_spread_of((const double[]){2, 5, NAN}, (const double[]){1, 4, 3}, 3); /* paired: 1 and 1, however far 2 and 5 are apart */
    assert_true(s.n == 2 && s.mean == 1 && s.se == 0 && s.low == 1 && s.high == 1);
    s = fv_spread_of((const double[]){7}, NULL, 1);
    assert_true(s.n == 1 && s.mean == 7 && isnan(s.se) && isnan(s.low));
    assert_true(isnan(fv_spread_of(NULL, NULL, 0).mean));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_are_students), cmocka_unit_test(mistakes_are_told_before_anything_runs), cmocka_unit_test(arms_become_ordinary_recipes), cmocka_unit_test(an_arm_may_leave_stages_out),
        cmocka_unit_test(kept_rows_of_shared_stages_are_found), cmocka_unit_test(an_arm_has_the_bits_of_the_run_by_hand), cmocka_unit_test(the_table_has_what_the_runs_say),
        cmocka_unit_test(the_page_and_the_table_show_both_arms), cmocka_unit_test(a_finished_comparison_stays),
    };
    return cmocka_run_group_tests(tests, run_example, small_end);
}
