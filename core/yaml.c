#include "core/yaml.h"

#include "core/file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { LONGEST_KEY = 256 }; /* libyaml takes no key of more than 1024 bytes in its usual form */

/* The name of a file or override, shared by the nodes that came from it. */
struct fv_yaml_source {
    size_t uses;
    char name[];
};

static struct fv_yaml_source *source_new(const char *name) {
    size_t n = strlen(name);
    struct fv_yaml_source *s = malloc(sizeof *s + n + 1);
    if (!s) return NULL;
    s->uses = 1;
    memcpy(s->name, name, n + 1);
    return s;
}

static struct fv_yaml_source *source_share(struct fv_yaml_source *s) {
    if (s) s->uses++;
    return s;
}

static void source_drop(struct fv_yaml_source *s) {
    if (s && --s->uses == 0) free(s);
}

/* ---- Nodes ---- */

fv_yaml *fv_yaml_new(fv_yaml_kind kind) {
    fv_yaml *node = calloc(1, sizeof *node);
    if (!node) return NULL;
    node->kind = kind;
    if (kind == FV_YAML_SCALAR && !(node->text = strdup("null"))) {
        free(node);
        return NULL;
    }
    return node;
}

void fv_yaml_free(fv_yaml *node) {
    if (!node) return;
    for (size_t i = 0; i < node->count; i++) fv_yaml_free(node->items[i]);
    source_drop(node->source);
    free(node->items);
    free(node->key);
    free(node->text);
    free(node);
}

static fv_yaml *new_scalar(const char *text, bool quoted) {
    fv_yaml *node = text ? fv_yaml_new(FV_YAML_SCALAR) : NULL;
    if (!node) return NULL;
    free(node->text);
    node->quoted = quoted;
    node->text = strdup(text);
    if (node->text) return node;
    fv_yaml_free(node);
    return NULL;
}

fv_yaml *fv_yaml_new_text(const char *text) { return new_scalar(text, true); }

fv_yaml *fv_yaml_new_bool(bool value) { return new_scalar(value ? "true" : "false", false); }

fv_yaml *fv_yaml_new_int(int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return new_scalar(text, false);
}

fv_yaml *fv_yaml_new_num(double value) {
    if (value != value) return new_scalar(".nan", false);
    if (value - value != 0) return new_scalar(value > 0 ? ".inf" : "-.inf", false);
    fv_text t = {0};
    fv_text_f64(&t, value);
    const char *e = t.failed ? NULL : strchr(t.data, 'e');
    fv_yaml *node = NULL;
    if (e && !strchr(t.data, '.')) { /* readers of YAML 1.1 take 1e-05 for a text, and 1.0e-05 for a number */
        char text[48];
        snprintf(text, sizeof text, "%.*s.0%s", (int)(e - t.data), t.data, e);
        node = new_scalar(text, false);
    } else if (!t.failed) {
        node = new_scalar(t.data, false);
    }
    fv_text_clear(&t);
    return node;
}

/* Copies with a budget: NULL when memory or *nodes runs out, or below `depth` levels. */
static fv_yaml *copy(const fv_yaml *node, int depth, size_t *nodes) {
    if (depth <= 0 || *nodes == 0) return NULL;
    --*nodes;
    fv_yaml *out = calloc(1, sizeof *out);
    if (!out) return NULL;
    *out = (fv_yaml){.kind = node->kind, .line = node->line, .quoted = node->quoted, .source = source_share(node->source)};
    bool fine = !node->text || (out->text = strdup(node->text));
    size_t room = 1; /* as fv_yaml_append expects it */
    while (room < node->count) room *= 2;
    if (node->count) fine = fine && (out->items = calloc(room, sizeof(fv_yaml *)));
    for (size_t i = 0; fine && i < node->count; i++) {
        const fv_yaml *item = node->items[i];
        fv_yaml *child = copy(item, depth - 1, nodes);
        if (child) out->items[out->count++] = child;
        fine = child && (!item->key || (child->key = strdup(item->key)));
    }
    if (fine) return out;
    fv_yaml_free(out);
    return NULL;
}

fv_yaml *fv_yaml_copy(const fv_yaml *node) {
    size_t nodes = SIZE_MAX;
    return copy(node, 4 * FV_YAML_DEPTH, &nodes);
}

/* A built node stands where it was put. */
static void adopt(fv_yaml *node, struct fv_yaml_source *source) {
    if (node->source) return;
    node->source = source_share(source);
    for (size_t i = 0; i < node->count; i++) adopt(node->items[i], source);
}

