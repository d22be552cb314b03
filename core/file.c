#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static fv_status refused(fv_error *err, const char *path, const char *operation) {
    return fv_fail(err, FV_IO, "%s: %s: %s", path, operation, strerror(errno));
}

static fv_status no_path(fv_error *err) { return fv_fail(err, FV_NO_MEMORY, "out of memory for a path"); }

/* ---- Paths ---- */

char *fv_path_join(const char *folder, const char *name) {
    if (!folder || !name) return NULL;
    if (name[0] == '/' || folder[0] == '\0') return strdup(name);
    size_t n = strlen(folder), m = strlen(name);
    bool slash = folder[n - 1] != '/';
    char *out = malloc(n + slash + m + 1);
    if (!out) return NULL;
    memcpy(out, folder, n);
    if (slash) out[n] = '/';
    memcpy(out + n + slash, name, m + 1);
    return out;
}

char *fv_path_folder(const char *path) {
    if (!path) return NULL;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--; /* "a/b/" is "a/b" */
    while (n > 0 && path[n - 1] != '/') n--;
    while (n > 1 && path[n - 1] == '/') n--;
    return n > 0 ? strndup(path, n) : strdup(".");
}

const char *fv_path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Resolves "." and ".." of an absolute path where it stands. */
static void simplify(char *path) {
    char *out = path;
    for (const char *at = path; *at;) {
        while (*at == '/') at++;
        size_t n = strcspn(at, "/");
        if (n == 2 && at[0] == '.' && at[1] == '.') {
            while (out > path && *--out != '/') continue;
        } else if (n > 0 && !(n == 1 && at[0] == '.')) {
            *out++ = '/';
            memmove(out, at, n);
            out += n;
        }
        at += n;
    }
    if (out == path) *out++ = '/';
    *out = '\0';
}

char *fv_path_absolute(const char *path) {
    if (!path) return NULL;
    char *here = path[0] == '/' ? strdup("/") : getcwd(NULL, 0);
    char *out = fv_path_join(here, path);
    free(here);
    if (out) simplify(out);
    return out;
}

bool fv_file_exists(const char *path) {
    struct stat s;
    return path && stat(path, &s) == 0 && !S_ISDIR(s.st_mode);
}

