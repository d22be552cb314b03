#include "vision/source.h"

const json_t *fv_source_of(const json_t *part) {
    static const char *const keys[] = {"video", "image", "image_url.url", "image_url", "url", "path"};
    for (size_t i = 0; i < FV_COUNT(keys); i++) {
        const json_t *value = fv_json_find(part, keys[i]);
        if (json_is_string(value) || json_is_array(value)) return value;
    }
    return NULL;
}
