#include "rl/train/run.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

char *fv_run_path(const fv_run *r, const char *name) { return fv_path_join(r->folder, name); }

static fv_status open_lines(fv_run *r, fv_lines **out, const char *name, fv_error *err) {
    char *path = fv_run_path(r, name);
    fv_status s = fv_lines_open(out, path, err);
    free(path);
    return s;
}

/* A run that is already there is kept under another name: starting again must not cost anyone their results. */
fv_status fv_run_move_aside(const char *folder, char **moved, fv_error *err) {
    fv_names names;
    if (!fv_folder_exists(folder)) return FV_OK;
    FV_TRY(fv_folder_list(&names, folder, err));
    size_t n = names.count;
    fv_names_free(&names);
    if (!n) return FV_OK;
    for (int i = 1; i < 10000; i++) {
        fv_text t = {0};
        fv_text_printf(&t, "%s.%d", folder, i);
        char *to;
        FV_TRY(fv_text_take(&t, &to, NULL, err));
        if (!fv_folder_exists(to) && !fv_file_exists(to)) {
            fv_status s = rename(folder, to) ? fv_fail(err, FV_IO, "%s: can't be moved to %s: %s", folder, to, strerror(errno)) : FV_OK;
            if (s == FV_OK && moved) *moved = to;
            else free(to);
            return s;
        }
        free(to);
    }
    return fv_fail(err, FV_IO, "%s: holds an earlier run and there are too many older ones beside it; give another out=", folder);
}

/* Two processes in one folder would delete each other's checkpoints. The lock goes with the folder where that is moved, and with the process where that dies. */
static fv_status lock_folder(int *out, const char *folder, fv_error *err) {
    *out = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out < 0 || !flock(*out, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK) return FV_OK; /* file systems without locks have none */
    close(*out);
    *out = -1;
    return fv_fail(err, FV_BAD_USAGE, "%s: another process trains in this folder; give another out=", folder);
}

/* What is moved aside for a new run has to be an old one: a wrong name must not cost anyone their files. */
static fv_status check_earlier(const char *folder, fv_error *err) {
    static const char *const ours[] = {"recipe.yaml", "log.txt", "checkpoints", "comparison.json"};
    fv_names names;
    if (!fv_folder_exists(folder)) return FV_OK;
    FV_TRY(fv_folder_list(&names, folder, err));
    bool run = names.count == 0;
    for (size_t i = 0; i < names.count; i++)
        for (size_t k = 0; k < FV_COUNT(ours); k++) run |= !strcmp(names.names[i], ours[k]);
    fv_names_free(&names);
    return run ? FV_OK : fv_fail(err, FV_BAD_USAGE, "out: %s is there and holds something else than a run; give another out=", folder);
}

fv_status fv_run_make_way(const char *folder, char **moved, fv_error *err) {
    int lock;
    FV_TRY(check_earlier(folder, err));
    FV_TRY(lock_folder(&lock, folder, err));
    fv_status s = fv_run_move_aside(folder, moved, err);
    if (lock >= 0) close(lock);
    return s;
}

fv_status fv_run_write_recipe(const fv_run *r, const fv_recipe *recipe, fv_error *err) {
    fv_text t = {0};
    fv_recipe_write(recipe, &t);
    return fv_file_save(r->folder, "recipe.yaml", &t, err);
}

static fv_status make_folders(fv_run *r, fv_error *err) {
    static const char *const parts[] = {"checkpoints", "trajectories"};
    for (size_t i = 0; i < FV_COUNT(parts); i++) {
        char *path = fv_run_path(r, parts[i]);
        fv_status s = fv_folder_make(path, err);
        if (s == FV_OK) s = fv_folder_sweep(path, err);
        free(path);
        FV_TRY(s);
    }
    FV_TRY(fv_folder_sweep(r->folder, err));
    FV_TRY(open_lines(r, &r->metrics, "metrics.jsonl", err));
    FV_TRY(open_lines(r, &r->evaluations, "evaluations.jsonl", err));
    FV_TRY(open_lines(r, &r->bad_rows, "bad_rows.jsonl", err));
    return open_lines(r, &r->log, "log.txt", err);
}

