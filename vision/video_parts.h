/* Between vision/video.c (the container) and vision/video_decode.c (the frames); nobody else needs it. */
#ifndef FV_VISION_VIDEO_PARTS_H
#define FV_VISION_VIDEO_PARTS_H

#include "core/file.h"
#include "vision/video.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>

/* A frame in the order of presentation. */
typedef struct {
    int64_t pts;           /* in the stream's time base; its dts where it has none */
    int64_t key;           /* the last frame at or before it that decoding can begin at; -1: none */
} fv_video_moment;

struct fv_video {
    const uint8_t *data;
    size_t size;
    int64_t at;            /* of FFmpeg's reading */
    fv_map map;            /* of a file, else {0} */
    uint8_t *decoded;      /* of a data: URL, else NULL */
    char *name;
    AVIOContext *io;
    AVFormatContext *format;
    AVCodecContext *codec;
    AVStream *stream;
    AVPacket *packet;
    AVFrame *frame;        /* as decoded */
    /* From the scan: */
    fv_video_moment *order;
    int64_t count;
    bool timed;            /* every frame has a time of its own, by which it can be told */
    double fps;
    int turns;             /* quarter turns anticlockwise that the file asks for */
    int64_t first_pts, first_dts;
    int first_size;        /* of the first packet: what a rewound file must begin with */
    /* While decoding: */
    struct SwsContext *scaler;
    AVFrame *rgb;          /* with rows as long as swscale's vectors like them */
    int scaler_is[5];      /* what the scaler was made for: width, height, format, colour space, range */
    int64_t shown;         /* number of the frame that came out last; -1: none since the start, or since a seek */
    int64_t from;          /* time of the packet that decoding began with; AV_NOPTS_VALUE: none since the start, or since a seek */
    bool pending;          /* `packet` was read and not yet given to the decoder */
    bool plain;            /* seeking went wrong once: from the start, frame by frame */
};

/* FV_BAD_DATA: "NAME: WHAT: FFmpeg's code in words (its first complaint in this thread)". */
fv_status fv_video_fail(const fv_video *v, int code, fv_error *err, const char *format, ...) FV_PRINTF(4, 5);

/* How many bytes the file should have at the least, by what its first bytes and its outermost elements say; 0: they don't (vision/video_extent.c). */
uint64_t fv_video_extent(const void *data, size_t size);

/* Forgets FFmpeg's complaints of before. */
void fv_video_listen(void);

/* Whether FFmpeg has reported an error in this thread since, with or without a code. */
bool fv_video_complained(void);

#endif
