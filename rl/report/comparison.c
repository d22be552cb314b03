#include "rl/report/comparison.h"

#include "core/file.h"
#include "core/progress.h"
#include "rl/report/chart.h"
#include "rl/report/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The measure that the page begins with: greedy accuracy, else the first mode, else what is trained for. */
static const fv_measure *main_measure(const fv_comparison *c) {
    for (int i = 0; i < c->count; i++)
        if (c->measures[i].mode && !c->measures[i].category && !strcmp(c->measures[i].mode, "greedy")) return &c->measures[i];
    return &c->measures[0];
}

static void add_measure(fv_text *out, const fv_measure *m) {
    fv_html_text(out, m->category ? m->category : m->metric ? m->metric : strcmp(m->mode, "no_tool") ? m->mode : "without the tool");
    if (m->mode && !m->category) fv_text_add(out, " accuracy");
}

/* Signs as in print: "−4.1"; plus: also "+4.1". */
static void add_number(fv_text *out, const fv_measure *m, double v, bool plus) {
    char text[32];
    fv_comparison_number(text, m, v);
    fv_text_printf(out, "%s%s", v < 0 ? "−" : plus && v > 0 ? "+" : "", text);
}

/* "12.1–15.3"; of differences "−1.2 to +3.4", since a dash would look like a sign. */
static void add_interval(fv_text *out, const fv_measure *m, fv_spread s, bool difference) {
    if (s.n < 2) return;
    add_number(out, m, s.low, difference);
    fv_text_add(out, difference || s.low < 0 ? " to " : "–");
    add_number(out, m, s.high, difference);
}

/* ---- Head ---- */

/* The arm with the best mean of all but the first, as a sentence. */
static void write_lead(fv_text *out, const fv_comparison *c) {
    const fv_measure *m = main_measure(c);
    const fv_arms *a = c->arms;
    int best = 0;
    for (int i = 1; i < a->arm_count; i++)
        if (!best || fv_comparison_arm(c, m, i).mean > fv_comparison_arm(c, m, best).mean) best = i;
    fv_spread s = fv_comparison_arm(c, m, best), first = fv_comparison_arm(c, m, 0), d = fv_comparison_difference(c, m, best);
    if (isnan(s.mean)) return;
    fv_text_add(out, "<p class=\"lead\">With <b>");
    fv_html_text(out, a->names[best]);
    fv_text_add(out, "</b>, ");
    add_measure(out, m);
    if (!isnan(m->samples)) fv_text_printf(out, " on %.0f held-out samples", m->samples);
    fv_text_add(out, " is <b>");
    fv_chart_add_number(out, s.mean, m->mode);
    fv_text_add(out, "</b>");
    if (best && !isnan(d.mean)) {
        fv_text_add(out, "; with <b>");
        fv_html_text(out, a->names[0]);
        fv_text_add(out, "</b> it is ");
        fv_chart_add_number(out, first.mean, m->mode);
        fv_text_add(out, ". The difference is <b>");
        add_number(out, m, d.mean, true);
        fv_text_add(out, m->mode ? " points</b>" : "</b>");
        if (d.n > 1) {
            fv_text_add(out, " (95 % interval ");
            add_interval(out, m, d, true);
            fv_text_printf(out, ", over %d seeds)%s", d.n, d.low <= 0 && d.high >= 0 ? ": the interval holds 0" : "");
        } else fv_text_add(out, ", of one seed, which says little");
    }
    fv_text_add(out, ".</p>\n");
}

static void write_head(fv_text *out, const fv_comparison *c) {
    const fv_arms *a = c->arms;
    const json_t *r = a->recipe->json;
    const char *path = fv_get_text(r, "model.path");
    double seconds = a->shared ? c->shared.seconds : 0;
    fv_text_add(out, "<header>\n<p class=\"eyebrow\">Fovea · comparison</p>\n<h1>");
    fv_html_text(out, fv_get_text(r, "name"));
    fv_text_add(out, "</h1>\n");
    write_lead(out, c);
    fv_text_add(out, "<dl class=\"facts\">\n");
    fv_html_fact(out, path ? "model" : "model, from random weights", path ? path : fv_get_text(r, "model.init"));
    if (a->shared) {
        fv_html_fact_begin(out, "begun from");
        fv_text_add(out, "<a href=\"shared/report.html\">");
        for (int i = 0; i < a->shared_stages; i++) {
            if (i) fv_text_add(out, " → ");
            fv_html_text(out, a->recipe->stages[i].name);
        }
        fv_text_printf(out, "</a>, seed %lld", (long long)fv_get_int(r, "seed"));
        fv_html_fact_end(out);
    }
    fv_html_fact_begin(out, a->seed_count > 1 ? "seeds" : "seed");
    for (int i = 0; i < a->seed_count; i++) fv_text_printf(out, "%s%lld", i ? ", " : "", (long long)a->seeds[i]);
    fv_html_fact_end(out);
    for (int i = 0; i < a->arm_count * a->seed_count; i++) seconds += c->records[i].seconds;
    if (!isnan(seconds)) {
        char time[32];
        fv_duration_text(time, seconds);
        fv_html_fact(out, "time of all runs", time);
    }
    fv_text_add(out, "</dl>\n</header>\n");
}

