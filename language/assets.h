/* Files that are part of the program: the tokenizer of the small models, presets, chat templates. The build makes the table (cmake/embed.cmake). */
#ifndef FV_LANGUAGE_ASSETS_H
#define FV_LANGUAGE_ASSETS_H

#include <stddef.h>

typedef struct {
    const char *name; /* "tokenizer.json", "tiny.json", "qwen3_vl.jinja" */
    const unsigned char *data;
    size_t size;
} fv_asset;

extern const fv_asset fv_assets[];
extern const size_t fv_asset_count;

#endif
