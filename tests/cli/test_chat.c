/* fovea chat: from a pipe and in a terminal. */
#include "tests/cli/program.h"

#include <poll.h>
#include <pty.h>
#include <time.h>

static long number(const json_t *line, const char *key) {
    const json_t *value = json_object_get(line, key);
    if (!json_is_integer(value)) fail_msg("no %s", key);
    return (long)json_integer_value(value);
}

static const char *text(const json_t *line, const char *key) { return json_string_value(json_object_get(line, key)); }

static void says_line_by_line_and_computes_nothing_twice(void **state) {
    (void)state;
    make_model();
    write_file("in", "Hello\n\nWhat is 1 + 1?\\\nThink.\n/reset\nHello\n");
    assert_int_equal(run_with("<in", "chat --model m --json max_new_tokens=24 seed=5"), 0);
    json_t *lines = read_lines("stdout");
    assert_int_equal(json_array_size(lines), 3);
    const json_t *a = json_array_get(lines, 0), *b = json_array_get(lines, 1), *c = json_array_get(lines, 2);
    assert_true(number(a, "tokens") > 0 && number(a, "tokens") <= 24 && number(a, "calls") == 0 && number(a, "answer") == 1);
    assert_int_equal(number(a, "computed"), number(a, "context") - 1); /* but for the last token, which nothing follows yet */
    assert_int_equal(number(b, "computed"), number(b, "context") - number(a, "context"));
    assert_string_equal(text(a, "response"), text(c, "response")); /* forgotten: the same again */
    assert_int_equal(number(a, "context"), number(c, "context"));
    /* Without --json: the same texts, special tokens left out. */
    assert_int_equal(run_with("<in", "chat --model m max_new_tokens=24 seed=5"), 0);
    char *plain = contents("stdout"), *at = plain;
    for (size_t i = 0; i < 3; i++) {
        const char *whole = text(json_array_get(lines, i), "response"), *end = strstr(whole, "<|im_end|>");
        size_t n = end ? (size_t)(end - whole) : strlen(whole);
        assert_memory_equal(at, whole, n);
        at += n;
        assert_true(*at++ == '\n');
    }
    assert_true(*at == '\0');
    free(plain);
    json_decref(lines);
}

static void takes_pictures_videos_and_tools(void **state) {
    (void)state;
    fv_names pictures;
    make_model();
    make_rows();
    assert_int_equal(fv_folder_list(&pictures, "rows/pictures", NULL), FV_OK);
    char in[600];
    snprintf(in, sizeof in, "/image rows/pictures/%s\nWhich digit?\nWhich digit?\n", pictures.names[0]);
    write_file("in", in);
    fv_names_free(&pictures);
    assert_int_equal(run_with("<in", "chat --model m --json max_new_tokens=4 temperature=0"), 0);
    json_t *lines = read_lines("stdout");
    const json_t *with = json_array_get(lines, 0), *without = json_array_get(lines, 1);
    long picture = (number(with, "context") - number(with, "tokens")) - (number(without, "computed") - number(without, "tokens"));
    assert_true(picture >= 16); /* a picture's tokens are in the first turn alone */
    json_decref(lines);
    assert_int_equal(run_with("<in", "chat --model m --json --tools image_zoom_in_tool max_new_tokens=4"), 0);
    json_t *told = read_lines("stdout");
    assert_true(number(json_array_get(told, 0), "context") > number(json_array_get(told, 0), "tokens") + picture + 100); /* the tool is described, once */
    assert_true(number(json_array_get(told, 1), "computed") < 100);
    json_decref(told);
    write_file("in", "Which digit?\n/reset\n/video " FOVEA_SOURCE "/tests/vision/data/video/h264.mp4\nWhich digit?\n");
    assert_int_equal(run_with("<in", "chat --model m --json max_new_tokens=4 temperature=0"), 0);
    lines = read_lines("stdout");
    without = json_array_get(lines, 0), with = json_array_get(lines, 1);
    long clip = (number(with, "context") - number(with, "tokens")) - (number(without, "context") - number(without, "tokens"));
    assert_int_equal(clip, 6 * 4 + 2); /* 12 frames of 64 x 48: 6 pairs of 4 tokens, and two around them */
    json_decref(lines);
}

static void complains_and_goes_on(void **state) {
    (void)state;
    make_model();
    write_file("in", "/image nowhere.png\n/imge a.png\n/image\n//help me\n\xff\xfe\n/quit\nnever said\n");
    assert_int_equal(run_with("<in", "chat --model m --json max_new_tokens=4"), 1);
    assert_says("stderr", "nowhere.png: there is no such file");
    assert_says("stderr", "there is no /imge; did you mean /image?");
    assert_says("stderr", "/image needs a path in UTF-8");
    assert_says("stderr", "2 characters of that are no UTF-8");
    assert_says("stderr", "3 lines could not be understood or answered");
    json_t *lines = read_lines("stdout");
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
    write_file("in", "Hello <|image_pad|>\n"); /* a placeholder without a picture */
    assert_int_equal(run_with("<in", "chat --model m"), 1);
    assert_says("stderr", "placeholder");
    run_badly("chat", 2, "--model is missing");
    run_badly("chat --model m --tools image_zoom_in_tool --env '{max_turns: 2}'", 2, "give one of them");
    run_badly("chat --model m --tools hammer", 1, "tools[0] must be one of");
    run_badly("chat --model nowhere", 1, "nowhere");
}

