#include "rl/report/answer.h"

#include "rl/report/html.h"
#include "rl/report/record.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int fv_answer_right(const json_t *line) {
    const json_t *terms = json_object_get(line, "terms"), *term = json_object_get(terms, "exact");
    if (!term) term = json_object_iter_value(json_object_iter((json_t *)terms)); /* the first: of held-out answers the mark, else what a recipe begins with */
    double v = json_is_number(term) ? json_number_value(term) : fv_record_number(line, "reward");
    return isnan(v) ? -1 : v >= 0.5;
}

/* ---- Pictures ---- */

/* Pictures that came back from tools are the last ones; those before them belong to the prompt. */
static size_t returned(const json_t *turn) {
    const json_t *n = json_object_get(turn, "returned");
    if (json_is_integer(n)) return json_integer_value(n) > 0 ? (size_t)json_integer_value(n) : 0;
    return fv_record_text(turn, "tool")[0] && !fv_record_text(turn, "error")[0] && json_object_get(turn, "box") != NULL; /* of a run of an older version */
}

static size_t prompt_pictures(const json_t *line) {
    size_t all = json_array_size(json_object_get(line, "images")), back = 0;
    const json_t *turns = json_object_get(line, "turns");
    for (size_t i = 0; i < json_array_size(turns); i++) back += returned(json_array_get(turns, i));
    return back < all ? all - back : all ? 1 : 0;
}

/* Entries of `images` are pictures and clips; tools count each frame of a clip. */
static int entry_pictures(const json_t *entry) {
    const json_t *frames = json_object_get(entry, "video");
    return json_is_array(frames) ? (int)json_array_size(frames) : 1;
}

/* The number of an entry's first picture. */
static int first_number(const json_t *images, size_t entry) {
    int first = 1;
    for (size_t i = 0; i < entry; i++) first += entry_pictures(json_array_get(images, i));
    return first;
}

static int picture_of(const json_t *turn) {
    double on = fv_record_number(turn, "picture");
    return isnan(on) ? 1 : (int)on;
}

/* The number, as tools count, of what is shown of an entry: a picture, or of a clip the frame that was looked at first, else its first one. */
static int number_shown(const json_t *line, size_t entry) {
    const json_t *images = json_object_get(line, "images"), *turns = json_object_get(line, "turns");
    int first = first_number(images, entry), count = entry_pictures(json_array_get(images, entry));
    for (size_t i = 0; i < json_array_size(turns); i++) {
        int on = picture_of(json_array_get(turns, i));
        if (json_object_get(json_array_get(turns, i), "tool") && on >= first && on < first + count) return on;
    }
    return first;
}

static const char *picture_name(const json_t *line, size_t entry, int number) {
    const json_t *images = json_object_get(line, "images"), *it = json_array_get(images, entry);
    const char *name = fv_record_text(it, "image");
    if (!name[0]) name = json_string_value(json_array_get(json_object_get(it, "video"), (size_t)(number - first_number(images, entry))));
    return name ? name : "";
}

static bool read_box(const json_t *list, double box[4]) {
    if (json_array_size(list) != 4) return false;
    for (size_t i = 0; i < 4; i++) {
        box[i] = json_number_value(json_array_get(list, i));
        if (!json_is_number(json_array_get(list, i)) || fabs(box[i]) > 1e6) return false;
    }
    return box[2] > box[0] && box[3] > box[1];
}

