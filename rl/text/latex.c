#include "rl/text/latex.h"

#include "rl/text/python.h"

#include <ctype.h>
#include <string.h>

/* What a command becomes. {1} and {2} stand for its arguments; `optional`: a [...] may come first, and is dropped. */
static const struct {
    const char *name;
    int arguments;
    const char *text;
    bool optional;
} commands[] = {
    {"frac", 2, "{1}/{2}", false}, {"nicefrac", 2, "{1}/{2}", false}, {"sqrt", 1, "\u221a({1})", true},
    {"text", 1, "{1}", false}, {"textrm", 1, "{1}", false}, {"textit", 1, "{1}", false}, {"textbf", 1, "{1}", false}, {"textsc", 1, "{1}", false},
    {"textsl", 1, "{1}", false}, {"emph", 1, "{1}", false}, {"mathrm", 1, "{1}", false}, {"overline", 1, "{1}", false}, {"underline", 1, "{1}", false},
    {"widehat", 1, "{1}", false}, {"widetilde", 1, "{1}", false}, {"overrightarrow", 1, "{1}", false}, {"overleftarrow", 1, "{1}", false},
    {"overbrace", 1, "{1}", false}, {"underbrace", 1, "{1}", false}, {"mbox", 1, "", false}, {"hspace", 1, "", false},
    {"hat", 1, "{1}\u0302", false}, {"bar", 1, "{1}\u0304", false}, {"vec", 1, "{1}\u20d7", false}, {"tilde", 1, "{1}\u0303", false}, {"dot", 1, "{1}\u0307", false},
    {"alpha", 0, "\u03b1", false}, {"beta", 0, "\u03b2", false}, {"gamma", 0, "\u03b3", false}, {"delta", 0, "\u03b4", false}, {"epsilon", 0, "\u03f5", false},
    {"varepsilon", 0, "\u03b5", false}, {"zeta", 0, "\u03b6", false}, {"eta", 0, "\u03b7", false}, {"theta", 0, "\u03b8", false}, {"vartheta", 0, "\u03d1", false},
    {"iota", 0, "\u03b9", false}, {"kappa", 0, "\u03ba", false}, {"lambda", 0, "\u03bb", false}, {"mu", 0, "\u03bc", false}, {"nu", 0, "\u03bd", false},
    {"xi", 0, "\u03be", false}, {"pi", 0, "\u03c0", false}, {"rho", 0, "\u03c1", false}, {"sigma", 0, "\u03c3", false}, {"tau", 0, "\u03c4", false},
    {"upsilon", 0, "\u03c5", false}, {"phi", 0, "\u03d5", false}, {"varphi", 0, "\u03c6", false}, {"chi", 0, "\u03c7", false}, {"psi", 0, "\u03c8", false},
    {"omega", 0, "\u03c9", false}, {"Gamma", 0, "\u0393", false}, {"Delta", 0, "\u0394", false}, {"Theta", 0, "\u0398", false}, {"Lambda", 0, "\u039b", false},
    {"Xi", 0, "\u039e", false}, {"Pi", 0, "\u03a0", false}, {"Sigma", 0, "\u03a3", false}, {"Phi", 0, "\u03a6", false}, {"Psi", 0, "\u03a8", false}, {"Omega", 0, "\u03a9", false},
    {"infty", 0, "\u221e", false}, {"cdot", 0, "\u00b7", false}, {"times", 0, "\u00d7", false}, {"div", 0, "\u00f7", false}, {"pm", 0, "\u00b1", false}, {"mp", 0, "\u2213", false},
    {"cup", 0, "\u222a", false}, {"cap", 0, "\u2229", false}, {"circ", 0, "\u2218", false}, {"in", 0, "\u2208", false}, {"emptyset", 0, "\u2205", false}, {"varnothing", 0, "\u2205", false},
    {"le", 0, "\u2264", false}, {"leq", 0, "\u2264", false}, {"ge", 0, "\u2265", false}, {"geq", 0, "\u2265", false}, {"neq", 0, "\u2260", false}, {"approx", 0, "\u2248", false},
    {"sim", 0, "\u223c", false}, {"equiv", 0, "\u2261", false}, {"perp", 0, "\u22a5", false}, {"parallel", 0, "\u2225", false}, {"angle", 0, "\u2220", false}, {"triangle", 0, "\u25b3", false},
    {"to", 0, "\u2192", false}, {"rightarrow", 0, "\u2192", false}, {"leftarrow", 0, "\u2190", false}, {"subset", 0, "\u2282", false}, {"subseteq", 0, "\u2286", false},
    {"setminus", 0, "\u2216", false}, {"mid", 0, "|", false}, {"vert", 0, "|", false}, {"lvert", 0, "|", false}, {"rvert", 0, "|", false}, {"prime", 0, "'", false},
    {"sin", 0, "sin", false}, {"cos", 0, "cos", false}, {"tan", 0, "tan", false}, {"arcsin", 0, "arcsin", false}, {"arccos", 0, "arccos", false}, {"arctan", 0, "arctan", false},
    {"ln", 0, "ln", false}, {"log", 0, "log", false}, {"exp", 0, "exp", false}, {"max", 0, "max", false}, {"min", 0, "min", false}, {"inf", 0, "inf", false}, {"lim", 0, "lim", false},
    {"sum", 0, "\u2211", false}, {"prod", 0, "\u220f", false}, {"int", 0, "\u222b", false}, {"partial", 0, "\u2202", false}, {"ell", 0, "\u2113", false},
    {"ldots", 0, "\u2026", false}, {"dots", 0, "\u2026", false}, {"cdots", 0, "\u22ef", false}, {"quad", 0, "  ", false}, {"qquad", 0, "    ", false},
    {",", 0, " ", false}, {";", 0, " ", false}, {":", 0, " ", false}, {" ", 0, " ", false}, {"!", 0, "", false}, {"\\", 0, "\n", false},
    {"{", 0, "{", false}, {"}", 0, "}", false}, {"%", 0, "%", false}, {"$", 0, "$", false}, {"&", 0, "&", false}, {"#", 0, "#", false}, {"_", 0, "_", false}, {"backslash", 0, "\\", false},
};

