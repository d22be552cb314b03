/* Trajectories as files: one JSON line each, pictures beside them. `fovea score --data` and the report read them back. */
#ifndef FV_RL_TRAJECTORIES_H
#define FV_RL_TRAJECTORIES_H

#include "core/file.h"
#include "rl/part.h"
#include "rl/rollout/rollout.h"

/* A response as reward terms see it; texts are borrowed from the rollout, id and group from its samples. terms must hold as many numbers as the pipeline has terms. */
void fv_trajectory_response(const fv_rollout *r, int i, double *terms, fv_response *out);

/* Appends trajectory `i` to `lines`: {"id": "ROW#K", "group", "step", "input_ids", "logprobs", "loss_mask", "temperature", "images": [{"image": "pictures/<hash>.png",
 * "min_pixels", "max_pixels"}], "problem", "answer", "response", "stop_reason", "length" (tokens that the policy wrote), "calls", "failures", "returned" (pictures that
 * came back), "turns": [{"text", "tool", "picture" (that it acted on), "box", "error", "returned"}], "terms", "reward", "advantage", "description_response" (of a
 * second pass), "judge_text" (of a judge), "frames" (ordered, shuffled)}. `fovea reward` takes such rows as they are.
 * Pictures go to `folder`/pictures, named by their content, written once. scored (with the names of its terms) may be NULL. */
fv_status fv_trajectory_write(fv_lines *lines, const char *folder, const fv_model *m, const fv_rollout *r, int i, int64_t step, const fv_response *scored,
                              const char *const *term_names, int term_count, fv_error *err);

#endif
