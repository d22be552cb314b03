/* The host's bytes on the card, for an operation. All layers of a pass read the same plan and the same indices, so small ones are kept: what lies at the same
 * address with the same bytes as before is there already, and costs the host a comparison instead of a copy. Other bytes at the same address take its place, so that
 * kernels have the same arguments from pass to pass and their graphs need not be told others (cuda/window.c).
 *
 * A copy goes to the card ahead of the launches that wait in the window. So a place gets other bytes only where no kernel that waits there reads it: what places such a kernel
 * reads is seen from its argument, which has their addresses, and from the bytes of those places, which may have more. Nor where the operation at hand, which has not
 * launched anything yet, has asked for it: operations stage first and launch then. */
#include "cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

/* As many places as a word has bits; a few for what is larger, as the list of what can't be drawn is: a byte for each word of a vocabulary. */
enum { LARGE = 8, SMALL = 64 - LARGE, PLACES = SMALL + LARGE, SMALL_BYTES = 64 << 10, LARGE_BYTES = 256 << 10 };

static const size_t all_bytes = (size_t)SMALL * SMALL_BYTES + (size_t)LARGE * LARGE_BYTES;

static struct {
    char *device; /* [all_bytes], place after place; NULL until the first use, and where the card has no room for it */
    char *bytes;  /* the same on the host, to compare with */
    struct {
        const void *from; /* NULL: free */
        size_t size;
        uint64_t used;    /* `count` when it was last asked for */
        uint64_t more;    /* a bit for each place whose address is in it, and for those that theirs have */
    } place[PLACES];
    uint64_t count;
    uint64_t pending; /* a bit for each place that a kernel in the window reads */
    uint64_t asked;   /* and for those that the operation at hand has asked for */
    bool launched;    /* something since the last one was */
} kept;

static bool open_places(void) {
    void *device;
    fv_error err;
    if (kept.device) return true;
    if (!kept.bytes) kept.bytes = malloc(all_bytes);
    if (!kept.bytes || fv_cuda_alloc(&device, all_bytes, &err) != FV_OK) return false;
    fv_cuda_flush(); /* it is cleared before anything is copied there */
    kept.device = device;
    return true;
}

/* Where the bytes of a place begin, and which place has the byte at an offset. */
static size_t bytes_at(int place) { return place < SMALL ? (size_t)place * SMALL_BYTES : (size_t)SMALL * SMALL_BYTES + (size_t)(place - SMALL) * LARGE_BYTES; }
static int place_at(uint64_t offset) {
    uint64_t small = (uint64_t)SMALL * SMALL_BYTES;
    return (int)(offset < small ? offset / SMALL_BYTES : SMALL + (offset - small) / LARGE_BYTES);
}

/* The places whose addresses are in it, and those that these lead to. */
static uint64_t places_in(const void *bytes, size_t size) {
    uint64_t found = 0;
    for (size_t at = 0; at + sizeof(uint64_t) <= size; at += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, (const char *)bytes + at, sizeof word);
        uint64_t offset = word - (uint64_t)(uintptr_t)kept.device;
        if (offset < all_bytes) found |= (uint64_t)1 << place_at(offset) | kept.place[place_at(offset)].more;
    }
    return found;
}

void fv_cuda_staged_pending(const void *argument, size_t size) {
    kept.launched = true;
    if (kept.device) kept.pending |= places_in(argument, size);
}

void fv_cuda_staged_given(void) { kept.pending = 0; }

/* Where other bytes of this address may go: to its own place, of several always to the first, or to the one that was asked for longest ago. < 0: all of this size are in use. */
static int free_place(const void *host, size_t size) {
    int oldest = -1, first = size <= SMALL_BYTES ? 0 : SMALL, end = size <= SMALL_BYTES ? SMALL : PLACES;
    for (int i = first; i < end; i++) {
        if ((kept.pending | kept.asked) >> i & 1) continue;
        if (kept.place[i].from == host) return i;
        if (oldest < 0 || kept.place[i].used < kept.place[oldest].used) oldest = i;
    }
    return oldest;
}

static void *ask(int i) {
    kept.place[i].used = ++kept.count;
    kept.asked |= (uint64_t)1 << i;
    return kept.device + bytes_at(i);
}

/* NULL: the operation at hand has asked for all places. */
static void *keep(const void *host, size_t size) {
    if (kept.launched) kept.asked = 0;
    kept.launched = false;
    for (int i = 0; i < PLACES; i++)
        if (kept.place[i].from == host && kept.place[i].size == size && memcmp(kept.bytes + bytes_at(i), host, size) == 0) return ask(i);
    int i = free_place(host, size);
    if (i < 0) {
        fv_cuda_flush();
        i = free_place(host, size);
    }
    if (i < 0) return NULL;
    kept.place[i].from = host;
    kept.place[i].size = size;
    kept.place[i].more = places_in(host, size);
    memcpy(kept.bytes + bytes_at(i), host, size);
    fv_cuda_upload_ahead(kept.device + bytes_at(i), host, size);
    return ask(i);
}

void *fv_cuda_stage(const fv_exec *x, const void *host, size_t bytes) {
    if (!host) return NULL;
    void *device = bytes <= LARGE_BYTES && open_places() ? keep(host, bytes) : NULL;
    if (device) return device;
    device = fv_arena_numbers(x->scratch, bytes);
    fv_cuda_upload(device, host, bytes);
    return device;
}

const int32_t *fv_cuda_ints(const fv_exec *x, fv_view v) { return fv_cuda_stage(x, v.data, (size_t)fv_elements(v) * sizeof(int32_t)); }
