/* Fovea: training and evaluating vision-language agents that think with images. This is the public face: eight nouns, each in the header that says who owns
 * what, in which unit, and how it fails. Include paths are from the root of the repository.
 *
 *   fv_model    a Hugging Face folder in memory: tower, decoder, tokenizer, chat format. Read-only; may be shared by threads and slots.
 *   fv_slot     a role that a model plays (policy, reference, judge): its weights as that role sees them; masters and moments where it is trained.
 *   fv_tree     the trajectory tree: segments with one author each; a path from root to leaf is one conversation.
 *   fv_engine   continuous batching over a tree: prefill, decode; pages of keys and values.
 *   fv_env      what an agent acts in: reset, step.
 *   fv_part     a small rule of a recipe: reward term, shaping, advantage, token weight, objective, filter.
 *   fv_recipe   a YAML file, resolved: every default written out, every value checked.
 *   fv_run      a folder: metrics, trajectories, checkpoints, report.
 *
 * Functions that can fail return fv_status and fill the caller's fv_error; what was opened is closed by whoever opened it, in reverse order. */
#ifndef FOVEA_H
#define FOVEA_H

#include "core/error.h"
#include "core/slot.h"
#include "language/model.h"
#include "rl/engine/engine.h"
#include "rl/engine/tree.h"
#include "rl/evaluate/evaluate.h"
#include "rl/part.h"
#include "rl/recipe/recipe.h"
#include "rl/rollout/rollout.h"
#include "rl/train/run.h"
#include "rl/train/train.h"
#include "tools/env.h"

#endif
