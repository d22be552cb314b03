/* locate: pictures as in visual-search, seen small; where is the plate? The skill that a zoom's box is built on. */
#include "datasets/scene.h"
#include "tools/calls.h"

#include <stdio.h>
#include <string.h>

/* The box as a tool takes it: the form of a call, which an agent's cold start need not begin with. */
static void call_text(char *out, size_t size, fv_maker *m, const char *box) {
    fv_text call = {0};
    json_t *arguments = json_pack("{so}", "bbox_2d", json_loads(box, 0, NULL));
    fv_call_write(&call, "image_zoom_in_tool", arguments);
    snprintf(out, size, "%s", call.data ? call.data : "");
    m->failed |= call.failed || arguments == NULL;
    json_decref(arguments);
    fv_text_clear(&call);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    static const fv_asked box = {"box", "box", FV_PLACE_TOLERANCE}, list = {"list", "box", FV_PLACE_TOLERANCE}, place = {"middle", "place", FV_PLACE_TOLERANCE};
    static const fv_asked call = {"call", "box", FV_PLACE_TOLERANCE};
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_locate, how, index, err));
    fv_search_scene s;
    fv_status status = fv_search_scene_make(&s, &m, fv_maker_int(&m, "size"), err);
    if (status == FV_OK) {
        double scale = (double)m.view / s.size;
        char text[512] = "", question[96], answer[FV_BOX_TEXT];
        bool colors = fv_maker_is(&m, "order", "color");
        if (colors) fv_scene_sort_colors(s.plates, s.count);
        else fv_scene_sort(s.plates, s.count);
        fv_maker_show(&m, fv_maker_picture(&m, s.image));
        bool listed = fv_maker_is(&m, "kinds", "list") || (fv_maker_is(&m, "kinds", "all") && fv_maker_chance(&m, 0.5));
        if (listed) { /* "green [12, 30, 48, 66]; red [..]", from left to right or by colour */
            for (int i = 0; i < s.count; i++) {
                size_t used = strlen(text);
                fv_box_text(answer, fv_plate_box(&s.plates[i]), scale, m.view);
                snprintf(text + used, sizeof text - used, "%s%s %s", used ? "; " : "", fv_plate_color_name(s.plates[i].color), answer);
            }
            fv_maker_ask(&m, list, colors ? "List the plates by colour." : "List the plates from left to right.", text);
        }
        int order[FV_PLATES_MAX];
        for (int i = 0; i < s.count; i++) order[i] = i;
        fv_shuffle(&m.random, order, s.count, sizeof order[0]);
        bool middles = fv_maker_is(&m, "kinds", "middle") || (fv_maker_is(&m, "kinds", "all") && fv_maker_chance(&m, 0.25));
        bool calls = fv_maker_is(&m, "kinds", "call");
        for (int i = 0; i < s.count && !listed && fv_maker_wants(&m, s.count); i++) {
            const fv_plate *p = &s.plates[order[i]];
            if (calls) {
                snprintf(question, sizeof question, "Zoom in on the %s plate.", fv_plate_color_name(p->color));
                fv_box_text(answer, fv_plate_box(p), scale, m.view);
                call_text(text, sizeof text, &m, answer);
                fv_maker_ask(&m, call, question, text);
                continue;
            }
            snprintf(question, sizeof question, "Where is the %s%s plate?", middles ? "middle of the " : "", fv_plate_color_name(p->color));
            if (middles) fv_place_text(answer, p->x, p->y, scale);
            else fv_box_text(answer, fv_plate_box(p), scale, m.view);
            fv_maker_ask(&m, middles ? place : box, question, answer);
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_locate = {"locate", "where plates are in photographs seen small",
                                          "kinds=all|box|middle|list|call order=place|color turns=0[0..8] " FV_SEARCH_OPTIONS, make};
