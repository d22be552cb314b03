/* Drawing tokens: a block for each row. The log-prob that a token gets is the full distribution's, by the routine that logprob.cu uses; bans,
 * top-k and top-p only shape what is drawn.
 *
 * Where the CPU sorts, a block searches: the smallest weight that is kept is found bit by bit, since the bits of positive floats are in the
 * order of their values, and of the weights that are equal to it as many as are still needed, ids ascending. Sums are in double over
 * each thread's ids, then over threads, so a draw differs from the CPU's only where its uniform number is within some 1e-13 of the border
 * between two ids. */
#include "cuda/kernels/logits.h"

#ifdef __cplusplus
extern "C" {
#endif
#include "core/random.h"
#ifdef __cplusplus
}
#endif

/* A row's block. The stand-in of tests/cuda has small ones: its threads take turns. */
#ifndef FV_DRAW_THREADS
#define FV_DRAW_THREADS 256
#endif
enum { THREADS = FV_DRAW_THREADS };

/* How one row is sampled, as the card sees it. */
typedef struct {
    double uniform;
    const uint8_t *banned; /* [vocabulary], or NULL */
    float temperature;     /* what logits are divided by: 1 where greedy */
    float top_p;
    int32_t top_k;
    bool greedy;
} row_plan;

typedef struct {
    float logp, entropy;
    int32_t id;
} drawn;

typedef struct {
    float *logits, *weight; /* [rows of the block, vocabulary] each; weight: e^(l - max) of what may be drawn, 0 else */
    fv_softmax *softmax;    /* [rows of the block] */
    const row_plan *plan;   /* [all rows] */
    drawn *out;             /* [all rows] */
    int64_t first, rows, vocabulary;
} job;

FV_GLOBAL_OF(cool_row, job, LOGITS_THREADS, 4) {
    FV_BLOCK_SHARED fv_logits_room room;
    float *row = j.logits + FV_BLOCK * j.vocabulary;
    float max = fv_logits_cool(&room, row, j.vocabulary, j.plan[j.first + FV_BLOCK].temperature);
    fv_softmax s = fv_logits_softmax(&room, row, j.vocabulary, max);
    if (FV_THREAD == 0) j.softmax[FV_BLOCK] = s;
}

/* ---- a block together: a span of the ids is some neighbouring threads', which go through it side by side --------------------- */

enum { SPANS = 16, EACH = THREADS / SPANS };

/* The sum of some weights and their number (exact in a double). */
typedef struct {
    double sum, count;
} amount;

/* Where threads meet: a number of each, and of each span. */
typedef struct {
    amount part[THREADS], span[SPANS];
} meeting;

FV_DEVICE int64_t begin_of(int64_t n, int span, int spans) { return n * span / spans; }

/* The ids of this thread: `for (int64_t v = first_id(n); v < last_id(n); v += EACH)`. */
FV_DEVICE int64_t first_id(int64_t n) { return begin_of(n, FV_THREAD / EACH, SPANS) + FV_THREAD % EACH; }
FV_DEVICE int64_t last_id(int64_t n) { return begin_of(n, FV_THREAD / EACH + 1, SPANS); }

FV_DEVICE bool may_draw(const row_plan *how, int64_t id) { return how->banned == NULL || how->banned[id] == 0; }

/* The sum over all threads, in a fixed order; everybody gets it. m->span has those of the spans. */
FV_DEVICE amount meet(meeting *m, amount mine) {
    amount all = {0, 0};
    m->part[FV_THREAD] = mine;
    FV_SYNC();
    if (FV_THREAD < SPANS) {
        for (int t = FV_THREAD * EACH; t < (FV_THREAD + 1) * EACH; t++) all.sum += m->part[t].sum, all.count += m->part[t].count;
        m->span[FV_THREAD] = all;
    }
    FV_SYNC();
    all.sum = all.count = 0;
    for (int g = 0; g < SPANS; g++) all.sum += m->span[g].sum, all.count += m->span[g].count;
    return all;
}

FV_DEVICE float largest_of(meeting *m, float mine) {
    m->part[FV_THREAD].sum = mine;
    FV_SYNC();
    float max = mine;
    for (int t = 0; t < THREADS; t++) max = fv_max((float)m->part[t].sum, max);
    FV_SYNC();
    return max;
}

/* The weights whose bits are at least `key`. */
FV_DEVICE amount amount_from(const float *weight, int64_t n, fv_i16 key, meeting *m) {
    amount mine = {0, 0};
#pragma unroll 8
    for (int64_t v = first_id(n); v < last_id(n); v += EACH)
        if (weight[v] > 0 && fv_bits(weight[v]) >= key) mine.sum += weight[v], mine.count += 1;
    return meet(m, mine);
}

