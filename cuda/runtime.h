/* The host's side of the CUDA back end: one card, one stream, its memory, and the first thing that went wrong.
 *
 * A table of operations has no argument for a context, so this state is the process's. One thread at a time drives the card, as one
 * thread at a time calls operations.
 *
 * Errors. Operations can't fail by contract (core/ops.h), and on a card they fail late: a launch's error may show at any later call. So the
 * first error is kept, with the call that told of it and the operations that had been asked for by then, and everything after it is
 * left undone. fv_cuda_check gives it to whoever may fail. */
#ifndef FV_CUDA_RUNTIME_H
#define FV_CUDA_RUNTIME_H

#include "core/ops.h"

#include <cuda_runtime_api.h>

/* Chooses the first card and makes the stream; does nothing when that is done. */
fv_status fv_cuda_open(fv_error *err);
cudaStream_t fv_cuda_stream(void);
int fv_cuda_multiprocessors(void);

/* What an operation does first: its name and the shapes that say what it works on, for the error's text. */
void fv_cuda_begin(const char *op, fv_view a, fv_view b);

/* Keeps the error of a call, if it is one and the first. True if all is well so far. */
bool fv_cuda_fine(cudaError_t status, const char *call, size_t bytes);
void fv_cuda_launched(const char *kernel, int64_t blocks, int threads, size_t shared);
fv_status fv_cuda_check(fv_error *err);
/* All is well so far; waits for nothing. */
bool fv_cuda_well(void);

/* cuda/memory.c. Blocks that are given back are kept for the next of their size: cudaMalloc and cudaFree wait for the whole card. */
fv_status fv_cuda_alloc(void **out, size_t bytes, fv_error *err);
fv_status fv_cuda_alloc_host(void **out, size_t bytes, fv_error *err); /* pinned, and so at the same address for the card */
void fv_cuda_free(void *data);
size_t fv_cuda_room(void); /* what the card has free, and what is kept */
void fv_cuda_clear(const fv_exec *x, void *data, size_t bytes);

/* cuda/transfer.c. Everything goes through pinned memory: a copy from it needs no wait, and the caller's memory is free at once. */
void fv_cuda_upload(void *device, const void *host, size_t bytes);
void fv_cuda_download(void *host, const void *device, size_t bytes);

/* cuda/staged.c. The host's bytes on the card, read only, until the operation returns (large ones are in memory from x->scratch). NULL stays NULL. */
void *fv_cuda_stage(const fv_exec *x, const void *host, size_t bytes);
/* The i32 numbers of a view on the card. */
const int32_t *fv_cuda_ints(const fv_exec *x, fv_view v);

#endif
