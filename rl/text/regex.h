/* Regular expressions, as published rewards use them: Python's re on str. Patterns are PCRE2's with Unicode classes, without options: write (?s) for DOTALL,
 * \A and \z around for fullmatch, and FV_RE_SPACE where Python says \s. */
#ifndef FV_RL_TEXT_REGEX_H
#define FV_RL_TEXT_REGEX_H

#include "tools/calls.h"

#define FV_RE_SPACE "[\\s\\x1c-\\x1f]" /* four control characters are white space to Python, and to PCRE2 they are not */

typedef struct fv_regex fv_regex;

/* Compiles; NULL if memory ran out. Patterns are the program's own, and a test compiles each. To be given to fv_regex_free. */
fv_regex *fv_regex_new(const char *pattern);
void fv_regex_free(fv_regex *r);

/* The first match at or after `from`. group[0] is all of it, group[k] what (...) number k took (text NULL: nothing); `count` of them. */
bool fv_regex_find(const fv_regex *r, fv_span text, size_t from, fv_span *group, int count);

/* For patterns that are used once: compiles, looks, forgets. */
bool fv_regex_in(const char *pattern, fv_span text, fv_span *group, int count);

#endif
