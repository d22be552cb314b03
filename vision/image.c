/* Pictures in memory: making, copying, cutting, and telling file formats apart. */
#include "vision/image.h"

#include "core/file.h"
#include "vision/decode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

fv_status fv_image_blank(fv_image **out, int width, int height, int channels, fv_error *err) {
    *out = NULL;
    fv_image *im = malloc(sizeof *im);
    uint8_t *rgb = malloc((size_t)width * (size_t)height * (size_t)channels);
    if (!im || !rgb) {
        free(im);
        free(rgb);
        return fv_fail(err, FV_NO_MEMORY, "no memory for a picture of %dx%d", width, height);
    }
    *im = (fv_image){.width = width, .height = height, .rgb = rgb};
    *out = im;
    return FV_OK;
}

fv_status fv_image_new(fv_image **out, int width, int height, const uint8_t rgb[3], fv_error *err) {
    *out = NULL;
    if (width < 1 || width > 65535 || height < 1 || height > 65535)
        return fv_fail(err, FV_BAD_DATA, "a picture's sides must be 1..65535, got %dx%d", width, height);
    FV_TRY(fv_image_blank(out, width, height, 3, err));
    size_t n = (size_t)width * (size_t)height;
    for (size_t i = 0; i < n; i++) memcpy((*out)->rgb + 3 * i, rgb, 3);
    return FV_OK;
}

void fv_image_free(fv_image *im) {
    if (!im) return;
    free(im->rgb);
    free(im);
}

fv_status fv_image_copy(fv_image **out, const fv_image *im, fv_error *err) {
    return fv_image_crop(out, im, 0, 0, im->width, im->height, err);
}

fv_status fv_image_crop(fv_image **out, const fv_image *im, int x, int y, int width, int height, fv_error *err) {
    *out = NULL;
    if (x < 0 || y < 0 || width < 1 || height < 1 || width > im->width - x || height > im->height - y)
        return fv_fail(err, FV_BAD_DATA, "a crop of %dx%d at (%d, %d) must lie inside the picture of %dx%d", width, height, x, y, im->width,
                       im->height);
    FV_TRY(fv_image_blank(out, width, height, 3, err));
    size_t stride = (size_t)width * 3;
    for (int r = 0; r < height; r++)
        memcpy((*out)->rgb + (size_t)r * stride, im->rgb + ((size_t)(y + r) * (size_t)im->width + (size_t)x) * 3, stride);
    return FV_OK;
}

fv_status fv_decode_check_size(const char *format, uint32_t width, uint32_t height, size_t size, size_t least, const char *name, fv_error *err) {
    if (width > FV_IMAGE_MAX_SIDE || height > FV_IMAGE_MAX_SIDE || (uint64_t)width * height > FV_IMAGE_MAX_PIXELS)
        return fv_fail(err, FV_BAD_DATA, "%s: %ux%u pixels; a picture may have at most %d a side", name, (unsigned)width, (unsigned)height,
                       FV_IMAGE_MAX_SIDE);
    if (size < least)
        return fv_fail(err, FV_BAD_DATA, "%s: truncated %s (%zu bytes cannot hold %ux%u pixels)", name, format, size, (unsigned)width,
                       (unsigned)height);
    return FV_OK;
}

/* What files that are called pictures start with. decode NULL: known, but not read. */
typedef struct {
    const char *name;
    size_t at, length;
    const char *bytes;
    fv_status (*decode)(fv_image **out, const uint8_t *data, size_t size, const char *name, fv_error *err);
} format;

static const format formats[] = {
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n", fv_decode_png},
    {"JPEG", 0, 3, "\xff\xd8\xff", fv_decode_jpeg},
    {"GIF", 0, 4, "GIF8", NULL},
    {"WebP", 8, 4, "WEBP", NULL},
    {"BMP", 0, 2, "BM", NULL},
    {"TIFF", 0, 4, "II*\0", NULL},
    {"TIFF", 0, 4, "MM\0*", NULL},
    {"AVIF", 4, 8, "ftypavif", NULL},
    {"HEIC", 4, 8, "ftypheic", NULL},
    {"HEIC", 4, 8, "ftypmif1", NULL},
    {"JPEG 2000", 4, 4, "jP  ", NULL},
    {"PDF", 0, 5, "%PDF-", NULL},
};

static bool is_format(const format *f, const uint8_t *data, size_t size) {
    return size >= f->at + f->length && memcmp(data + f->at, f->bytes, f->length) == 0;
}

/* A cut-off signature is a cut-off file: "truncated" says more than "unknown". */
static bool may_become(const format *f, const uint8_t *data, size_t size) {
    return f->decode && size < f->length && memcmp(data, f->bytes, size) == 0;
}

/* The first bytes for a message: printable ones as they are, others as dots. */
static void first_bytes(char out[17], const uint8_t *data, size_t size) {
    size_t n = size < 16 ? size : 16;
    for (size_t i = 0; i < n; i++) out[i] = data[i] >= 0x20 && data[i] < 0x7f ? (char)data[i] : '.';
    out[n] = '\0';
}

fv_status fv_image_decode(fv_image **out, const void *data, size_t size, const char *name, fv_error *err) {
    *out = NULL;
    if (size == 0) return fv_fail(err, FV_BAD_DATA, "%s: empty file, expected a PNG or JPEG picture", name);
    for (size_t i = 0; i < FV_COUNT(formats); i++) {
        const format *f = &formats[i];
        if (may_become(f, data, size)) return fv_fail(err, FV_BAD_DATA, "%s: truncated %s (in the first bytes)", name, f->name);
        if (!is_format(f, data, size)) continue;
        if (f->decode) return f->decode(out, data, size, name, err);
        return fv_fail(err, FV_UNSUPPORTED, "%s: %s pictures cannot be read; convert it to PNG or JPEG", name, f->name);
    }
    char start[17];
    first_bytes(start, data, size);
    return fv_fail(err, FV_BAD_DATA, "%s: not a picture (PNG or JPEG): it starts with \"%s\"", name, start);
}

fv_status fv_image_load(fv_image **out, const char *path, fv_error *err) {
    *out = NULL;
    char *data;
    size_t size;
    FV_TRY(fv_file_read(&data, &size, path, err));
    fv_status status = fv_image_decode(out, data, size, path, err);
    free(data);
    return status;
}
