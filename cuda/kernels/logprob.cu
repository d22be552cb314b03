/* Log-probs and entropies of target tokens, fused with the output projection: logits exist for one block of rows at a time.
 * With l = logits / temperature: logp = (l_target - max) - log sum e^(l - max); H = -sum p log p. */
#include "cuda/kernels/logits.h"

const fv_products fv_products_f32 = {fv_cuda_linear, fv_cuda_linear_back, false}, fv_products_bf16 = {fv_cuda_bf16_linear, fv_cuda_bf16_linear_back, true};

typedef struct {
    float *logits; /* [rows of the block, vocabulary] */
    int64_t first, rows, vocabulary, parts; /* parts of a row */
    const int32_t *target;
    const float *temperature, *dlogp, *dentropy;
    float *logp, *entropy, *lse;
    fv_share *share; /* [rows of the block, shares] */
    int64_t shares;
    bool of_shares;
    int cooled; /* logits are divided by their temperature already */
} job;

static job job_of(const fv_products *by, const fv_exec *x, int64_t step, int64_t vocabulary, fv_view lse, fv_view temperature) {
    job j = {0};
    j.logits = FV_NUMBERS(x->scratch, step * vocabulary);
    j.vocabulary = vocabulary, j.parts = fv_blocks_of(vocabulary, NUMBER_PART), j.lse = fv_f32(lse);
    j.temperature = (const float *)fv_cuda_stage(x, temperature.data, fv_bytes(temperature));
    j.of_shares = by->of_shares, j.shares = fv_blocks_of(vocabulary, LOGITS_SHARE);
    j.share = (fv_share *)fv_arena_numbers(x->scratch, (size_t)(step * j.shares) * sizeof *j.share);
    return j;
}

FV_GLOBAL_OF(cool_share, job, LOGITS_THREADS, 4) {
    FV_BLOCK_SHARED float room[LOGITS_GROUPS];
    int64_t i = FV_BLOCK / j.shares, first = FV_BLOCK % j.shares * LOGITS_SHARE;
    fv_four x[LOGITS_FOURS];
    float max = fv_share_cool(x, j.logits + i * j.vocabulary, first, j.vocabulary, j.temperature[j.first + i]);
    max = fv_block_max(room, max, LOGITS_THREADS);
    if (FV_THREAD == 0) j.share[FV_BLOCK].max = max;
}

FV_GLOBAL_OF(sum_share, job, LOGITS_THREADS, 4) {
    FV_BLOCK_SHARED float room[LOGITS_GROUPS];
    int64_t i = FV_BLOCK / j.shares, first = FV_BLOCK % j.shares * LOGITS_SHARE;
    fv_four x[LOGITS_FOURS], e[LOGITS_FOURS];
    fv_share_read(x, j.logits + i * j.vocabulary, first, j.vocabulary, 0);
    float max = fv_largest(room, &j.share[i * j.shares].max, j.shares, SHARE_STRIDE, LOGITS_THREADS);
    fv_share_exp(e, x, max);
    fv_share_sum(j.share + FV_BLOCK, room, e, x, max, first, j.vocabulary);
}

FV_GLOBAL_OF(logprob_row, job, CHAIN_THREADS, 4) {
    FV_BLOCK_SHARED fv_chain_room room;
    int64_t r = j.first + FV_BLOCK;
    const float *row = j.logits + FV_BLOCK * j.vocabulary;
    const fv_share *share = j.share + FV_BLOCK * j.shares;
    float max = fv_largest(room.largest, &share->max, j.shares, SHARE_STRIDE, CHAIN_THREADS);
    fv_softmax s = j.of_shares ? fv_softmax_of_shares(share, j.shares, max) : fv_softmax_of_chains(&room, row, j.vocabulary, max);
    if (FV_THREAD != 0) return;
    if (j.entropy != NULL) j.entropy[r] = s.entropy;
    j.lse[2 * r] = s.max;
    j.lse[2 * r + 1] = s.log_sum;
    j.logp[r] = fv_logits_logp(row, j.target[r], s.max, s.log_sum);
}

/* The log-probs of a block's rows, whose logits are then divided by their temperature. */
static void find_rows(job j) {
    FV_LAUNCH(cool_share, j.rows * j.shares, LOGITS_THREADS, 0, j);
    if (j.of_shares) FV_LAUNCH(sum_share, j.rows * j.shares, LOGITS_THREADS, 0, j);
    FV_LAUNCH(logprob_row, j.rows, CHAIN_THREADS, 0, j);
}

