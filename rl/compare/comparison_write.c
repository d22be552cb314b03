/* A comparison as comparison.json, and as the table that `fovea train` ends with. */
#include "rl/compare/comparison.h"

#include "core/file.h"
#include "rl/report/chart.h"
#include "rl/train/summary_table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON ---- */

static json_t *number(double v) { return isnan(v) ? json_null() : json_real(v); }

static void put_spread(json_t *out, fv_spread s) {
    json_object_set_new(out, "mean", number(s.mean));
    json_object_set_new(out, "se", number(s.se));
    json_object_set_new(out, "ci95", s.n > 1 ? json_pack("[f, f]", s.low, s.high) : json_null());
}

/* {"values": [a seed each], "mean", "se", "ci95"}, with "difference" to the first arm in the others. */
static json_t *measure_json(const fv_comparison *c, const fv_measure *m, int arm) {
    json_t *out = json_object(), *values = json_array();
    if (!isnan(m->samples)) json_object_set_new(out, "n", json_integer((json_int_t)m->samples));
    for (int i = 0; i < c->arms->seed_count; i++) json_array_append_new(values, number(m->values[arm * c->arms->seed_count + i]));
    json_object_set_new(out, "values", values);
    put_spread(out, fv_comparison_arm(c, m, arm));
    if (!arm) return out;
    json_t *difference = json_object();
    put_spread(difference, fv_comparison_difference(c, m, arm));
    json_object_set_new(out, "difference", difference);
    return out;
}

static json_t *arm_json(const fv_comparison *c, int arm) {
    const fv_arms *a = c->arms;
    json_t *out = json_object(), *runs = json_array(), *accuracy = json_object(), *metrics = json_object(), *by = NULL;
    json_t *changes = json_object_get(fv_get(a->recipe->json, "arms"), a->names[arm]);
    json_object_set_new(out, "changes", json_is_object(changes) ? json_incref(changes) : json_object());
    for (int i = 0; i < a->seed_count; i++) json_array_append_new(runs, json_string(fv_arms_name(a->runs[i * a->arm_count + arm].recipe)));
    json_object_set_new(out, "runs", runs);
    json_object_set_new(out, "accuracy", accuracy);
    json_object_set_new(out, "metrics", metrics);
    for (int i = 0; i < c->count; i++) {
        const fv_measure *m = &c->measures[i];
        json_t *one = measure_json(c, m, arm);
        if (m->metric) json_object_set_new(metrics, m->metric, one);
        else if (m->category) json_object_set_new(by, m->category, one);
        else {
            json_object_set_new(accuracy, m->mode, one);
            json_object_set_new(one, "by", by = json_object()); /* its categories follow */
        }
    }
    return out;
}

static json_t *whole_json(const fv_comparison *c) {
    const fv_arms *a = c->arms;
    json_t *out = json_object(), *seeds = json_array(), *arms = json_object();
    json_object_set_new(out, "name", json_string(fv_get_text(a->recipe->json, "name")));
    for (int i = 0; i < a->seed_count; i++) json_array_append_new(seeds, json_integer(a->seeds[i]));
    json_object_set_new(out, "seeds", seeds);
    json_object_set_new(out, "arms", arms);
    if (a->shared) {
        json_t *start = json_object();
        for (int i = 0; i < c->count; i++)
            if (c->measures[i].mode && !c->measures[i].category) json_object_set_new(start, c->measures[i].mode, number(c->measures[i].start));
        json_object_set_new(out, "start", json_pack("{s: s, s: o}", "run", fv_arms_name(a->shared), "accuracy", start));
    }
    for (int i = 0; i < a->arm_count; i++) json_object_set_new(arms, a->names[i], arm_json(c, i));
    return out;
}

fv_status fv_comparison_write(const fv_comparison *c, fv_error *err) {
    json_t *all = whole_json(c);
    fv_status s = fv_json_save(all, fv_arms_folder(c->arms->recipe), "comparison.json", err);
    json_decref(all);
    return s;
}

/* ---- The table ---- */

void fv_comparison_number(char out[32], const fv_measure *m, double v) {
    if (isnan(v)) snprintf(out, 32, "–");
    else if (m->mode) snprintf(out, 32, "%.1f", fabs(100 * v));
    else fv_chart_number(out, fabs(v), false);
}

/* sign: a plus before what is above 0. */
static int put_number(char *cell, const fv_measure *m, double v, bool sign) {
    char text[32];
    fv_comparison_number(text, m, v);
    return snprintf(cell, 40, "%s%s", v < 0 ? "-" : sign && v > 0 ? "+" : "", text);
}

static void put_interval(char cell[FV_TABLE_CELL], const fv_measure *m, fv_spread s, bool sign) {
    if (s.n < 2) return;
    int n = snprintf(cell, FV_TABLE_CELL, "[");
    n += put_number(cell + n, m, s.low, sign);
    n += snprintf(cell + n, FV_TABLE_CELL - (size_t)n, ", ");
    n += put_number(cell + n, m, s.high, sign);
    snprintf(cell + n, FV_TABLE_CELL - (size_t)n, "]");
}

static void add_rows(const fv_comparison *c, const fv_measure *m, fv_text_table *t) {
    for (int arm = 0; arm < c->arms->arm_count; arm++) {
        char(*row)[FV_TABLE_CELL] = fv_text_table_row(t);
        if (!row) return;
        fv_spread s = fv_comparison_arm(c, m, arm), d = fv_comparison_difference(c, m, arm);
        if (!arm && m->mode) snprintf(row[0], FV_TABLE_CELL, "%.60s accuracy", m->mode);
        else if (!arm) snprintf(row[0], FV_TABLE_CELL, "%.90s", m->metric);
        snprintf(row[1], FV_TABLE_CELL, "%.64s", c->arms->names[arm]);
        int n = put_number(row[2], m, s.mean, false);
        if (m->mode && s.n) snprintf(row[2] + n, FV_TABLE_CELL - (size_t)n, " %%");
        put_interval(row[3], m, s, false);
        if (!arm) continue;
        put_number(row[4], m, d.mean, true);
        put_interval(row[5], m, d, true);
    }
}

fv_status fv_comparison_text(fv_text *out, const fv_comparison *c, fv_error *err) {
    fv_text_table *t = calloc(1, sizeof *t);
    if (!t) return fv_fail(err, FV_NO_MEMORY, "comparison: out of memory");
    t->columns = 6;
    t->left[1] = true;
    char(*head)[FV_TABLE_CELL] = fv_text_table_row(t);
    snprintf(head[1], FV_TABLE_CELL, "arm");
    snprintf(head[2], FV_TABLE_CELL, "%d seed%s", c->arms->seed_count, c->arms->seed_count > 1 ? "s" : "");
    snprintf(head[3], FV_TABLE_CELL, "95 %%");
    snprintf(head[4], FV_TABLE_CELL, "to %.64s", c->arms->names[0]);
    snprintf(head[5], FV_TABLE_CELL, "95 %%");
    for (int i = 0; i < c->count; i++)
        if (!c->measures[i].category) add_rows(c, &c->measures[i], t);
    fv_text_table_write(out, t);
    free(t);
    return FV_OK;
}
