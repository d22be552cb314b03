/* One letter, or the text of one option, and nothing that could be read in two ways. */
#include "rl/protocols/reading.h"

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_options o;
    fv_options_read(&o, row);
    if (!o.count) return "`options`, `candidates` or `choices`";
    int right = fv_options_right(&o, row), given = fv_option_said(&o, text);
    if (right < 0) return "an `answer` that is one of its options";
    fv_mark_letter(m, given < 0 ? 0 : (char)('A' + given), (char)('A' + right));
    return NULL;
}

const fv_protocol fv_protocol_choice = {.name = "choice",
                                        .doc = "the answer as exact finds it is an option's letter (B, (B), B. red), or an option's text in any case; anything else is wrong",
                                        .fields = "options, candidates or choices; answer (letter, text or number from 0)",
                                        .source = "Fovea",
                                        .read = fv_read_answer,
                                        .mark = mark};
