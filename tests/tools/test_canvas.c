#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "tools/canvas.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const fv_color black = {{0, 0, 0}}, white = {{255, 255, 255}};

static fv_image *blank(int width, int height) {
    fv_image *im;
    assert_int_equal(fv_image_new(&im, width, height, black.rgb, NULL), FV_OK);
    return im;
}

static int grey(const fv_image *im, int x, int y) {
    return im->rgb[3 * (y * im->width + x)];
}

/* Painted area in pixels, of white on black. */
static double area(const fv_image *im) {
    double sum = 0;
    for (int i = 0; i < im->width * im->height; i++) sum += im->rgb[3 * i] / 255.0;
    return sum;
}

static void assert_area(fv_image *im, double want, double share) {
    double got = area(im);
    if (fabs(got - want) > share * want) fail_msg("area %g, not %g", got, want);
    memset(im->rgb, 0, (size_t)im->width * (size_t)im->height * 3);
}

static void boxes_are_exact(void **state) {
    (void)state;
    fv_image *im = blank(20, 20);
    fv_canvas_fill_box(im, (fv_box){3, 4, 7, 6}, white);
    for (int y = 0; y < 20; y++)
        for (int x = 0; x < 20; x++) assert_int_equal(grey(im, x, y), x >= 3 && x < 7 && y >= 4 && y < 6 ? 255 : 0);
    assert_area(im, 8, 0);
    fv_canvas_fill_box(im, (fv_box){2.5, 5, 6.25, 9}, white);
    assert_int_equal(grey(im, 2, 6), 128);
    assert_int_equal(grey(im, 6, 6), 64);
    assert_int_equal(grey(im, 4, 6), 255);
    assert_area(im, 15, 1e-3);
    fv_canvas_draw_box(im, (fv_box){5, 5, 15, 15}, 2, white);
    assert_int_equal(grey(im, 6, 10), 255);
    assert_int_equal(grey(im, 7, 10), 0);
    assert_int_equal(grey(im, 4, 10), 0);
    assert_int_equal(grey(im, 5, 5), 255); /* sharp corners */
    assert_area(im, 100 - 36, 0);
    fv_canvas_draw_box(im, (fv_box){5, 5, 8, 15}, 4, white); /* wider than the box: filled */
    assert_area(im, 30, 0);
    fv_image_free(im);
}

static void round_and_slanted_areas(void **state) {
    (void)state;
    fv_image *im = blank(100, 100);
    const double pi = 3.14159265358979;
    fv_canvas_fill_disc(im, 50.3, 49.8, 30, white);
    assert_area(im, pi * 900, 2e-3);
    fv_canvas_draw_circle(im, 50, 50, 30, 4, white);
    assert_area(im, pi * (32 * 32 - 28 * 28), 2e-3);
    fv_canvas_fill_plate(im, (fv_box){10, 20, 90, 70}, 12, white);
    assert_area(im, 80 * 50 - (4 - pi) * 144, 2e-3);
    fv_canvas_fill_polygon(im, (const fv_point[]){{10.5, 80}, {52, 12}, {91, 77}}, 3, white);
    assert_area(im, 0.5 * fabs((52 - 10.5) * (77 - 80) - (91 - 10.5) * (12 - 80)), 2e-3);
    fv_canvas_line(im, 20, 30, 80, 75, 6, white);
    assert_area(im, 75 * 6 + pi * 9, 3e-3);
    /* A joint counts once: the two halves of a line meet at an angle, and no pixel is blended twice. */
    fv_canvas_polyline(im, (const fv_point[]){{20, 50}, {50, 50}, {80, 50}}, 3, 6, white);
    assert_area(im, 60 * 6 + pi * 9, 3e-3);
    for (int s = 0; s < FV_SHAPE_COUNT; s++) {
        fv_canvas_fill_shape(im, (fv_shape)s, 50, 50, 20, 17, white);
        double filled = area(im);
        assert_true(filled > 0.5 * pi * 400 && filled < 1.5 * pi * 400);
        memset(im->rgb, 0, 30000);
    }
    fv_image_free(im);
}

