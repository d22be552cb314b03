#include "datasets/options.h"

#include <stdbool.h>
#include <string.h>

/* Values named A to Z of an object (or a0 to a9: first "a0"). */
static int find_named(const json_t *object, const char *first, const json_t *values[FV_OPTIONS]) {
    char key[3] = "";
    int count = 0;
    for (int i = 0; i < FV_OPTIONS && (!first[1] || i < 10); i++) {
        memcpy(key, first, strlen(first));
        key[strlen(first) - 1] = (char)(key[strlen(first) - 1] + i);
        const json_t *v = json_object_get(object, key);
        values[i] = json_is_string(v) || json_is_number(v) ? v : NULL;
        if (values[i]) count = i + 1;
    }
    return count;
}

int fv_options_find(const json_t *row, const json_t *values[FV_OPTIONS]) {
    static const char *const lists[] = {"options", "candidates", "choices"};
    int count = 0;
    for (size_t k = 0; k < FV_COUNT(lists) && !count; k++) {
        const json_t *list = json_object_get(row, lists[k]);
        if (json_is_object(list)) count = find_named(list, "A", values);
        for (size_t i = 0; i < json_array_size(list) && i < FV_OPTIONS; i++) values[count++] = json_array_get(list, i);
    }
    if (!count) count = find_named(row, "A", values);
    return count ? count : find_named(row, "a0", values);
}

/* "B", "B.", "(B)": the letter; 0: it is none. */
static char letter_of(const char *text) {
    text += *text == '(';
    return *text >= 'A' && *text <= 'Z' && (!text[1] || (strchr(".):", text[1]) && !text[2])) ? *text : 0;
}

static bool has_letter(const char *option, int i) {
    option += *option == '(';
    return option[0] == 'A' + i && option[1] && strchr(".):", option[1]);
}

/* As they are: a list `options`, but for one without letters whose answer is one. */
static bool lettered(const json_t *row, const json_t *const *values, int count) {
    const char *answer = json_string_value(json_object_get(row, "answer"));
    if (!json_array_size(json_object_get(row, "options"))) return false;
    for (int i = 0; i < count; i++)
        if (json_is_string(values[i]) && has_letter(json_string_value(values[i]), i)) return true;
    return !answer || !letter_of(answer) || letter_of(answer) >= 'A' + count;
}

fv_status fv_options_write(fv_text *out, const json_t *row, const char *place, fv_error *err) {
    const json_t *values[FV_OPTIONS], *options = json_object_get(row, "options");
    if (options && !json_is_null(options) && !json_is_array(options) && !json_is_object(options)) return fv_fail(err, FV_BAD_DATA, "%s: options must be a list", place);
    int count = fv_options_find(row, values);
    bool as_they_are = lettered(row, values, count);
    for (int i = 0; i < count; i++) {
        if (!values[i]) continue;
        const char *word = json_string_value(values[i]);
        if (!word && !json_is_number(values[i])) return fv_fail(err, FV_BAD_DATA, "%s: options[%d] must be a text", place, i);
        fv_text_char(out, '\n');
        if (!as_they_are && !(word && has_letter(word, i))) fv_text_printf(out, "%c. ", 'A' + i);
        if (word) fv_text_add(out, word);
        else fv_json_dump(out, values[i], 0);
    }
    return FV_OK;
}
