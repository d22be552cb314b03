/* Products on Hopper's tensor cores (cuda/kernels/hopper.h): y^T = A B^T, outputs on the instruction's 64 rows, tokens on its columns, of which it takes
 * 8 to 256: so few tokens waste nothing, and one order of additions serves every number of them.
 *
 * A block's last warp brings tiles of A and B into a ring of stages, by bulk copies; the four warps of each group multiply what is there. A
 * gate of each stage tells that it is full, another that all groups have read it. Blocks stay and take tile after tile, so that the next tile's
 * stages are on their way while sums are written. The bits are the same for every shape of tile, so the fastest is taken. */
#include "cuda/kernels/hopper.h"

typedef struct {
    fv_walk w;
    int blocks; /* of threads, that share the tiles */
} job;

/* A kernel's tile: `groups` times `rows` outputs (below 64: one group, which multiplies what follows in memory, too, and drops it), `cols` tokens,
 * `depth` blocks of 64 of k a stage (above 1: one group, at most 64 tokens, and only for k that is so many blocks again and again). Constants where
 * this is inlined. */
typedef struct {
    int groups, rows, cols, depth, stages;
    bool a_turned, b_turned;
    int beside; /* blocks that share a multiprocessor */
    /* Nanoseconds on an H100 (tests/cuda/products_times.c, 2026-11-26), for 64 of k: of a tile that has a multiprocessor for itself, of `beside` tiles
     * together; and what a tile takes besides. */
    int alone, together, ends;
} shape;

enum { SUMS_MOST = 128, GATE_BYTES = 8, ALIGNMENT = 1024, BAND = 8, OLD_MOST = 8 };

/* Units are what is copied at once: the rows of a group, 64 tokens or all. */
#define A_BYTES(s) ((s).rows * BLOCK_ROW_BYTES)
#define B_UNITS(s) ((s).cols < BLOCK_SIDE ? 1 : (s).cols / BLOCK_SIDE)
#define B_BYTES(s) (((s).cols < BLOCK_SIDE ? (s).cols : BLOCK_SIDE) * BLOCK_ROW_BYTES)
#define A_STAGE(s) ((s).depth * (s).groups * A_BYTES(s))
#define B_STAGE(s) ((s).depth * B_UNITS(s) * B_BYTES(s))
#define SHARED_BYTES(s) (ALIGNMENT + (s).stages * (A_STAGE(s) + B_STAGE(s) + 2 * GATE_BYTES))

#if FV_HAS_WGMMA

/* A block's memory: [stages] of A, [stages] of B (which are at least what a low tile of A is read beyond its end), gates. */
typedef struct {
    char *a, *b;
    fv_gate *full, *empty;
} ring;

