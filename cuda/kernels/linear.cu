/* Matrix products in f32. One driver, C[m, n] (+)= A[m, k] B[k, n], serves the forward and both ways back, as on the CPU:
 *   forward       y[r, n]  = bias[n] + sum_k  x[r, k]  w[n, k]     A = x,     B = w^T, packed beforehand by linear_pack
 *   back_input    dx[r, k] +=         sum_n dy[r, n]  w[n, k]      A = dy,    B = w as it lies
 *   back_weight   dw[n, k] +=         sum_r dy[r, n] in[r, k]      A = dy^T,  B = in as it lies
 *
 * Exactness: an element of C is one chain of fused multiply-adds over k ascending, in one thread's register, for every tile. So tiles are
 * chosen by speed alone, no sum is split among blocks, and the bits are the CPU's.
 *
 * A block of 256 threads makes [16 * rows a thread, 64] of C. It goes through k in steps: what the next step needs of A and B is on
 * its way from the card's memory into registers while this step's is multiplied from the block's. A path over tensor cores has its place
 * in `multiply`, beside these tiles: it must then serve every number of rows, since its chains are other ones. */
#include "cuda/device.h"

enum { THREADS = 256, SIDE = 16, COLS_A_THREAD = 4, COLS = SIDE * COLS_A_THREAD };

/* A product and how it lies. */
typedef struct {
    int64_t m, n, k;
    const float *a; /* element (i, l) at a[i * a_row + l * a_col]; one of the two is 1 */
    int64_t a_row, a_col;
    const void *b; /* element (l, c) at b[c / 64 * b_panel + l * b_step + c % 64], f32 or bf16 */
    int64_t b_panel, b_step;
    bool bf16;
    float *c; /* [m, n] */
    bool fresh; /* C starts from the bias (zero if NULL), not from what is there */
    const float *bias;
} product;

/* Four numbers that move at once. */
typedef struct {
    float v[4];
} __attribute__((aligned(16))) four;

FV_DEVICE float load_b(const product *p, int64_t l, int64_t c) {
    int64_t at = c / COLS * p->b_panel + l * p->b_step + c % COLS;
    return p->bf16 ? fv_widen_bf16(((const uint16_t *)p->b)[at]) : ((const float *)p->b)[at];
}

/* Element e of the [step, 16 * rows] part of A that begins at (row, from): neighbouring threads read neighbouring numbers. */
FV_DEVICE void place_of_a(const product *p, int e, int rows, int step, int *i, int *l) {
    if (p->a_col == 1) *l = e % step, *i = e / step;
    else *i = e % (SIDE * rows), *l = e / (SIDE * rows);
}

/* From the card's memory into this thread's registers, zeros beyond the edges. */
FV_DEVICE void fetch(const product *p, float *a, float *b, int64_t row, int64_t col, int64_t from, const int rows, const int step) {
#pragma unroll
    for (int e = 0; e < SIDE * rows * step / THREADS; e++) {
        int i, l;
        place_of_a(p, FV_THREAD + e * THREADS, rows, step, &i, &l);
        bool inside = row + i < p->m && from + l < p->k;
        a[e] = inside ? p->a[(row + i) * p->a_row + (from + l) * p->a_col] : 0;
    }
#pragma unroll
    for (int e = 0; e < COLS * step / THREADS; e++) {
        int at = FV_THREAD + e * THREADS, c = at % COLS, l = at / COLS;
        b[e] = col + c < p->n && from + l < p->k ? load_b(p, from + l, col + c) : 0;
    }
}

/* From registers into the block's memory: a [step][16 * rows + 4], b [step][64]. The 4 spread a column of A over the banks. */
FV_DEVICE void put(const product *p, float *block_a, float *block_b, const float *a, const float *b, const int rows, const int step) {
#pragma unroll
    for (int e = 0; e < SIDE * rows * step / THREADS; e++) {
        int i, l;
        place_of_a(p, FV_THREAD + e * THREADS, rows, step, &i, &l);
        block_a[l * (SIDE * rows + 4) + i] = a[e];
    }
#pragma unroll
    for (int e = 0; e < COLS * step / THREADS; e++) block_b[FV_THREAD + e * THREADS] = b[e];
}

/* sum[rows][4] += one l of the block's A and B. */
FV_DEVICE void multiply_one(float *sum, const float *block_a, const float *block_b, int l, const int rows) {
    const float *a = block_a + l * (SIDE * rows + 4) + FV_THREAD / SIDE * rows;
    four b = *(const four *)(block_b + l * COLS + FV_THREAD % SIDE * COLS_A_THREAD);
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int c = 0; c < COLS_A_THREAD; c++) sum[i * COLS_A_THREAD + c] = fv_fma(a[i], b.v[c], sum[i * COLS_A_THREAD + c]);
}

