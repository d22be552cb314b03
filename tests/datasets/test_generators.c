/* Generated tasks: rows repeat exactly, options are checked, and what an answer says is what the pixels show. */
#include "made.h"

#include "core/file.h"
#include "datasets/photographs.h"
#include "datasets/scene.h"
#include "tools/calls.h"
#include "vision/processor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- help ----------------------------------------------------------------------------------------------------------- */

static void expect_refused(const char *name, const char *options, const char *part) {
    json_t *o = json_loads(options, 0, NULL);
    fv_generator_how how = {7, "train", o};
    fv_row *row = NULL;
    fv_error err = {0};
    assert_int_equal(fv_generator_find(name)->make(&row, &how, 0, &err), FV_BAD_RECIPE);
    assert_null(row);
    if (strstr(err.text, part) == NULL) fail_msg("\"%s\" has no \"%s\"", err.text, part);
    json_decref(o);
}

static fv_box read_box(const json_t *list) {
    double v[4];
    for (size_t i = 0; i < 4; i++) v[i] = json_number_value(json_array_get(list, i));
    return (fv_box){v[0], v[1], v[2], v[3]};
}

static bool is_color(const fv_image *im, int x, int y, fv_color c) {
    return memcmp(im->rgb + ((size_t)y * (size_t)im->width + (size_t)x) * 3, c.rgb, 3) == 0;
}

static int color_number(const char *name) {
    for (int i = 0; i < FV_PLATE_COLORS; i++)
        if (strcmp(fv_plate_color_name(i), name) == 0) return i;
    fail_msg("no colour %s", name);
    return 0;
}

/* ---- all generators ------------------------------------------------------------------------------------------------- */

/* Users and assistants take turns, pictures exist and have the limits, and the last answer is the row's. */
static void check_row(const fv_row *row, bool prompt) {
    size_t count = message_count(row), shown = 0;
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(json_string_value(json_object_get(message(row, i), "role")), i % 2 ? "assistant" : "user");
        const json_t *content = json_object_get(message(row, i), "content"), *part;
        size_t k;
        if (json_is_string(content)) continue;
        json_array_foreach(content, k, part) {
            const char *image = json_string_value(json_object_get(part, "image"));
            shown += json_array_size(json_object_get(part, "video"));
            if (image == NULL) continue;
            assert_int_equal(atoi(image + 1), shown++);
            assert_int_equal(json_integer_value(json_object_get(part, "max_pixels")), 112 * 112);
        }
    }
    assert_int_equal(shown, row->image_count);
    const char *answer = json_string_value(json_object_get(row->json, "answer"));
    assert_true(answer != NULL && answer[0] != '\0');
    assert_non_null(json_object_get(row->json, "problem_type"));
    bool search = strstr(row->id, "visual-search") != NULL; /* a trajectory, which ends with what came back where that shows no digit */
    bool drawn = strstr(row->id, "dots") != NULL || strstr(row->id, "mark") != NULL, reason = strstr(row->id, "reason") != NULL;
    if (prompt) assert_int_equal(count, 1);
    else if (search) assert_in_range(count, 3, 4);
    else assert_int_equal(count % 2, 0);
    if (!prompt && drawn) {
        char last[64];
        snprintf(last, sizeof last, " Action: Answer\n<answer>%s</answer>", answer);
        assert_non_null(strstr(said(message(row, count - 1)), last));
    }
    if (!prompt && !search && !drawn && !reason) assert_string_equal(said(message(row, count - 1)), answer);
}

static void rows_are_whole(void **state) {
    (void)state;
    int count;
    const fv_generator *const *all = fv_generators(&count);
    assert_int_equal(count, 17);
    for (int g = 0; g < count; g++) {
        bool search = strstr(all[g]->options, "mode=rl") != NULL; /* trajectories or prompts */
        for (int i = 0; i < 40; i++) {
            fv_row *row = make(all[g]->name, i % 2 ? "test" : "train", search ? "{\"mode\": \"sft\"}" : "{}", i);
            check_row(row, false);
            fv_row_free(row);
            row = make(all[g]->name, i % 2 ? "test" : "train", search ? "{}" : "{\"turns\": 1}", i);
            check_row(row, true);
            fv_row_free(row);
        }
    }
}

