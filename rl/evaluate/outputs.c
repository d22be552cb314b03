#include "rl/evaluate/outputs.h"

#include <ctype.h>
#include <string.h>

/* ---- JSON as Python writes it ---- */

static size_t constant_at(const char *at, const char *end) {
    static const char *const words[] = {"NaN", "Infinity", "-Infinity"};
    for (size_t i = 0; i < FV_COUNT(words); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(end - at) >= n && !memcmp(at, words[i], n)) return n;
    }
    return 0;
}

/* The same text with null for such constants outside of strings. */
static void empty_cells(fv_text *out, const char *text, size_t size) {
    const char *at = text, *end = text + size;
    bool quoted = false;
    while (at < end) {
        size_t n = quoted ? 0 : constant_at(at, end);
        if (n) {
            fv_text_add(out, "null");
            at += n;
            continue;
        }
        if (quoted && *at == '\\' && at + 1 < end) fv_text_char(out, *at++);
        else if (*at == '"') quoted = !quoted;
        fv_text_char(out, *at++);
    }
}

fv_status fv_output_parse(json_t **out, const char *text, size_t size, const char *place, int line, fv_error *err) {
    fv_error why = {0};
    fv_status s = fv_json_parse(out, text, size, place, line, FV_BAD_DATA, &why);
    if (s == FV_OK) return FV_OK;
    fv_text made = {0};
    empty_cells(&made, text, size);
    bool changed = !made.failed && (made.size != size || memcmp(made.data, text, size));
    if (changed) s = fv_json_parse(out, made.data, made.size, place, line, FV_BAD_DATA, NULL);
    fv_text_clear(&made);
    return s == FV_OK ? FV_OK : fv_fail(err, s, "%s", why.text); /* of the text as it came */
}

/* ---- What was said ---- */

/* The first text in lists within lists, a number as text; NULL: none. A new reference. */
static json_t *first_text(const json_t *v) {
    while (json_is_array(v)) v = json_array_get(v, 0);
    if (json_is_string(v)) return json_incref((json_t *)v);
    if (!json_is_number(v)) return NULL;
    fv_text text = {0};
    fv_json_dump(&text, v, 0);
    json_t *out = text.failed ? NULL : json_string(text.data);
    fv_text_clear(&text);
    return out;
}

/* lmms-eval's logs have it in `resps`, and where no filter changed it in `filtered_resps` alone. Video-R1's `prediction` is what its script took out of `output`. */
static json_t *what_was_said(const json_t *row) {
    static const char *const fields[] = {"resps", "filtered_resps", "model_output", "output", "prediction"};
    json_t *text = NULL;
    for (size_t i = 0; i < FV_COUNT(fields) && !text; i++) text = first_text(json_object_get(row, fields[i]));
    return text;
}

/* ---- Whose row it was ---- */

/* What the row has not. */
static void add_missing(json_t *row, const json_t *from) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)from, key, value)
        if (!fv_json_find(row, key)) json_object_set(row, key, value);
}

static void add_alias(json_t *row, const char *name, json_t *value) {
    if (!fv_json_find(row, name) && value) json_object_set(row, name, value);
}

/* Newer logs of lmms-eval's leave the benchmark's row out and have what the task keeps for its own count, an object beside others ("videomme_perception_score": {"duration": ..}), by names
 * of its own; and the right answer as `target`. */
static void take_count(json_t *row, const json_t *log) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)log, key, value)
        if (json_is_object(value) && strcmp(key, "input")) add_missing(row, value);
    add_alias(row, "answer", json_object_get(log, "target"));
    add_alias(row, "domain", json_object_get(row, "category"));
    add_alias(row, "task_type", json_object_get(row, "task_category"));
}

/* What a judge of the task's said, which its count keeps in older logs, too. */
static void take_judge(json_t *row, const json_t *log) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)log, key, value)
        if (json_is_string(json_object_get(value, "chatgpt_response"))) add_alias(row, "judge_text", json_object_get(value, "chatgpt_response"));
}

/* A line of Fovea's own says what a protocol made of the row, in the row's own words. */
static void forget_marks(json_t *row) {
    static const char *const marks[] = {"answer", "target", "category", "extracted", "score"};
    if (!json_object_get(row, "extracted") || !json_object_get(row, "resps")) return;
    for (size_t i = 0; i < FV_COUNT(marks); i++) json_object_del(row, marks[i]);
}

/* `id` is the log's, which is unique. */
static void take_log(json_t *row, json_t *doc) {
    json_t *log = json_copy(row);
    if (doc) {
        forget_marks(row);
        json_object_update(row, doc);
    } else {
        take_count(row, log);
    }
    take_judge(row, log);
    json_object_set(row, "id", json_object_get(log, fv_json_find(log, "id") ? "id" : "doc_id"));
    json_decref(log);
}

void fv_output_adopt(json_t *row) {
    json_t *given = fv_json_find(row, "response"), *response = given ? json_incref(given) : what_was_said(row);
    json_t *doc = json_object_get(row, "doc"), *question = json_object_get(row, "question");
    if (response && json_is_object(doc)) {
        json_incref(doc);
        take_log(row, doc);
        json_decref(doc);
    } else if (response && json_is_object(question)) {
        json_incref(question);
        json_object_del(row, "question"); /* the row may have one of its own */
        add_missing(row, question);
        json_decref(question);
    } else if (response && !given && fv_json_find(row, "doc_id")) {
        take_log(row, NULL);
    }
    if (response) json_object_set_new(row, "response", response);
}
