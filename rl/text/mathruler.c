#include "rl/text/mathruler.h"

#include "rl/text/algebra.h"
#include "rl/text/hendrycks.h"
#include "rl/text/latex.h"
#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <utf8proc.h>

/* ---- The second normal form ---- */

static size_t run_of(fv_span s, char c) {
    size_t n = 0;
    while (n < s.size && s.text[n] == c) n++;
    return n;
}

/* `unit`, then es, s, blanks and a power "^2", each if it is there, wherever the unit stands: "Monday" loses its day. */
static void drop_unit(fv_text *t, const char *unit) {
    fv_text made = {0};
    fv_span s = fv_edit_span(t);
    const char *at = fv_py_find(s, unit);
    if (!at) return;
    for (; at; at = fv_py_find(s, unit)) {
        fv_text_bytes(&made, s.text, (size_t)(at - s.text));
        s = fv_span_from(s, (size_t)(at - s.text) + strlen(unit));
        if (fv_span_starts(s, "es")) s = fv_span_from(s, 2);
        if (fv_span_starts(s, "s")) s = fv_span_from(s, 1);
        s = fv_span_from(s, run_of(s, ' '));
        size_t n = 1;
        while (s.size > n && s.text[0] == '^' && isdigit((unsigned char)s.text[n])) n++;
        if (n > 1) s = fv_span_from(s, n);
    }
    fv_text_bytes(&made, s.text, s.size);
    fv_edit_swap(t, &made);
}

/* `head`, any blanks, `tail`: replaced by `with`. */
static void replace_spaced(fv_text *t, const char *head, const char *tail, const char *with) {
    fv_text made = {0};
    fv_span s = fv_edit_span(t);
    while (s.size) {
        size_t n = strlen(head), blanks = fv_span_starts(s, head) ? run_of(fv_span_from(s, n), ' ') : 0;
        if (fv_span_starts(s, head) && fv_span_starts(fv_span_from(s, n + blanks), tail)) {
            fv_text_add(&made, with);
            s = fv_span_from(s, n + blanks + strlen(tail));
        } else {
            fv_text_char(&made, s.text[0]);
            s = fv_span_from(s, 1);
        }
    }
    fv_edit_swap(t, &made);
}

static bool near_integer(double x) { return isfinite(x) && fabs(x - rint(x)) <= 1e-7; }

static void set_integer(fv_text *t, double x) {
    fv_text made = {0};
    fv_text_printf(&made, "%.0f", x == 0 ? 0.0 : x);
    fv_edit_swap(t, &made);
}

/* "7 3/4" -> "7+3/4"; digits that a change has used are not looked at again. */
static void mix_numbers(fv_text *t) {
    fv_text made = {0};
    fv_span s = fv_edit_span(t);
    while (s.size) {
        size_t blanks = isdigit((unsigned char)s.text[0]) ? run_of(fv_span_from(s, 1), ' ') : 0;
        bool mixed = blanks && s.size > blanks + 1 && isdigit((unsigned char)s.text[blanks + 1]);
        fv_text_char(&made, s.text[0]);
        if (mixed) {
            fv_text_char(&made, '+');
            fv_text_char(&made, s.text[blanks + 1]);
        }
        s = fv_span_from(s, mixed ? blanks + 2 : 1);
    }
    fv_edit_swap(t, &made);
}

static size_t three_digits(fv_span s) {
    size_t at = 0, n;
    int value;
    for (int k = 0; k < 3; k++, at += n)
        if (!(n = fv_py_digit(s.text + at, s.size - at, &value))) return 0;
    if (fv_py_digit(s.text + at, s.size - at, &value)) return 0;
    return at;
}

/* One pass over "1,234": a digit, a comma, three digits and then none. Says whether anything changed. */
static bool drop_commas_once(fv_text *t) {
    fv_text made = {0};
    fv_span s = fv_edit_span(t);
    bool changed = false;
    while (s.size) {
        int value;
        size_t n = fv_py_digit(s.text, s.size, &value), three = 0;
        if (n && n < s.size && s.text[n] == ',') three = three_digits(fv_span_from(s, n + 1));
        size_t step = n ? n : 1;
        fv_text_bytes(&made, s.text, step);
        s = fv_span_from(s, step);
        if (!three) continue;
        int behind = fv_utf8_length(s.text + 1 + three, s.size - 1 - three); /* the character after is used up as well */
        size_t used = three + (behind > 0 ? (size_t)behind : 0);
        fv_text_bytes(&made, s.text + 1, used);
        s = fv_span_from(s, 1 + used);
        changed = true;
    }
    fv_edit_swap(t, &made);
    return changed;
}