fv_status fv_yaml_append(fv_yaml *parent, fv_yaml *child, fv_error *err) {
    if (!parent || !child) {
        fv_yaml_free(child);
        return fv_fail(err, FV_NO_MEMORY, "out of memory for YAML");
    }
    if ((parent->count & (parent->count - 1)) == 0) { /* full at every power of two */
        size_t room = parent->count ? parent->count * 2 : 1;
        fv_yaml **items = realloc(parent->items, room * sizeof *items);
        if (!items) {
            fv_yaml_free(child);
            return fv_fail(err, FV_NO_MEMORY, "out of memory for YAML");
        }
        parent->items = items;
    }
    parent->items[parent->count++] = child;
    adopt(child, parent->source);
    return FV_OK;
}

fv_status fv_yaml_put(fv_yaml *mapping, const char *key, fv_yaml *child, fv_error *err) {
    char *name = child ? strdup(key) : NULL;
    if (!mapping || !name) {
        fv_yaml_free(child);
        free(name);
        return fv_fail(err, FV_NO_MEMORY, "out of memory for YAML");
    }
    free(child->key);
    child->key = name;
    for (size_t i = 0; i < mapping->count; i++) {
        if (strcmp(mapping->items[i]->key, key) != 0) continue;
        fv_yaml_free(mapping->items[i]);
        mapping->items[i] = child;
        adopt(child, mapping->source);
        return FV_OK;
    }
    return fv_yaml_append(mapping, child, err);
}

void fv_yaml_place(const fv_yaml *at, char *out, size_t size) {
    const char *name = at && at->source ? at->source->name : "recipe";
    if (at && at->line > 0) snprintf(out, size, "%s:%d", name, at->line);
    else snprintf(out, size, "%s", name);
}

fv_status fv_yaml_fail(const fv_yaml *at, fv_error *err, const char *format, ...) {
    char place[256], text[768];
    fv_yaml_place(at, place, sizeof place);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fv_fail(err, FV_BAD_RECIPE, "%s: %s", place, text);
}

/* ---- Reading ---- */

typedef struct {
    yaml_parser_t parser;
    struct fv_yaml_source *source;
    struct {
        char *name;
        const fv_yaml *node;
    } *anchors;
    size_t anchor_count, nodes_left;
    fv_error *err;
} reader;

static fv_status out_of_memory(reader *r) { return fv_fail(r->err, FV_NO_MEMORY, "%s: out of memory for YAML", r->source->name); }

static fv_status next_event(reader *r, yaml_event_t *event) {
    yaml_parser_t *p = &r->parser;
    if (yaml_parser_parse(p, event)) return FV_OK;
    if (p->error == YAML_MEMORY_ERROR) return out_of_memory(r);
    const char *problem = p->problem ? p->problem : "unreadable";
    if (p->error == YAML_READER_ERROR) return fv_fail(r->err, FV_BAD_RECIPE, "%s: not YAML: byte %zu: %s", r->source->name, p->problem_offset, problem);
    return fv_fail(r->err, FV_BAD_RECIPE, "%s:%zu:%zu: not YAML: %s%s%s", r->source->name, p->problem_mark.line + 1,
                   p->problem_mark.column + 1, p->context ? p->context : "", p->context ? ", " : "", problem);
}

static fv_status wrong(reader *r, const yaml_event_t *event, const char *rule, const char *value) {
    return fv_fail(r->err, FV_BAD_RECIPE, "%s:%zu: %s%s", r->source->name, event->start_mark.line + 1, rule, value);
}

/* Known under its name from now on, so an alias can't stand inside of what it names. */
static fv_status add_anchor(reader *r, const yaml_char_t *name, const fv_yaml *node) {
    if (!name) return FV_OK;
    void *more = realloc(r->anchors, (r->anchor_count + 1) * sizeof *r->anchors);
    if (!more) return out_of_memory(r);
    r->anchors = more;
    r->anchors[r->anchor_count].node = node;
    r->anchors[r->anchor_count].name = strdup((const char *)name);
    return r->anchors[r->anchor_count++].name ? FV_OK : out_of_memory(r);
}

