#include "rl/text/rouge.h"

#include "rl/text/porter.h"
#include "rl/text/python.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    char *letters;  /* owned: the words, one behind the other */
    fv_span *words; /* owned, into letters */
    size_t count;
} tokens;

/* str.lower() makes ASCII letters of two characters that are none: U+0130 (i and a combining dot, which parts words) and U+212A (k). */
static size_t lower_letter(const char *s, size_t size, char *out) {
    unsigned char c = (unsigned char)s[0];
    *out = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
    if (size >= 2 && !memcmp(s, "\xc4\xb0", 2)) *out = 'i';
    if (size >= 3 && !memcmp(s, "\xe2\x84\xaa", 3)) *out = 'k';
    bool letter = (*out >= 'a' && *out <= 'z') || (*out >= '0' && *out <= '9');
    if (!letter) *out = ' ';
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

static bool tokenize(tokens *t, fv_span s) {
    size_t room = 2 * s.size + 2, used = 0, start = 0; /* a stem may be a letter longer */
    *t = (tokens){.letters = malloc(room), .words = malloc((s.size + 1) * sizeof *t->words)};
    if (!t->letters || !t->words) return false;
    for (size_t at = 0; at <= s.size;) {
        char c = ' ';
        size_t n = at < s.size ? lower_letter(s.text + at, s.size - at, &c) : 1;
        bool dotted = n == 2 && c == 'i';
        if (c != ' ') t->letters[used++] = c;
        if ((c == ' ' || dotted) && used > start) {
            if (used - start > 3) used = start + fv_porter_stem(t->letters + start, used - start, room - start);
            t->words[t->count++] = (fv_span){t->letters + start, used - start};
            start = used;
        }
        at += n;
    }
    return true;
}

static int compare(const void *a, const void *b) {
    const fv_span *x = a, *y = b; /* [2] */
    for (int k = 0; k < 2; k++) {
        size_t n = x[k].size < y[k].size ? x[k].size : y[k].size;
        int c = n ? memcmp(x[k].text, y[k].text, n) : 0;
        if (!c && x[k].size != y[k].size) c = x[k].size < y[k].size ? -1 : 1;
        if (c) return c;
    }
    return 0;
}

/* All n-grams (n 1 or 2) as pairs, sorted. The caller's to free. */
static fv_span *sorted_grams(const tokens *t, int n, size_t *count) {
    *count = t->count >= (size_t)n ? t->count - (size_t)n + 1 : 0;
    fv_span *grams = malloc((2 * *count + 1) * sizeof *grams);
    for (size_t i = 0; i < *count && grams; i++) {
        grams[2 * i] = t->words[i];
        grams[2 * i + 1] = n == 2 ? t->words[i + 1] : (fv_span){0};
    }
    if (grams) qsort(grams, *count, 2 * sizeof *grams, compare);
    return grams;
}

static double f_measure(double shared, size_t n, size_t m) {
    double precision = shared / (double)(n ? n : 1), recall = shared / (double)(m ? m : 1);
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

static bool score_grams(double *out, const tokens *a, const tokens *b, int n) {
    size_t na, nb, shared = 0;
    fv_span *x = sorted_grams(a, n, &na), *y = sorted_grams(b, n, &nb);
    for (size_t i = 0, j = 0; x && y && i < na && j < nb;) {
        int c = compare(x + 2 * i, y + 2 * j);
        shared += c == 0;
        i += c <= 0;
        j += c >= 0;
    }
    bool good = x && y;
    free(x);
    free(y);
    *out = f_measure((double)shared, na, nb);
    return good;
}

static bool score_longest(double *out, const tokens *a, const tokens *b) {
    size_t *row = calloc(b->count + 1, sizeof *row);
    if (!row) return false;
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0, corner = 0; j < b->count; j++) {
            size_t above = row[j + 1];
            if (fv_span_same(a->words[i], b->words[j])) row[j + 1] = corner + 1;
            else if (row[j] > above) row[j + 1] = row[j];
            corner = above;
        }
    *out = f_measure((double)row[b->count], a->count, b->count);
    free(row);
    return true;
}

bool fv_rouge_score(fv_rouge *out, fv_span a, fv_span b) {
    tokens x, y = {0};
    bool good = tokenize(&x, a) && tokenize(&y, b);
    good = good && score_grams(&out->one, &x, &y, 1) && score_grams(&out->two, &x, &y, 2) && score_longest(&out->longest, &x, &y);
    free(x.letters);
    free(x.words);
    free(y.letters);
    free(y.words);
    return good;
}
