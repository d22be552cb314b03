/* What cuda_measure's cases are made of: buffers of cheap numbers, on the host until a side is opened (tests/cuda/measure.c). */
#ifndef FV_TESTS_CUDA_MEASURE_H
#define FV_TESTS_CUDA_MEASURE_H

#include "cuda/cuda.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BUFFERS = 12 };

/* What a case works on: numbers, on either side, and what is the host's on both. */
typedef struct {
    fv_view v;
    bool host, out;
} buffer;

typedef struct {
    bool small;
    buffer b[BUFFERS];
    int count;
    bool paged;              /* buffers 7 and 8 are pages in f32 */
    int weight;              /* the buffer that is packed before the run; < 0: none */
    fv_attention plan;
    fv_sampling *how;
    int64_t told;            /* numbers that the operation tells the host */
    double flops, bytes;     /* of a call, for the rates */
} setup;

/* A case on one table. */
typedef struct {
    const fv_ops *ops;
    fv_exec x;
    fv_view v[BUFFERS];
    const void *packed;
    const setup *s;
    float *told;             /* [s->told] */
    void *pages[2];          /* keys and values in bf16, where the table has them so */
} side;

typedef struct {
    const char *name;
    void (*make)(setup *s, int variant);
    void (*run)(const side *c, int variant);
    int variant;
} op_case;

static inline void fail(const char *text) {
    fprintf(stderr, "%s\n", text);
    exit(1);
}

/* ---- making cases ---- */

static inline int64_t size_of(const setup *s, int64_t n) { return s->small ? n / 32 + 3 : n; }

static inline buffer *next(setup *s, fv_view like) {
    if (s->count == BUFFERS) fail("a case has too many buffers");
    buffer *b = &s->b[s->count++];
    *b = (buffer){.v = like};
    if (!(b->v.data = malloc(fv_bytes(like) + 1))) fail("out of memory");
    return b;
}

/* Cheap numbers in [-1, 1): hundreds of millions are made. */
static inline float any(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}

static inline void numbers(setup *s, int64_t rows, int64_t cols) {
    buffer *b = next(s, fv_mat(NULL, rows, cols));
    uint64_t state = (uint64_t)s->count;
    for (int64_t i = 0; i < rows * cols; i++) fv_f32(b->v)[i] = any(&state);
}

/* Numbers that the operation writes, or adds to. */
static inline void results(setup *s, int64_t rows, int64_t cols) {
    numbers(s, rows, cols);
    s->b[s->count - 1].out = true;
}

static inline void halves(setup *s, int64_t rows, int64_t cols) {
    fv_view v = fv_mat(NULL, rows, cols);
    v.dtype = FV_BF16;
    buffer *b = next(s, v);
    uint64_t state = (uint64_t)s->count;
    for (int64_t i = 0; i < rows * cols; i++) {
        float x = any(&state);
        fv_from_f32((uint16_t *)b->v.data + i, FV_BF16, &x, 1);
    }
}

/* i32 of the host in [low, high). */
static inline int32_t *integers(setup *s, int64_t n, int32_t low, int32_t high) {
    buffer *b = next(s, fv_ints(NULL, n));
    b->host = true;
    uint64_t state = (uint64_t)s->count;
    for (int64_t i = 0; i < n; i++) {
        any(&state);
        fv_i32(b->v)[i] = low + (int32_t)((state >> 33) % (uint64_t)(high - low));
    }
    return fv_i32(b->v);
}

/* f32 of the host in [0.5, 1.5): temperatures and the like. */
static inline void settings(setup *s, int64_t rows, int64_t cols) {
    numbers(s, rows, cols);
    s->b[s->count - 1].host = true;
    float *x = fv_f32(s->b[s->count - 1].v);
    for (int64_t i = 0; i < rows * cols; i++) x[i] = 1 + x[i] / 2;
}

static inline double bytes_of(const setup *s) {
    double n = 0;
    for (int i = 0; i < s->count; i++)
        if (!s->b[i].host) n += (double)fv_bytes(s->b[i].v) * (s->b[i].out ? 2 : 1);
    return n;
}

#endif
