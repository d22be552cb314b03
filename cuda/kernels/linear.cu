/* Matrix products in f32. One driver, C[m, n] (+)= A[m, k] B[k, n], serves the forward and both ways back, as on the CPU:
 *   forward       y[r, n]  = bias[n] + sum_k  x[r, k]  w[n, k]     A = x,     B = w^T, packed beforehand by linear_pack
 *   back          dx[r, k] +=         sum_n dy[r, n]  w[n, k]      A = dy,    B = w as it lies
 *                 dw[n, k] +=         sum_r dy[r, n] in[r, k]      A = dy^T,  B = in as it lies
 *
 * Exactness: an element of C is one chain of fused multiply-adds over k ascending, in one thread's register, for every tile. So tiles are
 * chosen by speed alone, no sum is split among blocks, and the bits are the CPU's.
 *
 * A block makes a tile of C. It goes through k in steps: what the next steps need of A and B is being copied into the block's memory while
 * this step's is multiplied. Large tiles read the least; small ones keep more of the card busy where C is small, down to one warp for
 * sixteen columns, whose time is k times the latency of a fused multiply-add (docs/cuda.md has the figures). */
#include "cuda/kernels/columns.h"

enum { COLS = 64, QUAD = 4 };

/* A product and how it lies. */
typedef struct {
    int64_t m, n, k;
    const float *a; /* element (i, l) at a[i * a_row + l * a_col]; one of the two is 1 */
    int64_t a_row, a_col;
    const void *b; /* element (l, c) at b[c / 64 * b_panel + l * b_step + c % 64] */
    int64_t b_panel, b_step;
    bool bf16, bias_bf16; /* types of b and bias; else f32 */
    float *c; /* [m, n] */
    bool fresh; /* C starts from the bias (zero if NULL), not from what is there */
    const void *bias; /* [n] */
    bool a_quads, b_quads, c_quads; /* numbers of it may move four at a time: they lie at multiples of that */
} product;

/* ---- a tile: constants where this is inlined, so that arrays are registers ------------------------------------------------- */

typedef struct {
    int down, across; /* the threads that multiply: so many rows of so many */
    int rows, quads;  /* of C for each: rows, and quadruples of columns */
    int step, stages; /* of k at a time; steps in the block's memory at once */
    int threads;      /* of the block; its last `bringing` copy */
    int bringing;
    bool turned;      /* A lies [k, m] */
    bool half;        /* B is bf16 */
} shape;

FV_DEVICE int rows_of(shape s) { return s.down * s.rows; }
FV_DEVICE int cols_of(shape s) { return s.across * s.quads * QUAD; }
/* In the block's memory A is [rows][step + 4], or [step][rows] if turned; the 4 spread rows over the banks. */
FV_DEVICE int stride_of_a(shape s) { return s.turned ? rows_of(s) : s.step + QUAD; }
FV_DEVICE int size_of_a(shape s) { return s.turned ? s.step * rows_of(s) : rows_of(s) * (s.step + QUAD); }
FV_DEVICE int stage_of(shape s) { return size_of_a(s) + s.step * cols_of(s) / (s.half ? 2 : 1); }

/* Where in the tile the thread's row i and its quadruple q are: neighbouring threads have neighbours. */
FV_DEVICE int row_at(shape s, int i) {
    int together = s.rows < QUAD ? s.rows : QUAD;
    return i / together * s.down * together + FV_THREAD / s.across * together + i % together;
}
FV_DEVICE int col_at(shape s, int q) { return (q * s.across + FV_THREAD % s.across) * QUAD; }

FV_DEVICE int at_most(int64_t n, int most) { return n <= 0 ? 0 : n < most ? (int)n : most; }

/* What a thread brings of a matrix at each step: a quadruple of some lines, the same columns of each. */
typedef struct {
    const char *from;      /* its first, of the next step */
    int64_t apart, ahead;  /* bytes from one of its lines to the next; from a step to the next */
    int line, col;         /* its first line, its columns, in the tile's part of the matrix */
} share;

/* Lines of `wide` numbers, the first at (line, col) of a matrix whose lines are `stride` numbers of `size` bytes apart. */
FV_DEVICE share share_of(const void *matrix, int64_t line, int64_t col, int64_t stride, int size, int wide, const shape s) {
    int me = FV_THREAD - (s.threads - s.bringing);
    share x;
    x.line = me / (wide / QUAD), x.col = me % (wide / QUAD) * QUAD;
    x.from = (const char *)matrix + ((line + x.line) * stride + col + x.col) * size;
    x.apart = s.bringing / (wide / QUAD) * stride * size;
    x.ahead = 0;
    return x;
}

