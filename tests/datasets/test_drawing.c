/* Worlds in which drawing helps: what trajectories draw is what their pictures show, and answers are what the drawings say. */
#include "made.h"

#include "datasets/scene.h"
#include "tools/actions.h"
#include "tools/sketch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 30 };

static size_t turns(const fv_row *row) {
    return message_count(row) / 2;
}

static const char *turn(const fv_row *row, size_t i) { return json_string_value(content(row, 2 * i + 1)); }
static const char *answer(const fv_row *row) { return field(row, "answer"); }

/* The items of a turn. The caller's. */
static json_t *items(const fv_row *row, size_t i) {
    json_t *list;
    assert_int_equal(fv_action_items(&list, turn(row, i), NULL), FV_OK);
    assert_true(json_array_size(list) > 0);
    return list;
}

static fv_point point(const json_t *item, const char *field) {
    const json_t *p = json_object_get(item, field);
    return (fv_point){json_number_value(json_array_get(p, 0)), json_number_value(json_array_get(p, 1))};
}

static fv_box box(const json_t *item) {
    const json_t *b = json_object_get(item, "bbox_2d");
    return (fv_box){json_number_value(json_array_get(b, 0)), json_number_value(json_array_get(b, 1)), json_number_value(json_array_get(b, 2)), json_number_value(json_array_get(b, 3))};
}

static bool is_color(const fv_image *im, double x, double y, fv_color c) {
    return memcmp(im->rgb + 3 * ((size_t)y * (size_t)im->width + (size_t)x), c.rgb, 3) == 0;
}

/* The row's own environment answers the row's turns with the row's very pictures and texts. */
static void environments_agree(void **state) {
    (void)state;
    static const char *const worlds[][2] = {{"maze", "{\"mode\": \"sft\"}"}, {"dots", "{\"mode\": \"sft\"}"}, {"mark", "{\"mode\": \"sft\", \"reflect\": 0.5}"}};
    for (size_t w = 0; w < FV_COUNT(worlds); w++)
        for (int i = 0; i < 10; i++) {
            fv_row *row = make(worlds[w][0], "train", worlds[w][1], i);
            fv_seen seen[FV_SKETCH_PICTURES];
            fv_env *env;
            fv_episode *episode;
            fv_error err = {0};
            if (fv_env_open(&env, json_object_get(row->json, "env"), 28, &err) != FV_OK) fail_msg("%s", err.text);
            assert_int_equal(fv_env_reset(env, row->json, 1, &episode, NULL), FV_OK);
            for (int k = 0; k < row->image_count; k++) seen[k] = (fv_seen){row->images[k], {112, 112, 112, 112}};
            int count = 1;
            for (size_t t = 0; t < turns(row); t++) {
                fv_observation o;
                fv_step step;
                assert_int_equal(fv_env_step(episode, turn(row, t), seen, count, &o, &step, &err), FV_OK);
                assert_int_equal(step.failures, 0);
                assert_int_equal(step.terminated, t + 1 == turns(row));
                for (int k = 0; k < o.image_count; k++) assert_memory_equal(o.images[k]->rgb, row->images[count + k]->rgb, 3 * 112 * 112);
                if (o.content) assert_string_equal(json_string_value(json_object_get(json_array_get(o.content, 1), "text")), json_string_value(json_object_get(json_array_get(content(row, 2 * t + 2), 1), "text")));
                count += o.image_count;
                fv_observation_clear(&o);
            }
            assert_int_equal(count, row->image_count);
            fv_episode_close(episode);
            fv_env_close(env);
            fv_row_free(row);
        }
}

