/* cuda_products [small]: that an element of a product in bf16 has the same bits in every kind of tile, by wgmma and by mma.sync, for every number of rows
 * and at every place, alone and in one launch with others, and that they are right. On numbers that are alike, and on rows of mixed magnitudes, subnormals, and terms that cancel. Ends with 1
 * where anything differs. `small`: for the stand-in and for compute-sanitizer. Needs no library but the C library's (tests/cuda/on_card.sh). */
#include "cuda/products.h"
#include "cuda/cuda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { FORWARD, BACK_INPUT, BACK_WEIGHT } mode;
static const char *const mode_names[] = {"forward", "back_input", "back_weight"};

/* A product, on both sides. a is [outputs, k], b [tokens, k]; turned ones are the other way round. */
typedef struct {
    mode mode;
    int64_t outputs, tokens, k;
    float *a, *b, *bias, *first, *got; /* the host's; first, got [tokens, outputs] */
    void *packed;                      /* a as a weight, on the card */
    float *card_a, *card_b, *card_bias, *card_y;
} product;

static const fv_ops *ops;
static fv_exec exec;
static int failures;

static void must(fv_status s, const fv_error *err) {
    if (s == FV_OK) return;
    fprintf(stderr, "%s\n", err->text);
    exit(s == FV_UNSUPPORTED ? 77 : 1);
}

static float uniform(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(*state >> 32) * 0x1p-31f;
}

static uint16_t as_bf16(float x) {
    uint16_t h;
    fv_from_f32(&h, FV_BF16, &x, 1);
    return h;
}
static float of_bf16(uint16_t h) {
    float x;
    fv_to_f32(&x, &h, FV_BF16, 1);
    return x;
}

/* By row, or by column where k goes down: all alike; magnitudes 2^-20 to 2^20; subnormals; every second number nearly the one before, negative. */
static float *numbers(uint64_t seed, int64_t rows, int64_t cols, bool turned, bool wild) {
    float *x = malloc((size_t)(rows * cols) * sizeof *x), before = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        int how = wild ? (int)((turned ? i % cols : i / cols) % 4) : 0;
        float u = uniform(&seed);
        if (how == 1) u = ldexpf(u, (int)(seed >> 20 & 63) % 41 - 20);
        if (how == 2) u = of_bf16((uint16_t)(as_bf16(u) & 0x807f));
        if (how == 3 && i % 2) u = of_bf16((uint16_t)((as_bf16(before) ^ 0x8000) + (seed >> 20) % 2));
        before = x[i] = u;
    }
    return x;
}

static float *to_card(const float *x, int64_t n) {
    void *data;
    fv_error err;
    must(ops->alloc(&data, (size_t)n * sizeof *x, &err), &err);
    if (x) ops->upload(data, x, (size_t)n * sizeof *x);
    return data;
}

static product open_product(mode m, int64_t outputs, int64_t tokens, int64_t k, bool wild) {
    product p = {.mode = m, .outputs = outputs, .tokens = tokens, .k = k};
    p.a = m == FORWARD ? numbers(1, outputs, k, false, wild) : numbers(1, k, outputs, true, wild);
    p.b = m == BACK_WEIGHT ? numbers(2, k, tokens, true, wild) : numbers(2, tokens, k, false, wild);
    p.bias = numbers(3, 1, outputs, false, false);
    p.first = calloc((size_t)(tokens * outputs), sizeof *p.first);
    p.got = calloc((size_t)(tokens * outputs), sizeof *p.got);
    p.card_a = to_card(p.a, outputs * k), p.card_b = to_card(p.b, tokens * k), p.card_bias = to_card(p.bias, outputs);
    p.card_y = to_card(NULL, tokens * outputs);
    fv_view w = m == FORWARD ? fv_mat(p.card_a, outputs, k) : fv_mat(p.card_a, k, outputs);
    p.packed = to_card(NULL, (int64_t)(ops->linear_packed_bytes(w) / sizeof(float)));
    ops->linear_pack(&exec, p.packed, w);
    return p;
}

