#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "core/progress.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void check_line(fv_progress_options o, int64_t done, double seconds, const char *extra, int width, const char *want) {
    char line[256];
    fv_progress_line(line, sizeof line, &o, done, seconds, extra, width);
    assert_string_equal(line, want);
}

static void lines(void **state) {
    (void)state;
    const fv_progress_options o = {.label = "rl", .unit = "step", .total = 100};
    check_line(o, 25, 50, "reward 0.42", 100, "rl  [#####...............] 25/100  2.0 s/step  2:30 left  reward 0.42");
    check_line(o, 25, 50, "reward 0.42", 60, "rl  [#####...............] 25/100  2.0 s/step  2:30 left");
    check_line(o, 25, 50, "reward 0.42", 40, "rl  25/100  2.0 s/step  2:30 left");
    check_line(o, 25, 50, NULL, 12, "rl  25/100  ");
    check_line(o, 0, 3, NULL, 100, "rl  [....................] 0/100  3.0 s");
    check_line(o, 100, 50, "", 100, "rl  [####################] 100/100  2.0 steps/s  50 s");
    check_line(o, 200, 50, "", 100, "rl  [####################] 200/100  4.0 steps/s  50 s");
    /* a resumed job: 10 of its 60 steps were done in these 5 seconds */
    check_line((fv_progress_options){.label = "rl", .unit = "step", .total = 100, .first = 50}, 60, 5, NULL, 100,
               "rl  [############........] 60/100  2.0 steps/s  20 s left");
    check_line((fv_progress_options){.label = "rows"}, 1234, 3661, NULL, 100, "rows  1234  1:01:01");
    check_line((fv_progress_options){.label = "\xc3\xa9\xc3\xa9"}, 1, 20, NULL, 3, "\xc3\xa9\xc3\xa9 "); /* columns, not bytes */
}

static void durations(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *want;
    } cases[] = {{0.84, "0.8 s"}, {9.96, "10 s"}, {42, "42 s"}, {59.6, "1:00"}, {187, "3:07"}, {3765, "1:02:45"}, {1e300, "27777:46:40"}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) {
        char text[32];
        fv_duration_text(text, cases[i].seconds);
        assert_string_equal(text, cases[i].want);
    }
}

/* What is over in an instant shows nothing, and nothing is needed to show nothing. */
static void short_jobs_are_silent(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    assert_non_null(stream);
    fv_progress *p = fv_progress_open(&(fv_progress_options){.label = "x", .total = 10, .stream = stream});
    for (int i = 0; i <= 10; i++) fv_progress_update(p, i, "reward %.2f", 0.5);
    fv_progress_close(p);
    fclose(stream);
    assert_int_equal(size, 0);
    free(text);
    fv_progress_update(NULL, 1, NULL);
    fv_progress_close(NULL);
}

static void longer_jobs_say_how_they_ended(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    fv_progress *p = fv_progress_open(&(fv_progress_options){.label = "x", .total = 10, .stream = stream});
    fv_progress_update(p, 5, "half");
    nanosleep(&(struct timespec){.tv_sec = 2, .tv_nsec = 50000000}, NULL);
    fv_progress_update(p, 10, "reward %.2f", 0.5);
    fv_progress_close(p);
    fclose(stream);
    assert_non_null(strstr(text, "x  [####################] 10/10  2."));
    assert_non_null(strstr(text, "s  reward 0.50\n"));
    assert_ptr_equal(strchr(text, '\n'), text + size - 1); /* one line: updates come every ten seconds outside of a terminal */
    free(text);
}

static void the_clock_goes_on(void **state) {
    (void)state;
    double a = fv_now(), b = fv_now();
    assert_true(b >= a && b - a < 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(durations),
        cmocka_unit_test(short_jobs_are_silent),
        cmocka_unit_test(longer_jobs_say_how_they_ended),
        cmocka_unit_test(the_clock_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
