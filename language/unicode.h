/* UTF-8, and Unicode as the `tokenizers` library knows it, whatever version PCRE2 and utf8proc know: letters, numbers and marks are those of Unicode 16,
 * the normal form is that of Unicode 9. The tables were measured: tests/peers/tokenizer.py compares every character. */
#ifndef FV_LANGUAGE_UNICODE_H
#define FV_LANGUAGE_UNICODE_H

#include "core/text.h"

size_t fv_utf8_valid(const char *s, size_t size); /* leading bytes that are valid UTF-8 */
size_t fv_utf8_whole(const char *s, size_t size); /* all bytes, but for a character at the end that has only begun */
/* Appends s with U+FFFD for what is no UTF-8, as Python and Rust replace it; returns how many times. */
int fv_utf8_repair(fv_text *out, const char *s, size_t size);

/* Appends s (valid UTF-8) in normal form C (UAX 15). Linear in `size`, whatever the text. */
void fv_nfc(fv_text *out, const char *s, size_t size);

/* What Unicode 15 and 16 added to the general category 'L', 'N' or 'M', as the inside of a PCRE2 class ("\x{1c89}-\x{1c8a}..."); NULL for others. PCRE2 10.42
 * knows Unicode 14; where it knows more, the ranges say the same twice. */
const char *fv_unicode_added(char category);

#endif
