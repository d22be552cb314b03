#include "rl/rollout/rollout_file.h"

#include "core/progress.h"
#include "rl/rollout/trajectories.h"

#include <stdlib.h>
#include <string.h>

enum { ANSWERS_AT_ONCE = 128 };

typedef struct {
    fv_session *s;
    const fv_rollout_file_options *o;
    fv_rollout_file_counts *counts;
    fv_feed *feed;
    fv_engine *engine;
    fv_lines *lines;
    fv_progress *progress;
    int64_t done, total; /* answers */
} writer;

static void watch(void *context, int ended, int all) {
    (void)all;
    writer *w = context;
    fv_progress_update(w->progress, w->done + ended, NULL);
}

static fv_status write_all(writer *w, const fv_rollout *r, fv_error *err) {
    for (int i = 0; i < r->sample_count; i++) {
        if (r->samples[i].error.status == FV_OK) {
            w->counts->rows++;
            continue;
        }
        w->counts->bad++;
        if (w->o->bad) w->o->bad(w->o->context, &r->samples[i].error);
    }
    for (int i = 0; i < r->sample_count * r->group_size; i++) {
        const fv_trajectory *t = &r->trajectories[i];
        if (r->samples[t->sample].error.status != FV_OK) continue;
        FV_TRY(fv_trajectory_write(w->lines, w->o->folder, w->s->model, r, i, 0, NULL, NULL, 0, err));
        w->counts->trajectories++;
        w->counts->tokens += t->tokens;
        w->counts->calls += t->calls;
        w->counts->failures += t->failures;
    }
    return FV_OK;
}

static fv_status stopped(const writer *w, int64_t rows, fv_error *err) {
    return fv_fail(err, FV_CANCELLED, "rollout: stopped after %lld of %lld rows; %s holds what was done", (long long)rows, (long long)(w->total / (w->o->group_size ? w->o->group_size : 1)), w->o->folder);
}

/* Rows from `first` on, at most *count; *count becomes how many that were. */
static fv_status run_batch(writer *w, int64_t first, int *count, fv_sample *samples, int64_t *numbers, fv_error *err) {
    int n = *count, group = w->o->group_size ? w->o->group_size : 1, room = w->s->model->config.text.max_positions;
    for (int i = 0; i < n; i++) numbers[i] = first + i;
    *count = n = fv_feed_some(w->feed, numbers, n, samples);
    fv_rollout_options o = {.group_size = group, .temperature = w->o->temperature, .top_p = w->o->top_p, .max_new_tokens = w->o->max_new_tokens,
                            .max_tokens = w->o->max_tokens ? w->o->max_tokens : room, .seed = w->o->seed, .numbers = numbers, .stop = w->o->stop};
    fv_rollout r;
    fv_status s = fv_rollout_run(&r, w->engine, w->s->model, w->s->slot, w->s->tools, samples, n, &o, watch, w, err);
    if (s == FV_OK) {
        bool cut = false; /* answers of a batch that was stopped are not what they would have become */
        for (int i = 0; i < n * group; i++) cut |= r.trajectories[i].stop_reason && !strcmp(r.trajectories[i].stop_reason, "stopped");
        r.numbered = w->o->group_size > 0;
        s = cut ? stopped(w, first, err) : write_all(w, &r, err);
        fv_rollout_clear(&r);
    }
    for (int i = 0; i < n; i++) fv_sample_clear(&samples[i]);
    w->done += (int64_t)n * group;
    return s;
}

static fv_status run_all(writer *w, int64_t rows, fv_error *err) {
    int group = w->o->group_size ? w->o->group_size : 1, most = ANSWERS_AT_ONCE / group > 0 ? ANSWERS_AT_ONCE / group : 1;
    fv_sample *samples = calloc((size_t)most, sizeof *samples);
    int64_t *numbers = calloc((size_t)most, sizeof *numbers);
    fv_status s = samples && numbers ? FV_OK : fv_fail(err, FV_NO_MEMORY, "rollout: out of memory");
    for (int64_t first = 0; first < rows && s == FV_OK;) {
        int count = (int)(rows - first < most ? rows - first : most);
        s = run_batch(w, first, &count, samples, numbers, err);
        first += count;
        if (s == FV_OK && w->o->stop && *w->o->stop && first < rows) s = stopped(w, first, err);
    }
    free(samples);
    free(numbers);
    return s;
}

static fv_status open_lines(writer *w, fv_error *err) {
    FV_TRY(fv_folder_make(w->o->folder, err));
    char *path = fv_path_join(w->o->folder, "trajectories.jsonl");
    fv_status s = path ? fv_path_remove(path, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", w->o->folder);
    if (s == FV_OK) s = fv_lines_open(&w->lines, path, err);
    free(path);
    return s;
}

fv_status fv_rollout_file(fv_rollout_file_counts *counts, fv_session *s, const fv_dataset *data, const fv_rollout_file_options *options, fv_error *err) {
    memset(counts, 0, sizeof *counts);
    writer w = {.s = s, .o = options, .counts = counts, .total = fv_dataset_count(data) * (options->group_size ? options->group_size : 1)};
    fv_feed_options feed = {.env = options->env, .generate = true, .max_tokens = options->max_tokens ? options->max_tokens : s->model->config.text.max_positions};
    fv_status status = fv_feed_open(&w.feed, s->model, data, s->pool, &feed, err);
    if (status == FV_OK) status = fv_engine_open(&w.engine, s->model, s->slot, NULL, err);
    if (status == FV_OK) status = open_lines(&w, err);
    if (!options->quiet) w.progress = fv_progress_open(&(fv_progress_options){.label = "rollout", .unit = "answer", .total = w.total});
    if (status == FV_OK) status = run_all(&w, fv_dataset_count(data), err);
    fv_progress_close(w.progress);
    if (status == FV_OK) status = fv_lines_sync(w.lines, err);
    fv_lines_close(w.lines);
    fv_engine_close(w.engine);
    fv_feed_close(w.feed);
    return status;
}
