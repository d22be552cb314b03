#include "rl/answer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool blank(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

fv_span fv_span_strip(fv_span s) {
    while (s.size && blank(s.text[0])) s.text++, s.size--;
    while (s.size && blank(s.text[s.size - 1])) s.size--;
    return s;
}

bool fv_span_is(fv_span s, const char *word, bool ignore_case) {
    if (!s.text || strlen(word) != s.size) return false;
    return ignore_case ? !strncasecmp(s.text, word, s.size) : !memcmp(s.text, word, s.size);
}

static const char *last_of(const char *text, const char *word) {
    const char *last = NULL;
    for (const char *at = text; (at = strstr(at, word)); at++) last = at;
    return last;
}

fv_span fv_answer_tag(const char *response) {
    const char *open = last_of(response, "<answer>");
    if (!open) return (fv_span){0};
    open += strlen("<answer>");
    const char *close = strstr(open, "</answer>");
    return close ? fv_span_strip((fv_span){open, (size_t)(close - open)}) : (fv_span){0};
}

fv_span fv_answer_last_turn(const char *response) {
    static const char head[] = "<|im_start|>assistant\n", end[] = "<|im_end|>";
    const char *at = last_of(response, head);
    at = at ? at + strlen(head) : response;
    const char *stop = strstr(at, end);
    return fv_span_strip((fv_span){at, stop ? (size_t)(stop - at) : strlen(at)});
}

fv_span fv_answer_find(const char *response) {
    fv_span s = fv_answer_tag(response);
    if (s.text) return s;
    s = fv_answer_last_turn(response);
    for (size_t i = 0; i + 8 <= s.size; i++)
        if (!memcmp(s.text + i, "</think>", 8)) return fv_span_strip((fv_span){s.text + i + 8, s.size - i - 8});
    return s;
}

/* The numbers in a text, at most `room`; -1 if there is anything but numbers, blanks, commas and brackets. */
static int numbers(fv_span s, double *out, int room) {
    char copy[512];
    if (s.size >= sizeof copy) return -1;
    memcpy(copy, s.text, s.size);
    copy[s.size] = 0;
    int n = 0;
    for (char *at = copy; *at;) {
        if (blank(*at) || strchr(",[]()", *at)) {
            at++;
            continue;
        }
        char *end;
        double v = strtod(at, &end);
        if (end == at || !isfinite(v) || n == room) return -1;
        out[n++] = v;
        at = end;
    }
    return n;
}

bool fv_answer_same(fv_span given, const char *right, double tolerance, bool ignore_case) {
    if (!given.text) return false;
    fv_span want = fv_span_strip((fv_span){right, strlen(right)});
    if (given.size == want.size && (ignore_case ? !strncasecmp(given.text, want.text, want.size) : !memcmp(given.text, want.text, want.size))) return true;
    if (!(tolerance >= 0)) return false;
    double a[32], b[32];
    int n = numbers(given, a, 32), m = numbers(want, b, 32);
    if (n != m || n <= 0) return false;
    for (int i = 0; i < n; i++)
        if (fabs(a[i] - b[i]) > tolerance) return false;
    return true;
}
