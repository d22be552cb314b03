/* chart: a bar chart with values 1 to 9: values, the tallest, the bar of a value, all of them. */
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

enum { BARS_MAX = 8, TOP = 10 };
typedef enum { READ, VALUE, LETTER, HIGHEST, LOWEST, WHICH, KIND_COUNT } kind;
static const fv_asked kinds[KIND_COUNT] = {{"read", "free-form", 0},    {"value", "numerical", 0},  {"letter", "numerical", 0},
                                           {"highest", "free-form", 0}, {"lowest", "free-form", 0}, {"which", "free-form", 0}};

typedef struct {
    int count, value[BARS_MAX];
    fv_plate color[BARS_MAX]; /* for its colour alone */
} chart;

static void draw(fv_image *im, const chart *c) {
    double unit = im->width / 112.0, left = 16 * unit, base = im->height - 16 * unit, step = (base - 6 * unit) / TOP, room = (im->width - left - 4 * unit) / c->count;
    fv_color ink = fv_color_contrast((fv_color){{im->rgb[0], im->rgb[1], im->rgb[2]}});
    fv_text_style style = {.size = 10 * unit / FV_FONT_CAP * 0.8, .anchor_x = 0.5, .anchor_y = 0.5, .color = ink};
    for (int v = 0; v <= TOP; v++) {
        double y = base - v * step;
        fv_canvas_line(im, left, y, im->width - 3 * unit, y, v == 0 ? 1.5 * unit : 0.5 * unit, ink);
        if (v % 5 == 0 && v < TOP) fv_canvas_text(im, left - 8 * unit, y, (char[2]){(char)('0' + v), '\0'}, &style);
    }
    for (int i = 0; i < c->count; i++) {
        double x = left + room * (i + 0.5);
        fv_box bar = {x - room * 0.32, base - c->value[i] * step, x + room * 0.32, base};
        fv_canvas_fill_box(im, bar, fv_plate_color(c->color[i].color));
        fv_canvas_draw_box(im, bar, unit, fv_color_contrast(fv_plate_color(c->color[i].color)));
        fv_canvas_text(im, x, base + 8 * unit, (char[2]){(char)('A' + i), '\0'}, &style);
    }
}

/* The only bar that is the highest (sign 1), the lowest (-1), or has value v (0); -1 if there is none such. */
static int only_bar(const chart *c, int sign, int v) {
    int best = -1, ties = 0;
    for (int i = 0; i < c->count; i++) {
        if (sign == 0 && c->value[i] != v) continue;
        int ahead = best < 0 ? 1 : sign * (c->value[i] - c->value[best]);
        if (ahead > 0) best = i, ties = 1;
        else ties += ahead == 0;
    }
    return ties == 1 ? best : -1;
}

static bool ask(fv_maker *m, kind k, const chart *c) {
    int i = (int)fv_below(&m->random, c->count), found = k == HIGHEST ? only_bar(c, 1, 0) : k == LOWEST ? only_bar(c, -1, 0) : only_bar(c, 0, c->value[i]);
    char question[96], answer[96];
    if (k >= HIGHEST && found < 0) return false;
    snprintf(answer, sizeof answer, "%d", c->value[i]);
    if (k >= HIGHEST) snprintf(answer, sizeof answer, "%s", fv_plate_color_name(c->color[found].color));
    switch (k) {
    case READ:
        snprintf(question, sizeof question, "Read the bar chart.");
        for (int b = 0, used = 0; b < c->count; b++) used += snprintf(answer + used, sizeof answer - (size_t)used, "%s%c %d", b ? "; " : "", 'A' + b, c->value[b]);
        break;
    case VALUE: snprintf(question, sizeof question, "What is the value of the %s bar?", fv_plate_color_name(c->color[i].color)); break;
    case LETTER: snprintf(question, sizeof question, "What is the value of %c?", 'A' + i); break;
    case HIGHEST: snprintf(question, sizeof question, "Which bar is the tallest?"); break;
    case LOWEST: snprintf(question, sizeof question, "Which bar is the shortest?"); break;
    default: snprintf(question, sizeof question, "Which bar has the value %d?", c->value[i]); break;
    }
    fv_maker_ask(m, kinds[k], question, answer);
    return true;
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_chart, how, index, err));
    chart c = {.count = fv_maker_int(&m, "bars")};
    for (int i = 0; i < c.count; i++) c.value[i] = 1 + (int)fv_below(&m.random, TOP - 1);
    fv_scene_colors(&m, c.color, c.count);
    fv_image *im = NULL;
    fv_status status = fv_ground_plain(&im, &m, m.view, m.view, err);
    if (status == FV_OK) {
        draw(im, &c);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        int only = KIND_COUNT;
        for (int k = 0; k < KIND_COUNT; k++)
            if (fv_maker_is(&m, "kinds", kinds[k].kind)) only = k;
        for (int tries = 0; fv_maker_wants(&m, 6); tries++) {
            if (ask(&m, only < KIND_COUNT ? (kind)only : (kind)fv_below(&m.random, KIND_COUNT), &c)) continue;
            if (tries > 60) only = VALUE; /* two bars may share the first place */
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_chart = {"chart", "read a bar chart",
                                         "bars=3..5[2..8] kinds=all|read|value|letter|highest|lowest|which view=112[56..448] turns=0[0..16]", make};
