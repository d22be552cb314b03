#include "core/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Chunks of the host double, since pages that are not written to cost nothing. A device's cost all that they are, so that each is a quarter of what is there: from 1 MiB on
 * 64 of them pass 2 TiB. */
enum { MAX_CHUNKS = 64, ALIGNMENT = 64, PART_MORE = 4 };

static const size_t huge_page = (size_t)2 << 20;

static fv_arena_handler *on_exhaustion; /* what to say is the program's matter, whichever arena it was */

/* A piece of the numbers' side leaves a note on the host's: where either side was before. So a mark of the host's side alone says how
 * far the other goes back. */
typedef struct note {
    struct note *before;
    fv_arena_mark here, there;
} note;

struct fv_arena {
    struct {
        char *data;
        size_t size, used; /* used is current in chunks up to `at`, 0 beyond */
    } chunk[MAX_CHUNKS];
    size_t chunks, at; /* allocated; the one that is being filled */
    size_t next_size, held, before, peak; /* held: bytes of all chunks; before: bytes used in chunks below `at` */
    bool full;         /* less than was asked for was given */
    fv_arena *numbers; /* the other side; NULL: there is one side alone */
    note *last;        /* of the pieces that are taken on the other side */
    fv_arena_alloc *alloc;
    fv_arena_give *give;
};

void *fv_aligned_alloc(size_t bytes) {
    size_t align = bytes >= huge_page ? huge_page : ALIGNMENT;
    if (bytes > SIZE_MAX - align) return NULL;
    size_t size = bytes ? (bytes + align - 1) / align * align : align;
    void *data = aligned_alloc(align, size);
    if (data && align == huge_page) madvise(data, size, MADV_HUGEPAGE); /* a wish: without it things are only slower */
    return data;
}

static fv_status host_alloc(void **out, size_t bytes, fv_error *err) {
    *out = fv_aligned_alloc(bytes);
    return *out ? FV_OK : fv_fail(err, FV_NO_MEMORY, "out of memory");
}

/* Where there is not so much left, half of it, and half again, down to what is needed: and the next ones are no larger. */
static fv_status add_chunk(fv_arena *a, size_t bytes, fv_error *err) {
    size_t size = bytes > a->next_size ? bytes : a->next_size;
    void *data = NULL;
    if (a->chunks == MAX_CHUNKS) return fv_fail(err, FV_NO_MEMORY, "out of memory: %d pieces of it already, and no room for a larger one", MAX_CHUNKS);
    fv_status status = a->alloc(&data, size, err);
    for (; status != FV_OK && size > bytes; status = a->alloc(&data, size, err)) {
        size = size / 2 > bytes ? size / 2 : bytes;
        a->next_size = size;
        a->full = true;
    }
    FV_TRY(status);
    a->chunk[a->chunks].data = data;
    a->chunk[a->chunks].size = size;
    a->chunk[a->chunks++].used = 0;
    a->held += size;
    if (a->full) return FV_OK;
    if (a->alloc == host_alloc) a->next_size = size <= SIZE_MAX / 2 ? 2 * size : size;
    else if (a->next_size < a->held / PART_MORE) a->next_size = a->held / PART_MORE;
    return FV_OK;
}

static fv_arena *new_side(fv_arena_alloc *alloc, fv_arena_give *give, size_t chunk) {
    fv_arena *a = calloc(1, sizeof *a);
    if (!a) return NULL;
    a->alloc = alloc;
    a->give = give;
    a->next_size = chunk ? chunk : (size_t)1 << 20;
    if (add_chunk(a, ALIGNMENT, NULL) != FV_OK) {
        free(a);
        return NULL;
    }
    return a;
}

fv_arena *fv_arena_new(size_t chunk) { return new_side(host_alloc, free, chunk); }

fv_arena *fv_arena_new_over(fv_arena_alloc *alloc, fv_arena_give *give, size_t chunk) {
    fv_arena *a = fv_arena_new(0);
    if (a) a->numbers = new_side(alloc, give, chunk);
    if (!a || a->numbers) return a;
    fv_arena_free(a);
    return NULL;
}

void fv_arena_free(fv_arena *a) {
    if (!a) return;
    fv_arena_free(a->numbers);
    for (size_t i = 0; i < a->chunks; i++) a->give(a->chunk[i].data);
    free(a);
}

void fv_arena_on_exhaustion(fv_arena_handler *handler) { on_exhaustion = handler; }

static void exhausted(size_t bytes, const char *why) {
    if (on_exhaustion) on_exhaustion(bytes, why);
    abort();
}

/* Apart from fv_arena_take, which is called for every result: an error is a kilobyte to clear. */
static void must_add_chunk(fv_arena *a, size_t need, size_t bytes) {
    fv_error err = {0};
    if (add_chunk(a, need, &err) != FV_OK) exhausted(bytes, err.text);
}

void *fv_arena_take(fv_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX - ALIGNMENT) exhausted(bytes, "out of memory: no machine has so much");
    size_t need = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    while (need > a->chunk[a->at].size - a->chunk[a->at].used) {
        if (a->at + 1 == a->chunks) must_add_chunk(a, need, bytes);
        a->before += a->chunk[a->at++].used;
    }
    char *p = a->chunk[a->at].data + a->chunk[a->at].used;
    a->chunk[a->at].used += need;
    if (a->before + a->chunk[a->at].used > a->peak) a->peak = a->before + a->chunk[a->at].used;
    return p;
}

void *fv_arena_zero(fv_arena *a, size_t bytes) { return memset(fv_arena_take(a, bytes), 0, bytes); }

void *fv_arena_numbers(fv_arena *a, size_t bytes) {
    if (!a->numbers) return fv_arena_take(a, bytes);
    fv_arena_mark here = fv_arena_here(a);
    note *n = fv_arena_take(a, sizeof *n);
    *n = (note){ a->last, here, fv_arena_here(a->numbers) };
    a->last = n;
    return fv_arena_take(a->numbers, bytes);
}

fv_arena_mark fv_arena_here(const fv_arena *a) { return (fv_arena_mark){ .chunk = a->at, .used = a->chunk[a->at].used }; }

static int from_on(fv_arena_mark place, fv_arena_mark mark) {
    return place.chunk > mark.chunk || (place.chunk == mark.chunk && place.used >= mark.used);
}

void fv_arena_release(fv_arena *a, fv_arena_mark mark) {
    for (; a->last && from_on(a->last->here, mark); a->last = a->last->before) fv_arena_release(a->numbers, a->last->there);
    while (a->at > mark.chunk) {
        a->chunk[a->at--].used = 0;
        a->before -= a->chunk[a->at].used;
    }
    a->chunk[a->at].used = mark.used;
}

void fv_arena_reset(fv_arena *a) { fv_arena_release(a, (fv_arena_mark){ 0 }); }

size_t fv_arena_peak(const fv_arena *a) { return a->numbers ? a->numbers->peak : a->peak; }
size_t fv_arena_held(const fv_arena *a) { return a->numbers ? a->numbers->held : a->held; }
