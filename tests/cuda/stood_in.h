/* What the tests of the CUDA back end's host side share: the table in f32 over the stand-in, and memory there. */
#ifndef FV_TESTS_CUDA_STOOD_IN_H
#define FV_TESTS_CUDA_STOOD_IN_H

#include "cuda/cuda.h"
#include "tests/cuda/stand_in.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const fv_ops *ops;

static inline int open_card(void **state) {
    (void)state;
    fv_error err;
    return fv_cuda_table(&ops, FV_PRECISION_F32, &err) == FV_OK ? 0 : -1;
}

static inline void *take(size_t bytes) {
    void *data;
    fv_error err;
    if (ops->alloc(&data, bytes, &err) != FV_OK) fail_msg("%s", err.text);
    assert_true(fv_stand_in_owns(data));
    return data;
}

static inline fv_view on_card(const void *data, int64_t n) {
    fv_view v = fv_vec((void *)(uintptr_t)data, n);
    v.device = FV_CUDA;
    return v;
}

#endif