/* ---- Tables ---- */

static void add_arm(fv_text *out, const fv_comparison *c, int arm) {
    fv_text_printf(out, "<span class=\"arm k%d\"><i></i>", arm);
    fv_html_text(out, c->arms->names[arm]);
    fv_text_add(out, "</span>");
}

/* An accuracy's interval and every seed's value, from 0 to 100 %. */
static void write_scale(fv_text *out, const double *values, int count, fv_spread s) {
    fv_text_add(out, "<td class=\"span\"><svg viewBox=\"0 0 200 26\" width=\"100%\" role=\"img\" aria-label=\"seeds and interval from 0 to 100 %\">");
    for (int i = 0; i <= 4; i++) fv_text_printf(out, "<line class=\"scale\" x1=\"%g\" x2=\"%g\" y1=\"2\" y2=\"24\"/>", 5 + 47.5 * i, 5 + 47.5 * i);
    if (s.n > 1) fv_text_printf(out, "<line class=\"reach\" x1=\"%.1f\" x2=\"%.1f\" y1=\"13\" y2=\"13\"/>", 5 + 190 * s.low, 5 + 190 * s.high);
    for (int i = 0; i < count; i++)
        if (!isnan(values[i])) fv_text_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"13\" r=\"2.6\"/>", 5 + 190 * values[i]);
    fv_text_add(out, "</svg></td>");
}

static void write_mode_row(fv_text *out, const fv_comparison *c, const fv_measure *m, int arm) {
    fv_spread s = fv_comparison_arm(c, m, arm), d = fv_comparison_difference(c, m, arm);
    fv_text_printf(out, "<tr style=\"--tone: var(--s%d)\"><th>", arm);
    add_arm(out, c, arm);
    fv_text_add(out, "</th><td class=\"num\" data-name=\"Accuracy\"><b class=\"tone\">");
    fv_chart_add_number(out, s.mean, true);
    fv_text_add(out, "</b> <small>");
    add_interval(out, m, s, false);
    fv_text_add(out, "</small></td>");
    write_scale(out, m->values + arm * c->arms->seed_count, c->arms->seed_count, s);
    fv_text_add(out, "<td class=\"num\" data-name=\"Difference\">");
    if (arm && !isnan(d.mean)) {
        fv_text_add(out, "<b>");
        add_number(out, m, d.mean, true);
        fv_text_add(out, "</b> <small>");
        add_interval(out, m, d, true);
        fv_text_add(out, "</small>");
    } else fv_text_add(out, "–");
    fv_text_add(out, "</td></tr>\n");
}

static void write_mode(fv_text *out, const fv_comparison *c, const fv_measure *m) {
    fv_text_add(out, "<div class=\"panel wide\"><table class=\"results\"><thead><tr><th>");
    add_measure(out, m);
    if (!isnan(m->samples)) fv_text_printf(out, "<br>n = %.0f", m->samples);
    fv_text_add(out, "</th><th class=\"num\">mean and 95 % interval</th><th class=\"span\">seeds, 0 to 100 %</th><th class=\"num\">points to ");
    fv_html_text(out, c->arms->names[0]);
    fv_text_add(out, "</th></tr></thead><tbody>\n");
    if (!isnan(m->start)) {
        fv_spread none = {0};
        fv_text_add(out, "<tr style=\"--tone: var(--soft)\"><th><small>all begin at</small></th><td class=\"num\" data-name=\"Accuracy\"><span class=\"tone\">");
        fv_chart_add_number(out, m->start, true);
        fv_text_add(out, "</span></td>");
        write_scale(out, &m->start, 1, none);
        fv_text_add(out, "<td></td></tr>\n");
    }
    for (int arm = 0; arm < c->arms->arm_count; arm++) write_mode_row(out, c, m, arm);
    fv_text_add(out, "</tbody></table></div>\n");
}

