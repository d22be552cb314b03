/* A conversation as tokens: text tokenised, pictures decoded and made into patches, placeholders widened, positions given. What a tree's segment is
 * made from, for prompts, observations and whole training conversations alike. */
#ifndef FV_LANGUAGE_PROMPT_H
#define FV_LANGUAGE_PROMPT_H

#include "language/model.h"

/* A picture or clip in a prompt. Shared: several segments may hold the same one. */
typedef struct fv_picture {
    int refs;
    fv_patches *patches;
    fv_image *image;            /* the original, for tools; NULL for clips (frames below) */
    fv_image **frames;          /* of a clip, [frame_count] */
    int frame_count;
    bool video;
    double second_per_grid;     /* clips; 0 for pictures */
    int64_t min_pixels, max_pixels; /* under which it was resized; 0: the processor's own */
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

/* messages (fv_chat_render) -> tokens. */
fv_status fv_prompt_make(const fv_model *m, const json_t *messages, const fv_chat_options *options, const fv_media *media, fv_prompt *out, fv_error *err);
/* Raw text with <|image_pad|>/<|video_pad|> placeholders and the parts for them (observations; rows with text already rendered). */
fv_status fv_prompt_text(const fv_model *m, const char *text, const json_t *const *parts, int part_count, const fv_media *media, fv_prompt *out, fv_error *err);

/* Position ids (t, h, w) of `count` tokens that follow a sequence whose next position is *next; pictures in order, `at` relative to the first token.
 * out [3, count] with row stride `stride`; *next moves on (HF facts 8: largest so far + 1). */
void fv_positions(const fv_config *c, const int32_t *ids, int count, fv_picture *const *pictures, const int *at, int picture_count, int32_t *out, int64_t stride, int32_t *next);

#endif
