/* Responses that exist already, as rows of a file: what reward terms and evaluations need, without a model. */
#ifndef FV_RL_RESPONSES_H
#define FV_RL_RESPONSES_H

#include "datasets/row.h"
#include "rl/part.h"

typedef struct {
    int64_t count;
    fv_row **rows;       /* [count]; NULL: not readable, items[i].error says why */
    json_t **ids;        /* [count] as given; a row's number where there is none */
    fv_response *items;  /* [count] place, id, group (NULL: none), texts and numbers from the row's fields; terms NULL */
    char **groups;       /* [count] backs items[i].group */
} fv_responses;

/* Reads all of `path` (JSON lines or an array), lmms-eval's sample logs (`doc`, `resps`) and VLMEvalKit's rows (`prediction`) included. Nothing that a row lacks is an error here; a row that is no JSON object has its error filled in. FV_IO, FV_BAD_DATA
 * for the file as a whole, as fv_rowfile_open. */
fv_status fv_responses_open(fv_responses *out, const char *path, fv_error *err);
void fv_responses_close(fv_responses *r); /* *r is {0} again */

#endif
