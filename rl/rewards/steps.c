#include "rl/rewards/drawn.h"

static bool is_formed(const json_t *boxes, bool formed) {
    (void)boxes;
    return formed;
}

/* ViLaSR's format (format_reward of the release): 1 if all turns are well formed, else 0. */
static fv_status steps(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    return fv_drawn_reward(u, g, term, is_formed, err);
}

const fv_part fv_part_reward_steps = {.name = "steps",
                                      .hook = FV_HOOK_REWARD,
                                      .doc = "1 if every turn is <think> and Action:, what it draws is complete, and the last turn alone answers (ViLaSR's format)",
                                      .fields = "{}",
                                      .scope = FV_SCOPE_ITEM,
                                      .reward = steps};
