/* Drawing on pictures, in place and anti-aliased. Coordinates are picture space (tools/coords.h): pixels, (0, 0) the top left corner of the top left
 * pixel, y down; fractions are meant as such. Whatever lies outside the picture is cut off, shapes with NaN, infinite or inverted
 * coordinates (or ones beyond 1e9) draw nothing, so nothing here can fail. Only + - * / and sqrt are used: equal calls give equal pixels everywhere. */
#ifndef FV_TOOLS_CANVAS_H
#define FV_TOOLS_CANVAS_H

#include "tools/coords.h"
#include "vision/image.h"

#include <stdbool.h>

typedef struct {
    uint8_t rgb[3];
} fv_color;

typedef struct {
    double x, y;
} fv_point;

/* ---- colours -------------------------------------------------------------------------------------------------------- */

/* The table of names, in this order: red green blue yellow orange purple pink brown black white grey cyan. */
typedef struct {
    const char *name;
    fv_color color;
} fv_color_entry;
const fv_color_entry *fv_color_table(int *count);
/* A name of the table in any case ("gray" is grey), or "#rrggbb". False and *out untouched if it is neither. */
bool fv_color_find(fv_color *out, const char *name);
/* Black or white, whichever stands out more against c (contrast as in WCAG 2.1, section 1.4.3). */
fv_color fv_color_contrast(fv_color c);

/* One pixel, which must lie inside: a share of coverage / 255 becomes c, rounded to the nearest. */
static inline void fv_canvas_blend(fv_image *im, int x, int y, int coverage, fv_color c) {
    uint8_t *p = im->rgb + 3 * ((size_t)y * (size_t)im->width + (size_t)x);
    for (int i = 0; i < 3; i++) p[i] = (uint8_t)((p[i] * (255 - coverage) + c.rgb[i] * coverage + 127) / 255);
}

/* ---- areas and outlines; widths and radii in pixels, outlines are centred on the edge, widths below 1 count as 1 -------------------------------- */

void fv_canvas_fill_box(fv_image *im, fv_box b, fv_color c);
void fv_canvas_draw_box(fv_image *im, fv_box b, double width, fv_color c); /* the outline lies inside b, so that it never leaves the picture with it */
/* A plate: a box with rounded corners. radius is at most half of the shorter side. */
void fv_canvas_fill_plate(fv_image *im, fv_box b, double radius, fv_color c);
void fv_canvas_draw_plate(fv_image *im, fv_box b, double radius, double width, fv_color c);
void fv_canvas_fill_disc(fv_image *im, double x, double y, double radius, fv_color c);
void fv_canvas_draw_circle(fv_image *im, double x, double y, double radius, double width, fv_color c);
/* Closed polygons of n >= 3 corners, not crossing themselves, in either direction. */
void fv_canvas_fill_polygon(fv_image *im, const fv_point *corners, int n, fv_color c);
void fv_canvas_draw_polygon(fv_image *im, const fv_point *corners, int n, double width, fv_color c);

/* Shapes by name, of about the same size at the same radius (none reaches further than 1.4 radii): centre (x, y), turned clockwise by `degrees`. */
typedef enum {
    FV_SHAPE_SQUARE, FV_SHAPE_PLATE, FV_SHAPE_DISC, FV_SHAPE_TRIANGLE, FV_SHAPE_DIAMOND, FV_SHAPE_STAR, FV_SHAPE_HEXAGON, FV_SHAPE_CROSS, FV_SHAPE_COUNT
} fv_shape;
const char *fv_shape_name(fv_shape s);                  /* "square", "plate", "circle", "triangle", "diamond", "star", "hexagon", "cross" */
bool fv_shape_find(fv_shape *out, const char *name);    /* "disc" is circle as well */
void fv_canvas_fill_shape(fv_image *im, fv_shape s, double x, double y, double radius, double degrees, fv_color c);
void fv_canvas_draw_shape(fv_image *im, fv_shape s, double x, double y, double radius, double degrees, double width, fv_color c);

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

void fv_canvas_line(fv_image *im, double x1, double y1, double x2, double y2, double width, fv_color c); /* round ends */
/* n >= 1 points, round ends and joints, painted as one area. */
void fv_canvas_polyline(fv_image *im, const fv_point *points, int n, double width, fv_color c);
/* A polyline whose last point is the tip of an arrow head (four widths long, at least 8 pixels). */
void fv_canvas_arrow(fv_image *im, const fv_point *points, int n, double width, fv_color c);
/* A mark that is seen on any ground: a disc of `radius` with a rim in the contrast colour. */
void fv_canvas_point(fv_image *im, double x, double y, double radius, fv_color c);

/* ---- text: printable ASCII in one bold sans-serif face (tools/fonts); other characters appear as '?' ------------------ */

/* A capital or a digit is this share of the font size high. */
#define FV_FONT_CAP 0.727

/* A text's box runs over the ink of its first to its last character, and from the height of capitals down to the base line. */
typedef struct {
    double size;               /* pixels an em; 0: 14 */
    double degrees;            /* turned clockwise about (x, y) */
    double anchor_x, anchor_y; /* which point of the text's box stands at (x, y): 0 0 its top left corner, 0.5 0.5 its centre */
    fv_color color;
} fv_text_style;
/* Draws one line and returns its extent: the upright box around all ink (empty, at (x, y), for blanks alone). */
fv_box fv_canvas_text(fv_image *im, double x, double y, const char *text, const fv_text_style *style);
/* The same extent without drawing. */
fv_box fv_canvas_text_extent(double x, double y, const char *text, const fv_text_style *style);

/* A legible label: text in the contrast colour on a filled plate of colour c, its top left corner at (x, y), moved as far as needed to lie
 * inside the picture. Returns the plate. size as in fv_text_style. */
fv_box fv_canvas_label(fv_image *im, double x, double y, const char *text, double size, fv_color c);
/* The same beside a mark at (x, y), `gap` away to the right and below, or on the other side where there is no room. */
fv_box fv_canvas_label_beside(fv_image *im, double x, double y, double gap, const char *text, double size, fv_color c);
/* A box with its label, above the top left corner where there is room, else inside it, or below a box that it would hide. label NULL or "": none. */
void fv_canvas_labelled_box(fv_image *im, fv_box b, double width, fv_color c, const char *label, double size);

#endif
