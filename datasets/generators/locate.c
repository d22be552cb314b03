/* locate: pictures as in visual-search, seen small; where is the plate? The skill that a zoom's box is built on. */
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

typedef enum { BOX, MIDDLE, LIST, CALL, KIND_COUNT } kind;

/* Names in the option `kinds`; each tells how its answer is scored. */
static const fv_asked kinds[KIND_COUNT] = {
    [BOX] = {"box", "box", FV_PLACE_TOLERANCE},
    [MIDDLE] = {"middle", "place", FV_PLACE_TOLERANCE},
    [LIST] = {"list", "box", FV_PLACE_TOLERANCE},
    [CALL] = {"call", "box", FV_PLACE_TOLERANCE},
};

/* The box as a tool takes it: an agent's cold start need not begin with the form of a call. */
static void call_text(char *out, size_t size, fv_maker *m, const char *box) {
    fv_text call = {0};
    json_decref(fv_maker_zoom(m, &call, json_loads(box, 0, NULL)));
    snprintf(out, size, "%s", call.data ? call.data : "");
    fv_text_clear(&call);
}

static void ask(fv_maker *m, kind k, const fv_plate *p, double scale) {
    char question[96], answer[256], box[FV_BOX_TEXT];
    const char *color = fv_plate_color_name(p->color);
    fv_box_text(box, fv_plate_box(p), scale, m->view);
    snprintf(answer, sizeof answer, "%s", box);
    if (k == CALL) {
        snprintf(question, sizeof question, "Zoom in on the %s plate.", color);
        call_text(answer, sizeof answer, m, box);
    } else if (k == MIDDLE) {
        snprintf(question, sizeof question, "Where is the middle of the %s plate?", color);
        fv_place_text(answer, p->x, p->y, scale);
    } else {
        snprintf(question, sizeof question, "Where is the %s plate?", color);
    }
    fv_maker_ask(m, kinds[k], question, answer);
}

/* "green [12, 30, 48, 66]; red [..]", from left to right or by colour. */
static void list(fv_maker *m, const fv_search_scene *s, bool colors, double scale) {
    char text[512] = "", box[FV_BOX_TEXT];
    for (int i = 0; i < s->count; i++) {
        size_t used = strlen(text);
        fv_box_text(box, fv_plate_box(&s->plates[i]), scale, m->view);
        snprintf(text + used, sizeof text - used, "%s%s %s", used ? "; " : "", fv_plate_color_name(s->plates[i].color), box);
    }
    fv_maker_ask(m, kinds[LIST], colors ? "List the plates by colour." : "List the plates from left to right.", text);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_locate, how, index, err));
    fv_search_scene s;
    fv_status status = fv_search_scene_make(&s, &m, fv_maker_int(&m, "size"), err);
    if (status == FV_OK) {
        double scale = (double)m.view / s.size;
        kind k = KIND_COUNT;
        for (int i = 0; i < KIND_COUNT; i++)
            if (fv_maker_is(&m, "kinds", kinds[i].kind)) k = (kind)i;
        bool colors = fv_maker_is(&m, "order", "color");
        if (colors) fv_scene_sort_colors(s.plates, s.count);
        else fv_scene_sort(s.plates, s.count);
        fv_maker_show(&m, fv_maker_picture(&m, s.image));
        if (k == KIND_COUNT && fv_maker_chance(&m, 0.5)) k = LIST;
        if (k == LIST) {
            list(&m, &s, colors, scale);
        } else {
            fv_shuffle(&m.random, s.plates, s.count, sizeof s.plates[0]);
            if (k == KIND_COUNT) k = fv_maker_chance(&m, 0.25) ? MIDDLE : BOX;
            if (k == CALL) fv_maker_zooms(&m);
            for (int i = 0; i < s.count && fv_maker_wants(&m, s.count); i++) ask(&m, k, &s.plates[i], scale);
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_locate = {"locate", "where plates are in photographs seen small",
                                          "kinds=all|box|middle|list|call order=place|color turns=0[0..8] " FV_SEARCH_OPTIONS, make};
