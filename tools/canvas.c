/* Every shape is a signed distance: negative inside, positive outside, in pixels. A pixel's coverage is 0.5 - distance at its centre, held to 0..1,
 * which is exact for straight upright edges. Distances change by at most one a pixel, so a row jumps over what is certainly outside
 * or inside: cost goes with the length of edges. */
#include "tools/canvas.h"

#include <math.h>
#include <string.h>
#include <strings.h>

typedef double fv_distance(const void *shape, double x, double y);

static double fv_min(double a, double b) { return a < b ? a : b; }
static double fv_max(double a, double b) { return a > b ? a : b; }
static double fv_width(double width) { return fv_max(width, 1); }

/* False for NaN, infinities and sizes whose squares would lose the pixel grid. */
static bool fv_sane(double v) { return fabs(v) <= 1e9; }
static bool fv_sane_box(fv_box b) { return fv_sane(b.x1) && fv_sane(b.y1) && fv_sane(b.x2) && fv_sane(b.y2) && b.x1 <= b.x2 && b.y1 <= b.y2; }
static bool fv_sane_points(const fv_point *p, int n) {
    for (int i = 0; i < n; i++)
        if (!fv_sane(p[i].x) || !fv_sane(p[i].y)) return false;
    return true;
}

static fv_box fv_grown(fv_box b, double by) { return (fv_box){b.x1 - by, b.y1 - by, b.x2 + by, b.y2 + by}; }

static fv_box fv_bounds(const fv_point *p, int n) {
    fv_box b = {p[0].x, p[0].y, p[0].x, p[0].y};
    for (int i = 1; i < n; i++) b = (fv_box){fv_min(b.x1, p[i].x), fv_min(b.y1, p[i].y), fv_max(b.x2, p[i].x), fv_max(b.y2, p[i].y)};
    return b;
}

/* Paints the shape, all of which lies within `bounds`. */
static void fv_paint(fv_image *im, fv_box bounds, fv_distance *distance, const void *shape, fv_color c) {
    fv_box b = fv_box_clip(fv_grown(bounds, 1), im->width, im->height);
    int x1 = (int)floor(b.x1), x2 = (int)ceil(b.x2), y1 = (int)floor(b.y1), y2 = (int)ceil(b.y2);
    for (int y = y1; y < y2; y++) {
        for (int x = x1; x < x2;) {
            double d = distance(shape, x + 0.5, y + 0.5);
            int run = 1 + (int)fv_min(fabs(d) - fv_min(fabs(d), 0.5), x2 - x); /* pixels that are certainly alike */
            if (run > x2 - x) run = x2 - x;
            if (d <= -0.5) {
                for (int i = 0; i < run; i++) fv_canvas_blend(im, x + i, y, 255, c);
            } else if (d < 0.5) {
                run = 1;
                fv_canvas_blend(im, x, y, (int)((0.5 - d) * 255 + 0.5), c);
            }
            x += run;
        }
    }
}

/* ---- colours -------------------------------------------------------------------------------------------------------- */

static const fv_color_entry fv_colors[] = {
    {"red", {{220, 38, 38}}},     {"green", {{34, 160, 60}}},  {"blue", {{37, 88, 225}}},    {"yellow", {{250, 212, 30}}},
    {"orange", {{248, 130, 18}}}, {"purple", {{130, 50, 180}}}, {"pink", {{250, 140, 190}}}, {"brown", {{125, 75, 35}}},
    {"black", {{16, 16, 16}}},    {"white", {{250, 250, 250}}}, {"grey", {{128, 128, 128}}}, {"cyan", {{40, 205, 220}}},
};

const fv_color_entry *fv_color_table(int *count) {
    *count = (int)FV_COUNT(fv_colors);
    return fv_colors;
}

static int fv_hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool fv_color_find(fv_color *out, const char *name) {
    if (strcasecmp(name, "gray") == 0) name = "grey";
    for (size_t i = 0; i < FV_COUNT(fv_colors); i++) {
        if (strcasecmp(name, fv_colors[i].name) == 0) {
            *out = fv_colors[i].color;
            return true;
        }
    }
    if (name[0] != '#' || strlen(name) != 7) return false;
    fv_color c;
    for (int i = 0; i < 3; i++) {
        int high = fv_hex_digit(name[1 + 2 * i]), low = fv_hex_digit(name[2 + 2 * i]);
        if (high < 0 || low < 0) return false;
        c.rgb[i] = (uint8_t)(high * 16 + low);
    }
    *out = c;
    return true;
}

/* The relative luminance of WCAG 2.1, with (v/255)^2.2 taken as (v/255)^2: pow differs between libraries. The two agree to 0.04 at
 * the threshold of equal contrast, sqrt(1.05 * 0.05) - 0.05 = 0.179. */
