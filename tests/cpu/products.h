/* What tests of matrix products share: contexts with one thread more each, and numbers of a key. */
#ifndef FV_TESTS_CPU_PRODUCTS_H
#define FV_TESTS_CPU_PRODUCTS_H

#include "core/ops.h"
#include "core/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 3 };

static inline void open_execs(fv_exec exec[MAX_THREADS]) {
    for (int t = 0; t < MAX_THREADS; t++) {
        exec[t].scratch = fv_arena_new(0);
        assert_int_equal(fv_pool_open(&exec[t].pool, t + 1, NULL), FV_OK);
    }
}

static inline void close_execs(fv_exec exec[MAX_THREADS]) {
    for (int t = 0; t < MAX_THREADS; t++) {
        fv_pool_close(exec[t].pool);
        fv_arena_free(exec[t].scratch);
    }
}

/* n numbers of a fixed key in [-1, 1), in memory of exactly their size, so that a sanitizer sees each step beyond. */
static inline float *numbers(uint64_t key, int64_t n) {
    float *x = malloc(sizeof(float) * (size_t)(n ? n : 1));
    for (int64_t i = 0; i < n; i++) x[i] = (float)(2.0 * fv_uniform_at(key, (uint64_t)i) - 1.0);
    return x;
}

static inline fv_view bf16_view(uint16_t *data, int64_t rows, int64_t cols) {
    return (fv_view){ .data = data, .dtype = FV_BF16, .rank = 2, .shape = { rows, cols } };
}

#endif