static bool same_rows(const fv_row *a, const fv_row *b) {
    bool same = json_equal(a->json, b->json) && a->image_count == b->image_count;
    for (int i = 0; same && i < a->image_count; i++) {
        const fv_image *x = a->images[i], *y = b->images[i];
        same = x->width == y->width && x->height == y->height && memcmp(x->rgb, y->rgb, (size_t)(3 * x->width * x->height)) == 0;
    }
    return same;
}

static void rows_repeat(void **state) {
    (void)state;
    int count;
    const fv_generator *const *all = fv_generators(&count);
    for (int g = 0; g < count; g++) {
        fv_row *a = make(all[g]->name, "train", "{}", 5), *other = make(all[g]->name, "train", "{}", 6), *b = make(all[g]->name, "train", "{}", 5),
               *test = make(all[g]->name, "test", "{}", 5);
        assert_true(same_rows(a, b));
        assert_false(same_rows(a, other));
        assert_false(same_rows(a, test));
        fv_row_free(a), fv_row_free(b), fv_row_free(other), fv_row_free(test);
    }
}

static void options_are_checked(void **state) {
    (void)state;
    expect_refused("describe", "{\"platse\": 3}", "did you mean \"plates\"");
    expect_refused("describe", "{\"plates\": 40}", "plates must be a number or a range (\"2..4\") in 1..8, got 40");
    expect_refused("describe", "{\"plates\": \"5..3\"}", "got \"5..3\"");
    expect_refused("describe", "{\"plates\": \"3..\"}", "plates must be");
    expect_refused("describe", "{\"ground\": \"photos\"}", "ground must be one of mixed|plain|photo|varied, got \"photos\"");
    expect_refused("visual-search", "{\"sloppy\": \"1..2\"}", "sloppy must be 0..56");
    expect_refused("words", "[1]", "options must be an object");
    fv_row_free(make("describe", "train", "{\"plates\": \"2..2\", \"radius\": 12.5, \"ground\": \"plain\"}", 0));
    assert_null(fv_generator_find("nothing"));
}

static void every_option_can_be_set(void **state) {
    (void)state;
    static const char *const settings[][2] = {
        {"ask", "{\"kinds\": \"color-box\", \"turns\": 1, \"plates\": 8, \"radius\": 24}"}, {"ask", "{\"kinds\": \"shape-glyph\", \"turns\": 1, \"glyphs\": \"none\"}"},
        {"ask", "{\"kinds\": \"glyph-color\", \"turns\": 16, \"plates\": 1}"}, {"clip", "{\"kinds\": \"first\", \"plates\": 6, \"radius\": 20, \"turns\": 1}"},
        {"clip", "{\"kinds\": \"what\", \"frames\": 2}"}, {"relation", "{\"kinds\": \"between\", \"plates\": 8, \"radius\": 24}"}, {"maze", "{\"side\": 2, \"turns\": 6}"},
        {"maze", "{\"side\": 6, \"kinds\": \"way\"}"}, {"chart", "{\"bars\": 8, \"kinds\": \"highest\", \"turns\": 1}"}, {"line", "{\"lines\": 6}"}, {"line", "{\"lines\": 1}"},
        {"count", "{\"plates\": 12, \"radius\": 16, \"kinds\": \"each\"}"}, {"zoomed", "{\"scene\": \"crowd\", \"plate\": 96, \"plates\": 8, \"digit\": 40}"},
        {"zoomed", "{\"side\": 224, \"size\": 224, \"scene\": \"search\", \"tags\": \"yes\"}"}, {"locate", "{\"kinds\": \"list\", \"plates\": 8, \"plate\": 96, \"size\": 224}"},
        {"transcribe", "{\"grid\": 6, \"jitter\": 12, \"cap\": 28, \"view\": 56}"}, {"transcribe", "{\"style\": \"vanishing\", \"cap\": 28, \"grid\": 6}"}, {"describe", "{\"view\": 448, \"plates\": 8, \"places\": \"no\"}"},
        {"several", "{\"pictures\": 3, \"plates\": 6, \"kinds\": \"glyph\", \"glyphs\": \"none\"}"}, {"visual-search", "{\"mode\": \"sft\", \"sloppy\": 56, \"grow\": 8, \"view\": 56}"},
        {"visual-search", "{\"mode\": \"no_tool_sft\", \"glyphs\": \"both\"}"}, {"maze", "{\"mode\": \"sft\", \"side\": 6, \"sloppy\": 28}"}, {"maze", "{\"mode\": \"rl\", \"view\": 224}"},
        {"dots", "{\"mode\": \"sft\", \"sloppy\": 8, \"jitter\": 8, \"view\": 56}"}, {"mark", "{\"mode\": \"sft\", \"plates\": 8, \"radius\": 8, \"sloppy\": 28, \"reflect\": 1}"},
        {"mark", "{\"kinds\": \"nearer\", \"glyphs\": \"both\", \"view\": 448}"}, {"reason", "{\"mode\": \"sft\", \"form\": \"describe\", \"leave\": 1, \"invent\": 1}"},
        {"reason", "{\"mode\": \"judge\", \"kind\": \"several\", \"plates\": 8}"}, {"reason", "{\"mode\": \"second\", \"kind\": \"count\", \"plates\": 1, \"leave\": 1}"}};
    for (size_t i = 0; i < FV_COUNT(settings); i++)
        for (int k = 0; k < 6; k++) fv_row_free(make(settings[i][0], "train", settings[i][1], k));
}

