#include "rl/recipe/recipe.h"
#include "rl/rewards/reading.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* D of a position: mean over the group of sum over the vocabulary of exp(d) - d - 1, d = clamp(mean log-prob - own log-prob, -bound, bound). An answer
 * that has ended (rows[i] NULL) counts as log(1/vocabulary) everywhere. */
static double divergence_at(const fv_use *u, const double *const *rows, int count, int vocabulary, const fv_moment *when) {
    double sum = 0, beyond = -log((double)vocabulary), bound = fv_get_at(u->options, "bound", when->step, when->steps);
    for (int v = 0; v < vocabulary; v++) {
        double mean = 0;
        for (int i = 0; i < count; i++) mean += rows[i] ? rows[i][v] : beyond;
        mean /= count;
        for (int i = 0; i < count; i++) {
            double d = fmin(fmax(mean - (rows[i] ? rows[i][v] : beyond), -bound), bound);
            sum += exp(d) - d - 1;
        }
    }
    return sum / count;
}

/* ---- Rows of a file: `logprobs`, [own tokens][vocabulary] ---- */

static const json_t *rows_of(const fv_response *r) { return r->given ? json_object_get(r->given, "logprobs") : NULL; }

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

/* D of one position from rows of a file; room: [count][vocabulary], list: [count]. */
static double read_position(const fv_use *u, fv_response *const *items, int count, int vocabulary, int token, double *room, const double **list, const fv_moment *when) {
    for (int i = 0; i < count; i++) {
        const json_t *row = json_array_get(rows_of(items[i]), (size_t)token);
        double *to = room + (size_t)i * (size_t)vocabulary;
        list[i] = row ? to : NULL;
        for (int v = 0; row && v < vocabulary; v++) to[v] = json_number_value(json_array_get(row, (size_t)v));
    }
    return divergence_at(u, list, count, vocabulary, when);
}

static bool read_all(const fv_use *u, fv_response *const *items, int count, int longest, const fv_moment *when, double *d) {
    int vocabulary = (int)json_array_size(json_array_get(rows_of(items[0]), 0));
    double *room = malloc((size_t)count * (size_t)vocabulary * sizeof *room);
    const double **list = malloc((size_t)count * sizeof *list);
    for (int t = 0; t < longest && room && list; t++) d[t] = read_position(u, items, count, vocabulary, t, room, list, when);
    bool done = room && list;
    free(room);
    free(list);
    return done;
}

/* ---- Weights ---- */

static void spread(const fv_use *u, fv_response *const *items, int count, const fv_moment *when) {
    const fv_response *last = items[0]; /* the longest */
    for (int i = 1; i < count; i++) last = items[i]->tokens > last->tokens ? items[i] : last;
    int longest = last->tokens;
    const json_t *own = json_object_get(items[0]->given, "alpha");
    double alpha = json_is_number(own) ? json_number_value(own) : fv_get_at(u->options, "alpha", when->step, when->steps);
    double low = INFINITY, high = -INFINITY, *d = malloc((size_t)(longest ? longest : 1) * sizeof *d);
    bool there = d != NULL;
    if (there && last->noted) memcpy(d, last->noted, (size_t)longest * sizeof *d);
    else if (there) there = read_all(u, items, count, longest, when, d);
    for (int t = 0; t < longest && there; t++) {
        low = fmin(low, d[t]);
        high = fmax(high, d[t]);
    }
    for (int i = 0; i < count; i++) {
        if (!there) fv_response_lacks(items[i], u, "more memory");
        for (int t = 0; t < items[i]->tokens && there; t++) items[i]->token_weight[t] *= (float)(1 + (alpha - 1) * ((d[t] - low) / (high - low + 1e-8)));
    }
    free(d);
}

/* TW-GRPO's token weights (arXiv 2505.24718; grpo_trainer.py, compute_token_importance_kl_logs_uniform): 1 + (alpha - 1) * D, D the divergence within the group at this position,
 * scaled to 0..1 over all positions up to the longest answer; the same for all answers. Constants to the gradient. In training D was noted when the policy's rows were visited. */
static void divergence(const fv_use *u, fv_group *g, const fv_moment *when) {
    fv_response **items = calloc((size_t)g->count + 1, sizeof *items);
    int count = 0, vocabulary = 0;
    for (int i = 0; i < g->count && items; i++) {
        fv_response *r = &g->items[i];
        if (r->error[0] || !r->token_weight || !(r->noted || rows_of(r))) continue;
        if (!count && !r->noted) vocabulary = (int)json_array_size(json_array_get(rows_of(r), 0));
        if (r->noted || sound(r, vocabulary)) items[count++] = r;
    }
    if (count) spread(u, items, count, when);
    free(items);
}

const fv_part fv_part_weight_divergence = {.name = "divergence",
                                           .hook = FV_HOOK_WEIGHT,
                                           .doc = "1..alpha by how much the group's distributions differ at a position (TW-GRPO's token weights)",
                                           .fields = "{alpha: 1.7, bound: 11}",
                                           .limits = "{alpha: [0, 1000], bound: [0, 700]}",
                                           .needs = FV_NEED_VOCABULARY,
                                           .weigh = divergence,
                                           .visit = divergence_at};
