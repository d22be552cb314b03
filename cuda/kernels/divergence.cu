/* How far the distributions of rows are from those of another model (core/lane_divergence.h has the formula), fused with both output projections: logits exist for one
 * block of rows at a time. */
#include "cuda/kernels/logits.h"

#include "core/lane_divergence.h"

typedef struct {
    float *logits, *others; /* of p [rows of the block, vocabulary], and of q */
    int64_t first, rows, vocabulary, other_vocabulary, parts; /* parts of a row of p */
    const float *temperature, *dy, *lse, *other_lse;
    float *y, *pull;
    fv_divergence_factors factors;
} job;

static job job_of(const fv_exec *x, int64_t step, const fv_distribution *p, const fv_distribution *q, fv_view pull, fv_view temperature, float beta) {
    job j = {0};
    j.vocabulary = p->head.weight.shape[0], j.other_vocabulary = q->head.weight.shape[0], j.parts = fv_blocks_of(j.vocabulary, NUMBER_PART);
    j.logits = FV_NUMBERS(x->scratch, step * j.vocabulary), j.others = FV_NUMBERS(x->scratch, step * j.other_vocabulary);
    j.lse = fv_f32(p->lse), j.other_lse = fv_f32(q->lse), j.pull = fv_f32(pull);
    j.temperature = (const float *)fv_cuda_stage(x, temperature.data, fv_bytes(temperature));
    j.factors = fv_divergence_factors_of(beta);
    return j;
}

static void both_logits(const fv_products *by, const fv_exec *x, const job *j, const fv_distribution *p, const fv_distribution *q) {
    fv_logits(by, x, j->logits, p->hidden, j->first, j->rows, p->head);
    fv_logits(by, x, j->others, q->hidden, j->first, j->rows, q->head);
}

FV_DEVICE float log_prob(float logit, float temperature, const float *lse) {
    return fv_sub(fv_sub(temperature != 1.0f ? fv_div(logit, temperature) : logit, lse[0]), lse[1]);
}

/* What an id adds: nothing, beyond those that both have. */
FV_DEVICE fv_apart apart_at(const job *j, const float *other, int64_t r, int64_t v, float lp) {
    fv_apart a = {0, 0};
    return v < j->other_vocabulary ? fv_apart_of(lp, log_prob(other[v], j->temperature[r], j->other_lse + 2 * r), &j->factors) : a;
}

/* Logits to what each id adds: of p to its part of the value, of q to its pull, in place. */
FV_GLOBAL(apart_numbers, job) {
    int64_t i = FV_BLOCK / j.parts, r = j.first + i, from = FV_BLOCK % j.parts * NUMBER_PART + FV_THREAD;
    float *row = j.logits + i * j.vocabulary, *other = j.others + i * j.other_vocabulary;
#pragma unroll
    for (int64_t v = from; v < from + NUMBER_PART; v += NUMBER_THREADS) {
        if (v >= j.vocabulary) continue;
        fv_apart a = apart_at(&j, other, r, v, log_prob(row[v], j.temperature[r], j.lse + 2 * r));
        row[v] = a.value;
        if (v < j.other_vocabulary) other[v] = a.pull;
    }
}

/* Sums of a row's two lists, in the CPU's order: sixteen lanes, each a chain over every sixteenth id. The first half of a warp adds values, the second pulls. */
FV_GLOBAL_OF(sum_row, job, FV_WARP, 16) {
    int64_t r = j.first + FV_BLOCK;
    int lane = FV_THREAD % FV_LANES;
    const float *row = FV_THREAD < FV_LANES ? j.logits + FV_BLOCK * j.vocabulary : j.others + FV_BLOCK * j.other_vocabulary;
    int64_t n = FV_THREAD < FV_LANES || j.vocabulary < j.other_vocabulary ? j.vocabulary : j.other_vocabulary;
    float sum = 0;
#pragma unroll 16
    for (int64_t v = lane; v < n; v += FV_LANES) sum = fv_add(sum, row[v]);
    sum = fv_hsum(sum);
    if (FV_THREAD == 0) j.y[r] = sum;
    if (FV_THREAD == FV_LANES) j.pull[r] = sum;
}

static void divergence_by(const fv_products *by, const fv_exec *x, fv_view y, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), step = fv_logits_rows(fv_divergence_vocabulary(&p, &q), rows);
    job j = job_of(x, step, &p, &q, pull, temperature, beta);
    j.y = fv_f32(y);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        both_logits(by, x, &j, &p, &q);
        fv_cuda_begin("divergence", p.hidden, p.head.weight);
        FV_LAUNCH(apart_numbers, j.rows * j.parts, NUMBER_THREADS, 0, j);
        FV_LAUNCH(sum_row, j.rows, FV_WARP, 0, j);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits of p to their gradients, in place: dl_v = dy (pull_v - p_v * sum of pulls) / temperature */
FV_GLOBAL(back_numbers, job) {
    int64_t i = FV_BLOCK / j.parts, r = j.first + i, from = FV_BLOCK % j.parts * NUMBER_PART + FV_THREAD;
    float *row = j.logits + i * j.vocabulary, temperature = j.temperature[r], scale = j.dy[r] / temperature;
    const float *other = j.others + i * j.other_vocabulary;
#pragma unroll
    for (int64_t v = from; v < from + NUMBER_PART; v += NUMBER_THREADS) {
        if (v >= j.vocabulary) continue;
        float lp = log_prob(row[v], temperature, j.lse + 2 * r);
        row[v] = fv_mul(scale, fv_fnma(fv_exp(lp), j.pull[r], apart_at(&j, other, r, v, lp).pull));
    }
}

static void divergence_back_by(const fv_products *by, const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dy, fv_view pull, fv_distribution p, fv_distribution q,
                               fv_view temperature, float beta) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), step = fv_logits_rows(fv_divergence_vocabulary(&p, &q), rows);
    job j = job_of(x, step, &p, &q, pull, temperature, beta);
    j.dy = fv_f32(dy);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        both_logits(by, x, &j, &p, &q);
        fv_cuda_begin("divergence_back", p.hidden, p.head.weight);
        FV_LAUNCH(back_numbers, j.rows * j.parts, NUMBER_THREADS, 0, j);
        fv_logits_back(by, x, dhidden, dweight, j.logits, p.hidden, j.first, j.rows, p.head);
    }
    fv_arena_release(x->scratch, mark);
}

FV_TABLE_OPS(divergence, (const fv_exec *x, fv_view y, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta), x, y, pull, p, q, temperature,
             beta)
FV_TABLE_OPS(divergence_back,
             (const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dy, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta), x,
             dhidden, dweight, dy, pull, p, q, temperature, beta)
