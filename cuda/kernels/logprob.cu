/* Log-probs and entropies of target tokens, fused with the output projection: logits exist for one block of rows at a time.
 * With l = logits / temperature: logp = (l_target - max) - log sum e^(l - max); H = -sum p log p. */
#include "cuda/kernels/logits.h"

typedef struct {
    float *logits; /* [rows of the block, vocabulary] */
    int64_t first, rows, vocabulary;
    const int32_t *target;
    const float *temperature, *dlogp, *dentropy;
    float *logp, *entropy, *lse;
} job;

/* The row of the block that this thread's lanes take; false past the last. */
FV_DEVICE bool row_at(const job *j, int64_t *i) {
    *i = FV_BLOCK * LOGITS_ROWS + FV_THREAD / FV_LANES;
    return *i < j->rows;
}

static job job_of(const fv_exec *x, int64_t step, int64_t vocabulary, fv_view lse, fv_view temperature) {
    job j = {0};
    j.logits = FV_NUMBERS(x->scratch, step * vocabulary);
    j.vocabulary = vocabulary, j.lse = fv_f32(lse);
    j.temperature = (const float *)fv_cuda_stage(x, temperature.data, fv_bytes(temperature));
    return j;
}

FV_GLOBAL(logprob_rows, job) {
    int64_t i, lane = FV_THREAD % FV_LANES;
    bool there = row_at(&j, &i);
    int64_t r = j.first + i;
    float *row = j.logits + i * j.vocabulary;
    float max = fv_logits_cool(row, j.vocabulary, there ? j.temperature[r] : 1, there);
    fv_softmax s = fv_logits_softmax(row, j.vocabulary, max, there);
    if (!there || lane != 0) return;
    if (j.entropy != NULL) j.entropy[r] = s.entropy;
    j.lse[2 * r] = s.max;
    j.lse[2 * r + 1] = s.log_sum;
}

/* The target's, by a thread that sees what its row's lanes have written. */
FV_GLOBAL(pick_targets, job) {
    int64_t i = FV_BLOCK * LOGITS_THREADS + FV_THREAD, r = j.first + i;
    if (i < j.rows) j.logp[r] = fv_logits_logp(j.logits + i * j.vocabulary, j.target[r], j.lse[2 * r], j.lse[2 * r + 1]);
}

FV_TABLE_OP void fv_cuda_logprob(const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target,
                                 fv_view temperature) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(target), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = job_of(x, step, vocabulary, lse, temperature);
    j.target = fv_cuda_ints(x, target), j.logp = fv_f32(logp), j.entropy = fv_f32(entropy);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("logprob", hidden, head.weight);
        FV_LAUNCH(logprob_rows, fv_blocks_of(j.rows, LOGITS_ROWS), LOGITS_THREADS, 0, j);
        FV_LAUNCH(pick_targets, fv_blocks_of(j.rows, LOGITS_THREADS), LOGITS_THREADS, 0, j);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits to their gradients, in place: with lp = log p,
 *     dl_v = (dlogp (1[v = target] - p_v) - dentropy p_v (lp_v + H)) / temperature */
FV_GLOBAL(back_rows, job) {
    int64_t i, n = j.vocabulary;
    if (!row_at(&j, &i)) return;
    int64_t r = j.first + i;
    float *row = j.logits + i * n, temperature = j.temperature[r], entropy = 0, dentropy = 0;
    if (j.dentropy != NULL) entropy = j.entropy[r], dentropy = j.dentropy[r];
    float max = j.lse[2 * r], log_sum = j.lse[2 * r + 1], inverse = -1.0f / temperature;
    for (int64_t v = FV_THREAD % FV_LANES; v < n; v += FV_LANES) {
        float lp = fv_sub(fv_sub(temperature != 1.0f ? fv_div(row[v], temperature) : row[v], max), log_sum);
        float pull = fv_fma(dentropy, fv_add(lp, entropy), j.dlogp[r]);
        float dl = fv_mul(fv_mul(fv_exp(lp), pull), inverse);
        row[v] = v == j.target[r] ? dl + j.dlogp[r] / temperature : dl;
    }
}

FV_TABLE_OP void fv_cuda_logprob_back(const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy, fv_view lse,
                                      fv_view hidden, fv_head head, fv_view target, fv_view temperature) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(target), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = job_of(x, step, vocabulary, lse, temperature);
    j.target = fv_cuda_ints(x, target), j.entropy = fv_f32(entropy), j.dlogp = fv_f32(dlogp), j.dentropy = fv_f32(dentropy);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("logprob_back", hidden, head.weight);
        FV_LAUNCH(back_rows, fv_blocks_of(j.rows, LOGITS_ROWS), LOGITS_THREADS, 0, j);
        fv_view dlogits = fv_mat(j.logits, j.rows, vocabulary);
        if (dhidden.data != NULL) fv_cuda_linear_back_input(x, fv_slice(dhidden, j.first, j.rows), dlogits, head.weight);
        if (dweight.data != NULL) fv_cuda_linear_back_weight(x, dweight, fv_none, dlogits, fv_slice(hidden, j.first, j.rows));
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits to log-probs, in place: a thread for each. */
FV_GLOBAL(logp_numbers, job) {
    int64_t at = FV_BLOCK * LOGITS_THREADS + FV_THREAD, i = at / j.vocabulary, r = j.first + i;
    if (i >= j.rows) return;
    float x = j.logits[at], temperature = j.temperature[r];
    if (temperature != 1.0f) x = fv_div(x, temperature);
    j.logits[at] = fv_sub(fv_sub(x, j.lse[2 * r]), j.lse[2 * r + 1]);
}

FV_TABLE_OP void fv_cuda_vocabulary(const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature, fv_vocabulary_visit *visit,
                                    void *context) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = job_of(x, step, vocabulary, lse, temperature);
    float *seen = FV_TAKE(x->scratch, float, step * vocabulary);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("vocabulary", hidden, head.weight);
        FV_LAUNCH(logp_numbers, fv_blocks_of(j.rows * vocabulary, LOGITS_THREADS), LOGITS_THREADS, 0, j);
        fv_cuda_download(seen, j.logits, (size_t)(j.rows * vocabulary) * sizeof(float));
        visit(context, j.first, j.rows, 0, vocabulary, seen);
    }
    fv_arena_release(x->scratch, mark);
}
