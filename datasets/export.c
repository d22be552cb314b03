#include "datasets/export.h"

#include "core/file.h"
#include "vision/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_AT_ONCE = 64, ROWS_SHOWN = 12 };

typedef struct {
    const fv_dataset *data;
    const char *folder, *name;
    int64_t first;
    fv_row *rows[ROWS_AT_ONCE];
    fv_text lines[ROWS_AT_ONCE];
    fv_error errors[ROWS_AT_ONCE];
} piece;

/* pictures/ID-k.png, '/' in ids as '_'. */
static void picture_name(char *out, size_t size, const fv_row *row, long k) {
    snprintf(out, size, "pictures/%.200s-%ld.png", row->id, k);
    for (char *c = out + strlen("pictures/"); *c; c++)
        if (*c == '/') *c = '_';
}

/* "#3" as the name of its file; NULL where it is something else. */
static json_t *file_name(const fv_row *row, const json_t *value) {
    char name[256];
    long k = fv_source_number(json_string_value(value));
    if (k < 0 || k >= row->image_count) return NULL;
    picture_name(name, sizeof name, row, k);
    return json_string(name);
}

/* Names of pictures in memory, in all messages' parts, become those of files. */
static void name_files(fv_row *row) {
    json_t *messages = json_object_get(row->json, "messages");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        json_t *content = json_object_get(json_array_get(messages, i), "content");
        for (size_t k = 0; k < json_array_size(content); k++) {
            json_t *part = json_array_get(content, k), *video = json_object_get(part, "video"), *named = file_name(row, json_object_get(part, "image"));
            if (named) json_object_set_new(part, "image", named);
            for (size_t f = 0; f < json_array_size(video); f++)
                if ((named = file_name(row, json_array_get(video, f)))) json_array_set_new(video, f, named);
        }
    }
}

static fv_status export_row(piece *p, int i) {
    fv_error *err = &p->errors[i];
    FV_TRY(fv_dataset_row(p->data, p->first + i, &p->rows[i], err));
    fv_row *row = p->rows[i];
    for (int k = 0; k < row->image_count; k++) {
        char name[256];
        picture_name(name, sizeof name, row, k);
        char *path = fv_path_join(p->folder, name);
        fv_status s = path ? fv_image_save(row->images[k], path, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", name);
        free(path);
        FV_TRY(s);
    }
    name_files(row);
    fv_json_dump(&p->lines[i], row->json, 0);
    return FV_OK;
}

static void export_some(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    for (int64_t i = begin; i < end; i++) export_row(context, (int)i);
}

static fv_status write_piece(piece *p, int n, fv_out *out, fv_error *err) {
    for (int i = 0; i < n; i++) {
        if (p->errors[i].status != FV_OK) return fv_fail(err, p->errors[i].status, "%s", p->errors[i].text);
        fv_text_char(&p->lines[i], '\n');
        fv_out_text(out, &p->lines[i]);
    }
    return FV_OK;
}

static fv_status write_sheet(const piece *p, int n, fv_error *err) {
    const fv_row *rows[ROWS_SHOWN];
    fv_image *sheet;
    char name[256];
    for (int i = 0; i < n; i++) rows[i] = p->rows[i];
    FV_TRY(fv_contact_sheet(&sheet, rows, n, err));
    snprintf(name, sizeof name, "%.200s.png", p->name);
    char *path = fv_path_join(p->folder, name);
    fv_status s = path ? fv_image_save(sheet, path, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", name);
    free(path);
    fv_image_free(sheet);
    return s;
}

static void clear_piece(piece *p) {
    for (int i = 0; i < ROWS_AT_ONCE; i++) {
        fv_row_free(p->rows[i]);
        p->rows[i] = NULL;
        fv_text_rewind(&p->lines[i]);
    }
}

static fv_status export_all(piece *p, fv_out *out, fv_pool *pool, fv_progress *progress, fv_error *err) {
    int64_t rows = fv_dataset_count(p->data);
    fv_status s = FV_OK;
    for (p->first = 0; p->first < rows && s == FV_OK; p->first += ROWS_AT_ONCE) {
        int n = (int)(rows - p->first < ROWS_AT_ONCE ? rows - p->first : ROWS_AT_ONCE);
        fv_parallel(pool, n, 1, export_some, p);
        s = write_piece(p, n, out, err);
        if (s == FV_OK && p->first == 0) s = write_sheet(p, n < ROWS_SHOWN ? n : ROWS_SHOWN, err);
        clear_piece(p);
        fv_progress_update(progress, p->first + n, NULL);
    }
    clear_piece(p);
    for (int i = 0; i < ROWS_AT_ONCE; i++) fv_text_clear(&p->lines[i]);
    return s;
}

fv_status fv_export_rows(const fv_dataset *data, const char *folder, const char *name, fv_pool *pool, fv_progress *progress, fv_error *err) {
    char file[256];
    snprintf(file, sizeof file, "%.200s.jsonl", name);
    char *pictures = fv_path_join(folder, "pictures"), *path = fv_path_join(folder, file);
    piece *p = calloc(1, sizeof *p);
    fv_out *out = NULL;
    fv_status s = p && path ? fv_folder_make(pictures, err) : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", folder);
    if (s == FV_OK) s = fv_out_open(&out, path, err);
    if (s == FV_OK) {
        *p = (piece){.data = data, .folder = folder, .name = name};
        s = export_all(p, out, pool, progress, err);
        if (s == FV_OK) s = fv_out_commit(out, err);
        else fv_out_abandon(out);
    }
    free(p);
    free(path);
    free(pictures);
    return s;
}
