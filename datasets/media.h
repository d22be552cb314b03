/* The pictures and videos that a row names beside its text, and putting them where they belong in its messages. */
#ifndef FV_DATASETS_MEDIA_H
#define FV_DATASETS_MEDIA_H

#include "core/json.h"

enum { FV_MEDIA_IMAGE, FV_MEDIA_VIDEO, FV_MEDIA_KINDS };
extern const char *const fv_media_names[FV_MEDIA_KINDS]; /* "image", "video" */

/* The row's media by kind, as content parts, in the order of the row. Start from {0}. */
typedef struct {
    json_t *parts[FV_MEDIA_KINDS]; /* lists, NULL: none of this kind */
    size_t used[FV_MEDIA_KINDS];
    const char *place;             /* "train.jsonl:17" */
    bool lenient;                  /* marks without media are text (messages rows that name no media) */
    bool inline_media;             /* set when the messages hold media of their own */
} fv_media_list;

/* Collects `images`, `image`, `image_path`, `videos`, `video`, and `path` by `data_type` (which rows with messages may have for their rewards alone). */
fv_status fv_media_collect(fv_media_list *m, const json_t *row, const char *place, fv_error *err);
void fv_media_clear(fv_media_list *m);

/* What a content part is: its "type", or what it holds where it says none, as Qwen's own examples ({"image": ...}, {"text": ...}); NULL: neither. */
const char *fv_media_type(const json_t *part);

/* One entry, as a content part (a new reference): a path or URL, {"path"|"url"|"image"|"video"|"bytes": ...} with or without limits, and for
 * videos a list of frames. `field` is its name in messages. */
fv_status fv_media_part(json_t **out, const json_t *entry, int kind, const char *place, const char *field, fv_error *err);

/* Replaces marks and empty parts in checked messages (datasets/formats.c), in place; afterwards all media are placed. */
fv_status fv_media_place(fv_media_list *m, json_t *messages, fv_error *err);

#endif
