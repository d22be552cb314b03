#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- plates --------------------------------------------------------------------------------------------------------- */

static const char *const plate_colors[FV_PLATE_COLORS] = {"red", "green", "blue", "yellow", "orange", "purple", "white", "black"};

const char *fv_plate_color_name(int color) {
    return plate_colors[color];
}

fv_color fv_plate_color(int color) {
    fv_color c = {{0, 0, 0}};
    fv_color_find(&c, plate_colors[color]);
    return c;
}

char fv_scene_glyph(fv_maker *m, bool letters) {
    return letters ? FV_LETTERS[fv_below(&m->random, (int64_t)sizeof FV_LETTERS - 1)] : FV_DIGITS[fv_below(&m->random, 10)];
}

void fv_scene_colors(fv_maker *m, fv_plate *plates, int n) {
    int order[FV_PLATE_COLORS];
    for (int i = 0; i < FV_PLATE_COLORS; i++) order[i] = i;
    fv_shuffle(&m->random, order, FV_PLATE_COLORS, sizeof order[0]);
    for (int i = 0; i < n; i++) plates[i].color = order[i % FV_PLATE_COLORS];
}

static double rim_width(const fv_plate *p) {
    return p->radius > 20 ? 2 : 1;
}

fv_box fv_plate_box(const fv_plate *p) {
    /* How far each of canvas.h's shapes reaches from its centre, in radii (tests/datasets/test_generators.c looks at the pixels). */
    static const fv_box reach[FV_SHAPE_COUNT] = {
        [FV_SHAPE_SQUARE] = {-0.891, -0.891, 0.891, 0.891}, [FV_SHAPE_PLATE] = {-1.05, -0.8, 1.05, 0.8},
        [FV_SHAPE_DISC] = {-1, -1, 1, 1},                   [FV_SHAPE_TRIANGLE] = {-1.169, -1.35, 1.169, 0.675},
        [FV_SHAPE_DIAMOND] = {-1, -1.35, 1, 1.35},          [FV_SHAPE_STAR] = {-1.284, -1.35, 1.284, 1.092},
        [FV_SHAPE_HEXAGON] = {-0.953, -1.1, 0.953, 1.1},    [FV_SHAPE_CROSS] = {-1.1, -1.1, 1.1, 1.1},
    };
    fv_box b = reach[p->shape];
    double rim = rim_width(p) / 2;
    return (fv_box){p->x + b.x1 * p->radius - rim, p->y + b.y1 * p->radius - rim, p->x + b.x2 * p->radius + rim, p->y + b.y2 * p->radius + rim};
}

/* Boxes that are closer than `gap`, corners included. */
static bool close_by(fv_box a, fv_box b, double gap) {
    return a.x1 < b.x2 + gap && b.x1 < a.x2 + gap && a.y1 < b.y2 + gap && b.y1 < a.y2 + gap;
}

int fv_scene_place(fv_maker *m, fv_plate *plates, int n, double width, double height, double gap) {
    int placed = 0;
    for (int tries = 0; placed < n && tries < 60 * n; tries++) {
        fv_plate *p = &plates[placed];
        p->x = p->y = 0;
        fv_box b = fv_plate_box(p);
        p->glyph_x = p->x = fv_uniform_in(&m->random, gap - b.x1, width - gap - b.x2);
        p->glyph_y = p->y = fv_uniform_in(&m->random, gap - b.y1, height - gap - b.y2);
        b = fv_plate_box(p);
        bool free = true;
        for (int i = 0; i < placed && free; i++) free = !close_by(b, fv_plate_box(&plates[i]), gap);
        placed += free;
    }
    return placed;
}

static int by_x(const void *a, const void *b) {
    const fv_plate *p = a, *q = b;
    return p->x < q->x ? -1 : p->x > q->x;
}

static int by_color(const void *a, const void *b) {
    return ((const fv_plate *)a)->color - ((const fv_plate *)b)->color;
}

void fv_scene_sort(fv_plate *plates, int n) {
    qsort(plates, (size_t)n, sizeof *plates, by_x);
}

void fv_scene_sort_colors(fv_plate *plates, int n) {
    qsort(plates, (size_t)n, sizeof *plates, by_color);
}

