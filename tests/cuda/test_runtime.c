/* The host's side of the CUDA back end on the stand-in: memory that is kept, transfers through the ring, errors that come late, memory that runs out, and
 * kernels whose threads take their turns in any order. */
#include "tests/cuda/hosted.h"
#include "tests/cuda/stood_in.h"

#include <stdlib.h>

static void blocks_are_kept_and_cleared(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 512, 100000, (size_t)3 << 20};
    static const char dirt[64] = {1, 2, 3};
    for (size_t i = 0; i < FV_COUNT(sizes); i++) {
        char *first = take(sizes[i]), back[64];
        ops->upload(first, dirt, sizes[i] < 64 ? sizes[i] : 64);
        ops->free(first);
        size_t before = fv_stand_in_allocations();
        char *again = take(sizes[i]);
        assert_ptr_equal(again, first);
        assert_int_equal(fv_stand_in_allocations(), before);
        memset(back, 1, sizeof back);
        ops->download(back, again, sizes[i] < 64 ? sizes[i] : 64);
        for (size_t k = 0; k < sizes[i] && k < 64; k++) assert_int_equal(back[k], 0);
        void *other = take(sizes[i]);
        assert_ptr_not_equal(other, again);
        ops->free(again);
        ops->free(other);
    }
    ops->free(NULL);
}

/* The host's memory may change as soon as an upload returns, though the card has done nothing yet; the ring (16 MiB) goes round more than once. */
static void transfers_are_the_callers_at_once(void **state) {
    (void)state;
    enum { PIECE = 5000003, PIECES = 9 };
    char *data = take((size_t)PIECE * PIECES), *host = malloc((size_t)PIECE * PIECES), *want = malloc((size_t)PIECE * PIECES);
    for (size_t i = 0; i < (size_t)PIECE * PIECES; i++) want[i] = (char)(i * 2654435761u >> 13);
    for (int i = 0; i < PIECES; i++) {
        memcpy(host, want + (size_t)i * PIECE, PIECE);
        ops->upload(data + (size_t)i * PIECE, host, PIECE);
        memset(host, 0x55, PIECE);
    }
    ops->download(host, data, (size_t)PIECE * PIECES);
    assert_memory_equal(host, want, (size_t)PIECE * PIECES);
    fv_exec x = {0};
    ops->clear(&x, data + 7, 20);
    ops->download(host, data, 40);
    for (int i = 0; i < 40; i++) assert_int_equal(host[i], i < 7 || i >= 27 ? want[i] : 0);
    ops->free(data);
    free(host), free(want);
}

/* Pinned memory is an operand like any other, and goes both ways through the ring. */
static void the_hosts_memory_is_an_operand(void **state) {
    (void)state;
    enum { N = 5000 };
    float a[N], b[N];
    void *host, *card = take(sizeof a);
    fv_error err;
    fv_exec x = {.scratch = fv_ops_arena(ops, 0)};
    for (int i = 0; i < N; i++) a[i] = (float)i, b[i] = 0.5f;
    assert_int_equal(ops->alloc_host(&host, sizeof a, &err), FV_OK);
    assert_false(fv_stand_in_owns(host));
    fv_view there = on_card(host, N), here = on_card(card, N);
    assert_true(ops->dot(&x, there, there) == 0); /* cleared */
    ops->upload(host, a, sizeof a);
    ops->upload(card, b, sizeof b);
    ops->axpy(&x, there, 2, here);
    ops->axpy(&x, here, 1, there);
    ops->download(a, host, sizeof a);
    ops->download(b, card, sizeof b);
    for (int i = 0; i < N; i++) assert_true(a[i] == (float)i + 1 && b[i] == (float)i + 1.5f);
    ops->free(host);
    ops->free(card);
    fv_arena_free(x.scratch);
}

