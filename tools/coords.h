/* The one owner of coordinate spaces. A box or a point that a model writes is in one of three spaces; everything else in Fovea is in picture
 * space: pixels of the picture as it was decoded, (0, 0) its top left corner, x to the right, y down, a box [x1, y1, x2, y2) half open.
 *   view     pixels of the resized picture that the model saw (Qwen2.5-VL's absolute coordinates)
 *   picture  pixels of the picture itself (DeepEyes)
 *   thousand 0..1000 over the picture (Qwen2-VL, Qwen3-VL) */
#ifndef FV_TOOLS_COORDS_H
#define FV_TOOLS_COORDS_H

#include "core/error.h"

typedef enum { FV_SPACE_VIEW, FV_SPACE_PICTURE, FV_SPACE_THOUSAND } fv_space;

typedef struct {
    double x1, y1, x2, y2;
} fv_box;

/* A picture's sizes: as it is, and as the model saw it. */
typedef struct {
    int width, height, view_width, view_height; /* >= 1; view 0, 0: it was seen as it is */
} fv_frame_size;

fv_status fv_space_parse(fv_space *out, const char *name, fv_error *err); /* "view", "picture", "thousand"; else FV_BAD_USAGE */
const char *fv_space_name(fv_space s);

/* Conversions are exact scalings by the ratio of the sizes: nothing is rounded or clipped on the way. */
fv_box fv_box_to_picture(fv_box b, fv_space from, fv_frame_size s);
fv_box fv_box_from_picture(fv_box b, fv_space to, fv_frame_size s);
void fv_point_to_picture(double *x, double *y, fv_space from, fv_frame_size s);
void fv_point_from_picture(double *x, double *y, fv_space to, fv_frame_size s);

/* The rounding rule, everywhere where a coordinate becomes a whole number: to the nearest, halves to the even one (Python's round). */
double fv_round_even(double v);
fv_box fv_box_round(fv_box b);

fv_box fv_box_clip(fv_box b, double width, double height); /* each coordinate into the picture; an inverted box stays inverted */
double fv_box_area(fv_box b);           /* 0 for an empty or inverted box */
double fv_box_iou(fv_box a, fv_box b);  /* intersection over union, 0..1 */
double fv_box_inside(fv_box inner, fv_box outer); /* share of inner's area that lies in outer */

/* Cosine and sine of an angle in degrees, from arithmetic alone (error below 1e-15 up to a full turn), exact at multiples of 90.
 * An angle that is not within 1e9 counts as 0. */
void fv_turn(double degrees, double *cosine, double *sine);

#endif
