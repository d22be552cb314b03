/* Drawing tokens. The log-prob that a token gets is the full distribution's, by the routine that logprob.cu uses; bans, top-k and top-p only shape what is drawn.
 *
 * Weights, e^x of what may be drawn, are summed up by shares of a row (cuda/kernels/logits.h); then a block finds the share in which the uniform number's place is, in it the
 * thread, and of its ids the one. Where the CPU sorts, a block searches: the smallest weight that is kept is found bit by bit, since the bits of positive floats are in the
 * order of their values, and of the weights that are equal to it as many as are still needed, ids ascending. Sums are in double in another order than the CPU's, so a draw differs
 * from its only where the uniform number is within some 1e-13 of the border between two ids. */
#include "cuda/kernels/logits.h"

#ifdef __cplusplus
extern "C" {
#endif
#include "core/random.h"
#ifdef __cplusplus
}
#endif

enum { THREADS = LOGITS_THREADS };

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
    float *logits;          /* [rows of the block, vocabulary] */
    float *weight;          /* [rows of the block, padded] of rows that top-k or top-p shape: e^(l - max) of what may be drawn, 0 else */
    fv_share *share;        /* [rows of the block, shares] */
    float *allowed;         /* the same: the largest of what may be drawn */
    double *mass;           /* the same: the sum of the weights */
    fv_softmax *softmax;    /* [rows of the block], where it is of chains */
    const row_plan *plan;   /* [all rows] */
    drawn *out;             /* [all rows] */
    int64_t first, rows, vocabulary, padded, shares; /* padded: the vocabulary in whole fours */
    bool of_shares;
} job;

/* Which of the ids .. id + 3 (id a multiple of 4) can't be drawn: a byte of each. */
FV_DEVICE uint32_t banned_at(const row_plan *how, int64_t id, int64_t n) {
    uint32_t banned = 0;
    if (how->banned == NULL) return 0;
    if (id + 4 <= n) return *(const uint32_t *)(how->banned + id);
    for (int d = 0; d < 4; d++) banned |= id + d < n ? (uint32_t)how->banned[id + d] << 8 * d : 0;
    return banned;
}
FV_DEVICE bool is_banned(uint32_t banned, int d) { return (banned >> 8 * d & 0xff) != 0; }

FV_DEVICE bool is_shaped(const row_plan *how) { return how->top_k > 0 || how->top_p < 1; }

FV_GLOBAL_OF(cool_share, job, THREADS, 4) {
    FV_BLOCK_SHARED float room[LOGITS_GROUPS];
    int64_t i = FV_BLOCK / j.shares, first = FV_BLOCK % j.shares * LOGITS_SHARE;
    const row_plan *how = j.plan + j.first + i;
    fv_four x[LOGITS_FOURS];
    float max = fv_share_cool(x, j.logits + i * j.vocabulary, first, j.vocabulary, how->temperature), allowed = FV_MINUS_INFINITY;
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++) {
        uint32_t banned = banned_at(how, fv_share_id(first, k), j.vocabulary);
        for (int d = 0; d < 4; d++) allowed = is_banned(banned, d) ? allowed : fv_max(x[k].v[d], allowed);
    }
    max = fv_block_max(room, max, THREADS), allowed = fv_block_max(room, allowed, THREADS);
    if (FV_THREAD == 0) j.share[FV_BLOCK].max = max, j.allowed[FV_BLOCK] = allowed;
}

FV_GLOBAL_OF(chain_row, job, CHAIN_THREADS, 4) {
    FV_BLOCK_SHARED fv_chain_room room;
    float max = fv_largest(room.largest, &j.share[FV_BLOCK * j.shares].max, j.shares, SHARE_STRIDE, CHAIN_THREADS);
    fv_softmax s = fv_softmax_of_chains(&room, j.logits + FV_BLOCK * j.vocabulary, j.vocabulary, max);
    if (FV_THREAD == 0) j.softmax[FV_BLOCK] = s;
}

/* ---- a block together ---- */

/* The sum of some weights and their number (exact in a double). */
typedef struct {
    double sum, count;
} amount;

/* Where threads meet: a number of each, and of each sixteen. */
typedef struct {
    double thread[THREADS], sum[LOGITS_GROUPS], count[LOGITS_GROUPS];
    float room[LOGITS_GROUPS];
} meeting;

