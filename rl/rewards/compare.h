/* Ways to compare an answer with the right one, for the term `answer`: 0..1, NAN if memory ran out. One file of this folder an idea; the table of their names is in
 * rl/rewards/answer.c. */
#ifndef FV_RL_REWARDS_COMPARE_H
#define FV_RL_REWARDS_COMPARE_H

#include "tools/calls.h"

typedef double fv_compare(fv_span given, fv_span right);

/* choice.c */
double fv_compare_text(fv_span given, fv_span right);      /* equal, but for white space around */
double fv_compare_letters(fv_span given, fv_span right);   /* lists with commas between: as many as the key has, and each of them in the key */
double fv_compare_subset(fv_span given, fv_span right);    /* sets: the share of the key that was named, 0 if anything else was */
double fv_compare_whole_set(fv_span given, fv_span right); /* as subset, and below 1 it is 0 */
/* numeric.c */
double fv_compare_mathruler(fv_span given, fv_span right); /* mathruler's grade_answer */
double fv_compare_rounded(fv_span given, fv_span right);   /* equal after rounding to two decimals, both or neither written with a point or comma */
double fv_compare_relative(fv_span given, fv_span right);  /* mean relative accuracy over the thresholds 0.50, 0.55 .. 0.95 */
double fv_compare_regression(fv_span given, fv_span right);/* 1 - relative error, not below 0 */
/* ocr.c */
double fv_compare_words(fv_span given, fv_span right);     /* 1 - word error rate, not below 0 */
double fv_compare_words_exp(fv_span given, fv_span right); /* exp(- word error rate), rates as jiwer's */
/* freeform.c */
double fv_compare_rouge(fv_span given, fv_span right);     /* mean F of ROUGE-1, -2 and -L */
/* boxes.c: boxes are read as four numbers each, in either text wherever they stand */
double fv_compare_iou(fv_span given, fv_span right);       /* intersection over union of the first boxes */
double fv_compare_hit(fv_span given, fv_span right);       /* 1 if that is more than a half */
double fv_compare_boxes(fv_span given, fv_span right);     /* F1 of boxes that match one to one with more than a half */

#endif
