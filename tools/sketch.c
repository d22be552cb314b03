#include "tools/sketch.h"

#include "tools/canvas.h"
#include "tools/registry.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A drawn picture: picture `base`, which has nothing drawn on it, with boxes and lines in the order in which they were drawn. */
typedef struct {
    int base; /* 1-based; 0: this picture was not drawn */
    json_t *boxes, *lines;
} layer;

struct fv_sketch {
    layer layers[FV_SKETCH_PICTURES]; /* by number - 1 */
};

fv_sketch *fv_sketch_new(void) {
    return calloc(1, sizeof(fv_sketch));
}

static void clear_layer(layer *l) {
    json_decref(l->boxes);
    json_decref(l->lines);
    *l = (layer){0};
}

void fv_sketch_free(fv_sketch *s) {
    for (int i = 0; s != NULL && i < FV_SKETCH_PICTURES; i++) clear_layer(&s->layers[i]);
    free(s);
}

/* ---- items ---------------------------------------------------------------------------------------------------------- */

typedef enum { NEITHER, BOX, LINE } kind;

static bool has(const json_t *item, const char *field) {
    return json_object_get(item, field) != NULL;
}

static kind kind_of(const json_t *item) {
    if (!has(item, "label")) return NEITHER;
    return has(item, "bbox_2d") ? BOX : has(item, "start_point_2d") && has(item, "end_point_2d") ? LINE : NEITHER;
}

static fv_status check_item(const json_t *item, int seen_count, fv_error *err) {
    double v[2];
    const json_t *index = json_object_get(item, "index");
    json_int_t n = json_integer_value(index); /* 0 if it is no integer */
    if (index == NULL) return fv_fail(err, FV_TOOL, "\"index\" is missing: it must be the number of a picture, from 1 to %d", seen_count);
    if (n < 1 || n > seen_count) return fv_fail(err, FV_TOOL, "\"index\" must be the number of a picture, from 1 to %d", seen_count);
    if (kind_of(item) == BOX) return FV_OK; /* a box without four numbers is passed over when it is drawn */
    FV_TRY(fv_tool_numbers(item, "start_point_2d", 2, v, err));
    return fv_tool_numbers(item, "end_point_2d", 2, v, err);
}

static fv_status check_items(const json_t *items, int seen_count, fv_error *err) {
    size_t valid = 0;
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        if (kind_of(item) == NEITHER) continue;
        fv_status s = check_item(item, seen_count, err);
        if (s != FV_OK) {
            fv_fail_in(err, "item %zu", i + 1);
            return s;
        }
        valid++;
    }
    if (valid == 0) return fv_fail(err, FV_TOOL, "there is nothing to draw: an item needs \"index\", \"label\", and \"bbox_2d\" or \"start_point_2d\" and \"end_point_2d\"");
    return valid <= FV_SKETCH_ITEMS ? FV_OK : fv_fail(err, FV_TOOL, "there are %zu items, at most %d are drawn", valid, FV_SKETCH_ITEMS);
}

/* Puts an item in the place of the one with its label, or at the end. */
static bool put(json_t *list, json_t *item) {
    const json_t *label = json_object_get(item, "label");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_object_get(json_array_get(list, i), "label"), (json_t *)label)) return json_array_set(list, i, item) == 0;
    return json_array_append(list, item) == 0;
}

/* ---- drawing -------------------------------------------------------------------------------------------------------- */

/* Pillow's colours by those names, in the release's order. */
static fv_color box_color(size_t i) {
    static const fv_color colors[] = {
        {{255, 0, 0}},     {{0, 128, 0}},   {{0, 0, 255}},     {{255, 255, 0}},  {{255, 165, 0}}, {{255, 192, 203}}, {{128, 0, 128}},  {{165, 42, 42}},
        {{128, 128, 128}}, {{245, 245, 220}}, {{64, 224, 208}}, {{0, 255, 255}}, {{255, 0, 255}}, {{0, 255, 0}},     {{0, 0, 128}},    {{128, 0, 0}},
        {{0, 128, 128}},   {{128, 128, 0}}, {{255, 127, 80}},  {{230, 230, 250}}, {{238, 130, 238}}, {{255, 215, 0}}, {{192, 192, 192}},
    };
    return colors[i % FV_COUNT(colors)];
}

/* Pens are 4 pixels wide, and letters 11 high, of the picture as the model sees it. */
static double unit_of(fv_frame_size size) {
    return size.view_width > 0 ? (double)size.width / size.view_width : 1;
}

