/* A few values of the same thing, one a seed: their mean, and how far it is to be trusted. */
#ifndef FV_RL_SPREAD_H
#define FV_RL_SPREAD_H

#include <stddef.h>

typedef struct {
    int n;                 /* values that are there */
    double mean, se;       /* se = sqrt(var_{n-1} / n); NAN for n < 2 (mean: n < 1) */
    double low, high;      /* mean -+ se x Student's t, 95 %; NAN for n < 2 */
} fv_spread;

/* values [count]; NAN: there is none. minus (NULL: none) is taken off value by value: a paired difference. */
fv_spread fv_spread_of(const double *values, const double *minus, size_t count);

/* The t that a variable with Student's distribution of `freedom` (at least 1) degrees stays within, above and below 0, with probability `share`. */
double fv_student(double share, int freedom);

#endif
