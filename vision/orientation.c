/* EXIF's orientation, which JPEG and PNG files have alike. */
#include "vision/decode.h"

#include <stdbool.h>
#include <string.h>

static uint32_t get(const uint8_t *p, int bytes, bool big) {
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | p[big ? i : bytes - 1 - i];
    return v;
}

/* Tag 0x0112 of the first directory. */
int fv_orientation_read(const uint8_t *p, size_t n) {
    if (n < 8 || (memcmp(p, "II*\0", 4) != 0 && memcmp(p, "MM\0*", 4) != 0)) return 1;
    bool big = p[0] == 'M';
    size_t at = get(p + 4, 4, big);
    if (at > n - 2) return 1;
    uint32_t entries = get(p + at, 2, big);
    for (at += 2; entries > 0 && at + 12 <= n; entries--, at += 12) {
        if (get(p + at, 2, big) != 0x0112) continue;
        if (get(p + at + 2, 2, big) != 3 || get(p + at + 4, 4, big) != 1) return 1; /* one SHORT */
        uint32_t v = get(p + at + 8, 2, big);
        return v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}

/* Turns a stored picture the way it is meant to be seen (EXIF 2.3, 4.6.4 A; PIL's ImageOps.exif_transpose). */
fv_status fv_orientation_turn(fv_image **image, int how, fv_error *err) {
    if (how == 1) return FV_OK;
    const fv_image *im = *image;
    bool swap = how >= 5, flip_x = how == 2 || how == 3 || how == 7 || how == 8, flip_y = how == 3 || how == 4 || how == 6 || how == 7;
    fv_image *turned;
    FV_TRY(fv_image_blank(&turned, swap ? im->height : im->width, swap ? im->width : im->height, 3, err));
    uint8_t *to = turned->rgb;
    for (int y = 0; y < turned->height; y++)
        for (int x = 0; x < turned->width; x++, to += 3) {
            int sx = swap ? y : x, sy = swap ? x : y;
            if (flip_x) sx = im->width - 1 - sx;
            if (flip_y) sy = im->height - 1 - sy;
            memcpy(to, im->rgb + ((size_t)sy * (size_t)im->width + (size_t)sx) * 3, 3);
        }
    fv_image_free(*image);
    *image = turned;
    return FV_OK;
}
