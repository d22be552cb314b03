/* The slots that a stage's tokens are scored under beside its policy: the reference, which is the policy as the stage found it (of a policy with an
 * adapter: the model without it), and the teacher, another model. */
#ifndef FV_RL_OTHERS_H
#define FV_RL_OTHERS_H

#include "rl/pipeline.h"
#include "rl/train/train.h"

typedef struct {
    const fv_trainer *t;
    fv_slot *reference; /* NULL: nobody asks for it */
    fv_weights *reference_file;
    fv_weight *reference_weights; /* views into the file */
    fv_model *teacher_model;
    fv_slot *teacher;
} fv_others;

/* Opens those that the stage's pipeline or the recipe's judge asks for. from > 0: of a resumed run, whose reference is there. Close it in any case. */
fv_status fv_others_open(fv_others *o, const fv_trainer *t, const fv_stage *stage, const fv_pipeline *p, int64_t from, fv_error *err);
void fv_others_close(fv_others *o);

/* Whether that takes a reference, and a teacher (which the recipe must name: FV_BAD_RECIPE). */
bool fv_others_reference(const fv_recipe *r, const fv_pipeline *p);
fv_status fv_others_teacher(bool *out, const fv_recipe *r, const fv_stage *stage, const fv_pipeline *p, fv_error *err);

/* Whether a teacher can score what the policy wrote: its tokens are the same, and it sees pictures as the same patches. FV_BAD_RECIPE says what differs. */
fv_status fv_others_fit(const fv_model *policy, const fv_model *teacher, const fv_recipe *r, fv_error *err);

/* The targets of a pass over the paths to `leaves`, under another slot: log-probs, hidden states, softmax sums, all in the trainer's arena. blind: without the pictures, in
 * whose place the placeholders stand for themselves. */
fv_status fv_others_score(const fv_others *o, fv_other who, bool blind, const fv_tree *tree, const int *leaves, int count, const fv_targets *targets, fv_scored *out, fv_error *err);
/* What was scored, as distributions. */
fv_distribution fv_others_distribution(const fv_others *o, fv_other who, const fv_scored *scored);

#endif
