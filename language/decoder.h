/* The decoder: embeddings to final hidden states, over the trajectory tree's pages. One file for Qwen2, Qwen3 and their VL variants. */
#ifndef FV_LANGUAGE_DECODER_H
#define FV_LANGUAGE_DECODER_H

#include "core/pass.h"
#include "language/config.h"

typedef struct fv_decoder fv_decoder;

/* Resolves the weights by name in `weights` ("model.layers." or "model.language_model.layers."), checks their shapes and marks linear ones.
 * On failure *out is NULL and err names the weight. */
fv_status fv_decoder_open(fv_decoder **out, const fv_text_config *c, fv_weight *weights, int count, fv_error *err);
void fv_decoder_close(fv_decoder *d);
int fv_decoder_head(const fv_decoder *d); /* the weight that projects to the vocabulary: lm_head, or the embedding where tied */

/* One batch of rows, of any trajectories, each with its own position. */
typedef struct {
    fv_view ids;          /* i32 [rows] */
    fv_view position;     /* i32 [3, rows] t, h, w (equal for text) */
    /* Rows that hold pictures: row visual_row[i] takes visual->embeds row visual_index[i] in place of its token's embedding. May be absent. */
    const fv_tower_out *visual;
    fv_view visual_row;   /* i32 [n] */
    fv_view visual_index; /* i32 [n] */
    fv_attention plan;    /* heads, kv_heads, head_dim, scale are filled in by the decoder */
    fv_view kv_row, kv_slot; /* i32 [writes] */
    fv_view *keys, *values;  /* [layers] page pools, written to; NULL (always so with a tape): made for the pass with `pages` pages */
    int pages;
    fv_view wanted;          /* i32, ascending: the rows whose hidden states are asked for. Absent: all */
} fv_batch;

/* -> [rows, hidden] after the final norm; only the wanted ones, where some are named: the last layer is then computed for them alone. The slot must be of the decoder's model; what does not fit (an id beyond the vocabulary, a plan of other
 * rows) is in p->error. */
fv_var *fv_decoder_forward(fv_pass *p, const fv_decoder *d, const fv_batch *batch);

#endif
