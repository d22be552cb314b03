/* DeepEyes' kinds of data (arXiv 2505.14362; verl/utils/reward_score/__init__.py): each is judged and paid by rules of its own. */
#ifndef FV_RL_REWARDS_SOURCES_H
#define FV_RL_REWARDS_SOURCES_H

#include "rl/rewards/reading.h"

/* PERCEPTION: a judge says 1 or 0 of the last <answer>. PLACE: a judge says TRUE or FALSE of the first pair behind the thinking. MATH: the last \boxed{}, by rule, else by a judge. */
typedef enum { FV_SOURCE_PERCEPTION, FV_SOURCE_PLACE, FV_SOURCE_MATH, FV_SOURCE_UNKNOWN } fv_source;

/* By the row's data_source; what is unknown or missing goes into r->error. */
fv_source fv_sources_kind(fv_response *r, const fv_use *u);

/* Where its rules look: the text behind the last </think>, stripped. */
fv_span fv_sources_behind_thinking(const char *text);

/* What is judged; text NULL: there is no answer. *formed: it has none of the faults that it shows by itself (missing, 1000 characters and more, several boxes). */
fv_span fv_sources_answer(fv_source kind, const char *text, bool *formed);

#endif
