/* A tool that mirrors a picture. */
#include "tools/registry.h"

fv_status fv_tool_flip(const fv_tool_context *context, const json_t *arguments, fv_tool_result *out, fv_error *err) {
    FV_TRY(fv_tool_picture(context, arguments, &out->picture, err)); /* "image_index": 2, or the first; complaints are for the model */
    const fv_image *in = context->seen[out->picture - 1].image;
    const char *axis;
    FV_TRY(fv_tool_text(arguments, "axis", &axis, err));
    bool upside_down = axis[0] == 'v';
    if (axis[0] != '\0' && axis[0] != 'h' && !upside_down) return fv_fail(err, FV_TOOL, "\"axis\" must be horizontal or vertical, got %.40s", axis);
    FV_TRY(fv_image_copy(&out->image, in, err));
    for (int y = 0; y < in->height; y++)
        for (int x = 0; x < in->width; x++)
            for (int c = 0; c < 3; c++) {
                int from_x = upside_down ? x : in->width - 1 - x, from_y = upside_down ? in->height - 1 - y : y;
                out->image->rgb[3 * (y * in->width + x) + c] = in->rgb[3 * (from_y * in->width + from_x) + c];
            }
    return FV_OK;
}
