/* Rows as generators make them, and what stands in them: for the tests of tasks. */
#ifndef FV_TESTS_DATASETS_MADE_H
#define FV_TESTS_DATASETS_MADE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "datasets/generator.h"

/* Row `index` of seed 7. The caller's (fv_row_free). */
static inline fv_row *make(const char *name, const char *split, const char *options, int64_t index) {
    const fv_generator *g = fv_generator_find(name);
    assert_non_null(g);
    json_t *o = json_loads(options, 0, NULL);
    assert_non_null(o);
    fv_generator_how how = {7, split, o};
    fv_row *row = NULL;
    fv_error err = {0};
    if (g->make(&row, &how, index, &err) != FV_OK) fail_msg("%s %s: %s", name, options, err.text);
    json_decref(o);
    return row;
}

static inline const char *field(const fv_row *row, const char *name) {
    return json_string_value(json_object_get(row->json, name));
}

static inline const json_t *message(const fv_row *row, size_t i) {
    return json_array_get(json_object_get(row->json, "messages"), i);
}

static inline size_t message_count(const fv_row *row) {
    return json_array_size(json_object_get(row->json, "messages"));
}

static inline const json_t *content(const fv_row *row, size_t i) {
    return json_object_get(message(row, i), "content");
}

/* The text of a message, or its last text part. */
static inline const char *said(const json_t *message) {
    const json_t *content = json_object_get(message, "content");
    if (json_is_string(content)) return json_string_value(content);
    return json_string_value(json_object_get(json_array_get(content, json_array_size(content) - 1), "text"));
}

#endif