static void shapes_turn_and_have_names(void **state) {
    (void)state;
    fv_image *im = blank(60, 60), *turned = blank(60, 60);
    fv_canvas_fill_shape(im, FV_SHAPE_SQUARE, 30, 30, 20, 0, white);
    fv_canvas_fill_shape(turned, FV_SHAPE_SQUARE, 30, 30, 20, 90, white);
    assert_memory_equal(im->rgb, turned->rgb, 60 * 60 * 3);
    assert_int_equal(grey(im, 30, 13), 255); /* it stands on a side */
    assert_int_equal(grey(im, 14, 14), 255);
    fv_image_free(im);
    fv_image_free(turned);
    fv_shape s;
    for (int i = 0; i < FV_SHAPE_COUNT; i++) assert_true(fv_shape_find(&s, fv_shape_name((fv_shape)i)) && (int)s == i);
    assert_true(fv_shape_find(&s, "disc") && s == FV_SHAPE_DISC);
    assert_false(fv_shape_find(&s, "blob"));
}

static void colours(void **state) {
    (void)state;
    int count;
    const fv_color_entry *table = fv_color_table(&count);
    assert_int_equal(count, 12);
    fv_color c;
    assert_true(fv_color_find(&c, "Gray"));
    assert_memory_equal(c.rgb, table[10].color.rgb, 3);
    assert_true(fv_color_find(&c, "#0aFf80"));
    assert_memory_equal(c.rgb, ((uint8_t[]){0x0a, 0xff, 0x80}), 3);
    assert_false(fv_color_find(&c, "#0aFf8"));
    assert_false(fv_color_find(&c, "#0aFf8g"));
    assert_false(fv_color_find(&c, "mauve"));
    for (int i = 0; i < count; i++) { /* the contrast of a label is at least 4 : 1 (in the luminance of WCAG 2.1) */
        const fv_color pair[2] = {table[i].color, fv_color_contrast(table[i].color)};
        double l[2];
        for (int k = 0; k < 2; k++) {
            double v[3];
            for (int j = 0; j < 3; j++) v[j] = pow(pair[k].rgb[j] / 255.0, 2.2);
            l[k] = 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2];
        }
        assert_true((fmax(l[0], l[1]) + 0.05) / (fmin(l[0], l[1]) + 0.05) >= 4);
    }
}

/* Nothing of this may touch memory outside of the picture, hang or trap (run under the sanitizers). */
static void absurd_coordinates(void **state) {
    (void)state;
    fv_image *im = blank(16, 16);
    const double odd[] = {NAN, INFINITY, -INFINITY, 1e308, -1e308, 2e9, -2e9, 1e9, -1e9, 1e-308, -5, 0, 7.5, 16, 40000};
    for (size_t i = 0; i < FV_COUNT(odd); i++) {
        for (size_t j = 0; j < FV_COUNT(odd); j++) {
            double a = odd[i], b = odd[j];
            fv_canvas_fill_box(im, (fv_box){a, b, 8, 8}, white);
            fv_canvas_draw_box(im, (fv_box){0, 0, a, 8}, b, white);
            fv_canvas_draw_plate(im, (fv_box){a, 0, 9, b}, a, b, white);
            fv_canvas_fill_disc(im, 8, a, b, white);
            fv_canvas_draw_circle(im, a, 8, b, a, white);
            fv_canvas_fill_polygon(im, (fv_point[]){{a, 1}, {3, b}, {9, 9}}, 3, white);
            fv_canvas_draw_polygon(im, (fv_point[]){{a, 1}, {3, b}, {9, 9}}, 3, b, white);
            fv_canvas_arrow(im, (fv_point[]){{a, 1}, {3, b}}, 2, a, white);
            fv_canvas_line(im, 1, a, b, 2, 3, white);
            fv_canvas_point(im, a, b, 3, white);
            fv_canvas_fill_shape(im, FV_SHAPE_STAR, a, 4, b, a, white);
            fv_canvas_draw_shape(im, FV_SHAPE_DISC, 4, a, 5, a, b, white);
            fv_canvas_text(im, a, b, "Ag", &(fv_text_style){.size = 10, .color = white});
            fv_canvas_text(im, 3, 12, "Ag", &(fv_text_style){.size = a, .degrees = b, .anchor_x = b, .color = white});
            fv_canvas_label(im, a, b, "x", 9, white);
            fv_canvas_labelled_box(im, (fv_box){a, b, 9, 9}, 1, white, "label", a);
        }
    }
    fv_canvas_polyline(im, NULL, 0, 3, white);
    fv_canvas_fill_polygon(im, NULL, 0, white);
    fv_image_free(im);
}

