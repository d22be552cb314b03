#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "datasets/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void permutations_hit_everything_once(void **state) {
    (void)state;
    for (int64_t n = 1; n <= 300; n += n < 40 ? 1 : 37) {
        for (uint64_t key = 0; key < 5; key++) {
            char seen[300] = {0};
            for (int64_t i = 0; i < n; i++) {
                int64_t at = fv_permuted(key, n, i);
                assert_in_range(at, 0, n - 1);
                assert_int_equal(seen[at]++, 0);
            }
        }
    }
    const int64_t large = INT64_C(1) << 40;
    int64_t last = -1;
    for (int64_t i = 0; i < 100; i++) {
        int64_t at = fv_permuted(1, large - 12345, i);
        assert_true(at >= 0 && at < large - 12345 && at != last);
        last = at;
    }
}

/* Over many keys each item comes to each place equally often: chi-square over 7 x 7 cells with 36 degrees of freedom stays below 99.99 %. */
static void permutations_are_even(void **state) {
    (void)state;
    enum { N = 7, KEYS = 7000 };
    double count[N][N] = {{0}}, chi = 0;
    for (uint64_t key = 0; key < KEYS; key++)
        for (int64_t i = 0; i < N; i++) count[i][fv_permuted(key, N, i)]++;
    for (int i = 0; i < N * N; i++) chi += (count[i / N][i % N] - KEYS / N) * (count[i / N][i % N] - KEYS / N) / (KEYS / N);
    assert_true(chi < 78);
}

static void epochs(void **state) {
    (void)state;
    enum { N = 101 };
    int same = 0;
    for (int epoch = 0; epoch < 4; epoch++) {
        char seen[N] = {0};
        for (int64_t i = 0; i < N; i++) {
            int64_t at = fv_shuffled(5, N, epoch * N + i);
            assert_int_equal(seen[at]++, 0);
            same += at == fv_shuffled(5, N, (epoch + 1) * N + i);
        }
    }
    assert_true(same < 20); /* each epoch has its own order: one in 101 stays by chance */
}

static void mixtures_keep_their_shares(void **state) {
    (void)state;
    const double weights[] = {5, 1, 0.25, 2};
    int32_t first[5];
    fv_mix_places(first, weights, 4);
    assert_int_equal(first[0], 0);
    assert_int_equal(first[4], FV_MIX_PLACES);
    int64_t nth, count[4] = {0};
    for (int64_t draw = 0; draw < 2 * FV_MIX_PLACES; draw++) {
        int s = fv_mixed(first, 4, draw, &nth);
        assert_int_equal(nth, count[s]); /* the n-th draw of a source is its n-th row */
        count[s]++;
        if (draw % 64 == 63) /* evenly spread: never off by more than a few */
            for (int k = 0; k < 4; k++) assert_true(fabs((double)count[k] - weights[k] / 8.25 * (double)(draw + 1)) < 8);
    }
    for (int k = 0; k < 4; k++) assert_true(llabs(count[k] - 2 * llround(weights[k] / 8.25 * FV_MIX_PLACES)) <= 2);
}

static void tiny_shares_are_kept(void **state) {
    (void)state;
    const double weights[] = {1e-9, 1, 1e-9};
    int32_t first[4];
    fv_mix_places(first, weights, 3);
    assert_int_equal(first[1], 1);
    assert_int_equal(first[2], FV_MIX_PLACES - 1);
}

/* What weighs nothing is never drawn, at either end neither. */
static void shares_of_nothing_are_empty(void **state) {
    (void)state;
    const double weights[] = {0, 3, 0, 1, 0};
    int32_t first[6];
    fv_mix_places(first, weights, 5);
    int64_t nth, count[5] = {0};
    for (int64_t draw = 0; draw < FV_MIX_PLACES; draw++) {
        for (int s = 0; draw % 999 == 0 && s < 5; s++) assert_int_equal(fv_mix_drawn(first, s, draw), count[s]);
        count[fv_mixed(first, 5, draw, &nth)]++;
    }
    assert_int_equal(count[1], FV_MIX_PLACES / 4 * 3);
    assert_int_equal(count[3], FV_MIX_PLACES / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutations_hit_everything_once), cmocka_unit_test(permutations_are_even), cmocka_unit_test(epochs),
        cmocka_unit_test(mixtures_keep_their_shares),       cmocka_unit_test(tiny_shares_are_kept),
        cmocka_unit_test(shares_of_nothing_are_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
