/* The prompt that benches show: a picture of 224 x 224, noise below and three coloured boxes above, and a question. */
#include "bench/bench.h"

#include "core/random.h"

#include <string.h>

enum { SIDE = 224 };

static const char question[] = "How many boxes are there in the picture? Think first and give a number.";

fv_status fv_bench_picture(fv_image **out, uint64_t seed, fv_error *err) {
    fv_random r = fv_random_stream(fv_random_key(seed, "bench", 0, 0));
    FV_TRY(fv_image_new(out, SIDE, SIDE, (const uint8_t[]){0, 0, 0}, err));
    for (int i = 0; i < SIDE * SIDE * 3; i++) (*out)->rgb[i] = (uint8_t)(180 + fv_below(&r, 76));
    for (int b = 0; b < 3; b++) {
        int64_t x = fv_below(&r, SIDE - 64), y = fv_below(&r, SIDE - 64), width = 16 + fv_below(&r, 48), height = 16 + fv_below(&r, 48);
        uint8_t colour[3] = {(uint8_t)fv_below(&r, 256), (uint8_t)fv_below(&r, 256), (uint8_t)fv_below(&r, 256)};
        for (int64_t row = y; row < y + height; row++)
            for (int64_t col = x; col < x + width; col++) memcpy((*out)->rgb + 3 * (row * SIDE + col), colour, sizeof colour);
    }
    return FV_OK;
}

fv_status fv_bench_prompt(fv_prompt *out, const fv_model *m, fv_image *picture, fv_error *err) {
    memset(out, 0, sizeof *out);
    json_t *messages = json_pack("[{s: s, s: [{s: s, s: s}, {s: s, s: s}]}]", "role", "user", "content", "type", "image", "image", "#0", "type", "text", "text", question);
    fv_media media = {.images = &picture, .image_count = 1};
    fv_status s = messages ? fv_prompt_make(m, messages, &(fv_chat_options){.generation_prompt = true}, &media, out, err) : fv_fail(err, FV_NO_MEMORY, "bench: out of memory");
    json_decref(messages);
    return s;
}

fv_status fv_bench_wants_tower(const fv_model *m, fv_error *err) {
    return m->tower ? FV_OK : fv_fail(err, FV_BAD_MODEL, "%s: the bench shows pictures, and this model has no vision tower", m->folder);
}