/* The upright box of all painted pixels. */
static fv_box ink(const fv_image *im) {
    fv_box b = {im->width, im->height, 0, 0};
    for (int y = 0; y < im->height; y++)
        for (int x = 0; x < im->width; x++)
            if (grey(im, x, y) > 8) b = (fv_box){fmin(b.x1, x), fmin(b.y1, y), fmax(b.x2, x + 1), fmax(b.y2, y + 1)};
    return b;
}

static void text_stands_where_it_says(void **state) {
    (void)state;
    const char *const texts[] = {"8", "g", "Hello, plate 7!", "W", "-"};
    for (size_t i = 0; i < FV_COUNT(texts); i++) {
        for (int degrees = 0; degrees < 360; degrees += 15) {
            fv_image *im = blank(300, 300);
            fv_text_style style = {.size = 30, .degrees = degrees, .anchor_x = 0.5, .anchor_y = 0.5, .color = white};
            fv_box extent = fv_canvas_text(im, 150, 150, texts[i], &style), painted = ink(im), measured = fv_canvas_text_extent(150, 150, texts[i], &style);
            assert_memory_equal(&extent, &measured, sizeof extent);
            /* Outlines' control points may lie half a pixel outside of the ink, or a curve bulge less than its corner. */
            assert_true(fabs(extent.x1 - painted.x1) <= 2.5 && fabs(extent.x2 - painted.x2) <= 2.5);
            assert_true(fabs(extent.y1 - painted.y1) <= 2.5 && fabs(extent.y2 - painted.y2) <= 2.5);
            fv_image_free(im);
        }
    }
}

static void digits_fill_cap_height_and_centre(void **state) {
    (void)state;
    for (char c = '0'; c <= '9'; c++) {
        fv_image *im = blank(64, 64);
        fv_canvas_text(im, 32, 32, (char[]){c, 0}, &(fv_text_style){.size = 40, .anchor_x = 0.5, .anchor_y = 0.5, .color = white});
        fv_box b = ink(im);
        assert_true(fabs((b.x1 + b.x2) / 2 - 32) <= 1 && fabs((b.y1 + b.y2) / 2 - 32) <= 1);
        assert_true(fabs(b.y2 - b.y1 - 40 * FV_FONT_CAP) <= 2.5);
        fv_image_free(im);
    }
}

static void glyphs_differ(void **state) {
    (void)state;
    fv_image *seen[95];
    for (int i = 0; i < 95; i++) {
        seen[i] = blank(40, 40);
        fv_canvas_text(seen[i], 5, 30, (char[]){(char)(0x20 + i), 0}, &(fv_text_style){.size = 24, .anchor_y = 1, .color = white});
        assert_true(i == 0 ? area(seen[i]) == 0 : area(seen[i]) > 5); /* every printable character is in the font */
        for (int j = 0; j < i; j++) assert_memory_not_equal(seen[i]->rgb, seen[j]->rgb, 40 * 40 * 3);
    }
    for (int i = 0; i < 95; i++) fv_image_free(seen[i]);
}

static void other_characters_are_question_marks(void **state) {
    (void)state;
    fv_image *a = blank(80, 30), *b = blank(80, 30);
    fv_text_style style = {.size = 20, .color = white};
    fv_canvas_text(a, 2, 4, "a\xc3\xa9\xe2\x82\xac", &style); /* a, e with an accent, the euro sign */
    fv_canvas_text(b, 2, 4, "a??", &style);
    assert_memory_equal(a->rgb, b->rgb, 80 * 30 * 3);
    fv_canvas_text(a, 2, 4, "\xff\x80\x01", &style); /* no UTF-8 at all */
    fv_box none = fv_canvas_text(a, 7, 9, "  ", &style);
    assert_true(none.x1 == 7 && none.x2 == 7 && none.y1 == 9 && none.y2 == 9);
    fv_image_free(a);
    fv_image_free(b);
}

