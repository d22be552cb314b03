/* A video file made ready for a model: opened, decoded, resized, cut into patches. The bar is the decoding of the same frames alone. */
#include "bench/bench.h"

#include "core/progress.h"
#include "vision/frames.h"
#include "vision/video.h"

#include <math.h>

enum { TURNS = 5 };

static fv_status leave(void *context, int k, const fv_image *frame, fv_error *err) {
    (void)context, (void)k, (void)frame, (void)err;
    return FV_OK;
}

/* Seconds of opening the file and decoding the frames that the model would look at. */
static fv_status decode(const fv_model *m, const char *file, double *seconds, fv_error *err) {
    fv_video *v;
    fv_frame_list list = {0};
    double start = fv_now();
    FV_TRY(fv_video_load_url(&v, NULL, file, err));
    fv_video_facts facts = fv_video_about(v);
    fv_status s = fv_frames_choose(&list, &m->video, &(fv_frame_wish){0}, facts.frames, facts.fps, err);
    if (s == FV_OK) s = fv_video_decode(v, list.index, list.count, leave, NULL, err);
    *seconds = fv_now() - start;
    fv_frame_list_clear(&list);
    fv_video_close(v);
    return s;
}

static fv_status make_ready(const fv_model *m, const char *file, double *seconds, int *frames, fv_error *err) {
    fv_picture *clip;
    json_t *part = json_pack("{s: s, s: s}", "type", "video", "video", file);
    double start = fv_now();
    fv_status s = part ? fv_picture_load(m, part, NULL, &clip, err) : fv_fail(err, FV_NO_MEMORY, "bench: out of memory");
    *seconds = fv_now() - start;
    if (s == FV_OK) {
        *frames = clip->frame_count;
        fv_picture_drop(clip);
    }
    json_decref(part);
    return s;
}

fv_status fv_bench_video(const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    fv_bench_rig r;
    double best = 1e9, bar = 1e9, ready, decoded;
    int frames = 0, turns = o->steps ? o->steps : TURNS;
    FV_TRY(fv_bench_open(&r, o, "tiny", false, err));
    fv_status s = fv_bench_wants_tower(r.model, err);
    for (int i = 0; i <= turns && s == FV_OK; i++) { /* the first one reads the file from the disk */
        s = make_ready(r.model, o->video, &ready, &frames, err);
        if (s == FV_OK) s = decode(r.model, o->video, &decoded, err);
        if (s != FV_OK || !i) continue;
        best = fmin(best, ready);
        bar = fmin(bar, decoded);
    }
    fv_bench_close(&r);
    FV_TRY(s);
    json_object_set_new(out->facts, "seconds", json_real(best));
    json_object_set_new(out->facts, "frames", json_integer(frames));
    out->line(out->context, "video to patches frames/s against decoding alone", frames / best, frames / bar);
    return FV_OK;
}