static void close_product(product *p) {
    void *const card[] = {p->card_a, p->card_b, p->card_bias, p->card_y, p->packed};
    for (size_t i = 0; i < FV_COUNT(card); i++) ops->free(card[i]);
    free(p->a), free(p->b), free(p->bias), free(p->first), free(p->got);
}

/* Which way: a kind of tile of wgmma; CHOSEN, what fv_multiply takes; MMA. */
enum { CHOSEN = -1, MMA = -2 };

/* `tokens` rows of b from `from` on into p->got. False: this kind does not take it. */
static bool run(product *p, int way, int64_t from, int64_t tokens, const float *bias, bool fresh) {
    fv_arena_mark mark = fv_arena_here(exec.scratch);
    fv_product q = {.outputs = p->outputs, .tokens = tokens, .k = p->k, .y = p->card_y, .fresh = fresh, .bias = bias ? fv_vec((float *)(uintptr_t)bias, p->outputs) : fv_none};
    q.a_turned = p->mode != FORWARD, q.b_turned = p->mode == BACK_WEIGHT;
    q.a = q.b_turned ? fv_input_blocks(&exec, fv_mat(p->card_a, p->k, p->outputs), fv_whole_rows(p->k)) : fv_weight_blocks(p->packed, p->mode == FORWARD ? p->k : p->outputs);
    if (q.b_turned) q.b = fv_input_blocks(&exec, fv_mat(p->card_b, p->k, tokens), fv_whole_rows(p->k));
    else q.b = fv_input_blocks(&exec, fv_mat(p->card_b + from * p->k, tokens, p->k), q.a_turned ? fv_whole_rows(tokens) : fv_token_rows(tokens));
    size_t bytes = (size_t)(p->tokens * p->outputs) * sizeof *p->got;
    for (int64_t i = 0; i < p->tokens * p->outputs; i++) p->got[i] = 7.5f; /* what is not written shows */
    ops->upload(p->card_y, p->got, bytes);
    bool taken = true;
    if (way == MMA) fv_multiply_mma(&q, 1);
    else if (way == CHOSEN) fv_multiply(&q, 1);
    else taken = fv_multiply_wgmma(&q, 1, way);
    ops->download(p->got, p->card_y, bytes);
    fv_error err;
    must(ops->check(&err), &err);
    fv_arena_release(exec.scratch, mark);
    return taken;
}

static void fail(const product *p, int way, const char *what, int64_t t, int64_t o, double got, double want) {
    if (failures++ < 20)
        printf("%s, outputs %lld tokens %lld k %lld, %s: %s at token %lld output %lld: %.9g, want %.9g\n", mode_names[p->mode], (long long)p->outputs, (long long)p->tokens,
               (long long)p->k, way == MMA ? "mma.sync" : way == CHOSEN ? "chosen" : fv_wgmma_tile(way), what, (long long)t, (long long)o, got, want);
}

/* p->got has, in its first rows, the bits of `p->first`'s rows from `from` on, and what it had in the rows after them. */
static void compare(const product *p, int way, int64_t from, int64_t tokens, const char *what) {
    for (int64_t i = 0; i < p->tokens * p->outputs; i++) {
        float want = i < tokens * p->outputs ? p->first[from * p->outputs + i] : 7.5f;
        if (memcmp(&p->got[i], &want, sizeof want) == 0) continue;
        fail(p, way, i < tokens * p->outputs ? what : "written beyond its rows", i / p->outputs, i % p->outputs, (double)p->got[i], (double)want);
        return;
    }
}

/* p->first against sums in double of the rounded numbers: a term's error is at most that of its addition to a sum of some 2^-22 of all sizes. */
static void check_right(product *p, double *worst) {
    for (int64_t t = 0; t < p->tokens; t += p->tokens > 70 ? 17 : 1)
        for (int64_t o = 0; o < p->outputs; o += p->outputs > 200 ? 13 : 1) {
            double sum = 0, size = 0;
            for (int64_t l = 0; l < p->k; l++) {
                float a = p->mode == FORWARD ? p->a[o * p->k + l] : p->a[l * p->outputs + o], b = p->mode == BACK_WEIGHT ? p->b[l * p->tokens + t] : p->b[t * p->k + l];
                double term = (double)of_bf16(as_bf16(a)) * (double)of_bf16(as_bf16(b));
                sum += term, size += fabs(term);
            }
            double got = (double)p->first[t * p->outputs + o], error = fabs(got - sum) / (size + 0x1p-120);
            if (error > *worst) *worst = error;
            if (!(error < 1e-5)) fail(p, MMA, "a wrong sum", t, o, got, sum);
        }
}

