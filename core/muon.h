/* Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon): momentum whose update is made orthogonal, for the matrices inside of blocks. Written
 * over the table of operations, so every back end has it with its own exactness. */
#ifndef FV_CORE_MUON_H
#define FV_CORE_MUON_H

#include "core/ops.h"

typedef struct {
    float lr, weight_decay; /* decoupled, as AdamW's */
    float grad_scale;       /* multiplies the gradient first (clipping) */
} fv_muon;

/* One step of master [n, k] (f32) with momentum m and gradient grad, both like it:
 *     m = 0.95 m + 0.05 g;   u = orthogonal(0.95 m + 0.05 g);   w = (1 - lr wd) w - 0.2 sqrt(max(n, k)) lr u
 * The factor gives an update the size that AdamW's has, so that one learning rate serves both (Liu et al. 2025, Muon is Scalable for LLM Training,
 * https://arxiv.org/abs/2502.16982, eq. 4). */
void fv_muon_step(const fv_ops *ops, const fv_exec *x, fv_view master, fv_view m, fv_view grad, const fv_muon *how);

/* g [n, k] becomes about the nearest matrix with orthonormal rows or columns, singular values within 0.68 .. 1.13: five Newton-Schulz iterations with
 * Jordan's coefficients. A zero matrix stays zero. */
void fv_muon_orthogonalize(const fv_ops *ops, const fv_exec *x, fv_view g);

#endif
