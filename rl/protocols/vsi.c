/* VSI-Bench (arXiv 2412.14171) by lmms-eval: accuracy of choices, mean relative accuracy of numbers, and of eight tasks the plain mean, the three levels of relative
 * direction being one. */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

#include <math.h>
#include <string.h>

/* Choices first: rows of these types have letters. lmms-eval fails where a level of direction has no rows; here the mean is over what there is. */
enum { CHOICE_TYPES = 6 };
static const fv_level levels[] = {{"object_rel_direction_easy", "object_rel_direction"},
                                  {"object_rel_direction_medium", "object_rel_direction"},
                                  {"object_rel_direction_hard", "object_rel_direction"},
                                  {"object_rel_distance", "object_rel_distance"},
                                  {"route_planning", "route_planning"},
                                  {"obj_appearance_order", "obj_appearance_order"},
                                  {"object_abs_distance", "object_abs_distance"},
                                  {"object_counting", "object_counting"},
                                  {"object_size_estimation", "object_size_estimation"},
                                  {"room_size_estimation", "room_size_estimation"},
                                  {0}};
_Static_assert(FV_COUNT(levels) <= FV_PROTOCOL_LEVELS + 1, "a tally for each level");

static int type_of(fv_span type) {
    for (int i = 0; levels[i].category; i++)
        if (fv_span_same(type, fv_span_of(levels[i].category))) return i;
    return -1;
}

/* ---- Numbers ---- */

static int word_value(fv_span word) {
    static const char *const small[] = {"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen",
                                        "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
    static const struct {
        const char *name;
        int value;
    } large[] = {{"twenty", 20}, {"thirty", 30}, {"forty", 40}, {"fifty", 50}, {"sixty", 60}, {"seventy", 70}, {"eighty", 80}, {"ninety", 90}, {"hundred", 100}, {"thousand", 1000}};
    for (size_t i = 0; i < FV_COUNT(small); i++)
        if (fv_span_same(word, fv_span_of(small[i]))) return (int)i;
    for (size_t i = 0; i < FV_COUNT(large); i++)
        if (fv_span_same(word, fv_span_of(large[i].name))) return large[i].value;
    return -1;
}

static bool letter(char c) { return c >= 'a' && c <= 'z'; }

/* The value of the first run of number words ("three hundred and twenty-one") and where it begins; false: there is none. */
static bool words_value(fv_span s, double *out, size_t *start) {
    double total = 0, current = 0;
    bool open = false;
    for (size_t i = 0; i < s.size;) {
        size_t n = 0;
        while (i + n < s.size && letter(s.text[i + n])) n++;
        fv_span word = {s.text + i, n};
        int value = n ? word_value(word) : -1;
        if (value >= 0 && !open) open = true, *start = i;
        else if (value < 0 && n && open && !fv_span_same(word, fv_span_of("and"))) break;
        if (value == 100) current = fmax(current, 1) * 100;
        else if (value == 1000) total += fmax(current, 1) * 1000, current = 0;
        else if (value >= 0) current += value;
        i += n ? n : 1;
    }
    *out = total + current;
    return open;
}

/* The first number of a response, in digits or words, whichever begins first. */
static bool number_said(fv_span text, double *out) {
    fv_text lower = {0};
    fv_span digits;
    double words = 0;
    size_t start = 0;
    fv_edit_set(&lower, fv_py_strip(text));
    fv_edit_lower(&lower);
    fv_span s = fv_edit_span(&lower);
    bool worded = words_value(s, &words, &start), written = fv_regex_in("-?\\d+(?:\\.\\d+)?", s, &digits, 1);
    bool first = written && (!worded || (size_t)(digits.text - s.text) < start);
    bool good = first ? fv_py_float(digits, out) : worded;
    if (good && !first) *out = words;
    fv_text_clear(&lower);
    return good;
}

/* The share of thresholds t that |p - g| / g <= 1 - t keeps; t as numpy.linspace(0.5, 0.95, 10) has them, since int((0.95 - 0.5) / 0.05 + 2) is 10 in doubles. */
static double relative_accuracy(double given, double right) {
    enum { POINTS = 10 };
    double error = fabs(given - right) / right, step = (0.95 - 0.5) / (POINTS - 1);
    int within = 0;
    for (int k = 0; k < POINTS; k++) within += error <= 1 - (k == POINTS - 1 ? 0.95 : k * step + 0.5);
    return (double)within / POINTS;
}

static const char *mark_number(fv_mark *m, fv_span text) {
    double right, given;
    if (!fv_py_float(fv_edit_span(&m->right), &right)) return NULL; /* wrong whatever was said, as there */
    if (right == 0) return "a `ground_truth` other than 0";
    if (!number_said(text, &given)) return NULL;
    fv_text_f64(&m->extracted, given);
    m->score = relative_accuracy(given, right);
    return NULL;
}

/* ---- All ---- */

/* Up to the first blank, without full stops behind; equal in any case. */
static void mark_choice(fv_mark *m, fv_span text) {
    fv_span first = fv_py_before(text, " ");
    fv_text a = {0}, b = {0};
    while (first.size && first.text[first.size - 1] == '.') first.size--;
    fv_edit_set(&m->extracted, fv_py_strip(first));
    fv_edit_set(&a, fv_edit_span(&m->extracted));
    fv_edit_set(&b, fv_edit_span(&m->right));
    fv_edit_lower(&a);
    fv_edit_lower(&b);
    m->score = fv_edit_same(&a, &b);
    m->extracted.failed |= a.failed || b.failed;
    fv_text_clear(&a);
    fv_text_clear(&b);
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    int type = type_of(fv_row_span(row, "question_type"));
    const json_t *right = json_object_get(row, "ground_truth");
    if (type < 0) return "a `question_type` of VSI-Bench";
    if (json_is_real(right)) fv_text_f64(&m->right, json_real_value(right));
    else if (!fv_row_word(&m->right, row, "ground_truth")) return "a `ground_truth`";
    m->category = levels[type].category;
    if (type >= CHOICE_TYPES) return mark_number(m, text);
    mark_choice(m, text);
    return NULL;
}

const fv_protocol fv_protocol_vsi_lmms = {.name = "vsi@lmms",
                                          .doc = "choices: the text up to the first blank is the letter; numbers: mean relative accuracy of the first number, in digits or words; the mean of 8 tasks",
                                          .fields = "question_type, ground_truth; scene_name",
                                          .source = FV_SOURCE_LMMS "vsibench/utils.py",
                                          .cluster = "scene_name",
                                          .levels = levels,
                                          .read = fv_read_lmms,
                                          .mark = mark};
