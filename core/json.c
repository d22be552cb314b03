#include "core/json.h"

#include "core/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Reading ---- */

/* Appends `text` with ".0" behind every integer that does not fit into 64 bits, so that jansson reads it as a real. */
static void widen_integers(fv_text *out, const char *text, size_t size) {
    bool in_string = false;
    size_t copied = 0;
    for (size_t i = 0; i < size; i++) {
        if (in_string && text[i] == '\\') i++;
        else if (text[i] == '"') in_string = !in_string;
        if (in_string || i >= size || ((text[i] < '0' || text[i] > '9') && text[i] != '-')) continue;
        size_t end = i + 1; /* a number outside of strings: up to a character that can't belong to it */
        bool integer = true;
        for (; end < size && strchr("0123456789.eE+-", text[end]) && text[end]; end++)
            if (text[end] < '0' || text[end] > '9') integer = false;
        size_t digits = end - i - (text[i] == '-');
        char word[24] = "";
        if (integer && digits <= 19) memcpy(word, text + i, end - i);
        char back[24];
        snprintf(back, sizeof back, "%lld", strtoll(word, NULL, 10));
        if (integer && (digits > 19 || (digits == 19 && strcmp(back, word) != 0))) {
            fv_text_bytes(out, text + copied, end - copied);
            fv_text_add(out, ".0");
            copied = end;
        }
        i = end - 1;
    }
    fv_text_bytes(out, text + copied, size - copied);
}

static fv_status parse(json_t **out, const char *text, size_t size, const char *place, int line, size_t flags, fv_status status, fv_error *err) {
    json_error_t why;
    flags |= JSON_DECODE_ANY;
    *out = json_loadb(text, size, flags, &why);
    if (!*out && json_error_code(&why) == json_error_numeric_overflow) {
        fv_text wide = {0};
        widen_integers(&wide, text, size);
        if (!wide.failed) *out = json_loadb(wide.data, wide.size, flags, &why);
        fv_text_clear(&wide);
    }
    if (*out) return FV_OK;
    if (json_error_code(&why) == json_error_out_of_memory) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for its JSON", place);
    return fv_fail(err, status, "%s:%d:%d: not JSON: %s", place, line + (why.line > 0 ? why.line - 1 : 0), why.column > 0 ? why.column : 1, why.text);
}

fv_status fv_json_parse(json_t **out, const char *text, size_t size, const char *place, int line, fv_status status, fv_error *err) {
    return parse(out, text, size, place, line, 0, status, err);
}

fv_status fv_json_parse_strict(json_t **out, const char *text, size_t size, const char *place, int line, fv_status status, fv_error *err) {
    return parse(out, text, size, place, line, JSON_REJECT_DUPLICATES, status, err);
}

fv_status fv_json_read(json_t **out, const char *path, fv_status status, fv_error *err) {
    char *text;
    size_t size;
    *out = NULL;
    FV_TRY(fv_file_read(&text, &size, path, err));
    status = fv_json_parse(out, text, size, path, 1, status, err);
    free(text);
    return status;
}

/* ---- Fields ---- */

/* The value at a path of keys, null included; NULL if it is missing. */
static json_t *value_at(const json_t *root, const char *field) {
    const json_t *at = root;
    while (at && *field) {
        size_t n = strcspn(field, ".");
        at = json_is_object(at) ? json_object_getn(at, field, n) : NULL;
        field += n + (field[n] == '.');
    }
    return (json_t *)(uintptr_t)at;
}

json_t *fv_json_find(const json_t *root, const char *field) {
    json_t *value = value_at(root, field);
    return json_is_null(value) ? NULL : value;
}

fv_status fv_json_wrong(fv_json_at at, const char *field, const char *rule, fv_error *err) {
    const json_t *value = value_at(at.root, field);
    if (!value) return fv_fail(err, at.status, "%s: %s %s, but it is missing", at.place, field, rule);
    fv_text got = {0};
    fv_json_dump(&got, value, 0);
    const char *shown = got.data ? got.data : "";
    int length = 0; /* whole characters only */
    while (length < 60 && shown[length]) {
        int n = fv_utf8_length(shown + length, strlen(shown + length));
        length += n > 0 ? n : 1;
    }
    fv_fail(err, at.status, "%s: %s %s, got %.*s%s", at.place, field, rule, length, shown, shown[length] ? "..." : "");
    fv_text_clear(&got);
    return at.status;
}

fv_status fv_json_text(fv_json_at at, const char *field, const char **out, fv_error *err) {
    const json_t *value = fv_json_find(at.root, field);
    if (!json_is_string(value)) return fv_json_wrong(at, field, "must be a text", err);
    *out = json_string_value(value);
    return FV_OK;
}

fv_status fv_json_int(fv_json_at at, const char *field, int64_t lo, int64_t hi, int64_t *out, fv_error *err) {
    const json_t *value = fv_json_find(at.root, field);
    char rule[96];
    snprintf(rule, sizeof rule, "must be an integer in %lld..%lld", (long long)lo, (long long)hi);
    if (!json_is_integer(value) || json_integer_value(value) < lo || json_integer_value(value) > hi) return fv_json_wrong(at, field, rule, err);
    *out = json_integer_value(value);
    return FV_OK;
}

fv_status fv_json_num(fv_json_at at, const char *field, double *out, fv_error *err) {
    const json_t *value = fv_json_find(at.root, field);
    if (!json_is_number(value)) return fv_json_wrong(at, field, "must be a number", err);
    *out = json_number_value(value);
    return FV_OK;
}

