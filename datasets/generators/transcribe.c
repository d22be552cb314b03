/* transcribe: glyphs on a loose grid, read in reading order. Sixteen labels a picture and a simple route: where seeing begins. */
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A glyph in a colour of its own, or in the contrast of what lies under it, with a seam that sets it off from any ground. */
static void draw_glyph(fv_image *im, fv_maker *m, double x, double y, double cap, char glyph) {
    const uint8_t *under = im->rgb + ((size_t)y * (size_t)im->width + (size_t)x) * 3;
    bool colored = !fv_maker_is(m, "ground", "white") && fv_maker_chance(m, 0.5);
    fv_color ink = colored ? fv_plate_color((int)fv_below(&m->random, FV_PLATE_COLORS)) : fv_color_contrast((fv_color){{under[0], under[1], under[2]}});
    char text[2] = {glyph, '\0'};
    double width = fmax(0.8, cap / 16);
    fv_text_style style = {.size = cap / FV_FONT_CAP, .anchor_x = 0.5, .anchor_y = 0.5, .color = fv_color_contrast(ink)};
    for (int k = 0; k < 4; k++) fv_canvas_text(im, x + (k & 1 ? width : -width), y + (k & 2 ? width : -width), text, &style);
    style.color = ink;
    fv_canvas_text(im, x, y, text, &style);
}

/* A digit as on the plates of visual-search, which a zoom has to read: in a colour of its own on a blotched label, a little turned. */
static fv_status draw_vanishing(fv_image *im, fv_maker *m, double x, double y, double cap, char glyph, fv_error *err) {
    fv_plate p = {.color = (int)fv_below(&m->random, FV_PLATE_COLORS), .glyph = glyph, .glyph_x = x, .glyph_y = y, .cap = fmax(cap, 8), .ink = 1};
    p.degrees = fv_uniform_in(&m->random, -12, 12);
    return fv_scene_draw_vanishing(im, m, &p, err);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    static const char *const questions[] = {"Read the glyphs.", "Transcribe the glyphs in reading order.", "Transcribe the picture."};
    static const fv_asked asked = {"glyphs", "free-form", 0};
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_transcribe, how, index, err));
    fv_image *im = NULL;
    bool white = fv_maker_is(&m, "ground", "white"); /* black on white: the plainest glyphs that there are */
    fv_status status = white ? fv_image_new(&im, m.view, m.view, (const uint8_t[3]){255, 255, 255}, err) : fv_ground_make(&im, &m, m.view, m.view, err);
    if (status == FV_OK) {
        double unit = m.view / 112.0;
        int columns = fv_maker_int(&m, "grid"), rows = fv_maker_int(&m, "grid");
        char text[256] = "";
        bool marks = fv_maker_is(&m, "marks", "yes"); /* a letter for the cell before each glyph: the place to look at is one token, so seeing can begin */
        bool vanishing = fv_maker_is(&m, "style", "vanishing");
        for (int i = 0; i < rows * columns && status == FV_OK; i++) {
            double jitter = fv_maker_number(&m, "jitter") * unit, cap = fv_maker_number(&m, "cap") * unit, edge = cap * 0.55;
            double x = (i % columns + 0.5) * m.view / columns + fv_uniform_in(&m.random, -jitter, jitter + 1e-9);
            double y = ((int)(i / columns) + 0.5) * m.view / rows + fv_uniform_in(&m.random, -jitter, jitter + 1e-9);
            char glyph = fv_scene_glyph_option(&m);
            x = fmin(fmax(x, edge), m.view - edge), y = fmin(fmax(y, edge), m.view - edge);
            if (vanishing) status = draw_vanishing(im, &m, x, y, cap, glyph, err);
            else draw_glyph(im, &m, x, y, cap, glyph);
            size_t used = strlen(text);
            if (marks) snprintf(text + used, sizeof text - used, "%s%c", used ? " " : "", 'a' + i);
            fv_glyphs_append(text, sizeof text, glyph);
        }
        fv_maker_show(&m, fv_maker_picture(&m, im));
        fv_maker_ask(&m, asked, marks ? "Read the glyphs cell by cell." : fv_maker_pick(&m, questions, FV_COUNT(questions)), text);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_transcribe = {
    "transcribe", "glyphs on a jittered grid, read in reading order",
    "grid=4[1..6] jitter=4[0..12] cap=11..16[6..28] glyphs=both|digits|letters ground=mixed|plain|photo|white|varied view=112[56..448] marks=no|yes "
    "style=outlined|vanishing turns=0[0..1]", make};
