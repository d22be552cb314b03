/* The host's bytes on the card, for an operation. All layers of a pass read the same plan and the same indices, so small ones are kept: what lies at the same
 * address with the same bytes as before is there already, and costs the host a comparison instead of a copy. The stream has one order, so a place that is taken for other bytes is
 * still read by what was launched before. */
#include "cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

/* More places than operations stage between two launches; and a few for what is larger, as the list of what can't be drawn is: a byte for each word of a vocabulary. */
enum { PLACES = 64, PLACE_BYTES = 64 << 10, LARGE_PLACES = 8, LARGE_BYTES = 256 << 10, ALL_PLACES = PLACES + LARGE_PLACES };

static const size_t all_bytes = (size_t)PLACES * PLACE_BYTES + (size_t)LARGE_PLACES * LARGE_BYTES;

static struct {
    char *device; /* [all_bytes], place after place; NULL until the first use, and where the card has no room for it */
    char *bytes;  /* the same on the host, to compare with */
    struct {
        const void *from; /* NULL: free */
        size_t size;
        uint64_t used;    /* `count` when it was last asked for */
    } place[ALL_PLACES];
    uint64_t count;
} kept;

static bool open_places(void) {
    void *device;
    fv_error err;
    if (kept.device) return true;
    if (!kept.bytes) kept.bytes = malloc(all_bytes);
    if (!kept.bytes || fv_cuda_alloc(&device, all_bytes, &err) != FV_OK) return false;
    kept.device = device;
    return true;
}

/* Where the bytes of a place begin. */
static size_t bytes_at(int place) {
    return place < PLACES ? (size_t)place * PLACE_BYTES : (size_t)PLACES * PLACE_BYTES + (size_t)(place - PLACES) * LARGE_BYTES;
}

/* NULL: all places of this size may still be waited for by what is not launched yet. */
static void *keep(const void *host, size_t size) {
    int first = size <= PLACE_BYTES ? 0 : PLACES, end = size <= PLACE_BYTES ? PLACES : ALL_PLACES, oldest = first;
    kept.count++;
    for (int i = first; i < end; i++) {
        if (kept.place[i].used < kept.place[oldest].used) oldest = i;
        if (kept.place[i].from != host || kept.place[i].size != size || memcmp(kept.bytes + bytes_at(i), host, size) != 0) continue;
        kept.place[i].used = kept.count;
        return kept.device + bytes_at(i);
    }
    if (kept.place[oldest].from && kept.count - kept.place[oldest].used < PLACES) return NULL;
    char *device = kept.device + bytes_at(oldest);
    kept.place[oldest].from = host;
    kept.place[oldest].size = size;
    kept.place[oldest].used = kept.count;
    memcpy(kept.bytes + bytes_at(oldest), host, size);
    fv_cuda_upload(device, host, size);
    return device;
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
