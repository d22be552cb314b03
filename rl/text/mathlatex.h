/* LaTeX of an answer as expressions that rl/text/algebra.h reads: numbers, fractions, roots, powers, pi, percent, products, sums, sets, tuples, intervals and
 * equations. What is none of these is not read. */
#ifndef FV_RL_TEXT_MATHLATEX_H
#define FV_RL_TEXT_MATHLATEX_H

#include "rl/text/edit.h"

enum { FV_MATH_ELEMENTS = 16 };

/* PLAIN is one element; LIST is a set, or elements between commas alone. */
typedef enum { FV_MATH_PLAIN, FV_MATH_LIST, FV_MATH_TUPLE, FV_MATH_INTERVAL } fv_math_kind;

typedef struct {
    fv_math_kind kind;
    char brackets[2];                        /* of a tuple or interval */
    fv_text element[FV_MATH_ELEMENTS];       /* in infix notation; what a percent sign follows is given as "(...)/100" */
    fv_text base[FV_MATH_ELEMENTS];          /* as element, without the percent sign; empty where there was none */
    int count;
    fv_text left;                            /* of "left = value": the left side; the elements are the right one */
} fv_math;

void fv_math_clear(fv_math *m);

/* Unboxes, removes \left, \right, styles and units, repairs \frac12 and \sqrt3: the text that math-verify compares where it can't read it. last: of several boxes
 * only the last counts, unless they stand close together; else all, as a list. */
void fv_math_tidy(fv_text *out, fv_span latex, bool last);

/* Reads tidied LaTeX. False: it is not one of the forms above. */
bool fv_math_read(fv_math *out, fv_span tidy);

#endif
