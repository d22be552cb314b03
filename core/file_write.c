#include "core/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static fv_status refused(fv_error *err, const char *path, const char *operation) {
    return fv_fail(err, FV_IO, "%s: %s: %s", path, operation, strerror(errno));
}

static fv_status no_memory(fv_error *err, const char *path) {
    return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", path ? path : "a path");
}

/* ---- The system's write, sync and rename, which a test can make fail ---- */

static atomic_int_least64_t operations, fail_at;
static atomic_int fail_kind;

void fv_file_inject(int64_t n, fv_injection kind) {
    atomic_store(&fail_kind, FV_INJECT_NOTHING);
    atomic_store(&fail_at, atomic_load(&operations) + n);
    atomic_store(&fail_kind, (int)kind);
}

int64_t fv_file_operations(void) { return atomic_load(&operations); }

/* Counts one operation; true (with errno set) if this is the one that has to fail. */
static bool injected(void) {
    int64_t now = atomic_fetch_add(&operations, 1) + 1;
    int kind = atomic_load(&fail_kind);
    if (kind == FV_INJECT_NOTHING || now != atomic_load(&fail_at)) return false;
    if (kind == FV_INJECT_KILL) raise(SIGKILL);
    errno = ENOSPC;
    return true;
}

static bool sys_write(int fd, const void *bytes, size_t size) {
    bool fails = injected();
    if (fails) size /= 2; /* a disk that fills up takes a part first */
    for (const char *at = bytes; size > 0;) {
        ssize_t n = write(fd, at, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += n;
        size -= (size_t)n;
    }
    if (fails) errno = ENOSPC;
    return !fails;
}

static bool sys_sync(int fd) { return !injected() && fsync(fd) == 0; }
static bool sys_rename(const char *from, const char *to) { return !injected() && rename(from, to) == 0; }
static bool sys_exchange(const char *a, const char *b) { return !injected() && renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0; }

/* Syncs a file or a folder by name. */
static fv_status sync_path(const char *path, fv_error *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return refused(err, path, "open");
    fv_status status = sys_sync(fd) ? FV_OK : refused(err, path, "sync");
    close(fd);
    return status;
}

/* ---- Temporary names ---- */

/* PATH.tmp-XXXXXX, made as an empty folder, or as a file that is open in *fd (fd not NULL). Not mkstemp, whose files are
 * readable for their owner alone. */
static fv_status make_temporary(char **out, int *fd, const char *path, fv_error *err) {
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    *out = NULL;
    if (!path) return no_memory(err, path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--; /* beside a folder, not in it */
    char *name = malloc(n + 12);
    if (!name) return no_memory(err, path);
    memcpy(name, path, n);
    memcpy(name + n, ".tmp-000000", 12);
    uint64_t seed = (uint64_t)getpid();
    for (int attempt = 0; attempt < 1000; attempt++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = seed >> 32;
        for (size_t i = 0; i < 6; i++, bits /= 36) name[n + 5 + i] = letters[bits % 36];
        bool made;
        if (fd) made = (*fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) >= 0;
        else made = mkdir(name, 0777) == 0;
        if (made) {
            *out = name;
            return FV_OK;
        }
        if (errno != EEXIST) break;
    }
    fv_status status = refused(err, path, fd ? "create" : "make folder");
    free(name);
    return status;
}

/* Makes a name last. */
static fv_status sync_above(const char *path, fv_error *err) {
    char *folder = fv_path_folder(path);
    fv_status status = folder ? sync_path(folder, err) : no_memory(err, path);
    free(folder);
    return status;
}

/* Gives what lies under `temporary` its name, and makes that last. */
static fv_status settle(const char *temporary, const char *path, fv_error *err) {
    return sys_rename(temporary, path) ? sync_above(path, err) : refused(err, path, "rename");
}

/* ---- Whole folders ---- */

fv_status fv_folder_begin(char **temporary, const char *path, fv_error *err) {
    char *above = fv_path_folder(path);
    *temporary = NULL;
    fv_status status = fv_folder_make(above, err);
    free(above);
    return status == FV_OK ? make_temporary(temporary, NULL, path, err) : status;
}

static fv_status sync_below(const char *path, fv_error *err) {
    struct stat s;
    if (lstat(path, &s) != 0) return refused(err, path, "stat");
    if (!S_ISDIR(s.st_mode)) return S_ISREG(s.st_mode) ? sync_path(path, err) : FV_OK;
    fv_names inside;
    FV_TRY(fv_folder_list(&inside, path, err));
    fv_status status = FV_OK;
    for (size_t i = 0; status == FV_OK && i < inside.count; i++) {
        char *child = fv_path_join(path, inside.names[i]);
        status = child ? sync_below(child, err) : no_memory(err, path);
        free(child);
    }
    fv_names_free(&inside);
    return status == FV_OK ? sync_path(path, err) : status;
}

fv_status fv_folder_commit(const char *temporary, const char *path, fv_error *err) {
    if (!temporary || !path) return no_memory(err, path);
    FV_TRY(sync_below(temporary, err));
    return settle(temporary, path, err);
}

/* Both change places at once, so that there is no moment without `path`. A file system that can't do that (some network ones) has such a moment. */
static fv_status change_places(const char *temporary, const char *path, fv_error *err) {
    char *aside;
    if (sys_exchange(temporary, path)) return FV_OK;
    if (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP) return refused(err, path, "rename");
    FV_TRY(make_temporary(&aside, NULL, path, err));
    fv_status status = sys_rename(path, aside) ? FV_OK : refused(err, path, "rename");
    if (status != FV_OK) rmdir(aside);
    else if (!sys_rename(temporary, path)) {
        status = refused(err, path, "rename");
        rename(aside, path);
    } else if (!sys_rename(aside, temporary)) status = refused(err, aside, "rename");
    free(aside);
    return status;
}

fv_status fv_folder_replace(const char *temporary, const char *path, fv_error *err) {
    if (!temporary || !path) return no_memory(err, path);
    if (!fv_folder_exists(path)) return fv_folder_commit(temporary, path, err);
    FV_TRY(sync_below(temporary, err));
    FV_TRY(change_places(temporary, path, err));
    FV_TRY(sync_above(path, err));
    return fv_path_remove(temporary, err);
}

/* ---- Whole files ---- */

enum { OUT_BUFFER = 1 << 16 };

struct fv_out {
    char *path, *temporary; /* temporary NULL: what is written goes to `path` at once */
    int fd;
    size_t used;
    fv_error failure; /* the first one; status FV_OK while all is well */
    char buffer[OUT_BUFFER];
};

static void out_free(fv_out *o) {
    if (o->fd >= 0) close(o->fd);
    free(o->path);
    free(o->temporary);
    free(o);
}

/* A pipe or a device can't be replaced by a file that is whole, and must not be: it is written as it is. So is /dev/stdout, wherever it leads. */
static fv_status open_target(fv_out *o, fv_error *err) {
    struct stat s, link;
    size_t n = strlen(o->path);
    bool there = stat(o->path, &s) == 0;
    if ((there && S_ISDIR(s.st_mode)) || (n > 0 && o->path[n - 1] == '/')) return fv_fail(err, FV_IO, "%s: write: a file's name is needed, this is a folder's", o->path);
    bool stream = strncmp(o->path, "/dev/", 5) == 0 && lstat(o->path, &link) == 0 && S_ISLNK(link.st_mode);
    if (!there || (S_ISREG(s.st_mode) && !stream)) return make_temporary(&o->temporary, &o->fd, o->path, err);
    o->fd = open(o->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return o->fd >= 0 ? FV_OK : refused(err, o->path, "open");
}

fv_status fv_out_open(fv_out **out, const char *path, fv_error *err) {
    *out = NULL;
    if (!path) return no_memory(err, path);
    fv_out *o = malloc(sizeof *o);
    if (!o) return no_memory(err, path);
    o->path = strdup(path);
    o->temporary = NULL;
    o->fd = -1;
    o->used = 0;
    o->failure = (fv_error){.status = FV_OK};
    fv_status status = o->path ? open_target(o, err) : no_memory(err, path);
    if (status == FV_OK) *out = o;
    else out_free(o);
    return status;
}

static void out_flush(fv_out *o) {
    if (o->failure.status == FV_OK && o->used > 0 && !sys_write(o->fd, o->buffer, o->used)) refused(&o->failure, o->path, "write");
    o->used = 0;
}

void fv_out_write(fv_out *o, const void *bytes, size_t size) {
    if (o->failure.status != FV_OK || size == 0) return;
    if (size > OUT_BUFFER - o->used) out_flush(o);
    if (size >= OUT_BUFFER) { /* no use in copying it first */
        if (o->failure.status == FV_OK && !sys_write(o->fd, bytes, size)) refused(&o->failure, o->path, "write");
        return;
    }
    memcpy(o->buffer + o->used, bytes, size);
    o->used += size;
}

void fv_out_text(fv_out *o, const fv_text *text) {
    if (text->failed && o->failure.status == FV_OK) no_memory(&o->failure, o->path);
    fv_out_write(o, text->data, text->size);
}

void fv_out_printf(fv_out *o, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = NULL;
    int size = vasprintf(&text, format, args);
    va_end(args);
    if (size < 0 && o->failure.status == FV_OK) no_memory(&o->failure, o->path);
    if (size < 0) return;
    fv_out_write(o, text, (size_t)size);
    free(text);
}

bool fv_out_failed(const fv_out *o) { return o->failure.status != FV_OK; }

fv_status fv_out_commit(fv_out *o, fv_error *err) {
    out_flush(o);
    if (o->failure.status == FV_OK && o->temporary && !sys_sync(o->fd)) refused(&o->failure, o->path, "sync");
    if (o->failure.status == FV_OK && close(o->fd) != 0) refused(&o->failure, o->path, "close");
    else if (o->failure.status != FV_OK) close(o->fd);
    o->fd = -1;
    if (o->failure.status == FV_OK && o->temporary) settle(o->temporary, o->path, &o->failure);
    fv_status status = o->failure.status;
    if (status != FV_OK && o->temporary) unlink(o->temporary);
    if (status != FV_OK && err) *err = o->failure;
    out_free(o);
    return status;
}

void fv_out_abandon(fv_out *o) {
    if (!o) return;
    if (o->temporary) unlink(o->temporary);
    out_free(o);
}

fv_status fv_file_write(const char *path, const void *bytes, size_t size, fv_error *err) {
    fv_out *o;
    FV_TRY(fv_out_open(&o, path, err));
    fv_out_write(o, bytes, size);
    return fv_out_commit(o, err);
}

fv_status fv_file_save(const char *folder, const char *name, fv_text *text, fv_error *err) {
    char *path = fv_path_join(folder, name);
    fv_status s = text->failed ? fv_fail(err, FV_NO_MEMORY, "%s/%s: out of memory", folder, name) : fv_file_write(path, text->data, text->size, err);
    free(path);
    fv_text_clear(text);
    return s;
}

fv_status fv_file_copy(const char *from, const char *to, fv_error *err) {
    fv_map map;
    FV_TRY(fv_map_open(&map, from, err));
    fv_status status = fv_file_write(to, map.data, map.size, err);
    fv_map_close(&map);
    return status;
}

/* ---- Growing files ---- */

struct fv_lines {
    char *path;
    int fd;
    uint64_t size;
};

fv_status fv_lines_open(fv_lines **out, const char *path, fv_error *err) {
    *out = NULL;
    if (!path) return no_memory(err, path);
    fv_lines *l = malloc(sizeof *l);
    char *copy = strdup(path);
    if (!l || !copy) {
        free(l);
        free(copy);
        return no_memory(err, path);
    }
    struct stat s;
    *l = (fv_lines){.path = copy, .fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)};
    if (l->fd < 0 || fstat(l->fd, &s) != 0) {
        fv_status status = refused(err, path, "open");
        fv_lines_close(l);
        return status;
    }
    l->size = (uint64_t)s.st_size;
    *out = l;
    return FV_OK;
}

void fv_lines_close(fv_lines *l) {
    if (!l) return;
    if (l->fd >= 0) close(l->fd);
    free(l->path);
    free(l);
}

fv_status fv_lines_append(fv_lines *l, const char *line, size_t size, fv_error *err) {
    fv_text whole = {0}; /* one write: a kill leaves the line or nothing */
    fv_text_bytes(&whole, line, size);
    fv_text_char(&whole, '\n');
    fv_status status = FV_OK;
    if (whole.failed) {
        status = no_memory(err, l->path);
    } else if (sys_write(l->fd, whole.data, whole.size)) {
        l->size += whole.size;
    } else {
        status = refused(err, l->path, "write");
        if (ftruncate(l->fd, (off_t)l->size) != 0) fv_fail_in(err, "%s: a part of a line is left at byte %llu", l->path, (unsigned long long)l->size);
    }
    fv_text_clear(&whole);
    return status;
}

fv_status fv_lines_text(fv_lines *l, const fv_text *line, fv_error *err) {
    return line->failed ? no_memory(err, l->path) : fv_lines_append(l, line->data ? line->data : "", line->size, err);
}

fv_status fv_lines_sync(fv_lines *l, fv_error *err) { return sys_sync(l->fd) ? FV_OK : refused(err, l->path, "sync"); }

uint64_t fv_lines_size(const fv_lines *l) { return l->size; }

fv_status fv_lines_truncate(fv_lines *l, uint64_t size, fv_error *err) {
    if (size > l->size)
        return fv_fail(err, FV_IO, "%s: truncate: it has %llu bytes, %llu were expected", l->path, (unsigned long long)l->size, (unsigned long long)size);
    if (ftruncate(l->fd, (off_t)size) != 0) return refused(err, l->path, "truncate");
    l->size = size;
    return FV_OK;
}
