#include "rl/report/samples.h"

#include "core/file.h"
#include "rl/report/answer.h"
#include "rl/report/html.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest sides in pixels: held-out samples at full resolution of small photographs, glimpses and training answers smaller. */
enum { HELD_OUT = 640, TRAINING = 320, GLIMPSE = 160, SHOWN = 24, STEPS = 8 };

static void write_view(fv_text *out, const fv_shown *s) {
    const json_t *entry = json_array_get(json_object_get(s->line, "images"), 0);
    double most = fv_record_number(entry, "max_pixels");
    int w, h;
    fv_text picture = {0};
    int side = isnan(most) || most < 1 ? GLIMPSE : most > (double)GLIMPSE * GLIMPSE ? GLIMPSE : (int)sqrt(most);
    if (fv_gallery_show(s->gallery, &picture, s->folder, fv_record_text(entry, "image"), side, &w, &h) && !isnan(most) && most * 2 < (double)w * h) {
        fv_text_printf(out, "<figure class=\"glimpse\" title=\"as the model first sees it: at most %.0f pixels\">", most);
        fv_text_bytes(out, picture.data, picture.size);
        fv_text_add(out, "</svg></figure>");
    }
    fv_text_clear(&picture);
}

/* The question, the right answer, and the picture as small as the model saw it at first. */
static void write_question(fv_text *out, const fv_shown *s) {
    const char *answer = fv_record_text(s->line, "answer"), *problem = fv_record_text(s->line, "problem");
    fv_text_add(out, "<div class=\"ask\">");
    write_view(out, s);
    fv_text_add(out, "<div><h3>");
    fv_html_text(out, problem[0] ? problem : fv_record_text(s->line, "id"));
    fv_text_add(out, "</h3><p>");
    if (answer[0]) {
        fv_text_add(out, "right answer <b>");
        fv_html_text(out, answer);
        fv_text_add(out, "</b>");
    }
    if (problem[0]) {
        fv_text_add(out, answer[0] ? " · " : "");
        fv_html_text(out, fv_record_text(s->line, "id"));
    }
    fv_text_add(out, "</p></div></div>\n");
}

static void write_side(fv_text *out, const fv_shown *s, const char *tone, const char *title, const char *detail) {
    int right = fv_answer_right(s->line);
    fv_text_printf(out, "<div class=\"side %s\"><h4><span class=\"tone\">", tone);
    fv_html_text(out, title);
    fv_text_add(out, "<small>");
    fv_html_text(out, detail);
    fv_text_printf(out, "</small></span><span class=\"%s\">%s</span></h4>\n", right > 0 ? "good" : "bad", right > 0 ? "✓ right" : right == 0 ? "✗ wrong" : "");
    fv_answer_looks(out, s);
    fv_answer_said(out, s);
    fv_answer_terms(out, s);
    fv_text_add(out, "</div>\n");
}

/* ---- Held-out samples ---- */

typedef struct {
    char *folder;        /* evaluations/NAME */
    json_t *lines;       /* its trajectories, at most SHOWN */
    const char *stage;
} shown_evaluation;

static void open_evaluation(shown_evaluation *e, const fv_record *r, const json_t *evaluation) {
    *e = (shown_evaluation){.stage = fv_record_text(evaluation, "after_stage")};
    char *all = fv_path_join(r->folder, "evaluations");
    if (all && evaluation) e->folder = fv_path_join(all, fv_record_text(evaluation, "name"));
    if (e->folder) e->lines = fv_record_lines(e->folder, "trajectories.jsonl", SHOWN);
    free(all);
}

static void close_evaluation(shown_evaluation *e) {
    json_decref(e->lines);
    free(e->folder);
}

static const json_t *find_sample(const json_t *lines, const char *id) {
    for (size_t i = 0; i < json_array_size(lines); i++)
        if (!strcmp(fv_record_text(json_array_get(lines, i), "id"), id)) return json_array_get(lines, i);
    return NULL;
}

static void write_sample(fv_text *out, fv_gallery *g, bool rl, const shown_evaluation *before, const json_t *was, const shown_evaluation *after, const json_t *is) {
    fv_shown first = {was, before->folder, g, HELD_OUT}, second = {is, after->folder, g, HELD_OUT};
    char detail[160];
    fv_text_add(out, "<article class=\"sample panel\">\n");
    write_question(out, was ? &first : &second);
    fv_text_add(out, "<div class=\"sides\">\n");
    if (was) {
        snprintf(detail, sizeof detail, "after %s", before->stage);
        write_side(out, &first, "before", rl ? "Before RL" : "Before", detail);
    }
    if (is) {
        bool alone = !after->stage[0];
        snprintf(detail, sizeof detail, "%s%s", alone ? "" : "after ", after->stage);
        write_side(out, &second, "after", alone ? "Answer" : rl ? "After RL" : "After", detail);
    }
    fv_text_add(out, "</div></article>\n");
}

