/* NExT-GQA (arXiv 2309.01327): an answer counts if the span of the video that is given as its ground lies in one that people marked. */
#include "rl/protocols/reading.h"
#include "rl/text/regex.h"

#include <math.h>

typedef struct {
    double from, to; /* seconds */
} interval;

typedef struct {
    double iou, iop; /* of the union, of the prediction */
} overlap;

/* get_tIoU: a prediction without length lies inside or outside. */
static overlap overlap_of(interval right, interval given) {
    overlap o = {0};
    double shared = fmin(right.to, given.to) - fmax(right.from, given.from), all = fmax(right.to, given.to) - fmin(right.from, given.from);
    if (given.from == given.to) {
        o.iop = right.from <= given.from && given.from <= right.to;
        return o;
    }
    if (all > 0) o.iou = shared / all;
    if (given.to > given.from) o.iop = shared / (given.to - given.from);
    return o;
}

/* The last span of a pattern's form; *where is all of it. */
static bool last_span(const char *pattern, fv_span text, interval *out, fv_span *where) {
    fv_regex *r = fv_regex_new(pattern);
    fv_span g[3];
    bool found = false;
    for (size_t at = 0; r && at <= text.size && fv_regex_find(r, text, at, g, 3);) {
        found |= fv_py_float(g[1], &out->from) && fv_py_float(g[2], &out->to);
        *where = g[0];
        at = (size_t)(g[0].text - text.text) + g[0].size;
    }
    fv_regex_free(r);
    return found;
}

/* [3.2, 7.5], else 3.2 to 7.5 (also 3.2s - 7.5s); not 0:03 to 0:07. */
static bool span_said(fv_span text, interval *out, fv_span *where) {
#define NUMBER "(\\d+(?:\\.\\d+)?)"
#define BLANK FV_RE_SPACE "*"
#define SECONDS BLANK "(?:s|sec|seconds)?" BLANK
    return last_span("\\[" BLANK NUMBER BLANK "," BLANK NUMBER BLANK "\\]", text, out, where) || last_span("(?<![\\d:.])" NUMBER SECONDS "(?:-|\u2013|to)" BLANK NUMBER "(?![\\d:])", text, out, where);
#undef NUMBER
#undef BLANK
#undef SECONDS
}

/* The inside of an <answer> pair, else all; without the span: a letter, or an option's text. */
static int choice_said(const fv_options *o, fv_span text, fv_span where) {
    fv_text kept = {0};
    fv_span inside;
    size_t before = (size_t)(where.text - text.text);
    fv_text_bytes(&kept, text.text, before);
    fv_text_bytes(&kept, where.text + where.size, text.size - before - where.size);
    if (!fv_py_pair(&inside, fv_edit_span(&kept), "<answer>", "</answer>")) inside = fv_edit_span(&kept);
    int found = fv_option_said(o, fv_py_strip_of(inside, " \t\n,;"));
    fv_text_clear(&kept);
    return found;
}

/* The row's `type`; TP, what came before, is counted as TN, what came next (eval_next.py). */
static const char *category_of(const json_t *row) {
    static const char *const types[] = {"CW", "CH", "TN", "TC", "DC", "DL", "DO"};
    fv_span type = fv_row_span(row, "type");
    for (size_t i = 0; i < FV_COUNT(types) && type.text; i++)
        if (fv_span_same(type, fv_span_of(types[i]))) return types[i];
    return type.text && fv_span_same(type, fv_span_of("TP")) ? "TN" : NULL;
}

static bool read_interval(const json_t *pair, interval *out) {
    const json_t *from = json_array_get(pair, 0), *to = json_array_get(pair, 1);
    *out = (interval){json_number_value(from), json_number_value(to)};
    return json_array_size(pair) == 2 && json_is_number(from) && json_is_number(to) && out->from <= out->to;
}

static const char *mark(fv_mark *m, fv_span text, const json_t *row) {
    const json_t *location = json_object_get(row, "location");
    fv_span where;
    fv_options o;
    interval given = {0}, right;
    overlap best = {0};
    fv_options_read(&o, row);
    int answer = fv_options_right(&o, row);
    if (answer < 0) return "a0 to a4, and an `answer` that is one of them";
    bool spoken = span_said(text, &given, &where);
    for (size_t i = 0; i == 0 || i < json_array_size(location); i++) { /* an empty list lacks its first */
        if (!read_interval(json_array_get(location, i), &right)) return "`location`: a list of [from, to] in seconds";
        overlap one = overlap_of(right, given);
        best = (overlap){fmax(best.iou, one.iou), fmax(best.iop, one.iop)};
    }
    m->category = category_of(row);
    m->left_out = !spoken;
    if (!spoken) return NULL;
    int said = choice_said(&o, text, where);
    fv_mark_letter(m, said < 0 ? 0 : (char)('A' + said), (char)('A' + answer));
    const double metrics[] = {m->score, best.iop, best.iop >= 0.3, best.iop >= 0.5, best.iou, best.iou >= 0.3, best.iou >= 0.5};
    for (size_t i = 0; i < FV_COUNT(metrics); i++) m->metrics[i] = metrics[i];
    m->score = m->score && best.iop >= 0.5;
    return NULL;
}

const fv_protocol fv_protocol_nextgqa = {.name = "nextgqa",
                                         .doc = "without its thoughts: the last [from, to] (or from to to, from - to) in seconds, and a letter or an option's text in the <answer> pair, else beside it; right if the choice is, and half of the span lies in one of "
                                                "the row's (Acc@GQA); responses without a span leave the mean",
                                         .fields = "a0 to a4; answer (the text of one, a letter, or 0 to 4); location [[from, to], ..] in seconds; type, video_id",
                                         .source = "NExT-GQA 63772e0, code/TempGQA/eval_ground.py",
                                         .cluster = "video_id",
                                         .metrics = {"acc", "IoP", "IoP@0.3", "IoP@0.5", "IoU", "IoU@0.3", "IoU@0.5"},
                                         .read = fv_read_lmms,
                                         .mark = mark};
