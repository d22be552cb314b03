/* Products on the tensor cores of any card from sm_80 on, by mma.sync of 16 outputs by 8 tokens by 16 of k. A block makes one tile: copies fill a ring of
 * stages of 64 of k while its warps multiply the stage that is there. */
#include "cuda/kernels/mma.h"

typedef struct {
    fv_walk w;
    int b_rows; /* of a block, where tokens are fewer than 64 */
} job;

/* A tile: warps along outputs and tokens, each with 16 * high by 8 * wide of it. Constants where this is inlined. */
typedef struct {
    int a_warps, b_warps, high, wide, stages;
    bool a_turned, b_turned;
} shape;

enum { PIECE = 16, PIECES_A_BLOCK = BLOCK_BYTES / PIECE };

#define OUTPUTS(s) ((s).a_warps * (s).high * 16)
#define TOKENS(s) ((s).b_warps * (s).wide * 8)
#define THREADS(s) ((s).a_warps * (s).b_warps * 32)
#define STAGE_BYTES(s) ((OUTPUTS(s) + TOKENS(s)) * BLOCK_ROW_BYTES)

/* A tile of `rows` outputs or tokens at one block of k. There are `units` blocks from its first row on, of which `there` rows are in memory. */
FV_DEVICE void copy_tile(char *to, const char *from, int64_t unit, int64_t units, const int rows, int there, const int threads) {
#pragma unroll
    for (int e = 0; e < rows * BLOCK_ROW_BYTES / PIECE; e += threads) {
        int c = e + FV_THREAD;
        if (c < rows * BLOCK_ROW_BYTES / PIECE && c / PIECES_A_BLOCK < units && c % PIECES_A_BLOCK * PIECE < there * BLOCK_ROW_BYTES)
            fv_copy_16(to + c * PIECE, from + c / PIECES_A_BLOCK * unit + c % PIECES_A_BLOCK * PIECE, PIECE);
    }
}

FV_DEVICE void bring(const job *j, const fv_walk_part *part, char *stage, int64_t row, int64_t col, int k, const shape s) {
    if (k < j->w.k_blocks) {
        const char *a = part->a + row / BLOCK_SIDE * j->w.a_unit + row % BLOCK_SIDE * BLOCK_ROW_BYTES + k * j->w.a_step;
        const char *b = j->w.b + col / BLOCK_SIDE * j->w.b_unit + col % BLOCK_SIDE * BLOCK_ROW_BYTES + k * j->w.b_step;
        copy_tile(stage, a, j->w.a_unit, part->blocks - row / BLOCK_SIDE, OUTPUTS(s), BLOCK_SIDE, THREADS(s));
        copy_tile(stage + OUTPUTS(s) * BLOCK_ROW_BYTES, b, j->w.b_unit, j->w.b_blocks - col / BLOCK_SIDE, TOKENS(s), j->b_rows, THREADS(s));
    }
    fv_copy_end();
}

/* The sums of a thread (fv_multiply_part) into y. */
FV_DEVICE void end_sums(const job *j, const fv_walk_part *part, const float *sum, int64_t row, int64_t col, const shape s) {
    int lane = FV_THREAD % 32;
#pragma unroll
    for (int e = 0; e < s.high * s.wide * 4; e++) {
        int m = e / 4 / s.wide, n = e / 4 % s.wide, i = e % 4;
        int64_t output = row + m * 16 + lane / 4 + i / 2 * 8, token = col + n * 8 + lane % 4 * 2 + i % 2;
        if (output >= part->outputs || token >= j->w.tokens) continue;
        float *y = part->y + token * part->outputs + output;
        *y = fv_mul(fv_add(j->w.fresh ? fv_start(&j->w, part, output) : *y, sum[e]), part->scale);
    }
}

FV_DEVICE void work(const job *j, char *ring, const shape s) {
    float sum[HIGH_MOST * WIDE_MOST * 4];
    int warp = FV_THREAD / 32;
    int tile = (int)FV_BLOCK / j->w.b_tiles;
    fv_walk_part part = fv_part_at(&j->w, tile);
    int64_t row = (int64_t)(tile - part.first) * OUTPUTS(s), col = FV_BLOCK % j->w.b_tiles * TOKENS(s);
    fv_part w = {warp % s.a_warps * s.high * 16, warp / s.a_warps * s.wide * 8, s.high, s.wide};
    for (int k = 0; k < s.stages - 1; k++) bring(j, &part, ring + k * STAGE_BYTES(s), row, col, k, s);
#pragma unroll
    for (int e = 0; e < s.high * s.wide * 4; e++) sum[e] = 0;
    for (int k = 0; k < j->w.k_blocks; k++) {
        fv_copy_wait(s.stages - 2);
        FV_SYNC(); /* everybody's copies are there, and everybody is done with the stage before */
        bring(j, &part, ring + (k + s.stages - 1) % s.stages * STAGE_BYTES(s), row, col, k + s.stages - 1, s);
        const char *stage = ring + k % s.stages * STAGE_BYTES(s);
        fv_multiply_part(sum, stage, stage + OUTPUTS(s) * BLOCK_ROW_BYTES, w, TOKENS(s), s.a_turned, s.b_turned);
    }
    fv_copy_wait(0); /* empty groups */
    end_sums(j, &part, sum, row + w.row, col + w.col, s);
}

/* name, warps along outputs and tokens, high, wide, stages (at most 6: fv_copy_wait), a and b turned. Every card has 99 KiB for a block. */
#define TILES(X)                                                                                                       \
    X(mma_8, 2, 1, 1, 1, 6, 0, 0)                                                                                      \
    X(mma_64, 2, 2, 1, 4, 4, 0, 0)                                                                                     \
    X(mma_128, 4, 2, 2, 8, 3, 0, 0)                                                                                    \
    X(mma_128_a, 4, 2, 2, 8, 3, 1, 0)                                                                                  \
    X(mma_128_ab, 4, 2, 2, 8, 3, 1, 1)

#define TILE_DEFINE(name, ...)                                                                                         \
    static const shape name##_shape = {__VA_ARGS__};                                                                   \
    FV_GLOBAL(name, job) {                                                                                             \
        const shape s = {__VA_ARGS__};                                                                                 \
        work(&j, FV_SHARED(char), s);                                                                                  \
    }                                                                                                                  \
    static void launch_##name(const job *j, int64_t blocks) {                                                          \
        FV_LAUNCH_WIDE(name, blocks, THREADS(name##_shape), name##_shape.stages *STAGE_BYTES(name##_shape), *j);    \
    }
TILES(TILE_DEFINE)

typedef struct {
    const shape *s;
    void (*launch)(const job *j, int64_t blocks);
} tile;
#define TILE_ROW(name, ...) {&name##_shape, launch_##name},
static const tile tiles[] = {TILES(TILE_ROW)};

FV_TABLE_OP void fv_multiply_mma(const fv_product *p, int count) {
    const tile *t = tiles; /* the first, and so the smallest, that holds all tokens; else the last of its kind */
    while (t->s->a_turned != p->a_turned || t->s->b_turned != p->b_turned || (TOKENS(*t->s) < 128 && TOKENS(*t->s) < p->tokens)) t++;
    job j = {0};
    j.w = fv_walk_of(p, count, OUTPUTS(*t->s), TOKENS(*t->s));
    j.b_rows = p->a_turned || p->tokens > BLOCK_SIDE ? BLOCK_SIDE : (int)fv_token_rows(p->tokens);
    t->launch(&j, (int64_t)j.w.a_tiles * j.w.b_tiles);
}
