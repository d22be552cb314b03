/* What there is to know of a checkpoint without running it. */
#ifndef FV_RL_MODEL_FACTS_H
#define FV_RL_MODEL_FACTS_H

#include "core/ops.h"
#include "language/model.h"

/* *out, the caller's: {"folder", "model_type", "parameters": {"total", "vision", "embedding", "layers", "head"}, "dtype" ("F32", "BF16", "mixed"), "file_bytes" (of
 * weights), "packed_bytes" (what a slot adds in memory: linear weights in `ops`' layout, each
 * made on its first use, as many as it packs on this machine), "unpacked_bytes" (of the others, which are read as they lie, slower), "widened_bytes" (F16 weights as f32, made when the folder is opened), "trained_bytes" (what training adds: f32 master, gradient, two moments),
 * "tied", "text": {sizes}, "vision": {sizes} or null, "tokenizer": {"size", "vocabulary", "end": [ids]}, "limits": {"max_positions", "min_pixels", "max_pixels"}, "note",
 * "adapter": null or fv_lora_facts}. With an adapter, trained_bytes are of it alone. */
fv_status fv_model_facts(json_t **out, const fv_model *m, const fv_ops *ops, fv_error *err);

#endif
