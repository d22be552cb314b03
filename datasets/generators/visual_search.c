/* visual-search: plates on a photograph, each with a digit (or a letter) too small for the view; which one is on the green plate? To answer, an
 * agent has to zoom in on it. The main job's task; with mode=sft also its cold start. */
#include "datasets/scene.h"
#include "tools/registry.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* For evaluation alone: where everything is, in the picture's pixels. Nothing that the policy is trained on reads it. */
static json_t *box_json(fv_box b) {
    return json_pack("[iiii]", (int)floor(b.x1), (int)floor(b.y1), (int)ceil(b.x2), (int)ceil(b.y2));
}

/* What the question calls what it asks for. Where both may come, the word doesn't tell which of them it is. */
static const char *asked_word(const fv_maker *m) {
    return fv_maker_is(m, "glyphs", "digits") ? "digit" : fv_maker_is(m, "glyphs", "letters") ? "letter" : "glyph";
}

static void note_plates(fv_maker *m, const fv_search_scene *s, const fv_plate *asked) {
    json_t *plates = json_array();
    for (int i = 0; i < s->count; i++) {
        const fv_plate *p = &s->plates[i];
        json_t *plate = json_pack("{ss, ss#, so}", "color", fv_plate_color_name(p->color), asked_word(m), &p->glyph, (size_t)1, "box", box_json(fv_plate_box(p)));
        if (json_array_append_new(plates, plate) != 0) m->failed = true;
    }
    fv_maker_set(m, "target_box", box_json(fv_plate_box(asked)));
    fv_maker_set(m, "plates", plates);
}

/* ---- the cold start: a sloppy zoom, and what can be read in it ---------------------------------------------------------- */

/* A box in whole pixels of the view about the plate: too large, and off its middle by a normal error of `sloppy` pixels. Such an error softens each number of a
 * box by itself, which a policy can do and still know where the plate is. Boxes that are right or anywhere could not be learned so: a policy that softens numbers
 * one by one gets all four right too seldom (docs/tiny-vl.md). */
static fv_box sloppy_box(fv_maker *m, const fv_plate *p, double scale) {
    fv_box b = fv_plate_box(p);
    double sloppy = fv_maker_number(m, "sloppy") * m->view / 112, grow = fv_maker_number(m, "grow");
    double x = p->x * scale + sloppy * fv_normal(&m->random), y = p->y * scale + sloppy * fv_normal(&m->random);
    double w = (b.x2 - b.x1) * scale * grow * fv_uniform_in(&m->random, 0.85, 1.18), h = (b.y2 - b.y1) * scale * grow * fv_uniform_in(&m->random, 0.85, 1.18);
    double least = 0.1 * m->view; /* tools refuse less */
    w = fmin(fmax(w, least), m->view);
    h = fmin(fmax(h, least), m->view);
    x = fmin(fmax(x, w / 2), m->view - w / 2);
    y = fmin(fmax(y, h / 2), m->view - h / 2);
    return (fv_box){floor(x - w / 2 + 0.5), floor(y - h / 2 + 0.5), floor(x + w / 2 + 0.5), floor(y + h / 2 + 0.5)};
}

/* What the answer after a zoom teaches: to read what the crop shows. If the asked glyph is in it, that is the answer; else another glyph that is, the nearest to
 * the middle; else there is none, '\0'. The right glyph there would be a label without a cause, from which the policy would learn to answer from nothing, and
 * any other would be noise that drowns reading: most crops of a sloppy cold start show no glyph. */
static char seen_glyph(const fv_search_scene *s, const fv_plate *asked, fv_box cut) {
    char glyph = '\0';
    double nearest = HUGE_VAL, x = (cut.x1 + cut.x2) / 2, y = (cut.y1 + cut.y2) / 2;
    for (int i = 0; i < s->count; i++) {
        const fv_plate *p = &s->plates[i];
        if (fv_box_inside(fv_plate_glyph_box(p), cut) < 1) continue;
        double dx = p->glyph_x - x, dy = p->glyph_y - y, far = p == asked ? -1 : dx * dx + dy * dy;
        if (far >= nearest) continue;
        nearest = far;
        glyph = p->glyph;
    }
    return glyph;
}

