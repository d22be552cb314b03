/* The options of a row's question, whatever they are called. */
#ifndef FV_DATASETS_OPTIONS_H
#define FV_DATASETS_OPTIONS_H

#include "core/json.h"
#include "core/text.h"

enum { FV_OPTIONS = 26 }; /* most; letters are A, B, C ... */

/* values[i], borrowed: option i as the row has it, NULL where its letter is left out. From `options`, `candidates` or `choices` (lists, or objects by letter), fields A, B, ... (VLMEvalKit),
 * or a0, a1, ... (NExT-QA). Returns how many; 0: none of these. */
int fv_options_find(const json_t *row, const json_t *values[FV_OPTIONS]);

/* Appends a line an option. Those of a list `options` are written as they are, as Video-R1 and its like have them ("A. red"), unless the answer is a letter that none of them has; all others
 * get theirs: "A. red". FV_BAD_DATA: "place: options must be a list", "place: options[2] must be a text". */
fv_status fv_options_write(fv_text *out, const json_t *row, const char *place, fv_error *err);

#endif
