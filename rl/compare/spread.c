#include "rl/compare/spread.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* P(|t| <= x), Abramowitz and Stegun 26.7.3 (odd degrees) and 26.7.4 (even): finite sums in angle = atan(x / sqrt(freedom)). */
static double within(double x, int freedom) {
    double angle = atan(x / sqrt(freedom)), square = cos(angle) * cos(angle);
    double term = freedom % 2 ? cos(angle) : 1, sum = freedom == 1 ? 0 : term;
    for (int k = 2 + freedom % 2; k <= freedom - 2; k += 2) sum += term *= square * (k - 1) / k;
    return freedom % 2 ? 2 / pi * (angle + sin(angle) * sum) : sin(angle) * sum;
}

double fv_student(double share, int freedom) {
    double low = 0, high = 1;
    while (within(high, freedom) < share && high < 1e9) high *= 2;
    for (int i = 0; i < 100; i++) {
        double middle = (low + high) / 2;
        if (within(middle, freedom) < share) low = middle;
        else high = middle;
    }
    return high;
}

fv_spread fv_spread_of(const double *values, const double *minus, size_t count) {
    fv_spread s = {0, NAN, NAN, NAN, NAN};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        double v = values[i] - (minus ? minus[i] : 0);
        if (isnan(v)) continue;
        sum += v;
        s.n++;
    }
    if (s.n > 0) s.mean = sum / s.n;
    if (s.n < 2) return s;
    for (size_t i = 0; i < count; i++) {
        double d = values[i] - (minus ? minus[i] : 0) - s.mean;
        if (!isnan(d)) squares += d * d;
    }
    s.se = sqrt(squares / (s.n - 1) / s.n);
    double reach = s.se * fv_student(0.95, s.n - 1);
    s.low = s.mean - reach;
    s.high = s.mean + reach;
    return s;
}
