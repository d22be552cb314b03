/* An evaluation's count: each response marked, by a protocol or by a recipe's term, added up, by category, and told a line each. */
#ifndef FV_RL_MARKS_H
#define FV_RL_MARKS_H

#include "core/file.h"
#include "rl/evaluate/protocol.h"
#include "rl/evaluate/tally.h"
#include "rl/pipeline.h"

/* What a recipe's `evaluate` says of marking. fv_marking_clear. */
typedef struct {
    const fv_protocol *protocol; /* one without a mark of its own (`exact`): `term` marks */
    fv_pipeline *term;           /* evaluate.score */
    const char *by;              /* row field of categories (fv_tally_category), beside the protocol's; the recipe's; NULL: none */
    uint64_t seed;
} fv_marking;
fv_status fv_marking_open(fv_marking *m, const json_t *recipe, fv_error *err);
void fv_marking_clear(fv_marking *m);

/* What names the count: the protocol, or the term. And {"protocol": that, "extractor": its line, "source"} for results, the caller's; NULL: out of memory. */
const char *fv_marking_name(const fv_marking *m);
json_t *fv_marking_header(const fv_marking *m);

/* Start from {0} but for the first two. fv_marks_clear. */
typedef struct {
    const fv_marking *how;
    fv_lines *samples; /* NULL: none */
    fv_tally all, levels[FV_PROTOCOL_LEVELS];
    fv_tally_entry metrics[FV_PROTOCOL_METRICS];
    int64_t left_out;
} fv_marks;
void fv_marks_clear(fv_marks *m);

/* Marks r (r->reward and r->terms[0], room for one), unless its error says that it couldn't be: the caller's to report, it is in no count. Else adds a line to `samples`:
 * {"id" (as given), "response", "extracted", "answer", "score", "category" (where there is one)} and lmms-eval's keys; number: of the row in its file. */
fv_status fv_marks_add(fv_marks *m, int64_t number, const json_t *id, fv_response *r, const fv_row *row, fv_error *err);

/* What fv_tally_write writes; with a protocol's levels (rl/evaluate/strata.h) the mean over tasks. And of a protocol "left_out", and "metrics" where it has some. */
void fv_marks_write(const fv_marks *m, json_t *out);

#endif
