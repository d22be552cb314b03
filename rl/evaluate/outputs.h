/* What other evaluators write of a model's answers, read as a row with a `response`: lmms-eval's sample logs, old and new; VLMEvalKit's rows (`prediction`); the files of Video-R1, ViLaSR and
 * TW-GRPO (`output`, `model_output`; the row may stand under `question`). */
#ifndef FV_RL_OUTPUTS_H
#define FV_RL_OUTPUTS_H

#include "core/json.h"

/* One row's JSON. Empty cells of pandas' tables, which Python writes as NaN and Infinity, become null. As fv_json_parse with FV_BAD_DATA. */
fv_status fv_output_parse(json_t **out, const char *text, size_t size, const char *place, int line, fv_error *err);

/* Makes the row, an object, Fovea's: with what was said as `response`, and with the fields of the benchmark's row beside it. A row that has `response` is itself; Fovea's own samples have
 * theirs under `doc`. */
void fv_output_adopt(json_t *row);

#endif
