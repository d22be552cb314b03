/* The pictures of a page: each is part of the file once, however often it is shown, and all together stay within a size. */
#ifndef FV_RL_REPORT_GALLERY_H
#define FV_RL_REPORT_GALLERY_H

#include "core/text.h"

#include <stdbool.h>

typedef struct {
    char *name;        /* as trajectories name it: content, so that equal names are equal pictures */
    int side;          /* the longest side that was asked for */
    int width, height; /* of the picture itself */
} fv_gallery_entry;

/* Start from {.budget = bytes}; give back with fv_gallery_clear. */
typedef struct {
    size_t budget, used; /* bytes of data URLs */
    fv_gallery_entry *entries;
    int count;
} fv_gallery;
void fv_gallery_clear(fv_gallery *g);

/* Opens <svg viewBox="0 0 W H"> in the picture's own pixels and shows folder/name in it, scaled down to at most `side` pixels a side (JPEG inside). The caller
 * draws over it and writes </svg>. *width and *height (may be NULL) are W and H. False, and nothing appended, if the picture can't be read or would exceed the budget. */
bool fv_gallery_show(fv_gallery *g, fv_text *out, const char *folder, const char *name, int side, int *width, int *height);

#endif
