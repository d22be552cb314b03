/* Word error rates: the edit distance between two texts' words, as a share of the reference's. Case counts. */
#ifndef FV_RL_TEXT_WER_H
#define FV_RL_TEXT_WER_H

#include "tools/calls.h"

/* Insertions, deletions and replacements that make the one list of words the other; -1 if memory ran out. */
long fv_edit_distance(const fv_span *a, size_t n, const fv_span *b, size_t m);

/* Video-R1's (src/r1-v/src/open_r1/grpo.py): words by str.split(), an empty reference counts as one word. NAN if memory ran out. */
double fv_wer(fv_span reference, fv_span hypothesis);

/* jiwer's default (4.0): two and more white-space characters become one blank, words are parted by blanks alone, and with an empty reference the rate is the
 * number of words. NAN if memory ran out. */
double fv_wer_jiwer(fv_span reference, fv_span hypothesis);

#endif
