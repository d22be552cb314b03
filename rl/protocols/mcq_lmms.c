/* lmms-eval's shared search for a letter. Every way in which a letter can stand in the text is a form with a rank; the highest rank wins, and within it the last place,
 * so that "the answer is B, not C" is read as C. */
#include "rl/protocols/mcq.h"

#include <stdio.h>
#include <string.h>

typedef struct {
    char letter;
    int rank;
    size_t place;
} candidate;

/* Of equals the first stays, as in a stable sort. */
static void offer(candidate *best, char letter, int rank, size_t place) {
    if (!best->letter || rank > best->rank || (rank == best->rank && place > best->place)) *best = (candidate){letter, rank, place};
}

/* Letters with something about them, at their last place. */
static void offer_forms(candidate *best, fv_span text, int letters) {
    static const struct {
        const char *before, *after;
        int rank;
    } forms[] = {{"(", ")", 6}, {"", ".", 5}, {"", ":", 4}, {"", ")", 3}, {"", " ", 2}};
    for (size_t f = 0; f < FV_COUNT(forms); f++)
        for (int i = 0; i < letters; i++) {
            char word[4];
            snprintf(word, sizeof word, "%s%c%s", forms[f].before, 'A' + i, forms[f].after);
            const char *at = fv_py_find_last(text, word);
            if (at) offer(best, (char)('A' + i), forms[f].rank, (size_t)(at - text.text));
        }
}

/* Behind the first place of each phrase, the first place of each letter: inside of words as well. Only ASCII letters need lowering, the phrases have no others. */
static void offer_phrases(candidate *best, fv_span text, int letters) {
    static const char *const phrases[] = {
        "the answer is", "answer is", "the correct answer is", "correct answer is", "the best answer is", "best answer is", "the correct option is", "correct option is",
        "the best option is", "best option is", "the choice is", "choice is", "the correct choice is", "correct choice is", "i choose", "i select", "i pick", "my answer is",
        "my choice is", "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"};
    fv_text lower = {0};
    for (size_t i = 0; i < text.size; i++) fv_text_char(&lower, text.text[i] >= 'A' && text.text[i] <= 'Z' ? (char)(text.text[i] + 32) : text.text[i]);
    for (size_t p = 0; p < FV_COUNT(phrases); p++) {
        const char *at = fv_py_find(fv_edit_span(&lower), phrases[p]);
        if (!at) continue;
        size_t after = (size_t)(at - lower.data) + strlen(phrases[p]);
        for (int i = 0; i < letters; i++) {
            const char *there = memchr(text.text + after, 'A' + i, text.size - after);
            if (there) offer(best, (char)('A' + i), 7, (size_t)(there - text.text));
        }
    }
    fv_text_clear(&lower);
}

/* Letters that stand alone at either end. */
static void offer_ends(candidate *best, fv_span s, int letters) {
    if (!s.size) return;
    size_t before = s.size - 1; /* the start of the character before the last one */
    while (before > 0 && ((unsigned char)s.text[--before] & 0xc0) == 0x80) continue;
    char first = s.text[0], last = s.text[s.size - 1];
    if (first >= 'A' && first < 'A' + letters && (s.size == 1 || !fv_py_alpha(s.text + 1, s.size - 1))) offer(best, first, 10, 0);
    if (last >= 'A' && last < 'A' + letters && (s.size == 1 || !fv_py_alpha(s.text + before, s.size - before))) offer(best, last, 9, s.size);
}

char fv_mcq_lmms(fv_span text, int letters) {
    candidate best = {0};
    fv_text padded = {0};
    text = fv_py_strip(text);
    if (!text.size) return 0;
    for (const char *mark = ",.!?;:'\""; *mark; mark++) text = fv_py_strip_of(text, (const char[]){*mark, 0});
    fv_text_char(&padded, ' ');
    fv_text_bytes(&padded, text.text, text.size);
    fv_text_char(&padded, ' ');
    fv_span s = fv_edit_span(&padded);
    offer_forms(&best, s, letters);
    offer_phrases(&best, s, letters);
    offer_ends(&best, fv_py_strip(s), letters);
    for (size_t i = s.size; i-- > 0 && !best.letter;) /* the last of any */
        if (s.text[i] >= 'A' && s.text[i] < 'A' + letters) best.letter = s.text[i];
    fv_text_clear(&padded);
    return best.letter;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_options o;
    fv_options_read(&o, row);
    if (!o.count) o.count = 8; /* its default, A to H */
    int right = fv_options_right(&o, row);
    if (right < 0) return "an `answer` that is a letter or an option";
    fv_mark_letter(m, fv_mcq_lmms(text, o.count), (char)('A' + right));
    return NULL;
}

const fv_protocol fv_protocol_mcq_lmms = {.name = "mcq@lmms",
                                          .doc = "an option's letter anywhere, by lmms-eval's ranks: alone at the start, at the end, behind \"the answer is\", (B), B., B:, B), B; the last of equals",
                                          .fields = "answer; options, candidates or choices (none: A to H)",
                                          .source = FV_SOURCE_LMMS "_task_utils/mcq_extract.py",
                                          .read = fv_read_lmms,
                                          .mark = mark};