/* The chains' start, and their end. */
FV_DEVICE void load_sums(const product *p, float *sum, int64_t row, int64_t col, const int rows) {
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int c = 0; c < COLS_A_THREAD; c++) {
            bool inside = row + i < p->m && col + c < p->n;
            float start = 0;
            if (inside && !p->fresh) start = p->c[(row + i) * p->n + col + c];
            if (inside && p->fresh && p->bias != NULL) start = p->bias[col + c];
            sum[i * COLS_A_THREAD + c] = start;
        }
}
FV_DEVICE void store_sums(const product *p, const float *sum, int64_t row, int64_t col, const int rows) {
#pragma unroll
    for (int i = 0; i < rows; i++)
#pragma unroll
        for (int c = 0; c < COLS_A_THREAD; c++)
            if (row + i < p->m && col + c < p->n) p->c[(row + i) * p->n + col + c] = sum[i * COLS_A_THREAD + c];
}

/* `rows` (of a thread: 1, 4 or 8) and `step` are constants where this is inlined, so that arrays are registers. Blocks that share their columns of B
 * are neighbours. Past the last l nothing is added: adding 0 would make a -0 a 0. */
FV_DEVICE void tile(const product *p, float *block_a, float *block_b, const int rows, const int step) {
    float a[8], b[16], sum[8 * COLS_A_THREAD];
    int64_t row_tiles = (p->m + SIDE * rows - 1) / (SIDE * rows);
    int64_t row = FV_BLOCK % row_tiles * SIDE * rows, col = FV_BLOCK / row_tiles * COLS;
    int64_t my_row = row + FV_THREAD / SIDE * rows, my_col = col + FV_THREAD % SIDE * COLS_A_THREAD;
    load_sums(p, sum, my_row, my_col, rows);
    fetch(p, a, b, row, col, 0, rows, step);
    for (int64_t from = 0; from < p->k; from += step) {
        FV_SYNC(); /* everybody is done with the step before */
        put(p, block_a, block_b, a, b, rows, step);
        FV_SYNC();
        if (from + step < p->k) fetch(p, a, b, row, col, from + step, rows, step);
        if (from + step <= p->k) {
#pragma unroll 16
            for (int l = 0; l < step; l++) multiply_one(sum, block_a, block_b, l, rows);
        } else {
            for (int l = 0; l < (int)(p->k - from); l++) multiply_one(sum, block_a, block_b, l, rows);
        }
    }
    store_sums(p, sum, my_row, my_col, rows);
}

/* The three tiles: rows of a thread, and the step. Few rows wait for B's next part, so it is the larger. */
#define TILE_DEFINE(name, rows, step)                                                                                  \
    FV_GLOBAL(name, product) {                                                                                         \
        FV_BLOCK_SHARED four block_a[(step) * (SIDE * (rows) + 4) / 4], block_b[(step) * COLS / 4];                    \
        tile(&j, (float *)block_a, (float *)block_b, rows, step);                                                      \
    }
TILE_DEFINE(tile_high, 8, 16)
TILE_DEFINE(tile_middle, 4, 16)
TILE_DEFINE(tile_low, 1, 64)

static int64_t tiles_of(const product *p, int64_t rows) { return fv_blocks_of(p->m, SIDE * rows) * fv_blocks_of(p->n, COLS); }

static void multiply(product j) {
    if (j.k == 0 && !j.fresh) return;
    if (j.m <= SIDE) FV_LAUNCH(tile_low, tiles_of(&j, 1), THREADS, 0, j);
    else if (j.m <= 4 * SIDE) FV_LAUNCH(tile_middle, tiles_of(&j, 4), THREADS, 0, j);
    else FV_LAUNCH(tile_high, tiles_of(&j, 8), THREADS, 0, j);
}

/* ---- packing: panels of 64 outputs, each [k, 64] in the weight's own type, zeros beyond the last output ------------------- */

typedef struct {
    void *out;
    const void *in; /* [n, k] */
    int64_t n, k;
    size_t size;    /* of an element: 4 or 2 */
} packing;

enum { PACK_K = 32 };

