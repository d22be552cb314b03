/* Protocols: how an evaluation finds the answer in a response, compares it, and averages. A benchmark's number means something only beside the code that computed it, so
 * a protocol is named by both (`videomme@lmms`: lmms-eval's, `videomme@kit`: VLMEvalKit's) and is what that code does, its traps included. One protocol an entry,
 * one idea a file of rl/protocols/; the table is in rl/evaluate/protocol.c. */
#ifndef FV_RL_PROTOCOL_H
#define FV_RL_PROTOCOL_H

#include "rl/part.h"
#include "rl/text/edit.h"

enum { FV_PROTOCOL_METRICS = 8, FV_PROTOCOL_LEVELS = 16 };

/* What a protocol makes of one response. Start from {0}; fv_mark_clear. */
typedef struct {
    double score;                       /* 0..1 */
    fv_text extracted, right;           /* the answer as it was read, and the right one that it was compared with */
    bool left_out;                      /* counted nowhere: the protocol's mean is over the others */
    const char *category;               /* one that the protocol knows, static; NULL: the row's own (fv_protocol.facets) */
    double metrics[FV_PROTOCOL_METRICS];/* of fv_protocol.metrics; NAN: does not apply */
    double counts[FV_PROTOCOL_METRICS]; /* of how many things each is the mean here (a question's options): 1 unless set */
} fv_mark;
void fv_mark_clear(fv_mark *m);

/* A category of rows and the task that it belongs to: of each task the mean of its categories' means, and of those the mean. */
typedef struct {
    const char *category, *task;
} fv_level;

typedef struct {
    const char *name;                   /* "videomme@lmms" */
    const char *doc;                    /* one line: how an answer is found and compared */
    const char *fields;                 /* what a row must have beside the response; "" for nothing */
    const char *source;                 /* whose rule it is: file and commit */
    const char *facets[5];              /* row fields whose values are categories, NULL-terminated; none: fv_tally_category's */
    const char *cluster;                /* row field that says which rows share something; NULL, or a row without it: fv_tally_cluster's */
    const char *metrics[FV_PROTOCOL_METRICS + 1]; /* further means, by name, NULL-terminated */
    const fv_level *levels;             /* at most FV_PROTOCOL_LEVELS, up to a {0}; NULL: the plain mean over rows */
    /* What the rule sees of a response (rl/protocols/reading.h). */
    void (*read)(fv_text *out, const char *response);
    /* Fills m. NULL, or what the row lacks ("`candidates`"). Not there in `exact`: the recipe's evaluate.score marks. */
    const char *(*mark)(fv_mark *m, fv_span text, const json_t *row);
    /* Whether a judge's reply can be read. Where a row lacks `judge_text`, and says so first of all, a judge may be asked (rl/evaluate/asked.h). NULL: the rules decide. */
    bool (*hears)(fv_span reply);
} fv_protocol;

/* All, for help and docs. */
const fv_protocol *const *fv_protocols(int *count);

/* FV_UNSUPPORTED, with a suggestion or all names, if there is none called so. */
fv_status fv_protocol_find(const fv_protocol **out, const char *name, fv_error *err);

/* Reads and marks a response of a row; r->error says what is missing (r->unjudged: a judge's word; a row's `judge_error` says why it has none). A row whose right answer stands elsewhere (fv_row_settle: verl's reward_model.ground_truth) has it as `answer`
 * there. FV_NO_MEMORY. */
fv_status fv_protocol_mark(const fv_protocol *p, fv_response *r, fv_mark *m, fv_error *err);

#endif