bool fv_folder_exists(const char *path) {
    struct stat s;
    return path && stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* ---- Reading ---- */

/* Grows with what comes, since pipes and /proc have no size to ask for. */
static fv_status read_all(fv_text *t, int fd, const char *path, fv_error *err) {
    char block[65536];
    for (;;) {
        ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return refused(err, path, "read");
        if (n == 0) return FV_OK;
        fv_text_bytes(t, block, (size_t)n);
        if (t->failed) return fv_fail(err, FV_NO_MEMORY, "%s: read: out of memory", path);
    }
}

fv_status fv_file_read(char **out, size_t *size, const char *path, fv_error *err) {
    *out = NULL;
    if (size) *size = 0;
    if (!path) return no_path(err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return refused(err, path, "open");
    fv_text text = {0};
    fv_status status = read_all(&text, fd, path, err);
    close(fd);
    if (status == FV_OK) status = fv_text_take(&text, out, size, err);
    fv_text_clear(&text);
    return status;
}

fv_status fv_map_open(fv_map *out, const char *path, fv_error *err) {
    *out = (fv_map){0};
    if (!path) return no_path(err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return refused(err, path, "open");
    struct stat s;
    fv_status status = FV_OK;
    if (fstat(fd, &s) != 0) status = refused(err, path, "stat");
    else if (S_ISDIR(s.st_mode)) status = fv_fail(err, FV_IO, "%s: read: Is a directory", path);
    else if (!S_ISREG(s.st_mode)) status = fv_fail(err, FV_IO, "%s: read: a pipe or a device, which can't be mapped; a file is needed", path);
    else if (s.st_size > 0) {
        void *data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) status = refused(err, path, "map");
        else *out = (fv_map){data, (size_t)s.st_size};
    }
    close(fd);
    return status;
}

void fv_map_close(fv_map *m) {
    if (m->data) munmap((void *)(uintptr_t)m->data, m->size);
    *m = (fv_map){0};
}

/* ---- Folders ---- */

fv_status fv_folder_make(const char *path, fv_error *err) {
    if (!path) return no_path(err);
    char *part = strdup(path);
    if (!part) return no_path(err);
    fv_status status = FV_OK;
    for (char *at = part; status == FV_OK && *at;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = '\0';
        if (mkdir(part, 0777) != 0 && !(errno == EEXIST && fv_folder_exists(part))) status = refused(err, part, "make folder");
        *at = kept;
    }
    free(part);
    return status;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static fv_status add_name(fv_names *n, size_t *room, const char *name) {
    if (n->count == *room) {
        size_t more = *room ? *room * 2 : 16;
        char **names = realloc(n->names, more * sizeof *names);
        if (!names) return FV_NO_MEMORY;
        n->names = names;
        *room = more;
    }
    n->names[n->count] = strdup(name);
    return n->names[n->count] ? (n->count++, FV_OK) : FV_NO_MEMORY;
}

fv_status fv_folder_list(fv_names *out, const char *path, fv_error *err) {
    *out = (fv_names){0};
    if (!path) return no_path(err);
    DIR *folder = opendir(path);
    if (!folder) return refused(err, path, "open folder");
    fv_status status = FV_OK;
    size_t room = 0;
    while (status == FV_OK) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry && errno) status = refused(err, path, "read folder");
        if (!entry) break;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (add_name(out, &room, entry->d_name) != FV_OK) status = fv_fail(err, FV_NO_MEMORY, "%s: out of memory for its names", path);
    }
    closedir(folder);
    if (status != FV_OK) fv_names_free(out);
    else if (out->count) qsort(out->names, out->count, sizeof *out->names, by_name);
    return status;
}

void fv_names_free(fv_names *n) {
    for (size_t i = 0; i < n->count; i++) free(n->names[i]);
    free(n->names);
    *n = (fv_names){0};
}

fv_status fv_path_remove(const char *path, fv_error *err) {
    if (!path) return no_path(err);
    struct stat s;
    if (lstat(path, &s) != 0) return errno == ENOENT ? FV_OK : refused(err, path, "stat");
    if (!S_ISDIR(s.st_mode)) return unlink(path) == 0 || errno == ENOENT ? FV_OK : refused(err, path, "remove");
    fv_names inside;
    FV_TRY(fv_folder_list(&inside, path, err));
    fv_status status = FV_OK;
    for (size_t i = 0; status == FV_OK && i < inside.count; i++) {
        char *child = fv_path_join(path, inside.names[i]);
        status = fv_path_remove(child, err);
        free(child);
    }
    fv_names_free(&inside);
    if (status == FV_OK && rmdir(path) != 0 && errno != ENOENT) status = refused(err, path, "remove folder");
    return status;
}

/* NAME.tmp-XXXXXX, as core/file_write.c makes them. */
static bool is_temporary(const char *name) {
    size_t n = strlen(name);
    const char *suffix = n > 11 ? name + n - 11 : "";
    return strncmp(suffix, ".tmp-", 5) == 0 && strspn(suffix + 5, "0123456789abcdefghijklmnopqrstuvwxyz") == 6;
}

fv_status fv_folder_sweep(const char *path, fv_error *err) {
    fv_names inside;
    FV_TRY(fv_folder_list(&inside, path, err));
    fv_status status = FV_OK;
    for (size_t i = 0; status == FV_OK && i < inside.count; i++) {
        if (!is_temporary(inside.names[i])) continue;
        char *child = fv_path_join(path, inside.names[i]);
        status = fv_path_remove(child, err);
        free(child);
    }
    fv_names_free(&inside);
    return status;
}
