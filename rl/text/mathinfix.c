#include "rl/text/mathinfix.h"

#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum { DEPTH = 30, NAME = 24, BINOMIAL_MOST = 100 };

typedef struct {
    fv_span in;
    int depth;
    bool good;
    bool bare; /* what a function without brackets is taken of, which ends at the next function */
} reader;

static void advance(reader *r, size_t n) { r->in = fv_span_from(r->in, n); }

static bool take(reader *r, const char *word) {
    if (!fv_span_starts(r->in, word)) return false;
    advance(r, strlen(word));
    return true;
}

static void expression(fv_text *out, reader *r, const char *stop);
static bool command(fv_text *out, reader *r);

void fv_math_symbol(fv_text *out, const char *name, size_t size) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        if (!strchr("{} ", name[i])) hash = (hash ^ (uint32_t)(unsigned char)name[i]) * 16777619u;
    fv_text_printf(out, "(%u/2147483647*(q))", (unsigned)hash);
}

/* {...}, a command with what it takes, or one character; in brackets. */
static void argument(fv_text *out, reader *r) {
    while (take(r, " ")) continue;
    fv_text_char(out, '(');
    if (take(r, "{")) {
        expression(out, r, "}");
        r->good = r->good && take(r, "}");
    } else if (r->in.size && isalnum((unsigned char)r->in.text[0])) {
        fv_span one = {r->in.text, 1};
        reader inside = {.in = one, .depth = r->depth, .good = true};
        expression(out, &inside, "");
        advance(r, 1);
    } else {
        r->good = fv_span_starts(r->in, "\\") && command(out, r);
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

/* A whole number with a fraction of whole numbers behind it, and nothing more to multiply, is their sum: 1\frac{1}{2}, and of -1\frac{1}{2} both are taken away. */
static void fraction(fv_text *out, reader *r) {
    fv_span g[2], before = fv_edit_span(out);
    if (fv_regex_in("\\A *\\{\\d+\\} *\\{\\d+\\} *(?:\\z|[-+=,)}\\]<>:])", r->in, g, 1) && fv_regex_in("(?:\\A|([-+(]))\\d+\\z", before, g, 2))
        fv_text_char(out, g[1].size && g[1].text[0] == '-' ? '-' : '+');
    fv_text_char(out, '(');
    argument(out, r);
    fv_text_char(out, '/');
    argument(out, r);
    fv_text_char(out, ')');
}

/* Words are their letters, numbers numbers, with or without brackets; any other text is an unknown of its own, the same in any case. */
static void words(fv_text *out, reader *r) {
    fv_span g[2];
    while (take(r, " ")) continue;
    if (fv_regex_in("\\A\\{\\(?([A-Za-z ]*|-?[\\d.]+)\\)?\\}", r->in, g, 2)) {
        reader inside = {.in = g[1], .depth = r->depth, .good = true};
        fv_text_char(out, '(');
        expression(out, &inside, "");
        fv_text_char(out, ')');
        r->good = r->good && inside.good;
        advance(r, g[0].size);
        return;
    }
    fv_text name = {0};
    size_t depth = 0, n = 0;
    do {
        char c = n < r->in.size ? r->in.text[n++] : 0;
        depth += c == '{';
        depth -= c == '}';
        fv_text_char(&name, (char)tolower((unsigned char)c));
    } while (depth && n < r->in.size);
    r->good = r->good && !depth && n > 1;
    fv_math_symbol(out, name.data, name.size);
    fv_text_clear(&name);
    advance(r, n);
}

/* A letter's subscript is part of its name. */
static void subscript(fv_text *name, reader *r) {
    advance(r, 1);
    fv_text_char(name, '_');
    size_t n = 1, depth = fv_span_starts(r->in, "{");
    if (!r->in.size || !(depth || isalnum((unsigned char)r->in.text[0]))) r->good = false;
    while (r->good && depth && n < r->in.size) {
        depth += r->in.text[n] == '{';
        depth -= r->in.text[n++] == '}';
    }
    r->good = r->good && !depth;
    if (!r->good) return;
    fv_text_bytes(name, r->in.text, n);
    advance(r, n);
}

/* Letters are apart, so that "pi" and "sin" are not read as words, and the same in any case; e is Euler's number. */
static void letter(fv_text *out, reader *r) {
    char c = (char)tolower((unsigned char)r->in.text[0]);
    advance(r, 1);
    if (fv_span_starts(r->in, "_")) {
        fv_text name = {0};
        fv_text_char(&name, c);
        subscript(&name, r);
        fv_math_symbol(out, name.data, name.size);
        fv_text_clear(&name);
    } else if (c == 'e') {
        fv_text_add(out, "(exp(1))");
    } else {
        fv_text_printf(out, "(%c)", c);
    }
}

/* What a function is taken of: brackets, or without them all up to the next sum. */
static void operand(fv_text *out, reader *r) {
    while (take(r, " ")) continue;
    size_t before = out->size;
    fv_text_char(out, '(');
    if (take(r, "(")) {
        expression(out, r, ")");
        r->good = r->good && take(r, ")");
    } else if (fv_span_starts(r->in, "{")) {
        argument(out, r);
    } else {
        if (fv_span_starts(r->in, "-")) advance(r, 1), fv_text_char(out, '-');
        if (fv_span_starts(r->in, "\\")) r->good = command(out, r) && r->good; /* may be a function itself */
        bool outer = r->bare;
        r->bare = true;
        expression(out, r, "+-)}]|,=<>");
        r->bare = outer;
    }
    fv_text_char(out, ')');
    r->good = r->good && out->size > before + 2;
}

static const char *const functions[][3] = { /* in LaTeX, as algebra has it, its inverse */
    {"sin", "sin", "asin"}, {"cos", "cos", "acos"}, {"tan", "tan", "atan"}, {"cot", "cot", NULL}, {"sec", "sec", NULL}, {"csc", "csc", NULL}, {"ln", "ln", NULL}, {"log", "log", NULL},
    {"exp", "exp", NULL}, {"arcsin", "asin", NULL}, {"arccos", "acos", NULL}, {"arctan", "atan", NULL}, {"sinh", "sinh", NULL}, {"cosh", "cosh", NULL}, {"tanh", "tanh", NULL},
};

/* The name of the command that begins here; empty: it has another form. */
static size_t command_name(fv_span s, char name[NAME]) {
    size_t n = 0;
    while (n + 1 < s.size && n + 1 < NAME && isalpha((unsigned char)s.text[n + 1])) name[n] = s.text[n + 1], n++;
    name[n] = 0;
    return n;
}

static size_t function_number(const char *name) {
    size_t k = 0;
    while (k < FV_COUNT(functions) && strcmp(functions[k][0], name)) k++;
    return k;
}

/* name^{k}, name^{-1} (the inverse), log_b. */
static bool function(fv_text *out, reader *r, const char *name) {
    size_t k = function_number(name);
    if (k == FV_COUNT(functions)) return false;
    fv_text power = {0}, base = {0};
    const char *as = functions[k][1];
    for (;;) {
        while (take(r, " ")) continue;
        if (!strcmp(name, "log") && !base.size && take(r, "_")) argument(&base, r);
        else if (!power.size && take(r, "^")) argument(&power, r);
        else break;
        if (!r->good) break;
    }
    if (power.size && !strcmp(power.data, "(-1)") && functions[k][2]) {
        as = functions[k][2];
        fv_text_rewind(&power);
    }
    fv_text_printf(out, "(%s", as);
    operand(out, r);
    if (!strcmp(name, "log")) fv_text_printf(out, "/log(%s)", base.size ? base.data : "10");
    fv_text_char(out, ')');
    if (power.size) fv_text_printf(out, "^%s", power.data);
    fv_text_clear(&power);
    fv_text_clear(&base);
    return true;
}

/* Between \lfloor and \rfloor and their like. */
static void enclosed(fv_text *out, reader *r, const char *as, const char *close) {
    fv_text_printf(out, "%s(", as);
    const char *end = fv_py_find(r->in, close);
    reader inside = {.in = {r->in.text, end ? (size_t)(end - r->in.text) : 0}, .depth = r->depth, .good = end != NULL};
    if (end) expression(out, &inside, "");
    r->good = r->good && inside.good && inside.depth == r->depth && !inside.in.size;
    fv_text_char(out, ')');
    if (end) r->in = fv_span_from(r->in, (size_t)(end - r->in.text) + strlen(close));
}

static void binomial(fv_text *out, reader *r) {
    fv_text n = {0}, k = {0};
    double whole = -1;
    argument(&n, r);
    argument(&k, r);
    r->good = r->good && n.size && k.size && n.size < BINOMIAL_MOST && k.size < BINOMIAL_MOST; /* n is written several times, within each other too */
    fv_text_char(out, '(');
    if (r->good && fv_py_float((fv_span){k.data + 1, k.size - 2}, &whole) && whole >= 0 && whole < 20 && whole == floor(whole)) {
        for (int i = 0; i < (int)whole; i++) fv_text_printf(out, "(%s-%d)/%d*", n.data, i, i + 1); /* n (n-1) .. / k! */
        fv_text_char(out, '1');
    } else if (r->good) {
        fv_text_printf(out, "%s!/(%s!*(%s-%s)!)", n.data, k.data, n.data, k.data);
    }
    fv_text_char(out, ')');
    fv_text_clear(&n);
    fv_text_clear(&k);
}

/* A gap between two digits makes a product of them. */
static void gap(fv_text *out, const reader *r) {
    if (out->size && isdigit((unsigned char)out->data[out->size - 1]) && r->in.size && isdigit((unsigned char)r->in.text[0])) fv_text_char(out, '*');
}

static bool known_command(fv_text *out, reader *r) {
    static const char *const signs[][2] = {{"cdot", "*"}, {"times", "*"}, {"div", "/"}, {"pi", "(pi)"}, {"infty", FV_MATH_INFINITY}, {"colon", "/"}};
    static const char *const symbols[] = {"alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau",
                                          "upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "angle", "triangle", "emptyset", "varnothing"};
    static const char *const accents[] = {"bar", "vec", "hat", "tilde", "overline", "underline", "widehat", "overrightarrow", "mathbb", "mathcal"};
    char name[NAME];
    size_t n = command_name(r->in, name);
    const fv_span whole = {r->in.text, n + 1};
    if (!n) {
        if (take(r, "\\%")) return fv_text_add(out, "/100"), true;
        if (!take(r, "\\,") && !take(r, "\\;") && !take(r, "\\:")) return false;
        while (take(r, " ")) continue;
        return gap(out, r), true;
    }
    advance(r, n + 1);
    if (!strcmp(name, "quad") || !strcmp(name, "qquad")) return gap(out, r), true;
    if (!strcmp(name, "frac")) return fraction(out, r), true;
    if (!strcmp(name, "sqrt")) return root(out, r), true;
    if (!strcmp(name, "text") || !strcmp(name, "mbox")) return words(out, r), true;
    if (!strcmp(name, "binom") || !strcmp(name, "dbinom") || !strcmp(name, "tbinom")) return binomial(out, r), true;
    if (!strcmp(name, "lfloor")) return enclosed(out, r, "floor", "\\rfloor"), true;
    if (!strcmp(name, "lceil")) return enclosed(out, r, "ceil", "\\rceil"), true;
    if (!strcmp(name, "lvert")) return enclosed(out, r, "abs", "\\rvert"), true;
    for (size_t i = 0; i < FV_COUNT(signs); i++)
        if (!strcmp(name, signs[i][0])) return fv_text_add(out, signs[i][1]), true;
    for (size_t i = 0; i < FV_COUNT(symbols) + FV_COUNT(accents); i++) {
        bool accent = i >= FV_COUNT(symbols);
        if (strcmp(name, accent ? accents[i - FV_COUNT(symbols)] : symbols[i])) continue;
        fv_text all = {0}, unused = {0};
        fv_text_bytes(&all, whole.text, whole.size);
        while (accent && take(r, " ")) continue;
        reader start = *r;
        if (accent) argument(&unused, r); /* where it ends */
        fv_text_bytes(&all, start.in.text, (size_t)(r->in.text - start.in.text));
        fv_text_clear(&unused);
        if (fv_span_starts(r->in, "_")) subscript(&all, r);
        fv_math_symbol(out, all.data, all.size);
        fv_text_clear(&all);
        return r->good;
    }
    return function(out, r, name);
}

static void expression(fv_text *out, reader *r, const char *stop) {
    if (++r->depth > DEPTH) r->good = false;
    while (r->good && r->in.size && !strchr(stop, r->in.text[0])) {
        char c = r->in.text[0];
        if (take(r, " ")) {
            while (take(r, " ")) continue;
            gap(out, r);
        } else if (c == '\\') {
            char name[NAME];
            if (r->bare && command_name(r->in, name) && function_number(name) < FV_COUNT(functions)) break;
            r->good = command(out, r) && r->good;
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
        } else if (c == '|') {
            advance(r, 1);
            fv_text_add(out, "abs(");
            expression(out, r, "|");
            r->good = r->good && take(r, "|");
            fv_text_char(out, ')');
        } else if (isalpha((unsigned char)c)) {
            letter(out, r);
        } else if (take(r, "π")) {
            fv_text_add(out, "(pi)");
        } else if (c == '_' && out->size && isdigit((unsigned char)out->data[out->size - 1])) { /* a number's base: nothing */
            fv_text base = {0};
            subscript(&base, r);
            fv_text_clear(&base);
        } else if (c == '.' && !(r->in.size > 1 && isdigit((unsigned char)r->in.text[1]))) {
            r->good = false;
        } else if (take(r, "%")) {
            fv_text_add(out, "/100");
        } else if (take(r, ":")) {
            fv_text_char(out, '/');
        } else if (isdigit((unsigned char)c) || strchr("+-*/.!", c)) {
            fv_text_char(out, c);
            advance(r, 1);
        } else {
            r->good = false;
        }
    }
    r->depth--;
}

/* \sqrt\sqrt\sqrt.. is as deep as brackets are. */
static bool command(fv_text *out, reader *r) {
    bool good = ++r->depth <= DEPTH && known_command(out, r);
    r->depth--;
    return good;
}

bool fv_math_infix(fv_text *out, fv_span latex) {
    reader r = {.in = fv_py_strip(latex), .good = true};
    expression(out, &r, "");
    return r.good && !r.in.size && out->size > 0;
}
