/* Which frames of a video are looked at: policies by name, and what the families do where none is named. Arithmetic only: vision/video.h reads them. */
#ifndef FV_VISION_FRAMES_H
#define FV_VISION_FRAMES_H

#include "core/json.h"
#include "vision/processor.h"

enum { FV_MOST_FRAMES = 4096 }; /* of one clip */

/* What a content part asks for. {0} asks for nothing but the family's own. */
typedef struct {
    const char *policy;    /* `frames.policy`: uniform, centers, inner, linspace, fps; NULL: the family's rule. Borrowed from the part */
    int count;             /* `nframes` or `frames.n`; 0: not said */
    double fps;            /* `fps` or `frames.fps`, frames a second; 0: not said */
    int least, most;       /* `min_frames`, `max_frames`: limits of what fps gives; 0: the processor's */
    bool tail;             /* `frames.tail`: the last frame as well, where the policy leaves it out */
    bool has_start, has_end;
    double start, end;     /* `video_start`, `video_end`, in seconds */
} fv_frame_wish;

/* Reads those fields of a part. FV_BAD_DATA: "frames.policy must be uniform, centers, inner, linspace or fps, got ...". */
fv_status fv_frame_wish_read(fv_frame_wish *out, fv_json_at part, fv_error *err);

/* The frames to look at, ascending (a frame may come twice), of a video that has `total` at `fps` a second on average. */
typedef struct {
    int64_t *index;        /* [count], owned; numbers in the order of presentation */
    int count;
    double fps;            /* what is achieved: count / frames in the range * fps, which second_per_grid_ts comes from */
} fv_frame_list;

/* FV_BAD_DATA where the video has too few frames, or too many (FV_MOST_FRAMES) would be looked at. */
fv_status fv_frames_choose(fv_frame_list *out, const fv_processor *p, const fv_frame_wish *wish, int64_t total, double fps, fv_error *err);
void fv_frame_list_clear(fv_frame_list *f);

#endif
