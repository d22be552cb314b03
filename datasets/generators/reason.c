/* reason: what is seen is written down before the answer: thoughts (SophiaVL-R1, TW-GRPO) or a description that must do without the picture (Vision-SR1). With
 * mode=sft the answer is right and what was written is not always: some plates are left out, some that are not there are named. So a policy begins from thoughts that
 * are worth less than its answers. mode=second teaches the pass that has the description alone, mode=judge how good thoughts are. */
#include "datasets/scene.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { OFFERED = 4 };
typedef enum { GLYPH, SEVERAL, COUNT, KIND_COUNT } kind;
static const fv_asked kinds[KIND_COUNT] = {{"glyph", "free-form", 0}, {"several", "multiple choice", 0}, {"count", "numerical", 0}};

typedef struct {
    kind kind;
    fv_plate plates[FV_PLATES_MAX]; /* colours are distinct */
    int count;
    const fv_plate *asked;          /* of GLYPH */
    char question[160], answer[16];
} task;

static const fv_plate *plate_of(const task *t, int color) {
    for (int i = 0; i < t->count; i++)
        if (t->plates[i].color == color) return &t->plates[i];
    return NULL;
}

/* "Which of these colours are there? A red B blue C green D white", of which some are there and some are not: "A,C". */
static void ask_several(task *t, fv_maker *m) {
    int colors[FV_PLATE_COLORS], there = 0, n = 0;
    size_t used = (size_t)snprintf(t->question, sizeof t->question, "Which of these colours are there?");
    do {
        for (int i = 0; i < FV_PLATE_COLORS; i++) {
            int other = (int)fv_below(&m->random, i + 1);
            colors[i] = colors[other];
            colors[other] = i;
        }
        there = 0;
        for (int i = 0; i < OFFERED; i++) there += plate_of(t, colors[i]) != NULL;
    } while (there == 0);
    for (int i = 0; i < OFFERED; i++) {
        used += (size_t)snprintf(t->question + used, sizeof t->question - used, " %c %s", 'A' + i, fv_plate_color_name(colors[i]));
        if (plate_of(t, colors[i])) n += snprintf(t->answer + n, sizeof t->answer - (size_t)n, "%s%c", n ? "," : "", 'A' + i);
    }
}

static void ask(task *t, fv_maker *m) {
    switch (t->kind) {
    case GLYPH:
        t->asked = &t->plates[fv_below(&m->random, t->count)];
        snprintf(t->question, sizeof t->question, "Which %s is on the %s plate?", fv_glyph_word(t->asked->glyph), fv_plate_color_name(t->asked->color));
        snprintf(t->answer, sizeof t->answer, "%c", t->asked->glyph);
        break;
    case SEVERAL: ask_several(t, m); break;
    default:
        snprintf(t->question, sizeof t->question, "How many plates are there?");
        snprintf(t->answer, sizeof t->answer, "%d", t->count);
        break;
    }
}

/* ---- What is written down ------------------------------------------------------------------------------------------- */

/* Plates by colour, "red 7; blue K" where glyphs are asked for, else "red; blue". */
typedef struct {
    char text[160];
    bool tells;   /* the plate that is asked for is in it */
    double right; /* 0..1: right ones of all that are there or named */
} notes;

static void write_notes(notes *s, const task *t, fv_maker *m) {
    double leave = fv_maker_number(m, "leave"), invent = fv_maker_number(m, "invent");
    int hits = 0, all = 0;
    size_t used = 0;
    *s = (notes){.right = 0};
    for (int color = 0; color < FV_PLATE_COLORS; color++) {
        const fv_plate *p = plate_of(t, color);
        bool named = fv_maker_chance(m, p ? 1 - leave : invent);
        all += p || named;
        if (!named) continue;
        hits += p != NULL;
        s->tells |= p && p == t->asked;
        used += (size_t)snprintf(s->text + used, sizeof s->text - used, "%s%s", used ? "; " : "", fv_plate_color_name(color));
        if (t->kind == GLYPH) used += (size_t)snprintf(s->text + used, sizeof s->text - used, " %c", p ? p->glyph : fv_scene_glyph_option(m));
    }
    s->right = (double)hits / all;
}

/* The response in the option's form. A description is not thought about: the thought is what it, or the picture, says of the plate that is asked for. */
static void write_response(fv_text *out, const task *t, const notes *s, bool describes) {
    if (!describes) fv_text_printf(out, "<think>%s</think><answer>%s</answer>", s->text, t->answer);
    else fv_text_printf(out, "<description>%s</description><think>%s</think>\\boxed{%s}", s->text, t->kind == GLYPH ? fv_plate_color_name(t->asked->color) : "all", t->answer);
}

/* The answer to a description: what it does not say is not known. */
static void write_second(fv_text *out, const task *t, const notes *s) {
    bool known = t->kind == GLYPH ? s->tells : s->right == 1;
    fv_text_printf(out, "<think>%s</think>\\boxed{%s}", t->kind == GLYPH ? fv_plate_color_name(t->asked->color) : "all", known ? t->answer : "?");
}

/* ---- Rows ----------------------------------------------------------------------------------------------------------- */

static void make_turns(fv_maker *m, const task *t, fv_image *im) {
    bool judges = fv_maker_is(m, "mode", "judge"), second = fv_maker_is(m, "mode", "second"), describes = fv_maker_is(m, "form", "describe");
    fv_text response = {0};
    notes s;
    write_notes(&s, t, m);
    if (second) {
        fv_image_free(im);
        fv_maker_say(m, "%s\n%s", s.text, t->question); /* as the recipe's second_pass asks */
        write_second(&response, t, &s);
    } else {
        fv_maker_show(m, fv_maker_picture(m, im));
        fv_maker_say(m, "%s", t->question);
        write_response(&response, t, &s, describes);
    }
    if (judges) { /* as recipes/judges/thoughts.txt asks */
        fv_maker_say(m, "\n%s\nHow much of it is right?", response.data ? response.data : "");
        fv_text_clear(&response);
        fv_text_printf(&response, "<answer>%.1f</answer>", s.right);
    }
    fv_maker_close_turn(m);
    fv_maker_right(m, kinds[t->kind], t->answer);
    if (response.failed) m->failed = true;
    if (!fv_maker_is(m, "mode", "rl")) fv_maker_reply(m, response.data ? response.data : "");
    fv_text_clear(&response);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_reason, how, index, err));
    fv_image *im = NULL;
    task t = {.kind = GLYPH};
    fv_status status = fv_scene_plates(&im, t.plates, &t.count, &m, err);
    if (status == FV_OK) {
        for (int k = 0; k < KIND_COUNT; k++)
            if (fv_maker_is(&m, "kind", kinds[k].kind)) t.kind = (kind)k;
        ask(&t, &m);
        make_turns(&m, &t, im);
    }
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_reason = {"reason", "plates are named before a question about them is answered",
                                          "mode=rl|sft|second|judge kind=glyph|several|count form=think|describe leave=0.3[0..1] invent=0.05[0..1] plates=3..6[1..8] radius=10..16[5..24] "
                                          "glyphs=both|digits|letters " FV_GROUND_OPTION " view=112[56..448] spread=free|cells jitter=2[0..12]", make};
