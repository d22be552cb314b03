/* words: questions that need no picture, so that the words of a prompt mean something: repeat, compare, count on, what kind of thing. */
#include "datasets/scene.h"

#include <stdio.h>
#include <string.h>

typedef enum { REPEAT, NEXT, BIGGER, LESS, KIND_OF, OPPOSITE, COUNT_TO, PICK, TAGGED, KIND_COUNT } kind;
static const fv_asked kinds[KIND_COUNT] = {{"repeat", "free-form", 0},  {"next", "numerical", 0},     {"bigger", "numerical", 0},
                                           {"less", "free-form", 0},    {"kind-of", "free-form", 0},  {"opposite", "free-form", 0},
                                           {"count-to", "free-form", 0}, {"pick", "free-form", 0},    {"tagged", "free-form", 0}};

/* A text of three to five glyphs or colours. */
static void some_words(char *text, size_t size, fv_maker *m) {
    int n = 3 + (int)fv_below(&m->random, 3);
    bool colors = fv_maker_chance(m, 0.5);
    text[0] = '\0';
    for (int i = 0; i < n; i++) {
        size_t used = strlen(text);
        if (colors) snprintf(text + used, size - used, "%s%s", used ? " " : "", fv_plate_color_name((int)fv_below(&m->random, FV_PLATE_COLORS)));
        else fv_glyphs_append(text, size, fv_scene_glyph(m, fv_maker_chance(m, 0.5)));
    }
}

static void ask_kind_of(fv_maker *m, char *question, char *answer, size_t size) {
    static const char *const of[] = {"colour", "shape", "digit"};
    char words[3][16];
    snprintf(words[0], sizeof words[0], "%s", fv_plate_color_name((int)fv_below(&m->random, FV_PLATE_COLORS)));
    snprintf(words[1], sizeof words[1], "%s", fv_shape_name(fv_scene_shape(m)));
    snprintf(words[2], sizeof words[2], "%c", fv_scene_glyph(m, false));
    int a = (int)fv_below(&m->random, 3), b = fv_maker_chance(m, 0.5) ? a : (int)fv_below(&m->random, 3);
    snprintf(question, size, "Is %s a %s? Answer yes or no.", words[a], of[b]);
    snprintf(answer, size, "%s", a == b ? "yes" : "no");
}

static void ask_opposite(fv_maker *m, char *question, char *answer, size_t size) {
    static const char *const pairs[][2] = {{"left", "right"}, {"up", "down"},        {"above", "below"}, {"first", "last"},
                                           {"yes", "no"},     {"bigger", "smaller"}, {"top", "bottom"},  {"before", "after"}};
    int64_t pair = fv_below(&m->random, (int64_t)FV_COUNT(pairs)), side = fv_below(&m->random, 2);
    snprintf(question, size, "What is the opposite of %s?", pairs[pair][side]);
    snprintf(answer, size, "%s", pairs[pair][1 - side]);
}

static void ask(fv_maker *m, kind k) {
    enum { SIZE = 160 };
    char question[SIZE], answer[SIZE], text[64];
    int a = (int)fv_below(&m->random, 9), b = (a + 1 + (int)fv_below(&m->random, 9)) % 10; /* different digits */
    some_words(text, sizeof text, m);
    snprintf(answer, SIZE, "%s", text);
    switch (k) {
    case REPEAT: snprintf(question, SIZE, "%s %s", fv_maker_chance(m, 0.5) ? "Repeat:" : "Read the text:", text); break;
    case NEXT:
        snprintf(question, SIZE, "What comes after %d?", a);
        snprintf(answer, SIZE, "%d", a + 1);
        break;
    case BIGGER: {
        bool bigger = fv_maker_chance(m, 0.5);
        snprintf(question, SIZE, "Which is %s, %d or %d?", bigger ? "bigger" : "smaller", a, b);
        snprintf(answer, SIZE, "%d", (a > b) == bigger ? a : b);
        break;
    }
    case LESS:
        snprintf(question, SIZE, "Is %d less than %d? Answer yes or no.", a, b);
        snprintf(answer, SIZE, "%s", a < b ? "yes" : "no");
        break;
    case KIND_OF: ask_kind_of(m, question, answer, SIZE); break;
    case OPPOSITE: ask_opposite(m, question, answer, SIZE); break;
    case COUNT_TO:
        snprintf(question, SIZE, "Count to %d.", a + 1);
        for (int i = 1, used = 0; i <= a + 1; i++) used += snprintf(answer + used, SIZE - (size_t)used, "%s%d", i > 1 ? " " : "", i);
        break;
    case PICK: { /* looking something up in a text, as later in a picture */
        int color = (int)fv_below(&m->random, FV_PLATE_COLORS), other = (color + 1 + (int)fv_below(&m->random, FV_PLATE_COLORS - 1)) % FV_PLATE_COLORS;
        bool first = fv_maker_chance(m, 0.5);
        snprintf(question, SIZE, "The %s plate shows %d. The %s plate shows %d. Which digit is on the %s plate?", fv_plate_color_name(color), a, fv_plate_color_name(other), b,
                 fv_plate_color_name(first ? color : other));
        snprintf(answer, SIZE, "%d", first ? a : b);
        break;
    }
    default:
        snprintf(question, SIZE, "The answer is %d. Put the answer in <answer></answer>.", b);
        snprintf(answer, SIZE, "<answer>%d</answer>", b);
        break;
    }
    fv_maker_ask(m, kinds[k], question, answer);
}

static fv_status make(fv_row **out, const fv_generator_how *how, int64_t index, fv_error *err) {
    fv_maker m;
    FV_TRY(fv_maker_begin(&m, &fv_generator_words, how, index, err));
    int only = KIND_COUNT;
    for (int k = 0; k < KIND_COUNT; k++)
        if (fv_maker_is(&m, "kinds", kinds[k].kind)) only = k;
    while (fv_maker_wants(&m, 4)) ask(&m, only < KIND_COUNT ? (kind)only : (kind)fv_below(&m.random, KIND_COUNT));
    return fv_maker_end(&m, FV_OK, out, err);
}

const fv_generator fv_generator_words = {"words", "plain questions without a picture",
                                         "kinds=all|repeat|next|bigger|less|kind-of|opposite|count-to|pick|tagged turns=0[0..16]", make};
