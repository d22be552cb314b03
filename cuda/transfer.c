/* Between the host and the card, through a ring of pinned memory in two halves. A piece is copied into the ring and from there by the card,
 * in the stream's order, so an upload waits for nothing. A half is written again when the copies out of it have been made, which an
 * event at its end tells: the host is then up to a half ahead of the card. Copies don't wait in the window of launches, so it is given to the card before a copy that it may have to do with. What is the card's may be pinned memory as well (alloc_host): the driver tells by addresses. */
#include "cuda/runtime.h"

#include <string.h>

enum { PIECE_ALIGNMENT = 64 };

static const size_t half_size = (size_t)8 << 20;

static struct {
    char *host; /* [2 * half_size], pinned; NULL until the first transfer */
    cudaEvent_t left[2];
    size_t used; /* of the half at hand */
    int half;
} ring;

static bool ring_open(void) {
    if (ring.host) return true;
    void *host = NULL;
    if (!fv_cuda_fine(cudaMallocHost(&host, 2 * half_size), "cudaMallocHost", 2 * half_size)) return false;
    for (int i = 0; i < 2; i++)
        if (!fv_cuda_fine(cudaEventCreateWithFlags(&ring.left[i], cudaEventDisableTiming), "cudaEventCreateWithFlags", 0)) return false;
    ring.host = host;
    return true;
}

/* `bytes` (at most a half) of the ring that nobody reads any more; NULL after an error. */
static char *ring_take(size_t bytes) {
    if (!fv_cuda_well() || !ring_open()) return NULL;
    if (bytes > half_size - ring.used) {
        if (!fv_cuda_fine(cudaEventRecord(ring.left[ring.half], fv_cuda_stream()), "cudaEventRecord", 0)) return NULL;
        ring.half ^= 1;
        ring.used = 0;
        if (!fv_cuda_fine(cudaEventSynchronize(ring.left[ring.half]), "cudaEventSynchronize", 0)) return NULL;
    }
    char *p = ring.host + (size_t)ring.half * half_size + ring.used;
    size_t taken = (bytes + PIECE_ALIGNMENT - 1) / PIECE_ALIGNMENT * PIECE_ALIGNMENT;
    ring.used = taken < half_size - ring.used ? ring.used + taken : half_size;
    return p;
}

static size_t piece_of(size_t left) { return left < half_size ? left : half_size; }

void fv_cuda_upload_ahead(void *device, const void *host, size_t bytes) {
    for (size_t at = 0, n; at < bytes; at += n) {
        n = piece_of(bytes - at);
        char *piece = ring_take(n);
        if (!piece) return;
        memcpy(piece, (const char *)host + at, n);
        fv_cuda_fine(cudaMemcpyAsync((char *)device + at, piece, n, cudaMemcpyDefault, fv_cuda_stream()), "cudaMemcpyAsync to the card", n);
    }
}

void fv_cuda_upload(void *device, const void *host, size_t bytes) {
    fv_cuda_flush();
    fv_cuda_upload_ahead(device, host, bytes);
}

/* After an error the host gets zeros, not what was there before. */
void fv_cuda_download(void *host, const void *device, size_t bytes) {
    fv_cuda_flush();
    for (size_t at = 0, n; at < bytes; at += n) {
        n = piece_of(bytes - at);
        char *piece = ring_take(n);
        bool fine = piece && fv_cuda_fine(cudaMemcpyAsync(piece, (const char *)device + at, n, cudaMemcpyDefault, fv_cuda_stream()),
                                          "cudaMemcpyAsync from the card", n);
        fine = fine && fv_cuda_fine(cudaStreamSynchronize(fv_cuda_stream()), "cudaStreamSynchronize", 0);
        if (fine) memcpy((char *)host + at, piece, n);
        else memset((char *)host + at, 0, n);
    }
}