/* The largest key from which on there are `count` weights and a sum of `sum`; weights are at most 1. From the smallest there must be. */
FV_DEVICE fv_i16 find_key(const float *weight, int64_t n, amount want, meeting *m) {
    fv_i16 low = 1, beyond = fv_bits(1.0f) + 1;
    while (beyond - low > 1) {
        fv_i16 middle = low + (beyond - low) / 2;
        amount have = amount_from(weight, n, middle, m);
        if (have.sum >= want.sum && have.count >= want.count) low = middle;
        else beyond = middle;
    }
    return low;
}

/* Clears the weights below `key`, and of the `equal` that have it all but the first `most`, ids ascending. */
FV_DEVICE void keep_from(float *weight, int64_t n, fv_i16 key, double equal, double most, meeting *m) {
    for (int64_t v = first_id(n); v < last_id(n); v += EACH)
        if (!(weight[v] > 0) || fv_bits(weight[v]) < key) weight[v] = 0;
    FV_SYNC();
    if (most >= equal) return;
    int64_t begin = begin_of(n, FV_THREAD, THREADS), end = begin_of(n, FV_THREAD + 1, THREADS); /* in their order: a thread's are neighbours */
    double mine = 0, before = 0;
    for (int64_t v = begin; v < end; v++) mine += fv_bits(weight[v]) == key;
    m->part[FV_THREAD].count = mine;
    FV_SYNC();
    for (int t = 0; t < FV_THREAD; t++) before += m->part[t].count;
    for (int64_t v = begin; v < end; v++)
        if (fv_bits(weight[v]) == key && before++ >= most) weight[v] = 0;
    FV_SYNC();
}

/* Clears the weights that top-k and then top-p leave out. Top-p is of what top-k has left. */
FV_DEVICE void keep_top(float *weight, int64_t n, const row_plan *how, meeting *m) {
    amount all = amount_from(weight, n, 1, m), want;
    if (how->top_k > 0 && how->top_k < all.count) {
        want.sum = 0, want.count = how->top_k;
        fv_i16 key = find_key(weight, n, want, m);
        double above = amount_from(weight, n, key + 1, m).count, from = amount_from(weight, n, key, m).count;
        keep_from(weight, n, key, from - above, how->top_k - above, m);
        all = amount_from(weight, n, 1, m);
    }
    if (how->top_p >= 1 || all.count == 0) return;
    want.sum = how->top_p * all.sum, want.count = 1;
    fv_i16 key = find_key(weight, n, want, m);
    amount above = amount_from(weight, n, key + 1, m), from = amount_from(weight, n, key, m);
    double most = 0, equal = from.count - above.count;
    for (double sum = above.sum; most < equal && (above.count + most == 0 || sum < want.sum); most += 1) sum += fv_from_bits(key);
    keep_from(weight, n, key, equal, most, m);
}

/* ---- drawing: the result is thread 0's ---- */

/* The smallest id of the largest logit among those that may be drawn; -1 if there is none. */
FV_DEVICE int32_t greedy(const float *row, int64_t n, const row_plan *how, meeting *m) {
    int64_t best = -1;
#pragma unroll 8
    for (int64_t v = first_id(n); v < last_id(n); v += EACH)
        if (may_draw(how, v) && (best < 0 || row[v] > row[best])) best = v;
    m->part[FV_THREAD].count = (double)best;
    FV_SYNC();
    for (int t = 1; FV_THREAD == 0 && t < THREADS; t++) {
        int64_t other = (int64_t)m->part[t].count;
        if (other >= 0 && (best < 0 || row[other] > row[best] || (row[other] == row[best] && other < best))) best = other;
    }
    return (int32_t)best;
}

/* The id at which the cumulative sum in order of ids passes the uniform number's share of the whole: first the span in which that is, then the thread's
 * part of the span, then the id. */
FV_DEVICE int32_t walk(const float *weight, int64_t n, double uniform, meeting *m) {
    amount mine = {0, 0};
#pragma unroll 8
    for (int64_t v = first_id(n); v < last_id(n); v += EACH) mine.sum += weight[v];
    double goal = uniform * meet(m, mine).sum, sum = 0, part = 0;
    int span = 0, t = 0;
    while (span < SPANS - 1 && !(sum + m->span[span].sum > goal)) sum += m->span[span++].sum;

    int64_t begin = begin_of(n, span, SPANS), width = begin_of(n, span + 1, SPANS) - begin, id = -1;
    for (int64_t v = begin_of(width, FV_THREAD, THREADS); v < begin_of(width, FV_THREAD + 1, THREADS); v++) part += weight[begin + v];
    m->part[FV_THREAD].sum = part;
    FV_SYNC();
    if (FV_THREAD != 0) return -1;
    while (t < THREADS - 1 && !(sum + m->part[t].sum > goal)) sum += m->part[t++].sum;
    for (int64_t v = begin + begin_of(width, t, THREADS); v < n; v++) {
        if (!(weight[v] > 0)) continue;
        id = v;
        sum += weight[v];
        if (sum > goal) break;
    }
    for (int64_t v = n; id < 0 && v-- > 0;) /* the last one, should rounding leave the sum short of the goal */
        if (weight[v] > 0) id = v;
    return (int32_t)id;
}

