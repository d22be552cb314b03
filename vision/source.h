/* The content part of a message that holds a picture or a clip: what names it. */
#ifndef FV_VISION_SOURCE_H
#define FV_VISION_SOURCE_H

#include "core/json.h"

/* The name (a text) or the list of a clip's frames, borrowed from the part: its own key, image_url as OpenAI has it, or url and path as transformers has
 * them. NULL if there is none. */
const json_t *fv_source_of(const json_t *part);

#endif