static void logprob_by(const fv_products *by, const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target,
                       fv_view temperature) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(target), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = job_of(by, x, step, vocabulary, lse, temperature);
    j.target = fv_cuda_ints(x, target), j.logp = fv_f32(logp), j.entropy = fv_f32(entropy);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(by, x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("logprob", hidden, head.weight);
        find_rows(j);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits to their gradients, in place: with lp = log p,
 *     dl_v = (dlogp (1[v = target] - p_v) - dentropy p_v (lp_v + H)) / temperature */
FV_GLOBAL(back_numbers, job) {
    int64_t i = FV_BLOCK / j.parts, r = j.first + i, from = FV_BLOCK % j.parts * NUMBER_PART + FV_THREAD;
    float *row = j.logits + i * j.vocabulary, temperature = j.temperature[r], entropy = 0, dentropy = 0;
    if (j.dentropy != NULL) entropy = j.entropy[r], dentropy = j.dentropy[r];
    float max = j.lse[2 * r], log_sum = j.lse[2 * r + 1], inverse = -1.0f / temperature;
#pragma unroll
    for (int64_t v = from; v < from + NUMBER_PART; v += NUMBER_THREADS) {
        if (v >= j.vocabulary) continue;
        float lp = fv_sub(fv_sub(temperature != 1.0f && !j.cooled ? fv_div(row[v], temperature) : row[v], max), log_sum);
        float pull = fv_fma(dentropy, fv_add(lp, entropy), j.dlogp[r]);
        float dl = fv_mul(fv_mul(fv_exp(lp), pull), inverse);
        row[v] = v == j.target[r] ? dl + j.dlogp[r] / temperature : dl;
    }
}

static void logprob_back_by(const fv_products *by, const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy,
                            fv_view lse, fv_view hidden, fv_head head, fv_view target, fv_view temperature) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(target), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = job_of(by, x, step, vocabulary, lse, temperature);
    j.target = fv_cuda_ints(x, target), j.entropy = fv_f32(entropy), j.dlogp = fv_f32(dlogp), j.dentropy = fv_f32(dentropy);
    job found = j;
    if (lse.data == NULL) {
        j.lse = found.lse = FV_NUMBERS(x->scratch, 2 * rows);
        found.logp = FV_NUMBERS(x->scratch, rows), found.entropy = NULL;
        j.cooled = 1;
    }
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(by, x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("logprob_back", hidden, head.weight);
        if (j.cooled) {
            found.first = j.first, found.rows = j.rows;
            find_rows(found);
        }
        FV_LAUNCH(back_numbers, j.rows * j.parts, NUMBER_THREADS, 0, j);
        fv_logits_back(by, x, dhidden, dweight, j.logits, hidden, j.first, j.rows, head);
    }
    fv_arena_release(x->scratch, mark);
}

/* Logits to log-probs, in place. */
FV_GLOBAL(logp_numbers, job) {
    int64_t i = FV_BLOCK / j.parts, r = j.first + i, from = FV_BLOCK % j.parts * NUMBER_PART + FV_THREAD;
    float *row = j.logits + i * j.vocabulary, temperature = j.temperature[r], max = j.lse[2 * r], log_sum = j.lse[2 * r + 1];
#pragma unroll
    for (int64_t v = from; v < from + NUMBER_PART; v += NUMBER_THREADS)
        if (v < j.vocabulary) row[v] = fv_sub(fv_sub(temperature != 1.0f ? fv_div(row[v], temperature) : row[v], max), log_sum);
}

static void vocabulary_by(const fv_products *by, const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature,
                          fv_vocabulary_visit *visit, void *context) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_elements(temperature), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = job_of(by, x, step, vocabulary, lse, temperature);
    float *seen = FV_TAKE(x->scratch, float, step * vocabulary);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(by, x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("vocabulary", hidden, head.weight);
        FV_LAUNCH(logp_numbers, j.rows * j.parts, NUMBER_THREADS, 0, j);
        fv_cuda_download(seen, j.logits, (size_t)(j.rows * vocabulary) * sizeof(float));
        visit(context, j.first, j.rows, 0, vocabulary, seen);
    }
    fv_arena_release(x->scratch, mark);
}

FV_TABLE_OPS(logprob, (const fv_exec *x, fv_view logp, fv_view entropy, fv_view lse, fv_view hidden, fv_head head, fv_view target, fv_view temperature), x, logp,
             entropy, lse, hidden, head, target, temperature)
FV_TABLE_OPS(logprob_back,
             (const fv_exec *x, fv_view dhidden, fv_view dweight, fv_view dlogp, fv_view dentropy, fv_view entropy, fv_view lse, fv_view hidden, fv_head head,
              fv_view target, fv_view temperature),
             x, dhidden, dweight, dlogp, dentropy, entropy, lse, hidden, head, target, temperature)
FV_TABLE_OPS(vocabulary,
             (const fv_exec *x, fv_view lse, fv_view hidden, fv_head head, fv_view temperature, fv_vocabulary_visit *visit, void *context), x, lse, hidden, head,
             temperature, visit, context)