/* ---- photographs ---------------------------------------------------------------------------------------------------- */

static void photographs_are_there_with_their_licences(void **state) {
    (void)state;
    char *page;
    assert_int_equal(fv_file_read(&page, NULL, FOVEA_SOURCE "/datasets/photographs/LICENSES.md", NULL), FV_OK);
    assert_true(fv_photograph_count(false) >= 10);
    assert_true(fv_photograph_count(true) >= 5);
    for (int test = 0; test < 2; test++) {
        for (int i = 0; i < fv_photograph_count(test); i++) {
            const fv_image *im, *again;
            assert_int_equal(fv_photograph(&im, test, i, NULL), FV_OK);
            assert_int_equal(fv_photograph(&again, test, i, NULL), FV_OK);
            assert_ptr_equal(im, again);
            assert_int_equal(im->width < im->height ? im->width : im->height, 480);
            char line[96];
            snprintf(line, sizeof line, "| %s.jpg | %s |", fv_photograph_name(test, i), test ? "test" : "train");
            if (strstr(page, line) == NULL) fail_msg("LICENSES.md lacks \"%s\"", line);
        }
    }
    free(page);
}

/* ---- answers against pixels ----------------------------------------------------------------------------------------- */

static void boxes_hold_their_plates(void **state) {
    (void)state;
    for (int shape = 0; shape < FV_SHAPE_COUNT; shape++) {
        fv_image *im;
        assert_int_equal(fv_image_new(&im, 120, 120, (const uint8_t[3]){1, 2, 3}, NULL), FV_OK);
        fv_plate p = {.shape = (fv_shape)shape, .x = 60.3, .y = 59.6, .radius = 30};
        fv_scene_draw_plate(im, &p);
        fv_box want = fv_plate_box(&p), seen = {120, 120, 0, 0};
        for (int y = 0; y < 120; y++)
            for (int x = 0; x < 120; x++)
                if (!is_color(im, x, y, (fv_color){{1, 2, 3}})) seen = (fv_box){fmin(seen.x1, x), fmin(seen.y1, y), fmax(seen.x2, x + 1), fmax(seen.y2, y + 1)};
        /* Sharp corners carry their rim a little further (a triangle's by a rim's width). */
        assert_true(fabs(want.x1 - seen.x1) < 2.5 && fabs(want.y1 - seen.y1) < 2.5 && fabs(want.x2 - seen.x2) < 2.5 && fabs(want.y2 - seen.y2) < 2.5);
        fv_image_free(im);
    }
}

/* In the view a glyph must not tell itself from another: the same plate with a 1 and with an 8 differs less there than the same glyph differs when
 * its blots do. At full size they differ plainly. */
