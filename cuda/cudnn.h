/* Attention of runs of rows that all see each other (a vision tower's windows and pictures) by cuDNN, in bf16, forward and back.
 *
 * cuDNN is optional: it is opened at run time (libcudnn.so.9), and built for only where its headers were found. Where either is missing fv_cudnn_open
 * says so, and the own kernels do the work.
 *
 * A plan is what cuDNN compiles for a shape: so many windows at most, of so many rows at most. Windows that a call has not got have length 0.
 *
 * Exactness: a window's bits may depend neither on the windows beside it nor on the plan. So all plans of one head width and direction take the
 * same engine with the same knobs, and the way back is the deterministic one. tests/cuda/cudnn_probe.c asks a card whether that is enough. */
#ifndef FV_CUDA_CUDNN_H
#define FV_CUDA_CUDNN_H

#include "core/error.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct fv_cudnn fv_cudnn;
typedef struct fv_cudnn_plan fv_cudnn_plan;

/* How windows lie in memory. */
typedef enum {
    FV_CUDNN_RAGGED, /* behind each other, of any length: rows begin where offsets say */
    FV_CUDNN_PADDED, /* every window has `longest` rows of room, of which lengths say how many count */
    FV_CUDNN_EQUAL,  /* every window has `longest` rows: no lengths */
} fv_cudnn_layout;

/* In which words cuDNN is told of the way forward: a graph of its small operations, or its one operation for attention (cuDNN 9.15 and newer). */
typedef enum { FV_CUDNN_GRAPH, FV_CUDNN_WHOLE } fv_cudnn_words;

/* What computes: cuDNN's engine and its choices. count < 0: cuDNN's heuristics choose. */
enum { FV_CUDNN_KNOBS = 32 };
typedef struct {
    int64_t engine;
    int count;
    int knob[FV_CUDNN_KNOBS];
    int64_t value[FV_CUDNN_KNOBS];
} fv_cudnn_engine;

typedef struct {
    fv_cudnn_layout layout;
    fv_cudnn_words words;
    bool back, deterministic; /* deterministic: of the way back; the way forward always is */
    int heads, head_dim;
    int windows, longest; /* at most */
    int64_t rows;         /* of all windows together, at most; RAGGED alone asks for it */
    int64_t step;         /* elements from a row of q, k, v (and of their gradients) to the next: heads * head_dim, or 3 times that */
    float scale;          /* scores are q.k * scale */
    fv_cudnn_engine engine;
} fv_cudnn_shape;

/* Everything is in the card's memory and bf16 where nothing else is said. */
typedef struct {
    void *out;                             /* [rows, heads, head_dim] */
    float *stats;                          /* RAGGED: [rows, heads], else [windows, heads, longest]: log of the sum of e^score */
    const void *q, *k, *v;                 /* rows `step` apart */
    const void *dout;                      /* as out; back alone, as are the next */
    void *dq, *dk, *dv;                    /* as q, k, v; written, not added to */
    const int32_t *lengths;                /* [windows]; not for EQUAL */
    const int32_t *offset_in, *offset_out; /* [windows + 1]: elements before a window's first row, in q, k, v and in out; RAGGED alone */
    const int32_t *offset_stats;           /* [windows + 1]: rows before it * heads */
    void *workspace;                       /* of fv_cudnn_workspace bytes, aligned to 256 */
} fv_cudnn_call;

/* FV_UNSUPPORTED, with the reason, where there is no cuDNN. `card`: NULL, or the properties of a card that is not here, in cuDNN's JSON: plans can then be
 * built but not run. */
fv_status fv_cudnn_open(fv_cudnn **out, cudaStream_t stream, const char *card, fv_error *err);
void fv_cudnn_close(fv_cudnn *c);
size_t fv_cudnn_version(const fv_cudnn *c);

/* A plan of exactly this shape. Errors carry the step of the building that failed and cuDNN's own words. */
fv_status fv_cudnn_build(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *shape, fv_error *err);
void fv_cudnn_plan_close(fv_cudnn_plan *p);

/* The plan for a call of this shape, kept for the next: windows and longest are rounded up, so that there are few, and the engine is what heuristics
 * choose for a shape that is the same for every call; rows are what the windows may have. It belongs to c, and is there until some hundred others were asked for. */
fv_status fv_cudnn_find(fv_cudnn_plan **out, fv_cudnn *c, const fv_cudnn_shape *shape, fv_error *err);

/* How many windows of `longest` rows one call should have. The deterministic way back keeps a bf16 number for every two rows of every window and head, even where
 * windows are shorter: long ones are best given one by one. 0: a window that long takes more memory than it should, 2 GiB; its way back is for somebody else. */
int fv_cudnn_windows_at_once(const fv_cudnn_shape *shape);

const fv_cudnn_shape *fv_cudnn_shape_of(const fv_cudnn_plan *p); /* with the engine that was taken */
bool fv_cudnn_repeats(const fv_cudnn_plan *p);                   /* cuDNN does not call the engine nondeterministic */
size_t fv_cudnn_workspace(const fv_cudnn_plan *p);
fv_status fv_cudnn_run(const fv_cudnn_plan *p, const fv_cudnn_call *call, fv_error *err);

#endif
