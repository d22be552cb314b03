/* A file of JSON rows (a row a line, one array, or one object with an array of them as `results`), mapped, with an index of where each row is: rows are parsed when they are asked for. */
#ifndef FV_DATASETS_ROWFILE_H
#define FV_DATASETS_ROWFILE_H

#include "core/file.h"

#include <stdbool.h>

/* Where a row stands. */
typedef struct {
    uint64_t offset;
    uint32_t size, line; /* bytes; line of its first character, from 1 */
} fv_row_at;

typedef struct {
    fv_map map;
    char *path;
    fv_row_at *rows;
    int64_t count;
    bool ids_repeat; /* LLaVA's conversations have their picture's id, and several rows a picture */
} fv_rowfile;

/* Maps and indexes `path`. A byte order mark, carriage returns, blank lines and a missing last newline are tolerated. FV_BAD_DATA for a file
 * without rows, an array that is not closed, or two rows with the same `id` (but LLaVA's); FV_UNSUPPORTED, with the remedy, for Parquet. */
fv_status fv_rowfile_open(fv_rowfile *out, const char *path, fv_error *err);
void fv_rowfile_close(fv_rowfile *f); /* *f is {0} again */

/* The row's text in the map. */
static inline const char *fv_rowfile_text(const fv_rowfile *f, int64_t i) { return (const char *)f->map.data + f->rows[i].offset; }

#endif
