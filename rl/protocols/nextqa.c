/* NExT-QA's multiple choice (arXiv 2105.08276) by lmms-eval, with MMMU's search for a letter. Where that finds none it draws one of five by chance, which nobody can
 * repeat: such an answer gets what chance is worth, 1/5, so that the accuracy is the one to be expected of lmms-eval. */
#include "rl/protocols/mcq.h"

#include <stdio.h>

enum { CHOICES = 5 };

typedef struct {
    bool named[CHOICES];
    int count;
    const char *before, *after; /* what a letter is looked for with where several were found; NULL: an option's text */
} candidates;

static bool letters_with(candidates *c, fv_span s, const char *before, const char *after) {
    for (int i = 0; i < CHOICES; i++) {
        char word[4];
        snprintf(word, sizeof word, "%s%c%s", before, 'A' + i, after);
        c->named[i] = fv_py_find(s, word) != NULL;
        c->count += c->named[i];
    }
    return c->count > 0;
}

static size_t words_in(fv_span s) {
    size_t n = 0;
    for (fv_span word; fv_py_word(&s, &word);) n++;
    return n;
}

static void options_in(candidates *c, fv_span lower, const fv_text *options) {
    for (int i = 0; i < CHOICES; i++) {
        c->named[i] = !options[i].size || fv_py_find(lower, options[i].data);
        c->count += c->named[i];
    }
}

/* The last place of a candidate, as it is looked for now: " A " though it was found as "A."; -1: nowhere. */
static long place_of(const candidates *c, int i, fv_span s, fv_span lower, const fv_text *options) {
    char word[4];
    const char *at;
    if (c->before) {
        snprintf(word, sizeof word, "%s%c%s", c->before, 'A' + i, c->after);
        at = fv_py_find_last(s, word);
        return at ? at - s.text : -1;
    }
    at = options[i].size ? fv_py_find_last(lower, options[i].data) : lower.text + lower.size;
    return at ? at - lower.text : -1;
}

/* The candidate whose last place is the last; the first of equals. */
static int last_of(const candidates *c, fv_span s, fv_span lower, const fv_text *options) {
    long most = -2;
    int best = 0;
    for (int i = 0; i < CHOICES; i++) {
        if (!c->named[i]) continue;
        long place = place_of(c, i, s, lower, options);
        if (place > most) most = place, best = i;
    }
    return best;
}

/* The number of the option, or -1 where chance decides. */
static int search(fv_span s, const fv_text *options) {
    candidates c = {.before = " ", .after = " "};
    fv_text lower = {0};
    fv_edit_set(&lower, s);
    fv_edit_lower(&lower);
    if (letters_with(&c, s, "(", ")")) c.before = "(", c.after = ")";
    else if (!letters_with(&c, s, "", " ") && !letters_with(&c, s, "", ".")) {
        c.before = NULL;
        if (words_in(s) > 5) options_in(&c, fv_edit_span(&lower), options);
    }
    int found = c.count ? last_of(&c, s, fv_edit_span(&lower), options) : -1;
    fv_text_clear(&lower);
    return found;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_options o;
    fv_options_read(&o, row);
    int right = o.count == CHOICES ? fv_options_right(&o, row) : -1;
    if (right < 0) return "a0 to a4, and an `answer` from 0 to 4";
    fv_text options[CHOICES] = {0}, padded = {0};
    for (int i = 0; i < CHOICES; i++) {
        fv_edit_set(&options[i], fv_py_strip(o.text[i]));
        fv_edit_lower(&options[i]);
    }
    for (const char *mark = ",.!?;:'"; *mark; mark++) text = fv_py_strip_of(text, (const char[]){*mark, 0});
    fv_text_char(&padded, ' ');
    fv_text_bytes(&padded, text.text, text.size);
    fv_text_char(&padded, ' ');
    int found = search(fv_edit_span(&padded), options);
    fv_mark_letter(m, found < 0 ? 0 : (char)('A' + found), (char)('A' + right));
    if (found < 0) m->score = 1.0 / CHOICES;
    fv_text_clear(&padded);
    for (int i = 0; i < CHOICES; i++) fv_text_clear(&options[i]);
    return NULL;
}

const fv_protocol fv_protocol_nextqa_lmms = {.name = "nextqa@lmms",
                                             .doc = "(B), else B and a blank, else B., else in more than five words an option's text; the last; where lmms-eval draws one by chance, 1/5",
                                             .fields = "a0 to a4, answer (0 to 4); type",
                                             .source = FV_SOURCE_LMMS "nextqa/utils.py",
                                             .facets = {"type"},
                                             .cluster = "video",
                                             .read = fv_read_lmms,
                                             .mark = mark};