fv_color fv_color_contrast(fv_color c) {
    double r = c.rgb[0] / 255.0, g = c.rgb[1] / 255.0, b = c.rgb[2] / 255.0;
    bool bright = 0.2126 * r * r + 0.7152 * g * g + 0.0722 * b * b > 0.179 + 0.04;
    return bright ? (fv_color){{0, 0, 0}} : (fv_color){{255, 255, 255}};
}

/* ---- boxes, plates, discs ------------------------------------------------------------------------------------------- */

typedef struct {
    double x, y, half_width, half_height, radius; /* radius: of the corners */
} fv_plate;

static double fv_plate_distance(const void *shape, double x, double y) {
    const fv_plate *p = shape;
    double dx = fabs(x - p->x) - (p->half_width - p->radius), dy = fabs(y - p->y) - (p->half_height - p->radius);
    double ox = fv_max(dx, 0), oy = fv_max(dy, 0);
    return sqrt(ox * ox + oy * oy) + fv_min(fv_max(dx, dy), 0) - p->radius;
}

typedef struct {
    fv_plate outer, inner;
} fv_frame;

static double fv_frame_distance(const void *shape, double x, double y) {
    const fv_frame *f = shape;
    return fv_max(fv_plate_distance(&f->outer, x, y), -fv_plate_distance(&f->inner, x, y));
}

static fv_plate fv_plate_in(fv_box b, double radius) {
    fv_plate p = {(b.x1 + b.x2) / 2, (b.y1 + b.y2) / 2, (b.x2 - b.x1) / 2, (b.y2 - b.y1) / 2, 0};
    p.radius = fv_max(fv_min(radius, fv_min(p.half_width, p.half_height)), 0);
    return p;
}

void fv_canvas_fill_plate(fv_image *im, fv_box b, double radius, fv_color c) {
    if (!fv_sane_box(b) || !fv_sane(radius)) return;
    fv_plate p = fv_plate_in(b, radius);
    if (p.half_width > 0 && p.half_height > 0) fv_paint(im, b, fv_plate_distance, &p, c);
}

void fv_canvas_fill_box(fv_image *im, fv_box b, fv_color c) {
    fv_canvas_fill_plate(im, b, 0, c);
}

/* The band between b and b shrunk by width. */
static void fv_draw_frame(fv_image *im, fv_box b, double radius, double width, fv_color c) {
    fv_box hole = fv_grown(b, -width);
    if (hole.x1 >= hole.x2 || hole.y1 >= hole.y2) {
        fv_canvas_fill_plate(im, b, radius, c);
        return;
    }
    fv_frame f = {fv_plate_in(b, radius), fv_plate_in(hole, radius - width)};
    fv_paint(im, b, fv_frame_distance, &f, c);
}

void fv_canvas_draw_box(fv_image *im, fv_box b, double width, fv_color c) {
    if (fv_sane_box(b) && fv_sane(width)) fv_draw_frame(im, b, 0, fv_width(width), c);
}

void fv_canvas_draw_plate(fv_image *im, fv_box b, double radius, double width, fv_color c) {
    if (!fv_sane_box(b) || !fv_sane(width) || !fv_sane(radius)) return;
    width = fv_width(width);
    fv_draw_frame(im, fv_grown(b, width / 2), radius + width / 2, width, c);
}

void fv_canvas_fill_disc(fv_image *im, double x, double y, double radius, fv_color c) {
    fv_canvas_fill_plate(im, (fv_box){x - radius, y - radius, x + radius, y + radius}, radius, c);
}

void fv_canvas_draw_circle(fv_image *im, double x, double y, double radius, double width, fv_color c) {
    fv_canvas_draw_plate(im, (fv_box){x - radius, y - radius, x + radius, y + radius}, radius, width, c);
}

/* ---- polygons and lines --------------------------------------------------------------------------------------------- */

static double fv_segment_distance2(fv_point a, fv_point b, double x, double y) {
    double ex = b.x - a.x, ey = b.y - a.y, wx = x - a.x, wy = y - a.y, length2 = ex * ex + ey * ey;
    double t = length2 > 0 ? fv_max(0, fv_min(1, (wx * ex + wy * ey) / length2)) : 0;
    double dx = wx - ex * t, dy = wy - ey * t;
    return dx * dx + dy * dy;
}

typedef struct {
    const fv_point *points;
    int n;
    double round; /* grown by this, which rounds the corners */
} fv_polygon;

