/* How a recipe asks: a row says its question alone, and what a system was trained to be told around it (think first, answer in tags) is the recipe's. */
#ifndef FV_RL_ASK_H
#define FV_RL_ASK_H

#include "core/json.h"

/* Appends `text` with each names[k] in it replaced by with[k] (NULL: by nothing); what comes in by that is not looked at again. */
void fv_ask_fill(fv_text *out, const char *text, const char *const *names, const char *const *with, int count);

/* Appends what the row's user asks: the texts of the turn that the first assistant's answers. */
void fv_ask_question(fv_text *out, const json_t *messages);

/* A copy of `messages` in which that turn says the recipe's `ask`: its `text`, with {question} for the question and {hint} for what its `hints` have for the row's problem_type. Pictures
 * stay where they are. NULL: out of memory. */
json_t *fv_ask_messages(const json_t *ask, const json_t *row, const json_t *messages);

#endif
