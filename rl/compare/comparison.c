#include "rl/compare/comparison.h"

#include "core/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t run_count(const fv_arms *a) { return (size_t)a->arm_count * (size_t)a->seed_count; }

/* ---- Values ---- */

static double accuracy_of(const json_t *evaluation, const char *category) {
    return fv_record_number(category ? json_object_get(json_object_get(evaluation, "by"), category) : evaluation, "accuracy");
}

/* The last evaluation of a mode; NULL: none. */
static const json_t *last_of(const fv_record *r, const char *mode) {
    for (size_t i = json_array_size(r->evaluations); i-- > 0;)
        if (!strcmp(fv_record_text(json_array_get(r->evaluations, i), "mode"), mode)) return json_array_get(r->evaluations, i);
    return NULL;
}

static double metric_of(const fv_record *r, const char *metric) {
    double first, last = NAN;
    for (int i = r->stage_count; i-- > 0 && isnan(last);) fv_record_ends(r, &r->stages[i], metric, &first, &last);
    return last;
}

/* ---- Measures ---- */

static bool add_measure(fv_comparison *c, fv_measure m) {
    size_t runs = run_count(c->arms);
    fv_measure *grown = realloc(c->measures, (size_t)(c->count + 1) * sizeof *grown);
    if (!grown) return false;
    c->measures = grown;
    m.values = malloc(runs * sizeof *m.values);
    m.samples = m.start = NAN;
    if (!m.values) return false;
    for (size_t i = 0; i < runs; i++) {
        const json_t *e = m.mode ? last_of(&c->records[i], m.mode) : NULL;
        m.values[i] = m.mode ? accuracy_of(e, m.category) : metric_of(&c->records[i], m.metric);
        double n = fv_record_number(m.category ? json_object_get(json_object_get(e, "by"), m.category) : e, "n");
        if (isnan(m.samples)) m.samples = n;
    }
    if (m.mode && c->shared.folder) m.start = accuracy_of(last_of(&c->shared, m.mode), m.category);
    grown[c->count++] = m;
    return true;
}

/* All categories that any run has, where there are several. */
static bool add_categories(fv_comparison *c, const char *mode) {
    json_t *seen = json_object(), *value;
    const char *name;
    if (json_object_set_new(c->categories, mode, seen)) return false;
    for (size_t i = 0; i < run_count(c->arms); i++) {
        json_t *by = json_object_get(last_of(&c->records[i], mode), "by");
        if (json_is_object(by) && json_object_update_missing(seen, by)) return false;
    }
    if (json_object_size(seen) < 2) return true;
    json_object_foreach(seen, name, value)
        if (!add_measure(c, (fv_measure){.mode = mode, .category = name})) return false;
    return true;
}

/* What is trained for, then what the recipe names. */
static bool add_metrics(fv_comparison *c) {
    const fv_arms *a = c->arms;
    const json_t *named = fv_get(a->recipe->json, "compare");
    bool rl = false; /* in any arm: one may have taken the others' stage out */
    for (int k = 0; k < a->seed_count * a->arm_count; k++)
        for (int i = 0; i < a->runs[k].recipe->stage_count; i++) rl |= a->runs[k].recipe->stages[i].kind != FV_STAGE_SFT;
    const char *first = rl ? "reward" : "loss";
    bool good = add_measure(c, (fv_measure){.metric = first});
    for (size_t i = 0; i < json_array_size(named) && good; i++) {
        const char *name = json_string_value(json_array_get(named, i));
        if (name && strcmp(name, first)) good = add_measure(c, (fv_measure){.metric = name});
    }
    return good;
}

static bool add_all(fv_comparison *c) {
    const json_t *r = c->arms->recipe->json, *modes = fv_get(r, "eval_data") ? fv_get(r, "evaluate.modes") : NULL;
    for (size_t i = 0; i < json_array_size(modes); i++) {
        const char *mode = json_string_value(json_array_get(modes, i));
        if (!add_measure(c, (fv_measure){.mode = mode}) || !add_categories(c, mode)) return false;
    }
    return add_metrics(c);
}

/* ---- The whole ---- */

fv_status fv_comparison_open(fv_comparison *out, const fv_arms *arms, fv_error *err) {
    *out = (fv_comparison){.arms = arms, .records = calloc(run_count(arms), sizeof *out->records), .categories = json_object()};
    if (!out->records || !out->categories) return fv_fail(err, FV_NO_MEMORY, "comparison: out of memory");
    for (int i = 0; i < arms->seed_count * arms->arm_count; i++) {
        const fv_arm_run *run = &arms->runs[i];
        FV_TRY(fv_record_open(&out->records[run->arm * arms->seed_count + i / arms->arm_count], fv_arms_folder(run->recipe), err));
    }
    if (arms->shared) FV_TRY(fv_record_open(&out->shared, fv_arms_folder(arms->shared), err));
    return add_all(out) ? FV_OK : fv_fail(err, FV_NO_MEMORY, "comparison: out of memory");
}

void fv_comparison_close(fv_comparison *c) {
    for (size_t i = 0; c->records && i < run_count(c->arms); i++) fv_record_close(&c->records[i]);
    fv_record_close(&c->shared);
    for (int i = 0; i < c->count; i++) free(c->measures[i].values);
    json_decref(c->categories);
    free(c->measures);
    free(c->records);
    *c = (fv_comparison){0};
}

fv_spread fv_comparison_arm(const fv_comparison *c, const fv_measure *m, int arm) {
    size_t seeds = (size_t)c->arms->seed_count;
    fv_spread s = fv_spread_of(m->values + (size_t)arm * seeds, NULL, seeds);
    if (m->mode && s.low < 0) s.low = 0;
    if (m->mode && s.high > 1) s.high = 1;
    return s;
}

fv_spread fv_comparison_difference(const fv_comparison *c, const fv_measure *m, int arm) {
    size_t seeds = (size_t)c->arms->seed_count;
    return fv_spread_of(m->values + (size_t)arm * seeds, m->values, seeds);
}
