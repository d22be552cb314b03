/* How a matrix product C[m, n] += A[m, k] B[k, n] is cut into tiles, blocks and threads. The file that includes this says what A and B are and how they are packed
 * (pack_rows, pack_panel), and what a step along k is: FV_STEP(a, b, sum) on vectors of 16, of FV_STEP_NUMBERS numbers in 32 bits. cpu/kernels/linear.c multiplies and adds
 * f32; cpu/kernels/bf16/linear.c takes pairs of bf16. All lengths along k are in steps here. Where a step is f32, B may still be bf16: then 32 bits are two steps' numbers,
 * and a panel has half as many rows of them.
 *
 * Exactness: an element of C is one chain of steps over k ascending. It may rest in memory between blocks of k
 * (that is exact), and neither tiles nor threads nor lanes ever split a chain.
 *
 * Speed (Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"): a tile of C stays in registers
 * while k runs; B comes in panels of 32 columns, k ascending, so that a tile reads it in one stream; A is packed so that the
 * `rows` numbers of one k lie side by side. A block of A stays in the second-level cache while all panels pass by. Few rows
 * leave registers free, so such tiles take several panels at once: a chain waits four cycles for each of its additions, and
 * only many chains side by side keep the unit busy. */
#ifndef FV_CPU_KERNELS_PRODUCT_H
#define FV_CPU_KERNELS_PRODUCT_H

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
    AHEAD = 32,             /* and so many rows of the panel before its use */
};

/* One tile: c[rows, 16 * vectors] += a b, b in panels `panel` elements apart. */
typedef struct {
    const float *a; /* `rows` numbers of one k side by side, those of the next a_step further */
    const float *b; /* 32 numbers of one k (FV_STEP_WIDENS and bf16: pairs of two k) side by side, the next b_step further */
    int64_t k, panel, a_step, b_step;
    float *c;
    int64_t c_stride;
} tile_work;

/* A step of all rows by one k's weights. */
FV_INLINE void tile_step(fv_x16 *sum, const float *a, const fv_x16 *b, int rows, int vectors) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
        fv_x16 ar = fv_set1(a[r]);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sum[r * vectors + v] = FV_STEP(ar, b[v], sum[r * vectors + v]);
    }
}

/* Two k's weights from their pairs: a shift and a mask, which cost less beside the additions than to spread sixteen numbers would. */
FV_INLINE fv_x16 lower_of_pair(fv_x16 pair) { return fv_from_bits(fv_ishl(fv_bits(pair), 16)); }
FV_INLINE fv_x16 upper_of_pair(fv_x16 pair) { return fv_from_bits(fv_iand(fv_bits(pair), fv_iset1(-65536))); }

/* `rows`, `vectors` and `widens` are constants where this is inlined: the loops unroll and `sum` lives in registers. */
FV_INLINE void tile(const tile_work *t, int rows, int vectors, bool widens) {
    fv_x16 sum[TILE_ROWS * TILE_VECTORS > WIDE ? TILE_ROWS * TILE_VECTORS : WIDE];
    const float *a = t->a, *b = t->b;
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sum[r * vectors + v] = fv_load(t->c + r * t->c_stride + v * FV_LANES);
    for (int64_t k = 0; k < t->k; k += widens ? 2 : 1, b += t->b_step) {
        fv_x16 block[MOST_VECTORS], half[MOST_VECTORS];
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) {
            const float *at = b + v / HALVES * t->panel + v % HALVES * FV_LANES;
            block[v] = fv_load(at);
            if (rows > 1 && rows <= LOW_TILE) __builtin_prefetch(at + AHEAD * t->b_step);
        }
        if (widens) {
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++) half[v] = lower_of_pair(block[v]);
            tile_step(sum, a, half, rows, vectors);
            a += t->a_step;
            if (k + 1 == t->k) break;
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++) block[v] = upper_of_pair(block[v]);
        }
        tile_step(sum, a, block, rows, vectors);
        a += t->a_step;
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
    static void tile_##rows##_##vectors(const tile_work *t) { tile(t, rows, vectors, false); }
TILE_MAP(TILE_DEFINE)
#if FV_STEP_WIDENS
#define TILE_DEFINE_WIDENS(rows, vectors)                                                                              \
    static void tile_widens_##rows##_##vectors(const tile_work *t) { tile(t, rows, vectors, true); }
TILE_MAP(TILE_DEFINE_WIDENS)
#define TILE_ENTRY(rows, vectors) [rows][vectors] = { tile_##rows##_##vectors, tile_widens_##rows##_##vectors },
#else
#define TILE_ENTRY(rows, vectors) [rows][vectors] = { tile_##rows##_##vectors },
#endif
static void (*const tiles[TILE_ROWS + 1][MOST_VECTORS + 1][2])(const tile_work *t) = { TILE_MAP(TILE_ENTRY) };

/* Number i of an array of either type. */
FV_INLINE const void *number_at(const void *in, int64_t i, bool bf16) { return bf16 ? (const void *)((const uint16_t *)in + i) : (const void *)((const float *)in + i); }

