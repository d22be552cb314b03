/* Frame policies (the evaluation harnesses'), and the families' own sampling as transformers 5.23 and qwen-vl-utils 0.0.14 have it, to the same indices:
 * where they compute in f32, so does this. tests/peers/video.py writes what tests/vision/test_frames.c compares with. */
#include "vision/frames.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Frames first..last of a video, of which n are looked at. */
typedef struct {
    int64_t first, last;
    int n;
    double step; /* policy fps: frames of the file a look */
} span;

static double size_of(const span *s) { return (double)(s->last - s->first + 1); }

/* ---- Rules: the number of look i ---------------------------------------------------------------------------------------------------- */

/* numpy.linspace(first, last, n): its step is rounded, its last value is not. */
static double numpy_linspace(const span *s, int i) {
    if (s->n == 1) return (double)s->first;
    if (i == s->n - 1) return (double)s->last;
    return (double)i * ((double)(s->last - s->first) / (double)(s->n - 1)) + (double)s->first;
}

/* numpy.linspace(..., dtype=int), of lmms-eval's and VLMEvalKit's `uniform`. */
static int64_t uniform(const span *s, int i) { return (int64_t)numpy_linspace(s, i); }

/* The middles of n segments: VLMEvalKit's MVBench, and InternVL's own evaluation. */
static int64_t centers(const span *s, int i) {
    double segment = (double)(s->last - s->first) / (double)s->n;
    return (int64_t)((double)s->first + segment / 2 + rint(segment * (double)i));
}

/* Neither the first nor the last frame: VLMEvalKit's base class, Video-MME, TempCompass. */
static int64_t inner(const span *s, int i) { return s->first + (int64_t)((double)(i + 1) * (size_of(s) / (double)(s->n + 1))); }

/* torch.linspace(first, last, n).round(), of qwen-vl-utils: f32, from both ends to the middle, with a fused multiply-add. */
static int64_t linspace(const span *s, int i) {
    if (s->n == 1) return s->first;
    float first = (float)s->first, last = (float)s->last, step = (last - first) / (float)(s->n - 1);
    float at = i < s->n / 2 ? fmaf(step, (float)i, first) : fmaf(-step, (float)(s->n - 1 - i), last);
    return (int64_t)rintf(at);
}

/* Every so many seconds from the first frame on: VLMEvalKit. */
static int64_t by_rate(const span *s, int i) { return s->first + (int64_t)((double)i * s->step); }

/* numpy.linspace(0, total - 1, n).round(): Qwen3-VL's processor. */
static int64_t rounded(const span *s, int i) { return (int64_t)rint(numpy_linspace(s, i)); }

/* torch.arange(0, total, total / n).int(): Qwen2-VL's processor. torch computes in f64, in blocks of eight whose first value is rounded to f32. For some pairs
 * (17 frames, n = 14) it gives one value more, past the end, which is an error there; n are taken here. */
static int64_t arange(const span *s, int i) {
    double step = size_of(s) / (double)s->n;
    float block = (float)((double)(i / 8 * 8) * step);
    return s->first + (int64_t)(float)((double)block + (double)(i % 8) * step);
}

/* THE table. `by_rate`: fps says how many; `rounded_range`: video_start and video_end are rounded to the nearest frame, as MVBench's bounds are. */
static const struct {
    const char *name;
    bool by_rate, rounded_range;
    int64_t (*at)(const span *s, int i);
} policies[] = {
    {"uniform", false, false, uniform}, {"centers", false, true, centers}, {"inner", false, false, inner},
    {"linspace", false, false, linspace}, {"fps", true, false, by_rate},
};

/* ---- What a part asks for --------------------------------------------------------------------------------------------------------------- */

