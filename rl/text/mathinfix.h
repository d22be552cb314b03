/* One expression of LaTeX, as latex2sympy (of math-verify 0.9) reads it, in the infix notation that rl/text/algebra.h evaluates. */
#ifndef FV_RL_TEXT_MATHINFIX_H
#define FV_RL_TEXT_MATHINFIX_H

#include "rl/text/edit.h"

/* Appends the expression. False: there is none, or something else is in it. */
bool fv_math_infix(fv_text *out, fv_span latex);

/* Appends a symbol of that name: an unknown of its own, a share of one letter's value. */
void fv_math_symbol(fv_text *out, const char *name, size_t size);

/* Infinity, such an unknown. */
#define FV_MATH_INFINITY "(2971215073/2147483647*(q))"

#endif
