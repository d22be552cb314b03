#include "rl/report/results.h"

#include "core/file.h"
#include "core/progress.h"
#include "rl/report/chart.h"
#include "rl/report/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MODES = 8 };

static bool interval(const json_t *evaluation, double *low, double *high) {
    const json_t *ci = json_object_get(evaluation, "ci95");
    if (json_array_size(ci) != 2) return false;
    *low = json_number_value(json_array_get(ci, 0));
    *high = json_number_value(json_array_get(ci, 1));
    return true;
}

/* ---- Head ---- */

/* "cold-start sft 300 × 32 → rl grpo 100 × 16 × 8" */
static void write_stages_line(fv_text *out, const fv_record *r) {
    if (!r->stage_count) return;
    fv_html_fact_begin(out, r->stage_count > 1 ? "stages" : "stage");
    for (int i = 0; i < r->stage_count; i++) {
        const fv_record_stage *s = &r->stages[i];
        char path[256];
        if (i) fv_text_add(out, "<span class=\"arrow\">→</span>");
        fv_text_add(out, "<b>");
        fv_html_text(out, s->name);
        fv_text_add(out, "</b> ");
        if (strcmp(s->kind, s->name)) fv_html_text(out, s->kind);
        if (s->rows) fv_text_printf(out, " %zu", s->rows);
        const bool sft = !strcmp(s->kind, "sft");
        snprintf(path, sizeof path, "stages.%s.%s", s->name, sft ? "batch" : "rollout.prompts");
        const char *batch = fv_record_setting(r, path);
        snprintf(path, sizeof path, "stages.%s.rollout.group_size", s->name);
        const char *group = sft ? NULL : fv_record_setting(r, path);
        if (batch) fv_text_add(out, " × "), fv_html_text(out, batch);
        if (group) fv_text_add(out, " × "), fv_html_text(out, group);
    }
    fv_html_fact_end(out);
}

/* What the best-known mode reached, as a sentence. */
static void write_lead(fv_text *out, const fv_record *r) {
    const char *modes[MODES];
    int n = fv_record_modes(r, modes, MODES), k = 0;
    for (int i = 0; i < n; i++)
        if (!strcmp(modes[i], "greedy")) k = i;
    if (!n) return;
    const json_t *before = fv_record_before(r, modes[k]), *after = fv_record_after(r, modes[k]), *now = after ? after : before;
    double low, high, accuracy = fv_record_number(now, "accuracy"), was = after && before ? fv_record_number(before, "accuracy") : NAN;
    if (isnan(accuracy)) return;
    fv_text_add(out, "<p class=\"lead\">");
    if (!fv_record_alone(r)) {
        fv_text_add(out, "After <b>");
        fv_html_text(out, fv_record_text(now, "after_stage"));
        fv_text_add(out, "</b>, ");
    }
    fv_html_text(out, modes[k]);
    fv_text_printf(out, " accuracy on %.0f %s is <b>", fv_record_number(now, "n"), fv_record_alone(r) ? "samples" : "held-out samples");
    fv_chart_add_number(out, accuracy, true);
    fv_text_add(out, "</b>");
    if (interval(now, &low, &high)) fv_text_printf(out, " (95 %% interval %.1f to %.1f)", 100 * low, 100 * high);
    if (!isnan(was)) {
        fv_text_add(out, "; before it was ");
        fv_chart_add_number(out, was, true);
    }
    fv_text_add(out, ".</p>\n");
}

