/* Device memory: blocks from cudaMalloc, kept when they are given back. All work is on one stream, so a block may be taken again while
 * earlier operations still read it: what its next owner does comes after them. Pinned blocks of the host's memory are not kept: their owners live as long as a run. */
#include "cuda/runtime.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    char *data;
    size_t size;
    bool free, pinned;
} block;

static struct {
    block *blocks;
    size_t count, room;
} pool;

/* Sizes are rounded up so that blocks fit again: small ones to half a KiB, large ones to 2 MiB, the card's own page. */
static size_t rounded(size_t bytes) {
    size_t unit = bytes < ((size_t)1 << 20) ? 512 : (size_t)2 << 20;
    return bytes ? (bytes + unit - 1) / unit * unit : unit;
}

/* The smallest free block that holds `size`, of at most an eighth more: a block that is much too large would be missed elsewhere. */
static block *find_free(size_t size) {
    block *best = NULL;
    for (size_t i = 0; i < pool.count; i++) {
        block *b = &pool.blocks[i];
        if (b->free && b->size >= size && b->size - size <= size / 8 && (!best || b->size < best->size)) best = b;
    }
    return best;
}

/* Gives what is kept back to the card, and what graphs take, which are made again. */
static void give_back_all(void) {
    size_t kept = 0;
    fv_cuda_forget_graphs();
    for (size_t i = 0; i < pool.count; i++) {
        if (pool.blocks[i].free) fv_cuda_fine(cudaFree(pool.blocks[i].data), "cudaFree", pool.blocks[i].size);
        else pool.blocks[kept++] = pool.blocks[i];
    }
    pool.count = kept;
}

static fv_status no_memory(size_t bytes, fv_error *err) {
    size_t left = 0, all = 0;
    cudaMemGetInfo(&left, &all);
    return fv_fail(err, FV_NO_MEMORY,
                   "cuda: cudaMalloc: %zu MiB are needed, %zu of the card's %zu MiB are free; smaller optim.micro_tokens, rollout.prompts, pictures or a smaller model need less",
                   (bytes >> 20) + 1, left >> 20, all >> 20);
}

static fv_status one_more(fv_error *err) {
    if (pool.count < pool.room) return FV_OK;
    size_t room = pool.room ? 2 * pool.room : 256;
    block *more = realloc(pool.blocks, room * sizeof *more);
    if (!more) return fv_fail(err, FV_NO_MEMORY, "cuda: out of memory for the list of blocks");
    pool.blocks = more;
    pool.room = room;
    return FV_OK;
}

static fv_status new_block(block **out, size_t size, fv_error *err) {
    FV_TRY(one_more(err));
    void *data = NULL;
    cudaError_t status = cudaMalloc(&data, size);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError(); /* answered here: it must not show again at the next launch */
        give_back_all();
        status = cudaMalloc(&data, size);
        if (status == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            return no_memory(size, err);
        }
    }
    if (!fv_cuda_fine(status, "cudaMalloc", size)) return fv_cuda_check(err);
    *out = &pool.blocks[pool.count++];
    **out = (block){ .data = data, .size = size };
    return FV_OK;
}

fv_status fv_cuda_alloc(void **out, size_t bytes, fv_error *err) {
    *out = NULL;
    if (bytes > SIZE_MAX / 2) return no_memory(bytes, err);
    block *b = find_free(rounded(bytes));
    if (!b) FV_TRY(new_block(&b, rounded(bytes), err));
    b->free = false;
    *out = b->data;
    fv_cuda_zeros(b->data, b->size);
    return fv_cuda_well() ? FV_OK : fv_cuda_check(err);
}

fv_status fv_cuda_alloc_host(void **out, size_t bytes, fv_error *err) {
    *out = NULL;
    FV_TRY(one_more(err));
    cudaError_t status = cudaMallocHost(out, bytes ? bytes : 1);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return fv_fail(err, FV_NO_MEMORY, "cuda: cudaMallocHost: the host can't pin %zu MiB (`ulimit -l` and its free memory are limits); offload_optimizer: false needs none", (bytes >> 20) + 1);
    }
    if (!fv_cuda_fine(status, "cudaMallocHost", bytes)) return fv_cuda_check(err);
    memset(*out, 0, bytes);
    pool.blocks[pool.count++] = (block){ .data = *out, .size = bytes, .pinned = true };
    return FV_OK;
}

void fv_cuda_free(void *data) {
    for (size_t i = 0; data && i < pool.count; i++) {
        block *b = &pool.blocks[i];
        if (b->data != data) continue;
        if (!b->pinned) {
            b->free = true;
            return;
        }
        fv_cuda_flush();
        if (fv_cuda_well()) fv_cuda_fine(cudaStreamSynchronize(fv_cuda_stream()), "cudaStreamSynchronize", 0);
        fv_cuda_fine(cudaFreeHost(data), "cudaFreeHost", b->size);
        *b = pool.blocks[--pool.count];
        return;
    }
}

size_t fv_cuda_room(void) {
    size_t left = 0, all = 0;
    if (!fv_cuda_well() || cudaMemGetInfo(&left, &all) != cudaSuccess) return 0;
    for (size_t i = 0; i < pool.count; i++)
        if (pool.blocks[i].free && !pool.blocks[i].pinned) left += pool.blocks[i].size;
    return left;
}

void fv_cuda_clear(const fv_exec *x, void *data, size_t bytes) {
    (void)x;
    fv_cuda_zeros(data, bytes);
}