/* A row a measure, a column an arm. */
static void write_grid_row(fv_text *out, const fv_comparison *c, const fv_measure *m) {
    fv_text_add(out, "<tr><th>");
    add_measure(out, m);
    fv_text_add(out, "</th>");
    for (int arm = 0; arm < c->arms->arm_count; arm++) {
        fv_spread s = fv_comparison_arm(c, m, arm), d = fv_comparison_difference(c, m, arm);
        fv_text_add(out, "<td class=\"num\">");
        fv_chart_add_number(out, s.mean, m->mode);
        fv_text_add(out, " <small>");
        add_interval(out, m, s, false);
        if (arm && !isnan(d.mean)) {
            fv_text_add(out, "<br>");
            add_number(out, m, d.mean, true);
            if (d.n > 1) {
                fv_text_add(out, " (");
                add_interval(out, m, d, true);
                fv_text_char(out, ')');
            }
        }
        fv_text_add(out, "</small></td>");
    }
    fv_text_add(out, "</tr>\n");
}

/* Of a mode's categories, or (mode NULL) of metrics. */
static void write_grid(fv_text *out, const fv_comparison *c, const char *mode) {
    bool begun = false;
    for (int i = 0; i < c->count; i++) {
        const fv_measure *m = &c->measures[i];
        if (mode ? m->mode != mode || !m->category : m->mode != NULL) continue;
        if (!begun) {
            fv_text_add(out, "<div class=\"panel wide\"><table class=\"plain\"><thead><tr><th>");
            if (mode) fv_text_add(out, "Kind of problem, "), fv_html_text(out, mode);
            else fv_text_add(out, "In training, last tenth");
            fv_text_add(out, "</th>");
            for (int arm = 0; arm < c->arms->arm_count; arm++) {
                fv_text_add(out, "<th class=\"num\">");
                add_arm(out, c, arm);
                fv_text_add(out, "</th>");
            }
            fv_text_add(out, "</tr></thead><tbody>\n");
            begun = true;
        }
        write_grid_row(out, c, m);
    }
    if (begun) fv_text_add(out, "</tbody></table></div>\n");
}

static void write_results(fv_text *out, const fv_comparison *c) {
    fv_text_add(out, "<section id=\"results\"><h2>Results</h2>\n<p class=\"note\">Means over the seeds");
    if (c->arms->seed_count > 1)
        fv_text_add(out, " with 95 % intervals (Student's t): what one would expect of further seeds. Differences to <b>"), fv_html_text(out, c->arms->names[0]),
            fv_text_add(out, "</b> are taken seed by seed, which removes what both arms share");
    fv_text_add(out, ".</p>\n");
    for (int i = 0; i < c->count; i++)
        if (c->measures[i].mode && !c->measures[i].category) write_mode(out, c, &c->measures[i]);
    const char *mode = main_measure(c)->mode;
    if (mode) write_grid(out, c, mode);
    write_grid(out, c, NULL);
    fv_text_add(out, "</section>\n");
}

/* ---- Arms and runs ---- */

static void write_changes(fv_text *out, const json_t *changes) {
    const char *path;
    json_t *value;
    if (!json_object_size(changes)) fv_text_add(out, "<small>the recipe as it is</small>");
    json_object_foreach((json_t *)changes, path, value) {
        fv_text t = {0};
        fv_json_dump(&t, value, 0);
        fv_text_add(out, "<div><code>");
        fv_html_text(out, path);
        fv_text_add(out, ": ");
        fv_html_text(out, t.data ? t.data : "");
        fv_text_add(out, "</code></div>");
        fv_text_clear(&t);
    }
}

static void write_runs(fv_text *out, const fv_comparison *c) {
    const fv_arms *a = c->arms;
    const fv_measure *m = main_measure(c);
    fv_text_add(out, "<section id=\"runs\"><h2>Arms and their runs</h2>\n<p class=\"note\">What each arm changes, and the report of every run, by its ");
    add_measure(out, m);
    fv_text_add(out, ".</p>\n<div class=\"panel wide\"><table class=\"plain\"><thead><tr><th>Arm</th><th>changes</th>");
    for (int i = 0; i < a->seed_count; i++) fv_text_printf(out, "<th class=\"num\">seed %lld</th>", (long long)a->seeds[i]);
    fv_text_add(out, "</tr></thead><tbody>\n");
    for (int arm = 0; arm < a->arm_count; arm++) {
        fv_text_add(out, "<tr><th>");
        add_arm(out, c, arm);
        fv_text_add(out, "</th><td class=\"changes\">");
        write_changes(out, json_object_get(fv_get(a->recipe->json, "arms"), a->names[arm]));
        fv_text_add(out, "</td>");
        for (int i = 0; i < a->seed_count; i++) {
            fv_text_add(out, "<td class=\"num\"><a href=\"");
            fv_html_text(out, fv_arms_name(a->runs[i * a->arm_count + arm].recipe));
            fv_text_add(out, "/report.html\">");
            fv_chart_add_number(out, m->values[arm * a->seed_count + i], m->mode);
            fv_text_add(out, "</a></td>");
        }
        fv_text_add(out, "</tr>\n");
    }
    fv_text_add(out, "</tbody></table></div></section>\n");
}

