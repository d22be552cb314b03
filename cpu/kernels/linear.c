/* Matrix products. One driver, C[m, n] += A[m, k] B[k, n], serves the forward and both ways back:
 *   forward       y[r, n]  = bias[n] + sum_k  x[r, k]  w[n, k]     A = x,     B = w^T, packed beforehand by linear_pack, or block by block
 *   back_input    dx[r, k] +=         sum_n dy[r, n]  w[n, k]      A = dy,    B = w,   packed block by block
 *   back_weight   dw[n, k] +=         sum_r dy[r, n] in[r, k]      A = dy^T,  B = in,  as they lie where the cache allows
 *
 * Exactness: an element of C is one chain of fused multiply-adds over k ascending. It may rest in memory between blocks of k
 * (that is exact), and neither tiles nor threads nor lanes ever split a chain.
 *
 * Speed (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"): a tile of C stays in registers
 * while k runs; B comes in panels of 32 columns, k ascending, so that a tile reads it in one stream; A is packed so that the
 * `rows` numbers of one k lie side by side (where they already do, a copy would cost more than it gives: spread). A block of A stays in the second-level cache while all panels pass by. Few rows
 * leave registers free, so such tiles take several panels at once: a chain waits four cycles for each of its additions, and
 * only many chains side by side keep the unit busy. */
#include "core/ops.h"
#include "cpu/cpu.h"
#include "cpu/simd.h"

#include <stdbool.h>
#include <string.h>

enum {
    HALVES = FV_PANEL / FV_LANES,
#if defined(FV_ISA_avx512)
    TILE_ROWS = 14,   /* 14 x 2 registers of C, 2 of B, 1 of A: 31 of 32 */
    TILE_VECTORS = 2, /* of 16 columns, at TILE_ROWS */
    WIDE = 24,        /* most registers of C in tiles that are wider, but lower */
    MOST_VECTORS = 16,
#elif defined(FV_ISA_avx2)
    TILE_ROWS = 6, /* a vector is two registers here: 12 of 16 for C, 2 for B, 1 for A */
    TILE_VECTORS = 1,
    WIDE = 4,
    MOST_VECTORS = 4,
#else
    TILE_ROWS = 4,
    TILE_VECTORS = 1,
    WIDE = 1,
    MOST_VECTORS = 1,
#endif
    BLOCK_K = 512, /* k of a block where rows are many: with BLOCK_ROWS, A takes some 700 KiB of the second-level cache */
    BLOCK_ROWS = 24 * TILE_ROWS,
    LONG_K = 8192,          /* k of a block where one tile holds all rows: nothing is used twice */
    NEAR_K = 512,           /* k of a panel that is packed as it is used: 64 KiB, well within the second-level cache */
    PIECE_WORK = 1 << 18,   /* multiply-adds for which a second thread pays: two microseconds */
    ROWS_WORTH_OWNING = 64, /* rows a thread must have so that splitting by rows beats splitting by panels */
    LOW_TILE = 8,           /* tiles of 2 to so many rows wait for memory: they ask for B early */
    AHEAD = 32,             /* and so many k before its use */
};

/* One tile: c[rows, 16 * vectors] += a b, b in panels `panel` elements apart. */
typedef struct {
    const float *a; /* `rows` numbers of one k side by side, those of the next a_step further */
    const void *b;  /* 32 numbers of one k side by side, those of the next b_step further; f32 or bf16 */
    int64_t k, panel, a_step, b_step;
    float *c;
    int64_t c_stride;
} tile_work;

/* Element i of a panel in either type. */
FV_INLINE const void *weight_at(const void *b, int64_t i, bool bf16) {
    return bf16 ? (const void *)((const uint16_t *)b + i) : (const void *)((const float *)b + i);
}
FV_INLINE fv_x16 load_weight(const void *b, int64_t i, bool bf16) {
    return bf16 ? fv_load_bf16(weight_at(b, i, true)) : fv_load(weight_at(b, i, false));
}

