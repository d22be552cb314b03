/* mark: small plates on photographs, and how they lie to each other: which is nearer to a third, which side of another. Marking them with boxes helps. With
 * mode=sft an agent does so; in some rows it marks badly, sees that, and marks again under the same labels (ViLaSR's reflection). */
#include "datasets/drawing.h"
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>

enum { MARK_TURNS = 5, ASKED = 3, TRIES = 200 };

/* A question about `count` plates, and its answer. */
typedef struct {
    const fv_plate *plates[ASKED];
    int count;
    char text[128];
    const char *answer;
} question;

static double apart(const fv_plate *a, const fv_plate *b) {
    return sqrt((a->x - b->x) * (a->x - b->x) + (a->y - b->y) * (a->y - b->y));
}

static const char *name_of(const fv_plate *p) {
    return fv_plate_color_name(p->color);
}

/* Which of p and q is nearer to r. Returns how clear the answer is, in pixels. */
static double ask_nearer(question *q, const fv_plate *a, const fv_plate *b, const fv_plate *to) {
    double lead = apart(b, to) - apart(a, to);
    *q = (question){.plates = {a, b, to}, .count = 3, .answer = name_of(lead > 0 ? a : b)};
    snprintf(q->text, sizeof q->text, "Which plate is nearer to the %s one, the %s or the %s one?", name_of(to), name_of(a), name_of(b));
    return fabs(lead);
}

static double ask_side(question *q, const fv_plate *a, const fv_plate *b, int direction) {
    static const char *const sides[] = {"left of", "right of", "above", "below"};
    double ahead = direction == 0 ? b->x - a->x : direction == 1 ? a->x - b->x : direction == 2 ? b->y - a->y : a->y - b->y;
    *q = (question){.plates = {a, b}, .count = 2, .answer = ahead > 0 ? "yes" : "no"};
    snprintf(q->text, sizeof q->text, "Is the %s plate %s the %s plate?", name_of(a), sides[direction], name_of(b));
    return fabs(ahead);
}

/* A question that the picture answers clearly, or, after many tries, one that it answers. Returns which kind. */
static const char *choose(question *q, fv_maker *m, const fv_plate *plates, int count) {
    const char *kind = "";
    for (int tries = 0; tries < TRIES; tries++) {
        int a = (int)fv_below(&m->random, count), b = (int)fv_below(&m->random, count), c = (int)fv_below(&m->random, count), direction = (int)fv_below(&m->random, 4);
        bool side = fv_maker_is(m, "kinds", "side") || count < 3 || (fv_maker_is(m, "kinds", "all") && fv_maker_chance(m, 0.5));
        if (a == b || (!side && (a == c || b == c))) continue;
        double clear = side ? ask_side(q, &plates[a], &plates[b], direction) : ask_nearer(q, &plates[a], &plates[b], &plates[c]);
        kind = side ? "side" : "nearer";
        if (clear >= 10 * m->view / 112.0) break;
    }
    return kind;
}

/* Boxes about the plates of the question, off by normal errors of `sloppy` pixels of a view of 112. */
static json_t *boxes_of(fv_drawing *d, const question *q, double sloppy) {
    double error = sloppy * d->m->view / 112, view = d->m->view;
    json_t *boxes = json_array();
    for (int i = 0; i < q->count; i++) {
        fv_box b = fv_plate_box(q->plates[i]);
        double dx = error * fv_normal(&d->m->random), dy = error * fv_normal(&d->m->random);
        b = fv_box_clip((fv_box){b.x1 + dx - 4, b.y1 + dy - 4, b.x2 + dx + 4, b.y2 + dy + 4}, view, view); /* the outline stands around the plate */
        json_array_append_new(boxes, fv_drawing_box(d, b, name_of(q->plates[i])));
    }
    return boxes;
}

static fv_status mark(fv_maker *m, const question *q, fv_error *err) {
    double sloppy = fv_maker_number(m, "sloppy");
    bool reflects = fv_maker_chance(m, fv_maker_number(m, "reflect"));
    fv_drawing d;
    FV_TRY(fv_drawing_begin(&d, m, MARK_TURNS, err));
    fv_status s = fv_drawing_act(&d, "mark them", "image_draw_boxes_tool", boxes_of(&d, q, reflects ? fmax(8, 3 * sloppy) : sloppy), err);
    if (s == FV_OK && reflects) s = fv_drawing_act(&d, "the boxes are off, again", "image_draw_boxes_tool", boxes_of(&d, q, sloppy), err);
    if (s == FV_OK) fv_drawing_answer(&d, "the boxes fit", q->answer);
    fv_drawing_end(&d);
    return s;
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_mark, how, index, err));
    fv_image *im = NULL;
    fv_plate plates[FV_PLATES_MAX];
    int count;
    fv_status status = fv_scene_plates(&im, plates, &count, &m, err);
    if (status == FV_OK) {
        question q;
        const char *kind = choose(&q, &m, plates, count);
        fv_maker_show(&m, fv_maker_picture(&m, im));
        fv_maker_say(&m, "%s", q.text);
        fv_maker_close_turn(&m);
        fv_maker_right(&m, (fv_asked){kind, "free-form", 0}, q.answer);
        if (fv_maker_is(&m, "mode", "sft")) status = mark(&m, &q, err);
        else fv_maker_draws(&m, MARK_TURNS);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_mark = {"mark", "how small plates on photographs lie to each other: mark them with boxes",
                                        "mode=rl|sft kinds=all|nearer|side sloppy=1.5[0..28] reflect=0.3[0..1] plates=3..5[3..8] radius=4..6[3..8] glyphs=none|both|digits|letters "
                                        "ground=photo|mixed|plain view=112[56..448]", make};
