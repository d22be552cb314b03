/* Rotary positions (Su et al. 2021, RoFormer) in the "rotate half" arrangement: pairs (i, i + half) of each head. A thread for each pair. */
#include "cuda/device.h"

enum { THREADS = 256 };

typedef struct {
    float *cos, *sin;
    const int32_t *position, *axis; /* [axes, rows], [half] */
    const float *inv_freq;
    float *io;
    int64_t rows, half;
    int heads;
    float direction;
} job;

/* The angle is the f32 product position * inv_freq, as transformers has it. */
FV_GLOBAL(table_numbers, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, r = i / j.half, k = i % j.half;
    if (r >= j.rows) return;
    float sin, cos, angle = fv_mul(fv_to_float(j.position[j.axis[k] * j.rows + r]), j.inv_freq[k]);
    fv_sincos(angle, &sin, &cos);
    j.cos[i] = cos;
    j.sin[i] = sin;
}

FV_TABLE_OP void fv_cuda_rotary_table(const fv_exec *x, fv_view cos, fv_view sin, fv_view position, fv_view inv_freq, fv_view axis) {
    fv_cuda_begin("rotary_table", cos, position);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    job j = {0};
    j.half = fv_elements(inv_freq);
    if (j.half == 0) return;
    j.cos = fv_f32(cos), j.sin = fv_f32(sin), j.rows = fv_elements(cos) / j.half;
    j.position = fv_cuda_ints(x, position), j.axis = fv_cuda_ints(x, axis);
    j.inv_freq = (const float *)fv_cuda_stage(x, inv_freq.data, fv_bytes(inv_freq));
    FV_LAUNCH(table_numbers, fv_blocks_of(j.rows * j.half, THREADS), THREADS, 0, j);
    fv_arena_release(x->scratch, mark);
}

/* (a, b) -> (a cos - b sin, b cos + a sin) */
FV_GLOBAL(turn_pairs, job) {
    int64_t i = FV_BLOCK * THREADS + FV_THREAD, k = i % j.half, head = i / j.half % j.heads, r = i / j.half / j.heads;
    if (r >= j.rows) return;
    float cos = j.cos[r * j.half + k], sin = fv_mul(j.direction, j.sin[r * j.half + k]);
    float *a = j.io + (r * j.heads + head) * 2 * j.half + k, first = a[0], second = a[j.half];
    a[0] = fv_fnma(second, sin, fv_mul(first, cos));
    a[j.half] = fv_fma(first, sin, fv_mul(second, cos));
}

FV_TABLE_OP void fv_cuda_rotary(const fv_exec *x, fv_view io, fv_view cos, fv_view sin, int heads, int direction) {
    (void)x;
    fv_cuda_begin("rotary", io, cos);
    job j = {0};
    j.cos = fv_f32(cos), j.sin = fv_f32(sin), j.io = fv_f32(io), j.rows = fv_rows(cos), j.half = fv_cols(cos), j.heads = heads;
    j.direction = (float)direction;
    FV_LAUNCH(turn_pairs, fv_blocks_of(j.rows * j.half * heads, THREADS), THREADS, 0, j);
}
