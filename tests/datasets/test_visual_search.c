/* What the main job's generator asks for: digits, letters or both, and rows by default that stay those which the figures in docs/ were measured on. */
#include "made.h"

#include "datasets/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *question(const fv_row *row) {
    return json_string_value(json_object_get(json_array_get(content(row, 0), 1), "text"));
}

/* ---- digits, letters, both ---------------------------------------------------------------------------------------- */

/* The question's word is the plates' name for what is on them. Returns the answer. */
static char check_row(const fv_row *row, const char *mode, const char *word) {
    char want[96];
    const char *color = NULL, *answer = field(row, "answer");
    const json_t *plates = json_object_get(row->json, "plates"), *plate;
    size_t i;
    json_array_foreach(plates, i, plate) {
        assert_int_equal(json_string_length(json_object_get(plate, word)), 1);
        if (!json_equal(json_object_get(plate, "box"), json_object_get(row->json, "target_box"))) continue;
        color = json_string_value(json_object_get(plate, "color"));
        assert_string_equal(json_string_value(json_object_get(plate, word)), answer);
    }
    assert_non_null(color);
    bool tell = question(row)[0] == 'T', without = strncmp(mode, "no_tool", 7) == 0;
    snprintf(want, sizeof want, "%s%s on the %s plate%s%s", word, tell ? "" : " is", color, tell ? "." : "?", without ? " Give only the answer." : "");
    const char *from = strchr(question(row), ' ') + 1;
    assert_string_equal(tell ? from + strlen("me the ") : from, want);
    snprintf(want, sizeof want, "visual-search/%s", without ? "no_tool" : word);
    assert_string_equal(field(row, "category"), want);
    snprintf(want, sizeof want, "<answer>%s</answer>", answer);
    if (strcmp(mode, "no_tool_sft") == 0 || json_is_true(json_object_get(row->json, "zoom_hits")))
        assert_string_equal(json_string_value(content(row, message_count(row) - 1)), want);
    return answer[0];
}

static void glyphs_are_those_asked_for(void **state) {
    (void)state;
    static const char *const modes[] = {"rl", "sft", "no_tool", "no_tool_sft"};
    static const char *const kinds[][2] = {{"digits", "digit"}, {"letters", "letter"}, {"both", "glyph"}};
    for (size_t k = 0; k < FV_COUNT(kinds); k++) {
        int digits = 0, letters = 0;
        for (int64_t i = 0; i < 24; i++) {
            char options[96];
            const char *mode = modes[i % (int64_t)FV_COUNT(modes)];
            snprintf(options, sizeof options, "{\"mode\": \"%s\", \"glyphs\": \"%s\"}", mode, kinds[k][0]);
            fv_row *row = make("visual-search", "train", options, i);
            char glyph = check_row(row, mode, kinds[k][1]);
            assert_non_null(strchr(FV_DIGITS FV_LETTERS, glyph));
            if (glyph >= '0' && glyph <= '9') digits++;
            else letters++;
            fv_row_free(row);
        }
        assert_int_equal(digits > 0, k != 1);
        assert_int_equal(letters > 0, k != 0);
        if (k == 2) assert_in_range(digits, 4, 20);
    }
}

/* ---- rows that stay ------------------------------------------------------------------------------------------------- */

static bool same_pictures(const fv_row *a, const fv_row *b) {
    size_t size = (size_t)a->images[0]->width * (size_t)a->images[0]->height * 3;
    return a->images[0]->width == b->images[0]->width && a->images[0]->height == b->images[0]->height && memcmp(a->images[0]->rgb, b->images[0]->rgb, size) == 0;
}

/* Letters take the draws that digits do: plates, their colours and which one is asked for are the same. */
static void letters_stand_where_digits_do(void **state) {
    (void)state;
    for (int64_t i = 0; i < 10; i++) {
        fv_row *row = make("visual-search", "train", "{}", i), *digits = make("visual-search", "train", "{\"glyphs\": \"digits\"}", i), *letters = make("visual-search", "train", "{\"glyphs\": \"letters\"}", i);
        assert_true(json_equal(row->json, digits->json));
        assert_true(same_pictures(row, digits));
        assert_false(same_pictures(row, letters));
        assert_true(json_equal(json_object_get(row->json, "target_box"), json_object_get(letters->json, "target_box")));
        const json_t *a = json_object_get(row->json, "plates"), *b = json_object_get(letters->json, "plates");
        assert_int_equal(json_array_size(a), json_array_size(b));
        for (size_t k = 0; k < json_array_size(a); k++) {
            const json_t *p = json_array_get(a, k), *q = json_array_get(b, k);
            assert_true(json_equal(json_object_get(p, "box"), json_object_get(q, "box")));
            assert_true(json_equal(json_object_get(p, "color"), json_object_get(q, "color")));
        }
        fv_row_free(row), fv_row_free(digits), fv_row_free(letters);
    }
}

/* What these rows said before there were letters. A draw more or less, in the scene or behind it, would change the last of them. */
static void rows_by_default_are_those_of_old(void **state) {
    (void)state;
    static const char plates[] = "[{\"color\": \"black\", \"digit\": \"1\", \"box\": [22, 176, 94, 247]}, {\"color\": \"blue\", \"digit\": \"3\", \"box\": [126, 150, 191, 201]}, "
                                 "{\"color\": \"yellow\", \"digit\": \"1\", \"box\": [150, 244, 211, 305]}, {\"color\": \"orange\", \"digit\": \"3\", \"box\": [42, 327, 101, 386]}, "
                                 "{\"color\": \"red\", \"digit\": \"3\", \"box\": [345, 233, 422, 293]}, {\"color\": \"purple\", \"digit\": \"9\", \"box\": [371, 312, 426, 367]}]";
    fv_row *search = make("visual-search", "train", "{\"mode\": \"sft\"}", 1), *locate = make("locate", "train", "{\"turns\": 1}", 1), *zoomed = make("zoomed", "train", "{\"turns\": 1}", 0);
    json_t *want = json_loads(plates, 0, NULL);
    assert_true(json_equal(json_object_get(search->json, "plates"), want));
    assert_string_equal(question(search), "Tell me the digit on the red plate.");
    assert_string_equal(field(search, "answer"), "3");
    assert_string_equal(json_string_value(content(search, 1)), "<tool_call>\n{\"name\": \"image_zoom_in_tool\", \"arguments\": {\"bbox_2d\": [73, 49, 99, 71]}}\n</tool_call>");
    assert_string_equal(question(locate), "Where is the middle of the red plate?");
    assert_string_equal(field(locate, "answer"), "58 99");
    assert_string_equal(question(zoomed), "What digit is on the green plate?");
    assert_string_equal(field(zoomed, "answer"), "1");
    json_decref(want);
    fv_row_free(search), fv_row_free(locate), fv_row_free(zoomed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(glyphs_are_those_asked_for),
        cmocka_unit_test(letters_stand_where_digits_do),
        cmocka_unit_test(rows_by_default_are_those_of_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