void fv_results_head(fv_text *out, const fv_record *r) {
    bool alone = fv_record_alone(r);
    fv_text_printf(out, "<header>\n<p class=\"eyebrow\">Fovea · %s</p>\n<h1>", alone ? "evaluation" : "training run");
    fv_html_text(out, r->name);
    if (isnan(r->seconds) && !alone) fv_text_printf(out, "<span class=\"state\">not finished · %zu steps</span>", r->rows);
    fv_text_add(out, "</h1>\n");
    write_lead(out, r);
    fv_text_add(out, "<dl class=\"facts\">\n");
    const char *path = fv_record_setting(r, "model.path"), *init = fv_record_setting(r, "model.init");
    fv_html_fact(out, path ? "model" : "model, from random weights", path ? path : init);
    if (!alone) write_stages_line(out, r);
    const fv_yaml *tools = fv_yaml_find(r->yaml, "env.tools");
    if (tools && tools->count) {
        fv_html_fact_begin(out, tools->count > 1 ? "tools" : "tool");
        for (size_t i = 0; i < tools->count; i++) {
            if (i) fv_text_add(out, ", ");
            if (tools->items[i]->text) fv_html_text(out, tools->items[i]->text);
        }
        fv_html_fact_end(out);
    }
    const char *device = fv_record_setting(r, "device"), *threads = fv_record_setting(r, "threads");
    if (device && threads) {
        fv_html_fact_begin(out, "ran on");
        fv_html_text(out, device);
        fv_text_add(out, ", ");
        fv_html_text(out, strcmp(threads, "0") ? threads : "all");
        fv_text_add(out, " threads");
        fv_html_fact_end(out);
    }
    fv_html_fact(out, "seed", fv_record_setting(r, "seed"));
    if (!isnan(r->seconds)) {
        char time[32];
        fv_duration_text(time, r->seconds);
        fv_html_fact(out, "time", time);
    }
    if (r->bad_rows) {
        fv_html_fact_begin(out, "rows skipped");
        fv_text_printf(out, "%zu (bad_rows.jsonl says why)", r->bad_rows);
        fv_html_fact_end(out);
    }
    fv_text_add(out, "</dl>\n</header>\n");
}

/* ---- Accuracy ---- */

static void write_accuracy(fv_text *out, const json_t *e, const char *tone, const char *name) {
    double low, high;
    fv_text_printf(out, "<td class=\"num %s\" data-name=\"%s\">", tone, name);
    if (!e) fv_text_add(out, "–");
    else {
        fv_text_add(out, "<b class=\"tone\">");
        fv_chart_add_number(out, fv_record_number(e, "accuracy"), true);
        fv_text_add(out, "</b>");
        if (interval(e, &low, &high)) fv_text_printf(out, " <small>%.1f–%.1f</small>", 100 * low, 100 * high);
    }
    fv_text_add(out, "</td>");
}

static void mark_interval(fv_text *out, const json_t *e, const char *tone, double y) {
    double low, high, at = fv_record_number(e, "accuracy");
    if (isnan(at)) return;
    fv_text_printf(out, "<g class=\"%s\">", tone);
    if (interval(e, &low, &high)) fv_text_printf(out, "<line class=\"reach\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%g\" y2=\"%g\"/>", 5 + 190 * low, 5 + 190 * high, y, y);
    fv_text_printf(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%g\" r=\"4\"/></g>", 5 + 190 * at, y);
}

/* Both intervals on a scale from 0 to 100 %, with a tick every quarter. */
static void write_scale(fv_text *out, const json_t *before, const json_t *after) {
    fv_text_add(out, "<td class=\"span\"><svg viewBox=\"0 0 200 26\" width=\"100%\" role=\"img\" aria-label=\"intervals from 0 to 100 %\">");
    for (int i = 0; i <= 4; i++) fv_text_printf(out, "<line class=\"scale\" x1=\"%g\" x2=\"%g\" y1=\"2\" y2=\"24\"/>", 5 + 47.5 * i, 5 + 47.5 * i);
    mark_interval(out, before, "before", after ? 8.5 : 13);
    mark_interval(out, after, "after", before ? 17.5 : 13);
    fv_text_add(out, "</svg></td>");
}

static void write_change(fv_text *out, const json_t *before, const json_t *after, const char *key, bool percent, const char *name) {
    double was = fv_record_number(before, key), is = fv_record_number(after, key);
    fv_text_printf(out, "<td class=\"num\" data-name=\"%s\">", name);
    if (before && after && !(isnan(was) && isnan(is))) {
        fv_chart_add_number(out, was, percent);
        fv_text_add(out, "<span class=\"arrow\">→</span>");
    }
    fv_chart_add_number(out, after ? is : was, percent);
    fv_text_add(out, "</td>");
}

static void write_heading(fv_text *out, const char *tone, const char *title, const char *stage) {
    fv_text_printf(out, "<th class=\"num %s\"><span class=\"tone\">%s</span>", tone, stage[0] ? title : "Accuracy");
    if (stage[0]) fv_text_add(out, "after ");
    fv_html_text(out, stage);
    fv_text_add(out, "</th>");
}

