/* How long a file says that it is. FFmpeg reads a file that was cut between two frames as a shorter one; its outermost elements tell. */
#include "vision/video_parts.h"

#include <string.h>

typedef struct {
    const uint8_t *data;
    uint64_t size;
} bytes;

static uint64_t big_endian(const uint8_t *p, int n) {
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v = v << 8 | p[i];
    return v;
}

/* ISO 14496-12, 4.2: boxes of a 32-bit size and a type; size 1: 64 bits follow; 0: up to the end. Behind what is no box of a file, nothing is said. */
static uint64_t mov_extent(bytes b) {
    static const char known[] = "ftyp moov mdat moof free skip wide uuid mfra sidx styp pdin meta udta emsg prft ";
    uint64_t at = 0;
    while (b.size >= 8 && at <= b.size - 8) {
        const uint8_t *p = b.data + at;
        char type[6] = {(char)p[4], (char)p[5], (char)p[6], (char)p[7], ' ', '\0'};
        const char *found = strlen(type) == 5 ? strstr(known, type) : NULL;
        uint64_t size = big_endian(p, 4), least = 8;
        if (!found || (found - known) % 5 != 0) break;
        if (size == 1) {
            least = 16;
            if (b.size - at < least) return at + least;
            size = big_endian(p + 8, 8);
        }
        if (size < least || size > UINT64_MAX - at) break;
        at += size;
    }
    return at;
}

/* RFC 8794, 4: a number whose first byte tells its length. false: it runs over the end, or its size is unknown (all ones, of live streams). */
static bool ebml_size(bytes b, uint64_t *at, uint64_t *out) {
    if (*at >= b.size || b.data[*at] == 0) return false;
    int length = __builtin_clz(b.data[*at]) - 23;
    if (b.size - *at < (uint64_t)length) return false;
    uint64_t mask = (UINT64_C(1) << 7 * length) - 1;
    *out = big_endian(b.data + *at, length) & mask;
    *at += (uint64_t)length;
    return *out != mask;
}

/* Matroska and WebM: an EBML header, then the segment. */
static uint64_t matroska_extent(bytes b) {
    uint64_t at = 4, size;
    if (!ebml_size(b, &at, &size) || size > b.size - at) return b.size + 1;
    at += size;
    if (b.size - at < 5) return at + 5;
    if (big_endian(b.data + at, 4) != 0x18538067) return 0;
    at += 4;
    return ebml_size(b, &at, &size) ? at + size : 0;
}

/* "RIFF", the size of what follows. Files above 1 GiB go on in further chunks; the first one's is a lower bound. */
static uint64_t avi_extent(bytes b) {
    const uint8_t *p = b.data + 4;
    return 8 + (uint64_t)p[0] + ((uint64_t)p[1] << 8) + ((uint64_t)p[2] << 16) + ((uint64_t)p[3] << 24);
}

/* Past a chain of sub-blocks, each with its length before it; the last one is empty. */
static uint64_t gif_chain(bytes b, uint64_t at) {
    while (at < b.size && b.data[at] != 0) at += (uint64_t)b.data[at] + 1;
    return at + 1;
}

static uint64_t gif_colors(uint8_t flags) { return flags & 0x80 ? UINT64_C(3) << ((flags & 7) + 1) : 0; }

/* GIF89a, 17 to 27: blocks up to the trailer. */
static uint64_t gif_extent(bytes b) {
    uint64_t at = b.size < 13 ? b.size : 13 + gif_colors(b.data[10]);
    while (at < b.size && b.data[at] != 0x3b) {
        if (b.data[at] == 0x21) at = gif_chain(b, at + 2);
        else if (b.data[at] == 0x2c) at = b.size - at < 10 ? b.size : gif_chain(b, at + 11 + gif_colors(b.data[at + 9]));
        else return 0;
    }
    return at + 1;
}

uint64_t fv_video_extent(const void *data, size_t size) {
    bytes b = {data, size};
    if (size < 12) return 0;
    if (memcmp(b.data, "\x1a\x45\xdf\xa3", 4) == 0) return matroska_extent(b);
    if (memcmp(b.data, "RIFF", 4) == 0 && memcmp(b.data + 8, "AVI ", 4) == 0) return avi_extent(b);
    if (memcmp(b.data, "GIF8", 4) == 0) return gif_extent(b);
    return mov_extent(b);
}
