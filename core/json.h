/* JSON: jansson's values, with errors that name the place, and a writer in the style of Python's json.dumps. Objects keep
 * the order of their keys. Integers and reals stay different things: 1 is an integer, 1.0 a real. */
#ifndef FV_CORE_JSON_H
#define FV_CORE_JSON_H

#include "core/error.h"
#include "core/text.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Reads one value of any type; *out is the caller's (json_decref), NULL on failure. Errors are "place:line:column: why", with
 * `status` (FV_BAD_DATA, FV_BAD_MODEL ...). `line` is the number of the text's first line in its file (1 for a whole file).
 * Like Python: the last of equal keys wins. Unlike it: NaN, lone surrogates and "\u0000" are refused; an integer outside of
 * 64 bits becomes a real (tokenizer_config.json's model_max_length of 1e30 is one). */
fv_status fv_json_parse(json_t **out, const char *text, size_t size, const char *place, int line, fv_status status, fv_error *err);
fv_status fv_json_parse_strict(json_t **out, const char *text, size_t size, const char *place, int line, fv_status status,
                               fv_error *err); /* equal keys are an error as well */
fv_status fv_json_read(json_t **out, const char *path, fv_status status, fv_error *err); /* a file */

/* Typed fields of an object. `field` is a path of keys with dots ("vision_config.depth", "reward_model.ground_truth").
 * Errors: "train.jsonl:17: options must be a list, got 3", with the status of the place. */
typedef struct {
    const json_t *root;
    const char *place; /* "config.json", "train.jsonl:17" */
    fv_status status;
} fv_json_at;

/* The value, borrowed; NULL if it is missing or null, or if something on the way is no object. */
json_t *fv_json_find(const json_t *root, const char *field);

/* Required fields. Texts, lists and objects are borrowed from the root. num takes integers too. */
fv_status fv_json_text(fv_json_at at, const char *field, const char **out, fv_error *err);
fv_status fv_json_int(fv_json_at at, const char *field, int64_t lo, int64_t hi, int64_t *out, fv_error *err); /* 3.0 is no integer */
fv_status fv_json_num(fv_json_at at, const char *field, double *out, fv_error *err);
fv_status fv_json_bool(fv_json_at at, const char *field, bool *out, fv_error *err);
fv_status fv_json_list(fv_json_at at, const char *field, json_t **out, fv_error *err);
fv_status fv_json_object(fv_json_at at, const char *field, json_t **out, fv_error *err);

/* Optional fields: `fallback` where the field is missing or null; the wrong type is still an error. Lists and objects fall back to NULL. */
fv_status fv_json_text_or(fv_json_at at, const char *field, const char *fallback, const char **out, fv_error *err);
fv_status fv_json_int_or(fv_json_at at, const char *field, int64_t lo, int64_t hi, int64_t fallback, int64_t *out, fv_error *err);
fv_status fv_json_num_or(fv_json_at at, const char *field, double fallback, double *out, fv_error *err);
fv_status fv_json_bool_or(fv_json_at at, const char *field, bool fallback, bool *out, fv_error *err);
fv_status fv_json_list_or(fv_json_at at, const char *field, json_t **out, fv_error *err);
fv_status fv_json_object_or(fv_json_at at, const char *field, json_t **out, fv_error *err);

/* Any complaint about a field, in the same shape: "PLACE: FIELD RULE, got VALUE" (long values are cut). */
fv_status fv_json_wrong(fv_json_at at, const char *field, const char *rule, fv_error *err);

/* Appends as json.dumps(value, ensure_ascii=False): ", " and ": " between, floats as repr. indent > 0: as json.dumps(indent=). */
void fv_json_dump(fv_text *out, const json_t *value, int indent);

/* folder/name with the value, indented by 2, and a line break. NULL (of a value that there was no memory for): FV_NO_MEMORY. */
fv_status fv_json_save(const json_t *value, const char *folder, const char *name, fv_error *err);

/* A text as it is, a whole number as text in `room` [FV_JSON_WORD]; NULL: neither. */
enum { FV_JSON_WORD = 24 };
const char *fv_json_word(const json_t *value, char *room);

/* A number that is 0 or 1: which; `missing` where there is none, or null; -1 for anything else. */
int fv_json_bit(const json_t *value, int missing);

#endif