static void write_modes(fv_text *out, const fv_record *r) {
    const char *modes[MODES], *before_title = fv_record_rl(r) ? "Before RL" : "Before", *after_title = fv_record_rl(r) ? "After RL" : "After";
    int n = fv_record_modes(r, modes, MODES);
    const json_t *before = NULL, *after = NULL;
    for (int i = 0; i < n; i++) {
        if (!before) before = fv_record_before(r, modes[i]);
        if (!after) after = fv_record_after(r, modes[i]);
    }
    if (!n) return;
    bool zooms = false;
    for (int i = 0; i < n; i++) zooms |= fv_record_number(fv_record_before(r, modes[i]), "calls_per_answer") > 0 || fv_record_number(fv_record_after(r, modes[i]), "calls_per_answer") > 0;
    fv_text_add(out, "<div class=\"panel wide\" style=\"margin-top:1.1rem\"><table class=\"results\"><thead><tr><th>Answers</th>");
    if (before) write_heading(out, "before", before_title, fv_record_text(before, "after_stage"));
    if (after) write_heading(out, "after", after_title, fv_record_text(after, "after_stage"));
    fv_text_add(out, "<th class=\"span\">Accuracy, 0 to 100 %</th>");
    if (zooms) fv_text_add(out, "<th class=\"num\">Tool calls<br>an answer</th><th class=\"num\">Zooms that hold<br>the target</th>");
    fv_text_add(out, "<th class=\"num\">Tokens<br>an answer</th></tr></thead><tbody>\n");
    for (int i = 0; i < n; i++) {
        const json_t *b = fv_record_before(r, modes[i]), *a = fv_record_after(r, modes[i]);
        fv_text_add(out, "<tr><th>");
        fv_html_text(out, !strcmp(modes[i], "no_tool") ? "without the tool" : modes[i]);
        fv_text_printf(out, "<br><small>n = %.0f</small></th>", fv_record_number(a ? a : b, "n"));
        if (before) write_accuracy(out, b, "before", before_title);
        if (after) write_accuracy(out, a, "after", after_title);
        write_scale(out, b, a);
        if (zooms) write_change(out, b, a, "calls_per_answer", false, "Tool calls an answer");
        if (zooms) write_change(out, b, a, "target_hits", true, "Zooms that hold the target");
        write_change(out, b, a, "length", false, "Tokens an answer");
        fv_text_add(out, "</tr>\n");
    }
    fv_text_add(out, "</tbody></table></div>\n");
}

/* ---- Categories and stages ---- */

static void write_categories(fv_text *out, const fv_record *r, const char *mode) {
    const json_t *before = fv_record_before(r, mode), *after = fv_record_after(r, mode), *now = after ? after : before, *by = json_object_get(now, "by");
    if (json_object_size(by) < 2) return;
    fv_text_add(out, "<div class=\"panel wide\"><table class=\"plain\"><thead><tr><th>Kind of problem, ");
    fv_html_text(out, mode);
    fv_text_add(out, "</th><th class=\"num\">n</th>");
    if (after && before) fv_text_add(out, "<th class=\"num\">Before</th>");
    fv_text_add(out, "<th class=\"num\">Accuracy</th></tr></thead><tbody>\n");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)by, name, value) {
        fv_text_add(out, "<tr><th>");
        fv_html_text(out, name);
        fv_text_printf(out, "</th><td class=\"num\">%.0f</td>", fv_record_number(value, "n"));
        if (after && before) {
            fv_text_add(out, "<td class=\"num\">");
            fv_chart_add_number(out, fv_record_number(json_object_get(json_object_get(before, "by"), name), "accuracy"), true);
            fv_text_add(out, "</td>");
        }
        fv_text_add(out, "<td class=\"num\">");
        fv_chart_add_number(out, fv_record_number(value, "accuracy"), true);
        fv_text_add(out, "</td></tr>\n");
    }
    fv_text_add(out, "</tbody></table></div>\n");
}