/* `rows`, `vectors` and `bf16` are constants where this is inlined: the loops unroll and `sum` lives in registers. */
FV_INLINE void tile(const tile_work *t, int rows, int vectors, bool bf16) {
    fv_x16 sum[TILE_ROWS * TILE_VECTORS > WIDE ? TILE_ROWS * TILE_VECTORS : WIDE];
    const float *a = t->a;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sum[r * vectors + v] = fv_load(t->c + r * t->c_stride + v * FV_LANES);
    for (int64_t k = 0; k < t->k; k++, a += t->a_step) {
        fv_x16 b[MOST_VECTORS];
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            int64_t at = v / HALVES * t->panel + k * t->b_step + v % HALVES * FV_LANES;
            b[v] = load_weight(t->b, at, bf16);
            if (rows > 1 && rows <= LOW_TILE) __builtin_prefetch(weight_at(t->b, at + AHEAD * t->b_step, bf16));
        }
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++) {
            fv_x16 ar = fv_set1(a[r]);
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++) sum[r * vectors + v] = fv_fma(ar, b[v], sum[r * vectors + v]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) fv_store(t->c + r * t->c_stride + v * FV_LANES, sum[r * vectors + v]);
}

/* All tiles of this instruction set: X(rows, vectors), vectors 1, TILE_VECTORS, or a power of two with rows * vectors <= WIDE. */
#if defined(FV_ISA_avx512)
#define TILE_MAP(X)                                                                                                    \
    X(1, 1) X(2, 1) X(3, 1) X(4, 1) X(5, 1) X(6, 1) X(7, 1) X(8, 1) X(9, 1) X(10, 1) X(11, 1) X(12, 1) X(13, 1) X(14, 1)   \
    X(1, 2) X(1, 4) X(1, 8) X(1, 16) X(2, 2) X(2, 4) X(2, 8) X(3, 2) X(3, 4) X(3, 8) X(4, 2) X(4, 4) X(5, 2) X(5, 4)   \
    X(6, 2) X(6, 4) X(7, 2) X(8, 2) X(9, 2) X(10, 2) X(11, 2) X(12, 2) X(13, 2) X(14, 2)
#elif defined(FV_ISA_avx2)
#define TILE_MAP(X) X(1, 1) X(1, 2) X(1, 4) X(2, 1) X(2, 2) X(3, 1) X(4, 1) X(5, 1) X(6, 1)
#else
#define TILE_MAP(X) X(1, 1) X(2, 1) X(3, 1) X(4, 1)
#endif

#define TILE_DEFINE(rows, vectors)                                                                                     \
    static void tile_f32_##rows##_##vectors(const tile_work *t) { tile(t, rows, vectors, false); }                     \
    static void tile_bf16_##rows##_##vectors(const tile_work *t) { tile(t, rows, vectors, true); }
TILE_MAP(TILE_DEFINE)

#define TILE_ENTRY(rows, vectors) [rows][vectors] = { tile_f32_##rows##_##vectors, tile_bf16_##rows##_##vectors },
static void (*const tiles[TILE_ROWS + 1][MOST_VECTORS + 1][2])(const tile_work *t) = { TILE_MAP(TILE_ENTRY) };

/* Packing: panels of B from rows of numbers, as they lie (back ways) or transposed (weights). */
typedef struct {
    void *out;      /* [panels][k, 32]: f32, but weights packed beforehand keep their type */
    const void *in; /* [k, n], or [n, k] if transposed; rows `stride` apart */
    int64_t n, stride;
    bool from_bf16, transposed;
    int64_t first, k; /* of B's rows */
} packing;

/* A product and how it is cut. */
typedef struct {
    int64_t m, n, k;
    const float *a; /* element (i, j) at a[i * a_row + j * a_col] */
    int64_t a_row, a_col;
    bool a_lies;    /* a_row is 1 and A is read as it lies; else it is packed */
    const void *b;  /* element (j, n) at b[(n - b_col) / 32 * b_panel + j * b_step + n % 32] */
    int64_t b_col, b_panel, b_step;
    bool bf16;
    const packing *near; /* if not NULL, whoever works on a panel packs it, NEAR_K at a time, into their part of packed_b */
    float *c; /* [m, n] */
    bool fresh; /* C starts from the bias (zero if NULL), not from what is there */
    const float *bias;
    bool by_rows;       /* threads own rows; else panels */
    float *packed_a;    /* [threads][block_rows * a_k + FV_LANES] */
    float *packed_b;    /* [threads][NEAR_K, 32] */
    int64_t block_rows; /* most rows that are packed at once */
    int64_t a_k;        /* and so many k of them, of which a tile may take a part */
} product;

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t pieces_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* Where piece i of `pieces` of [0, n) begins, all as even as can be. */
static int64_t even_cut(int64_t n, int64_t pieces, int64_t i) { return n * i / pieces; }

