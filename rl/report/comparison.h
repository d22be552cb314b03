/* A comparison's page, comparison.html: one file like a run's report, with what was found, curves of all arms, and links to the reports of single runs. */
#ifndef FV_RL_REPORT_COMPARISON_H
#define FV_RL_REPORT_COMPARISON_H

#include "rl/compare/comparison.h"

/* Writes OUT/comparison.html. What the runs do not have is left out. The same files give the same bytes. */
fv_status fv_comparison_page(const fv_comparison *c, fv_error *err);

#endif
