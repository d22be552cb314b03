/* A progress line, for whatever takes longer than two seconds. The program makes one and passes it down; every call takes
 * NULL (no progress wanted) silently. For one thread at a time. */
#ifndef FV_CORE_PROGRESS_H
#define FV_CORE_PROGRESS_H

#include "core/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Monotonic seconds from an arbitrary start: for durations only, never for anything that changes a result. */
double fv_now(void);

typedef struct {
    const char *label; /* "rl: step" */
    const char *unit;  /* of the rate, in the singular: "step" -> "12.3 steps/s", "4.2 s/step"; NULL: none shown */
    int64_t total;     /* 0: unknown, no bar and no time left */
    int64_t first;     /* where a resumed job begins; not counted in the rate */
    FILE *stream;      /* NULL: standard error */
} fv_progress_options;

typedef struct fv_progress fv_progress;

/* On a terminal one line that is redrawn at most ten times a second; elsewhere a plain line every ten seconds. Strings are
 * copied. NULL when out of memory, which is as good as quiet. */
fv_progress *fv_progress_open(const fv_progress_options *options);

/* `done` of the total is finished. `extra` (printf style; NULL keeps the last) is shown at the end: "reward 0.42". */
void fv_progress_update(fv_progress *p, int64_t done, const char *extra, ...) FV_PRINTF(3, 4);

/* Ends the line with what was done in which time, if a line was ever drawn. Frees p. */
void fv_progress_close(fv_progress *p);

/* One line, as drawn after `seconds`, at most `width` columns wide (without a newline). What does not fit goes from the
 * right: extra, then the bar. */
void fv_progress_line(char *out, size_t size, const fv_progress_options *o, int64_t done, double seconds, const char *extra, int width);

/* "0.8 s", "42 s", "3:07", "1:02:45" */
void fv_duration_text(char out[32], double seconds);

#endif
