/* What train says before and after, from the made run folder: figures, alignment, and what is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "language/model.h"
#include "rl/train/plan.h"
#include "rl/train/summary_table.h"
#include "tests/rl/run_fixture.h"

#include <unistd.h>

static char folder[] = "/tmp/fovea-summary-XXXXXX";

static int make_run(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    fixture_write(folder, "recipe.yaml", fixture_recipe);
    fixture_metrics(folder);
    fixture_evaluations(folder);
    return 0;
}

static int remove_run(void **state) {
    (void)state;
    fv_error err;
    return fv_path_remove(folder, &err) != FV_OK;
}

static void has(const fv_text *text, const char *what) {
    if (!strstr(text->data, what)) fail_msg("no \"%s\" in:\n%s", what, text->data);
}

static void summary_has_the_figures(void **state) {
    (void)state;
    fv_error err;
    fv_text t = {0};
    assert_int_equal(fv_summary_text(&t, folder, &err), FV_OK);
    has(&t, "visual-search: done in 9:25\n");
    has(&t, "before RL (cold-start)");
    has(&t, "greedy     500      44.6 % [40.2, 49.0]   94.6 % [92.6, 96.6]         1 -> 1   45.2 % -> 96.6 %   41.2 -> 41.2\n");
    has(&t, "no_tool");
    has(&t, "0.458 -> 0.963");
    has(&t, "difference of log-probs is 0, in 100 steps");
    assert_null(strstr(t.data, "report:")); /* none was written */
    assert_null(strstr(t.data, " \n"));
    fv_text_clear(&t);
}

static void summary_of_an_empty_folder(void **state) {
    (void)state;
    char empty[] = "/tmp/fovea-summary-XXXXXX";
    fv_error err;
    fv_text t = {0};
    assert_non_null(mkdtemp(empty));
    assert_int_equal(fv_summary_text(&t, empty, &err), FV_OK);
    has(&t, ": not finished\n");
    fv_text_clear(&t);
    assert_int_equal(rmdir(empty), 0);
}

static void tables_count_characters(void **state) {
    (void)state;
    fv_text_table *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->columns = 3;
    for (int r = 0; r < 2; r++) {
        char(*row)[FV_TABLE_CELL] = fv_text_table_row(t);
        snprintf(row[0], FV_TABLE_CELL, "%s", r ? "\xC3\xA9" : "ab");
        snprintf(row[2], FV_TABLE_CELL, "%s", r ? "10" : "9");
    }
    fv_text out = {0};
    fv_text_table_write(&out, t);
    assert_string_equal(out.data, "ab    9\n\xC3\xA9    10\n");
    fv_text_clear(&out);
    while (fv_text_table_row(t)) continue;
    assert_int_equal(t->rows, FV_TABLE_ROWS);
    free(t);
}

/* ---- The plan ---- */

static fv_text plan_of(const char *const *overrides, int count) {
    fv_recipe *recipe;
    fv_error err;
    fv_text t = {0};
    if (fv_recipe_parse(&recipe, fixture_recipe, "visual-search.yaml", overrides, count, &err) != FV_OK) fail_msg("%s", err.text);
    assert_int_equal(fv_plan_text(&t, recipe, &(fv_needs){0}, &err), FV_OK);
    fv_recipe_close(recipe);
    return t;
}

/* 120 steps of 0.61 s and 100 of 3.3 s were measured; 500 samples in 21.5 s a mode. */
static void plan_takes_times_from_an_earlier_run(void **state) {
    (void)state;
    char out[64];
    snprintf(out, sizeof out, "out=%s", folder);
    fv_text t = plan_of((const char *const[]){out, "evaluate.n=500", "evaluate.modes=[sampled, greedy]", "model.path=models/tiny-vl"}, 4);
    has(&t, "120 steps of 32 conversations");
    has(&t, "100 steps of 16 prompts x 8 answers");
    has(&t, "about 1:13\n");
    has(&t, "sampled, greedy on 500");
    has(&t, "about 43 s\n");
    has(&t, "times as in /tmp/fovea-summary-");
    fv_text_clear(&t);
    t = plan_of((const char *const[]){out, "stages.cold-start.batch=64"}, 2); /* twice the conversations, twice the time */
    has(&t, "about 2:27\n");
    has(&t, "greedy on 500"); /* all of eval_data */
    fv_text_clear(&t);
}

static void plan_without_a_model_says_less(void **state) {
    (void)state;
    fv_text t = plan_of((const char *const[]){"out=/nonexistent/run", "model.path=/nonexistent/model"}, 2);
    has(&t, "visual-search: /nonexistent/model, seed 1, into /nonexistent/run\n");
    has(&t, "100 steps of 16 prompts x 8 answers");
    assert_null(strstr(t.data, "about"));
    fv_text_clear(&t);
}

/* A new tiny model: its times are measured. */
static void plan_times_the_model(void **state) {
    (void)state;
    char model[96], path[128];
    fv_error err;
    snprintf(model, sizeof model, "%s/model", folder);
    snprintf(path, sizeof path, "model.path=%s", model);
    if (fv_model_init("tiny", 1, model, FV_F32, &err) != FV_OK) fail_msg("%s", err.text);
    fv_text t = plan_of((const char *const[]){"out=/nonexistent/run", path, "evaluate.n=20"}, 3);
    has(&t, "million parameters)");
    has(&t, "in all");
    size_t times = 0;
    for (const char *at = t.data; (at = strstr(at, "about ")); at++) times++;
    assert_int_equal(times, 5);
    fv_text_clear(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_has_the_figures), cmocka_unit_test(summary_of_an_empty_folder), cmocka_unit_test(tables_count_characters),
        cmocka_unit_test(plan_takes_times_from_an_earlier_run), cmocka_unit_test(plan_without_a_model_says_less), cmocka_unit_test(plan_times_the_model),
    };
    return cmocka_run_group_tests(tests, make_run, remove_run);
}
