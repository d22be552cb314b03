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
/* Keeps an error of another library's in the same way. */
void fv_cuda_failed(const fv_error *err);
fv_status fv_cuda_check(fv_error *err);
/* All is well so far; waits for nothing. */
bool fv_cuda_well(void);

/* cuda/window.c. Launches wait in a window, which goes to the card as one graph where it has gone there before. Nothing is on the stream before fv_cuda_flush. */

/* A place in the source that launches a kernel (FV_LAUNCH): the only one, where the kernel takes more than 48 KiB of a block's memory. */
typedef struct {
    const char *name;
    const void *function;
    size_t shared; /* the most that was asked for so far, above 48 KiB */
} fv_kernel;

/* For tests and timings, since the process began. */
typedef struct {
    int64_t launches;      /* kernels and zeros */
    int64_t plain, graphs; /* windows that went to the card launch by launch, and as a graph */
    int64_t made, updated; /* graphs, and entries of theirs that were told new arguments */
} fv_cuda_launches;

/* With a copy of its one argument; nothing where blocks is 0. */
void fv_cuda_launch(fv_kernel *kernel, int64_t blocks, int threads, size_t shared, const void *argument, size_t size);
void fv_cuda_zeros(void *data, size_t bytes);
/* Gives the window to the card: before a call of CUDA's own that must come after what was launched. */
void fv_cuda_flush(void);
/* That, and the graphs' memory goes back to the card. */
void fv_cuda_forget_graphs(void);
/* From now on every launch is made at once and for itself, for whoever works on the stream beside the operations; or no longer. */
void fv_cuda_plainly(bool on);
fv_cuda_launches fv_cuda_counts(void);

/* cuda/memory.c. Blocks that are given back are kept for the next of their size: cudaMalloc and cudaFree wait for the whole card. */
fv_status fv_cuda_alloc(void **out, size_t bytes, fv_error *err);
fv_status fv_cuda_alloc_host(void **out, size_t bytes, fv_error *err); /* pinned, and so at the same address for the card */
void fv_cuda_free(void *data);
size_t fv_cuda_room(void); /* what the card has free, and what is kept */
void fv_cuda_clear(const fv_exec *x, void *data, size_t bytes);

/* cuda/transfer.c. Everything goes through pinned memory: a copy from it needs no wait, and the caller's memory is free at once. */
void fv_cuda_upload(void *device, const void *host, size_t bytes);
/* The same, ahead of what is in the window: to memory that nothing there uses. */
void fv_cuda_upload_ahead(void *device, const void *host, size_t bytes);
void fv_cuda_download(void *host, const void *device, size_t bytes);

/* cuda/staged.c. The host's bytes on the card, read only, until the operation returns (large ones are in memory from x->scratch). NULL stays NULL. */
void *fv_cuda_stage(const fv_exec *x, const void *host, size_t bytes);
/* The i32 numbers of a view on the card. */
const int32_t *fv_cuda_ints(const fv_exec *x, fv_view v);

/* What the window says of it: a kernel with this argument waits there; all that waited are given to the card. */
void fv_cuda_staged_pending(const void *argument, size_t size);
void fv_cuda_staged_given(void);

#endif