fv_status fv_run_open(fv_run **out, const fv_recipe *recipe, bool resume, char **moved, fv_error *err) {
    *out = NULL;
    if (moved) *moved = NULL;
    const char *folder = fv_get_text(recipe->json, "out");
    FV_TRY(resume ? check_earlier(folder, err) : fv_run_make_way(folder, moved, err));
    FV_TRY(fv_folder_make(folder, err));
    int lock;
    FV_TRY(lock_folder(&lock, folder, err));
    fv_run *r = calloc(1, sizeof *r);
    if (!r || !(r->folder = strdup(folder))) {
        free(r);
        if (lock >= 0) close(lock);
        return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", folder);
    }
    r->lock = lock;
    r->keep = (int)fv_get_int(recipe->json, "checkpoint.keep");
    fv_status s = make_folders(r, err);
    if (s == FV_OK) *out = r;
    else fv_run_close(r);
    return s;
}

void fv_run_close(fv_run *r) {
    if (!r) return;
    fv_lines_close(r->metrics);
    fv_lines_close(r->evaluations);
    fv_lines_close(r->bad_rows);
    fv_lines_close(r->log);
    if (r->lock >= 0) close(r->lock);
    free(r->folder);
    free(r);
}

/* ---- Metrics ---- */

void fv_metric(fv_metrics *m, const char *name, double value) {
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->names[i], name)) {
            m->values[i] = value;
            return;
        }
    if (m->count == (int)FV_COUNT(m->names)) return;
    m->names[m->count] = name;
    m->values[m->count++] = value;
}

void fv_metric_named(fv_metrics *m, double value, const char *format, ...) {
    if (m->owned == (int)FV_COUNT(m->own)) return;
    va_list args;
    va_start(args, format);
    vsnprintf(m->own[m->owned], sizeof m->own[0], format, args);
    va_end(args);
    int before = m->count;
    fv_metric(m, m->own[m->owned], value);
    if (m->count > before) m->owned++;
}

double fv_metric_get(const fv_metrics *m, const char *name) {
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->names[i], name)) return m->values[i];
    return NAN;
}

fv_status fv_run_step(fv_run *r, int64_t step, const char *stage, const fv_metrics *m, fv_error *err) {
    fv_text t = {0};
    fv_text_printf(&t, "{\"step\": %lld, \"stage\": ", (long long)step);
    fv_text_json(&t, stage, strlen(stage));
    for (int i = 0; i < m->count; i++) {
        fv_text_add(&t, ", ");
        fv_text_json(&t, m->names[i], strlen(m->names[i]));
        fv_text_add(&t, ": ");
        fv_text_f64(&t, m->values[i]);
    }
    fv_text_char(&t, '}');
    fv_status s = fv_lines_text(r->metrics, &t, err);
    fv_text_clear(&t);
    return s;
}

void fv_run_log(fv_run *r, const char *format, ...) {
    char line[2048], stamp[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S ", localtime_r(&now, &tm));
    int n = snprintf(line, sizeof line, "%s", stamp);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    fv_error ignored;
    fv_lines_append(r->log, line, strlen(line), &ignored);
}

fv_status fv_run_bad_row(fv_run *r, const char *id, const fv_error *why, fv_error *err) {
    fv_text t = {0};
    fv_text_add(&t, "{\"id\": ");
    fv_text_json(&t, id ? id : "", id ? strlen(id) : 0);
    fv_text_add(&t, ", \"error\": ");
    fv_text_json(&t, why->text, strlen(why->text));
    fv_text_char(&t, '}');
    fv_status s = fv_lines_text(r->bad_rows, &t, err);
    fv_text_clear(&t);
    return s;
}
