#include "core/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void shapes(void **state) {
    (void)state;
    fv_view patch = {.dtype = FV_BF16, .rank = 5, .shape = {1024, 3, 2, 14, 14}};
    char text[96];
    fv_shape_text(patch, text);
    assert_string_equal(text, "[1024, 3, 2, 14, 14]");
    assert_int_equal(fv_elements(patch), 1024 * 3 * 2 * 14 * 14);
    assert_int_equal(fv_bytes(patch), 2 * 1024 * 3 * 2 * 14 * 14);
    assert_int_equal(fv_rows(patch), 1024 * 3 * 2 * 14);
    assert_int_equal(fv_cols(patch), 14);
    assert_int_equal(fv_elements(fv_none), 1);
    assert_int_equal(fv_cols(fv_none), 1);
    fv_shape_text(fv_none, text);
    assert_string_equal(text, "[]");
    for (int i = 0; i < 5; i++) patch.shape[i] = INT64_MAX;
    fv_shape_text(patch, text); /* too long: cut, not overrun */
    assert_int_equal(strlen(text), 95);
}

static void names(void **state) {
    (void)state;
    for (int t = 0; t < FV_DTYPES; t++) assert_int_equal(fv_dtype_parse(fv_dtype_name((fv_dtype)t)), t);
    assert_int_equal(fv_dtype_parse("F8"), -1);
    assert_int_equal(fv_dtype_size(FV_BF16), 2);
}

static void slices(void **state) {
    (void)state;
    float x[12];
    fv_view rows = fv_slice(fv_mat(x, 4, 3), 1, 2);
    assert_ptr_equal(rows.data, x + 3);
    assert_int_equal(rows.shape[0], 2);
    assert_int_equal(fv_elements(rows), 6);
    assert_null(fv_slice(fv_none, 1, 1).data);
    const int32_t ids[] = {4, 5, 6};
    assert_int_equal(fv_i32(fv_slice(fv_ints(ids, 3), 2, 1))[0], 6);
}

static float bf16(float x) {
    uint16_t half;
    float back;
    fv_from_f32(&half, FV_BF16, &x, 1);
    fv_to_f32(&back, &half, FV_BF16, 1);
    return back;
}

static void bf16_rounds_to_nearest_even(void **state) {
    (void)state;
    assert_true(bf16(1.0f) == 1.0f);
    assert_true(bf16(0x1.01p0f) == 1.0f);            /* a tie goes to the even neighbour */
    assert_true(bf16(0x1.03p0f) == 0x1.04p0f);
    assert_true(bf16(0x1.010002p0f) == 0x1.02p0f);   /* above the tie */
    assert_true(bf16(0x1.fffffep127f) == INFINITY);
    assert_true(isnan(bf16(NAN)));
    assert_true(signbit(bf16(-0.0f)));
}

static void every_half_reads_back(void **state) {
    (void)state;
    for (int type = FV_BF16; type <= FV_F16; type++)
        for (uint32_t bits = 0; bits < 0x10000; bits++) {
            uint16_t half = (uint16_t)bits, again;
            float value;
            fv_to_f32(&value, &half, (fv_dtype)type, 1);
            fv_from_f32(&again, (fv_dtype)type, &value, 1);
            if (!isnan(value)) assert_int_equal(again, half);
        }
}

static uint16_t f16(float x) {
    uint16_t half;
    fv_from_f32(&half, FV_F16, &x, 1);
    return half;
}

static void f16_rounds_to_nearest_even(void **state) {
    (void)state;
    assert_int_equal(f16(1.0f), 0x3c00);
    assert_int_equal(f16(65504.0f), 0x7bff);
    assert_int_equal(f16(65519.996f), 0x7bff);
    assert_int_equal(f16(65520.0f), 0x7c00);
    assert_int_equal(f16(0x1p-24f), 1);
    assert_int_equal(f16(0x1p-25f), 0);       /* tie: zero is even */
    assert_int_equal(f16(0x1.8p-24f), 2);     /* tie: two is even */
    assert_int_equal(f16(0x1.ffep-15f), 0x400); /* rounds up into the normal numbers */
    assert_int_equal(f16(-2.0f), 0xc000);
    assert_int_equal(f16(0x1.002p0f), 0x3c00);
    assert_int_equal(f16(0x1.006p0f), 0x3c02);
}

static void integers_saturate(void **state) {
    (void)state;
    const float x[] = {-1e30f, 1e30f, 2.5f, 3.5f, -300.0f, NAN};
    int64_t wide[6];
    int32_t word[6];
    int8_t small[6];
    uint8_t byte[6], flag[6];
    fv_from_f32(wide, FV_I64, x, 6);
    fv_from_f32(word, FV_I32, x, 6);
    fv_from_f32(small, FV_I8, x, 6);
    fv_from_f32(byte, FV_U8, x, 6);
    fv_from_f32(flag, FV_BOOL, x, 5);
    assert_true(wide[0] == INT64_MIN && wide[1] == INT64_MAX && wide[5] == 0);
    assert_true(word[0] == INT32_MIN && word[1] == INT32_MAX && word[2] == 2 && word[3] == 4);
    assert_true(small[4] == -128 && small[5] == 0 && byte[0] == 0 && byte[1] == 255);
    float back[3];
    const int16_t shorts[] = {-3, 0, 9};
    fv_to_f32(back, shorts, FV_I16, 3);
    assert_true(back[0] == -3.0f && back[2] == 9.0f);
    fv_to_f32(back, flag, FV_BOOL, 3);
    assert_true(back[0] == 1.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes), cmocka_unit_test(names), cmocka_unit_test(slices), cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(every_half_reads_back), cmocka_unit_test(f16_rounds_to_nearest_even), cmocka_unit_test(integers_saturate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