/* A block turns [64 outputs, 32 of k] around, through its own memory so that both sides are read and written in rows. */
FV_GLOBAL(pack_tile, packing) {
    FV_BLOCK_SHARED uint32_t part[COLS][PACK_K + 1];
    int64_t k_tiles = (j.k + PACK_K - 1) / PACK_K, panel = FV_BLOCK / k_tiles, from = FV_BLOCK % k_tiles * PACK_K;
    for (int e = FV_THREAD; e < COLS * PACK_K; e += THREADS) {
        int64_t row = panel * COLS + e / PACK_K, at = row * j.k + from + e % PACK_K;
        bool inside = row < j.n && from + e % PACK_K < j.k;
        part[e / PACK_K][e % PACK_K] = !inside ? 0 : j.size == 4 ? ((const uint32_t *)j.in)[at] : ((const uint16_t *)j.in)[at];
    }
    FV_SYNC();
    for (int e = FV_THREAD; e < COLS * PACK_K; e += THREADS) {
        int64_t l = from + e / COLS, at = (panel * j.k + l) * COLS + e % COLS;
        if (l >= j.k) continue;
        uint32_t x = part[e % COLS][e / COLS];
        if (j.size == 4) ((uint32_t *)j.out)[at] = x;
        else ((uint16_t *)j.out)[at] = (uint16_t)x;
    }
}

FV_TABLE_OP size_t fv_cuda_linear_packed_bytes(fv_view w) {
    return (size_t)(fv_blocks_of(fv_rows(w), COLS) * COLS * fv_cols(w)) * fv_dtype_size(w.dtype);
}

FV_TABLE_OP void fv_cuda_linear_pack(const fv_exec *x, void *packed, fv_view w) {
    (void)x;
    fv_cuda_begin("linear_pack", w, fv_none);
    packing j = {0};
    j.out = packed, j.in = w.data, j.n = fv_rows(w), j.k = fv_cols(w), j.size = fv_dtype_size(w.dtype);
    FV_LAUNCH(pack_tile, fv_blocks_of(j.n, COLS) * fv_blocks_of(j.k, PACK_K), THREADS, 0, j);
}

/* ---- the operations -------------------------------------------------------------------------------------------------------- */

FV_TABLE_OP void fv_cuda_linear(const fv_exec *x, fv_view y, fv_view in, fv_view w, const void *packed, fv_view bias) {
    (void)x;
    fv_cuda_begin("linear", in, w);
    product p = {0};
    p.m = fv_rows(in), p.n = fv_rows(w), p.k = fv_cols(w);
    p.a = fv_f32(in), p.a_row = p.k, p.a_col = 1;
    p.b = packed, p.b_panel = p.k * COLS, p.b_step = COLS, p.bf16 = w.dtype == FV_BF16;
    p.c = fv_f32(y), p.fresh = true, p.bias = fv_f32(bias);
    multiply(p);
}

FV_TABLE_OP void fv_cuda_linear_back_input(const fv_exec *x, fv_view dx, fv_view dy, fv_view w) {
    (void)x;
    fv_cuda_begin("linear_back_input", dy, w);
    product p = {0};
    p.m = fv_rows(dy), p.n = fv_cols(w), p.k = fv_rows(w);
    p.a = fv_f32(dy), p.a_row = p.k, p.a_col = 1;
    p.b = w.data, p.b_panel = COLS, p.b_step = p.n, p.bf16 = w.dtype == FV_BF16;
    p.c = fv_f32(dx);
    multiply(p);
}

typedef struct {
    float *sum; /* [cols] */
    const float *in;
    int64_t rows, cols;
} column_sums;

/* sum[c] += in[r, c], r ascending: a thread for each column. */
FV_GLOBAL(sum_columns, column_sums) {
    int64_t c = FV_BLOCK * THREADS + FV_THREAD;
    if (c >= j.cols) return;
    float sum = j.sum[c];
    for (int64_t r = 0; r < j.rows; r++) sum = fv_add(sum, j.in[r * j.cols + c]);
    j.sum[c] = sum;
}

FV_TABLE_OP void fv_cuda_linear_back_weight(const fv_exec *x, fv_view dw, fv_view dbias, fv_view dy, fv_view in) {
    (void)x;
    fv_cuda_begin("linear_back_weight", dy, in);
    if (dbias.data != NULL) {
        column_sums j = {0};
        j.sum = fv_f32(dbias), j.in = fv_f32(dy), j.rows = fv_rows(dy), j.cols = fv_cols(dy);
        FV_LAUNCH(sum_columns, fv_blocks_of(j.cols, THREADS), THREADS, 0, j);
    }
    if (dw.data == NULL) return;
    product p = {0};
    p.m = fv_cols(dy), p.n = fv_cols(in), p.k = fv_rows(dy);
    p.a = fv_f32(dy), p.a_row = 1, p.a_col = p.m;
    p.b = in.data, p.b_panel = COLS, p.b_step = p.n;
    p.c = fv_f32(dw);
    multiply(p);
}
