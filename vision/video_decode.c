/* From packets to pictures: finding frames, decoding them, and their colours. */
#include "vision/decode.h"
#include "vision/video_parts.h"

#include <string.h>

/* Seeking to a key frame that is not further ahead than this saves nothing: decoders hold up to 16 frames back to put them in order. */
enum { NEAR = 16 };

/* ---- One frame after another ------------------------------------------------------------------------------------------------------------------------ */

/* The stream's next packet, into v->packet. Those without bytes (AVI's for "as before") show nothing, and would end the decoding. */
static int read_packet(fv_video *v) {
    int code;
    do {
        av_packet_unref(v->packet);
        code = av_read_frame(v->format, v->packet);
    } while (code >= 0 && (v->packet->stream_index != v->stream->index || v->packet->size == 0));
    return code;
}

/* Gives the decoder the next packet. At the end it is told so. Frames of an open group, which are shown before the key frame that decoding began with, may refer to what was not
 * decoded: complaints about them are forgotten. */
static fv_status feed(fv_video *v, fv_error *err) {
    int code = v->pending ? 0 : read_packet(v);
    v->pending = false;
    if (code < 0 && code != AVERROR_EOF) return fv_video_fail(v, code, err, "after frame %lld of %lld", (long long)v->shown, (long long)v->count);
    int64_t pts = v->packet->pts;
    if (v->from == AV_NOPTS_VALUE) v->from = pts;
    bool forget = pts != AV_NOPTS_VALUE && pts < v->from && !fv_video_complained();
    code = avcodec_send_packet(v->codec, code == AVERROR_EOF ? NULL : v->packet);
    av_packet_unref(v->packet);
    if (code < 0) return fv_video_fail(v, code, err, "after frame %lld of %lld", (long long)v->shown, (long long)v->count);
    if (forget) fv_video_listen();
    return FV_OK;
}

/* Which frame the decoder gave: by its time, or by counting. -1: none that is shown. */
static int64_t number_of(const fv_video *v) {
    if (!v->timed) return v->shown + 1;
    int64_t pts = v->frame->pts != AV_NOPTS_VALUE ? v->frame->pts : v->frame->pkt_dts, low = 0, high = v->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (v->order[middle].pts < pts) low = middle + 1;
        else high = middle;
    }
    return low < v->count && v->order[low].pts == pts ? low : -1;
}

/* Decodes up to frame `target`, which is in v->frame then. */
static fv_status advance(fv_video *v, int64_t target, fv_error *err) {
    for (;;) {
        int code = avcodec_receive_frame(v->codec, v->frame);
        if (code == AVERROR(EAGAIN)) {
            FV_TRY(feed(v, err));
            continue;
        }
        if (code == AVERROR_EOF) return fv_video_fail(v, 0, err, "ends before frame %lld of %lld", (long long)target, (long long)v->count);
        if (code < 0) return fv_video_fail(v, code, err, "after frame %lld of %lld", (long long)v->shown, (long long)v->count);
        int64_t number = number_of(v);
        if (fv_video_complained() || v->frame->decode_error_flags || v->frame->flags & AV_FRAME_FLAG_CORRUPT) /* complaints may be about one that is still held back */
            return fv_video_fail(v, 0, err, "damaged at frame %lld of %lld, or soon after", (long long)(number < 0 ? v->shown + 1 : number), (long long)v->count);
        if (number < 0) continue;
        v->shown = number;
        if (number == target) return FV_OK;
        if (number > target) return fv_video_fail(v, 0, err, "frame %lld of %lld cannot be decoded", (long long)target, (long long)v->count);
    }
}

/* ---- Finding ------------------------------------------------------------------------------------------------------------------------------------------ */

static int seek(fv_video *v, int64_t pts) {
    av_packet_unref(v->packet);
    v->pending = false;
    v->shown = -1;
    v->from = AV_NOPTS_VALUE;
    int code = avformat_seek_file(v->format, v->stream->index, INT64_MIN, pts, pts, 0);
    avcodec_flush_buffers(v->codec);
    return code;
}

/* To the first packet, which must be the one that the scan saw. */
static fv_status rewind_all(fv_video *v, fv_error *err) {
    int code = seek(v, v->order[0].pts);
    if (code >= 0) code = read_packet(v);
    if (code < 0) return fv_video_fail(v, code, err, "cannot be read again from its start");
    v->pending = true;
    if (v->packet->pts == v->first_pts && v->packet->dts == v->first_dts && v->packet->size == v->first_size) return FV_OK;
    return fv_video_fail(v, 0, err, "cannot be read again from its start");
}

/* A seek that lands behind the frame, or on one that does not decode alone, is no reason to fail: then from the start, frame by frame. */
static fv_status reach(fv_video *v, int64_t target, fv_error *err) {
    int64_t key = v->order[target].key;
    bool far = v->timed && key > v->shown + NEAR;
    fv_error why = {0};
    if (v->plain || !far) return advance(v, target, err);
    if (seek(v, v->order[key].pts) >= 0 && advance(v, target, &why) == FV_OK) return FV_OK;
    v->plain = true;
    fv_video_listen();
    FV_TRY(rewind_all(v, err));
    return advance(v, target, err);
}

