#include "vision/source.h"

#include <stdlib.h>
#include <string.h>

const json_t *fv_source_of(const json_t *part) {
    static const char *const keys[] = {"video", "image", "image_url.url", "image_url", "url", "path"};
    for (size_t i = 0; i < FV_COUNT(keys); i++) {
        const json_t *value = fv_json_find(part, keys[i]);
        if (json_is_string(value) || json_is_array(value)) return value;
    }
    return NULL;
}

long fv_source_number(const char *name) {
    if (!name || name[0] != '#' || !name[1] || name[1 + strspn(name + 1, "0123456789")]) return -1;
    return strtol(name + 1, NULL, 10);
}