/* out[j, rows] = a(first .. first + rows, j), j < k; the source is contiguous one way. Whole vectors are stored: what is too
 * much is covered by the next store, and at the end there is room for it. */
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

/* c[rows, cols] becomes the start of its chains. */
static void start_chains(const product *p, float *c, int64_t stride, int64_t rows, int64_t first_col, int64_t cols) {
    for (int64_t r = 0; r < rows; r++) {
        if (p->bias) memcpy(c + r * stride, p->bias + first_col, (size_t)cols * sizeof *c);
        else memset(c + r * stride, 0, (size_t)cols * sizeof *c);
    }
}

/* A tile at (row, col). One that reaches over the last column is computed beside C and copied. */
static void run_tile(const product *p, const float *a, int64_t row, int64_t rows, int64_t col, int vectors) {
    int64_t width = vectors * FV_LANES, cols = smaller(width, p->n - col);
    int64_t at = (col - p->b_col) / FV_PANEL * p->b_panel + col % FV_PANEL;
    float *c = p->c + row * p->n + col, edge[(TILE_ROWS * TILE_VECTORS > WIDE ? TILE_ROWS * TILE_VECTORS : WIDE) * FV_LANES];
    tile_work t = { a, weight_at(p->b, at, p->bf16), p->k, p->b_panel, p->a_lies ? p->a_col : rows, p->b_step, c, p->n };
    if (p->fresh) start_chains(p, c, p->n, rows, col, cols);
    if (cols < width) {
        memset(edge, 0, (size_t)(rows * width) * sizeof *edge);
        for (int64_t r = 0; r < rows; r++) memcpy(edge + r * width, c + r * p->n, (size_t)cols * sizeof *edge);
        t.c = edge;
        t.c_stride = width;
    }
    tiles[rows][vectors][p->bf16](&t);
    if (cols < width)
        for (int64_t r = 0; r < rows; r++) memcpy(c + r * p->n, edge + r * width, (size_t)cols * sizeof *edge);
}

/* Rows of C are far apart: the next tile's are asked for before this one's arithmetic. */
static void expect_tile(const product *p, int64_t row, int64_t col) {
    const float *c = p->c + row * p->n + col;
    for (int64_t r = 0; r < TILE_ROWS && row + r < p->m; r++)
        for (int v = 0; v < TILE_VECTORS; v++) __builtin_prefetch(c + r * p->n + v * FV_LANES, 1);
}

/* The widest tile of so many rows that fits into the columns left. */
static int tile_vectors(int64_t rows, int64_t cols_left) {
    if (cols_left <= FV_LANES) return 1; /* adapters of rank 16, heads of one output */
    int v = TILE_VECTORS;
    while (2 * v <= MOST_VECTORS && rows * 2 * v <= WIDE && 2 * v * FV_LANES <= cols_left + FV_PANEL - 1) v *= 2;
    return v;
}

/* Two columns' worth of k at once: bf16 numbers in pairs take half the shuffles, and whole cache lines of each row. What was not packed is asked for
 * line by line, since so many rows are more streams than the processor foresees. Returns how many k are done. */
FV_INLINE int64_t pack_half_pairs(float *out, const uint16_t *in, int64_t k, int64_t stride, int cols) {
    int64_t j = 0;
    for (; j + 2 * FV_LANES <= k; j += 2 * FV_LANES, out += 2 * FV_LANES * FV_PANEL) {
        fv_x16 block[FV_LANES];
        for (int c = 0; c < FV_LANES; c++) {
            const uint16_t *row = in + c * stride + j;
            if (c < cols) __builtin_prefetch(row + 2 * FV_LANES);
            block[c] = c < cols ? fv_load_raw(row) : fv_zero();
        }
        fv_transpose(block);
        for (int i = 0; i < FV_LANES; i++) {
            fv_i16 pair = fv_bits(block[i]);
            fv_store(out + 2 * i * FV_PANEL, fv_from_bits(fv_ishl(pair, 16)));
            fv_store(out + (2 * i + 1) * FV_PANEL, fv_from_bits(fv_iand(pair, fv_iset1(-65536))));
        }
    }
    return j;
}

