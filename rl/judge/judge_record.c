#include "rl/judge/judge_record.h"

#include "core/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fv_judge_record {
    fv_lines *lines;
    json_t *steps;       /* step -> key -> entry */
    int64_t requests;
    bool answered;
};

static void name_key(char name[24], uint64_t key) { snprintf(name, 24, "%016" PRIx64, key); }
static void name_step(char name[24], int64_t step) { snprintf(name, 24, "%" PRId64, step); }

static fv_status keep(fv_judge_record *r, int64_t step, const char *key, json_t *entry, fv_error *err) {
    char name[24];
    name_step(name, step);
    json_t *of = json_object_get(r->steps, name);
    if (!of && !json_object_set_new(r->steps, name, json_object())) of = json_object_get(r->steps, name);
    return of && !json_object_set(of, key, entry) ? FV_OK : fv_fail(err, FV_NO_MEMORY, "judgements: out of memory");
}

static fv_status read_line(fv_judge_record *r, const char *text, size_t size, const char *path, int number, int64_t from, fv_error *err) {
    json_t *entry;
    const char *key;
    int64_t step = 0, requests = 0;
    FV_TRY(fv_json_parse(&entry, text, size, path, number, FV_BAD_DATA, err));
    fv_json_at at = {entry, path, FV_BAD_DATA};
    fv_status s = fv_json_int(at, "step", 1, INT64_MAX, &step, err);
    if (s == FV_OK) s = fv_json_text(at, "question", &key, err);
    if (s == FV_OK) s = fv_json_int(at, "requests", 0, INT64_MAX, &requests, err);
    r->requests += requests;
    r->answered |= json_object_get(entry, "reply") != NULL;
    if (s == FV_OK && step >= from) s = keep(r, step, key, entry, err);
    json_decref(entry);
    return s;
}

/* *whole: bytes of whole lines. */
static fv_status read_all(fv_judge_record *r, const char *path, int64_t from, uint64_t *whole, fv_error *err) {
    char *text;
    *whole = 0;
    if (!fv_file_exists(path)) return FV_OK;
    FV_TRY(fv_file_read(&text, NULL, path, err));
    fv_status s = FV_OK;
    int number = 1;
    for (const char *at = text, *end; (end = strchr(at, '\n')) && s == FV_OK; at = end + 1) {
        s = read_line(r, at, (size_t)(end - at), path, number++, from, err);
        *whole = (uint64_t)(end + 1 - text);
    }
    free(text);
    return s;
}

fv_status fv_judge_record_open(fv_judge_record **out, const char *path, int64_t step, fv_error *err) {
    uint64_t whole;
    *out = NULL;
    fv_judge_record *r = calloc(1, sizeof *r);
    if (!r || !(r->steps = json_object())) {
        free(r);
        return fv_fail(err, FV_NO_MEMORY, "judgements: out of memory");
    }
    fv_status s = read_all(r, path, step, &whole, err);
    if (s == FV_OK) s = fv_lines_open(&r->lines, path, err);
    if (s == FV_OK) s = fv_lines_truncate(r->lines, whole, err);
    if (s == FV_OK) *out = r;
    else fv_judge_record_close(r);
    return s;
}

void fv_judge_record_close(fv_judge_record *r) {
    if (!r) return;
    fv_lines_close(r->lines);
    json_decref(r->steps);
    free(r);
}

void fv_judge_record_step(fv_judge_record *r, int64_t step) {
    const char *name;
    json_t *of;
    void *next;
    json_object_foreach_safe(r->steps, next, name, of) if (strtoll(name, NULL, 10) < step) json_object_del(r->steps, name);
}

const json_t *fv_judge_record_find(const fv_judge_record *r, int64_t step, uint64_t key) {
    char name[24], of[24];
    name_key(name, key);
    name_step(of, step);
    return json_object_get(json_object_get(r->steps, of), name);
}

static void add_text(fv_text *line, const char *name, const char *text) {
    fv_text_printf(line, ", \"%s\": ", name);
    fv_text_json(line, text, strlen(text)); /* errors may end within a character */
}

fv_status fv_judge_record_add(fv_judge_record *r, int64_t step, uint64_t key, const char *id, const fv_question *q, fv_error *err) {
    char name[24];
    json_t *entry = NULL;
    fv_text line = {0};
    name_key(name, key);
    fv_text_printf(&line, "{\"step\": %" PRId64, step);
    add_text(&line, "id", id);
    fv_text_printf(&line, ", \"number\": %d, \"question\": \"%s\"", q->number, name);
    add_text(&line, q->reply ? "reply" : "error", q->reply ? q->reply : q->error.text);
    fv_text_printf(&line, ", \"requests\": %d}", q->requests);
    fv_status s = fv_lines_text(r->lines, &line, err);
    if (s == FV_OK) s = fv_json_parse(&entry, line.data, line.size, "judgements.jsonl", 1, FV_BAD_DATA, err); /* as it will be read again */
    if (s == FV_OK) s = keep(r, step, name, entry, err);
    json_decref(entry);
    fv_text_clear(&line);
    r->requests += q->requests;
    r->answered |= q->reply != NULL;
    return s;
}

int64_t fv_judge_record_requests(const fv_judge_record *r) { return r->requests; }
bool fv_judge_record_answered(const fv_judge_record *r) { return r->answered; }
