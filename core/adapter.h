/* LoRA (Hu et al. 2021, arXiv 2106.09685): an adapter makes W + scale * B A of a linear weight W [n, k], with A [r, k] and B [n, r], while W stays as it
 * is. With a magnitude m [n] (DoRA, Liu et al. 2024, arXiv 2402.09353) row j of that is divided by its length and multiplied by m[j]; the length counts
 * as a constant on the way back (section 4.3 there). A slot takes an adapter when it is opened (core/slot.h), core/pass_lora.c runs it. */
#ifndef FV_CORE_ADAPTER_H
#define FV_CORE_ADAPTER_H

#include "core/slot.h"

/* What changes one linear weight. */
typedef struct {
    int weight;                /* of the model */
    float scale;
    fv_weight a, b, magnitude; /* f32; matrices of a convolution have its rank. magnitude.name NULL: plain LoRA */
} fv_adapter_part;

/* Values that stand in place of a weight of the model (PEFT's modules_to_save). */
typedef struct {
    int weight;
    fv_weight own;
} fv_adapter_whole;

/* Owns nothing: whoever made it keeps names and values as long as the slots that use it. */
typedef struct fv_adapter {
    fv_adapter_part *parts;
    int part_count;
    fv_adapter_whole *wholes;
    int whole_count;
} fv_adapter;

/* out [rows, k] = rows first, first + 1, ... of what `weight` is with its adapter: all of DoRA, too. For merging. */
void fv_adapter_rows(fv_slot *s, int weight, int64_t first, fv_view out);

/* DoRA as a product by column, y[r, j] = x[r, j] * factor[j], is written as an rms_norm without a norm: with an eps of 2^64 no row's mean square counts
 * (below 2^40, half of eps' last bit), 1 / sqrt(eps) is 2^-32 to the last bit, and so the weight is factor * 2^32. */
#define FV_COLUMN_EPS 0x1p64f
#define FV_COLUMN_LIFT 0x1p32f

/* [2, n], as that rms_norm takes them: m / |row|, and 1 / |row|. Made again after every update. */
fv_view fv_adapter_factors(fv_slot *s, int weight);

#endif
