#include "rl/text/hendrycks.h"

#include "rl/text/python.h"

#include <string.h>

static size_t letter(fv_span s) { /* bytes of the first character */
    int n = fv_utf8_length(s.text, s.size);
    return n > 0 ? (size_t)n : s.size ? 1 : 0;
}

static void brace(fv_text *out, fv_span s) {
    fv_text_char(out, '{');
    fv_text_bytes(out, s.text, s.size);
    fv_text_char(out, '}');
}

/* The pieces between `command`s, one by one; false at the end. */
static bool next_piece(fv_span *rest, fv_span *piece, const char *command) {
    if (!rest->text) return false;
    const char *at = fv_py_find(*rest, command);
    *piece = at ? (fv_span){rest->text, (size_t)(at - rest->text)} : *rest;
    *rest = at ? fv_span_from(*rest, piece->size + strlen(command)) : (fv_span){0};
    return true;
}

/* \sqrt3 -> \sqrt{3}. False: nothing stands behind one. */
static bool fix_roots(fv_text *t) {
    fv_text made = {0};
    fv_span rest = fv_edit_span(t), piece;
    bool first = true, good = true;
    while (good && next_piece(&rest, &piece, "\\sqrt")) {
        if (!first) fv_text_add(&made, "\\sqrt");
        good = first || piece.size > 0;
        if (good && !first && piece.text[0] != '{') {
            size_t n = letter(piece);
            brace(&made, (fv_span){piece.text, n});
            piece = fv_span_from(piece, n);
        }
        fv_text_bytes(&made, piece.text, piece.size);
        first = false;
    }
    if (good) fv_edit_swap(t, &made);
    fv_text_clear(&made);
    return good;
}

/* \frac12 -> \frac{1}{2}, \frac1{72} -> \frac{1}{72}. False: nothing stands behind one; with a single character behind one, all stays as it was. */
static bool fix_fractions(fv_text *t) {
    fv_text made = {0};
    fv_span rest = fv_edit_span(t), piece;
    bool first = true, good = true, whole = true;
    while (good && whole && next_piece(&rest, &piece, "\\frac")) {
        if (!first) fv_text_add(&made, "\\frac");
        good = first || piece.size > 0;
        if (good && !first && piece.text[0] != '{') {
            size_t n = letter(piece), m = letter(fv_span_from(piece, n));
            whole = m > 0;
            brace(&made, (fv_span){piece.text, n});
            piece = fv_span_from(piece, n);
            if (whole && piece.text[0] != '{') {
                brace(&made, (fv_span){piece.text, m});
                piece = fv_span_from(piece, m);
            }
        }
        fv_text_bytes(&made, piece.text, piece.size);
        first = false;
    }
    if (good && whole) fv_edit_swap(t, &made);
    fv_text_clear(&made);
    return good;
}

/* An integer as Python prints it. */
static bool plain_integer(fv_span s) {
    size_t sign = s.size && s.text[0] == '-';
    if (s.size == sign || (s.text[sign] == '0' && s.size > 1)) return false;
    for (size_t i = sign; i < s.size; i++)
        if (s.text[i] < '0' || s.text[i] > '9') return false;
    return true;
}

static void fix_slash(fv_text *t) {
    fv_span s = fv_edit_span(t), a = fv_py_before(s, "/"), b;
    if (fv_py_count(s, "/") != 1) return;
    b = fv_span_from(s, a.size + 1);
    if (!plain_integer(a) || !plain_integer(b)) return;
    fv_text made = {0};
    fv_text_add(&made, "\\frac");
    brace(&made, a);
    brace(&made, b);
    fv_edit_swap(t, &made);
}

/* "k = 5" -> "5" where what stands before is at most two characters. */
static void drop_name(fv_text *t) {
    fv_span s = fv_edit_span(t), name = fv_py_before(s, "=");
    if (fv_py_count(s, "=") == 1 && fv_py_length(name) <= 2) fv_edit_set(t, fv_span_from(s, name.size + 1));
}

static bool normalise(fv_text *t) {
    static const char *const edits[][2] = {{"\n", ""}, {"\\!", ""}, {"\\\\", "\\"}, {"tfrac", "frac"}, {"dfrac", "frac"},
                                           {"\\left", ""}, {"\\right", ""}, {"^{\\circ}", ""}, {"^\\circ", ""}, {"\\$", ""}};
    for (size_t i = 0; i < FV_COUNT(edits); i++) fv_edit_replace(t, edits[i][0], edits[i][1]);
    int units = fv_py_count(fv_edit_span(t), "\\text{ ");
    if (units > 1) return false;
    if (units == 1) fv_edit_set(t, fv_py_before(fv_edit_span(t), "\\text{ "));
    fv_edit_replace(t, "\\%", "");
    fv_edit_replace(t, "%", "");
    fv_edit_replace(t, " .", " 0.");
    fv_edit_replace(t, "{.", "{0.");
    if (!t->size) return true;
    if (t->data[0] == '.') {
        fv_text made = {0};
        fv_text_char(&made, '0');
        fv_text_bytes(&made, t->data, t->size);
        fv_edit_swap(t, &made);
    }
    drop_name(t);
    if (!fix_roots(t)) return false;
    fv_edit_replace(t, " ", "");
    if (!fix_fractions(t)) return false;
    if (fv_edit_is(t, "0.5")) fv_edit_set(t, fv_span_of("\\frac{1}{2}"));
    fix_slash(t);
    return true;
}

void fv_hendrycks(fv_text *out, fv_span answer) {
    fv_span s = fv_py_strip(answer), inside = fv_edit_untext(s);
    if (inside.text != s.text) inside = fv_py_strip(inside);
    fv_edit_set(out, inside);
    if (!normalise(out)) fv_edit_set(out, inside);
}
