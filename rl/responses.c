#include "rl/responses.h"

#include "datasets/rowfile.h"
#include "rl/evaluate/outputs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number_of(const json_t *row, const char *field) {
    const json_t *v = json_object_get(row, field);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* A text or a whole number, as text (malloc'ed); NULL for anything else. */
static char *word_of(const json_t *v) {
    char room[FV_JSON_WORD];
    const char *word = fv_json_word(v, room);
    return word ? strdup(word) : NULL;
}

/* Pictures that came back: `images` as a number, or what a trajectory says, whose `images` are the pictures themselves. */
static double images_of(const json_t *row) { return number_of(row, json_is_array(json_object_get(row, "images")) ? "returned" : "images"); }

static double turns_of(const json_t *row) {
    const json_t *turns = json_object_get(row, "turns");
    return json_is_array(turns) ? (double)json_array_size(turns) : number_of(row, "turns");
}

/* ---- Rows ---- */

static void fill(fv_responses *r, int64_t i) {
    fv_row *row = r->rows[i];
    r->groups[i] = word_of(json_object_get(row->json, "group"));
    r->items[i] = (fv_response){.id = row->id,
                                .group = r->groups[i],
                                .place = row->place,
                                .row = row->json,
                                .given = row->json,
                                .text = fv_row_text(row, "response"),
                                .answer = fv_row_answer(row),
                                .judge_text = fv_row_text(row, "judge_text"),
                                .second_text = fv_row_text(row, "description_response"),
                                .frames = fv_row_text(row, "frames"),
                                .length = number_of(row->json, "length"),
                                .images = images_of(row->json),
                                .calls = number_of(row->json, "calls"),
                                .failures = number_of(row->json, "failures"),
                                .turns = turns_of(row->json),
                                .stop_reason = fv_row_text(row, "stop_reason"),
                                .reward = NAN};
}

static fv_status read_row(fv_responses *r, const fv_rowfile *f, int64_t i, fv_error *err) {
    char number[32];
    json_t *json;
    fv_text place = {0};
    FV_TRY(fv_output_parse(&json, fv_rowfile_text(f, i), f->rows[i].size, f->path, (int)f->rows[i].line, err));
    fv_row *row = calloc(1, sizeof *row);
    if (!row) {
        json_decref(json);
        return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", f->path);
    }
    r->rows[i] = row;
    row->json = json;
    fv_text_printf(&place, "%s:%u", f->path, f->rows[i].line);
    FV_TRY(fv_text_take(&place, &row->place, NULL, err));
    if (!json_is_object(json)) return fv_fail(err, FV_BAD_DATA, "%s: a row must be an object", row->place);
    fv_output_adopt(json);
    snprintf(number, sizeof number, "%lld", (long long)i);
    json_t *given = fv_json_find(json, "id"), *group = fv_json_find(json, "group");
    r->ids[i] = given ? json_incref(given) : json_string(number);
    row->id = given ? word_of(given) : strdup(number);
    if (!row->id) return fv_fail(err, FV_BAD_DATA, "%s: id must be a text or an integer", row->place);
    if (group && !json_is_string(group) && !json_is_integer(group)) return fv_fail(err, FV_BAD_DATA, "%s: group must be a text or an integer", row->place);
    return fv_row_settle(row, err);
}

static fv_status read_all(fv_responses *r, const fv_rowfile *f, fv_error *err) {
    size_t n = (size_t)f->count;
    r->rows = calloc(n, sizeof *r->rows);
    r->ids = calloc(n, sizeof *r->ids);
    r->items = calloc(n, sizeof *r->items);
    r->groups = calloc(n, sizeof *r->groups);
    if (!r->rows || !r->ids || !r->items || !r->groups) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", f->path);
    r->count = f->count;
    for (int64_t i = 0; i < r->count; i++) {
        fv_error why = {0};
        if (read_row(r, f, i, &why) == FV_OK) {
            fill(r, i);
            continue;
        }
        r->items[i] = (fv_response){.id = "", .reward = NAN};
        snprintf(r->items[i].error, sizeof r->items[i].error, "%.255s", why.text);
        if (!r->ids[i]) r->ids[i] = json_integer((json_int_t)i);
    }
    return FV_OK;
}

fv_status fv_responses_open(fv_responses *out, const char *path, fv_error *err) {
    memset(out, 0, sizeof *out);
    fv_rowfile file;
    FV_TRY(fv_rowfile_open(&file, path, err));
    fv_status s = read_all(out, &file, err);
    fv_rowfile_close(&file);
    if (s != FV_OK) fv_responses_close(out);
    return s;
}

void fv_responses_close(fv_responses *r) {
    for (int64_t i = 0; i < r->count; i++) {
        fv_row_free(r->rows[i]);
        json_decref(r->ids[i]);
        free(r->groups[i]);
    }
    free(r->rows);
    free(r->ids);
    free(r->items);
    free(r->groups);
    memset(r, 0, sizeof *r);
}
