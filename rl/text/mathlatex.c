#include "rl/text/mathlatex.h"

#include "rl/text/mathinfix.h"
#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <ctype.h>
#include <string.h>

void fv_math_clear(fv_math *m) {
    for (int i = 0; i < FV_MATH_ELEMENTS; i++) {
        fv_text_clear(&m->element[i]);
        fv_text_clear(&m->base[i]);
        fv_text_clear(&m->name[i]);
    }
    fv_text_clear(&m->left);
    *m = (fv_math){0};
}

/* ---- What expressions are put together to ---- */

/* The next piece up to a `mark` that is in no bracket. */
static fv_span next_piece(fv_span *rest, const char *mark) {
    int depth = 0;
    for (size_t i = 0; i < rest->size; i++) {
        char c = rest->text[i];
        depth += (c == '{' || c == '(' || c == '[') - (c == '}' || c == ')' || c == ']');
        if (depth || !fv_span_starts(fv_span_from(*rest, i), mark) || (i && rest->text[i - 1] == '\\')) continue;
        fv_span piece = {rest->text, i};
        *rest = fv_span_from(*rest, i + strlen(mark));
        return piece;
    }
    fv_span piece = *rest;
    *rest = (fv_span){0};
    return piece;
}

static bool has_piece(fv_span s, const char *mark) {
    fv_span rest = s;
    return next_piece(&rest, mark).size < s.size;
}

/* Made of letters, their subscripts, and sums, products and functions of these: what an equation may give a value to. */
static bool is_symbols(fv_span s) {
    fv_span g;
    s = fv_py_strip(s);
    return s.size && !fv_regex_in("\\\\(?:frac|sqrt|pi|infty)", s, &g, 1) && fv_regex_in("\\A(?:\\\\?[A-Za-z]+'*(?:_\\{[^{}]*\\}|_\\w)?|\\\\text\\{[^{}]*\\}|[\\s+(){},|])+\\z", s, &g, 1);
}

/* One element; a number with a percent sign behind it is kept apart, since math-verify takes "9%" for 9 as well. */
static bool read_element(fv_math *m, fv_span s) {
    if (m->count == FV_MATH_ELEMENTS) return false;
    fv_text *out = &m->element[m->count], *base = &m->base[m->count];
    fv_span g[2];
    s = fv_py_strip(s);
    m->count++;
    if (!fv_regex_in("\\A(-?[\\d.]+)\\s*\\\\?%\\z", s, g, 2)) return fv_math_infix(out, s);
    if (!fv_math_infix(base, g[1])) return false;
    fv_text_printf(out, "(%s)/100", base->data);
    return true;
}

/* Of a list: "x = 1" is 1, and a \pm b is two. */
static bool read_item(fv_math *m, fv_span s) {
    if (has_piece(s, "=")) {
        fv_span rest = s;
        fv_span name = next_piece(&rest, "=");
        if (!is_symbols(name) || m->count == FV_MATH_ELEMENTS || !fv_math_infix(&m->name[m->count], name)) return false;
        while (has_piece(rest, "=")) (void)next_piece(&rest, "=");
        s = rest;
    }
    if (!fv_py_find(s, "\\pm") && !fv_py_find(s, "\\mp")) return read_element(m, s);
    bool good = true;
    for (int k = 0; k < 2 && good; k++) {
        fv_text one = {0};
        fv_edit_set(&one, s);
        fv_edit_replace(&one, "\\pm", k ? "-" : "+");
        fv_edit_replace(&one, "\\mp", k ? "+" : "-");
        good = read_element(m, fv_edit_span(&one));
        fv_text_clear(&one);
    }
    if (m->kind == FV_MATH_PLAIN) m->kind = FV_MATH_LIST;
    return good;
}

static bool read_list(fv_math *m, fv_span s) {
    while (s.text)
        if (!read_item(m, next_piece(&s, ","))) return false;
    return true;
}

