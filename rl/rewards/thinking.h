/* A judge's score of how a response thinks, read from its text. */
#ifndef FV_RL_REWARDS_THINKING_H
#define FV_RL_REWARDS_THINKING_H

#include "tools/calls.h"

/* SophiaVL-R1 (verl/workers/reward/custom.py, extract_score): the first of seven patterns that is there, clipped to 0..1; 0, and *there (may be NULL) false, if none is. */
double fv_thinking_score(fv_span judge_text, bool *there);

#endif
