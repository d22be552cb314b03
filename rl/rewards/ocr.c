#include "rl/rewards/compare.h"

#include "rl/text/python.h"
#include "rl/text/wer.h"

#include <math.h>

/* Video-R1 (src/r1-v/src/open_r1/grpo.py, "OCR"). */
double fv_compare_words(fv_span given, fv_span right) {
    double rate = fv_wer(right, given);
    return rate > 1 ? 0 : 1 - rate;
}

/* SophiaVL-R1 (verl/utils/reward_score/math.py, ocr_compute_score). */
double fv_compare_words_exp(fv_span given, fv_span right) { return exp(-fv_wer_jiwer(right, given)); }
