/* mathruler 0.1.0's grade_answer, rule by rule (mathruler/grader.py, after OpenAI's prm800k): whether an answer is the right one. */
#ifndef FV_RL_TEXT_MATHRULER_H
#define FV_RL_TEXT_MATHRULER_H

#include "rl/text/edit.h"

bool fv_mathruler_grade(fv_span given, fv_span right);

/* The inside of the last \boxed{...}, braces matched, stripped; "None" if there is none, as extract_boxed_content gives it. */
fv_span fv_mathruler_boxed(fv_span text);

#endif