static fv_status read_policy(fv_frame_wish *out, fv_json_at part, fv_error *err) {
    static const char *const alone[] = {"fps", "nframes", "min_frames", "max_frames"};
    int64_t n;
    size_t k = 0;
    for (size_t i = 0; i < FV_COUNT(alone); i++)
        if (fv_json_find(part.root, alone[i])) return fv_json_wrong(part, alone[i], "must be absent beside frames, which says it", err);
    FV_TRY(fv_json_text(part, "frames.policy", &out->policy, err));
    while (k < FV_COUNT(policies) && strcmp(policies[k].name, out->policy)) k++;
    if (k == FV_COUNT(policies)) return fv_json_wrong(part, "frames.policy", "must be uniform, centers, inner, linspace or fps", err);
    FV_TRY(fv_json_int_or(part, "frames.n", 1, FV_MOST_FRAMES, 0, &n, err));
    FV_TRY(fv_json_num_or(part, "frames.fps", 0, &out->fps, err));
    FV_TRY(fv_json_bool_or(part, "frames.tail", false, &out->tail, err));
    out->count = (int)n;
    if (!policies[k].by_rate && !n) return fv_json_wrong(part, "frames.n", "must say how many with this policy", err);
    if (policies[k].by_rate != (out->fps > 0)) return fv_json_wrong(part, "frames.fps", "must be positive with policy fps, and absent with others", err);
    return FV_OK;
}

static fv_status read_amount(fv_frame_wish *out, fv_json_at part, fv_error *err) {
    int64_t n, least, most;
    FV_TRY(fv_json_int_or(part, "nframes", 1, FV_MOST_FRAMES, 0, &n, err));
    FV_TRY(fv_json_int_or(part, "min_frames", 1, FV_MOST_FRAMES, 0, &least, err));
    FV_TRY(fv_json_int_or(part, "max_frames", 1, FV_MOST_FRAMES, 0, &most, err));
    FV_TRY(fv_json_num_or(part, "fps", 0, &out->fps, err));
    if (fv_json_find(part.root, "fps") && !(out->fps > 0)) return fv_json_wrong(part, "fps", "must be positive", err);
    if (n && out->fps > 0) return fv_json_wrong(part, "nframes", "must be absent beside fps", err);
    out->count = (int)n;
    out->least = (int)least;
    out->most = (int)most;
    return FV_OK;
}

fv_status fv_frame_wish_read(fv_frame_wish *out, fv_json_at part, fv_error *err) {
    *out = (fv_frame_wish){0};
    out->has_start = fv_json_find(part.root, "video_start") != NULL;
    out->has_end = fv_json_find(part.root, "video_end") != NULL;
    FV_TRY(fv_json_num_or(part, "video_start", 0, &out->start, err));
    FV_TRY(fv_json_num_or(part, "video_end", 0, &out->end, err));
    return fv_json_find(part.root, "frames") ? read_policy(out, part, err) : read_amount(out, part, err);
}

/* ---- Choosing -------------------------------------------------------------------------------------------------------------------------- */

/* The frames between video_start and video_end, as qwen-vl-utils counts them; those of a policy with rounded_range as VLMEvalKit does. */
static fv_status range_of(span *s, const fv_frame_wish *w, bool nearest, int64_t total, double fps, fv_error *err) {
    double seconds = (double)total / fps, start = fmax(0, fmin(w->start, seconds)), end = fmax(0, fmin(w->end, seconds));
    s->first = 0;
    s->last = total - 1;
    if (w->has_start) s->first = (int64_t)(nearest ? rint(start * fps) : ceil(start * fps));
    if (w->has_end) s->last = (int64_t)fmin(nearest ? rint(end * fps) : floor(end * fps), (double)(total - 1));
    if ((w->has_start || w->has_end) && s->first >= s->last)
        return fv_fail(err, FV_BAD_DATA, "video_start and video_end leave frames %lld to %lld of a video of %.2f seconds (%lld frames, %g a second)", (long long)s->first,
                       (long long)s->last, seconds, (long long)total, fps);
    return FV_OK;
}

/* An even number of frames by fps: Qwen2VLVideoProcessor, and smart_nframes of qwen-vl-utils, which rounds the least up to an even number as well. */
static int64_t even_count(const fv_frame_wish *w, const fv_processor *p, double size, double fps, double wanted, bool utils) {
    double factor = p->temporal, least = w->least ? w->least : p->min_frames, most = w->most ? w->most : p->max_frames;
    if (utils) least = ceil(least / factor) * factor;
    most = floor(fmin(most, size) / factor) * factor;
    double n = fmin(fmin(fmax(size / fps * wanted, least), most), size);
    return (int64_t)(floor(n / factor) * factor);
}

