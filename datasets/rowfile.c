#include "datasets/rowfile.h"

#include "core/random.h"

#include <stdlib.h>
#include <string.h>

/* ---- skimming JSON: just enough to find where values end ---------------------------------------------------------------- */

typedef struct {
    const char *at, *end;
    uint32_t line;
} fv_skim;

static bool fv_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

static void fv_skim_blanks(fv_skim *s) {
    for (; s->at < s->end && fv_blank(*s->at); s->at++) s->line += *s->at == '\n';
}

/* Past a string that begins here. */
static void fv_skim_string(fv_skim *s) {
    for (s->at++; s->at < s->end && *s->at != '"'; s->at++) {
        if (*s->at == '\\') s->at++;
        if (s->at < s->end) s->line += *s->at == '\n';
    }
    s->at = s->at < s->end ? s->at + 1 : s->end;
}

/* Past one value: an object or list with all in it, a string, or a word up to what ends it. Nothing, if none begins here. Malformed values end
 * somewhere; the parser complains about them when the row is read. */
static void fv_skim_value(fv_skim *s) {
    int64_t depth = 0;
    while (s->at < s->end) {
        char c = *s->at;
        bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        if (depth == 0 && (closes || c == ',' || c == ':' || fv_blank(c))) return;
        if (c == '"') {
            fv_skim_string(s);
        } else {
            depth += opens - closes;
            s->line += c == '\n';
            s->at++;
        }
        if (depth == 0 && (c == '"' || closes)) return;
    }
}

/* The text of the top-level "id" of an object, without the quotes of a string; size 0 if there is none. */
static size_t fv_skim_id(const char *text, size_t size, const char **id) {
    fv_skim s = {text + 1, text + size, 0};
    while (s.at < s.end) {
        fv_skim_blanks(&s);
        const char *key = s.at;
        if (key >= s.end || *key != '"') return 0;
        fv_skim_string(&s);
        bool found = s.at - key == 4 && memcmp(key, "\"id\"", 4) == 0;
        fv_skim_blanks(&s);
        if (s.at >= s.end || *s.at != ':') return 0;
        s.at++;
        fv_skim_blanks(&s);
        *id = s.at;
        fv_skim_value(&s);
        if (s.at == *id) return 0;
        if (found && **id == '"' && s.at - *id >= 2) return (size_t)(s.at - ++*id - 1);
        if (found) return (size_t)(s.at - *id);
        fv_skim_blanks(&s);
        if (s.at >= s.end || *s.at != ',') return 0;
        s.at++;
    }
    return 0;
}

/* ---- the index ------------------------------------------------------------------------------------------------------ */