/* Into lines of `stride` numbers, all but those from line `lines` on; of the last quadruple of a line the first n, and zeros. */
FV_DEVICE void bring(share *x, void *to, int stride, int wide, int most, int lines, int n, bool quads, const int size, const shape s) {
    const int step = s.bringing / (wide / QUAD);
    char *put = (char *)to + (x->line * stride + x->col) * size;
    const char *from = x->from;
#pragma unroll
    for (int e = 0; e < most / step; e++, from += x->apart, put += step * stride * size) {
        if (x->line + e * step >= lines || n <= 0) continue;
        if (quads && size == 4) fv_copy_16(put, from, n * size);
        else if (quads) fv_copy_8(put, from, n * size);
        else
            for (int d = 0; d < QUAD; d++) {
                if (size == 4) ((float *)put)[d] = d < n ? ((const float *)from)[d] : 0;
                else ((uint16_t *)put)[d] = d < n ? ((const uint16_t *)from)[d] : 0;
            }
    }
    x->from += x->ahead;
}

/* Four numbers of a step's B. */
FV_DEVICE fv_four quad_of_b(const float *b, int at, const shape s) {
    if (!s.half) return *(const fv_four *)(b + at);
    fv_four x;
    const fv_i16 *pairs = (const fv_i16 *)((const uint16_t *)b + at); /* as fv_widen_bf16, two at once */
#pragma unroll
    for (int d = 0; d < 2; d++) {
        fv_i16 pair = pairs[d];
        x.v[2 * d] = fv_from_bits(fv_ishl(pair, 16));
        x.v[2 * d + 1] = fv_from_bits(fv_iand(pair, (fv_i16)0xffff0000u));
    }
    return x;
}

/* sum[rows][quads][4] += one l of the step's A (the thread's rows of it) and B. */
FV_DEVICE void multiply_one(float *sum, const float *a, const float *b, int l, const shape s) {
#pragma unroll
    for (int q = 0; q < s.quads; q++) {
        fv_four x = quad_of_b(b, l * cols_of(s) + col_at(s, q), s);
#pragma unroll
        for (int i = 0; i < s.rows; i++)
#pragma unroll
            for (int d = 0; d < QUAD; d++) sum[(i * s.quads + q) * QUAD + d] = fv_fma(a[i], x.v[d], sum[(i * s.quads + q) * QUAD + d]);
    }
}

/* The thread's rows of A at l. */
FV_DEVICE void rows_of_a(float *to, const float *a, int l, const shape s) {
#pragma unroll
    for (int i = 0; i < s.rows; i++) to[i] = s.turned ? a[l * stride_of_a(s) + row_at(s, i)] : a[row_at(s, i) * stride_of_a(s) + l];
}

/* A whole step, two of k at a time, as A's rows are read. */
FV_DEVICE void multiply_step(float *sum, const float *a, const float *b, const shape s) {
#pragma unroll
    for (int l = 0; l < s.step; l += 2) {
        float even[8], odd[8];
        if (s.turned) {
            rows_of_a(even, a, l, s);
            rows_of_a(odd, a, l + 1, s);
        } else {
#pragma unroll
            for (int i = 0; i < s.rows; i++) {
                fv_two x = *(const fv_two *)(a + row_at(s, i) * stride_of_a(s) + l);
                even[i] = x.v[0], odd[i] = x.v[1];
            }
        }
        multiply_one(sum, even, b, l, s);
        multiply_one(sum, odd, b, l + 1, s);
    }
}

/* What is left of k. Past the last l nothing is added: adding 0 would make a -0 a 0. */
FV_DEVICE void multiply_rest(float *sum, const float *a, const float *b, int left, const shape s) {
    for (int l = 0; l < left; l++) {
        float x[8];
        rows_of_a(x, a, l, s);
        multiply_one(sum, x, b, l, s);
    }
}

