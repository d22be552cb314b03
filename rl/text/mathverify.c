#include "rl/text/mathverify.h"

#include "rl/text/algebra.h"
#include "rl/text/mathinfix.h"
#include "rl/text/mathlatex.h"
#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Where expressions stand ---- */

/* A formula in dollars, brackets, or a bare fraction of numbers; a percent word behind it. Seven groups: the six ways to write one, and the percent sign. */
#define NUMBER_ARG "\\{-?\\d+(?:[.,]\\d+)?\\}"
#define FORMULA                                                                                                        \
    "(?:(?:(?<!\\\\)\\$\\$((?:[^$]|\\$(?!\\$))+?)(?<!\\\\)\\$\\$|(?<!\\\\)\\\\\\[((?:[^\\\\]|\\\\(?!\\]))+?)(?<!\\\\)\\\\\\]|"    \
    "(?<![\\\\\\d])\\$((?:\\\\\\$|[^\\n$])+?)(?<!\\\\)\\$|(?<!\\\\)\\\\\\(((?:[^\\\\\\n]|\\\\(?!\\)))+?)(?<!\\\\)\\\\\\)|"    \
    FV_RE_SPACE "\\[([^\\n\\]\\[]+?)\\]" FV_RE_SPACE "|(-?\\\\frac" NUMBER_ARG NUMBER_ARG "))" FV_RE_SPACE "*(\\\\?%|[Pp]ercentage|[Pp]ercent|[Pp]ct)?)"
#define MORE "(?:" FV_RE_SPACE "*(?:,?and|,?or|,)" FV_RE_SPACE "*" FORMULA ")?"
#define FORMULAS FORMULA MORE MORE MORE
/* A plain expression (group 1) or number (2..7: whole and decimal part in three ways; 8: percent). */
#define SIGNS "+\\-*\\x{d7}/^()\\x{f7}"
#define BEFORE "(?:^|" FV_RE_SPACE "|=)(?:\\*\\*)?"
#define PLAIN BEFORE "(-?\\(?-?\\d[\\d.\\s" SIGNS "]*[" SIGNS "][\\d.\\s" SIGNS "]+\\)?)(?:\\*\\*)?(?:[.,:)$]|" FV_RE_SPACE "|$)"
#define AMOUNT                                                                                                         \
    BEFORE "[$\\x{20ac}\\x{a3}\\x{a5}\\x{20a0}-\\x{20bf}\\x{e3f}]?(?<!\\d)(?:(-?[1-9]\\d{0,2}(?:[ ,]\\d{3})+)(\\.\\d+)?|(-?\\d+)([.,]\\d+)|()(\\.\\d+)|(-?\\d+))"    \
    "(" FV_RE_SPACE "*(?:%|[Pp]ercentage|[Pp]ercent|[Pp]ct))?"
#define EITHER "(?:" PLAIN "|" AMOUNT ")"
#define FINAL_IS "(?i:final answer is):?" FV_RE_SPACE "*"
#define HOPE "\\.?" FV_RE_SPACE "?I hope"

typedef enum { LATEX, FORMULA_BOXED, BOXED, NUMBERS, ONLY_NUMBERS } form; /* FORMULA_BOXED: a formula with a box in it */
enum { GROUPS = 4 * 7 + 1, FORMULA_GROUPS = 7, MOST_MATCHES = 256 };

