#include "rl/report/chart.h"

#include "rl/report/html.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* In units of the viewBox, about pixels at the narrowest. */
enum { WIDTH = 340, HEIGHT = 196, LEFT = 48, RIGHT = 330, TOP = 8, BOTTOM = 168, STRETCHES = 160, MANY = 30 };

/* The series of a chart on common stretches of x: y[k] is the mean over stretch k, NAN where there is nothing. */
typedef struct {
    int n;
    double x[STRETCHES], y[FV_CHART_SERIES][STRETCHES];
    double low[FV_CHART_SERIES][STRETCHES], high[FV_CHART_SERIES][STRETCHES]; /* of bands, else NAN */
    double x_low, x_high, y_low, y_high, y_step;
} plot;

void fv_chart_number(char out[32], double v, bool percent) {
    double a = fabs(v);
    if (percent) snprintf(out, 32, "%.1f %%", 100 * v);
    else if (a >= 999500) snprintf(out, 32, "%.3gM", v / 1e6);
    else if (a >= 10000) snprintf(out, 32, "%.3gk", v / 1e3);
    else if (a >= 1000) snprintf(out, 32, "%.0f", v);
    else if (a > 0 && a < 0.001) snprintf(out, 32, "%.2g", v);
    else snprintf(out, 32, "%.3g", v);
}

void fv_chart_add_number(fv_text *out, double v, bool percent) {
    char text[32];
    fv_chart_number(text, v, percent);
    fv_text_add(out, isnan(v) ? "–" : text);
}

/* ---- Scales ---- */

/* A step of 1, 2, 2.5 or 5 times a power of ten, so that there are about five. */
static double round_step(double span) {
    double raw = span / 5, power = pow(10, floor(log10(raw))), lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 2.5 ? 2.5 : lead <= 5 ? 5 : 10);
}

static void widen(double *low, double *high, double v) {
    if (!isfinite(v)) return;
    if (!(v >= *low)) *low = v;
    if (!(v <= *high)) *high = v;
}

static void scale_y(plot *p, const fv_chart *c) {
    double low = NAN, high = NAN;
    for (int s = 0; s < c->count; s++) {
        bool averaged = c->series[s].band && !c->series[s].points;
        for (int k = 0; k < p->n; k++) {
            widen(&low, &high, p->y[s][k]);
            if (!averaged) continue;
            widen(&low, &high, p->low[s][k]);
            widen(&low, &high, p->high[s][k]);
        }
        for (size_t i = 0; i < c->series[s].n && c->series[s].low && !averaged; i++) {
            widen(&low, &high, c->series[s].low[i]);
            widen(&low, &high, c->series[s].high[i]);
        }
    }
    if (c->least < c->most) {
        widen(&low, &high, c->least);
        widen(&low, &high, c->most);
    }
    if (c->from_zero) widen(&low, &high, 0);
    double span = high - low;
    if (!(span > 0)) span = fabs(high) > 0 ? fabs(high) : 1;
    p->y_step = round_step(span);
    p->y_low = floor(low / p->y_step + 1e-9) * p->y_step;
    p->y_high = ceil(high / p->y_step - 1e-9) * p->y_step;
    if (!(p->y_high > p->y_low)) p->y_high = p->y_low + p->y_step;
}

/* out [p->n] = means of y over the stretches of x, NAN where there is nothing (everywhere for y NULL). */
static void average(const plot *p, const double *x, const double *y, size_t n, double *out) {
    double number[STRETCHES] = {0}, span = p->x_high - p->x_low;
    for (int k = 0; k < p->n; k++) out[k] = 0;
    for (size_t i = 0; i < n && y; i++) {
        if (!isfinite(y[i]) || !isfinite(x[i])) continue;
        int k = p->n < 2 ? 0 : (int)((x[i] - p->x_low) / span * (p->n - 1) + 0.5);
        out[k] += y[i];
        number[k]++;
    }
    for (int k = 0; k < p->n; k++) out[k] = number[k] > 0 ? out[k] / number[k] : NAN;
}

