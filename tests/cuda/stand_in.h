/* A card that is none: what cuda/device.h's words are where the kernels are compiled as C, for the machine on which the tests run. Blocks run one
 * after another, the threads of a block take turns at every FV_SYNC and fv_across, and nothing runs before the host waits for it, as on a
 * card that is busy. Memory of the card can't be touched by the host in between. */
#ifndef FV_TESTS_CUDA_STAND_IN_H
#define FV_TESTS_CUDA_STAND_IN_H

#include "cuda/runtime.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FV_DEVICE static inline __attribute__((unused))
#define FV_GLOBAL(name, type)                                                                                          \
    static void name(type j);                                                                                          \
    static void name##_run_(const void *j) { name(*(const type *)j); }                                                 \
    static const fv_stand_in_kernel name##_kernel_ __attribute__((unused)) = {name##_run_, sizeof(type)};              \
    static void name(type j)
#define FV_GLOBAL_OF(name, type, threads, blocks) FV_GLOBAL(name, type)
#define FV_KERNEL(name) ((const void *)&name##_kernel_)
#define FV_LAUNCH_WIDE(name, blocks, threads, shared, j)                                                               \
    do {                                                                                                               \
        fv_stand_in_wide(FV_KERNEL(name));                                                                             \
        FV_LAUNCH(name, blocks, threads, shared, j);                                                                   \
    } while (0)
#define FV_THREAD (fv_stand_in.thread)
#define FV_BLOCK (fv_stand_in.block)
#define FV_SYNC() fv_stand_in_sync(__LINE__)
#define FV_BLOCK_SHARED static
#define FV_DRAW_THREADS 32
#define FV_SHARED(type) ((type *)fv_stand_in.shared)

/* What a kernel's address points to. */
typedef struct {
    void (*run)(const void *j);
    size_t size; /* of its argument */
} fv_stand_in_kernel;

extern struct fv_stand_in {
    int thread;    /* of the block */
    int64_t block;
    void *shared;
} fv_stand_in;

void fv_stand_in_sync(int line);
/* x of the thread of the warp whose number differs by d. */
double fv_across_double(double x, int d);
static inline float fv_across(float x, int d) { return (float)fv_across_double((double)x, d); }
/* Copies are as late as a card's may be: they are made where the thread waits for them. */
void fv_stand_in_copy(void *to, const void *from, int size, int n);
static inline __attribute__((unused)) void fv_copy_16(void *to, const void *from, int n) { fv_stand_in_copy(to, from, 16, n); }
static inline __attribute__((unused)) void fv_copy_8(void *to, const void *from, int n) { fv_stand_in_copy(to, from, 8, n); }
void fv_copy_end(void);
void fv_copy_wait(int groups);
/* Waits until *phase, 0 or 1, is not `parity`: another thread of the block changes it. */
void fv_stand_in_gate(const uint8_t *phase, uint8_t parity);
/* This kernel may have what a Hopper has of a block's memory; others what every card has. */
void fv_stand_in_wide(const void *of);

/* What tests ask of it. */
void fv_stand_in_memory(size_t bytes);    /* the card's memory from now on; what is taken stays */
void fv_stand_in_fail(int after);         /* the kernel after so many more fails as one that read a wrong address; < 0: none */
void fv_stand_in_refuse(const char *call, int after); /* the call of this name after so many more is refused (cudaLaunchKernel, cudaGraph...); NULL: none */
void fv_stand_in_order(uint64_t seed);    /* the order in which threads of a block take their turns; 0: ascending */
bool fv_stand_in_owns(const void *p);     /* p is memory of the card */
size_t fv_stand_in_allocations(void);     /* cudaMalloc's successes so far */
size_t fv_stand_in_copies(void);          /* copies between host and card so far */
int fv_stand_in_graphs(void);             /* executable graphs that there are */

#endif
