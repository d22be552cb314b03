/* Formats that responses are asked to have, by name: for the term `format`, and for terms that pay only what is well formed. */
#ifndef FV_RL_REWARDS_FORMAT_H
#define FV_RL_REWARDS_FORMAT_H

#include "tools/calls.h"

typedef bool fv_format(fv_span text); /* of a text without special tokens */

/* THE list; rl/rewards/formats.c says what each asks for. */
#define FV_FORMATS(X)                                                                                                  \
    X("think-then-answer", think_then_answer) X("think-answer", think_answer) X("ends-in-answer", ends_in_answer)      \
    X("describe-think-box", describe_think_box)
#define FV_FORMAT_LIMIT(name, function) ", " name

/* NULL: there is none. */
fv_format *fv_format_find(const char *name);

#endif