static double fv_polygon_distance(const void *shape, double x, double y) {
    const fv_polygon *p = shape;
    double best = HUGE_VAL;
    bool inside = false; /* even-odd rule */
    for (int i = 0, j = p->n - 1; i < p->n; j = i++) {
        fv_point a = p->points[i], b = p->points[j];
        best = fv_min(best, fv_segment_distance2(a, b, x, y));
        if ((a.y > y) != (b.y > y) && x < a.x + (y - a.y) / (b.y - a.y) * (b.x - a.x)) inside = !inside;
    }
    return (inside ? -sqrt(best) : sqrt(best)) - p->round;
}

typedef struct {
    fv_polygon polygon;
    double half;
} fv_outline;

static double fv_outline_distance(const void *shape, double x, double y) {
    const fv_outline *o = shape;
    return fabs(fv_polygon_distance(&o->polygon, x, y)) - o->half;
}

static void fv_fill_rounded(fv_image *im, const fv_point *corners, int n, double round, fv_color c) {
    if (n < 3 || !fv_sane_points(corners, n)) return;
    fv_polygon p = {corners, n, round};
    fv_paint(im, fv_grown(fv_bounds(corners, n), round), fv_polygon_distance, &p, c);
}

static void fv_draw_rounded(fv_image *im, const fv_point *corners, int n, double round, double width, fv_color c) {
    if (n < 3 || !fv_sane_points(corners, n) || !fv_sane(width)) return;
    fv_outline o = {{corners, n, round}, fv_width(width) / 2};
    fv_paint(im, fv_grown(fv_bounds(corners, n), round + o.half), fv_outline_distance, &o, c);
}

void fv_canvas_fill_polygon(fv_image *im, const fv_point *corners, int n, fv_color c) {
    fv_fill_rounded(im, corners, n, 0, c);
}

void fv_canvas_draw_polygon(fv_image *im, const fv_point *corners, int n, double width, fv_color c) {
    fv_draw_rounded(im, corners, n, 0, width, c);
}

/* A line of n points and, if head has corners, an arrow head: one area. */
typedef struct {
    const fv_point *points;
    int n;
    double half;
    fv_polygon head;
} fv_stroke;

static double fv_stroke_distance(const void *shape, double x, double y) {
    const fv_stroke *s = shape;
    double best = fv_segment_distance2(s->points[0], s->points[0], x, y);
    for (int i = 1; i < s->n; i++) best = fv_min(best, fv_segment_distance2(s->points[i - 1], s->points[i], x, y));
    double d = sqrt(best) - s->half;
    return s->head.n > 0 ? fv_min(d, fv_polygon_distance(&s->head, x, y)) : d;
}

void fv_canvas_polyline(fv_image *im, const fv_point *points, int n, double width, fv_color c) {
    if (n < 1 || !fv_sane_points(points, n) || !fv_sane(width)) return;
    fv_stroke s = {.points = points, .n = n, .half = fv_width(width) / 2};
    fv_paint(im, fv_grown(fv_bounds(points, n), s.half), fv_stroke_distance, &s, c);
}

void fv_canvas_line(fv_image *im, double x1, double y1, double x2, double y2, double width, fv_color c) {
    fv_canvas_polyline(im, (fv_point[]){{x1, y1}, {x2, y2}}, 2, width, c);
}

void fv_canvas_arrow(fv_image *im, const fv_point *points, int n, double width, fv_color c) {
    if (n < 2 || !fv_sane_points(points, n) || !fv_sane(width)) return;
    fv_point tip = points[n - 1], from = points[n - 2];
    double dx = tip.x - from.x, dy = tip.y - from.y, length = sqrt(dx * dx + dy * dy);
    if (!(length > 0)) {
        fv_canvas_polyline(im, points, n, width, c);
        return;
    }
    width = fv_width(width);
    double size = fv_max(4 * width, 8), ux = dx / length, uy = dy / length, bx = tip.x - size * ux, by = tip.y - size * uy, side = 0.45 * size;
    fv_point head[3] = {tip, {bx - side * uy, by + side * ux}, {bx + side * uy, by - side * ux}};
    /* The line ends within the head, so that its round end does not blunt the tip. */
    double rest = fv_max(length - size * 0.8, 0);
    fv_point last[2] = {from, {from.x + ux * rest, from.y + uy * rest}};
    fv_canvas_polyline(im, points, n - 1, width, c);
    fv_stroke s = {.points = last, .n = 2, .half = width / 2, .head = {head, 3, 0}};
    fv_box line = fv_grown(fv_bounds(last, 2), s.half), top = fv_bounds(head, 3);
    fv_paint(im, (fv_box){fv_min(line.x1, top.x1), fv_min(line.y1, top.y1), fv_max(line.x2, top.x2), fv_max(line.y2, top.y2)}, fv_stroke_distance, &s, c);
}

