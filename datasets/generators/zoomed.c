/* zoomed: what a zoom shows. Crops around a plate of a visual-search picture, wider or narrower and off its middle; or a small picture
 * full of such plates, which has more to read. */
#include "datasets/scene.h"

#include <stdio.h>

/* Where a window of `side` starts so that `at` lies anywhere in it, now and then just outside. */
static int window_start(fv_maker *m, double at, int side, int size) {
    int start = (int)(at + fv_uniform_in(&m->random, -0.42, 0.42) * side - side / 2.0);
    return start < 0 ? 0 : start > size - side ? size - side : start;
}

static fv_status cut_around(fv_image **out, fv_box *box, fv_maker *m, const fv_search_scene *s, const fv_plate *p, fv_error *err) {
    int width = fv_maker_int(m, "side"), height = (int)(width * fv_uniform_in(&m->random, 0.7, 1.4));
    if (height > s->size) height = s->size;
    int x = window_start(m, p->glyph_x, width, s->size), y = window_start(m, p->glyph_y, height, s->size);
    *box = (fv_box){x, y, x + width, y + height};
    return fv_image_crop(out, s->image, x, y, width, height, err);
}

/* Plates whose digits are whole inside the box come first; returns how many. */
static int keep_visible(fv_search_scene *s, fv_box box) {
    int visible = 0;
    for (int i = 0; i < s->count; i++) {
        fv_box glyph = fv_plate_glyph_box(&s->plates[i]);
        if (fv_box_inside(glyph, box) < 1) continue;
        fv_plate p = s->plates[visible];
        s->plates[visible++] = s->plates[i];
        s->plates[i] = p;
    }
    return visible;
}

static void ask(fv_maker *m, fv_search_scene *s, int visible) {
    static const fv_asked all = {"digits", "free-form", 0}, one = {"digit", "free-form", 0};
    char text[64] = "", question[96];
    fv_scene_sort(s->plates, visible);
    if (fv_maker_is(m, "kinds", "digits") || visible == 0 || (fv_maker_is(m, "kinds", "all") && fv_maker_chance(m, 0.4))) {
        for (int i = 0; i < visible; i++) fv_glyphs_append(text, sizeof text, s->plates[i].glyph);
        fv_maker_ask(m, all, "Read the digits from left to right.", visible ? text : "none");
        if (m->turns == 1) return;
    }
    fv_shuffle(&m->random, s->plates, visible, sizeof s->plates[0]);
    for (int i = 0; i < visible && (i == 0 || fv_maker_wants(m, visible + 1)); i++) {
        bool tags = fv_maker_is(m, "tags", "yes");
        snprintf(question, sizeof question, "%s digit is on the %s plate?%s", fv_maker_chance(m, 0.7) ? "Which" : "What", fv_plate_color_name(s->plates[i].color),
                 tags ? " Answer in tags." : "");
        snprintf(text, sizeof text, tags ? "<answer>%c</answer>" : "%c", s->plates[i].glyph);
        fv_maker_ask(m, one, question, text);
    }
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_zoomed, how, index, err));
    bool crowd = fv_maker_is(&m, "scene", "crowd") || (fv_maker_is(&m, "scene", "mixed") && fv_maker_chance(&m, 0.4));
    fv_search_scene s;
    fv_status status = fv_search_scene_make(&s, &m, crowd ? fv_maker_int(&m, "crowd") : fv_maker_int(&m, "size"), err);
    fv_image *crop = NULL;
    fv_box box = {0, 0, s.size, s.size};
    if (status == FV_OK && !crowd) {
        status = cut_around(&crop, &box, &m, &s, &s.plates[fv_below(&m.random, s.count)], err);
        fv_image_free(s.image);
        s.image = crop;
    }
    if (status == FV_OK) {
        fv_maker_show(&m, fv_maker_picture(&m, s.image));
        ask(&m, &s, keep_visible(&s, box));
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_zoomed = {"zoomed", "digits in crops of photographs, as a zoom shows them",
                                          "scene=mixed|search|crowd side=40..140[16..224] crowd=112..168[112..224] kinds=all|digit|digits tags=no|yes "
                                          "turns=0[0..8] " FV_SEARCH_OPTIONS, make};
