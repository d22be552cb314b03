#include "core/text.h"

#include <ctype.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fv_text_clear(fv_text *t) {
    free(t->data);
    *t = (fv_text){0};
}

void fv_text_rewind(fv_text *t) {
    t->size = 0;
    t->failed = false;
    if (t->data) t->data[0] = '\0';
}

/* Room for `more` bytes and a NUL. */
static bool reserve(fv_text *t, size_t more) {
    if (t->failed) return false;
    if (more < t->capacity - t->size) return true;
    size_t need = t->size + more + 1;
    size_t capacity = t->capacity < 64 ? 64 : t->capacity;
    while (need > t->size && capacity < need) capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *data = need > t->size ? realloc(t->data, capacity) : NULL;
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void fv_text_bytes(fv_text *t, const char *bytes, size_t size) {
    if (!reserve(t, size)) return;
    if (size) memcpy(t->data + t->size, bytes, size);
    t->size += size;
    t->data[t->size] = '\0';
}

void fv_text_add(fv_text *t, const char *string) { fv_text_bytes(t, string, strlen(string)); }

void fv_text_char(fv_text *t, char c) { fv_text_bytes(t, &c, 1); }

void fv_text_printf(fv_text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (size < 0) t->failed = true;
    if (size < 0 || !reserve(t, (size_t)size)) return;
    va_start(args, format);
    vsnprintf(t->data + t->size, (size_t)size + 1, format, args);
    va_end(args);
    t->size += (size_t)size;
}

int fv_utf8_length(const char *s, size_t size) {
    const unsigned char *b = (const unsigned char *)s;
    if (size == 0) return 0;
    if (b[0] < 0x80) return 1;
    int length = b[0] >= 0xc2 && b[0] <= 0xdf ? 2 : b[0] >= 0xe0 && b[0] <= 0xef ? 3 : b[0] >= 0xf0 && b[0] <= 0xf4 ? 4 : 0;
    if (length == 0 || size < (size_t)length) return 0;
    for (int i = 1; i < length; i++)
        if ((b[i] & 0xc0) != 0x80) return 0;
    /* The second byte decides about overlong forms, surrogates and what lies beyond U+10FFFF. */
    if ((b[0] == 0xe0 && b[1] < 0xa0) || (b[0] == 0xed && b[1] > 0x9f)) return 0;
    if ((b[0] == 0xf0 && b[1] < 0x90) || (b[0] == 0xf4 && b[1] > 0x8f)) return 0;
    return length;
}

/* The escape of a character that can't stand in a JSON string as it is, or NULL. */
static const char *json_escape(unsigned char c, char buffer[8]) {
    switch (c) {
    case '"': return "\\\"";
    case '\\': return "\\\\";
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    case '\b': return "\\b";
    case '\f': return "\\f";
    default: break;
    }
    if (c >= 0x20) return NULL;
    snprintf(buffer, 8, "\\u%04x", c);
    return buffer;
}

void fv_text_json(fv_text *t, const char *bytes, size_t size) {
    fv_text_char(t, '"');
    size_t start = 0, i = 0; /* [start, i) is waiting to be copied as it is */
    while (i < size) {
        char buffer[8];
        int length = fv_utf8_length(bytes + i, size - i);
        const char *instead = length == 0 ? "\xef\xbf\xbd" : length == 1 ? json_escape((unsigned char)bytes[i], buffer) : NULL;
        if (instead) {
            fv_text_bytes(t, bytes + start, i - start);
            fv_text_add(t, instead);
            start = i + 1;
        }
        i += length == 0 ? 1 : (size_t)length;
    }
    fv_text_bytes(t, bytes + start, size - start);
    fv_text_char(t, '"');
}

/* ---- Numbers ---- */

/* A positive decimal number: 0.d1d2d3... * 10^point. */
typedef struct {
    char digits[24];
    int count, point;
} decimal;

static bool same_f64(const char *s, double x) { return strtod(s, NULL) == x; }

/* Readers that know doubles only round twice; both ways must arrive. */
static bool same_f32(const char *s, double x) { return strtof(s, NULL) == (float)x && (float)strtod(s, NULL) == (float)x; }

/* Adds one to the last digit of "d.ddde+xx". False when that would carry past the first digit. */
static bool next_decimal(char *s) {
    char *at = strchr(s, 'e') - 1;
    for (; at >= s; at--) {
        if (*at == '.') continue;
        if (*at != '9') {
            ++*at;
            return true;
        }
        *at = '0';
    }
    return false;
}

/* The shortest decimal that reads back. At a power of two the values below lie closer than those above, so the nearest
 * decimal of a length can miss where the one above it still hits: it is tried as well (2^-44 is 5.684341886080802e-14). */
static decimal shortest(double x, int sure, int most, bool (*same)(const char *, double)) {
    int exponent;
    bool power = frexp(x, &exponent) == 0.5;
    char s[40];
    for (int p = sure; p <= most; p++) {
        snprintf(s, sizeof s, "%.*e", p - 1, x);
        if (same(s, x)) break;
        if (power && next_decimal(s) && same(s, x)) break;
        snprintf(s, sizeof s, "%.*e", p - 1, x);
    }
    decimal d = {.count = 0};
    const char *e = strchr(s, 'e');
    for (const char *at = s; at < e; at++)
        if (*at != '.' && d.count < (int)sizeof d.digits) d.digits[d.count++] = *at;
    while (d.count > 1 && d.digits[d.count - 1] == '0') d.count--;
    d.point = atoi(e + 1) + 1;
    return d;
}

/* Python's repr: exponents below -4 and from 16 on are written out, two digits at least. */
static void layout(fv_text *t, const decimal *d) {
    int exponent = d->point - 1;
    if (exponent < -4 || exponent >= 16) {
        fv_text_bytes(t, d->digits, 1);
        if (d->count > 1) {
            fv_text_char(t, '.');
            fv_text_bytes(t, d->digits + 1, (size_t)d->count - 1);
        }
        fv_text_printf(t, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    if (d->point <= 0) {
        fv_text_add(t, "0.");
        for (int i = d->point; i < 0; i++) fv_text_char(t, '0');
        fv_text_bytes(t, d->digits, (size_t)d->count);
        return;
    }
    for (int i = 0; i < d->point; i++) fv_text_char(t, i < d->count ? d->digits[i] : '0');
    fv_text_char(t, '.');
    if (d->count > d->point) fv_text_bytes(t, d->digits + d->point, (size_t)(d->count - d->point));
    else fv_text_char(t, '0');
}

static void number(fv_text *t, double x, bool negative, bool subnormal, int sure, int most, bool (*same)(const char *, double)) {
    if (!isfinite(x)) {
        fv_text_add(t, "null");
        return;
    }
    if (negative) fv_text_char(t, '-');
    if (x == 0) {
        fv_text_add(t, "0.0");
        return;
    }
    /* `sure` digits always survive a normal number, so a shorter one shows itself by its zeros; a subnormal has fewer bits. */
    decimal d = shortest(fabs(x), subnormal ? 1 : sure, most, same);
    layout(t, &d);
}

void fv_text_f64(fv_text *t, double x) { number(t, x, signbit(x), fabs(x) < DBL_MIN, DBL_DIG, DBL_DECIMAL_DIG, same_f64); }

void fv_text_f32(fv_text *t, float x) { number(t, (double)x, signbit(x), fabsf(x) < FLT_MIN, FLT_DIG, FLT_DECIMAL_DIG, same_f32); }

void fv_text_i64(fv_text *t, int64_t x) { fv_text_printf(t, "%lld", (long long)x); }

fv_status fv_text_take(fv_text *t, char **out, size_t *size, fv_error *err) {
    fv_text_bytes(t, "", 0); /* an empty text is a text as well */
    bool failed = t->failed;
    *out = failed ? NULL : t->data;
    if (size) *size = failed ? 0 : t->size;
    if (failed) free(t->data);
    *t = (fv_text){0};
    return failed ? fv_fail(err, FV_NO_MEMORY, "out of memory for a text") : FV_OK;
}

/* ---- Suggestions ---- */

enum { LONGEST_WORD = 63 };

/* Damerau-Levenshtein distance (optimal string alignment), by the usual table. */
static int distance(const char *a, size_t n, const char *b, size_t m) {
    int d[LONGEST_WORD + 1][LONGEST_WORD + 1];
    for (size_t i = 0; i <= n; i++) d[i][0] = (int)i;
    for (size_t j = 0; j <= m; j++) d[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        for (size_t j = 1; j <= m; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            int best = d[i - 1][j - 1] + (ca != cb);
            if (d[i - 1][j] + 1 < best) best = d[i - 1][j] + 1;
            if (d[i][j - 1] + 1 < best) best = d[i][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) && cb == tolower((unsigned char)a[i - 2]);
            if (swapped && d[i - 2][j - 2] + 1 < best) best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[n][m];
}

const char *fv_suggest(const char *word, const char *const *candidates, size_t count) {
    size_t n = strlen(word);
    const char *best = NULL;
    int best_distance = 0;
    for (size_t i = 0; i < count && n <= LONGEST_WORD; i++) {
        size_t m = strlen(candidates[i]);
        if (m > LONGEST_WORD) continue;
        int limit = (int)(((n > m ? n : m) + 1) / 3), d = distance(word, n, candidates[i], m);
        if (d > limit || (best && d >= best_distance)) continue;
        best = candidates[i];
        best_distance = d;
    }
    return best;
}
