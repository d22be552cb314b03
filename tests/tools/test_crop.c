#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tools/crop.h"

#include <math.h>
#include <string.h>

static const fv_crop_rules refuse = {FV_MIN_SIDE_REFUSE, 30}, grow = {FV_MIN_SIDE_GROW, 28};

static void expect(fv_box asked, fv_crop_rules rules, fv_box want) {
    fv_error err = {.text = ""};
    fv_box cut;
    if (fv_crop_box(&cut, asked, 400, 300, rules, &err) != FV_OK) fail_msg("%s", err.text);
    if (cut.x1 != want.x1 || cut.y1 != want.y1 || cut.x2 != want.x2 || cut.y2 != want.y2) fail_msg("[%g, %g, %g, %g]", cut.x1, cut.y1, cut.x2, cut.y2);
}

static void refused(fv_box asked, fv_crop_rules rules, const char *why) {
    fv_error err = {.text = ""};
    fv_box cut;
    assert_int_equal(fv_crop_box(&cut, asked, 400, 300, rules, &err), FV_TOOL);
    if (strstr(err.text, why) == NULL) fail_msg("%s", err.text);
}

static void deepeyes_rules(void **state) {
    (void)state;
    expect((fv_box){10, 20, 100, 200}, refuse, (fv_box){10, 20, 100, 200});
    expect((fv_box){-50, -1, 4000, 1e300}, refuse, (fv_box){0, 0, 400, 300});
    expect((fv_box){10.5, 20.5, 101.5, 62.49}, refuse, (fv_box){10, 20, 102, 62}); /* half to even */
    refused((fv_box){100, 20, 10, 200}, refuse, "x1 < x2 and y1 < y2");
    refused((fv_box){500, 20, 600, 200}, refuse, "x1 < x2 and y1 < y2"); /* beside the picture */
    refused((fv_box){10, 20, 10, 20}, refuse, "x1 < x2");
    refused((fv_box){0, 0, 30, 100}, refuse, "longer than 30 pixels of the picture, it is 30");
    expect((fv_box){0, 0, 30.5, 100}, refuse, (fv_box){0, 0, 30, 100}); /* the rule is on the box as written */
    refused((fv_box){0, 0, 400, 3.9}, refuse, "100 times");
    refused((fv_box){NAN, 0, 400, 300}, refuse, "x1 < x2");
}

static void verl_rules(void **state) {
    (void)state;
    expect((fv_box){10, 20, 100, 200}, grow, (fv_box){10, 20, 100, 200});
    expect((fv_box){100, 100, 114, 114}, grow, (fv_box){93, 93, 121, 121});
    expect((fv_box){100, 100, 114, 128}, grow, (fv_box){93, 86, 121, 142}); /* the ratio of the sides is kept */
    expect((fv_box){0, 0, 14, 14}, grow, (fv_box){0, 0, 28, 28});          /* slides along the edge */
    expect((fv_box){386, 286, 400, 300}, grow, (fv_box){372, 272, 400, 300});
    refused((fv_box){0, 100, 400, 114}, grow, "at least 28"); /* cannot grow: it is as wide as the picture */
    refused((fv_box){0, 100, 400, 103}, grow, "100 times");
}

static void the_cut_is_the_original(void **state) {
    (void)state;
    fv_image *im, *cut;
    assert_int_equal(fv_image_new(&im, 50, 40, (uint8_t[]){0, 0, 0}, NULL), FV_OK);
    for (int i = 0; i < 50 * 40 * 3; i++) im->rgb[i] = (uint8_t)(i * 7);
    assert_int_equal(fv_crop_image(&cut, im, (fv_box){5, 6, 45, 37}, NULL), FV_OK);
    assert_int_equal(cut->width, 40);
    assert_int_equal(cut->height, 31);
    for (int y = 0; y < 31; y++) assert_memory_equal(cut->rgb + y * 40 * 3, im->rgb + ((y + 6) * 50 + 5) * 3, 40 * 3);
    fv_image_free(im);
    fv_image_free(cut);
}

static void turning_pictures(void **state) {
    (void)state;
    fv_image *im, *turned, *back;
    assert_int_equal(fv_image_new(&im, 5, 3, (uint8_t[]){0, 0, 0}, NULL), FV_OK);
    for (int i = 0; i < 45; i++) im->rgb[i] = (uint8_t)(i * 5);
    assert_int_equal(fv_rotate_image(&turned, im, 90, NULL), FV_OK);
    assert_int_equal(turned->width, 3);
    assert_int_equal(turned->height, 5);
    assert_memory_equal(turned->rgb, im->rgb + 2 * 5 * 3, 3); /* clockwise: the bottom left corner comes to the top left */
    assert_int_equal(fv_rotate_image(&back, turned, -90, NULL), FV_OK);
    assert_memory_equal(back->rgb, im->rgb, 45);
    fv_image_free(turned);
    fv_image_free(back);
    assert_int_equal(fv_rotate_image(&turned, im, 45, NULL), FV_OK);
    assert_int_equal(turned->width, 6); /* 8 / sqrt 2 = 5.66 */
    assert_int_equal(turned->height, 6);
    fv_image_free(turned);
    fv_error err;
    assert_int_equal(fv_rotate_image(&turned, im, INFINITY, &err), FV_TOOL);
    assert_int_equal(fv_rotate_image(&turned, im, NAN, &err), FV_TOOL);
    fv_image_free(im);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(deepeyes_rules), cmocka_unit_test(verl_rules), cmocka_unit_test(the_cut_is_the_original),
                                       cmocka_unit_test(turning_pictures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