/* The mode to show: greedy is what a user gets; else what there is. */
static const char *pick_mode(const fv_record *r) {
    const char *modes[8];
    int n = fv_record_modes(r, modes, 8);
    for (int i = 0; i < n; i++)
        if (!strcmp(modes[i], "greedy")) return modes[i];
    return n ? modes[0] : NULL;
}

void fv_samples_write(fv_text *out, const fv_record *r, fv_gallery *gallery) {
    const char *mode = pick_mode(r);
    if (!mode) return;
    shown_evaluation before, after;
    open_evaluation(&before, r, fv_record_before(r, mode));
    open_evaluation(&after, r, fv_record_after(r, mode));
    bool rl = fv_record_rl(r) != NULL;
    const json_t *lead = json_array_size(after.lines) ? after.lines : before.lines;
    if (json_array_size(lead)) {
        fv_text_add(out, "<section id=\"samples\"><h2>Held-out samples</h2>\n<p class=\"note\">The first of the evaluation, not chosen; answers ");
        fv_html_text(out, mode);
        fv_text_add(out, ". The box is where the agent looked, the dashed one holds what was asked for; beside it is what came back.</p>\n");
        for (size_t i = 0; i < json_array_size(lead); i++) {
            const char *id = fv_record_text(json_array_get(lead, i), "id");
            write_sample(out, gallery, rl, &before, find_sample(before.lines, id), &after, find_sample(after.lines, id));
        }
        fv_text_add(out, "</section>\n");
    }
    close_evaluation(&before);
    close_evaluation(&after);
}

/* ---- Answers from training ---- */

static int by_number(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The steps that have trajectories, ascending; *steps is the caller's. */
static size_t list_steps(const char *folder, int64_t **steps) {
    fv_names names;
    fv_error ignored;
    size_t n = 0;
    *steps = NULL;
    if (fv_folder_list(&names, folder, &ignored) != FV_OK) return 0;
    *steps = malloc((names.count + 1) * sizeof **steps);
    for (size_t i = 0; i < names.count && *steps; i++) {
        int end = 0;
        int64_t step;
        if (sscanf(names.names[i], "step-%" SCNd64 ".jsonl%n", &step, &end) == 1 && end && !names.names[i][end]) (*steps)[n++] = step;
    }
    fv_names_free(&names);
    if (n) qsort(*steps, n, sizeof **steps, by_number);
    return n;
}

/* Two answers to the first question: the best and the worst paid, or the first two where all were paid the same. */
static void write_step(fv_text *out, const char *folder, int64_t step, fv_gallery *gallery) {
    char name[64];
    snprintf(name, sizeof name, "step-%" PRId64 ".jsonl", step);
    json_t *lines = fv_record_lines(folder, name, 64);
    const json_t *best = json_array_get(lines, 0), *worst = NULL;
    const char *group = fv_record_text(best, "group");
    for (size_t i = 1; i < json_array_size(lines); i++) {
        const json_t *line = json_array_get(lines, i);
        if (strcmp(fv_record_text(line, "group"), group)) break;
        double reward = fv_record_number(line, "reward");
        if (!worst) worst = line;
        if (reward > fv_record_number(best, "reward")) best = line;
        if (reward < fv_record_number(worst, "reward")) worst = line;
    }
    if (best && worst && fv_record_number(best, "reward") < fv_record_number(worst, "reward")) {
        const json_t *swap = best;
        best = worst;
        worst = swap;
    }
    if (best) {
        fv_shown first = {best, folder, gallery, TRAINING}, second = {worst, folder, gallery, TRAINING};
        fv_text_printf(out, "<div class=\"step\"><h3>Step %" PRId64 "</h3>\n<article class=\"sample panel\">\n", step);
        write_question(out, &first);
        fv_text_add(out, "<div class=\"sides\">\n");
        write_side(out, &first, "", "An answer", worst && worst != best ? "the best paid of those kept" : "");
        if (worst && worst != best) write_side(out, &second, "", "Another", "the worst paid");
        fv_text_add(out, "</div></article></div>\n");
    }
    json_decref(lines);
}

void fv_samples_training(fv_text *out, const fv_record *r, fv_gallery *gallery) {
    char *folder = fv_path_join(r->folder, "trajectories");
    int64_t *steps = NULL;
    size_t n = folder ? list_steps(folder, &steps) : 0, shown = n < STEPS ? n : STEPS;
    if (n) {
        fv_text_add(out, "<section id=\"training\"><h2>Answers while training</h2>\n<p class=\"note\">Sampled; two answers to one question of a step.</p>\n"
                         "<label class=\"stepper\" hidden><input type=\"range\" min=\"0\" aria-label=\"step\"><output></output></label>\n");
        for (size_t i = 0; i < shown; i++) write_step(out, folder, steps[shown > 1 ? i * (n - 1) / (shown - 1) : 0], gallery);
        fv_text_add(out, "</section>\n");
    }
    free(steps);
    free(folder);
}