/* In the order of priority; what has the same priority competes by where it ends. */
static const struct {
    int priority;
    form form;
    const char *pattern;
} places[] = {
    {0, LATEX, "(?s)" FINAL_IS FORMULAS HOPE},
    {0, NUMBERS, FINAL_IS EITHER HOPE},
    {50, LATEX, "(?s)(?i:final answer.{0,100}?)" FV_RE_SPACE "+is:?" FV_RE_SPACE "*" FORMULAS},
    {50, FORMULA_BOXED, "(?s)" FORMULA},
    {50, BOXED, "(?s)(\\\\boxed\\{.+\\})"},
    {50, NUMBERS, "(?i:final answer.{0,100}?)" FV_RE_SPACE "+is:?" EITHER},
    {100, LATEX, "(?s)(?i:answer):.{0,50}?" FORMULAS},
    {100, NUMBERS, "(?i:answer):(?:.{0,100}=" FV_RE_SPACE "*|.{0,50}?)" EITHER "(?!" FV_RE_SPACE "*=)"},
    {200, LATEX, "(?s)(?i:answer).{0,50}?" FORMULAS},
    {200, NUMBERS, "(?i:answer)(?:.{0,100}=" FV_RE_SPACE "*|.{0,50}?)" EITHER "(?!" FV_RE_SPACE "*=)"},
    {300, LATEX, "(?s)" FORMULAS},
    {300, NUMBERS, PLAIN},
    {300, ONLY_NUMBERS, AMOUNT},
};

typedef struct {
    form form;
    fv_span group[GROUPS];
} found;

/* What a text holds: an expression, if one could be read, and the first text that looked like one. */
typedef struct {
    bool read, beyond; /* beyond: there is one that can't be read here, and nothing else counts */
    fv_math math;
    fv_text text;
} parsed;

static void clear(parsed *p) {
    fv_math_clear(&p->math);
    fv_text_clear(&p->text);
}

/* ---- What stands there ---- */

static void percent(fv_math *m) {
    fv_edit_set(&m->base[0], fv_edit_span(&m->element[0]));
    fv_text_rewind(&m->element[0]);
    fv_text_printf(&m->element[0], "(%s)/100", m->base[0].data);
}

static bool read_number(parsed *p, const fv_span *g, fv_text *seen) {
    fv_span whole = g[0].text ? g[0] : g[2].text ? g[2] : g[6], part = g[1].text ? g[1] : g[3].text ? g[3] : g[5];
    if (!g[0].text && !g[2].text && g[5].text) whole = (fv_span){"", 0};
    fv_edit_set(seen, whole);
    fv_edit_replace(seen, ",", "");
    fv_edit_replace(seen, " ", "");
    size_t zeros = 0;
    while (zeros < seen->size && seen->data[zeros] == '0') zeros++;
    fv_edit_set(seen, (fv_span){fv_edit_span(seen).text + zeros, seen->size - zeros});
    if (!seen->size) fv_text_char(seen, '0');
    for (size_t i = 0; i < part.size; i++) fv_text_char(seen, part.text[i] == ',' ? '.' : part.text[i]);
    fv_edit_set(&p->math.element[0], fv_edit_span(seen));
    p->math.count = 1;
    if (g[7].text) percent(&p->math);
    return true;
}

/* Python's own expression: no implicit multiplication, blanks between numbers are an error. */
static bool read_plain(parsed *p, fv_span s) {
    fv_span g;
    if (fv_regex_in("\\d\\s+[\\d(]|\\d\\(|\\)\\s*[\\d(]|[\\x{d7}\\x{f7}]|\\^\\s*\\^|//", s, &g, 1)) return false;
    for (size_t i = 0; i < s.size; i++)
        if (!isspace((unsigned char)s.text[i])) fv_text_char(&p->math.element[0], s.text[i]);
    p->math.count = 1;
    double value;
    if (p->math.element[0].data && fv_algebra_number(fv_edit_span(&p->math.element[0]), &value)) return true;
    fv_math_clear(&p->math);
    return false;
}

