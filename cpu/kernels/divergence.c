/* How far the distributions of rows are from those of another model (core/lane_divergence.h has the formula), fused with both output projections: logits exist for one
 * block of rows at a time. */
#include "cpu/kernels/logits.h"

#include "core/lane_divergence.h"

typedef struct {
    float *logits, *others; /* of p [rows of the block, vocabulary], and of q */
    int64_t first, vocabulary, other_vocabulary;
    const float *temperature, *dy;
    float *y, *pull;
    const float *lse, *other_lse;
    fv_divergence_factors factors;
} job;

static job job_of(const fv_exec *x, int64_t step, const fv_distribution *p, const fv_distribution *q, fv_view pull, fv_view temperature, float beta) {
    int64_t vocabulary = p->head.weight.shape[0], other = q->head.weight.shape[0];
    return (job){.logits = FV_TAKE(x->scratch, float, step * vocabulary), .others = FV_TAKE(x->scratch, float, step * other), .vocabulary = vocabulary, .other_vocabulary = other,
                 .temperature = fv_f32(temperature), .pull = fv_f32(pull), .lse = fv_f32(p->lse), .other_lse = fv_f32(q->lse),
                 .factors = fv_divergence_factors_of(beta)};
}

static void both_logits(const fv_exec *x, const job *j, int64_t n, const fv_distribution *p, const fv_distribution *q) {
    fv_logits(x, j->logits, p->hidden, j->first, n, p->head);
    fv_logits(x, j->others, q->hidden, j->first, n, q->head);
}

/* Row i of p, and of q, divided by their temperature. */
static float *cool_both(const job *j, int64_t i, float **other) {
    float *row = j->logits + i * j->vocabulary, temperature = j->temperature[j->first + i];
    *other = j->others + i * j->other_vocabulary;
    fv_logits_cool(row, j->vocabulary, temperature);
    fv_logits_cool(*other, j->other_vocabulary, temperature);
    return row;
}

FV_INLINE fv_x16 log_prob(const float *row, int64_t v, int part, const float *lse) {
    return fv_sub(fv_sub(fv_load_part(row + v, part), fv_set1(lse[0])), fv_set1(lse[1]));
}

/* What ids [v, v + 16) add: nothing, beyond those that both have. */
FV_INLINE fv_apart apart_at(const job *j, const float *other, int64_t r, int64_t v, fv_x16 lp) {
    int64_t left = (j->vocabulary < j->other_vocabulary ? j->vocabulary : j->other_vocabulary) - v;
    int both = left > 0 ? fv_part(left) : 0;
    fv_apart a = fv_apart_of(lp, log_prob(other, v, both, j->other_lse + 2 * r), &j->factors);
    if (both == FV_LANES) return a;
    a.value = fv_select(fv_mask_n(both), a.value, fv_zero());
    a.pull = fv_select(fv_mask_n(both), a.pull, fv_zero());
    return a;
}

static void apart_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = j->first + i, n = j->vocabulary;
        float *other, *row = cool_both(j, i, &other);
        fv_x16 value = fv_zero(), pull = fv_zero();
        for (int64_t v = 0; v < n; v += FV_LANES) {
            fv_apart a = apart_at(j, other, r, v, log_prob(row, v, fv_part(n - v), j->lse + 2 * r));
            value = fv_add(value, a.value);
            pull = fv_add(pull, a.pull);
        }
        j->y[r] = fv_hsum(value);
        j->pull[r] = fv_hsum(pull);
    }
}

void FV_KERNEL(divergence)(const fv_exec *x, fv_view y, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature, float beta) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), step = fv_logits_rows(fv_divergence_vocabulary(&p, &q), rows);
    job j = job_of(x, step, &p, &q, pull, temperature, beta);
    j.y = fv_f32(y);
    for (; j.first < rows; j.first += step) {
        int64_t n = rows - j.first < step ? rows - j.first : step;
        both_logits(x, &j, n, &p, &q);
        fv_parallel(x->pool, n, fv_grain(64 * j.vocabulary), apart_rows, &j);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits of p to their gradients, in place: dl_v = dy (pull_v - p_v * sum of pulls) / temperature */
static void back_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = j->first + i, n = j->vocabulary;
        float *other, *row = cool_both(j, i, &other);
        fv_x16 pull = fv_set1(j->pull[r]), scale = fv_set1(j->dy[r] / j->temperature[r]);
        for (int64_t v = 0; v < n; v += FV_LANES) {
            int part = fv_part(n - v);
            fv_x16 lp = log_prob(row, v, part, j->lse + 2 * r);
            fv_store_part(row + v, fv_mul(scale, fv_fnma(fv_exp(lp), pull, apart_at(j, other, r, v, lp).pull)), part);
        }
    }
}

void FV_KERNEL(divergence_back)(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dy, fv_view pull, fv_distribution p, fv_distribution q, fv_view temperature,
                                float beta) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), step = fv_logits_rows(fv_divergence_vocabulary(&p, &q), rows);
    job j = job_of(x, step, &p, &q, pull, temperature, beta);
    j.dy = fv_f32(dy);
    for (; j.first < rows; j.first += step) {
        int64_t n = rows - j.first < step ? rows - j.first : step;
        both_logits(x, &j, n, &p, &q);
        fv_parallel(x->pool, n, fv_grain(64 * j.vocabulary), back_rows, &j);
        fv_view dlogits = fv_mat(j.logits, n, j.vocabulary);
        fv_view part = dhidden.data != NULL ? fv_slice(dhidden, j.first, n) : fv_none;
        FV_KERNEL(linear_back)(x, part, dweight, fv_none, dlogits, fv_slice(p.hidden, j.first, n), p.head.weight, p.head.packed);
    }
    fv_arena_release(x->scratch, mark);
}
