#include "datasets/dataset.h"

#include "core/random.h"
#include "datasets/draw.h"
#include "datasets/formats.h"
#include "datasets/generator.h"
#include "datasets/invert.h"
#include "datasets/rowfile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FV_SOURCES_MOST = 1024 };

/* A file, or a generator with what it is to make. */
typedef struct {
    fv_rowfile file;
    const fv_generator *generator; /* NULL for a file */
    fv_generator_how how;          /* split is owned, options too */
    char *folder;                  /* of the file */
    int64_t first, count;          /* rows of the data set: first..first + count - 1 */
    double weight;                 /* 0: none was given */
    double invert;                 /* share of a file's questions that are inverted */
    uint64_t seed;                 /* which ones, and how */
} fv_source;

struct fv_dataset {
    fv_source *sources;
    int source_count;
    int64_t count;
    int32_t *places; /* of a weighted mixture, draw.h; else NULL */
};

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* `place` below is "data", or "data[2]" in a list. */

static fv_status fv_check_fields(const json_t *spec, const char *place, fv_error *err) {
    static const char *const known[] = {"path", "weight", "invert", "make", "n", "split", "seed"};
    void *i = json_object_iter((json_t *)spec);
    for (; i != NULL; i = json_object_iter_next((json_t *)spec, i)) {
        const char *key = json_object_iter_key(i);
        if (strcmp(key, "path") == 0 || strcmp(key, "weight") == 0 || strcmp(key, "invert") == 0) continue;
        const char *near = fv_suggest(key, known, FV_COUNT(known));
        return fv_fail(err, FV_BAD_RECIPE, "%s: a file has no field %.60s%s%s%s", place, key, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    return FV_OK;
}

static fv_status fv_open_file(fv_source *s, const char *path, fv_error *err) {
    FV_TRY(fv_rowfile_open(&s->file, path, err));
    s->count = s->file.count;
    s->folder = fv_path_folder(path);
    return s->folder != NULL ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path);
}

static fv_status fv_no_generator(const char *name, const char *place, fv_error *err) {
    int count;
    const fv_generator *const *all = fv_generators(&count);
    fv_text names = {0};
    for (int i = 0; i < count; i++) fv_text_printf(&names, "%s%s", i ? ", " : "", all[i]->name);
    fv_status s = fv_fail(err, FV_BAD_RECIPE, "%s.make must be one of %s, got \"%.60s\"", place, names.failed || names.data == NULL ? "(none)" : names.data, name);
    fv_text_clear(&names);
    return s;
}

/* What is left of a spec when the data set's own fields are taken out are the generator's options. */
static fv_status fv_open_generator(fv_source *s, const json_t *spec, uint64_t seed, const char *place, fv_error *err) {
    fv_json_at at = {spec, place, FV_BAD_RECIPE};
    const char *name, *split;
    int64_t own_seed;
    FV_TRY(fv_json_text(at, "make", &name, err));
    FV_TRY(fv_json_int_or(at, "n", 1, INT64_C(1) << 40, 10000, &s->count, err));
    FV_TRY(fv_json_text_or(at, "split", "train", &split, err));
    FV_TRY(fv_json_int_or(at, "seed", 0, INT64_MAX, 0, &own_seed, err));
    const fv_generator *g = fv_generator_find(name);
    if (g == NULL) return fv_no_generator(name, place, err);
    json_t *options = json_copy((json_t *)spec);
    static const char *const own[] = {"make", "n", "split", "seed", "weight"};
    for (size_t i = 0; options != NULL && i < FV_COUNT(own); i++) json_object_del(options, own[i]);
    s->generator = g;
    s->how = (fv_generator_how){fv_json_find(spec, "seed") != NULL ? (uint64_t)own_seed : seed, strdup(split), options};
    if (options == NULL || s->how.split == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", place);
    fv_row *row; /* generators check their options when they make a row: better now than in the middle of a run */
    if (g->make(&row, &s->how, 0, err) != FV_OK) return fv_fail_in(err, "%s", place);
    fv_row_free(row);
    return FV_OK;
}

static fv_status fv_open_source(fv_source *s, const json_t *spec, uint64_t seed, const char *place, fv_error *err) {
    if (json_is_string(spec)) return fv_open_file(s, json_string_value(spec), err);
    if (!json_is_object(spec)) return fv_fail(err, FV_BAD_RECIPE, "%s must be a path, {path: F}, {make: GENERATOR, n: 1000} or a list of those", place);
    fv_json_at at = {spec, place, FV_BAD_RECIPE};
    const char *path;
    FV_TRY(fv_json_num_or(at, "weight", 0, &s->weight, err));
    if (json_object_get(spec, "weight") != NULL && !(s->weight > 0 && s->weight <= 1e9)) return fv_json_wrong(at, "weight", "must be above 0 and at most 1e9", err);
    if (json_object_get(spec, "make") != NULL) return fv_open_generator(s, spec, seed, place, err);
    FV_TRY(fv_check_fields(spec, place, err));
    FV_TRY(fv_json_text(at, "path", &path, err));
    FV_TRY(fv_json_num_or(at, "invert", 0, &s->invert, err));
    if (!(s->invert >= 0 && s->invert <= 1)) return fv_json_wrong(at, "invert", "must be 0..1", err);
    s->seed = seed;
    return fv_open_file(s, path, err);
}

/* Numbers the rows through, and lays out the mixture if there are weights. */
static fv_status fv_arrange(fv_dataset *d, fv_error *err) {
    bool weighted = false;
    for (int i = 0; i < d->source_count; i++) {
        d->sources[i].first = d->count;
        d->count += d->sources[i].count;
        weighted |= d->sources[i].weight > 0;
    }
    if (!weighted || d->source_count == 1) return FV_OK;
    double *weights = calloc((size_t)d->source_count, sizeof *weights);
    d->places = calloc((size_t)d->source_count + 1, sizeof *d->places);
    if (weights == NULL || d->places == NULL) {
        free(weights);
        return fv_fail(err, FV_NO_MEMORY, "data: out of memory");
    }
    for (int i = 0; i < d->source_count; i++) weights[i] = d->sources[i].weight > 0 ? d->sources[i].weight : 1;
    fv_mix_places(d->places, weights, d->source_count);
    free(weights);
    return FV_OK;
}

static fv_status fv_open_all(fv_dataset *d, const json_t *spec, uint64_t seed, fv_error *err) {
    bool list = json_is_array(spec);
    size_t count = list ? json_array_size(spec) : 1;
    if (count < 1 || count > FV_SOURCES_MOST) return fv_fail(err, FV_BAD_RECIPE, "data must name 1 to %d sources, got %zu", FV_SOURCES_MOST, count);
    d->sources = calloc(count, sizeof *d->sources);
    if (d->sources == NULL) return fv_fail(err, FV_NO_MEMORY, "data: out of memory");
    d->source_count = (int)count;
    for (size_t i = 0; i < count; i++) {
        char place[32];
        snprintf(place, sizeof place, list ? "data[%zu]" : "data", i);
        FV_TRY(fv_open_source(&d->sources[i], list ? json_array_get(spec, i) : spec, seed, place, err));
    }
    return fv_arrange(d, err);
}

fv_status fv_dataset_open(fv_dataset **out, const json_t *spec, uint64_t seed, fv_error *err) {
    *out = NULL;
    fv_dataset *d = calloc(1, sizeof *d);
    if (d == NULL) return fv_fail(err, FV_NO_MEMORY, "data: out of memory");
    fv_status s = fv_open_all(d, spec, seed, err);
    if (s == FV_OK) *out = d;
    else fv_dataset_close(d);
    return s;
}

void fv_dataset_close(fv_dataset *d) {
    if (d == NULL) return;
    for (int i = 0; i < d->source_count; i++) {
        fv_source *s = &d->sources[i];
        if (s->generator == NULL) fv_rowfile_close(&s->file);
        free((char *)s->how.split);
        json_decref((json_t *)s->how.options);
        free(s->folder);
    }
    free(d->sources);
    free(d->places);
    free(d);
}

int64_t fv_dataset_count(const fv_dataset *d) {
    return d->count;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

/* A row's id as given (a text or an integer), else its number in its file. NULL when out of memory or if the id is neither. */
static char *fv_row_id(const json_t *json, int64_t number) {
    const json_t *id = fv_json_find(json, "id");
    char text[FV_JSON_WORD];
    const char *word = fv_json_word(id, text);
    if (!word && id) return NULL;
    if (!word) snprintf(text, sizeof text, "%lld", (long long)number);
    return strdup(word ? word : text);
}

/* "ID/ROW", where ids repeat. */
static fv_status fv_add_number(fv_row *r, int64_t row, fv_error *err) {
    char *id = NULL;
    fv_text text = {0};
    fv_text_printf(&text, "%s/%lld", r->id, (long long)row);
    FV_TRY(fv_text_take(&text, &id, NULL, err));
    free(r->id);
    r->id = id;
    return FV_OK;
}

static fv_status fv_read_row(fv_row *r, const fv_source *s, int64_t i, fv_error *err) {
    const fv_row_at *at = &s->file.rows[i];
    size_t room = strlen(s->file.path) + 16;
    r->place = malloc(room);
    r->folder = strdup(s->folder);
    if (r->place == NULL || r->folder == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", s->file.path);
    snprintf(r->place, room, "%s:%u", s->file.path, at->line);
    FV_TRY(fv_json_parse(&r->json, fv_rowfile_text(&s->file, i), at->size, s->file.path, (int)at->line, FV_BAD_DATA, err));
    if (s->invert > 0) FV_TRY(fv_row_invert(r->json, s->invert, fv_random_key(s->seed, "invert", (uint64_t)i, 0), err));
    FV_TRY(fv_format_row(r->json, r->place, err));
    r->id = fv_row_id(r->json, i);
    if (r->id == NULL || r->id[0] == '\0') return fv_fail(err, FV_BAD_DATA, "%s: id must be a text or an integer", r->place);
    return s->file.ids_repeat && json_object_get(r->json, "conversations") ? fv_add_number(r, i, err) : FV_OK;
}

static fv_status fv_file_row(fv_row **out, const fv_source *s, int64_t i, fv_error *err) {
    fv_row *r = calloc(1, sizeof *r);
    if (r == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", s->file.path);
    fv_status status = fv_read_row(r, s, i, err);
    if (status == FV_OK) *out = r;
    else fv_row_free(r);
    return status;
}

/* Rows of different sources may have equal ids. */
static fv_status fv_number_id(fv_row *r, int source, fv_error *err) {
    size_t room = strlen(r->id) + 16;
    char *id = malloc(room);
    if (id == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", r->place);
    snprintf(id, room, "%d/%s", source + 1, r->id);
    free(r->id);
    r->id = id;
    return FV_OK;
}

fv_status fv_dataset_row(const fv_dataset *d, int64_t index, fv_row **out, fv_error *err) {
    *out = NULL;
    if (index < 0 || index >= d->count) return fv_fail(err, FV_BAD_USAGE, "data: there is no row %lld, rows are 0 to %lld", (long long)index, (long long)d->count - 1);
    int low = 0, high = d->source_count - 1; /* the last source that begins at or before index */
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (d->sources[middle].first <= index) low = middle;
        else high = middle - 1;
    }
    const fv_source *s = &d->sources[low];
    fv_row *row = NULL;
    if (s->generator != NULL) FV_TRY(s->generator->make(&row, &s->how, index - s->first, err));
    else FV_TRY(fv_file_row(&row, s, index - s->first, err));
    fv_status status = d->source_count > 1 ? fv_number_id(row, low, err) : FV_OK;
    if (status == FV_OK) status = fv_row_settle(row, err);
    if (status == FV_OK) *out = row;
    else fv_row_free(row);
    return status;
}

int64_t fv_dataset_draw_of(const fv_dataset *d, uint64_t seed, int source, int64_t nth) {
    uint64_t key = fv_random_key(fv_random_key(seed, "dataset draw", 0, 0), "source", (uint64_t)source, 0);
    return d->sources[source].first + fv_shuffled(key, d->sources[source].count, nth);
}

int64_t fv_dataset_draw(const fv_dataset *d, uint64_t seed, int64_t draw) {
    if (d->places == NULL) return fv_shuffled(fv_random_key(seed, "dataset draw", 0, 0), d->count, draw);
    int64_t nth;
    int s = fv_mixed(d->places, d->source_count, draw, &nth);
    return fv_dataset_draw_of(d, seed, s, nth);
}

int64_t fv_dataset_some(const fv_dataset *d, int64_t i, int64_t n) {
    if (n == d->count || d->source_count == 1) return i;
    return d->places ? fv_dataset_draw(d, 0, i) : (int64_t)((double)i * (double)d->count / (double)n);
}