char fv_scene_cell(const fv_plate *p, int view) {
    int column = fv_clamp_int((int)(p->x * FV_CELLS / view), 0, FV_CELLS - 1), row = fv_clamp_int((int)(p->y * FV_CELLS / view), 0, FV_CELLS - 1);
    return (char)('a' + row * FV_CELLS + column);
}

void fv_scene_sort_cells(fv_plate *plates, int n, int view) {
    for (int i = 1; i < n; i++) /* a handful */
        for (int j = i; j > 0 && fv_scene_cell(&plates[j], view) < fv_scene_cell(&plates[j - 1], view); j--) {
            fv_plate p = plates[j];
            plates[j] = plates[j - 1];
            plates[j - 1] = p;
        }
}

fv_box fv_plate_glyph_box(const fv_plate *p) {
    double half = p->cap * 0.5;
    return (fv_box){p->glyph_x - half, p->glyph_y - half, p->glyph_x + half, p->glyph_y + half};
}

void fv_scene_draw_plate(fv_image *im, const fv_plate *p) {
    fv_color plate = fv_plate_color(p->color);
    fv_canvas_fill_shape(im, p->shape, p->x, p->y, p->radius, 0, plate);
    fv_canvas_draw_shape(im, p->shape, p->x, p->y, p->radius, 0, rim_width(p), fv_color_contrast(plate));
}

/* Between the plate's colour (0) and its contrast colour (1). */
static fv_color mark_color(const fv_plate *p, double strength) {
    fv_color plate = fv_plate_color(p->color), mark = fv_color_contrast(plate);
    for (int c = 0; c < 3; c++) mark.rgb[c] = (uint8_t)(plate.rgb[c] + (mark.rgb[c] - plate.rgb[c]) * strength);
    return mark;
}

void fv_scene_draw_glyph(fv_image *im, const fv_plate *p) {
    fv_canvas_text(im, p->glyph_x, p->glyph_y, (char[2]){p->glyph, '\0'},
                   &(fv_text_style){.size = p->cap / FV_FONT_CAP, .degrees = p->degrees, .anchor_x = 0.5, .anchor_y = 0.5, .color = mark_color(p, p->ink)});
}

void fv_scene_draw(fv_image *im, const fv_plate *p) {
    fv_scene_draw_plate(im, p);
    if (p->glyph != '\0') fv_scene_draw_glyph(im, p);
}

/* ---- scenes of the view's size ------------------------------------------------------------------------------------------ */

char fv_scene_glyph_option(fv_maker *m) {
    bool letters = fv_maker_chance(m, 0.5);
    if (fv_maker_is(m, "glyphs", "none")) return '\0';
    return fv_scene_glyph(m, fv_maker_is(m, "glyphs", "both") ? letters : fv_maker_is(m, "glyphs", "letters"));
}

fv_shape fv_scene_shape(fv_maker *m) {
    static const fv_shape shapes[] = {FV_SHAPE_DISC, FV_SHAPE_SQUARE, FV_SHAPE_TRIANGLE, FV_SHAPE_DIAMOND, FV_SHAPE_STAR, FV_SHAPE_CROSS};
    return shapes[fv_below(&m->random, (int64_t)FV_COUNT(shapes))];
}

/* Sorted plates whose order along x can be seen. */
static bool in_order(const fv_plate *plates, int n, double apart) {
    for (int i = 1; i < n; i++)
        if (plates[i].x - plates[i - 1].x < apart) return false;
    return true;
}

/* Each plate in a cell of its own. */
static void place_in_cells(fv_maker *m, fv_plate *plates, int n) {
    int cells[FV_CELLS * FV_CELLS];
    for (int i = 0; i < FV_CELLS * FV_CELLS; i++) cells[i] = i;
    fv_shuffle(&m->random, cells, FV_CELLS * FV_CELLS, sizeof cells[0]);
    double side = (double)m->view / FV_CELLS, jitter = fv_maker_number(m, "jitter") * m->view / 112;
    for (int i = 0; i < n; i++) {
        fv_plate *p = &plates[i];
        p->x = p->glyph_x = (cells[i] % FV_CELLS + 0.5) * side + fv_uniform_in(&m->random, -jitter, jitter + 1e-9);
        p->y = p->glyph_y = ((int)(cells[i] / FV_CELLS) + 0.5) * side + fv_uniform_in(&m->random, -jitter, jitter + 1e-9);
    }
}

