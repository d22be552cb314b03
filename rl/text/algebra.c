#include "rl/text/algebra.h"

#include "core/random.h"
#include "rl/text/python.h"

#include <complex.h>
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ROUNDING: 60 times the unit roundoff of an 80-bit number (5.4e-20), for the few operations of an answer; a 17-digit decimal of an irrational number is farther away. */
enum { POINTS = 3, DEPTH = 60, LARGEST_FACTORIAL = 25, LARGEST_POWER = 1000 };
static const long double ROUNDING = 3.3e-18L;

typedef long double complex number;

/* A value, and the size of what it was summed from: rounding is a share of that. */
typedef struct {
    number v;
    long double size;
    bool decimal; /* written with a point: powers of it with broken exponents are f64, and so is their error */
} value;

typedef struct {
    const char *at, *end;
    int point, depth;
    bool good;
    bool letters; /* there was a symbol */
} reader;

static value sum(reader *r);

static value fail(reader *r) {
    r->good = false;
    return (value){0};
}

static value exactly(number v) { return (value){v, cabsl(v), false}; }

static bool take(reader *r, const char *word) {
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0) return false;
    r->at += n;
    return true;
}

/* Bytes of the letter at p; 0: there is none. */
static size_t letter(const char *p, const char *end, uint32_t *c) {
    utf8proc_int32_t rune;
    utf8proc_ssize_t n = p < end ? utf8proc_iterate((const utf8proc_uint8_t *)p, end - p, &rune) : 0;
    if (n <= 0) return 0;
    utf8proc_category_t kind = utf8proc_category(rune);
    *c = (uint32_t)rune;
    bool is = kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT || kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_LO;
    return is ? (size_t)n : 0;
}

static bool starts_primary(const reader *r) {
    uint32_t c;
    if (r->at >= r->end) return false;
    if (*r->at == '(' || isdigit((unsigned char)*r->at)) return true;
    if (*r->at == '.') return r->at + 1 < r->end && isdigit((unsigned char)r->at[1]);
    return letter(r->at, r->end, &c) > 0;
}

/* What a letter stands for at this point: both parts within 0.3 .. 1.7, of either sign. */
static number symbol(const reader *r, uint32_t c) {
    uint64_t h = fv_random_key(c, "algebra", (uint64_t)r->point, 0);
    long double x = 0.3L + 1.4L * (long double)(h & 0xffffff) / 0x1000000, y = 0.3L + 1.4L * (long double)(h >> 24 & 0xffffff) / 0x1000000;
    return (h >> 62 & 1 ? -x : x) + (h >> 63 ? -y : y) * I;
}

static value multiply(value a, value b) { return (value){a.v * b.v, a.size * b.size, a.decimal || b.decimal}; }

static value divide(reader *r, value a, value b) {
    long double size = cabsl(b.v);
    if (size == 0) return fail(r);
    return (value){a.v / b.v, a.size / size * (b.size / size), a.decimal || b.decimal};
}

static value power(reader *r, value a, value b) {
    long double n = creall(b.v), size = cabsl(a.v);
    bool whole = cimagl(b.v) == 0 && n == rintl(n) && fabsl(n) <= LARGEST_POWER;
    if (size == 0) return n > 0 ? exactly(0) : n == 0 ? exactly(1) : fail(r);
    number out = 1;
    if (whole) {
        number square = a.v;
        for (long k = labs((long)n); k; k >>= 1, square *= square)
            if (k & 1) out *= square;
        if (n < 0) out = 1 / out;
    } else if (cimagl(b.v) == 0 && n == 0.5L) {
        out = csqrtl(a.v);
    } else {
        out = cpowl(a.v, b.v);
    }
    if (!whole && (a.decimal || b.decimal)) out = (double)creall(out) + (double)cimagl(out) * I;
    return (value){out, cabsl(out) * (1 + fabsl(n)) * (a.size / size), a.decimal || b.decimal};
}

