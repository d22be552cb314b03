/* What memory a run will need, said before anything is loaded. */
#ifndef FV_RL_NEEDS_H
#define FV_RL_NEEDS_H

#include "rl/recipe/recipe.h"

/* One list: what the need is made of, as the plan calls it, and what of a recipe makes it smaller (%s: "stages.NAME."; "" there: nothing of that kind of stage). */
#define FV_NEEDS_MAP(X)                                                                                                                                                    \
    X(PROGRAM, "the program", "", "")                                                                                                                                      \
    X(WEIGHTS, "weights", "a smaller model.path", "a smaller model.path")                                                                                                  \
    X(OPTIMIZER, "optimizer", "lora.r (an adapter alone is trained), freeze", "lora.r (an adapter alone is trained), freeze")                                              \
    X(ACTIVATIONS, "activations", "%soptim.micro_tokens, optim.gradient_checkpointing", "%soptim.micro_tokens, optim.gradient_checkpointing")                        \
    X(KEYS, "keys and values", "", "%srollout.prompts, rollout.group_size, rollout.max_new_tokens, env.max_turns")                                                         \
    X(PICTURES, "pictures", "%sbatch, smaller pictures or video.nframes, video.max_pixels", "%srollout.prompts, rollout.group_size, smaller pictures")

typedef enum {
#define X(name, text, sft, roll) FV_NEEDS_##name,
    FV_NEEDS_MAP(X)
#undef X
    FV_NEEDS_PARTS
} fv_needs_part;

/* Of the hungriest stage, at its hungriest moment. */
typedef struct {
    const fv_stage *stage;         /* of the recipe; NULL: not known */
    double bytes[FV_NEEDS_PARTS];
    double droppable;              /* of the weights: files that are read in place once, whose memory the system takes back where it is short */
    double limit;                  /* what there is, on a card where that computes; 0: not known */
    bool card;                     /* then the program and pictures lie in the host's memory, and `offloaded` of the optimizer */
    double offloaded;
    bool at_least;                 /* some rows could not be read: their pictures and lengths are left out */
} fv_needs;

double fv_needs_total(const fv_needs *n);

/* Opens what tells sizes (config, headers of weights, the first rows), runs the model's code over hollow operations (core/hollow.h) and reads no weight. What the run itself will
 * complain about, such as a missing model, is an error here, too. *out can be said and checked in any case. */
fv_status fv_needs_find(fv_needs *out, const fv_recipe *recipe, fv_error *err);

/* The plan's line: "memory  needs about 3.12 GiB of 15.6: weights 0.41, ..." ("up to" of a stage with rollouts, whose answers are taken to be as long as
 * they may be); nothing where nothing is known. */
void fv_needs_text(fv_text *out, const fv_needs *n);

/* Of a card what is free is held against what lies there. FV_LIMIT where it can't fit: what is needed, what there is, and which fields make it smaller. */
fv_status fv_needs_check(const fv_needs *n, const fv_recipe *recipe, fv_error *err);

#endif
