/* A page of HTML: text is escaped on its way in, style and script are part of the file. */
#ifndef FV_RL_REPORT_HTML_H
#define FV_RL_REPORT_HTML_H

#include "core/text.h"

/* Text between tags or inside a double-quoted attribute: & < > " ' become entities, bytes that are no UTF-8 and characters that HTML forbids U+FFFD. */
void fv_html_escape(fv_text *out, const char *bytes, size_t size);
void fv_html_text(fv_text *out, const char *string);
void fv_html_base64(fv_text *out, const uint8_t *bytes, size_t size); /* RFC 4648, with padding */

/* An entry of a list <dl class="facts">: all at once (nothing where value is NULL or ""), or from here to there. */
void fv_html_fact(fv_text *out, const char *name, const char *value);
void fv_html_fact_begin(fv_text *out, const char *name);
void fv_html_fact_end(fv_text *out);

/* From the doctype to <main>, with the style of light and dark; and from there to the end, with the script that makes curves tell their values. */
void fv_html_begin(fv_text *out, const char *title);
void fv_html_end(fv_text *out);

#endif
