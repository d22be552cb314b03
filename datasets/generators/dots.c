/* dots: numbered dots on the corners of a box, some with one in its middle; connected in order they make a letter. The same dots make another letter in another
 * order, so that it is seen once lines are drawn, and not before. With mode=sft an agent draws them. */
#include "datasets/drawing.h"
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

/* Places: 0 top left, 1 top right, 2 bottom left, 3 bottom right, 4 the middle. */
enum { PLACES = 5, DOTS_TURNS = 4 };
static const struct {
    char letter;
    const char *order;
} letters[] = {{'U', "0231"}, {'C', "1023"}, {'N', "2031"}, {'Z', "0123"}, {'M', "20413"}, {'W', "02431"}};

typedef struct {
    char letter;
    int count;
    fv_point dots[PLACES]; /* in the order of their numbers */
    fv_point aside[PLACES]; /* where the numbers stand */
} figure;

/* A letter, begun at either end. */
static void plan(figure *f, fv_maker *m) {
    double unit = m->view / 112.0, jitter = fv_maker_number(m, "jitter") * unit;
    double width = fv_uniform_in(&m->random, 46, 70) * unit, height = fv_uniform_in(&m->random, 46, 70) * unit;
    double left = fv_uniform_in(&m->random, 18 * unit, m->view - 18 * unit - width), top = fv_uniform_in(&m->random, 18 * unit, m->view - 18 * unit - height);
    int which = (int)fv_below(&m->random, (int64_t)FV_COUNT(letters));
    bool backwards = fv_maker_chance(m, 0.5);
    const char *order = letters[which].order;
    f->letter = letters[which].letter;
    f->count = (int)strlen(order);
    for (int i = 0; i < f->count; i++) {
        int place = order[backwards ? f->count - 1 - i : i] - '0';
        bool middle = place == 4, right = place % 2 == 1, bottom = place >= 2;
        double x = left + (middle ? 0.5 : right) * width, y = top + (middle ? 0.5 : bottom) * height, away = 10 * unit;
        f->dots[i] = (fv_point){x + fv_uniform_in(&m->random, -jitter, jitter + 1e-9), y + fv_uniform_in(&m->random, -jitter, jitter + 1e-9)};
        f->aside[i] = (fv_point){f->dots[i].x + (middle || right ? away : -away), f->dots[i].y + (middle ? 0 : bottom ? 0.6 * away : -0.6 * away)};
    }
}

static void draw(fv_image *im, const figure *f, double unit) {
    static const fv_color ink = {{16, 16, 16}}, paper = {{250, 250, 250}};
    for (int i = 0; i < f->count; i++) {
        fv_canvas_point(im, f->dots[i].x, f->dots[i].y, 3 * unit, ink);
        fv_canvas_fill_disc(im, f->aside[i].x, f->aside[i].y, 7 * unit, paper);
        fv_canvas_text(im, f->aside[i].x, f->aside[i].y, (char[2]){(char)('1' + i), '\0'}, &(fv_text_style){.size = 9 * unit / FV_FONT_CAP, .anchor_x = 0.5, .anchor_y = 0.5, .color = ink});
    }
}

static fv_point missed(fv_maker *m, fv_point p) {
    double sloppy = fv_maker_number(m, "sloppy") * m->view / 112;
    return (fv_point){p.x + sloppy * fv_normal(&m->random), p.y + sloppy * fv_normal(&m->random)}; /* dots lie 18 pixels inside */
}

/* All lines in one turn, each between two numbers, which are its label. */
static fv_status connect(fv_maker *m, const figure *f, const char *right, fv_error *err) {
    fv_drawing d;
    FV_TRY(fv_drawing_begin(&d, m, DOTS_TURNS, err));
    json_t *lines = json_array();
    for (int i = 0; i + 1 < f->count; i++) {
        char label[24];
        snprintf(label, sizeof label, "%d-%d", i + 1, i + 2);
        json_array_append_new(lines, fv_drawing_line(&d, missed(m, f->dots[i]), missed(m, f->dots[i + 1]), label));
    }
    fv_status s = fv_drawing_act(&d, "connect them", "image_draw_lines_tool", lines, err);
    if (s == FV_OK) fv_drawing_answer(&d, "read it", right);
    fv_drawing_end(&d);
    return s;
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_dots, how, index, err));
    fv_image *im = NULL;
    fv_status status = fv_ground_make(&im, &m, m.view, m.view, err);
    if (status == FV_OK) {
        figure f;
        plan(&f, &m);
        draw(im, &f, m.view / 112.0);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        fv_maker_say(&m, "%s", fv_maker_chance(&m, 0.5) ? "Connect the dots in order. Which letter is it?" : "Which letter do the dots make, connected in order?");
        fv_maker_close_turn(&m);
        char right[2] = {f.letter, '\0'};
        fv_maker_right(&m, (fv_asked){"letter", "free-form", 0}, right);
        if (fv_maker_is(&m, "mode", "sft")) status = connect(&m, &f, right, err);
        else fv_maker_draws(&m, DOTS_TURNS);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_dots = {"dots", "numbered dots that make a letter when lines connect them",
                                        "mode=rl|sft sloppy=1[0..8] jitter=3[0..8] " FV_GROUND_OPTION " view=112[56..448]", make};
