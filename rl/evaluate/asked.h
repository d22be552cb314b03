/* What a protocol's rules leave to a judge (fv_protocol.hears). Such rows are asked about, many at once, and get what was said as `judge_text`, by which they are then marked. */
#ifndef FV_RL_ASKED_H
#define FV_RL_ASKED_H

#include "datasets/row.h"
#include "rl/evaluate/protocol.h"
#include "rl/recipe/recipe.h"

typedef struct fv_asked fv_asked;

/* By the recipe's `judge` and evaluate.judge_prompt. *out is NULL where there is no judge, or where the protocol asks none. FV_BAD_RECIPE: a judge that is no server, or no prompt. */
fv_status fv_asked_open(fv_asked **out, const fv_recipe *recipe, fv_error *err);
void fv_asked_close(fv_asked *a); /* NULL is fine */

/* Asks about those of responses [count] that their rows (NULL: not readable) leave open. A row to which there is no answer gets `judge_error`. quiet: without a bar. */
fv_status fv_asked_run(fv_asked *a, const fv_response *responses, fv_row *const *rows, int64_t count, bool quiet, fv_error *err);

#endif
