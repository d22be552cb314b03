/* clip: four to eight frames in which plates move one after the other: what moved, which first, where to? With mode=rl and mode=sft a row has one question, by default about the order,
 * and with mode=sft how plates move is thought of before it is answered, but for those that are left out, so that a policy begins from thoughts that are worth less than its answers. */
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

enum { MOVERS = 2 };
typedef enum { WHAT, FIRST, LAST, WHERE, COUNT, ALL, EACH = ALL, KIND_COUNT } kind; /* "all" are those before ALL */
static const fv_asked kinds[KIND_COUNT] = {
    {"what", "free-form", 0},  {"first", "free-form", 0}, {"last", "free-form", 0}, {"where", "free-form", 0},
    {"count", "numerical", 0}, {"each", "free-form", 0}};

static const char *const directions[] = {"left", "right", "up", "down"};
static const int steps[4][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 1}};

typedef struct {
    fv_plate plates[FV_PLATES_MAX]; /* the first `moving` of them move, in this order; where they start */
    int count, moving, frames;
    int direction[MOVERS];
    double way; /* pixels that a mover goes */
} clip;

/* How much of its way mover i has gone by a frame (0..1): each has its own share of the clip, so that one follows the other. */
static double progress(const clip *c, int i, int frame) {
    double share = (c->frames - 1.0) / c->moving, t = (frame - share * i) / share;
    return t < 0 ? 0 : t > 1 ? 1 : t;
}

/* The area that mover i sweeps. */
static fv_box swept(const clip *c, int i) {
    fv_box b = fv_plate_box(&c->plates[i]);
    double dx = i < c->moving ? steps[c->direction[i]][0] * c->way : 0, dy = i < c->moving ? steps[c->direction[i]][1] * c->way : 0;
    return (fv_box){b.x1 + (dx < 0 ? dx : 0), b.y1 + (dy < 0 ? dy : 0), b.x2 + (dx > 0 ? dx : 0), b.y2 + (dy > 0 ? dy : 0)};
}

/* Whether all plates stay inside and none passes over another. */
static bool runs_free(const clip *c, double size) {
    for (int i = 0; i < c->count; i++) {
        fv_box b = swept(c, i);
        if (b.x1 < 0 || b.y1 < 0 || b.x2 > size || b.y2 > size) return false;
        for (int j = 0; j < i; j++)
            if (fv_box_iou(b, swept(c, j)) > 0) return false;
    }
    return true;
}

static void plan(clip *c, fv_maker *m) {
    double unit = m->view / 112.0;
    c->frames = fv_maker_int(m, "frames");
    c->way = 32 * unit;
    for (int tries = 0;; tries++) {
        c->count = fv_maker_int(m, "plates");
        c->moving = c->count > 1 && tries < 100 ? 1 + (int)fv_below(&m->random, MOVERS) : 1;
        if (tries >= 200) c->count = 1; /* then a single plate, which always finds room */
        for (int i = 0; i < c->count; i++) c->plates[i] = (fv_plate){.shape = fv_scene_shape(m), .radius = fv_maker_number(m, "radius") * unit};
        fv_scene_colors(m, c->plates, c->count);
        c->count = fv_scene_place(m, c->plates, c->count, m->view, m->view, 2 * unit);
        for (int i = 0; i < c->moving; i++) c->direction[i] = (int)fv_below(&m->random, 4);
        if (c->count >= c->moving && runs_free(c, m->view)) return;
    }
}

static fv_status draw_frames(const clip *c, fv_maker *m, fv_error *err) {
    fv_image *ground = NULL;
    FV_TRY(fv_ground_make(&ground, m, m->view, m->view, err));
    fv_status status = FV_OK;
    for (int f = 0; f < c->frames && status == FV_OK; f++) {
        fv_image *frame;
        if ((status = fv_image_copy(&frame, ground, err)) != FV_OK) break;
        for (int i = 0; i < c->count; i++) {
            fv_plate p = c->plates[i];
            if (i < c->moving) {
                p.x += steps[c->direction[i]][0] * c->way * progress(c, i, f);
                p.y += steps[c->direction[i]][1] * c->way * progress(c, i, f);
            }
            fv_scene_draw(frame, &p);
        }
        fv_maker_picture(m, frame);
    }
    fv_image_free(ground);
    return status;
}

/* Whether the clip answers such a question. */
static bool fits(kind k, const clip *c) {
    return k == WHAT ? c->moving == 1 : k == FIRST || k == LAST ? c->moving > 1 : true;
}

/* Whether mover i moves within the pair of frames that begins at f; an odd last frame is a pair with itself. */
static bool moves_within(const clip *c, int i, int f) { return f + 1 < c->frames && progress(c, i, f + 1) > progress(c, i, f); }

