/* Containers: opening, and the scan that finds out which frames there are. */
#include "vision/decode.h"
#include "vision/url.h"
#include "vision/video_parts.h"

#include <libavutil/display.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IO_BYTES = 1 << 16, MOST_PACKETS = 1 << 24, MOST_PIXELS = 1 << 26, MOST_BYTES_AT_ONCE = 1 << 29 };

/* Demuxers that open what other files name (playlists, concat) are not among them. */
static const char containers[] = "mov,matroska,avi,gif";

static const struct {
    enum AVCodecID id;
    const char *name;
} codecs[] = {
    {AV_CODEC_ID_H264, "H.264"}, {AV_CODEC_ID_HEVC, "HEVC"}, {AV_CODEC_ID_VP8, "VP8"}, {AV_CODEC_ID_VP9, "VP9"}, {AV_CODEC_ID_AV1, "AV1"}, {AV_CODEC_ID_MPEG4, "MPEG-4"}, {AV_CODEC_ID_GIF, "GIF"},
};

/* ---- What FFmpeg says -------------------------------------------------------------------------------------------------------------------------- */

/* Said as errors by FFmpeg 5.1 of files that are whole. Where a picture that others refer to is really lost, something else was said when it was lost. */
static const char *const harmless[] = {
    "mmco: unref short failure",     /* H.264, after seeking to a key frame of an open group: what is to be forgotten was not decoded */
    "co located POCs unavailable",   /* likewise, of frames before that key frame */
    "Could not find ref with POC",   /* likewise, HEVC */
    "number of reference frames",    /* likewise, H.264, "(0+4) exceeds max (3; probably corrupt input)"; and of encoders that promise one too few */
    "time_scale/num_units_in_tick",  /* H.264: no rate in the stream; the container has the times */
    "SEI type",                      /* H.264: a note beside the picture is too short */
    "Referenced QT chapter track",   /* mp4, mov: chapters that were left out of a copy */
};

/* FFmpeg prints by default, its codes say little, and what it can conceal has no code at all. The first complaint is kept, by thread: demuxers and decoders run in the
 * thread that calls them. */
static _Thread_local char complaint[160];

static bool counts(void *context, const char *format) {
    const AVCodecContext *codec = context && *(const AVClass **)context == avcodec_get_class() ? context : NULL;
    if (codec && codec->codec_type != AVMEDIA_TYPE_VIDEO) return false; /* sound is looked at while a file is opened, and then left out */
    for (size_t i = 0; i < FV_COUNT(harmless); i++)
        if (strncmp(format, harmless[i], strlen(harmless[i])) == 0) return false;
    return true;
}

static void on_log(void *context, int level, const char *format, va_list list) {
    if (level > AV_LOG_ERROR || complaint[0] || !counts(context, format)) return;
    vsnprintf(complaint, sizeof complaint, format, list);
    complaint[strcspn(complaint, "\n")] = '\0';
}

static void start_ffmpeg(void) {
    av_log_set_callback(on_log);
    av_max_alloc(MOST_BYTES_AT_ONCE); /* a damaged header may ask for any size */
}

void fv_video_listen(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_ffmpeg);
    complaint[0] = '\0';
}

bool fv_video_complained(void) { return complaint[0] != '\0'; }

fv_status fv_video_fail(const fv_video *v, int code, fv_error *err, const char *format, ...) {
    char what[256], reason[128] = "";
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    if (code == AVERROR(ENOMEM)) return fv_fail(err, FV_NO_MEMORY, "%s: %s: no memory", v->name, what);
    if (code && code != AVERROR_EOF) av_strerror(code, reason, sizeof reason);
    bool said = fv_video_complained();
    return fv_fail(err, FV_BAD_DATA, "%s: %s%s%s%s%s%s", v->name, what, reason[0] ? ": " : "", reason, said ? " (" : "", complaint, said ? ")" : "");
}

/* ---- Reading: from memory, so that nothing but these bytes is ever opened ------------------------------------------------------------------------ */

static int io_read(void *opaque, uint8_t *to, int n) {
    fv_video *v = opaque;
    size_t left = (uint64_t)v->at < v->size ? v->size - (size_t)v->at : 0;
    if (left == 0) return AVERROR_EOF;
    if ((size_t)n > left) n = (int)left;
    memcpy(to, v->data + v->at, (size_t)n);
    v->at += n;
    return n;
}