static double difference(char a, char b, int blots_a, int blots_b, bool in_view) {
    fv_image *im[2], *view[2];
    const char glyphs[2] = {a, b};
    const int blots[2] = {blots_a, blots_b};
    for (int k = 0; k < 2; k++) {
        fv_maker m = {.random = fv_random_stream((uint64_t)blots[k])};
        fv_plate p = {.color = 1, .shape = FV_SHAPE_DISC, .x = 32, .y = 32, .radius = 30, .glyph = glyphs[k], .glyph_x = 32, .glyph_y = 32, .cap = 12.5, .ink = 1};
        assert_int_equal(fv_image_new(&im[k], 64, 64, (const uint8_t[3]){128, 128, 128}, NULL), FV_OK);
        fv_scene_draw_plate(im[k], &p);
        assert_int_equal(fv_scene_draw_vanishing(im[k], &m, &p, NULL), FV_OK);
        assert_int_equal(fv_image_resize(&view[k], im[k], in_view ? 16 : 64, in_view ? 16 : 64, NULL), FV_OK);
    }
    int pixels = view[0]->width * view[0]->height;
    double sum = 0;
    for (int i = 0; i < 3 * pixels; i++) sum += (view[0]->rgb[i] - view[1]->rgb[i]) * (view[0]->rgb[i] - view[1]->rgb[i]);
    for (int k = 0; k < 2; k++) fv_image_free(im[k]), fv_image_free(view[k]);
    return sqrt(sum / pixels);
}

static void glyphs_vanish_in_the_view(void **state) {
    (void)state;
    static const char *const pairs[] = {"18", "LW"}; /* thin and wide */
    for (size_t p = 0; p < FV_COUNT(pairs); p++) {
        double same = 0, other = 0, full = 0;
        for (int i = 0; i < 8; i++) {
            same += difference(pairs[p][1], pairs[p][1], i, i + 100, true);
            other += difference(pairs[p][0], pairs[p][1], i, i, true);
            full += difference(pairs[p][0], pairs[p][1], i, i, false);
        }
        print_message("blots %.2f, %s in the view %.2f, at full size %.2f\n", same / 8, pairs[p], other / 8, full / 8);
        assert_true(other < same);
        assert_true(full > 2.5 * other);
    }
}

static void search_rows_tell_where_plates_are(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        fv_row *row = make("visual-search", "test", "{}", i);
        const json_t *plates = json_object_get(row->json, "plates"), *plate;
        size_t k;
        assert_int_equal(row->images[0]->width, 448);
        assert_true(json_array_size(plates) >= 4);
        int asked = 0;
        json_array_foreach(plates, k, plate) {
            fv_box b = read_box(json_object_get(plate, "box"));
            const char *color = json_string_value(json_object_get(plate, "color"));
            int inside = 0; /* plates are of their colour along their middle line, but for rim and digit */
            for (int x = (int)b.x1; x < b.x2; x++) inside += is_color(row->images[0], x, (int)(b.y1 + b.y2) / 2, fv_plate_color(color_number(color)));
            assert_true(inside > (b.x2 - b.x1) * 0.3);
            if (strstr(said(message(row, 0)), color) == NULL) continue;
            asked++;
            assert_true(json_equal(json_object_get(plate, "box"), json_object_get(row->json, "target_box")));
            assert_string_equal(json_string_value(json_object_get(plate, "digit")), json_string_value(json_object_get(row->json, "answer")));
        }
        assert_int_equal(asked, 1);
        fv_row_free(row);
    }
}

/* Cold start: the crop is what the call asked for, at full resolution, and the answer is right where the zoom hit. */
static int check_trajectory(const fv_row *row) {
    fv_box b;
    bool hit = json_is_true(json_object_get(row->json, "zoom_hits"));
    assert_in_range(message_count(row), hit ? 4 : 3, 4);
    static const char call[] = "<tool_call>\n{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [%lf, %lf, %lf, %lf]}}\n</tool_call>";
    assert_int_equal(sscanf(said(message(row, 1)), call, &b.x1, &b.y1, &b.x2, &b.y2), 4);
    const fv_image *crop = row->images[1], *whole = row->images[0];
    assert_int_equal(crop->width, 4 * (b.x2 - b.x1));
    assert_int_equal(crop->height, 4 * (b.y2 - b.y1));
    for (int y = 0; y < crop->height; y++) {
        const uint8_t *from = whole->rgb + (size_t)(((int)(4 * b.y1) + y) * whole->width + (int)(4 * b.x1)) * 3;
        assert_memory_equal(crop->rgb + (size_t)(y * crop->width * 3), from, (size_t)crop->width * 3);
    }
    char right[32];
    snprintf(right, sizeof right, "<answer>%s</answer>", json_string_value(json_object_get(row->json, "answer")));
    if (hit) assert_string_equal(said(message(row, 3)), right);
    return hit;
}

