/* A conversation as tokens: text tokenised, pictures decoded and made into patches, placeholders widened, positions given. What a tree's segment is
 * made from, for prompts, observations and whole training conversations alike. */
#ifndef FV_LANGUAGE_PROMPT_H
#define FV_LANGUAGE_PROMPT_H

#include "language/model.h"

/* A picture or clip in a prompt. Shared by counting: several segments may hold the same one (from one thread at a time). */
typedef struct fv_picture {
    int refs;
    fv_patches *patches;
    fv_image *image;            /* the original, for tools; NULL for clips (frames below) */
    fv_image **frames;          /* of a clip, [frame_count]; those of a video file as the model sees them, resized: the originals would be too large to keep */
    double *seconds;            /* [frame_count] when each is shown */
    int frame_count;
    bool video;
    double fps;                 /* of a clip's frames as they were chosen; 0 for pictures */
    double second_per_grid;     /* of a clip: the seconds that a row of patches spans; 0 for pictures */
    int64_t min_pixels, max_pixels; /* under which image or frames give these patches; 0: the processor's own */
    int resized_height, resized_width; /* the size that was asked for, in place of limits; 0: none was */
    uint64_t hash;              /* of the pixel rows: equal pictures run through the tower once */
} fv_picture;
fv_picture *fv_picture_keep(fv_picture *p);
void fv_picture_drop(fv_picture *p);

typedef struct fv_prompt {
    fv_ids tokens;
    uint8_t *mask;              /* [tokens] loss mask */
    fv_picture **pictures;      /* in order of appearance, one reference each */
    int *picture_at;            /* [pictures] token index of the first placeholder */
    int picture_count;
} fv_prompt;
void fv_prompt_clear(fv_prompt *p);

/* Where pictures come from: `folder` for relative paths, and pictures in memory, named "#0", "#1", ... in the messages. */
typedef struct {
    const char *folder;
    fv_image *const *images;    /* borrowed */
    int image_count;
    int64_t min_pixels, max_pixels; /* 0: the folder's; a part's own limits win */
} fv_media;

/* One content part: {"image": NAME}, {"image_url": {"url": NAME}}, {"type": "image", "url" or "path": NAME}, {"video": NAME} (a file, whose frames are
 * chosen by fps, nframes, video_start ..., see vision/frames.h), or a clip whose frames are chosen already, {"video": [NAME, ...]} or a folder of pictures, in
 * the order of their names (taken at "fps" a second, 2 where it is not said, as qwen-vl-utils). Each with optional min_pixels, max_pixels, or resized_height and resized_width, as
 * qwen-vl-utils has them: the size itself, but for rounding; a clip with total_pixels, which its pairs of frames share. NAME: a path, a data: URL, for pictures "#k". *out is the caller's (fv_picture_drop). */
fv_status fv_picture_load(const fv_model *m, const json_t *part, const fv_media *media, fv_picture **out, fv_error *err);

/* The clip as if its frames had been filmed in another order: the i-th is order[i] of `clip`, at the time of its i-th. *out is the caller's. */
fv_status fv_picture_reorder(const fv_model *m, const fv_picture *clip, const int *order, fv_picture **out, fv_error *err);

/* messages (fv_chat_render) -> tokens, as transformers' processor gives them; mask 1 on what an assistant wrote. In all three, media may be NULL, and
 * on failure *out is {0}; a number of placeholders that differs from that of the pictures is FV_BAD_DATA. */
fv_status fv_prompt_make(const fv_model *m, const json_t *messages, const fv_chat_options *options, const fv_media *media, fv_prompt *out, fv_error *err);
/* Raw text with <|image_pad|>/<|video_pad|> placeholders and the parts for them (observations; rows with text already rendered). mask 0. */
fv_status fv_prompt_text(const fv_model *m, const char *text, const json_t *const *parts, int part_count, const fv_media *media, fv_prompt *out, fv_error *err);
/* Tokens as they are, placeholders already widened, with the parts for them; mask (copied) may be NULL: 0. */
fv_status fv_prompt_ids(const fv_model *m, const int32_t *ids, const uint8_t *mask, int count, const json_t *const *parts, int part_count, const fv_media *media,
                        fv_prompt *out, fv_error *err);

/* Position ids (t, h, w) of `count` tokens that follow a sequence whose next position is *next; pictures in order, `at` relative to the first token.
 * out [3, count] with row stride `stride`; *next moves on (HF facts 8: largest so far + 1). Each frame pair of a Qwen3-VL clip has a run of
 * placeholders of its own, with text between them. */
void fv_positions(const fv_config *c, const int32_t *ids, int count, fv_picture *const *pictures, const int *at, int picture_count, int32_t *out,
                  int64_t stride, int32_t *next);

#endif
