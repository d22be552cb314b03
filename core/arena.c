#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MAX_CHUNKS = 48, ALIGNMENT = 64 }; /* chunks double: 48 pass any machine's memory */

static const size_t huge_page = (size_t)2 << 20;

struct fv_arena {
    struct {
        char *data;
        size_t size, used; /* used is current in chunks up to `at`, 0 beyond */
    } chunk[MAX_CHUNKS];
    size_t chunks, at; /* allocated; the one that is being filled */
    size_t next_size, before, peak; /* before: bytes used in chunks below `at` */
    fv_arena_handler *handler;
    void *context;
};

void *fv_aligned_alloc(size_t bytes) {
    size_t align = bytes >= huge_page ? huge_page : ALIGNMENT;
    if (bytes > SIZE_MAX - align) return NULL;
    size_t size = bytes ? (bytes + align - 1) / align * align : align;
    void *data = aligned_alloc(align, size);
    if (data && align == huge_page) madvise(data, size, MADV_HUGEPAGE); /* a wish: without it things are only slower */
    return data;
}

static int add_chunk(fv_arena *a, size_t bytes) {
    size_t size = bytes > a->next_size ? bytes : a->next_size;
    char *data = a->chunks < MAX_CHUNKS ? fv_aligned_alloc(size) : NULL;
    if (!data) return 0;
    a->chunk[a->chunks].data = data;
    a->chunk[a->chunks].size = size;
    a->chunk[a->chunks++].used = 0;
    a->next_size = size <= SIZE_MAX / 2 ? 2 * size : size;
    return 1;
}

fv_arena *fv_arena_new(size_t chunk) {
    fv_arena *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->next_size = chunk ? chunk : (size_t)1 << 20;
    if (!add_chunk(a, ALIGNMENT)) {
        free(a);
        return NULL;
    }
    return a;
}

void fv_arena_free(fv_arena *a) {
    if (!a) return;
    for (size_t i = 0; i < a->chunks; i++) free(a->chunk[i].data);
    free(a);
}

void fv_arena_on_exhaustion(fv_arena *a, fv_arena_handler *handler, void *context) {
    a->handler = handler;
    a->context = context;
}

static void exhausted(const fv_arena *a, size_t bytes) {
    if (a->handler) a->handler(a->context, bytes);
    abort();
}

void *fv_arena_take(fv_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX - ALIGNMENT) exhausted(a, bytes);
    size_t need = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while (need > a->chunk[a->at].size - a->chunk[a->at].used) {
        if (a->at + 1 == a->chunks && !add_chunk(a, need)) exhausted(a, bytes);
        a->before += a->chunk[a->at++].used;
    }
    char *p = a->chunk[a->at].data + a->chunk[a->at].used;
    a->chunk[a->at].used += need;
    if (a->before + a->chunk[a->at].used > a->peak) a->peak = a->before + a->chunk[a->at].used;
    return p;
}

void *fv_arena_zero(fv_arena *a, size_t bytes) { return memset(fv_arena_take(a, bytes), 0, bytes); }

fv_arena_mark fv_arena_here(const fv_arena *a) { return (fv_arena_mark){ .chunk = a->at, .used = a->chunk[a->at].used }; }

void fv_arena_release(fv_arena *a, fv_arena_mark mark) {
    while (a->at > mark.chunk) {
        a->chunk[a->at--].used = 0;
        a->before -= a->chunk[a->at].used;
    }
    a->chunk[a->at].used = mark.used;
}

void fv_arena_reset(fv_arena *a) { fv_arena_release(a, (fv_arena_mark){ 0 }); }

size_t fv_arena_peak(const fv_arena *a) { return a->peak; }
