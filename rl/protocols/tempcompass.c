/* TempCompass (arXiv 2403.00476) by lmms-eval: multiple choice, yes or no, and matching of captions, told apart by the form of `answer`. What no rule can read a judge
 * decides, whose reply is the row's judge_text. (Captioning has no rules: all of it is the judge's.) */
#include "rl/protocols/mcq.h"

#include <string.h>

typedef enum { WRONG, RIGHT, UNREAD } verdict;

static verdict verdict_of(bool right) { return right ? RIGHT : WRONG; }

/* s.split(mark)[k]; false: there are not so many. */
static bool part_of(fv_span *out, fv_span s, const char *mark, int k) {
    for (;; k--) {
        const char *at = fv_py_find(s, mark);
        *out = fv_py_before(s, mark);
        if (k == 0) return true;
        if (!at) return false;
        at += strlen(mark);
        s = (fv_span){at, s.size - (size_t)(at - s.text)};
    }
}

/* The answer as a whole; or a letter A to D alone, or with "." or ")" behind it, against the answer's first. */
static verdict choice(fv_span text, fv_span answer) {
    if (fv_span_same(text, answer)) return RIGHT;
    bool letter = text.size && text.text[0] >= 'A' && text.text[0] <= 'D';
    if (letter && (text.size == 1 || text.text[1] == '.' || text.text[1] == ')')) return verdict_of(text.text[0] == answer.text[0]);
    return UNREAD;
}

static verdict yes_or_no(fv_span text, fv_span answer) {
    fv_text lower = {0};
    fv_edit_set(&lower, text);
    fv_edit_lower(&lower);
    fv_span s = fv_edit_span(&lower);
    const char *said = fv_span_starts(s, "yes") ? "yes" : fv_span_starts(s, "no") ? "no" : NULL;
    verdict v = said ? verdict_of(fv_span_same(answer, fv_span_of(said))) : UNREAD;
    fv_text_clear(&lower);
    return v;
}

/* "Caption A" without the first of its words that name it. */
static void bare_name(fv_text *out, fv_span name) {
    static const char *const words[] = {"Sentence ", "Option ", "Caption "};
    fv_edit_set(out, name);
    for (size_t i = 0; i < FV_COUNT(words); i++) fv_edit_replace(out, words[i], "");
}

/* What of an option "Caption A: text" the response is: all of it, its text (also behind "X) "), its name, or that without "Caption". Sets *said; the last of them counts. */
typedef enum { WHOLE, SENTENCE, NAME, BARE, WAYS } way;
static bool says(fv_text *said, way w, fv_span option, fv_span text) {
    fv_text bare = {0}, dotless = {0};
    fv_span name = {0}, sentence = {0}, tail, wanted = option;
    bool is = part_of(&name, option, ": ", 0) && part_of(&sentence, option, ": ", 1);
    bare_name(&bare, name);
    fv_edit_set(&dotless, text);
    fv_edit_replace(&dotless, ".", "");
    if (w == SENTENCE) wanted = sentence;
    else if (w != WHOLE) wanted = w == NAME ? name : fv_edit_span(&bare);
    is = is && (fv_span_same(wanted, text) || (w == SENTENCE && part_of(&tail, text, ") ", 1) && fv_span_same(wanted, tail)) ||
                ((w == NAME || w == BARE) && fv_span_same(wanted, fv_edit_span(&dotless))));
    if (is) fv_edit_set(said, wanted);
    fv_text_clear(&bare);
    fv_text_clear(&dotless);
    return is;
}

static verdict caption(fv_span text, fv_span answer, fv_span question) {
    fv_text said = {0};
    fv_span line, part, word;
    bool read = false;
    for (way w = WHOLE; w < WAYS; w++) {
        fv_span lines = question;
        for (bool more = fv_py_item(&lines, &line, '\n'); more && fv_py_item(&lines, &line, '\n');) read |= says(&said, w, line, text);
    }
    fv_span s = fv_edit_span(&said);
    bool right = fv_span_same(s, answer) || fv_span_same(s, fv_py_before(answer, ":")) || (part_of(&part, answer, ": ", 1) && fv_span_same(s, part));
    part = fv_py_before(answer, ": ");
    right = right || (fv_py_word(&part, &word) && fv_py_word(&part, &word) && fv_span_same(s, word));
    fv_text_clear(&said);
    return read ? verdict_of(right) : UNREAD;
}

/* Every option line must be "NAME: TEXT". */
static bool is_matching(fv_span question) {
    fv_span line;
    bool more = fv_py_item(&question, &line, '\n');
    int count = 0;
    for (; more && fv_py_item(&question, &line, '\n'); count++)
        if (!fv_py_find(line, ": ")) return false;
    return count > 0;
}

/* "Correct" or "Incorrect" first, else "Correct" without "Incorrect". A reply without either is none. */
static verdict judged(fv_span reply) {
    bool right = fv_py_find(reply, "Correct"), wrong = fv_py_find(reply, "Incorrect");
    if (!reply.text || (!right && !wrong)) return UNREAD;
    return verdict_of(fv_span_starts(reply, "Correct") || (right && !wrong));
}

static bool hears(fv_span reply) { return judged(reply) != UNREAD; }

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_span answer = fv_row_span(row, "answer"), question = fv_row_span(row, "question");
    verdict v;
    if (!answer.size) return "an `answer`";
    fv_edit_set(&m->extracted, text);
    fv_edit_set(&m->right, answer);
    if (fv_span_same(answer, fv_span_of("yes")) || fv_span_same(answer, fv_span_of("no"))) v = yes_or_no(text, answer);
    else if (answer.size > 2 && answer.text[0] >= 'A' && answer.text[0] <= 'D' && answer.text[1] == '.') v = choice(text, answer);
    else if (question.text && is_matching(question)) v = caption(text, answer, question);
    else return "an `answer` that is yes, no or \"B. ..\", or a `question` with a caption a line";
    if (v == UNREAD) v = judged(fv_row_span(row, "judge_text"));
    if (v == UNREAD) return "`judge_text`: what gpt-3.5-turbo-1106 says (Correct or Incorrect) of an answer that no rule can read";
    m->score = v == RIGHT;
    return NULL;
}

const fv_protocol fv_protocol_tempcompass_lmms = {.name = "tempcompass@lmms",
                                                  .doc = "choice: the answer, or its letter first with . or ) or nothing behind; yes or no first; caption: its text or name; else the judge",
                                                  .fields = "answer; question (captions); dim; judge_text where no rule reads the response",
                                                  .source = FV_SOURCE_LMMS "tempcompass/utils.py",
                                                  .facets = {"dim"},
                                                  .cluster = "video_id",
                                                  .read = fv_read_lmms,
                                                  .mark = mark,
                                                  .hears = hears};