static void draw_box(fv_image *im, const json_t *item, fv_color c, fv_space space, fv_frame_size size) {
    double v[4], unit = unit_of(size);
    if (fv_tool_numbers(item, "bbox_2d", 4, v, NULL) != FV_OK) return;
    fv_box b = fv_box_to_picture((fv_box){fmin(v[0], v[2]), fmin(v[1], v[3]), fmax(v[0], v[2]), fmax(v[1], v[3])}, space, size);
    fv_canvas_draw_box(im, b, 4 * unit, c);
    const char *label = json_string_value(json_object_get(item, "label"));
    if (label != NULL) fv_canvas_text(im, b.x1 + 8 * unit, b.y1 + 6 * unit, label, &(fv_text_style){.size = 11 * unit, .color = c});
}

static void draw_line(fv_image *im, const json_t *item, fv_space space, fv_frame_size size) {
    double from[2], to[2], unit = unit_of(size);
    if (fv_tool_numbers(item, "start_point_2d", 2, from, NULL) != FV_OK || fv_tool_numbers(item, "end_point_2d", 2, to, NULL) != FV_OK) return;
    fv_point_to_picture(&from[0], &from[1], space, size);
    fv_point_to_picture(&to[0], &to[1], space, size);
    fv_canvas_line(im, from[0], from[1], to[0], to[1], 4 * unit, (fv_color){{0, 0, 0}});
    fv_canvas_fill_disc(im, from[0], from[1], 4 * unit, (fv_color){{255, 0, 0}});
    fv_canvas_fill_disc(im, to[0], to[1], 4 * unit, (fv_color){{0, 0, 255}});
}

static fv_status paint(fv_image **out, const layer *l, const fv_seen *base, fv_space space, fv_error *err) {
    FV_TRY(fv_image_copy(out, base->image, err));
    for (size_t i = 0; i < json_array_size(l->boxes); i++) draw_box(*out, json_array_get(l->boxes, i), box_color(i), space, base->size);
    for (size_t i = 0; i < json_array_size(l->lines); i++) draw_line(*out, json_array_get(l->lines, i), space, base->size);
    return FV_OK;
}

/* The layer of a new picture: what picture `from` has, and the items that name it. */
static fv_status make_layer(const fv_sketch *s, layer *l, const json_t *items, int from, fv_drawn *out, fv_error *err) {
    const layer *source = &s->layers[from - 1];
    *l = (layer){source->base ? source->base : from, source->base ? json_copy(source->boxes) : json_array(), source->base ? json_copy(source->lines) : json_array()};
    bool good = l->boxes != NULL && l->lines != NULL;
    *out = (fv_drawn){.from = from};
    for (size_t i = 0; i < json_array_size(items) && good; i++) {
        json_t *item = json_array_get(items, i);
        kind k = kind_of(item);
        if (k == NEITHER || json_integer_value(json_object_get(item, "index")) != from) continue;
        out->boxes |= k == BOX;
        good = put(k == BOX ? l->boxes : l->lines, item);
    }
    return good ? FV_OK : fv_fail(err, FV_NO_MEMORY, "drawing: out of memory");
}

/* Appends the indices of the items of a kind that are not there yet. */
static int list_sources(const json_t *items, kind k, int *from, int count) {
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        int n = (int)json_integer_value(json_object_get(item, "index")), at = 0;
        if (kind_of(item) != k) continue;
        while (at < count && from[at] != n) at++;
        if (at == count) from[count++] = n;
    }
    return count;
}

fv_status fv_sketch_draw(fv_sketch *s, const json_t *items, const fv_seen *seen, int seen_count, fv_space space, fv_drawn *out, int *count, fv_error *err) {
    int from[FV_SKETCH_ITEMS];
    *count = 0;
    FV_TRY(check_items(items, seen_count < FV_SKETCH_PICTURES ? seen_count : FV_SKETCH_PICTURES, err));
    int sources = list_sources(items, BOX, from, 0), room = FV_SKETCH_PICTURES - seen_count;
    sources = list_sources(items, LINE, from, sources);
    for (int i = 0; i < sources && i < room; i++) {
        layer *l = &s->layers[seen_count + i];
        clear_layer(l);
        fv_status status = make_layer(s, l, items, from[i], &out[i], err);
        if (status == FV_OK) status = paint(&out[i].image, l, &seen[l->base - 1], space, err);
        if (status != FV_OK) return status;
        *count = i + 1;
    }
    return FV_OK;
}
