#include "rl/text/edit.h"

#include "rl/text/python.h"

#include <string.h>
#include <utf8proc.h>

fv_span fv_edit_span(const fv_text *t) { return (fv_span){t->data ? t->data : "", t->size}; }

void fv_edit_swap(fv_text *t, fv_text *with) {
    bool failed = t->failed;
    fv_text_clear(t);
    *t = *with;
    t->failed |= failed;
    *with = (fv_text){0};
}

void fv_edit_set(fv_text *t, fv_span s) {
    fv_text made = {0};
    fv_text_bytes(&made, s.text, s.size);
    fv_edit_swap(t, &made);
}

void fv_edit_replace(fv_text *t, const char *old, const char *with) {
    fv_text made = {0};
    fv_span rest = fv_edit_span(t);
    const char *at = fv_py_find(rest, old);
    if (!at) return;
    for (; at; at = fv_py_find(rest, old)) {
        size_t before = (size_t)(at - rest.text), skip = before + strlen(old);
        fv_text_bytes(&made, rest.text, before);
        fv_text_add(&made, with);
        rest = (fv_span){rest.text + skip, rest.size - skip};
    }
    fv_text_bytes(&made, rest.text, rest.size);
    fv_edit_swap(t, &made);
}

void fv_edit_lower(fv_text *t) {
    fv_text made = {0};
    fv_span s = fv_edit_span(t);
    while (s.size) {
        utf8proc_int32_t c;
        utf8proc_uint8_t bytes[4];
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.text, (utf8proc_ssize_t)s.size, &c);
        utf8proc_ssize_t m = n > 0 ? utf8proc_encode_char(utf8proc_tolower(c), bytes) : 0;
        if (m > 0) fv_text_bytes(&made, (const char *)bytes, (size_t)m);
        else fv_text_char(&made, s.text[0]);
        size_t skip = n > 0 ? (size_t)n : 1;
        s = (fv_span){s.text + skip, s.size - skip};
    }
    fv_edit_swap(t, &made);
}

bool fv_edit_number(fv_span s, double *out) {
    fv_text t = {0};
    fv_edit_set(&t, s);
    fv_edit_replace(&t, ",", "");
    bool good = !t.failed && fv_py_float(fv_edit_span(&t), out);
    fv_text_clear(&t);
    return good;
}

bool fv_edit_is(const fv_text *t, const char *word) { return fv_span_same(fv_edit_span(t), fv_span_of(word)); }
bool fv_edit_same(const fv_text *a, const fv_text *b) { return fv_span_same(fv_edit_span(a), fv_edit_span(b)); }

fv_span fv_edit_untext(fv_span s) {
    static const char open[] = "\\text{";
    size_t n = sizeof open - 1, tail = s.size && s.text[s.size - 1] == '\n'; /* a last line break stands behind Python's $ */
    if (s.size < n + 2 + tail || memcmp(s.text, open, n) != 0 || s.text[s.size - 1 - tail] != '}') return s;
    fv_span inside = {s.text + n, s.size - n - 1 - tail};
    return memchr(inside.text, '\n', inside.size) ? s : inside;
}
