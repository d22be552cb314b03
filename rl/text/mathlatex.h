/* LaTeX of an answer as expressions (rl/text/mathinfix.h) and what they are put together to: numbers, fractions, roots, powers, functions, letters with subscripts, products, sums; sets, tuples,
 * intervals and their unions, equations, inequalities. What is none of these is not read. */
#ifndef FV_RL_TEXT_MATHLATEX_H
#define FV_RL_TEXT_MATHLATEX_H

#include "rl/text/edit.h"

enum { FV_MATH_ELEMENTS = 16 };

/* PLAIN is one element; LIST is a set, or elements between commas alone; an INTERVAL has two ends, a UNION the ends of its intervals, two and two; a RELATION has its sides in ascending
 * order: two, or three of a < x < b. */
typedef enum { FV_MATH_PLAIN, FV_MATH_LIST, FV_MATH_TUPLE, FV_MATH_INTERVAL, FV_MATH_UNION, FV_MATH_RELATION } fv_math_kind;

typedef struct {
    fv_math_kind kind;
    fv_text element[FV_MATH_ELEMENTS];       /* in infix notation; what a percent sign follows is given as "(...)/100" */
    fv_text base[FV_MATH_ELEMENTS];          /* as element, without the percent sign; empty where there was none */
    fv_text name[FV_MATH_ELEMENTS];          /* of an element of a list that was given as "x = 1": x; empty for others */
    char edge[FV_MATH_ELEMENTS];             /* by element, of a tuple, an interval, a union: '(', '[', ')' or ']'; of a relation what stands behind it: '<', '=' (at most), '!' (not), and
                                                behind the last one of three 'v' where they stood in descending order */
    int count;
    fv_text left;                            /* of "left = value": the left side; the elements are the right one */
    bool assigns;                            /* left is made of symbols alone, so that "x = 5" may stand for 5 */
} fv_math;

void fv_math_clear(fv_math *m);

/* Unboxes, removes \left, \right, styles and units, repairs \frac12 and \sqrt3: the text that math-verify compares where it can't read it (rl/text/mathtidy.c). last: of several
 * boxes only the last counts, unless they stand close together; else all, as a list. */
void fv_math_tidy(fv_text *out, fv_span latex, bool last);

/* Reads tidied LaTeX. False: it is not one of the forms above; *beyond says that math-verify would read it, as something that is equal to none of them. */
bool fv_math_read(fv_math *out, fv_span tidy, bool *beyond);

#endif
