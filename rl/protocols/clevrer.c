/* CLEVRER (arXiv 1910.01442): words for what happens, and a verdict for each option of why, what next and what if. Its server takes verdicts as JSON; here a response names
 * the options that are right. */
#include "rl/protocols/reading.h"

#include <string.h>

/* Types with options: their metric is of options, as the server's "per opt." */
enum { EXPLANATORY, PREDICTIVE, COUNTERFACTUAL, DESCRIPTIVE, TYPES };
static const char *const types[TYPES] = {"explanatory", "predictive", "counterfactual", "descriptive"};

typedef struct {
    bool right[FV_OPTIONS];
    int count;
} verdicts;

static bool is(fv_span word, const char *text) { return fv_span_same(word, fv_span_of(text)); }

static bool in_word(char c) { return ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') || (c & 0x80); }

/* The next run of letters and digits, of any script. */
static bool next_word(fv_span *rest, fv_span *word) {
    size_t from = 0, to;
    while (from < rest->size && !in_word(rest->text[from])) from++;
    for (to = from; to < rest->size && in_word(rest->text[to]);) to++;
    *word = (fv_span){rest->text + from, to - from};
    *rest = fv_span_from(*rest, to);
    return word->size > 0;
}

/* "A, C", "A and C"; "none". */
static bool read_letters(verdicts *v, fv_span s) {
    int letters = 0, others = 0;
    bool none = false;
    memset(v->right, 0, sizeof v->right);
    for (fv_span word; next_word(&s, &word);) {
        int i = word.size == 1 ? word.text[0] - 'A' : -1;
        if (i >= 0 && i < v->count) v->right[i] = true, letters++;
        else if (!none && (is(word, "none") || is(word, "None"))) none = true;
        else if (is(word, "and")) others++;
        else return false;
    }
    return none ? letters + others == 0 : letters > 0;
}

/* "correct, wrong, wrong": a word for each. */
static bool read_words(verdicts *v, fv_span s) {
    int n = 0;
    for (fv_span word; next_word(&s, &word); n++) {
        if (n == v->count || (!is(word, "correct") && !is(word, "wrong"))) return false;
        v->right[n] = is(word, "correct");
    }
    return n == v->count;
}

/* "A. The ball moves\nC. The cube rests": options with their letters, one behind the other. */
static bool read_options(verdicts *v, fv_span s) {
    memset(v->right, 0, sizeof v->right);
    while (s.size) {
        size_t n = 0;
        while (n < s.size && !strchr(",;\n", s.text[n])) n++;
        fv_span piece = fv_py_strip((fv_span){s.text, n}), rest;
        int i = fv_leading_letter(piece, &rest) - 'A';
        if (piece.size && (i < 0 || i >= v->count)) return false;
        if (piece.size) v->right[i] = true;
        s = fv_span_from(s, n + (n < s.size));
    }
    return true;
}

static void add_letters(fv_text *t, const verdicts *v) {
    bool any = false;
    for (int i = 0; i < v->count; i++) {
        if (v->right[i]) fv_text_printf(t, any ? ",%c" : "%c", 'A' + i);
        any |= v->right[i];
    }
    if (!any) fv_text_add(t, "none");
}

/* A row's own. */
static bool read_row(verdicts *v, const json_t *choices) {
    *v = (verdicts){.count = json_array_size(choices) > FV_OPTIONS ? 0 : (int)json_array_size(choices)};
    for (int i = 0; i < v->count; i++) {
        fv_span answer = fv_row_span(json_array_get(choices, (size_t)i), "answer");
        v->right[i] = is(answer, "correct");
        if (!v->right[i] && !is(answer, "wrong")) return false;
    }
    return v->count > 0;
}

static const char *mark_options(fv_mark *m, fv_span text, const json_t *row, int type) {
    verdicts want;
    if (!read_row(&want, json_object_get(row, "choices"))) return "`choices`, each with an `answer` that is correct or wrong";
    verdicts said = {.count = want.count};
    bool read = text.size && (read_words(&said, text) || read_letters(&said, text) || read_options(&said, text));
    int same = 0;
    for (int i = 0; i < want.count; i++) same += read && said.right[i] == want.right[i];
    add_letters(&m->right, &want);
    if (read) add_letters(&m->extracted, &said);
    m->score = same == want.count;
    m->metrics[type] = (double)same / want.count;
    m->counts[type] = want.count;
    return NULL;
}

static const char *mark_word(fv_mark *m, fv_span text, const json_t *row) {
    fv_text given = {0};
    if (!fv_row_word(&m->right, row, "answer")) return "an `answer`";
    fv_edit_set(&m->extracted, fv_py_strip(fv_py_strip_of(fv_py_strip(text), ".")));
    fv_edit_set(&given, fv_edit_span(&m->extracted));
    fv_edit_lower(&given);
    m->score = fv_edit_same(&given, &m->right);
    m->extracted.failed |= given.failed;
    fv_text_clear(&given);
    return NULL;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_span said = fv_row_span(row, "question_type");
    for (int i = 0; i < TYPES && said.text; i++) {
        if (!is(said, types[i])) continue;
        m->category = types[i];
        return i == DESCRIPTIVE ? mark_word(m, text, row) : mark_options(m, fv_py_strip(text), row, i);
    }
    return "a `question_type` of CLEVRER (descriptive, explanatory, predictive, counterfactual)";
}

const fv_protocol fv_protocol_clevrer = {.name = "clevrer",
                                         .doc = "descriptive: the answer as exact finds it is the row's word, in any case; others: it names the right options (A, C; none; or correct, wrong, .. in order), and all verdicts "
                                                "must be right; metrics: of options",
                                         .fields = "question_type; answer, or choices: a list of {choice, answer: correct or wrong}; scene_index",
                                         .source = "CLEVRER (Yi et al. 2020, arXiv 1910.01442), its server's figures; how a response is read: Fovea",
                                         .cluster = "scene_index",
                                         .metrics = {"explanatory_options", "predictive_options", "counterfactual_options"},
                                         .read = fv_read_answer,
                                         .mark = mark};