static void write_stages(fv_text *out, const fv_record *r) {
    if (!r->rows) return;
    bool rl = fv_record_rl(r) != NULL;
    fv_text_add(out, "<div class=\"panel wide\"><table class=\"plain\"><thead><tr><th>Stage</th><th class=\"num\">Steps</th>");
    fv_text_printf(out, "%s<th class=\"num\">Seconds<br>a step</th><th class=\"num\">Time with<br>evaluations</th></tr></thead><tbody>\n",
                   rl ? "<th class=\"num\">Reward<br>first → last tenth</th>" : "<th class=\"num\">Loss<br>first → last tenth</th>");
    for (int i = 0; i < r->stage_count; i++) {
        const fv_record_stage *s = &r->stages[i];
        if (!s->rows) continue;
        double first, last;
        char time[32] = "–";
        if (!isnan(s->seconds)) fv_duration_text(time, s->seconds);
        fv_text_add(out, "<tr><th>");
        fv_html_text(out, s->name);
        fv_text_printf(out, "</th><td class=\"num\">%zu</td><td class=\"num\">", s->rows);
        fv_record_ends(r, s, rl ? "reward" : "loss", &first, &last);
        if (!isnan(first)) {
            fv_chart_add_number(out, first, false);
            fv_text_add(out, "<span class=\"arrow\">→</span>");
        }
        fv_chart_add_number(out, last, false);
        fv_text_add(out, "</td><td class=\"num\">");
        fv_chart_add_number(out, fv_record_mean(r, "step_time", s->first, s->first + s->rows), false);
        fv_text_printf(out, "</td><td class=\"num\">%s</td></tr>\n", time);
    }
    fv_text_add(out, "</tbody></table></div>\n");
}

void fv_results_tables(fv_text *out, const fv_record *r) {
    const char *modes[MODES];
    int n = fv_record_modes(r, modes, MODES);
    if (!n && !r->rows) return;
    fv_text_add(out, "<section id=\"results\"><h2>Results</h2>\n");
    if (n) fv_text_add(out, "<p class=\"note\">On held-out samples, with 95 % intervals.</p>\n");
    write_modes(out, r);
    fv_text_add(out, "<div class=\"pair\">\n");
    write_stages(out, r);
    if (n) write_categories(out, r, modes[n > 1 && !strcmp(modes[1], "greedy") ? 1 : 0]);
    fv_text_add(out, "</div></section>\n");
}

/* ---- Recipe and log ---- */

/* Keys and comments get a colour, line by line; what does not look like a key stays as it is. */
static void write_yaml(fv_text *out, const char *text) {
    while (*text) {
        size_t n = strcspn(text, "\n"), blank = strspn(text, " -"), key = blank;
        if (blank > n) blank = n;
        while (key < n && text[key] != ':' && text[key] != '#' && text[key] != '{' && text[key] != '"') key++;
        bool is_key = key < n && text[key] == ':';
        fv_html_escape(out, text, blank);
        fv_text_add(out, is_key ? "<span class=\"key\">" : text[blank] == '#' ? "<span class=\"comment\">" : "<span>");
        if (is_key) {
            fv_html_escape(out, text + blank, key - blank);
            fv_text_add(out, "</span>");
            fv_html_escape(out, text + key, n - key);
        } else {
            fv_html_escape(out, text + blank, n - blank);
            fv_text_add(out, "</span>");
        }
        if (text[n]) fv_text_char(out, '\n');
        text += n + (text[n] == '\n');
    }
}

void fv_results_recipe(fv_text *out, const fv_record *r) {
    enum { LOG = 20000 }; /* bytes of its end */
    if (r->recipe[0]) {
        fv_text_add(out, "<section id=\"recipe\"><h2>Recipe</h2>\n<p class=\"note\">As it was resolved: every default is written out. <code>fovea train</code> with it repeats the run.</p>\n"
                         "<div class=\"panel\" style=\"margin-top:1.1rem\"><pre>");
        write_yaml(out, r->recipe);
        fv_text_add(out, "</pre></div>\n");
    }
    char *path = fv_path_join(r->folder, "log.txt"), *log = NULL;
    size_t size;
    fv_error ignored;
    if (fv_file_read(&log, &size, path, &ignored) == FV_OK && size) {
        size_t from = size > LOG ? size - LOG : 0;
        while (from && from < size && log[from - 1] != '\n') from++;
        fv_text_add(out, "<details><summary>Log</summary><div class=\"panel\"><pre>");
        fv_html_escape(out, log + from, size - from);
        fv_text_add(out, "</pre></div></details>\n");
    }
    if (r->recipe[0]) fv_text_add(out, "</section>\n");
    free(log);
    free(path);
}
