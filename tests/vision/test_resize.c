/* The resize against torchvision's, byte for byte. */
#include "tests/vision/check.h"
#include "vision/processor.h"

static void matches_torch(void **state) {
    (void)state;
    json_t *root, *cases = expected(&root, "resized"), *c;
    size_t i;
    json_array_foreach(cases, i, c) {
        fv_error err;
        fv_image *im = noise_image(item(c, "from", 0), item(c, "from", 1), (int)int_at(c, "seed")), *out;
        size_t n = (size_t)im->width * (size_t)im->height * 3;
        for (size_t k = 0; json_is_true(json_object_get(c, "hard")) && k < n; k++) im->rgb[k] = im->rgb[k] > 127 ? 255 : 0;
        OK(fv_image_resize(&out, im, item(c, "to", 0), item(c, "to", 1), &err));
        assert_int_equal(out->width, item(c, "to", 0));
        assert_int_equal(out->height, item(c, "to", 1));
        if (image_crc(out) != (uint32_t)int_at(c, "crc")) fail_msg("%dx%d to %dx%d differs", im->width, im->height, out->width, out->height);
        fv_image_free(out);
        fv_image_free(im);
    }
    json_decref(root);
}

/* The weights of each pixel add up to one up to their rounding: a flat picture stays flat, or all of it is off by one. */
static void keeps_a_flat_picture(void **state) {
    (void)state;
    fv_error err;
    fv_image *im, *out;
    OK(fv_image_new(&im, 61, 43, (uint8_t[3]){0, 128, 255}, &err));
    OK(fv_image_resize(&out, im, 28, 84, &err));
    for (int i = 0; i < 28 * 84; i++) {
        assert_int_equal(out->rgb[3 * i], 0);
        assert_in_range(out->rgb[3 * i + 1], 127, 129);
        assert_in_range(out->rgb[3 * i + 2], 254, 255);
    }
    fv_image_free(out);
    fv_image_free(im);
}

static void the_same_size_is_a_copy(void **state) {
    (void)state;
    fv_error err;
    fv_image *im = noise_image(19, 7, 1), *out;
    OK(fv_image_resize(&out, im, 19, 7, &err));
    assert_ptr_not_equal(out, im);
    assert_memory_equal(out->rgb, im->rgb, 19 * 7 * 3);
    fv_image_free(out);
    fv_image_free(im);
}

static void refuses_impossible_sizes(void **state) {
    (void)state;
    fv_error err;
    fv_image *im = noise_image(4, 4, 1), *out;
    assert_int_equal(fv_image_resize(&out, im, 0, 4, &err), FV_BAD_DATA);
    assert_null(out);
    assert_string_equal(err.text, "a picture's sides must be 1..65535, got 0x4");
    assert_int_equal(fv_image_resize(&out, im, 4, 65536, &err), FV_BAD_DATA);
    fv_image_free(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_torch),
        cmocka_unit_test(keeps_a_flat_picture),
        cmocka_unit_test(the_same_size_is_a_copy),
        cmocka_unit_test(refuses_impossible_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
