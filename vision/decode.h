/* Between vision/image.c and the two decoders; nobody else needs it. */
#ifndef FV_VISION_DECODE_H
#define FV_VISION_DECODE_H

#include "vision/image.h"

/* What a picture may be: 16384 a side, and 2^28 pixels (768 MiB of RGB). */
enum { FV_IMAGE_MAX_SIDE = 16384, FV_IMAGE_MAX_PIXELS = 1 << 28 };

/* `name` is for messages. On failure *out is NULL. The caller has looked at the signature. */
fv_status fv_decode_png(fv_image **out, const uint8_t *data, size_t size, const char *name, fv_error *err);
fv_status fv_decode_jpeg(fv_image **out, const uint8_t *data, size_t size, const char *name, fv_error *err);

/* vision/orientation.c: what a TIFF header says (1..8; 1 if it says nothing, or anything about it is malformed), and an RGB image turned the way it is meant to be seen. */
int fv_orientation_read(const uint8_t *tiff, size_t size);
fv_status fv_orientation_turn(fv_image **image, int orientation, fv_error *err);

/* Refuses a size that a header claims, before anything of that size is allocated. `least` is how many bytes such a picture
 * takes at the very least in this format: a header that promises more than its file can hold is a truncated file. */
fv_status fv_decode_check_size(const char *format, uint32_t width, uint32_t height, size_t size, size_t least, const char *name, fv_error *err);

/* An image whose pixels are not set yet, with room for `channels` (3 or 4) bytes a pixel. */
fv_status fv_image_blank(fv_image **out, int width, int height, int channels, fv_error *err);

#endif