static int64_t io_seek(void *opaque, int64_t offset, int whence) {
    fv_video *v = opaque;
    int64_t size = (int64_t)v->size, from = 0;
    whence &= ~AVSEEK_FORCE;
    if (whence == AVSEEK_SIZE) return size;
    if (whence == SEEK_CUR) from = v->at;
    if (whence == SEEK_END) from = size;
    if (offset < -from || offset > INT64_MAX - from) return AVERROR(EINVAL);
    return v->at = from + offset;
}

static int refuse_open(AVFormatContext *format, AVIOContext **io, const char *url, int flags, AVDictionary **options) {
    (void)format, (void)url, (void)flags, (void)options;
    *io = NULL;
    return AVERROR(EACCES);
}

static fv_status open_container(fv_video *v, fv_error *err) {
    AVDictionary *options = NULL;
    uint8_t *buffer = av_malloc(IO_BYTES);
    v->format = avformat_alloc_context();
    v->io = buffer ? avio_alloc_context(buffer, IO_BYTES, 0, v, io_read, NULL, io_seek) : NULL;
    v->packet = av_packet_alloc();
    v->frame = av_frame_alloc();
    v->rgb = av_frame_alloc();
    if (!v->io) av_free(buffer);
    if (!v->format || !v->io || !v->packet || !v->frame || !v->rgb) return fv_video_fail(v, AVERROR(ENOMEM), err, "opening");
    v->format->pb = v->io;
    v->format->io_open = refuse_open;
    av_dict_set(&options, "format_whitelist", containers, 0);
    int code = avformat_open_input(&v->format, NULL, NULL, &options);
    av_dict_free(&options);
    bool unknown = code == AVERROR(EINVAL) || (code == AVERROR_INVALIDDATA && !fv_video_complained()); /* not on the list; nobody's */
    if (unknown) return fv_video_fail(v, 0, err, "not a video that can be read (mp4, mov, mkv, webm, avi, gif)");
    if (code == 0) code = avformat_find_stream_info(v->format, NULL);
    return code < 0 ? fv_video_fail(v, code, err, "cannot be opened") : FV_OK;
}

/* ---- The stream ---------------------------------------------------------------------------------------------------------------------------------- */

static fv_status check_codec(const fv_video *v, fv_error *err) {
    const AVCodecParameters *p = v->stream->codecpar;
    char names[128] = "";
    for (size_t i = 0; i < FV_COUNT(codecs); i++) {
        if (codecs[i].id == p->codec_id) return FV_OK;
        size_t n = strlen(names);
        snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", codecs[i].name);
    }
    return fv_fail(err, FV_UNSUPPORTED, "%s: its codec is %s; %s can be read", v->name, avcodec_get_name(p->codec_id), names);
}

