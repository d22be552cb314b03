/* Matrix products in bf16 (precision: bf16): the operands of cpu/kernels/linear.c, rounded to bf16 as they are packed, in pairs along k. A step is the processor's dot product of two pairs, which
 * adds to an f32. So a row of C still depends on its row of A alone; but the bits are those of processors that have this instruction. */
#include "cpu/kernels/bf16/pairs.h"

#define FV_STEP(a, b, sum) fv_dot_pairs(a, b, sum)
enum { FV_STEP_NUMBERS = 2 };
#define FV_SCALE fv_cpu_avx512_scale
#define FV_STEP_WIDENS 0
#include "cpu/kernels/product.h"

/* out[steps, rows <= 16], steps `apart` in 32 bits = rows of in[rows, numbers], `stride` apart, turned; a pair beyond `numbers` is zero. */
FV_INLINE void turn_pairs(float *out, int64_t apart, const void *in, int64_t stride, int rows, int64_t numbers, int64_t steps, bool from_bf16) {
    for (int64_t j = 0; j < steps; j += FV_LANES) {
        int left = (int)smaller(FV_PAIR_NUMBERS, numbers - 2 * j);
        fv_x16 block[FV_LANES];
        for (int r = 0; r < FV_LANES; r++) {
            const void *at = number_at(in, r * stride + 2 * j, from_bf16);
            block[r] = r >= rows ? fv_zero() : from_bf16 ? fv_load_pairs_bf16(at, left) : fv_load_pairs_f32(at, left);
        }
        fv_transpose(block);
        for (int i = 0; i < FV_LANES && j + i < steps; i++) fv_store(out + (j + i) * apart, block[i]);
    }
}

/* out[steps, cols <= 16], steps `apart` in 32 bits = two rows each of in[numbers, cols], `stride` apart. */
FV_INLINE void join_rows(float *out, int64_t apart, const void *in, int64_t stride, int cols, int64_t numbers, int64_t steps, bool from_bf16) {
    for (int64_t j = 0; j < steps; j++) {
        fv_x16 row[2];
        for (int h = 0; h < 2; h++) {
            const void *at = number_at(in, (2 * j + h) * stride, from_bf16);
            row[h] = 2 * j + h >= numbers ? fv_zero() : from_bf16 ? fv_load_bf16_n(at, cols) : fv_load_n(at, cols);
        }
        fv_store(out + j * apart, fv_join_pairs(row[0], row[1]));
    }
}

static void pack_rows(float *out, const product *p, int64_t first, int64_t rows) {
    const float *a = p->a + first * p->a_row;
    int64_t numbers = p->depth - 2 * p->first;
    if (p->a_row == 1) join_rows(out, rows, a, p->a_col, (int)rows, numbers, p->k, false);
    else turn_pairs(out, rows, a, p->a_row, (int)rows, numbers, p->k, false);
}

static void pack_panel(const packing *p, int64_t col) {
    float *out = p->out;
    int64_t from = 2 * p->first, numbers = p->depth - from;
    for (int half = 0; half < HALVES; half++, col += FV_LANES, out += FV_LANES) {
        int64_t left = p->n - col;
        int cols = left >= FV_LANES ? FV_LANES : left > 0 ? (int)left : 0;
        const void *in = number_at(p->in, p->transposed ? (cols ? col : 0) * p->stride + from : from * p->stride + (cols ? col : 0), p->from_bf16);
        if (p->transposed && p->from_bf16) turn_pairs(out, FV_PANEL, in, p->stride, cols, numbers, p->k, true);
        else if (p->transposed) turn_pairs(out, FV_PANEL, in, p->stride, cols, numbers, p->k, false);
        else if (p->from_bf16) join_rows(out, FV_PANEL, in, p->stride, cols, numbers, p->k, true);
        else join_rows(out, FV_PANEL, in, p->stride, cols, numbers, p->k, false);
    }
}

size_t FV_KERNEL(linear_packed_bytes)(fv_view w) { return (size_t)(pieces_of(fv_rows(w), FV_PANEL) * FV_PANEL * steps_of(fv_cols(w))) * sizeof(float); }

void FV_KERNEL(linear_pack)(const fv_exec *x, void *packed, fv_view w) {
    packing p = weight_packing(w);
    p.out = packed;
    fv_parallel(x->pool, pieces_of(p.n, FV_PANEL), pieces_of(PIECE_WORK / 8, p.k * FV_PANEL), pack_panels, &p);
}

/* The bias has no product: its gradient is the f32 table's. */
static void back_weight(const fv_exec *x, fv_view dw, fv_view dbias, fv_view dy, fv_view in) {
    if (dbias.data) fv_cpu_avx512_linear_back(x, fv_none, fv_none, dbias, dy, fv_none, fv_none, NULL);
    if (!dw.data) return;
    int64_t rows = fv_rows(dy), n = fv_cols(dy), k = fv_cols(in);
    product p = {.m = n, .n = k, .k = steps_of(rows), .depth = rows, .a = fv_f32(dy), .a_row = 1, .a_col = n, .c = fv_f32(dw)};
    multiply(x, p, &(packing){.in = in.data, .k = p.k, .depth = rows, .n = k, .stride = k});
}
