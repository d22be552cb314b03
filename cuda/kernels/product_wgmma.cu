/* Products on Hopper's tensor cores (cuda/kernels/hopper.h): y^T = A B^T, outputs on the instruction's 64 rows, tokens on its columns, of which it takes
 * 8 to 256: so few tokens waste nothing, and one order of additions serves every number of them.
 *
 * A block's last warp brings tiles of A and B into a ring of stages, by bulk copies; the four warps of each group multiply what is there. A
 * gate of each stage tells that it is full, another that all groups have read it. Blocks stay and take tile after tile, so that the next tile's
 * stages are on their way while sums are written. Two blocks that are neighbours in A may be a cluster: each brings half of the tokens' tile
 * to both. The bits are the same for every shape of tile, so the fastest is taken. */
#include "cuda/kernels/hopper.h"

typedef struct {
    fv_product p;
    int64_t a_unit, a_step, b_unit, b_step; /* bytes to the next unit of outputs or tokens, and to the next 64 of k */
    int k_blocks, blocks;                   /* blocks: of threads, that share the tiles */
    int64_t a_blocks, b_blocks;             /* blocks of 64 outputs, and of tokens, that there are in memory */
    int64_t a_tiles, b_tiles;
} job;

/* A kernel's tile: `groups` times `rows` outputs (below 64: one group, which multiplies what follows in memory, too, and drops it), `cols` tokens,
 * `depth` blocks of 64 of k a stage (above 1: one group, at most 64 tokens, and only for k that is so many blocks again and again). Constants where this is inlined. */
typedef struct {
    int groups, rows, cols, depth, stages;
    bool a_turned, b_turned;
    int cluster; /* blocks of a cluster: 1 or 2 */
    int beside;  /* blocks that share a multiprocessor */
} shape;

enum { SUMS_MOST = 128, GATE_BYTES = 8, ALIGNMENT = 1024, BAND = 8 };

/* Units are what is copied at once: the rows of a group, 64 tokens or all. */
#define A_BYTES(s) ((s).rows * BLOCK_ROW_BYTES)
#define B_UNITS(s) ((s).cols < BLOCK_SIDE ? 1 : (s).cols / BLOCK_SIDE)
#define B_BYTES(s) (((s).cols < BLOCK_SIDE ? (s).cols : BLOCK_SIDE) * BLOCK_ROW_BYTES)
#define A_STAGE(s) ((s).depth * (s).groups * A_BYTES(s))
#define B_STAGE(s) ((s).depth * B_UNITS(s) * B_BYTES(s))
#define SHARED_BYTES(s)                                                                                                \
    (ALIGNMENT + (s).stages * (A_STAGE(s) + B_STAGE(s) + 2 * GATE_BYTES) + ((s).rows < BLOCK_SIDE ? BLOCK_BYTES : 0))

#if FV_HAS_WGMMA

/* A block's memory: [stages] of A, [stages] of B, gates. */
typedef struct {
    char *a, *b;
    fv_gate *full, *empty;
} ring;

