/* From a picture to what the tower eats: smart_resize, bicubic on uint8, normalise, patches (HF facts 4 to 6). */
#ifndef FV_VISION_PROCESSOR_H
#define FV_VISION_PROCESSOR_H

#include "vision/image.h"

#include <stdbool.h>

enum { FV_MAX_TEMPORAL = 8 }; /* frames that share one row of patches */

/* What processor_config.json, preprocessor_config.json or video_preprocessor_config.json say. */
typedef struct {
    int patch, merge, temporal;         /* 14 or 16, 2, 2; temporal at most FV_MAX_TEMPORAL */
    int64_t min_pixels, max_pixels;     /* of one picture, or of one frame; of all frames together with whole_clip */
    float mean[3], std[3];              /* of values 0..1 */
    bool resize, rescale, normalize;    /* what the file switches off */
    bool whole_clip;                    /* Qwen3-VL's videos */
    double rescale_factor;              /* 0: 1/255 */
    /* Videos alone (vision/frames.h): */
    bool sample;                        /* do_sample_frames; else all frames, unless a part says how many */
    double fps;                         /* frames a second that are looked at; 0: not said */
    int frames;                         /* num_frames; 0: not said */
    int min_frames, max_frames;         /* limits of what fps gives */
    int64_t cap_tokens;                 /* max_video_tokens where cap_pixels_per_frame is on, which bounds a frame's share; 0: off */
} fv_processor;

/* The size that a picture of (height, width) is resized to: sides that are multiples of factor (= patch * merge), as near to the
 * given ones as the limits allow. FV_BAD_DATA if one side is over 200 times the other, or the result over 65535. */
fv_status fv_smart_resize(int *out_height, int *out_width, int height, int width, int factor, int64_t min_pixels, int64_t max_pixels, fv_error *err);

/* Qwen3-VL's form for a clip, whose limits are for all frames together. frames >= temporal. */
fv_status fv_smart_resize_clip(int *out_height, int *out_width, int frames, int height, int width, int temporal, int factor, int64_t min_pixels,
                               int64_t max_pixels, fv_error *err);

/* torch's uint8 antialiased bicubic, bit for bit (HF facts 5). width, height 1..65535. */
fv_status fv_image_resize(fv_image **out, const fv_image *im, int width, int height, fv_error *err);

/* A picture or a clip, ready: pixel rows in merge-block order (HF facts 6). */
typedef struct fv_patches {
    int grid[3];            /* t, h, w in patches */
    float *pixels;          /* [t*h*w, 3 * temporal * patch * patch], owned; columns: channel, time, y, x */
    int view_width, view_height;     /* the size that the model sees (resized) */
    int width, height;               /* the size of the file */
} fv_patches;

/* The size that the model sees of a picture (count 1) or of a clip's frames, of (height, width). min_pixels/max_pixels 0: the processor's. */
fv_status fv_view_size(int *out_height, int *out_width, const fv_processor *p, int count, int height, int width, int64_t min_pixels, int64_t max_pixels,
                       fv_error *err);

/* min_pixels/max_pixels 0: the processor's. frames: one picture, or the frames of a clip, all of one size; the last one is
 * repeated until they fill the last time slot. Every pixel is bit-equal to transformers' pixel_values. */
fv_status fv_patches_make(fv_patches **out, const fv_processor *p, const fv_image *const *frames, int count, int64_t min_pixels, int64_t max_pixels, fv_error *err);
/* The same in the size (height, width) that the model is to see, multiples of patch * merge; frames that have it are not resized. */
fv_status fv_patches_sized(fv_patches **out, const fv_processor *p, const fv_image *const *frames, int count, int height, int width, fv_error *err);
void fv_patches_free(fv_patches *p); /* NULL is fine */
static inline int fv_patches_rows(const fv_patches *p) { return p->grid[0] * p->grid[1] * p->grid[2]; }
static inline int fv_patches_tokens(const fv_patches *p, int merge) { return fv_patches_rows(p) / (merge * merge); }

/* Reads the folder's processor files; `video` reads the video one, and model_type tells which it is where the file does not.
 * Patch sizes that the file leaves out are config.json's, everything else transformers' default. FV_BAD_MODEL, FV_UNSUPPORTED. */
fv_status fv_processor_read(fv_processor *out, const char *folder, bool video, const char *model_type, fv_error *err);

#endif
