/* A curve as inline SVG: legible without script, in light and dark, at the width of a phone. */
#ifndef FV_RL_REPORT_CHART_H
#define FV_RL_REPORT_CHART_H

#include "core/text.h"

enum { FV_CHART_SERIES = 8 };

/* x ascending; NAN in y (or x) is a gap. Borrowed. */
typedef struct {
    const char *name;
    const double *x, *y; /* [n] */
    const double *low, *high; /* [n], an interval around each y; NULL: none */
    size_t n;
    bool points;         /* marks at every point, never averaged */
    bool band;           /* the interval is a band along the line, not a bar at every point */
} fv_series;

typedef struct {
    const char *title;
    const char *note;    /* what one sees, for those who do not know; NULL: nothing */
    fv_series series[FV_CHART_SERIES];
    int count;
    bool percent;        /* values are fractions, shown as per cent */
    bool exact;          /* no running means: a rate that is set, not measured */
    bool from_zero;      /* the scale begins at 0 at the latest */
    double least, most;  /* the scale covers at least this, where least < most */
    const double *bounds; /* x of borders between stages [bound_count] */
    int bound_count;
} fv_chart;

/* Appends a <figure>. Long series are averaged over stretches of steps; a line of many points is drawn thin, with its running mean thick above it.
 * A chart without any value appends nothing. */
void fv_chart_write(fv_text *out, const fv_chart *c);

/* A number for a person: about three digits, "12k" from 10,000 on; percent: "94.2 %". And the same into a page, a dash for NAN. */
void fv_chart_number(char out[32], double v, bool percent);
void fv_chart_add_number(fv_text *out, double v, bool percent);

#endif
