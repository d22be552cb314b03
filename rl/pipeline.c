#include "rl/pipeline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first use of a name has it, the second is "exact.2". */
static void name_use(const fv_uses *list, fv_use *u, const char *name) {
    size_t n = strlen(name);
    int before = 0;
    for (int i = 0; i < list->count; i++) {
        const char *label = list->uses[i].label;
        before += !strncmp(label, name, n) && (!label[n] || (label[n] == '.' && strspn(label + n + 1, "0123456789") == strlen(label + n + 1)));
    }
    if (before) snprintf(u->label, sizeof u->label, "%.36s.%d", name, before + 1);
    else snprintf(u->label, sizeof u->label, "%.47s", name);
}

static fv_status add_use(fv_uses *list, fv_hook hook, const json_t *options, fv_error *err) {
    static const char *const keys[] = {"term", "rule", "kind", "filter"};
    const char *name = NULL;
    for (size_t i = 0; i < FV_COUNT(keys) && !name; i++) name = json_string_value(json_object_get(options, keys[i]));
    const fv_part *part = name ? fv_part_find(hook, name) : NULL;
    if (!part) return fv_fail(err, FV_BAD_RECIPE, "there is no %s \"%s\"", fv_hook_name(hook), name ? name : "");
    if (list->count == FV_MAX_PARTS) return fv_fail(err, FV_LIMIT, "a recipe has at most %d parts of a kind (%s)", FV_MAX_PARTS, fv_hook_name(hook));
    fv_use *u = &list->uses[list->count];
    *u = (fv_use){.part = part, .options = options};
    const char *own = json_string_value(json_object_get(options, "name"));
    name_use(list, u, hook == FV_HOOK_REWARD && own ? own : name);
    if (part->state_size && !(u->state = calloc(1, part->state_size))) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", name);
    list->count++;
    return FV_OK;
}

static fv_status add_uses(fv_uses *list, fv_hook hook, const json_t *at, fv_error *err) {
    if (json_is_object(at)) return add_use(list, hook, at, err);
    for (size_t i = 0; i < json_array_size(at); i++) FV_TRY(add_use(list, hook, json_array_get(at, i), err));
    return FV_OK;
}

static fv_uses *lists(fv_pipeline *p, int i) {
    fv_uses *const all[] = {&p->terms, &p->shaping, &p->advantage, &p->weights, &p->objectives, &p->filters};
    return all[i];
}

static fv_status check_uses(fv_pipeline *p, fv_error *err) {
    int visits = 0;
    for (int l = 0; l < 6; l++)
        for (int i = 0; i < lists(p, l)->count; i++) {
            fv_use *u = &lists(p, l)->uses[i];
            u->pipeline = p;
            if (u->part->check) FV_TRY(u->part->check(u, err));
            visits += u->part->visit != NULL;
        }
    if (visits > 1) return fv_fail(err, FV_LIMIT, "weights: only one of them can look at whole rows of log-probs");
    return FV_OK;
}

static fv_status open_all(fv_pipeline *p, const json_t *stage, fv_error *err) {
    FV_TRY(add_uses(&p->terms, FV_HOOK_REWARD, fv_get(stage, "reward.terms"), err));
    FV_TRY(add_uses(&p->shaping, FV_HOOK_SHAPING, fv_get(stage, "reward.shaping"), err));
    FV_TRY(add_uses(&p->advantage, FV_HOOK_ADVANTAGE, fv_get(stage, "advantage"), err));
    FV_TRY(add_uses(&p->weights, FV_HOOK_WEIGHT, fv_get(stage, "weights"), err));
    FV_TRY(add_uses(&p->objectives, FV_HOOK_OBJECTIVE, fv_get(stage, "objective"), err));
    FV_TRY(add_uses(&p->objectives, FV_HOOK_OBJECTIVE, fv_get(stage, "auxiliary"), err));
    FV_TRY(add_uses(&p->filters, FV_HOOK_FILTER, fv_get(stage, "keep"), err));
    const char *variant = fv_get_text(stage, "reward.variant");
    for (int l = 0; l < 6; l++)
        for (int i = 0; i < lists(p, l)->count; i++) {
            lists(p, l)->uses[i].variant = variant ? variant : "released";
            p->needs |= lists(p, l)->uses[i].part->needs;
            const json_t *kl = json_object_get(lists(p, l)->uses[i].options, "kl"); /* a divergence that is switched on wants its reference */
            if (kl && !(json_is_number(kl) && json_number_value(kl) == 0)) p->needs |= FV_NEED_REFERENCE;
            const char *text = json_string_value(json_object_get(lists(p, l)->uses[i].options, "text")); /* and a term that reads the second pass wants it */
            if (text && !strcmp(text, "description_response")) p->needs |= FV_NEED_SECOND_PASS;
        }
    return check_uses(p, err);
}

