/* What a comparison found, from the files of its runs alone: for every measure one value a run, over the seeds of an arm its mean and interval, and the difference to the
 * first arm. */
#ifndef FV_RL_COMPARISON_H
#define FV_RL_COMPARISON_H

#include "rl/compare/arms.h"
#include "rl/compare/spread.h"
#include "rl/report/record.h"

/* Accuracy of a run's last evaluation in `mode` (of one category, or of all), or a metric: its mean over the last tenth of the last stage that has it. */
typedef struct {
    const char *metric;    /* NULL: accuracy. Names are borrowed from the recipe and the comparison */
    const char *mode, *category; /* category NULL: all samples */
    double samples;        /* of an evaluation; NAN: a metric, or none was made */
    double start;          /* the accuracy that the shared stages ended with; NAN: none */
    double *values;        /* [arm * seed_count + seed]; NAN: the run does not have it */
} fv_measure;

typedef struct {
    const fv_arms *arms;
    fv_record *records;    /* [arm * seed_count + seed] */
    fv_record shared;      /* folder NULL: nothing is shared */
    fv_measure *measures;  /* a mode and its categories, the next mode ..., then metrics */
    int count;
    json_t *categories;    /* by mode: where names of categories live */
} fv_comparison;

/* Runs that are missing or not finished are values that are not there. Fails only when memory runs out. Close it in any case, before the arms. */
fv_status fv_comparison_open(fv_comparison *out, const fv_arms *arms, fv_error *err);
void fv_comparison_close(fv_comparison *c);

fv_spread fv_comparison_arm(const fv_comparison *c, const fv_measure *m, int arm);        /* an accuracy's interval is cut to 0..1 */
fv_spread fv_comparison_difference(const fv_comparison *c, const fv_measure *m, int arm); /* arm - first arm, paired by seed */

/* A bound or a difference for a person: an accuracy's in points, "7.4", without a sign; a dash for NAN. */
void fv_comparison_number(char out[32], const fv_measure *m, double v);

/* OUT/comparison.json, and the same as a table for a terminal, without categories (rl/compare/comparison_write.c). */
fv_status fv_comparison_write(const fv_comparison *c, fv_error *err);
fv_status fv_comparison_text(fv_text *out, const fv_comparison *c, fv_error *err);

#endif
