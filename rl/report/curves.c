#include "rl/report/curves.h"

#include "rl/report/chart.h"
#include "rl/report/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char difference[] = "sampling/sampling_logp_difference/max";

fv_agreement fv_record_agreement(const fv_record *r) {
    const double *v = fv_record_column(r, difference);
    fv_agreement a = {0};
    for (size_t i = 0; v && i < r->rows; i++) {
        if (isnan(v[i])) continue;
        a.steps++;
        a.different += v[i] != 0;
        if (v[i] > a.largest) a.largest = v[i];
    }
    return a;
}

typedef struct {
    fv_text *out;
    const fv_record *r;
    const double *steps;
    double *bounds;
    int bound_count;
} curves;

static fv_chart begin(const curves *c, const char *title) { return (fv_chart){.title = title, .bounds = c->bounds, .bound_count = c->bound_count}; }

/* Adds the column `name` over the rows of `stage` (NULL: all), if it has any value there. */
static void add(const curves *c, fv_chart *chart, const char *name, const char *label, const fv_record_stage *stage) {
    const double *v = fv_record_column(c->r, name);
    size_t first = stage ? stage->first : 0, n = stage ? stage->rows : c->r->rows;
    if (!v || chart->count == FV_CHART_SERIES || isnan(fv_record_mean(c->r, name, first, first + n))) return;
    chart->series[chart->count++] = (fv_series){.name = label, .x = c->steps + first, .y = v + first, .n = n};
}

/* ---- Accuracy, from evaluations ---- */

static void accuracy(const curves *c) {
    enum { MODES = 6 };
    const char *modes[MODES];
    int count = fv_record_modes(c->r, modes, MODES);
    size_t n = json_array_size(c->r->evaluations);
    double *space = malloc(4 * (size_t)MODES * (n + 1) * sizeof *space);
    if (!space) {
        c->out->failed = true;
        return;
    }
    fv_chart chart = begin(c, "Accuracy on held-out samples");
    chart.percent = chart.from_zero = true;
    chart.most = 1;
    chart.note = "Bars are 95 % intervals.";
    for (int m = 0; m < count; m++) {
        double *x = space + 4 * (size_t)m * n, *y = x + n, *low = y + n, *high = low + n;
        size_t k = 0;
        for (size_t i = 0; i < n; i++) {
            const json_t *e = json_array_get(c->r->evaluations, i), *ci = json_object_get(e, "ci95");
            if (strcmp(fv_record_text(e, "mode"), modes[m]) || isnan(fv_record_number(e, "step"))) continue;
            x[k] = fv_record_number(e, "step");
            y[k] = fv_record_number(e, "accuracy");
            low[k] = json_array_size(ci) == 2 ? json_number_value(json_array_get(ci, 0)) : NAN;
            high[k] = json_array_size(ci) == 2 ? json_number_value(json_array_get(ci, 1)) : NAN;
            k++;
        }
        chart.series[chart.count++] = (fv_series){.name = modes[m], .x = x, .y = y, .low = low, .high = high, .n = k, .points = true};
    }
    fv_chart_write(c->out, &chart);
    free(space);
}

/* ---- Metrics ---- */

static void reward(const curves *c) {
    fv_chart chart = begin(c, "Reward");
    chart.from_zero = true;
    add(c, &chart, "reward", "reward", NULL);
    char labels[FV_CHART_SERIES][80];
    for (int i = 0; i < c->r->column_count && chart.count < FV_CHART_SERIES; i++) {
        const char *name = c->r->columns[i].name;
        size_t n = strlen(name);
        if (strncmp(name, "rewards/", 8) || n < 14 || strcmp(name + n - 5, "/mean")) continue;
        char *label = labels[chart.count];
        snprintf(label, sizeof labels[0], "%.*s", (int)(n - 13), name + 8);
        add(c, &chart, name, label, NULL);
    }
    chart.note = chart.count > 2 ? "The sum that is optimised, and its terms before their weights." : NULL;
    fv_chart_write(c->out, &chart);
}

static void supervised(const curves *c, const fv_record_stage *stage) {
    char title[160];
    snprintf(title, sizeof title, "Loss, %s", stage->name);
    fv_chart chart = begin(c, title);
    chart.from_zero = true;
    add(c, &chart, "loss", "all", stage);
    for (int i = 0; i < c->r->column_count && chart.count < FV_CHART_SERIES; i++)
        if (!strncmp(c->r->columns[i].name, "loss/", 5)) add(c, &chart, c->r->columns[i].name, c->r->columns[i].name + 5, stage);
    if (chart.count == 2) chart.count = 1; /* one category is all */
    chart.note = "Mean negative log-likelihood of a token, in nats.";
    fv_chart_write(c->out, &chart);
}

