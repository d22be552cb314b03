/* Matrix products in f32. One driver (cpu/kernels/product.h), C[m, n] += A[m, k] B[k, n], serves the forward and both ways back:
 *   forward       y[r, n]  = bias[n] + sum_k  x[r, k]  w[n, k]     A = x,     B = w^T, packed beforehand by linear_pack, or block by block
 *   back          dx[r, k] +=         sum_n dy[r, n]  w[n, k]      A = dy,    B = w,   packed block by block
 *                 dw[n, k] +=         sum_r dy[r, n] in[r, k]      A = dy^T,  B = in,  as they lie where the cache allows
 * A's numbers of one k are packed side by side (where they already lie so, a copy would cost more than it gives: spread). A step is one fused multiply-add. */
#define FV_STEP(a, b, sum) fv_fma(a, b, sum)
enum { FV_STEP_NUMBERS = 1 };
#define FV_SCALE FV_KERNEL(scale)
#define FV_STEP_WIDENS 1 /* weights in bf16 are packed as they are, in pairs */
#include "core/ops.h"
#include "cpu/cpu.h"
#include "cpu/simd.h"

#include "cpu/kernels/product.h"

/* The source is contiguous one way. */
static void pack_rows(float *out, const product *p, int64_t first, int64_t rows) {
    const float *a = p->a + first * p->a_row;
    if (p->a_row == 1) {
        for (int64_t j = 0; j < p->k; j++) fv_store(out + j * rows, fv_load_n(a + j * p->a_col, (int)rows));
        return;
    }
    for (int64_t j = 0; j < p->k; j += FV_LANES) {
        int length = (int)smaller(FV_LANES, p->k - j);
        fv_x16 block[FV_LANES];
        for (int r = 0; r < FV_LANES; r++) block[r] = r < rows ? fv_load_n(a + r * p->a_row + j, length) : fv_zero();
        fv_transpose(block);
        for (int i = 0; i < length; i++) fv_store(out + (j + i) * rows, block[i]);
    }
}

/* out[k, 32], a half of 16 columns = rows of in[cols <= 16, k], `stride` apart, transposed; zeros beyond the last row. */
FV_INLINE void pack_half(float *out, const float *in, int64_t k, int64_t stride, int cols) {
    for (int64_t j = 0; j < k; j += FV_LANES) {
        int length = (int)smaller(FV_LANES, k - j);
        fv_x16 block[FV_LANES];
        for (int c = 0; c < FV_LANES; c++) block[c] = c < cols ? fv_load_n(in + c * stride + j, length) : fv_zero();
        fv_transpose(block);
        for (int i = 0; i < length; i++) fv_store(out + (j + i) * FV_PANEL, block[i]);
    }
}

/* The same from bf16, two k at once: in pairs they take half the shuffles, and whole cache lines of each row. What was not packed is asked for line by line, since so many
 * rows are more streams than the processor foresees. Widened: out[k, 32] in f32; else out[k / 2, 32] in pairs, whose upper one is 0 where an odd k ends. */
FV_INLINE void pack_half_pairs(float *out, const uint16_t *in, int64_t k, int64_t stride, int cols, bool widened) {
    for (int64_t j = 0; j < k; j += 2 * FV_LANES) {
        int length = (int)smaller(2 * FV_LANES, k - j);
        fv_x16 block[FV_LANES];
        for (int c = 0; c < FV_LANES; c++) {
            uint16_t rest[2 * FV_LANES] = {0};
            const uint16_t *row = in + (c < cols ? c * stride + j : 0);
            if (c < cols && length == 2 * FV_LANES) __builtin_prefetch(row + 2 * FV_LANES);
            else if (c < cols) row = memcpy(rest, row, (size_t)length * sizeof *rest);
            block[c] = c < cols ? fv_load_raw(row) : fv_zero();
        }
        fv_transpose(block);
        for (int i = 0; 2 * i < length; i++) {
            if (!widened) {
                fv_store(out + (j / 2 + i) * FV_PANEL, block[i]);
                continue;
            }
            fv_store(out + (j + 2 * i) * FV_PANEL, lower_of_pair(block[i]));
            if (2 * i + 1 < length) fv_store(out + (j + 2 * i + 1) * FV_PANEL, upper_of_pair(block[i]));
        }
    }
}

