#include "rl/rewards/compare.h"

#include "rl/text/edit.h"
#include "rl/text/mathruler.h"
#include "rl/text/python.h"
#include "rl/text/regex.h"

#include <math.h>
#include <stdio.h>

double fv_compare_mathruler(fv_span given, fv_span right) { return fv_mathruler_grade(given, right); }

static bool has_decimals(fv_span s) { return fv_py_find(s, ".") || fv_py_find(s, ","); }

/* round(x, 2): both libraries round the exact binary value to the nearest decimal, ties to even. */
static double two_decimals(double x) {
    char text[400];
    if (!isfinite(x)) return x;
    snprintf(text, sizeof text, "%.2f", x);
    fv_py_float(fv_span_of(text), &x);
    return x;
}

/* Video-R1 (src/r1-v/src/open_r1/grpo.py, "numerical"). */
double fv_compare_rounded(fv_span given, fv_span right) {
    double a, b;
    if (has_decimals(given) != has_decimals(right) || !fv_edit_number(given, &a) || !fv_edit_number(right, &b)) return 0;
    return two_decimals(a) == two_decimals(b);
}

/* The same file, "regression": the quotient is clipped as Python's max(0, q) and min(1, q) clip, to whom a NAN is no larger than 0. */
double fv_compare_regression(fv_span given, fv_span right) {
    double a, b;
    if (!fv_edit_number(given, &a) || !fv_edit_number(right, &b)) return 0;
    double q = (fabs(a - b) + 1e-9) / (fabs(b) + 1e-9);
    q = q > 0 ? q : 0;
    return 1 - (q < 1 ? q : 1);
}

static bool first_number(fv_span s, double *out) {
    fv_span g;
    return fv_regex_in("[-+]?\\d*\\.?\\d+", s, &g, 1) && fv_py_float(g, out);
}

/* VSI-Bench's mean relative accuracy (arXiv 2412.14171, eq. 1) as ViLaSR has it (verl/utils/reward_score/gcot.py): between the first numbers of both texts, in f32
 * throughout, so that an error of exactly 10% is within the bound of 10% that 1 - 0.90 rounds to. */
double fv_compare_relative(fv_span given, fv_span right) {
    double x, y;
    if (!first_number(given, &x) || !first_number(right, &y)) return 0;
    float a = (float)x, b = (float)y, error = fabsf(a - b) / (fabsf(b) + 1e-8f);
    int within = 0;
    for (int k = 0; k < 10; k++) within += error < 1.0f - (float)(0.5 + 0.05 * k);
    return (float)within / 10.0f;
}