static void labels_stay_inside(void **state) {
    (void)state;
    fv_image *im = blank(120, 80);
    const double corners[][2] = {{-50, -50}, {200, 200}, {110, 5}, {5, 78}};
    for (size_t i = 0; i < FV_COUNT(corners); i++) {
        fv_box plate = fv_canvas_label(im, corners[i][0], corners[i][1], "plate 7", 14, (fv_color){{220, 38, 38}});
        assert_true(plate.x1 >= 0 && plate.y1 >= 0 && plate.x2 <= 120 && plate.y2 <= 80);
        assert_true(plate.x2 - plate.x1 > 40 && plate.y2 - plate.y1 > 14 * FV_FONT_CAP);
    }
    fv_image_free(im);
}

/* A label does not hide what it names: not a mark near a corner, nor a box as small as itself. */
static void labels_hide_nothing(void **state) {
    (void)state;
    fv_image *im = blank(448, 336);
    const double marks[][2] = {{440, 330}, {440, 5}, {5, 330}, {5, 5}};
    for (size_t i = 0; i < FV_COUNT(marks); i++) {
        fv_box plate = fv_canvas_label_beside(im, marks[i][0], marks[i][1], 8, "A", 14, (fv_color){{220, 38, 38}});
        bool across = plate.x1 >= marks[i][0] + 7 || plate.x2 <= marks[i][0] - 7, down = plate.y1 >= marks[i][1] + 7 || plate.y2 <= marks[i][1] - 7;
        assert_true((across || down) && plate.x1 >= 0 && plate.y1 >= 0 && plate.x2 <= 448 && plate.y2 <= 336);
    }
    fv_image *with = blank(120, 80), *without = blank(120, 80);
    fv_canvas_labelled_box(with, (fv_box){60, 0, 72, 12}, 1, white, "cup", 14);
    fv_canvas_draw_box(without, (fv_box){60, 0, 72, 12}, 1, white);
    assert_memory_equal(with->rgb, without->rgb, 12 * 120 * 3);
    assert_memory_not_equal(with->rgb + 13 * 120 * 3, without->rgb + 13 * 120 * 3, 12 * 120 * 3);
    fv_image_free(im);
    fv_image_free(with);
    fv_image_free(without);
}

/* One picture with everything in it, as a checksum: the same bits from any compiler, option and machine. */
static void equal_calls_give_equal_pixels(void **state) {
    (void)state;
    fv_image *im = blank(240, 180);
    int count;
    const fv_color_entry *table = fv_color_table(&count);
    for (int i = 0; i < count; i++) {
        fv_canvas_fill_shape(im, (fv_shape)(i % FV_SHAPE_COUNT), 12.3 + 18.7 * i, 20.1, 8.4, 7.7 * i, table[i].color);
        fv_canvas_draw_shape(im, (fv_shape)(i % FV_SHAPE_COUNT), 12.3 + 18.7 * i, 50.6, 7.9, -9.1 * i, 1.7, table[i].color);
        fv_canvas_text(im, 12 + 18.7 * i, 80, "R5g", &(fv_text_style){.size = 11.5, .degrees = 31 * i, .anchor_x = 0.5, .anchor_y = 0.5, .color = table[i].color});
    }
    fv_canvas_labelled_box(im, (fv_box){10.2, 110.7, 80.9, 160.1}, 2.5, table[3].color, "A1", 12);
    fv_canvas_arrow(im, (fv_point[]){{100, 120}, {130.5, 160.5}, {170, 110}}, 3, 2.2, table[1].color);
    fv_canvas_draw_plate(im, (fv_box){180, 110, 230, 160}, 9, 3.3, table[6].color);
    fv_canvas_point(im, 205, 135, 6.5, table[11].color);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < 240 * 180 * 3; i++) hash = (hash ^ im->rgb[i]) * 0x100000001b3u;
    fv_image_free(im);
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    assert_string_equal(text, "4b62108ac77733dd");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_are_exact),
        cmocka_unit_test(round_and_slanted_areas),
        cmocka_unit_test(shapes_turn_and_have_names),
        cmocka_unit_test(colours),
        cmocka_unit_test(absurd_coordinates),
        cmocka_unit_test(text_stands_where_it_says),
        cmocka_unit_test(digits_fill_cap_height_and_centre),
        cmocka_unit_test(glyphs_differ),
        cmocka_unit_test(other_characters_are_question_marks),
        cmocka_unit_test(labels_stay_inside),
        cmocka_unit_test(labels_hide_nothing),
        cmocka_unit_test(equal_calls_give_equal_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
