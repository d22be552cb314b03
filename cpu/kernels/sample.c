/* Drawing tokens. The log-prob that a token gets is the full distribution's, by the routine that logprob.c uses; bans, top-k
 * and top-p only shape what is drawn. */
#include "core/random.h"
#include "cpu/kernels/logits.h"

#include <math.h>

typedef struct {
    float *weight; /* [vocabulary] e^(l - max) of what may be drawn, 0 else */
    int32_t *heap; /* [vocabulary] ids, for top-k and top-p */
} scratch;

typedef struct {
    float *logits;
    int64_t first, vocabulary;
    const fv_sampling *how;
    int32_t *id;
    float *logp, *entropy;
    scratch *scratch; /* one for each worker */
} job;

static bool may_draw(const fv_sampling *how, int64_t id) {
    return how->banned == NULL || how->banned[id] == 0;
}

/* The smallest id of the largest logit among those that may be drawn; -1 if there is none. */
static int32_t greedy(const float *row, int64_t n, const fv_sampling *how) {
    int32_t best = -1;
    for (int64_t v = 0; v < n; v++)
        if (may_draw(how, v) && (best < 0 || row[v] > row[best])) best = (int32_t)v;
    return best;
}

/* ---- a heap of ids, the most probable (and among equals the smallest) first ---------------------------------------------- */

static bool before(const float *weight, int32_t a, int32_t b) {
    return weight[a] != weight[b] ? weight[a] > weight[b] : a < b;
}

static void sift(int32_t *heap, int64_t n, int64_t at, const float *weight) {
    int32_t id = heap[at];
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(weight, heap[child + 1], heap[child])) child++;
        if (!before(weight, heap[child], id)) break;
        heap[at] = heap[child];
    }
    heap[at] = id;
}

/* Takes the first id out; it is left behind the n - 1 others. */
static int32_t pop(int32_t *heap, int64_t n, const float *weight) {
    int32_t id = heap[0];
    heap[0] = heap[n - 1];
    heap[n - 1] = id;
    if (n > 1) sift(heap, n - 1, 0, weight);
    return id;
}

/* Clears the weights that top-k and then top-p leave out. Top-p is of what top-k has left, summed in double. */
static void keep_top(scratch *s, int64_t vocabulary, const fv_sampling *how) {
    int64_t n = 0;
    double total = 0;
    for (int64_t v = 0; v < vocabulary; v++)
        if (s->weight[v] > 0) {
            s->heap[n++] = (int32_t)v;
            total += s->weight[v];
        }
    for (int64_t i = n / 2; i-- > 0;) sift(s->heap, n, i, s->weight);
    int64_t most = how->top_k > 0 && how->top_k < n ? how->top_k : n, kept = 0;
    if (most < n) { /* the first k are taken off to the end of the heap, and their sum is the whole */
        total = 0;
        for (int64_t i = 0; i < most; i++) total += s->weight[pop(s->heap, n - i, s->weight)];
        double sum = 0;
        while (kept < most && (kept == 0 || sum < how->top_p * total)) sum += s->weight[s->heap[n - 1 - kept++]];
    } else {
        double sum = 0;
        while (kept < n && (kept == 0 || sum < how->top_p * total)) sum += s->weight[pop(s->heap, n - kept++, s->weight)];
    }
    for (int64_t i = 0; i < n - kept; i++) s->weight[s->heap[i]] = 0;
}

/* One uniform number against the cumulative sum in order of ids, in double. */
static int32_t draw(const float *row, int64_t vocabulary, const fv_sampling *how, scratch *s) {
    float max = -INFINITY;
    for (int64_t v = 0; v < vocabulary; v++)
        if (may_draw(how, v) && row[v] > max) max = row[v];
    for (int64_t v = 0; v < vocabulary; v += FV_LANES) {
        int n = fv_part(vocabulary - v);
        fv_store_part(s->weight + v, fv_exp(fv_sub(fv_load_part(row + v, n), fv_set1(max))), n);
    }
    for (int64_t v = 0; v < vocabulary; v++)
        if (!may_draw(how, v)) s->weight[v] = 0;
    if (how->top_k > 0 || how->top_p < 1) keep_top(s, vocabulary, how);

    double total = 0, sum = 0;
    for (int64_t v = 0; v < vocabulary; v++) total += s->weight[v];
    double goal = fv_uniform_at(how->key, how->position) * total;
    int32_t id = -1;
    for (int64_t v = 0; v < vocabulary; v++) {
        if (!(s->weight[v] > 0)) continue;
        id = (int32_t)v; /* the last one, should rounding leave the sum short of the goal */
        sum += s->weight[v];
        if (sum > goal) break;
    }
    return id;
}

static void sample_rows(void *context, int64_t begin, int64_t end, int worker) {
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t r = j->first + i;
        const fv_sampling *how = j->how + r;
        float *row = j->logits + i * j->vocabulary, temperature = how->temperature > 0 ? how->temperature : 1.0f;
        fv_softmax s = fv_logits_softmax(row, j->vocabulary, fv_logits_cool(row, j->vocabulary, temperature));
        int32_t id = how->temperature > 0 ? draw(row, j->vocabulary, how, j->scratch + worker) : greedy(row, j->vocabulary, how);
        j->id[r] = id;
        j->logp[r] = id < 0 ? NAN : fv_logits_logp(row, id, s.max, s.log_sum);
        if (j->entropy != NULL) j->entropy[r] = s.entropy;
    }
}

/* id -1 (log-prob NaN) says that every id was banned, or that there was no number to draw by. */
void FV_KERNEL(sample)(const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_rows(hidden), vocabulary = head.weight.shape[0], step = fv_logits_rows(vocabulary, rows);
    job j = {.logits = FV_TAKE(x->scratch, float, step * vocabulary), .vocabulary = vocabulary, .how = how, .id = id, .logp = logp, .entropy = entropy,
             .scratch = FV_TAKE(x->scratch, scratch, fv_workers(x))};
    for (int i = 0; i < fv_workers(x); i++)
        j.scratch[i] = (scratch){FV_TAKE(x->scratch, float, vocabulary), FV_TAKE(x->scratch, int32_t, vocabulary)};
    for (; j.first < rows; j.first += step) {
        int64_t n = rows - j.first < step ? rows - j.first : step;
        fv_logits(x, j.logits, hidden, j.first, n, head);
        fv_parallel(x->pool, n, fv_grain(32 * vocabulary), sample_rows, &j);
    }
    fv_arena_release(x->scratch, mark);
}
