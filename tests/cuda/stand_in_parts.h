/* What the parts of the stand-in share: its stream, and how calls answer. */
#ifndef FV_TESTS_CUDA_STAND_IN_PARTS_H
#define FV_TESTS_CUDA_STAND_IN_PARTS_H

#include "tests/cuda/stand_in.h"

/* What the stream is asked for and has not done yet. */
typedef struct work {
    struct work *next;
    const fv_stand_in_kernel *kernel; /* NULL: a copy, or a memset where from is NULL */
    int64_t blocks;
    int threads;
    size_t shared, bytes;
    void *to;
    const void *from;
    size_t size; /* of the argument */
    int after;   /* in a graph: the node before it, -1: none */
    bool early;  /* may begin before what is before it has ended */
    _Alignas(16) char argument[];
} work;

/* Ends the test, where a card would answer with silence or wrong numbers. */
void fv_stand_in_stop(const char *what);
cudaError_t fv_stand_in_told(cudaError_t status);
/* What a call ends with that tests may have refused. */
cudaError_t fv_stand_in_answer(const char *call);

work *fv_stand_in_kernel_work(const void *function, dim3 grid, dim3 block, size_t shared, void **arguments);
work *fv_stand_in_zeros_work(void *data, size_t bytes);
work *fv_stand_in_copy_of(const work *from);
void fv_stand_in_add(work *w); /* to the stream */
bool fv_stand_in_idle(void);   /* the stream has nothing to do */

/* Of the card's memory; false: it has not so much. */
bool fv_stand_in_takes(size_t bytes);
void fv_stand_in_gives(size_t bytes);

#endif
