/* RefCOCO (also + and g), boxes of expressions, by lmms-eval. Boxes are fractions of the picture; a response in pixels is wrong. */
#include "rl/protocols/mcq.h"
#include "rl/text/regex.h"

#include <math.h>

typedef struct {
    double x1, y1, x2, y2;
} box;

/* The first [a, b, c, d]; else four zeros. */
static box box_said(fv_mark *m, fv_span text) {
#define NUMBER "(-?\\d+(?:\\.\\d+)?)"
#define COMMA "," FV_RE_SPACE "*"
    fv_span g[5];
    double v[4] = {0};
    if (fv_regex_in("\\[" FV_RE_SPACE "*" NUMBER COMMA NUMBER COMMA NUMBER COMMA NUMBER FV_RE_SPACE "*\\]", text, g, 5)) {
        fv_edit_set(&m->extracted, g[0]);
        for (int i = 0; i < 4; i++) (void)fv_py_float(g[i + 1], &v[i]);
    }
    return (box){v[0], v[1], v[2], v[3]};
#undef NUMBER
#undef COMMA
}

static double area(box b) { return (b.x2 - b.x1) * (b.y2 - b.y1); }

/* A box whose corners are swapped on one axis has a negative area, as there. */
static double overlap(box a, box b) {
    double shared = fmax(0, fmin(a.x2, b.x2) - fmax(a.x1, b.x1)) * fmax(0, fmin(a.y2, b.y2) - fmax(a.y1, b.y1));
    double all = area(a) + area(b) - shared;
    return all != 0 ? shared / all : 0;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    static const double at_least[] = {0.1, 0.3, 0.5, 0.7, 0.9};
    const json_t *list = json_object_get(row, "bbox");
    double v[4];
    bool good = json_array_size(list) == 4;
    for (size_t i = 0; i < 4 && good; i++) {
        good = json_is_number(json_array_get(list, i));
        v[i] = json_number_value(json_array_get(list, i));
    }
    if (!good) return "a `bbox` of four numbers";
    if (!(fmax(v[2], v[3]) <= 2)) return "a `bbox` [x1, y1, x2, y2] as fractions of the picture";
    box right = {v[0], v[1], v[2], v[3]}, given = box_said(m, text);
    double x = (given.x1 + given.x2) / 2, y = (given.y1 + given.y2) / 2;
    fv_json_dump(&m->right, list, 0);
    m->metrics[0] = overlap(right, given);
    for (size_t i = 0; i < FV_COUNT(at_least); i++) m->metrics[1 + i] = m->metrics[0] >= at_least[i];
    m->metrics[6] = right.x1 <= x && x <= right.x2 && right.y1 <= y && y <= right.y2;
    m->score = m->metrics[3];
    return NULL;
}

const fv_protocol fv_protocol_refcoco_lmms = {.name = "refcoco@lmms",
                                              .doc = "the first [x1, y1, x2, y2] in fractions of the picture, else no box; right from an overlap of 0.5 on",
                                              .fields = "bbox [x1, y1, x2, y2] in fractions, as lmms-eval logs it",
                                              .source = FV_SOURCE_LMMS "refcoco/utils_rec.py",
                                              .metrics = {"IoU", "ACC@0.1", "ACC@0.3", "ACC@0.5", "ACC@0.7", "ACC@0.9", "Center_ACC"},
                                              .read = fv_read_lmms,
                                              .mark = mark};
