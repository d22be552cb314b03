/* Drawing tokens: greedy, bans, top-k, top-p against a plain sort, frequencies, and the log-prob that training computes. */
#include "core/ops.h"
#include "core/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_TABLES = 4, VOCABULARY = 41, WIDTH = 8, ROWS = 33 };

typedef struct {
    const fv_ops *ops[MAX_TABLES];
    int tables;
    fv_exec exec;
    float weight[VOCABULARY * WIDTH], hidden[ROWS * WIDTH];
    void *packed[MAX_TABLES];
} fixture;

static fv_head head_of(const fixture *f, int table) {
    union { const float *read; float *any; } w = {.read = f->weight};
    return (fv_head){fv_mat(w.any, VOCABULARY, WIDTH), f->packed[table]};
}

static int open_fixture(void **state) {
    fixture *f = calloc(1, sizeof *f);
    f->tables = fv_ops_cpu_all(f->ops, MAX_TABLES);
    f->exec.scratch = fv_arena_new(0);
    if (fv_pool_open(&f->exec.pool, 2, NULL) != FV_OK) return -1;
    fv_random r = fv_random_stream(8);
    for (int i = 0; i < VOCABULARY * WIDTH; i++) f->weight[i] = (float)fv_normal(&r);
    for (int i = 0; i < ROWS * WIDTH; i++) f->hidden[i] = (float)fv_normal(&r);
    memcpy(f->weight + 30 * WIDTH, f->weight + 12 * WIDTH, WIDTH * sizeof(float)); /* a tie: ids 12 and 30 */
    for (int t = 0; t < f->tables; t++) {
        fv_head head = head_of(f, t);
        f->packed[t] = aligned_alloc(64, (f->ops[t]->linear_packed_bytes(head.weight) + 127) / 64 * 64);
        f->ops[t]->linear_pack(&f->exec, f->packed[t], head.weight);
    }
    *state = f;
    return 0;
}

static int close_fixture(void **state) {
    fixture *f = *state;
    for (int t = 0; t < f->tables; t++) free(f->packed[t]);
    fv_pool_close(f->exec.pool);
    fv_arena_free(f->exec.scratch);
    free(f);
    return 0;
}

/* All log-probs [ROWS, VOCABULARY] at a temperature, by asking `logprob` for every id; and the entropies. */
static void all_logps(fixture *f, int table, float temperature, float *logp, float *entropy) {
    float lse[2 * ROWS], warm[ROWS], one[ROWS];
    int32_t target[ROWS];
    for (int r = 0; r < ROWS; r++) warm[r] = temperature;
    for (int v = 0; v < VOCABULARY; v++) {
        for (int r = 0; r < ROWS; r++) target[r] = v;
        f->ops[table]->logprob(&f->exec, fv_vec(one, ROWS), fv_vec(entropy, ROWS), fv_mat(lse, ROWS, 2), fv_mat(f->hidden, ROWS, WIDTH), head_of(f, table),
                               fv_ints(target, ROWS), fv_vec(warm, ROWS));
        for (int r = 0; r < ROWS; r++) logp[r * VOCABULARY + v] = one[r];
    }
}

static void sample(fixture *f, int table, const fv_sampling *how, int32_t *id, float *logp, float *entropy) {
    f->ops[table]->sample(&f->exec, id, logp, entropy, fv_mat(f->hidden, ROWS, WIDTH), head_of(f, table), how);
}

static void greedy_takes_the_smallest_of_the_largest(void **state) {
    fixture *f = *state;
    float logp[ROWS * VOCABULARY], entropy[ROWS], got_logp[ROWS], got_entropy[ROWS];
    uint8_t banned[VOCABULARY] = {0};
    banned[12] = 1; /* id 30 has the same logit and takes its place */
    for (int t = 0; t < f->tables; t++) {
        all_logps(f, t, 1.0f, logp, entropy);
        for (int ban = 0; ban < 2; ban++) {
            fv_sampling how[ROWS];
            int32_t id[ROWS];
            for (int r = 0; r < ROWS; r++) how[r] = (fv_sampling){.banned = ban ? banned : NULL, .top_p = 1};
            sample(f, t, how, id, got_logp, got_entropy);
            for (int r = 0; r < ROWS; r++) {
                int best = -1;
                for (int v = 0; v < VOCABULARY; v++)
                    if (!(ban && banned[v]) && (best < 0 || logp[r * VOCABULARY + v] > logp[r * VOCABULARY + best])) best = v;
                assert_int_equal(id[r], best);
                assert_memory_equal(&got_logp[r], &logp[r * VOCABULARY + best], sizeof(float));
                assert_memory_equal(&got_entropy[r], &entropy[r], sizeof(float));
            }
        }
    }
}

/* ---- a plain reference: sort, cut, walk ------------------------------------------------------------------------------------- */

