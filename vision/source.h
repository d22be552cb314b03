/* The content part of a message that holds a picture or a clip: what names it. */
#ifndef FV_VISION_SOURCE_H
#define FV_VISION_SOURCE_H

#include "core/json.h"

/* The name (a text) or the list of a clip's frames, borrowed from the part: its own key, image_url as OpenAI has it, or url and path as transformers has
 * them. NULL if there is none. */
const json_t *fv_source_of(const json_t *part);

/* The k of "#k", the name of a picture in memory, from 0 on (LONG_MAX: too large); -1: the name (may be NULL) is of another kind. */
long fv_source_number(const char *name);

#endif
