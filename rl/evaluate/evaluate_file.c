#include "rl/evaluate/evaluate_file.h"

#include "rl/report/report.h"
#include "rl/responses.h"
#include "rl/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Recipes ---- */

/* 'text' as a YAML scalar that is text whatever it holds. */
static void add_quoted(fv_text *t, const char *text) {
    fv_text_char(t, '\'');
    for (; *text; text++) {
        if (*text == '\'') fv_text_char(t, '\'');
        fv_text_char(t, *text);
    }
    fv_text_char(t, '\'');
}

fv_status fv_evaluate_recipe_for(fv_recipe **out, const char *model, const char *data, const char *const *overrides, int count, fv_error *err) {
    fv_text t = {0};
    fv_text_add(&t, "name: eval\nmodel: {path: ");
    add_quoted(&t, model);
    fv_text_add(&t, "}\neval_data: ");
    add_quoted(&t, data);
    fv_text_add(&t, "\nevaluate: {modes: [greedy], max_new_tokens: 256}\nstages: [{kind: sft, data: none}]\n");
    char *text;
    *out = NULL;
    FV_TRY(fv_text_take(&t, &text, NULL, err));
    fv_status s = fv_recipe_parse(out, text, "eval", overrides, count, err);
    free(text);
    return s;
}

static char *path_in(const char *folder, const char *name) { return folder ? fv_path_join(folder, name) : NULL; }

typedef struct {
    const fv_recipe *recipe;
    const fv_evaluate_file_options *o;
    fv_session session;
    fv_dataset *data;
    fv_marking marking;
    fv_asked *asked;
} evaluation;

/* The first mode's lines are samples.jsonl, as its figures are the result's. */
static fv_status run_mode(evaluation *v, const char *mode, bool first, json_t **result, fv_error *err) {
    const json_t *r = v->recipe->json;
    char name[64];
    snprintf(name, sizeof name, first ? "samples.jsonl" : "samples-%.32s.jsonl", mode);
    char *samples = path_in(v->o->folder, name), *shown = path_in(v->o->folder, "report/evaluations"), *here = path_in(shown, mode);
    int room = v->session.model->config.text.max_positions;
    fv_evaluate_options o = {.name = fv_get_text(r, "name"), .mode = mode, .env = fv_recipe_env(v->recipe, NULL), .ask = fv_get(r, "ask"), .samples_path = samples,
                             .show_folder = here, .show = here ? (int)fv_get_int(r, "report.samples") : 0,
                             .n = fv_get_int(r, "evaluate.n"), .max_new_tokens = (int)fv_get_int(r, "evaluate.max_new_tokens"), .max_tokens = room,
                             .temperature = v->o->temperature, .top_p = v->o->top_p, .seed = (uint64_t)fv_get_int(r, "seed"), .quiet = v->o->quiet, .asked = v->asked, .bad = v->o->bad,
                             .context = v->o->context};
    fv_status s = fv_evaluate(result, v->session.model, v->session.slot, v->session.pool, v->session.tools, v->data, &v->marking, &o, err);
    free(here);
    free(shown);
    free(samples);
    return s;
}

static fv_status run_modes(evaluation *v, json_t *out, fv_error *err) {
    const json_t *modes = fv_get(v->recipe->json, "evaluate.modes");
    size_t n = json_array_size(modes);
    json_t *all = json_object();
    fv_status s = n && all ? FV_OK : fv_fail(err, FV_BAD_RECIPE, "%s: evaluate.modes must name at least one mode", v->recipe->file);
    for (size_t i = 0; i < n && s == FV_OK; i++) {
        json_t *result = NULL;
        const char *mode = json_string_value(json_array_get(modes, i));
        s = run_mode(v, mode, i == 0, &result, err);
        if (s == FV_OK && i == 0) json_object_update(out, result);
        if (s == FV_OK) json_object_set(all, mode, result);
        json_decref(result);
    }
    if (s == FV_OK && n > 1) json_object_set(out, "modes", all);
    json_decref(all);
    return s;
}

static fv_status open_all(evaluation *v, fv_error *err) {
    const json_t *r = v->recipe->json;
    if (!fv_get(r, "eval_data")) return fv_fail(err, FV_BAD_RECIPE, "%s: eval_data is missing: rows to evaluate on", v->recipe->file);
    if (!fv_get(r, "model.path")) return fv_fail(err, FV_BAD_RECIPE, "%s: model.path is missing: a model to evaluate", v->recipe->file);
    FV_TRY(fv_marking_open(&v->marking, r, err));
    FV_TRY(fv_asked_open(&v->asked, v->recipe, err));
    FV_TRY(fv_dataset_open(&v->data, fv_get(r, "eval_data"), (uint64_t)fv_get_int(r, "seed"), err));
    if (v->o->folder) FV_TRY(fv_folder_make(v->o->folder, err));
    fv_session_options how = {.model = fv_get_text(r, "model.path"), .adapter = fv_get_text(r, "adapter"), .device = fv_get_text(r, "device"),
                              .precision = fv_get_text(r, "precision"), .threads = (int)fv_get_int(r, "threads"), .image = fv_get(r, "image"), .video = fv_get(r, "video"), .note = v->o->note};
    return fv_session_open(&v->session, &how, err);
}

static fv_status write_results(const json_t *result, const char *folder, fv_error *err) {
    return folder ? fv_json_save(result, folder, "results.json", err) : FV_OK;
}

