/* describe: plates from left to right, by colour or cell by cell, each with its shape, glyph, place and size: five labels a plate. By colour is an easier
 * route than by place: the first word asks only whether a colour is there, and what follows is looked up by it. By cell is the easiest: its letter is where to look. */
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef enum { BY_PLACE, BY_COLOR, BY_CELL } ordering;

/* "green circle 7 at 34 80 size 20"; with marks "green e circle 7 ...", and by cell "e green circle 7 ..." */
static void append_plate(char *text, size_t size, const fv_plate *p, ordering order, bool marks, bool places, int view) {
    size_t used = strlen(text);
    char before[3] = "", after[3] = "";
    if (order == BY_CELL) snprintf(before, sizeof before, "%c ", fv_scene_cell(p, view));
    else if (marks) snprintf(after, sizeof after, " %c", fv_scene_cell(p, view));
    used += (size_t)snprintf(text + used, size - used, "%s%s%s%s %s", used ? "; " : "", before, fv_plate_color_name(p->color), after, fv_shape_name(p->shape));
    if (p->glyph != '\0') used += (size_t)snprintf(text + used, size - used, " %c", p->glyph);
    char place[FV_BOX_TEXT];
    fv_place_text(place, p->x, p->y, 1);
    if (places) snprintf(text + used, size - used, " at %s size %d", place, (int)floor(2 * p->radius + 0.5));
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    static const char *const questions[] = {"Describe the plates.", "Describe the picture.", "List the plates from left to right."};
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_describe, how, index, err));
    bool places = fv_maker_is(&m, "places", "yes"), marks = fv_maker_is(&m, "marks", "yes");
    ordering order = fv_maker_is(&m, "order", "color") ? BY_COLOR : fv_maker_is(&m, "order", "cell") ? BY_CELL : BY_PLACE;
    fv_image *im = NULL;
    fv_plate plates[FV_PLATES_MAX];
    int count;
    fv_status status = fv_scene_plates(&im, plates, &count, &m, err);
    if (status == FV_OK) {
        char text[512] = "";
        if (order == BY_COLOR) fv_scene_sort_colors(plates, count);
        if (order == BY_CELL) fv_scene_sort_cells(plates, count, m.view);
        for (int i = 0; i < count; i++) append_plate(text, sizeof text, &plates[i], order, marks, places, m.view);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        const char *question = order == BY_CELL  ? "List the plates cell by cell."
                               : order == BY_PLACE ? fv_maker_pick(&m, questions, FV_COUNT(questions))
                               : marks             ? "List the plates by colour, with their cells."
                                                   : "List the plates by colour.";
        fv_maker_ask(&m, (fv_asked){"plates", places ? "place" : "free-form", places ? FV_PLACE_TOLERANCE : 0}, question, text);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_describe = {"describe", "plates in order: colour, shape, glyph, place, size",
                                            "plates=2..6[1..8] places=yes|no order=place|color|cell marks=no|yes " FV_PLATES_OPTIONS, make};
