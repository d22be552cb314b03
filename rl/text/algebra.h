/* Whether two expressions are the same, read as sympy's parse_expr with implicit multiplication reads them: 2x, (a+b)(a-b), xy as x*y, ^ and ** as powers, n!.
 * Decided by evaluation at complex points in extended precision (x86's 80 bits), which agrees with symbolic simplification on
 * rationals, decimals, roots, pi, powers and functions of a few letters; what can't be read is not equal to anything. */
#ifndef FV_RL_TEXT_ALGEBRA_H
#define FV_RL_TEXT_ALGEBRA_H

#include "tools/calls.h"

/* The expression is zero at every point, to within `share` of the size of its terms, or of what rounding of extended precision leaves, if that is more (share 0). */
bool fv_algebra_is_zero(fv_span expression, double share);

/* One is a number times the other, and neither is zero. */
bool fv_algebra_proportional(fv_span a, fv_span b);

/* The value of an expression without letters (but pi and functions) that is a finite real number. */
bool fv_algebra_number(fv_span expression, double *value);

#endif
