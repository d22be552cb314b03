/* A page of HTML: text is escaped on its way in, pictures become data URLs, style and script are part of the file. */
#ifndef FV_RL_REPORT_HTML_H
#define FV_RL_REPORT_HTML_H

#include "core/text.h"

/* Text between tags or inside a double-quoted attribute: & < > " ' become entities, bytes that are no UTF-8 and characters that HTML forbids U+FFFD. */
void fv_html_escape(fv_text *out, const char *bytes, size_t size);
void fv_html_text(fv_text *out, const char *string);

/* From the doctype to <body>, with the style of light and dark, and the script at the end that makes curves tell their values. */
void fv_html_begin(fv_text *out, const char *title);
void fv_html_end(fv_text *out);

#endif
