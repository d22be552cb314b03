/* The checks of core/lane_math.h, included by one small program for each instruction set: errors against libm in double,
 * special values, and a digest of all results, which is the same constant in every program: that is the proof that the
 * builds agree bit by bit. If a polynomial changes on purpose, the new digests are printed by the failing test. */
#include "cpu/simd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static fv_x16 sqrt_lanes(fv_x16 x) { return fv_sqrt(x); }
static fv_x16 exp_lanes(fv_x16 x) { return fv_exp(x); }
static fv_x16 log_lanes(fv_x16 x) { return fv_log(x); }
static fv_x16 sin_lanes(fv_x16 x) { return fv_sin(x); }
static fv_x16 cos_lanes(fv_x16 x) { return fv_cos(x); }
static fv_x16 tanh_lanes(fv_x16 x) { return fv_tanh(x); }
static fv_x16 erf_lanes(fv_x16 x) { return fv_erf(x); }

typedef struct {
    const char *name;
    fv_x16 (*lanes)(fv_x16);
    double (*exact)(double);
    float low, high; /* swept evenly, and by powers of two towards 0 */
    double ulps;
    uint64_t digest;
} math_case;

static const math_case math_cases[] = {
    { "sqrt", sqrt_lanes, sqrt, 0.0f, 1e6f, 0.5, 0xc29fa3535a15f12fu },
    { "exp", exp_lanes, exp, -104.0f, 88.7f, 1.0, 0x755847076fe80ae5u },
    { "log", log_lanes, log, 1e-6f, 1e6f, 1.0, 0x188e09fe235495a5u },
    { "sin", sin_lanes, sin, -1e5f, 1e5f, 2.0, 0xa10fea2b92e10580u },
    { "cos", cos_lanes, cos, -1e5f, 1e5f, 2.0, 0xa5dd5a058113b299u },
    { "tanh", tanh_lanes, tanh, -12.0f, 12.0f, 3.0, 0x2082ca57b59376a7u },
    { "erf", erf_lanes, erf, -4.5f, 4.5f, 2.0, 0x095a7eb3a9940369u },
};

/* The distance of y from the exact value, in units of the last place of a float of that size. */
static double ulps_between(float y, double exact) {
    int exponent;
    frexp(exact, &exponent);
    double unit = ldexp(1.0, exponent - 24 > -149 ? exponent - 24 : -149);
    return fabs((double)y - exact) / unit;
}

static float sweep(const math_case *c, int i, int n) {
    if (i % 4) return c->low + (c->high - c->low) * ((float)i / (float)n);
    float small = ldexpf(1.0f + (float)i / (float)n, -(i / 4 % 126));
    return c->low < 0 && i % 8 ? -small : small;
}