static number factorial(reader *r, number v) {
    long double n = creall(v), out = 1;
    bool whole = n == rintl(n);
    if (cimagl(v) != 0 || n < 0 || n > LARGEST_FACTORIAL) r->good = false;
    for (long k = 2; r->good && whole && k <= (long)n; k++) out *= (long double)k;
    return whole ? out : tgammal(n + 1);
}

static value literal(reader *r) {
    char text[64];
    size_t n = 0;
    const char *p = r->at;
    while (p < r->end && isdigit((unsigned char)*p)) p++;
    if (p < r->end && *p == '.') p++;
    while (p < r->end && isdigit((unsigned char)*p)) p++;
    if (p + 1 < r->end && (*p == 'e' || *p == 'E')) {
        const char *q = p + 1 + (p[1] == '-' || p[1] == '+');
        if (q < r->end && isdigit((unsigned char)*q)) {
            while (q < r->end && isdigit((unsigned char)*q)) q++;
            p = q;
        }
    }
    n = (size_t)(p - r->at);
    if (n >= sizeof text) return fail(r);
    memcpy(text, r->at, n);
    text[n] = 0;
    r->at = p;
    value v = exactly(strtold(text, NULL));
    v.decimal = strpbrk(text, ".eE") != NULL;
    return v;
}

static value bracket(reader *r) {
    if (!take(r, "(")) return fail(r);
    value v = sum(r);
    return take(r, ")") ? v : fail(r);
}

static value scaled(number v, value a) { /* of a function with a slope of about one */
    long double size = cabsl(a.v);
    return (value){v, cabsl(v) * (size > 0 ? a.size / size : 1) + a.size, a.decimal};
}

/* Of a real number; letters stand for real ones too, so that |x| is the root of x^2, which is analytic. */
static number absolute(number v) { return csqrtl(v * v); }
static number cotangent(number v) { return 1 / ctanl(v); }
static number secant(number v) { return 1 / ccosl(v); }
static number cosecant(number v) { return 1 / csinl(v); }
static number lower(number v) { return cimagl(v) == 0 ? floorl(creall(v)) : (number)NAN; }
static number upper(number v) { return cimagl(v) == 0 ? ceill(creall(v)) : (number)NAN; }

static const struct {
    const char *name;
    number (*f)(number);
} functions[] = {{"abs", absolute}, {"floor", lower}, {"ceil", upper}, {"cot", cotangent}, {"sec", secant}, {"csc", cosecant}, {"sinh", csinhl}, {"cosh", ccoshl}, {"tanh", ctanhl},
                 {"sqrt", csqrtl}, {"ln", clogl}, {"log", clogl}, {"exp", cexpl}, {"sin", csinl}, {"cos", ccosl}, {"tan", ctanl},
                 {"arcsin", casinl}, {"arccos", cacosl}, {"arctan", catanl}, {"asin", casinl}, {"acos", cacosl}, {"atan", catanl}};

/* A word: a function of what is in brackets behind it, pi, or its letters multiplied (and digits among them). */
static value word(reader *r) {
    static const char *const keywords[] = {"as", "if", "in", "is", "or", "not", "and", "for", "del", "def", "try"};
    const char *start = r->at, *p = start;
    uint32_t c;
    size_t n;
    while ((n = letter(p, r->end, &c)) > 0 || (p > start && p < r->end && isdigit((unsigned char)*p))) p += n ? n : 1;
    fv_span name = {start, (size_t)(p - start)};
    for (size_t i = 0; i < FV_COUNT(keywords); i++)
        if (fv_span_same(name, fv_span_of(keywords[i]))) return fail(r);
    for (size_t i = 0; i < FV_COUNT(functions); i++) {
        if (!fv_span_same(name, fv_span_of(functions[i].name))) continue;
        r->at = p;
        value a = bracket(r);
        return scaled(functions[i].f(a.v), a);
    }
    if (fv_span_same(name, fv_span_of("pi"))) {
        r->at = p;
        return exactly(acosl(-1.0L));
    }
    value out = exactly(1);
    r->letters = true;
    while (r->at < p && r->good) {
        n = letter(r->at, p, &c);
        if (!n) { /* "a1.5" is a, 1 and .5 */
            reader digits = {.at = r->at, .end = p, .good = true};
            out = multiply(out, literal(&digits));
            if (!digits.good) return fail(r); /* longer than any number, and not passed */
            r->at = digits.at;
            continue;
        }
        r->at += n;
        out = multiply(out, exactly(symbol(r, c)));
    }
    return out;
}

