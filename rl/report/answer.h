/* What a policy did, as HTML: where it looked, what it saw, what it wrote, what it was paid. From a line of trajectories (rl/rollout/trajectories.h). */
#ifndef FV_RL_REPORT_ANSWER_H
#define FV_RL_REPORT_ANSWER_H

#include "core/json.h"
#include "rl/report/gallery.h"

typedef struct {
    const json_t *line;
    const char *folder; /* its pictures are beside it */
    fv_gallery *gallery;
    int side;           /* pictures are scaled down to this many pixels */
} fv_shown;

/* The pictures of the prompt with the boxes that were looked at (and, dashed, the one that holds the answer), beside them what came back. */
void fv_answer_looks(fv_text *out, const fv_shown *s);
/* Its turns with calls and answers coloured, and what the environment said between them. */
void fv_answer_said(fv_text *out, const fv_shown *s);
/* Each term, the reward, the advantage where there is one, and why it stopped. */
void fv_answer_terms(fv_text *out, const fv_shown *s);
/* Whether it was right: 1 yes, 0 no, -1 nobody says (the term "exact", else the first term, else the reward; right from a half on). */
int fv_answer_right(const json_t *line);
/* A policy's text with <think>, <tool_call>, <answer> and special tokens marked. */
void fv_answer_colour(fv_text *out, const char *text, int right);

#endif
