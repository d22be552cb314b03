#include "rl/recipe.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Whole log-prob rows of one answer: the row's `logprobs`, [own tokens][vocabulary]. */
static const json_t *rows_of(const fv_response *r) { return r->row && r->token_weight ? json_object_get(r->row, "logprobs") : NULL; }

static double at(const json_t *rows, int token, int v, double beyond) {
    return (size_t)token < json_array_size(rows) ? json_number_value(json_array_get(json_array_get(rows, (size_t)token), (size_t)v)) : beyond;
}

/* All rows are lists of numbers of one length; if not, r->error says so. */
static bool sound(fv_response *r, int vocabulary) {
    const json_t *rows = rows_of(r);
    bool good = vocabulary > 0;
    for (size_t t = 0; t < json_array_size(rows) && good; t++) {
        const json_t *row = json_array_get(rows, t);
        good = json_array_size(row) == (size_t)vocabulary;
        for (size_t v = 0; v < json_array_size(row) && good; v++) good = json_is_number(json_array_get(row, v));
    }
    if (good || r->error[0]) return good;
    snprintf(r->error, sizeof r->error, "%.100s: divergence needs `logprobs` as a list of numbers for each token, as long as in the others of its group",
             r->place ? r->place : r->id);
    return good;
}

/* D of a position: mean over the group of sum over the vocabulary of exp(d) - d - 1, d = clamp(mean log-prob - own log-prob, -bound, bound). An answer that has ended counts as
 * log(1/vocabulary) everywhere. */
static double divergence_at(const json_t *const *rows, int count, int vocabulary, int token, double bound) {
    double sum = 0, beyond = -log((double)vocabulary);
    for (int v = 0; v < vocabulary; v++) {
        double mean = 0;
        for (int i = 0; i < count; i++) mean += at(rows[i], token, v, beyond);
        mean /= count;
        for (int i = 0; i < count; i++) {
            double d = fmin(fmax(mean - at(rows[i], token, v, beyond), -bound), bound);
            sum += exp(d) - d - 1;
        }
    }
    return sum / count;
}

static void spread(const fv_use *u, fv_response *const *items, const json_t *const *rows, int count, int vocabulary, const fv_moment *when) {
    int longest = 0;
    for (int i = 0; i < count; i++) longest = items[i]->tokens > longest ? items[i]->tokens : longest;
    const json_t *own = json_object_get(items[0]->row, "alpha");
    double alpha = json_is_number(own) ? json_number_value(own) : fv_get_at(u->options, "alpha", when->step, when->steps);
    double bound = fv_get_at(u->options, "bound", when->step, when->steps);
    double low = INFINITY, high = -INFINITY, *d = malloc((size_t)(longest ? longest : 1) * sizeof *d);
    for (int t = 0; t < longest && d; t++) {
        d[t] = divergence_at(rows, count, vocabulary, t, bound);
        low = fmin(low, d[t]);
        high = fmax(high, d[t]);
    }
    for (int i = 0; i < count; i++) {
        if (!d) fv_response_lacks(items[i], u, "more memory");
        for (int t = 0; t < items[i]->tokens && d; t++) items[i]->token_weight[t] *= (float)(1 + (alpha - 1) * ((d[t] - low) / (high - low + 1e-8)));
    }
    free(d);
}

/* TW-GRPO's token weights (arXiv 2505.24718; grpo_trainer.py, compute_token_importance_kl_logs_uniform): 1 + (alpha - 1) * D, D the divergence within the group at this position,
 * scaled to 0..1 over all positions up to the longest answer; the same for all answers. Constants to the gradient. */
static void divergence(const fv_use *u, fv_group *g, const fv_moment *when) {
    fv_response **items = calloc((size_t)g->count + 1, sizeof *items);
    const json_t **rows = calloc((size_t)g->count + 1, sizeof *rows);
    int count = 0, vocabulary = 0;
    for (int i = 0; i < g->count && items && rows; i++) {
        fv_response *r = &g->items[i];
        const json_t *own = r->error[0] ? NULL : rows_of(r);
        if (!own) continue;
        if (!count) vocabulary = (int)json_array_size(json_array_get(own, 0));
        if (!sound(r, vocabulary)) continue;
        items[count] = r;
        rows[count++] = own;
    }
    if (count) spread(u, items, rows, count, vocabulary, when);
    free(items);
    free(rows);
}

const fv_part fv_part_weight_divergence = {.name = "divergence",
                                           .hook = FV_HOOK_WEIGHT,
                                           .doc = "1..alpha by how much the group's distributions differ at a position (TW-GRPO's token weights)",
                                           .fields = "{alpha: 1.7, bound: 11}",
                                           .limits = "{alpha: [0, 1000], bound: [0, 700]}",
                                           .needs = FV_NEED_VOCABULARY,
                                           .weigh = divergence};
