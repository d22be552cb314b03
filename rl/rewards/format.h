/* Formats that responses are asked to have, by name: for the term `format`, and for terms that pay only what is well formed. */
#ifndef FV_RL_REWARDS_FORMAT_H
#define FV_RL_REWARDS_FORMAT_H

#include "tools/calls.h"

typedef bool fv_format(fv_span text); /* of a text without special tokens */

/* NULL: there is none. */
fv_format *fv_format_find(const char *name);

#endif
