#include "datasets/invert.h"

#include "core/random.h"
#include "core/text.h"
#include "datasets/options.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A question as a row has it. Texts lie in `copy`. */
typedef struct {
    char *copy;             /* owned: the question's field */
    const char *field;      /* problem, question */
    const char *options[FV_OPTIONS]; /* without their letters */
    char label[4];          /* how the first is marked: "(A)", "A.", "A)", "A:", "A" */
    bool listed;            /* options stand beside the question, in whatever fields */
    int count, right;
} question;

/* Options in the last lines of the question: "...?\nA red\nB blue". They are cut off. */
static void cut_lines(question *q) {
    for (char *line = strchr(q->copy, '\n'); line; line = strchr(line + 1, '\n')) {
        char label[4];
        if (!line[1]) { /* a line break at the end */
            *line = '\0';
            return;
        }
        const char *text = q->count < FV_OPTIONS ? fv_option_behind(line + 1, q->count, label) : NULL;
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

/* Those beside the question; a list `options` with letters, all others with or without. False: there are none. */
static bool read_beside(question *q, const json_t *row) {
    const json_t *values[FV_OPTIONS];
    size_t list = json_array_size(json_object_get(row, "options"));
    int count = fv_options_find(row, values);
    if (list > FV_OPTIONS) q->count = -1; /* some have no letter */
    for (int i = 0; i < count && q->count >= 0; i++) {
        char label[4] = "A.";
        const char *option = json_string_value(values[i]), *text = option ? fv_option_behind(option, i, label) : NULL;
        if (!text && !list) text = option;
        if (text && !i) memcpy(q->label, label, sizeof label);
        if (text) q->options[q->count++] = text;
        else q->count = -1;
    }
    return count > 0;
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
    if (!text || json_object_get(row, "messages") || !(q->copy = strdup(text))) return false;
    q->listed = read_beside(q, row);
    if (!q->listed) cut_lines(q);
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
static int pick(const question *q, fv_random *draws, int picks[FV_OPTIONS]) {
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
    int failed = 0, picks[FV_OPTIONS];
    if (fv_uniform(&draws) < share && read_question(&q, row) && negate(&asked, q.copy)) {
        int n = pick(&q, &draws, picks);
        failed = rewrite(row, &q, &asked, picks, n);
    }
    free(q.copy);
    fv_text_clear(&asked);
    return failed ? fv_fail(err, FV_NO_MEMORY, "an inverted question: out of memory") : FV_OK;
}
