#include "core/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What an element of a list is called: its `name`, else the value of its first field ("thinking", of {term: thinking, weight: 0.3}); NULL: nothing. */
static const char *element_word(const fv_yaml *item) {
    const char *name = fv_yaml_word(fv_yaml_get(item, "name"));
    return name || item->kind != FV_YAML_MAPPING || !item->count ? name : fv_yaml_word(item->items[0]);
}

/* The place of a child among its parent's items: by key, by what it is called, or by number. -1 if there is none. */
static int child_index(const fv_yaml *node, const char *part) {
    for (size_t i = 0; i < node->count; i++) {
        const fv_yaml *item = node->items[i];
        const char *word = node->kind == FV_YAML_MAPPING ? item->key : element_word(item);
        if (word && strcmp(word, part) == 0) return (int)i;
    }
    if (node->kind != FV_YAML_SEQUENCE || !part[0] || part[strspn(part, "0123456789")]) return -1;
    errno = 0;
    unsigned long n = strtoul(part, NULL, 10);
    return errno == 0 && n < node->count ? (int)n : -1;
}

fv_yaml *fv_yaml_get(const fv_yaml *node, const char *key) {
    int i = node && node->kind == FV_YAML_MAPPING ? child_index(node, key) : -1;
    return i < 0 ? NULL : node->items[i];
}

/* Cuts the part up to the next dot off *path into `part`. False if it is empty or longer than `part`. */
static bool next_part(const char **path, char part[256]) {
    size_t n = strcspn(*path, ".");
    if (n == 0 || n > 255) return false;
    memcpy(part, *path, n);
    part[n] = '\0';
    *path += n;
    return true;
}

fv_yaml *fv_yaml_find(const fv_yaml *root, const char *path) {
    const fv_yaml *node = root;
    char part[256];
    while (node && next_part(&path, part)) {
        int i = child_index(node, part);
        node = i < 0 ? NULL : node->items[i];
        if (*path == '\0') return (fv_yaml *)(uintptr_t)node;
        path++;
    }
    return NULL;
}

/* ---- Overrides ---- */

typedef struct {
    const char *assignment;
    int path_size; /* of the part before "=" */
    fv_error *err;
} override;

static fv_status no_element(const override *o, const fv_yaml *sequence, const char *part) {
    const char *names[64];
    size_t count = 0;
    fv_text list = {0};
    for (size_t i = 0; i < sequence->count && count < FV_COUNT(names); i++) {
        const char *name = element_word(sequence->items[i]);
        if (!name) continue;
        fv_text_printf(&list, "%s%s", count ? ", " : "", name);
        names[count++] = name;
    }
    const char *near = fv_suggest(part, names, count);
    fv_status status =
        near ? fv_fail(o->err, FV_BAD_USAGE, "override %s: there is no %s; did you mean %s?", o->assignment, part, near)
        : count ? fv_fail(o->err, FV_BAD_USAGE, "override %s: there is no %s, only %s", o->assignment, part, list.data ? list.data : "others")
                : fv_fail(o->err, FV_BAD_USAGE, "override %s: there is no %s; the list has %zu elements, counted from 0", o->assignment, part,
                          sequence->count);
    fv_text_clear(&list);
    return status;
}

/* Makes an empty mapping out of a null ("lora:"), where fields are about to be set. */
static void null_to_mapping(fv_yaml *node) {
    if (!fv_yaml_is_null(node)) return;
    free(node->text);
    node->text = NULL;
    node->kind = FV_YAML_MAPPING;
}

static void take_out(fv_yaml *sequence, int i) {
    fv_yaml_free(sequence->items[i]);
    memmove(&sequence->items[i], &sequence->items[i + 1], (--sequence->count - (size_t)i) * sizeof *sequence->items);
}

/* Puts `value` at the path; takes it over. An element of a list that is set to nothing is taken out. */
static fv_status assign(const override *o, fv_yaml *root, const char *path, fv_yaml *value) {
    fv_yaml *node = root;
    char part[256];
    for (int depth = 0; depth < FV_YAML_DEPTH && next_part(&path, part); depth++) {
        bool last = *path == '\0';
        if (!last) path++;
        null_to_mapping(node);
        if (node->kind == FV_YAML_SCALAR) {
            char shown[80];
            fv_yaml_show(node, shown, sizeof shown);
            fv_yaml_free(value);
            return fv_fail(o->err, FV_BAD_USAGE, "override %s: there is no %s below the value %s", o->assignment, part, shown);
        }
        int i = child_index(node, part);
        if (i < 0 && node->kind == FV_YAML_SEQUENCE) {
            fv_yaml_free(value);
            return no_element(o, node, part);
        }
        if (last && node->kind == FV_YAML_MAPPING) return fv_yaml_put(node, part, value, o->err);
        if (last) {
            fv_yaml_free(node->items[i]);
            node->items[i] = value;
            if (fv_yaml_is_null(value)) take_out(node, i);
            return FV_OK;
        }
        fv_status status = i < 0 ? fv_yaml_put(node, part, fv_yaml_new(FV_YAML_MAPPING), o->err) : FV_OK;
        if (status != FV_OK) {
            fv_yaml_free(value);
            return status;
        }
        node = node->items[i < 0 ? (int)node->count - 1 : i];
    }
    fv_yaml_free(value);
    return fv_fail(o->err, FV_BAD_USAGE, "override %s: %.*s is no path of fields; write path.to.field=value", o->assignment, o->path_size, o->assignment);
}

static void forget_lines(fv_yaml *node) {
    node->line = 0;
    for (size_t i = 0; i < node->count; i++) forget_lines(node->items[i]);
}

fv_status fv_yaml_set(fv_yaml *root, const char *assignment, fv_error *err) {
    const char *equals = strchr(assignment, '=');
    if (!equals || equals == assignment) return fv_fail(err, FV_BAD_USAGE, "override %s: write path.to.field=value", assignment);
    override o = {assignment, (int)(equals - assignment), err};
    char *path = strndup(assignment, (size_t)o.path_size);
    char *name = NULL;
    fv_yaml *value = NULL;
    fv_status status = path && asprintf(&name, "override %s", assignment) >= 0 ? FV_OK : fv_fail(err, FV_NO_MEMORY, "out of memory for an override");
    const char *text = equals[1 + strspn(equals + 1, " ")] ? equals + 1 : "null"; /* "field=" sets it to nothing */
    if (status == FV_OK) status = fv_yaml_parse(&value, text, strlen(text), name, err);
    if (status == FV_BAD_RECIPE && err) err->status = status = FV_BAD_USAGE;
    if (status == FV_OK) {
        forget_lines(value);
        status = assign(&o, root, path, value);
    }
    free(path);
    free(name);
    return status;
}
