#include "tools/literal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 60 };

typedef struct {
    fv_span in;
    int depth; /* of brackets: within them line breaks are blanks */
} reader;

static json_t *value(reader *r);

static void advance(reader *r, size_t n) { r->in = (fv_span){r->in.text + n, r->in.size - n}; }
static char next(const reader *r) { return r->in.size ? r->in.text[0] : 0; }

static void skip(reader *r) {
    while (r->in.size && (strchr(" \t\f", next(r)) || (r->depth && strchr("\r\n#", next(r))))) {
        if (next(r) == '#')
            while (r->in.size && next(r) != '\n') advance(r, 1);
        else
            advance(r, 1);
    }
}

static bool take(reader *r, char c) {
    skip(r);
    if (next(r) != c) return false;
    advance(r, 1);
    return true;
}

static void add_rune(fv_text *out, unsigned c) {
    char b[4] = {(char)c, 0, 0, 0};
    int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    if (n == 2) b[0] = (char)(0xc0 | c >> 6);
    if (n == 3) b[0] = (char)(0xe0 | c >> 12);
    if (n == 4) b[0] = (char)(0xf0 | c >> 18);
    for (int k = 1; k < n; k++) b[k] = (char)(0x80 | (c >> 6 * (n - 1 - k) & 0x3f));
    fv_text_bytes(out, b, (size_t)n);
}

/* Behind a backslash. An escape that Python doesn't know stays as it is, with its backslash. */
static bool escape(reader *r, fv_text *out) {
    static const char known[] = "\\'\"abfnrtv", means[] = "\\'\"\a\b\f\n\r\t\v";
    char c = next(r), digits[9] = {0}, *end;
    const char *at = c ? strchr(known, c) : NULL;
    size_t n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    advance(r, 1);
    if (at) fv_text_char(out, means[at - known]);
    else if (n) {
        if (r->in.size < n) return false;
        memcpy(digits, r->in.text, n);
        unsigned long code = strtoul(digits, &end, 16);
        if (end != digits + n || code > 0x10ffff || !code) return false;
        add_rune(out, (unsigned)code);
        advance(r, n);
    } else if (c != '\n') {
        fv_text_char(out, '\\');
        fv_text_char(out, c);
    }
    return true;
}

/* How many letters of a prefix (u, r, b, rb) stand before a quote; 0: there is no string. */
static size_t prefix(const reader *r, bool *raw) {
    size_t n = 0;
    *raw = false;
    for (; n < 2 && n < r->in.size && strchr("uUrRbB", r->in.text[n]); n++) *raw |= strchr("rR", r->in.text[n]) != NULL;
    return n < r->in.size && (r->in.text[n] == '"' || r->in.text[n] == '\'') ? n + 1 : 0;
}

static bool one_string(reader *r, fv_text *out, bool raw) {
    char quote = next(r);
    char three[4] = {quote, quote, quote, 0};
    bool longer = r->in.size >= 3 && !memcmp(r->in.text, three, 3);
    advance(r, longer ? 3 : 1);
    while (r->in.size) {
        char c = next(r);
        if (longer ? r->in.size >= 3 && !memcmp(r->in.text, three, 3) : c == quote) {
            advance(r, longer ? 3 : 1);
            return true;
        }
        if (c == '\n' && !longer) return false;
        advance(r, 1);
        if (c != '\\' || raw) fv_text_char(out, c);
        else if (!r->in.size || !escape(r, out)) return false;
        if (c == '\\' && raw && r->in.size) fv_text_char(out, next(r)), advance(r, 1); /* a quote behind it does not end the string */
    }
    return false;
}

/* Strings that follow one another are one. */
static json_t *string(reader *r) {
    fv_text t = {0};
    bool good = true, raw;
    for (size_t n; good && (n = prefix(r, &raw)) > 0;) {
        advance(r, n - 1);
        good = one_string(r, &t, raw);
        skip(r);
    }
    json_t *out = good && !t.failed ? json_stringn(t.data ? t.data : "", t.size) : NULL;
    fv_text_clear(&t);
    return out;
}

/* 0x1f, 0o17, 0b11. */
static json_t *other_base(reader *r, bool negative) {
    char text[20] = {0}, *end;
    size_t n = 0;
    while (n < r->in.size && n + 1 < sizeof text && isalnum((unsigned char)r->in.text[n])) text[n] = r->in.text[n], n++;
    int base = strchr("xX", text[1]) ? 16 : strchr("oO", text[1]) ? 8 : 2;
    long long v = strtoll(text + 2, &end, base);
    if (!isalnum((unsigned char)text[2]) || *end) return NULL;
    advance(r, n);
    return json_integer(negative ? -v : v);
}

/* float() of digits, dots and an exponent; an underscore stands between two digits. */
static bool decimal(fv_span s, double *out) {
    fv_text t = {0};
    bool good = true;
    for (size_t i = 0; i < s.size; i++) {
        if (s.text[i] != '_') fv_text_char(&t, s.text[i]);
        else good &= i > 0 && i + 1 < s.size && isdigit((unsigned char)s.text[i - 1]) && isdigit((unsigned char)s.text[i + 1]);
    }
    char *end = NULL;
    if (t.data != NULL) *out = strtod(t.data, &end);
    good = good && end != NULL && *end == '\0' && !t.failed;
    fv_text_clear(&t);
    return good;
}

