#include "language/unicode.h"

#include "core/error.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- UTF-8 -------------------------------------------------------------------------------------------------------- */

/* How many bytes of a broken character belong together: the "maximal subpart" of The Unicode Standard, 3.9, table 3-8. *need: what it would have whole. */
static size_t broken_length(const uint8_t *s, size_t size, size_t *need) {
    uint8_t low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80, high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    *need = s[0] < 0xc2 || s[0] > 0xf4 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    size_t n = 1;
    for (; n < *need && n < size && s[n] >= low && s[n] <= high; n++) low = 0x80, high = 0xbf;
    return n;
}

size_t fv_utf8_valid(const char *s, size_t size) {
    size_t at = 0;
    for (int n; at < size && (n = (uint8_t)s[at] < 0x80 ? 1 : fv_utf8_length(s + at, size - at)) > 0;) at += (size_t)n;
    return at;
}

size_t fv_utf8_whole(const char *s, size_t size) {
    for (size_t tail = 1, need; tail < 4 && tail <= size; tail++)
        if (broken_length((const uint8_t *)s + size - tail, tail, &need) == tail && need > tail) return size - tail;
    return size;
}

int fv_utf8_repair(fv_text *out, const char *s, size_t size) {
    int replaced = 0;
    for (size_t need;;) {
        size_t n = fv_utf8_valid(s, size);
        fv_text_bytes(out, s, n);
        s += n, size -= n;
        if (size == 0) return replaced;
        n = broken_length((const uint8_t *)s, size, &need);
        fv_text_add(out, "\xef\xbf\xbd");
        s += n, size -= n;
        replaced++;
    }
}

/* ---- categories --------------------------------------------------------------------------------------------------- */

const char *fv_unicode_added(char category) {
    switch (category) {
    case 'L':
        return "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}"
               "\\x{1123f}-\\x{11240}\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}\\x{113d3}\\x{11bc0}-\\x{11be0}"
               "\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"
               "\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}"
               "\\x{1e5f0}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}";
    case 'N':
        return "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}"
               "\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}";
    case 'M':
        return "\\x{897}\\x{cf3}\\x{ece}\\x{10d69}-\\x{10d6d}\\x{10efc}-\\x{10eff}\\x{11241}\\x{113b8}-\\x{113c0}\\x{113c2}\\x{113c5}\\x{113c7}-\\x{113ca}"
               "\\x{113cc}-\\x{113d0}\\x{113d2}\\x{113e1}-\\x{113e2}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}\\x{11f3e}-\\x{11f42}\\x{11f5a}"
               "\\x{13440}\\x{13447}-\\x{13455}\\x{1611e}-\\x{1612f}\\x{1e08f}\\x{1e4ec}-\\x{1e4ef}\\x{1e5ee}-\\x{1e5ef}";
    default: return NULL;
    }
}

/* Characters that nothing is ordered or composed with: marks with a combining class, and second halves of compositions, that came after Unicode 9 and are
 * no such thing to `tokenizers`; and U+11A7, one before the first Hangul final, which utf8proc 2.8 composes with a syllable. */
static const struct {
    int32_t first, last;
} inert[] = {
    {0x7fd, 0x7fd},     {0x897, 0x89f},     {0x8ca, 0x8d3},     {0x9fe, 0x9fe},     {0xc3c, 0xc3c},     {0xd3b, 0xd3c},     {0xeba, 0xeba},
    {0xece, 0xece},     {0x11a7, 0x11a7},   {0x1715, 0x1715},   {0x1abf, 0x1ace},   {0x1df6, 0x1dfa},   {0xa82c, 0xa82c},   {0x10d24, 0x10d27},
    {0x10d69, 0x10d6d}, {0x10eab, 0x10eac}, {0x10efc, 0x10eff}, {0x10f46, 0x10f50}, {0x10f82, 0x10f85}, {0x11070, 0x11070}, {0x1133b, 0x1133b},
    {0x113b8, 0x113e2}, {0x1145e, 0x1145e}, {0x11839, 0x1183a}, {0x11930, 0x11930}, {0x1193d, 0x1193e}, {0x11943, 0x11943}, {0x119e0, 0x119e0},
    {0x11a34, 0x11a34}, {0x11a47, 0x11a47}, {0x11a99, 0x11a99}, {0x11d42, 0x11d45}, {0x11d97, 0x11d97}, {0x11f41, 0x11f42}, {0x1611e, 0x1612f},
    {0x16d63, 0x16d6a}, {0x16ff0, 0x16ff1}, {0x1e08f, 0x1e08f}, {0x1e130, 0x1e136}, {0x1e2ae, 0x1e2ae}, {0x1e2ec, 0x1e2ef}, {0x1e4ec, 0x1e4ef},
    {0x1e5ee, 0x1e5ef},
};

