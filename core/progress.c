#include "core/progress.h"

#include "core/text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

double fv_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { BAR = 20 };

struct fv_progress {
    fv_progress_options options;
    char *label, *unit;
    char extra[160];
    int64_t done;
    double start, drawn; /* drawn: when a line was last shown, 0 if never */
    bool terminal;
};

fv_progress *fv_progress_open(const fv_progress_options *options) {
    fv_progress *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->options = *options;
    p->label = strdup(options->label ? options->label : "");
    p->unit = options->unit ? strdup(options->unit) : NULL;
    if (!p->label || (options->unit && !p->unit)) {
        free(p->label);
        free(p->unit);
        free(p);
        return NULL;
    }
    p->options.label = p->label;
    p->options.unit = p->unit;
    if (!p->options.stream) p->options.stream = stderr;
    p->done = options->first;
    p->start = fv_now();
    p->terminal = isatty(fileno(p->options.stream)) == 1;
    return p;
}

void fv_duration_text(char out[32], double seconds) {
    if (!(seconds < 1e8)) seconds = 1e8; /* three years: whoever waits that long needs no minutes */
    long s = (long)(seconds + 0.5);
    if (seconds < 9.95) snprintf(out, 32, "%.1f s", seconds);
    else if (s < 60) snprintf(out, 32, "%ld s", s);
    else if (s < 3600) snprintf(out, 32, "%ld:%02ld", s / 60, s % 60);
    else snprintf(out, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
}

/* Characters of UTF-8, as a measure of columns. */
static int columns(const char *text) {
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* Cuts a text to `width` characters. */
static void cut(char *text, int width) {
    for (; *text; text++)
        if (((unsigned char)*text & 0xc0) != 0x80 && width-- <= 0) break;
    *text = '\0';
}

static void rate_text(char out[64], double rate, const char *unit) {
    if (rate >= 1) snprintf(out, 64, rate < 99.95 ? "%.1f %.40ss/s" : "%.0f %.40ss/s", rate, unit);
    else if (rate > 0) snprintf(out, 64, "%.1f s/%.40s", 1 / rate, unit);
    else out[0] = '\0';
}

void fv_progress_line(char *out, size_t size, const fv_progress_options *o, int64_t done, double seconds, const char *extra, int width) {
    double rate = seconds > 0 && done > o->first ? (double)(done - o->first) / seconds : 0;
    char bar[BAR + 4] = "", count[64], time[32], tail[160] = "", speed[64] = "";
    if (o->total > 0) {
        double share = (double)done / (double)o->total;
        int full = share >= 1 ? BAR : share > 0 ? (int)(share * BAR) : 0;
        bar[0] = '[';
        for (int i = 0; i < BAR; i++) bar[1 + i] = i < full ? '#' : '.';
        strcpy(bar + 1 + BAR, "]");
        snprintf(count, sizeof count, "%lld/%lld", (long long)done, (long long)o->total);
    } else {
        snprintf(count, sizeof count, "%lld", (long long)done);
    }
    if (o->unit) rate_text(speed, rate, o->unit);
    if (o->total > 0 && rate > 0 && done < o->total) {
        fv_duration_text(time, (double)(o->total - done) / rate);
        snprintf(tail, sizeof tail, "  %s left", time);
    } else {
        fv_duration_text(time, seconds);
        snprintf(tail, sizeof tail, "  %s", time);
    }
    const char *gap = extra && *extra ? "  " : "";
    for (int shorter = 0; shorter < 3; shorter++) { /* all of it; without extra; without the bar as well */
        snprintf(out, size, "%s  %s%s%s%s%s%s%s%s", o->label ? o->label : "", shorter < 2 ? bar : "", bar[0] && shorter < 2 ? " " : "", count,
                 speed[0] ? "  " : "", speed, tail, shorter ? "" : gap, shorter || !extra ? "" : extra);
        if (columns(out) <= width) return;
    }
    cut(out, width);
}

static int width_of(const fv_progress *p) {
    struct winsize w;
    if (!p->terminal) return 200;
    return ioctl(fileno(p->options.stream), TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col - 1 : 79;
}

static void draw(fv_progress *p, double now, bool last) {
    char line[512];
    fv_progress_line(line, sizeof line, &p->options, p->done, now - p->start, p->extra, width_of(p));
    if (p->terminal) fprintf(p->options.stream, "\r%s\x1b[K%s", line, last ? "\n" : ""); /* erases what is left of a longer line */
    else fprintf(p->options.stream, "%s\n", line);
    fflush(p->options.stream);
    p->drawn = now;
}

void fv_progress_update(fv_progress *p, int64_t done, const char *extra, ...) {
    if (!p) return;
    p->done = done;
    if (extra) {
        va_list args;
        va_start(args, extra);
        vsnprintf(p->extra, sizeof p->extra, extra, args);
        va_end(args);
    }
    double now = fv_now(), since = now - (p->drawn > 0 ? p->drawn : p->start);
    double wait = !p->terminal ? 10 : p->drawn > 0 ? 0.1 : 2;
    bool closing = !p->terminal && p->options.total > 0 && done >= p->options.total; /* fv_progress_close says that much */
    if (since >= wait && !closing) draw(p, now, false);
}

void fv_progress_close(fv_progress *p) {
    if (!p) return;
    double now = fv_now();
    if (p->drawn > 0 || now - p->start >= 2) draw(p, now, true);
    free(p->label);
    free(p->unit);
    free(p);
}