FV_DEVICE int32_t draw(const float *row, float *weight, int64_t n, const row_plan *how, meeting *m) {
    float max = fv_from_bits((fv_i16)0xff800000u); /* -inf */
#pragma unroll 8
    for (int64_t v = first_id(n); v < last_id(n); v += EACH)
        if (may_draw(how, v) && row[v] > max) max = row[v];
    max = largest_of(m, max);
    for (int64_t v = first_id(n); v < last_id(n); v += EACH) weight[v] = may_draw(how, v) ? fv_exp(fv_sub(row[v], max)) : 0;
    FV_SYNC();
    if (how->top_k > 0 || how->top_p < 1) keep_top(weight, n, how, m);
    return walk(weight, n, how->uniform, m);
}

FV_GLOBAL(draw_row, job) {
    FV_BLOCK_SHARED meeting m;
    const row_plan *how = j.plan + j.first + FV_BLOCK;
    const float *row = j.logits + FV_BLOCK * j.vocabulary;
    int32_t id = how->greedy ? greedy(row, j.vocabulary, how, &m) : draw(row, j.weight + FV_BLOCK * j.vocabulary, j.vocabulary, how, &m);
    if (FV_THREAD != 0) return;
    fv_softmax s = j.softmax[FV_BLOCK];
    drawn *out = j.out + j.first + FV_BLOCK;
    out->id = id;
    out->logp = id < 0 ? fv_from_bits(0x7fc00000) : fv_logits_logp(row, id, s.max, s.log_sum);
    out->entropy = s.entropy;
}

/* ---- on the host ---- */

/* Bans are mostly the same list for all rows: each list that follows itself goes to the card once. */
static const row_plan *stage_plan(const fv_exec *x, const fv_sampling *how, int64_t rows, int64_t vocabulary) {
    row_plan *plan = FV_TAKE(x->scratch, row_plan, rows);
    for (int64_t r = 0; r < rows; r++) {
        row_plan *p = plan + r;
        p->uniform = fv_uniform_at(how[r].key, how[r].position);
        p->greedy = !(how[r].temperature > 0);
        p->temperature = p->greedy ? 1.0f : how[r].temperature;
        p->top_p = how[r].top_p;
        p->top_k = how[r].top_k;
        if (r > 0 && how[r].banned == how[r - 1].banned) p->banned = plan[r - 1].banned;
        else p->banned = (const uint8_t *)fv_cuda_stage(x, how[r].banned, (size_t)vocabulary);
    }
    return (const row_plan *)fv_cuda_stage(x, plan, (size_t)rows * sizeof *plan);
}

/* id -1 (log-prob NaN) says that every id was banned, that there was no number to draw by, or that the card failed. */
static void sample_by(const fv_products *by, const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_rows(hidden), step = fv_logits_rows(2 * head.weight.shape[0], rows);
    job j = {0};
    j.vocabulary = head.weight.shape[0];
    j.logits = FV_NUMBERS(x->scratch, step * j.vocabulary), j.weight = FV_NUMBERS(x->scratch, step * j.vocabulary);
    j.softmax = (fv_softmax *)fv_arena_numbers(x->scratch, (size_t)step * sizeof *j.softmax);
    j.out = (drawn *)fv_arena_numbers(x->scratch, (size_t)rows * sizeof *j.out);
    j.plan = stage_plan(x, how, rows, j.vocabulary);
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(by, x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("sample", hidden, head.weight);
        FV_LAUNCH(cool_row, j.rows, LOGITS_THREADS, 0, j);
        FV_LAUNCH(draw_row, j.rows, THREADS, 0, j);
    }
    drawn *out = FV_TAKE(x->scratch, drawn, rows);
    fv_cuda_download(out, j.out, (size_t)rows * sizeof *out);
    for (int64_t r = 0; r < rows; r++) {
        id[r] = fv_cuda_well() ? out[r].id : -1;
        logp[r] = fv_cuda_well() ? out[r].logp : NAN;
        if (entropy != NULL) entropy[r] = out[r].entropy;
    }
    fv_arena_release(x->scratch, mark);
}
FV_TABLE_OPS(sample, (const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how), x, id, logp, entropy, hidden, head, how)
