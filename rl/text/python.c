#include "rl/text/python.h"

#include "core/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

fv_span fv_span_of(const char *text) { return (fv_span){text, text ? strlen(text) : 0}; }

bool fv_span_same(fv_span a, fv_span b) { return a.size == b.size && (a.size == 0 || !memcmp(a.text, b.text, a.size)); }
bool fv_span_starts(fv_span s, const char *word) { return s.size >= strlen(word) && !memcmp(s.text, word, strlen(word)); }
fv_span fv_span_from(fv_span s, size_t n) { return (fv_span){s.text + n, s.size - n}; }

static size_t decode(const char *s, size_t size, utf8proc_int32_t *c) {
    utf8proc_ssize_t n = size ? utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)size, c) : 0;
    return n > 0 ? (size_t)n : 0;
}

/* Zs, and the characters of bidirectional class WS, B or S: Unicode 15, as CPython's unicodetype_db.h lists them. */
size_t fv_py_space(const char *s, size_t size) {
    utf8proc_int32_t c;
    size_t n = decode(s, size, &c);
    if (!n) return 0;
    bool space = (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
                 c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
    return space ? n : 0;
}

bool fv_py_alpha(const char *s, size_t size) {
    utf8proc_int32_t c;
    if (!decode(s, size, &c)) return false;
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/* Digits come in runs of ten; all runs begin at xxx0 or xxx6 but those of the mathematical alphabets, which follow one another. */
size_t fv_py_digit(const char *s, size_t size, int *value) {
    utf8proc_int32_t c;
    size_t n = decode(s, size, &c);
    if (!n || utf8proc_category(c) != UTF8PROC_CATEGORY_ND) return 0;
    if (c >= 0x1d7ce && c <= 0x1d7ff) *value = (c - 0x1d7ce) % 10;
    else if (utf8proc_category(c & ~0xf) == UTF8PROC_CATEGORY_ND) *value = c & 0xf;
    else *value = (c & 0xf) - 6;
    return n;
}

fv_span fv_py_strip(fv_span s) {
    size_t n;
    while ((n = fv_py_space(s.text, s.size)) > 0) s.text += n, s.size -= n;
    while (s.size) {
        size_t at = s.size - 1;
        while (at > 0 && ((unsigned char)s.text[at] & 0xc0) == 0x80) at--; /* the start of the last character */
        if (fv_py_space(s.text + at, s.size - at) != s.size - at) break;
        s.size = at;
    }
    return s;
}

fv_span fv_py_strip_of(fv_span s, const char *marks) {
    while (s.size && s.text[0] && strchr(marks, s.text[0])) s.text++, s.size--;
    while (s.size && s.text[s.size - 1] && strchr(marks, s.text[s.size - 1])) s.size--;
    return s;
}

bool fv_py_word(fv_span *rest, fv_span *word) {
    size_t n, size = 0;
    while ((n = fv_py_space(rest->text, rest->size)) > 0) rest->text += n, rest->size -= n;
    while (size < rest->size && !fv_py_space(rest->text + size, rest->size - size)) size++;
    *word = (fv_span){rest->text, size};
    rest->text += size;
    rest->size -= size;
    return size > 0;
}

size_t fv_py_length(fv_span s) {
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++) n += ((unsigned char)s.text[i] & 0xc0) != 0x80;
    return n;
}

const char *fv_py_find(fv_span s, const char *word) { return s.size ? memmem(s.text, s.size, word, strlen(word)) : NULL; }

static fv_span behind(fv_span s, const char *at, size_t skip) { return (fv_span){at + skip, s.size - (size_t)(at - s.text) - skip}; }

const char *fv_py_find_last(fv_span s, const char *word) {
    const char *last = NULL;
    for (const char *at; (at = fv_py_find(s, word)); s = behind(s, at, 1)) last = at;
    return last;
}

int fv_py_count(fv_span s, const char *word) {
    int n = 0;
    for (const char *at; (at = fv_py_find(s, word)); n++) s = behind(s, at, strlen(word));
    return n;
}

fv_span fv_py_after_last(fv_span s, const char *mark) {
    for (const char *at; (at = fv_py_find(s, mark));) s = behind(s, at, strlen(mark));
    return s;
}

fv_span fv_py_before(fv_span s, const char *mark) {
    const char *at = fv_py_find(s, mark);
    return at ? (fv_span){s.text, (size_t)(at - s.text)} : s;
}

bool fv_py_pair(fv_span *inside, fv_span s, const char *open, const char *close) {
    const char *from = fv_py_find(s, open);
    if (!from) return false;
    fv_span rest = behind(s, from, strlen(open));
    const char *to = fv_py_find(rest, close);
    if (!to) return false;
    *inside = (fv_span){rest.text, (size_t)(to - rest.text)};
    return true;
}

bool fv_py_item(fv_span *rest, fv_span *item, char mark) {
    if (!rest->text) return false;
    const char *at = rest->size ? memchr(rest->text, mark, rest->size) : NULL;
    *item = at ? (fv_span){rest->text, (size_t)(at - rest->text)} : *rest;
    *rest = at ? behind(*rest, at, 1) : (fv_span){0};
    return true;
}

/* Digits with single underscores between them, appended as ASCII; how many bytes they take. */
static size_t digits(fv_span s, fv_text *out) {
    size_t at = 0, n;
    int value;
    while ((n = fv_py_digit(s.text + at, s.size - at, &value)) > 0) {
        fv_text_char(out, (char)('0' + value));
        at += n;
        if (at < s.size && s.text[at] == '_' && fv_py_digit(s.text + at + 1, s.size - at - 1, &value)) at++;
    }
    return at;
}

static fv_span skip(fv_span s, size_t n) { return (fv_span){s.text + n, s.size - n}; }

static bool word_value(fv_span s, double *out) {
    if (s.size == 3 && !strncasecmp(s.text, "nan", 3)) *out = NAN;
    else if ((s.size == 3 && !strncasecmp(s.text, "inf", 3)) || (s.size == 8 && !strncasecmp(s.text, "infinity", 8))) *out = INFINITY;
    else return false;
    return true;
}

bool fv_py_float(fv_span s, double *out) {
    s = fv_py_strip(s);
    bool negative = s.size && s.text[0] == '-';
    if (s.size && (s.text[0] == '-' || s.text[0] == '+')) s = skip(s, 1);
    bool good = word_value(s, out);
    if (!good && s.size) {
        fv_text t = {0};
        size_t whole = digits(s, &t), part = 0;
        s = skip(s, whole);
        if (s.size && s.text[0] == '.') {
            fv_text_char(&t, '.');
            part = digits(skip(s, 1), &t);
            s = skip(s, part + 1);
        }
        if (whole + part && s.size && (s.text[0] == 'e' || s.text[0] == 'E')) {
            fv_text_char(&t, 'e');
            s = skip(s, 1);
            if (s.size && (s.text[0] == '-' || s.text[0] == '+')) fv_text_char(&t, s.text[0]), s = skip(s, 1);
            size_t exponent = digits(s, &t);
            whole = exponent ? whole : 0, part = exponent ? part : 0;
            s = skip(s, exponent);
        }
        good = whole + part > 0 && !s.size && t.data && !t.failed;
        if (good) *out = strtod(t.data, NULL);
        fv_text_clear(&t);
    }
    if (good && negative) *out = -*out;
    return good;
}