static void cold_starts_are_as_sloppy_as_asked(void **state) {
    (void)state;
    int hits = 0, exact = 0;
    for (int i = 0; i < 100; i++) {
        fv_row *row = make("visual-search", "train", "{\"mode\": \"sft\"}", i);
        hits += check_trajectory(row);
        fv_row_free(row);
        row = make("visual-search", "train", "{\"mode\": \"sft\", \"sloppy\": 0, \"grow\": 1.3}", i);
        exact += check_trajectory(row);
        fv_row_free(row);
    }
    assert_int_equal(exact, 100);
    assert_in_range(hits, 30, 70);
}

/* Walks through the maze as the answer says, from the red plate: no wall is crossed, and the way ends on a yellow plate. */
/* With spread=cells the colour of each cell that is named stands in its middle (no glyph, so that nothing hides it), and nothing else is named. */
static void cells_are_where_they_are_named(void **state) {
    (void)state;
    const char *options = "{\"order\": \"cell\", \"spread\": \"cells\", \"jitter\": 2, \"plates\": 8, \"radius\": \"10..12\", \"places\": \"no\", "
                          "\"glyphs\": \"none\", \"ground\": \"plain\"}";
    for (int64_t i = 0; i < 20; i++) {
        fv_row *row = make("describe", "train", options, i);
        const char *at = said(message(row, 1));
        char last = 0;
        int named = 0;
        for (; at != NULL && *at; at = strstr(at, "; ") ? strstr(at, "; ") + 2 : NULL, named++) {
            char cell, color[16];
            assert_int_equal(sscanf(at, "%c %15s", &cell, color), 2);
            assert_true(cell > last && cell <= 'p');
            last = cell;
            int number = cell - 'a', x = number % FV_CELLS * 28 + 14, y = number / FV_CELLS * 28 + 14;
            assert_true(is_color(row->images[0], x, y, fv_plate_color(color_number(color))));
        }
        assert_int_equal(named, 8);
        fv_row_free(row);
    }
}

/* Lists by colour follow the order of the colours; with marks each names a cell. */
static void lists_by_color_are_in_order(void **state) {
    (void)state;
    static const struct {
        const char *name, *options;
    } lists[] = {{"describe", "{\"order\": \"color\", \"marks\": \"yes\"}"}, {"locate", "{\"kinds\": \"list\", \"order\": \"color\"}"}};
    for (size_t l = 0; l < FV_COUNT(lists); l++) {
        for (int64_t i = 0; i < 10; i++) {
            fv_row *row = make(lists[l].name, "train", lists[l].options, i);
            int last = -1;
            for (const char *at = said(message(row, 1)); at != NULL; at = strstr(at, "; ") ? strstr(at, "; ") + 2 : NULL) {
                char color[16], after[16];
                assert_int_equal(sscanf(at, "%15s %15s", color, after), 2);
                assert_true(color_number(color) > last);
                last = color_number(color);
                if (l == 0) assert_true(strlen(after) == 1 && after[0] >= 'a' && after[0] <= 'p');
            }
            fv_row_free(row);
        }
    }
}