/* The chains' start, and their end. */
FV_DEVICE void load_sums(const product *p, float *sum, int64_t row, int64_t col, const shape s) {
#pragma unroll
    for (int i = 0; i < s.rows; i++)
#pragma unroll
        for (int q = 0; q < s.quads; q++)
#pragma unroll
            for (int d = 0; d < QUAD; d++) {
                int64_t r = row + row_at(s, i), c = col + col_at(s, q) + d;
                bool inside = r < p->m && c < p->n;
                float start = 0;
                if (inside && !p->fresh) start = p->c[r * p->n + c];
                if (inside && p->fresh && p->bias != NULL) start = p->bias_bf16 ? fv_widen_bf16(((const uint16_t *)p->bias)[c]) : ((const float *)p->bias)[c];
                sum[(i * s.quads + q) * QUAD + d] = start;
            }
}
FV_DEVICE void store_sums(const product *p, const float *sum, int64_t row, int64_t col, const shape s) {
#pragma unroll
    for (int i = 0; i < s.rows; i++)
#pragma unroll
        for (int q = 0; q < s.quads; q++) {
            int64_t r = row + row_at(s, i), c = col + col_at(s, q);
            if (r >= p->m) continue;
            float *to = p->c + r * p->n + c;
            const float *from = sum + (i * s.quads + q) * QUAD;
            fv_four x = {{from[0], from[1], from[2], from[3]}};
            if (p->c_quads && c < p->n) *(fv_four *)to = x;
            else
#pragma unroll
                for (int d = 0; d < QUAD; d++)
                    if (c + d < p->n) to[d] = from[d];
        }
}

/* What a thread brings: of A and of B. */
typedef struct {
    share a, b;
    int rows, cols; /* of A's rows that there are, of B's columns from this thread's on */
} shares;

FV_DEVICE shares shares_of(const product *p, int64_t row, int64_t col, const shape s) {
    const int size = s.half ? 2 : 4;
    shares x;
    if (s.turned) x.a = share_of(p->a, 0, row, p->a_col, 4, rows_of(s), s), x.a.ahead = s.step * p->a_col * 4;
    else x.a = share_of(p->a, row, 0, p->a_row, 4, s.step, s), x.a.ahead = s.step * 4;
    x.b = share_of(p->b, 0, 0, p->b_step, size, cols_of(s), s), x.b.ahead = s.step * p->b_step * size;
    int64_t c = col + x.b.col; /* B is in panels of 64 columns */
    x.b.from += (c / COLS * p->b_panel + c % COLS - x.b.col) * size;
    x.rows = at_most(p->m - row, rows_of(s));
    x.cols = at_most(p->n - c, QUAD);
    return x;
}

FV_DEVICE void bring_step(const product *p, float *shared, shares *x, int64_t step, const shape s) {
    const int size = s.half ? 2 : 4, size_a = size_of_a(s);
    int left = at_most(p->k - step * s.step, s.step);
    float *to = shared + (int)(step % s.stages) * stage_of(s);
    if (FV_THREAD >= s.threads - s.bringing && left > 0) {
        if (s.turned) bring(&x->a, to, stride_of_a(s), rows_of(s), s.step, left, at_most(x->rows - x->a.col, QUAD), p->a_quads, 4, s);
        else bring(&x->a, to, stride_of_a(s), s.step, rows_of(s), x->rows, at_most(left - x->a.col, QUAD), p->a_quads, 4, s);
        bring(&x->b, to + size_a, cols_of(s), cols_of(s), s.step, left, x->cols, p->b_quads, size, s);
    }
    fv_copy_end(); /* of none, too, so that the latest groups are always the steps to come */
}

/* Blocks that share their columns of B are neighbours. */
FV_DEVICE void tile(const product *p, float *shared, const shape s) {
    float sum[64];
    int64_t row_tiles = (p->m + rows_of(s) - 1) / rows_of(s);
    int64_t row = FV_BLOCK % row_tiles * rows_of(s), col = FV_BLOCK / row_tiles * cols_of(s);
    bool works = FV_THREAD < s.down * s.across;
    shares mine = shares_of(p, row, col, s);
    for (int step = 0; step < s.stages - 1; step++) bring_step(p, shared, &mine, step, s);
    if (works) load_sums(p, sum, row, col, s);
    for (int64_t step = 0; step * s.step < p->k; step++) {
        fv_copy_wait(s.stages - 2);
        FV_SYNC(); /* the step is there, and everybody is done with the one before: the next goes to its place */
        bring_step(p, shared, &mine, step + s.stages - 1, s);
        const float *a = shared + (int)(step % s.stages) * stage_of(s), *b = a + size_of_a(s);
        int64_t left = p->k - step * s.step;
        if (works && left >= s.step) multiply_step(sum, a, b, s);
        else if (works) multiply_rest(sum, a, b, (int)left, s);
    }
    if (works) store_sums(p, sum, row, col, s);
}

