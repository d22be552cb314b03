#include "tools/crop.h"

#include <math.h>
#include <stdbool.h>

/* Empty and flat boxes are refused by both systems, before and after growing. */
static fv_status fv_check_sides(fv_box b, fv_error *err) {
    double width = b.x2 - b.x1, height = b.y2 - b.y1;
    if (!(width > 0 && height > 0)) return fv_fail(err, FV_TOOL, "the box must have x1 < x2 and y1 < y2 inside the picture");
    if (fmax(width, height) > FV_CROP_RATIO * fmin(width, height))
        return fv_fail(err, FV_TOOL, "one side of the box is more than %d times the other", FV_CROP_RATIO);
    return FV_OK;
}

/* Slides a span of `length` around `centre` into [0, limit]. */
static void fv_slide(double centre, double length, double limit, double *low, double *high) {
    double start = fmax(centre - length / 2, 0);
    if (start + length > limit) start = limit - length;
    *low = floor(start);
    *high = fmin(ceil(start + length), limit);
}

/* verl: scales the box until its shorter side is min_side, or until it fills the picture in one direction. */
static fv_box fv_grow_box(fv_box b, int width, int height, int min_side) {
    double w = b.x2 - b.x1, h = b.y2 - b.y1, scale = min_side / fmin(w, h);
    w *= scale;
    h *= scale;
    if (w > width) h *= width / w, w = width;
    if (h > height) w *= height / h, h = height;
    fv_box out;
    fv_slide((b.x1 + b.x2) / 2, w, width, &out.x1, &out.x2);
    fv_slide((b.y1 + b.y2) / 2, h, height, &out.y1, &out.y2);
    return out;
}

fv_status fv_crop_box(fv_box *cut, fv_box asked, int width, int height, fv_crop_rules rules, fv_error *err) {
    fv_box b = fv_box_clip(asked, width, height);
    FV_TRY(fv_check_sides(b, err));
    bool grow = rules.rule == FV_MIN_SIDE_GROW;
    double side = fmin(b.x2 - b.x1, b.y2 - b.y1);
    if (grow && side < rules.min_side) {
        b = fv_grow_box(b, width, height, rules.min_side);
        FV_TRY(fv_check_sides(b, err));
        side = fmin(b.x2 - b.x1, b.y2 - b.y1);
    }
    if (grow ? side < rules.min_side : side <= rules.min_side)
        return fv_fail(err, FV_TOOL, "the box is too small: its shorter side must be %s %d pixels of the picture, it is %.4g", grow ? "at least" : "longer than",
                       rules.min_side, side);
    b = fv_box_round(b);
    FV_TRY(fv_check_sides(b, err));
    *cut = b;
    return FV_OK;
}

fv_status fv_crop_image(fv_image **out, const fv_image *im, fv_box cut, fv_error *err) {
    return fv_image_crop(out, im, (int)cut.x1, (int)cut.y1, (int)(cut.x2 - cut.x1), (int)(cut.y2 - cut.y1), err);
}

/* ---- turning -------------------------------------------------------------------------------------------------------- */

/* A channel at (x, y), pixel centres at halves, black outside. */
static double fv_sample(const fv_image *im, double x, double y, int channel) {
    double fx = floor(x - 0.5), fy = floor(y - 0.5), rx = x - 0.5 - fx, ry = y - 0.5 - fy, sum = 0;
    for (int k = 0; k < 4; k++) {
        double px = fx + (k & 1), py = fy + (k >> 1), weight = (k & 1 ? rx : 1 - rx) * (k >> 1 ? ry : 1 - ry);
        if (px < 0 || py < 0 || px >= im->width || py >= im->height) continue;
        sum += weight * im->rgb[3 * ((size_t)py * (size_t)im->width + (size_t)px) + (size_t)channel];
    }
    return sum;
}

fv_status fv_rotate_image(fv_image **out, const fv_image *im, double degrees, fv_error *err) {
    if (!(fabs(degrees) <= 1e6)) return fv_fail(err, FV_TOOL, "the angle must be between -1000000 and 1000000 degrees");
    double cosine, sine;
    fv_turn(degrees, &cosine, &sine);
    /* A hair off, so that a turn by 1e-14 degrees does not grow the picture by a pixel. */
    double w = ceil(fabs(im->width * cosine) + fabs(im->height * sine) - 1e-9), h = ceil(fabs(im->width * sine) + fabs(im->height * cosine) - 1e-9);
    if (w * h > 0x1p26 || w > 65535 || h > 65535) return fv_fail(err, FV_TOOL, "the turned picture would be too large (%.0f x %.0f)", w, h);
    fv_image *turned;
    FV_TRY(fv_image_new(&turned, (int)w, (int)h, (const uint8_t[3]){0, 0, 0}, err));
    uint8_t *p = turned->rgb;
    for (int y = 0; y < turned->height; y++) {
        for (int x = 0; x < turned->width; x++) {
            double dx = x + 0.5 - w / 2, dy = y + 0.5 - h / 2;
            double sx = im->width / 2.0 + dx * cosine + dy * sine, sy = im->height / 2.0 + dy * cosine - dx * sine;
            for (int k = 0; k < 3; k++) *p++ = (uint8_t)(fv_sample(im, sx, sy, k) + 0.5);
        }
    }
    *out = turned;
    return FV_OK;
}
