#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tools/coords.h"

#include <math.h>
#include <string.h>

/* A 900 x 600 photograph, seen at 84 x 56. */
static const fv_frame_size photo = {900, 600, 84, 56};

static void assert_box(fv_box b, double x1, double y1, double x2, double y2) {
    assert_true(b.x1 == x1 && b.y1 == y1 && b.x2 == x2 && b.y2 == y2);
}

static void names_of_spaces(void **state) {
    (void)state;
    fv_error err;
    fv_space s;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fv_space_parse(&s, fv_space_name((fv_space)i), &err), FV_OK);
        assert_int_equal(s, i);
    }
    assert_int_equal(fv_space_parse(&s, "pixels", &err), FV_BAD_USAGE);
    assert_string_equal(err.text, "coordinates must be view, picture or thousand, got \"pixels\"");
}

static void spaces_map_the_picture_onto_itself(void **state) {
    (void)state;
    assert_box(fv_box_to_picture((fv_box){0, 0, 84, 56}, FV_SPACE_VIEW, photo), 0, 0, 900, 600);
    assert_box(fv_box_to_picture((fv_box){0, 0, 1000, 1000}, FV_SPACE_THOUSAND, photo), 0, 0, 900, 600);
    assert_box(fv_box_to_picture((fv_box){1, 2, 3, 4}, FV_SPACE_PICTURE, photo), 1, 2, 3, 4);
    assert_box(fv_box_to_picture((fv_box){42, 14, 63, 28}, FV_SPACE_VIEW, photo), 450, 150, 675, 300);
    assert_box(fv_box_from_picture((fv_box){450, 150, 675, 300}, FV_SPACE_VIEW, photo), 42, 14, 63, 28);
    assert_box(fv_box_from_picture((fv_box){450, 150, 675, 300}, FV_SPACE_THOUSAND, photo), 500, 250, 750, 500);
    assert_box(fv_box_to_picture((fv_box){5, 6, 7, 8}, FV_SPACE_VIEW, (fv_frame_size){900, 600, 0, 0}), 5, 6, 7, 8); /* seen as it is */
}

static void there_and_back(void **state) {
    (void)state;
    for (int space = 0; space < 3; space++) {
        for (int v = 0; v <= 56; v++) { /* whole coordinates come back after rounding */
            double x = v, y = 56 - v;
            fv_point_to_picture(&x, &y, (fv_space)space, photo);
            fv_point_from_picture(&x, &y, (fv_space)space, photo);
            assert_true(fv_round_even(x) == v && fv_round_even(y) == 56 - v);
        }
    }
}

static void rounding_is_pythons(void **state) {
    (void)state;
    const double cases[][2] = {{0.5, 0}, {1.5, 2}, {2.5, 2}, {-0.5, 0}, {-1.5, -2}, {-2.5, -2}, {0.49999999999999994, 0}, {2.4, 2}, {2.6, 3}, {-2.6, -3}, {7, 7}};
    for (size_t i = 0; i < FV_COUNT(cases); i++) assert_true(fv_round_even(cases[i][0]) == cases[i][1]);
    assert_box(fv_box_round((fv_box){0.5, 1.5, 2.5, 3.2}), 0, 2, 2, 3);
}

static void areas(void **state) {
    (void)state;
    fv_box a = {0, 0, 10, 10}, b = {5, 5, 15, 15};
    assert_true(fv_box_area(a) == 100);
    assert_true(fv_box_area((fv_box){3, 3, 2, 9}) == 0);
    assert_true(fabs(fv_box_iou(a, b) - 25.0 / 175.0) < 1e-15);
    assert_true(fv_box_iou(a, a) == 1);
    assert_true(fv_box_iou(a, (fv_box){20, 20, 30, 30}) == 0);
    assert_true(fv_box_iou((fv_box){0, 0, 0, 0}, (fv_box){0, 0, 0, 0}) == 0);
    assert_true(fv_box_inside(a, b) == 0.25);
    assert_true(fv_box_inside((fv_box){6, 6, 8, 8}, b) == 1);
    assert_box(fv_box_clip((fv_box){-5, 3, 1e308, 700}, 900, 600), 0, 3, 900, 600);
}

static void turning(void **state) {
    (void)state;
    double c, s;
    const double exact[][3] = {{0, 1, 0}, {90, 0, 1}, {180, -1, 0}, {270, 0, -1}, {-90, 0, -1}, {360, 1, 0}, {1e9 + 90, 1, 0}, {NAN, 1, 0}, {INFINITY, 1, 0}};
    for (size_t i = 0; i < FV_COUNT(exact); i++) {
        fv_turn(exact[i][0], &c, &s);
        assert_true(c == exact[i][1] && s == exact[i][2]);
    }
    for (int d = -720; d <= 720; d++) {
        fv_turn(d, &c, &s);
        assert_true(fabs(c - cos(d * 0.017453292519943295)) < 2e-15 && fabs(s - sin(d * 0.017453292519943295)) < 2e-15); /* libm's argument is rounded */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_spaces), cmocka_unit_test(spaces_map_the_picture_onto_itself), cmocka_unit_test(there_and_back),
        cmocka_unit_test(rounding_is_pythons), cmocka_unit_test(areas), cmocka_unit_test(turning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
