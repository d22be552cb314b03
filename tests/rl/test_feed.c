/* Rows that are expected are the rows that are taken, in whatever order they are asked for, and whether they are asked for or not. */
#include "lesson.h"

#include "rl/train/feed.h"

/* Equal in what a step sees of them. */
static void same_samples(const fv_sample *a, const fv_sample *b, int count) {
    for (int i = 0; i < count; i++) {
        assert_int_equal(a[i].error.status, b[i].error.status);
        assert_true((a[i].row == NULL) == (b[i].row == NULL));
        if (a[i].error.status != FV_OK) continue;
        assert_string_equal(a[i].row->id, b[i].row->id);
        assert_int_equal(a[i].prompt.tokens.count, b[i].prompt.tokens.count);
        assert_memory_equal(a[i].prompt.tokens.ids, b[i].prompt.tokens.ids, sizeof(int32_t) * (size_t)a[i].prompt.tokens.count);
        assert_int_equal(a[i].prompt.picture_count, b[i].prompt.picture_count);
        for (int k = 0; k < a[i].prompt.picture_count; k++) assert_true(a[i].prompt.pictures[k]->hash == b[i].prompt.pictures[k]->hash);
    }
}

static void rows_are_the_same_ahead(void **state) {
    (void)state;
    static const int64_t steps[][3] = {{0, 1, 2}, {3, 3, 0}, {2, 1, 0}, {1, 0, 3}}, expected[][3] = {{3, 3, 0}, {0, 1, 2}, {1, 2, 3}, {2, 2, 2}}; /* the next step; its rows in another order; one of others */
    small s;
    fv_dataset *data;
    fv_feed *plain, *ahead;
    fv_sample a[3], b[3];
    json_t *spec = json_string(small_path("lesson.jsonl"));
    small_open(&s, SMALL_QWEN25, NULL, 2, false);
    MUST(fv_dataset_open(&data, spec, 1, err));
    MUST(fv_feed_open(&plain, s.model, data, s.slot->exec.pool, &(fv_feed_options){.max_tokens = 4096}, err));
    MUST(fv_feed_open(&ahead, s.model, data, s.slot->exec.pool, &(fv_feed_options){.max_tokens = 4096, .ahead = true}, err));
    for (size_t i = 0; i < FV_COUNT(steps); i++) {
        fv_feed_take(plain, steps[i], 3, a);
        fv_feed_take(ahead, steps[i], 3, b);
        fv_feed_expect(ahead, expected[i], 3); /* the last ones are never asked for */
        fv_feed_expect(plain, expected[i], 3);
        same_samples(a, b, 3);
        for (int k = 0; k < 3; k++) {
            fv_sample_clear(&a[k]);
            fv_sample_clear(&b[k]);
        }
    }
    fv_feed_close(plain);
    fv_feed_close(ahead);
    fv_dataset_close(data);
    json_decref(spec);
    small_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_the_same_ahead)};
    return cmocka_run_group_tests(tests, lesson_begin, small_end);
}
