/* RMS-norm and layer-norm. A block has a row, or several short ones: all of its threads bring it into the block's memory and write what becomes of it. In between sixteen of
 * them are the row's lanes, whose chains then wait for their additions alone. The ways back of the weights are a thread's chain for each column. A row is as long as the
 * weight, so that per-head norms of [rows, heads * head_dim] are rows * heads rows. */
#include "cuda/kernels/columns.h"

enum {
    THREADS = 256,
    MOST_ROWS = THREADS / FV_LANES, /* of a block: then a row's threads are its lanes */
    TOGETHER = 2048,                /* rows share a block that have no more together */
    PIECE = 8192                    /* columns of a row that the block's memory has at a time */
};

typedef struct {
    float *y, *stats; /* forward: results. stats: inv [rows] for rms, (mean, inv) [rows, 2] for layer norm */
    const float *in, *dy;
    float *dx, *dw, *db;
    fv_view w, b;
    int64_t rows;
    int cols, at_once, room; /* at_once: rows of a block, a power of two; room: numbers of each list that a row has in the block's memory */
    float eps;
    fv_columns columns; /* on the way back */
} job;

static job job_of(fv_view in, fv_view w, fv_view stats) {
    job j = {0};
    j.in = fv_f32(in), j.w = w, j.stats = fv_f32(stats), j.cols = (int)fv_elements(w), j.rows = fv_elements(in) / fv_elements(w);
    for (j.at_once = 1; j.at_once < MOST_ROWS && 2 * j.at_once * j.cols <= TOGETHER; ) j.at_once *= 2;
    j.room = ((j.cols < PIECE ? j.cols : PIECE) + 15) / 32 * 32 + 16; /* two rows that a warp adds up are in different banks */
    return j;
}

/* Bytes of a block's memory for so many lists of rows. */
static size_t room_of(const job *j, int lists) { return (size_t)lists * (size_t)(j->at_once * j->room) * sizeof(float); }

/* What a thread does: of its row the columns first .. first + 3, then those `step` on; where it adds, those of its lane as well. */
typedef struct {
    int64_t row;
    int slot, first, step, lane; /* slot: of the row in its block */
    bool adds, leads, there;     /* there: the row is; past the last it is the last again, and nothing is written. leads: tells what was added up */
    float *x, *g;                /* a piece of the row in the block's memory; and on the way back of dy * w */
} place;

FV_DEVICE place place_of(const job *j) {
    place p;
    int threads = THREADS / j->at_once, mine = FV_THREAD % threads;
    p.slot = FV_THREAD / threads;
    p.row = FV_BLOCK * j->at_once + p.slot;
    p.there = p.row < j->rows;
    if (!p.there) p.row = j->rows - 1;
    p.first = 4 * mine, p.step = 4 * threads;
    p.lane = FV_THREAD % FV_LANES, p.adds = mine < FV_WARP, p.leads = mine == 0; /* warps exchange together: the second half of one adds the same again */
    p.x = FV_SHARED(float) + p.slot * j->room;
    p.g = p.x + j->at_once * j->room;
    return p;
}

/* Four numbers of a view, those of bf16 as they lie, so that nobody waits for them before number_of. */
FV_DEVICE fv_four stored_at(const fv_view *v, int64_t c, int64_t n) {
    if (v->dtype == FV_F32) return fv_four_at((const float *)v->data, c, n, 0);
    fv_four x;
    for (int d = 0; d < 4; d++) x.v[d] = fv_from_bits(c + d < n ? ((const uint16_t *)v->data)[c + d] : 0);
    return x;
}
FV_DEVICE float number_of(const fv_view *v, float stored) { return v->dtype == FV_F32 ? stored : fv_widen_bf16((uint16_t)fv_bits(stored)); }

/* Asks for n columns in the block's memory. */
FV_DEVICE void bring(float *to, const float *from, int n, const place *p) {
    bool quads = (uintptr_t)from % 16 == 0;
    for (int c = p->first; c < n; c += p->step) {
        if (quads) fv_copy_16(to + c, from + c, (n - c < 4 ? n - c : 4) * (int)sizeof(float));
        else *(fv_four *)(to + c) = fv_four_at(from, c, n, 0);
    }
}