FV_DEVICE int64_t begin_of(int64_t n, int span, int spans) { return n * span / spans; }

/* The sum over all threads, in a fixed order; everybody gets it. m->sum has those of sixteen threads each. */
FV_DEVICE amount meet(meeting *m, amount mine) {
    amount all = {0, 0};
    mine.sum = fv_dsum(mine.sum), mine.count = fv_dsum(mine.count);
    FV_SYNC(); /* what was there before has been read */
    if (FV_THREAD % FV_LANES == 0) m->sum[FV_THREAD / FV_LANES] = mine.sum, m->count[FV_THREAD / FV_LANES] = mine.count;
    FV_SYNC();
    for (int g = 0; g < LOGITS_GROUPS; g++) all.sum += m->sum[g], all.count += m->count[g];
    return all;
}

/* The sum of a share's weights; and in bf16 what the softmax is made of. */
FV_GLOBAL_OF(weigh_share, job, THREADS, 4) {
    FV_BLOCK_SHARED meeting m;
    int64_t i = FV_BLOCK / j.shares, first = FV_BLOCK % j.shares * LOGITS_SHARE;
    const row_plan *how = j.plan + j.first + i;
    fv_four x[LOGITS_FOURS], e[LOGITS_FOURS];
    fv_share_read(x, j.logits + i * j.vocabulary, first, j.vocabulary, 0);
    float allowed = fv_largest(m.room, j.allowed + i * j.shares, j.shares, 1, THREADS);
    float max = j.of_shares ? fv_largest(m.room, &j.share[i * j.shares].max, j.shares, SHARE_STRIDE, THREADS) : allowed;
    fv_share_exp(e, x, max);
    if (j.of_shares) fv_share_sum(j.share + FV_BLOCK, m.room, e, x, max, first, j.vocabulary);
    if (how->greedy) return;
    if (max != allowed) fv_share_exp(e, x, allowed);
    amount mine = {0, 0};
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++) {
        int64_t id = fv_share_id(first, k);
        uint32_t banned = banned_at(how, id, j.vocabulary);
        for (int d = 0; d < 4; d++) {
            if (is_banned(banned, d) || id + d >= j.vocabulary) e[k].v[d] = 0;
            mine.sum += e[k].v[d];
        }
        if (is_shaped(how) && id < j.padded) *(fv_four *)(j.weight + i * j.padded + id) = e[k];
    }
    mine = meet(&m, mine);
    if (FV_THREAD == 0) j.mass[FV_BLOCK] = mine.sum;
}

/* ---- top-k and top-p: a block has a row's weights, n in whole fours ---- */

