/* Edits of a growing text, as Python's str methods make them. Running out of memory marks the text `failed` (core/text.h). */
#ifndef FV_RL_TEXT_EDIT_H
#define FV_RL_TEXT_EDIT_H

#include "core/text.h"
#include "tools/calls.h"

fv_span fv_edit_span(const fv_text *t);                                   /* the text as it is; never NULL */
void fv_edit_set(fv_text *t, fv_span s);                                  /* s may lie within t */
void fv_edit_swap(fv_text *t, fv_text *with);                             /* t becomes `with`, which becomes {0}; what t had is freed */
void fv_edit_replace(fv_text *t, const char *old, const char *with);      /* t.replace(old, with) */
void fv_edit_lower(fv_text *t);                                           /* t.lower(), letter by letter: all but \u0130 and a word's last sigma are Python's */
bool fv_edit_number(fv_span s, double *out);                             /* float(s.replace(",", "")) */
bool fv_edit_is(const fv_text *t, const char *word);
bool fv_edit_same(const fv_text *a, const fv_text *b);

/* The inside of \text{...} where that is all there is (no line break in it), else s. Both of mathruler's normalisers begin with it. */
fv_span fv_edit_untext(fv_span s);

#endif
