/* ask: several questions about one picture of plates: by colour, by shape, by place, by glyph. */
#include "datasets/scene.h"

#include <stdio.h>

typedef enum { COLOR_GLYPH, SHAPE_GLYPH, PLACE_GLYPH, COLOR_PLACE, COLOR_BOX, PLACE_COLOR, GLYPH_COLOR, COLOR_SHAPE, KIND_COUNT } kind;

/* Names in the option `kinds`; each tells how its answer is scored. */
static const fv_asked kinds[KIND_COUNT] = {
    [COLOR_GLYPH] = {"color-glyph", "free-form", 0}, [SHAPE_GLYPH] = {"shape-glyph", "free-form", 0},
    [PLACE_GLYPH] = {"place-glyph", "free-form", 0}, [COLOR_PLACE] = {"color-place", "place", FV_PLACE_TOLERANCE},
    [COLOR_BOX] = {"color-box", "box", FV_PLACE_TOLERANCE}, [PLACE_COLOR] = {"place-color", "free-form", 0},
    [GLYPH_COLOR] = {"glyph-color", "free-form", 0}, [COLOR_SHAPE] = {"color-shape", "free-form", 0},
};

/* Whether the question has one answer: no other plate has the shape, or the glyph. */
static bool is_plain(kind k, const fv_plate *plates, int count, int asked) {
    const fv_plate *p = &plates[asked];
    if (p->glyph == '\0' && (k == COLOR_GLYPH || k == SHAPE_GLYPH || k == PLACE_GLYPH || k == GLYPH_COLOR)) return false;
    for (int i = 0; i < count; i++) {
        if (i != asked && k == SHAPE_GLYPH && plates[i].shape == p->shape) return false;
        if (i != asked && k == GLYPH_COLOR && plates[i].glyph == p->glyph) return false;
    }
    return true;
}

static void ask(fv_maker *m, kind k, const fv_plate *p) {
    char question[128], answer[FV_BOX_TEXT] = {p->glyph, '\0'}, place[FV_BOX_TEXT];
    const char *color = fv_plate_color_name(p->color), *word = fv_glyph_word(p->glyph);
    const char *which = fv_maker_chance(m, 0.7) ? "Which" : "What";
    fv_place_text(place, p->x, p->y, 1);
    switch (k) {
    case COLOR_GLYPH: snprintf(question, sizeof question, "%s %s is on the %s plate?", which, word, color); break;
    case SHAPE_GLYPH: snprintf(question, sizeof question, "%s %s is on the %s?", which, word, fv_shape_name(p->shape)); break;
    case PLACE_GLYPH: snprintf(question, sizeof question, "%s %s is at %s?", which, word, place); break;
    case COLOR_PLACE:
        snprintf(question, sizeof question, "Where is the middle of the %s plate?", color);
        snprintf(answer, sizeof answer, "%s", place);
        break;
    case COLOR_BOX:
        snprintf(question, sizeof question, "Where is the %s plate?", color);
        fv_box_text(answer, fv_plate_box(p), 1, m->view);
        break;
    case PLACE_COLOR:
        snprintf(question, sizeof question, "%s colour is at %s?", which, place);
        snprintf(answer, sizeof answer, "%s", color);
        break;
    case GLYPH_COLOR:
        snprintf(question, sizeof question, "%s colour is the plate with the %s %c?", which, word, p->glyph);
        snprintf(answer, sizeof answer, "%s", color);
        break;
    default:
        snprintf(question, sizeof question, "%s shape is the %s plate?", which, color);
        snprintf(answer, sizeof answer, "%s", fv_shape_name(p->shape));
        break;
    }
    fv_maker_ask(m, kinds[k], question, answer);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_ask, how, index, err));
    fv_image *im = NULL;
    fv_plate plates[FV_PLATES_MAX];
    int count;
    fv_status status = fv_scene_plates(&im, plates, &count, &m, err);
    if (status == FV_OK) {
        int only = KIND_COUNT;
        for (int k = 0; k < KIND_COUNT; k++)
            if (fv_maker_is(&m, "kinds", kinds[k].kind)) only = k;
        fv_maker_show(&m, fv_maker_picture(&m, im));
        while (fv_maker_wants(&m, 6)) {
            kind k = only < KIND_COUNT ? (kind)only : (kind)fv_below(&m.random, KIND_COUNT);
            int i = (int)fv_below(&m.random, count);
            if (is_plain(k, plates, count, i)) ask(&m, k, &plates[i]);
            else if (only < KIND_COUNT && !fv_maker_chance(&m, 0.95)) only = COLOR_SHAPE; /* nothing in this picture can be asked that way */
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_ask = {
    "ask", "questions about plates: by colour, shape, place or glyph",
    "plates=3..6[1..8] kinds=all|color-glyph|shape-glyph|place-glyph|color-place|color-box|place-color|glyph-color|color-shape " FV_PLATES_OPTIONS, make};