static bool wrapped(fv_span s, const char *open, const char *close) {
    size_t n = strlen(open), k = strlen(close);
    if (!fv_span_starts(s, open) || s.size < n + k || memcmp(s.text + s.size - k, close, k) != 0) return false;
    int depth = 0; /* the bracket that opens first closes last */
    for (size_t i = n; i + k < s.size; i++) {
        depth += strchr("([{", s.text[i]) ? 1 : strchr(")]}", s.text[i]) ? -1 : 0;
        if (depth < 0) return false;
    }
    return true;
}

/* A tuple or an interval. False: it is no such thing (*good unchanged), or can't be read. */
static bool read_bracketed(fv_math *m, fv_span s, bool *good) {
    s = fv_py_strip(s);
    for (int k = 0; k < 4; k++) {
        char open[2] = {"(["[k & 1], 0}, close[2] = {")]"[k >> 1], 0};
        if (!wrapped(s, open, close)) continue;
        fv_span inside = {s.text + 1, s.size - 2};
        if (!has_piece(inside, ",")) return false; /* brackets of an expression */
        int first = m->count;
        *good = read_list(m, inside);
        bool pair = m->count == first + 2;
        *good = *good && (pair || k == 0);
        m->edge[first] = open[0];
        m->edge[m->count - 1] = close[0];
        m->kind = pair ? FV_MATH_INTERVAL : FV_MATH_TUPLE;
        return true;
    }
    return false;
}

/* Intervals joined by \cup. */
static bool read_union(fv_math *m, fv_span s) {
    bool good = true;
    while (s.text && good) {
        fv_span piece = next_piece(&s, "\\cup");
        good = read_bracketed(m, piece, &good) && good && m->kind == FV_MATH_INTERVAL;
    }
    m->kind = FV_MATH_UNION;
    return good;
}

static bool read_value(fv_math *m, fv_span s) {
    fv_span g;
    bool good = true;
    s = fv_py_strip(s);
    if (fv_regex_in("\\A-?[1-9]\\d{0,2}(?:,\\d{3})+(?:\\.\\d+)?\\z", s, &g, 1)) { /* thousands */
        fv_text number = {0};
        fv_edit_set(&number, s);
        fv_edit_replace(&number, ",", "");
        good = read_element(m, fv_edit_span(&number));
        fv_text_clear(&number);
        return good;
    }
    if (wrapped(s, "\\{", "\\}")) {
        fv_span inside = fv_py_strip((fv_span){s.text + 2, s.size - 4});
        m->kind = inside.size ? FV_MATH_LIST : FV_MATH_PLAIN;
        return inside.size ? read_list(m, inside) : read_element(m, fv_span_of("\\emptyset"));
    }
    if (fv_regex_in("\\A\\\\mathbb *(?:R|\\{R\\})\\z", s, &g, 1)) s = fv_span_of("(-\\infty,\\infty)");
    if (has_piece(s, "\\cup")) return read_union(m, s);
    bool several = has_piece(s, ",");
    if (!several && read_bracketed(m, s, &good)) return good;
    m->kind = several ? FV_MATH_LIST : FV_MATH_PLAIN;
    return read_list(m, s);
}

/* ---- Relations ---- */

/* The relation at s, as it stands in ascending order: '<', '=' (at most), '!'; *down: it was the other way round. 0: none. */
static char relation_at(fv_span s, size_t *size, bool *down) {
    static const struct {
        const char *word;
        char relation;
        bool down;
    } all[] = {{"\\leqslant", '=', false}, {"\\geqslant", '=', true}, {"\\leq", '=', false}, {"\\geq", '=', true}, {"\\le", '=', false}, {"\\ge", '=', true}, {"\\neq", '!', false}, {"\\ne", '!', false},
               {"\\lt", '<', false}, {"\\gt", '<', true}, {"<=", '=', false}, {">=", '=', true}, {"<", '<', false}, {">", '<', true}, {"≤", '=', false}, {"≥", '=', true}, {"≠", '!', false}};
    for (size_t i = 0; i < FV_COUNT(all); i++) {
        *size = strlen(all[i].word);
        *down = all[i].down;
        bool whole = all[i].word[0] != '\\' || s.size == *size || (s.size > *size && !isalpha((unsigned char)s.text[*size]));
        if (fv_span_starts(s, all[i].word) && whole) return all[i].relation;
    }
    return 0;
}