fv_status fv_scene_plates(fv_image **out, fv_plate plates[FV_PLATES_MAX], int *count, fv_maker *m, fv_error *err) {
    double unit = m->view / 112.0;
    int n = fv_maker_int(m, "plates");
    for (int i = 0; i < n; i++) {
        double radius = fv_maker_number(m, "radius") * unit;
        plates[i] = (fv_plate){.shape = fv_scene_shape(m), .radius = radius, .cap = 0.8 * radius, .glyph = fv_scene_glyph_option(m), .ink = 1};
    }
    fv_scene_colors(m, plates, n);
    bool cells = fv_maker_is(m, "spread", "cells");
    if (cells) {
        *count = n;
        place_in_cells(m, plates, n);
        fv_scene_sort(plates, n);
    }
    for (int tries = 0; tries < 20 && !cells; tries++) { /* then a doubtful order is put up with */
        *count = fv_scene_place(m, plates, n, m->view, m->view, unit);
        fv_scene_sort(plates, *count);
        if (*count == n && in_order(plates, *count, 3 * unit)) break;
    }
    FV_TRY(fv_ground_make(out, m, m->view, m->view, err));
    for (int i = 0; i < *count; i++) fv_scene_draw(*out, &plates[i]);
    return FV_OK;
}

/* ---- the search scene ----------------------------------------------------------------------------------------------- */

/* Blots of about a view pixel, so that what is left of a glyph in the view drowns in them; the glyph's own strokes are finer and much stronger. */
enum { SIDE_MAX = 160, BLOT = 4 };
static const double blot_strength = 0.3;

static void make_blots(double blots[(SIDE_MAX / BLOT + 2) * (SIDE_MAX / BLOT + 2)], fv_maker *m, int side) {
    for (int i = 0; i < (side / BLOT + 2) * (SIDE_MAX / BLOT + 2); i++) blots[i] = fv_uniform_in(&m->random, -blot_strength, blot_strength);
}

/* Between four neighbours, linearly. */
static double blot(const double *blots, int x, int y) {
    const double *at = blots + (y / BLOT) * (SIDE_MAX / BLOT + 2) + x / BLOT;
    double u = (x % BLOT) / (double)BLOT, v = (y % BLOT) / (double)BLOT;
    const double *below = at + SIDE_MAX / BLOT + 2;
    return (at[0] * (1 - u) + at[1] * u) * (1 - v) + (below[0] * (1 - u) + below[1] * u) * v;
}

/* A glyph that vanishes when it is not resolved: a core in the contrast colour, a seam in the plate's colour around it, on a label of just the mix of
 * both that the two have on average. Seen four times smaller the label is a patch of one colour, whatever the glyph is (Howland, Ginsburg and Campbell,
 * High-pass spatial frequency letters as clinical optotypes, Vision Research 18, 1978). */
fv_status fv_scene_draw_vanishing(fv_image *im, fv_maker *m, const fv_plate *p, fv_error *err) {
    int side = fv_clamp_int((int)(2.4 * p->cap) + 4, 8, SIDE_MAX), x0 = (int)floor(p->glyph_x) - side / 2, y0 = (int)floor(p->glyph_y) - side / 2;
    double x = p->glyph_x - x0, y = p->glyph_y - y0, seam = p->cap * 0.1;
    fv_image *ink; /* red: core, green: core and seam, blue: label */
    FV_TRY(fv_image_new(&ink, side, side, (const uint8_t[3]){0, 0, 0}, err));
    fv_canvas_fill_disc(ink, x, y, p->cap * 1.05, (fv_color){{0, 0, 255}});
    char text[2] = {p->glyph, '\0'};
    fv_text_style style = {.size = p->cap / FV_FONT_CAP, .degrees = p->degrees, .anchor_x = 0.5, .anchor_y = 0.5, .color = {{0, 255, 255}}};
    for (int k = 0; k < 8; k++) {
        double cosine, sine;
        fv_turn(45 * k, &cosine, &sine);
        fv_canvas_text(ink, x + seam * cosine, y + seam * sine, text, &style);
    }
    style.color = (fv_color){{255, 255, 255}};
    fv_canvas_text(ink, x, y, text, &style);
    double core = 0, both = 1;
    for (const uint8_t *at = ink->rgb, *end = at + 3 * side * side; at < end; at += 3) core += at[0], both += at[1];
    double blots[(SIDE_MAX / BLOT + 2) * (SIDE_MAX / BLOT + 2)];
    make_blots(blots, m, side);
    fv_color plate = fv_plate_color(p->color), mark = fv_color_contrast(plate);
    for (int row = 0; row < side; row++) {
        for (int column = 0; column < side; column++) {
            if (x0 + column < 0 || y0 + row < 0 || x0 + column >= im->width || y0 + row >= im->height) continue;
            const uint8_t *from = ink->rgb + 3 * (row * side + column);
            uint8_t *to = im->rgb + 3 * ((size_t)(y0 + row) * (size_t)im->width + (size_t)(x0 + column));
            double level = (from[0] + (255 - from[1]) * (core / both)) / 255 + blot(blots, column, row), label = from[2] / 255.0;
            for (int c = 0; c < 3; c++) to[c] = (uint8_t)fv_clamp_int((int)(to[c] * (1 - label) + (plate.rgb[c] + (mark.rgb[c] - plate.rgb[c]) * level) * label + 0.5), 0, 255);
        }
    }
    fv_image_free(ink);
    return FV_OK;
}