/* The tiles: threads that multiply (down, across), rows and quadruples for each, step, stages; threads, and those that copy. Eight rows of few
 * columns are a warp's, to which others bring all it needs. */
#define TILE_HIGH 16, 16, 8, 2, 16, 2, 256, 256
#define TILE_WIDE 8, 16, 8, 1, 16, 3, 128, 128
#define TILE_MIDDLE 16, 8, 2, 1, 32, 4, 128, 128
#define TILE_LOW 8, 4, 1, 1, 128, 3, 160, 128
#define TILE_NUMBERS(down, across, rows, quads, step, stages, threads, bringing)                                       \
    ((stages) * ((down) * (rows) * ((step) + QUAD) + (step) * (across) * (quads) * QUAD))
#define TILE_NUMBERS_OF(...) TILE_NUMBERS(__VA_ARGS__)
#define TILE_DEFINE(name, tile_shape, threads, blocks, turned, half)                                                   \
    FV_GLOBAL_OF(name, product, threads, blocks) {                                                                     \
        FV_BLOCK_SHARED fv_four shared[TILE_NUMBERS_OF(tile_shape) / 4];                                               \
        const shape s = {tile_shape, turned, half};                                                                    \
        tile(&j, (float *)shared, s);                                                                                  \
    }
TILE_DEFINE(tile_high, TILE_HIGH, 256, 2, false, false)
TILE_DEFINE(tile_high_half, TILE_HIGH, 256, 2, false, true)
TILE_DEFINE(tile_high_turned, TILE_HIGH, 256, 2, true, false)
TILE_DEFINE(tile_wide, TILE_WIDE, 128, 5, false, false)
TILE_DEFINE(tile_wide_half, TILE_WIDE, 128, 5, false, true)
TILE_DEFINE(tile_wide_turned, TILE_WIDE, 128, 5, true, false)
TILE_DEFINE(tile_middle, TILE_MIDDLE, 128, 4, false, false)
TILE_DEFINE(tile_middle_half, TILE_MIDDLE, 128, 4, false, true)
TILE_DEFINE(tile_middle_turned, TILE_MIDDLE, 128, 4, true, false)
TILE_DEFINE(tile_low, TILE_LOW, 160, 4, false, false)
TILE_DEFINE(tile_low_half, TILE_LOW, 160, 4, false, true)

/* What a block of each tile makes of C, and the share of a multiprocessor's peak that it reached on an H100. */
typedef struct {
    int rows, cols;
    double rate;
} tile_kind;
enum { LOW, MIDDLE, WIDE, HIGH };
static const tile_kind kinds[] = {{8, 16, 0.05}, {32, 32, 0.22}, {64, 64, 0.44}, {128, 128, 0.53}};

static int64_t tiles_of(const product *p, int kind) { return fv_blocks_of(p->m, kinds[kind].rows) * fv_blocks_of(p->n, kinds[kind].cols); }

/* Few rows wait for B alone, in narrow tiles that are many; else the tile whose blocks, so many at a time as the card has multiprocessors, are done first. */
static int choose_tile(const product *p, bool turned) {
    int best = HIGH;
    double least = INFINITY;
    if (!turned && p->m <= 2 * kinds[LOW].rows) return LOW;
    for (int kind = MIDDLE; kind <= HIGH; kind++) {
        double time = (double)fv_blocks_of(tiles_of(p, kind), fv_cuda_multiprocessors()) * kinds[kind].rows * kinds[kind].cols / kinds[kind].rate;
        if (time < least) least = time, best = kind;
    }
    return best;
}

static bool in_quads(const void *data, size_t size, int64_t step) { return (uintptr_t)data % (QUAD * size) == 0 && step % QUAD == 0; }

