#include "core/weights.h"

#include "core/file.h"
#include "core/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 100000000 }; /* as in the safetensors library */

/* A tensor's place in the data of one file. */
typedef struct {
    const char *name;
    uint64_t begin, end;
} span;

struct fv_weights {
    char *path;
    fv_map *maps; /* [map_count] */
    size_t map_count;
    fv_tensor *tensors; /* [count], by name; the names are ours */
    size_t count;
    void **copies; /* data of tensors that were not aligned; [count], mostly NULL */
    fv_view *stored; /* [count] tensors as they were before fv_weights_widen; NULL: as they are */
};

/* ---- One file ---- */

typedef struct {
    const uint8_t *bytes;
    size_t size;
    const char *place; /* the file's name in messages */
    json_t *header;
    const uint8_t *data;
    uint64_t data_size;
    fv_error *err;
} file_view;

/* 8 bytes of length, little-endian, then the header. The caller drops f->header in any case. */
static fv_status read_header(file_view *f) {
    if (f->size < 8) return fv_fail(f->err, FV_BAD_MODEL, "%s: a safetensors file has at least 8 bytes, this one %zu", f->place, f->size);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | f->bytes[i];
    if (length > HEADER_LIMIT || length > f->size - 8)
        return fv_fail(f->err, FV_BAD_MODEL, "%s: not a safetensors file, or cut off: its header would have %llu bytes, the file has %zu", f->place,
                       (unsigned long long)length, f->size);
    const char *text = (const char *)f->bytes + 8;
    if (length == 0 || text[0] != '{') return fv_fail(f->err, FV_BAD_MODEL, "%s: the header must begin with {", f->place);
    FV_TRY(fv_json_parse_strict(&f->header, text, (size_t)length, f->place, 1, FV_BAD_MODEL, f->err));
    f->data = f->bytes + 8 + length;
    f->data_size = f->size - 8 - length;
    return FV_OK;
}

static fv_status wrong_tensor(const file_view *f, const char *name, const json_t *entry, const char *field, const char *rule) {
    char place[512];
    snprintf(place, sizeof place, "%s: tensor %s", f->place, name);
    return fv_json_wrong((fv_json_at){entry, place, FV_BAD_MODEL}, field, rule, f->err);
}

/* dtype and shape; *bytes is what they take. */
static fv_status read_shape(const file_view *f, const char *name, const json_t *entry, fv_view *view, uint64_t *bytes) {
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    if (!type) return wrong_tensor(f, name, entry, "dtype", "must be a text");
    int dtype = fv_dtype_parse(type);
    if (dtype < 0) return fv_fail(f->err, FV_UNSUPPORTED, "%s: tensor %s: dtype %s is not supported", f->place, name, type);
    const json_t *shape = json_object_get(entry, "shape");
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape)) return wrong_tensor(f, name, entry, "shape", "must be a list");
    if (rank > FV_MAX_RANK)
        return fv_fail(f->err, FV_UNSUPPORTED, "%s: tensor %s: %zu dimensions are not supported, at most %d", f->place, name, rank, FV_MAX_RANK);
    *view = (fv_view){.dtype = (fv_dtype)dtype, .rank = (int)rank};
    *bytes = fv_dtype_size(view->dtype);
    for (size_t i = 0; i < rank; i++) {
        const json_t *d = json_array_get(shape, i);
        if (!json_is_integer(d) || json_integer_value(d) < 0) return wrong_tensor(f, name, entry, "shape", "must hold integers from 0");
        view->shape[i] = json_integer_value(d);
        if (__builtin_mul_overflow(*bytes, (uint64_t)view->shape[i], bytes) || *bytes > INT64_MAX)
            return wrong_tensor(f, name, entry, "shape", "must have a size that fits into 63 bits");
    }
    return FV_OK;
}

