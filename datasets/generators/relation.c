/* relation: left of, above, bigger, the biggest, at the top, between. Plates have different colours; only what can be seen is asked. */
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>

typedef enum { SIDE, BIGGER, EXTREME, LARGEST, BETWEEN, KIND_COUNT } kind;
static const fv_asked kinds[KIND_COUNT] = {
    {"side", "free-form", 0}, {"bigger", "free-form", 0}, {"extreme", "free-form", 0}, {"largest", "free-form", 0}, {"between", "free-form", 0}};

typedef struct {
    const fv_plate *plates;
    int count;
    double unit; /* a pixel of a view of 112 */
} scene;

/* What a direction measures: 0 left, 1 right, 2 above, 3 below: the greater, the further. */
static double measure(const fv_plate *p, int direction) {
    return direction == 0 ? -p->x : direction == 1 ? p->x : direction == 2 ? -p->y : p->y;
}

/* The plate that is ahead of all others by `lead` pixels in a direction, or, by size, bigger (direction 0) or smaller (1); -1 if there is none. */
static int leader(const scene *s, int direction, bool by_size, double lead) {
    for (int i = 0; i < s->count; i++) {
        bool leads = true;
        for (int j = 0; j < s->count && leads; j++) {
            double bigger = s->plates[i].radius - s->plates[j].radius, further = measure(&s->plates[i], direction) - measure(&s->plates[j], direction);
            double ahead = !by_size ? further : direction ? -bigger : bigger;
            leads = j == i || ahead >= lead;
        }
        if (leads) return i;
    }
    return -1;
}

/* Asks a question of a kind about plates a and b. False if the picture does not show its answer clearly. */
static bool ask(fv_maker *m, kind k, const scene *s, int a, int b) {
    static const char *const sides[] = {"left of", "right of", "above", "below"}, *const edges[] = {"on the left", "on the right", "at the top", "at the bottom"};
    const fv_plate *p = &s->plates[a], *q = &s->plates[b];
    int direction = (int)fv_below(&m->random, 4), found = -1, middle = 0;
    char question[128];
    const char *answer;
    switch (k) {
    case SIDE: {
        double ahead = measure(p, direction) - measure(q, direction);
        if (fabs(ahead) < 8 * s->unit) return false;
        snprintf(question, sizeof question, "Is the %s plate %s the %s plate?", fv_plate_color_name(p->color), sides[direction], fv_plate_color_name(q->color));
        answer = ahead > 0 ? "yes" : "no";
        break;
    }
    case BIGGER:
        if (fabs(p->radius - q->radius) < 3 * s->unit) return false;
        snprintf(question, sizeof question, "Which plate is %s, %s or %s?", direction & 1 ? "bigger" : "smaller", fv_plate_color_name(p->color),
                 fv_plate_color_name(q->color));
        answer = fv_plate_color_name((p->radius > q->radius) == (direction & 1) ? p->color : q->color);
        break;
    case EXTREME:
        if ((found = leader(s, direction, false, 8 * s->unit)) < 0) return false;
        snprintf(question, sizeof question, "Which plate is %s?", edges[direction]);
        answer = fv_plate_color_name(s->plates[found].color);
        break;
    case LARGEST:
        if ((found = leader(s, direction & 1, true, 3 * s->unit)) < 0) return false;
        snprintf(question, sizeof question, "Which plate is the %s?", direction & 1 ? "smallest" : "biggest");
        answer = fv_plate_color_name(s->plates[found].color);
        break;
    default: /* between, from left to right: the plates are sorted by x */
        for (int i = 0; i < s->count; i++)
            if ((s->plates[i].x - p->x) * (s->plates[i].x - q->x) < 0) found = i, middle++;
        if (middle != 1) return false;
        snprintf(question, sizeof question, "Which plate is between the %s and the %s plate?", fv_plate_color_name(p->color), fv_plate_color_name(q->color));
        answer = fv_plate_color_name(s->plates[found].color);
        break;
    }
    fv_maker_ask(m, kinds[k], question, answer);
    return true;
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_relation, how, index, err));
    fv_image *im = NULL;
    fv_plate plates[FV_PLATES_MAX];
    int count;
    fv_status status = fv_scene_plates(&im, plates, &count, &m, err);
    if (status == FV_OK) {
        scene s = {plates, count, m.view / 112.0};
        int only = KIND_COUNT;
        for (int k = 0; k < KIND_COUNT; k++)
            if (fv_maker_is(&m, "kinds", kinds[k].kind)) only = k;
        fv_maker_show(&m, fv_maker_picture(&m, im));
        for (int tries = 0; fv_maker_wants(&m, 6); tries++) {
            kind k = only < KIND_COUNT && tries < 200 ? (kind)only : (kind)fv_below(&m.random, KIND_COUNT); /* a picture may have nothing of a kind */
            int a = (int)fv_below(&m.random, count), b = (int)fv_below(&m.random, count);
            if (a != b || count == 1) ask(&m, k, &s, a, b);
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_relation = {"relation", "left, right, above, below, bigger, smaller, between",
                                            "plates=3..4[3..8] kinds=all|side|bigger|extreme|largest|between radius=7..17[5..24] glyphs=none|both|digits|letters "
                                            "" FV_GROUND_OPTION " view=112[56..448] turns=0[0..16]", make};
