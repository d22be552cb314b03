/* Pictures to bytes, through stb_image_write. This is the one file that holds its code: its functions are static here. */
#include "core/file.h"
#include "vision/decode.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#include <stb/stb_image_write.h>

/* stb_image_write counts bytes in ints. */
static fv_status check_encodable(const fv_image *im, fv_error *err) {
    if ((int64_t)im->width * im->height > FV_IMAGE_MAX_PIXELS)
        return fv_fail(err, FV_LIMIT, "a picture of %dx%d is too large to be written (at most 2^28 pixels)", im->width, im->height);
    return FV_OK;
}

fv_status fv_image_encode_png(uint8_t **out, size_t *size, const fv_image *im, fv_error *err) {
    *out = NULL;
    *size = 0;
    FV_TRY(check_encodable(im, err));
    int n = 0;
    *out = stbi_write_png_to_mem(im->rgb, im->width * 3, im->width, im->height, 3, &n);
    if (!*out) return fv_fail(err, FV_NO_MEMORY, "no memory to write a PNG of %dx%d", im->width, im->height);
    *size = (size_t)n;
    return FV_OK;
}

typedef struct {
    uint8_t *bytes;
    size_t size, capacity;
    bool failed;
} sink;

static void on_bytes(void *context, void *data, int n) {
    sink *s = context;
    size_t need = s->size + (size_t)n;
    if (need > s->capacity && !s->failed) {
        size_t capacity = need * 2;
        uint8_t *grown = realloc(s->bytes, capacity);
        if (grown) {
            s->bytes = grown;
            s->capacity = capacity;
        } else {
            s->failed = true;
        }
    }
    if (s->failed) return;
    memcpy(s->bytes + s->size, data, (size_t)n);
    s->size = need;
}

fv_status fv_image_encode_jpeg(uint8_t **out, size_t *size, const fv_image *im, int quality, fv_error *err) {
    *out = NULL;
    *size = 0;
    if (quality < 1 || quality > 100) return fv_fail(err, FV_BAD_USAGE, "JPEG quality must be 1..100, got %d", quality);
    FV_TRY(check_encodable(im, err));
    sink s = {0};
    int done = stbi_write_jpg_to_func(on_bytes, &s, im->width, im->height, 3, im->rgb, quality);
    if (!done || s.failed) {
        free(s.bytes);
        return fv_fail(err, FV_NO_MEMORY, "no memory to write a JPEG of %dx%d", im->width, im->height);
    }
    *out = s.bytes;
    *size = s.size;
    return FV_OK;
}

/* 4:4:4 and nearly no loss: what people look at in reports and what agents saw should not differ visibly. */
enum { SAVE_QUALITY = 95 };

fv_status fv_image_save(const fv_image *im, const char *path, fv_error *err) {
    const char *dot = strrchr(fv_path_name(path), '.');
    bool png = dot && strcasecmp(dot, ".png") == 0;
    bool jpeg = dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
    if (!png && !jpeg) return fv_fail(err, FV_BAD_USAGE, "%s: a picture's name must end in .png or .jpg", path);
    uint8_t *bytes;
    size_t size;
    fv_status status = png ? fv_image_encode_png(&bytes, &size, im, err) : fv_image_encode_jpeg(&bytes, &size, im, SAVE_QUALITY, err);
    if (status != FV_OK) return fv_fail_in(err, "%s", path);
    status = fv_file_write(path, bytes, size, err);
    free(bytes);
    return status;
}