/* ---- Curves ---- */

/* The i-th evaluation of a mode, or the i-th step of a metric: its place and value; NAN if there is none. */
static double point_of(const fv_record *r, const fv_measure *m, size_t i, double *x) {
    if (m->metric) {
        const double *steps = fv_record_column(r, "step"), *v = fv_record_column(r, m->metric);
        if (!steps || !v || i >= r->rows) return NAN;
        *x = steps[i];
        return v[i];
    }
    for (size_t k = 0; k < json_array_size(r->evaluations); k++) {
        const json_t *e = json_array_get(r->evaluations, k);
        if (strcmp(fv_record_text(e, "mode"), m->mode) || i--) continue;
        *x = fv_record_number(e, "step");
        return fv_record_number(e, "accuracy");
    }
    return NAN;
}

/* An arm's curve: means over its seeds, and the range from the lowest to the highest. space [4 * (n + 1)]. What all began with stands at step 0. */
static fv_series arm_series(const fv_comparison *c, const fv_measure *m, int arm, size_t n, double *space) {
    double *x = space, *y = x + n + 1, *low = y + n + 1, *high = low + n + 1;
    size_t used = 0;
    if (!isnan(m->start)) {
        x[0] = 0;
        y[0] = low[0] = high[0] = m->start;
        used = 1;
    }
    for (size_t i = 0; i < n; i++) {
        double sum = 0, count = 0;
        low[used] = INFINITY;
        high[used] = -INFINITY;
        for (int k = 0; k < c->arms->seed_count; k++) {
            double v = point_of(&c->records[arm * c->arms->seed_count + k], m, i, &x[used]);
            if (isnan(v)) continue;
            sum += v;
            count++;
            low[used] = fmin(low[used], v);
            high[used] = fmax(high[used], v);
        }
        y[used] = sum / count;
        used += count > 0;
    }
    return (fv_series){.name = c->arms->names[arm], .x = x, .y = y, .low = low, .high = high, .n = used, .points = m->mode != NULL, .band = true};
}

static void write_curve(fv_text *out, const fv_comparison *c, const fv_measure *m) {
    size_t n = 0;
    for (int i = 0; i < c->arms->arm_count * c->arms->seed_count; i++) {
        size_t own = m->metric ? c->records[i].rows : json_array_size(c->records[i].evaluations);
        if (own > n) n = own;
    }
    double *space = malloc((size_t)c->arms->arm_count * 4 * (n + 1) * sizeof *space);
    if (!space) {
        out->failed = true;
        return;
    }
    fv_text title = {0};
    add_measure(&title, m);
    fv_chart chart = {.title = title.data, .percent = m->mode != NULL, .from_zero = true, .most = m->mode ? 1 : 0, .count = c->arms->arm_count};
    for (int arm = 0; arm < chart.count; arm++) chart.series[arm] = arm_series(c, m, arm, n, space + (size_t)arm * 4 * (n + 1));
    fv_chart_write(out, &chart);
    out->failed |= title.failed;
    fv_text_clear(&title);
    free(space);
}

static void write_curves(fv_text *out, const fv_comparison *c) {
    fv_text_add(out, "<section id=\"curves\"><h2>Curves</h2>\n<p class=\"note\">By training step of an arm's run; lines are means over the seeds");
    if (c->arms->seed_count > 1) fv_text_add(out, ", bands reach from the lowest seed to the highest");
    fv_text_add(out, ". Curves of many steps are running means.</p>\n<div class=\"charts\">\n");
    for (int i = 0; i < c->count; i++)
        if (!c->measures[i].category) write_curve(out, c, &c->measures[i]);
    fv_text_add(out, "</div></section>\n");
}

fv_status fv_comparison_page(const fv_comparison *c, fv_error *err) {
    const char *folder = fv_arms_folder(c->arms->recipe);
    fv_text page = {0};
    fv_html_begin(&page, fv_get_text(c->arms->recipe->json, "name"));
    write_head(&page, c);
    write_results(&page, c);
    write_curves(&page, c);
    write_runs(&page, c);
    fv_text_add(&page, "<footer>Made by Fovea from the files of the runs alone. <a href=\"recipe.yaml\">recipe.yaml</a> repeats the comparison, "
                       "<a href=\"comparison.json\">comparison.json</a> has its figures.</footer>\n");
    fv_html_end(&page);
    return fv_file_save(folder, "comparison.html", &page, err);
}