static fv_status read_alias(reader *r, const yaml_event_t *event, int depth, fv_yaml **out) {
    const char *name = (const char *)event->data.alias.anchor;
    for (size_t i = r->anchor_count; i-- > 0;) { /* the latest of equal names */
        if (strcmp(r->anchors[i].name, name) != 0) continue;
        *out = copy(r->anchors[i].node, depth, &r->nodes_left);
        return *out ? FV_OK : wrong(r, event, "too large or too deep with the alias *", name);
    }
    return wrong(r, event, "no anchor before this alias: *", name);
}

static fv_status read_scalar(reader *r, const yaml_event_t *event, fv_yaml *node) {
    const char *tag = (const char *)event->data.scalar.tag, *text = (const char *)event->data.scalar.value;
    bool is_text = tag && (strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0);
    if (tag && !is_text) return wrong(r, event, "tags are not supported: ", tag);
    if (strlen(text) != event->data.scalar.length) return wrong(r, event, "a text must not contain the character 0", "");
    node->quoted = is_text || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    node->text = strdup(text);
    return node->text ? add_anchor(r, event->data.scalar.anchor, node) : out_of_memory(r);
}

static fv_status read_node(reader *r, const yaml_event_t *event, int depth, fv_yaml **out);

static fv_status read_items(reader *r, fv_yaml *node, int depth) {
    bool mapping = node->kind == FV_YAML_MAPPING;
    for (;;) {
        yaml_event_t event;
        FV_TRY(next_event(r, &event));
        bool end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
        fv_status status = FV_OK;
        char key[LONGEST_KEY + 1] = "";
        if (mapping && !end) {
            const char *text = event.type == YAML_SCALAR_EVENT ? (const char *)event.data.scalar.value : NULL;
            if (!text) status = wrong(r, &event, "a key must be a plain word", "");
            else if (event.data.scalar.length > LONGEST_KEY || strlen(text) != event.data.scalar.length)
                status = wrong(r, &event, "a key must have at most 256 characters, none of them 0", "");
            else if (fv_yaml_get(node, strcpy(key, text))) status = wrong(r, &event, "this key is given twice: ", key);
            yaml_event_delete(&event);
            if (status == FV_OK) status = next_event(r, &event);
            if (status != FV_OK) return status;
        }
        fv_yaml *child = NULL;
        if (!end) status = read_node(r, &event, depth - 1, &child);
        yaml_event_delete(&event);
        if (status != FV_OK || end) return status;
        if (mapping && !(child->key = strdup(key))) {
            fv_yaml_free(child);
            return out_of_memory(r);
        }
        FV_TRY(fv_yaml_append(node, child, r->err));
    }
}

/* The node that begins with `event`, which stays the caller's. */
static fv_status read_node(reader *r, const yaml_event_t *event, int depth, fv_yaml **out) {
    *out = NULL;
    if (depth <= 0) return wrong(r, event, "nested too deeply", "");
    if (event->type == YAML_ALIAS_EVENT) return read_alias(r, event, depth, out);
    if (r->nodes_left == 0) return wrong(r, event, "too many values in one file", "");
    r->nodes_left--;
    fv_yaml *node = calloc(1, sizeof *node);
    if (!node) return out_of_memory(r);
    *node = (fv_yaml){.line = (int)event->start_mark.line + 1, .source = source_share(r->source)};
    fv_status status;
    if (event->type == YAML_SCALAR_EVENT) {
        status = read_scalar(r, event, node);
    } else {
        bool mapping = event->type == YAML_MAPPING_START_EVENT;
        const yaml_char_t *tag = mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;
        node->kind = mapping ? FV_YAML_MAPPING : FV_YAML_SEQUENCE;
        status = tag ? wrong(r, event, "tags are not supported: ", (const char *)tag) : read_items(r, node, depth);
        if (status == FV_OK) status = add_anchor(r, mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor, node);
    }
    if (status == FV_OK) *out = node;
    else fv_yaml_free(node);
    return status;
}

/* Stream start, one document or none, stream end. */
static fv_status read_stream(reader *r, fv_yaml **out) {
    for (;;) {
        yaml_event_t event;
        FV_TRY(next_event(r, &event));
        fv_status status = FV_OK;
        bool end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT) {
            if (*out) status = wrong(r, &event, "one file holds one document", "");
        } else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_END_EVENT && !end) {
            status = read_node(r, &event, FV_YAML_DEPTH, out);
        }
        yaml_event_delete(&event);
        if (status != FV_OK || end) return status;
    }
}

