#include "rl/rewards/compare.h"

#include "core/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

typedef struct {
    double x0, y0, x1, y1;
} box;

/* Every four numbers are a box; corners in either order. Returns how many there are, at most MOST. */
static int read_boxes(fv_span s, box *out) {
    double v[4];
    int n = 0, have = 0;
    char *copy = malloc(s.size + 1);
    if (!copy) return -1;
    memcpy(copy, s.size ? s.text : "", s.size);
    copy[s.size] = 0;
    for (char *at = copy, *end; *at && n < MOST; at = end) {
        bool starts = strchr("0123456789", *at) || ((*at == '-' || *at == '.') && at[1] && strchr("0123456789", at[1]));
        double x = starts ? strtod(at, &end) : 0;
        if (!starts) {
            end = at + 1;
            continue;
        }
        v[have++] = x;
        if (have < 4) continue;
        out[n++] = (box){fmin(v[0], v[2]), fmin(v[1], v[3]), fmax(v[0], v[2]), fmax(v[1], v[3])};
        have = 0;
    }
    free(copy);
    return n;
}

static double iou(box a, box b) {
    double w = fmin(a.x1, b.x1) - fmax(a.x0, b.x0), h = fmin(a.y1, b.y1) - fmax(a.y0, b.y0);
    double shared = w > 0 && h > 0 ? w * h : 0, all = (a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared;
    return all > 0 ? shared / all : 0;
}

double fv_compare_iou(fv_span given, fv_span right) {
    box a[MOST], b[MOST];
    int n = read_boxes(given, a), m = read_boxes(right, b);
    if (n < 0 || m < 0) return NAN;
    return n && m ? iou(a[0], b[0]) : 0;
}

double fv_compare_hit(fv_span given, fv_span right) {
    double x = fv_compare_iou(given, right);
    return isnan(x) ? x : x > 0.5;
}

/* The largest number of pairs: from each box of a, along boxes of b that it overlaps enough, giving way where the owner finds another (Kuhn's augmenting paths). */
static bool place(int i, int m, bool (*near)[MOST], int *owner, bool *tried) {
    for (int j = 0; j < m; j++) {
        if (!near[i][j] || tried[j]) continue;
        tried[j] = true;
        if (owner[j] >= 0 && !place(owner[j], m, near, owner, tried)) continue;
        owner[j] = i;
        return true;
    }
    return false;
}

double fv_compare_boxes(fv_span given, fv_span right) {
    box a[MOST], b[MOST];
    bool near[MOST][MOST];
    int owner[MOST], n = read_boxes(given, a), m = read_boxes(right, b), pairs = 0;
    if (n < 0 || m < 0) return NAN;
    for (int j = 0; j < m; j++) owner[j] = -1;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < m; j++) near[i][j] = iou(a[i], b[j]) > 0.5;
    for (int i = 0; i < n; i++) {
        bool tried[MOST] = {false};
        pairs += place(i, m, near, owner, tried);
    }
    return n + m ? 2.0 * pairs / (n + m) : 1;
}
