#include "rl/part.h"
#include "rl/recipe/recipe.h"

#include <math.h>

/* Means over steps past, each of which counts `decay` times as much as the one after it; `weight` is what they add up to. */
typedef struct {
    double weight, reward, square;
} moving_state;

/* Reinforcement comparison (Williams 1992, "Simple statistical gradient-following algorithms", section 4; Sutton and Barto, "Reinforcement Learning", section 2.8): rewards are compared with what earlier
 * steps earned on average, so that a group whose rewards are equal learns as well. A_i = (r_i - mean) / (std + eps); std: false leaves the division out. The first step has no past, and takes its group's mean. */
static void moving(const fv_use *u, fv_group *g, const fv_moment *when) {
    const moving_state *s = u->state;
    double mean = 0, std = 0, eps = fv_get_at(u->options, "eps", when->step, when->steps);
    for (int i = 0; i < g->count && s->weight == 0; i++) mean += g->items[i].reward / g->count;
    if (s->weight > 0) {
        mean = s->reward / s->weight;
        std = sqrt(fmax(s->square / s->weight - mean * mean, 0));
    }
    double scale = fv_get_bool(u->options, "std") && s->weight > 0 ? 1 / (std + eps) : 1;
    for (int i = 0; i < g->count; i++) g->items[i].advantage = (g->items[i].reward - mean) * scale;
}

static void remember(const fv_use *u, const fv_group *groups, int count, const fv_moment *when) {
    moving_state *s = u->state;
    double decay = fv_get_at(u->options, "decay", when->step, when->steps), reward = 0, square = 0;
    int n = 0;
    for (int k = 0; k < count; k++)
        for (int i = 0; i < groups[k].count; i++) {
            const fv_response *r = &groups[k].items[i];
            if (r->error[0] || r->aside) continue;
            reward += r->reward;
            square += r->reward * r->reward;
            n++;
        }
    if (!n) return;
    *s = (moving_state){decay * s->weight + 1, decay * s->reward + reward / n, decay * s->square + square / n};
}

const fv_part fv_part_advantage_moving = {.name = "moving",
                                          .hook = FV_HOOK_ADVANTAGE,
                                          .doc = "REINFORCE with a baseline over steps: (reward - moving mean) / (moving std + eps); groups of equal rewards learn, too",
                                          .fields = "{decay: 0.9, std: true, eps: 1.0e-4}",
                                          .limits = "{decay: [0, 1], eps: [0, 1]}",
                                          .state_size = sizeof(moving_state),
                                          .advantage = moving,
                                          .update = remember};
