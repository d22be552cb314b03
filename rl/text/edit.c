#include "rl/text/edit.h"

#include "rl/text/python.h"

#include <string.h>

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

bool fv_edit_is(const fv_text *t, const char *word) { return fv_span_same(fv_edit_span(t), fv_span_of(word)); }
bool fv_edit_same(const fv_text *a, const fv_text *b) { return fv_span_same(fv_edit_span(a), fv_edit_span(b)); }

fv_span fv_edit_untext(fv_span s) {
    static const char open[] = "\\text{";
    size_t n = sizeof open - 1, tail = s.size && s.text[s.size - 1] == '\n'; /* a last line break stands behind Python's $ */
    if (s.size < n + 2 + tail || memcmp(s.text, open, n) != 0 || s.text[s.size - 1 - tail] != '}') return s;
    fv_span inside = {s.text + n, s.size - n - 1 - tail};
    return memchr(inside.text, '\n', inside.size) ? s : inside;
}