/* The common x of all series, in at most STRETCHES stretches. */
static bool gather(plot *p, const fv_chart *c) {
    *p = (plot){.x_low = NAN, .x_high = NAN};
    size_t longest = 0;
    for (int s = 0; s < c->count; s++) {
        size_t used = 0;
        for (size_t i = 0; i < c->series[s].n; i++) {
            if (!isfinite(c->series[s].y[i])) continue;
            widen(&p->x_low, &p->x_high, c->series[s].x[i]);
            used++;
        }
        if (used > longest) longest = used;
    }
    if (!longest || !isfinite(p->x_low)) return false;
    double span = p->x_high - p->x_low;
    p->n = span <= 0 ? 1 : span + 1 < STRETCHES ? (int)span + 1 : STRETCHES;
    for (int s = 0; s < c->count; s++) {
        const fv_series *from = &c->series[s];
        average(p, from->x, from->y, from->n, p->y[s]);
        average(p, from->x, from->band ? from->low : NULL, from->n, p->low[s]);
        average(p, from->x, from->band ? from->high : NULL, from->n, p->high[s]);
    }
    for (int k = 0; k < p->n; k++) p->x[k] = p->n < 2 ? p->x_low : p->x_low + span * k / (p->n - 1);
    return true;
}

static double at_x(const plot *p, double x) {
    return p->x_high > p->x_low ? LEFT + (x - p->x_low) / (p->x_high - p->x_low) * (RIGHT - LEFT) : (LEFT + RIGHT) / 2.0;
}

static double at_y(const plot *p, double y) { return BOTTOM - (y - p->y_low) / (p->y_high - p->y_low) * (BOTTOM - TOP); }

/* ---- Drawing ---- */

/* "2.5e-4": fits beside the axis. */
static void write_small(char out[32], double v) {
    int e = (int)floor(log10(v) + 1e-9);
    snprintf(out, 32, "%.3ge%d", v / pow(10, e), e);
}

static void write_axes(fv_text *out, const plot *p, const fv_chart *c) {
    char label[32];
    for (int i = 0; p->y_low + i * p->y_step <= p->y_high + p->y_step / 2; i++) {
        double v = p->y_low + i * p->y_step, y = at_y(p, v);
        if (fabs(v) < p->y_step * 1e-6) v = 0;
        fv_chart_number(label, v, false);
        if (c->percent) snprintf(label, sizeof label, "%.3g %%", 100 * v);
        else if (v > 0 && p->y_step < 0.001) write_small(label, v);
        fv_text_printf(out, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>", LEFT, RIGHT, y, y,
                       LEFT - 6, y + 4, label);
    }
    double step = p->x_high > p->x_low ? ceil(round_step(p->x_high - p->x_low)) : 1;
    for (double v = ceil(p->x_low / step) * step; v <= p->x_high; v += step) {
        fv_chart_number(label, v, false);
        fv_text_printf(out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", at_x(p, v), HEIGHT - 8, label);
    }
    for (int i = 0; i < c->bound_count; i++)
        if (c->bounds[i] > p->x_low && c->bounds[i] < p->x_high) {
            double x = at_x(p, c->bounds[i]);
            fv_text_printf(out, "<line class=\"bound\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>", x, x, TOP, BOTTOM);
        }
}

static void write_line(fv_text *out, const plot *p, const double *x, const double *y, size_t n, int color, const char *class_name) {
    fv_text_printf(out, "<polyline class=\"k%d %s\" points=\"", color, class_name);
    for (size_t k = 0; k < n; k++)
        if (isfinite(x[k]) && isfinite(y[k])) fv_text_printf(out, "%.1f,%.1f ", at_x(p, x[k]), at_y(p, y[k]));
    fv_text_add(out, "\"/>");
}

/* The area between low and high [n]: there along high, and back along low. */
static void write_band(fv_text *out, const plot *p, const double *x, const double *low, const double *high, size_t n, int color) {
    fv_text_printf(out, "<polygon class=\"k%d band\" points=\"", color);
    for (size_t k = 0; k < 2 * n; k++) {
        size_t i = k < n ? k : 2 * n - 1 - k;
        double y = k < n ? high[i] : low[i];
        if (isfinite(x[i]) && isfinite(y)) fv_text_printf(out, "%.1f,%.1f ", at_x(p, x[i]), at_y(p, y));
    }
    fv_text_add(out, "\"/>");
}

static void write_points(fv_text *out, const plot *p, const fv_series *s, int color) {
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i])) continue;
        double x = at_x(p, s->x[i]);
        if (s->low && !s->band && isfinite(s->low[i]))
            fv_text_printf(out, "<line class=\"k%d bar\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", color, x, x, at_y(p, s->low[i]), at_y(p, s->high[i]));
        fv_text_printf(out, "<circle class=\"k%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.4\"/>", color, x, at_y(p, s->y[i]));
    }
}

static int filled(const plot *p, int s) {
    int n = 0;
    for (int k = 0; k < p->n; k++) n += isfinite(p->y[s][k]);
    return n;
}

