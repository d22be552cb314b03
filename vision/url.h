/* Names of pictures and videos, as rows of data and chat requests give them: paths, file:// and data: URLs. Nothing is fetched from the network. */
#ifndef FV_VISION_URL_H
#define FV_VISION_URL_H

#include "core/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool fv_url_is_data(const char *url);

/* The bytes of "data:KIND/...;base64,...", malloc'ed, the caller's. `kind`: "image", "video". */
fv_status fv_url_data(uint8_t **out, size_t *size, const char *url, const char *kind, fv_error *err);

/* The path, malloc'ed, the caller's: relative ones from `folder` (may be NULL), "file://" with %xx escapes resolved. `kinds`, for messages: "pictures". */
fv_status fv_url_path(char **out, const char *folder, const char *url, const char *kinds, fv_error *err);

#endif