/* Starts: a bias, and what is there. */
static void check_starts(product *p, int way) {
    size_t n = (size_t)(p->tokens * p->outputs);
    run(p, way, 0, p->tokens, p->card_bias, true);
    for (size_t i = 0; i < n; i++)
        if (p->got[i] != p->bias[i % (size_t)p->outputs] + p->first[i]) fail(p, way, "a bias", (int64_t)i / p->outputs, (int64_t)i % p->outputs, (double)p->got[i], (double)p->first[i]);
    run(p, way, 0, p->tokens, NULL, false);
    for (size_t i = 0; i < n; i++)
        if (p->got[i] != 7.5f + p->first[i]) fail(p, way, "an addition", (int64_t)i / p->outputs, (int64_t)i % p->outputs, (double)p->got[i], (double)p->first[i]);
}

static int check_product(mode m, int64_t outputs, int64_t tokens, int64_t k, bool wild, bool rows) {
    static const int64_t counts[] = {1, 7, 8, 9, 17, 33, 64, 65, 100}, shifts[] = {0, 5};
    product p = open_product(m, outputs, tokens, k, wild);
    double worst = 0;
    int ways = 1;
    run(&p, MMA, 0, tokens, NULL, true);
    memcpy(p.first, p.got, (size_t)(tokens * outputs) * sizeof *p.first);
    check_right(&p, &worst);
    for (int kind = 0; fv_wgmma_runs() && fv_wgmma_tile(kind); kind++) {
        if (!run(&p, kind, 0, tokens, NULL, true)) continue;
        compare(&p, kind, 0, tokens, "other bits than mma.sync");
        ways++;
        for (size_t c = 0; rows && m == FORWARD && c < FV_COUNT(counts); c++)
            if (counts[c] < tokens && run(&p, kind, 5 % (tokens - counts[c]), counts[c], NULL, true)) compare(&p, kind, 5 % (tokens - counts[c]), counts[c], "other bits for fewer rows");
    }
    for (size_t c = 0; rows && m != BACK_WEIGHT && c < FV_COUNT(counts); c++)
        for (size_t s = 0; s < FV_COUNT(shifts) && counts[c] + shifts[s] <= tokens; s++)
            for (int way = MMA; way <= CHOSEN; way++) {
                run(&p, way, shifts[s], counts[c], NULL, true);
                compare(&p, way, shifts[s], counts[c], "other bits for fewer rows");
            }
    check_starts(&p, CHOSEN);
    check_starts(&p, MMA);
    printf("%-11s outputs %5lld tokens %5lld k %5lld %s: %2d ways, largest error %.1e of the sum of sizes\n", mode_names[m], (long long)outputs, (long long)tokens, (long long)k,
           wild ? "wild " : "alike", ways, worst);
    close_product(&p);
    return ways;
}

/* Products of one b in one launch, whose weights are parts of p's: each has the bits of the whole's outputs. */
enum { PARTS = 3 };

