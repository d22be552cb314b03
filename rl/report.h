/* The report: one HTML file made from a run folder's files alone, opening anywhere without a network. */
#ifndef FV_RL_REPORT_H
#define FV_RL_REPORT_H

#include "core/error.h"

/* Writes folder/report.html: the summary table, curves from metrics.jsonl, held-out samples before and after with pictures and boxes (evaluations/), the recipe.
 * What a run does not have is left out. */
fv_status fv_report_write(const char *folder, fv_error *err);

#endif
