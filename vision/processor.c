/* Pictures to patches, as transformers' Qwen2VLImageProcessor, Qwen2VLVideoProcessor and Qwen3VLVideoProcessor (5.23) make them. */
#include "vision/processor.h"

#include <math.h>
#include <stdlib.h>

/* Python's round(x / f) * f: halves go to the even multiple. */
static double round_to(double x, double f) { return rint(x / f) * f; }

/* The rule of both forms: `frames` counts as given in the ratio and rounded to time slots in the comparison (both 1 for a picture).
 * Double arithmetic in the order of the Python code, so that borderline sizes fall on the same side. */
static fv_status fit(int *out_height, int *out_width, double frames, double slots, double h, double w, double f, double least, double most,
                     fv_error *err) {
    double ratio = h > w ? h / w : w / h;
    if (ratio > 200) return fv_fail(err, FV_BAD_DATA, "a picture of %.0fx%.0f: one side must be at most 200 times the other, is %.1f", w, h, ratio);
    double height = round_to(h, f), width = round_to(w, f);
    if (slots * height * width > most) {
        double shrink = sqrt(frames * h * w / most);
        height = fmax(f, floor(h / shrink / f) * f);
        width = fmax(f, floor(w / shrink / f) * f);
    } else if (slots * height * width < least) {
        double grow = sqrt(least / (frames * h * w));
        height = ceil(h * grow / f) * f;
        width = ceil(w * grow / f) * f;
    }
    if (height > 65535 || width > 65535)
        return fv_fail(err, FV_BAD_DATA, "a picture of %.0fx%.0f would be resized to %.0fx%.0f (min_pixels %.0f, max_pixels %.0f); at most 65535 a side", w,
                       h, width, height, least, most);
    *out_height = (int)height;
    *out_width = (int)width;
    return FV_OK;
}

static fv_status check_limits(int height, int width, int factor, int64_t min_pixels, int64_t max_pixels, fv_error *err) {
    if (height < 1 || width < 1 || factor < 1) return fv_fail(err, FV_BAD_DATA, "a picture of %dx%d cannot be cut into patches of %d", width, height, factor);
    if (min_pixels < 1 || max_pixels < 1)
        return fv_fail(err, FV_BAD_DATA, "min_pixels and max_pixels must be positive, got %lld and %lld", (long long)min_pixels, (long long)max_pixels);
    return FV_OK;
}

fv_status fv_smart_resize(int *out_height, int *out_width, int height, int width, int factor, int64_t min_pixels, int64_t max_pixels, fv_error *err) {
    FV_TRY(check_limits(height, width, factor, min_pixels, max_pixels, err));
    return fit(out_height, out_width, 1, 1, height, width, factor, (double)min_pixels, (double)max_pixels, err);
}

fv_status fv_smart_resize_clip(int *out_height, int *out_width, int frames, int height, int width, int temporal, int factor, int64_t min_pixels,
                               int64_t max_pixels, fv_error *err) {
    FV_TRY(check_limits(height, width, factor, min_pixels, max_pixels, err));
    if (temporal < 1 || frames < temporal) return fv_fail(err, FV_BAD_DATA, "a video must have at least %d frames, got %d", temporal, frames);
    double h = height, w = width, f = factor;
    if (h < f || w < f) { /* grown to at least one block first, in whole pixels */
        double grow = fmax(f / h, f / w);
        h = trunc(h * grow);
        w = trunc(w * grow);
    }
    return fit(out_height, out_width, frames, round_to(frames, temporal), h, w, f, (double)min_pixels, (double)max_pixels, err);
}

/* What a byte becomes, by channel: (x - mean * 255) / (std * 255) with mean * 255 rounded to f32 first, as the fused rescale_and_normalize
 * of transformers' torchvision back end computes it. */
static void normal_table(float table[3][256], const fv_processor *p) {
    double factor = p->rescale_factor > 0 ? p->rescale_factor : 1.0 / 255.0;
    float fused = p->rescale ? (float)(1.0 / factor) : 1.0f;
    for (int c = 0; c < 3; c++)
        for (int x = 0; x < 256; x++) {
            float v = (float)x;
            if (p->normalize) table[c][x] = (v - p->mean[c] * fused) / (p->std[c] * fused);
            else table[c][x] = p->rescale ? v * (float)factor : v;
        }
}

/* One time slot: frames[temporal] -> rows [grid_h * grid_w, 3 * temporal * patch * patch]. */
static void cut(float *to, const fv_image *const *frames, const fv_processor *p, float table[3][256]) {
    int patch = p->patch, merge = p->merge, grid_h = frames[0]->height / patch, grid_w = frames[0]->width / patch;
    size_t stride = (size_t)frames[0]->width * 3;
    for (int row = 0; row < grid_h * grid_w; row++) {
        int block = row / (merge * merge), inside = row % (merge * merge), blocks = grid_w / merge;
        int y0 = (block / blocks * merge + inside / merge) * patch, x0 = (block % blocks * merge + inside % merge) * patch;
        for (int c = 0; c < 3; c++)
            for (int t = 0; t < p->temporal; t++)
                for (int y = 0; y < patch; y++) {
                    const uint8_t *from = frames[t]->rgb + (size_t)(y0 + y) * stride + (size_t)x0 * 3 + (size_t)c;
                    for (int x = 0; x < patch; x++) *to++ = table[c][from[3 * x]];
                }
    }
}

