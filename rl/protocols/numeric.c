/* A number against a number. */
#include "rl/protocols/reading.h"
#include "rl/text/regex.h"

#include <math.h>

/* The first number in a text: 3, -2.5 (with a hyphen or a minus sign, U+2212), 1,000, .5, 1e-3. */
static bool first_number(fv_text *word, fv_span s, double *out) {
    fv_span g;
    if (!fv_regex_in("(?:[-+]|\xE2\x88\x92)?(?:\\d{1,3}(?:,\\d{3})+(?!\\d)(?:\\.\\d+)?|\\d+(?:\\.\\d+)?|\\.\\d+)(?:[eE](?:[-+]|\xE2\x88\x92)?\\d+)?", s, &g, 1)) return false;
    fv_edit_set(word, g);
    fv_edit_replace(word, ",", "");
    fv_edit_replace(word, "\xE2\x88\x92", "-");
    return fv_py_float(fv_edit_span(word), out);
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    static const char *const fields[] = {"answer", "ground_truth", "solution"};
    const json_t *v = NULL, *own = json_object_get(row, "tolerance");
    double right, given;
    fv_text word = {0};
    for (size_t k = 0; k < FV_COUNT(fields) && !v; k++) v = json_object_get(row, fields[k]);
    if (json_is_number(v)) fv_json_dump(&word, v, 0);
    else if (json_is_string(v)) fv_text_add(&word, json_string_value(v));
    fv_span s = fv_edit_span(&word);
    (void)fv_py_pair(&s, s, "<answer>", "</answer>");
    bool there = first_number(&m->right, s, &right);
    fv_text_clear(&word);
    if (!there) return "an `answer` with a number in it";
    double tolerance = json_is_number(own) ? json_number_value(own) : 0;
    m->score = first_number(&m->extracted, text, &given) && fabs(given - right) <= tolerance;
    return NULL;
}

const fv_protocol fv_protocol_numeric = {.name = "numeric",
                                         .doc = "the first number of the answer as exact finds it (1,000 is a thousand) is the row's, to within its `tolerance`, 0 where there is none",
                                         .fields = "answer; tolerance (may be missing)",
                                         .source = "Fovea",
                                         .read = fv_read_answer,
                                         .mark = mark};