/* Alphabets of their own: where their capital and small A and their 0 are in Unicode (0: they have no digits). */
static const struct {
    const char *name;
    uint32_t upper, lower, zero;
} styles[] = {{"mathbf", 0x1d400, 0x1d41a, 0x1d7ce}, {"mathit", 0x1d434, 0x1d44e, 0},       {"mathsf", 0x1d5a0, 0x1d5ba, 0x1d7e2}, {"mathbb", 0x1d538, 0x1d552, 0x1d7d8},
              {"mathtt", 0x1d670, 0x1d68a, 0x1d7f6}, {"mathcal", 0x1d49c, 0x1d4b6, 0},      {"mathscr", 0x1d49c, 0x1d4b6, 0},      {"mathfrak", 0x1d504, 0x1d51e, 0}};

enum { DEPTH = 40 }; /* of braces; what is deeper stays out */

typedef struct {
    fv_span in;
    int depth;
} reader;

static void nodes(fv_text *out, reader *r, bool inside);

static bool more(const reader *r) { return r->in.size > 0; }
static void advance(reader *r, size_t n) { r->in = (fv_span){r->in.text + n, r->in.size - n}; }

static size_t blanks(const reader *r) {
    size_t n, at = 0;
    while ((n = fv_py_space(r->in.text + at, r->in.size - at)) > 0) at += n;
    return at;
}

static fv_span command_name(reader *r) {
    advance(r, 1);
    size_t n = 0;
    while (n < r->in.size && isalpha((unsigned char)r->in.text[n])) n++;
    if (!n && more(r)) {
        int size = fv_utf8_length(r->in.text, r->in.size);
        n = size > 0 ? (size_t)size : 1;
    }
    fv_span name = {r->in.text, n};
    advance(r, n);
    return name;
}

static void command(fv_text *out, reader *r);