void fv_canvas_point(fv_image *im, double x, double y, double radius, fv_color c) {
    double rim = fv_max(1, radius / 4);
    fv_canvas_fill_disc(im, x, y, radius + rim, fv_color_contrast(c));
    fv_canvas_fill_disc(im, x, y, radius, c);
}

/* ---- shapes by name ------------------------------------------------------------------------------------------------- */

static const char *const fv_shape_names[FV_SHAPE_COUNT] = {"square", "plate", "circle", "triangle", "diamond", "star", "hexagon", "cross"};

const char *fv_shape_name(fv_shape s) {
    return fv_shape_names[s];
}

bool fv_shape_find(fv_shape *out, const char *name) {
    if (strcmp(name, "disc") == 0) name = "circle";
    for (int i = 0; i < FV_SHAPE_COUNT; i++) {
        if (strcmp(name, fv_shape_names[i]) == 0) {
            *out = (fv_shape)i;
            return true;
        }
    }
    return false;
}

/* Corners of a regular polygon, or of a star whose every other corner lies at `inner`; the first one points up. */
static int fv_regular(fv_point *p, int n, double outer, double inner) {
    for (int i = 0; i < n; i++) {
        double cosine, sine, r = i % 2 ? inner : outer;
        fv_turn(360.0 * i / n, &cosine, &sine);
        p[i] = (fv_point){r * sine, -r * cosine};
    }
    return n;
}

/* The shape at radius 1 around (0, 0): at most 12 corners, 0 for the circle. */
static int fv_shape_corners(fv_point p[12], fv_shape s, double *round) {
    *round = 0;
    switch (s) {
    case FV_SHAPE_SQUARE: return fv_regular(p, 4, 1.26, 1.26);
    case FV_SHAPE_PLATE: {
        const fv_point plate[] = {{-0.75, -0.5}, {0.75, -0.5}, {0.75, 0.5}, {-0.75, 0.5}};
        memcpy(p, plate, sizeof plate);
        *round = 0.3;
        return 4;
    }
    case FV_SHAPE_TRIANGLE: return fv_regular(p, 3, 1.35, 1.35);
    case FV_SHAPE_DIAMOND: {
        const fv_point diamond[] = {{0, -1.35}, {1, 0}, {0, 1.35}, {-1, 0}};
        memcpy(p, diamond, sizeof diamond);
        return 4;
    }
    case FV_SHAPE_STAR: return fv_regular(p, 10, 1.35, 0.62);
    case FV_SHAPE_HEXAGON: return fv_regular(p, 6, 1.1, 1.1);
    case FV_SHAPE_CROSS: {
        const double a = 0.38, b = 1.1;
        const fv_point cross[] = {{-a, -b}, {a, -b}, {a, -a}, {b, -a}, {b, a}, {a, a}, {a, b}, {-a, b}, {-a, a}, {-b, a}, {-b, -a}, {-a, -a}};
        memcpy(p, cross, sizeof cross);
        return 12;
    }
    case FV_SHAPE_DISC:
    case FV_SHAPE_COUNT: break;
    }
    return 0;
}

/* Places the shape; returns its number of corners. */
static int fv_shape_place(fv_point p[12], fv_shape s, double x, double y, double radius, double degrees, double *round) {
    double cosine, sine;
    /* A square stands on a side at 0 degrees, fv_regular's on a corner. */
    fv_turn(s == FV_SHAPE_SQUARE ? degrees + 45 : degrees, &cosine, &sine);
    int n = fv_shape_corners(p, s, round);
    for (int i = 0; i < n; i++) p[i] = (fv_point){x + radius * (p[i].x * cosine - p[i].y * sine), y + radius * (p[i].x * sine + p[i].y * cosine)};
    *round *= radius;
    return n;
}

void fv_canvas_fill_shape(fv_image *im, fv_shape s, double x, double y, double radius, double degrees, fv_color c) {
    fv_point p[12];
    double round;
    int n = fv_shape_place(p, s, x, y, radius, degrees, &round);
    if (n == 0) fv_canvas_fill_disc(im, x, y, radius, c);
    else fv_fill_rounded(im, p, n, round, c);
}

void fv_canvas_draw_shape(fv_image *im, fv_shape s, double x, double y, double radius, double degrees, double width, fv_color c) {
    fv_point p[12];
    double round;
    int n = fv_shape_place(p, s, x, y, radius, degrees, &round);
    if (n == 0) fv_canvas_draw_circle(im, x, y, radius, width, c);
    else fv_draw_rounded(im, p, n, round, width, c);
}
