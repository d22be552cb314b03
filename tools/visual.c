/* The visual tools: zoom and rotate (DeepEyes), and drawing on a copy of a picture (boxes, arrows, points with labels). */
#include "tools/canvas.h"
#include "tools/registry.h"

#include <math.h>

/* Most items that one call may draw: more is a loop of the model's, not a drawing. */
enum { FV_ITEMS_MOST = 64 };

static const fv_seen *fv_seen_at(const fv_tool_context *context, int picture) {
    return &context->seen[picture - 1];
}

/* Puts the field and the size that the coordinates count in before a message about a box. */
static fv_status fv_box_trouble(const fv_tool_context *context, const fv_seen *seen, fv_error *err) {
    fv_box all = fv_box_from_picture((fv_box){0, 0, seen->size.width, seen->size.height}, context->space, seen->size);
    return fv_fail_in(err, "\"bbox_2d\" (the picture spans [0, 0, %.0f, %.0f])", all.x2, all.y2);
}

static fv_status fv_box_argument(const fv_tool_context *context, const fv_seen *seen, const json_t *arguments, fv_box *out, fv_error *err) {
    double v[4];
    FV_TRY(fv_tool_numbers(arguments, "bbox_2d", 4, v, err));
    *out = fv_box_to_picture((fv_box){v[0], v[1], v[2], v[3]}, context->space, seen->size);
    return FV_OK;
}

fv_status fv_tool_zoom(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err) {
    fv_box asked;
    const char *label; /* checked, but it changes nothing: it is where the model says what it looks for */
    FV_TRY(fv_tool_picture(context, arguments, &out->picture, err));
    const fv_seen *seen = fv_seen_at(context, out->picture);
    FV_TRY(fv_box_argument(context, seen, arguments, &asked, err));
    FV_TRY(fv_tool_text(arguments, "label", &label, err));
    if (fv_crop_box(&out->box, asked, seen->size.width, seen->size.height, context->crop, err) != FV_OK) return fv_box_trouble(context, seen, err);
    FV_TRY(fv_crop_image(&out->image, seen->image, out->box, err));
    out->has_box = true;
    return FV_OK;
}

fv_status fv_tool_rotate(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err) {
    FV_TRY(fv_tool_picture(context, arguments, &out->picture, err));
    const json_t *angle = json_object_get(arguments, "angle");
    if (!json_is_number(angle)) return fv_fail(err, FV_TOOL, "\"angle\" must be a number of degrees");
    return fv_rotate_image(&out->image, fv_seen_at(context, out->picture)->image, json_number_value(angle), err);
}

/* ---- drawing -------------------------------------------------------------------------------------------------------- */

/* Draws item number `i` on `im`. FV_TOOL if the item is wrong. */
typedef fv_status fv_draw_item(fv_image *im, const fv_tool_context *context, const fv_seen *seen, const json_t *item, int i, fv_error *err);

/* Sizes that are as visible on a large picture as on a small one, whatever size it is seen at. */
static double fv_pen(const fv_image *im) { return fmax(2, floor((im->width + im->height) / 400.0)); }
static double fv_letters(const fv_image *im) { return fmax(12, floor((im->width + im->height) / 60.0)); }

/* Colours follow the item's place in the list; those that stand apart come first. */
static fv_color fv_item_color(int i) {
    int count;
    const fv_color_entry *table = fv_color_table(&count);
    return table[i % 8].color; /* red to brown */
}

static fv_status fv_draw_items(const fv_tool_context *context, const json_t *arguments, const char *field, fv_draw_item *draw, fv_tool_result *out, fv_error *err) {
    const json_t *items;
    FV_TRY(fv_tool_picture(context, arguments, &out->picture, err));
    FV_TRY(fv_tool_items(arguments, field, FV_ITEMS_MOST, &items, err));
    const fv_seen *seen = fv_seen_at(context, out->picture);
    fv_image *im;
    FV_TRY(fv_image_copy(&im, seen->image, err));
    for (size_t i = 0; i < json_array_size(items); i++) {
        if (draw(im, context, seen, json_array_get(items, i), (int)i, err) == FV_OK) continue;
        fv_image_free(im);
        return fv_fail_in(err, "%s[%zu]", field, i);
    }
    out->image = im;
    return FV_OK;
}

static fv_status fv_draw_box(fv_image *im, const fv_tool_context *context, const fv_seen *seen, const json_t *item, int i, fv_error *err) {
    fv_box b;
    const char *label;
    FV_TRY(fv_box_argument(context, seen, item, &b, err));
    FV_TRY(fv_tool_text(item, "label", &label, err));
    b = fv_box_clip(b, im->width, im->height);
    if (fv_box_area(b) <= 0) {
        fv_fail(err, FV_TOOL, "the box must have x1 < x2 and y1 < y2 inside the picture");
        return fv_box_trouble(context, seen, err);
    }
    fv_canvas_labelled_box(im, b, fv_pen(im), fv_item_color(i), label, fv_letters(im));
    return FV_OK;
}

/* A point inside the picture (its far edges included). */
static fv_status fv_point_argument(const fv_tool_context *context, const fv_seen *seen, const json_t *item, const char *field, fv_point *out, fv_error *err) {
    double v[2];
    FV_TRY(fv_tool_numbers(item, field, 2, v, err));
    fv_point_to_picture(&v[0], &v[1], context->space, seen->size);
    if (!(v[0] >= 0 && v[1] >= 0 && v[0] <= seen->size.width && v[1] <= seen->size.height))
        return fv_fail(err, FV_TOOL, "\"%s\" lies outside of the picture", field);
    *out = (fv_point){v[0], v[1]};
    return FV_OK;
}

static void fv_label_at(fv_image *im, fv_point p, const char *label, fv_color c) {
    if (label[0] != '\0') fv_canvas_label_beside(im, p.x, p.y, 2 * fv_pen(im), label, fv_letters(im), c);
}

static fv_status fv_draw_line(fv_image *im, const fv_tool_context *context, const fv_seen *seen, const json_t *item, int i, fv_error *err) {
    fv_point p[2];
    const char *label;
    FV_TRY(fv_point_argument(context, seen, item, "start_point_2d", &p[0], err));
    FV_TRY(fv_point_argument(context, seen, item, "end_point_2d", &p[1], err));
    FV_TRY(fv_tool_text(item, "label", &label, err));
    fv_canvas_arrow(im, p, 2, fv_pen(im), fv_item_color(i));
    fv_label_at(im, p[0], label, fv_item_color(i));
    return FV_OK;
}

static fv_status fv_draw_point(fv_image *im, const fv_tool_context *context, const fv_seen *seen, const json_t *item, int i, fv_error *err) {
    fv_point p;
    const char *label;
    FV_TRY(fv_point_argument(context, seen, item, "point_2d", &p, err));
    FV_TRY(fv_tool_text(item, "label", &label, err));
    fv_canvas_point(im, p.x, p.y, 1.5 * fv_pen(im), fv_item_color(i));
    fv_label_at(im, p, label, fv_item_color(i));
    return FV_OK;
}

fv_status fv_tool_boxes(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err) {
    return fv_draw_items(context, arguments, "boxes", fv_draw_box, out, err);
}

fv_status fv_tool_lines(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err) {
    return fv_draw_items(context, arguments, "lines", fv_draw_line, out, err);
}

fv_status fv_tool_points(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err) {
    return fv_draw_items(context, arguments, "points", fv_draw_point, out, err);
}
