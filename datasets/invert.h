/* Question-answer inversion (TW-GRPO, arXiv 2505.24718): a question with one right option becomes its negation, to which the other options are right: "what did the man lift" with B becomes
 * "what didn't the man lift", B is the only wrong option, and of the others one or more are kept. So single choice teaches to name several. */
#ifndef FV_DATASETS_INVERT_H
#define FV_DATASETS_INVERT_H

#include "core/json.h"

#include <stdint.h>

/* Inverts `row` (as it came: `problem` or `question`, with `options` or with options in lines of their own at its end, each with its letter; `solution` or `answer` names one) with
 * probability `share`, by draws at `key`, and gives it "is_negated": true. Left as it is: a row with other fields, with more than one right option, and one whose
 * question can't be negated, where authors' scripts invert the answer alone. */
fv_status fv_row_invert(json_t *row, double share, uint64_t key, fv_error *err);

#endif