static fv_status read_entry(const file_view *f, const char *name, const json_t *entry, fv_view *view, span *at) {
    static const char pair[] = "must be two integers, begin and end";
    if (!json_is_object(entry)) return fv_fail(f->err, FV_BAD_MODEL, "%s: tensor %s must be an object", f->place, name);
    uint64_t bytes = 0;
    FV_TRY(read_shape(f, name, entry, view, &bytes));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end)) return wrong_tensor(f, name, entry, "data_offsets", pair);
    long long b = json_integer_value(begin), e = json_integer_value(end);
    if (b < 0 || e < b) return wrong_tensor(f, name, entry, "data_offsets", pair);
    if ((uint64_t)e > f->data_size)
        return fv_fail(f->err, FV_BAD_MODEL, "%s: tensor %s: data_offsets [%lld, %lld] end behind the file's %llu bytes of data: it is cut off", f->place,
                       name, b, e, (unsigned long long)f->data_size);
    if ((uint64_t)(e - b) != bytes) {
        char shape[96];
        fv_shape_text(*view, shape);
        return fv_fail(f->err, FV_BAD_MODEL, "%s: tensor %s: data_offsets [%lld, %lld] do not match shape %s of %s (%llu bytes)", f->place, name, b, e,
                       shape, fv_dtype_name(view->dtype), (unsigned long long)bytes);
    }
    *at = (span){name, (uint64_t)b, (uint64_t)e};
    view->data = (void *)(uintptr_t)(f->data + b);
    return FV_OK;
}

static int by_place(const void *a, const void *b) {
    const span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted by place, the tensors begin at 0, touch, and end with the file. */
static fv_status check_tiling(const file_view *f, span *spans, size_t count) {
    if (count) qsort(spans, count, sizeof *spans, by_place);
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin != at)
            return fv_fail(f->err, FV_BAD_MODEL, "%s: tensor %s begins at %llu, but the data before it end at %llu (%s)", f->place, spans[i].name,
                           (unsigned long long)spans[i].begin, (unsigned long long)at, spans[i].begin < at ? "an overlap" : "a hole");
        at = spans[i].end;
    }
    if (at == f->data_size) return FV_OK;
    return fv_fail(f->err, FV_BAD_MODEL, "%s: the tensors end at %llu, but the file has %llu bytes of data", f->place, (unsigned long long)at,
                   (unsigned long long)f->data_size);
}

static fv_status check_metadata(const file_view *f) {
    json_t *metadata = json_object_get(f->header, "__metadata__");
    const char *key;
    json_t *value;
    if (metadata && !json_is_object(metadata)) return fv_fail(f->err, FV_BAD_MODEL, "%s: __metadata__ must be an object", f->place);
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value)) return fv_fail(f->err, FV_BAD_MODEL, "%s: __metadata__: %s must be a text", f->place, key);
    }
    return FV_OK;
}

/* What a file gives away: *tensors (malloc'ed), with names that live as long as f->header. */
static fv_status read_tensors(file_view *f, fv_tensor **tensors, size_t *count) {
    *tensors = NULL;
    *count = 0;
    FV_TRY(read_header(f));
    FV_TRY(check_metadata(f));
    size_t room = json_object_size(f->header);
    span *spans = calloc(room + 1, sizeof *spans);
    *tensors = calloc(room + 1, sizeof **tensors);
    fv_status status = spans && *tensors ? FV_OK : fv_fail(f->err, FV_NO_MEMORY, "%s: out of memory for %zu tensors", f->place, room);
    const char *name;
    json_t *entry;
    json_object_foreach(f->header, name, entry) {
        if (status != FV_OK) break;
        if (strcmp(name, "__metadata__") == 0) continue;
        fv_tensor *t = *tensors + *count;
        t->name = name;
        status = read_entry(f, name, entry, &t->view, spans + *count);
        ++*count;
    }
    if (status == FV_OK) status = check_tiling(f, spans, *count);
    free(spans);
    return status;
}

fv_status fv_weights_check(const void *bytes, size_t size, const char *name, fv_error *err) {
    file_view f = {.bytes = bytes, .size = size, .place = name, .err = err};
    fv_tensor *tensors;
    size_t count;
    fv_status status = read_tensors(&f, &tensors, &count);
    free(tensors);
    json_decref(f.header);
    return status;
}

/* ---- Collecting files ---- */

static int by_name(const void *a, const void *b) { return strcmp(((const fv_tensor *)a)->name, ((const fv_tensor *)b)->name); }

