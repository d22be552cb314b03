#include "rl/part.h"

#include <string.h>

/* The registry: a new part is one line here and one file. */
#define PARTS(X)                                                                                                       \
    X(reward_exact) X(reward_format) X(reward_tool) X(reward_length)                                                   \
    X(reward_answer) X(reward_judged) X(reward_balance) X(reward_thinking) X(reward_steps) X(reward_reflection)        \
    X(reward_temporal) X(reward_window) X(reward_repetition) X(shaping_trust) X(shaping_gate) X(shaping_weigh)         \
    X(advantage_group) X(advantage_moving) X(advantage_gae) X(weight_divergence) X(objective_grpo) X(objective_entropy) X(objective_kl) X(objective_value) X(filter_reward)

#define X(name) extern const fv_part fv_part_##name;
PARTS(X)
#undef X

static const fv_part *const parts[] = {
#define X(name) &fv_part_##name,
    PARTS(X)
#undef X
};

const fv_part *const *fv_parts(int *count) {
    *count = (int)(sizeof parts / sizeof *parts);
    return parts;
}

const fv_part *fv_part_find(fv_hook hook, const char *name) {
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i]->hook == hook && !strcmp(parts[i]->name, name)) return parts[i];
    return NULL;
}

const char *fv_hook_name(fv_hook hook) {
    static const char *const names[FV_HOOKS] = {"reward", "shaping", "advantage", "weight", "objective", "filter"};
    return hook < FV_HOOKS ? names[hook] : "";
}