fv_status fv_json_bool(fv_json_at at, const char *field, bool *out, fv_error *err) {
    const json_t *value = fv_json_find(at.root, field);
    if (!json_is_boolean(value)) return fv_json_wrong(at, field, "must be true or false", err);
    *out = json_is_true(value);
    return FV_OK;
}

fv_status fv_json_list(fv_json_at at, const char *field, json_t **out, fv_error *err) {
    json_t *value = fv_json_find(at.root, field);
    if (!json_is_array(value)) return fv_json_wrong(at, field, "must be a list", err);
    *out = value;
    return FV_OK;
}

fv_status fv_json_object(fv_json_at at, const char *field, json_t **out, fv_error *err) {
    json_t *value = fv_json_find(at.root, field);
    if (!json_is_object(value)) return fv_json_wrong(at, field, "must be an object", err);
    *out = value;
    return FV_OK;
}

fv_status fv_json_text_or(fv_json_at at, const char *field, const char *fallback, const char **out, fv_error *err) {
    *out = fallback;
    return fv_json_find(at.root, field) ? fv_json_text(at, field, out, err) : FV_OK;
}

fv_status fv_json_int_or(fv_json_at at, const char *field, int64_t lo, int64_t hi, int64_t fallback, int64_t *out, fv_error *err) {
    *out = fallback;
    return fv_json_find(at.root, field) ? fv_json_int(at, field, lo, hi, out, err) : FV_OK;
}

fv_status fv_json_num_or(fv_json_at at, const char *field, double fallback, double *out, fv_error *err) {
    *out = fallback;
    return fv_json_find(at.root, field) ? fv_json_num(at, field, out, err) : FV_OK;
}

fv_status fv_json_bool_or(fv_json_at at, const char *field, bool fallback, bool *out, fv_error *err) {
    *out = fallback;
    return fv_json_find(at.root, field) ? fv_json_bool(at, field, out, err) : FV_OK;
}

fv_status fv_json_list_or(fv_json_at at, const char *field, json_t **out, fv_error *err) {
    *out = NULL;
    return fv_json_find(at.root, field) ? fv_json_list(at, field, out, err) : FV_OK;
}

fv_status fv_json_object_or(fv_json_at at, const char *field, json_t **out, fv_error *err) {
    *out = NULL;
    return fv_json_find(at.root, field) ? fv_json_object(at, field, out, err) : FV_OK;
}

/* ---- Writing ---- */

static void line_break(fv_text *out, int indent, int depth) {
    fv_text_char(out, '\n');
    for (int i = 0; i < indent * depth; i++) fv_text_char(out, ' ');
}

static void dump(fv_text *out, const json_t *value, int indent, int depth);

/* Python writes "," before a line break and ", " on one line. */
static void dump_separator(fv_text *out, bool first, int indent, int depth) {
    if (!first) fv_text_add(out, indent > 0 ? "," : ", ");
    if (indent > 0) line_break(out, indent, depth + 1);
}

static void dump_object(fv_text *out, const json_t *object, int indent, int depth) {
    json_t *o = (json_t *)(uintptr_t)object; /* jansson's iterators want it so */
    fv_text_char(out, '{');
    for (void *i = json_object_iter(o), *first = i; i; i = json_object_iter_next(o, i)) {
        dump_separator(out, i == first, indent, depth);
        fv_text_json(out, json_object_iter_key(i), json_object_iter_key_len(i));
        fv_text_add(out, ": ");
        dump(out, json_object_iter_value(i), indent, depth + 1);
    }
    if (indent > 0 && json_object_size(o) > 0) line_break(out, indent, depth);
    fv_text_char(out, '}');
}

static void dump_list(fv_text *out, const json_t *list, int indent, int depth) {
    fv_text_char(out, '[');
    for (size_t i = 0; i < json_array_size(list); i++) {
        dump_separator(out, i == 0, indent, depth);
        dump(out, json_array_get(list, i), indent, depth + 1);
    }
    if (indent > 0 && json_array_size(list) > 0) line_break(out, indent, depth);
    fv_text_char(out, ']');
}

static void dump(fv_text *out, const json_t *value, int indent, int depth) {
    if (!value) {
        fv_text_add(out, "null");
        return;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT: dump_object(out, value, indent, depth); break;
    case JSON_ARRAY: dump_list(out, value, indent, depth); break;
    case JSON_STRING: fv_text_json(out, json_string_value(value), json_string_length(value)); break;
    case JSON_INTEGER: fv_text_i64(out, json_integer_value(value)); break;
    case JSON_REAL: fv_text_f64(out, json_real_value(value)); break;
    case JSON_TRUE: fv_text_add(out, "true"); break;
    case JSON_FALSE: fv_text_add(out, "false"); break;
    case JSON_NULL: fv_text_add(out, "null"); break;
    }
}

void fv_json_dump(fv_text *out, const json_t *value, int indent) { dump(out, value, indent, 0); }

fv_status fv_json_save(const json_t *value, const char *folder, const char *name, fv_error *err) {
    fv_text text = {0};
    if (value) fv_json_dump(&text, value, 2);
    else text.failed = true;
    fv_text_char(&text, '\n');
    return fv_file_save(folder, name, &text, err);
}

int fv_json_bit(const json_t *value, int missing) {
    double x = json_number_value(value);
    if (!value || json_is_null(value)) return missing;
    return json_is_number(value) && (x == 0 || x == 1) ? (int)x : -1;
}

const char *fv_json_word(const json_t *value, char *room) {
    if (!json_is_integer(value)) return json_string_value(value);
    snprintf(room, FV_JSON_WORD, "%lld", (long long)json_integer_value(value));
    return room;
}
