#include "datasets/invert.h"

#include "core/random.h"
#include "core/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 26 };

/* A question as a row has it. Texts lie in `copy`. */
typedef struct {
    char *copy;             /* owned: the question's field */
    const char *field;      /* problem, question */
    const char *options[MOST]; /* without their letters */
    char label[4];          /* how the first is marked: "(A)", "A.", "A)", "A:", "A" */
    bool listed;            /* options are a list of their own */
    int count, right;
} question;

/* The text behind option `i`'s letter, or NULL if it has none: "(B) text", "B. text", "B) text", "B: text", "B text". label [4] receives the mark. */
static const char *behind_letter(const char *option, int i, char *label) {
    bool bracket = option[0] == '(';
    const char *at = option + bracket;
    if (*at++ != 'A' + i) return NULL;
    bool marked = *at && strchr(bracket ? ")" : ".):", *at);
    if (bracket && !marked) return NULL;
    at += marked;
    if (*at != ' ') return NULL;
    size_t n = (size_t)(at - option);
    memcpy(label, option, n);
    label[n] = '\0';
    while (*at == ' ') at++;
    return *at ? at : NULL;
}

/* Options in the last lines of the question: "...?\nA red\nB blue". They are cut off. */
static void cut_lines(question *q) {
    for (char *line = strchr(q->copy, '\n'); line; line = strchr(line + 1, '\n')) {
        char label[4];
        if (!line[1]) { /* a line break at the end */
            *line = '\0';
            return;
        }
        const char *text = q->count < MOST ? behind_letter(line + 1, q->count, label) : NULL;
        if (!text) {
            if (q->count) q->count = -1; /* something follows them: no such question */
            if (q->count < 0) return;
            continue;
        }
        if (!q->count) memcpy(q->label, label, sizeof label);
        *line = '\0';
        q->options[q->count++] = text;
    }
}

static void read_list(question *q, const json_t *options) {
    for (size_t i = 0; i < json_array_size(options) && q->count >= 0; i++) {
        char label[4];
        const char *option = json_string_value(json_array_get(options, i)), *text = option && i < MOST ? behind_letter(option, (int)i, label) : NULL;
        if (text && !i) memcpy(q->label, label, sizeof label);
        if (text) q->options[q->count++] = text;
        else q->count = -1;
    }
}

/* Which one is right: the letter of "<answer>B</answer>", "(B)" or "B"; -1 if that is anything else. */
static int right_one(const json_t *row, int count) {
    static const char open[] = "<answer>", close[] = "</answer>";
    const char *text = json_string_value(json_object_get(row, "solution"));
    if (!text) text = json_string_value(json_object_get(row, "answer"));
    if (!text) return -1;
    if (!strncmp(text, open, sizeof open - 1)) text += sizeof open - 1;
    bool bracket = *text == '(';
    text += bracket;
    int i = *text ? *text++ - 'A' : -1;
    if (bracket && *text++ != ')') return -1;
    return i >= 0 && i < count && (!*text || !strcmp(text, close)) ? i : -1;
}

/* False: the row is no question with one right option among at least two. */
static bool read_question(question *q, const json_t *row) {
    q->field = fv_json_find(row, "problem") ? "problem" : "question";
    const char *text = json_string_value(json_object_get(row, q->field));
    const json_t *options = json_object_get(row, "options");
    q->listed = json_array_size(options) > 0;
    if (!text || json_object_get(row, "messages") || !(q->copy = strdup(text))) return false;
    if (q->listed) read_list(q, options);
    else cut_lines(q);
    q->right = q->count >= 2 ? right_one(row, q->count) : -1;
    return q->right >= 0;
}

