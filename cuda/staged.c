/* The host's bytes on the card, for an operation. All layers of a pass read the same plan and the same indices, so small ones are kept: what lies at the same
 * address with the same bytes as before is there already, and costs the host a comparison instead of a copy. The stream has one order, so a place that is taken for other bytes is
 * still read by what was launched before. */
#include "cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

/* More places than operations stage between two launches. */
enum { PLACES = 64, PLACE_BYTES = 64 << 10 };

static struct {
    char *device; /* [PLACES][PLACE_BYTES]; NULL until the first use, and where the card has no room for it */
    char *bytes;  /* the same on the host, to compare with */
    struct {
        const void *from; /* NULL: free */
        size_t size;
        uint64_t used;    /* `count` when it was last asked for */
    } place[PLACES];
    uint64_t count;
} kept;

static bool open_places(void) {
    void *device;
    fv_error err;
    if (kept.device) return true;
    if (!kept.bytes) kept.bytes = malloc((size_t)PLACES * PLACE_BYTES);
    if (!kept.bytes || fv_cuda_alloc(&device, (size_t)PLACES * PLACE_BYTES, &err) != FV_OK) return false;
    kept.device = device;
    return true;
}

static void *keep(const void *host, size_t size) {
    int oldest = 0;
    kept.count++;
    for (int i = 0; i < PLACES; i++) {
        if (kept.place[i].used < kept.place[oldest].used) oldest = i;
        if (kept.place[i].from != host || kept.place[i].size != size || memcmp(kept.bytes + (size_t)i * PLACE_BYTES, host, size) != 0) continue;
        kept.place[i].used = kept.count;
        return kept.device + (size_t)i * PLACE_BYTES;
    }
    char *device = kept.device + (size_t)oldest * PLACE_BYTES;
    kept.place[oldest].from = host;
    kept.place[oldest].size = size;
    kept.place[oldest].used = kept.count;
    memcpy(kept.bytes + (size_t)oldest * PLACE_BYTES, host, size);
    fv_cuda_upload(device, host, size);
    return device;
}

void *fv_cuda_stage(const fv_exec *x, const void *host, size_t bytes) {
    if (!host) return NULL;
    if (bytes <= PLACE_BYTES && open_places()) return keep(host, bytes);
    void *device = fv_arena_numbers(x->scratch, bytes);
    fv_cuda_upload(device, host, bytes);
    return device;
}

const int32_t *fv_cuda_ints(const fv_exec *x, fv_view v) { return fv_cuda_stage(x, v.data, (size_t)fv_elements(v) * sizeof(int32_t)); }
