#include "core/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* The first line is a known answer of Random123's kat_vectors (philox4x32, 10 rounds, all zero: 6627e8d5 e169c58d ...). */
static void philox_known_answers(void **state) {
    (void)state;
    assert_true(fv_random_at(0, 0) == 0xe169c58d6627e8d5u);
    assert_true(fv_random_at(0x299f31d0a4093822u, 0x85a308d3243f6a88u) == 0xb5a3d762e69c9c31u);
    assert_true(fv_random_at(UINT64_MAX, UINT64_MAX) == 0x430ac65a4d18d7d2u);
}

static void keys_differ_by_word_and_place(void **state) {
    (void)state;
    uint64_t keys[] = {fv_random_key(1, "rollout", 2, 3), fv_random_key(1, "rollout", 3, 2), fv_random_key(1, "data", 2, 3),
                       fv_random_key(2, "rollout", 2, 3), fv_random_at(1, 2)};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < i; j++) assert_true(keys[i] != keys[j]);
    assert_true(keys[0] == fv_random_key(1, "rollout", 2, 3));
}

static void a_stream_is_its_positions(void **state) {
    (void)state;
    fv_random r = fv_random_stream(9);
    uint64_t first = fv_random_next(&r);
    double second = fv_uniform(&r);
    assert_true(first == fv_random_at(9, 0));
    assert_true(second == fv_uniform_at(9, 1));
    assert_int_equal(r.position, 2);
}

static void uniform_and_normal_moments(void **state) {
    (void)state;
    enum { N = 200000 };
    fv_random r = fv_random_stream(fv_random_key(5, "moments", 0, 0));
    double u = 0, u2 = 0, z = 0, z2 = 0, z4 = 0;
    for (int i = 0; i < N; i++) {
        double x = fv_uniform_in(&r, -1, 1), y = fv_normal(&r);
        assert_true(x >= -1 && x < 1);
        u += x, u2 += x * x, z += y, z2 += y * y, z4 += y * y * y * y;
    }
    /* five standard errors each */
    assert_true(fabs(u / N) < 5 * sqrt(1.0 / 3 / N));
    assert_true(fabs(u2 / N - 1.0 / 3) < 5 * sqrt(4.0 / 45 / N));
    assert_true(fabs(z / N) < 5 * sqrt(1.0 / N));
    assert_true(fabs(z2 / N - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(z4 / N - 3) < 5 * sqrt(96.0 / N));
}

/* The own log and cos against the system's: a few units in the last place. */
static void normal_is_box_muller(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        fv_random r = {77, i};
        double want = sqrt(-2 * log(1 - fv_uniform_at(77, i))) * cos(6.283185307179586 * fv_uniform_at(77, i + 1));
        assert_true(fabs(fv_normal(&r) - want) < 1e-14);
    }
}

static void below_covers_its_range(void **state) {
    (void)state;
    fv_random r = fv_random_stream(3);
    int seen[7] = {0};
    for (int i = 0; i < 7000; i++) seen[fv_below(&r, 7)]++;
    for (int i = 0; i < 7; i++) assert_in_range(seen[i], 850, 1150);
    assert_int_equal(fv_below(&r, 1), 0);
}

static void shuffle_permutes(void **state) {
    (void)state;
    enum { N = 50, SIZE = 100 }; /* items larger than the swap's buffer */
    static char items[N][SIZE], again[N][SIZE];
    for (int i = 0; i < N; i++) memset(items[i], i, SIZE), memset(again[i], i, SIZE);
    fv_random r = fv_random_stream(4), s = r;
    fv_shuffle(&r, items, N, SIZE);
    fv_shuffle(&s, again, N, SIZE);
    assert_memory_equal(items, again, sizeof items);
    int seen[N] = {0}, moved = 0;
    for (int i = 0; i < N; i++) {
        assert_int_equal(items[i][0], items[i][SIZE - 1]);
        seen[(int)items[i][0]]++;
        moved += items[i][0] != i;
    }
    for (int i = 0; i < N; i++) assert_int_equal(seen[i], 1);
    assert_true(moved > N / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers), cmocka_unit_test(keys_differ_by_word_and_place), cmocka_unit_test(a_stream_is_its_positions),
        cmocka_unit_test(uniform_and_normal_moments), cmocka_unit_test(normal_is_box_muller), cmocka_unit_test(below_covers_its_range),
        cmocka_unit_test(shuffle_permutes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