static const float *order_by;
static int more_probable(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    if (order_by[x] != order_by[y]) return order_by[x] > order_by[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

/* How much probability each id has for `how`, from log-probs of the whole vocabulary. */
static void allowed(const float *logp, const fv_sampling *how, double p[VOCABULARY]) {
    int order[VOCABULARY], n = 0;
    double total = 0, sum = 0, rest = 0;
    for (int v = 0; v < VOCABULARY; v++) {
        p[v] = 0;
        if (!(how->banned && how->banned[v])) order[n++] = v;
    }
    order_by = logp;
    qsort(order, (size_t)n, sizeof order[0], more_probable);
    if (how->top_k > 0 && how->top_k < n) n = how->top_k;
    for (int i = 0; i < n; i++) total += exp(logp[order[i]]);
    for (int i = 0; i < n && (i == 0 || sum < how->top_p * total); i++) sum += p[order[i]] = exp(logp[order[i]]);
    for (int v = 0; v < VOCABULARY; v++) rest += p[v];
    for (int v = 0; v < VOCABULARY; v++) p[v] /= rest;
}

static void draws_follow_the_cut_distribution(void **state) {
    fixture *f = *state;
    uint8_t banned[VOCABULARY] = {0};
    banned[3] = banned[12] = banned[40] = 1;
    const fv_sampling settings[] = {
        {.temperature = 1, .top_p = 1}, {.temperature = 0.7f, .top_p = 0.8f}, {.temperature = 1.3f, .top_p = 1, .top_k = 5},
        {.temperature = 1, .top_p = 0.6f, .top_k = 7, .banned = banned}, {.temperature = 0.25f, .top_p = 0.0f}, {.temperature = 2, .top_p = 1, .banned = banned},
    };
    float logp[ROWS * VOCABULARY], entropy[ROWS], got_logp[ROWS], got_entropy[ROWS];
    for (size_t s = 0; s < FV_COUNT(settings); s++)
        for (int round = 0; round < 40; round++) {
            all_logps(f, 0, settings[s].temperature, logp, entropy);
            fv_sampling how[ROWS];
            int32_t id[MAX_TABLES][ROWS];
            for (int r = 0; r < ROWS; r++) how[r] = settings[s], how[r].key = 100 + s, how[r].position = (uint64_t)(round * ROWS + r);
            for (int t = 0; t < f->tables; t++) {
                sample(f, t, how, id[t], got_logp, got_entropy);
                assert_memory_equal(id[t], id[0], sizeof id[0]);
            }
            for (int r = 0; r < ROWS; r++) {
                double p[VOCABULARY], before = 0;
                allowed(logp + r * VOCABULARY, &how[r], p);
                int v = id[0][r];
                for (int i = 0; i < v; i++) before += p[i];
                double u = fv_uniform_at(how[r].key, how[r].position); /* falls into the drawn id's part of [0, 1) */
                assert_true(p[v] > 0 && u >= before - 1e-6 && u <= before + p[v] + 1e-6);
                assert_memory_equal(&got_logp[r], &logp[r * VOCABULARY + v], sizeof(float));
                assert_memory_equal(&got_entropy[r], &entropy[r], sizeof(float));
            }
        }
}

static void nothing_to_draw(void **state) {
    fixture *f = *state;
    uint8_t banned[VOCABULARY];
    memset(banned, 1, sizeof banned);
    fv_sampling how[ROWS];
    int32_t id[ROWS];
    float logp[ROWS], entropy[ROWS];
    for (int r = 0; r < ROWS; r++) how[r] = (fv_sampling){.temperature = (float)(r % 2), .top_p = r % 3 ? 1.0f : 0.5f, .banned = banned};
    sample(f, 0, how, id, logp, entropy);
    for (int r = 0; r < ROWS; r++) assert_true(id[r] == -1 && isnan(logp[r]));
}

/* ---- the vocabulary's second pass ---------------------------------------------------------------------------------------------- */

typedef struct {
    const float *want;
    int64_t next;
} watcher;

static void watch(void *context, int64_t row, int64_t rows, int64_t col, int64_t cols, const float *logp) {
    watcher *w = context;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) assert_memory_equal(logp + r * cols + c, w->want + (row + r) * VOCABULARY + col + c, sizeof(float));
    assert_int_equal(row * VOCABULARY + col, w->next);
    w->next += rows * cols;
}

static void vocabulary_pass_sees_every_logp(void **state) {
    fixture *f = *state;
    static float want[ROWS * VOCABULARY];
    float entropy[ROWS], logp[ROWS], lse[2 * ROWS], warm[ROWS];
    int32_t target[ROWS] = {0};
    for (int r = 0; r < ROWS; r++) warm[r] = 0.9f;
    all_logps(f, 0, 0.9f, want, entropy);
    for (int t = 0; t < f->tables; t++) {
        watcher w = {want, 0};
        fv_view hidden = fv_mat(f->hidden, ROWS, WIDTH), stats = fv_mat(lse, ROWS, 2);
        f->ops[t]->logprob(&f->exec, fv_vec(logp, ROWS), fv_none, stats, hidden, head_of(f, t), fv_ints(target, ROWS), fv_vec(warm, ROWS));
        f->ops[t]->vocabulary(&f->exec, stats, hidden, head_of(f, t), fv_vec(warm, ROWS), watch, &w);
        assert_int_equal(w.next, ROWS * VOCABULARY);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_smallest_of_the_largest), cmocka_unit_test(draws_follow_the_cut_distribution),
        cmocka_unit_test(nothing_to_draw), cmocka_unit_test(vocabulary_pass_sees_every_logp),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