/* The display matrix to the nearest quarter turn, as torchcodec takes it; mirroring is left out there as well. */
static int turns_of(const AVStream *stream) {
    size_t size = 0;
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
    const AVCodecParameters *p = stream->codecpar;
    const AVPacketSideData *side = av_packet_side_data_get(p->coded_side_data, p->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    const uint8_t *matrix = side ? side->data : NULL;
    if (side) size = side->size;
#else
    const uint8_t *matrix = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
#endif
    double degrees = matrix && size >= 9 * sizeof(int32_t) ? av_display_rotation_get((const int32_t *)(const void *)matrix) : 0;
    return isfinite(degrees) ? ((int)lround(degrees / 90) + 4) % 4 : 0;
}

static fv_status choose_stream(fv_video *v, fv_error *err) {
    int best = av_find_best_stream(v->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (best < 0) return fv_video_fail(v, 0, err, "there is no video in it");
    v->stream = v->format->streams[best];
    for (unsigned i = 0; i < v->format->nb_streams; i++)
        if (v->format->streams[i] != v->stream) v->format->streams[i]->discard = AVDISCARD_ALL;
    FV_TRY(check_codec(v, err));
    const AVCodecParameters *p = v->stream->codecpar;
    if (p->width < 1 || p->height < 1 || p->width > FV_IMAGE_MAX_SIDE || p->height > FV_IMAGE_MAX_SIDE || (int64_t)p->width * p->height > MOST_PIXELS)
        return fv_fail(err, FV_BAD_DATA, "%s: frames of %dx%d; they may have at most %d pixels", v->name, p->width, p->height, MOST_PIXELS);
    v->turns = turns_of(v->stream);
    return FV_OK;
}

static fv_status open_codec(fv_video *v, fv_error *err) {
    const AVCodec *codec = avcodec_find_decoder(v->stream->codecpar->codec_id);
    if (!codec) return fv_fail(err, FV_UNSUPPORTED, "%s: this FFmpeg cannot decode %s", v->name, avcodec_get_name(v->stream->codecpar->codec_id));
    v->codec = avcodec_alloc_context3(codec);
    if (!v->codec) return fv_video_fail(v, AVERROR(ENOMEM), err, "opening");
    int code = avcodec_parameters_to_context(v->codec, v->stream->codecpar);
    v->codec->pkt_timebase = v->stream->time_base;
    v->codec->thread_count = 1; /* rows are read by several threads already, and complaints stay in this one */
    v->codec->max_pixels = MOST_PIXELS;
    v->codec->err_recognition = AV_EF_CRCCHECK; /* HEVC may carry a checksum of each frame; the other flags find nothing that is not complained about without them */
    if (code >= 0) code = avcodec_open2(v->codec, codec, NULL);
    return code < 0 ? fv_video_fail(v, code, err, "its decoder cannot be opened") : FV_OK;
}

/* ---- The scan ------------------------------------------------------------------------------------------------------------------------------------ */

typedef struct {
    int64_t begin, end;    /* in the stream's time base */
    int64_t packets, room; /* of this stream, those that are not shown included */
} scan;

static int by_time(const void *a, const void *b) {
    int64_t x = ((const fv_video_moment *)a)->pts, y = ((const fv_video_moment *)b)->pts;
    return (x > y) - (x < y);
}

static fv_status note_packet(fv_video *v, scan *s, const AVPacket *p, fv_error *err) {
    int64_t pts = p->pts != AV_NOPTS_VALUE ? p->pts : p->dts;
    if (s->packets++ == 0) v->first_pts = p->pts, v->first_dts = p->dts, v->first_size = p->size;
    if (p->flags & AV_PKT_FLAG_CORRUPT) return fv_video_fail(v, 0, err, "ends early: frame %lld is cut off", (long long)v->count);
    if (s->packets > MOST_PACKETS || (uint64_t)s->packets > v->size) return fv_video_fail(v, 0, err, "more packets than such a file can hold");
    if (p->flags & AV_PKT_FLAG_DISCARD) return FV_OK; /* before or after what an edit list shows */
    if (v->count == s->room) {
        int64_t room = s->room ? 2 * s->room : 256;
        fv_video_moment *grown = realloc(v->order, (size_t)room * sizeof *grown);
        if (!grown) return fv_video_fail(v, AVERROR(ENOMEM), err, "reading");
        v->order = grown;
        s->room = room;
    }
    v->timed &= p->pts != AV_NOPTS_VALUE;
    v->order[v->count++] = (fv_video_moment){pts, p->flags & AV_PKT_FLAG_KEY ? 1 : 0};
    int64_t end = p->duration > 0 && pts < INT64_MAX - p->duration ? pts + p->duration : pts;
    if (v->count == 1 || pts < s->begin) s->begin = pts;
    if (v->count == 1 || end > s->end) s->end = end;
    return FV_OK;
}

static fv_status read_packets(fv_video *v, scan *s, fv_error *err) {
    for (;;) {
        int code = av_read_frame(v->format, v->packet);
        if (code == AVERROR_EOF) return FV_OK;
        if (code < 0) return fv_video_fail(v, code, err, "after frame %lld", (long long)v->count);
        bool shows = v->packet->stream_index == v->stream->index && v->packet->size > 0;
        fv_status status = shows ? note_packet(v, s, v->packet, err) : FV_OK;
        av_packet_unref(v->packet);
        FV_TRY(status);
    }
}

static double seconds_of(const fv_video *v, int64_t pts) { return (double)pts * v->stream->time_base.num / v->stream->time_base.den; }

/* Puts the frames in order; `key` becomes the number of the frame to begin at. */
static void sort_frames(fv_video *v) {
    qsort(v->order, (size_t)v->count, sizeof *v->order, by_time);
    int64_t key = -1;
    for (int64_t i = 0; i < v->count; i++) {
        if (i > 0 && v->order[i].pts == v->order[i - 1].pts) v->timed = false;
        if (v->order[i].key) key = i;
        v->order[i].key = key;
    }
}

static fv_status read_order(fv_video *v, fv_error *err) {
    scan s = {0};
    v->timed = true;
    FV_TRY(read_packets(v, &s, err));
    if (v->count == 0) return fv_video_fail(v, 0, err, "there is no frame in it");
    sort_frames(v);
    double seconds = seconds_of(v, s.end) - seconds_of(v, s.begin);
    v->fps = seconds != 0 ? (double)v->count / seconds : av_q2d(v->stream->r_frame_rate);
    return isfinite(v->fps) && v->fps > 0 ? FV_OK : fv_video_fail(v, 0, err, "does not say how long its frames are shown");
}

/* ---- Opening and closing --------------------------------------------------------------------------------------------------------------------------- */

static fv_status open_all(fv_video *v, fv_error *err) {
    fv_video_listen();
    if (v->size == 0) return fv_fail(err, FV_BAD_DATA, "%s: empty file, expected a video", v->name);
    uint64_t whole = fv_video_extent(v->data, v->size);
    if (whole > v->size) return fv_fail(err, FV_BAD_DATA, "%s: ends early: it has %zu bytes, of at least %llu", v->name, v->size, (unsigned long long)whole);
    FV_TRY(open_container(v, err));
    FV_TRY(choose_stream(v, err));
    FV_TRY(open_codec(v, err));
    FV_TRY(read_order(v, err));
    return fv_video_complained() ? fv_video_fail(v, 0, err, "is damaged") : FV_OK;
}

/* Takes over the map and the decoded bytes. */
static fv_status open_owned(fv_video **out, const void *data, size_t size, const char *name, fv_map map, uint8_t *decoded, fv_error *err) {
    fv_video *v = calloc(1, sizeof *v);
    if (v) *v = (fv_video){.data = data, .size = size, .map = map, .decoded = decoded, .name = strdup(name)};
    fv_status status = v && v->name ? open_all(v, err) : fv_fail(err, FV_NO_MEMORY, "%s: no memory for a video", name);
    if (!v) {
        fv_map_close(&map);
        free(decoded);
    }
    if (status == FV_OK) *out = v;
    else fv_video_close(v);
    return status;
}

fv_status fv_video_open(fv_video **out, const void *data, size_t size, const char *name, fv_error *err) {
    *out = NULL;
    return open_owned(out, data, size, name, (fv_map){0}, NULL, err);
}

fv_status fv_video_load_url(fv_video **out, const char *folder, const char *url, fv_error *err) {
    *out = NULL;
    if (fv_url_is_data(url)) {
        uint8_t *bytes;
        size_t size;
        FV_TRY(fv_url_data(&bytes, &size, url, "video", err));
        return open_owned(out, bytes, size, "data: URL", (fv_map){0}, bytes, err);
    }
    char *path;
    fv_map map = {0};
    FV_TRY(fv_url_path(&path, folder, url, "videos", err));
    fv_status status = fv_map_open(&map, path, err);
    if (status == FV_OK) status = open_owned(out, map.data, map.size, path, map, NULL, err);
    free(path);
    return status;
}

void fv_video_close(fv_video *v) {
    if (!v) return;
    sws_freeContext(v->scaler);
    av_frame_free(&v->rgb);
    av_frame_free(&v->frame);
    av_packet_free(&v->packet);
    avcodec_free_context(&v->codec);
    avformat_close_input(&v->format);
    if (v->io) av_freep(&v->io->buffer);
    avio_context_free(&v->io);
    fv_map_close(&v->map);
    free(v->decoded);
    free(v->order);
    free(v->name);
    free(v);
}

fv_video_facts fv_video_about(const fv_video *v) {
    const AVCodecParameters *p = v->stream->codecpar;
    bool swap = v->turns % 2;
    return (fv_video_facts){.frames = v->count, .fps = v->fps, .width = swap ? p->height : p->width, .height = swap ? p->width : p->height};
}
