/* maze: a small maze with a start and two exits, of which one can be reached. Which one, and which way? With mode=rl an agent may draw the way, with mode=sft it
 * does, one straight run a turn, each from where the last one ended. */
#include "datasets/drawing.h"
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE_MAX = 6, CELLS_MAX = SIDE_MAX * SIDE_MAX, RIGHT = 1, DOWN = 2 };

typedef struct {
    int side;
    int open[CELLS_MAX];  /* RIGHT, DOWN: no wall on that side of the cell */
    int part[CELLS_MAX];  /* cells with the same number can be reached from each other */
    int start, goal, trap; /* goal: the exit in the start's part; trap: the other */
} maze;

static void join(maze *z, int a, int b) {
    int from = z->part[b], to = z->part[a];
    for (int i = 0; i < z->side * z->side; i++)
        if (z->part[i] == from) z->part[i] = to;
}

/* Opens walls in random order as long as they join different parts (Kruskal), but stops at two parts. */
static void open_walls(maze *z, fv_maker *m) {
    int walls[2 * CELLS_MAX], count = 0, parts = z->side * z->side;
    for (int i = 0; i < z->side * z->side; i++) {
        z->part[i] = i;
        z->open[i] = 0;
        if (i % z->side < z->side - 1) walls[count++] = 2 * i;
        if (i / z->side < z->side - 1) walls[count++] = 2 * i + 1;
    }
    fv_shuffle(&m->random, walls, count, sizeof walls[0]);
    for (int k = 0; k < count && parts > 2; k++) {
        int a = walls[k] / 2, b = walls[k] % 2 ? a + z->side : a + 1;
        if (z->part[a] == z->part[b]) continue;
        z->open[a] |= walls[k] % 2 ? DOWN : RIGHT;
        join(z, a, b);
        parts--;
    }
}

/* Start in the first column, exits in the last one, in different parts. False if this maze has no such cells. */
static bool place_ends(maze *z, fv_maker *m) {
    z->start = (int)fv_below(&m->random, z->side) * z->side;
    int a = (int)fv_below(&m->random, z->side), b = (int)fv_below(&m->random, z->side);
    z->goal = a * z->side + z->side - 1;
    z->trap = b * z->side + z->side - 1;
    return z->part[z->goal] == z->part[z->start] && z->part[z->trap] != z->part[z->start];
}

static bool can_go(const maze *z, int cell, int direction, int *to) {
    static const char steps[4][2] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
    int x = cell % z->side + steps[direction][0], y = cell / z->side + steps[direction][1];
    if (x < 0 || y < 0 || x >= z->side || y >= z->side) return false;
    *to = y * z->side + x;
    int between = direction < 2 ? cell : *to;
    return z->open[between] & (direction % 2 ? DOWN : RIGHT);
}

/* The only way from `cell` to the goal as words; `from` is where it came from. */
static bool find_way(const maze *z, int cell, int from, char *text, size_t size) {
    static const char *const words[4] = {"right", "down", "left", "up"};
    if (cell == z->goal) return true;
    size_t used = strlen(text);
    for (int d = 0, to; d < 4; d++) {
        if (!can_go(z, cell, d, &to) || to == from) continue;
        snprintf(text + used, size - used, "%s%s", used ? " " : "", words[d]);
        if (find_way(z, to, cell, text, size)) return true;
        text[used] = '\0';
    }
    return false;
}

static void draw(fv_image *im, const maze *z, const char exits[2]) {
    double margin = im->width * 0.08, cell = (im->width - 2 * margin) / z->side, width = im->width / 45.0;
    uint8_t *under = im->rgb;
    fv_color wall = fv_color_contrast((fv_color){{under[0], under[1], under[2]}});
    fv_canvas_draw_box(im, (fv_box){margin - width / 2, margin - width / 2, im->width - margin + width / 2, im->width - margin + width / 2}, width, wall);
    for (int i = 0; i < z->side * z->side; i++) {
        double x = margin + cell * (i % z->side), y = margin + cell * (int)(i / z->side);
        if (!(z->open[i] & RIGHT) && i % z->side < z->side - 1) fv_canvas_line(im, x + cell, y, x + cell, y + cell, width, wall);
        if (!(z->open[i] & DOWN) && i / z->side < z->side - 1) fv_canvas_line(im, x, y + cell, x + cell, y + cell, width, wall);
    }
    fv_plate ends[3] = {{.color = 0}, {.color = 3, .glyph = exits[0]}, {.color = 3, .glyph = exits[1]}};
    const int cells[3] = {z->start, z->goal, z->trap};
    for (int i = 0; i < 3; i++) {
        fv_plate *p = &ends[i];
        p->shape = FV_SHAPE_DISC;
        p->radius = cell * 0.36;
        p->cap = cell * 0.42;
        p->ink = 1;
        p->x = p->glyph_x = margin + cell * (cells[i] % z->side + 0.5);
        p->y = p->glyph_y = margin + cell * ((int)(cells[i] / z->side) + 0.5);
        fv_scene_draw(im, p);
    }
}