/* Runs follow each other from the red plate to the exit of the answer, and cross no wall. */
static void ways_are_drawn_through_mazes(void **state) {
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        fv_row *row = make("maze", "train", "{\"mode\": \"sft\", \"sloppy\": 0, \"side\": 4}", i);
        const fv_image *im = row->images[0];
        fv_color red = fv_plate_color(0), wall = fv_color_contrast((fv_color){{im->rgb[0], im->rgb[1], im->rgb[2]}});
        fv_point at = {0, 0};
        double cell = 112 * 0.84 / 4;
        for (size_t t = 0; t + 1 < turns(row); t++) {
            json_t *list = items(row, t);
            const json_t *line = json_array_get(list, 0);
            fv_point from = point(line, "start_point_2d"), to = point(line, "end_point_2d");
            assert_int_equal(json_integer_value(json_object_get(line, "index")), t + 1);
            if (t == 0) assert_true(is_color(im, from.x, from.y, red));
            else assert_true(from.x == at.x && from.y == at.y);
            int steps = (int)(fmax(fabs(to.x - from.x), fabs(to.y - from.y)) / cell + 0.5);
            assert_true(steps >= 1 && fmin(fabs(to.x - from.x), fabs(to.y - from.y)) == 0);
            double dx = (to.x > from.x) - (to.x < from.x), dy = (to.y > from.y) - (to.y < from.y);
            for (int s = 0; s < steps; s++) /* at the border between two cells: a wall would be there, and no plate reaches it */
                assert_false(is_color(im, from.x + dx * cell * (s + 0.5), from.y + dy * cell * (s + 0.5), wall));
            assert_true(is_color(row->images[t + 1], to.x, to.y, (fv_color){{0, 0, 255}})); /* the drawing is on the new picture */
            at = to;
            json_decref(list);
        }
        int yellow = 0; /* the way ends at an exit */
        for (int y = -6; y <= 6; y++)
            for (int x = -6; x <= 6; x++) yellow += is_color(im, at.x + x, at.y + y, fv_plate_color(3));
        assert_true(yellow > 10 && strlen(answer(row)) == 1);
        fv_row *other = make("maze", "train", "{\"mode\": \"rl\", \"side\": 4}", i); /* the same maze, without the trajectory */
        assert_int_equal(json_array_size(json_object_get(other->json, "messages")), 1);
        assert_memory_equal(other->images[0]->rgb, im->rgb, 3 * 112 * 112);
        assert_string_equal(answer(other), answer(row));
        fv_row_free(other);
        fv_row_free(row);
    }
}

/* Which letter lines between the four corners (and the middle) of a box make, worked out from the lines alone. */
static char letter_of(const json_t *lines) {
    double left = 1e9, right = 0, top = 1e9, bottom = 0;
    bool edge[4] = {false}; /* left, right, top, bottom sides */
    int diagonals = 0, middles_up = 0;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        fv_point p[2] = {point(json_array_get(lines, i), "start_point_2d"), point(json_array_get(lines, i), "end_point_2d")};
        for (int k = 0; k < 2; k++) left = fmin(left, p[k].x), right = fmax(right, p[k].x), top = fmin(top, p[k].y), bottom = fmax(bottom, p[k].y);
    }
    double x = (left + right) / 2, y = (top + bottom) / 2, w = right - left, h = bottom - top;
    for (size_t i = 0; i < json_array_size(lines); i++) {
        fv_point a = point(json_array_get(lines, i), "start_point_2d"), b = point(json_array_get(lines, i), "end_point_2d");
        bool across = fabs(a.x - b.x) > w / 4, down = fabs(a.y - b.y) > h / 4;
        if (fabs(a.x - x) < w / 4 || fabs(b.x - x) < w / 4) middles_up += (a.y + b.y) / 2 < y; /* to the middle: from above or from below */
        else if (across && down) diagonals += (a.x < b.x) == (a.y < b.y) ? 1 : 10;
        else edge[across ? (a.y < y ? 2 : 3) : (a.x < x ? 0 : 1)] = true;
    }
    if (json_array_size(lines) == 4) return middles_up == 2 ? 'M' : 'W';
    if (diagonals == 1) return edge[0] && edge[1] ? 'N' : '?';
    if (diagonals == 10) return edge[2] && edge[3] ? 'Z' : '?';
    return edge[3] && edge[0] && edge[1] ? 'U' : edge[2] && edge[3] && edge[0] ? 'C' : '?';
}

