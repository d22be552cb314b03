/* The example of docs/adding.md: what stands in core/ops.h, and what comes of it, once an operation is part of the tree. */
#ifndef FV_TESTS_EXAMPLES_UNIT_H
#define FV_TESTS_EXAMPLES_UNIT_H

#include "core/ops.h"

typedef struct {
    void (*unit)(const fv_exec *x, fv_view y, fv_view inv, fv_view in);
    void (*unit_back)(const fv_exec *x, fv_view dx, fv_view dy, fv_view y, fv_view inv); /* dx += */
} example_ops;
const example_ops *example_ops_of(const fv_ops *ops); /* of the same instruction set */

#define EXAMPLE_DECLARE(isa)                                                                                           \
    void fv_cpu_##isa##_unit(const fv_exec *x, fv_view y, fv_view inv, fv_view in);                                    \
    void fv_cpu_##isa##_unit_back(const fv_exec *x, fv_view dx, fv_view dy, fv_view y, fv_view inv);
EXAMPLE_DECLARE(scalar)
EXAMPLE_DECLARE(avx2)
EXAMPLE_DECLARE(avx512)

/* Rows of x scaled to length 1. */
struct fv_pass;
struct fv_var;
struct fv_var *fv_unit(struct fv_pass *p, struct fv_var *x);

#endif