/* locate's calls are calls that the environment takes, with a box about a plate of the colour that was asked for. */
static void calls_can_be_called(void **state) {
    (void)state;
    fv_row *row = make("locate", "train", "{\"kinds\": \"call\", \"turns\": 2}", 3);
    assert_int_equal(message_count(row), 4);
    for (size_t i = 1; i < 4; i += 2) {
        char color[16];
        assert_int_equal(sscanf(said(message(row, i - 1)), "Zoom in on the %15s plate.", color), 1);
        fv_call call;
        fv_error err = {0};
        const char *text = said(message(row, i));
        fv_span body;
        assert_true(fv_pair_next(&body, &text, "<tool_call>", "</tool_call>"));
        assert_int_equal(fv_call_parse(&call, body, &err), FV_OK);
        assert_string_equal(call.name, "image_zoom_in_tool");
        fv_box box = read_box(json_object_get(call.arguments, "bbox_2d"));
        int x = (int)(2 * (box.x1 + box.x2)), y = (int)(box.y1 * 4 + (box.y2 - box.y1) * 0.6); /* of the picture, four times the view; above the label */
        const uint8_t *at = row->images[0]->rgb + 3 * (y * row->images[0]->width + x);
        fv_color want = fv_plate_color(color_number(color));
        for (int c = 0; c < 3; c++) assert_true(abs(at[c] - want.rgb[c]) < 140);
        fv_call_clear(&call);
    }
    fv_row_free(row);
}

static void mazes_can_be_walked(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        fv_row *row = make("maze", "train", "{\"side\": 4, \"kinds\": \"way\", \"turns\": 1}", i);
        const fv_image *im = row->images[0];
        double margin = 112 * 0.08, cell = (112 - 2 * margin) / 4, x = margin + cell / 2, y = margin + cell / 2;
        fv_color wall = fv_color_contrast((fv_color){{im->rgb[0], im->rgb[1], im->rgb[2]}});
        while (!is_color(im, (int)x, (int)y, fv_plate_color(color_number("red"))) && y < 112) y += cell;
        char way[256], *next = NULL;
        snprintf(way, sizeof way, "%s", json_string_value(json_object_get(row->json, "answer")));
        for (char *word = strtok_r(way, " ", &next); word != NULL; word = strtok_r(NULL, " ", &next)) {
            double dx = strcmp(word, "right") == 0 ? 1 : strcmp(word, "left") == 0 ? -1 : 0, dy = strcmp(word, "down") == 0 ? 1 : strcmp(word, "up") == 0 ? -1 : 0;
            assert_true(dx != 0 || dy != 0);
            for (double t = -3; t <= 3; t += 0.5) /* around the border between the cells; glyphs of the wall's colour are further in */
                assert_false(is_color(im, (int)(x + dx * (cell / 2 + t)), (int)(y + dy * (cell / 2 + t)), wall));
            x += dx * cell;
            y += dy * cell;
        }
        int yellow = 0;
        for (int k = -6; k <= 6; k++) yellow += is_color(im, (int)x + k, (int)y - 6, fv_plate_color(color_number("yellow")));
        assert_true(yellow > 0);
        fv_row_free(row);
    }
}

/* The middle of all pixels of a colour. */
static fv_point middle(const fv_image *im, const char *color) {
    fv_color c = fv_plate_color(color_number(color));
    double n = 0;
    fv_point sum = {0, 0};
    for (int y = 0; y < im->height; y++)
        for (int x = 0; x < im->width; x++)
            if (is_color(im, x, y, c)) n++, sum.x += x, sum.y += y;
    assert_true(n > 0);
    return (fv_point){sum.x / n, sum.y / n};
}

static void clips_show_who_moved_first(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        fv_row *row = make("clip", "train", "{\"kinds\": \"first\", \"turns\": 1, \"ground\": \"plain\"}", i);
        const char *first = json_string_value(json_object_get(row->json, "answer"));
        fv_point a = middle(row->images[0], first), b = middle(row->images[1], first), last = middle(row->images[row->image_count - 1], first);
        assert_true(fabs(a.x - b.x) + fabs(a.y - b.y) > 3);
        assert_true(fabs(fabs(a.x - last.x) + fabs(a.y - last.y) - 32) < 2);
        fv_row_free(row);
    }
}

/* The frames of a clip are seen at the view's size, however many they are: limits count all frames together for Qwen3-VL's processor. */
static void clips_are_seen_at_full_size(void **state) {
    (void)state;
    fv_processor p;
    fv_error err;
    assert_int_equal(fv_processor_read(&p, FOVEA_SOURCE "/models/tiny-vl", true, "qwen3_vl", &err), FV_OK);
    fv_row *row = make("clip", "train", "{\"frames\": \"8..8\"}", 0);
    json_t *part = json_array_get(json_object_get(json_array_get(json_object_get(row->json, "messages"), 0), "content"), 0);
    assert_string_equal(json_string_value(json_object_get(part, "type")), "video");
    int height, width;
    assert_int_equal(fv_view_size(&height, &width, &p, 8, row->images[0]->height, row->images[0]->width, json_integer_value(json_object_get(part, "min_pixels")),
                                  json_integer_value(json_object_get(part, "max_pixels")), &err),
                     FV_OK);
    assert_int_equal(height, 112);
    assert_int_equal(width, 112);
    fv_row_free(row);
}