static void draw_rect(fv_text *out, const char *class_name, const double b[4]) {
    fv_text_printf(out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>", class_name, b[0], b[1], b[2] - b[0], b[3] - b[1]);
}

static void draw_target(fv_text *out, const json_t *line) {
    double b[4];
    if (!read_box(json_object_get(line, "target_box"), b)) return;
    draw_rect(out, "under", b);
    draw_rect(out, "target", b);
}

/* The boxes on picture `number` (1-based), each with a rim so that it is seen on any ground; what lies outside a single one is shaded. */
static void draw_boxes(fv_text *out, const json_t *line, int number, int width, int height) {
    const json_t *turns = json_object_get(line, "turns");
    fv_text holes = {0}, boxes = {0};
    int n = 0;
    for (size_t i = 0; i < json_array_size(turns); i++) {
        const json_t *turn = json_array_get(turns, i);
        double b[4];
        if (!read_box(json_object_get(turn, "box"), b) || picture_of(turn) != number) continue;
        fv_text_printf(&holes, "M%.1f %.1fH%.1fV%.1fH%.1fz", b[0], b[1], b[2], b[3], b[0]);
        draw_rect(&boxes, "halo", b);
        draw_rect(&boxes, "box", b);
        n++;
    }
    if (n == 1) fv_text_printf(out, "<path class=\"shade\" fill-rule=\"evenodd\" d=\"M0 0H%dV%dH0z%s\"/>", width, height, holes.data);
    fv_text_bytes(out, boxes.data, boxes.size);
    out->failed |= holes.failed || boxes.failed;
    fv_text_clear(&holes);
    fv_text_clear(&boxes);
}

/* One picture with what was done on it. */
static bool write_picture(fv_text *out, const fv_shown *s, size_t entry, int side, int *w, int *h) {
    int number = number_shown(s->line, entry);
    if (!fv_gallery_show(s->gallery, out, s->folder, picture_name(s->line, entry, number), side, w, h)) return false;
    draw_boxes(out, s->line, number, *w, *h);
    if (number == 1) draw_target(out, s->line);
    fv_text_add(out, "</svg>");
    return true;
}

void fv_answer_looks(fv_text *out, const fv_shown *s) {
    size_t all = json_array_size(json_object_get(s->line, "images")), own = prompt_pictures(s->line);
    fv_text crops = {0};
    int w, h;
    if (!all) return;
    fv_text_printf(out, "<div class=\"looks%s\"><figure>", own < all ? "" : " alone");
    for (size_t i = 0; i < own; i++) write_picture(out, s, i, own > 1 ? s->side / 2 : s->side, &w, &h);
    fv_text_add(out, "</figure>");
    for (size_t i = own; i < all; i++) {
        fv_text_add(&crops, "<figure>");
        if (write_picture(&crops, s, i, s->side / 2, &w, &h)) fv_text_printf(&crops, "<figcaption>%s %d × %d</figcaption>", i == own ? "what it saw," : "then", w, h);
        fv_text_add(&crops, "</figure>");
    }
    if (crops.data) {
        fv_text_add(out, "<div class=\"crops\">");
        fv_text_bytes(out, crops.data, crops.size);
        fv_text_add(out, "</div>");
    }
    out->failed |= crops.failed;
    fv_text_clear(&crops);
    fv_text_add(out, "</div>\n");
}

/* ---- Text ---- */

static const struct {
    const char *open, *close, *class_name;
} marks[] = {{"<think>", "</think>", "think"}, {"<tool_call>", "</tool_call>", "call"}, {"<answer>", "</answer>", "answer"}, {"```json", "\n```", "call"}};

static size_t special_length(const char *at) {
    if (strncmp(at, "<|", 2)) return 0;
    const char *end = strstr(at, "|>");
    return end && end - at < 40 ? (size_t)(end - at) + 2 : 0;
}

/* Plain text with its special tokens dimmed. */
static void write_plain(fv_text *out, const char *text, size_t size) {
    for (size_t i = 0; i < size;) {
        size_t n = special_length(text + i);
        if (n && i + n <= size) {
            fv_text_add(out, "<span class=\"special\">");
            fv_html_escape(out, text + i, n);
            fv_text_add(out, "</span>");
            i += n;
            continue;
        }
        n = 1;
        while (i + n < size && !special_length(text + i + n)) n++;
        fv_html_escape(out, text + i, n);
        i += n;
    }
}

void fv_answer_colour(fv_text *out, const char *text, int right) {
    while (*text) {
        const char *first = NULL;
        size_t which = 0;
        for (size_t k = 0; k < FV_COUNT(marks); k++) {
            const char *at = strstr(text, marks[k].open);
            if (at && (!first || at < first)) {
                first = at;
                which = k;
            }
        }
        if (!first) break;
        const char *close = strstr(first, marks[which].close), *end = close ? close + strlen(marks[which].close) : first + strlen(first);
        write_plain(out, text, (size_t)(first - text));
        fv_text_printf(out, "<span class=\"%s%s\">", marks[which].class_name, which != 2 || right < 0 ? "" : right ? " good" : " bad");
        write_plain(out, first, (size_t)(end - first));
        fv_text_add(out, "</span>");
        text = end;
    }
    write_plain(out, text, strlen(text));
}

static void write_observation(fv_text *out, const json_t *turn) {
    const char *error = fv_record_text(turn, "error"), *tool = fv_record_text(turn, "tool");
    double b[4];
    if (error[0]) {
        fv_text_add(out, "<span class=\"seen bad\">");
        fv_html_text(out, error);
        fv_text_add(out, "</span>");
    } else if (tool[0]) {
        fv_text_add(out, "<span class=\"seen\">");
        fv_html_text(out, tool);
        if (read_box(json_object_get(turn, "box"), b)) fv_text_printf(out, " returned the crop [%.0f, %.0f, %.0f, %.0f] of the picture", b[0], b[1], b[2], b[3]);
        else if (fv_record_number(turn, "picture") >= 1) fv_text_printf(out, " returned a picture made from picture %.0f", fv_record_number(turn, "picture"));
        fv_text_add(out, "</span>");
    }
}

void fv_answer_said(fv_text *out, const fv_shown *s) {
    const json_t *turns = json_object_get(s->line, "turns");
    int right = fv_answer_right(s->line);
    fv_text_add(out, "<div class=\"said\">");
    for (size_t i = 0; i < json_array_size(turns); i++) {
        const json_t *turn = json_array_get(turns, i);
        fv_answer_colour(out, fv_record_text(turn, "text"), right);
        write_observation(out, turn);
    }
    if (!json_array_size(turns)) fv_answer_colour(out, fv_record_text(s->line, "response"), right);
    fv_text_add(out, "</div>\n");
}

void fv_answer_terms(fv_text *out, const fv_shown *s) {
    const json_t *terms = json_object_get(s->line, "terms");
    const char *name, *stop = fv_record_text(s->line, "stop_reason"), *error = fv_record_text(s->line, "error");
    json_t *value;
    fv_text_add(out, "<div class=\"terms\">");
    json_object_foreach((json_t *)terms, name, value) {
        fv_text_add(out, "<span>");
        fv_html_text(out, name);
        if (json_is_number(value)) fv_text_printf(out, " <b>%.3g</b></span>", json_number_value(value));
        else fv_text_add(out, " <b>–</b></span>");
    }
    double reward = fv_record_number(s->line, "reward"), advantage = fv_record_number(s->line, "advantage");
    if (!isnan(reward)) fv_text_printf(out, "<span>reward <b>%.3g</b></span>", reward);
    if (!isnan(advantage) && advantage != 0) fv_text_printf(out, "<span>advantage <b>%+.2f</b></span>", advantage);
    if (stop[0]) {
        fv_text_add(out, "<span>stopped: ");
        fv_html_text(out, stop);
        fv_text_add(out, "</span>");
    }
    if (error[0]) {
        fv_text_add(out, "<span class=\"bad\">");
        fv_html_text(out, error);
        fv_text_add(out, "</span>");
    }
    fv_text_add(out, "</div>\n");
}
