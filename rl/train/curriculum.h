/* Curriculum: which rows the steps of a stage take. Sources of a mixture may change their shares on the way, by schedules as weights: {path: hard.jsonl, weight: {linear: [0, 3]}}. */
#ifndef FV_RL_CURRICULUM_H
#define FV_RL_CURRICULUM_H

#include "datasets/dataset.h"

typedef struct {
    fv_dataset *data;     /* owned */
    int64_t steps;        /* of the stage; schedules go by them */
    int batch;            /* rows a step */
    json_t *spec;         /* a list of sources; NULL: no weight changes */
    int sources;
    double *weights;      /* [sources] at step `at` */
    int32_t *places;      /* [sources + 1] of step `at`, datasets/draw.h */
    int64_t *drawn, at;   /* [sources] rows that all steps before `at` take of each */
} fv_curriculum;

/* spec: as fv_dataset_open takes it, but that weights may be schedules (rl/recipe/schedule.h), checked as a recipe's are. steps 0: as many as `epochs` readings of the data take. On
 * failure there is nothing to close. */
fv_status fv_curriculum_open(fv_curriculum *c, const json_t *spec, uint64_t seed, int batch, int64_t steps, double epochs, fv_error *err);
void fv_curriculum_close(fv_curriculum *c); /* of zeros is fine */

/* The row at place i of a step, step * batch + i of them into the stage. Without schedules it is fv_dataset_draw's; with them each source is still read in epochs of its own. A pure
 * function of (c, seed, step, i); what it remembers makes one step after the other cheap, so that one thread asks at a time. */
int64_t fv_curriculum_row(fv_curriculum *c, uint64_t seed, int64_t step, int i);

/* The data set of such a spec where no step is meant (is everything there? how long are rows?): a schedule stands for the most that it comes to. */
fv_status fv_curriculum_data(fv_dataset **out, const json_t *spec, uint64_t seed, fv_error *err);

#endif