static void drop_commas(fv_text *t) {
    while (drop_commas_once(t)) continue;
}

static bool is_integer(fv_span s, double *x) {
    fv_text t = {0};
    fv_edit_set(&t, s);
    drop_commas(&t);
    bool is = fv_py_float(fv_edit_span(&t), x) && near_integer(*x);
    fv_text_clear(&t);
    return is;
}

static void read_latex(fv_text *t) {
    fv_text made = {0};
    fv_edit_replace(t, "\\tfrac", "\\frac");
    fv_edit_replace(t, "\\dfrac", "\\frac");
    fv_edit_replace(t, "\\frac", " \\frac");
    fv_latex_text(&made, fv_edit_span(t));
    static const char *const names[][2] = {{"\u221a", "sqrt"}, {"\u03c0", "pi"}, {"\u221e", "inf"}, {"\u222a", "U"}, {"\u00b7", "*"}, {"\u00d7", "*"}};
    for (size_t i = 0; i < FV_COUNT(names); i++) fv_edit_replace(&made, names[i][0], names[i][1]);
    fv_edit_set(t, fv_py_strip(fv_edit_span(&made)));
    fv_text_clear(&made);
}

static void normalise(fv_text *out, fv_span answer) {
    static const char *const edits[][2] = {{"\\%", "%"}, {"\\$", "$"}, {"$", ""}, {"%", ""}, {" or ", " , "}, {" and ", " , "},
                                           {"million", "*10^6"}, {"billion", "*10^9"}, {"trillion", "*10^12"}};
    static const char *const units[] = {"degree", "cm", "centimeter", "meter", "mile", "second", "minute", "hour", "day", "week", "month", "year", "foot", "feet", "inch", "yard"};
    double x;
    fv_edit_set(out, fv_edit_untext(answer));
    for (size_t i = 0; i < FV_COUNT(edits); i++) fv_edit_replace(out, edits[i][0], edits[i][1]);
    for (size_t i = 0; i < FV_COUNT(units); i++) drop_unit(out, units[i]);
    replace_spaced(out, "^", "\\circ", "");
    fv_span s = fv_edit_span(out);
    if (s.size && s.text[0] == '{' && s.text[s.size - 1] == '}') fv_edit_set(out, s.size > 1 ? (fv_span){s.text + 1, s.size - 2} : (fv_span){"", 0});
    while (fv_py_find(fv_edit_span(out), ",\\! ")) fv_edit_replace(out, ",\\! ", ",\\!");
    fv_edit_replace(out, ",\\!", "");
    if (fv_py_float(fv_edit_span(out), &x) && near_integer(x)) set_integer(out, rint(x));
    if (fv_py_find(fv_edit_span(out), "\\")) read_latex(out);
    replace_spaced(out, "-", "", "-");
    mix_numbers(out);
    static const char *const dropped[] = {" ", "{", "}"};
    for (size_t i = 0; i < FV_COUNT(dropped); i++) fv_edit_replace(out, dropped[i], "");
    fv_edit_lower(out);
    if (is_integer(fv_edit_span(out), &x)) {
        fv_edit_replace(out, ",", "");
        if (fv_py_float(fv_edit_span(out), &x)) set_integer(out, trunc(x));
    }
}

/* ---- Comparing ---- */

/* At most two different letters besides the words sqrt and frac, no power of a bracket, no tower, no exponent of two digits. */
static bool may_simplify(fv_span expression) {
    fv_text t = {0};
    fv_span s, group;
    utf8proc_int32_t seen[3], c;
    int letters = 0;
    bool good = !fv_py_find(expression, "^(") && !fv_regex_in("\\^[0-9]+\\^|\\^[0-9][0-9]", expression, &group, 1);
    fv_edit_set(&t, expression);
    fv_edit_replace(&t, "sqrt", "");
    fv_edit_replace(&t, "frac", "");
    s = fv_edit_span(&t);
    for (utf8proc_ssize_t n; good && s.size && (n = utf8proc_iterate((const utf8proc_uint8_t *)s.text, (utf8proc_ssize_t)s.size, &c)) > 0; s = fv_span_from(s, (size_t)n)) {
        utf8proc_category_t kind = utf8proc_category(c);
        bool known = kind < UTF8PROC_CATEGORY_LU || kind > UTF8PROC_CATEGORY_LO;
        for (int k = 0; k < letters; k++) known |= seen[k] == c;
        if (known) continue;
        seen[letters++] = c;
        good = letters <= 2;
    }
    fv_text_clear(&t);
    return good;
}