/* The piece of the rows from column `from` on, for all threads of the block, with g on the way back; how many columns it has. `again`: a row that is one piece is there. */
FV_DEVICE int fetch(const job *j, const place *p, int from, const bool again, const bool back) {
    int n = j->cols - from < PIECE ? j->cols - from : PIECE;
    if (again && j->cols <= PIECE) return n;
    if (again || from > 0) FV_SYNC(); /* the one before has been read */
    int64_t at = p->row * j->cols + from;
    bring(p->x, j->in + at, n, p);
    if (back) bring(p->g, j->dy + at, n, p);
    fv_copy_end();
    fv_copy_wait(0);
    for (int c = p->first; back && c < n; c += p->step) { /* what this thread has brought */
        fv_four w = stored_at(&j->w, from + c, j->cols), *g = (fv_four *)(p->g + c);
        for (int d = 0; d < 4; d++) g->v[d] = fv_mul(g->v[d], number_of(&j->w, w.v[d]));
    }
    FV_SYNC();
    return n;
}

/* What a lane adds for each of its columns, with x and g of them. */
typedef enum {
    SQUARES, /* sum += x x */
    NUMBERS, /* sum += x */
    SPREAD,  /* sum += (x - mean)^2 */
    DOT,     /* sum += g x */
    DOT_HAT  /* sum += g ((x - mean) inv), and other += g */
} kind;

typedef struct {
    float sum, other;
} sums;

FV_DEVICE void add_column(sums *s, float x, float g, float mean, float inv, const kind what) {
    if (what == SQUARES) s->sum = fv_fma(x, x, s->sum);
    if (what == NUMBERS) s->sum = fv_add(s->sum, x);
    if (what == SPREAD) x = fv_sub(x, mean), s->sum = fv_fma(x, x, s->sum);
    if (what == DOT) s->sum = fv_fma(g, x, s->sum);
    if (what == DOT_HAT) s->sum = fv_fma(g, fv_mul(fv_sub(x, mean), inv), s->sum), s->other = fv_add(s->other, g);
}

/* Goes on with a lane's chains by a piece of n columns: some are read together, so that an addition waits for the one before it and not for the block's memory. */
FV_DEVICE void add_piece(sums *s, const place *p, int n, float mean, float inv, const kind what) {
    enum { DEEP = 16 };
    if (!p->adds) return;
    int c = p->lane;
    for (; c + (DEEP - 1) * FV_LANES < n; c += DEEP * FV_LANES) {
        float x[DEEP], g[DEEP];
#pragma unroll
        for (int i = 0; i < DEEP; i++) x[i] = p->x[c + i * FV_LANES], g[i] = what >= DOT ? p->g[c + i * FV_LANES] : 0;
#pragma unroll
        for (int i = 0; i < DEEP; i++) add_column(s, x[i], g[i], mean, inv, what);
    }
#pragma unroll 1
    for (; c < n; c += FV_LANES) add_column(s, p->x[c], what >= DOT ? p->g[c] : 0, mean, inv, what);
}

/* ---- rms_norm: y = x * inv * w, inv = 1 / sqrt(mean(x^2) + eps) -------------------------------------------------------- */

FV_GLOBAL_OF(rms_rows, job, THREADS, 5) {
    FV_BLOCK_SHARED float found[MOST_ROWS];
    place p = place_of(&j);
    fv_four w = stored_at(&j.w, p.first, j.cols), next = stored_at(&j.w, p.first + p.step, j.cols); /* on their way while the row is added up */
    sums squares = {0, 0};
    for (int from = 0; from < j.cols; from += PIECE) add_piece(&squares, &p, fetch(&j, &p, from, false, false), 0, 0, SQUARES);
    if (p.adds) {
        float inv = 1.0f / sqrtf(fv_hsum(squares.sum) / (float)j.cols + j.eps);
        if (p.leads) found[p.slot] = inv;
        if (p.leads && p.there) j.stats[p.row] = inv;
    }
    FV_SYNC();
    float inv = found[p.slot], *y = j.y + p.row * j.cols;
    for (int from = 0; from < j.cols; from += PIECE) {
        int n = fetch(&j, &p, from, true, false);
        for (int c = p.first; c < n; c += p.step) {
            fv_four x = *(const fv_four *)(p.x + c);
            for (int d = 0; d < 4; d++) x.v[d] = fv_mul(fv_mul(x.v[d], inv), number_of(&j.w, w.v[d]));
            if (p.there) fv_put_four(y, from + c, j.cols, x);
            w = next, next = stored_at(&j.w, from + c + 2 * p.step, j.cols);
        }
    }
}