static fv_status fv_add_row(fv_rowfile *f, int64_t *room, const char *begin, const char *end, uint32_t line, fv_error *err) {
    if (f->count == *room) {
        *room = *room ? 2 * *room : 256;
        fv_row_at *more = realloc(f->rows, (size_t)*room * sizeof *more);
        if (more == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for its index", f->path);
        f->rows = more;
    }
    if ((uint64_t)(end - begin) > UINT32_MAX) return fv_fail(err, FV_BAD_DATA, "%s:%u: a row of more than 4 GB", f->path, line);
    f->rows[f->count++] = (fv_row_at){(uint64_t)(begin - (const char *)f->map.data), (uint32_t)(end - begin), line};
    return FV_OK;
}

static fv_status fv_index_lines(fv_rowfile *f, const char *at, const char *end, fv_error *err) {
    int64_t room = 0;
    for (uint32_t line = 1; at < end; line++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end, *begin = at;
        at = newline ? newline + 1 : end;
        while (begin < stop && fv_blank(*begin)) begin++;
        while (stop > begin && fv_blank(stop[-1])) stop--;
        if (begin < stop) FV_TRY(fv_add_row(f, &room, begin, stop, line, err));
    }
    return FV_OK;
}

static fv_status fv_index_array(fv_rowfile *f, const char *at, const char *end, fv_error *err) {
    int64_t room = 0;
    fv_skim s = {at, end, 1};
    fv_skim_blanks(&s);
    for (s.at++;;) {
        fv_skim_blanks(&s);
        if (s.at < s.end && *s.at == ']' && f->count == 0) return FV_OK;
        const char *begin = s.at;
        uint32_t line = s.line;
        fv_skim_value(&s);
        if (s.at == begin) return fv_fail(err, FV_BAD_DATA, "%s:%u: a row is missing, or the array is not closed", f->path, s.line);
        FV_TRY(fv_add_row(f, &room, begin, s.at, line, err));
        fv_skim_blanks(&s);
        if (s.at >= s.end) return fv_fail(err, FV_BAD_DATA, "%s:%u: the file ends inside its array: cut short?", f->path, s.line);
        if (*s.at == ']') return FV_OK;
        if (*s.at != ',') return fv_fail(err, FV_BAD_DATA, "%s:%u: , or ] must follow a row, got \"%c\"", f->path, s.line, *s.at);
        s.at++;
    }
}

/* ---- ids ------------------------------------------------------------------------------------------------------------ */

typedef struct {
    uint64_t hash;
    int64_t row;
} fv_id_hash;

static int fv_by_hash(const void *a, const void *b) {
    const fv_id_hash *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static size_t fv_id_of(const fv_rowfile *f, int64_t i, const char **id) {
    const char *text = fv_rowfile_text(f, i);
    return text[0] == '{' ? fv_skim_id(text, f->rows[i].size, id) : 0;
}

/* Ids name files and groups: equal ones would mix up results hours later, so that they are looked for before anything starts. */
static fv_status fv_check_ids(const fv_rowfile *f, fv_error *err) {
    fv_id_hash *ids = malloc((size_t)f->count * sizeof *ids);
    if (ids == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for its ids", f->path);
    int64_t n = 0;
    for (int64_t i = 0; i < f->count; i++) {
        const char *id;
        size_t size = fv_id_of(f, i, &id);
        if (size > 0) ids[n++] = (fv_id_hash){fv_hash_bytes(id, size), i};
    }
    qsort(ids, (size_t)n, sizeof *ids, fv_by_hash);
    int64_t first = -1, second = -1; /* the pair whose second row comes first in the file */
    for (int64_t k = 1; k < n; k++) {
        const char *a, *b;
        if (ids[k].hash != ids[k - 1].hash || (second >= 0 && ids[k].row >= second)) continue;
        size_t size = fv_id_of(f, ids[k - 1].row, &a);
        if (size != fv_id_of(f, ids[k].row, &b) || memcmp(a, b, size) != 0) continue;
        first = ids[k - 1].row;
        second = ids[k].row;
    }
    free(ids);
    if (second < 0) return FV_OK;
    const char *id;
    size_t size = fv_id_of(f, second, &id);
    return fv_fail(err, FV_BAD_DATA, "%s:%u: id must be unique, but %.*s is also that of line %u", f->path, f->rows[second].line, (int)(size < 80 ? size : 80), id,
                   f->rows[first].line);
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static fv_status fv_index(fv_rowfile *f, fv_error *err) {
    const char *at = (const char *)f->map.data, *end = at + f->map.size;
    if (f->map.size >= 4 && memcmp(at, "PAR1", 4) == 0)
        return fv_fail(err, FV_UNSUPPORTED,
                       "%s: Parquet is not read; convert it (pip install pandas pyarrow):\n"
                       "python3 -c \"import sys,json,base64,pandas as p; [print(json.dumps(r, default=lambda o: base64.b64encode(o).decode() if isinstance(o, bytes) "
                       "else o.tolist())) for r in p.read_parquet(sys.argv[1]).to_dict('records')]\" '%s' > rows.jsonl",
                       f->path, f->path);
    if (f->map.size >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0) at += 3;
    fv_skim first = {at, end, 1};
    fv_skim_blanks(&first);
    if (first.at < end && *first.at == '[') FV_TRY(fv_index_array(f, at, end, err));
    else if (first.at < end) FV_TRY(fv_index_lines(f, at, end, err));
    if (f->count == 0) return fv_fail(err, FV_BAD_DATA, "%s: no rows in it", f->path);
    return fv_check_ids(f, err);
}

fv_status fv_rowfile_open(fv_rowfile *out, const char *path, fv_error *err) {
    *out = (fv_rowfile){.path = strdup(path)};
    fv_status s = out->path == NULL ? fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path) : fv_map_open(&out->map, path, err);
    if (s == FV_OK) s = fv_index(out, err);
    if (s != FV_OK) fv_rowfile_close(out);
    return s;
}

void fv_rowfile_close(fv_rowfile *f) {
    fv_map_close(&f->map);
    free(f->path);
    free(f->rows);
    *f = (fv_rowfile){.path = NULL};
}