static const fv_use *visitor(const fv_pipeline *p) {
    for (int i = 0; i < p->weights.count; i++)
        if (p->weights.uses[i].part->visit) return &p->weights.uses[i];
    return NULL;
}

double fv_pipeline_visit(const fv_pipeline *p, const double *const *rows, int count, int vocabulary, const fv_moment *when) {
    const fv_use *u = visitor(p);
    return u ? u->part->visit(u, rows, count, vocabulary, when) : 0;
}

fv_status fv_pipeline_open(fv_pipeline **out, const json_t *stage, fv_error *err) {
    *out = NULL;
    fv_pipeline *p = calloc(1, sizeof *p);
    if (!p) return fv_fail(err, FV_NO_MEMORY, "recipe: out of memory");
    fv_status s = open_all(p, stage, err);
    if (s == FV_OK) *out = p;
    else fv_pipeline_close(p);
    return s;
}

fv_status fv_pipeline_term(fv_pipeline **out, const json_t *recipe, const char *path, fv_error *err) {
    *out = NULL;
    fv_pipeline *p = calloc(1, sizeof *p);
    if (!p) return fv_fail(err, FV_NO_MEMORY, "recipe: out of memory");
    fv_status s = add_uses(&p->terms, FV_HOOK_REWARD, fv_get(recipe, path), err);
    for (int i = 0; i < p->terms.count; i++) p->terms.uses[i].variant = "released";
    if (s == FV_OK) s = check_uses(p, err);
    if (s == FV_OK) *out = p;
    else fv_pipeline_close(p);
    return s;
}

void fv_pipeline_close(fv_pipeline *p) {
    if (!p) return;
    for (int l = 0; l < 6; l++)
        for (int i = 0; i < lists(p, l)->count; i++) free(lists(p, l)->uses[i].state);
    free(p);
}

fv_status fv_pipeline_find(const fv_use *u, const char *label, int *term, fv_error *err) {
    const fv_uses *terms = &u->pipeline->terms;
    for (int k = 0; k < terms->count && &terms->uses[k] != u; k++)
        if (!strcmp(terms->uses[k].label, label)) return *term = k, FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "%s: there is no term \"%s\" before it", u->label, label);
}

double fv_pipeline_weight(const fv_use *term, const fv_moment *when) { return fv_get_at(term->options, "weight", when->step, when->steps); }

bool fv_pipeline_pays_alone(const fv_pipeline *p) {
    bool alone = !(p->needs & (FV_NEED_JUDGE | FV_NEED_SECOND_PASS | FV_NEED_SHUFFLED));
    for (int k = 0; k < p->terms.count; k++) alone = alone && p->terms.uses[k].part->scope == FV_SCOPE_ITEM;
    return alone;
}

bool fv_pipeline_compares(const fv_pipeline *p, fv_other who) {
    bool any = false;
    for (int k = 0; k < p->objectives.count; k++) {
        const fv_use *u = &p->objectives.uses[k];
        fv_compared c;
        if (!u->part->compares) continue;
        u->part->compares(u, &(fv_moment){0, 1, 0}, &c); /* whom is the same at all steps */
        any |= c.who == who;
    }
    return any;
}

fv_status fv_pipeline_reward(const fv_pipeline *p, fv_group *g, const fv_moment *when, fv_error *err) {
    for (int k = 0; k < p->terms.count; k++) FV_TRY(p->terms.uses[k].part->reward(&p->terms.uses[k], g, k, when, err));
    for (int i = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        double sum = 0;
        for (int k = 0; k < p->terms.count; k++)
            if (!isnan(r->terms[k])) sum += fv_pipeline_weight(&p->terms.uses[k], when) * r->terms[k]; /* NAN: the term does not apply to this response */
        r->reward = r->error[0] ? NAN : sum;
    }
    return FV_OK;
}

static bool is_of_tokens(const fv_pipeline *p) {
    bool any = false;
    for (int k = 0; k < p->advantage.count; k++) any |= p->advantage.uses[k].part->scope == FV_SCOPE_TOKEN;
    return any;
}

static bool takes_part(const fv_response *r) { return !r->error[0] && !r->aside; }

