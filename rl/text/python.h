/* Text by the rules of Python's str, which published rewards are written in: white space and digits are Unicode's, lengths are characters. All
 * texts are UTF-8 spans that somebody else owns. */
#ifndef FV_RL_TEXT_PYTHON_H
#define FV_RL_TEXT_PYTHON_H

#include "tools/calls.h"

fv_span fv_span_of(const char *text);                            /* NULL: an empty span without text */
bool fv_span_same(fv_span a, fv_span b);
bool fv_span_starts(fv_span s, const char *word);
fv_span fv_span_from(fv_span s, size_t n); /* without its first n bytes */

size_t fv_py_space(const char *s, size_t size);                  /* bytes of the white-space character (str.isspace) at s; 0: there is none */
bool fv_py_alpha(const char *s, size_t size);                     /* whether a letter of any script (str.isalpha) stands at s */
size_t fv_py_digit(const char *s, size_t size, int *value);      /* bytes of the decimal digit of any script at s; 0: none */
fv_span fv_py_strip(fv_span s);                                  /* s.strip() */
fv_span fv_py_strip_of(fv_span s, const char *marks);            /* s.strip(marks), ASCII marks */
bool fv_py_word(fv_span *rest, fv_span *word);                   /* the words of s.split(), one by one; *rest moves behind */
size_t fv_py_length(fv_span s);                                  /* len(s) */

const char *fv_py_find(fv_span s, const char *word);             /* first place, or NULL */
const char *fv_py_find_last(fv_span s, const char *word);        /* last place, or NULL */
int fv_py_count(fv_span s, const char *word);                    /* s.count(word) */
fv_span fv_py_after_last(fv_span s, const char *mark);           /* s.split(mark)[-1] */
fv_span fv_py_before(fv_span s, const char *mark);               /* s.split(mark)[0] */
bool fv_py_pair(fv_span *inside, fv_span s, const char *open, const char *close); /* re.search(open(.*?)close, DOTALL) */
bool fv_py_item(fv_span *rest, fv_span *item, char mark);        /* the items of s.split(mark), one by one ("" has one, an empty one); rest->text NULL: that was the last */

bool fv_py_float(fv_span s, double *out);                        /* float(s): blanks around, digits of any script, 1_000, 1e5, inf, nan */

#endif
