/* What kernels are written in: CUDA C that is also C17, so that the same files compile for a card (nvcc) and for the machine without one
 * on which the tests run them: there tests/cuda/stand_in.h, which the compiler takes in first, says what each of these words is.
 *
 *   FV_GLOBAL(name, type)       begins a kernel: `name(type j)`, one thread's work. Its one argument is a struct of everything.
 *   FV_GLOBAL_OF(name, type, threads, blocks)   one of at most so many threads a block, of which a multiprocessor shall hold so many blocks
 *   FV_LAUNCH(name, blocks, threads, shared, j)   after what was launched before (cuda/window.c); nothing where blocks is 0. shared: bytes of FV_SHARED
 *   FV_LAUNCH_WIDE(name, blocks, threads, shared, j)   the same with up to 227 KiB of it, which a Hopper has
 *   FV_DEVICE                   begins a function that kernels call
 *   FV_THREAD, FV_BLOCK         this thread in its block, this block; blocks are numbered in one dimension
 *   FV_SHARED(type)             the block's memory that FV_LAUNCH asked for: 99 KiB are there on every card
 *   FV_BLOCK_SHARED             before an array in a kernel: the block's, of a size that is known
 *   FV_SYNC()                   all threads of the block have come here
 *   fv_across(x, d)             x of the thread whose number differs in bit d (8, 4, 2, 1); all threads of the warp must come here
 *   fv_across_double(x, d)
 *   fv_copy_16(to, from, n)     asks for the first n of 16 bytes of the card's memory in the block's, zeros after them; both aligned to 16. They
 *   fv_copy_8(to, from, n)      come while the thread goes on; so do the first n of 8
 *   fv_copy_end()               ends a group of such copies
 *   fv_copy_wait(groups)        until all of this thread's have come, but for the latest so many groups (a constant, at most 4). After
 *                               FV_SYNC all see them
 *
 * Sixteen neighbouring threads are the sixteen virtual lanes of cpu/simd.h: thread t is lane t % 16. */
#ifndef FV_CUDA_DEVICE_H
#define FV_CUDA_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif
#include "core/ops.h"
#include "cuda/cuda.h"
#include "cuda/runtime.h"
#ifdef __cplusplus
}
#endif

#include <stdint.h>

#ifdef __CUDACC__

#define FV_DEVICE static __device__ __forceinline__
#define FV_GLOBAL(name, type) static __global__ void name(type j)
#define FV_GLOBAL_OF(name, type, threads, blocks) static __global__ void __launch_bounds__(threads, blocks) name(type j)
#define FV_KERNEL(name) ((const void *)(name))
#define FV_THREAD ((int)threadIdx.x)
#define FV_BLOCK ((int64_t)blockIdx.x)
#define FV_SYNC() __syncthreads()
#define FV_BLOCK_SHARED __shared__
extern __shared__ __align__(16) double fv_shared_memory_[]; /* aligned for everything that lies in it */
#define FV_SHARED(type) ((type *)fv_shared_memory_)

FV_DEVICE float fv_across(float x, int d) { return __shfl_xor_sync(0xffffffffu, x, d); }
FV_DEVICE double fv_across_double(double x, int d) { return __shfl_xor_sync(0xffffffffu, x, d); }

FV_DEVICE void fv_copy_16(void *to, const void *from, int n) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(n) : "memory");
}
FV_DEVICE void fv_copy_8(void *to, const void *from, int n) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(n) : "memory");
}
FV_DEVICE void fv_copy_end(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
FV_DEVICE void fv_copy_wait(const int groups) {
    if (groups == 0) asm volatile("cp.async.wait_group 0;" ::: "memory");
    if (groups == 1) asm volatile("cp.async.wait_group 1;" ::: "memory");
    if (groups == 2) asm volatile("cp.async.wait_group 2;" ::: "memory");
    if (groups == 3) asm volatile("cp.async.wait_group 3;" ::: "memory");
    if (groups == 4) asm volatile("cp.async.wait_group 4;" ::: "memory");
}

#elif !defined(FV_KERNEL)
#error "kernels are for nvcc, or for a compiler that is told what these words are (tests/cuda/CMakeLists.txt)"
#endif

#define FV_LAUNCH(kernel, blocks, threads, bytes, j)                                                                   \
    do {                                                                                                               \
        static fv_kernel fv_kernel_;                                                                                   \
        fv_kernel_.name = #kernel;                                                                                     \
        fv_kernel_.function = FV_KERNEL(kernel);                                                                       \
        fv_cuda_launch(&fv_kernel_, (blocks), (threads), (bytes), &(j), sizeof(j));                                    \
    } while (0)
#ifndef FV_LAUNCH_WIDE
#define FV_LAUNCH_WIDE FV_LAUNCH
#endif

/* nvcc takes kernels for C++: what the table points to has C's names. */
#ifdef __cplusplus
#define FV_TABLE_OP extern "C"
#else
#define FV_TABLE_OP
#endif

#define FV_INLINE FV_DEVICE
#include "cuda/lane.h"
#include "core/lane_math.h"

enum { FV_WARP = 32 }; /* neighbouring threads that exchange together */

/* The sum over sixteen lanes in the tree of cpu/simd.h, l + (l + 8), then + 4, + 2, + 1: every lane gets it, as a + b is b + a. */
FV_DEVICE float fv_hsum(float x) {
    for (int d = 8; d >= 1; d /= 2) x += fv_across(x, d);
    return x;
}
FV_DEVICE double fv_dsum(double x) {
    for (int d = 8; d >= 1; d /= 2) x += fv_across_double(x, d);
    return x;
}
FV_DEVICE float fv_hmax(float x) {
    for (int d = 8; d >= 1; d /= 2) {
        float y = fv_across(x, d);
        x = x > y ? x : y;
    }
    return x;
}

/* Element i of an f32 or bf16 view. */
FV_DEVICE float fv_load_view(const fv_view *v, int64_t i) {
    return v->dtype == FV_F32 ? ((const float *)v->data)[i] : fv_widen_bf16(((const uint16_t *)v->data)[i]);
}

/* Four numbers that move at once. */
typedef struct {
    float v[4];
} __attribute__((aligned(16))) fv_four;

/* Numbers i .. i + 3 of a list of n, i a multiple of 4; `beyond` for those that it has not. */
FV_DEVICE fv_four fv_four_at(const float *list, int64_t i, int64_t n, float beyond) {
    if (i + 4 <= n && (uintptr_t)list % 16 == 0) return *(const fv_four *)(list + i);
    fv_four x;
    for (int d = 0; d < 4; d++) x.v[d] = i + d < n ? list[i + d] : beyond;
    return x;
}
FV_DEVICE void fv_put_four(float *list, int64_t i, int64_t n, fv_four x) {
    if (i + 4 <= n && (uintptr_t)list % 16 == 0) *(fv_four *)(list + i) = x;
    else
        for (int d = 0; d < 4; d++)
            if (i + d < n) list[i + d] = x.v[d];
}

/* Two of them. */
typedef struct {
    float v[2];
} __attribute__((aligned(8))) fv_two;

/* Blocks of `size` that hold n. */
static inline int64_t fv_blocks_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

#endif
