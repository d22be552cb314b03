/* safetensors: named tensors in a file, or in a folder as Hugging Face lays them out (https://huggingface.co/docs/safetensors,
 * "Format"). Reading maps the files; every rule of the format is checked before a tensor is handed out. */
#ifndef FV_CORE_WEIGHTS_H
#define FV_CORE_WEIGHTS_H

#include "core/error.h"
#include "core/tensor.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *name;
    fv_view view;
} fv_tensor;

typedef struct fv_weights fv_weights;

/* Opens a file, or a folder: model.safetensors, else the shards of model.safetensors.index.json, else
 * adapter_model.safetensors. On FV_OK *out is yours (fv_weights_close, after its last view); on failure it is NULL and err
 * names file, tensor and rule: "model.safetensors: tensor model.norm.weight: data_offsets [0, 128] do not match shape [64]
 * of F32 (256 bytes)". FV_BAD_MODEL for broken files, FV_UNSUPPORTED for a dtype or rank that core/tensor.h lacks. */
fv_status fv_weights_open(fv_weights **out, const char *path, fv_error *err);
void fv_weights_close(fv_weights *w); /* NULL is fine */

/* The tensors in the order of strcmp of their names; read-only, valid until close. Data is aligned to its dtype (a tensor
 * that is not, in its file, is copied). */
size_t fv_weights_count(const fv_weights *w);
const fv_tensor *fv_weights_at(const fv_weights *w, size_t i);

/* Gives F16 tensors as f32 ones, exact copies: no kernel reads F16. fv_weights_stored is tensor i as the file has it. */
fv_status fv_weights_widen(fv_weights *w, fv_error *err);
fv_view fv_weights_stored(const fv_weights *w, size_t i);

/* The tensor of that name, or NULL. */
const fv_tensor *fv_weights_find(const fv_weights *w, const char *name);

/* The same as an error: FV_BAD_MODEL "PATH: no tensor NAME", with the nearest name there is. */
fv_status fv_weights_get(const fv_weights *w, const char *name, fv_view *out, fv_error *err);

/* Writes one file, at once or not at all (core/file.h). Tensors are in main memory; F32, BF16 and F16 ones are stored as
 * `as` (one of these three; FV_DTYPES: each as it is), rounded to nearest even; others unchanged. The layout is that of the
 * safetensors library: __metadata__ {"format": "pt"}, header padded to 8 bytes, larger dtypes first, then by name. */
fv_status fv_weights_save(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, fv_error *err);

/* The same where tensors may be in the memory of these operations (their view's device says so): they are read piece by piece, and nothing is
 * written if the device failed meanwhile. */
struct fv_ops;
fv_status fv_weights_save_from(const char *path, const fv_tensor *tensors, size_t count, fv_dtype as, const struct fv_ops *ops, fv_error *err);

/* The checks alone, on a file in memory (fuzzing): as fv_weights_open, and no view is kept. */
fv_status fv_weights_check(const void *bytes, size_t size, const char *name, fv_error *err);

#endif
