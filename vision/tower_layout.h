/* Where the patches of a pass's pictures stand in the tower: their order, positions, and who attends to whom. Integer work, done once a pass. */
#ifndef FV_VISION_TOWER_LAYOUT_H
#define FV_VISION_TOWER_LAYOUT_H

#include "core/pass.h"
#include "vision/tower.h"

typedef struct {
    int rows, cells;         /* patches; merged patches */
    bool permuted;           /* rows stand window by window, not in the order of the pictures' patches */
    fv_view order;           /* i32 [rows] which patch a row holds */
    fv_view back;            /* i32 [cells] which merged row a picture's cell became */
    fv_view position;        /* i32 [2, rows] row and column in the picture's grid */
    fv_runs frame, window;   /* attention over a whole frame, and inside a window (absent without windows) */
    fv_view corner, mix;     /* i32, f32 [rows, 4] into the learned positions (absent without) */
    fv_view third[3];        /* i32 [rows] q, k, v among the rows of qkv as [3 * rows, hidden] */
} fv_tower_layout;

/* Memory from the arena. Grids are multiples of c->merge. */
fv_tower_layout fv_tower_lay_out(fv_arena *arena, const fv_tower_config *c, const fv_patches *const *pictures, int count);

#endif
