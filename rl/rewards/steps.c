#include "rl/rewards/drawn.h"

/* ViLaSR's format (format_reward of the release): 1 if all turns are well formed, else 0. */
static fv_status steps(const fv_use *u, fv_group *g, int term, const fv_moment *when, fv_error *err) {
    (void)when;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        fv_turns t;
        bool formed = false;
        FV_TRY(fv_turns_open(&t, r, err));
        json_t *boxes = t.count ? fv_drawn_boxes(&t, &formed) : NULL;
        if (!t.count) fv_response_lacks(r, u, "`response` or `turns`");
        else if (!boxes) fv_response_lacks(r, u, "more memory");
        else r->terms[term] = formed;
        json_decref(boxes);
        fv_turns_close(&t);
    }
    return FV_OK;
}

const fv_part fv_part_reward_steps = {.name = "steps",
                                      .hook = FV_HOOK_REWARD,
                                      .doc = "1 if every turn is <think> and Action:, what it draws is complete, and the last turn alone answers (ViLaSR's format)",
                                      .fields = "{}",
                                      .scope = FV_SCOPE_ITEM,
                                      .reward = steps};