/* The weights whose bits are at least `key`. */
FV_DEVICE amount amount_from(const float *weight, int64_t n, fv_i16 key, meeting *m) {
    amount mine = {0, 0};
#pragma unroll 4
    for (int64_t v = 4 * FV_THREAD; v < n; v += 4 * THREADS) {
        fv_four w = *(const fv_four *)(weight + v);
        for (int d = 0; d < 4; d++)
            if (w.v[d] > 0 && fv_bits(w.v[d]) >= key) mine.sum += w.v[d], mine.count += 1;
    }
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
    for (int64_t v = FV_THREAD; v < n; v += THREADS)
        if (!(weight[v] > 0) || fv_bits(weight[v]) < key) weight[v] = 0;
    FV_SYNC();
    if (most >= equal) return;
    int64_t begin = begin_of(n, FV_THREAD, THREADS), end = begin_of(n, FV_THREAD + 1, THREADS); /* in their order: a thread's are neighbours */
    double mine = 0, before = 0;
    for (int64_t v = begin; v < end; v++) mine += fv_bits(weight[v]) == key;
    m->thread[FV_THREAD] = mine;
    FV_SYNC();
    for (int t = 0; t < FV_THREAD; t++) before += m->thread[t];
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

FV_GLOBAL_OF(shape_row, job, THREADS, 2) {
    FV_BLOCK_SHARED meeting m;
    const row_plan *how = j.plan + j.first + FV_BLOCK;
    float *weight = j.weight + FV_BLOCK * j.padded;
    if (how->greedy || !is_shaped(how)) return;
    keep_top(weight, j.padded, how, &m);
    for (int64_t s = 0; s < j.shares; s++) { /* what is left of each */
        amount mine = {0, 0};
#pragma unroll
        for (int k = 0; k < LOGITS_FOURS; k++) {
            int64_t id = fv_share_id(s * LOGITS_SHARE, k);
            for (int d = 0; d < 4 && id < j.padded; d++) mine.sum += weight[id + d];
        }
        mine = meet(&m, mine);
        if (FV_THREAD == 0) j.mass[FV_BLOCK * j.shares + s] = mine.sum;
    }
}

/* ---- drawing: one thread gets the id, the others -1; all do where there is none ---- */

/* The first of a share's ids that this thread has where they are in their order, and four of them. */
FV_DEVICE int64_t own_id(int64_t share, int k) { return share * LOGITS_SHARE + 4 * (FV_THREAD * LOGITS_FOURS + k); }

/* The smallest id of the largest logit among those that may be drawn. */
FV_DEVICE int64_t greedy(const job *j, const row_plan *how, const float *row, const float *allowed, meeting *m) {
    float max = fv_largest(m->room, allowed, j->shares, 1, THREADS), back = FV_MINUS_INFINITY;
    for (int64_t s = FV_THREAD; s < j->shares; s += THREADS) back = fv_max(allowed[s] == max ? -(float)s : back, back);
    back = fv_block_max(m->room, back, THREADS);
    if (!(back <= 0 && back > FV_MINUS_INFINITY)) return -1;
    int64_t share = (int64_t)-back, id = -1;
#pragma unroll
    for (int k = LOGITS_FOURS - 1; k >= 0; k--) {
        fv_four x = fv_four_at(row, own_id(share, k), j->vocabulary, 0);
        uint32_t banned = banned_at(how, own_id(share, k), j->vocabulary);
        for (int d = 3; d >= 0; d--)
            if (own_id(share, k) + d < j->vocabulary && !is_banned(banned, d) && x.v[d] == max) id = own_id(share, k) + d;
    }
    float first = id < 0 ? FV_MINUS_INFINITY : -(float)FV_THREAD;
    return fv_block_max(m->room, first, THREADS) == first ? id : -1;
}

/* Goes on with the sum `before` over a list until it passes the goal: where it does, or the last place that has something; -1 if none has. *before is then what lies before it. */
FV_DEVICE int64_t passes_at(const double *list, int64_t n, double goal, double *before) {
    int64_t found = -1;
    double sum = *before;
#pragma unroll 1
    for (int64_t i = 0; i < n && !(sum > goal); i++) {
        if (!(list[i] > 0)) continue;
        found = i, *before = sum, sum += list[i];
    }
    return found;
}

/* The id at which the sum of the weights, in order of ids, passes the uniform number's part of the whole: first its share, then the thread, then the id. */
FV_DEVICE int64_t draw(const job *j, const row_plan *how, const float *row, const float *weight, const float *allowed, const double *mass, meeting *m) {
    float max = fv_largest(m->room, allowed, j->shares, 1, THREADS);
    amount mine = {0, 0};
    for (int64_t s = FV_THREAD; s < j->shares; s += THREADS) mine.sum += mass[s];
    double goal = how->uniform * meet(m, mine).sum, sum = 0;
    int64_t share = passes_at(mass, j->shares, goal, &sum), id = -1;
    if (share < 0) return -1;

    fv_four w[LOGITS_FOURS];
    mine.sum = 0;
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++) {
        int64_t at = own_id(share, k);
        uint32_t banned = banned_at(how, at, j->vocabulary);
        w[k] = fv_four_at(is_shaped(how) ? weight : row, at, j->vocabulary, 0);
        for (int d = 0; d < 4; d++) {
            if (!is_shaped(how)) w[k].v[d] = is_banned(banned, d) || at + d >= j->vocabulary ? 0 : fv_exp(fv_sub(w[k].v[d], max));
            mine.sum += w[k].v[d];
        }
    }
    m->thread[FV_THREAD] = mine.sum;
    meet(m, mine);
    int group = (int)passes_at(m->sum, LOGITS_GROUPS, goal, &sum);
    if (group < 0 || FV_THREAD != group * FV_LANES + passes_at(m->thread + group * FV_LANES, FV_LANES, goal, &sum)) return -1;
#pragma unroll
    for (int k = 0; k < LOGITS_FOURS; k++)
        for (int d = 0; d < 4; d++)
            if (w[k].v[d] > 0 && !(sum > goal)) id = own_id(share, k) + d, sum += w[k].v[d];
    return id;
}

