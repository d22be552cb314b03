#include "rl/text/mathlatex.h"

#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <ctype.h>
#include <string.h>

void fv_math_clear(fv_math *m) {
    for (int i = 0; i < FV_MATH_ELEMENTS; i++) {
        fv_text_clear(&m->element[i]);
        fv_text_clear(&m->base[i]);
    }
    fv_text_clear(&m->left);
    *m = (fv_math){0};
}

static fv_span from(fv_span s, size_t n) { return (fv_span){s.text + n, s.size - n}; }
static bool starts(fv_span s, const char *word) { return s.size >= strlen(word) && !memcmp(s.text, word, strlen(word)); }

/* ---- Tidying ---- */

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
    fv_span rest = from(s, at);
    for (size_t i = 0; starts(rest, "{") && i < rest.size; i++) {
        depth += rest.text[i] == '{';
        depth -= rest.text[i] == '}';
        if (depth) continue;
        *used = at + i + 1;
        return fv_py_strip((fv_span){rest.text + 1, i - 1});
    }
    *used = s.size;
    return rest;
}

static void unbox(fv_text *t, bool last) {
    enum { MOST = 32, CLOSE = 10, NEAR = 70 };
    fv_span s = fv_edit_span(t), boxes[MOST], between[MOST], g;
    int n = 0;
    for (const char *at; n < MOST && (at = fv_py_find(s, "\\boxed"));) {
        size_t used;
        between[n] = (fv_span){s.text, (size_t)(at - s.text)};
        s = from(s, (size_t)(at - s.text) + 6);
        boxes[n++] = box_inside(s, &used);
        s = from(s, used);
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
        "(.)\\s*\\\\(?:text|mbox)\\{[^{}]*\\}(?:\\^\\d|\\{\\^\\d\\})?$",
        "([\\d}\\s])\\s*(?:degree|deg|feet|ft|inches|inch|mile|mph|kmph|kmh|yard|metre|meter|litre|liter|km|cm|mm|dm|m|kg|gm|g|lb|pound|gallon|gal|acre|hectare|ohm|"
        "second|sec|minute|min|hour|hr|day|"
        "month|year|yr|cent|rupee|unit|square|cubic|cube|sq|men|man|women|woman|student|apple|coin|number|digit|o|t|h|c|l|s|d)(?:s|es)?\\s*$"};
    fv_edit_set(out, latex);
    unbox(out, last);
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

/* ---- Reading ---- */

enum { DEPTH = 30 };

typedef struct {
    fv_span in;
    int depth;
    bool good;
} reader;

static void advance(reader *r, size_t n) { r->in = from(r->in, n); }

static bool take(reader *r, const char *word) {
    if (!starts(r->in, word)) return false;
    advance(r, strlen(word));
    return true;
}

static void expression(fv_text *out, reader *r, const char *stop);

/* {...}, or one character, in brackets. */
static void argument(fv_text *out, reader *r) {
    while (take(r, " ")) continue;
    fv_text_char(out, '(');
    if (take(r, "{")) {
        expression(out, r, "}");
        r->good = r->good && take(r, "}");
    } else if (r->in.size && isalnum((unsigned char)r->in.text[0])) {
        fv_text_char(out, r->in.text[0]);
        advance(r, 1);
    } else if (take(r, "\\pi")) {
        fv_text_add(out, "pi");
    } else {
        r->good = false;
    }
    fv_text_char(out, ')');
}

static void root(fv_text *out, reader *r) {
    fv_text order = {0};
    if (take(r, "[")) {
        expression(&order, r, "]");
        r->good = r->good && take(r, "]");
    }
    fv_text_char(out, '(');
    argument(out, r);
    fv_text_printf(out, "^(1/(%s)))", order.size ? order.data : "2");
    fv_text_clear(&order);
}

static void fraction(fv_text *out, reader *r) {
    fv_text_char(out, '(');
    argument(out, r);
    fv_text_char(out, '/');
    argument(out, r);
    fv_text_char(out, ')');
}

/* Words are their letters, numbers numbers; any other text is an unknown of its own, the same in any case. */
static void words(fv_text *out, reader *r) {
    fv_span g;
    uint32_t hash = 2166136261u; /* FNV-1a */
    size_t depth = 0, n = 0;
    while (take(r, " ")) continue;
    if (fv_regex_in("\\A\\{(?:[A-Za-z ]*|-?[\\d.]+)\\}", r->in, &g, 1)) {
        argument(out, r);
        return;
    }
    do {
        char c = n < r->in.size ? r->in.text[n++] : 0;
        depth += c == '{';
        depth -= c == '}';
        hash = (hash ^ (uint32_t)tolower((unsigned char)c)) * 16777619u;
    } while (depth && n < r->in.size);
    r->good = r->good && !depth && n > 1;
    fv_text_printf(out, "(%u*(q))", (unsigned)hash);
    advance(r, n);
}

static bool command(fv_text *out, reader *r) {
    static const char *const signs[][2] = {{"\\cdot", "*"}, {"\\times", "*"}, {"\\div", "/"}, {"\\pi", "(pi)"}, {"\\,", ""}, {"\\;", ""}, {"\\:", ""}, {"\\quad", ""}, {"\\%", "/100"}};
    static const char *const functions[] = {"sin", "cos", "tan", "ln", "log", "exp", "arcsin", "arccos", "arctan"};
    if (take(r, "\\frac")) return fraction(out, r), true;
    if (take(r, "\\sqrt")) return root(out, r), true;
    if (take(r, "\\text") || take(r, "\\mbox")) return words(out, r), true;
    for (size_t i = 0; i < FV_COUNT(signs); i++)
        if (take(r, signs[i][0])) return fv_text_add(out, signs[i][1]), true;
    for (size_t i = 0; i < FV_COUNT(functions); i++) {
        size_t n = strlen(functions[i]);
        if (!starts(from(r->in, 1), functions[i])) continue;
        fv_span rest = from(r->in, n + 1);
        if (!starts(rest, "(") && !starts(rest, "{")) return false;
        fv_text_add(out, functions[i]);
        r->in = rest;
        if (starts(rest, "{")) argument(out, r);
        return true;
    }
    return false;
}

/* Blanks are no part of an expression, but between two digits they end a number. */
static bool skip_blanks(reader *r, const fv_text *out) {
    size_t n = 0;
    while (n < r->in.size && r->in.text[n] == ' ') n++;
    bool digits = n && out->size && isdigit((unsigned char)out->data[out->size - 1]) && r->in.size > n && isdigit((unsigned char)r->in.text[n]);
    advance(r, n);
    if (digits) r->good = false;
    return n > 0;
}

static void expression(fv_text *out, reader *r, const char *stop) {
    if (++r->depth > DEPTH) r->good = false;
    while (r->good && r->in.size && !strchr(stop, r->in.text[0])) {
        char c = r->in.text[0];
        if (skip_blanks(r, out)) continue;
        if (c == '\\') {
            r->good = command(out, r);
        } else if (c == '^') {
            advance(r, 1);
            if (take(r, "\\circ") || take(r, "{\\circ}")) continue; /* degrees are not converted */
            fv_text_char(out, '^');
            argument(out, r);
        } else if (c == '{' || c == '(') {
            advance(r, 1);
            fv_text_char(out, '(');
            expression(out, r, c == '{' ? "}" : ")");
            r->good = r->good && take(r, c == '{' ? "}" : ")");
            fv_text_char(out, ')');
        } else if (isalpha((unsigned char)c)) { /* letters are apart, so that "pi" and "sin" are not read as words, and the same in any case */
            fv_text_printf(out, "(%c)", tolower((unsigned char)c));
            advance(r, 1);
        } else if (take(r, "%")) {
            fv_text_add(out, "/100");
        } else if (isdigit((unsigned char)c) || strchr("+-*/.!", c)) {
            fv_text_char(out, c);
            advance(r, 1);
        } else {
            r->good = false;
        }
    }
    r->depth--;
}

/* One element; a number with a percent sign behind it is kept apart, since math-verify takes "9%" for 9 as well. */
static bool read_element(fv_math *m, fv_span s) {
    if (m->count == FV_MATH_ELEMENTS) return false;
    fv_text *out = &m->element[m->count], *base = &m->base[m->count];
    s = fv_py_strip(s);
    reader r = {.in = s, .good = true};
    fv_span g[2];
    bool percent = fv_regex_in("\\A(-?[\\d.]+)\\s*\\\\?%\\z", s, g, 2);
    if (percent) r.in = g[1];
    m->count++;
    expression(out, &r, "");
    if (!r.good || r.in.size || !out->size) return false;
    if (!percent) return true;
    fv_edit_set(base, fv_edit_span(out));
    fv_text_rewind(out);
    fv_text_printf(out, "(%s)/100", base->data);
    return true;
}

/* The next piece up to a comma that is in no bracket. */
static fv_span next_piece(fv_span *rest) {
    int depth = 0;
    for (size_t i = 0; i < rest->size; i++) {
        char c = rest->text[i];
        depth += (c == '{' || c == '(' || c == '[') - (c == '}' || c == ')' || c == ']');
        if (c != ',' || depth) continue;
        fv_span piece = {rest->text, i};
        *rest = from(*rest, i + 1);
        return piece;
    }
    fv_span piece = *rest;
    *rest = (fv_span){0};
    return piece;
}

static bool read_list(fv_math *m, fv_span s) {
    while (s.text)
        if (!read_element(m, next_piece(&s))) return false;
    return true;
}

static bool wrapped(fv_span s, const char *open, const char *close) {
    size_t n = strlen(open), k = strlen(close);
    if (!starts(s, open) || s.size < n + k || memcmp(s.text + s.size - k, close, k) != 0) return false;
    int depth = 0; /* the bracket that opens first closes last */
    for (size_t i = n; i + k < s.size; i++) {
        depth += strchr("([{", s.text[i]) ? 1 : strchr(")]}", s.text[i]) ? -1 : 0;
        if (depth < 0) return false;
    }
    return true;
}

static bool read_value(fv_math *m, fv_span s) {
    fv_text number = {0};
    fv_span g;
    if (fv_regex_in("\\A-?[1-9]\\d{0,2}(?:,\\d{3})+(?:\\.\\d+)?\\z", s, &g, 1)) { /* thousands */
        fv_edit_set(&number, s);
        fv_edit_replace(&number, ",", "");
        bool good = read_element(m, fv_edit_span(&number));
        fv_text_clear(&number);
        return good;
    }
    fv_span rest = s;
    bool several = next_piece(&rest).size < s.size;
    if (wrapped(s, "\\{", "\\}")) {
        m->kind = FV_MATH_LIST;
        return read_list(m, (fv_span){s.text + 2, s.size - 4});
    }
    for (int k = 0; k < 4; k++) {
        char open[2] = {"(["[k & 1], 0}, close[2] = {")]"[k >> 1], 0};
        if (several || !wrapped(s, open, close)) continue;
        fv_span inside = {s.text + 1, s.size - 2};
        rest = inside;
        if (next_piece(&rest).size == inside.size) break; /* no comma: brackets of an expression */
        m->brackets[0] = open[0];
        m->brackets[1] = close[0];
        bool good = read_list(m, inside);
        m->kind = m->count == 2 ? FV_MATH_INTERVAL : FV_MATH_TUPLE;
        return good && (m->count == 2 || k == 0);
    }
    m->kind = several ? FV_MATH_LIST : FV_MATH_PLAIN;
    return read_list(m, s);
}

bool fv_math_read(fv_math *out, fv_span tidy) {
    *out = (fv_math){0};
    fv_span s = fv_py_strip(tidy);
    bool equation = fv_py_find(s, "=") != NULL;
    while (wrapped(s, "{", "}") || (equation && wrapped(s, "(", ")"))) s = fv_py_strip((fv_span){s.text + 1, s.size - 2});
    fv_span left = fv_py_before(s, "=");
    if (!s.size) return false;
    if (left.size < s.size && !memchr(s.text, ',', s.size)) { /* a = b = c: the first side and the last */
        reader r = {.in = fv_py_strip(left), .good = true};
        expression(&out->left, &r, "");
        if (!r.good || !out->left.size) return false;
        s = fv_py_strip(fv_py_after_last(s, "="));
    }
    return read_value(out, s);
}
