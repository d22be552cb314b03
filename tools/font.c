/* Text on pictures: stb_truetype turns the outlines of tools/fonts into coverage. Outlines are turned before they are filled, so that text at any
 * angle is as sharp as upright text; no hinting, so that a glyph keeps its form at any fraction of a pixel. */
#include "tools/canvas.h"
#include "tools/font_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STB_TRUETYPE_IMPLEMENTATION
#define STBTT_STATIC
#include <stb/stb_truetype.h>

/* A capital's height, in the font's units (2816 an em); OS/2's sCapHeight. */
enum { FV_CAP_UNITS = 2048 };

/* Larger text than this is drawn at this size: one glyph's coverage stays below 16 MB. */
static const double fv_size_most = 2000;

/* 0: as large as is easily read. */
static double fv_size_of(double asked) { return asked == 0 ? 14 : fmin(asked, fv_size_most); }

/* Walks over the printable characters of a text; bytes that continue a UTF-8 character are skipped, others outside of ASCII are '?'. */
static int fv_next_character(const char **text) {
    while (((unsigned char)**text & 0xC0) == 0x80) ++*text;
    unsigned char c = (unsigned char)**text;
    if (c == '\0') return 0;
    ++*text;
    return c >= 0x20 && c < 0x7F ? c : '?';
}

/* One line, laid out in font units (y up, base line at 0). */
typedef struct {
    stbtt_fontinfo font;
    double left, right; /* ink of all characters; left > right: none */
} fv_layout;

static bool fv_layout_text(fv_layout *l, const char *text) {
    if (!stbtt_InitFont(&l->font, fv_font_data, 0)) return false;
    l->left = HUGE_VAL;
    l->right = -HUGE_VAL;
    double pen = 0;
    for (int c; (c = fv_next_character(&text)) != 0;) {
        int x1, y1, x2, y2, advance, bearing, glyph = stbtt_FindGlyphIndex(&l->font, c);
        stbtt_GetGlyphHMetrics(&l->font, glyph, &advance, &bearing);
        if (stbtt_GetGlyphBox(&l->font, glyph, &x1, &y1, &x2, &y2) && x1 < x2) {
            l->left = fmin(l->left, pen + x1);
            l->right = fmax(l->right, pen + x2);
        }
        pen += advance;
    }
    return true;
}

/* Font units to pixels: scale, then turn about the anchor. */
typedef struct {
    double x, y, scale, cosine, sine, anchor_x, anchor_y;
} fv_placing;

static fv_point fv_place(const fv_placing *p, double u, double v) {
    double sx = (u - p->anchor_x) * p->scale, sy = (p->anchor_y - v) * p->scale;
    return (fv_point){p->x + sx * p->cosine - sy * p->sine, p->y + sx * p->sine + sy * p->cosine};
}

/* Turns a point of an outline about the glyph's origin, in font units: rounding to them is 1/2816 em. */
static void fv_turn_vertex(stbtt_vertex_type *x, stbtt_vertex_type *y, const fv_placing *p) {
    double u = *x * p->cosine + *y * p->sine, v = *y * p->cosine - *x * p->sine;
    *x = (stbtt_vertex_type)floor(u + 0.5);
    *y = (stbtt_vertex_type)floor(v + 0.5);
}

static void fv_grow(fv_box *b, double x, double y) {
    *b = (fv_box){fmin(b->x1, x), fmin(b->y1, y), fmax(b->x2, x), fmax(b->y2, y)};
}

/* Fills an outline in font units whose origin stands at `o` into the picture. */
static void fv_fill_outline(fv_image *im, stbtt_vertex *vertices, int count, fv_box ink, fv_point o, double scale, fv_color c) {
    fv_box seen = fv_box_clip(ink, im->width, im->height);
    if (seen.x1 >= seen.x2 || seen.y1 >= seen.y2) return;
    int x1 = (int)floor(ink.x1), y1 = (int)floor(ink.y1), width = (int)ceil(ink.x2) - x1 + 1, height = (int)ceil(ink.y2) - y1 + 1;
    stbtt__bitmap bitmap = {width, height, width, calloc((size_t)width * (size_t)height, 1)};
    if (bitmap.pixels == NULL) return;
    /* stb takes the origin relative to the bitmap; 0.35 pixels is its own measure of how flat curves may be cut. */
    stbtt_Rasterize(&bitmap, 0.35f, vertices, count, (float)scale, (float)scale, (float)(o.x - x1), (float)(o.y - y1), 0, 0, 1, NULL);
    for (int y = y1 < 0 ? -y1 : 0; y < height && y1 + y < im->height; y++)
        for (int x = x1 < 0 ? -x1 : 0; x < width && x1 + x < im->width; x++)
            if (bitmap.pixels[y * width + x]) fv_canvas_blend(im, x1 + x, y1 + y, bitmap.pixels[y * width + x], c);
    free(bitmap.pixels);
}

