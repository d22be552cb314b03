/* Style and script are files of their own (page.css, page.js), taken into the program by the assembler; CMake gives their folder as FV_REPORT_PAGE. */
#include "rl/report/html.h"

#include <string.h>

#define TAKE(symbol, file)                                                                                                                  \
    extern const char fv_report_##symbol[], fv_report_##symbol##_end[];                                                                     \
    __asm__(".pushsection .rodata\n.global fv_report_" #symbol ", fv_report_" #symbol "_end\nfv_report_" #symbol ":\n"                      \
            ".incbin \"" FV_REPORT_PAGE "/" file "\"\nfv_report_" #symbol "_end:\n.popsection\n")
TAKE(css, "page.css");
TAKE(js, "page.js");

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

void fv_html_base64(fv_text *out, const uint8_t *bytes, size_t size) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        size_t n = size - i < 3 ? size - i : 3;
        uint32_t v = (uint32_t)bytes[i] << 16 | (n > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (n > 2 ? (uint32_t)bytes[i + 2] : 0);
        char four[4] = {digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '='};
        fv_text_bytes(out, four, 4);
    }
}

void fv_html_fact_begin(fv_text *out, const char *name) { fv_text_printf(out, "<div><dt>%s</dt><dd>", name); }
void fv_html_fact_end(fv_text *out) { fv_text_add(out, "</dd></div>\n"); }

void fv_html_fact(fv_text *out, const char *name, const char *value) {
    if (!value || !value[0]) return;
    fv_html_fact_begin(out, name);
    fv_html_text(out, value);
    fv_html_fact_end(out);
}

void fv_html_begin(fv_text *out, const char *title) {
    fv_text_add(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
    fv_html_text(out, title);
    fv_text_add(out, "</title>\n<style>\n");
    fv_text_bytes(out, fv_report_css, (size_t)(fv_report_css_end - fv_report_css));
    fv_text_add(out, "</style>\n</head>\n<body>\n<main>\n");
}

void fv_html_end(fv_text *out) {
    fv_text_add(out, "</main>\n<script>\n");
    fv_text_bytes(out, fv_report_js, (size_t)(fv_report_js_end - fv_report_js));
    fv_text_add(out, "</script>\n</body>\n</html>\n");
}
