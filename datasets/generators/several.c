/* several: two or three pictures in one turn: which of them has the red plate, which digit is on it there, are they the same? */
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

enum { PICTURES_MAX = 3 };
typedef enum { WHICH, GLYPH, COUNT, MORE, COLORS, KIND_COUNT } kind;
static const fv_asked kinds[KIND_COUNT] = {
    {"which", "free-form", 0}, {"glyph", "free-form", 0}, {"count", "numerical", 0}, {"more", "free-form", 0}, {"colors", "free-form", 0}};
static const char *const ordinals[PICTURES_MAX] = {"first", "second", "third"};

typedef struct {
    fv_plate plates[PICTURES_MAX][FV_PLATES_MAX];
    int count[PICTURES_MAX], pictures;
} scenes;

/* Every colour is in one picture at most. */
static fv_status draw(scenes *s, fv_maker *m, fv_error *err) {
    double unit = m->view / 112.0;
    fv_plate colors[FV_PLATE_COLORS];
    fv_scene_colors(m, colors, FV_PLATE_COLORS);
    s->pictures = fv_maker_int(m, "pictures");
    for (int k = 0, used = 0; k < s->pictures; k++) {
        int left = FV_PLATE_COLORS - used - (s->pictures - 1 - k), n = fv_maker_int(m, "plates");
        if (n > left) n = left;
        for (int i = 0; i < n; i++)
            s->plates[k][i] = (fv_plate){.color = colors[used++].color, .shape = fv_scene_shape(m), .radius = fv_maker_number(m, "radius") * unit,
                                         .glyph = fv_scene_glyph_option(m), .ink = 1};
        for (int i = 0; i < n; i++) s->plates[k][i].cap = s->plates[k][i].radius * 0.8;
        s->count[k] = fv_scene_place(m, s->plates[k], n, m->view, m->view, unit);
        fv_scene_sort(s->plates[k], s->count[k]);
        fv_image *im = NULL;
        FV_TRY(fv_ground_make(&im, m, m->view, m->view, err));
        for (int i = 0; i < s->count[k]; i++) fv_scene_draw(im, &s->plates[k][i]);
        fv_maker_show(m, fv_maker_picture(m, im));
    }
    return FV_OK;
}

/* False if the pictures do not answer such a question. */
static bool ask(fv_maker *m, kind k, const scenes *s) {
    int picture = (int)fv_below(&m->random, s->pictures), most = 0, ties = 0;
    const fv_plate *p = &s->plates[picture][fv_below(&m->random, s->count[picture])];
    char question[96], answer[96] = "";
    switch (k) {
    case WHICH:
        snprintf(question, sizeof question, "Which picture has the %s plate?", fv_plate_color_name(p->color));
        snprintf(answer, sizeof answer, "%s", ordinals[picture]);
        break;
    case GLYPH:
        if (p->glyph == '\0') return false;
        snprintf(question, sizeof question, "Which %s is on the %s plate?", fv_glyph_word(p->glyph), fv_plate_color_name(p->color));
        snprintf(answer, sizeof answer, "%c", p->glyph);
        break;
    case COUNT:
        snprintf(question, sizeof question, "How many plates are there in the %s picture?", ordinals[picture]);
        snprintf(answer, sizeof answer, "%d", s->count[picture]);
        break;
    case MORE:
        for (int i = 1; i < s->pictures; i++) most = s->count[i] > s->count[most] ? i : most;
        for (int i = 0; i < s->pictures; i++) ties += s->count[i] == s->count[most];
        snprintf(question, sizeof question, "Which picture has the most plates?");
        snprintf(answer, sizeof answer, "%s", ties == 1 ? ordinals[most] : "none");
        break;
    default:
        snprintf(question, sizeof question, "List the colours in the %s picture from left to right.", ordinals[picture]);
        for (int i = 0; i < s->count[picture]; i++) {
            size_t used = strlen(answer);
            snprintf(answer + used, sizeof answer - used, "%s%s", used ? ", " : "", fv_plate_color_name(s->plates[picture][i].color));
        }
        break;
    }
    fv_maker_ask(m, kinds[k], question, answer);
    return true;
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_several, how, index, err));
    scenes s;
    fv_status status = draw(&s, &m, err);
    int only = KIND_COUNT;
    for (int k = 0; k < KIND_COUNT; k++)
        if (fv_maker_is(&m, "kinds", kinds[k].kind)) only = k;
    for (int tries = 0; status == FV_OK && fv_maker_wants(&m, 6); tries++)
        ask(&m, only < KIND_COUNT && tries < 60 ? (kind)only : (kind)fv_below(&m.random, KIND_COUNT), &s);
    return fv_maker_end(&m, status, out, err);
}

const fv_generator fv_generator_several = {"several", "questions about two or three pictures",
                                           "pictures=2..3[2..3] plates=1..4[1..6] kinds=all|which|glyph|count|more|colors radius=10..16[5..24] "
                                           "glyphs=both|digits|letters|none " FV_GROUND_OPTION " view=112[56..448] turns=0[0..16]", make};
