/* Drawings on the numbered pictures of an episode, as ViLaSR's two tools make them (arXiv 2506.09965; AntResearchNLP/ViLaSR 61669c0,
 * verl/utils/edit_image_video.py). What is drawn on a picture makes a new picture: it has all that its source had, and what has the label of something there
 * takes its place. Every drawing begins at the picture without any, so that a corrected box leaves no trace of the old one (in the release it stays
 * under the new one). */
#ifndef FV_TOOLS_SKETCH_H
#define FV_TOOLS_SKETCH_H

#include "core/json.h"
#include "tools/env.h"

enum {
    FV_SKETCH_PICTURES = 42, /* most pictures of an episode (the release's MAX_IMAGES) */
    FV_SKETCH_ITEMS = 64     /* most items of a call: more is a loop of the model's */
};

/* What has been drawn in one episode, by the pictures' numbers. */
typedef struct fv_sketch fv_sketch;
fv_sketch *fv_sketch_new(void); /* NULL when out of memory */
void fv_sketch_free(fv_sketch *s);

/* A picture that a drawing made. */
typedef struct {
    fv_image *image; /* the caller's */
    int from;        /* the picture that it was drawn on, 1-based */
    bool boxes;      /* boxes were drawn, else lines alone */
} fv_drawn;

/* Draws a list of items, {"index": 2, "bbox_2d": [x1, y1, x2, y2], "label": TEXT} or {"index", "start_point_2d": [x, y], "end_point_2d", "label"}: those of equal
 * index make one new picture, in the order in which the indices come first (boxes before lines). New pictures are numbered from seen_count + 1 on; those
 * beyond FV_SKETCH_PICTURES are not made. Other items are passed over. out [FV_SKETCH_PICTURES]; *count of them are made. FV_TOOL with a text for the model,
 * and nothing drawn, if there is no item, one has no picture, or a line has no ends. */
fv_status fv_sketch_draw(fv_sketch *s, const json_t *items, const fv_seen *seen, int seen_count, fv_space space, fv_drawn *out, int *count, fv_error *err);

#endif