/* out[k, 32], a half of 16 columns = rows of in[cols <= 16, k], `stride` apart, transposed; zeros beyond the last row. */
FV_INLINE void pack_half(void *out, const void *in, int64_t k, int64_t stride, int cols, bool from_bf16, bool to_bf16) {
    int64_t j = from_bf16 && !to_bf16 ? pack_half_pairs(out, in, k, stride, cols) : 0;
    for (; j < k; j += FV_LANES) {
        int length = (int)smaller(FV_LANES, k - j);
        fv_x16 block[FV_LANES];
        for (int c = 0; c < FV_LANES; c++) {
            int64_t at = c * stride + j;
            block[c] = c >= cols   ? fv_zero()
                       : from_bf16 ? fv_load_bf16_n((const uint16_t *)in + at, length)
                                   : fv_load_n((const float *)in + at, length);
        }
        fv_transpose(block);
        for (int i = 0; i < length; i++) {
            if (to_bf16) fv_store_bf16_n((uint16_t *)out + (j + i) * FV_PANEL, block[i], FV_LANES);
            else fv_store((float *)out + (j + i) * FV_PANEL, block[i]);
        }
    }
}

/* Columns [col, col + 32) of B's rows [first, first + k) as f32, zeros beyond the last column. */
static void pack_panel(const packing *p, int64_t col) {
    float *out = p->out;
    for (int half = 0; half < HALVES; half++, col += FV_LANES, out += FV_LANES) {
        int64_t left = p->n - col;
        int cols = left >= FV_LANES ? FV_LANES : left > 0 ? (int)left : 0;
        if (p->transposed) {
            const void *in = weight_at(p->in, (cols ? col : 0) * p->stride + p->first, p->from_bf16);
            if (p->from_bf16) pack_half(out, in, p->k, p->stride, cols, true, false);
            else pack_half(out, in, p->k, p->stride, cols, false, false);
            continue;
        }
        for (int64_t k = 0; k < p->k; k++) {
            int64_t at = (p->first + k) * p->stride + (cols ? col : 0);
            fv_store(out + k * FV_PANEL, p->from_bf16 ? fv_load_bf16_n((const uint16_t *)p->in + at, cols)
                                                      : fv_load_n((const float *)p->in + at, cols));
        }
    }
}

/* Rows of A as tiles take them: cut evenly, two of 8 rows rather than one of 14 and one of 2, which could not hide the latency of its additions. */
typedef struct {
    const float *a; /* a tile of rows [first, ..) of the strip begins a_k * first further, [a_k, height]; or as A lies */
    int64_t row, rows, tiles;
} strip;

static strip make_strip(const product *p, float *packed, int64_t row, int64_t row_end) {
    strip s = { packed, row, row_end - row, pieces_of(row_end - row, TILE_ROWS) };
    if (p->a_lies || (s.rows == 1 && p->a_col == 1)) { /* a single row is packed as it lies */
        s.a = p->a + row * p->a_row;
        return s;
    }
    for (int64_t i = 0; i < s.tiles; i++) {
        int64_t first = even_cut(s.rows, s.tiles, i);
        pack_rows(packed + first * p->a_k, p, row + first, even_cut(s.rows, s.tiles, i + 1) - first);
    }
    return s;
}

/* A strip's rows by columns [col, col_end) of C; k from `from_k` of the strip's. */
static void run_strip(const product *p, const strip *s, int64_t from_k, int64_t col, int64_t col_end) {
    for (int64_t step; col < col_end; col += step) {
        step = tile_vectors(s->rows, col_end - col) * FV_LANES;
        for (int64_t i = 0; i < s->tiles; i++) {
            int64_t first = even_cut(s->rows, s->tiles, i), height = even_cut(s->rows, s->tiles, i + 1) - first;
            const float *a = s->a + (p->a_lies ? first + from_k * p->a_col : first * p->a_k + from_k * height);
            if (i + 1 < s->tiles) expect_tile(p, s->row + first + height, col);
            run_tile(p, a, s->row + first, height, col, (int)(step / FV_LANES));
        }
    }
}

