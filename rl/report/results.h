/* The head of the report: what the run is, how it ended, and the tables of what it reached. */
#ifndef FV_RL_REPORT_RESULTS_H
#define FV_RL_REPORT_RESULTS_H

#include "rl/report/record.h"

void fv_results_head(fv_text *out, const fv_record *r);   /* title, a sentence, the recipe in a line */
void fv_results_tables(fv_text *out, const fv_record *r); /* accuracy before and after by mode, by category, stages; nothing for a run without any */
void fv_results_recipe(fv_text *out, const fv_record *r); /* the whole recipe, and the log */

#endif