static bool is_inert(int32_t c) {
    for (size_t i = 0; i < FV_COUNT(inert) && c >= inert[i].first; i++)
        if (c <= inert[i].last) return true;
    return false;
}

/* ---- normal form C ------------------------------------------------------------------------------------------------ */

/* Characters on their way: decomposed, then ordered, then composed. */
typedef struct {
    utf8proc_int32_t *c, *spare; /* [room] each */
    size_t count, room;
    fv_text *out;
} points;

static const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
enum { MOST_PARTS = 4 }; /* a character has at most four canonical parts (U+1F82 and its like) */

static bool make_room(points *p) {
    if (p->count + MOST_PARTS <= p->room) return true;
    size_t room = p->room ? 2 * p->room : 256;
    utf8proc_int32_t *c = realloc(p->c, room * sizeof *c), *spare = c ? realloc(p->spare, room * sizeof *spare) : NULL;
    if (c) p->c = c;
    if (spare) p->spare = spare, p->room = room;
    else p->out->failed = true;
    return spare != NULL;
}

static int class_of(utf8proc_int32_t c) {
    return utf8proc_get_property(c)->combining_class;
}

/* Sorts marks by class, equal ones as they came. utf8proc's own sort swaps neighbours: minutes for a megabyte of marks in bad order. */
static void order_run(utf8proc_int32_t *c, size_t n, utf8proc_int32_t *spare) {
    size_t at[257] = {0};
    for (size_t i = 0; i < n; i++) at[class_of(c[i]) + 1]++;
    for (int k = 0; k < 256; k++) at[k + 1] += at[k];
    for (size_t i = 0; i < n; i++) spare[at[class_of(c[i])]++] = c[i];
    memcpy(c, spare, n * sizeof *c);
}

static void order_marks(points *p) {
    for (size_t i = 0, end; i < p->count; i = end) {
        bool sorted = true;
        for (end = i + 1; class_of(p->c[i]) && end < p->count && class_of(p->c[end]); end++) sorted = sorted && class_of(p->c[end - 1]) <= class_of(p->c[end]);
        if (!sorted) order_run(p->c + i, end - i, p->spare);
    }
}

static void flush(points *p) {
    if (p->count == 0) return;
    order_marks(p);
    utf8proc_ssize_t n = utf8proc_normalize_utf32(p->c, (utf8proc_ssize_t)p->count, how);
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        utf8proc_uint8_t bytes[4];
        fv_text_bytes(p->out, (const char *)bytes, (size_t)utf8proc_encode_char(p->c[i], bytes));
    }
    p->count = 0;
}

/* ASCII composes with what follows only. Returns how many bytes were copied as they are: all of a run but the last. */
static size_t copy_ascii(points *p, const char *s, size_t size) {
    size_t n = 0;
    while (n < size && (uint8_t)s[n] < 0x80) n++;
    if (n < 2) return 0;
    flush(p);
    fv_text_bytes(p->out, s, n - 1);
    return n - 1;
}

void fv_nfc(fv_text *out, const char *s, size_t size) {
    points p = {.out = out};
    for (size_t i = 0; i < size;) {
        i += copy_ascii(&p, s + i, size - i);
        utf8proc_int32_t c;
        int boundary = 0;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(size - i), &c);
        if (n < 1 || !make_room(&p)) break; /* n is 1 at least: the text is valid */
        if (is_inert(c)) {
            flush(&p);
            fv_text_bytes(out, s + i, (size_t)n);
        } else {
            p.count += (size_t)utf8proc_decompose_char(c, p.c + p.count, MOST_PARTS, how, &boundary);
        }
        i += (size_t)n;
    }
    flush(&p);
    free(p.c);
    free(p.spare);
}
