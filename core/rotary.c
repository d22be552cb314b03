#include "core/rotary.h"

static const double ln2 = 0x1.62e42fefa39efp-1;

/* x = m 2^e with m in (2/3, 4/3], and log m = 2 artanh((m - 1) / (m + 1)) as a series: |s| <= 1/5, so 12 terms are below 2^-53. */
static double logarithm(double x) {
    int e = 0;
    for (; x > 4.0 / 3; e++) x /= 2;
    for (; x <= 2.0 / 3; e--) x *= 2;
    double s = (x - 1) / (x + 1), sum = 0;
    for (int i = 12; i >= 0; i--) sum = sum * s * s + 1.0 / (2 * i + 1);
    return e * ln2 + 2 * s * sum;
}

/* x = n ln 2 + r, |r| <= ln(2) / 2: 20 terms of Taylor's series. */
static double exponential(double x) {
    int n = (int)(x / ln2 + (x < 0 ? -0.5 : 0.5));
    double r = x - n * ln2, sum = 1;
    for (int i = 20; i > 0; i--) sum = 1 + r / i * sum;
    for (; n > 0; n--) sum *= 2;
    for (; n < 0; n++) sum /= 2;
    return sum;
}

void fv_rotary_frequencies(float *inv_freq, int count, int width, double theta) {
    double log_theta = logarithm(theta);
    for (int i = 0; i < count; i++) {
        float exponent = (float)(2 * i) / (float)width;
        float power = (float)exponential((double)exponent * log_theta);
        inv_freq[i] = 1.0f / power;
    }
}
