#include "rl/pipeline.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <string.h>

typedef struct {
    double mean[2]; /* thinking of wrong and of right responses; 0 where there is none */
    int count[2];
} split;

static split by_accuracy(const fv_group *g, int accuracy, int thinking) {
    split s = {0};
    for (int i = 0; i < g->count; i++) {
        int right = g->items[i].terms[accuracy] >= 0.5;
        s.mean[right] += g->items[i].terms[thinking];
        s.count[right]++;
    }
    for (int k = 0; k < 2; k++)
        if (s.count[k]) s.mean[k] /= s.count[k];
    return s;
}

/* The row's own number, else `fallback`. */
static double own_number(const fv_response *r, const char *field, double fallback) {
    const json_t *v = r->given ? json_object_get(r->given, field) : NULL;
    return json_is_number(v) ? json_number_value(v) : fallback;
}

/* Trust-GRPO (SophiaVL-R1, arXiv 2505.17018): R = R_o + gamma * scale * exp(-step / tau) * R_t, gamma = exp(mean thinking of right - of wrong responses) where the
 * wrong think better, else 1. The release (verl/workers/reward/custom.py) also switches thinking off, by its scores, where a group does not differ in accuracy: see the
 * term `thinking`. With no right responses (release), or none of one of the two kinds (paper), gamma is 1. Steps count from 1. */
static void trust(const fv_use *u, fv_group *g, const fv_moment *when) {
    int accuracy = 0, thinking = 0;
    fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &accuracy, NULL); /* check has found both */
    fv_pipeline_find(u, fv_get_text(u->options, "thinking"), &thinking, NULL);
    double scale = fv_get_at(u->options, "scale", when->step, when->steps), tau = fv_get_at(u->options, "tau", when->step, when->steps);
    split s = by_accuracy(g, accuracy, thinking);
    bool both = s.count[1] && (s.count[0] || strcmp(u->variant, "paper") != 0);
    double gamma = both && s.mean[1] < s.mean[0] ? exp(s.mean[1] - s.mean[0]) : 1;
    if (scale == 0) return;
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        double step = own_number(r, "step", (double)when->step + 1), fade = exp(-step / own_number(r, "anneal_steps", tau));
        r->reward += fade * scale * gamma * r->terms[thinking];
    }
}

static fv_status check(const fv_use *u, fv_error *err) {
    int term;
    FV_TRY(fv_pipeline_find(u, fv_get_text(u->options, "accuracy"), &term, err));
    return fv_pipeline_find(u, fv_get_text(u->options, "thinking"), &term, err);
}

const fv_part fv_part_shaping_trust = {.name = "trust",
                                       .hook = FV_HOOK_SHAPING,
                                       .doc = "Trust-GRPO (SophiaVL-R1): adds the thinking term, trusted as far as right responses think better than wrong ones, fading with the step",
                                       .fields = "{accuracy: accuracy, thinking: thinking, scale: 0.3, tau: 12000}",
                                       .limits = "{scale: [0, 1.0e6], tau: [1.0e-6, 1.0e12]}",
                                       .check = check,
                                       .shape = trust};
