/* From a picture to what the tower eats: smart_resize, bicubic on uint8, normalise, patches (HF facts 4 to 6). */
#ifndef FV_VISION_PROCESSOR_H
#define FV_VISION_PROCESSOR_H

#include "vision/image.h"

#include "core/json.h"
#include "core/tensor.h"

/* Read from processor_config.json / preprocessor_config.json / video_preprocessor_config.json. */
typedef struct {
    int patch, merge, temporal;         /* 14 or 16, 2, 2 */
    int64_t min_pixels, max_pixels;     /* of one picture, or of one frame */
    float mean[3], std[3];
    bool resize, rescale, normalize;    /* what the file switches off */
} fv_processor;

/* Sizes that a picture of (height, width) is resized to. 0 limits mean the processor's own. Fails on a side ratio over 200. */
fv_status fv_smart_resize(int *out_height, int *out_width, int height, int width, int factor, int64_t min_pixels, int64_t max_pixels, fv_error *err);

/* torch's uint8 antialiased bicubic, bit for bit (HF facts 5). */
fv_status fv_image_resize(fv_image **out, const fv_image *im, int width, int height, fv_error *err);

/* A picture or a clip, ready: pixel rows in merge-block order (HF facts 6). */
typedef struct fv_patches {
    int grid[3];            /* t, h, w in patches */
    float *pixels;          /* [t*h*w, 3 * temporal * patch * patch], owned */
    int view_width, view_height;     /* the size that the model sees (resized) */
    int width, height;               /* the size of the file */
} fv_patches;

/* min_pixels/max_pixels 0: the processor's. frames: one picture, or the frames of a clip (an odd last one is repeated). */
fv_status fv_patches_make(fv_patches **out, const fv_processor *p, const fv_image *const *frames, int count, int64_t min_pixels, int64_t max_pixels, fv_error *err);
void fv_patches_free(fv_patches *p);
static inline int fv_patches_rows(const fv_patches *p) { return p->grid[0] * p->grid[1] * p->grid[2]; }
static inline int fv_patches_tokens(const fv_patches *p, int merge) { return fv_patches_rows(p) / (merge * merge); }

/* Reads the folder's processor files; `video` reads the video one. config's patch sizes fill what the file leaves out. */
fv_status fv_processor_read(fv_processor *out, const char *folder, bool video, const char *model_type, fv_error *err);

#endif
