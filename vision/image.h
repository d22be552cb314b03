/* Pictures in memory: 8-bit RGB, row-major, top left first. Decoding follows transformers' path decoding (docs: HF facts 3) except
 * that transparent pictures are composited over white. */
#ifndef FV_VISION_IMAGE_H
#define FV_VISION_IMAGE_H

#include "core/error.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fv_image {
    int width, height;
    uint8_t *rgb; /* [height, width, 3], owned */
} fv_image;

/* Allocates an image of one colour. width, height 1..65535. */
fv_status fv_image_new(fv_image **out, int width, int height, const uint8_t rgb[3], fv_error *err);
void fv_image_free(fv_image *im); /* NULL is fine */
fv_status fv_image_copy(fv_image **out, const fv_image *im, fv_error *err);
fv_status fv_image_crop(fv_image **out, const fv_image *im, int x, int y, int width, int height, fv_error *err); /* must lie inside */

/* PNG (grey, palette, alpha, 16-bit) and JPEG (grey, RGB, CMYK, EXIF orientation), told apart by their first bytes. `name` is for messages.
 * At most 16384 x 16384 and 2^28 pixels. A truncated or corrupt file is FV_BAD_DATA; another format (GIF, WebP ...) FV_UNSUPPORTED. */
fv_status fv_image_decode(fv_image **out, const void *data, size_t size, const char *name, fv_error *err);
fv_status fv_image_load(fv_image **out, const char *path, fv_error *err);
/* A path relative to `folder` (may be NULL), or a "data:image/...;base64," URL, or "file://" with %xx escapes. Nothing is fetched
 * from the network: http URLs are FV_UNSUPPORTED. */
fv_status fv_image_load_url(fv_image **out, const char *folder, const char *url, fv_error *err);

/* Writing (stb_image_write). The encoded bytes are malloc'ed for the caller. quality 1..100. */
fv_status fv_image_encode_png(uint8_t **out, size_t *size, const fv_image *im, fv_error *err);
fv_status fv_image_encode_jpeg(uint8_t **out, size_t *size, const fv_image *im, int quality, fv_error *err);
fv_status fv_image_save(const fv_image *im, const char *path, fv_error *err); /* by extension: .png, .jpg */

#endif