/* What the family does: how many, and by which rule. transformers knows no range of time, so with one everything is as in qwen-vl-utils. */
static int64_t family_count(const fv_frame_wish *w, const fv_processor *p, const span *s, double fps, int64_t (**at)(const span *, int)) {
    double size = size_of(s), factor = p->temporal;
    bool utils = w->has_start || w->has_end, limits = w->least || w->most, said = w->count || w->fps > 0;
    int asked = said || limits ? w->count : p->frames;
    double wanted = w->fps > 0 ? w->fps : p->fps > 0 ? p->fps : utils || limits ? 2 : 0; /* 2: qwen-vl-utils' FPS */
    *at = utils ? linspace : p->whole_clip ? rounded : arange;
    if (!said && !limits && !p->sample && !utils) return (int64_t)size; /* all of them */
    if (asked) return p->whole_clip && !utils ? asked : (int64_t)(rint(asked / factor) * factor);
    if (!p->whole_clip || utils) return wanted > 0 ? even_count(w, p, size, fps, wanted, utils) : (int64_t)size;
    double least = w->least ? w->least : p->min_frames, most = w->most ? w->most : p->max_frames;
    if (wanted > 0) return (int64_t)fmin(fmin(fmax(trunc(size / fps * wanted), least), most), size);
    return (int64_t)fmin(fmax(size, least), most);
}

/* The policy's own: fps looks every so often; where its limit n is exceeded, n are spread as `inner` does (VLMEvalKit). */
static int64_t policy_count(const fv_frame_wish *w, span *s, double fps, int64_t (**at)(const span *, int)) {
    if (!(w->fps > 0)) return w->count;
    int64_t n = (int64_t)fmin(size_of(s) / fps * w->fps, 1e15);
    s->step = fps / w->fps;
    if (!w->count || n <= w->count) return n;
    *at = inner;
    return w->count;
}

static fv_status fill(fv_frame_list *out, const span *s, int64_t (*at)(const span *, int), const fv_frame_wish *w, double fps, fv_error *err) {
    out->index = malloc((size_t)(s->n + 1) * sizeof *out->index);
    if (!out->index) return fv_fail(err, FV_NO_MEMORY, "no memory for %d frames", s->n);
    for (int i = 0; i < s->n; i++) {
        int64_t number = at(s, i);
        out->index[i] = number < s->last ? number : s->last; /* f32 cannot tell the last of very many frames apart */
    }
    out->count = s->n;
    if (w->tail && out->index[s->n - 1] != s->last) out->index[out->count++] = s->last;
    out->fps = (double)out->count / size_of(s) * fps;
    return FV_OK;
}

fv_status fv_frames_choose(fv_frame_list *out, const fv_processor *p, const fv_frame_wish *w, int64_t total, double fps, fv_error *err) {
    *out = (fv_frame_list){0};
    size_t k = 0;
    while (w->policy && strcmp(policies[k].name, w->policy)) k++;
    if (total < 1 || !(fps > 0)) return fv_fail(err, FV_BAD_DATA, "a video of %lld frames at %g a second cannot be looked at", (long long)total, fps);
    span s = {.last = total - 1};
    FV_TRY(range_of(&s, w, w->policy && policies[k].rounded_range, total, fps, err));
    int64_t (*at)(const span *, int) = w->policy ? policies[k].at : NULL;
    int64_t n = w->policy ? policy_count(w, &s, fps, &at) : family_count(w, p, &s, fps, &at);
    if (n < 1) return fv_fail(err, FV_BAD_DATA, "%lld frames at %g a second are too few to look at any", (long long)size_of(&s), fps);
    if (n > FV_MOST_FRAMES)
        return fv_fail(err, FV_BAD_DATA, "%lld frames would be looked at, at most %d can be: give fps or nframes, or frames: {policy, n}", (long long)n, FV_MOST_FRAMES);
    if (!w->policy && at != rounded && (double)n > size_of(&s))
        return fv_fail(err, FV_BAD_DATA, "nframes %lld must be at most the video's %lld", (long long)n, (long long)size_of(&s));
    s.n = (int)n;
    return fill(out, &s, at, w, fps, err);
}

void fv_frame_list_clear(fv_frame_list *f) {
    free(f->index);
    *f = (fv_frame_list){0};
}