FV_TABLE_OP void fv_cuda_rms_norm(const fv_exec *x, fv_view y, fv_view inv, fv_view in, fv_view w, float eps) {
    (void)x;
    fv_cuda_begin("rms_norm", in, w);
    job j = job_of(in, w, inv);
    j.y = fv_f32(y), j.eps = eps;
    FV_LAUNCH(rms_rows, fv_blocks_of(j.rows, j.at_once), THREADS, room_of(&j, 1), j);
}

/* dx += inv * (g - x * inv^2 * mean(g * x)) with g = dy * w */
FV_GLOBAL_OF(rms_back_rows, job, THREADS, 5) {
    FV_BLOCK_SHARED float found[MOST_ROWS];
    place p = place_of(&j);
    float *dx = j.dx + p.row * j.cols, inv = j.stats[p.row];
    fv_four old = fv_four_at(dx, p.first, j.cols, 0), next = fv_four_at(dx, p.first + p.step, j.cols, 0);
    sums dot = {0, 0};
    for (int from = 0; from < j.cols; from += PIECE) add_piece(&dot, &p, fetch(&j, &p, from, false, true), 0, 0, DOT);
    if (p.adds) dot.sum = fv_hsum(dot.sum);
    if (p.leads) found[p.slot] = inv * inv * (dot.sum / (float)j.cols);
    FV_SYNC();
    float pull = found[p.slot];
    for (int from = 0; from < j.cols; from += PIECE) {
        int n = fetch(&j, &p, from, true, true);
        for (int c = p.first; c < n; c += p.step) {
            fv_four x = *(const fv_four *)(p.x + c), g = *(const fv_four *)(p.g + c);
            for (int d = 0; d < 4; d++) old.v[d] = fv_fma(inv, fv_fnma(x.v[d], pull, g.v[d]), old.v[d]);
            if (p.there) fv_put_four(dx, from + c, j.cols, old);
            old = next, next = fv_four_at(dx, from + c + 2 * p.step, j.cols, 0);
        }
    }
}

static fv_columns columns_of(const job *j, int width) {
    fv_columns c = {0};
    c.a = j->dy, c.b = j->in, c.stats = j->stats, c.width = width, c.rows = j->rows, c.cols = j->cols;
    return c;
}

/* dw[c] += sum_r dy * (x * inv), rows ascending */
FV_GLOBAL(rms_back_columns, job) { fv_add_columns(&j.columns, j.dw, NULL, FV_ADD_RMS); }

FV_TABLE_OP void fv_cuda_rms_norm_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view dy, fv_view in, fv_view w, fv_view inv) {
    (void)x;
    fv_cuda_begin("rms_norm_back", in, w);
    job j = job_of(in, w, inv);
    j.dy = fv_f32(dy), j.dx = fv_f32(dx), j.dw = fv_f32(dw);
    if (j.dx != NULL) FV_LAUNCH(rms_back_rows, fv_blocks_of(j.rows, j.at_once), THREADS, room_of(&j, 2), j);
    j.columns = columns_of(&j, 1);
    if (j.dw != NULL) FV_LAUNCH(rms_back_columns, fv_blocks_of(j.cols, FV_COLUMNS), FV_COLUMN_THREADS, 0, j);
}

/* ---- layer_norm: y = (x - mean) * inv * w + b, inv = 1 / sqrt(mean((x - mean)^2) + eps) --------------------------------- */

FV_GLOBAL_OF(layer_rows, job, THREADS, 5) {
    FV_BLOCK_SHARED float found[MOST_ROWS][2];
    place p = place_of(&j);
    fv_four w = stored_at(&j.w, p.first, j.cols), next_w = stored_at(&j.w, p.first + p.step, j.cols);
    fv_four b = stored_at(&j.b, p.first, j.cols), next_b = stored_at(&j.b, p.first + p.step, j.cols);
    sums sum = {0, 0}, squares = {0, 0};
    float mean = 0;
    for (int from = 0; from < j.cols; from += PIECE) add_piece(&sum, &p, fetch(&j, &p, from, false, false), 0, 0, NUMBERS);
    if (p.adds) mean = fv_hsum(sum.sum) / (float)j.cols;
    for (int from = 0; from < j.cols; from += PIECE) add_piece(&squares, &p, fetch(&j, &p, from, true, false), mean, 0, SPREAD);
    if (p.adds) {
        float inv = 1.0f / sqrtf(fv_hsum(squares.sum) / (float)j.cols + j.eps);
        if (p.leads) found[p.slot][0] = mean, found[p.slot][1] = inv;
        if (p.leads && p.there) j.stats[2 * p.row] = mean, j.stats[2 * p.row + 1] = inv;
    }
    FV_SYNC();
    mean = found[p.slot][0];
    float inv = found[p.slot][1], *y = j.y + p.row * j.cols;
    for (int from = 0; from < j.cols; from += PIECE) {
        int n = fetch(&j, &p, from, true, false);
        for (int c = p.first; c < n; c += p.step) {
            fv_four x = *(const fv_four *)(p.x + c);
            for (int d = 0; d < 4; d++) x.v[d] = fv_fma(fv_mul(fv_sub(x.v[d], mean), inv), number_of(&j.w, w.v[d]), number_of(&j.b, b.v[d]));
            if (p.there) fv_put_four(y, from + c, j.cols, x);
            w = next_w, next_w = stored_at(&j.w, from + c + 2 * p.step, j.cols);
            b = next_b, next_b = stored_at(&j.b, from + c + 2 * p.step, j.cols);
        }
    }
}