/* ---- Colours ------------------------------------------------------------------------------------------------------------------------------------------ */

/* swscale's default flags, and the frame's own colour space and range, as torchcodec sets them. */
static struct SwsContext *scaler_for(const AVFrame *f) {
    int *inverse, *table, range, out_range, brightness, contrast, saturation;
    struct SwsContext *c = sws_getContext(f->width, f->height, f->format, f->width, f->height, AV_PIX_FMT_RGB24, 0, NULL, NULL, NULL);
    if (!c || sws_getColorspaceDetails(c, &inverse, &range, &table, &out_range, &brightness, &contrast, &saturation) < 0) return c; /* RGB already */
    if (f->color_range != AVCOL_RANGE_UNSPECIFIED) range = f->color_range == AVCOL_RANGE_JPEG;
    const int *matrix = sws_getCoefficients(f->colorspace);
    sws_setColorspaceDetails(c, matrix, range, matrix, out_range, brightness, contrast, saturation);
    return c;
}

static fv_status prepare(fv_video *v, const AVFrame *f, fv_error *err) {
    const int is[] = {f->width, f->height, f->format, f->colorspace, f->color_range};
    if (v->scaler && memcmp(is, v->scaler_is, sizeof is) == 0) return FV_OK;
    sws_freeContext(v->scaler);
    v->scaler = scaler_for(f);
    if (!v->scaler) return fv_video_fail(v, 0, err, "its colours cannot be converted");
    memcpy(v->scaler_is, is, sizeof is);
    av_frame_unref(v->rgb);
    v->rgb->width = f->width;
    v->rgb->height = f->height;
    v->rgb->format = AV_PIX_FMT_RGB24;
    if (av_frame_get_buffer(v->rgb, 0) >= 0) return FV_OK; /* rows are longer than the picture: the fast converters write whole vectors */
    sws_freeContext(v->scaler);
    v->scaler = NULL;
    return fv_video_fail(v, AVERROR(ENOMEM), err, "colours");
}

/* rgb to the image, turned anticlockwise by quarter turns. */
static void turn(fv_image *out, const AVFrame *rgb, int turns) {
    const uint8_t *from = rgb->data[0];
    ptrdiff_t stride = rgb->linesize[0];
    int right = rgb->width - 1, bottom = rgb->height - 1;
    for (int y = 0; y < out->height; y++) {
        uint8_t *to = out->rgb + (size_t)y * (size_t)out->width * 3;
        if (turns == 0) memcpy(to, from + y * stride, (size_t)out->width * 3);
        for (int x = 0; x < out->width && turns; x++) {
            int from_x = turns == 1 ? right - y : turns == 2 ? right - x : y, from_y = turns == 1 ? x : turns == 2 ? bottom - y : bottom - x;
            memcpy(to + 3 * x, from + from_y * stride + 3 * from_x, 3);
        }
    }
}

static fv_status to_image(fv_image **out, fv_video *v, fv_error *err) {
    const AVFrame *f = v->frame;
    const AVCodecParameters *p = v->stream->codecpar;
    if (f->width != p->width || f->height != p->height)
        return fv_video_fail(v, 0, err, "frame %lld is %dx%d, the file says %dx%d", (long long)v->shown, f->width, f->height, p->width, p->height);
    FV_TRY(prepare(v, f, err));
    int rows = sws_scale(v->scaler, (const uint8_t *const *)f->data, f->linesize, 0, f->height, v->rgb->data, v->rgb->linesize);
    if (rows != f->height) return fv_video_fail(v, rows < 0 ? rows : 0, err, "the colours of frame %lld cannot be converted", (long long)v->shown);
    fv_video_facts facts = fv_video_about(v);
    FV_TRY(fv_image_blank(out, facts.width, facts.height, 3, err));
    turn(*out, v->rgb, v->turns);
    return FV_OK;
}

/* ---- All of them -------------------------------------------------------------------------------------------------------------------------------------- */

fv_status fv_video_decode(fv_video *v, const int64_t *index, int count, fv_video_take *take, void *context, fv_error *err) {
    fv_image *image = NULL;
    fv_video_listen();
    v->plain = false;
    fv_status status = rewind_all(v, err);
    for (int k = 0; k < count && status == FV_OK; k++) {
        if (k == 0 || index[k] != index[k - 1]) {
            fv_image_free(image);
            image = NULL;
            status = reach(v, index[k], err);
            if (status == FV_OK) status = to_image(&image, v, err);
        }
        if (status == FV_OK) status = take(context, k, image, err);
    }
    fv_image_free(image);
    av_frame_unref(v->frame);
    return status;
}
