/* A packed pass: segments of the tree as one batch of rows, each segment once, its tokens attending to their ancestors through page tables.
 * This is how the tree is scored and trained. Rows are in canonical order (fv_tree_order), so gradients are summed in it. */
#ifndef FV_RL_PACK_H
#define FV_RL_PACK_H

#include "core/recording.h"
#include "rl/engine/tree.h"

typedef struct {
    fv_batch batch;               /* for fv_decoder_forward; visual is filled in by fv_pack_forward */
    const fv_tree *tree;
    int *order, segments;         /* the packed segments, canonical */
    int *row_of;                  /* [tree->count] first row of a segment, -1: not packed */
    int *count_of;                /* [tree->count] packed tokens of a segment */
    int rows;
    fv_recording *record;            /* where the decoder's results are known already (fv_engine_replay), else NULL */
    fv_view recorded;             /* i32 [rows] rows of the record */
    const fv_picture **pictures;  /* distinct ones, in order of first appearance */
    int picture_count;
    fv_recording *seen;           /* where the tower's results are known already, else NULL; rows of it: */
    fv_view seen_rows;            /* i32 [patches of all pictures] */
    fv_view visual_row, visual_index;
} fv_pack;

/* Lays out all segments on paths to `leaves`. Memory from the arena. */
fv_status fv_pack_make(fv_pack *out, const fv_tree *t, const int *leaves, int leaf_count, int merge, fv_arena *arena, fv_error *err);

/* The same without what stands at an end and predicts nothing, such as the last token of an answer: for passes whose masked targets are all that is
 * wanted. */
fv_status fv_pack_make_scored(fv_pack *out, const fv_tree *t, const int *leaves, int leaf_count, int merge, fv_arena *arena, fv_error *err);

/* Runs tower and decoder: hidden states [rows, width] after the final norm. embeds (may be NULL) receives the tower's output. */
fv_var *fv_pack_forward(fv_pass *p, const fv_model *m, fv_pack *pack, fv_tower_out *embeds);

/* The tokens to score: token `i` of packed segment `s` is predicted by row fv_pack_source. -1 for the first token of a root. */
int fv_pack_source(const fv_pack *pack, int segment, int i);

/* Which tokens are scored, in canonical order: all of a packed segment's tokens that have a source (only_masked: whose mask is 1). */
typedef struct {
    int count;
    int32_t *source;      /* [count] row whose hidden state predicts it */
    int32_t *target;      /* [count] its id */
    int *segment, *index; /* [count] which token of the tree it is */
    float *temperature;   /* [count] the segment's, or `temperature` where that is > 0 */
    float *logp, *entropy; /* [count] as sampled, of tokens whose forward is replayed; else NULL */
} fv_targets;
void fv_pack_targets(fv_targets *out, const fv_pack *pack, bool only_masked, float temperature, fv_arena *arena);

/* Asks fv_pack_forward for the hidden states of the targets' rows alone, and makes `source` their numbers among those. */
void fv_pack_want(fv_pack *pack, fv_targets *targets, fv_arena *arena);

/* Log-probs of the targets from the pass's hidden states. */
fv_scored fv_pack_score(fv_pass *p, const fv_model *m, fv_var *hidden, const fv_targets *targets);

#endif