/* Several formulas in a row are one list. */
static bool read_latex(parsed *p, const found *f, fv_text *seen) {
    int formulas = 0;
    bool all = true;
    for (int k = 0; k < (f->form == BOXED ? 1 : 4); k++) {
        const fv_span *g = f->group + 1 + FORMULA_GROUPS * k;
        fv_span inside = {0};
        for (int i = 0; i < (f->form == BOXED ? 1 : 6) && !inside.text; i++) inside = g[i];
        if (!inside.text) continue;
        fv_text tidy = {0};
        fv_math one;
        fv_math_tidy(&tidy, inside, f->form == BOXED);
        bool beyond, good = fv_math_read(&one, fv_edit_span(&tidy), &beyond);
        p->beyond |= beyond;
        if (good && f->form != BOXED && g[6].text && one.kind == FV_MATH_PLAIN && !one.base[0].size) percent(&one);
        if (formulas++) fv_text_add(seen, " and ");
        fv_text_bytes(seen, fv_edit_span(&tidy).text, tidy.size);
        fv_text_clear(&tidy);
        if (formulas == 1) {
            p->math = one;
            all = good;
            continue;
        }
        for (int i = 0; i < one.count && good && all && p->math.count < FV_MATH_ELEMENTS; i++) {
            int at = p->math.count++;
            p->math.element[at] = one.element[i];
            p->math.base[at] = one.base[i];
            p->math.name[at] = one.name[i];
            p->math.edge[at] = one.edge[i];
            one.element[i] = one.base[i] = one.name[i] = (fv_text){0};
            p->math.kind = FV_MATH_LIST;
        }
        all &= good;
        fv_math_clear(&one);
    }
    if (!all) fv_math_clear(&p->math);
    return formulas > 0 && all;
}

static bool extract(parsed *p, const found *f) {
    fv_text seen = {0};
    bool good = false;
    const fv_span *g = f->group;
    if (f->form != NUMBERS && f->form != ONLY_NUMBERS) good = read_latex(p, f, &seen);
    else if (f->form == NUMBERS && g[1].text) {
        fv_edit_set(&seen, g[1]);
        good = read_plain(p, g[1]);
    } else if (f->form == NUMBERS) good = read_number(p, g + 2, &seen);
    else good = read_number(p, g + 1, &seen);
    if (!p->text.size && seen.size) fv_edit_set(&p->text, fv_edit_span(&seen));
    fv_text_clear(&seen);
    return good;
}

/* The better of two places: what ends later, then what starts earlier, then what was found first. */
static bool better(const found *a, const found *b) {
    const char *end_a = a->group[0].text + a->group[0].size, *end_b = b->group[0].text + b->group[0].size;
    return end_a != end_b ? end_a > end_b : a->group[0].text < b->group[0].text;
}

static int find_all(found *out, int count, form how, const char *pattern, fv_span text) {
    fv_regex *r = fv_regex_new(pattern);
    for (size_t at = 0; count < MOST_MATCHES && fv_regex_find(r, text, at, out[count].group, GROUPS) && out[count].group[0].size;) {
        fv_span all = out[count].group[0];
        out[count].form = how;
        at = (size_t)(all.text - text.text) + all.size;
        count += how != FORMULA_BOXED || fv_py_find(all, "\\boxed{") != NULL;
    }
    fv_regex_free(r);
    return count;
}

static void parse(parsed *p, fv_span text, found *matches) {
    *p = (parsed){0};
    for (size_t i = 0; i < FV_COUNT(places) && !p->read && !p->beyond;) {
        int count = 0, priority = places[i].priority;
        for (; i < FV_COUNT(places) && places[i].priority == priority; i++) {
            count = find_all(matches, count, places[i].form, places[i].pattern, text);
        }
        for (int left = count; left > 0 && !p->read && !p->beyond; left--) {
            int best = 0;
            for (int k = 1; k < left; k++)
                if (better(&matches[k], &matches[best])) best = k;
            p->read = extract(p, &matches[best]);
            memmove(&matches[best], &matches[best + 1], (size_t)(left - best - 1) * sizeof *matches);
        }
    }
}

/* ---- Comparing ---- */

static bool is_decimal(const fv_text *t) {
    fv_span g;
    return fv_regex_in("\\A-?\\d*\\.\\d+\\z", fv_edit_span(t), &g, 1);
}

