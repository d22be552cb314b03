#include "rl/evaluate/evaluate.h"

#include "core/progress.h"
#include "rl/rollout/trajectories.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    fv_marks marks;
    double errors, calls, failures, boxes, hits, length;
} tally;

static bool target_of(const json_t *row, fv_box *out) {
    const json_t *b = json_object_get(row, "target_box");
    if (json_array_size(b) != 4) return false;
    double v[4];
    for (size_t i = 0; i < 4; i++) v[i] = json_number_value(json_array_get(b, i));
    *out = (fv_box){v[0], v[1], v[2], v[3]};
    return true;
}

static void add_boxes(tally *y, const fv_trajectory *t, const json_t *row) {
    fv_box target;
    bool has = target_of(row, &target);
    for (int k = 0; k < t->turn_count; k++) {
        if (!t->turns[k].step.has_box || !has || t->turns[k].step.picture > 1) continue;
        y->boxes += 1;
        y->hits += fv_box_inside(target, t->turns[k].step.box) >= 0.9;
    }
}

typedef struct {
    const fv_model *model;
    fv_slot *slot;
    fv_jobs *tools;
    fv_engine *engine;
    fv_feed *feed;
    const fv_evaluate_options *o;
    fv_lines *shown;
    const fv_dataset *data;
    int64_t total; /* rows to answer */
    tally y;
} evaluation;

/* For the report: the mark, unless it is one of the terms by its name, and what reinforcement pays, where that can be told. */
static fv_status show(evaluation *v, const fv_rollout *r, int i, int64_t number, const fv_response *marked, fv_error *err) {
    const char *mark = fv_marking_name(v->y.marks.how), *names[FV_MAX_PARTS + 1] = {mark};
    const fv_pipeline *p = v->o->paid;
    double terms[FV_MAX_PARTS + 1] = {marked->terms[0]};
    fv_response paid;
    fv_group alone = {.items = &paid, .count = 1};
    int own = 1;
    for (int k = 0; p && k < p->terms.count; k++) own = own && strcmp(p->terms.uses[k].label, mark);
    for (int k = 0; p && k < p->terms.count; k++) names[own + k] = p->terms.uses[k].label;
    fv_trajectory_response(r, i, terms + own, &paid);
    if (p) FV_TRY(fv_pipeline_reward(p, &alone, &v->o->when, err));
    if (!p || paid.error[0]) return fv_trajectory_write(v->shown, v->o->show_folder, v->model, r, i, number, marked, &mark, 1, err);
    paid.terms = terms;
    return fv_trajectory_write(v->shown, v->o->show_folder, v->model, r, i, number, &paid, names, own + p->terms.count, err);
}

static fv_status score_one(evaluation *v, const fv_rollout *r, int i, int64_t number, fv_error *err) {
    const fv_trajectory *t = &r->trajectories[i];
    const fv_row *row = r->samples[t->sample].row;
    double term = NAN;
    fv_response response;
    fv_trajectory_response(r, i, &term, &response);
    FV_TRY(fv_marks_add(&v->y.marks, number, row ? json_object_get(row->json, "id") : NULL, &response, row, err)); /* a row that can't be read has an error, and is NULL */
    if (response.error[0]) {
        fv_error why;
        fv_fail(&why, FV_BAD_DATA, "%s", response.error);
        if (v->o->bad) v->o->bad(v->o->context, &why);
        v->y.errors += 1;
        return FV_OK;
    }
    v->y.calls += t->calls;
    v->y.failures += t->failures;
    v->y.length += t->tokens;
    add_boxes(&v->y, t, row->json);
    return v->shown && number < v->o->show ? show(v, r, i, number, &response, err) : FV_OK;
}

/* Those of a batch that only a judge can mark are asked about. */
static fv_status ask(const evaluation *v, const fv_rollout *r, int n, fv_error *err) {
    if (!v->o->asked) return FV_OK;
    fv_response *responses = calloc((size_t)n, sizeof *responses);
    fv_row **rows = calloc((size_t)n, sizeof *rows);
    double unused = NAN;
    fv_status s = responses && rows ? FV_OK : fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory");
    for (int i = 0; i < n && s == FV_OK; i++) {
        rows[i] = r->samples[r->trajectories[i].sample].row;
        fv_trajectory_response(r, i, &unused, &responses[i]);
    }
    if (s == FV_OK) s = fv_asked_run(v->o->asked, responses, rows, n, true, err);
    free(responses);
    free(rows);
    return s;
}