FV_DEVICE ring ring_of(char *shared, const shape s) {
    ring r;
    r.a = (char *)(((uintptr_t)shared + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    r.b = r.a + s.stages * A_STAGE(s);
    r.full = (fv_gate *)(r.b + s.stages * B_STAGE(s) + (s.rows < BLOCK_SIDE ? BLOCK_BYTES : 0));
    r.empty = r.full + s.stages;
    return r;
}

typedef struct {
    int64_t a, b; /* the tile's place among tiles */
} place;

/* Tiles are taken in bands of some tiles of tokens, down each band first: what blocks do at the same time shares much of both matrices in the second-level cache. */
FV_DEVICE place place_of(const job *j, int64_t turn, int rank, const int cluster) {
    int64_t wide = (j->a_tiles + cluster - 1) / cluster, band = turn / (wide * BAND), in = turn % (wide * BAND);
    int64_t high = j->b_tiles - band * BAND < BAND ? j->b_tiles - band * BAND : BAND;
    place at;
    at.a = in / high * cluster + rank;
    at.b = band * BAND + in % high;
    return at;
}
FV_DEVICE int64_t turns_of(const job *j, const int cluster) { return (j->a_tiles + cluster - 1) / cluster * j->b_tiles; }

/* Units of a tile that there are: of `all`, from `first`, at most `most`. */
FV_DEVICE int there(int64_t all, int64_t first, int most) { return all - first >= most ? most : all > first ? (int)(all - first) : 0; }

/* `count` units of `bytes`, `step` apart, to one piece of the block's memory, or of both blocks'. One copy where they are one piece, too. */
FV_DEVICE void bring(char *to, const char *from, int count, int bytes, int64_t step, fv_gate *full, bool both) {
    int copies = step == bytes ? 1 : count, size = step == bytes ? count * bytes : bytes;
    for (int i = 0; i < copies && count > 0; i++, to += size, from += step) {
        if (both) fv_bulk_to_all(to, from, size, full, 3);
        else fv_bulk(to, from, size, full);
    }
}

/* One thread's work: the whole ring, tile after tile. */
FV_DEVICE void produce(const job *j, ring r, int rank, const shape s) {
    int stage = 0, parity = 1;
    const int part = (B_UNITS(s) + s.cluster - 1) / s.cluster; /* units of B that a block of the cluster brings */
    for (int64_t turn = FV_BLOCK / s.cluster; turn < turns_of(j, s.cluster); turn += j->blocks / s.cluster) {
        place at = place_of(j, turn, rank, s.cluster);
        int64_t row = at.a * s.groups * s.rows, col = at.b * s.cols;
        int a_units = there(j->a_blocks, row / BLOCK_SIDE, s.groups), b_units = there(j->b_blocks, col / BLOCK_SIDE, B_UNITS(s));
        int mine = there(b_units, rank * part, part);
        const char *a = j->p.a.data + row / BLOCK_SIDE * j->a_unit + row % BLOCK_SIDE * BLOCK_ROW_BYTES, *b = j->p.b.data + (col / BLOCK_SIDE + rank * part) * j->b_unit;
        for (int k = 0; k < j->k_blocks; k += s.depth, a += s.depth * j->a_step, b += s.depth * j->b_step) {
            fv_gate *full = &r.full[stage];
            char *to_a = r.a + stage * A_STAGE(s), *to_b = r.b + stage * B_STAGE(s) + rank * part * B_BYTES(s);
            fv_gate_wait(&r.empty[stage], parity);
            fv_gate_expect(full, s.depth * (a_units * A_BYTES(s) + b_units * B_BYTES(s)));
            bring(to_a, a, s.depth * a_units, A_BYTES(s), s.depth > 1 ? j->a_step : j->a_unit, full, false);
            bring(to_b, b, s.depth * mine, B_BYTES(s), s.depth > 1 ? j->b_step : j->b_unit, full, s.cluster > 1);
            if (++stage == s.stages) stage = 0, parity ^= 1;
        }
    }
}

/* The sums of a thread (fv_wgmma) into y: as fv_product_end, with the start's kind looked up once. */
FV_DEVICE void end_sums(const job *j, const float *sum, place at, const shape s) {
    int warp = FV_THREAD / 32, lane = FV_THREAD % 32, row = warp % 4 * 16 + lane / 4;
    int64_t output = (at.a * s.groups + warp / 4) * s.rows + row, token = at.b * s.cols + lane % 4 * 2, left = j->p.tokens - token;
    bool inside[2] = {row < s.rows && output < j->p.outputs, row + 8 < s.rows && output + 8 < j->p.outputs}, bias = j->p.fresh && j->p.bias != NULL;
    float start[2] = {inside[0] && bias ? j->p.bias[output] : 0, inside[1] && bias ? j->p.bias[output + 8] : 0};
    float *y = j->p.y + token * j->p.outputs + output;
#pragma unroll
    for (int c = 0; c < s.cols / 8; c++, y += 8 * j->p.outputs)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float *here = y + i % 2 * j->p.outputs + i / 2 * 8;
            if (inside[i / 2] && 8 * c + i % 2 < left) *here = fv_add(j->p.fresh ? start[i / 2] : *here, sum[4 * c + i]);
        }
}

/* A warp is done with a stage, in every block that brings a part of it. */
FV_DEVICE void give_back(fv_gate *gate, const int cluster) {
    int lane = FV_THREAD % 32;
    if (cluster == 1 && lane == 0) fv_gate_arrive(gate);
    if (cluster > 1 && lane < cluster) fv_gate_arrive_at(gate, lane);
}

FV_DEVICE void multiply_stage(float *sum, fv_tile a, fv_tile b, bool more, const shape s) {
    const int a_16 = s.a_turned ? 16 * BLOCK_ROW_BYTES : 32, b_16 = s.b_turned ? 16 * BLOCK_ROW_BYTES : 32;
#pragma unroll
    for (int i = 0; i < s.depth; i++)
#pragma unroll
        for (int l = 0; l < BLOCK_SIDE / 16; l++)
            fv_wgmma(sum, fv_tile_at(a, i * s.groups * A_BYTES(s) + l * a_16), fv_tile_at(b, i * B_UNITS(s) * B_BYTES(s) + l * b_16), more || i || l, s.cols,
                     s.a_turned, s.b_turned);
}

FV_DEVICE void consume(const job *j, ring r, int rank, const shape s) {
    float sum[SUMS_MOST];
    int stage = 0, parity = 0, group = FV_THREAD / 128;
    for (int64_t turn = FV_BLOCK / s.cluster; turn < turns_of(j, s.cluster); turn += j->blocks / s.cluster) {
        place at = place_of(j, turn, rank, s.cluster);
        fv_gate *last = NULL;
        for (int k = 0; k < j->k_blocks; k += s.depth) {
            fv_gate_wait(&r.full[stage], parity);
            fv_wgmma_begin();
            multiply_stage(sum, fv_tile_of(r.a + stage * A_STAGE(s) + group * A_BYTES(s)), fv_tile_of(r.b + stage * B_STAGE(s)), k > 0, s);
            fv_wgmma_commit();
            if (last != NULL) {
                fv_wgmma_wait_for_earlier();
                give_back(last, s.cluster);
            }
            last = &r.empty[stage];
            if (++stage == s.stages) stage = 0, parity ^= 1;
        }
        fv_wgmma_wait(sum, s.cols / 2);
        give_back(last, s.cluster);
        end_sums(j, sum, at, s);
    }
}

FV_DEVICE void work(const job *j, char *shared, const shape s) {
    ring r = ring_of(shared, s);
    int rank = s.cluster > 1 ? fv_cluster_rank() : 0;
    if (FV_THREAD == 0) {
        for (int i = 0; i < s.stages; i++) {
            fv_gate_init(&r.full[i], 1);
            fv_gate_init(&r.empty[i], s.groups * 4 * s.cluster);
        }
        fv_gates_made(s.cluster > 1);
    }
    FV_SYNC();
    if (s.cluster > 1) fv_cluster_sync();
    if (FV_THREAD / 128 < s.groups) consume(j, r, rank, s);
    else if (FV_THREAD % 32 == 0) produce(j, r, rank, s);
    if (s.cluster > 1) {
        fv_warp_sync();
        fv_cluster_sync(); /* the other block may still write here */
    }
}

#else /* a card that is no Hopper: never launched there */
#define work(j, shared, s) (void)(s)
#endif

/* name, groups, rows, cols, depth, stages, a and b turned, cluster, blocks beside each other. A multiprocessor has 227 KiB. */
#define TILES(X)                                                                                                       \
    X(any_8, 1, 64, 8, 1, 8, 0, 0, 1, 2)                                                                               \
    X(any_16, 1, 64, 16, 1, 8, 0, 0, 1, 2)                                                                             \
    X(any_32, 1, 64, 32, 1, 8, 0, 0, 1, 2)                                                                             \
    X(any_64, 1, 64, 64, 1, 6, 0, 0, 1, 2)                                                                             \
    X(low_8, 1, 64, 8, 4, 3, 0, 0, 1, 2)                                                                               \
    X(low_16, 1, 64, 16, 4, 2, 0, 0, 1, 2)                                                                             \
    X(low_32, 1, 64, 32, 2, 4, 0, 0, 1, 2)                                                                             \
    X(low_64, 1, 64, 64, 2, 3, 0, 0, 1, 2)                                                                             \
    X(thin_8, 1, 16, 8, 4, 8, 0, 0, 1, 2)                                                                              \
    X(thin_16, 1, 16, 16, 4, 6, 0, 0, 1, 2)                                                                            \
    X(thin_32, 1, 16, 32, 4, 4, 0, 0, 1, 2)                                                                            \
    X(thin_64, 1, 16, 64, 2, 5, 0, 0, 1, 2)                                                                            \
    X(middle, 1, 64, 128, 1, 4, 0, 0, 1, 2)                                                                            \
    X(square, 2, 64, 128, 1, 6, 0, 0, 1, 1)                                                                            \
    X(square_2, 2, 64, 128, 1, 6, 0, 0, 2, 1)                                                                          \
    X(wide, 2, 64, 192, 1, 5, 0, 0, 1, 1)                                                                              \
    X(wide_2, 2, 64, 192, 1, 5, 0, 0, 2, 1)                                                                            \
    X(large, 2, 64, 256, 1, 4, 0, 0, 1, 1)                                                                             \
    X(large_2, 2, 64, 256, 1, 4, 0, 0, 2, 1)                                                                           \
    X(square_a, 2, 64, 128, 1, 6, 1, 0, 2, 1)                                                                          \
    X(large_a, 2, 64, 256, 1, 4, 1, 0, 2, 1)                                                                           \
    X(square_ab, 2, 64, 128, 1, 6, 1, 1, 2, 1)                                                                         \
    X(large_ab, 2, 64, 256, 1, 4, 1, 1, 2, 1)

#define TILE_DEFINE(name, g, r, c, d, st, at, bt, cl, n)                                                               \
    static const shape name##_shape = {g, r, c, d, st, at, bt, FV_CLUSTERS ? cl : 1, n};                               \
    FV_GLOBAL_OF(name, job, (g)*128 + 32, n) {                                                                         \
        const shape s = {g, r, c, d, st, at, bt, FV_CLUSTERS ? cl : 1, n};                                             \
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
        FV_LAUNCH_WIDE(name, j->blocks, name##_shape.groups * 128 + 32, SHARED_BYTES(name##_shape), name##_shape.cluster, *j); \
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

/* Time of a product in tiles of this shape, in units of its own: rounds of tiles on the card, times what a multiprocessor needs for one, which is the larger of its
 * products and of its bytes. */
static double cost_of(const tile *t, const fv_product *p) {
    const shape *s = t->s;
    int64_t count = fv_blocks_of(p->outputs, outputs_of(s)) * fv_blocks_of(p->tokens, s->cols), at_once = (int64_t)fv_cuda_multiprocessors() * s->beside;
    double products = (double)(s->groups * s->cols + 24), bytes = 0.7 * (double)(outputs_of(s) + s->cols);
    return (double)fv_blocks_of(count, at_once) * s->beside * (products > bytes ? products : bytes);
}

static const tile *choose(const fv_product *p) {
    const tile *best = NULL;
    for (int i = 0; i < TILE_COUNT; i++)
        if (takes(tiles[i].s, p) && (best == NULL || cost_of(&tiles[i], p) < cost_of(best, p))) best = &tiles[i];
    return best;
}

FV_TABLE_OP const char *fv_wgmma_tile(int kind) { return kind < TILE_COUNT ? tiles[kind].name : NULL; }

FV_TABLE_OP bool fv_multiply_wgmma(const fv_product *p, int in_tile) {
    const tile *t = in_tile < 0 ? choose(p) : &tiles[in_tile];
    if (!takes(t->s, p)) return false;
    job j = {0};
    j.p = *p;
    j.a_unit = p->a_turned ? p->a.col_step : p->a.row_step, j.a_step = p->a_turned ? p->a.row_step : p->a.col_step;
    j.b_unit = p->b_turned ? p->b.col_step : p->b.row_step, j.b_step = p->b_turned ? p->b.row_step : p->b.col_step;
    j.a_blocks = fv_blocks_of(p->outputs, BLOCK_SIDE), j.b_blocks = fv_blocks_of(p->tokens, BLOCK_SIDE);
    j.k_blocks = (int)fv_blocks_of(p->k, BLOCK_SIDE);
    j.a_tiles = fv_blocks_of(p->outputs, outputs_of(t->s)), j.b_tiles = fv_blocks_of(p->tokens, t->s->cols);
    int64_t turns = fv_blocks_of(j.a_tiles, t->s->cluster) * j.b_tiles, at_once = (int64_t)fv_cuda_multiprocessors() * t->s->beside / t->s->cluster;
    j.blocks = (int)(turns < at_once ? turns : at_once) * t->s->cluster;
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

FV_TABLE_OP void fv_multiply(const fv_product *p) {
    if (p->k > 0 && fv_wgmma_runs()) fv_multiply_wgmma(p, -1);
    else fv_multiply_mma(p);
}
