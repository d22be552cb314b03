/* VLMEvalKit's search for an option, as it is without a judge (its policy `exact_matching`). */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

#include <string.h>

static bool among(const fv_options *o, char letter) { return letter >= 'A' && letter < 'A' + o->count && o->text[letter - 'A'].text; }

/* can_infer_option: exactly one of the letters as a word, among the last four words at first; else the letter behind "answer is", also one that begins a word
 * ("the answer is a dog" is A). */
static char option_named(fv_span text, const fv_options *o) {
    static const char *const refusals[] = {"Sorry, I can't help with images of people yet.", "I can't process this file.", "I'm sorry, but without the image provided",
                                           "Cannot determine the answer"};
    if (fv_py_find(text, FV_KIT_FAILED)) return 0;
    for (size_t i = 0; i < FV_COUNT(refusals); i++)
        if (fv_py_find(text, refusals[i])) return 'Z';
    fv_text words = {0};
    fv_span word, group[2];
    int first[FV_OPTIONS], count = 0, seen = 0, only = -1;
    bool refused = false;
    for (int i = 0; i < FV_OPTIONS; i++) first[i] = -1;
    for (size_t i = 0; i < text.size; i++) fv_text_char(&words, text.text[i] && strchr(".()[],:;!*#{}", text.text[i]) ? ' ' : text.text[i]);
    for (fv_span rest = fv_edit_span(&words); fv_py_word(&rest, &word); count++) {
        refused |= word.size == 1 && word.text[0] == 'Z';
        if (word.size != 1 || !among(o, word.text[0]) || first[word.text[0] - 'A'] >= 0) continue;
        only = word.text[0] - 'A';
        first[only] = count;
        seen++;
    }
    fv_text_clear(&words);
    if (seen == 1 && first[only] > count - 5) return (char)('A' + only);
    if (seen == 0 && refused) return 'Z';
    if (!fv_regex_in("(?i)(?:correct" FV_RE_SPACE "+)?answer" FV_RE_SPACE "+is" FV_RE_SPACE "+\\**([ABCD])\\**", text, group, 2)) return 0;
    char letter = (char)(group[1].text[0] & ~0x20);
    return among(o, letter) ? letter : 0;
}

/* can_infer_text: exactly one option's text somewhere in an answer that is no longer than all options twice. */
static char option_quoted(fv_span text, const fv_options *o) {
    fv_text all = {0}, part = {0};
    size_t room = 0;
    int found = 0, only = 0;
    fv_edit_set(&all, text);
    fv_edit_lower(&all);
    for (int i = 0; i < o->count; i++) room += fv_py_length(o->text[i]);
    for (int i = 0; i < o->count && fv_py_length(fv_edit_span(&all)) <= 2 * room; i++) {
        if (!o->text[i].text) continue;
        fv_edit_set(&part, o->text[i]);
        fv_edit_lower(&part);
        if (part.size && !fv_py_find(fv_edit_span(&all), part.data)) continue;
        only = 'A' + i;
        found++;
    }
    fv_text_clear(&all);
    fv_text_clear(&part);
    return found == 1 ? (char)only : 0;
}

char fv_mcq_kit(fv_span text, const fv_options *o) {
    char letter = option_named(text, o);
    if (!letter) letter = option_quoted(text, o);
    return letter ? letter : 'Z';
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_options o;
    fv_options_read(&o, row);
    if (!o.count) return "`options`, `candidates`, `choices` or fields A, B, ...";
    int right = fv_options_right(&o, row);
    if (right < 0) return "an `answer` that is one of its options";
    for (int i = 0; i < o.count; i++) o.text[i] = fv_option_text(&o, i);
    fv_mark_letter(m, fv_mcq_kit(text, &o), (char)('A' + right));
    return NULL;
}

const fv_protocol fv_protocol_mcq_kit = {.name = "mcq@kit",
                                         .doc = "VLMEvalKit's can_infer: exactly one option's letter as a word, among the last four; else the letter behind \"answer is\"; else exactly one "
                                                "option's text; else wrong",
                                         .fields = "answer; options, candidates, choices or fields A, B, ...",
                                         .source = FV_SOURCE_KIT "utils/matching_util.py",
                                         .read = fv_read_turn,
                                         .mark = mark};
