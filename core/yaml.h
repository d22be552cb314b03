/* YAML as recipes use it: a tree of mappings, sequences and scalars that remembers where each node stood. Read by libyaml;
 * scalars mean what the core schema of YAML 1.2 says (https://yaml.org/spec/1.2.2/#103-core-schema): null ~, true false,
 * integers, floats; `yes`, `on` and everything quoted are text. Aliases become copies. Refused, with file and line:
 * duplicate keys, keys that are not scalars or longer than 256 bytes, tags other than !!str, several documents, and trees of
 * more than FV_YAML_DEPTH levels or FV_YAML_NODES nodes (aliases included). */
#ifndef FV_CORE_YAML_H
#define FV_CORE_YAML_H

#include "core/error.h"
#include "core/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FV_YAML_DEPTH = 64, FV_YAML_NODES = 20000 };

typedef enum { FV_YAML_SCALAR, FV_YAML_SEQUENCE, FV_YAML_MAPPING } fv_yaml_kind;

typedef struct fv_yaml fv_yaml;
struct fv_yaml {
    fv_yaml_kind kind;
    struct fv_yaml_source *source; /* names the file; see fv_yaml_place */
    int line;                      /* from 1; 0 where the node has no line (overrides, built nodes) */
    char *key;                     /* in a mapping: this node's key; else NULL */
    char *text;                    /* scalar: its text without quotes */
    bool quoted;                   /* scalar: was quoted, or a block, so it is text whatever it looks like */
    fv_yaml **items;               /* mapping, sequence: children in order */
    size_t count;
};

/* On failure *out is NULL; status FV_BAD_RECIPE, or FV_IO for a file that can't be read. An empty text is an empty mapping. */
fv_status fv_yaml_read(fv_yaml **out, const char *path, fv_error *err);
fv_status fv_yaml_parse(fv_yaml **out, const char *text, size_t size, const char *name, fv_error *err);
void fv_yaml_free(fv_yaml *node); /* with all below; NULL is fine. Only for nodes that are in no tree */

/* A child by key (NULL if there is none or `node` is no mapping; node may be NULL), or by a path: "stages.rl.steps", where an
 * element of a sequence goes by its `name`, else by the value of its first field ({term: exact}), or by its number from 0. */
fv_yaml *fv_yaml_get(const fv_yaml *node, const char *key);
fv_yaml *fv_yaml_find(const fv_yaml *root, const char *path);

/* What a scalar is. False, with *out untouched, if the node is NULL, no scalar, or of another type. num takes integers too
 * (and .inf, .nan); int takes decimal, 0x and 0o within 64 bits. text takes every scalar that is none of null, bool or
 * number; fv_yaml_word gives the characters of any scalar (a name like 007), NULL if it is none. */
bool fv_yaml_is_null(const fv_yaml *node);
bool fv_yaml_int(const fv_yaml *node, int64_t *out);
bool fv_yaml_num(const fv_yaml *node, double *out);
bool fv_yaml_bool(const fv_yaml *node, bool *out);
bool fv_yaml_text(const fv_yaml *node, const char **out);
const char *fv_yaml_word(const fv_yaml *node);

/* FV_BAD_RECIPE with the node's place in front: "recipe.yaml:14: rollout.group_size must be 2..1024, got 0". */
fv_status fv_yaml_fail(const fv_yaml *at, fv_error *err, const char *format, ...) FV_PRINTF(3, 4);
void fv_yaml_place(const fv_yaml *at, char *out, size_t size); /* "recipe.yaml:14", "override steps=20" */
void fv_yaml_show(const fv_yaml *node, char *out, size_t size); /* in flow style on one line, cut with "...", for "got VALUE" */

/* Overrides: "stages.rl.steps=20"; the value is YAML ("{cosine: [1, 0]}"). Mappings on the way are made where missing; a
 * sequence's element must exist, and is taken out where it is set to nothing ("stages.cold-start=null"). FV_BAD_USAGE for a malformed assignment, with the names that there are. */
fv_status fv_yaml_set(fv_yaml *root, const char *assignment, fv_error *err);

/* Building. New nodes are the caller's until they are put into a tree; NULL when out of memory, which put passes on as
 * FV_NO_MEMORY. put replaces an equal key (in its place) or appends; both take the child over, also when they fail. */
fv_yaml *fv_yaml_new(fv_yaml_kind kind); /* empty; a scalar is null */
fv_yaml *fv_yaml_new_text(const char *text);
fv_yaml *fv_yaml_new_int(int64_t value);
fv_yaml *fv_yaml_new_num(double value);
fv_yaml *fv_yaml_new_bool(bool value);
fv_yaml *fv_yaml_copy(const fv_yaml *node); /* with all below, places kept */
fv_status fv_yaml_put(fv_yaml *mapping, const char *key, fv_yaml *child, fv_error *err);
fv_status fv_yaml_append(fv_yaml *sequence, fv_yaml *child, fv_error *err);

/* Appends the tree in block style (sequences of plain scalars in flow style), ending with a newline. The same tree always
 * gives the same text, and reading the text gives the same tree. */
void fv_yaml_write(fv_text *out, const fv_yaml *root);

#endif
