/* count: how many plates, of a colour, of a shape, of each colour; and which cells they are in, which has a label a plate where a number has one a picture. */
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

typedef enum { TOTAL, COLOR, SHAPE, EACH, CELLS, KIND_COUNT } kind;
static const fv_asked kinds[KIND_COUNT] = {{"total", "numerical", 0}, {"color", "numerical", 0}, {"shape", "numerical", 0}, {"each", "free-form", 0}, {"cells", "free-form", 0}};

/* Few colours and shapes, so that there is something to count. */
static fv_status draw(fv_image **out, fv_plate *plates, int *count, fv_maker *m, fv_error *err) {
    double unit = m->view / 112.0;
    int n = fv_maker_int(m, "plates"), palette = 2 + (int)fv_below(&m->random, 2);
    fv_plate few[3];
    fv_scene_colors(m, few, palette);
    for (int i = 0; i < palette; i++) few[i].shape = fv_scene_shape(m);
    for (int i = 0; i < n; i++)
        plates[i] = (fv_plate){.color = few[fv_below(&m->random, palette)].color, .shape = few[fv_below(&m->random, palette)].shape,
                               .radius = fv_maker_number(m, "radius") * unit};
    *count = fv_scene_place(m, plates, n, m->view, m->view, 2 * unit);
    FV_TRY(fv_ground_make(out, m, m->view, m->view, err));
    for (int i = 0; i < *count; i++) fv_scene_draw(*out, &plates[i]);
    return FV_OK;
}

/* "green 2; red 1", in the order of the colours' table. */
static void count_each(char *text, size_t size, const fv_plate *plates, int count) {
    for (int color = 0; color < FV_PLATE_COLORS; color++) {
        int same = 0;
        size_t used = strlen(text);
        for (int i = 0; i < count; i++) same += plates[i].color == color;
        if (same > 0) snprintf(text + used, size - used, "%s%s %d", used ? "; " : "", fv_plate_color_name(color), same);
    }
}

/* "a f f": the letters of the cells of all plates. */
static void cells_of(char *text, fv_plate *plates, int count, int view) {
    fv_scene_sort_cells(plates, count, view);
    for (int i = 0; i < count; i++) {
        text[2 * i] = fv_scene_cell(&plates[i], view);
        text[2 * i + 1] = i + 1 < count ? ' ' : '\0';
    }
}

static void ask(fv_maker *m, kind k, fv_plate *plates, int count) {
    char question[96], answer[160] = "";
    int same = 0;
    /* Mostly of something that is there, now and then of what may not be. */
    fv_plate like = plates[fv_below(&m->random, count)];
    if (fv_maker_chance(m, 0.15)) like.color = (int)fv_below(&m->random, FV_PLATE_COLORS);
    if (fv_maker_chance(m, 0.15)) like.shape = fv_scene_shape(m);
    for (int i = 0; i < count; i++) same += k == TOTAL || (k == COLOR ? plates[i].color == like.color : plates[i].shape == like.shape);
    snprintf(answer, sizeof answer, "%d", same);
    switch (k) {
    case TOTAL: snprintf(question, sizeof question, "How many plates are there?"); break;
    case COLOR: snprintf(question, sizeof question, "How many %s plates are there?", fv_plate_color_name(like.color)); break;
    case SHAPE: snprintf(question, sizeof question, "How many %s%s are there?", fv_shape_name(like.shape), like.shape == FV_SHAPE_CROSS ? "es" : "s"); break;
    case CELLS:
        snprintf(question, sizeof question, "Which cells are the plates in?");
        cells_of(answer, plates, count, m->view);
        break;
    default:
        snprintf(question, sizeof question, "How many plates of each colour are there?");
        answer[0] = '\0';
        count_each(answer, sizeof answer, plates, count);
        break;
    }
    fv_maker_ask(m, kinds[k], question, answer);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_count, how, index, err));
    fv_image *im = NULL;
    fv_plate plates[FV_PLATES_MAX];
    int count;
    fv_status status = draw(&im, plates, &count, &m, err);
    if (status == FV_OK) {
        fv_maker_show(&m, fv_maker_picture(&m, im));
        int first = (int)fv_below(&m.random, KIND_COUNT);
        for (int k = 0; k < KIND_COUNT; k++)
            if (fv_maker_is(&m, "kinds", kinds[k].kind)) first = k;
        bool all = fv_maker_is(&m, "kinds", "all");
        for (int i = 0; fv_maker_wants(&m, 4); i++) ask(&m, (kind)(all ? (first + i) % KIND_COUNT : first), plates, count);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_count = {"count", "how many plates, by colour and by shape",
                                         "plates=1..6[1..12] radius=7..11[4..16] kinds=all|total|color|shape|each|cells "
                                         FV_GROUND_OPTION " view=112[56..448] turns=0[0..16]", make};
