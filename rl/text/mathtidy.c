/* LaTeX of an answer as math-verify's latex2sympy normalises it before it reads. */
#include "rl/text/mathlatex.h"

#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <string.h>

/* re.sub(pattern, with): \1 and \2 in `with` are groups. */
static void substitute(fv_text *t, const char *pattern, const char *with) {
    fv_regex *r = fv_regex_new(pattern);
    fv_text made = {0};
    fv_span s = fv_edit_span(t), g[3];
    size_t at = 0;
    while (fv_regex_find(r, s, at, g, 3) && g[0].size) {
        fv_text_bytes(&made, s.text + at, (size_t)(g[0].text - s.text) - at);
        for (const char *w = with; *w; w++) {
            bool slot = w[0] == '\\' && (w[1] == '1' || w[1] == '2');
            if (slot) fv_text_bytes(&made, g[w[1] - '0'].text, g[w[1] - '0'].size);
            else fv_text_char(&made, *w);
            w += slot;
        }
        at = (size_t)(g[0].text - s.text) + g[0].size;
    }
    fv_text_bytes(&made, s.text + at, s.size - at);
    fv_regex_free(r);
    fv_edit_swap(t, &made);
}

/* The inside of the box at s (behind "\boxed"), and how many bytes it takes with its braces. An open one goes to the end. */
static fv_span box_inside(fv_span s, size_t *used) {
    size_t at = 0, depth = 0, n;
    while ((n = fv_py_space(s.text + at, s.size - at)) > 0) at += n;
    fv_span rest = fv_span_from(s, at);
    for (size_t i = 0; fv_span_starts(rest, "{") && i < rest.size; i++) {
        depth += rest.text[i] == '{';
        depth -= rest.text[i] == '}';
        if (depth) continue;
        *used = at + i + 1;
        return fv_py_strip((fv_span){rest.text + 1, i - 1});
    }
    *used = s.size;
    return rest;
}

enum { NESTED = 4 };

static void unbox(fv_text *t, bool last) {
    enum { MOST = 32, CLOSE = 10, NEAR = 70 };
    fv_span s = fv_edit_span(t), boxes[MOST], between[MOST], g;
    int n = 0;
    for (const char *at; n < MOST && (at = fv_py_find(s, "\\boxed"));) {
        size_t used;
        between[n] = (fv_span){s.text, (size_t)(at - s.text)};
        s = fv_span_from(s, (size_t)(at - s.text) + 6);
        boxes[n++] = box_inside(s, &used);
        s = fv_span_from(s, used);
    }
    int first = last && n ? n - 1 : 0;
    while (last && first > 0) { /* boxes that are close together, or joined by a comma or a word, belong together */
        bool near = fv_py_length(between[first]) < CLOSE;
        bool joined = fv_py_length(between[first]) < NEAR && !fv_span_same(boxes[first - 1], boxes[n - 1]) && fv_regex_in("\\b(?:and|or)\\b|[,;]", between[first], &g, 1);
        if (!near && !joined) break;
        first--;
    }
    fv_text made = {0};
    for (int i = first; i < n; i++) {
        if (i > first && fv_span_same(boxes[i], boxes[i - 1])) continue;
        if (i > first) fv_text_char(&made, ',');
        fv_text_bytes(&made, boxes[i].text, boxes[i].size);
    }
    if (n) fv_edit_swap(t, &made);
}

void fv_math_tidy(fv_text *out, fv_span latex, bool last) {
    static const char *const edits[][2] = {
        {"\\\\m?(?:left|right)(?=\\\\?[{}|\\[\\]()])", ""},
        {"\\\\!\\s*|\\\\text\\s*\\{\\s*\\}|\\\\\\$|\\$|(?<!\\\\)[\"']|\\\\displaystyle", ""},
        {"\\\\(?:math(?:rm|it|bf)|text(?:normal|bf|it|rm))", "\\text"},
        {"\\\\[dtc]frac", "\\frac"},
        {"\\s\\.", " 0."},
        {"\\{\\.", "{0."},
        {"\\s*\\{\\s*,\\s*\\}", ","},
        {",?\\s*\\\\text\\{\\s*(?:and|or)\\s*\\}|(?<![a-zA-Z]),?\\s*(?:and|or)(?![a-zA-Z])", ","},
        {"(?<!\\\\)\\\\\\s", " "},
        {",?\\\\ldots", " "},
        {"\\\\text\\{(?:percentage|percent|pct)\\}", "%"},
        {"\\s*\\b(?:percentage|percent|pct)\\b", "\\%"},
        {"[\\n\\t]", " "},
    };
    static const char *const repairs[][2] = {
        {"\\^\\s?\\((.*?)\\)", "^{\\1}"},
        {"(?<!\\\\)sqrt\\s?\\((.*?)\\)", "\\sqrt{\\1}"},
        {"\\\\sqrt\\s*([^\\s{\\[\\\\])", "\\sqrt{\\1}"},
        {"\\\\frac\\s*([^\\s{\\\\])\\s*([^\\s{\\\\])", "\\frac{\\1}{\\2}"},
        {"\\\\frac\\s*([^\\s{\\\\])\\s*\\{", "\\frac{\\1}{"},
        {"(\\\\frac\\s*\\{[^{}]*\\})\\s*([^\\s{\\\\])", "\\1{\\2}"},
        {"\\A(-?\\d+)/(\\d+)\\z", "\\frac{\\1}{\\2}"},
    };
    /* Units behind a number at the end; the first is anything in \text{}. */
    static const char *const units[] = {
        "(.)\\s*\\\\(?:text|mbox)\\{[^{}]*\\}(?:\\^\\d|\\{\\^\\d\\}|\\^\\{\\d\\})?$",
        "([\\d}\\s])\\s*(?:degree|deg|feet|ft|inches|inch|mile|mph|kmph|kmh|yard|metre|meter|litre|liter|km|cm|mm|dm|m|kg|gm|g|lb|pound|gallon|gal|acre|hectare|ohm|"
        "second|sec|minute|min|hour|hr|day|"
        "month|year|yr|cent|rupee|unit|square|cubic|cube|sq|men|man|women|woman|student|apple|coin|number|digit|o|t|h|c|l|s|d)(?:s|es)?\\s*$"};
    fv_edit_set(out, latex);
    for (int depth = 0; depth <= NESTED && fv_py_find(fv_edit_span(out), "\\boxed"); depth++) unbox(out, last); /* a box in a box */
    for (size_t i = 0; i < FV_COUNT(edits); i++) substitute(out, edits[i][0], edits[i][1]);
    for (size_t i = 0; i < FV_COUNT(units); i++) {
        fv_text shorter = {0};
        fv_edit_set(&shorter, fv_edit_span(out));
        substitute(&shorter, units[i], "\\1");
        if (fv_py_strip(fv_edit_span(&shorter)).size) fv_edit_swap(out, &shorter);
        fv_text_clear(&shorter);
    }
    for (size_t i = 0; i < FV_COUNT(repairs); i++) substitute(out, repairs[i][0], repairs[i][1]);
    fv_edit_set(out, fv_py_strip(fv_edit_span(out)));
}
