/* The options of a row's question, whatever they are called. */
#ifndef FV_DATASETS_OPTIONS_H
#define FV_DATASETS_OPTIONS_H

#include "core/json.h"
#include "core/text.h"

enum { FV_OPTIONS = 26 }; /* most that have letters: A, B, C ... */

/* values[i], borrowed: option i as the row has it, NULL where its letter is left out; of more than 26 the first ones. From `options`, `candidates` or `choices` (lists of texts and numbers, or objects by
 * letter), fields A, B, ... (VLMEvalKit), or a0, a1, ... (NExT-QA); the first two of such fields must be there. Returns how many; 0: none of these. */
int fv_options_find(const json_t *row, const json_t *values[FV_OPTIONS]);

/* Tables keep such lists as Python's texts, "['a man', 'a dog']" (MMMU's and VLMEvalKit's): makes lists of these. */
void fv_options_unquote(json_t *row);

/* The text behind the letter of option `i`, NULL if it has none: "(B) text", "B. text", "B) text", "B: text", "B text". label [4] (may be NULL) receives the mark: "(B)". */
const char *fv_option_behind(const char *option, int i, char *label);

/* Appends a line an option. Those of a list `options` are written as they are, as Video-R1 and its like have them ("A. red"), unless the answer is a letter that none of them has; all others
 * get theirs: "A. red". FV_BAD_DATA: "place: options must be a list", "place: options[2] must be a text". */
fv_status fv_options_write(fv_text *out, const json_t *row, const char *place, fv_error *err);

#endif