static fv_status check_frames(const fv_processor *p, const fv_image *const *frames, int count, fv_error *err) {
    if (count < 1) return fv_fail(err, FV_BAD_DATA, "a clip must have at least one frame");
    if (p->patch < 1 || p->merge < 1 || p->temporal < 1 || p->temporal > FV_MAX_TEMPORAL)
        return fv_fail(err, FV_BAD_MODEL, "patch, merge and temporal sizes must be positive (temporal 1..%d), got %d, %d, %d", FV_MAX_TEMPORAL, p->patch,
                       p->merge, p->temporal);
    for (int i = 1; i < count; i++)
        if (frames[i]->width != frames[0]->width || frames[i]->height != frames[0]->height)
            return fv_fail(err, FV_BAD_DATA, "frame %d is %dx%d, the first one %dx%d: frames of a clip must have one size", i, frames[i]->width,
                           frames[i]->height, frames[0]->width, frames[0]->height);
    return FV_OK;
}

/* cap_pixels_per_frame: a frame's even share of a budget in tokens, so that many frames are seen smaller. The limits are a frame's for Qwen2-VL, all frames' together
 * for Qwen3-VL. Python's order of operations, whose // is exact here. */
static int64_t capped(const fv_processor *p, int count, int64_t least, int64_t most) {
    int64_t token = (int64_t)(p->patch * p->merge) * (p->patch * p->merge), floor_pixels = (int64_t)((double)least * 1.05), share;
    if (p->whole_clip) {
        share = p->cap_tokens * token < most / count ? p->cap_tokens * token : most / count;
        return (share > floor_pixels ? share : floor_pixels) * count;
    }
    share = (int64_t)((double)(p->cap_tokens * token) * 0.9) * p->temporal / count;
    if (share > most) share = most;
    return share > floor_pixels ? share : floor_pixels;
}

fv_status fv_view_size(int *out_height, int *out_width, const fv_processor *p, int count, int height, int width, int64_t min_pixels, int64_t max_pixels,
                       fv_error *err) {
    int factor = p->patch * p->merge;
    int64_t least = min_pixels ? min_pixels : p->min_pixels, most = max_pixels ? max_pixels : p->max_pixels;
    if (p->cap_tokens) most = capped(p, count, least, most);
    if (p->resize && p->whole_clip) return fv_smart_resize_clip(out_height, out_width, count, height, width, p->temporal, factor, least, most, err);
    if (p->resize) return fv_smart_resize(out_height, out_width, height, width, factor, least, most, err);
    if (height % factor || width % factor)
        return fv_fail(err, FV_BAD_DATA, "a picture of %dx%d: with do_resize off its sides must be multiples of %d", width, height, factor);
    *out_height = height;
    *out_width = width;
    return FV_OK;
}

/* Resizes and cuts frames slot by slot, so that only one slot's frames are held. */
static fv_status fill(fv_patches *out, const fv_processor *p, const fv_image *const *frames, int count, fv_error *err) {
    float table[3][256];
    normal_table(table, p);
    size_t slot_floats = (size_t)out->view_width * (size_t)out->view_height * 3 * (size_t)p->temporal;
    for (int t = 0; t < out->grid[0]; t++) {
        const fv_image *slot[FV_MAX_TEMPORAL];
        fv_image *made[FV_MAX_TEMPORAL] = {NULL};
        fv_status status = FV_OK;
        for (int k = 0; k < p->temporal && status == FV_OK; k++) {
            int i = t * p->temporal + k;
            if (i < count) status = fv_image_resize(&made[k], frames[i], out->view_width, out->view_height, err);
            slot[k] = i < count ? made[k] : slot[k - 1];
        }
        if (status == FV_OK) cut(out->pixels + (size_t)t * slot_floats, slot, p, table);
        for (int k = 0; k < p->temporal; k++) fv_image_free(made[k]);
        FV_TRY(status);
    }
    return FV_OK;
}

static fv_status make(fv_patches **out, const fv_processor *p, const fv_image *const *frames, int count, int height, int width, fv_error *err) {
    int slots = (count - 1) / p->temporal + 1;
    size_t floats = (size_t)slots * (size_t)p->temporal * 3 * (size_t)height * (size_t)width;
    fv_patches *made = malloc(sizeof *made);
    float *pixels = malloc(floats * sizeof *pixels);
    if (!made || !pixels) {
        free(made);
        free(pixels);
        return fv_fail(err, FV_NO_MEMORY, "no memory for the patches of %d frames of %dx%d", count, width, height);
    }
    *made = (fv_patches){.grid = {slots, height / p->patch, width / p->patch}, .pixels = pixels, .view_width = width, .view_height = height,
                         .width = frames[0]->width, .height = frames[0]->height};
    fv_status status = fill(made, p, frames, count, err);
    if (status == FV_OK) *out = made;
    else fv_patches_free(made);
    return status;
}

fv_status fv_patches_make(fv_patches **out, const fv_processor *p, const fv_image *const *frames, int count, int64_t min_pixels, int64_t max_pixels,
                          fv_error *err) {
    int height, width;
    *out = NULL;
    FV_TRY(check_frames(p, frames, count, err));
    FV_TRY(fv_view_size(&height, &width, p, count, frames[0]->height, frames[0]->width, min_pixels, max_pixels, err));
    return make(out, p, frames, count, height, width, err);
}

fv_status fv_patches_sized(fv_patches **out, const fv_processor *p, const fv_image *const *frames, int count, int height, int width, fv_error *err) {
    *out = NULL;
    FV_TRY(check_frames(p, frames, count, err));
    return make(out, p, frames, count, height, width, err);
}

void fv_patches_free(fv_patches *p) {
    if (!p) return;
    free(p->pixels);
    free(p);
}
