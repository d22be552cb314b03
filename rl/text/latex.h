/* LaTeX of an answer as plain text, the part of pylatexenc 2's latex2text that answers use: fractions, roots, symbols, styles. */
#ifndef FV_RL_TEXT_LATEX_H
#define FV_RL_TEXT_LATEX_H

#include "rl/text/edit.h"

/* Appends: \frac{a}{b} as a/b (without brackets, as there), \sqrt[n]{x} as √(x), \pi as π, braces dropped, unknown commands dropped and their braces' insides kept. */
void fv_latex_text(fv_text *out, fv_span latex);

#endif
