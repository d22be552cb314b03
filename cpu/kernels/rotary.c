/* Rotary positions (Su et al. 2021, RoFormer) in the "rotate half" arrangement: pairs (i, i + half) of each head. */
#include "cpu/cpu.h"
#include "cpu/kernels/rows.h"

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
static void table_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t r = begin; r < end; r++)
        for (int64_t i = 0; i < j->half; i += FV_LANES) {
            int n = fv_part(j->half - i);
            int32_t position[FV_LANES] = {0};
            for (int l = 0; l < n; l++) position[l] = j->position[j->axis[i + l] * j->rows + r];
            fv_x16 sin, cos, angle = fv_mul(fv_to_float(fv_iload(position)), fv_load_part(j->inv_freq + i, n));
            fv_sincos(angle, &sin, &cos);
            fv_store_part(j->cos + r * j->half + i, cos, n);
            fv_store_part(j->sin + r * j->half + i, sin, n);
        }
}

void FV_KERNEL(rotary_table)(const fv_exec *x, fv_view cos, fv_view sin, fv_view position, fv_view inv_freq, fv_view axis) {
    int64_t half = fv_elements(inv_freq);
    job j = {.cos = fv_f32(cos), .sin = fv_f32(sin), .position = fv_i32(position), .axis = fv_i32(axis), .inv_freq = fv_f32(inv_freq),
             .rows = half > 0 ? fv_elements(cos) / half : 0, .half = half};
    fv_parallel(x->pool, j.rows, fv_grain(16 * half), table_rows, &j);
}

/* (a, b) -> (a cos - b sin, b cos + a sin) */
static void rotary_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    fv_x16 direction = fv_set1(j->direction);
    for (int64_t r = begin; r < end; r++)
        for (int64_t i = 0; i < j->half; i += FV_LANES) {
            int n = fv_part(j->half - i);
            fv_x16 cos = fv_load_part(j->cos + r * j->half + i, n);
            fv_x16 sin = fv_mul(direction, fv_load_part(j->sin + r * j->half + i, n));
            float *a = j->io + r * j->heads * 2 * j->half + i;
            for (int h = 0; h < j->heads; h++, a += 2 * j->half) {
                fv_x16 first = fv_load_part(a, n), second = fv_load_part(a + j->half, n);
                fv_store_part(a, fv_fnma(second, sin, fv_mul(first, cos)), n);
                fv_store_part(a + j->half, fv_fma(first, sin, fv_mul(second, cos)), n);
            }
        }
}

void FV_KERNEL(rotary)(const fv_exec *x, fv_view io, fv_view cos, fv_view sin, int heads, int direction) {
    int64_t half = fv_cols(cos);
    job j = {.cos = fv_f32(cos), .sin = fv_f32(sin), .io = fv_f32(io), .rows = fv_rows(cos), .half = half, .heads = heads,
             .direction = (float)direction};
    fv_parallel(x->pool, j.rows, fv_grain(4 * half * heads), rotary_rows, &j);
}
