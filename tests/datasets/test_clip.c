/* Clips that are thought about: how plates move is written down before a question about their order is answered; and rows without thoughts, which stay as they were. */
#include "made.h"

#include "core/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_pictures(const fv_row *a, const fv_row *b) {
    bool same = a->image_count == b->image_count;
    for (int i = 0; same && i < a->image_count; i++) same = memcmp(a->images[i]->rgb, b->images[i]->rgb, (size_t)a->images[i]->width * (size_t)a->images[i]->height * 3) == 0;
    return same;
}

/* The thought of an sft row; its answer is right, whatever was thought. */
static const char *thought_of(const fv_row *row) {
    static char thought[192];
    char whole[256];
    assert_int_equal(message_count(row), 2);
    snprintf(thought, sizeof thought, "%.*s", (int)strcspn(said(message(row, 1)) + strlen("<think>"), "<"), said(message(row, 1)) + strlen("<think>"));
    snprintf(whole, sizeof whole, "<think>%s</think><answer>%s</answer>", thought, field(row, "answer"));
    assert_string_equal(said(message(row, 1)), whole);
    return thought;
}

static int plates_in(const char *thought) {
    int n = *thought != '\0';
    for (const char *at = thought; *at; at++) n += *at == ';';
    return n;
}

/* ---- thoughts ------------------------------------------------------------------------------------------------------- */

/* "purple right 2; white left 1": who moved first and who last, by the pairs. */
static void read_order(const char *thought, char first[16], char last[16]) {
    char text[192], *next = NULL;
    int begin = 100, end = 0;
    snprintf(text, sizeof text, "%s", thought);
    for (char *plate = strtok_r(text, ";", &next); plate != NULL; plate = strtok_r(NULL, ";", &next)) {
        char name[16];
        const char *number = strpbrk(plate, "123456789");
        assert_int_equal(sscanf(plate, "%15s", name), 1);
        if (number == NULL) continue;
        const char *final = strrchr(plate, ' ') + 1;
        if (atoi(number) < begin) begin = atoi(number), snprintf(first, sizeof name, "%s", name);
        if (atoi(final) > end) end = atoi(final), snprintf(last, sizeof name, "%s", name);
    }
    assert_true(end > 0);
}

/* Where nothing is left out the answer follows from what is written before it. */
static void thoughts_say_what_answers_need(void **state) {
    (void)state;
    int firsts = 0;
    for (int64_t i = 0; i < 24; i++) {
        fv_row *row = make("clip", "train", "{\"mode\": \"sft\", \"leave\": 0, \"ground\": \"plain\"}", i);
        char first[16] = "", last[16] = "";
        bool is_first = strcmp(said(message(row, 0)), "Which plate moved first?") == 0;
        if (!is_first) assert_string_equal(said(message(row, 0)), "Which plate moved last?");
        read_order(thought_of(row), first, last);
        assert_string_equal(field(row, "answer"), is_first ? first : last);
        assert_string_not_equal(first, last);
        assert_string_equal(field(row, "category"), is_first ? "clip/first" : "clip/last");
        firsts += is_first;
        fv_row_free(row);
    }
    assert_in_range(firsts, 5, 19);
}

static void plates_are_left_out_as_asked(void **state) {
    (void)state;
    int all = 0, said_of = 0;
    for (int64_t i = 0; i < 60; i++) {
        fv_row *whole = make("clip", "train", "{\"mode\": \"sft\", \"leave\": 0, \"ground\": \"plain\"}", i), *some = make("clip", "train", "{\"mode\": \"sft\", \"ground\": \"plain\"}", i);
        fv_row *none = make("clip", "train", "{\"mode\": \"sft\", \"leave\": 1, \"ground\": \"plain\"}", i);
        all += plates_in(thought_of(whole));
        said_of += plates_in(thought_of(some));
        assert_string_equal(thought_of(none), "");
        fv_row_free(whole), fv_row_free(some), fv_row_free(none);
    }
    assert_true(fabs(1 - (double)said_of / all - 0.3) < 0.14); /* of some 180 plates: four standard deviations */
}

/* ---- questions ------------------------------------------------------------------------------------------------------ */

/* With mode=rl the same rows end with their questions. */
static void questions_are_those_that_are_thought_about(void **state) {
    (void)state;
    for (int64_t i = 0; i < 12; i++) {
        fv_row *rl = make("clip", "train", "{\"mode\": \"rl\"}", i), *sft = make("clip", "train", "{\"mode\": \"sft\"}", i);
        assert_int_equal(message_count(rl), 1);
        assert_string_equal(said(message(rl, 0)), said(message(sft, 0)));
        assert_string_equal(field(rl, "answer"), field(sft, "answer"));
        assert_string_equal(field(rl, "problem_type"), "free-form");
        assert_true(same_pictures(rl, sft));
        assert_null(json_object_get(rl->json, "env"));
        fv_row_free(rl), fv_row_free(sft);
    }
}

static void kinds_are_those_asked_for(void **state) {
    (void)state;
    static const char *const kinds[][2] = {{"first", "Which plate moved first?"}, {"last", "Which plate moved last?"}, {"count", "How many plates moved?"}};
    for (size_t k = 0; k < FV_COUNT(kinds); k++) {
        for (int64_t i = 0; i < 4; i++) {
            char options[64];
            snprintf(options, sizeof options, "{\"mode\": \"rl\", \"kinds\": \"%s\"}", kinds[k][0]);
            fv_row *row = make("clip", "train", options, i);
            assert_string_equal(said(message(row, 0)), kinds[k][1]);
            fv_row_free(row);
        }
    }
}

/* ---- rows that stay ------------------------------------------------------------------------------------------------- */

/* What these rows said before there were thoughts. A draw more or less would change the last of it. */
static void rows_by_default_are_those_of_old(void **state) {
    (void)state;
    static const struct {
        int64_t index;
        const char *options, *says;
    } rows[] = {{2, "{}", "Which plate moved first?|white|How many plates moved?|2|Where did the white plate move?|left|Which plate moved last?|purple|"},
                {4, "{}", "How many plates moved?|1|Which plate moved?|purple|Where did the purple plate move?|left|"},
                {5, "{\"mode\": \"ask\"}", "How many plates moved?|1|Which plate moved?|blue|Where did the blue plate move?|down|"},
                {2, "{\"kinds\": \"each\"}", "How does each plate move?|purple right 2; white left 1|"},
                {5, "{\"kinds\": \"each\"}", "How does each plate move?|red still; green still; blue down 1 2; black still|"}};
    for (size_t i = 0; i < FV_COUNT(rows); i++) {
        fv_row *row = make("clip", "train", rows[i].options, rows[i].index);
        fv_text says = {0};
        for (size_t k = 0; k < message_count(row); k++) fv_text_printf(&says, "%s|", said(message(row, k)));
        assert_string_equal(says.data, rows[i].says);
        fv_text_clear(&says);
        fv_row_free(row);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thoughts_say_what_answers_need),  cmocka_unit_test(plates_are_left_out_as_asked), cmocka_unit_test(questions_are_those_that_are_thought_about),
        cmocka_unit_test(kinds_are_those_asked_for),       cmocka_unit_test(rows_by_default_are_those_of_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
