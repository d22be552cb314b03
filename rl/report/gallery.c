#include "rl/report/gallery.h"

#include "rl/report/html.h"
#include "vision/processor.h"

#include <stdlib.h>
#include <string.h>

/* Photographs with small labels: no visible loss at the size of a report. */
enum { QUALITY = 85 };

void fv_gallery_clear(fv_gallery *g) {
    for (int i = 0; i < g->count; i++) free(g->entries[i].name);
    free(g->entries);
    *g = (fv_gallery){0};
}

static bool encode(fv_text *out, fv_image *im, int side) {
    fv_error ignored;
    fv_image *small = NULL;
    int longest = im->width > im->height ? im->width : im->height;
    if (longest > side) {
        int w = im->width * side / longest, h = im->height * side / longest;
        if (fv_image_resize(&small, im, w > 0 ? w : 1, h > 0 ? h : 1, &ignored) != FV_OK) return false;
    }
    uint8_t *bytes = NULL;
    size_t size;
    bool done = fv_image_encode_jpeg(&bytes, &size, small ? small : im, QUALITY, &ignored) == FV_OK;
    if (done) fv_html_base64(out, bytes, size);
    free(bytes);
    fv_image_free(small);
    return done;
}

static void open_svg(fv_text *out, int w, int h) { fv_text_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">", w, h); }

/* A picture that the page does not hold yet. */
static bool embed(fv_gallery *g, fv_text *out, const char *folder, const char *name, int side, int *width, int *height) {
    fv_error ignored;
    fv_image *im = NULL;
    fv_text url = {0};
    fv_gallery_entry *grown = NULL;
    bool done = fv_image_load_url(&im, folder, name, &ignored) == FV_OK && encode(&url, im, side) && g->used + url.size <= g->budget && !url.failed;
    if (done) grown = realloc(g->entries, (size_t)(g->count + 1) * sizeof *grown);
    if (grown) {
        g->entries = grown;
        grown[g->count] = (fv_gallery_entry){strdup(name), side, im->width, im->height};
        done = grown[g->count].name != NULL;
    }
    if (done && grown) {
        open_svg(out, im->width, im->height);
        fv_text_printf(out, "<image id=\"p%d\" width=\"%d\" height=\"%d\" preserveAspectRatio=\"none\" href=\"data:image/jpeg;base64,", g->count, im->width, im->height);
        fv_text_bytes(out, url.data, url.size);
        fv_text_add(out, "\"/>");
        *width = im->width;
        *height = im->height;
        g->used += url.size;
        g->count++;
    }
    fv_text_clear(&url);
    fv_image_free(im);
    return done && grown;
}

bool fv_gallery_show(fv_gallery *g, fv_text *out, const char *folder, const char *name, int side, int *width, int *height) {
    int w = 0, h = 0, i = 0;
    while (i < g->count && (g->entries[i].side != side || strcmp(g->entries[i].name, name))) i++;
    if (i < g->count) {
        w = g->entries[i].width;
        h = g->entries[i].height;
        open_svg(out, w, h);
        fv_text_printf(out, "<use href=\"#p%d\"/>", i);
    } else if (!embed(g, out, folder, name, side, &w, &h)) {
        return false;
    }
    if (width) *width = w;
    if (height) *height = h;
    return true;
}
