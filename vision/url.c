#include "vision/url.h"

#include "core/file.h"
#include "vision/image.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int base64_digit(unsigned char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* RFC 4648, 4. White space may stand anywhere; the padding may be missing, but is right if it is there. `out` has room for
 * 3 bytes for every 4 of text. */
static fv_status base64_decode(uint8_t *out, size_t *size, const char *text, fv_error *err) {
    uint32_t bits = 0;
    size_t digits = 0, padding = 0, n = 0;
    for (const char *s = text; *s; s++) {
        if (is_space(*s)) continue;
        if (*s == '=') {
            padding++;
            continue;
        }
        int d = base64_digit((unsigned char)*s);
        if (d < 0) return fv_fail(err, FV_BAD_DATA, "data: URL: byte 0x%02x at position %zu is not base64", (unsigned char)*s, (size_t)(s - text));
        if (padding) return fv_fail(err, FV_BAD_DATA, "data: URL: base64 goes on after its padding, at position %zu", (size_t)(s - text));
        bits = bits << 6 | (uint32_t)d;
        if (++digits % 4 != 0) continue;
        for (int i = 2; i >= 0; i--) out[n++] = (uint8_t)(bits >> 8 * i);
    }
    size_t rest = digits % 4;
    if (rest == 1 || (padding && (rest + padding) % 4 != 0) || padding > 2)
        return fv_fail(err, FV_BAD_DATA, "data: URL: base64 is cut short (%zu digits, %zu of padding)", digits, padding);
    if (rest >= 2) out[n++] = (uint8_t)(bits >> (rest == 2 ? 4 : 10));
    if (rest == 3) out[n++] = (uint8_t)(bits >> 2);
    *size = n;
    return FV_OK;
}

bool fv_url_is_data(const char *url) { return strncasecmp(url, "data:", 5) == 0; }

/* RFC 2397: "data:image/png;base64,...", and as Qwen's own library has it "data:image;base64,...". */
fv_status fv_url_data(uint8_t **out, size_t *size, const char *url, const char *kind, fv_error *err) {
    const char *comma = strchr(url, ',');
    size_t n = strlen(kind);
    *out = NULL;
    if (!fv_url_is_data(url) || strncasecmp(url + 5, kind, n) != 0 || !strchr("/;", url[5 + n]) || !comma)
        return fv_fail(err, FV_BAD_DATA, "data: URL: must start with \"data:%s/...;base64,\", got \"%.32s\"", kind, url);
    if (comma - url < (ptrdiff_t)(5 + n + 7) || strncasecmp(comma - 7, ";base64", 7) != 0)
        return fv_fail(err, FV_BAD_DATA, "data: URL: only base64 can be read, got \"%.*s\"", (int)(comma - url < 64 ? comma - url : 64), url);
    uint8_t *bytes = malloc(strlen(comma) / 4 * 3 + 3);
    if (!bytes) return fv_fail(err, FV_NO_MEMORY, "data: URL: no memory");
    fv_status status = base64_decode(bytes, size, comma + 1, err);
    if (status == FV_OK) *out = bytes;
    else free(bytes);
    return status;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Resolves %xx in place. */
static fv_status unescape(char *path, const char *url, fv_error *err) {
    char *to = path;
    for (const char *s = path; *s; s++) {
        if (*s != '%') {
            *to++ = *s;
            continue;
        }
        int high = hex_digit(s[1]), low = high < 0 ? -1 : hex_digit(s[2]);
        if (low < 0 || high + low == 0)
            return fv_fail(err, FV_BAD_DATA, "%s: %% must be followed by two hexadecimal digits, not 00, got \"%.3s\"", url, s);
        *to++ = (char)(high * 16 + low);
        s += 2;
    }
    *to = '\0';
    return FV_OK;
}

/* RFC 8089; what follows "file://" may also be a relative path, as qwen-vl-utils takes it. */
static fv_status file_path(char **out, const char *url, fv_error *err) {
    const char *rest = url + 7;
    if (strncasecmp(rest, "localhost/", 10) == 0) rest += 9;
    char *path = strdup(rest);
    if (!path) return fv_fail(err, FV_NO_MEMORY, "%s: no memory", url);
    fv_status status = unescape(path, url, err);
    if (status == FV_OK) *out = path;
    else free(path);
    return status;
}

fv_status fv_url_path(char **out, const char *folder, const char *url, const char *kinds, fv_error *err) {
    *out = NULL;
    char *own = NULL;
    if (!*url) return fv_fail(err, FV_BAD_DATA, "the path of one of the %s is empty", kinds);
    if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0)
        return fv_fail(err, FV_UNSUPPORTED, "%.200s: %s are not fetched from the network; download it and give its path", url, kinds);
    if (strncasecmp(url, "file://", 7) == 0) FV_TRY(file_path(&own, url, err));
    *out = fv_path_join(folder ? folder : "", own ? own : url);
    free(own);
    return *out ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: no memory", url);
}

fv_status fv_image_load_url(fv_image **out, const char *folder, const char *url, fv_error *err) {
    *out = NULL;
    if (fv_url_is_data(url)) {
        uint8_t *bytes;
        size_t size;
        FV_TRY(fv_url_data(&bytes, &size, url, "image", err));
        fv_status status = fv_image_decode(out, bytes, size, "data: URL", err);
        free(bytes);
        return status;
    }
    char *path;
    FV_TRY(fv_url_path(&path, folder, url, "pictures", err));
    fv_status status = fv_image_load(out, path, err);
    free(path);
    if (status == FV_IO && strlen(url) > 255) /* the name itself would leave no room for what is wrong with it */
        return fv_fail(err, FV_IO, "%.60s...: there is no picture whose path is these %zu characters; a picture in the text begins with \"data:image/png;base64,\"", url, strlen(url));
    return status;
}