/* A line of evaluations.jsonl: of no stage, called after its mode, which names its folder. */
static void add_evaluation(fv_text *text, const json_t *result) {
    json_t *line = json_copy((json_t *)result);
    const char *mode = json_string_value(json_object_get(result, "mode"));
    json_object_set_new(line, "mode", json_string(mode ? mode : "responses"));
    json_object_set_new(line, "name", json_string(mode ? mode : "responses"));
    json_object_set_new(line, "after_stage", json_string(""));
    if (line) fv_json_dump(text, line, 0);
    else text->failed = true;
    fv_text_char(text, '\n');
    json_decref(line);
}

/* folder/report/report.html, with the files that it is made from beside it: apart from `folder`, which may be a run's with a report of its own. */
static fv_status write_report(const fv_recipe *recipe, const json_t *out, const char *folder, fv_error *err) {
    if (!folder) return FV_OK;
    char *report = fv_path_join(folder, "report");
    const json_t *modes = json_object_get(out, "modes");
    fv_text yaml = {0}, lines = {0};
    const char *mode;
    json_t *value;
    if (!modes) add_evaluation(&lines, out);
    json_object_foreach((json_t *)modes, mode, value) add_evaluation(&lines, value);
    fv_recipe_write(recipe, &yaml);
    fv_status s = fv_folder_make(report, err);
    if (s == FV_OK) s = fv_file_save(report, "recipe.yaml", &yaml, err);
    if (s == FV_OK) s = fv_file_save(report, "evaluations.jsonl", &lines, err);
    if (s == FV_OK) s = fv_report_write(report, err);
    fv_text_clear(&yaml);
    fv_text_clear(&lines);
    free(report);
    return s;
}

fv_status fv_evaluate_recipe(json_t **result, const fv_recipe *recipe, const fv_evaluate_file_options *options, fv_error *err) {
    evaluation v = {.recipe = recipe, .o = options};
    *result = NULL;
    fv_status s = open_all(&v, err);
    json_t *out = s == FV_OK ? fv_marking_header(&v.marking) : NULL;
    if (s == FV_OK) s = run_modes(&v, out, err);
    if (s == FV_OK) s = write_results(out, options->folder, err);
    if (s == FV_OK) s = write_report(recipe, out, options->folder, err);
    if (s == FV_OK) *result = out;
    else json_decref(out);
    fv_asked_close(v.asked);
    fv_marking_clear(&v.marking);
    fv_dataset_close(v.data);
    fv_session_close(&v.session);
    return s;
}

/* ---- Responses ---- */

static fv_status mark_all(fv_marks *m, int64_t *errors, fv_responses *rows, int64_t most, const fv_evaluate_file_options *o, fv_error *err) {
    for (int64_t i = 0; i < rows->count && (!most || i < most); i++) {
        double term = NAN;
        fv_response *r = &rows->items[i];
        r->terms = &term;
        fv_status s = fv_marks_add(m, i, rows->ids[i], r, rows->rows[i], err);
        r->terms = NULL;
        FV_TRY(s);
        if (!r->error[0]) continue;
        fv_error why;
        fv_fail(&why, FV_BAD_DATA, "%s", r->error);
        if (o->bad) o->bad(o->context, &why);
        ++*errors;
    }
    return FV_OK;
}

static fv_status open_samples(fv_lines **out, const char *folder, fv_error *err) {
    *out = NULL;
    if (!folder) return FV_OK;
    char *path = path_in(folder, "samples.jsonl");
    fv_status s = fv_folder_make(folder, err);
    if (s == FV_OK) s = fv_path_remove(path, err);
    if (s == FV_OK) s = fv_lines_open(out, path, err);
    free(path);
    return s;
}

fv_status fv_evaluate_responses(json_t **result, const fv_recipe *recipe, const char *path, const fv_evaluate_file_options *options, fv_error *err) {
    fv_marking marking;
    fv_marks marks = {.how = &marking};
    fv_responses rows = {0};
    fv_asked *asked = NULL;
    int64_t errors = 0, most = fv_get_int(recipe->json, "evaluate.n");
    *result = NULL;
    fv_status s = fv_marking_open(&marking, recipe->json, err);
    if (s == FV_OK) s = fv_asked_open(&asked, recipe, err);
    if (s == FV_OK) s = fv_responses_open(&rows, path, err);
    if (s == FV_OK && asked) s = fv_asked_run(asked, rows.items, rows.rows, most && most < rows.count ? most : rows.count, options->quiet, err);
    if (s == FV_OK) s = open_samples(&marks.samples, options->folder, err);
    if (s == FV_OK) s = mark_all(&marks, &errors, &rows, most, options, err);
    json_t *out = s == FV_OK ? fv_marking_header(&marking) : NULL;
    if (out) {
        fv_marks_write(&marks, out);
        json_object_set_new(out, "errors", json_integer((json_int_t)errors));
        s = write_results(out, options->folder, err);
        if (s == FV_OK) s = write_report(recipe, out, options->folder, err);
    }
    if (s == FV_OK) *result = out;
    else json_decref(out);
    fv_asked_close(asked);
    fv_lines_close(marks.samples);
    fv_responses_close(&rows);
    fv_marks_clear(&marks);
    fv_marking_clear(&marking);
    return s;
}