static void math_is_close_and_the_same_everywhere(void **state) {
    (void)state;
    enum { N = 1 << 16 };
    int wrong = 0;
    for (size_t f = 0; f < sizeof math_cases / sizeof math_cases[0]; f++) {
        const math_case *c = math_cases + f;
        uint64_t digest = 0xcbf29ce484222325u; /* FNV-1a */
        double worst = 0, worst_at = 0;
        for (int i = 0; i < N; i += FV_LANES) {
            float x[FV_LANES], y[FV_LANES];
            for (int l = 0; l < FV_LANES; l++) x[l] = sweep(c, i + l, N);
            fv_store(y, c->lanes(fv_load(x)));
            for (int l = 0; l < FV_LANES; l++) {
                uint32_t bits;
                memcpy(&bits, y + l, sizeof bits);
                digest = (digest ^ bits) * 0x100000001b3u;
                double error = ulps_between(y[l], c->exact((double)x[l]));
                if (error > worst) worst = error, worst_at = (double)x[l];
            }
        }
        if (worst > c->ulps || digest != c->digest) {
            print_error("%s: worst %.3f ulp at %.9g (at most %.1f); digest 0x%016llx\n", c->name, worst, worst_at, c->ulps,
                        (unsigned long long)digest);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static float first_lane(fv_x16 x) {
    float y[FV_LANES];
    fv_store(y, x);
    return y[0];
}

static void special_values(void **state) {
    (void)state;
    assert_true(first_lane(fv_exp(fv_set1(-INFINITY))) == 0.0f);
    assert_true(first_lane(fv_exp(fv_set1(-1000.0f))) == 0.0f);
    assert_true(first_lane(fv_exp(fv_set1(INFINITY))) == INFINITY);
    assert_true(first_lane(fv_exp(fv_set1(0.0f))) == 1.0f);
    assert_true(isnan(first_lane(fv_exp(fv_set1(NAN)))));
    assert_true(first_lane(fv_exp(fv_set1(-100.0f))) == (float)exp(-100.0)); /* a subnormal */
    assert_true(first_lane(fv_log(fv_set1(0.0f))) == -INFINITY);
    assert_true(first_lane(fv_log(fv_set1(1.0f))) == 0.0f);
    assert_true(first_lane(fv_log(fv_set1(INFINITY))) == INFINITY);
    assert_true(isnan(first_lane(fv_log(fv_set1(-1.0f)))));
    assert_true(isnan(first_lane(fv_log(fv_set1(NAN)))));
    assert_true(ulps_between(first_lane(fv_log(fv_set1(1e-42f))), log((double)1e-42f)) <= 1.0);
    assert_true(first_lane(fv_tanh(fv_set1(-50.0f))) == -1.0f);
    assert_true(first_lane(fv_tanh(fv_set1(1e-30f))) == 1e-30f);
    assert_true(isnan(first_lane(fv_tanh(fv_set1(NAN)))));
    assert_true(first_lane(fv_erf(fv_set1(50.0f))) == 1.0f);
    assert_true(signbit(first_lane(fv_erf(fv_set1(-0.0f)))));
}

static void lanes_and_tails(void **state) {
    (void)state;
    float x[FV_LANES + 1], y[FV_LANES + 1];
    uint16_t half[FV_LANES + 1];
    for (int i = 0; i <= FV_LANES; i++) x[i] = (float)(i + 1) * 1.25f;
    for (int n = 0; n <= FV_LANES; n++) {
        memset(y, 0x55, sizeof y);
        memset(half, 0x55, sizeof half);
        float untouched = y[FV_LANES];
        fv_x16 v = fv_load_n(x, n);
        fv_store_n(y, v, n);
        fv_store_bf16_n(half, v, n);
        assert_memory_equal(y, x, sizeof(float) * (size_t)n);
        for (int l = n; l <= FV_LANES; l++) assert_true(memcmp(y + l, &untouched, sizeof untouched) == 0 && half[l] == 0x5555);
        fv_store(y, fv_load_bf16_n(half, n));
        for (int l = 0; l < FV_LANES; l++) assert_true(y[l] == (l < n ? x[l] : 0.0f)); /* few bits: exact in bf16 */
        assert_int_equal(fv_mask_bits(fv_mask_n(n)), (1u << n) - 1u);
    }
}

static void reductions_follow_the_tree(void **state) {
    (void)state;
    float x[FV_LANES], s[FV_LANES];
    double d[FV_LANES];
    for (int l = 0; l < FV_LANES; l++) {
        s[l] = x[l] = 1.0f / (float)(3 * l + 1);
        d[l] = (double)x[l] * (double)x[l];
    }
    for (int half = 8; half; half /= 2)
        for (int l = 0; l < half; l++) s[l] += s[l + half], d[l] += d[l + half];
    assert_true(fv_hsum(fv_load(x)) == s[0]);
    assert_true(fv_hmax(fv_load(x)) == 1.0f);
    assert_true(fv_dsum(fv_dfma(fv_load(x), fv_load(x), fv_dzero())) == d[0]);
}

static void transposing_swaps_lanes_and_vectors(void **state) {
    (void)state;
    fv_x16 x[FV_LANES];
    for (int i = 0; i < FV_LANES; i++) {
        float row[FV_LANES];
        for (int j = 0; j < FV_LANES; j++) row[j] = (float)(100 * i + j);
        x[i] = fv_load(row);
    }
    fv_transpose(x);
    for (int i = 0; i < FV_LANES; i++) {
        float row[FV_LANES];
        fv_store(row, x[i]);
        for (int j = 0; j < FV_LANES; j++) assert_true(row[j] == (float)(100 * j + i));
    }
}

static void bf16_rounds_to_even(void **state) {
    (void)state;
    static const uint32_t in[FV_LANES] = {
        0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x7f7fffff, 0xff800000, 0x7f800001, 0x00000001,
        0x80008001, 0x3fffffff, 0x7fffffff, 0x00000000, 0x80000000, 0x477fe000, 0x3eaaaaab, 0xc2f70000,
    };
    static const uint16_t want[FV_LANES] = { 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0x7f80, 0xff80, 0x7fc0, 0x0000,
                                             0x8001, 0x4000, 0x7fff, 0x0000, 0x8000, 0x4780, 0x3eab, 0xc2f7 };
    float x[FV_LANES];
    uint16_t got[FV_LANES];
    memcpy(x, in, sizeof x);
    fv_store_bf16_n(got, fv_load(x), FV_LANES);
    assert_memory_equal(got, want, sizeof want);
}

int main(void) {
    if (!(RUNS_HERE)) return 0; /* this machine has no such registers */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(math_is_close_and_the_same_everywhere),
        cmocka_unit_test(special_values),
        cmocka_unit_test(lanes_and_tails),
        cmocka_unit_test(reductions_follow_the_tree),
        cmocka_unit_test(transposing_swaps_lanes_and_vectors),
        cmocka_unit_test(bf16_rounds_to_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
