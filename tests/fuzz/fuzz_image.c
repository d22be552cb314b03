/* Any bytes as a picture: decode, and send what comes out through the resize and the writers. Built into tests/vision/test_fuzz_image.c, and for libFuzzer (docs/fuzzing.md). */
#include "vision/image.h"
#include "vision/processor.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fv_error err;
    fv_image *im, *small = NULL;
    if (fv_image_decode(&im, data, size, "fuzz", &err) != FV_OK) {
        if (im || err.text[0] == '\0') abort(); /* a failure leaves nothing behind and says why */
        return 0;
    }
    uint8_t *bytes = NULL;
    size_t n;
    if (fv_image_resize(&small, im, 28, 56, &err) == FV_OK && fv_image_encode_png(&bytes, &n, small, &err) == FV_OK) {
        fv_image *again;
        if (fv_image_decode(&again, bytes, n, "again", &err) != FV_OK) abort();
        fv_image_free(again);
    }
    free(bytes);
    fv_image_free(small);
    fv_image_free(im);
    return 0;
}
