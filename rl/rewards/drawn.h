/* What an agent drew, as ViLaSR's format has it (arXiv 2506.09965; verl/utils/reward_score/gcot.py): turns of <think>..</think> Action: .., fenced lists of items. */
#ifndef FV_RL_REWARDS_DRAWN_H
#define FV_RL_REWARDS_DRAWN_H

#include "rl/rewards/reading.h"

/* The boxes (items with bbox_2d and label) of all of the assistant's turns, in order, the caller's; *formed: every turn has the form, <answer> and </answer> stand in the
 * last turn and in no other, and every fenced block is a list of boxes and of lines (start_point_2d, end_point_2d, label). If not, boxes are empty. NULL: no memory. */
json_t *fv_drawn_boxes(const fv_turns *t, bool *formed);

/* Pays term `term` of each response of the group 1 where `rule` holds for its boxes, else 0. A response without turns has its error. */
fv_status fv_drawn_reward(const fv_use *u, fv_group *g, int term, bool (*rule)(const json_t *boxes, bool formed), fv_error *err);

#endif
