/* What cuda/cudnn.c and cuda/cudnn_graph.c share: the library's functions, and the building of a graph of cuDNN's descriptors. */
#ifndef FV_CUDA_CUDNN_PARTS_H
#define FV_CUDA_CUDNN_PARTS_H

#include "cuda/cudnn.h"

/* The stand-in of a card (tests/cuda/stand_in) has no cuDNN, whatever headers there are. */
#if defined(__has_include) && !defined(FV_TESTS_CUDA_RUNTIME_API_H)
#if __has_include(<cudnn_graph.h>)
#include <cudnn_graph.h>
#define FV_CUDNN_BUILT 1
#endif
#endif

#ifdef FV_CUDNN_BUILT

#define FV_CUDNN_MAP(X)                                                                                                \
    X(cudnnGetVersion) X(cudnnGetErrorString) X(cudnnGetLastErrorString) X(cudnnCreate) X(cudnnDestroy) X(cudnnSetStream) \
    X(cudnnBackendCreateDescriptor) X(cudnnBackendDestroyDescriptor) X(cudnnBackendSetAttribute)                       \
    X(cudnnBackendGetAttribute) X(cudnnBackendFinalize) X(cudnnBackendExecute)

typedef struct {
#define FV_CUDNN_POINTER_(name) __typeof__(&name) name;
    FV_CUDNN_MAP(FV_CUDNN_POINTER_)
#undef FV_CUDNN_POINTER_
} fv_cudnn_calls;

/* What the caller's memory is called in a plan. Numbers from FV_CUDNN_MIDDLE on are of what lies between operations. */
typedef enum {
    FV_CUDNN_Q = 1, FV_CUDNN_K, FV_CUDNN_V, FV_CUDNN_OUT, FV_CUDNN_STATS, FV_CUDNN_DOUT, FV_CUDNN_DQ, FV_CUDNN_DK, FV_CUDNN_DV,
    FV_CUDNN_SUM, FV_CUDNN_ACCUMULATOR,                           /* the way back's own, in the workspace */
    FV_CUDNN_LENGTH_Q, FV_CUDNN_LENGTH_K,                         /* the same memory twice */
    FV_CUDNN_AT_Q, FV_CUDNN_AT_K, FV_CUDNN_AT_V, FV_CUDNN_AT_OUT, FV_CUDNN_AT_STATS, /* offsets */
    FV_CUDNN_SCALE, FV_CUDNN_NEVER, FV_CUDNN_ONE,                 /* numbers on the host */
    FV_CUDNN_MIDDLE = 100,
} fv_cudnn_name;

enum { FV_CUDNN_MADE = 160, FV_CUDNN_OPS = 40 };

/* Descriptors are made one after the other; after the first error nothing more is done. */
typedef struct {
    const fv_cudnn_calls *calls;
    const fv_cudnn_shape *shape;
    cudnnBackendDescriptor_t made[FV_CUDNN_MADE], ops[FV_CUDNN_OPS];
    int made_count, op_count;
    int64_t names[32]; /* what a call must give memory for */
    int name_count;
    int64_t next;
    fv_status status;
    fv_error *err;
} fv_cudnn_builder;

cudnnBackendDescriptor_t fv_cudnn_make(fv_cudnn_builder *b, cudnnBackendDescriptorType_t type, const char *what);
void fv_cudnn_set(fv_cudnn_builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count, const void *value,
                  const char *what);
void fv_cudnn_finish(fv_cudnn_builder *b, cudnnBackendDescriptor_t d, const char *what);
/* Keeps the first error: the step, and cuDNN's words. */
void fv_cudnn_check(fv_cudnn_builder *b, cudnnStatus_t status, const char *call, const char *what);

/* The operations of the shape, in b->ops. */
void fv_cudnn_describe(fv_cudnn_builder *b);

#endif
#endif
