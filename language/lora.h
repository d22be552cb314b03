/* A LoRA adapter in PEFT's format (adapter_config.json, adapter_model.safetensors), for the weights of a model. docs/lora.md says what is read and
 * written, core/adapter.h what is computed. */
#ifndef FV_LANGUAGE_LORA_H
#define FV_LANGUAGE_LORA_H

#include "core/adapter.h"
#include "core/weights.h"
#include "language/lora_config.h"

typedef struct fv_lora {
    fv_adapter adapter;    /* for fv_slot_options; values as they were read or began */
    char *folder, *place;  /* NULL: a new one; of its config, for messages */
    json_t *json;          /* adapter_config.json */
    fv_lora_config config; /* of json */
    fv_weights *file;      /* mapped: modules_to_save; NULL: a new one */
} fv_lora;

/* The weights of a model that has been opened: those that are linear are marked. vision: names nest as in transformers' Qwen-VL classes. */
typedef struct {
    const fv_weight *weights;
    int count;
    bool vision;
} fv_lora_base;

/* Whether `folder` is an adapter's. */
bool fv_lora_is_folder(const char *folder);

/* Opens an adapter. Every layer that its config takes must have its tensors there, and every tensor its layer. On failure *out is NULL and err names
 * option, tensor or layer. The base's weights outlive it. */
fv_status fv_lora_open(fv_lora **out, const char *folder, const fv_lora_base *base, fv_error *err);

/* A new adapter as PEFT starts one: A uniform in +-1/sqrt(k) (Kaiming with a = sqrt 5), counter-based by seed and name; B 0; magnitudes the lengths of the
 * weight's rows. `json` is an adapter_config.json (one reference is kept). */
fv_status fv_lora_new(fv_lora **out, const json_t *json, uint64_t seed, const fv_lora_base *base, fv_error *err);

/* Writes both files into `folder`, with values of a slot that was opened with it (NULL: its own) as `dtype` (FV_DTYPES: each as it is). base_model_name_or_path
 * becomes `base_folder`. */
fv_status fv_lora_save(const fv_lora *l, const fv_slot *slot, const char *base_folder, const char *folder, fv_dtype dtype, fv_error *err);

void fv_lora_close(fv_lora *l);

/* {"folder", "r", "alpha", "rslora", "dora", "dropout", "layers" (adapted), "saved" (weights brought whole), "parameters"}, the caller's. */
json_t *fv_lora_facts(const fv_lora *l);

#endif
