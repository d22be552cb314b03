/* ROUGE as rouge_score 0.1.2 computes it, with its stemmer on: lower case, everything but a-z and 0-9 parts words, words of more than three letters are stemmed. */
#ifndef FV_RL_TEXT_ROUGE_H
#define FV_RL_TEXT_ROUGE_H

#include "tools/calls.h"

/* F of shared words, of shared pairs of neighbours, and of the longest common subsequence; 0 each where nothing is shared. The order of the texts does not matter. */
typedef struct {
    double one, two, longest;
} fv_rouge;

/* False if memory ran out. */
bool fv_rouge_score(fv_rouge *out, fv_span a, fv_span b);

#endif