/* As f32. */
static void pack_panel(const packing *p, int64_t col) {
    float *out = p->out;
    for (int half = 0; half < HALVES; half++, col += FV_LANES, out += FV_LANES) {
        int64_t left = p->n - col;
        int cols = left >= FV_LANES ? FV_LANES : left > 0 ? (int)left : 0;
        if (p->transposed) {
            const void *in = number_at(p->in, (cols ? col : 0) * p->stride + p->first, p->from_bf16);
            if (p->from_bf16) pack_half_pairs(out, in, p->k, p->stride, cols, true);
            else pack_half(out, in, p->k, p->stride, cols);
            continue;
        }
        for (int64_t k = 0; k < p->k; k++) {
            int64_t at = (p->first + k) * p->stride + (cols ? col : 0);
            fv_store(out + k * FV_PANEL, p->from_bf16 ? fv_load_bf16_n((const uint16_t *)p->in + at, cols)
                                                      : fv_load_n((const float *)p->in + at, cols));
        }
    }
}

size_t FV_KERNEL(linear_packed_bytes)(fv_view w) {
    return (size_t)(pieces_of(fv_rows(w), FV_PANEL) * FV_PANEL * packed_rows(fv_cols(w), w.dtype == FV_BF16)) * sizeof(float);
}

static void pack_transposed(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const packing *p = context;
    for (int64_t half = begin * HALVES; half < end * HALVES; half++) {
        int64_t first = half * FV_LANES, left = p->n - first;
        float *out = p->out + half / HALVES * FV_PANEL * packed_rows(p->k, p->from_bf16) + half % HALVES * FV_LANES;
        const void *in = number_at(p->in, left > 0 ? first * p->k : 0, p->from_bf16);
        int cols = left > 0 ? (int)smaller(FV_LANES, left) : 0;
        if (p->from_bf16) pack_half_pairs(out, in, p->k, p->stride, cols, false);
        else pack_half(out, in, p->k, p->stride, cols);
    }
}

void FV_KERNEL(linear_pack)(const fv_exec *x, void *packed, fv_view w) {
    packing p = weight_packing(w);
    p.out = packed;
    fv_parallel(x->pool, pieces_of(p.n, FV_PANEL), pieces_of(PIECE_WORK / 8, p.k * FV_PANEL), pack_transposed, &p);
}

typedef struct {
    float *sum; /* [cols] */
    const float *in;
    int64_t rows, cols;
} column_sums;

/* Columns 16 * [begin, end): sum[c] += in[r, c], r ascending. */
static void sum_columns(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const column_sums *s = context;
    for (int64_t c = begin * FV_LANES; c < smaller(end * FV_LANES, s->cols); c += FV_LANES) {
        int cols = (int)smaller(FV_LANES, s->cols - c);
        fv_x16 sum = fv_load_n(s->sum + c, cols);
        for (int64_t r = 0; r < s->rows; r++) sum = fv_add(sum, fv_load_n(s->in + r * s->cols + c, cols));
        fv_store_n(s->sum + c, sum, cols);
    }
}

/* Whether rows of so many numbers can be read column by column as they lie: both operands of a weight's gradient have side by side what
 * a tile takes of one k, so packing would only copy. But lines that are a multiple of 2 KiB apart share few sets of the caches, and tiles that
 * are small take too little of a line each time: on AVX2, 6 x 16, products took a tenth longer so. */
static bool spread(int64_t cols) { return TILE_VECTORS == HALVES && cols % 512 != 0; }

static void back_weight(const fv_exec *x, fv_view dw, fv_view dbias, fv_view dy, fv_view in) {
    int64_t rows = fv_rows(dy), n = fv_cols(dy);
    if (dbias.data) {
        column_sums s = { fv_f32(dbias), fv_f32(dy), rows, n };
        fv_parallel(x->pool, pieces_of(n, FV_LANES), pieces_of(PIECE_WORK / 4, (rows + 1) * FV_LANES), sum_columns, &s);
    }
    if (!dw.data) return;
    int64_t k = fv_cols(in);
    product p = { .m = n, .n = k, .k = rows, .a = fv_f32(dy), .a_row = 1, .a_col = n, .a_lies = spread(n), .b = in.data, .b_panel = FV_PANEL,
                  .b_step = k, .c = fv_f32(dw) };
    if (spread(k) && k % FV_PANEL == 0) { /* a tile at the end of a narrower last panel would read beyond the last row */
        multiply(x, p, NULL);
        return;
    }
    multiply(x, p, &(packing){ .in = in.data, .k = rows, .n = k, .stride = k });
}