static void says_that_a_chat_template_is_not_known(void **state) {
    (void)state;
    make_model();
    assert_int_equal(run_with("", "model init --preset tiny odd seed=3"), 0);
    write_file("odd/chat_template.jinja", "{{ messages }}");
    write_file("in", "Hello\n");
    assert_int_equal(run_with("<in", "chat --model odd max_new_tokens=1"), 0);
    assert_says("stderr", "odd: chat template differs from the known ones (hash ");
    assert_int_equal(run_with("<in", "chat --model m max_new_tokens=1"), 0);
    char *quiet = contents("stderr");
    assert_null(strstr(quiet, "template"));
    free(quiet);
}

/* ---- A terminal ---- */

typedef struct {
    int terminal;
    fv_text seen;
    size_t at; /* what was waited for ends here */
} screen;

/* What comes within a second. */
static void read_some(screen *s) {
    struct pollfd ready = {.fd = s->terminal, .events = POLLIN};
    char bytes[512];
    ssize_t n = poll(&ready, 1, 1000) > 0 ? read(s->terminal, bytes, sizeof bytes) : 0;
    if (n > 0) fv_text_bytes(&s->seen, bytes, (size_t)n);
}

/* Reads until `word` has come after what was waited for before, and `more` bytes after it; two minutes at most. */
static void read_until(screen *s, const char *word, size_t more) {
    for (time_t began = time(NULL); time(NULL) < began + 120; read_some(s)) {
        const char *found = s->seen.data ? strstr(s->seen.data + s->at, word) : NULL;
        if (!found || strlen(found) < strlen(word) + more) continue;
        s->at = (size_t)(found - s->seen.data) + strlen(word) + more;
        return;
    }
    fail_msg("the terminal did not show \"%s\": %s", word, s->seen.data ? s->seen.data : "");
}

static void type(const screen *s, const char *text) { assert_int_equal(write(s->terminal, text, strlen(text)), strlen(text)); }

/* Starts "fovea chat --model m" with more arguments (NULL behind the last) in a terminal of its own. */
static pid_t open_screen(screen *s, const char *a, const char *b, const char *c) {
    *s = (screen){.terminal = -1};
    pid_t child = forkpty(&s->terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0) {
        execl(FOVEA_PROGRAM, "fovea", "chat", "--model", "m", "threads=1", a, b, c, (char *)NULL);
        _exit(127);
    }
    read_until(s, "> ", 0);
    return child;
}

/* Ctrl-D, at a prompt, ends it well. */
static void close_screen(screen *s, pid_t child) {
    int status;
    type(s, "\x04");
    while (waitpid(child, &status, 0) < 0) {}
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    fv_text_clear(&s->seen);
    close(s->terminal);
}

static bool has_controls(const char *text) {
    for (; *text; text++)
        if (!strchr("\r\n\t", *text) && (unsigned char)*text < ' ') return true;
    return strchr(text, 0x7f) || strstr(text, "\xc2\x9b");
}

/* What a model writes reaches a pipe as it is, and a screen without its control characters. */
static void screens_get_no_control_characters(void **state) {
    (void)state;
    make_model();
    write_file("in", "Hello\n");
    assert_int_equal(run_with("<in", "chat --model m max_new_tokens=200 temperature=1 seed=2"), 0);
    char *plain = contents("stdout");
    assert_true(has_controls(plain));
    free(plain);
    screen s;
    pid_t child = open_screen(&s, "max_new_tokens=200", "temperature=1", "seed=2");
    type(&s, "Hello\n");
    read_until(&s, "\n> ", 0);
    assert_false(has_controls(s.seen.data));
    assert_non_null(strstr(s.seen.data, "\xef\xbf\xbd"));
    close_screen(&s, child);
}

/* Ctrl-C stops an answer that would be long, and the next one is given; at the prompt it ends nothing. */
static void control_c_stops_the_answer(void **state) {
    (void)state;
    make_model();
    screen s;
    pid_t child = open_screen(&s, "max_new_tokens=1000000", "temperature=0", NULL);
    type(&s, "/help\n");
    read_until(&s, "/reset", 0);
    read_until(&s, "\n> ", 0);
    type(&s, "half a line\x03");
    read_until(&s, "\n> ", 0);
    for (int i = 0; i < 2; i++) {
        type(&s, "Hello\n");
        read_until(&s, "Hello\r\n", 100); /* its echo, and a good beginning of the answer */
        type(&s, "\x03");
        read_until(&s, "[stopped]", 0);
        read_until(&s, "\n> ", 0);
    }
    close_screen(&s, child);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_line_by_line_and_computes_nothing_twice),
        cmocka_unit_test(takes_pictures_videos_and_tools),
        cmocka_unit_test(complains_and_goes_on),
        cmocka_unit_test(says_that_a_chat_template_is_not_known),
        cmocka_unit_test(screens_get_no_control_characters),
        cmocka_unit_test(control_c_stops_the_answer),
    };
    return cmocka_run_group_tests(tests, enter_folder, leave_folder);
}
