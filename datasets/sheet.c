/* Contact sheets: the first rows of a data set as one picture, since people would rather look. */
#include "datasets/export.h"

#include "tools/canvas.h"
#include "vision/processor.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, MOST_ROWS = 12, PICTURE = 280, CELL_WIDTH = 300, TEXT_LINES = 6, LINE = 19, CELL_HEIGHT = PICTURE + 16 + TEXT_LINES * LINE };

static const fv_color ink = {{30, 30, 30}}, right_ink = {{0, 110, 50}};

/* Copies `from` into `im` at (x, y), shrunk or grown to fit into a square of `side`. */
static fv_status paste(fv_image *im, int x, int y, int side, const fv_image *from, fv_error *err) {
    double scale = (double)side / (from->width > from->height ? from->width : from->height);
    int w = (int)(from->width * scale), h = (int)(from->height * scale);
    fv_image *small;
    FV_TRY(fv_image_resize(&small, from, w > 0 ? w : 1, h > 0 ? h : 1, err));
    for (int r = 0; r < small->height; r++)
        memcpy(im->rgb + 3 * ((size_t)(y + r) * (size_t)im->width + (size_t)x), small->rgb + 3 * (size_t)r * (size_t)small->width, 3 * (size_t)small->width);
    fv_image_free(small);
    return FV_OK;
}

/* The row's pictures: one fills the cell, up to four share it. */
static fv_status paste_pictures(fv_image *im, int x, int y, const fv_row *row, fv_error *err) {
    int n = row->image_count < 4 ? row->image_count : 4, side = n > 1 ? PICTURE / 2 - 2 : PICTURE;
    for (int k = 0; k < n; k++) FV_TRY(paste(im, x + k % 2 * (side + 4), y + k / 2 * (side + 4), side, row->images[k], err));
    return FV_OK;
}

/* What users and assistants say, a line a turn: "> ..." for what is right. malloc'ed. */
static fv_status collect(char **out, const fv_row *row, fv_error *err) {
    const json_t *messages = json_object_get(row->json, "messages");
    fv_text t = {0};
    for (size_t i = 0; i < json_array_size(messages); i++) {
        const json_t *m = json_array_get(messages, i), *content = json_object_get(m, "content");
        const char *role = json_string_value(json_object_get(m, "role"));
        if (!role || !strcmp(role, "system")) continue;
        fv_text_add(&t, !strcmp(role, "assistant") ? "\n> " : "\n");
        if (json_is_string(content)) fv_text_add(&t, json_string_value(content));
        for (size_t k = 0; k < json_array_size(content); k++) {
            const char *text = json_string_value(json_object_get(json_array_get(content, k), "text"));
            if (text) fv_text_add(&t, text);
        }
    }
    if (fv_row_answer(row) && !memmem(t.data ? t.data : "", t.size, "\n> ", 3)) fv_text_printf(&t, "\n> %s", fv_row_answer(row));
    return fv_text_take(&t, out, NULL, err);
}

/* Writes text in lines of the cell's width, broken at blanks; newlines begin a new line. */
static void write_lines(fv_image *im, int x, int y, const char *text) {
    fv_text_style style = {.size = 14, .color = ink};
    int line = 0;
    for (const char *at = text + strspn(text, "\n"); *at && line < TEXT_LINES; line++) {
        char piece[160] = "";
        size_t fits = 0, limit = strcspn(at, "\n");
        bool right = at[0] == '>' && at[1] == ' ';
        for (size_t n = 1; n <= limit && n < sizeof piece; n++) {
            if (n < limit && at[n] != ' ' && n - fits < 30) continue; /* whole words, unless they are endless */
            memcpy(piece, at, n);
            piece[n] = 0;
            fv_box b = fv_canvas_text_extent(0, 0, piece, &style);
            if (b.x2 - b.x1 > PICTURE && fits) break;
            fits = n;
        }
        if (!fits) fits = limit < sizeof piece ? limit : sizeof piece - 1;
        memcpy(piece, at, fits);
        piece[fits] = 0;
        style.color = right ? right_ink : ink;
        fv_canvas_text(im, x, y + line * LINE, piece, &style);
        at += fits;
        at += strspn(at, " \n");
    }
}

fv_status fv_contact_sheet(fv_image **out, const fv_row *const *rows, int count, fv_error *err) {
    int n = count < MOST_ROWS ? count : MOST_ROWS, columns = n < COLUMNS ? n : COLUMNS, lines = (n + COLUMNS - 1) / COLUMNS;
    FV_TRY(fv_image_new(out, (columns ? columns : 1) * CELL_WIDTH + 20, (lines ? lines : 1) * CELL_HEIGHT + 20, (const uint8_t[]){255, 255, 255}, err));
    fv_status s = FV_OK;
    for (int i = 0; i < n && s == FV_OK; i++) {
        int x = 20 + i % COLUMNS * CELL_WIDTH, y = 20 + i / COLUMNS * CELL_HEIGHT;
        char *text = NULL;
        s = paste_pictures(*out, x, y, rows[i], err);
        if (s == FV_OK) s = collect(&text, rows[i], err);
        if (s == FV_OK) write_lines(*out, x, y + (rows[i]->image_count ? PICTURE + 10 : 0), text);
        free(text);
    }
    if (s == FV_OK) return FV_OK;
    fv_image_free(*out);
    *out = NULL;
    return s;
}
