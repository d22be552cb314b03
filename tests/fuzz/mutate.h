/* Mutations of files, the same ones each time: bits and bytes, runs of other files, and what breaks readers of text (pieces twice or gone, numbers
 * that are too large, brackets that are not closed). */
#ifndef FV_TESTS_FUZZ_MUTATE_H
#define FV_TESTS_FUZZ_MUTATE_H

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *data;
    size_t size;
} fuzz_seed;

enum { FUZZ_GROWTH = 64, FUZZ_MOST_CHANGES = 6 }; /* bytes that one change adds at most; changes of one file */

static inline uint32_t fuzz_next(uint64_t *state) { /* Knuth's MMIX multiplier; the upper half is good enough for choosing bytes */
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Replaces p[at .. at + gone) by `n` bytes; there is room. */
static inline void fuzz_splice(uint8_t *p, size_t *size, size_t at, size_t gone, const void *bytes, size_t n) {
    memmove(p + at + n, p + at + gone, *size - at - gone);
    memcpy(p + at, bytes, n);
    *size = *size - gone + n;
}

/* The number at or after `at`, if there is one, becomes an extreme one; else a word that readers of JSON and YAML stumble over is put in. */
static inline void fuzz_word(uint8_t *p, size_t *size, size_t at, uint64_t *state) {
    static const char *const words[] = {"0", "-1", "1e999", "18446744073709551616", "9223372036854775807", "2147483648", "0.5", "NaN", "null", "true", "\"\"", "[]", "{}", "{", "]",
                                        "\"", "\\", "\\ud800", "\xff", "\xf0\x9f\x94\x8d", ",", ":", "\n", "- ", "&a", "*a", "!!str ", "<tool_call>", "</answer>", "<image>"};
    const char *word = words[fuzz_next(state) % (sizeof words / sizeof *words)];
    size_t digits = 0;
    if (fuzz_next(state) % 2)
        for (size_t look = at; look < *size && look < at + 40 && !digits; look++)
            while (look + digits < *size && isdigit(p[look + digits])) at = look, digits++;
    fuzz_splice(p, size, at, digits, word, strlen(word));
}

static inline void fuzz_change(uint8_t *p, size_t *size, const fuzz_seed *other, uint64_t *state) {
    size_t at = fuzz_next(state) % *size, run = 1 + fuzz_next(state) % FUZZ_GROWTH;
    uint8_t copy[FUZZ_GROWTH];
    size_t source = fuzz_next(state) % other->size, have = other->size - source < run ? other->size - source : run;
    switch (fuzz_next(state) % 8) {
    case 0: p[at] ^= (uint8_t)(1u << fuzz_next(state) % 8); break;
    case 1: p[at] = (uint8_t)fuzz_next(state); break;
    case 2: p[at] = fuzz_next(state) % 2 ? 0xff : 0; break;
    case 3: /* a run of another file over what is there */
        if (have > *size - at) have = *size - at;
        memcpy(p + at, other->data + source, have);
        break;
    case 4: fuzz_splice(p, size, at, 0, other->data + source, have); break;
    case 5: /* a piece is gone */
        if (run < *size - at) fuzz_splice(p, size, at, run, "", 0);
        break;
    case 6: /* a piece is there twice */
        if (run > *size - at) run = *size - at;
        memcpy(copy, p + at, run);
        fuzz_splice(p, size, at, 0, copy, run);
        break;
    default: fuzz_word(p, size, at, state);
    }
}

/* The first token (a word or a number) at or after `at`; 0 if there is none near by. */
static inline size_t fuzz_token(const uint8_t *p, size_t size, size_t *at) {
    size_t end = *at + FUZZ_GROWTH < size ? *at + FUZZ_GROWTH : size, n = 0;
    while (*at < end && !isalnum(p[*at]) && p[*at] != '-') ++*at;
    while (*at + n < end && (isalnum(p[*at + n]) || strchr("_-.+", p[*at + n]))) n++;
    return n;
}

/* A token becomes another of its kind, so that the file stays one of its format and its reader gets to look at the values. */
static inline void fuzz_exchange(uint8_t *p, size_t *size, const fuzz_seed *other, uint64_t *state) {
    static const char *const numbers[] = {"0", "1", "2", "3", "-1", "0.5", "7", "1e9", "1e308", "2147483648", "9223372036854775807", "18446744073709551616", "1e-320", "64"};
    size_t at = fuzz_next(state) % *size, source = fuzz_next(state) % other->size;
    size_t n = fuzz_token(p, *size, &at), m = fuzz_token((const uint8_t *)other->data, other->size, &source);
    if (n == 0) return;
    bool number = isdigit(p[at]) || (p[at] == '-' && n > 1);
    const char *word = number ? numbers[fuzz_next(state) % (sizeof numbers / sizeof *numbers)] : other->data + source;
    if (number) m = strlen(word);
    else if (isdigit((unsigned char)word[0])) return;
    fuzz_splice(p, size, at, n, word, m);
}

/* A changed copy of `from`, malloc'ed, of exactly *size bytes, so that a read past its end is seen. Half of them are changed gently. NULL when out of
 * memory. */
static inline uint8_t *fuzz_mutate(const fuzz_seed *from, const fuzz_seed *other, size_t *size, uint64_t *state) {
    uint8_t *p = malloc(from->size + FUZZ_MOST_CHANGES * FUZZ_GROWTH);
    if (!p) return NULL;
    bool gentle = fuzz_next(state) % 2;
    *size = gentle || fuzz_next(state) % 8 ? from->size : 1 + fuzz_next(state) % from->size;
    memcpy(p, from->data, *size);
    for (uint32_t k = 1 + fuzz_next(state) % (gentle ? 2 : FUZZ_MOST_CHANGES); k > 0; k--)
        gentle ? fuzz_exchange(p, size, other, state) : fuzz_change(p, size, other, state);
    uint8_t *exact = malloc(*size);
    if (exact) memcpy(exact, p, *size);
    free(p);
    return exact;
}

#endif
