#include "rl/report/html.h"

#include <string.h>

void fv_html_escape(fv_text *out, const char *bytes, size_t size) {
    for (size_t i = 0; i < size;) {
        unsigned char c = (unsigned char)bytes[i];
        int n = fv_utf8_length(bytes + i, size - i);
        const char *entity = c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : c == '\'' ? "&#39;" : NULL;
        if (entity) fv_text_add(out, entity);
        else if (!n || c == 0x7f || (c < 0x20 && c != '\n' && c != '\t')) fv_text_add(out, "\xEF\xBF\xBD");
        else fv_text_bytes(out, bytes + i, (size_t)n);
        i += n ? (size_t)n : 1;
    }
}

void fv_html_text(fv_text *out, const char *string) { fv_html_escape(out, string, strlen(string)); }

void fv_html_begin(fv_text *out, const char *title) {
    fv_text_add(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    fv_html_text(out, title);
    fv_text_add(out, "</title>\n</head>\n<body>\n");
}

void fv_html_end(fv_text *out) { fv_text_add(out, "</body>\n</html>\n"); }
