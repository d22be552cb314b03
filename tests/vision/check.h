/* What the tests of vision/ share: fixtures by name, checksums of exact bytes, and the noise that tests/peers/pictures.py makes. */
#ifndef FV_TESTS_VISION_CHECK_H
#define FV_TESTS_VISION_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/file.h"
#include "core/json.h"
#include "tests/vision/crc.h"
#include "vision/image.h"

#define DATA FOVEA_SOURCE "/tests/vision/data/"

/* Stops the test with the error's text. */
#define OK(call) do { if ((call) != FV_OK) fail_msg("%s", err.text); } while (0)

static inline uint32_t image_crc(const fv_image *im) { return crc32_of(im->rgb, (size_t)im->width * (size_t)im->height * 3); }

static inline void noise(uint8_t *out, size_t n, int seed) {
    for (size_t i = 0; i < n; i++) {
        uint32_t v = ((uint32_t)i + (uint32_t)seed * 7919u) * 2654435761u;
        v ^= v >> 15;
        out[i] = (uint8_t)((v * 2246822519u) >> 24);
    }
}

static inline fv_image *noise_image(int width, int height, int seed) {
    fv_error err;
    fv_image *im;
    OK(fv_image_new(&im, width, height, (uint8_t[3]){0, 0, 0}, &err));
    noise(im->rgb, (size_t)width * (size_t)height * 3, seed);
    return im;
}

/* The list `key` of expected.json; *root is the caller's. */
static inline json_t *expected(json_t **root, const char *key) {
    fv_error err;
    OK(fv_json_read(root, DATA "expected.json", FV_BAD_DATA, &err));
    json_t *list = fv_json_find(*root, key);
    assert_non_null(list);
    assert_true(json_array_size(list) > 0);
    return list;
}

static inline int64_t int_at(const json_t *object, const char *key) { return json_integer_value(json_object_get(object, key)); }
static inline int item(const json_t *object, const char *key, size_t i) { return (int)json_integer_value(json_array_get(json_object_get(object, key), i)); }

#endif