/* ---- drawing the way -------------------------------------------------------------------------------------------------- */

enum { MAZE_TURNS = 20 }; /* as ViLaSR's mazes have */

/* Where a cell's middle is, off by a normal error of `sloppy` pixels, inside the picture. */
static fv_point near_middle(fv_maker *m, const maze *z, double x, double y) {
    double margin = m->view * 0.08, cell = (m->view - 2 * margin) / z->side, sloppy = fv_maker_number(m, "sloppy") * m->view / 112;
    double px = margin + cell * (x + 0.5) + sloppy * fv_normal(&m->random), py = margin + cell * (y + 0.5) + sloppy * fv_normal(&m->random);
    return (fv_point){fmin(fmax(px, 0), m->view), fmin(fmax(py, 0), m->view)};
}

/* `way` in straight runs. */
static fv_status draw_way(fv_drawing *d, const maze *z, const char *way, fv_error *err) {
    double x = z->start % z->side, y = (int)(z->start / z->side);
    fv_point from = near_middle(d->m, z, x, y);
    while (*way != '\0' && d->turns + 1 < d->max_turns) {
        char word[8], label[12];
        size_t size = strcspn(way, " ");
        snprintf(word, sizeof word, "%.*s", (int)size, way);
        for (size_t n; (n = strcspn(way, " ")) == size && n > 0 && strncmp(way, word, n) == 0; way += n + (way[n] == ' ')) {
            x += (word[0] == 'r') - (word[0] == 'l');
            y += (word[0] == 'd') - (word[0] == 'u');
        }
        double back = *way == '\0' ? 0.42 : 0; /* the last one ends before the exit, whose letter it would hide */
        fv_point to = near_middle(d->m, z, x - back * ((word[0] == 'r') - (word[0] == 'l')), y - back * ((word[0] == 'd') - (word[0] == 'u')));
        snprintf(label, sizeof label, "%d", d->turns + 1);
        FV_TRY(fv_drawing_act(d, word, "image_draw_lines_tool", json_pack("[o]", fv_drawing_line(d, from, to, label)), err));
        from = to;
    }
    return FV_OK;
}

static fv_status ask_to_draw(fv_maker *m, const maze *z, const char *way, const char *right, fv_error *err) {
    fv_maker_say(m, "%s", fv_maker_chance(m, 0.5) ? "Which exit does the path from the red plate reach?" : "Follow the path from the red plate. Which exit is at its end?");
    fv_maker_close_turn(m);
    fv_maker_right(m, (fv_asked){"drawn", "free-form", 0}, right);
    if (fv_maker_is(m, "mode", "rl")) {
        fv_maker_draws(m, MAZE_TURNS);
        return FV_OK;
    }
    fv_drawing d;
    FV_TRY(fv_drawing_begin(&d, m, MAZE_TURNS, err));
    fv_status s = draw_way(&d, z, way, err);
    if (s == FV_OK) fv_drawing_answer(&d, "the line ends there", right);
    fv_drawing_end(&d);
    return s;
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    static const fv_asked way = {"way", "free-form", 0}, exit_ = {"exit", "free-form", 0}, path = {"path", "free-form", 0};
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_maze, how, index, err));
    maze z = {.side = fv_maker_int(&m, "side")};
    do open_walls(&z, &m);
    while (!place_ends(&z, &m));
    fv_image *im = NULL;
    fv_status status = fv_ground_plain(&im, &m, m.view, m.view, err);
    if (status == FV_OK) {
        bool swapped = fv_maker_chance(&m, 0.5);
        const char exits[2] = {swapped ? 'B' : 'A', swapped ? 'A' : 'B'};
        draw(im, &z, exits);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        char text[CELLS_MAX * 6] = "", question[96], right[2] = {exits[0], '\0'};
        find_way(&z, z.start, -1, text, sizeof text);
        if (!fv_maker_is(&m, "mode", "ask")) return fv_maker_end(&m, ask_to_draw(&m, &z, text, right, err), out, err);
        int first = fv_maker_is(&m, "kinds", "all") ? (int)fv_below(&m.random, 3) : fv_maker_is(&m, "kinds", "exit") ? 0 : fv_maker_is(&m, "kinds", "path") ? 1 : 2;
        for (int i = 0; fv_maker_wants(&m, 3); i++) {
            char asked = exits[fv_below(&m.random, 2)];
            snprintf(question, sizeof question, "Is there a path from the red plate to %c?", asked);
            int k = fv_maker_is(&m, "kinds", "all") ? (first + i) % 3 : first;
            if (k == 0) fv_maker_ask(&m, exit_, "Which exit does the path from the red plate reach?", right);
            else if (k == 1) fv_maker_ask(&m, path, question, asked == exits[0] ? "yes" : "no");
            else fv_maker_ask(&m, way, "Find the way through the maze.", text);
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_maze = {"maze", "which exit of a small maze can be reached, and how",
                                        "side=3..4[2..6] mode=ask|rl|sft sloppy=1.5[0..28] kinds=all|exit|path|way view=112[56..448] turns=0[0..6]", make};
