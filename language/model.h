/* A model: a Hugging Face folder in memory. Immutable; may be shared by threads and by several slots. */
#ifndef FV_LANGUAGE_MODEL_H
#define FV_LANGUAGE_MODEL_H

#include "core/weights.h"
#include "language/chat.h"
#include "language/config.h"
#include "language/decoder.h"
#include "language/tokenizer.h"

typedef struct fv_model {
    char *folder;
    fv_config config;
    fv_tokenizer *tokenizer;
    fv_chat *chat;
    fv_processor image, video;
    fv_weights *file;     /* mapped */
    fv_weight *weights;   /* [count] in the order of their names */
    int count;
    fv_tower *tower;      /* NULL for text models */
    fv_decoder *decoder;
} fv_model;

/* Opens `folder`. On FV_OK *out is yours, to be given to fv_model_close after its slots. On failure *out is NULL and err says why. */
fv_status fv_model_open(fv_model **out, const char *folder, fv_error *err);
void fv_model_close(fv_model *m);

/* Writes a folder that transformers opens: the model's files with the slot's weights as `dtype`, names and layout as they were read.
 * `folder` must be new or empty. */
fv_status fv_model_save(const fv_model *m, const fv_slot *slot, const char *folder, fv_dtype dtype, fv_error *err);

/* A new model with random weights, as transformers initialises (normal 0.02, norms 1, biases 0), counter-based by seed. `preset`: "tiny" (Qwen2.5-VL,
 * 2.85 M parameters), "mid", or a path of a config.json to follow; the tokenizer is models/tiny-vl's kind: byte-level, able to read any text. */
fv_status fv_model_init(const char *preset, uint64_t seed, const char *folder, fv_dtype dtype, fv_error *err);

#endif
