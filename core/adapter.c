#include "core/adapter.h"

#include <math.h>

/* Rows of W + scale * B A that are made at a time: some MB of scratch for the widest layers. */
enum { BLOCK = 64 };

static fv_view matrix(const fv_slot *s, int param) { return fv_weight_matrix(s->params[param].w); }

/* out [rows, k] = rows of W + scale * B A; no scale of DoRA yet */
static void sum_rows(fv_slot *s, int weight, int64_t first, fv_view out) {
    const fv_adapted *d = s->params[weight].adapted;
    fv_arena_mark mark = fv_arena_here(s->exec.scratch);
    int64_t rows = fv_rows(out), rank = fv_cols(matrix(s, d->b));
    fv_view part = fv_mat(FV_NUMBERS(s->exec.scratch, rows * rank), rows, rank);
    int32_t *index = FV_TAKE(s->exec.scratch, int32_t, rows);
    for (int64_t r = 0; r < rows; r++) index[r] = (int32_t)(first + r);
    s->ops->gather(&s->exec, out, matrix(s, weight), fv_ints(index, rows));
    s->ops->gather(&s->exec, part, matrix(s, d->b), fv_ints(index, rows));
    s->ops->scale(&s->exec, part, d->scale);
    s->ops->linear_back(&s->exec, out, fv_none, fv_none, part, fv_none, matrix(s, d->a), NULL); /* out += part @ A */
    fv_arena_release(s->exec.scratch, mark);
}

/* inv [n] = 1 / sqrt(mean square) of every row of W + scale * B A */
static void row_norms(fv_slot *s, int weight, float *inv) {
    int64_t n = matrix(s, weight).shape[0], k = fv_cols(matrix(s, weight));
    fv_arena_mark mark = fv_arena_here(s->exec.scratch);
    float *rows = FV_NUMBERS(s->exec.scratch, BLOCK * k), *unused = FV_NUMBERS(s->exec.scratch, BLOCK * k), *ones = FV_NUMBERS(s->exec.scratch, k);
    float *one = FV_TAKE(s->exec.scratch, float, k);
    for (int64_t i = 0; i < k; i++) one[i] = 1;
    s->ops->upload(ones, one, (size_t)k * sizeof *one);
    for (int64_t first = 0; first < n; first += BLOCK) {
        int64_t some = n - first < BLOCK ? n - first : BLOCK;
        sum_rows(s, weight, first, fv_mat(rows, some, k));
        s->ops->rms_norm(&s->exec, fv_mat(unused, some, k), fv_vec(inv + first, some), fv_mat(rows, some, k), fv_vec(ones, k), 0);
    }
    fv_arena_release(s->exec.scratch, mark);
}

fv_view fv_adapter_factors(fv_slot *s, int weight) {
    fv_param *m = &s->params[s->params[weight].adapted->magnitude];
    int64_t n = fv_elements(m->w);
    fv_view factors = fv_mat(m->packed, 2, n);
    if (!m->stale) return factors;
    fv_arena_mark mark = fv_arena_here(s->exec.scratch);
    float *inv = FV_NUMBERS(s->exec.scratch, n), *host = FV_TAKE(s->exec.scratch, float, 3 * n), *magnitude = host + 2 * n;
    row_norms(s, weight, inv);
    s->ops->download(host + n, inv, (size_t)n * sizeof *host);
    s->ops->download(magnitude, m->w.data, (size_t)n * sizeof *host);
    double length = sqrt((double)fv_cols(matrix(s, weight)));
    for (int64_t j = 0; j < n; j++) {
        double one = (double)host[n + j] / length * (double)FV_COLUMN_LIFT;
        host[j] = (float)((double)magnitude[j] * one);
        host[n + j] = (float)one;
    }
    s->ops->upload(factors.data, host, 2 * (size_t)n * sizeof *host);
    fv_arena_release(s->exec.scratch, mark);
    m->stale = false;
    return factors;
}

void fv_adapter_rows(fv_slot *s, int weight, int64_t first, fv_view out) {
    sum_rows(s, weight, first, out);
    if (s->params[weight].adapted->magnitude < 0) return;
    fv_view factors = fv_adapter_factors(s, weight);
    for (int64_t r = 0; r < fv_rows(out); r++) {
        float factor;
        s->ops->download(&factor, fv_f32(factors) + first + r, sizeof factor);
        s->ops->scale(&s->exec, fv_slice(out, r, 1), factor / FV_COLUMN_LIFT);
    }
}