fv_status fv_yaml_parse(fv_yaml **out, const char *text, size_t size, const char *name, fv_error *err) {
    *out = NULL;
    reader r = {.nodes_left = FV_YAML_NODES, .err = err, .source = source_new(name)};
    if (!r.source || !yaml_parser_initialize(&r.parser)) {
        source_drop(r.source);
        return fv_fail(err, FV_NO_MEMORY, "%s: out of memory for YAML", name);
    }
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    fv_status status = read_stream(&r, out);
    if (status == FV_OK && !*out) {
        *out = fv_yaml_new(FV_YAML_MAPPING);
        if (*out) adopt(*out, r.source);
        else status = out_of_memory(&r);
    }
    if (status != FV_OK) {
        fv_yaml_free(*out);
        *out = NULL;
    }
    yaml_parser_delete(&r.parser);
    for (size_t i = 0; i < r.anchor_count; i++) free(r.anchors[i].name);
    free(r.anchors);
    source_drop(r.source);
    return status;
}

fv_status fv_yaml_read(fv_yaml **out, const char *path, fv_error *err) {
    char *text;
    size_t size;
    *out = NULL;
    FV_TRY(fv_file_read(&text, &size, path, err));
    fv_status status = fv_yaml_parse(out, text, size, path, err);
    free(text);
    return status;
}

/* ---- What a scalar is (core schema) ---- */

static bool one_of(const char *text, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(text, words[i]) == 0) return true;
    return false;
}

static const char *plain(const fv_yaml *node) { return node && node->kind == FV_YAML_SCALAR && !node->quoted ? node->text : NULL; }

bool fv_yaml_is_null(const fv_yaml *node) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    const char *text = plain(node);
    return text && one_of(text, words, FV_COUNT(words));
}

bool fv_yaml_bool(const fv_yaml *node, bool *out) {
    static const char *const yes[] = {"true", "True", "TRUE"}, *const no[] = {"false", "False", "FALSE"};
    const char *text = plain(node);
    bool is_true = text && one_of(text, yes, 3);
    if (!is_true && !(text && one_of(text, no, 3))) return false;
    *out = is_true;
    return true;
}

#define DIGITS "0123456789"

bool fv_yaml_int(const fv_yaml *node, int64_t *out) {
    const char *text = plain(node);
    if (!text) return false;
    int base = strncmp(text, "0x", 2) == 0 ? 16 : strncmp(text, "0o", 2) == 0 ? 8 : 10;
    const char *digits = base == 10 ? text + (*text == '-' || *text == '+') : text + 2;
    size_t n = strspn(digits, base == 16 ? DIGITS "abcdefABCDEF" : base == 8 ? "01234567" : DIGITS);
    if (n == 0 || digits[n]) return false;
    errno = 0;
    long long value = strtoll(base == 10 ? text : digits, NULL, base);
    if (errno == ERANGE) return false;
    *out = value;
    return true;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? */
static bool looks_real(const char *text) {
    text += *text == '-' || *text == '+';
    size_t whole = strspn(text, DIGITS), part = 0;
    text += whole;
    if (*text == '.') {
        part = strspn(text + 1, DIGITS);
        text += 1 + part;
    }
    if (whole + part == 0) return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        text += *text == '-' || *text == '+';
        size_t exponent = strspn(text, DIGITS);
        if (exponent == 0) return false;
        text += exponent;
    }
    return *text == '\0';
}

bool fv_yaml_num(const fv_yaml *node, double *out) {
    static const char *const inf[] = {".inf", ".Inf", ".INF"}, *const nan[] = {".nan", ".NaN", ".NAN"};
    const char *text = plain(node);
    int64_t whole;
    if (!text) return false;
    if (fv_yaml_int(node, &whole)) *out = (double)whole;
    else if (looks_real(text)) *out = strtod(text, NULL);
    else if (one_of(text + (*text == '-' || *text == '+'), inf, 3)) *out = strtod(*text == '-' ? "-inf" : "inf", NULL);
    else if (one_of(text, nan, 3)) *out = strtod("nan", NULL);
    else return false;
    return true;
}

const char *fv_yaml_word(const fv_yaml *node) { return node && node->kind == FV_YAML_SCALAR ? node->text : NULL; }

bool fv_yaml_text(const fv_yaml *node, const char **out) {
    bool b;
    double x;
    const char *text = fv_yaml_word(node);
    if (!text || fv_yaml_is_null(node) || fv_yaml_bool(node, &b) || fv_yaml_num(node, &x)) return false;
    *out = text;
    return true;
}