/* A chart of columns by name over all stages. */
typedef struct {
    const char *title, *note;
    const char *columns[4], *labels[4];
    bool percent, exact;
} panel;

static const panel panels[] = {
    {"Zooms and other tool calls", NULL, {"tools/call_frequency", "tools/failure_frequency"}, {"calls an answer", "share of calls that failed"}, false, false},
    {"Length of answers", "Tokens that the policy wrote.", {"completions/mean_length", "completions/max_length"}, {"mean", "longest"}, false, false},
    {"Groups without a difference", "Groups of equal rewards have no advantage and teach nothing.", {"frac_reward_zero_std"}, {"share of groups"}, true, false},
    {"Entropy", "Of the next token, in nats.", {"entropy"}, {"mean"}, false, false},
    {"KL to the reference", NULL, {"kl"}, {"mean"}, false, false},
    {"Gradient norm", "Before clipping.", {"grad_norm"}, {"norm"}, false, false},
    {"Learning rate", NULL, {"learning_rate"}, {"rate"}, false, true},
    {"Seconds a step", NULL, {"step_time", "timing_s/gen", "timing_s/update_actor", "timing_s/data"}, {"all", "rollout", "training", "waiting for data"}, false, false},
};

static void other(const curves *c, const panel *p) {
    fv_chart chart = begin(c, p->title);
    chart.percent = p->percent;
    chart.exact = p->exact;
    chart.from_zero = true;
    chart.note = p->note;
    for (size_t i = 0; i < FV_COUNT(p->columns) && p->columns[i]; i++) add(c, &chart, p->columns[i], p->labels[i], NULL);
    fv_chart_write(c->out, &chart);
}

/* One tick a step: whether rollout and trainer had the same bits. */
static void proof(const curves *c) {
    fv_agreement a = fv_record_agreement(c->r);
    if (!a.steps) return;
    const double *v = fv_record_column(c->r, difference);
    enum { TICKS = 170 };
    size_t ticks = a.steps < TICKS ? a.steps : TICKS, seen = 0;
    double worst[TICKS] = {0};
    for (size_t i = 0; i < c->r->rows; i++)
        if (!isnan(v[i])) {
            size_t k = seen++ * ticks / a.steps;
            if (v[i] > worst[k]) worst[k] = v[i];
        }
    fv_text_printf(c->out, "<div class=\"proof panel\"><span class=\"mark %s\">%s</span><p>", a.different ? "bad" : "good", a.different ? "✗" : "✓");
    if (!a.different)
        fv_text_printf(c->out, "Rollout and training agree to the bit: the largest difference of log-probabilities is <b>0</b> in each of %zu steps that compared them all.", a.steps);
    else fv_text_printf(c->out, "Rollout and training differ in %zu of %zu steps, by up to <b>%.3g</b> in log-probability.", a.different, a.steps, a.largest);
    fv_text_printf(c->out, "</p><svg viewBox=\"0 0 %zu 6\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"agreement by step\">", ticks);
    for (size_t k = 0; k < ticks; k++) fv_text_printf(c->out, "<rect class=\"%s\" x=\"%.2f\" width=\"0.7\" height=\"6\"/>", worst[k] > 0 ? "off" : "zero", (double)k + 0.15);
    fv_text_add(c->out, "</svg></div>\n");
}

void fv_curves_write(fv_text *out, const fv_record *r) {
    curves c = {out, r, fv_record_column(r, "step"), calloc((size_t)r->stage_count + 1, sizeof(double)), 0};
    if (!c.bounds) out->failed = true;
    if (c.steps && c.bounds) {
        for (int i = 0; i < r->stage_count; i++)
            if (r->stages[i].rows && r->stages[i].first) c.bounds[c.bound_count++] = c.steps[r->stages[i].first] - 0.5;
        fv_text_add(out, "<section id=\"curves\"><h2>Curves</h2>\n<p class=\"note\">By training step over all stages");
        if (c.bound_count) fv_text_add(out, "; a dotted line is where the next stage begins");
        fv_text_add(out, ". Numbers are the last values; thick lines are running means.</p>\n");
        proof(&c);
        fv_text_add(out, "<div class=\"charts\">\n");
        accuracy(&c);
        reward(&c);
        for (size_t i = 0; i < FV_COUNT(panels); i++) {
            if (i == 2)
                for (int k = 0; k < r->stage_count; k++)
                    if (!strcmp(r->stages[k].kind, "sft") && r->stages[k].rows) supervised(&c, &r->stages[k]);
            other(&c, &panels[i]);
        }
        fv_text_add(out, "</div></section>\n");
    }
    free(c.bounds);
}
