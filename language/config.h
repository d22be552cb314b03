/* config.json of a checkpoint, as data: the differences between Qwen2-VL, Qwen2.5-VL, Qwen3-VL and the text-only Qwen2.5 and Qwen3 are fields
 * here, not copies of code (HF facts 1). */
#ifndef FV_LANGUAGE_CONFIG_H
#define FV_LANGUAGE_CONFIG_H

#include "core/error.h"
#include "core/json.h"
#include "vision/tower.h"

typedef enum { FV_QWEN2, FV_QWEN3, FV_QWEN2_VL, FV_QWEN2_5_VL, FV_QWEN3_VL } fv_family;

enum { FV_MROPE_SECTIONS = 16 };

typedef struct {
    int hidden, layers, heads, kv_heads, head_dim, intermediate, vocabulary, max_positions;
    float rms_eps;
    double rope_theta;
    int mrope_section[FV_MROPE_SECTIONS], mrope_count; /* 0: plain one-dimensional rotary */
    bool mrope_interleaved;  /* Qwen3-VL */
    bool qkv_bias;           /* Qwen2, Qwen2-VL, Qwen2.5-VL */
    bool qk_norm;            /* Qwen3, Qwen3-VL */
    bool tied;
} fv_text_config;

typedef struct fv_config {
    fv_family family;
    char model_type[32];
    fv_text_config text;
    bool has_vision;
    fv_tower_config vision;
    int tokens_per_second;   /* Qwen2.5-VL: positions that a second of a clip takes; else 0 */
    int image_token, video_token, vision_start, vision_end; /* -1 without vision */
    int eos[8], eos_count, pad;                              /* generation_config.json, else tokenizer_config.json */
    json_t *raw;             /* config.json as read (owned), so that a writer keeps what it does not know */
} fv_config;

/* Reads folder/config.json and generation_config.json. A key that is absent has the value that transformers gives it. An
 * unsupported model_type, or a field that changes the mathematics and is not known, is refused by name and value
 * (FV_UNSUPPORTED); a broken one is FV_BAD_MODEL. On failure *out is cleared. */
fv_status fv_config_read(fv_config *out, const char *folder, fv_error *err);
/* The same from a config.json in memory (`raw` is kept: one reference), without generation_config.json. `place` is for messages. */
fv_status fv_config_of(fv_config *out, json_t *raw, const char *place, fv_error *err);
void fv_config_clear(fv_config *c);

#endif