/* What is staged again is not copied again, unless it has changed; what other bytes take the place of was read before. */
static void what_is_staged_again_is_there(void **state) {
    (void)state;
    enum { MANY = 200, N = 3000, LARGE = 100000, KEPT = 40000 };
    static int32_t host[1][N], large[LARGE];
    float *data = take(N * sizeof *data), back[N];
    fv_exec x = {.scratch = fv_ops_arena(ops, 0)};
    int32_t out[N];
    for (int i = 0; i < N; i++) host[0][i] = i;
    size_t before = fv_stand_in_copies();
    const int32_t *first = fv_cuda_stage(&x, host[0], sizeof host[0]);
    assert_true(fv_stand_in_owns(first) && fv_stand_in_copies() == before + 1);
    assert_ptr_equal(fv_cuda_stage(&x, host[0], sizeof host[0]), first);
    assert_ptr_not_equal(fv_cuda_stage(&x, host[0], sizeof host[0] - 4), first);
    assert_int_equal(fv_stand_in_copies(), before + 2);
    host[0][N - 1] = -7;
    const int32_t *changed = fv_cuda_stage(&x, host[0], sizeof host[0]);
    assert_ptr_not_equal(changed, first);
    ops->download(out, changed, sizeof out);
    assert_true(out[0] == 0 && out[N - 1] == -7);
    ops->download(out, first, sizeof out);
    assert_int_equal(out[N - 1], N - 1);
    fv_view row = on_card(data, N), sums = on_card(take(N * sizeof(float)), N);
    before = fv_stand_in_copies();
    for (int i = 0; i < MANY; i++) { /* more than there are places, all at one address: each is read by an operation before another takes its place */
        float weight[N];
        for (int k = 0; k < N; k++) weight[k] = (float)(i + k % 13);
        ops->upload(data, weight, sizeof weight);
        const float *staged = fv_cuda_stage(&x, weight, sizeof weight);
        ops->axpy(&x, sums, 1, on_card(staged, N));
        ops->axpy(&x, sums, -1, row);
    }
    ops->download(back, sums.data, sizeof back);
    for (int k = 0; k < N; k++) assert_true(back[k] == 0);
    assert_int_equal(fv_stand_in_copies(), before + 2 * MANY + 1);
    for (int i = 0; i < LARGE; i++) large[i] = i;
    before = fv_stand_in_copies();
    fv_arena_mark mark = fv_arena_here(x.scratch);
    for (int i = 0; i < 2; i++) assert_true(fv_stand_in_owns(fv_cuda_stage(&x, large, sizeof large)));
    fv_arena_release(x.scratch, mark);
    assert_int_equal(fv_stand_in_copies(), before + 2); /* too large to be kept */
    const void *places[MANY];
    for (int i = 0; i < MANY; i++) { /* before a launch: none takes the place of another */
        places[i] = fv_cuda_stage(&x, large + i % 20, KEPT * sizeof *large);
        for (int k = 0; k < i && k < 20; k++) assert_true(i % 20 == k || places[i] != places[k]);
    }
    before = fv_stand_in_copies();
    assert_ptr_equal(fv_cuda_stage(&x, large, KEPT * sizeof *large), places[0]);
    assert_int_equal(fv_stand_in_copies(), before);
    fv_arena_release(x.scratch, mark);
    assert_null(fv_cuda_stage(&x, NULL, 8));
    ops->free(data);
    ops->free(sums.data);
    fv_arena_free(x.scratch);
}

static void running_out_of_memory_is_an_error(void **state) {
    (void)state;
    void *kept = take((size_t)4 << 20);
    ops->free(kept); /* kept by the pool, not by the card: another size may have it */
    fv_stand_in_memory(((size_t)6 << 20));
    void *data;
    fv_error err;
    assert_int_equal(ops->alloc(&data, (size_t)1 << 40, &err), FV_NO_MEMORY);
    assert_null(data);
    assert_non_null(strstr(err.text, "cuda: cudaMalloc: 1048577 MiB are needed"));
    size_t room = ops->room(); /* of which kept blocks are part */
    kept = take((size_t)4 << 20);
    assert_int_equal(ops->room(), room - ((size_t)4 << 20));
    ops->free(kept);
    assert_int_equal(ops->room(), room);
    assert_int_equal(ops->alloc(&data, SIZE_MAX - 1, &err), FV_NO_MEMORY);
    assert_int_equal(ops->check(&err), FV_OK); /* nothing is lost by it */
    fv_stand_in_memory((size_t)1 << 30);
    data = take((size_t)5 << 20);
    ops->free(data);
    fv_stand_in_memory((size_t)4 << 30);
}