static bool equal_expressions(fv_span right, fv_span given) {
    fv_text t = {0};
    fv_text_printf(&t, "(%.*s)-(%.*s)", (int)right.size, right.text, (int)given.size, given.text);
    bool equal = !t.failed && may_simplify(fv_edit_span(&t)) && fv_algebra_is_zero(fv_edit_span(&t), 0);
    fv_text_clear(&t);
    return equal;
}

static bool is_fraction(fv_span s) {
    fv_span group;
    return fv_regex_in("^-?[0-9]+.?/0*[1-9][0-9]*.?$", s, &group, 1);
}

static bool equal_elements(fv_span right, fv_span given) {
    double x;
    if (is_fraction(right) && is_fraction(given)) return fv_span_same(right, given);
    if (is_integer(right, &x) != is_integer(given, &x)) return false;
    return equal_expressions(right, given);
}

/* Brackets around, none inside: the elements between commas; else the whole. *inside is what to take elements from. */
static bool is_tuple(fv_span s, fv_span *inside) {
    *inside = s;
    if (s.size <= 2 || !strchr("()[]", s.text[0]) || !strchr("()[]", s.text[s.size - 1])) return false;
    for (size_t i = 1; i + 1 < s.size; i++)
        if (strchr("()[]", s.text[i])) return false;
    *inside = (fv_span){s.text + 1, s.size - 2};
    return true;
}

static bool next_element(fv_span *rest, fv_span *element, bool tuple) {
    if (tuple) {
        bool there = fv_py_item(rest, element, ',');
        *element = fv_py_strip(*element);
        return there;
    }
    *element = *rest;
    *rest = (fv_span){0};
    return element->text && element->size;
}

static int count_elements(fv_span inside, bool tuple) {
    fv_span element;
    int n = 0;
    while (next_element(&inside, &element, tuple)) n++;
    return n;
}

static bool compare(const fv_text *right, const fv_text *given) {
    fv_text r = {0}, g = {0};
    fv_span a, b, x, y;
    fv_edit_set(&r, fv_edit_span(right));
    fv_edit_set(&g, fv_edit_span(given));
    drop_commas(&r);
    drop_commas(&g);
    bool tuple_r = is_tuple(fv_edit_span(&r), &a), tuple_g = is_tuple(fv_edit_span(&g), &b);
    int n = count_elements(a, tuple_r), m = count_elements(b, tuple_g);
    bool brackets = n <= 1 || (right->data[0] == given->data[0] && right->data[right->size - 1] == given->data[given->size - 1]);
    bool equal = brackets && n == m && n > 0 && !r.failed && !g.failed;
    while (equal && next_element(&a, &x, tuple_r) && next_element(&b, &y, tuple_g)) equal = equal_elements(x, y);
    fv_text_clear(&r);
    fv_text_clear(&g);
    return equal;
}

bool fv_mathruler_grade(fv_span given, fv_span right) {
    fv_text a = {0}, b = {0};
    fv_hendrycks(&a, right);
    fv_hendrycks(&b, given);
    bool equal = fv_edit_same(&a, &b);
    if (!equal) {
        normalise(&a, right);
        normalise(&b, given);
        equal = fv_edit_same(&a, &b) || (b.size > 0 && compare(&a, &b));
    }
    equal = equal && !a.failed && !b.failed;
    fv_text_clear(&a);
    fv_text_clear(&b);
    return equal;
}

fv_span fv_mathruler_boxed(fv_span text) {
    static const char open[] = "\\boxed{";
    const fv_span none = {"None", 4};
    if (!fv_py_find(text, open)) return none;
    fv_span s = fv_py_after_last(text, open);
    int depth = 0;
    for (size_t i = 0; i < s.size; i++) {
        depth += s.text[i] == '{' ? 1 : s.text[i] == '}' ? -1 : 0;
        if (depth == -1) return fv_py_strip((fv_span){s.text, i});
    }
    return none;
}
