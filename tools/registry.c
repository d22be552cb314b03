#include "tools/registry.h"

#include <math.h>
#include <string.h>

#define NUMBERS(n, text) "{\"type\": \"array\", \"items\": {\"type\": \"number\"}, \"minItems\": " #n ", \"maxItems\": " #n ", \"description\": \"" text "\"}"
#define BOX NUMBERS(4, "[x1, y1, x2, y2]: the left, top, right and bottom edge")
#define LABEL "\"label\": {\"type\": \"string\", \"description\": \"What it shows (optional)\"}"
#define INDEX "\"image_index\": {\"type\": \"integer\", \"description\": \"Which picture, counted from 1 (optional, the first)\"}"
#define ITEMS(name, properties, required)                                                                                                           \
    "{\"type\": \"object\", \"properties\": {\"" name "\": {\"type\": \"array\", \"items\": {\"type\": \"object\", \"properties\": {" properties    \
    "}, \"required\": [" required "]}}, " INDEX "}, \"required\": [\"" name "\"]}"

/* Names and forms of the first two are DeepEyes' (arXiv 2505.14362), start_point_2d and end_point_2d are ViLaSR's (arXiv 2506.09965). */
static const fv_tool *const fv_tool_list[] = {
    &(const fv_tool){"image_zoom_in_tool", "Cuts a region out of a picture and shows it at full resolution.",
     "{\"type\": \"object\", \"properties\": {\"bbox_2d\": " BOX ", " LABEL ", " INDEX "}, \"required\": [\"bbox_2d\"]}", "{\"bbox_2d\": [10, 20, 100, 200]}",
     fv_tool_zoom},
    &(const fv_tool){"image_rotate_tool", "Turns a picture.",
     "{\"type\": \"object\", \"properties\": {\"angle\": {\"type\": \"number\", \"description\": \"Degrees, clockwise if positive\"}, " INDEX
     "}, \"required\": [\"angle\"]}",
     "{\"angle\": 90}", fv_tool_rotate},
    &(const fv_tool){"image_draw_boxes_tool", "Draws boxes with labels on a picture.", ITEMS("boxes", "\"bbox_2d\": " BOX ", " LABEL, "\"bbox_2d\""),
     "{\"boxes\": [{\"bbox_2d\": [10, 20, 100, 200], \"label\": \"cup\"}]}", fv_tool_boxes},
    &(const fv_tool){"image_draw_lines_tool", "Draws arrows from point to point on a picture.",
     ITEMS("lines", "\"start_point_2d\": " NUMBERS(2, "[x, y]") ", \"end_point_2d\": " NUMBERS(2, "[x, y]") ", " LABEL, "\"start_point_2d\", \"end_point_2d\""),
     "{\"lines\": [{\"start_point_2d\": [10, 20], \"end_point_2d\": [100, 200]}]}", fv_tool_lines},
    &(const fv_tool){"image_draw_points_tool", "Marks points on a picture.", ITEMS("points", "\"point_2d\": " NUMBERS(2, "[x, y]") ", " LABEL, "\"point_2d\""),
     "{\"points\": [{\"point_2d\": [10, 20], \"label\": \"A\"}]}", fv_tool_points},
};

const fv_tool *fv_tool_find(const char *name) {
    for (size_t i = 0; i < FV_COUNT(fv_tool_list); i++)
        if (strcmp(fv_tool_list[i]->name, name) == 0) return fv_tool_list[i];
    return NULL;
}

const fv_tool *const *fv_tools(int *count) {
    *count = (int)FV_COUNT(fv_tool_list);
    return fv_tool_list;
}

json_t *fv_tool_schema(const fv_tool *t) {
    json_t *parameters = json_loads(t->parameters, 0, NULL);
    return json_pack("{s:s, s:{s:s, s:s, s:o}}", "type", "function", "function", "name", t->name, "description", t->description, "parameters", parameters);
}

/* ---- arguments ------------------------------------------------------------------------------------------------------ */

static fv_status fv_wrong_argument(const json_t *arguments, const char *field, const char *rule, fv_error *err) {
    const json_t *value = json_object_get(arguments, field);
    if (value == NULL) return fv_fail(err, FV_TOOL, "\"%s\" is missing: it must be %s", field, rule);
    fv_text got = {0};
    fv_json_dump(&got, value, 0);
    fv_status s = fv_fail(err, FV_TOOL, "\"%s\" must be %s, got %.80s", field, rule, got.failed || got.data == NULL ? "something else" : got.data);
    fv_text_clear(&got);
    return s;
}

fv_status fv_tool_picture(const fv_tool_context *context, const json_t *arguments, int *picture, fv_error *err) {
    const char *field = json_object_get(arguments, "image_index") ? "image_index" : "index";
    const json_t *value = json_object_get(arguments, field);
    *picture = 0;
    if (context->seen_count < 1) return fv_fail(err, FV_TOOL, "there is no picture yet");
    if (value == NULL || json_is_null(value)) {
        *picture = 1;
        return FV_OK;
    }
    json_int_t index = json_integer_value(value); /* 0 if it is no integer */
    if (index < 1 || index > context->seen_count) {
        char rule[64];
        snprintf(rule, sizeof rule, "a number from 1 to %d, the pictures so far", context->seen_count);
        return fv_wrong_argument(arguments, field, rule, err);
    }
    *picture = (int)index;
    return FV_OK;
}

fv_status fv_tool_numbers(const json_t *arguments, const char *field, int count, double *out, fv_error *err) {
    const json_t *list = json_object_get(arguments, field);
    char rule[32];
    snprintf(rule, sizeof rule, "a list of %d numbers", count);
    if (json_array_size(list) != (size_t)count) return fv_wrong_argument(arguments, field, rule, err);
    for (int i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, (size_t)i);
        if (!json_is_number(value) || !isfinite(json_number_value(value))) return fv_wrong_argument(arguments, field, rule, err);
        out[i] = json_number_value(value);
    }
    return FV_OK;
}

fv_status fv_tool_items(const json_t *arguments, const char *field, size_t most, const json_t **out, fv_error *err) {
    const json_t *list = json_object_get(arguments, field);
    size_t count = json_array_size(list), objects = 0;
    for (size_t i = 0; i < count; i++) objects += json_is_object(json_array_get(list, i)) ? 1 : 0;
    if (count < 1 || count > most || objects != count) {
        char rule[48];
        snprintf(rule, sizeof rule, "a list of 1 to %zu objects", most);
        return fv_wrong_argument(arguments, field, rule, err);
    }
    *out = list;
    return FV_OK;
}

fv_status fv_tool_text(const json_t *arguments, const char *field, const char **out, fv_error *err) {
    const json_t *value = json_object_get(arguments, field);
    *out = "";
    if (value == NULL || json_is_null(value)) return FV_OK;
    if (!json_is_string(value)) return fv_wrong_argument(arguments, field, "a text", err);
    *out = json_string_value(value);
    return FV_OK;
}
