#include "rl/report/record.h"

#include "core/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

double fv_record_number(const json_t *object, const char *key) {
    const json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

const char *fv_record_text(const json_t *object, const char *key) {
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

/* Calls `each` with the objects of a file of lines until it returns false; false if it did. */
static bool for_lines(const char *folder, const char *name, bool (*each)(void *, json_t *), void *context) {
    char *path = fv_path_join(folder, name);
    fv_map map;
    fv_error ignored;
    bool go_on = true;
    if (fv_map_open(&map, path, &ignored) == FV_OK) {
        const char *text = (const char *)map.data;
        for (size_t at = 0; at < map.size && go_on;) {
            const char *end = memchr(text + at, '\n', map.size - at);
            size_t n = end ? (size_t)(end - text) - at : map.size - at;
            json_t *line = NULL;
            if (n && fv_json_parse(&line, text + at, n, name, 1, FV_BAD_DATA, &ignored) == FV_OK && json_is_object(line)) go_on = each(context, line);
            json_decref(line);
            at += n + 1;
        }
        fv_map_close(&map);
    }
    free(path);
    return go_on;
}

typedef struct {
    json_t *list;
    size_t limit;
} collected;

static bool collect(void *context, json_t *line) {
    collected *c = context;
    return json_array_append(c->list, line) == 0 && (!c->limit || json_array_size(c->list) < c->limit);
}

json_t *fv_record_lines(const char *folder, const char *name, size_t limit) {
    collected c = {json_array(), limit};
    if (c.list) for_lines(folder, name, collect, &c);
    return c.list;
}

static bool count(void *context, json_t *line) {
    (void)line;
    *(size_t *)context += 1;
    return true;
}

/* ---- Stages ---- */

static fv_record_stage *stage_of(fv_record *r, const char *name) {
    for (int i = 0; i < r->stage_count; i++)
        if (!strcmp(r->stages[i].name, name)) return &r->stages[i];
    fv_record_stage *grown = realloc(r->stages, (size_t)(r->stage_count + 1) * sizeof *grown);
    if (!grown) return NULL;
    r->stages = grown;
    fv_record_stage *s = &grown[r->stage_count];
    *s = (fv_record_stage){.name = strdup(name), .kind = strdup(""), .seconds = NAN};
    r->stage_count++;
    return s->name && s->kind ? s : NULL;
}

static bool set_kind(fv_record_stage *s, const char *kind) {
    char *copy = strdup(kind);
    if (!copy) return false;
    free(s->kind);
    s->kind = copy;
    return true;
}

/* Every stage that the recipe plans, with its kind. */
static bool stages_of_recipe(fv_record *r) {
    const fv_yaml *stages = fv_yaml_get(r->yaml, "stages");
    for (size_t i = 0; stages && i < stages->count; i++) {
        const char *name = fv_yaml_word(fv_yaml_get(stages->items[i], "name")), *kind = fv_yaml_word(fv_yaml_get(stages->items[i], "kind"));
        fv_record_stage *s = name ? stage_of(r, name) : NULL;
        if (name && (!s || (kind && !set_kind(s, kind)))) return false;
    }
    return true;
}

static bool stages_of_summary(fv_record *r, const json_t *summary) {
    const json_t *stages = json_object_get(summary, "stages");
    for (size_t i = 0; i < json_array_size(stages); i++) {
        const json_t *entry = json_array_get(stages, i);
        fv_record_stage *s = stage_of(r, fv_record_text(entry, "name"));
        if (!s || !set_kind(s, fv_record_text(entry, "kind"))) return false;
        s->seconds = fv_record_number(entry, "seconds");
    }
    return true;
}

/* ---- Metrics ---- */

static fv_column *column_of(fv_record *r, const char *name) {
    for (int i = 0; i < r->column_count; i++)
        if (!strcmp(r->columns[i].name, name)) return &r->columns[i];
    fv_column *grown = realloc(r->columns, (size_t)(r->column_count + 1) * sizeof *grown);
    if (!grown) return NULL;
    r->columns = grown;
    fv_column *c = &grown[r->column_count];
    *c = (fv_column){strdup(name), malloc(r->capacity * sizeof(double))};
    r->column_count++;
    for (size_t i = 0; i < r->rows && c->values; i++) c->values[i] = NAN;
    return c->name && c->values ? c : NULL;
}

static bool make_room(fv_record *r) {
    if (r->rows < r->capacity) return true;
    size_t capacity = r->capacity ? 2 * r->capacity : 256;
    for (int i = 0; i < r->column_count; i++) {
        double *grown = realloc(r->columns[i].values, capacity * sizeof *grown);
        if (!grown) return false;
        r->columns[i].values = grown;
    }
    r->capacity = capacity;
    return true;
}

static bool add_step(void *context, json_t *line) {
    fv_record *r = context;
    if (!make_room(r)) return false;
    for (int i = 0; i < r->column_count; i++) r->columns[i].values[r->rows] = NAN;
    const char *key;
    json_t *value;
    json_object_foreach(line, key, value) {
        if (!json_is_number(value)) continue;
        fv_column *c = column_of(r, key);
        if (!c) return false;
        c->values[r->rows] = json_number_value(value);
    }
    fv_record_stage *s = stage_of(r, fv_record_text(line, "stage"));
    if (!s) return false;
    if (!s->rows) s->first = r->rows;
    s->rows = r->rows + 1 - s->first;
    r->rows++;
    return true;
}

const double *fv_record_column(const fv_record *r, const char *name) {
    for (int i = 0; i < r->column_count; i++)
        if (!strcmp(r->columns[i].name, name)) return r->columns[i].values;
    return NULL;
}

double fv_record_mean(const fv_record *r, const char *name, size_t first, size_t last) {
    const double *v = fv_record_column(r, name);
    double sum = 0, n = 0;
    for (size_t i = first; v && i < last && i < r->rows; i++)
        if (!isnan(v[i])) {
            sum += v[i];
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

void fv_record_ends(const fv_record *r, const fv_record_stage *s, const char *name, double *first, double *last) {
    size_t tenth = (s->rows + 9) / 10;
    *first = fv_record_mean(r, name, s->first, s->first + tenth);
    *last = fv_record_mean(r, name, s->first + s->rows - tenth, s->first + s->rows);
}

/* ---- The whole ---- */

static json_t *read_summary(const char *folder) {
    char *path = fv_path_join(folder, "summary.json");
    json_t *out = NULL;
    fv_error ignored;
    fv_json_read(&out, path, FV_BAD_DATA, &ignored);
    free(path);
    return out;
}

static bool read_recipe(fv_record *r) {
    char *path = fv_path_join(r->folder, "recipe.yaml");
    fv_error ignored;
    size_t size = 0;
    fv_status s = fv_file_read(&r->recipe, &size, path, &ignored);
    free(path);
    if (s != FV_OK) return s != FV_NO_MEMORY && (r->recipe = strdup("")) != NULL;
    fv_yaml_parse(&r->yaml, r->recipe, size, "recipe.yaml", &ignored);
    return true;
}

static bool read_all(fv_record *r, const json_t *summary) {
    if (!read_recipe(r) || !stages_of_recipe(r) || !stages_of_summary(r, summary)) return false;
    const char *name = fv_record_text(summary, "name");
    if (!name[0]) name = fv_record_setting(r, "name");
    if (!(r->name = strdup(name ? name : fv_path_name(r->folder)))) return false;
    if (!for_lines(r->folder, "metrics.jsonl", add_step, r)) return false;
    for_lines(r->folder, "bad_rows.jsonl", count, &r->bad_rows);
    r->evaluations = fv_record_lines(r->folder, "evaluations.jsonl", 0);
    json_t *other = json_object_get(summary, "evaluations");
    if (!json_array_size(r->evaluations) && json_is_array(other)) {
        json_decref(r->evaluations);
        r->evaluations = json_incref(other);
    }
    return r->evaluations != NULL;
}

fv_status fv_record_open(fv_record *out, const char *folder, fv_error *err) {
    *out = (fv_record){.folder = strdup(folder)};
    json_t *summary = read_summary(folder);
    out->seconds = fv_record_number(summary, "seconds");
    bool done = out->folder && read_all(out, summary);
    json_decref(summary);
    return done ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: no memory to read the run", folder);
}

void fv_record_close(fv_record *r) {
    for (int i = 0; i < r->stage_count; i++) {
        free(r->stages[i].name);
        free(r->stages[i].kind);
    }
    for (int i = 0; i < r->column_count; i++) {
        free(r->columns[i].name);
        free(r->columns[i].values);
    }
    free(r->stages);
    free(r->columns);
    json_decref(r->evaluations);
    fv_yaml_free(r->yaml);
    free(r->recipe);
    free(r->name);
    free(r->folder);
    *r = (fv_record){0};
}

const char *fv_record_setting(const fv_record *r, const char *path) {
    const fv_yaml *node = fv_yaml_find(r->yaml, path);
    return node && !fv_yaml_is_null(node) ? fv_yaml_word(node) : NULL;
}

/* ---- Before and after ---- */

bool fv_record_alone(const fv_record *r) { return !r->rows && json_array_size(r->evaluations) && !fv_record_text(json_array_get(r->evaluations, 0), "after_stage")[0]; }

const fv_record_stage *fv_record_rl(const fv_record *r) {
    for (int i = 0; i < r->stage_count && !fv_record_alone(r); i++)
        if (!strcmp(r->stages[i].kind, "grpo")) return &r->stages[i];
    return NULL;
}

static int stage_number(const fv_record *r, const char *name) {
    for (int i = 0; i < r->stage_count; i++)
        if (!strcmp(r->stages[i].name, name)) return i;
    return -1; /* "start" */
}

static bool is_mode(const json_t *evaluation, const char *mode) {
    return !strcmp(fv_record_text(evaluation, "mode"), mode);
}

const json_t *fv_record_before(const fv_record *r, const char *mode) {
    const fv_record_stage *rl = fv_record_rl(r);
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(r->evaluations); i++) {
        const json_t *e = json_array_get(r->evaluations, i);
        if (!is_mode(e, mode)) continue;
        if (!rl && found) return found; /* the first of several */
        if (!rl) found = e;
        else if (stage_number(r, fv_record_text(e, "after_stage")) < (int)(rl - r->stages)) found = e;
    }
    return rl ? found : NULL;
}

const json_t *fv_record_after(const fv_record *r, const char *mode) {
    const json_t *found = NULL;
    for (size_t i = 0; i < json_array_size(r->evaluations); i++)
        if (is_mode(json_array_get(r->evaluations, i), mode)) found = json_array_get(r->evaluations, i);
    return found == fv_record_before(r, mode) ? NULL : found;
}

int fv_record_modes(const fv_record *r, const char **modes, int limit) {
    int n = 0;
    for (size_t i = 0; i < json_array_size(r->evaluations); i++) {
        const char *mode = fv_record_text(json_array_get(r->evaluations, i), "mode");
        int k = 0;
        while (k < n && strcmp(modes[k], mode)) k++;
        if (k == n && n < limit) modes[n++] = mode;
    }
    return n;
}