/* The same with B packed here, a part of a panel at a time: what few rows wait for is B, which comes through memory once. */
static void run_near(const product *p, const strip *s, float *packed, int64_t col, int64_t col_end) {
    product part = *p;
    packing panel = *p->near;
    part.b = panel.out = packed;
    part.b_step = FV_PANEL;
    for (; col < col_end; col += FV_PANEL) {
        part.b_col = col;
        for (int64_t k = 0; k < p->k; k += part.k) {
            part.k = panel.k = smaller(NEAR_K, p->k - k);
            part.fresh = p->fresh && k == 0;
            panel.first = p->near->first + k;
            pack_panel(&panel, col);
            run_strip(&part, s, k, col, smaller(col + FV_PANEL, col_end));
        }
    }
}

static void run_piece(void *context, int64_t begin, int64_t end, int worker) {
    const product *p = context;
    int64_t row = p->by_rows ? begin : 0, row_end = p->by_rows ? end : p->m;
    int64_t col = p->by_rows ? 0 : begin * FV_PANEL, col_end = p->by_rows ? p->n : smaller(end * FV_PANEL, p->n);
    float *packed = p->packed_a + worker * (p->block_rows * p->a_k + FV_LANES);
    int64_t blocks = pieces_of(row_end - row, p->block_rows);
    for (int64_t i = 0; i < blocks; i++) {
        strip s = make_strip(p, packed, row + even_cut(row_end - row, blocks, i), row + even_cut(row_end - row, blocks, i + 1));
        if (p->near) run_near(p, &s, p->packed_b + worker * NEAR_K * FV_PANEL, col, col_end);
        else run_strip(p, &s, 0, col, col_end);
    }
}

/* The block of B, which all threads use, panel by panel. */
static void pack_panels(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    packing p = *(const packing *)context;
    p.out = (float *)p.out + begin * p.k * FV_PANEL;
    for (int64_t panel = begin; panel < end; panel++, p.out = (float *)p.out + p.k * FV_PANEL) pack_panel(&p, panel * FV_PANEL);
}

/* How a product is cut into pieces. */
static void plan(const product *p, int64_t *units, int64_t *grain) {
    int64_t panels = pieces_of(p->n, FV_PANEL);
    *units = p->by_rows ? p->m : panels;
    /* Reading B counts as four rows' work: what few rows wait for is memory. */
    int64_t unit_work = p->k * (p->by_rows ? p->n : FV_PANEL * (p->m + 4));
    *grain = pieces_of(PIECE_WORK, unit_work);
    if (p->by_rows && *grain < TILE_ROWS / 2) *grain = TILE_ROWS / 2;
}

/* The product in blocks of k. If `in` is not NULL, B is packed from it: a block by all threads, where they own rows; a panel by the thread that owns it. */
static void multiply(const fv_exec *x, product p, const packing *in) {
    if (p.m == 0 || p.n == 0 || p.k == 0) return;
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int threads = fv_pool_threads(x->pool);
    int64_t units, grain, k = p.k, panels = pieces_of(p.n, FV_PANEL);
    p.by_rows = p.m >= (int64_t)threads * ROWS_WORTH_OWNING || panels < threads;
    bool together = in && p.by_rows, fresh = p.fresh;
    int64_t blocks = pieces_of(k, p.m <= TILE_ROWS && !together ? LONG_K : BLOCK_K), longest = pieces_of(k, blocks);
    p.block_rows = smaller(p.m, BLOCK_ROWS);
    p.k = longest;
    plan(&p, &units, &grain);
    p.packed_a = FV_TAKE(x->scratch, float, threads * (p.block_rows * longest + FV_LANES));
    if (in) p.packed_b = FV_TAKE(x->scratch, float, together ? panels * FV_PANEL * longest : (int64_t)threads * NEAR_K * FV_PANEL);
    const float *a = p.a;
    const void *b = p.b;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t first = even_cut(k, blocks, i);
        p.k = p.a_k = even_cut(k, blocks, i + 1) - first;
        p.a = a + first * p.a_col;
        p.fresh = fresh && i == 0;
        packing block;
        if (!in) {
            p.b = weight_at(b, first * p.b_step, p.bf16);
        } else {
            block = *in;
            block.first = first;
            block.k = p.k;
        }
        if (in && !together) p.near = &block;
        if (together) {
            block.out = p.packed_b;
            fv_parallel(x->pool, panels, pieces_of(PIECE_WORK / 8, p.k * FV_PANEL), pack_panels, &block);
            p.b = p.packed_b;
            p.b_panel = p.k * FV_PANEL;
            p.b_step = FV_PANEL;
        }
        fv_parallel(x->pool, units, grain, run_piece, &p);
    }
    fv_arena_release(x->scratch, mark);
}

