/* Linear operations of the bf16 table: weights and inputs rounded to bf16, sums in f32 on the tensor cores (cuda/products.h). Activations and
 * gradients stay f32 in memory. Weights are rounded once, by linear_pack; inputs before each product, into scratch.
 *   forward       y[r, n]  = bias[n] + sum_k  x[r, k]  w[n, k]
 *   back          dx[r, k] +=         sum_n dy[r, n]  w[n, k]     the same packed w, turned
 *                 dw[n, k] +=         sum_r dy[r, n] in[r, k]     both turned */
#include "cuda/kernels/bf16.h"

enum { THREADS = 256, PIECE_NUMBERS = 8 };

typedef struct {
    const void *in; /* [rows, cols], f32 or bf16 */
    bool bf16;
    int64_t rows, cols, rows_there; /* rows_there: in blocks, with those that are zeros */
    fv_blocks out;
} packing;

FV_DEVICE uint32_t packed_number(const packing *j, int64_t r, int64_t c) {
    if (r >= j->rows || c >= j->cols) return 0;
    int64_t at = r * j->cols + c;
    return j->bf16 ? ((const uint16_t *)j->in)[at] : fv_round_bf16(((const float *)j->in)[at]);
}

/* A thread makes a piece of 8 numbers. */
FV_GLOBAL(pack_pieces, packing) {
    int64_t pieces = (j.cols + BLOCK_SIDE - 1) / BLOCK_SIDE * (BLOCK_SIDE / PIECE_NUMBERS), e = FV_BLOCK * THREADS + FV_THREAD;
    int64_t r = e / pieces, c = e % pieces * PIECE_NUMBERS;
    if (r >= j.rows_there) return;
    fv_piece out;
#pragma unroll
    for (int i = 0; i < 4; i++) out.v[i] = packed_number(&j, r, c + 2 * i) | packed_number(&j, r, c + 2 * i + 1) << 16;
    char *block = j.out.data + r / BLOCK_SIDE * j.out.row_step + c / BLOCK_SIDE * j.out.col_step;
    *(fv_piece *)(block + fv_block_byte((int)(r % BLOCK_SIDE), (int)(c % BLOCK_SIDE))) = out;
}

static void pack(fv_blocks out, fv_view in, int64_t rows_there) {
    packing j = {0};
    j.in = in.data, j.bf16 = in.dtype == FV_BF16, j.rows = fv_rows(in), j.cols = fv_cols(in), j.rows_there = rows_there, j.out = out;
    int64_t pieces = rows_there * fv_blocks_of(j.cols, BLOCK_SIDE) * (BLOCK_SIDE / PIECE_NUMBERS);
    FV_LAUNCH(pack_pieces, fv_blocks_of(pieces, THREADS), THREADS, 0, j);
}

FV_TABLE_OP fv_blocks fv_weight_blocks(const void *packed, int64_t cols) {
    fv_blocks b = {(char *)(uintptr_t)packed, fv_blocks_of(cols, BLOCK_SIDE) * BLOCK_BYTES, BLOCK_BYTES};
    return b;
}

FV_TABLE_OP fv_blocks fv_input_blocks(const fv_exec *x, fv_view in, int64_t rows) {
    fv_blocks b = {NULL, BLOCK_BYTES, rows * BLOCK_ROW_BYTES};
    b.data = (char *)fv_arena_numbers(x->scratch, (size_t)(fv_blocks_of(fv_cols(in), BLOCK_SIDE) * b.col_step));
    pack(b, in, rows);
    return b;
}

FV_TABLE_OP size_t fv_cuda_bf16_linear_packed_bytes(fv_view w) {
    return (size_t)(fv_blocks_of(fv_rows(w), BLOCK_SIDE) * fv_blocks_of(fv_cols(w), BLOCK_SIDE) * BLOCK_BYTES);
}

FV_TABLE_OP void fv_cuda_bf16_linear_pack(const fv_exec *x, void *packed, fv_view w) {
    (void)x;
    fv_cuda_begin("linear_pack", w, fv_none);
    pack(fv_weight_blocks(packed, fv_cols(w)), w, fv_whole_rows(fv_rows(w)));
}

FV_TABLE_OP void fv_cuda_bf16_linear(const fv_exec *x, const fv_linear_map *maps, int count, fv_view in) {
    fv_cuda_begin("linear", in, maps[0].w);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    fv_product p[FV_MAPS_MOST] = {0};
    fv_blocks b = fv_input_blocks(x, in, fv_token_rows(fv_rows(in)));
    for (int i = 0; i < count; i++) {
        p[i].outputs = fv_rows(maps[i].w), p[i].tokens = fv_rows(in), p[i].k = fv_cols(in);
        p[i].a = fv_weight_blocks(maps[i].packed, p[i].k), p[i].b = b;
        p[i].y = fv_f32(maps[i].y), p[i].fresh = !maps[i].adds, p[i].bias = maps[i].bias, p[i].scale = maps[i].scale;
    }
    fv_multiply(p, count);
    fv_arena_release(x->scratch, mark);
}

/* A weight that nobody has packed: of Muon, an adapter's. */
static const void *packed_here(const fv_exec *x, fv_view w) {
    void *packed = fv_arena_numbers(x->scratch, fv_cuda_bf16_linear_packed_bytes(w));
    fv_cuda_bf16_linear_pack(x, packed, w);
    return packed;
}

/* dy's blocks serve both products: upright they are the tokens of one, turned the other's. */
FV_TABLE_OP void fv_cuda_bf16_linear_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view in, fv_view w, const void *packed) {
    if (dbias.data != NULL) fv_cuda_linear_back(x, fv_none, fv_none, dbias, dy, fv_none, fv_none, NULL); /* sums of columns, in f32 */
    if (dx.data == NULL && dw.data == NULL) return;
    fv_cuda_begin("linear_back", dy, dx.data != NULL ? w : in);
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_whole_rows(fv_rows(dy));
    fv_product p = {0};
    p.a_turned = true, p.b = fv_input_blocks(x, dy, rows);
    if (dx.data != NULL) {
        p.outputs = fv_cols(w), p.tokens = fv_rows(dy), p.k = fv_rows(w);
        p.a = fv_weight_blocks(packed != NULL ? packed : packed_here(x, w), p.outputs), p.y = fv_f32(dx);
        fv_multiply(&p, 1);
    }
    if (dw.data != NULL) {
        p.outputs = fv_cols(in), p.tokens = fv_cols(dy), p.k = fv_rows(dy);
        p.a = fv_input_blocks(x, in, rows), p.b_turned = true, p.y = fv_f32(dw);
        fv_multiply(&p, 1);
    }
    fv_arena_release(x->scratch, mark);
}
