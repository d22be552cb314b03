/* A model: a Hugging Face folder in memory. Immutable; may be shared by threads and by several slots. */
#ifndef FV_LANGUAGE_MODEL_H
#define FV_LANGUAGE_MODEL_H

#include "core/weights.h"
#include "language/chat.h"
#include "language/config.h"
#include "language/decoder.h"
#include "language/lora.h"
#include "language/tokenizer.h"

typedef struct fv_model {
    char *folder;
    fv_config config;
    fv_tokenizer *tokenizer;
    fv_chat *chat;
    fv_processor image, video;
    bool image_watched;   /* the limits of pictures are not the folder's (fv_model_watch) */
    json_t *video_fields; /* of parts that show a video file and don't say them (fv_model_watch); NULL: none */
    fv_weights *file;     /* mapped */
    fv_weight *weights;   /* [count] in the order of their names */
    int count;
    fv_tower *tower;      /* NULL for text models */
    fv_decoder *decoder;
    fv_lora *lora;        /* for the slots that want it (fv_model_adapter); NULL: none */
    char note[512];       /* what its user should know, or "": an unknown chat template, weights that nothing uses */
} fv_model;

/* Opens `folder`; where that is a PEFT adapter's, the model that its base_model_name_or_path names (a folder: as it is written, or from the adapter's own),
 * and the adapter with it. On FV_OK *out is yours, to be given to fv_model_close after its slots. On failure *out is NULL and err says why. */
fv_status fv_model_open(fv_model **out, const char *folder, fv_error *err);
void fv_model_close(fv_model *m);

/* Gives a model that has none an adapter: one from a folder, or a new one (language/lora.h). FV_BAD_USAGE if it has one. */
fv_status fv_model_adapt(fv_model *m, const char *folder, fv_error *err);
fv_status fv_model_adapt_new(fv_model *m, const json_t *config, uint64_t seed, fv_error *err);
const fv_adapter *fv_model_adapter(const fv_model *m); /* for fv_slot_options; NULL: none */

/* How pictures (min_pixels, max_pixels) and video files (those, fps, nframes, frames, min_frames, max_frames) are looked at where a row does not say: fields of a part,
 * copied. NULL: as the folder has it. To be said before anything reads rows. FV_BAD_RECIPE: "video: fps must be positive, got 0". */
fv_status fv_model_watch(fv_model *m, const json_t *image, const json_t *video, fv_error *err);

/* Writes a folder that transformers opens: the model's files with the slot's weights (NULL: the model's own) as `dtype` (F32, BF16, F16, or
 * FV_DTYPES: each as it is), names and layout as they were read. config.json keeps every key and gets the new dtype; the other files are
 * copied byte for byte. Of a model with an adapter, it is the adapter that is written. `folder` must be new or empty: FV_BAD_USAGE. */
fv_status fv_model_save(const fv_model *m, const fv_slot *slot, const char *folder, fv_dtype dtype, fv_error *err);

/* The same for the model with its adapter multiplied into its weights; `slot` was opened with both, on the CPU. */
fv_status fv_model_save_merged(const fv_model *m, fv_slot *slot, const char *folder, fv_dtype dtype, fv_error *err);

/* banned [config.text.vocabulary] becomes 1 where a policy has nothing to write: rows without a token, placeholders of pictures and clips, and
 * special tokens that do not end a turn; 0 elsewhere. For fv_sampling.banned. */
void fv_model_banned(const fv_model *m, uint8_t *banned);

/* A new model with random weights, as transformers initialises (normal, std initializer_range; norms 1; biases 0), counter-based by seed. `preset`:
 * "tiny" (Qwen2.5-VL, 2.6 M parameters), "mid" (60 M), or a path of a config.json to follow (Qwen2.5-VL or Qwen3-VL; its token ids and vocabulary
 * give way to those of the tokenizer, models/tiny-vl's: byte-level, able to read any text). `folder` must be new or empty. */
fv_status fv_model_init(const char *preset, uint64_t seed, const char *folder, fv_dtype dtype, fv_error *err);

#endif
