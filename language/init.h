/* The weights of a new model: which there are, in which shape, with which numbers. */
#ifndef FV_LANGUAGE_INIT_H
#define FV_LANGUAGE_INIT_H

#include "core/weights.h"
#include "language/model.h"

/* All weights of a model, named as transformers names them since 4.52 ("model.visual.", "model.language_model.", in text models "model."), f32. */
typedef struct {
    fv_tensor *tensors; /* names and data owned */
    size_t count, room;
} fv_new_weights;

/* Normal numbers of std initializer_range for matrices and tables, ones for norms, zeros for biases; each tensor's draws depend on `seed` and its name alone. */
fv_status fv_new_weights_make(fv_new_weights *out, const fv_config *c, uint64_t seed, fv_error *err);
fv_status fv_new_weights_shapes(fv_new_weights *out, const fv_config *c, fv_error *err); /* data NULL: names and shapes alone */
void fv_new_weights_clear(fv_new_weights *w);

/* The model that fv_model_init would make, without a folder: config, tower and decoder over weights that have no values. Both are the caller's: fv_model_close, then
 * fv_new_weights_clear, which has the names. For whoever wants to know what it will cost. */
fv_status fv_model_outline(fv_model **out, fv_new_weights *shapes, const char *preset, fv_error *err);

#endif
