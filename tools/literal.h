/* Values as Python writes them (ast.literal_eval): lists, tuples, dicts, sets, strings, numbers, True, False, None and ... (which become null). JSON's true, false and null are names there, and
 * no values. */
#ifndef FV_TOOLS_LITERAL_H
#define FV_TOOLS_LITERAL_H

#include "core/json.h"
#include "tools/calls.h"

/* The caller's (json_decref); NULL where literal_eval would raise, or memory ran out. Tuples and sets become arrays; a key that is no string becomes its text. */
json_t *fv_literal(fv_span s);

#endif