static json_t *number(reader *r) {
    size_t n = 0;
    bool whole = true;
    double x;
    bool negative = false;
    while (next(r) == '-' || next(r) == '+') {
        negative ^= next(r) == '-';
        advance(r, 1);
        skip(r);
    }
    if (r->in.size > 2 && r->in.text[0] == '0' && strchr("xXoObB", r->in.text[1])) return other_base(r, negative);
    while (n < r->in.size && (isdigit((unsigned char)r->in.text[n]) || strchr("._eE", r->in.text[n]) || (n && strchr("+-", r->in.text[n]) && strchr("eE", r->in.text[n - 1])))) {
        whole &= isdigit((unsigned char)r->in.text[n]) || r->in.text[n] == '_';
        n++;
    }
    fv_span s = {r->in.text, n};
    bool zeros = whole && n > 1 && s.text[0] == '0' && strspn(s.text, "0_") < n; /* 007 is no number */
    if (!n || zeros || !decimal(s, &x) || (n < r->in.size && isalpha((unsigned char)r->in.text[n]))) return NULL;
    advance(r, n);
    x = negative ? -x : x;
    return whole && x > -9e15 && x < 9e15 ? json_integer((json_int_t)x) : json_real(x);
}

/* Elements up to `close`. A bracket around one value without a comma is that value. */
static json_t *list(reader *r, char close) {
    json_t *out = json_array(), *item;
    bool comma = false, good = true;
    while (good && !take(r, close)) {
        good = (json_array_size(out) == 0 || comma) && (item = value(r)) != NULL && !json_array_append_new(out, item);
        comma = good && take(r, ',');
    }
    if (good && close == ')' && json_array_size(out) == 1 && !comma) {
        item = json_incref(json_array_get(out, 0));
        json_decref(out);
        return item;
    }
    if (!good) json_decref(out);
    return good ? out : NULL;
}

static bool put(json_t *dict, const json_t *key, json_t *item) {
    fv_text t = {0};
    fv_json_dump(&t, key, 0);
    bool good = !json_object_setn_new(dict, json_is_string(key) ? json_string_value(key) : t.data, json_is_string(key) ? json_string_length(key) : t.size, item);
    fv_text_clear(&t);
    return good;
}

/* A dict, or, where no colon follows the first value, a set. */
static json_t *dict(reader *r) {
    json_t *out = json_object(), *set = json_array();
    bool good = true, comma = true, is_set = false;
    while (good && !take(r, '}')) {
        json_t *key = comma ? value(r) : NULL, *item = NULL;
        bool pair = key && take(r, ':');
        if (!json_object_size(out) && !json_array_size(set)) is_set = key && !pair;
        good = key && pair != is_set && (is_set || (!json_is_array(key) && !json_is_object(key) && (item = value(r)) != NULL));
        if (good) good = is_set ? !json_array_append(set, key) : put(out, key, item);
        json_decref(key);
        comma = good && take(r, ',');
    }
    json_decref(is_set ? out : set);
    if (!good) json_decref(is_set ? set : out);
    return !good ? NULL : is_set ? set : out;
}

static json_t *word(reader *r) {
    static const char *const words[] = {"True", "False", "None", "..."};
    for (size_t i = 0; i < FV_COUNT(words); i++) {
        size_t n = strlen(words[i]);
        if (r->in.size < n || memcmp(r->in.text, words[i], n) != 0 || (r->in.size > n && (isalnum((unsigned char)r->in.text[n]) || r->in.text[n] == '_'))) continue;
        advance(r, n);
        return i >= 2 ? json_null() : json_boolean(i == 0);
    }
    return NULL;
}

static json_t *value(reader *r) {
    skip(r);
    char c = next(r);
    bool raw;
    if (prefix(r, &raw)) return string(r);
    if (r->in.size >= 3 && !memcmp(r->in.text, "...", 3)) return word(r);
    if (isdigit((unsigned char)c) || (c && strchr("+-.", c))) return number(r);
    if (c != '[' && c != '(' && c != '{') return word(r);
    if (r->depth == DEPTH) return NULL;
    advance(r, 1);
    r->depth++;
    json_t *out = c == '{' ? dict(r) : list(r, c == '[' ? ']' : ')');
    r->depth--;
    return out;
}

json_t *fv_literal(fv_span s) {
    reader r = {.in = s};
    skip(&r);
    bool fresh = true; /* blanks before a value on a later line are an indentation */
    while (r.in.size && strchr("\r\n", next(&r))) {
        advance(&r, 1);
        size_t before = r.in.size;
        skip(&r);
        fresh = r.in.size == before;
    }
    json_t *out = r.in.size && (fresh || strchr("\r\n", next(&r))) ? value(&r) : NULL, *item;
    skip(&r);
    if (out && next(&r) == ',') { /* a tuple without brackets */
        out = json_pack("[o]", out);
        while (out && take(&r, ',')) {
            skip(&r);
            if (!r.in.size || strchr("\r\n", next(&r))) break;
            item = value(&r);
            if (!item || json_array_append_new(out, item)) {
                json_decref(out);
                return NULL;
            }
        }
    }
    r.depth = 1; /* line breaks and comments may follow */
    skip(&r);
    if (!out || !r.in.size) return out;
    json_decref(out);
    return NULL;
}
