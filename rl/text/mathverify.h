/* math-verify (0.9, parse and verify with their defaults), the part that the data of these systems need: where texts hold LaTeX or plain numbers, whether the last
 * of them are equal. */
#ifndef FV_RL_TEXT_MATHVERIFY_H
#define FV_RL_TEXT_MATHVERIFY_H

#include "tools/calls.h"

/* verify(parse(gold), parse(target)): false also where one of them holds nothing that can be read. */
bool fv_math_verify(fv_span gold, fv_span target);

#endif
