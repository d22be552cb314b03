/* What writing a model's folder shares: model.c saves one, init.c makes one. */
#ifndef FV_LANGUAGE_MODEL_PARTS_H
#define FV_LANGUAGE_MODEL_PARTS_H

#include "language/model.h"

/* FV_BAD_USAGE if there is something in `folder`. */
fv_status fv_model_want_empty(const char *folder, fv_error *err);

/* Writes folder/config.json: `config` with its dtype keys, in nested configs too, naming `dtype` (FV_DTYPES: as they are). */
fv_status fv_model_write_config(const json_t *config, const char *folder, fv_dtype dtype, fv_error *err);

#endif
