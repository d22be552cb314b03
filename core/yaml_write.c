#include "core/yaml.h"

#include <ctype.h>
#include <string.h>

/* The character of a valid UTF-8 sequence of n bytes. */
static uint32_t decode(const char *s, int n) {
    static const unsigned char mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)s[0] & mask[n];
    for (int i = 1; i < n; i++) c = c << 6 | ((unsigned char)s[i] & 0x3f);
    return c;
}

/* Characters that YAML's readers refuse, or take for something else, when they stand for themselves. */
static bool needs_escape(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static void write_quoted(fv_text *out, const char *text) {
    fv_text_char(out, '"');
    for (size_t left = strlen(text); left > 0;) {
        int n = fv_utf8_length(text, left);
        uint32_t c = n ? decode(text, n) : 0xfffd; /* not UTF-8: the replacement character */
        if (c == '"' || c == '\\') fv_text_printf(out, "\\%c", (char)c);
        else if (c == '\n') fv_text_add(out, "\\n");
        else if (c == '\t') fv_text_add(out, "\\t");
        else if (needs_escape(c)) fv_text_printf(out, "\\u%04x", (unsigned)c);
        else if (n) fv_text_bytes(out, text, (size_t)n);
        else fv_text_add(out, "\xef\xbf\xbd");
        if (n == 0) n = 1;
        text += n;
        left -= (size_t)n;
    }
    fv_text_char(out, '"');
}

static bool all_printable(const char *text, bool line_breaks) {
    for (size_t left = strlen(text); left > 0;) {
        int n = fv_utf8_length(text, left);
        if (n == 0 || (needs_escape(decode(text, n)) && !(line_breaks && *text == '\n'))) return false;
        text += n;
        left -= (size_t)n;
    }
    return true;
}

/* Whether a text can stand without quotes, in flow style as well: strictly on the safe side. */
static bool plain_enough(const char *text) {
    size_t n = strlen(text);
    if (n == 0 || strchr(" -?:,[]{}#&*!|>'\"%@`=<~.", text[0]) || text[n - 1] == ' ' || text[n - 1] == ':') return false;
    for (const char *colon = strchr(text, ':'); colon; colon = strchr(colon + 1, ':'))
        if (!isalnum((unsigned char)colon[1]) && colon[1] != '/') return false;
    return !strpbrk(text, ",[]{}?") && !strstr(text, " #") && all_printable(text, false);
}

/* Words and numbers that readers of YAML 1.1 take for something else: yes, off, 1_000, 12:30, 2026-11-24. */
static bool means_more_elsewhere(const char *text) {
    static const char *const words[] = {"y", "n", "yes", "no", "on", "off"};
    for (size_t i = 0; i < FV_COUNT(words); i++)
        if (strcasecmp(text, words[i]) == 0) return true;
    return strspn(text, "0123456789+-_:.xXoObBeE tTzZ") == strlen(text) && strpbrk(text, "0123456789");
}

static void write_scalar(fv_text *out, const fv_yaml *node) {
    const char *text;
    if (!fv_yaml_text(node, &text)) fv_text_add(out, node->text[0] ? node->text : "null");
    else if (!plain_enough(text) || means_more_elsewhere(text)) write_quoted(out, text);
    else {
        const fv_yaml bare = {.kind = FV_YAML_SCALAR, .text = node->text}; /* what it would be without its quotes */
        if (fv_yaml_text(&bare, &text)) fv_text_add(out, text);
        else write_quoted(out, text);
    }
}

static void write_key(fv_text *out, const char *key) {
    if (plain_enough(key)) fv_text_add(out, key);
    else write_quoted(out, key);
    fv_text_char(out, ':');
}

static void write_flow(fv_text *out, const fv_yaml *node) {
    if (node->kind == FV_YAML_SCALAR) {
        write_scalar(out, node);
        return;
    }
    bool mapping = node->kind == FV_YAML_MAPPING;
    fv_text_char(out, mapping ? '{' : '[');
    for (size_t i = 0; i < node->count; i++) {
        if (i) fv_text_add(out, ", ");
        if (mapping) {
            write_key(out, node->items[i]->key);
            fv_text_char(out, ' ');
        }
        write_flow(out, node->items[i]);
    }
    fv_text_char(out, mapping ? '}' : ']');
}

void fv_yaml_show(const fv_yaml *node, char *out, size_t size) {
    fv_text t = {0};
    if (node) write_flow(&t, node);
    const char *text = t.failed || !t.data ? "nothing" : t.data;
    size_t n = 0, length = strlen(text), room = size > 4 ? size - 4 : 0;
    if (length < size) {
        n = length;
        room = size;
    } else {
        while (n < room) { /* whole characters only */
            int step = fv_utf8_length(text + n, length - n);
            if (step < 1 || n + (size_t)step > room) break;
            n += (size_t)step;
        }
    }
    if (size > 0) {
        memcpy(out, text, n);
        memcpy(out + n, room < size && size > 4 ? "..." : "", room < size && size > 4 ? 4 : 1);
    }
    fv_text_clear(&t);
}

/* Texts of several lines are easier to read as a block, if nothing in them would come back differently. */
static bool block_text(const fv_yaml *node) {
    const char *text;
    if (!fv_yaml_text(node, &text) || !strchr(text, '\n') || text[0] == ' ' || text[0] == '\n') return false;
    size_t n = strlen(text);
    return !(n > 1 && text[n - 1] == '\n' && text[n - 2] == '\n') && !strstr(text, " \n") && all_printable(text, true);
}

/* On one line: scalars, what is empty, and lists of such. */
static bool fits_line(const fv_yaml *node) {
    if (node->kind == FV_YAML_SCALAR) return !block_text(node);
    bool fits = node->kind == FV_YAML_SEQUENCE || node->count == 0;
    for (size_t i = 0; fits && i < node->count; i++) fits = fits_line(node->items[i]);
    return fits;
}

static void spaces(fv_text *out, int n) {
    for (int i = 0; i < n; i++) fv_text_char(out, ' ');
}

static void write_block_text(fv_text *out, const char *text, int indent) {
    size_t n = strlen(text);
    fv_text_add(out, text[n - 1] == '\n' ? " |\n" : " |-\n");
    while (*text) {
        size_t line = strcspn(text, "\n");
        if (line) spaces(out, indent);
        fv_text_bytes(out, text, line);
        fv_text_char(out, '\n');
        text += line + (text[line] == '\n');
    }
}

static void write_items(fv_text *out, const fv_yaml *node, int indent, bool inline_first);

/* What follows "key:" or "-". */
static void write_value(fv_text *out, const fv_yaml *node, int indent) {
    if (fits_line(node)) {
        fv_text_char(out, ' ');
        write_flow(out, node);
        fv_text_char(out, '\n');
    } else if (node->kind == FV_YAML_SCALAR) {
        write_block_text(out, node->text, indent);
    } else {
        fv_text_char(out, '\n');
        write_items(out, node, indent, false);
    }
}

static void write_items(fv_text *out, const fv_yaml *node, int indent, bool inline_first) {
    for (size_t i = 0; i < node->count; i++) {
        const fv_yaml *item = node->items[i];
        if (i || !inline_first) spaces(out, indent);
        if (node->kind == FV_YAML_MAPPING) {
            write_key(out, item->key);
            write_value(out, item, indent + 2);
        } else if (item->kind == FV_YAML_MAPPING && item->count) { /* "- name: x", the other keys below it */
            fv_text_add(out, "- ");
            write_items(out, item, indent + 2, true);
        } else {
            fv_text_char(out, '-');
            write_value(out, item, indent + 2);
        }
    }
}

void fv_yaml_write(fv_text *out, const fv_yaml *root) {
    if (fits_line(root)) {
        write_flow(out, root);
        fv_text_char(out, '\n');
    } else if (root->kind == FV_YAML_SCALAR) {
        write_quoted(out, root->text);
        fv_text_char(out, '\n');
    } else {
        write_items(out, root, 0, false);
    }
}
