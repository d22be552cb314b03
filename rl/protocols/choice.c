/* One letter, or the text of one option, and nothing that could be read in two ways. */
#include "rl/protocols/reading.h"

/* The option that is the whole of an answer (a last full stop aside): its text, whatever the case; -1: none or several. */
static int option_said(const fv_options *o, fv_span answer) {
    fv_text a = {0}, b = {0};
    int found = -1, count = 0;
    fv_edit_set(&a, fv_py_strip_of(answer, "."));
    fv_edit_lower(&a);
    for (int i = 0; i < o->count; i++) {
        fv_edit_set(&b, fv_py_strip_of(fv_option_text(o, i), "."));
        fv_edit_lower(&b);
        if (!b.size || !fv_edit_same(&a, &b)) continue;
        found = i;
        count++;
    }
    fv_text_clear(&a);
    fv_text_clear(&b);
    return count == 1 ? found : -1;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_options o;
    fv_options_read(&o, row);
    fv_span rest;
    if (!o.count) return "`options`, `candidates` or `choices`";
    int right = fv_options_right(&o, row), given = option_said(&o, text);
    if (right < 0) return "an `answer` that is one of its options";
    char letter = fv_leading_letter(text, &rest);
    if (letter && letter < 'A' + o.count) given = letter - 'A';
    fv_mark_letter(m, given < 0 ? 0 : (char)('A' + given), (char)('A' + right));
    return NULL;
}

const fv_protocol fv_protocol_choice = {.name = "choice",
                                        .doc = "the answer as exact finds it is an option's letter (B, (B), B. red), or an option's text in any case; anything else is wrong",
                                        .fields = "options, candidates or choices; answer (letter, text or number from 0)",
                                        .source = "Fovea",
                                        .read = fv_read_answer,
                                        .mark = mark};
