#include "vision/tower_layout.h"

#include <math.h>

/* Runs of rows that attend to each other, by their lengths. */
typedef struct {
    int32_t *length;
    int count;
} runs;

typedef struct {
    const fv_tower_config *c;
    int32_t *order, *back, *position, *corner;
    float *mix;
    runs frames, windows;
    int rows, cells;   /* in all */
    int at, base;      /* cells placed so far; the picture's first cell */
} builder;

/* One axis of bilinear resampling with align_corners, in f32 as transformers has it: the two entries of the table (of `side`) and their weights. */
static void resample(int i, int size, int side, int tap[2], float weight[2]) {
    float from = (float)i * (float)(side - 1) / (float)(size > 1 ? size - 1 : 1);
    int low = (int)from;
    tap[0] = low;
    tap[1] = low + 1 < side ? low + 1 : side - 1;
    weight[0] = 1 - (from - (float)low);
    weight[1] = 1 - fabsf(from - (float)low - 1);
}

static void place_learned(builder *b, int row, int y, int x, const int grid[3]) {
    int side = (int)lround(sqrt(b->c->positions)), ty[2], tx[2];
    float wy[2], wx[2];
    resample(y, grid[1], side, ty, wy);
    resample(x, grid[2], side, tx, wx);
    for (int j = 0; j < 4; j++) {
        b->corner[4 * row + j] = ty[j / 2] * side + tx[j % 2];
        b->mix[4 * row + j] = wy[j / 2] * wx[j % 2];
    }
}

/* The next merged cell of the tower is (t, y, x) of the picture: its merge x merge patches follow each other. */
static void place_cell(builder *b, int t, int y, int x, const int grid[3]) {
    int m = b->c->merge, unit = m * m;
    int cell = b->base + (t * (grid[1] / m) + y) * (grid[2] / m) + x;
    b->back[cell] = b->at;
    for (int u = 0; u < unit; u++) {
        int row = b->at * unit + u, py = y * m + u / m, px = x * m + u % m;
        b->order[row] = cell * unit + u;
        b->position[row] = py;
        b->position[b->rows + row] = px;
        if (b->c->positions) place_learned(b, row, py, px, grid);
    }
    b->at++;
}

/* A picture, frame by frame and window by window; without windows a frame is one. */
static void place_picture(builder *b, const int grid[3]) {
    int m = b->c->merge, high = grid[1] / m, wide = grid[2] / m;
    int side = b->c->window ? b->c->window / m / b->c->patch : high > wide ? high : wide;
    for (int t = 0; t < grid[0]; t++) {
        for (int top = 0; top < high; top += side)
            for (int left = 0; left < wide; left += side) {
                int before = b->at;
                for (int y = top; y < high && y < top + side; y++)
                    for (int x = left; x < wide && x < left + side; x++) place_cell(b, t, y, x, grid);
                b->windows.length[b->windows.count++] = (b->at - before) * m * m;
            }
        b->frames.length[b->frames.count++] = grid[1] * grid[2];
    }
    b->base += grid[0] * high * wide;
}

static fv_runs attend_in(fv_arena *arena, const fv_tower_config *c, const runs *r, int rows) {
    int32_t *run_row = FV_TAKE(arena, int32_t, r->count + 1);
    run_row[0] = 0;
    for (int i = 0; i < r->count; i++) run_row[i + 1] = run_row[i] + r->length[i];
    int dim = c->hidden / c->heads;
    return (fv_runs){.rows = rows, .heads = c->heads, .head_dim = dim, .scale = (float)(1 / sqrt(dim)), .runs = r->count, .run_row = run_row};
}

static fv_view matrix_of_ints(const int32_t *data, int64_t rows, int64_t cols) {
    fv_view v = fv_ints(data, rows * cols);
    v.rank = 2;
    v.shape[0] = rows;
    v.shape[1] = cols;
    return v;
}

static builder begin(fv_arena *arena, const fv_tower_config *c, const fv_patches *const *pictures, int count) {
    builder b = {.c = c};
    int frames = 0;
    for (int i = 0; i < count; i++) {
        b.rows += fv_patches_rows(pictures[i]);
        frames += pictures[i]->grid[0];
    }
    b.cells = b.rows / (c->merge * c->merge);
    b.order = FV_TAKE(arena, int32_t, b.rows);
    b.back = FV_TAKE(arena, int32_t, b.cells);
    b.position = FV_TAKE(arena, int32_t, 2 * b.rows);
    b.frames.length = FV_TAKE(arena, int32_t, frames);
    b.windows.length = FV_TAKE(arena, int32_t, b.cells);
    if (!c->positions) return b;
    b.corner = FV_TAKE(arena, int32_t, 4 * b.rows);
    b.mix = FV_TAKE(arena, float, 4 * b.rows);
    return b;
}

fv_tower_layout fv_tower_lay_out(fv_arena *arena, const fv_tower_config *c, const fv_patches *const *pictures, int count) {
    builder b = begin(arena, c, pictures, count);
    for (int i = 0; i < count; i++) place_picture(&b, pictures[i]->grid);
    fv_tower_layout l = {.rows = b.rows, .cells = b.cells, .permuted = c->window > 0};
    l.order = fv_ints(b.order, b.rows);
    l.back = fv_ints(b.back, b.cells);
    l.position = matrix_of_ints(b.position, 2, b.rows);
    l.frame = attend_in(arena, c, &b.frames, b.rows);
    if (c->window) l.window = attend_in(arena, c, &b.windows, b.rows);
    if (c->positions) {
        l.corner = matrix_of_ints(b.corner, b.rows, 4);
        l.mix = fv_mat(b.mix, b.rows, 4);
    }
    for (int part = 0; part < 3; part++) {
        int32_t *third = FV_TAKE(arena, int32_t, b.rows);
        for (int r = 0; r < b.rows; r++) third[r] = 3 * r + part;
        l.third[part] = fv_ints(third, b.rows);
    }
    return l;
}