/* ground: varied is plain in one of three rows, which are those of ground: plain, and a picture of its own in the others. */
static void varied_grounds_are_new_pictures(void **state) {
    (void)state;
    int plain = 0;
    for (int i = 0; i < 60; i++) {
        fv_row *row[3];
        const char *const options[] = {"{\"ground\": \"varied\"}", "{\"ground\": \"plain\"}", "{\"ground\": \"photo\"}"};
        for (int k = 0; k < 3; k++) row[k] = make("count", "train", options[k], i);
        size_t size = (size_t)row[0]->images[0]->width * (size_t)row[0]->images[0]->height * 3;
        bool is_plain = memcmp(row[0]->images[0]->rgb, row[1]->images[0]->rgb, size) == 0;
        plain += is_plain;
        assert_memory_not_equal(row[0]->images[0]->rgb, row[2]->images[0]->rgb, size);
        for (int k = 0; k < 3; k++) fv_row_free(row[k]);
    }
    assert_in_range(plain, 10, 30);
}

/* "blue still; red up 1 2": every plate is named, and has moved as is said of it, within those pairs. */
static void clips_show_how_each_plate_moves(void **state) {
    (void)state;
    static const char *const ways[] = {"still", "left", "right", "up", "down"};
    int said[5] = {0};
    for (int i = 0; i < 30; i++) {
        fv_row *row = make("clip", "train", "{\"kinds\": \"each\", \"turns\": 1, \"ground\": \"plain\"}", i);
        char text[160], *next = NULL;
        snprintf(text, sizeof text, "%s", json_string_value(json_object_get(row->json, "answer")));
        for (char *plate = strtok_r(text, ";", &next); plate != NULL; plate = strtok_r(NULL, ";", &next)) {
            char name[16], way[16];
            int used = 0;
            assert_int_equal(sscanf(plate, "%15s %15s%n", name, way, &used), 2);
            fv_point a = middle(row->images[0], name), b = middle(row->images[row->image_count - 1], name);
            int is = fabs(a.x - b.x) + fabs(a.y - b.y) < 1 ? 0 : fabs(a.x - b.x) > fabs(a.y - b.y) ? (b.x < a.x ? 1 : 2) : b.y < a.y ? 3 : 4;
            assert_string_equal(way, ways[is]);
            said[is]++;
            for (int f = 0; f + 1 < row->image_count; f += 2) {
                char pair[16];
                snprintf(pair, sizeof pair, " %d", f / 2 + 1);
                a = middle(row->images[f], name), b = middle(row->images[f + 1], name);
                assert_int_equal(strstr(plate + used, pair) != NULL, fabs(a.x - b.x) + fabs(a.y - b.y) > 0.5);
            }
        }
        fv_row_free(row);
    }
    for (int way = 0; way < 5; way++) assert_true(said[way] > 0);
}

/* "A 3; B 7": the columns of each bar's colour are as high as its value, in steps of the scale. */
static void charts_show_their_values(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        fv_row *row = make("chart", "train", "{\"kinds\": \"value\", \"turns\": 1}", i);
        const fv_image *im = row->images[0];
        char color[16];
        assert_int_equal(sscanf(said(message(row, 0)), "What is the value of the %15s bar?", color), 1);
        int high = 112, low = 0;
        for (int y = 0; y < 96; y++)
            for (int x = 18; x < 112; x++) {
                bool run = true; /* a run of the colour: not a grid line or a letter */
                for (int k = 0; k < 5 && run; k++) run = x + k < 112 && is_color(im, x + k, y, fv_plate_color(color_number(color)));
                if (run && y > 6) high = y < high ? y : high, low = y > low ? y : low;
            }
        bool ink = strcmp(color, "black") == 0 || strcmp(color, "white") == 0; /* the grid's own colours */
        double value = (low + 2 - (high - 1)) / 9.0;
        if (!ink) assert_true(fabs(value - atoi(json_string_value(json_object_get(row->json, "answer")))) < 0.4);
        fv_row_free(row);
    }
}

