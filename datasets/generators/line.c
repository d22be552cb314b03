/* line: lines run from letters on the left to digits on the right, crossing each other; where does the line from A end? */
#include "datasets/scene.h"

#include <stdio.h>

enum { LINES_MAX = 6, POINTS = 25 };

typedef struct {
    double from, to, bend; /* heights at the ends; how far it swings in between */
    int color;
    char start, end;
} line;

/* A smooth way from left to right: smoothstep between the ends, and a swing that is 0 at both. */
static void draw_line(fv_image *im, const line *l, double left, double right, double width) {
    fv_point points[POINTS];
    for (int i = 0; i < POINTS; i++) {
        double t = i / (POINTS - 1.0), ease = t * t * (3 - 2 * t);
        points[i] = (fv_point){left + (right - left) * t, l->from + (l->to - l->from) * ease + l->bend * 16 * t * t * (1 - t) * (1 - t) * (1 - 2 * t)};
    }
    fv_color c = fv_plate_color(l->color);
    fv_canvas_polyline(im, points, POINTS, width + 2, fv_color_contrast(c));
    fv_canvas_polyline(im, points, POINTS, width, c);
}

static void draw_end(fv_image *im, double x, double y, double cap, char glyph) {
    fv_color white = {{250, 250, 250}}, black = {{16, 16, 16}};
    fv_canvas_fill_disc(im, x, y, cap * 0.85, white);
    fv_canvas_text(im, x, y, (char[2]){glyph, '\0'}, &(fv_text_style){.size = cap / FV_FONT_CAP, .anchor_x = 0.5, .anchor_y = 0.5, .color = black});
}

static int plan(line *lines, fv_maker *m) {
    int n = fv_maker_int(m, "lines"), order[LINES_MAX], digits[10];
    fv_plate colors[LINES_MAX];
    fv_scene_colors(m, colors, n);
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = 0; i < 10; i++) digits[i] = i;
    fv_shuffle(&m->random, order, n, sizeof order[0]);
    fv_shuffle(&m->random, digits, 10, sizeof digits[0]);
    bool same = fv_maker_is(m, "colors", "same") || (fv_maker_is(m, "colors", "mixed") && fv_maker_chance(m, 0.3));
    for (int i = 0; i < n; i++)
        lines[i] = (line){.from = m->view * (i + 0.5) / n, .to = m->view * (order[i] + 0.5) / n, .bend = fv_uniform_in(&m->random, -0.15, 0.15) * m->view,
                          .color = same ? colors[0].color : colors[i].color, .start = (char)('A' + i), .end = (char)('0' + digits[i])};
    return n;
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    static const fv_asked asked = {"end", "free-form", 0};
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_line, how, index, err));
    fv_image *im = NULL;
    fv_status status = fv_ground_make(&im, &m, m.view, m.view, err);
    if (status == FV_OK) {
        double unit = m.view / 112.0, left = 10 * unit, right = m.view - 10 * unit;
        line lines[LINES_MAX];
        int n = plan(lines, &m), order[LINES_MAX];
        for (int i = 0; i < n; i++) draw_line(im, &lines[i], left, right, 2.5 * unit);
        for (int i = 0; i < n; i++) draw_end(im, left, lines[i].from, 11 * unit, lines[i].start), draw_end(im, right, lines[i].to, 11 * unit, lines[i].end);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        for (int i = 0; i < n; i++) order[i] = i;
        fv_shuffle(&m.random, order, n, sizeof order[0]);
        for (int i = 0; i < n && fv_maker_wants(&m, n); i++) {
            const line *l = &lines[order[i]];
            char question[64];
            snprintf(question, sizeof question, fv_maker_chance(&m, 0.5) ? "Where does the line from %c end?" : "Follow the line from %c.", l->start);
            fv_maker_ask(&m, asked, question, (char[2]){l->end, '\0'});
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_line = {"line", "follow a line to its end",
                                        "lines=2..3[1..6] colors=mixed|same|different " FV_GROUND_OPTION " view=112[56..448] turns=0[0..6]", make};