FV_DEVICE ring ring_of(char *shared, const shape s) {
    ring r;
    r.a = (char *)(((uintptr_t)shared + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    r.b = r.a + s.stages * A_STAGE(s);
    r.full = (fv_gate *)(r.b + s.stages * B_STAGE(s));
    r.empty = r.full + s.stages;
    return r;
}

typedef struct {
    int a, b; /* the tile's place among tiles */
} place;

/* Tiles are taken in bands of some tiles of tokens, down each band first: what blocks do at the same time shares much of both matrices in the second-level cache. */
FV_DEVICE place place_of(const job *j, int turn) {
    int band = turn / (j->w.a_tiles * BAND), in = turn % (j->w.a_tiles * BAND), left = j->w.b_tiles - band * BAND, high = left < BAND ? left : BAND;
    place at;
    at.a = in / high;
    at.b = band * BAND + in % high;
    return at;
}

/* Units of a tile that there are: of `all`, from `first`, at most `most`. */
FV_DEVICE int there(int all, int first, int most) { return all - first >= most ? most : all > first ? all - first : 0; }

/* `count` units of `bytes`, `step` apart, to one piece of the block's memory. One copy where they are one piece, too. */
FV_DEVICE void bring(char *to, const char *from, int count, int bytes, int64_t step, fv_gate *full) {
    int copies = step == bytes ? 1 : count, size = step == bytes ? count * bytes : bytes;
    for (int i = 0; i < copies; i++, to += size, from += step) fv_bulk(to, from, size, full);
}

/* One thread's work: the whole ring, tile after tile. */
FV_DEVICE void produce(const job *j, ring r, const shape s) {
    int stage = 0, parity = 1;
    for (int turn = (int)FV_BLOCK; turn < j->w.a_tiles * j->w.b_tiles; turn += j->blocks) {
        place at = place_of(j, turn);
        fv_walk_part part = fv_part_at(&j->w, at.a);
        int row = (at.a - part.first) * s.groups * s.rows, col = at.b * s.cols;
        int a_units = there(part.blocks, row / BLOCK_SIDE, s.groups), b_units = there(j->w.b_blocks, col / BLOCK_SIDE, B_UNITS(s));
        const char *a = part.a + row / BLOCK_SIDE * j->w.a_unit + row % BLOCK_SIDE * BLOCK_ROW_BYTES, *b = j->w.b + col / BLOCK_SIDE * j->w.b_unit;
        for (int k = 0; k < j->w.k_blocks; k += s.depth, a += s.depth * j->w.a_step, b += s.depth * j->w.b_step) {
            fv_gate *full = &r.full[stage];
            fv_gate_wait(&r.empty[stage], parity);
            fv_gate_expect(full, s.depth * (a_units * A_BYTES(s) + b_units * B_BYTES(s)));
            bring(r.a + stage * A_STAGE(s), a, s.depth * a_units, A_BYTES(s), s.depth > 1 ? j->w.a_step : j->w.a_unit, full);
            bring(r.b + stage * B_STAGE(s), b, s.depth * b_units, B_BYTES(s), s.depth > 1 ? j->w.b_step : j->w.b_unit, full);
            if (++stage == s.stages) stage = 0, parity ^= 1;
        }
    }
}

/* The sums of a thread (fv_wgmma) into y. Where they are added to what is there, many numbers of it are asked for before the first is
 * written: the compiler can't know that they are others. */
FV_DEVICE void end_sums(const job *j, const float *sum, place at, const shape s) {
    const int at_once = s.cols / 2 < OLD_MOST ? s.cols / 2 : OLD_MOST;
    int warp = FV_THREAD / 32, lane = FV_THREAD % 32, row = warp % 4 * 16 + lane / 4;
    fv_walk_part part = fv_part_at(&j->w, at.a);
    int output = ((at.a - part.first) * s.groups + warp / 4) * s.rows + row, token = at.b * s.cols + lane % 4 * 2, left = j->w.tokens - token;
    bool inside[2] = {row < s.rows && output < part.outputs, row + 8 < s.rows && output + 8 < part.outputs};
    float start[2] = {inside[0] ? fv_start(&j->w, &part, output) : 0, inside[1] ? fv_start(&j->w, &part, output + 8) : 0}, old[OLD_MOST];
    int64_t apart = part.outputs;
    float *y = part.y + token * apart + output;
#pragma unroll
    for (int e = 0; e < s.cols / 2; e += at_once, y += 2 * at_once * apart) {
#pragma unroll
        for (int i = 0; i < at_once; i++) {
            bool here = inside[i / 2 % 2] && 2 * e + i / 4 * 8 + i % 2 < left;
            old[i] = j->w.fresh || !here ? start[i / 2 % 2] : y[(i / 4 * 8 + i % 2) * apart + i / 2 % 2 * 8];
        }
#pragma unroll
        for (int i = 0; i < at_once; i++)
            if (inside[i / 2 % 2] && 2 * e + i / 4 * 8 + i % 2 < left) y[(i / 4 * 8 + i % 2) * apart + i / 2 % 2 * 8] = fv_mul(fv_add(old[i], sum[e + i]), part.scale);
    }
}

FV_DEVICE void multiply_stage(float *sum, fv_operand a, fv_operand b, bool more, const shape s) {
    const int a_16 = s.a_turned ? 16 * BLOCK_ROW_BYTES : 32, b_16 = s.b_turned ? 16 * BLOCK_ROW_BYTES : 32;
#pragma unroll
    for (int i = 0; i < s.depth; i++)
#pragma unroll
        for (int l = 0; l < BLOCK_SIDE / 16; l++)
            fv_wgmma(sum, fv_operand_at(a, i * s.groups * A_BYTES(s) + l * a_16), fv_operand_at(b, i * B_UNITS(s) * B_BYTES(s) + l * b_16), more || i || l, s.cols,
                     s.a_turned, s.b_turned);
}

FV_DEVICE void consume(const job *j, ring r, const shape s) {
    float sum[SUMS_MOST];
    int stage = 0, parity = 0, group = FV_THREAD / 128;
    for (int turn = (int)FV_BLOCK; turn < j->w.a_tiles * j->w.b_tiles; turn += j->blocks) {
        place at = place_of(j, turn);
        fv_gate *last = NULL;
        for (int k = 0; k < j->w.k_blocks; k += s.depth) {
            fv_gate_wait(&r.full[stage], parity);
            fv_wgmma_begin();
            multiply_stage(sum, fv_operand_of(r.a + stage * A_STAGE(s) + group * A_BYTES(s)), fv_operand_of(r.b + stage * B_STAGE(s)), k > 0, s);
            fv_wgmma_commit();
            if (last != NULL) {
                fv_wgmma_wait_for_earlier();
                if (FV_THREAD % 32 == 0) fv_gate_arrive(last); /* this warp is done with the stage before */
            }
            last = &r.empty[stage];
            if (++stage == s.stages) stage = 0, parity ^= 1;
        }
        fv_wgmma_wait(sum, s.cols / 2);
        if (FV_THREAD % 32 == 0) fv_gate_arrive(last);
        end_sums(j, sum, at, s);
    }
}

FV_DEVICE void work(const job *j, char *shared, const shape s) {
    ring r = ring_of(shared, s);
    if (FV_THREAD == 0) {
        for (int i = 0; i < s.stages; i++) {
            fv_gate_init(&r.full[i], 1);
            fv_gate_init(&r.empty[i], s.groups * 4);
        }
        fv_gates_made();
    }
    FV_SYNC();
    if (FV_THREAD / 128 < s.groups) consume(j, r, s);
    else if (FV_THREAD % 32 == 0) produce(j, r, s);
}

#else /* a card that is no Hopper: never launched there */
#define work(j, shared, s) (void)(s)
#endif

/* name, and its shape. A multiprocessor has 227 KiB for its blocks. */
#define TILES(X)                                                                                                       \
    X(any_8, 1, 64, 8, 1, 8, 0, 0, 2, 176, 480, 2200)                                                                  \
    X(any_16, 1, 64, 16, 1, 8, 0, 0, 2, 176, 490, 2300)                                                                \
    X(any_32, 1, 64, 32, 1, 8, 0, 0, 2, 176, 510, 2400)                                                                \
    X(any_64, 1, 64, 64, 1, 6, 0, 0, 2, 191, 330, 2800)                                                                \
    X(thin_8, 1, 16, 8, 4, 8, 0, 0, 2, 121, 125, 2400)                                                                 \
    X(thin_16, 1, 16, 16, 4, 6, 0, 0, 2, 124, 130, 2400)                                                               \
    X(thin_32, 1, 16, 32, 4, 4, 0, 0, 2, 132, 150, 2400)                                                               \
    X(thin_64, 1, 16, 64, 2, 5, 0, 0, 2, 185, 260, 2800)                                                               \
    X(middle, 1, 64, 128, 1, 4, 0, 0, 2, 276, 470, 2900)                                                               \
    X(wide, 2, 64, 192, 1, 5, 0, 0, 1, 570, 570, 2700)                                                                 \
    X(large, 2, 64, 256, 1, 4, 0, 0, 1, 720, 720, 4500)                                                                \
    X(middle_a, 1, 64, 128, 1, 4, 1, 0, 2, 276, 470, 5000)                                                             \
    X(large_a, 2, 64, 256, 1, 4, 1, 0, 1, 720, 720, 9000)                                                              \
    X(middle_ab, 1, 64, 128, 1, 4, 1, 1, 2, 276, 470, 5000)                                                            \
    X(large_ab, 2, 64, 256, 1, 4, 1, 1, 1, 720, 720, 9000)

#define TILE_DEFINE(name, g, r, c, d, st, at, bt, n, ...)                                                              \
    static const shape name##_shape = {g, r, c, d, st, at, bt, n, __VA_ARGS__};                                        \
    FV_GLOBAL_OF(name, job, (g)*128 + 32, n) {                                                                         \
        const shape s = {g, r, c, d, st, at, bt, n, __VA_ARGS__};                                                      \
        work(&j, FV_SHARED(char), s);                                                                                  \
    }
TILES(TILE_DEFINE)

/* ---- the choice of a tile ---- */

typedef struct {
    const char *name;
    const shape *s;
    void (*launch)(const job *j);
} tile;

#define TILE_LAUNCH(name, ...)                                                                                         \
    static void launch_##name(const job *j) {                                                                          \
        FV_LAUNCH_WIDE(name, j->blocks, name##_shape.groups * 128 + 32, SHARED_BYTES(name##_shape), *j);                \
    }
TILES(TILE_LAUNCH)
#define TILE_ROW(name, ...) {#name, &name##_shape, launch_##name},
static const tile tiles[] = {TILES(TILE_ROW)};

enum { TILE_COUNT = sizeof tiles / sizeof *tiles };

static int64_t outputs_of(const shape *s) { return s->groups * s->rows; }
static bool takes(const shape *s, const fv_product *p) {
    int64_t rows = fv_token_rows(p->tokens);
    if (s->a_turned != p->a_turned || s->b_turned != p->b_turned || fv_blocks_of(p->k, BLOCK_SIDE) % s->depth) return false;
    return p->a_turned || (rows < BLOCK_SIDE ? s->cols == rows : s->cols >= BLOCK_SIDE);
}

/* Nanoseconds of products in tiles of this shape: full rounds of tiles on the card, and one more for the rest. */
static double time_of(const tile *t, const fv_product *p, int count) {
    const shape *s = t->s;
    int64_t high = 0, multiprocessors = fv_cuda_multiprocessors();
    for (int i = 0; i < count; i++) high += fv_blocks_of(p[i].outputs, outputs_of(s));
    int64_t all = high * fv_blocks_of(p->tokens, s->cols), at_once = multiprocessors * s->beside, rest = all % at_once, k_blocks = fv_blocks_of(p->k, BLOCK_SIDE);
    double full = (double)(s->together * k_blocks + s->ends), last = rest > multiprocessors ? full : (double)(s->alone * k_blocks + s->ends);
    return (double)(all / at_once) * full + (rest ? last : 0);
}

static const tile *choose(const fv_product *p, int count) {
    const tile *best = NULL;
    double least = 0;
    for (int i = 0; i < TILE_COUNT; i++) {
        if (!takes(tiles[i].s, p)) continue;
        double time = time_of(&tiles[i], p, count);
        if (best == NULL || time < least) best = &tiles[i], least = time;
    }
    return best;
}

FV_TABLE_OP const char *fv_wgmma_tile(int kind) { return kind < TILE_COUNT ? tiles[kind].name : NULL; }

FV_TABLE_OP bool fv_multiply_wgmma(const fv_product *p, int count, int in_tile) {
    const tile *t = in_tile < 0 ? choose(p, count) : &tiles[in_tile];
    if (!takes(t->s, p)) return false;
    job j = {0};
    j.w = fv_walk_of(p, count, outputs_of(t->s), t->s->cols);
    int all = j.w.a_tiles * j.w.b_tiles, at_once = fv_cuda_multiprocessors() * t->s->beside;
    j.blocks = all < at_once ? all : at_once;
    t->launch(&j);
    return true;
}

/* ---- whether what is loaded can do it: built for sm_90a, and on such a card ---- */

typedef struct {
    int32_t *answer;
} question;

FV_GLOBAL(ask, question) {
    if (FV_THREAD == 0) *j.answer = FV_HAS_WGMMA;
}

FV_TABLE_OP bool fv_wgmma_runs(void) {
    static int known = -1;
    if (known >= 0) return known;
    int32_t answer = 0;
    fv_error err;
    question j = {0};
    void *data;
    if (fv_cuda_alloc(&data, sizeof answer, &err) != FV_OK) return false;
    j.answer = (int32_t *)data;
    FV_LAUNCH(ask, 1, 32, 0, j);
    fv_cuda_download(&answer, data, sizeof answer);
    fv_cuda_free(data);
    if (fv_cuda_well()) known = answer != 0;
    return answer != 0;
}

FV_TABLE_OP void fv_multiply(const fv_product *p, int count) {
    if (p->k > 0 && fv_wgmma_runs()) fv_multiply_wgmma(p, count, -1);
    else fv_multiply_mma(p, count);
}