/* Draws (unless im is NULL) one glyph whose pen stands at `pen`; grows `extent` by its ink. */
static void fv_glyph(fv_image *im, const fv_layout *l, int glyph, double pen, const fv_placing *p, fv_color c, fv_box *extent) {
    stbtt_vertex *vertices = NULL;
    int count = stbtt_GetGlyphShape(&l->font, glyph, &vertices);
    fv_point o = fv_place(p, pen, 0);
    fv_box ink = {HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    for (int i = 0; i < count; i++) {
        stbtt_vertex *v = &vertices[i];
        fv_turn_vertex(&v->x, &v->y, p);
        fv_turn_vertex(&v->cx, &v->cy, p);
        fv_turn_vertex(&v->cx1, &v->cy1, p);
        fv_grow(&ink, o.x + v->x * p->scale, o.y - v->y * p->scale);
        if (v->type == STBTT_vcurve || v->type == STBTT_vcubic) fv_grow(&ink, o.x + v->cx * p->scale, o.y - v->cy * p->scale);
        if (v->type == STBTT_vcubic) fv_grow(&ink, o.x + v->cx1 * p->scale, o.y - v->cy1 * p->scale);
    }
    if (ink.x1 < ink.x2) {
        fv_grow(extent, ink.x1, ink.y1);
        fv_grow(extent, ink.x2, ink.y2);
        if (im != NULL) fv_fill_outline(im, vertices, count, ink, o, p->scale, c);
    }
    stbtt_FreeShape(&l->font, vertices);
}

/* Draws, or only measures when im is NULL. */
static fv_box fv_write(fv_image *im, double x, double y, const char *text, const fv_text_style *style) {
    fv_box nothing = {x, y, x, y}, extent = {HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    double size = fv_size_of(style->size);
    fv_layout l;
    if (!(size > 0) || !(fabs(x) <= 1e6) || !(fabs(y) <= 1e6) || !(fabs(style->anchor_x) <= 1e3) || !(fabs(style->anchor_y) <= 1e3)) return nothing;
    if (!fv_layout_text(&l, text) || l.left > l.right) return nothing;
    fv_placing p = {.x = x, .y = y, .scale = (double)stbtt_ScaleForMappingEmToPixels(&l.font, (float)size)};
    p.anchor_x = l.left + style->anchor_x * (l.right - l.left);
    p.anchor_y = FV_CAP_UNITS * (1 - style->anchor_y);
    fv_turn(style->degrees, &p.cosine, &p.sine);
    double pen = 0;
    for (int c; (c = fv_next_character(&text)) != 0;) {
        int advance, bearing, glyph = stbtt_FindGlyphIndex(&l.font, c);
        stbtt_GetGlyphHMetrics(&l.font, glyph, &advance, &bearing);
        fv_glyph(im, &l, glyph, pen, &p, style->color, &extent);
        pen += advance;
    }
    return extent.x1 < extent.x2 ? extent : nothing;
}

fv_box fv_canvas_text(fv_image *im, double x, double y, const char *text, const fv_text_style *style) {
    return fv_write(im, x, y, text, style);
}

fv_box fv_canvas_text_extent(double x, double y, const char *text, const fv_text_style *style) {
    return fv_write(NULL, x, y, text, style);
}

/* ---- labels --------------------------------------------------------------------------------------------------------- */

/* The plate of a label at (0, 0): the text's width and the cap height, with room for descenders and for the rounded corners. */
static fv_box fv_label_plate(const char *text, double size) {
    fv_box ink = fv_canvas_text_extent(0, 0, text, &(fv_text_style){.size = size});
    double pad = size * 0.25;
    return (fv_box){0, 0, ceil(ink.x2 + 2 * pad), ceil(size * FV_FONT_CAP + 2.4 * pad)};
}

/* Moves a span of `length` that starts at `at` into [0, limit]; what is longer starts at 0. */
static double fv_fit(double at, double length, double limit) {
    double last = fmax(limit - length, 0);
    return at < 0 ? 0 : at > last ? last : at;
}

fv_box fv_canvas_label(fv_image *im, double x, double y, const char *text, double size, fv_color c) {
    size = fv_size_of(size);
    fv_box plate = fv_label_plate(text, size);
    if (!(size > 0) || !(fabs(x) <= 1e6) || !(fabs(y) <= 1e6) || text[0] == '\0') return (fv_box){x, y, x, y};
    x = floor(fv_fit(x, plate.x2, im->width));
    y = floor(fv_fit(y, plate.y2, im->height));
    plate = (fv_box){x, y, x + plate.x2, y + plate.y2};
    fv_canvas_fill_plate(im, plate, size * 0.2, c);
    fv_canvas_text(im, x + size * 0.25, (plate.y1 + plate.y2) / 2, text, &(fv_text_style){.size = size, .anchor_y = 0.5, .color = fv_color_contrast(c)});
    return plate;
}

/* Where a span of `length` goes beside `at`: behind a gap, else before it. */
static double fv_beside(double at, double gap, double length, double limit) {
    return at + gap + length <= limit || at - gap - length < 0 ? at + gap : at - gap - length;
}

fv_box fv_canvas_label_beside(fv_image *im, double x, double y, double gap, const char *text, double size, fv_color c) {
    fv_box plate = fv_label_plate(text, fv_size_of(size));
    return fv_canvas_label(im, fv_beside(x, gap, plate.x2, im->width), fv_beside(y, gap, plate.y2, im->height), text, size, c);
}

void fv_canvas_labelled_box(fv_image *im, fv_box b, double width, fv_color c, const char *label, double size) {
    fv_canvas_draw_box(im, b, width, c);
    if (label == NULL || label[0] == '\0') return;
    double height = fv_label_plate(label, fv_size_of(size)).y2;
    bool above = b.y1 >= height, inside = b.y2 - b.y1 > 2 * height || b.y2 + height > im->height; /* one that would hide the box is put below it */
    fv_canvas_label(im, b.x1, above ? b.y1 - height : inside ? b.y1 : b.y2, label, size, c);
}