/* A kernel's failure shows at the next call that waits, and tells what had been asked for. It stays: this is the last test of the card. */
static void errors_come_late_and_stay(void **state) {
    (void)state;
    fv_exec x = {.scratch = fv_ops_arena(ops, 0)};
    float *data = take(100 * sizeof *data), back[3] = {7, 7, 7}, logp[1], entropy[1];
    int32_t id[1] = {5};
    fv_stand_in_fail(1);
    ops->add(&x, fv_vec(data, 100), fv_vec(data, 100), fv_vec(data, 100));
    ops->scale(&x, fv_vec(data, 100), 2);
    assert_true(fv_cuda_well()); /* nothing has run yet */
    ops->download(back, data, sizeof back);
    assert_true(back[0] == 0 && back[2] == 0);
    fv_error err;
    assert_int_equal(ops->check(&err), FV_IO);
    static const char want[] = "cuda: cudaStreamSynchronize, 0 bytes: an illegal memory access was encountered (cudaErrorIllegalAddress); operations asked for, "
                               "the latest first: scale [100] [], add [100] [100]";
    assert_int_equal(strncmp(err.text, want, sizeof want - 1), 0);
    ops->scale(&x, fv_vec(data, 100), 2);
    fv_head head = {fv_mat(data, 10, 4), data};
    ops->sample(&x, id, logp, entropy, fv_mat(data, 1, 4), head, &(fv_sampling){.temperature = 1, .top_p = 1});
    assert_true(id[0] == -1 && logp[0] != logp[0]);
    void *more;
    assert_int_equal(ops->alloc(&more, 10, &err), FV_IO);
    assert_null(more);
    fv_arena_free(x.scratch);
}

/* Row sums, block meetings and tiles come out the same whichever thread goes first: a barrier that is missing would show. */
static void turns_change_nothing(void **state) {
    (void)state;
    enum { ROWS = 70, K = 33, N = 70 };
    const fv_ops *tables[4];
    assert_int_equal(fv_hosted_tables(tables, 4), 2);
    static float in[ROWS * K], w[N * K], want[ROWS * N], y[ROWS * N], packed[128 * K], logp[ROWS], entropy[ROWS];
    for (int i = 0; i < ROWS * K; i++) in[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < N * K; i++) w[i] = (float)(i * 53 % 97) / 48 - 1;
    fv_sampling how[ROWS];
    int32_t id[2][ROWS];
    for (int r = 0; r < ROWS; r++) how[r] = (fv_sampling){.temperature = (float)(r % 3), .top_p = 0.7f, .top_k = r % 2 ? 9 : 0, .position = (uint64_t)r};
    fv_exec none = {.scratch = fv_arena_new(0)};
    for (uint64_t seed = 0; seed < 6; seed++) {
        fv_stand_in_order(seed * 0x9E3779B97F4A7C15u);
        tables[1]->linear_pack(&none, packed, fv_mat(w, N, K));
        tables[1]->linear(&none, &(fv_linear_map){.y = fv_mat(y, ROWS, N), .w = fv_mat(w, N, K), .packed = packed}, 1, fv_mat(in, ROWS, K));
        if (seed == 0) memcpy(want, y, sizeof want);
        assert_memory_equal(y, want, sizeof want);
        tables[1]->sample(&none, id[seed > 0], logp, entropy, fv_mat(in, ROWS, K), (fv_head){fv_mat(w, N, K), packed}, how);
        assert_memory_equal(id[seed > 0], id[0], sizeof id[0]);
    }
    fv_stand_in_order(0);
    fv_arena_free(none.scratch);
}

/* Products in bf16 whose tiles go through their ring of stages again and again: a stage that is given back too early, or read too early, would show. */
static void stages_hold_in_any_order(void **state) {
    (void)state;
    enum { ROWS = 70, K = 330, N = 150 };
    const fv_ops *bf16;
    fv_error err;
    assert_int_equal(fv_cuda_table(&bf16, FV_PRECISION_BF16, &err), FV_OK);
    static float in[ROWS * K], w[N * K], want[ROWS * N], got[ROWS * N];
    for (int i = 0; i < ROWS * K; i++) in[i] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < N * K; i++) w[i] = (float)(i * 53 % 97) / 48 - 1;
    fv_exec x = {.scratch = fv_ops_arena(bf16, 0)};
    float *y = take(sizeof got), *card_in = take(sizeof in), *card_w = take(sizeof w);
    void *packed = take(bf16->linear_packed_bytes(fv_mat(w, N, K)));
    bf16->upload(card_in, in, sizeof in);
    bf16->upload(card_w, w, sizeof w);
    for (uint64_t seed = 0; seed < 4; seed++) {
        fv_stand_in_order(seed * 0x9E3779B97F4A7C15u);
        bf16->linear_pack(&x, packed, fv_mat(card_w, N, K));
        bf16->linear(&x, &(fv_linear_map){.y = fv_mat(y, ROWS, N), .w = fv_mat(card_w, N, K), .packed = packed}, 1, fv_mat(card_in, ROWS, K));
        bf16->download(got, y, sizeof got);
        if (seed == 0) memcpy(want, got, sizeof want);
        assert_memory_equal(got, want, sizeof want);
    }
    fv_stand_in_order(0);
    ops->free(y), ops->free(card_in), ops->free(card_w), ops->free(packed);
    fv_arena_free(x.scratch);
}

