/* The tools that an agent can call: each is a row with its name, its JSON schema and a function from arguments and the pictures seen so
 * far to a new picture. A new tool is a function in tools/visual.c (or a file of its own) and a row in tools/registry.c. */
#ifndef FV_TOOLS_REGISTRY_H
#define FV_TOOLS_REGISTRY_H

#include "core/json.h"
#include "tools/crop.h"
#include "tools/env.h"

/* What a tool may look at. */
typedef struct {
    const fv_seen *seen;   /* in order of appearance */
    int seen_count;
    fv_space space;        /* of the coordinates that the model writes and reads */
    fv_crop_rules crop;
} fv_tool_context;

/* What it did. */
typedef struct {
    fv_image *image;       /* the new picture, the caller's */
    int picture;           /* the one it acted on, 1-based; also set where the call failed later */
    fv_box box;            /* in that picture's space: what it looked at, of a tool that cuts it out */
    bool has_box;
} fv_tool_result;

typedef struct {
    const char *name;        /* "image_zoom_in_tool" */
    const char *description; /* one sentence for the model */
    const char *parameters;  /* JSON schema of the arguments, as text */
    const char *example;     /* arguments that show how */
    /* On FV_TOOL err is a text for the model and out->image is NULL. Other failures (FV_NO_MEMORY) end the episode. */
    fv_status (*run)(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err);
} fv_tool;

const fv_tool *fv_tool_find(const char *name); /* NULL if there is none */
const fv_tool *const *fv_tools(int *count);

/* {"type": "function", "function": {"name", "description", "parameters"}}; a new reference, NULL when out of memory. */
json_t *fv_tool_schema(const fv_tool *t);

/* ---- for tools: reading arguments, with messages for the model ---- */

/* The picture that "image_index" (or "index") names, 1-based; the first if neither is there. */
fv_status fv_tool_picture(const fv_tool_context *context, const json_t *arguments, int *picture, fv_error *err);
/* A list of exactly `count` finite numbers. */
fv_status fv_tool_numbers(const json_t *arguments, const char *field, int count, double *out, fv_error *err);
/* A list of 1 to `most` objects. */
fv_status fv_tool_items(const json_t *arguments, const char *field, size_t most, const json_t **out, fv_error *err);
/* A text, "" if it is missing. */
fv_status fv_tool_text(const json_t *arguments, const char *field, const char **out, fv_error *err);

/* The tools themselves (tools/visual.c). */
fv_status fv_tool_zoom(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err);
fv_status fv_tool_rotate(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err);
fv_status fv_tool_boxes(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err);
fv_status fv_tool_lines(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err);
fv_status fv_tool_points(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err);

#endif
