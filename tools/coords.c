#include "tools/coords.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

static const char *const fv_space_names[] = {"view", "picture", "thousand"};

fv_status fv_space_parse(fv_space *out, const char *name, fv_error *err) {
    for (size_t i = 0; i < FV_COUNT(fv_space_names); i++) {
        if (strcmp(name, fv_space_names[i]) == 0) {
            *out = (fv_space)i;
            return FV_OK;
        }
    }
    return fv_fail(err, FV_BAD_USAGE, "coordinates must be view, picture or thousand, got \"%.80s\"", name);
}

const char *fv_space_name(fv_space s) {
    return fv_space_names[s];
}

/* How many of the space's units span the picture. A view size of 0 means that the model saw the picture as it is. */
static void fv_space_extent(fv_space space, fv_frame_size s, double *width, double *height) {
    bool view = space == FV_SPACE_VIEW && s.view_width > 0 && s.view_height > 0;
    *width = space == FV_SPACE_THOUSAND ? 1000 : view ? s.view_width : s.width;
    *height = space == FV_SPACE_THOUSAND ? 1000 : view ? s.view_height : s.height;
}

/* Products before quotients: sizes and written coordinates are small integers, so their products are exact and a picture's own
 * corner comes out as exactly its width and height. */
void fv_point_to_picture(double *x, double *y, fv_space from, fv_frame_size s) {
    double width, height;
    fv_space_extent(from, s, &width, &height);
    *x = *x * s.width / width;
    *y = *y * s.height / height;
}

void fv_point_from_picture(double *x, double *y, fv_space to, fv_frame_size s) {
    double width, height;
    fv_space_extent(to, s, &width, &height);
    *x = *x * width / s.width;
    *y = *y * height / s.height;
}

fv_box fv_box_to_picture(fv_box b, fv_space from, fv_frame_size s) {
    fv_point_to_picture(&b.x1, &b.y1, from, s);
    fv_point_to_picture(&b.x2, &b.y2, from, s);
    return b;
}

fv_box fv_box_from_picture(fv_box b, fv_space to, fv_frame_size s) {
    fv_point_from_picture(&b.x1, &b.y1, to, s);
    fv_point_from_picture(&b.x2, &b.y2, to, s);
    return b;
}

double fv_round_even(double v) {
    double down = floor(v), rest = v - down;
    if (rest != 0.5) return rest < 0.5 ? down : down + 1;
    return fmod(down, 2) == 0 ? down : down + 1;
}

fv_box fv_box_round(fv_box b) {
    return (fv_box){fv_round_even(b.x1), fv_round_even(b.y1), fv_round_even(b.x2), fv_round_even(b.y2)};
}

static double fv_clamp(double v, double low, double high) {
    return v < low ? low : v > high ? high : v;
}

fv_box fv_box_clip(fv_box b, double width, double height) {
    return (fv_box){fv_clamp(b.x1, 0, width), fv_clamp(b.y1, 0, height), fv_clamp(b.x2, 0, width), fv_clamp(b.y2, 0, height)};
}

double fv_box_area(fv_box b) {
    return b.x2 > b.x1 && b.y2 > b.y1 ? (b.x2 - b.x1) * (b.y2 - b.y1) : 0;
}

static double fv_box_shared(fv_box a, fv_box b) {
    return fv_box_area((fv_box){a.x1 > b.x1 ? a.x1 : b.x1, a.y1 > b.y1 ? a.y1 : b.y1, a.x2 < b.x2 ? a.x2 : b.x2, a.y2 < b.y2 ? a.y2 : b.y2});
}

double fv_box_iou(fv_box a, fv_box b) {
    double shared = fv_box_shared(a, b), both = fv_box_area(a) + fv_box_area(b) - shared;
    return both > 0 ? shared / both : 0;
}

double fv_box_inside(fv_box inner, fv_box outer) {
    double area = fv_box_area(inner);
    return area > 0 ? fv_box_shared(inner, outer) / area : 0;
}

/* Whole quarter turns are taken off first, then the Taylor series runs on +-45 degrees: terms left out are below 1e-17. */
void fv_turn(double degrees, double *cosine, double *sine) {
    if (!(fabs(degrees) <= 1e9)) degrees = 0;
    double quarters = floor(degrees / 90 + 0.5), a = (degrees - 90 * quarters) * 0.017453292519943295, t = a * a, c = 1, s = 1;
    for (int n = 16; n >= 2; n -= 2) {
        c = 1 - c * t / (n * (n - 1));
        s = 1 - s * t / (n * (n + 1));
    }
    s *= a;
    switch ((int)(quarters - 4 * floor(quarters / 4))) {
    case 0: *cosine = c, *sine = s; break;
    case 1: *cosine = -s, *sine = c; break;
    case 2: *cosine = -c, *sine = -s; break;
    default: *cosine = s, *sine = -c; break;
    }
    *cosine += 0.0; /* -0 becomes 0 */
    *sine += 0.0;
}
