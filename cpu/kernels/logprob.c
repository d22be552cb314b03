/* Log-probs and entropies of target tokens, fused with the output projection: logits exist for one block of rows at a time.
 * With l = logits / temperature: logp = (l_target - max) - log sum e^(l - max); H = -sum p log p. */
#include "cpu/kernels/logits.h"

typedef struct {
    float *logits; /* [rows of the block, vocabulary] */
    int64_t first, vocabulary;
    const int32_t *target;
    const float *temperature, *dlogp, *dentropy;
    float *logp, *entropy, *lse;
} job;

static void logprob_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = j->first + i;
        float *row = j->logits + i * j->vocabulary;
        fv_softmax s = fv_logits_softmax(row, j->vocabulary, fv_logits_cool(row, j->vocabulary, j->temperature[r]));
        j->logp[r] = fv_logits_logp(row, j->target[r], s.max, s.log_sum);
        if (j->entropy != NULL) j->entropy[r] = s.entropy;
        j->lse[2 * r] = s.max;
        j->lse[2 * r + 1] = s.log_sum;
    }
}

void FV_KERNEL(logprob)(const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target, fv_view temperature) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(target), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = {.logits = FV_TAKE(x->scratch, float, step * vocabulary), .vocabulary = vocabulary, .target = fv_i32(target),
             .temperature = fv_f32(temperature), .logp = fv_f32(logp), .entropy = fv_f32(entropy), .lse = fv_f32(lse)};
    for (; j.first < rows; j.first += step) {
        int64_t n = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, n, head);
        fv_parallel(x->pool, n, fv_grain(16 * vocabulary), logprob_rows, &j);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits to their gradients, in place: with lp = log p,
 *     dl_v = (dlogp (1[v = target] - p_v) - dentropy p_v (lp_v + H)) / temperature */
static void back_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = j->first + i, n = j->vocabulary;
        float *row = j->logits + i * n, temperature = j->temperature[r], entropy = 0, dentropy = 0;
        if (j->dentropy != NULL) entropy = j->entropy[r], dentropy = j->dentropy[r];
        float most = fv_logits_cool(row, n, temperature);
        fv_softmax s = j->lse != NULL ? (fv_softmax){j->lse[2 * r], j->lse[2 * r + 1], 0} : fv_logits_softmax(row, n, most);
        fv_x16 max = fv_set1(s.max), log_sum = fv_set1(s.log_sum), dh = fv_set1(dentropy);
        fv_x16 base = fv_set1(j->dlogp[r]), inverse = fv_set1(-1.0f / temperature);
        for (int64_t v = 0; v < n; v += FV_LANES) {
            int part = fv_part(n - v);
            fv_x16 lp = fv_sub(fv_sub(fv_load_part(row + v, part), max), log_sum);
            fv_x16 pull = fv_fma(dh, fv_add(lp, fv_set1(entropy)), base);
            fv_store_part(row + v, fv_mul(fv_mul(fv_exp(lp), pull), inverse), part);
        }
        row[j->target[r]] += j->dlogp[r] / temperature;
    }
}

void FV_KERNEL(logprob_back)(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy, fv_view lse,
                             fv_view hidden, fv_head head, fv_view target, fv_view temperature) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(target), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = {.logits = FV_TAKE(x->scratch, float, step * vocabulary), .vocabulary = vocabulary, .target = fv_i32(target),
             .temperature = fv_f32(temperature), .entropy = fv_f32(entropy), .lse = fv_f32(lse), .dlogp = fv_f32(dlogp), .dentropy = fv_f32(dentropy)};
    for (; j.first < rows; j.first += step) {
        int64_t n = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, n, head);
        fv_parallel(x->pool, n, fv_grain(16 * vocabulary), back_rows, &j);
        fv_view dlogits = fv_mat(j.logits, n, vocabulary);
        fv_view part = dhidden.data != NULL ? fv_slice(dhidden, j.first, n) : fv_none;
        FV_KERNEL(linear_back)(x, part, dweight, fv_none, dlogits, fv_slice(hidden, j.first, n), head.weight, head.packed);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits to log-probs, in place. */
static void logp_rows(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = j->first + i;
        float *row = j->logits + i * j->vocabulary;
        fv_logits_cool(row, j->vocabulary, j->temperature[r]);
        fv_x16 max = fv_set1(j->lse[2 * r]), log_sum = fv_set1(j->lse[2 * r + 1]);
        for (int64_t v = 0; v < j->vocabulary; v += FV_LANES) {
            int part = fv_part(j->vocabulary - v);
            fv_store_part(row + v, fv_sub(fv_sub(fv_load_part(row + v, part), max), log_sum), part);
        }
    }
}

void FV_KERNEL(vocabulary)(const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature, fv_vocabulary_visit *visit, void *context) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = {.logits = FV_TAKE(x->scratch, float, step * vocabulary), .vocabulary = vocabulary, .temperature = fv_f32(temperature), .lse = fv_f32(lse)};
    for (; j.first < rows; j.first += step) {
        int64_t n = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, n, head);
        fv_parallel(x->pool, n, fv_grain(4 * vocabulary), logp_rows, &j);
        visit(context, j.first, n, 0, vocabulary, j.logits);
    }
    fv_arena_release(x->scratch, mark);
}
