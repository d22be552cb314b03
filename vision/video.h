/* Video files through FFmpeg: which frames there are, and their pixels. Frame i is the i-th in the order of presentation, their number and rate are those that
 * torchcodec gives (seek_mode "exact"), and pixels are swscale's with its default flags, rotated as the file says. Nothing is guessed or repeated: a file that
 * is cut short, or damaged as far as FFmpeg notices, is FV_BAD_DATA with the place and FFmpeg's reason. Containers: mp4, mov, mkv, webm, avi, gif; codecs: vision/video.c. */
#ifndef FV_VISION_VIDEO_H
#define FV_VISION_VIDEO_H

#include "vision/image.h"

typedef struct fv_video fv_video; /* one thread at a time */

typedef struct {
    int64_t frames;
    double fps;            /* on average: frames / (end of the last one - begin of the first one) */
    int width, height;     /* as shown, after rotation */
} fv_video_facts;

/* Reads the file to its end once, without decoding. `data` is borrowed until the close; `name` is for messages. *out is the caller's, NULL on failure. */
fv_status fv_video_open(fv_video **out, const void *data, size_t size, const char *name, fv_error *err);
/* By name, as fv_image_load_url: a path relative to `folder` (may be NULL), "file://", or "data:video/...;base64,". */
fv_status fv_video_load_url(fv_video **out, const char *folder, const char *url, fv_error *err);
void fv_video_close(fv_video *v); /* NULL is fine */
fv_video_facts fv_video_about(const fv_video *v);

/* Takes look k, which is frame index[k]; the frame is the video's, until the return. A failure ends the decoding. */
typedef fv_status fv_video_take(void *context, int k, const fv_image *frame, fv_error *err);

/* Decodes the frames index[0..count), ascending, and hands them over one by one, so that only one is held. The same frames whether it seeks or not. */
fv_status fv_video_decode(fv_video *v, const int64_t *index, int count, fv_video_take *take, void *context, fv_error *err);

#endif
