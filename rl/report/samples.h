/* The sections of samples: held-out ones before and after reinforcement, side by side, and answers from training by step. */
#ifndef FV_RL_REPORT_SAMPLES_H
#define FV_RL_REPORT_SAMPLES_H

#include "rl/report/gallery.h"
#include "rl/report/record.h"

/* Each appends its section, or nothing where the run has no trajectories. */
void fv_samples_write(fv_text *out, const fv_record *r, fv_gallery *gallery);
void fv_samples_training(fv_text *out, const fv_record *r, fv_gallery *gallery);

#endif