/* Attention on tensor cores and its way back: a barrier that is missing, or a tile that is read while the next one is brought, would show. A prompt and two answers that branch off within a page. */
static void attention_holds_in_any_order(void **state) {
    (void)state;
    enum { PROMPT = 75, OWN = 9, ROWS = PROMPT + 2 * OWN, HEADS = 2, DIM = 72, PAGES = 9, PAGE = DIM * FV_PAGE };
    static const int32_t run_row[] = {0, PROMPT, PROMPT + OWN, ROWS}, run_page[] = {0, 5, 11, 17}, pages[] = {0, 1, 2, 3, 4, 0, 1, 2, 3, 5, 6, 0, 1, 2, 3, 7, 8};
    static int32_t limit[ROWS];
    static float numbers[4][ROWS * HEADS * DIM], panels[2][PAGES * PAGE], want[3][ROWS * HEADS * DIM], grads[2][2][PAGES * PAGE], stats[ROWS * HEADS * 2];
    const fv_ops *bf16;
    assert_int_equal(fv_hosted_bf16_tables(&bf16, 1), 1);
    for (int r = 0; r < ROWS; r++) limit[r] = r < PROMPT ? r + 1 : PROMPT + (r - PROMPT) % OWN + 1;
    for (int i = 0; i < 2 * ROWS * HEADS * DIM; i++) numbers[i / (ROWS * HEADS * DIM)][i % (ROWS * HEADS * DIM)] = (float)(i * 37 % 101) / 50 - 1;
    for (int i = 0; i < 2 * PAGES * PAGE; i++) panels[i / (PAGES * PAGE)][i % (PAGES * PAGE)] = (float)(i * 53 % 97) / 48 - 1;
    fv_attention a = {.rows = ROWS, .heads = HEADS, .kv_heads = 1, .head_dim = DIM, .scale = 0.1f, .runs = 3, .run_row = run_row, .run_page = run_page, .pages = pages, .limit = limit};
    fv_view keys = {.data = panels[0], .rank = 4, .shape = {PAGES, 1, DIM, FV_PAGE}}, values = {.data = panels[1], .rank = 4, .shape = {PAGES, 1, FV_PAGE, DIM}};
    fv_exec none = {.scratch = fv_arena_new(0)};
    for (uint64_t seed = 0; seed < 4; seed++) {
        fv_view out = fv_mat(seed ? numbers[2] : want[0], ROWS, HEADS * DIM), dq = fv_mat(seed ? numbers[3] : want[1], ROWS, HEADS * DIM), dkeys = keys, dvalues = values;
        dkeys.data = grads[seed > 0][0], dvalues.data = grads[seed > 0][1];
        memset(dq.data, 0, sizeof want[1]), memset(dkeys.data, 0, sizeof panels[0]), memset(dvalues.data, 0, sizeof panels[1]);
        fv_stand_in_order(seed * 0x9E3779B97F4A7C15u);
        fv_view q = fv_mat(numbers[0], ROWS, HEADS * DIM), s = fv_mat(stats, ROWS, HEADS * 2);
        bf16->attention(&none, out, s, q, keys, values, &a);
        bf16->attention_back(&none, dq, dkeys, dvalues, fv_mat(numbers[1], ROWS, HEADS * DIM), out, s, q, keys, values, &a);
        if (!seed) continue;
        assert_memory_equal(out.data, want[0], sizeof want[0]);
        assert_memory_equal(dq.data, want[1], sizeof want[1]);
        assert_memory_equal(grads[1], grads[0], sizeof grads[0]);
    }
    fv_stand_in_order(0);
    fv_arena_free(none.scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_kept_and_cleared), cmocka_unit_test(transfers_are_the_callers_at_once), cmocka_unit_test(what_is_staged_again_is_there),
        cmocka_unit_test(the_hosts_memory_is_an_operand), cmocka_unit_test(running_out_of_memory_is_an_error), cmocka_unit_test(turns_change_nothing),
        cmocka_unit_test(stages_hold_in_any_order), cmocka_unit_test(attention_holds_in_any_order),
        cmocka_unit_test(errors_come_late_and_stay),
    };
    return cmocka_run_group_tests(tests, open_card, NULL);
}
