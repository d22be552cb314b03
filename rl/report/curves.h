/* The curves of a run: what training measured at every step, and what evaluations found. */
#ifndef FV_RL_REPORT_CURVES_H
#define FV_RL_REPORT_CURVES_H

#include "rl/report/record.h"

/* Appends the section "Curves"; nothing for a run without metrics. */
void fv_curves_write(fv_text *out, const fv_record *r);

/* How well rollouts and training agreed: steps that compared all log-probs, those that found a difference, and the largest one. */
typedef struct {
    size_t steps, different;
    double largest;
} fv_agreement;
fv_agreement fv_record_agreement(const fv_record *r);

#endif