/* As the option glyphs=digits|letters|both says; scenes without it have digits. */
static char search_glyph(fv_maker *m) {
    return fv_scene_glyph(m, fv_maker_is(m, "glyphs", "letters") || (fv_maker_is(m, "glyphs", "both") && fv_maker_chance(m, 0.5)));
}

fv_status fv_search_scene_make(fv_search_scene *s, fv_maker *m, int size, fv_error *err) {
    memset(s, 0, sizeof *s);
    s->size = size;
    s->count = fv_maker_int(m, "plates");
    for (int i = 0; i < s->count; i++) {
        fv_plate *p = &s->plates[i];
        *p = (fv_plate){.shape = fv_maker_chance(m, 0.5) ? FV_SHAPE_DISC : FV_SHAPE_PLATE, .radius = fv_maker_number(m, "plate") / 2,
                        .cap = fv_maker_number(m, "digit"), .glyph = search_glyph(m), .ink = fv_uniform_in(&m->random, 0.75, 1),
                        .degrees = fv_uniform_in(&m->random, -12, 12)};
    }
    fv_scene_colors(m, s->plates, s->count);
    s->count = fv_scene_place(m, s->plates, s->count, s->size, s->size, 6);
    bool varied = fv_maker_is(m, "ground", "varied");
    FV_TRY((varied ? fv_ground_varied : fv_ground_photograph)(&s->image, m, s->size, s->size, 1, err));
    fv_status status = FV_OK;
    for (int i = 0; i < s->count && status == FV_OK; i++) {
        fv_plate *p = &s->plates[i];
        double room = fmax(0.7 * p->radius - 1.1 * p->cap, 0); /* the glyph stands anywhere on its plate */
        p->glyph_x += fv_uniform_in(&m->random, -room, room + 1e-9);
        p->glyph_y += fv_uniform_in(&m->random, -room, room + 1e-9);
        fv_scene_draw_plate(s->image, p);
        status = fv_scene_draw_vanishing(s->image, m, p, err);
    }
    if (status != FV_OK) {
        fv_image_free(s->image);
        s->image = NULL;
    }
    return status;
}

/* ---- texts ---------------------------------------------------------------------------------------------------------- */

void fv_box_text(char out[FV_BOX_TEXT], fv_box b, double scale, int view) {
    snprintf(out, FV_BOX_TEXT, "[%d, %d, %d, %d]", fv_clamp_int((int)floor(b.x1 * scale + 0.5), 0, view), fv_clamp_int((int)floor(b.y1 * scale + 0.5), 0, view),
             fv_clamp_int((int)floor(b.x2 * scale + 0.5), 0, view), fv_clamp_int((int)floor(b.y2 * scale + 0.5), 0, view));
}

void fv_place_text(char out[FV_BOX_TEXT], double x, double y, double scale) {
    snprintf(out, FV_BOX_TEXT, "%d %d", (int)floor(x * scale + 0.5), (int)floor(y * scale + 0.5));
}

void fv_glyphs_append(char *out, size_t size, char glyph) {
    size_t used = strlen(out);
    bool letter = glyph < '0' || glyph > '9';
    snprintf(out + used, size - used, "%s%c", letter && used > 0 ? " " : "", glyph);
}
