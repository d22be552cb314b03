/* The report: one HTML file made from a run folder's files alone, opening anywhere without a network. */
#ifndef FV_RL_REPORT_H
#define FV_RL_REPORT_H

#include "core/error.h"

/* Writes folder/report.html: results with intervals, curves from metrics.jsonl, held-out samples before and after reinforcement with the boxes that were looked
 * at (evaluations/), answers from training (trajectories/), the recipe. What a run does not have is left out, broken lines are skipped: it may still be running,
 * or have been killed. Pictures are part of the page, below 3 MB in all. The same files give the same bytes. Fails when memory runs out or the file can't be written. */
fv_status fv_report_write(const char *folder, fv_error *err);

#endif
