/* Pictures by name, as rows of data and chat requests give them: paths, file:// and data: URLs. */
#include "core/file.h"
#include "vision/image.h"

#include <stdbool.h>
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

/* RFC 2397: "data:image/png;base64,...". */
static fv_status load_data(fv_image **out, const char *url, fv_error *err) {
    const char *comma = strchr(url, ',');
    if (strncasecmp(url, "data:image/", 11) != 0 || !comma)
        return fv_fail(err, FV_BAD_DATA, "data: URL: must start with \"data:image/...;base64,\", got \"%.32s\"", url);
    if (comma - url < 18 || strncasecmp(comma - 7, ";base64", 7) != 0)
        return fv_fail(err, FV_BAD_DATA, "data: URL: only base64 can be read, got \"%.*s\"", (int)(comma - url < 64 ? comma - url : 64), url);
    uint8_t *bytes = malloc(strlen(comma) / 4 * 3 + 3);
    if (!bytes) return fv_fail(err, FV_NO_MEMORY, "data: URL: no memory");
    size_t size = 0;
    fv_status status = base64_decode(bytes, &size, comma + 1, err);
    if (status == FV_OK) status = fv_image_decode(out, bytes, size, "data: URL", err);
    free(bytes);
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

static fv_status load_path(fv_image **out, const char *folder, const char *path, fv_error *err) {
    char *joined = fv_path_join(folder ? folder : "", path);
    if (!joined) return fv_fail(err, FV_NO_MEMORY, "%s: no memory", path);
    fv_status status = fv_image_load(out, joined, err);
    free(joined);
    if (status == FV_IO && strlen(path) > 255) /* the name itself would leave no room for what is wrong with it */
        return fv_fail(err, FV_IO, "%.60s...: there is no picture whose path is these %zu characters; a picture in the text begins with \"data:image/png;base64,\"", path, strlen(path));
    return status;
}

/* RFC 8089; what follows "file://" may also be a relative path, as qwen-vl-utils takes it. */
static fv_status load_file(fv_image **out, const char *folder, const char *url, fv_error *err) {
    const char *rest = url + 7;
    if (strncasecmp(rest, "localhost/", 10) == 0) rest += 9;
    char *path = strdup(rest);
    if (!path) return fv_fail(err, FV_NO_MEMORY, "%s: no memory", url);
    fv_status status = unescape(path, url, err);
    if (status == FV_OK) status = load_path(out, folder, path, err);
    free(path);
    return status;
}

fv_status fv_image_load_url(fv_image **out, const char *folder, const char *url, fv_error *err) {
    *out = NULL;
    if (!*url) return fv_fail(err, FV_BAD_DATA, "a picture's path is empty");
    if (strncasecmp(url, "data:", 5) == 0) return load_data(out, url, err);
    if (strncasecmp(url, "file://", 7) == 0) return load_file(out, folder, url, err);
    if (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0)
        return fv_fail(err, FV_UNSUPPORTED, "%.200s: pictures are not fetched from the network; download it and give its path", url);
    return load_path(out, folder, url, err);
}
