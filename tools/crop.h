/* Which pixels a zoom cuts out. Two published rules: DeepEyes' (arXiv 2505.14362) refuses small boxes, verl's image_zoom_in_tool
 * grows them. Both clamp the box to the picture first and round half to even at the end (Pillow's crop). */
#ifndef FV_TOOLS_CROP_H
#define FV_TOOLS_CROP_H

#include "tools/coords.h"
#include "vision/image.h"

typedef enum {
    FV_MIN_SIDE_REFUSE, /* the shorter side must be longer than min_side (DeepEyes: 30) */
    FV_MIN_SIDE_GROW    /* a shorter side below min_side (verl: 28) grows to it, about the box's centre, the ratio of the sides kept */
} fv_min_side_rule;

typedef struct {
    fv_min_side_rule rule;
    int min_side; /* pixels of the picture, >= 1 */
} fv_crop_rules;

/* The longer side is at most this many times the shorter one (both systems). */
#define FV_CROP_RATIO 100

/* *cut: whole pixels inside a picture of width x height, for a box in picture space as it was asked for. FV_TOOL with a text
 * for the model if the box is empty, too flat or too small. */
fv_status fv_crop_box(fv_box *cut, fv_box asked, int width, int height, fv_crop_rules rules, fv_error *err);

/* Cuts a box of whole pixels, as fv_crop_box gives, out of a picture at its full resolution. *out is the caller's. */
fv_status fv_crop_image(fv_image **out, const fv_image *im, fv_box cut, fv_error *err);

/* The picture turned clockwise by `degrees`, grown so that nothing is lost, black outside. Quarter turns move pixels, other angles
 * interpolate between the four nearest. FV_TOOL for an angle beyond 1e6 or a result of more than 2^26 pixels. */
fv_status fv_rotate_image(fv_image **out, const fv_image *im, double degrees, fv_error *err);

#endif