static void swap_texts(fv_text *a, fv_text *b) {
    fv_text t = *a;
    *a = *b;
    *b = t;
}

/* Two or three sides. */
static bool read_relation(fv_math *m, fv_span s) {
    bool down = false, first_down = false;
    size_t size = 0, begin = 0;
    m->kind = FV_MATH_RELATION;
    for (size_t i = 0; i <= s.size; i++) {
        char relation = i < s.size ? relation_at(fv_span_from(s, i), &size, &down) : 0;
        if (i < s.size && !relation) continue;
        if (m->count == 3 || !fv_math_infix(&m->element[m->count], (fv_span){s.text + begin, i - begin})) return false;
        if (m->count && relation && down != first_down) return false;
        if (relation) first_down = down;
        m->edge[m->count++] = relation;
        begin = i + size;
        i += relation ? size - 1 : 0;
    }
    if (m->count == 3 && (m->edge[0] == '!' || m->edge[1] == '!')) return false;
    if (!first_down) return true;
    swap_texts(&m->element[0], &m->element[m->count - 1]);
    char last = m->edge[m->count - 2];
    m->edge[m->count - 2] = m->edge[0];
    m->edge[0] = last;
    if (m->count == 3) m->edge[2] = 'v';
    return true;
}

static bool has_relation(fv_span s) {
    size_t size;
    bool down;
    for (size_t i = 0; i < s.size; i++)
        if (relation_at(fv_span_from(s, i), &size, &down)) return true;
    return false;
}

/* ---- All ---- */

/* What math-verify reads and this does not. */
static bool is_beyond(fv_span s) {
    fv_span g;
    return has_relation(s) || fv_regex_in("\\\\(?:ln|log|exp|sin|cos|tan|cot|sec|csc|arc(?:sin|cos|tan)|sinh|cosh|tanh|pm|mp|cup|cap|setminus|sum|prod|int|lim|begin|det|max|min|gcd|lcm|[bp]?mod|binom|"
                                          "infty|theta|alpha|beta|gamma|lambda|lfloor|lceil|mathbb)(?![A-Za-z])",
                                          s, &g, 1);
}

static bool read_left(fv_math *m, fv_span left) {
    m->assigns = is_symbols(left);
    if (!has_piece(left, ",") && !fv_span_starts(left, "(")) return fv_math_infix(&m->left, left);
    fv_math_symbol(&m->left, left.text, left.size); /* (a,b) = (1,2) */
    return m->assigns;
}

static bool read_all(fv_math *m, fv_span s) {
    if (has_relation(s)) return !has_piece(s, ",") && read_relation(m, s);
    static const char *const members[] = {"\\in ", "\\in[", "\\in("};
    for (size_t k = 0; k < FV_COUNT(members); k++) {
        fv_span rest = s, left = next_piece(&rest, members[k]);
        if (left.size < s.size) return read_left(m, fv_py_strip(left)) && read_value(m, fv_span_from(s, left.size + 3));
    }
    fv_span rest = s, left = next_piece(&rest, "=");
    if (left.size < s.size && !has_piece(s, ",")) { /* a = b = c: the first side and the last */
        if (!read_left(m, fv_py_strip(left))) return false;
        while (has_piece(rest, "=")) (void)next_piece(&rest, "=");
        s = fv_py_strip(rest);
    }
    return read_value(m, s);
}

bool fv_math_read(fv_math *out, fv_span tidy, bool *beyond) {
    *out = (fv_math){0};
    fv_span s = fv_py_strip(tidy);
    bool equation = fv_py_find(s, "=") != NULL;
    while (wrapped(s, "{", "}") || (equation && wrapped(s, "(", ")"))) s = fv_py_strip((fv_span){s.text + 1, s.size - 2});
    bool good = s.size > 0 && read_all(out, s);
    *beyond = !good && is_beyond(s);
    return good;
}