static value primary(reader *r) {
    if (r->at >= r->end) return fail(r);
    if (*r->at == '(') return bracket(r);
    if (isdigit((unsigned char)*r->at) || *r->at == '.') return starts_primary(r) ? literal(r) : fail(r);
    return starts_primary(r) ? word(r) : fail(r);
}

static value unary(reader *r) {
    if (++r->depth > DEPTH) return fail(r);
    value v;
    if (take(r, "-")) {
        v = unary(r);
        v.v = -v.v;
    } else if (take(r, "+")) {
        v = unary(r);
    } else {
        v = primary(r);
        while (r->good && take(r, "!")) v = exactly(factorial(r, v.v));
        if (r->good && (take(r, "**") || take(r, "^"))) v = power(r, v, unary(r));
    }
    r->depth--;
    return v;
}

static value product(reader *r) {
    value v = unary(r);
    while (r->good) {
        bool divided = r->at < r->end && *r->at == '/';
        if (divided || (r->at < r->end && *r->at == '*')) {
            r->at++;
            value b = unary(r); /* a second "/" is no operand, so // fails */
            v = divided ? divide(r, v, b) : multiply(v, b);
        } else if (starts_primary(r)) {
            v = multiply(v, unary(r));
        } else {
            break;
        }
    }
    return v;
}

static value sum(reader *r) {
    if (++r->depth > DEPTH) return fail(r);
    value v = product(r);
    while (r->good && r->at < r->end && (*r->at == '+' || *r->at == '-')) {
        bool minus = *r->at++ == '-';
        value b = product(r);
        v = (value){minus ? v.v - b.v : v.v + b.v, v.size + b.size, v.decimal || b.decimal};
    }
    r->depth--;
    return v;
}

static bool evaluate(fv_span s, int point, value *out, bool *letters) {
    reader r = {.at = s.text, .end = s.text + s.size, .point = point, .good = true};
    *out = sum(&r);
    *letters = r.letters;
    return r.good && r.at == r.end && isfinite(creall(out->v)) && isfinite(cimagl(out->v));
}

bool fv_algebra_is_zero(fv_span expression, double share) {
    long double bound = share > ROUNDING ? share : ROUNDING;
    for (int p = 0; p < POINTS; p++) {
        value v;
        bool letters;
        if (!evaluate(expression, p, &v, &letters) || cabsl(v.v) > bound * v.size) return false;
        if (!letters) return true;
    }
    return true;
}

bool fv_algebra_proportional(fv_span a, fv_span b) {
    number ratio = 0;
    for (int p = 0; p < POINTS; p++) {
        value x, y;
        bool letters;
        if (!evaluate(a, p, &x, &letters) || !evaluate(b, p, &y, &letters) || cabsl(x.v) <= ROUNDING * x.size || cabsl(y.v) <= ROUNDING * y.size) return false;
        if (p && cabsl(x.v / y.v - ratio) > 1e-12L * cabsl(ratio)) return false;
        ratio = x.v / y.v;
    }
    return fabsl(cimagl(ratio)) <= 1e-12L * cabsl(ratio);
}

bool fv_algebra_number(fv_span expression, double *out) {
    value v;
    bool letters;
    if (!evaluate(expression, 0, &v, &letters) || letters || fabsl(cimagl(v.v)) > ROUNDING * v.size) return false;
    *out = (double)creall(v.v);
    return true;
}