/* The mean of y over stretches k - reach .. k + reach that lie in the same stage. */
static double running_mean(const plot *p, const fv_chart *c, const double *y, int k, int reach) {
    double sum = 0, n = 0;
    for (int side = -1; side <= 1; side += 2)
        for (int d = side > 0; d <= reach && k + side * d >= 0 && k + side * d < p->n; d++) {
            int at = k + side * d;
            bool crosses = false;
            for (int i = 0; i < c->bound_count; i++) crosses |= (p->x[at] < c->bounds[i]) != (p->x[k] < c->bounds[i]);
            if (crosses) break;
            if (!isfinite(y[at])) continue;
            sum += y[at];
            n++;
        }
    return sum / n;
}

static void write_series(fv_text *out, const plot *p, const fv_chart *c, int s) {
    const fv_series *series = &c->series[s];
    const double *y = p->y[s];
    if (series->points) {
        if (series->band) write_band(out, p, series->x, series->low, series->high, series->n, s);
        write_line(out, p, series->x, series->y, series->n, s, "line");
        write_points(out, p, series, s);
        return;
    }
    int n = filled(p, s), reach = n > MANY && !c->exact ? 2 + n / 40 : 0;
    double mean[STRETCHES] = {0}, low[STRETCHES] = {0}, high[STRETCHES] = {0};
    for (int k = 0; k < p->n; k++) {
        mean[k] = isfinite(y[k]) ? running_mean(p, c, y, k, reach) : NAN;
        low[k] = running_mean(p, c, p->low[s], k, reach);
        high[k] = running_mean(p, c, p->high[s], k, reach);
    }
    if (series->band) write_band(out, p, p->x, low, high, (size_t)p->n, s);
    else if (reach) write_line(out, p, p->x, y, (size_t)p->n, s, "raw");
    write_line(out, p, p->x, mean, (size_t)p->n, s, "line");
    if (n < 2) write_points(out, p, series, s); /* a line of one point is not seen */
}

/* Values for the script: [[x, y of each series ...], ...]. */
static void write_rows(fv_text *out, const plot *p, const fv_chart *c) {
    fv_text_add(out, " data-rows=\"[");
    bool some = false;
    for (int k = 0; k < p->n; k++) {
        bool any = false;
        for (int s = 0; s < c->count; s++) any |= isfinite(p->y[s][k]);
        if (!any) continue;
        fv_text_printf(out, some ? ",[%.6g" : "[%.6g", p->x[k]);
        some = true;
        for (int s = 0; s < c->count; s++) {
            if (isfinite(p->y[s][k])) fv_text_printf(out, ",%.4g", p->y[s][k]);
            else fv_text_add(out, ",null");
        }
        fv_text_char(out, ']');
    }
    fv_text_printf(out, "]\" data-span=\"%d %d\"%s", LEFT, RIGHT, c->percent ? " data-percent=\"1\"" : "");
}

static void write_keys(fv_text *out, const plot *p, const fv_chart *c) {
    fv_text_add(out, "<div class=\"keys\">");
    for (int s = 0; s < c->count; s++) {
        int last = p->n - 1;
        while (last >= 0 && !isfinite(p->y[s][last])) last--;
        if (last < 0) continue;
        char value[32];
        fv_chart_number(value, p->y[s][last], c->percent);
        fv_text_printf(out, "<span class=\"k%d\"><i></i>", s);
        fv_html_text(out, c->series[s].name);
        fv_text_printf(out, "<span> %s</span></span>", value);
    }
    fv_text_add(out, "<small class=\"when\"></small></div>");
}

void fv_chart_write(fv_text *out, const fv_chart *c) {
    plot *p = malloc(sizeof *p);
    if (!p) {
        out->failed = true;
        return;
    }
    if (gather(p, c)) {
        scale_y(p, c);
        fv_text_add(out, "<figure class=\"chart panel\"");
        write_rows(out, p, c);
        fv_text_add(out, "><h3>");
        fv_html_text(out, c->title);
        fv_text_add(out, "</h3>");
        write_keys(out, p, c);
        fv_text_printf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
        fv_html_text(out, c->title);
        fv_text_add(out, " over training steps\">");
        write_axes(out, p, c);
        for (int s = 0; s < c->count; s++) write_series(out, p, c, s);
        fv_text_printf(out, "<line class=\"cursor\" x1=\"0\" x2=\"0\" y1=\"%d\" y2=\"%d\"/></svg>", TOP, BOTTOM);
        if (c->note) {
            fv_text_add(out, "<figcaption>");
            fv_html_text(out, c->note);
            fv_text_add(out, "</figcaption>");
        }
        fv_text_add(out, "</figure>\n");
    }
    free(p);
}