static void multiply(product j) {
    if (j.k == 0 && !j.fresh) return;
    bool turned = j.a_row == 1 && j.a_col != 1;
    j.a_quads = in_quads(j.a, sizeof(float), turned ? j.a_col : j.a_row);
    j.b_quads = in_quads(j.b, j.bf16 ? sizeof(uint16_t) : sizeof(float), j.b_step);
    j.c_quads = in_quads(j.c, sizeof(float), j.n);
    int kind = choose_tile(&j, turned);
    int64_t tiles = tiles_of(&j, kind);
    if (kind == HIGH && turned) FV_LAUNCH(tile_high_turned, tiles, 256, 0, j);
    else if (kind == WIDE && turned) FV_LAUNCH(tile_wide_turned, tiles, 128, 0, j);
    else if (turned) FV_LAUNCH(tile_middle_turned, tiles, 128, 0, j);
    else if (kind == HIGH && j.bf16) FV_LAUNCH(tile_high_half, tiles, 256, 0, j);
    else if (kind == WIDE && j.bf16) FV_LAUNCH(tile_wide_half, tiles, 128, 0, j);
    else if (kind == MIDDLE && j.bf16) FV_LAUNCH(tile_middle_half, tiles, 128, 0, j);
    else if (kind == LOW && j.bf16) FV_LAUNCH(tile_low_half, tiles, 160, 0, j);
    else if (kind == HIGH) FV_LAUNCH(tile_high, tiles, 256, 0, j);
    else if (kind == WIDE) FV_LAUNCH(tile_wide, tiles, 128, 0, j);
    else if (kind == MIDDLE) FV_LAUNCH(tile_middle, tiles, 128, 0, j);
    else FV_LAUNCH(tile_low, tiles, 160, 0, j);
}

/* ---- packing: panels of 64 outputs, each [k, 64] in the weight's own type, zeros beyond the last output ------------------- */

typedef struct {
    void *out;
    const void *in; /* [n, k] */
    int64_t n, k;
    size_t size;    /* of an element: 4 or 2 */
} packing;

enum { PACK_K = 32, THREADS = 256 };

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

FV_TABLE_OP void fv_cuda_linear(const fv_exec *x, const fv_linear_map *maps, int count, fv_view in) {
    for (const fv_linear_map *map = maps; map < maps + count; map++) {
        fv_cuda_begin("linear", in, map->w);
        product p = {0};
        p.m = fv_rows(in), p.n = fv_rows(map->w), p.k = fv_cols(map->w);
        p.a = fv_f32(in), p.a_row = p.k, p.a_col = 1;
        p.b = map->packed, p.b_panel = p.k * COLS, p.b_step = COLS, p.bf16 = map->w.dtype == FV_BF16;
        p.c = fv_f32(map->y), p.fresh = !map->adds, p.bias = map->bias.data, p.bias_bf16 = map->bias.dtype == FV_BF16;
        multiply(p);
        if (map->scale != 0 && map->scale != 1) fv_cuda_scale(x, map->y, map->scale);
    }
}

static void back_input(fv_view dx, fv_view dy, fv_view w) {
    fv_cuda_begin("linear_back", dy, w);
    product p = {0};
    p.m = fv_rows(dy), p.n = fv_cols(w), p.k = fv_rows(w);
    p.a = fv_f32(dy), p.a_row = p.k, p.a_col = 1;
    p.b = w.data, p.b_panel = COLS, p.b_step = p.n, p.bf16 = w.dtype == FV_BF16;
    p.c = fv_f32(dx);
    multiply(p);
}

typedef struct {
    float *sum; /* [cols] */
    fv_columns of;
} column_sums;

/* sum[c] += in[r, c], r ascending. */
FV_GLOBAL(sum_columns, column_sums) { fv_add_columns(&j.of, j.sum, NULL, FV_ADD); }

static void back_weight(fv_view dw, fv_view dbias, fv_view dy, fv_view in) {
    fv_cuda_begin("linear_back", dy, in);
    if (dbias.data != NULL) {
        column_sums j = {0};
        j.sum = fv_f32(dbias), j.of.a = fv_f32(dy), j.of.rows = fv_rows(dy), j.of.cols = fv_cols(dy);
        FV_LAUNCH(sum_columns, fv_blocks_of(j.of.cols, FV_COLUMNS), FV_COLUMN_THREADS, 0, j);
    }
    if (dw.data == NULL) return;
    product p = {0};
    p.m = fv_cols(dy), p.n = fv_cols(in), p.k = fv_rows(dy);
    p.a = fv_f32(dy), p.a_row = 1, p.a_col = p.m;
    p.b = in.data, p.b_panel = COLS, p.b_step = p.n;
    p.c = fv_f32(dw);
    multiply(p);
}

/* Towards the input w is read as it lies: `packed` has it turned. */
FV_TABLE_OP void fv_cuda_linear_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view in, fv_view w, const void *packed) {
    (void)x, (void)packed;
    if (dx.data != NULL) back_input(dx, dy, w);
    if (dw.data != NULL || dbias.data != NULL) back_weight(dw, dbias, dy, in);
}
