/* The report, from a run folder that is made here: what it shows, that it is one safe file, and that no broken file breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "rl/report/answer.h"
#include "rl/report/chart.h"
#include "rl/report/curves.h"
#include "rl/report/html.h"
#include "rl/report/report.h"
#include "tests/rl/run_fixture.h"

#include <unistd.h>

static char folder[] = "/tmp/fovea-report-XXXXXX";

static int make_run(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    fixture_run(folder);
    return 0;
}

/* FOVEA_KEEP_REPORT=1 keeps the folder, to be looked at in a browser. */
static int remove_run(void **state) {
    (void)state;
    fv_error err;
    if (getenv("FOVEA_KEEP_REPORT")) {
        print_message("%s/report.html\n", folder);
        return 0;
    }
    return fv_path_remove(folder, &err) != FV_OK;
}

static char *report_of(const char *run) {
    fv_error err;
    char *text = NULL, *path = fv_path_join(run, "report.html");
    if (fv_report_write(run, &err) != FV_OK) fail_msg("%s", err.text);
    assert_int_equal(fv_file_read(&text, NULL, path, &err), FV_OK);
    free(path);
    return text;
}

static size_t count_of(const char *text, const char *word) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) n++;
    return n;
}

static void has(const char *page, const char *what) {
    if (!strstr(page, what)) fail_msg("the page lacks %s", what);
}

/* ---- The whole page ---- */

static void page_shows_the_run(void **state) {
    (void)state;
    char *page = report_of(folder);
    has(page, "<h1>visual-search</h1>");
    has(page, "accuracy on 500 held-out samples is <b>94.6 %</b>");
    has(page, "before it was 44.6 %");
    has(page, "45.2 %<span class=\"arrow\">→</span>96.6 %"); /* zooms that hold the target, greedy */
    has(page, "<th>without the tool<br>");
    has(page, "is <b>0</b> in each of 100 steps");
    has(page, ">Loss, cold-start<");
    has(page, "<dd>9:25</dd>");
    has(page, "1 (bad_rows.jsonl says why)");
    has(page, "<span class=\"key\">max_new_tokens</span>");
    assert_int_equal(count_of(page, "<div class=\"side before\">"), FIXTURE_SAMPLES);
    assert_int_equal(count_of(page, "<div class=\"side after\">"), FIXTURE_SAMPLES);
    assert_int_equal(count_of(page, "✗ wrong"), 7 + 1 + 4);
    assert_int_equal(count_of(page, "<div class=\"step\">"), 4);
    assert_int_equal(count_of(page, "bbox_2d is empty"), 2);
    free(page);
}

static void page_is_one_safe_file(void **state) {
    (void)state;
    char *page = report_of(folder);
    assert_int_equal(count_of(page, "<script>"), 1);
    assert_int_equal(count_of(page, "</script>"), 1);
    assert_null(strstr(page, "<b>bold"));
    has(page, "&lt;/script&gt;&lt;b&gt;bold&lt;/b&gt; &amp; &quot;quoted&quot; \xF0\x9F\x94\x8D \xE8\x99\x8E");
    assert_null(strstr(page, "http://"));
    assert_null(strstr(page, "https://"));
    assert_null(strstr(page, "src="));
    assert_true(strlen(page) < 3000000);
    /* each picture once: scenes, glimpses of them, crops (the one refused call has none) */
    size_t pictures = count_of(page, "data:image/jpeg;base64,"), again = count_of(page, "<use href=\"#p");
    assert_true(pictures >= 3 * FIXTURE_SAMPLES && again >= FIXTURE_SAMPLES);
    free(page);
}

