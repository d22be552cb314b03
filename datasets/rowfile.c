#include "datasets/rowfile.h"

#include "core/random.h"

#include <stdio.h>
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

/* The text of top-level field `name` (with its quotes) of an object, unless it is null; size 0 if there is none: *without says that the object is whole and has no such field (or null).
 * line: of the object's first character; *at_line: of the value's. */
static size_t fv_skim_field(const char *text, size_t size, uint32_t line, const char *name, const char **value, uint32_t *at_line, bool *without) {
    fv_skim s = {text + 1, text + size, line};
    size_t length = strlen(name);
    *without = false;
    while (s.at < s.end) {
        fv_skim_blanks(&s);
        const char *key = s.at;
        if (key >= s.end || *key != '"') return 0;
        fv_skim_string(&s);
        bool found = (size_t)(s.at - key) == length && memcmp(key, name, length) == 0;
        fv_skim_blanks(&s);
        if (s.at >= s.end || *s.at != ':') return 0;
        s.at++;
        fv_skim_blanks(&s);
        *value = s.at;
        *at_line = s.line;
        fv_skim_value(&s);
        if (s.at == *value) return 0;
        if (found && (s.at - *value != 4 || memcmp(*value, "null", 4) != 0)) return (size_t)(s.at - *value);
        fv_skim_blanks(&s);
        *without = s.at < s.end && *s.at == '}';
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

/* Past the ] of the array, where the file must end: rows behind it would be lost without a word. */
static fv_status fv_end_array(const fv_rowfile *f, fv_skim *s, fv_error *err) {
    s->at++;
    fv_skim_blanks(s);
    return s->at >= s->end ? FV_OK : fv_fail(err, FV_BAD_DATA, "%s:%u: the file goes on behind its array; rows a line (JSON lines) have no [ ] around them", f->path, s->line);
}

/* at: the [, in `line`. */
static fv_status fv_index_array(fv_rowfile *f, const char *at, const char *end, uint32_t line, fv_error *err) {
    int64_t room = 0;
    fv_skim s = {at, end, line};
    for (s.at++;;) {
        fv_skim_blanks(&s);
        if (s.at < s.end && *s.at == ']' && f->count == 0) return fv_end_array(f, &s, err);
        const char *begin = s.at;
        line = s.line;
        fv_skim_value(&s);
        if (s.at == begin) return fv_fail(err, FV_BAD_DATA, "%s:%u: a row is missing, or the array is not closed", f->path, s.line);
        FV_TRY(fv_add_row(f, &room, begin, s.at, line, err));
        fv_skim_blanks(&s);
        if (s.at >= s.end) return fv_fail(err, FV_BAD_DATA, "%s:%u: the file ends inside its array: cut short?", f->path, s.line);
        if (*s.at == ']') return fv_end_array(f, &s, err);
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

/* A row's id, which is its number where it has none, as when it is read; size 0 for what is no row. */
typedef struct {
    const char *text;
    size_t size;
    char number[24];
} fv_id;

static void fv_id_of(const fv_rowfile *f, int64_t i, fv_id *id) {
    const char *text = fv_rowfile_text(f, i);
    uint32_t line;
    bool without = false;
    id->size = text[0] == '{' ? fv_skim_field(text, f->rows[i].size, 0, "\"id\"", &id->text, &line, &without) : 0;
    if (id->size >= 2 && id->text[0] == '"') { /* without the quotes */
        id->text++;
        id->size -= 2;
    }
    if (!without) return;
    id->text = id->number;
    id->size = (size_t)snprintf(id->number, sizeof id->number, "%lld", (long long)i);
}

/* Told by the word alone: such rows are looked at in hundreds of thousands. */
static bool fv_is_conversation(const fv_rowfile *f, int64_t i) {
    static const char word[] = "\"conversations\"";
    return memmem(fv_rowfile_text(f, i), f->rows[i].size, word, sizeof word - 1) != NULL;
}

/* Ids name files and groups: equal ones would mix up results hours later, so that they are looked for before anything starts. */
static fv_status fv_check_ids(fv_rowfile *f, fv_error *err) {
    fv_id_hash *ids = malloc((size_t)f->count * sizeof *ids);
    if (ids == NULL) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for its ids", f->path);
    int64_t n = 0;
    fv_id a, b;
    for (int64_t i = 0; i < f->count; i++) {
        fv_id_of(f, i, &a);
        if (a.size > 0) ids[n++] = (fv_id_hash){fv_hash_bytes(a.text, a.size), i};
    }
    qsort(ids, (size_t)n, sizeof *ids, fv_by_hash);
    int64_t first = -1, second = -1; /* the pair whose second row comes first in the file */
    for (int64_t k = 1; k < n; k++) {
        if (ids[k].hash != ids[k - 1].hash || (second >= 0 && ids[k].row >= second)) continue;
        fv_id_of(f, ids[k - 1].row, &a);
        fv_id_of(f, ids[k].row, &b);
        if (a.size != b.size || memcmp(a.text, b.text, a.size) != 0) continue;
        if (fv_is_conversation(f, ids[k].row)) {
            f->ids_repeat = true;
            continue;
        }
        first = ids[k - 1].row;
        second = ids[k].row;
    }
    free(ids);
    if (second < 0) return FV_OK;
    fv_id_of(f, first, &a);
    fv_id_of(f, second, &b);
    bool numbered = a.text == a.number || b.text == b.number;
    return fv_fail(err, FV_BAD_DATA, "%s:%u: id must be unique, but %.*s is also that of line %u%s", f->path, f->rows[second].line, (int)(b.size < 80 ? b.size : 80), b.text,
                   f->rows[first].line, numbered ? " (a row without an id has its number, from 0)" : "");
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* The rows of a file that is one object with a list of them as `results`, as Video-R1's evaluation writes; 0: it is something else. */
static size_t fv_results(const fv_skim *first, const char **list, uint32_t *line) {
    fv_skim s = *first;
    bool without;
    if (s.at >= s.end || *s.at != '{') return 0;
    fv_skim_value(&s);
    fv_skim_blanks(&s);
    if (s.at < s.end) return 0;
    size_t size = fv_skim_field(first->at, (size_t)(s.end - first->at), first->line, "\"results\"", list, line, &without);
    if (size < 2 || **list != '[') return 0;
    fv_skim inside = {*list + 1, *list + size, 0};
    fv_skim_blanks(&inside);
    return inside.at < inside.end && *inside.at == '{' ? size : 0;
}

static fv_status fv_index(fv_rowfile *f, fv_error *err) {
    const char *at = f->map.size > 0 ? (const char *)f->map.data : "", *end = at + f->map.size; /* nothing is mapped of an empty file */
    if (f->map.size >= 4 && memcmp(at, "PAR1", 4) == 0)
        return fv_fail(err, FV_UNSUPPORTED,
                       "%s: Parquet is not read; convert it (pip install pyarrow):\n"
                       "python3 -c \"import sys,json,base64,pyarrow.parquet as q; [print(json.dumps(r, default=lambda o: base64.b64encode(o).decode() if isinstance(o, bytes) "
                       "else str(o))) for r in q.read_table(sys.argv[1]).to_pylist()]\" '%s' > rows.jsonl",
                       f->path, f->path);
    if (f->map.size >= 3 && memcmp(at, "\xEF\xBB\xBF", 3) == 0) at += 3;
    fv_skim first = {at, end, 1};
    fv_skim_blanks(&first);
    const char *list;
    uint32_t line = first.line;
    size_t size = fv_results(&first, &list, &line);
    if (size > 0) FV_TRY(fv_index_array(f, list, list + size, line, err));
    else if (first.at < end && *first.at == '[') FV_TRY(fv_index_array(f, first.at, end, line, err));
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
