#include "datasets/options.h"

#include "tools/literal.h"

#include <stdbool.h>
#include <string.h>

static bool is_said(const json_t *v) { return json_is_string(v) || json_is_number(v); }

/* Values named A to Z of an object (or a0 to a9: first "a0"). */
static int find_named(const json_t *object, const char *first, const json_t *values[FV_OPTIONS]) {
    char key[3] = "";
    int count = 0;
    for (int i = 0; i < FV_OPTIONS && (!first[1] || i < 10); i++) {
        memcpy(key, first, strlen(first));
        key[strlen(first) - 1] = (char)(key[strlen(first) - 1] + i);
        const json_t *v = json_object_get(object, key);
        values[i] = is_said(v) ? v : NULL;
        if (values[i]) count = i + 1;
    }
    return count;
}

/* Of a row, whose other fields may be called anything. */
static int find_fields(const json_t *row, const char *first, const json_t *values[FV_OPTIONS]) {
    int count = find_named(row, first, values);
    return count >= 2 && values[0] && values[1] ? count : 0;
}

/* Another project's list of that name may hold anything (CLEVRER's `choices` are objects): it is no list of options, then. */
static bool is_plain(const json_t *list) {
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_said(json_array_get(list, i))) return false;
    return true;
}

static const char *const lists[] = {"options", "candidates", "choices"};

void fv_options_unquote(json_t *row) {
    for (size_t k = 0; k < FV_COUNT(lists); k++) {
        const char *text = json_string_value(json_object_get(row, lists[k]));
        json_t *list = text && text[0] == '[' ? fv_literal((fv_span){text, strlen(text)}) : NULL;
        if (json_array_size(list) && is_plain(list)) json_object_set(row, lists[k], list);
        json_decref(list);
    }
}

int fv_options_find(const json_t *row, const json_t *values[FV_OPTIONS]) {
    int count = 0;
    for (size_t k = 0; k < FV_COUNT(lists) && !count; k++) {
        const json_t *list = json_object_get(row, lists[k]);
        if (json_is_object(list)) count = find_named(list, "A", values);
        for (size_t i = 0; (!k || is_plain(list)) && i < json_array_size(list) && i < FV_OPTIONS; i++) values[count++] = json_array_get(list, i);
    }
    if (!count) count = find_fields(row, "A", values);
    return count ? count : find_fields(row, "a0", values);
}

const char *fv_option_behind(const char *option, int i, char *label) {
    bool bracket = option[0] == '(';
    const char *at = option + bracket;
    if (*at++ != 'A' + i) return NULL;
    bool marked = *at && strchr(bracket ? ")" : ".):", *at);
    if (bracket && !marked) return NULL;
    at += marked;
    if (*at != ' ') return NULL;
    size_t n = (size_t)(at - option);
    if (label) {
        memcpy(label, option, n);
        label[n] = '\0';
    }
    while (*at == ' ') at++;
    return *at ? at : NULL;
}

/* "B", "B.", "(B)": the letter; 0: it is none. */
static char letter_of(const char *text) {
    text += *text == '(';
    return *text >= 'A' && *text <= 'Z' && (!text[1] || (strchr(".):", text[1]) && !text[2])) ? *text : 0;
}

/* As they are: a list `options`, but for one without letters whose answer is one. */
static bool lettered(const json_t *row, const json_t *list) {
    const char *answer = json_string_value(json_object_get(row, "answer"));
    int count = (int)json_array_size(list);
    if (!count) return false;
    for (int i = 0; i < count && i < FV_OPTIONS; i++) {
        const char *option = json_string_value(json_array_get(list, (size_t)i));
        if (option && fv_option_behind(option, i, NULL)) return true;
    }
    return count > FV_OPTIONS || !answer || !letter_of(answer) || letter_of(answer) >= 'A' + count;
}

static fv_status write_one(fv_text *out, const json_t *value, int i, bool letter, const char *place, fv_error *err) {
    const char *word = json_string_value(value);
    if (!is_said(value)) return fv_fail(err, FV_BAD_DATA, "%s: options[%d] must be a text", place, i);
    fv_text_char(out, '\n');
    if (letter && !(word && fv_option_behind(word, i, NULL))) fv_text_printf(out, "%c. ", 'A' + i);
    if (word) fv_text_add(out, word);
    else fv_json_dump(out, value, 0);
    return FV_OK;
}

fv_status fv_options_write(fv_text *out, const json_t *row, const char *place, fv_error *err) {
    const json_t *values[FV_OPTIONS], *options = json_object_get(row, "options");
    if (options && !json_is_null(options) && !json_is_array(options) && !json_is_object(options)) return fv_fail(err, FV_BAD_DATA, "%s: options must be a list", place);
    if (lettered(row, options)) {
        for (size_t i = 0; i < json_array_size(options); i++) FV_TRY(write_one(out, json_array_get(options, i), (int)i, false, place, err));
        return FV_OK;
    }
    int count = fv_options_find(row, values);
    for (int i = 0; i < count; i++)
        if (values[i]) FV_TRY(write_one(out, values[i], i, true, place, err));
    return FV_OK;
}
