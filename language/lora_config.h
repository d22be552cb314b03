/* adapter_config.json of a LoRA adapter, as PEFT 0.21 writes and reads it: which layers it changes, and by how much. */
#ifndef FV_LANGUAGE_LORA_CONFIG_H
#define FV_LANGUAGE_LORA_CONFIG_H

#include "core/json.h"

typedef struct {
    const json_t *root; /* borrowed */
    const char *place;  /* "adapter_config.json", for messages */
    double dropout;
    bool rslora, dora;
    int64_t r;
    double alpha;
} fv_lora_config;

/* Checks every option: one that changes the mathematics and is not known here is refused by name and value (FV_UNSUPPORTED) unless it is off (null,
 * false, empty). */
fv_status fv_lora_config_read(fv_lora_config *out, const json_t *root, const char *place, fv_error *err);

/* Layers go by their paths, as transformers' classes nest: "model.language_model.layers.0.mlp.up_proj". */

/* target_modules without exclude_modules. A list holds whole paths or their ends, a text is a regular expression for the whole path; "all-linear" takes what
 * `linear` says (PEFT: every linear layer but the output projection). used[i] is set for every name i of a list that takes the layer. */
fv_status fv_lora_config_targets(const fv_lora_config *c, const char *path, bool linear, bool *used, bool *out, fv_error *err);
/* modules_to_save: the layer's path, or that of something it is in, ends with one of the names. used[i] is set for every name i that takes it. */
bool fv_lora_config_saves(const fv_lora_config *c, const char *path, bool *used);
/* The layer's rank and scale, with rank_pattern, alpha_pattern and use_rslora. */
fv_status fv_lora_config_rank(const fv_lora_config *c, const char *path, int64_t *rank, float *scale, fv_error *err);

#endif