static bool is_whole(const fv_text *t) {
    fv_span g;
    return fv_regex_in("\\A-?\\d+\\z", fv_edit_span(t), &g, 1);
}

static bool same_expression(fv_span a, fv_span b, const char *joint) {
    fv_text t = {0};
    fv_text_printf(&t, "(%.*s)%s(%.*s)", (int)a.size, a.text, joint, (int)b.size, b.text);
    bool same = !t.failed && fv_algebra_is_zero(fv_edit_span(&t), 1e-15); /* evalf(n=15, chop=True) == 0 */
    fv_text_clear(&t);
    return same;
}

/* Decimals are compared after rounding to six places; "9%" is 9 as well as 0.09. */
static bool same_element(const fv_math *a, int i, const fv_math *b, int j) {
    const fv_text *x = a->base[i].size ? &a->base[i] : &a->element[i], *y = b->base[j].size ? &b->base[j] : &b->element[j];
    double u, v;
    if (a->name[i].size && b->name[j].size && !same_expression(fv_edit_span(&a->name[i]), fv_edit_span(&b->name[j]), "-")) return false; /* x = 1 is not y = 1 */
    bool numbers = fv_algebra_number(fv_edit_span(&a->element[i]), &u) && fv_algebra_number(fv_edit_span(&b->element[j]), &v);
    if (numbers && (is_decimal(x) || is_decimal(y))) return rint(u * 1e6) == rint(v * 1e6);
    if (numbers && (a->base[i].size || b->base[j].size) && is_whole(x) && is_whole(y)) return same_expression(fv_edit_span(x), fv_edit_span(y), "-");
    return same_expression(fv_edit_span(&a->element[i]), fv_edit_span(&b->element[j]), "-");
}

static bool same_bounds(const fv_math *a, int i, const fv_math *b, int j) {
    return a->edge[i] == b->edge[j] && a->edge[i + 1] == b->edge[j + 1] && same_element(a, i, b, j) && same_element(a, i + 1, b, j + 1);
}

/* Each item of `size` elements is one of the other's, in the same order or in any. */
static bool same_items(const fv_math *gold, const fv_math *target, int size, bool ordered, bool (*same)(const fv_math *, int, const fv_math *, int)) {
    bool used[FV_MATH_ELEMENTS] = {false};
    if (gold->count != target->count) return false;
    for (int i = 0; i < gold->count; i += size) {
        int k = ordered ? i : 0;
        while (k < gold->count && (used[k] || !same(gold, i, target, k))) k = ordered ? gold->count : k + size;
        if (k == gold->count) return false;
        used[k] = true;
    }
    return true;
}

static bool same_equation(const fv_math *a, const fv_math *b) {
    fv_text x = {0}, y = {0};
    fv_text_printf(&x, "(%s)-(%s)", a->left.data, fv_edit_span(&a->element[0]).text);
    fv_text_printf(&y, "(%s)-(%s)", b->left.data, fv_edit_span(&b->element[0]).text);
    bool same = same_expression(fv_edit_span(&x), fv_edit_span(&y), "-") || same_expression(fv_edit_span(&x), fv_edit_span(&y), "+") || fv_algebra_proportional(fv_edit_span(&x), fv_edit_span(&y));
    fv_text_clear(&x);
    fv_text_clear(&y);
    return same;
}

/* The same sides, or their difference: x < 3 and 0 < 3 - x. */
static bool same_relation(const fv_math *a, const fv_math *b) {
    if (a->count != b->count || a->edge[a->count - 1] != b->edge[b->count - 1]) return false; /* 1 < x < 3 and 3 > x > 1 are not the same there */
    for (int i = 0; i + 1 < a->count; i++) {
        fv_text t = {0};
        bool turned = a->edge[i] == '!';
        fv_text_printf(&t, "(%s)-(%s)", a->element[i].data, a->element[i + 1].data);
        fv_text u = {0};
        fv_text_printf(&u, "(%s)-(%s)", b->element[i].data, b->element[i + 1].data);
        bool same = a->edge[i] == b->edge[i] && (same_expression(fv_edit_span(&t), fv_edit_span(&u), "-") || (turned && same_expression(fv_edit_span(&t), fv_edit_span(&u), "+")));
        fv_text_clear(&t);
        fv_text_clear(&u);
        if (!same) return false;
    }
    return true;
}