/* Rows from `first` on, at most *count; *count becomes how many that were. */
static fv_status run_batch(evaluation *v, int64_t first, int *count, fv_error *err) {
    int n = *count;
    fv_sample *samples = calloc((size_t)n, sizeof *samples);
    int64_t *numbers = malloc((size_t)n * sizeof *numbers), *rows = malloc((size_t)n * sizeof *rows);
    fv_status s = samples && numbers && rows ? FV_OK : fv_fail(err, FV_NO_MEMORY, "evaluation: out of memory");
    if (s == FV_OK) {
        for (int i = 0; i < n; i++) {
            numbers[i] = first + i;
            rows[i] = fv_dataset_some(v->data, numbers[i], v->total);
        }
        *count = n = fv_feed_some(v->feed, rows, n, samples);
        bool sampled = !strcmp(v->o->mode, "sampled");
        fv_rollout r;
        fv_rollout_options o = {.group_size = 1, .temperature = !sampled ? 0 : v->o->temperature > 0 ? v->o->temperature : 1, .top_p = v->o->top_p,
                                .max_new_tokens = v->o->max_new_tokens, .max_tokens = v->o->max_tokens, .seed = v->o->seed, .numbers = numbers,
                                .forced = !strcmp(v->o->mode, "no_tool") ? "<answer>" : NULL};
        s = fv_rollout_run(&r, v->engine, v->model, v->slot, v->tools, samples, n, &o, NULL, NULL, err);
        if (s == FV_OK) s = ask(v, &r, n, err);
        for (int i = 0; i < n && s == FV_OK; i++) s = score_one(v, &r, i, numbers[i], err);
        fv_rollout_clear(&r);
        for (int i = 0; i < n; i++) fv_sample_clear(&samples[i]);
    }
    free(samples);
    free(numbers);
    free(rows);
    return s;
}

static json_t *summarise(const tally *y, const fv_evaluate_options *o, double seconds) {
    json_t *out = json_object();
    double n = (double)(y->marks.all.n + y->marks.left_out);
    json_object_set_new(out, "name", json_string(o->name ? o->name : "eval"));
    json_object_set_new(out, "mode", json_string(o->mode));
    fv_marks_write(&y->marks, out);
    json_object_set_new(out, "calls_per_answer", n > 0 ? json_real(y->calls / n) : json_null());
    json_object_set_new(out, "failed_calls", y->calls > 0 ? json_real(y->failures / y->calls) : json_null());
    json_object_set_new(out, "target_hits", y->boxes > 0 ? json_real(y->hits / y->boxes) : json_null());
    json_object_set_new(out, "length", n > 0 ? json_real(y->length / n) : json_null());
    json_object_set_new(out, "errors", json_integer((json_int_t)y->errors));
    json_object_set_new(out, "seconds", json_real(seconds));
    return out;
}

static fv_status run_all(evaluation *v, int64_t n, fv_error *err) {
    int batch = v->o->batch ? v->o->batch : FV_EVALUATE_ROWS;
    char label[128];
    snprintf(label, sizeof label, "%.100s%seval %s", v->o->label ? v->o->label : "", v->o->label ? ": " : "", v->o->mode);
    fv_progress *progress = v->o->quiet ? NULL : fv_progress_open(&(fv_progress_options){.label = label, .unit = "sample", .total = n});
    fv_status s = FV_OK;
    for (int64_t first = 0; first < n && s == FV_OK;) {
        int count = (int)(n - first < batch ? n - first : batch);
        s = run_batch(v, first, &count, err);
        first += count;
        fv_progress_update(progress, first, "accuracy %.3f", v->y.marks.all.n ? fv_tally_mean(&v->y.marks.all) : 0.0);
    }
    fv_progress_close(progress);
    return s;
}

static fv_status open_shown(evaluation *v, fv_error *err) {
    if (v->o->samples_path) {
        FV_TRY(fv_path_remove(v->o->samples_path, err));
        FV_TRY(fv_lines_open(&v->y.marks.samples, v->o->samples_path, err));
    }
    if (!v->o->show_folder || !v->o->show) return FV_OK;
    char *path = fv_path_join(v->o->show_folder, "trajectories.jsonl");
    fv_status s = fv_folder_make(v->o->show_folder, err);
    if (s == FV_OK) s = fv_path_remove(path, err);
    if (s == FV_OK) s = fv_lines_open(&v->shown, path, err);
    free(path);
    return s;
}

fv_status fv_evaluate(json_t **result, const fv_model *m, fv_slot *slot, fv_pool *pool, fv_jobs *tools, const fv_dataset *data, const fv_marking *marking,
                      const fv_evaluate_options *options, fv_error *err) {
    *result = NULL;
    evaluation v = {.model = m, .slot = slot, .tools = tools, .o = options, .y.marks.how = marking};
    double start = fv_now();
    int64_t n = fv_dataset_count(data);
    if (options->n && options->n < n) n = options->n;
    v.data = data;
    v.total = n;
    fv_feed_options feed = {.env = options->env, .ask = options->ask, .generate = true, .no_tools = !strcmp(options->mode, "no_tool"), .max_tokens = options->max_tokens};
    fv_status s = open_shown(&v, err);
    if (s == FV_OK) s = fv_engine_open(&v.engine, m, slot, NULL, err);
    if (s == FV_OK) s = fv_feed_open(&v.feed, m, data, pool, &feed, err);
    if (s == FV_OK) s = run_all(&v, n, err);
    if (s == FV_OK) *result = summarise(&v.y, options, fv_now() - start);
    fv_feed_close(v.feed);
    fv_engine_close(v.engine);
    fv_lines_close(v.y.marks.samples);
    fv_lines_close(v.shown);
    fv_marks_clear(&v.y.marks);
    return s;
}
