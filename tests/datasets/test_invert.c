/* Question-answer inversion: what becomes of a question, what is left alone, and that data sets invert by number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/file.h"
#include "datasets/dataset.h"
#include "datasets/invert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static json_t *inverted(const char *text, double share, uint64_t key) {
    fv_error err = {0};
    json_t *row = json_loads(text, 0, NULL);
    assert_non_null(row);
    if (fv_row_invert(row, share, key, &err) != FV_OK) fail_msg("%s", err.text);
    return row;
}

static const char *text_of(const json_t *row, const char *field) { return json_string_value(json_object_get(row, field)); }

/* Of four options with one right, by many draws: the old answer is the only one that is not in the key, one to three others are kept, each option once and with a letter of its place. */
static void the_old_answer_is_the_only_wrong_one(void **state) {
    (void)state;
    static const char *const options[] = {"(A) a cup", "(B) a red ball", "(C) a book", "(D) nothing"};
    int counts[5] = {0}, first[4] = {0};
    for (uint64_t key = 0; key < 200; key++) {
        json_t *row = inverted("{\"question\": \"What did  the Man\\nlift?\", \"options\": [\"(A) a cup\", \"(B) a red ball\", \"(C) a book\", \"(D) nothing\"], \"answer\": \"(B)\", \"video\": \"1.mp4\"}", 1, key);
        const json_t *list = json_object_get(row, "options");
        size_t n = json_array_size(list);
        char wanted[64] = "<answer>";
        bool seen[4] = {false};
        assert_string_equal(text_of(row, "question"), "what didn't  the man\nlift?");
        assert_true(json_is_true(json_object_get(row, "is_negated")) && n >= 2 && n <= 4);
        for (size_t i = 0; i < n; i++) {
            const char *option = json_string_value(json_array_get(list, i));
            size_t k = 0;
            assert_true(option[0] == '(' && option[1] == (char)('A' + i) && option[2] == ')');
            while (k < 4 && strcmp(options[k] + 4, option + 4)) k++;
            assert_true(k < 4 && !seen[k]);
            seen[k] = true;
            first[k] += i == 0;
            if (k != 1) snprintf(wanted + strlen(wanted), 8, "%s%c", wanted[8] ? "," : "", (char)('A' + i));
        }
        assert_true(seen[1]);
        assert_string_equal(text_of(row, "answer"), wanted + 8);
        strcat(wanted, "</answer>");
        assert_string_equal(text_of(row, "solution"), wanted);
        counts[n]++;
        json_decref(row);
    }
    for (int n = 2; n <= 4; n++) assert_in_range(counts[n], 40, 95); /* 200 / 3 each */
    for (int k = 0; k < 4; k++) assert_true(first[k] > 20);
}

/* Options in the question's last lines stay there, however they are marked. */
static void options_may_stand_in_the_question(void **state) {
    (void)state;
    static const char *const marks[] = {"%c red", "%c. red", "%c) red", "%c: red", "(%c) red"};
    for (size_t m = 0; m < FV_COUNT(marks); m++) {
        char a[16], b[16], text[256], wanted[2][96];
        snprintf(a, sizeof a, marks[m], 'A');
        snprintf(b, sizeof b, marks[m], 'B');
        snprintf(text, sizeof text, "{\"problem\": \"<video>Which is it?\\n%s one\\n%s two%s\", \"solution\": \"<answer>A</answer>\"}", a, b, m % 2 ? "\\n" : "");
        snprintf(wanted[0], sizeof wanted[0], "<video>which isn't it?\n%s one\n%s two", a, b);
        snprintf(wanted[1], sizeof wanted[1], "<video>which isn't it?\n%s two\n%s one", a, b);
        json_t *row = inverted(text, 1, m);
        bool kept = !strcmp(text_of(row, "problem"), wanted[0]);
        if (!kept) assert_string_equal(text_of(row, "problem"), wanted[1]);
        assert_string_equal(text_of(row, "solution"), kept ? "<answer>B</answer>" : "<answer>A</answer>");
        assert_null(json_object_get(row, "options"));
        json_decref(row);
    }
}