/* Baselines see the responses that could be scored, and nothing of the others. */
fv_status fv_pipeline_advantage(const fv_pipeline *p, fv_group *g, const fv_moment *when, fv_error *err) {
    bool of_tokens = is_of_tokens(p);
    fv_group sound = {.items = malloc((size_t)(g->count ? g->count : 1) * sizeof *g->items)};
    if (!sound.items) return fv_fail(err, FV_NO_MEMORY, "advantages: out of memory");
    for (int i = 0; i < g->count; i++)
        if (takes_part(&g->items[i])) sound.items[sound.count++] = g->items[i];
        else sound.failed += g->items[i].error[0] != 0;
    for (int k = 0; k < p->shaping.count && sound.count; k++) p->shaping.uses[k].part->shape(&p->shaping.uses[k], &sound, when);
    for (int k = 0; k < p->advantage.count && sound.count; k++) p->advantage.uses[k].part->advantage(&p->advantage.uses[k], &sound, when);
    for (int i = 0, k = 0; i < g->count; i++) {
        fv_response *r = &g->items[i];
        if (takes_part(r)) *r = sound.items[k++];
        else r->advantage = 0;
        for (int t = 0; t < r->tokens; t++) {
            if (r->token_advantage && !of_tokens) r->token_advantage[t] += (float)r->advantage;
            if (r->token_weight) r->token_weight[t] = 1.0f;
        }
    }
    free(sound.items);
    for (int k = 0; k < p->weights.count; k++) p->weights.uses[k].part->weigh(&p->weights.uses[k], g, when);
    return FV_OK;
}

void fv_pipeline_settle(const fv_pipeline *p, const fv_group *groups, int count, const fv_moment *when) {
    for (int k = 0; k < p->advantage.count; k++)
        if (p->advantage.uses[k].part->settle) p->advantage.uses[k].part->settle(&p->advantage.uses[k], groups, count, when);
}

bool fv_pipeline_keeps(const fv_pipeline *p, const fv_response *r, const fv_moment *when) {
    if (r->error[0]) return false;
    for (int k = 0; k < p->filters.count; k++)
        if (!p->filters.uses[k].part->keep(&p->filters.uses[k], r, when)) return false;
    return true;
}

void fv_pipeline_update(const fv_pipeline *p, const fv_group *groups, int count, const fv_moment *when) {
    for (int l = 0; l < 6; l++)
        for (int i = 0; i < lists((fv_pipeline *)p, l)->count; i++) {
            const fv_use *u = &lists((fv_pipeline *)p, l)->uses[i];
            if (u->part->update) u->part->update(u, groups, count, when);
        }
}

json_t *fv_pipeline_save(const fv_pipeline *p) {
    json_t *out = json_object();
    for (int l = 0; l < 6; l++)
        for (int i = 0; i < lists((fv_pipeline *)p, l)->count; i++) {
            const fv_use *u = &lists((fv_pipeline *)p, l)->uses[i];
            if (!u->state) continue;
            char key[96], *hex = malloc(2 * u->part->state_size + 1);
            if (!hex || !out) {
                free(hex);
                json_decref(out);
                return NULL;
            }
            for (size_t b = 0; b < u->part->state_size; b++) snprintf(hex + 2 * b, 3, "%02x", ((const unsigned char *)u->state)[b]);
            snprintf(key, sizeof key, "%s.%d.%s", fv_hook_name(u->part->hook), i, u->part->name);
            json_object_set_new(out, key, json_string(hex));
            free(hex);
        }
    return out;
}

fv_status fv_pipeline_load(fv_pipeline *p, const json_t *saved, fv_error *err) {
    for (int l = 0; l < 6; l++)
        for (int i = 0; i < lists(p, l)->count; i++) {
            fv_use *u = &lists(p, l)->uses[i];
            if (!u->state) continue;
            char key[96];
            snprintf(key, sizeof key, "%s.%d.%s", fv_hook_name(u->part->hook), i, u->part->name);
            const char *hex = json_string_value(json_object_get(saved, key));
            if (!hex) continue; /* a checkpoint from before the stage began */
            if (strlen(hex) != 2 * u->part->state_size) return fv_fail(err, FV_BAD_DATA, "checkpoint: state of %s has %zu bytes, expected %zu", key, strlen(hex) / 2, u->part->state_size);
            for (size_t b = 0; b < u->part->state_size; b++) {
                unsigned v;
                if (sscanf(hex + 2 * b, "%2x", &v) != 1) return fv_fail(err, FV_BAD_DATA, "checkpoint: state of %s is not hexadecimal", key);
                ((unsigned char *)u->state)[b] = (unsigned char)v;
            }
        }
    return FV_OK;
}
