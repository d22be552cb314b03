/* Files and folders. Every failure names the path, the operation and the system's reason ("runs/a/metrics.jsonl: write: No
 * space left on device"), with status FV_IO. Whatever appears under its final name is complete: whole files and folders are
 * written under a temporary name beside it (NAME.tmp-XXXXXX), synced, and renamed.
 *
 * A path that is NULL means that memory ran out while it was made: the functions below then fail with FV_NO_MEMORY, so
 * that fv_path_join's result can be passed on unchecked. */
#ifndef FV_CORE_FILE_H
#define FV_CORE_FILE_H

#include "core/error.h"
#include "core/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Paths: malloc'ed strings, the caller's; NULL when out of memory. ---- */
char *fv_path_join(const char *folder, const char *name); /* `name` alone if it is absolute, or if folder is "" */
char *fv_path_folder(const char *path);                   /* "a/b.png" -> "a", "a/b/" -> "a", "b.png" -> ".", "/b" -> "/" */
char *fv_path_absolute(const char *path);                 /* from the working folder; "." and ".." resolved by words, links untouched */
const char *fv_path_name(const char *path);               /* "a/b.png" -> "b.png": points into path */

bool fv_file_exists(const char *path);   /* something that can be read as a file */
bool fv_folder_exists(const char *path);

/* ---- Reading ---- */

/* The whole file: *out is malloc'ed, the caller's, with a NUL after its *size bytes (size may be NULL). NULL on failure. */
fv_status fv_file_read(char **out, size_t *size, const char *path, fv_error *err);

/* The whole file, mapped read-only. An empty file has data NULL and size 0. */
typedef struct {
    const uint8_t *data;
    size_t size;
} fv_map;
fv_status fv_map_open(fv_map *out, const char *path, fv_error *err);
void fv_map_close(fv_map *m); /* *m is {0} again */

/* ---- Folders ---- */
fv_status fv_folder_make(const char *path, fv_error *err); /* with the folders above it; it may exist */

/* The names in a folder without "." and "..", in the order of strcmp. Free with fv_names_free. */
typedef struct {
    char **names;
    size_t count;
} fv_names;
fv_status fv_folder_list(fv_names *out, const char *path, fv_error *err);
void fv_names_free(fv_names *n);

/* Removes a file, or a folder with all that is in it (links are removed, not followed). FV_OK if there is nothing. */
fv_status fv_path_remove(const char *path, fv_error *err);

/* Removes what interrupted writers left in a folder: entries named NAME.tmp-XXXXXX. */
fv_status fv_folder_sweep(const char *path, fv_error *err);

/* A folder that appears at once, or not at all: write into *temporary (malloc'ed, the caller's), then commit: every file and
 * folder in it is synced, it gets its name, and the folder above is synced. `path` must not exist by then, or be empty; the
 * folders above it are made.
 * To give up: fv_path_remove(temporary). */
fv_status fv_folder_begin(char **temporary, const char *path, fv_error *err);
fv_status fv_folder_commit(const char *temporary, const char *path, fv_error *err);
fv_status fv_folder_replace(const char *temporary, const char *path, fv_error *err); /* a folder that is there is removed, once the new one has its name */

/* ---- Writing a whole file: open, write as often as needed, then commit or abandon. ---- */
typedef struct fv_out fv_out;

/* On failure *out is NULL. The folder must exist. A pipe or a device (/dev/stdout) is written as it is, since it can't be replaced. */
fv_status fv_out_open(fv_out **out, const char *path, fv_error *err);

/* Buffered. The first failure is kept, what follows does nothing, and commit reports it. */
void fv_out_write(fv_out *o, const void *bytes, size_t size);
void fv_out_text(fv_out *o, const fv_text *text); /* a failed text fails the file */
void fv_out_printf(fv_out *o, const char *format, ...) FV_PRINTF(2, 3);
bool fv_out_failed(const fv_out *o);

/* Flush, sync, rename to the final name, sync the folder. Frees o in any case; on failure the old file, if any, is untouched. */
fv_status fv_out_commit(fv_out *o, fv_error *err);
void fv_out_abandon(fv_out *o); /* removes the temporary file; NULL is fine */

fv_status fv_file_write(const char *path, const void *bytes, size_t size, fv_error *err); /* all in one */
fv_status fv_file_save(const char *folder, const char *name, fv_text *text, fv_error *err);    /* a text, which is cleared; FV_NO_MEMORY if it failed */
fv_status fv_file_copy(const char *from, const char *to, fv_error *err);                  /* likewise: appears whole */

/* ---- A file of lines that grows (metrics.jsonl): what was appended survives the process at once, the machine after a sync. ---- */
typedef struct fv_lines fv_lines;

fv_status fv_lines_open(fv_lines **out, const char *path, fv_error *err); /* made if missing; appends to what is there */
void fv_lines_close(fv_lines *l);                                         /* NULL is fine */

/* Appends `line` (without its newline) and a newline. A line that could not be written whole is cut away again. */
fv_status fv_lines_append(fv_lines *l, const char *line, size_t size, fv_error *err);
fv_status fv_lines_text(fv_lines *l, const fv_text *line, fv_error *err);
fv_status fv_lines_sync(fv_lines *l, fv_error *err);
uint64_t fv_lines_size(const fv_lines *l); /* bytes so far: what a checkpoint notes down */

/* Cuts back to a size noted before; the file being shorter than that is an error. */
fv_status fv_lines_truncate(fv_lines *l, uint64_t size, fv_error *err);

/* ---- For tests: makes the n-th write, sync or rename from now (1 = the next) go wrong, once. ---- */
typedef enum {
    FV_INJECT_NOTHING,
    FV_INJECT_FULL, /* it fails with ENOSPC; a write has put down half of its bytes by then */
    FV_INJECT_KILL  /* the process ends by SIGKILL before it */
} fv_injection;

/* Kept for the whole process (as only fv_arena_on_exhaustion is beside it); it does nothing unless a test arms it. The program arms
 * FV_INJECT_FULL from FOVEA_TEST_FAIL_WRITE=n when it starts. */
void fv_file_inject(int64_t n, fv_injection kind);
int64_t fv_file_operations(void); /* writes, syncs and renames so far */

#endif