static void same_files_same_page(void **state) {
    (void)state;
    char *a = report_of(folder), *b = report_of(folder);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

/* ---- Runs that are not whole ---- */

static void without(const char *const *names, size_t count, const char *content) {
    char other[] = "/tmp/fovea-report-XXXXXX";
    fv_error err;
    assert_non_null(mkdtemp(other));
    fixture_write(other, "recipe.yaml", fixture_recipe);
    fixture_metrics(other);
    fixture_evaluations(other);
    for (size_t i = 0; i < count; i++) {
        char *path = fv_path_join(other, names[i]);
        if (content) fixture_write(other, names[i], content);
        else assert_int_equal(fv_path_remove(path, &err), FV_OK);
        free(path);
    }
    char *page = report_of(other);
    has(page, "</html>");
    free(page);
    assert_int_equal(fv_path_remove(other, &err), FV_OK);
}

static void any_file_may_be_missing_or_broken(void **state) {
    (void)state;
    static const char *const names[] = {"recipe.yaml", "metrics.jsonl", "evaluations.jsonl", "summary.json", "evaluations/rl-greedy/trajectories.jsonl", "trajectories/step-1.jsonl"};
    static const char *const contents[] = {NULL, "", "{", "[1, 2]\n", "null\n", "\xFF\xFE\x00", "{\"stage\": 3, \"step\": \"x\", \"reward\": {}, \"stages\": [1], \"evaluations\": [1, {}], \"seconds\": []}\n",
                                           "{\"id\": 1, \"images\": [3, {\"image\": \"../x\"}], \"turns\": [7, {\"tool\": 1, \"box\": [1, \"a\", 3, 4]}], \"terms\": [1], \"target_box\": [0, 0, 1e300, 2]}\n"};
    for (size_t c = 0; c < FV_COUNT(contents); c++) {
        for (size_t i = 0; i < FV_COUNT(names); i++) without(names + i, 1, contents[c]);
        without(names, FV_COUNT(names), contents[c]);
    }
}

static void a_running_run_says_so(void **state) {
    (void)state;
    char other[] = "/tmp/fovea-report-XXXXXX";
    fv_error err;
    assert_non_null(mkdtemp(other));
    fixture_write(other, "recipe.yaml", fixture_recipe);
    fixture_metrics(other);
    char *page = report_of(other);
    has(page, "not finished · 220 steps");
    assert_null(strstr(page, "id=\"samples\""));
    free(page);
    assert_int_equal(fv_path_remove(other, &err), FV_OK);
}

/* ---- Parts ---- */

static void text_is_escaped(void **state) {
    (void)state;
    fv_text t = {0};
    fv_html_escape(&t, "a<b>&\"'\x01\xFF\xE8\x99\x8E\n", 13);
    assert_string_equal(t.data, "a&lt;b&gt;&amp;&quot;&#39;\xEF\xBF\xBD\xEF\xBF\xBD\xE8\x99\x8E\n");
    fv_text_rewind(&t);
    for (size_t n = 1; n <= 3; n++) fv_html_base64(&t, (const uint8_t *)"Man", n);
    assert_string_equal(t.data, "TQ==TWE=TWFu");
    fv_text_clear(&t);
}

/* Tools count each frame of a clip: the box is on the frame that was looked at, which is shown, and not on the picture that came back. */
static void boxes_are_on_the_frame_that_was_looked_at(void **state) {
    (void)state;
    static const char line[] = "{\"images\": [{\"video\": [\"f1.png\", \"f2.png\"]}, {\"image\": \"crop.png\"}, {\"image\": \"crop2.png\"}], \"turns\": [{\"tool\": \"t\", \"picture\": 2, \"box\": [1, 2, 11, 12], "
                               "\"returned\": 1}, {\"tool\": \"t\", \"picture\": 3, \"box\": [3, 4, 7, 8], \"returned\": 1}]}";
    static const char *const names[] = {"f1.png", "f2.png", "crop.png", "crop2.png"};
    char other[] = "/tmp/fovea-report-XXXXXX";
    fv_error err;
    fv_text t = {0};
    fv_gallery gallery = {.budget = 1 << 20};
    json_t *json = json_loads(line, 0, NULL);
    assert_non_null(mkdtemp(other));
    for (int i = 0; i < 4; i++) {
        fv_image *im;
        char *path = fv_path_join(other, names[i]);
        assert_int_equal(fv_image_new(&im, 30 + i, 20, (const uint8_t[]){9, 9, 9}, &err), FV_OK);
        assert_int_equal(fv_image_save(im, path, &err), FV_OK);
        fv_image_free(im);
        free(path);
    }
    fv_answer_looks(&t, &(fv_shown){.line = json, .folder = other, .gallery = &gallery, .side = 64});
    const char *frame = strstr(t.data, "viewBox=\"0 0 31 20\""), *crop = strstr(t.data, "viewBox=\"0 0 32 20\""), *last = strstr(t.data, "viewBox=\"0 0 33 20\"");
    const char *first = strstr(t.data, "class=\"box\" x=\"1.0\""), *second = strstr(t.data, "class=\"box\" x=\"3.0\"");
    assert_true(frame && crop && last && first && second && !strstr(t.data, "viewBox=\"0 0 30 20\""));
    assert_true(frame < first && first < crop && crop < second && second < last);
    fv_text_clear(&t);
    fv_gallery_clear(&gallery);
    json_decref(json);
    assert_int_equal(fv_path_remove(other, &err), FV_OK);
}

static void answers_are_coloured(void **state) {
    (void)state;
    fv_text t = {0};
    fv_answer_colour(&t, "a<answer>7</answer><|im_end|>", 1);
    assert_string_equal(t.data, "a<span class=\"answer good\">&lt;answer&gt;7&lt;/answer&gt;</span><span class=\"special\">&lt;|im_end|&gt;</span>");
    fv_text_rewind(&t);
    fv_answer_colour(&t, "<tool_call>{<answer>", -1); /* never closed: coloured to the end */
    assert_string_equal(t.data, "<span class=\"call\">&lt;tool_call&gt;{&lt;answer&gt;</span>");
    fv_text_clear(&t);
}

static void charts_leave_gaps_and_nothing(void **state) {
    (void)state;
    fv_text t = {0};
    double x[] = {1, 2, 3, 4}, y[] = {0.5, NAN, INFINITY, 0.25}, none[] = {NAN, NAN, NAN, NAN};
    fv_chart_write(&t, &(fv_chart){.title = "t", .series = {{.name = "s", .x = x, .y = none, .n = 4}}, .count = 1});
    assert_int_equal(t.size, 0);
    fv_chart_write(&t, &(fv_chart){.title = "t", .series = {{.name = "s", .x = x, .y = y, .n = 4}}, .count = 1});
    has(t.data, "data-rows=\"[[1,0.5],[4,0.25]]\"");
    assert_null(strstr(t.data, "nan"));
    assert_null(strstr(t.data, "inf"));
    fv_text_clear(&t);
}

static void a_difference_is_not_hidden(void **state) {
    (void)state;
    char other[] = "/tmp/fovea-report-XXXXXX";
    fv_error err;
    assert_non_null(mkdtemp(other));
    fixture_write(other, "metrics.jsonl", "{\"step\": 1, \"stage\": \"rl\", \"sampling/sampling_logp_difference/max\": 0.0}\n{\"step\": 2, \"stage\": \"rl\"}\n"
                                          "{\"step\": 3, \"stage\": \"rl\", \"sampling/sampling_logp_difference/max\": 1e-07}\n");
    char *page = report_of(other);
    has(page, "differ in 1 of 2 steps, by up to <b>1e-07</b>");
    free(page);
    assert_int_equal(fv_path_remove(other, &err), FV_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_shows_the_run), cmocka_unit_test(page_is_one_safe_file), cmocka_unit_test(same_files_same_page),
        cmocka_unit_test(any_file_may_be_missing_or_broken), cmocka_unit_test(a_running_run_says_so), cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(boxes_are_on_the_frame_that_was_looked_at), cmocka_unit_test(answers_are_coloured), cmocka_unit_test(charts_leave_gaps_and_nothing), cmocka_unit_test(a_difference_is_not_hidden),
    };
    return cmocka_run_group_tests(tests, make_run, remove_run);
}