FV_TABLE_OP void fv_cuda_layer_norm(const fv_exec *x, fv_view y, fv_view stats, fv_view in, fv_view w, fv_view b, float eps) {
    (void)x;
    fv_cuda_begin("layer_norm", in, w);
    job j = job_of(in, w, stats);
    j.y = fv_f32(y), j.b = b, j.eps = eps;
    FV_LAUNCH(layer_rows, fv_blocks_of(j.rows, j.at_once), THREADS, room_of(&j, 1), j);
}

/* dx += inv * (g - mean(g) - xhat * mean(g * xhat)) with g = dy * w, xhat = (x - mean) * inv */
FV_GLOBAL_OF(layer_back_rows, job, THREADS, 4) {
    FV_BLOCK_SHARED float found[MOST_ROWS][2];
    place p = place_of(&j);
    float *dx = j.dx + p.row * j.cols, mean = j.stats[2 * p.row], inv = j.stats[2 * p.row + 1];
    fv_four old = fv_four_at(dx, p.first, j.cols, 0), next = fv_four_at(dx, p.first + p.step, j.cols, 0);
    sums s = {0, 0};
    for (int from = 0; from < j.cols; from += PIECE) add_piece(&s, &p, fetch(&j, &p, from, false, true), mean, inv, DOT_HAT);
    if (p.adds) s.sum = fv_hsum(s.sum), s.other = fv_hsum(s.other);
    if (p.leads) found[p.slot][0] = s.other / (float)j.cols, found[p.slot][1] = s.sum / (float)j.cols;
    FV_SYNC();
    float mean_g = found[p.slot][0], pull = found[p.slot][1];
    for (int from = 0; from < j.cols; from += PIECE) {
        int n = fetch(&j, &p, from, true, true);
        for (int c = p.first; c < n; c += p.step) {
            fv_four x = *(const fv_four *)(p.x + c), g = *(const fv_four *)(p.g + c);
            for (int d = 0; d < 4; d++) {
                float hat = fv_mul(fv_sub(x.v[d], mean), inv);
                old.v[d] = fv_fma(inv, fv_fnma(hat, pull, fv_sub(g.v[d], mean_g)), old.v[d]);
            }
            if (p.there) fv_put_four(dx, from + c, j.cols, old);
            old = next, next = fv_four_at(dx, from + c + 2 * p.step, j.cols, 0);
        }
    }
}

/* dw += sum_r dy * xhat, db += sum_r dy, rows ascending */
FV_GLOBAL(layer_back_columns, job) { fv_add_columns(&j.columns, j.dw, j.db, FV_ADD_LAYER); }

FV_TABLE_OP void fv_cuda_layer_norm_back(const fv_exec *x, fv_view dx, fv_view dw, fv_view db, fv_view dy, fv_view in, fv_view w, fv_view stats) {
    (void)x;
    fv_cuda_begin("layer_norm_back", in, w);
    job j = job_of(in, w, stats);
    j.dy = fv_f32(dy), j.dx = fv_f32(dx), j.dw = fv_f32(dw), j.db = fv_f32(db);
    if (j.dx != NULL) FV_LAUNCH(layer_back_rows, fv_blocks_of(j.rows, j.at_once), THREADS, room_of(&j, 2), j);
    j.columns = columns_of(&j, 2);
    if (j.dw != NULL || j.db != NULL) FV_LAUNCH(layer_back_columns, fv_blocks_of(j.cols, FV_COLUMNS), FV_COLUMN_THREADS, 0, j);
}
