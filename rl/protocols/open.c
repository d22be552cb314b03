/* Short answers in free words, as reading comprehension marks them. */
#include "rl/protocols/reading.h"

#include <math.h>
#include <string.h>

enum { WORDS = 512 };

static bool is_punctuation(char c) { return strchr("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", c) != NULL && c != '\0'; }
static bool is_article(fv_span w) { return fv_span_same(w, fv_span_of("a")) || fv_span_same(w, fv_span_of("an")) || fv_span_same(w, fv_span_of("the")); }

typedef struct {
    fv_text text;
    fv_span words[WORDS];
    int count;
} bag;

/* normalize_answer: lower case, no punctuation of ASCII, no articles; its words. Words beyond the first 512 are left out. */
static void fill(bag *b, fv_span s) {
    fv_edit_set(&b->text, s);
    fv_edit_lower(&b->text);
    size_t kept = 0;
    for (size_t i = 0; i < b->text.size; i++)
        if (!is_punctuation(b->text.data[i])) b->text.data[kept++] = b->text.data[i];
    b->text.size = kept;
    b->count = 0;
    fv_span rest = fv_edit_span(&b->text), word;
    while (b->count < WORDS && fv_py_word(&rest, &word))
        if (!is_article(word)) b->words[b->count++] = word;
}

static bool exactly(const bag *a, const bag *b) {
    bool all = a->count == b->count;
    for (int i = 0; i < a->count && all; i++) all = fv_span_same(a->words[i], b->words[i]);
    return all;
}

/* f1_score: of words, each as often as both have it; 0 where none is shared. */
static double overlap(const bag *given, const bag *right) {
    bool taken[WORDS] = {false};
    int shared = 0;
    for (int i = 0; i < given->count; i++)
        for (int j = 0; j < right->count; j++) {
            if (taken[j] || !fv_span_same(given->words[i], right->words[j])) continue;
            taken[j] = true;
            shared++;
            break;
        }
    return shared ? 2.0 * shared / (given->count + right->count) : 0;
}

/* Against one right answer; the best of several counts. */
static void compare(fv_mark *m, const bag *given, fv_span answer) {
    bag right = {0};
    fill(&right, answer);
    double f1 = overlap(given, &right);
    if (exactly(given, &right)) m->score = 1;
    if (!m->right.size || f1 > m->metrics[0]) fv_edit_set(&m->right, answer);
    m->metrics[0] = fmax(m->metrics[0], f1);
    fv_text_clear(&right.text);
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    static const char *const fields[] = {"answers", "answer", "ground_truth", "solution"};
    const json_t *v = NULL, *one;
    bag given = {0};
    size_t i;
    int answers = 0;
    v = json_object_get(row, fields[0]);
    if (json_is_object(v)) v = json_object_get(v, "text"); /* as SQuAD's own rows are */
    fv_edit_set(&m->extracted, text);
    fill(&given, text);
    json_array_foreach(v, i, one) {
        fv_text word = {0};
        if (json_is_string(one)) fv_text_add(&word, json_string_value(one));
        else if (json_is_number(one)) fv_json_dump(&word, one, 0);
        if (word.size) compare(m, &given, fv_edit_span(&word)), answers++;
        fv_text_clear(&word);
    }
    fv_text word = {0};
    for (size_t k = 0; k < FV_COUNT(fields) && !json_is_array(v) && !answers; k++) {
        if (!fv_row_word(&word, row, fields[k])) continue;
        fv_span whole = fv_edit_span(&word);
        (void)fv_py_pair(&whole, whole, "<answer>", "</answer>");
        compare(m, &given, whole);
        answers++;
    }
    fv_text_clear(&word);
    fv_text_clear(&given.text);
    return answers ? NULL : "an `answer`, or a list of `answers`";
}

const fv_protocol fv_protocol_open = {.name = "open",
                                      .doc = "the answer as exact finds it is one of the row's, but for case, punctuation and articles (SQuAD's exact match); metrics: f1, of words",
                                      .fields = "answer, or answers: a list of right ones",
                                      .source = "SQuAD's evaluate-v1.1.py (Rajpurkar et al. 2016, arXiv 1606.05250)",
                                      .metrics = {"f1"},
                                      .read = fv_read_answer,
                                      .mark = mark};