static bool is_symbol(const fv_text *t) {
    fv_span g;
    return fv_regex_in("\\A\\((?:[a-z]|\\d+/\\d+\\*\\(q\\))\\)\\z", fv_edit_span(t), &g, 1) && strcmp(t->data, FV_MATH_INFINITY) != 0;
}

/* The numbers for which a relation of one letter holds, an interval; false where it is something else. */
static bool as_interval(fv_math *out, const fv_math *r) {
    int at = r->count == 3 ? 1 : !is_symbol(&r->element[0]); /* where the letter stands */
    *out = (fv_math){.kind = FV_MATH_INTERVAL, .count = 2};
    if (!is_symbol(&r->element[at]) || r->edge[0] == '!') return false;
    bool low = at > 0, high = at + 1 < r->count;
    fv_text_add(&out->element[0], low ? r->element[at - 1].data : "-" FV_MATH_INFINITY);
    fv_text_add(&out->element[1], high ? r->element[at + 1].data : FV_MATH_INFINITY);
    out->edge[0] = low && r->edge[at - 1] == '=' ? '[' : '(';
    out->edge[1] = high && r->edge[at] == '=' ? ']' : ')';
    return true;
}

static bool same_math(const fv_math *gold, const fv_math *target) {
    if (gold->kind == FV_MATH_RELATION && target->kind == FV_MATH_RELATION) return same_relation(gold, target);
    if (gold->kind == FV_MATH_RELATION && target->kind != FV_MATH_PLAIN) { /* a set is what the first one stands for, never the second */
        fv_math set;
        bool same = as_interval(&set, gold) && same_math(&set, target);
        fv_math_clear(&set);
        return same;
    }
    if (gold->kind == FV_MATH_RELATION || target->kind == FV_MATH_RELATION) return false;
    if (gold->left.size && target->left.size) {
        if (gold->kind == FV_MATH_PLAIN && target->kind == FV_MATH_PLAIN) return same_equation(gold, target);
        if (!same_expression(fv_edit_span(&gold->left), fv_edit_span(&target->left), "-")) return false;
    } else if (gold->left.size && !gold->assigns) {
        return false; /* only "x = 5" may stand for 5 */
    }
    if (gold->kind == FV_MATH_UNION || target->kind == FV_MATH_UNION) return gold->kind == target->kind && same_items(gold, target, 2, false, same_bounds);
    if (gold->kind == FV_MATH_INTERVAL && target->kind == FV_MATH_INTERVAL) return same_bounds(gold, 0, target, 0);
    const fv_math *interval = gold->kind == FV_MATH_INTERVAL ? gold : target->kind == FV_MATH_INTERVAL ? target : NULL;
    if (interval && (interval->edge[0] != '(' || interval->edge[1] != ')')) return false;
    return same_items(gold, target, 1, gold->kind == FV_MATH_TUPLE || gold->kind == FV_MATH_INTERVAL, same_element);
}

bool fv_math_verify(fv_span gold, fv_span target) {
    parsed a, b;
    found *matches = calloc(MOST_MATCHES, sizeof *matches);
    if (!matches) return false;
    parse(&a, gold, matches);
    parse(&b, target, matches);
    bool texts = a.text.size && fv_span_same(fv_py_strip(fv_edit_span(&a.text)), fv_py_strip(fv_edit_span(&b.text)));
    bool same = texts || (a.read && b.read && same_math(&a.math, &b.math));
    clear(&a);
    clear(&b);
    free(matches);
    return same;
}
