/* Where a response says its answer. */
#ifndef FV_RL_ANSWER_H
#define FV_RL_ANSWER_H

#include "tools/calls.h"

/* Pieces of a text (fv_span); text NULL: there is none. */
fv_span fv_span_strip(fv_span s);                                   /* without blanks at both ends */
bool fv_span_is(fv_span s, const char *word, bool ignore_case);

/* The inside of the last <answer> ... </answer> pair (of the part after the last <answer>). */
fv_span fv_answer_tag(const char *response);
/* What the assistant wrote last: after the last "<|im_start|>assistant\n" (or the whole), without the end-of-turn token. */
fv_span fv_answer_last_turn(const char *response);
/* The tag's inside if there is a pair, else the last turn without a <think> ... </think> block; stripped. */
fv_span fv_answer_find(const char *response);

/* Equal as text; or, where tolerance >= 0, as lists of as many numbers that differ by at most tolerance each ("[12, 30]", "34 80"). */
bool fv_answer_same(fv_span given, const char *right, double tolerance, bool ignore_case);

#endif