/* Appends the question in lower case, its second word negated; but for marks of pictures before it. False: it can't be. */
static bool negate(fv_text *out, const char *text) {
    static const char *const words[][2] = {{"did", "didn't"}, {"does", "doesn't"}, {"do", "don't"}, {"is", "isn't"}, {"are", "aren't"}, {"was", "wasn't"}, {"were", "weren't"}};
    const char *start = text;
    for (bool marked = true; marked;) {
        while (isspace((unsigned char)*start)) start++;
        marked = !strncmp(start, "<image>", 7) || !strncmp(start, "<video>", 7);
        start += marked ? 7 : 0;
    }
    const char *second = start;
    while (*second && !isspace((unsigned char)*second)) second++;
    while (isspace((unsigned char)*second)) second++;
    size_t n = strcspn(second, " \t\r\n"), k = 0;
    while (k < FV_COUNT(words) && (strlen(words[k][0]) != n || strncasecmp(words[k][0], second, n))) k++;
    if (k == FV_COUNT(words)) return false;
    fv_text_bytes(out, text, (size_t)(start - text));
    for (const char *at = start; *at; at++) {
        if (at == second) {
            fv_text_add(out, words[k][1]);
            at += n;
            if (!*at) break;
        }
        fv_text_char(out, (char)tolower((unsigned char)*at));
    }
    return true;
}

/* The old answer and some others in a new order: picks [count] by their old numbers. Returns how many. */
static int pick(const question *q, fv_random *draws, int picks[MOST]) {
    int n = 0;
    for (int i = 0; i < q->count; i++)
        if (i != q->right) picks[n++] = i;
    fv_shuffle(draws, picks, n, sizeof *picks);
    n = 1 + (int)fv_below(draws, n);
    picks[n++] = q->right;
    fv_shuffle(draws, picks, n, sizeof *picks);
    return n;
}

/* "(B) text" for the new place `i`. */
static void add_option(fv_text *out, const question *q, int i, const char *text) {
    for (const char *c = q->label; *c; c++) fv_text_char(out, *c == 'A' ? (char)('A' + i) : *c);
    fv_text_printf(out, " %s", text);
}

static int set_text(json_t *row, const char *field, const fv_text *text) { return text->failed ? -1 : json_object_set_new(row, field, json_string(text->data ? text->data : "")); }

/* Writes the new question, options and answer into the row. */
static int rewrite(json_t *row, const question *q, fv_text *asked, const int *picks, int count) {
    json_t *options = json_array();
    fv_text key = {0}, solution = {0};
    int failed = options == NULL;
    for (int i = 0; i < count; i++) {
        fv_text option = {0};
        add_option(&option, q, i, q->options[picks[i]]);
        if (!q->listed) fv_text_printf(asked, "\n%s", option.data ? option.data : "");
        failed |= option.failed || json_array_append_new(options, json_string(option.data ? option.data : ""));
        fv_text_clear(&option);
        if (picks[i] != q->right) fv_text_printf(&key, "%s%c", key.size ? "," : "", 'A' + i);
    }
    fv_text_printf(&solution, "<answer>%s</answer>", key.data ? key.data : "");
    failed |= set_text(row, q->field, asked);
    if (q->listed) failed |= json_object_set(row, "options", options);
    if (json_object_get(row, "answer")) failed |= set_text(row, "answer", &key);
    failed |= set_text(row, "solution", &solution) | json_object_set_new(row, "is_negated", json_true());
    json_object_del(row, "process"); /* thoughts about the other question */
    json_decref(options);
    fv_text_clear(&key);
    fv_text_clear(&solution);
    return failed;
}

fv_status fv_row_invert(json_t *row, double share, uint64_t key, fv_error *err) {
    question q = {0};
    fv_text asked = {0};
    fv_random draws = fv_random_stream(key);
    int failed = 0, picks[MOST];
    if (fv_uniform(&draws) < share && read_question(&q, row) && negate(&asked, q.copy)) {
        int n = pick(&q, &draws, picks);
        failed = rewrite(row, &q, &asked, picks, n);
    }
    free(q.copy);
    fv_text_clear(&asked);
    return failed ? fv_fail(err, FV_NO_MEMORY, "an inverted question: out of memory") : FV_OK;
}
