/* Running the real program in a folder of its own, which is removed afterwards. */
#ifndef FV_TESTS_CLI_PROGRAM_H
#define FV_TESTS_CLI_PROGRAM_H

#include "core/file.h"
#include "core/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char work_folder[64];

/* Group set-up and tear-down: every test of a file works in the same new folder. */
static int enter_folder(void **state) {
    (void)state;
    strcpy(work_folder, "/tmp/fovea-cli-XXXXXX");
    return mkdtemp(work_folder) && !chdir(work_folder) ? 0 : -1;
}

static int leave_folder(void **state) {
    (void)state;
    return !chdir("/") && fv_path_remove(work_folder, NULL) == FV_OK ? 0 : -1;
}

/* Runs "fovea ARGUMENTS" by a shell (environment assignments may go before it in `before`); stdout and stderr go to files "stdout" and "stderr". */
static int run_with(const char *before, const char *arguments) {
    char command[2048];
    snprintf(command, sizeof command, "%s %s %s >stdout 2>stderr", before, FOVEA_PROGRAM, arguments);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
static inline int run(const char *arguments) { return run_with("", arguments); }

static inline char *contents(const char *path) {
    char *text;
    fv_error err = {0};
    if (fv_file_read(&text, NULL, path, &err) != FV_OK) fail_msg("%s", err.text);
    return text;
}

static inline void assert_says(const char *path, const char *word) {
    char *text = contents(path);
    if (!strstr(text, word)) fail_msg("%s does not say \"%s\" but: %s", path, word, text);
    free(text);
}

/* It works, or the test says why not. */
static inline void run_well(const char *arguments) {
    int code = run(arguments);
    if (code == 0) return;
    char *text = contents("stderr");
    fail_msg("fovea %s: exit code %d: %s", arguments, code, text);
}

static inline void run_badly(const char *arguments, int code, const char *why) {
    assert_int_equal(run(arguments), code);
    assert_says("stderr", why);
}

static inline void write_file(const char *path, const char *text) {
    fv_error err = {0};
    if (fv_file_write(path, text, strlen(text), &err) != FV_OK) fail_msg("%s", err.text);
}

static inline json_t *read_json(const char *path) {
    json_t *json;
    fv_error err = {0};
    if (fv_json_read(&json, path, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
    return json;
}

/* A file of JSON lines as a list. */
static inline json_t *read_lines(const char *path) {
    json_t *list = json_array();
    char *text = contents(path);
    for (char *at = text, *end; *at; at = end + 1) {
        json_t *row;
        fv_error err = {0};
        if (!(end = strchr(at, '\n'))) fail_msg("%s: its last line has no end", path);
        if (fv_json_parse(&row, at, (size_t)(end - at), path, 1, FV_BAD_DATA, &err) != FV_OK) fail_msg("%s", err.text);
        json_array_append_new(list, row);
    }
    free(text);
    return list;
}

static inline bool same_files(const char *a, const char *b) {
    char *x, *y;
    size_t n, m;
    assert_int_equal(fv_file_read(&x, &n, a, NULL), FV_OK);
    assert_int_equal(fv_file_read(&y, &m, b, NULL), FV_OK);
    bool same = n == m && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

/* Shared beginnings: a small random model in "m", and rows with their pictures in "rows". */
static inline void make_model(void) {
    if (!fv_folder_exists("m")) run_well("model init --preset tiny m seed=3");
}
static inline void make_rows(void) {
    if (!fv_folder_exists("rows")) run_well("data make visual-search n=6 split=test --out rows");
}

#endif