/* One argument: a group, a command, or the next character. */
static void argument(fv_text *out, reader *r) {
    advance(r, blanks(r));
    if (!more(r) || r->depth >= DEPTH) return;
    if (r->in.text[0] == '{') {
        advance(r, 1);
        nodes(out, r, true);
    } else if (r->in.text[0] == '\\') {
        r->depth++;
        command(out, r);
        r->depth--;
    } else {
        int n = fv_utf8_length(r->in.text, r->in.size);
        fv_text_bytes(out, r->in.text, n > 0 ? (size_t)n : 1);
        advance(r, n > 0 ? (size_t)n : 1);
    }
}

static void skip_optional(reader *r) {
    size_t at = blanks(r);
    if (at >= r->in.size || r->in.text[at] != '[') return;
    const char *close = memchr(r->in.text + at, ']', r->in.size - at);
    if (close) advance(r, (size_t)(close - r->in.text) + 1);
}

static void add_rune(fv_text *out, uint32_t c) { /* of the alphabets above: four bytes */
    char b[4] = {(char)(0xf0 | c >> 18), (char)(0x80 | (c >> 12 & 0x3f)), (char)(0x80 | (c >> 6 & 0x3f)), (char)(0x80 | (c & 0x3f))};
    fv_text_bytes(out, b, 4);
}

static bool styled(fv_text *out, reader *r, fv_span name) {
    for (size_t i = 0; i < FV_COUNT(styles); i++) {
        if (!fv_span_same(name, fv_span_of(styles[i].name))) continue;
        fv_text plain = {0};
        argument(&plain, r);
        for (size_t k = 0; k < plain.size; k++) {
            char c = plain.data[k];
            if (c >= 'A' && c <= 'Z') add_rune(out, styles[i].upper + (uint32_t)(c - 'A'));
            else if (c >= 'a' && c <= 'z') add_rune(out, styles[i].lower + (uint32_t)(c - 'a'));
            else if (c >= '0' && c <= '9' && styles[i].zero) add_rune(out, styles[i].zero + (uint32_t)(c - '0'));
            else fv_text_char(out, c);
        }
        fv_text_clear(&plain);
        return true;
    }
    return false;
}

static void command(fv_text *out, reader *r) {
    fv_span name = command_name(r);
    if (styled(out, r, name)) return;
    for (size_t i = 0; i < FV_COUNT(commands); i++) {
        if (!fv_span_same(name, fv_span_of(commands[i].name))) continue;
        fv_text given[2] = {{0}, {0}};
        if (commands[i].optional) skip_optional(r);
        for (int k = 0; k < commands[i].arguments; k++) argument(&given[k], r);
        for (const char *t = commands[i].text; *t; t++) {
            bool slot = t[0] == '{' && t[1] && t[2] == '}';
            if (slot) fv_text_bytes(out, fv_edit_span(&given[t[1] - '1']).text, given[t[1] - '1'].size);
            else fv_text_char(out, *t);
            t += slot ? 2 : 0;
        }
        fv_text_clear(&given[0]);
        fv_text_clear(&given[1]);
        return;
    }
}

/* Up to the end, or to the closing brace of a group, which is taken. Runs of characters that are all white space are dropped. */
static void nodes(fv_text *out, reader *r, bool inside) {
    if (++r->depth > DEPTH) r->in.size = 0;
    while (more(r)) {
        char c = r->in.text[0];
        if (c == '\\') {
            command(out, r);
            continue;
        }
        if (c == '{' || c == '}') {
            advance(r, 1);
            if (c == '}' && inside) break;
            if (c == '{') nodes(out, r, true);
            continue;
        }
        size_t n = 1;
        while (n < r->in.size && !strchr("\\{}", r->in.text[n])) n++;
        fv_span run = {r->in.text, n};
        if (fv_py_strip(run).size) {
            for (size_t i = 0; i < n; i++) fv_text_add(out, run.text[i] == '~' ? " " : run.text[i] == '&' ? "   " : (char[]){run.text[i], 0});
        }
        advance(r, n);
    }
    r->depth--;
}

void fv_latex_text(fv_text *out, fv_span latex) {
    reader r = {latex, 0};
    nodes(out, &r, false);
}
