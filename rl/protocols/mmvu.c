/* MMVU (arXiv 2501.12380) by lmms-eval: generous rules over a whole response; of open questions that they find wrong a judge has the last word. */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

#include <math.h>
#include <string.h>

/* A piece of a text in lower case. */
static void lowered(fv_text *out, fv_span s) {
    fv_edit_set(out, s);
    fv_edit_lower(out);
}

static bool has_letter(fv_span s, char letter) {
    char both[] = {letter, (char)(letter ^ 0x20), 0};
    for (size_t i = 0; i < s.size; i++)
        if (s.text[i] && strchr(both, s.text[i])) return true;
    return false;
}

static const char punctuation[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/* Some word of more than two characters of the choice is in the response, as part of others too. */
static bool shares_word(fv_span lower, fv_span choice) {
    fv_text part = {0};
    bool shared = false;
    for (fv_span word; !shared && fv_py_word(&choice, &word);) {
        word = fv_py_strip_of(word, punctuation);
        if (fv_py_length(word) <= 2) continue;
        fv_edit_set(&part, word);
        shared = part.data && fv_py_find(lower, part.data);
    }
    fv_text_clear(&part);
    return shared;
}

/* The letter first or anywhere alone, in either case; or the choice's text; or the letter as part of any word, and a word of the choice. */
static bool choice_right(fv_mark *m, fv_span text, fv_span choice, char right) {
    const char alone[] = {'(', '?', 'i', ')', '\\', 'b', right, '\\', 'b', 0};
    fv_span group[2];
    fv_text lower = {0}, part = {0};
    if (fv_regex_in("(?i)\\b([A-E])\\b", text, group, 2)) fv_text_char(&m->extracted, (char)(group[1].text[0] & ~0x20));
    bool good = fv_regex_in(alone, text, group, 1);
    if (!good && choice.text) {
        lowered(&lower, text);
        lowered(&part, fv_py_strip(choice));
        good = !part.size || fv_py_find(fv_edit_span(&lower), part.data) || (has_letter(text, right) && shares_word(fv_edit_span(&lower), fv_edit_span(&part)));
        m->extracted.failed |= lower.failed || part.failed;
    }
    fv_text_clear(&lower);
    fv_text_clear(&part);
    return good;
}

/* Lower case, small raised digits as ^2, and in `clean` one blank for any white space. */
static void normalise(fv_text *out, fv_text *clean, fv_span s) {
    static const char *const raised[][2] = {{"²", "^2"}, {"³", "^3"}, {"¹", "^1"}, {"⁰", "^0"}, {"⁴", "^4"}, {"⁵", "^5"}, {"⁶", "^6"}, {"⁷", "^7"}, {"⁸", "^8"}, {"⁹", "^9"}};
    lowered(out, fv_py_strip(s));
    for (size_t i = 0; i < FV_COUNT(raised); i++) fv_edit_replace(out, raised[i][0], raised[i][1]);
    fv_span rest = fv_edit_span(out);
    for (fv_span word; fv_py_word(&rest, &word);) {
        if (clean->size) fv_text_char(clean, ' ');
        fv_text_bytes(clean, word.text, word.size);
    }
}

static bool same_number(fv_span given, fv_span right) {
    fv_span a, b;
    double x, y;
    return fv_regex_in("\\d+\\.?\\d*", given, &a, 1) && fv_regex_in("\\d+\\.?\\d*", right, &b, 1) && fv_py_float(a, &x) && fv_py_float(b, &y) && fabs(y - x) < 0.01;
}

static bool has_word(fv_span text, fv_span want) {
    for (fv_span word; fv_py_word(&text, &word);)
        if (fv_span_same(fv_py_strip_of(word, punctuation), want)) return true;
    return false;
}

/* Of an answer of two to five words, all of more than two characters are words of the response. */
static bool same_words(fv_span given, fv_span right) {
    int count = 0;
    bool all = true;
    for (fv_span word; fv_py_word(&right, &word);) {
        word = fv_py_strip_of(word, punctuation);
        if (!word.size) continue;
        count++;
        all &= fv_py_length(word) <= 2 || has_word(given, word);
    }
    return all && count >= 2 && count <= 5;
}

static bool same_order(fv_span given, fv_span right) {
    static const char order[] = "o" FV_RE_SPACE "*\\([^)]+\\)";
    fv_span a, b;
    return fv_regex_in(order, given, &a, 1) && fv_regex_in(order, right, &b, 1) && fv_span_same(a, b);
}

/* Either text within the other (so that no response at all is right), first numbers within 0.01, words, O(..). */
static bool open_right(fv_span text, fv_span answer) {
    fv_text given = {0}, given_clean = {0}, right = {0}, right_clean = {0};
    normalise(&given, &given_clean, text);
    normalise(&right, &right_clean, answer);
    fv_span a = fv_edit_span(&given_clean), b = fv_edit_span(&right_clean);
    bool good = !a.size || !b.size || fv_py_find(a, b.text) || fv_py_find(b, a.text) || same_number(fv_edit_span(&given), fv_edit_span(&right)) || same_words(a, b) || same_order(a, b);
    fv_text_clear(&given);
    fv_text_clear(&given_clean);
    fv_text_clear(&right);
    fv_text_clear(&right_clean);
    return good;
}

/* lmms_eval/verifiers/base.py, parse_binary_response. */
static bool judged_right(fv_span reply) {
    fv_span g;
    if (fv_regex_in("(?i)INCORRECT|NOT_ATTEMPTED", reply, &g, 1)) return false;
    return fv_regex_in("(?i)correct|yes|true|1", reply, &g, 1);
}

static bool hears(fv_span reply) {
    fv_span g;
    return fv_regex_in("(?i)correct|not_attempted|yes|no|true|false|1|0", reply, &g, 1);
}

/* The discipline of a subject, which is the last folder of video_path; of others lmms-eval counts nothing. */
static const char *discipline_of(fv_span path) {
    static const struct {
        const char *name, *subjects;
    } disciplines[] = {
        {"Science", " Biology Chemistry Modern_Physics Astronomy Geography Materials_Science Neurobiology Electromagnetism Thermodynamics Mechanics "},
        {"Engineering", " Civil_Engineering Electrical_Engineering Mechanical_Engineering Biomedical_Engineering Electronics_and_Communication Computer_Science "},
        {"Healthcare", " Clinical_Medicine Basic_Medicine Preventive_Medicine Pharmacy Dentistry "},
        {"Humanities_and_Social_Science", " Art Literature History Law Economics Management "},
    };
    char word[64];
    fv_span folder = {0}, last = {0}, item;
    while (fv_py_item(&path, &item, '/')) folder = last, last = item;
    if (!folder.size || folder.size + 3 > sizeof word || memchr(folder.text, ' ', folder.size)) return NULL;
    word[0] = ' ';
    memcpy(word + 1, folder.text, folder.size);
    strcpy(word + 1 + folder.size, " ");
    for (size_t i = 0; i < FV_COUNT(disciplines); i++)
        if (strstr(disciplines[i].subjects, word)) return disciplines[i].name;
    return NULL;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    fv_span type = fv_row_span(row, "question_type"), path = fv_row_span(row, "video_path"), reply = fv_row_span(row, "judge_text"), answer;
    if (!type.text || !path.text) return "`question_type` and `video_path`";
    if (!fv_row_word(&m->right, row, "answer")) return "an `answer`";
    m->category = discipline_of(path);
    m->left_out = !m->category;
    answer = fv_py_strip(fv_edit_span(&m->right));
    if (!strcmp(type.text, "multiple-choice")) {
        if (answer.size != 1 || answer.text[0] < 'A' || answer.text[0] > 'E') return "an `answer` from A to E";
        fv_options o;
        fv_options_read(&o, row);
        m->score = choice_right(m, fv_py_strip(text), o.text[answer.text[0] - 'A'], answer.text[0]);
        return NULL;
    }
    fv_edit_set(&m->extracted, text);
    m->score = open_right(text, answer);
    if (m->score == 0 && !reply.text) return "`judge_text`: what gpt-4o-2024-11-20 says (1 or 0) of an open answer that no rule finds right";
    if (m->score == 0) m->score = judged_right(reply);
    return NULL;
}

const fv_protocol fv_protocol_mmvu_lmms = {.name = "mmvu@lmms",
                                           .doc = "choices: the right letter anywhere alone (\"a\" too), or its text, or the letter in a word and a word of the text; open: texts within one another, first "
                                                  "numbers within 0.01, words; else the judge",
                                           .fields = "question_type, choices, answer, video_path; judge_text where rules find an open answer wrong",
                                           .source = FV_SOURCE_LMMS "mmvu/utils.py",
                                           .cluster = "video_path",
                                           .read = fv_read_lmms,
                                           .mark = mark,
                                           .hears = hears};