size_t FV_KERNEL(linear_packed_bytes)(fv_view w) {
    return (size_t)(pieces_of(fv_rows(w), FV_PANEL) * FV_PANEL * fv_cols(w)) * fv_dtype_size(w.dtype);
}

static void pack_transposed(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const packing *p = context;
    for (int64_t half = begin * HALVES; half < end * HALVES; half++) {
        int64_t first = half * FV_LANES, left = p->n - first, from = left > 0 ? first * p->k : 0;
        int64_t to = half / HALVES * FV_PANEL * p->k + half % HALVES * FV_LANES;
        int cols = left > 0 ? (int)smaller(FV_LANES, left) : 0;
        if (p->from_bf16) pack_half((uint16_t *)p->out + to, (const uint16_t *)p->in + from, p->k, p->stride, cols, true, true);
        else pack_half((float *)p->out + to, (const float *)p->in + from, p->k, p->stride, cols, false, false);
    }
}

/* A weight [n, k] as B = w^T. */
static packing weight_packing(fv_view w) {
    return (packing){ .in = w.data, .n = fv_rows(w), .k = fv_cols(w), .stride = fv_cols(w), .from_bf16 = w.dtype == FV_BF16, .transposed = true };
}

void FV_KERNEL(linear_pack)(const fv_exec *x, void *packed, fv_view w) {
    packing p = weight_packing(w);
    p.out = packed;
    fv_parallel(x->pool, pieces_of(p.n, FV_PANEL), pieces_of(PIECE_WORK / 8, p.k * FV_PANEL), pack_transposed, &p);
}

void FV_KERNEL(linear)(const fv_exec *x, fv_view y, fv_view in, fv_view w, const void *packed, fv_view bias) {
    int64_t k = fv_cols(w);
    packing as_it_lies = weight_packing(w);
    product p = { .m = fv_rows(in), .n = fv_rows(w), .k = k, .a = fv_f32(in), .a_row = k, .a_col = 1, .b = packed,
                  .b_panel = k * FV_PANEL, .b_step = FV_PANEL, .bf16 = packed && w.dtype == FV_BF16, .c = fv_f32(y), .fresh = true, .bias = fv_f32(bias) };
    multiply(x, p, packed ? NULL : &as_it_lies);
}

void FV_KERNEL(linear_back_input)(const fv_exec *x, fv_view dx, fv_view dy, fv_view w) {
    int64_t n = fv_rows(w), k = fv_cols(w);
    product p = { .m = fv_rows(dy), .n = k, .k = n, .a = fv_f32(dy), .a_row = n, .a_col = 1, .c = fv_f32(dx) };
    multiply(x, p, &(packing){ .in = w.data, .k = n, .n = k, .stride = k, .from_bf16 = w.dtype == FV_BF16 });
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

void FV_KERNEL(linear_back_weight)(const fv_exec *x, fv_view dw, fv_view dbias, fv_view dy, fv_view in) {
    int64_t rows = fv_rows(dy), n = fv_cols(dy), k = fv_cols(in);
    if (dbias.data) {
        column_sums s = { fv_f32(dbias), fv_f32(dy), rows, n };
        fv_parallel(x->pool, pieces_of(n, FV_LANES), pieces_of(PIECE_WORK / 4, (rows + 1) * FV_LANES), sum_columns, &s);
    }
    if (!dw.data) return;
    product p = { .m = n, .n = k, .k = rows, .a = fv_f32(dy), .a_row = 1, .a_col = n, .a_lies = spread(n), .b = in.data, .b_panel = FV_PANEL,
                  .b_step = k, .c = fv_f32(dw) };
    if (spread(k) && k % FV_PANEL == 0) { /* a tile at the end of a narrower last panel would read beyond the last row */
        multiply(x, p, NULL);
        return;
    }
    multiply(x, p, &(packing){ .in = in.data, .k = rows, .n = k, .stride = k });
}