/* What can't be negated is left alone, answer and all; so is what has several right options, or none that can be told. */
static void others_are_left_alone(void **state) {
    (void)state;
    static const char *const rows[] = {
        "{\"question\": \"why the man lifts it\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"A\"}",
        "{\"question\": \"what didn't he lift\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"A,B\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"C\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"x\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. x\", \"C. y\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. x\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. x\", \"B. y\", 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [3, \"B. y\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\\nA. x\\nB. y\\nAnswer with a letter.\", \"answer\": \"A\"}",
        "{\"question\": \"did\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"A\"}",
        "{\"question\": \"\", \"options\": [\"A. x\", \"B. y\"], \"solution\": \"\"}",
        "{\"messages\": [], \"question\": \"what did he lift\", \"options\": [\"A. x\", \"B. y\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A\", \"B\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"(A\", \"(B\"], \"answer\": \"A\"}",
        "{\"question\": \"what did he lift\", \"options\": [\"A. \", \"B.y\"], \"answer\": \"(A\"}",
        "[\"what did he lift\"]",
    };
    for (size_t i = 0; i < FV_COUNT(rows); i++) {
        json_t *before = json_loads(rows[i], 0, NULL), *row = inverted(rows[i], 1, i);
        if (!json_equal(before, row)) fail_msg("row %zu was changed", i);
        json_decref(before);
        json_decref(row);
    }
}

/* A data set inverts a share of its rows, the same ones in every reading; another seed others; and refuses a share that is none. */
static void a_data_set_inverts_by_number(void **state) {
    (void)state;
    char path[] = "/tmp/fovea-invert-XXXXXX";
    fv_error err = {0};
    fv_text rows = {0};
    int counts[2] = {0}, both = 0;
    for (int i = 0; i < 200; i++) fv_text_add(&rows, "{\"question\": \"what did he lift\", \"options\": [\"A. x\", \"B. y\"], \"solution\": \"<answer>A</answer>\"}\n");
    assert_true(close(mkstemp(path)) == 0);
    assert_int_equal(fv_file_write(path, rows.data, rows.size, &err), FV_OK);
    for (int i = 0; i < 200; i++) {
        bool is[3];
        for (int k = 0; k < 3; k++) {
            fv_dataset *d;
            fv_row *row;
            json_t *spec = json_pack("{s: s, s: f}", "path", path, "invert", 0.5);
            if (fv_dataset_open(&d, spec, k == 2, &err) != FV_OK || fv_dataset_row(d, i, &row, &err) != FV_OK) fail_msg("%s", err.text);
            is[k] = json_is_true(json_object_get(row->json, "is_negated"));
            const char *said = json_string_value(json_object_get(json_array_get(json_object_get(row->json, "messages"), 0), "content"));
            assert_true(said && (strstr(said, "didn't") != NULL) == is[k]); /* what the model is asked is the row as it is now */
            fv_row_free(row);
            fv_dataset_close(d);
            json_decref(spec);
        }
        assert_true(is[0] == is[1]);
        counts[0] += is[0];
        counts[1] += is[2];
        both += is[0] && is[2];
    }
    for (int k = 0; k < 2; k++) assert_in_range(counts[k], 75, 125);
    assert_in_range(both, 25, 75);
    fv_dataset *d;
    json_t *spec = json_pack("{s: s, s: f}", "path", path, "invert", 1.5);
    assert_int_equal(fv_dataset_open(&d, spec, 1, &err), FV_BAD_RECIPE);
    assert_non_null(strstr(err.text, "invert must be 0..1"));
    json_decref(spec);
    fv_text_clear(&rows);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_old_answer_is_the_only_wrong_one), cmocka_unit_test(options_may_stand_in_the_question), cmocka_unit_test(others_are_left_alone),
                                       cmocka_unit_test(a_data_set_inverts_by_number)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