/* Packing: panels of B from rows of numbers, as they lie (back ways) or transposed (weights). */
typedef struct {
    float *out;     /* [panels][k, 32] */
    const void *in; /* [k, n], or [n, k] if transposed; rows `stride` apart */
    int64_t n, stride;
    bool from_bf16, transposed;
    int64_t first, k; /* of B's rows, in steps */
    int64_t depth;    /* numbers along all of k: the last step may have fewer than the others */
} packing;

/* A product and how it is cut. */
typedef struct {
    int64_t m, n, k;
    const float *a; /* number (i, j) at a[i * a_row + j * a_col] */
    int64_t a_row, a_col;
    int64_t first, depth; /* steps before this block; numbers along all of k */
    bool a_lies;    /* a_row is 1 and A is read as it lies; else it is packed */
    const float *b; /* element (j, n) at b[(n - b_col) / 32 * b_panel + j * b_step + n % 32] */
    int64_t b_col, b_panel, b_step;
    bool widens; /* (FV_STEP_WIDENS) elements of B are pairs of bf16, of steps 2 j and 2 j + 1 */
    const packing *near; /* if not NULL, whoever works on a panel packs it, NEAR_K at a time, into their part of packed_b */
    float *c; /* [m, n] */
    bool fresh; /* C starts from the bias (zero if absent), not from what is there */
    fv_view bias; /* [n], f32 or bf16 */
    bool by_rows;       /* threads own rows; else panels */
    float *packed_a;    /* [threads][block_rows * a_k + FV_LANES] */
    float *packed_b;    /* [threads][NEAR_K, 32] */
    int64_t block_rows; /* most rows that are packed at once */
    int64_t a_k;        /* and so many k of them, of which a tile may take a part */
} product;

/* out[j, rows] = steps j < p->k of A's rows [first, first + rows). Whole vectors may be stored: what is too much is covered by the next store, and at the end
 * there is room for it. */
static void pack_rows(float *out, const product *p, int64_t first, int64_t rows);
/* Columns [col, col + 32) of B's steps [first, first + k) into p->out, zeros beyond the last column. */
static void pack_panel(const packing *p, int64_t col);

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t pieces_of(int64_t n, int64_t size) { return (n + size - 1) / size; }

/* Rows of 32 columns that a panel of k steps has, in pairs or not. */
static int64_t packed_rows(int64_t k, bool pairs) { return pairs ? pieces_of(k, 2) : k; }

/* Where piece i of `pieces` of [0, n) begins, all as even as can be. */
static int64_t even_cut(int64_t n, int64_t pieces, int64_t i) { return n * i / pieces; }

/* c[rows, cols] becomes the start of its chains. */
static void start_chains(const product *p, float *c, int64_t stride, int64_t rows, int64_t first_col, int64_t cols) {
    for (int64_t r = 0; r < rows; r++) {
        if (r && p->bias.data) memcpy(c + r * stride, c, (size_t)cols * sizeof *c);
        else if (p->bias.data) fv_to_f32(c, number_at(p->bias.data, first_col, p->bias.dtype == FV_BF16), p->bias.dtype, cols);
        else memset(c + r * stride, 0, (size_t)cols * sizeof *c);
    }
}

