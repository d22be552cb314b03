/* The vision tower: patches to embeddings for the language model. One file for Qwen2-VL, Qwen2.5-VL and Qwen3-VL; they differ by data (HF facts 7). */
#ifndef FV_VISION_TOWER_H
#define FV_VISION_TOWER_H

#include "core/pass.h"
#include "vision/processor.h"

enum { FV_MAX_DEEPSTACK = 8 };

typedef struct {
    int hidden, depth, heads, intermediate, out_hidden;
    int patch, temporal, merge, channels;
    bool rms_norm;          /* Qwen2.5-VL; else LayerNorm */
    bool gated;             /* SwiGLU with bias (Qwen2.5-VL); else fc1, act, fc2 */
    bool patch_bias;        /* Qwen3-VL */
    fv_activation act;      /* of the ungated MLP */
    int window;             /* pixels; 0: every block attends over the whole frame */
    uint64_t full_blocks;   /* bit b: block b attends over the whole frame (Qwen2.5-VL) */
    int positions;          /* rows of the learned position table (a square), 0: none */
    int deepstack[FV_MAX_DEEPSTACK], deepstack_count; /* after which block each merger stands; of several the first, of none none */
} fv_tower_config;

typedef struct fv_tower fv_tower;

/* Resolves the tower's weights by name in `weights` ("visual." or "model.visual."), checks their shapes and marks linear ones. On failure *out is
 * NULL and err names the weight. */
fv_status fv_tower_open(fv_tower **out, const fv_tower_config *c, fv_weight *weights, int count, fv_error *err);
void fv_tower_close(fv_tower *t);

typedef struct {
    fv_var *embeds;                         /* [sum of merged tokens, out_hidden], pictures in order */
    fv_var *deepstack[FV_MAX_DEEPSTACK];    /* the same shape each */
} fv_tower_out;

/* All pictures of a pass at once (at least one); each row's result depends on its own picture's frame alone. Grids are multiples of c->merge.
 * The slot must be of the tower's model (p->error). */
fv_tower_out fv_tower_forward(fv_pass *p, const fv_tower *t, const fv_patches *const *pictures, int count);

#endif
