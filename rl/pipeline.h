/* The parts of a stage in their order: reward terms -> weighted sum -> shaping -> advantage -> token weights, and the objectives. Serves training, evaluation,
 * filtering and `fovea reward` alike. */
#ifndef FV_RL_PIPELINE_H
#define FV_RL_PIPELINE_H

#include "rl/part.h"
#include "rl/recipe/recipe.h"

enum { FV_MAX_PARTS = 24 };

typedef struct {
    fv_use uses[FV_MAX_PARTS];
    int count;
} fv_uses;

typedef struct fv_pipeline {
    fv_uses terms, shaping, advantage, weights, objectives, filters;
    unsigned needs;      /* of all together */
} fv_pipeline;

/* From a resolved stage (fields that it lacks are empty lists). stage must outlive it. */
fv_status fv_pipeline_open(fv_pipeline **out, const json_t *stage, fv_error *err);
/* A pipeline of one reward term as resolved at `path` (evaluations). */
fv_status fv_pipeline_term(fv_pipeline **out, const json_t *recipe, const char *path, fv_error *err);
void fv_pipeline_close(fv_pipeline *p);
/* Which term of u's pipeline is called `label`, for parts that read others' terms. FV_BAD_RECIPE if there is none, or if u is a term that comes before it. */
fv_status fv_pipeline_find(const fv_use *u, const char *label, int *term, fv_error *err);

/* What a reward term weighs in the sum at a step: a number, or a schedule's value. A term whose weight is 0 is computed all the same. */
double fv_pipeline_weight(const fv_use *term, const fv_moment *when);

/* Whether a response alone tells its reward: no term looks at its group, or at what a judge or another pass says. */
bool fv_pipeline_pays_alone(const fv_pipeline *p);

/* Whether some objective compares the policy with that. */
bool fv_pipeline_compares(const fv_pipeline *p, fv_other who);

/* Terms and their weighted sum. A response whose term can't be computed gets its `error`, and reward NAN. */
fv_status fv_pipeline_reward(const fv_pipeline *p, fv_group *g, const fv_moment *when, fv_error *err);
/* What the token weights' part that visits the vocabulary makes of a position (rl/part.h: visit); 0 if there is none. */
double fv_pipeline_visit(const fv_pipeline *p, const double *const *rows, int count, int vocabulary, const fv_moment *when);
/* Shaping and advantages over the responses that have no error and are not aside, the others get advantage 0; then token weights of all. */
fv_status fv_pipeline_advantage(const fv_pipeline *p, fv_group *g, const fv_moment *when, fv_error *err);
/* After that of all groups: what an advantage makes of the whole batch. */
void fv_pipeline_settle(const fv_pipeline *p, const fv_group *groups, int count, const fv_moment *when);
/* All filters keep it. */
bool fv_pipeline_keeps(const fv_pipeline *p, const fv_response *r, const fv_moment *when);
void fv_pipeline_update(const fv_pipeline *p, const fv_group *groups, int count, const fv_moment *when);

/* States of parts as hexadecimal text, for checkpoints (NULL: out of memory); what does not fit any more is an error. */
json_t *fv_pipeline_save(const fv_pipeline *p);
fv_status fv_pipeline_load(fv_pipeline *p, const json_t *saved, fv_error *err);

#endif