static void counts_add_up(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) {
        fv_row *row = make("count", "train", "{\"turns\": 5}", i);
        int total = -1, sum = 0;
        for (size_t k = 1; k < message_count(row); k += 2) {
            const char *question = said(message(row, k - 1)), *answer = said(message(row, k));
            if (strcmp(question, "How many plates are there?") == 0) total = atoi(answer);
            if (strstr(question, "cells") != NULL && total >= 0) assert_int_equal((strlen(answer) + 1) / 2, total);
            if (strstr(question, "each colour") == NULL) continue;
            for (const char *at = answer; *at; at++) sum += *at >= '0' && *at <= '9' ? *at - '0' : 0;
        }
        if (total >= 0 && sum > 0) assert_int_equal(total, sum);
        fv_row_free(row);
    }
}

/* Where nothing is left out or made up, the answer follows from what is written before it, and judges say 1. */
static void reasons_say_what_answers_need(void **state) {
    (void)state;
    for (int64_t i = 0; i < 40; i++) {
        fv_row *glyph = make("reason", "train", "{\"mode\": \"second\", \"leave\": 0, \"invent\": 0}", i);
        fv_row *several = make("reason", "train", "{\"mode\": \"sft\", \"kind\": \"several\", \"leave\": 0, \"invent\": 0}", i);
        fv_row *judge = make("reason", "train", "{\"mode\": \"judge\", \"kind\": \"count\", \"leave\": 0, \"invent\": 0}", i);
        char asked[16], note[32], want[64], answer[16] = "";
        const char *text = said(message(glyph, 0));
        assert_int_equal(sscanf(strstr(text, "\nWhich"), "\nWhich %*s is on the %15s plate?", asked), 1);
        snprintf(note, sizeof note, "%s %s", asked, json_string_value(json_object_get(glyph->json, "answer")));
        snprintf(want, sizeof want, "<think>%s</think>\\boxed{%s}", asked, json_string_value(json_object_get(glyph->json, "answer")));
        assert_non_null(strstr(text, note));
        assert_string_equal(said(message(glyph, 1)), want);
        const char *offered = json_string_value(json_object_get(json_array_get(json_object_get(message(several, 0), "content"), 1), "text"));
        for (const char *at = strchr(offered, '?') + 2; at; at = strchr(at + 2, ' '), at += at != NULL) {
            snprintf(note, sizeof note, "%.*s", (int)strcspn(at + 2, " "), at + 2);
            if (strstr(said(message(several, 1)), note)) snprintf(answer + strlen(answer), sizeof answer - strlen(answer), "%s%c", *answer ? "," : "", *at);
        }
        assert_string_equal(json_string_value(json_object_get(several->json, "answer")), answer);
        assert_string_equal(said(message(judge, 1)), "<answer>1.0</answer>");
        fv_row_free(glyph), fv_row_free(several), fv_row_free(judge);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_whole),
        cmocka_unit_test(rows_repeat),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(every_option_can_be_set),
        cmocka_unit_test(photographs_are_there_with_their_licences),
        cmocka_unit_test(boxes_hold_their_plates),
        cmocka_unit_test(glyphs_vanish_in_the_view),
        cmocka_unit_test(search_rows_tell_where_plates_are),
        cmocka_unit_test(cold_starts_are_as_sloppy_as_asked),
        cmocka_unit_test(cells_are_where_they_are_named),
        cmocka_unit_test(lists_by_color_are_in_order),
        cmocka_unit_test(calls_can_be_called),
        cmocka_unit_test(mazes_can_be_walked),
        cmocka_unit_test(clips_show_who_moved_first),
        cmocka_unit_test(varied_grounds_are_new_pictures),
        cmocka_unit_test(clips_are_seen_at_full_size),
        cmocka_unit_test(clips_show_how_each_plate_moves),
        cmocka_unit_test(charts_show_their_values),
        cmocka_unit_test(counts_add_up),
        cmocka_unit_test(reasons_say_what_answers_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