FV_GLOBAL_OF(draw_row, job, THREADS, 2) {
    FV_BLOCK_SHARED meeting m;
    const row_plan *how = j.plan + j.first + FV_BLOCK;
    const float *row = j.logits + FV_BLOCK * j.vocabulary, *allowed = j.allowed + FV_BLOCK * j.shares;
    const fv_share *share = j.share + FV_BLOCK * j.shares;
    fv_softmax s;
    if (j.of_shares) s = fv_softmax_of_shares(share, j.shares, fv_largest(m.room, &share->max, j.shares, SHARE_STRIDE, THREADS));
    else s = j.softmax[FV_BLOCK];
    int64_t id = how->greedy ? greedy(&j, how, row, allowed, &m)
                             : draw(&j, how, row, j.weight + FV_BLOCK * j.padded, allowed, j.mass + FV_BLOCK * j.shares, &m);
    drawn *out = j.out + j.first + FV_BLOCK;
    if (FV_THREAD == 0) out->id = -1, out->logp = fv_from_bits(0x7fc00000), out->entropy = s.entropy;
    FV_SYNC();
    if (id >= 0) out->id = (int32_t)id, out->logp = fv_logits_logp(row, id, s.max, s.log_sum);
}

/* ---- on the host ---- */

/* Bans are mostly one list, the same at every step, which stays on the card. Any number of others, each that follows itself once, go there for this call. */
static const uint8_t *stage_banned(const fv_exec *x, const uint8_t *banned, int64_t vocabulary, bool first) {
    if (banned == NULL || first) return (const uint8_t *)fv_cuda_stage(x, banned, (size_t)vocabulary);
    void *device = fv_arena_numbers(x->scratch, (size_t)vocabulary);
    fv_cuda_upload(device, banned, (size_t)vocabulary);
    return (const uint8_t *)device;
}

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
        else p->banned = stage_banned(x, how[r].banned, vocabulary, r == 0);
    }
    return (const row_plan *)fv_cuda_stage(x, plan, (size_t)rows * sizeof *plan);
}

/* id -1 (log-prob NaN) says that every id was banned, that there was no number to draw by, or that the card failed. */
static void sample_by(const fv_products *by, const fv_exec *x, int32_t *id, float *logp, float *entropy, fv_view hidden, fv_head head, const fv_sampling *how) {
    fv_arena_mark mark = fv_arena_here(x->scratch);
    int64_t rows = fv_rows(hidden), step = fv_logits_rows(2 * head.weight.shape[0], rows);
    job j = {0};
    j.vocabulary = head.weight.shape[0];
    j.padded = (j.vocabulary + 3) / 4 * 4, j.shares = fv_blocks_of(j.vocabulary, LOGITS_SHARE), j.of_shares = by->of_shares;
    j.logits = FV_NUMBERS(x->scratch, step * j.vocabulary), j.weight = FV_NUMBERS(x->scratch, step * j.padded);
    j.share = (fv_share *)fv_arena_numbers(x->scratch, (size_t)(step * j.shares) * sizeof *j.share);
    j.allowed = FV_NUMBERS(x->scratch, step * j.shares), j.mass = (double *)fv_arena_numbers(x->scratch, (size_t)(step * j.shares) * sizeof *j.mass);
    j.softmax = (fv_softmax *)fv_arena_numbers(x->scratch, (size_t)step * sizeof *j.softmax);
    j.out = (drawn *)fv_arena_numbers(x->scratch, (size_t)rows * sizeof *j.out);
    j.plan = stage_plan(x, how, rows, j.vocabulary);
    bool shaped = false;
    for (int64_t r = 0; r < rows; r++) shaped = shaped || how[r].top_k > 0 || how[r].top_p < 1;
    for (; j.first < rows; j.first += step) {
        j.rows = rows - j.first < step ? rows - j.first : step;
        fv_logits(by, x, j.logits, hidden, j.first, j.rows, head);
        fv_cuda_begin("sample", hidden, head.weight);
        FV_LAUNCH(cool_share, j.rows * j.shares, THREADS, 0, j);
        if (!j.of_shares) FV_LAUNCH(chain_row, j.rows, CHAIN_THREADS, 0, j);
        FV_LAUNCH(weigh_share, j.rows * j.shares, THREADS, 0, j);
        if (shaped) FV_LAUNCH(shape_row, j.rows, THREADS, 0, j);
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