/* The call, the tool's answer to it as the environment would give it, and the answer. */
static fv_status trajectory(fv_maker *m, const fv_search_scene *s, const fv_plate *asked, fv_error *err) {
    fv_box box = sloppy_box(m, asked, (double)m->view / s->size);
    fv_seen seen = {s->image, {s->size, s->size, m->view, m->view}};
    fv_tool_context context = {&seen, 1, FV_SPACE_VIEW, {FV_MIN_SIDE_REFUSE, 1}};
    fv_tool_result result = {0};
    fv_text call = {0};
    json_t *arguments = fv_maker_zoom(m, &call, json_pack("[iiii]", (int)box.x1, (int)box.y1, (int)box.x2, (int)box.y2));
    fv_maker_reply(m, call.data ? call.data : "");
    fv_text_clear(&call);
    fv_status status = m->failed ? FV_OK : fv_tool_find(fv_maker_zoom_tool)->run(&context, arguments, &result, err);
    json_decref(arguments);
    if (status != FV_OK || m->failed) return status;
    FV_TRY(fv_maker_respond(m, fv_maker_picture(m, result.image), err));
    char answer[32], glyph = seen_glyph(s, asked, result.box);
    snprintf(answer, sizeof answer, "<answer>%c</answer>", glyph);
    if (glyph) fv_maker_reply(m, answer);
    fv_maker_set(m, "zoom_hits", json_boolean(fv_box_inside(fv_plate_glyph_box(asked), result.box) == 1));
    return FV_OK;
}

/* Whether a conversation zooms in, or guesses what can't be read from the first view. Drawn apart: rows of which all zoom in are the same with this option and without it. */
static bool looks(const fv_maker *m) {
    fv_maker apart = *m;
    apart.random = fv_random_stream(fv_random_key(m->random.key, "calls", 0, 0));
    double calls = fv_maker_number(&apart, "calls");
    return fv_maker_chance(&apart, calls);
}

/* ---- rows ----------------------------------------------------------------------------------------------------------- */

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_visual_search, how, index, err));
    fv_search_scene s;
    fv_status status = fv_search_scene_make(&s, &m, fv_maker_int(&m, "size"), err);
    if (status == FV_OK) {
        const fv_plate *asked = &s.plates[fv_below(&m.random, s.count)];
        bool without = fv_maker_is(&m, "mode", "no_tool") || fv_maker_is(&m, "mode", "no_tool_sft");
        fv_maker_show(&m, fv_maker_picture(&m, s.image));
        const char *which = fv_maker_pick(&m, (const char *const[]){"Which", "What", "Tell me the"}, 3), *word = asked_word(&m);
        bool tell = which[0] == 'T';
        fv_maker_say(&m, "%s %s%s on the %s plate%s%s", which, word, tell ? "" : " is", fv_plate_color_name(asked->color), tell ? "." : "?", without ? " Give only the answer." : "");
        fv_maker_close_turn(&m);
        fv_maker_right(&m, (fv_asked){without ? "no_tool" : word, "free-form", 0}, (char[2]){asked->glyph, '\0'});
        note_plates(&m, &s, asked);
        if (!without) fv_maker_zooms(&m);
        char answer[32];
        snprintf(answer, sizeof answer, "<answer>%c</answer>", asked->glyph);
        if (fv_maker_is(&m, "mode", "sft") && looks(&m)) status = trajectory(&m, &s, asked, err);
        else if (fv_maker_is(&m, "mode", "sft") || fv_maker_is(&m, "mode", "no_tool_sft")) fv_maker_reply(&m, answer);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_visual_search = {
    "visual-search", "small digits or letters on plates in photographs: zoom in to read one",
    "mode=rl|sft|no_tool|no_tool_sft sloppy=12[0..56] grow=1.1..2.4[0.5..8] calls=1.0[0..1] glyphs=digits|letters|both " FV_SEARCH_OPTIONS, make};
