/* The answer normaliser of the MATH data set (Hendrycks et al., arXiv 2103.03874; math_equivalence.py) as mathruler 0.1.0 has it. */
#ifndef FV_RL_TEXT_HENDRYCKS_H
#define FV_RL_TEXT_HENDRYCKS_H

#include "rl/text/edit.h"

/* *out (cleared before) becomes the normal form; what the normaliser stumbles over (a \sqrt or \frac with nothing behind it) stays as it was. */
void fv_hendrycks(fv_text *out, fv_span answer);

#endif