/* "blue still; red up 1 2; green left 3 4": of each plate, by colour, which way it goes and within which pairs; `leave`: the share of plates that nothing is said of. */
static void tell_each(char *text, size_t size, const clip *c, fv_maker *m, double leave) {
    fv_plate sorted[FV_PLATES_MAX];
    memcpy(sorted, c->plates, sizeof sorted);
    fv_scene_sort_colors(sorted, c->count);
    size_t used = 0;
    text[0] = '\0';
    for (int s = 0; s < c->count && used < size; s++) {
        int i = 0;
        if (leave > 0 && fv_maker_chance(m, leave)) continue;
        while (c->plates[i].color != sorted[s].color) i++;
        used += (size_t)snprintf(text + used, size - used, "%s%s %s", used ? "; " : "", fv_plate_color_name(sorted[s].color),
                                 i < c->moving ? directions[c->direction[i]] : "still");
        for (int f = 0; i < c->moving && f < c->frames && used < size; f += 2)
            if (moves_within(c, i, f)) used += (size_t)snprintf(text + used, size - used, " %d", f / 2 + 1);
    }
}

typedef struct {
    char question[96], answer[160];
} task;

static task choose(fv_maker *m, kind k, const clip *c) {
    task t;
    int i = (int)fv_below(&m->random, c->moving);
    snprintf(t.answer, sizeof t.answer, "%s", fv_plate_color_name(c->plates[k == LAST ? c->moving - 1 : 0].color));
    switch (k) {
    case WHAT: snprintf(t.question, sizeof t.question, "Which plate moved?"); break;
    case FIRST: snprintf(t.question, sizeof t.question, "Which plate moved first?"); break;
    case LAST: snprintf(t.question, sizeof t.question, "Which plate moved last?"); break;
    case WHERE:
        snprintf(t.question, sizeof t.question, "Where did the %s plate move?", fv_plate_color_name(c->plates[i].color));
        snprintf(t.answer, sizeof t.answer, "%s", directions[c->direction[i]]);
        break;
    case EACH:
        snprintf(t.question, sizeof t.question, "How does each plate move?");
        tell_each(t.answer, sizeof t.answer, c, m, 0);
        break;
    default:
        snprintf(t.question, sizeof t.question, "How many plates moved?");
        snprintf(t.answer, sizeof t.answer, "%d", c->moving);
        break;
    }
    return t;
}

static void ask(fv_maker *m, kind k, const clip *c) {
    task t = choose(m, k, c);
    fv_maker_ask(m, kinds[k], t.question, t.answer);
}

/* One question; with mode=sft what is seen is written down before its answer, which is right also where the thought lacks what it needs. */
static void ask_to_think(fv_maker *m, kind k, const clip *c) {
    task t = choose(m, k, c);
    fv_maker_say(m, "%s", t.question);
    fv_maker_close_turn(m);
    fv_maker_right(m, kinds[k], t.answer);
    if (fv_maker_is(m, "mode", "rl")) return;
    char thought[160], response[sizeof thought + sizeof t.answer + 64];
    tell_each(thought, sizeof thought, c, m, fv_maker_number(m, "leave"));
    snprintf(response, sizeof response, "<think>%s</think><answer>%s</answer>", thought, t.answer);
    fv_maker_reply(m, response);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_clip, how, index, err));
    bool asks = fv_maker_is(&m, "mode", "ask");
    int only = KIND_COUNT;
    for (int k = 0; k < KIND_COUNT; k++)
        if (fv_maker_is(&m, "kinds", kinds[k].kind)) only = k;
    if (!asks && only == KIND_COUNT) only = fv_maker_chance(&m, 0.5) ? FIRST : LAST;
    clip c;
    plan(&c, &m);
    for (int tries = 0; tries < 50 && only < KIND_COUNT && !fits((kind)only, &c); tries++) plan(&c, &m);
    if (only < KIND_COUNT && !fits((kind)only, &c)) only = WHERE; /* plates so large that two never move */
    fv_status status = draw_frames(&c, &m, err);
    if (status == FV_OK) {
        fv_maker_show_clip(&m, 0, c.frames);
        if (!asks) ask_to_think(&m, (kind)only, &c);
        while (asks && fv_maker_wants(&m, 4)) {
            kind k = only < KIND_COUNT ? (kind)only : (kind)fv_below(&m.random, ALL);
            if (fits(k, &c)) ask(&m, k, &c);
        }
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_clip = {"clip", "short clips: what moved, which first, where to",
                                        "mode=ask|rl|sft frames=4..8[2..16] plates=2..4[2..6] radius=9..13[5..20] kinds=all|what|first|last|where|count|each leave=0.3[0..1] "
                                        FV_GROUND_OPTION " view=112[56..448] turns=0[0..16]", make};