/* A tile at (row, col). One that reaches over the last column is computed beside C and copied. */
static void run_tile(const product *p, const float *a, int64_t row, int64_t rows, int64_t col, int vectors) {
    int64_t width = vectors * FV_LANES, cols = smaller(width, p->n - col);
    int64_t at = (col - p->b_col) / FV_PANEL * p->b_panel + col % FV_PANEL;
    float *c = p->c + row * p->n + col, edge[(TILE_ROWS * TILE_VECTORS > WIDE ? TILE_ROWS * TILE_VECTORS : WIDE) * FV_LANES];
    tile_work t = { a, p->b + at, p->k, p->b_panel, p->a_lies ? p->a_col : rows, p->b_step, c, p->n };
    if (p->fresh) start_chains(p, c, p->n, rows, col, cols);
    if (cols < width) {
        memset(edge, 0, (size_t)(rows * width) * sizeof *edge);
        for (int64_t r = 0; r < rows; r++) memcpy(edge + r * width, c + r * p->n, (size_t)cols * sizeof *edge);
        t.c = edge;
        t.c_stride = width;
    }
    tiles[rows][vectors][p->widens](&t);
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

/* Rows of A as tiles take them: cut evenly, two of 8 rows rather than one of 14 and one of 2, which could not hide the latency of its additions. */
typedef struct {
    const float *a; /* a tile of rows [first, ..) of the strip begins a_k * first further, [a_k, height]; or as A lies */
    int64_t row, rows, tiles;
} strip;

static strip make_strip(const product *p, float *packed, int64_t row, int64_t row_end) {
    strip s = { packed, row, row_end - row, pieces_of(row_end - row, TILE_ROWS) };
    if (p->a_lies || (s.rows == 1 && p->a_col == 1 && FV_STEP_NUMBERS == 1)) { /* a single row is packed as it lies */
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
    p.out += begin * p.k * FV_PANEL;
    for (int64_t panel = begin; panel < end; panel++, p.out += p.k * FV_PANEL) pack_panel(&p, panel * FV_PANEL);
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

/* Where block i of `blocks` of [0, k) begins: no pair of steps is parted. */
static int64_t block_cut(int64_t k, int64_t blocks, int64_t i) { return smaller(k, 2 * even_cut(pieces_of(k, 2), blocks, i)); }

/* The product in blocks of k. If `in` is not NULL, B is packed from it: a block by all threads, where they own rows; a panel by the thread that owns it. */
static void multiply(const fv_exec *x, product p, const packing *in) {
    if (p.m == 0 || p.n == 0 || p.k == 0) return;
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int threads = fv_pool_threads(x->pool);
    int64_t units, grain, k = p.k, panels = pieces_of(p.n, FV_PANEL);
    p.by_rows = p.m >= (int64_t)threads * ROWS_WORTH_OWNING || panels < threads;
    bool together = in && p.by_rows, fresh = p.fresh;
    int64_t blocks = pieces_of(k, p.m <= TILE_ROWS && !together ? LONG_K : BLOCK_K), longest = 2 * pieces_of(pieces_of(k, 2), blocks);
    p.block_rows = smaller(p.m, BLOCK_ROWS);
    p.k = longest;
    plan(&p, &units, &grain);
    p.packed_a = FV_TAKE(x->scratch, float, threads * (p.block_rows * longest + FV_LANES));
    if (in) p.packed_b = FV_TAKE(x->scratch, float, together ? panels * FV_PANEL * longest : (int64_t)threads * NEAR_K * FV_PANEL);
    const float *a = p.a;
    const float *b = p.b;
    for (int64_t i = 0; i < blocks; i++) {
        int64_t first = block_cut(k, blocks, i);
        p.k = p.a_k = block_cut(k, blocks, i + 1) - first;
        p.a = a + first * FV_STEP_NUMBERS * p.a_col;
        p.first = first;
        p.fresh = fresh && i == 0;
        packing block;
        if (!in) {
            p.b = b + packed_rows(first, p.widens) * p.b_step;
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

/* ---- The forward and the way back; but for its part to the weight they are the same for all steps ---- */

static int64_t steps_of(int64_t numbers) { return pieces_of(numbers, FV_STEP_NUMBERS); }

/* A weight [n, k] as B = w^T. */
static packing weight_packing(fv_view w) {
    return (packing){ .in = w.data, .n = fv_rows(w), .k = steps_of(fv_cols(w)), .depth = fv_cols(w), .stride = fv_cols(w), .from_bf16 = w.dtype == FV_BF16, .transposed = true };
}

void FV_KERNEL(linear)(const fv_exec *x, const fv_linear_map *maps, int count, fv_view in) {
    for (const fv_linear_map *map = maps; map < maps + count; map++) {
        fv_view w = map->w;
        packing as_it_lies = weight_packing(w);
        bool widens = FV_STEP_WIDENS && map->packed && w.dtype == FV_BF16;
        product p = { .m = fv_rows(in), .n = fv_rows(w), .k = as_it_lies.k, .depth = as_it_lies.depth, .a = fv_f32(in), .a_row = fv_cols(w), .a_col = 1, .b = map->packed,
                      .b_panel = packed_rows(as_it_lies.k, widens) * FV_PANEL, .b_step = FV_PANEL, .widens = widens, .c = fv_f32(map->y), .fresh = !map->adds, .bias = map->bias };
        multiply(x, p, map->packed ? NULL : &as_it_lies);
        if (map->scale != 0 && map->scale != 1) FV_SCALE(x, map->y, map->scale);
    }
}

static void back_input(const fv_exec *x, fv_view dx, fv_view dy, fv_view w) {
    int64_t n = fv_rows(w), k = fv_cols(w);
    product p = { .m = fv_rows(dy), .n = k, .k = steps_of(n), .depth = n, .a = fv_f32(dy), .a_row = n, .a_col = 1, .c = fv_f32(dx) };
    multiply(x, p, &(packing){ .in = w.data, .k = p.k, .depth = n, .n = k, .stride = k, .from_bf16 = w.dtype == FV_BF16 });
}

/* dw [n, k] += dy^T in, dbias [n] += dy's columns; either may be absent. */
static void back_weight(const fv_exec *x, fv_view dw, fv_view dbias, fv_view dy, fv_view in);

/* Towards the input B is packed anew, block by block: `packed` has it turned. */
void FV_KERNEL(linear_back)(const fv_exec *x, fv_view dx, fv_view dw, fv_view dbias, fv_view dy, fv_view in, fv_view w, const void *packed) {
    (void)packed;
    if (dx.data) back_input(x, dx, dy, w);
    if (dw.data || dbias.data) back_weight(x, dw, dbias, dy, in);
}

#endif
