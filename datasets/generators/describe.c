/* describe: plates from left to right, or by colour, each with its shape, glyph, place and size: five labels a plate. By colour is the easier route: the
 * first word asks only whether a colour is there, and what follows is looked up by it. */
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "green circle 7 at 34 80 size 20" */
static void append_plate(char *text, size_t size, const fv_plate *p, bool places) {
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, size - used, "%s%s %s", used ? "; " : "", fv_plate_color_name(p->color), fv_shape_name(p->shape));
    if (p->glyph != '\0') used += (size_t)snprintf(text + used, size - used, " %c", p->glyph);
    char place[FV_BOX_TEXT];
    fv_place_text(place, p->x, p->y, 1);
    if (places) snprintf(text + used, size - used, " at %s size %d", place, (int)floor(2 * p->radius + 0.5));
}

static int by_color(const void *a, const void *b) { return ((const fv_plate *)a)->color - ((const fv_plate *)b)->color; }

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    static const char *const questions[] = {"Describe the plates.", "Describe the picture.", "List the plates from left to right."};
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_describe, how, index, err));
    bool places = fv_maker_is(&m, "places", "yes"), colors = fv_maker_is(&m, "order", "color");
    fv_image *im = NULL;
    fv_plate plates[FV_PLATES_MAX];
    int count;
    fv_status status = fv_scene_plates(&im, plates, &count, &m, err);
    if (status == FV_OK) {
        char text[512] = "";
        if (colors) qsort(plates, (size_t)count, sizeof plates[0], by_color); /* colours of a picture are distinct */
        for (int i = 0; i < count; i++) append_plate(text, sizeof text, &plates[i], places);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        fv_maker_ask(&m, (fv_asked){"plates", places ? "place" : "free-form", places ? FV_PLACE_TOLERANCE : 0}, colors ? "List the plates by colour." : fv_maker_pick(&m, questions, FV_COUNT(questions)), text);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_describe = {"describe", "plates from left to right: colour, shape, glyph, place, size",
                                            "plates=2..6[1..8] places=yes|no order=place|color " FV_PLATES_OPTIONS, make};