/* Appends a file's tensors, with copies of their names. */
static fv_status add_tensors(fv_weights *w, const fv_tensor *tensors, size_t count, fv_error *err) {
    fv_tensor *all = realloc(w->tensors, (w->count + count + 1) * sizeof *all);
    if (all) w->tensors = all;
    bool fine = all;
    for (size_t i = 0; fine && i < count; i++) {
        fv_tensor *t = &all[w->count++];
        *t = tensors[i];
        t->name = strdup(tensors[i].name);
        fine = t->name;
    }
    return fine ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory for its names", w->path);
}

static fv_status add_file(fv_weights *w, const char *path, fv_error *err) {
    fv_map *maps = realloc(w->maps, (w->map_count + 1) * sizeof *maps);
    if (!maps) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", w->path);
    w->maps = maps;
    FV_TRY(fv_map_open(&maps[w->map_count], path, err));
    const fv_map *map = &maps[w->map_count++];
    file_view f = {.bytes = map->data, .size = map->size, .place = path, .err = err};
    fv_tensor *tensors;
    size_t count;
    fv_status status = read_tensors(&f, &tensors, &count);
    if (status == FV_OK) status = add_tensors(w, tensors, count, err);
    free(tensors);
    json_decref(f.header);
    return status;
}

/* The order, no name twice, and aligned data. */
static fv_status finish(fv_weights *w, fv_error *err) {
    if (w->count) qsort(w->tensors, w->count, sizeof *w->tensors, by_name);
    w->copies = calloc(w->count + 1, sizeof *w->copies);
    if (!w->copies) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", w->path);
    for (size_t i = 0; i < w->count; i++) {
        fv_tensor *t = &w->tensors[i];
        if (i && strcmp(t[-1].name, t->name) == 0) return fv_fail(err, FV_BAD_MODEL, "%s: tensor %s is in more than one shard", w->path, t->name);
        size_t bytes = fv_bytes(t->view);
        if (bytes == 0 || (uintptr_t)t->view.data % fv_dtype_size(t->view.dtype) == 0) continue;
        w->copies[i] = malloc(bytes);
        if (!w->copies[i]) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for tensor %s (%zu bytes)", w->path, t->name, bytes);
        memcpy(w->copies[i], t->view.data, bytes);
        t->view.data = w->copies[i];
    }
    return FV_OK;
}

/* The files that weight_map names, each once. Shards lie beside the index: a name with a slash is refused. */
static fv_status add_shards(fv_weights *w, const char *folder, const char *index_path, json_t *map, fv_error *err) {
    json_t *seen = json_object();
    const char *name;
    json_t *value;
    fv_status status = seen ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", index_path);
    json_object_foreach(map, name, value) {
        const char *file = json_string_value(value);
        if (status != FV_OK) break;
        if (!file || !file[0] || strchr(file, '/')) {
            status = fv_fail(err, FV_BAD_MODEL, "%s: weight_map: %s must be the name of a file beside the index", index_path, name);
        } else if (!json_object_get(seen, file)) {
            json_object_set_new(seen, file, json_true());
            char *path = fv_path_join(folder, file);
            status = add_file(w, path, err);
            free(path);
        }
    }
    json_decref(seen);
    return status;
}

static fv_status open_index(fv_weights *w, const char *folder, const char *index_path, fv_error *err) {
    json_t *index, *map;
    FV_TRY(fv_json_read(&index, index_path, FV_BAD_MODEL, err));
    fv_status status = fv_json_object((fv_json_at){index, index_path, FV_BAD_MODEL}, "weight_map", &map, err);
    if (status == FV_OK) status = add_shards(w, folder, index_path, map, err);
    if (status == FV_OK) status = finish(w, err);
    const char *name;
    json_t *value;
    if (status == FV_OK) {
        json_object_foreach(map, name, value) {
            if (fv_weights_find(w, name)) continue;
            status = fv_fail(err, FV_BAD_MODEL, "%s: weight_map: tensor %s is not in %s", index_path, name, json_string_value(value));
            break;
        }
    }
    json_decref(index);
    return status;
}

