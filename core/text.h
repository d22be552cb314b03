/* A growing text. Appending never fails on the spot: when memory runs out the text is marked `failed`, keeps what it had,
 * and whoever writes it out (core/file.h, core/json.h) reports FV_NO_MEMORY. So callers append freely and check once. */
#ifndef FV_CORE_TEXT_H
#define FV_CORE_TEXT_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start from {0}; give back with fv_text_clear. data is NULL while nothing was appended, else NUL-terminated. */
typedef struct {
    char *data;
    size_t size, capacity;
    bool failed;
} fv_text;

void fv_text_clear(fv_text *t);  /* frees; *t is {0} again */
void fv_text_rewind(fv_text *t); /* empties, but keeps the memory; forgets `failed` */

void fv_text_bytes(fv_text *t, const char *bytes, size_t size);
void fv_text_add(fv_text *t, const char *string); /* NUL-terminated */
void fv_text_char(fv_text *t, char c);
void fv_text_printf(fv_text *t, const char *format, ...) FV_PRINTF(2, 3);

/* A JSON string with its quotes, as Python's json.dumps(ensure_ascii=False): \" \\ \n \r \t \b \f, other characters under
 * 0x20 as \u00xx, everything else as it is. A byte that is not valid UTF-8 becomes U+FFFD, so that the result is always JSON. */
void fv_text_json(fv_text *t, const char *bytes, size_t size);

/* The shortest decimal number that reads back to the same bits, laid out as Python's repr: 0.1, 1.0, -0.0, 1e-05, 1e+22,
 * 123456.789. f32 reads back both directly and by way of a double. NaN and infinities become null (JSON has neither). */
void fv_text_f64(fv_text *t, double x);
void fv_text_f32(fv_text *t, float x);

void fv_text_i64(fv_text *t, int64_t x);

/* Hands over the text (malloc'ed, NUL-terminated, never NULL on FV_OK) and leaves *t empty. */
fv_status fv_text_take(fv_text *t, char **out, size_t *size, fv_error *err);

/* The number of bytes (1..4) of the valid UTF-8 character at s (RFC 3629: no overlong forms, no surrogates), or 0. */
int fv_utf8_length(const char *s, size_t size);

/* "Did you mean": the candidate nearest to `word` (insertions, deletions, replacements and swaps of neighbours count one
 * each; case counts nothing), or NULL when none is within a third of the longer word. The first of equals. */
const char *fv_suggest(const char *word, const char *const *candidates, size_t count);

#endif