static bool run_together(product *p, int way, const int64_t *outputs, void *const *packed) {
    fv_arena_mark mark = fv_arena_here(exec.scratch);
    fv_blocks b = fv_input_blocks(&exec, fv_mat(p->card_b, p->tokens, p->k), fv_token_rows(p->tokens));
    fv_product q[PARTS];
    bool taken = true;
    for (int64_t i = 0, at = 0; i < PARTS; at += outputs[i++])
        q[i] = (fv_product){.a = fv_weight_blocks(packed[i], p->k), .b = b, .outputs = outputs[i], .tokens = p->tokens, .k = p->k, .y = p->card_y + p->tokens * at, .fresh = true,
                            .bias = fv_vec(p->card_bias + at, outputs[i])};
    if (way == MMA) fv_multiply_mma(q, PARTS);
    else if (way == CHOSEN) fv_multiply(q, PARTS);
    else taken = fv_multiply_wgmma(q, PARTS, way);
    ops->download(p->got, p->card_y, (size_t)(p->tokens * p->outputs) * sizeof *p->got);
    fv_error err;
    must(ops->check(&err), &err);
    fv_arena_release(exec.scratch, mark);
    return taken;
}

static void check_together(const int64_t *outputs, int64_t tokens, int64_t k) {
    product p = open_product(FORWARD, outputs[0] + outputs[1] + outputs[2], tokens, k, true);
    void *packed[PARTS];
    int ways = 0;
    run(&p, MMA, 0, tokens, p.card_bias, true);
    memcpy(p.first, p.got, (size_t)(tokens * p.outputs) * sizeof *p.first);
    for (int64_t i = 0, at = 0; i < PARTS; at += outputs[i++]) {
        fv_view w = fv_mat(p.card_a + at * k, outputs[i], k);
        packed[i] = to_card(NULL, (int64_t)(ops->linear_packed_bytes(w) / sizeof(float)));
        ops->linear_pack(&exec, packed[i], w);
    }
    for (int way = MMA; way < 0 || (fv_wgmma_runs() && fv_wgmma_tile(way)); way++) {
        if (!run_together(&p, way, outputs, packed)) continue;
        ways++;
        for (int64_t i = 0, at = 0; i < PARTS; at += outputs[i++])
            for (int64_t e = 0; e < tokens * outputs[i]; e++) {
                float got = p.got[tokens * at + e], want = p.first[e / outputs[i] * p.outputs + at + e % outputs[i]];
                if (memcmp(&got, &want, sizeof got)) fail(&p, way, "other bits together", e / outputs[i], at + e % outputs[i], (double)got, (double)want);
            }
    }
    printf("together    outputs %lld + %lld + %lld tokens %lld k %lld: %d ways\n", (long long)outputs[0], (long long)outputs[1], (long long)outputs[2], (long long)tokens, (long long)k, ways);
    for (int i = 0; i < PARTS; i++) ops->free(packed[i]);
    close_product(&p);
}

/* Few tokens go into tiles of their own: every kind has its turn by some number of tokens. */
static void check_all(bool small) {
    static const int64_t few[] = {3, 12, 30, 50};
    for (int wild = 0; wild < 2; wild++) {
        for (size_t i = 0; i < FV_COUNT(few); i++) check_product(FORWARD, small ? 70 : 2560, few[i], small ? 256 : 2048, wild, false);
        check_product(FORWARD, small ? 150 : 2568, small ? 130 : 1030, small ? 200 : 2040, wild, true);
        check_product(BACK_INPUT, small ? 150 : 2056, small ? 67 : 530, small ? 72 : 1100, wild, true);
        check_product(BACK_WEIGHT, small ? 150 : 2056, small ? 67 : 530, small ? 72 : 1100, wild, true);
    }
    check_product(FORWARD, 5, 3, 1, false, false);
    for (size_t i = 0; i < FV_COUNT(few); i++) check_together(small ? (const int64_t[]){70, 16, 33} : (const int64_t[]){2048, 256, 264}, few[i], small ? 256 : 2048);
    check_together(small ? (const int64_t[]){150, 70, 16} : (const int64_t[]){2048, 264, 256}, small ? 130 : 1030, small ? 200 : 2040);
}

int main(int argc, char **argv) {
    fv_error err;
    must(fv_cuda_table(&ops, FV_PRECISION_BF16, &err), &err);
    exec.scratch = fv_ops_arena(ops, 0);
    check_all(argc > 1 && !strcmp(argv[1], "small"));
    printf(failures ? "%d differences\n" : "an element has the same bits in every way\n", failures);
    fv_arena_free(exec.scratch);
    return failures != 0;
}