static fv_status open_path(fv_weights *w, const char *path, fv_error *err) {
    if (!fv_folder_exists(path)) {
        FV_TRY(add_file(w, path, err));
        return finish(w, err);
    }
    char *whole = fv_path_join(path, "model.safetensors"), *index = fv_path_join(path, "model.safetensors.index.json");
    char *adapter = fv_path_join(path, "adapter_model.safetensors");
    fv_status status;
    if (!fv_file_exists(whole) && fv_file_exists(index)) {
        status = open_index(w, path, index, err);
    } else if (fv_file_exists(whole) || fv_file_exists(adapter)) {
        status = add_file(w, fv_file_exists(whole) ? whole : adapter, err);
        if (status == FV_OK) status = finish(w, err);
    } else {
        status = fv_fail(err, FV_BAD_MODEL,
                         "%s: no weights: model.safetensors, model.safetensors.index.json or adapter_model.safetensors must be there (files named .bin or "
                         ".pt have to be converted first)",
                         path);
    }
    free(whole);
    free(index);
    free(adapter);
    return status;
}

fv_status fv_weights_open(fv_weights **out, const char *path, fv_error *err) {
    *out = NULL;
    fv_weights *w = calloc(1, sizeof *w);
    if (!w || !path || !(w->path = strdup(path))) {
        free(w);
        return fv_fail(err, FV_NO_MEMORY, "out of memory for weights");
    }
    fv_status status = open_path(w, path, err);
    if (status == FV_OK) *out = w;
    else fv_weights_close(w);
    return status;
}

void fv_weights_close(fv_weights *w) {
    if (!w) return;
    for (size_t i = 0; i < w->map_count; i++) fv_map_close(&w->maps[i]);
    for (size_t i = 0; i < w->count; i++) {
        free((void *)(uintptr_t)w->tensors[i].name);
        if (w->copies) free(w->copies[i]);
        if (w->stored && w->tensors[i].view.data != w->stored[i].data) free(w->tensors[i].view.data);
    }
    free(w->copies);
    free(w->stored);
    free(w->maps);
    free(w->tensors);
    free(w->path);
    free(w);
}

/* ---- F16 ---- */

fv_status fv_weights_widen(fv_weights *w, fv_error *err) {
    if (w->stored) return FV_OK;
    w->stored = calloc(w->count + 1, sizeof *w->stored);
    if (!w->stored) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", w->path);
    for (size_t i = 0; i < w->count; i++) w->stored[i] = w->tensors[i].view;
    for (size_t i = 0; i < w->count; i++) {
        fv_view *v = &w->tensors[i].view;
        int64_t n = fv_elements(*v);
        if (v->dtype != FV_F16 || n == 0) continue;
        float *wide = malloc((size_t)n * sizeof *wide);
        if (!wide) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for tensor %s as F32 (%lld numbers)", w->path, w->tensors[i].name, (long long)n);
        fv_to_f32(wide, v->data, FV_F16, n);
        v->data = wide;
        v->dtype = FV_F32;
    }
    return FV_OK;
}

fv_view fv_weights_stored(const fv_weights *w, size_t i) { return w->stored ? w->stored[i] : w->tensors[i].view; }

/* ---- Looking up ---- */

size_t fv_weights_count(const fv_weights *w) { return w->count; }
const fv_tensor *fv_weights_at(const fv_weights *w, size_t i) { return &w->tensors[i]; }

const fv_tensor *fv_weights_find(const fv_weights *w, const char *name) {
    fv_tensor key = {.name = name};
    return w->count ? bsearch(&key, w->tensors, w->count, sizeof key, by_name) : NULL;
}

fv_status fv_weights_get(const fv_weights *w, const char *name, fv_view *out, fv_error *err) {
    const fv_tensor *t = fv_weights_find(w, name);
    if (t) {
        *out = t->view;
        return FV_OK;
    }
    const char **names = malloc((w->count + 1) * sizeof *names);
    for (size_t i = 0; names && i < w->count; i++) names[i] = w->tensors[i].name;
    const char *near = names ? fv_suggest(name, names, w->count) : NULL;
    free(names);
    return fv_fail(err, FV_BAD_MODEL, "%s: no tensor %s%s%s%s", w->path, name, near ? " (there is " : "", near ? near : "", near ? ")" : "");
}