static void dots_make_letters(void **state) {
    (void)state;
    int seen[128] = {0}, letters = 0;
    for (int i = 0; i < 3 * ROWS; i++) {
        fv_row *row = make("dots", "train", "{\"mode\": \"sft\", \"sloppy\": 0}", i);
        json_t *lines = items(row, 0);
        assert_int_equal(letter_of(lines), answer(row)[0]);
        for (size_t k = 0; k < json_array_size(lines); k++) { /* from dot to dot, without a gap */
            fv_point from = point(json_array_get(lines, k), "start_point_2d"), to = point(json_array_get(lines, k), "end_point_2d");
            assert_true(is_color(row->images[0], from.x, from.y, (fv_color){{16, 16, 16}}) && is_color(row->images[0], to.x, to.y, (fv_color){{16, 16, 16}}));
            if (k + 1 < json_array_size(lines)) assert_true(point(json_array_get(lines, k + 1), "start_point_2d").x == to.x);
        }
        letters += seen[(int)answer(row)[0]]++ == 0;
        json_decref(lines);
        fv_row_free(row);
    }
    assert_int_equal(letters, 6);
}

/* Boxes stand around plates of the colour of their label, and tell the answer. */
static void marks_tell_the_answer(void **state) {
    (void)state;
    int sides = 0, reflections = 0;
    for (int i = 0; i < 2 * ROWS; i++) {
        fv_row *row = make("mark", "train", "{\"mode\": \"sft\", \"sloppy\": 0, \"ground\": \"plain\"}", i);
        const char *question = json_string_value(json_object_get(json_array_get(content(row, 0), 1), "text"));
        json_t *boxes = items(row, turns(row) - 2);
        fv_point middle[3];
        char label[3][16] = {"", "", ""};
        size_t n = json_array_size(boxes);
        assert_in_range(n, 2, 3);
        reflections += turns(row) == 3;
        for (size_t k = 0; k < n; k++) {
            const json_t *item = json_array_get(boxes, k);
            fv_box b = box(item);
            middle[k] = (fv_point){(b.x1 + b.x2) / 2, (b.y1 + b.y2) / 2};
            snprintf(label[k], sizeof label[k], "%s", json_string_value(json_object_get(item, "label")));
            int inside = 0, color = 0;
            while (strcmp(fv_plate_color_name(color), label[k])) color++;
            for (int y = (int)b.y1; y < b.y2; y++)
                for (int x = (int)b.x1; x < b.x2; x++) inside += is_color(row->images[0], x, y, fv_plate_color(color));
            assert_true(inside > 3); /* the smallest stars have few pixels that are nothing but their colour */
        }
        if (n == 3) {
            double a = hypot(middle[0].x - middle[2].x, middle[0].y - middle[2].y), b = hypot(middle[1].x - middle[2].x, middle[1].y - middle[2].y);
            assert_string_equal(answer(row), a < b ? label[0] : label[1]);
            assert_non_null(strstr(question, "nearer"));
        } else {
            double dx = middle[0].x - middle[1].x, dy = middle[0].y - middle[1].y;
            bool yes = strstr(question, "left") ? dx < 0 : strstr(question, "right") ? dx > 0 : strstr(question, "above") ? dy < 0 : dy > 0;
            assert_string_equal(answer(row), yes ? "yes" : "no");
            sides++;
        }
        json_decref(boxes);
        fv_row_free(row);
    }
    assert_in_range(sides, ROWS / 2, 3 * ROWS / 2);
    assert_in_range(reflections, ROWS / 4, ROWS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(environments_agree),
        cmocka_unit_test(ways_are_drawn_through_mazes),
        cmocka_unit_test(dots_make_letters),
        cmocka_unit_test(marks_tell_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
