#include "rl/rewards/compare.h"

#include "rl/text/rouge.h"

#include <math.h>

/* SophiaVL-R1 and Video-R1 alike. An answer of one word has no pairs of words: it earns 2/3 at most. */
double fv_compare_rouge(fv_span given, fv_span right) {
    fv_rouge r;
    return fv_rouge_score(&r, given, right) ? (r.one + r.two + r.longest) / 3 : NAN;
}
