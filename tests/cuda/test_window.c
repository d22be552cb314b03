/* Launches in the window of the CUDA back end, on the stand-in: windows that are seen again become graphs, what has changed in them is seen, copies keep their order, and
 * errors are told late, once, and by their calls' names. */
#include "tests/cuda/stood_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SUMS = 1000, ROWS_ADDED = 12 };

/* What a pass works on. */
typedef struct {
    fv_exec x;
    float *sums, *rows; /* the card's: [SUMS], [2 * ROWS_ADDED][SUMS]; row r has r + 1 everywhere */
} field;

static field open_field(void) {
    field f = {.x = {.scratch = fv_ops_arena(ops, 0)}, .sums = take(SUMS * sizeof(float)), .rows = take((size_t)2 * ROWS_ADDED * SUMS * sizeof(float))};
    static float row[SUMS];
    for (int r = 0; r < 2 * ROWS_ADDED; r++) {
        for (int i = 0; i < SUMS; i++) row[i] = (float)(r + 1);
        ops->upload(f.rows + r * SUMS, row, sizeof row);
    }
    return f;
}

static void close_field(field *f) {
    ops->free(f->sums), ops->free(f->rows);
    fv_arena_free(f->x.scratch);
}

/* What is to be in the sums: the first n have all, the others what was added to all of them. */
static void assert_sums(const field *f, int n, float first, float others) {
    float back[SUMS];
    ops->download(back, f->sums, sizeof back);
    for (int i = 0; i < SUMS; i++) assert_true(back[i] == (i < n ? first : others));
}

/* Zeros, rows from `from` on, of which the one at `odd` is taken twice and that only for the first n numbers, and a scaling. */
static void add_rows(const field *f, int from, int odd, int n) {
    float all = 0, more = 0;
    ops->clear(&f->x, f->sums, SUMS * sizeof(float));
    for (int r = 0; r < ROWS_ADDED; r++) {
        ops->axpy(&f->x, on_card(f->sums, r == odd ? n : SUMS), r == odd ? 2 : 1, on_card(f->rows + (from + r) * SUMS, r == odd ? n : SUMS));
        *(r == odd ? &more : &all) += (float)(r == odd ? 2 : 1) * (float)(from + r + 1);
    }
    float factor = from ? 0.25f : 0.5f;
    ops->scale(&f->x, on_card(f->sums, SUMS), factor);
    assert_sums(f, n, (all + more) * factor, all * factor);
}

/* What has happened since `before`. */
static void assert_happened(fv_cuda_launches before, int plain, int graphs, int made, int updated) {
    fv_cuda_launches now = fv_cuda_counts();
    assert_int_equal(now.plain - before.plain, plain);
    assert_int_equal(now.graphs - before.graphs, graphs);
    assert_int_equal(now.made - before.made, made);
    assert_int_equal(now.updated - before.updated, updated);
}

static void what_repeats_becomes_a_graph(void **state) {
    (void)state;
    field f = open_field();
    fv_cuda_flush();
    fv_cuda_launches c = fv_cuda_counts();
    add_rows(&f, 0, 3, 400);
    assert_happened(c, 1, 0, 0, 0);
    add_rows(&f, 0, 3, 400);
    assert_happened(c, 1, 1, 1, 0);
    add_rows(&f, 0, 3, 400);
    assert_happened(c, 1, 2, 1, 0);
    add_rows(&f, 0, 3, 999); /* other blocks of one entry */
    assert_happened(c, 1, 3, 1, 1);
    add_rows(&f, 0, 5, 999); /* other arguments of two */
    assert_happened(c, 1, 4, 1, 3);
    c = fv_cuda_counts();
    add_rows(&f, ROWS_ADDED, 5, 999); /* of too many: as another layer's */
    assert_happened(c, 1, 0, 0, 0);
    add_rows(&f, ROWS_ADDED, 5, 999);
    assert_happened(c, 1, 1, 1, 0);
    add_rows(&f, 0, 5, 999); /* both are there */
    add_rows(&f, ROWS_ADDED, 5, 999);
    assert_happened(c, 1, 3, 1, 0);
    c = fv_cuda_counts();
    for (int i = 0; i < 3; i++) { /* the same kernels in another order are another graph */
        ops->clear(&f.x, f.sums, SUMS * sizeof(float));
        ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(f.rows, SUMS));
        ops->scale(&f.x, on_card(f.sums, SUMS), 0.5f);
        for (int r = 1; r < ROWS_ADDED; r++) ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(f.rows, SUMS));
        assert_sums(&f, SUMS, 0.5f + ROWS_ADDED - 1, 0);
    }
    assert_happened(c, 1, 2, 1, 0);
    c = fv_cuda_counts();
    for (int i = 0; i < 3; i++) { /* zeros of other sizes and places */
        for (int r = 0; r < ROWS_ADDED; r++) ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(f.rows, SUMS));
        ops->clear(&f.x, f.sums + i, (size_t)(SUMS - 2 * i) * sizeof(float));
        ops->download(&(float){0}, f.sums, sizeof(float));
        ops->clear(&f.x, f.sums, (size_t)i * sizeof(float));
        ops->clear(&f.x, f.sums + SUMS - i, (size_t)i * sizeof(float));
        assert_sums(&f, SUMS, 0, 0);
    }
    assert_happened(c, 1 + 2, 2, 1, 1); /* few launches are none */
    close_field(&f);
}

/* A pass of many launches goes in windows, each of which repeats; what is launched plainly in between has the same results. */
static void long_passes_are_many_graphs(void **state) {
    (void)state;
    enum { LAUNCHES = 1000 };
    field f = open_field();
    fv_cuda_launches c = {0};
    for (int i = 0; i < 5; i++) {
        fv_cuda_plainly(i == 3);
        fv_cuda_flush();
        c = fv_cuda_counts();
        ops->clear(&f.x, f.sums, SUMS * sizeof(float));
        for (int r = 1; r < LAUNCHES; r++) ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(f.rows + r % 17 * SUMS, SUMS));
        if (i == 0) assert_true(fv_cuda_counts().plain > c.plain); /* the card has begun */
        float want = 0;
        for (int r = 1; r < LAUNCHES; r++) want += (float)(r % 17 + 1);
        assert_sums(&f, SUMS, want, 0);
        assert_int_equal(fv_cuda_counts().launches - c.launches, LAUNCHES);
        if (i == 3) assert_happened(c, LAUNCHES, 0, 0, 0);
    }
    fv_cuda_launches now = fv_cuda_counts();
    assert_true(now.plain == c.plain && now.graphs - c.graphs == (LAUNCHES + 127) / 128 && now.updated == c.updated);
    close_field(&f);
}

/* An upload comes after the launches that were asked for before it, whether it goes over what they read, what they write, or memory that is given back meanwhile. */
static void uploads_come_in_order(void **state) {
    (void)state;
    static float ones[SUMS], twos[SUMS];
    field f = open_field();
    for (int i = 0; i < SUMS; i++) ones[i] = 1, twos[i] = 2;
    for (int round = 0; round < 4; round++) {
        ops->upload(f.sums, ones, sizeof ones);
        ops->upload(f.rows, ones, sizeof ones);
        for (int i = 0; i < 20; i++) ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(f.rows, SUMS)); /* 21 */
        ops->upload(f.rows, twos, sizeof twos);
        for (int i = 0; i < 20; i++) ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(f.rows, SUMS)); /* 61 */
        ops->upload(f.sums, ones, 10 * sizeof *ones);
        void *gone = take(SUMS * sizeof(float));
        ops->upload(gone, twos, sizeof twos);
        ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(gone, SUMS)); /* 63; 3 */
        ops->free(gone);
        assert_ptr_equal(take(SUMS * sizeof(float)), gone); /* and cleared */
        ops->axpy(&f.x, on_card(f.sums, SUMS), 1, on_card(gone, SUMS));
        assert_sums(&f, 10, 3, 63);
        ops->free(gone);
    }
    close_field(&f);
}

/* Staged bytes go ahead of the window, so a place is not taken while a kernel that waits there reads it; and from pass to pass an address has the same place, so that graphs stay as they are. */
static void staged_places_are_not_taken_early(void **state) {
    (void)state;
    enum { MANY = 300, N = 500, PASSES = 4 };
    static float weight[N], more[N], lone[N];
    const void *place[3], *address[64] = {0};
    field f = open_field();
    fv_view sums = on_card(f.sums, N);
    float want = 0;
    ops->clear(&f.x, f.sums, SUMS * sizeof(float));
    for (int i = 0; i < MANY; i++) { /* more than there are places and entries, all at one address, and nothing waits for the card in between */
        for (int k = 0; k < N; k++) weight[k] = (float)(i + 1);
        const float *staged = fv_cuda_stage(&f.x, weight, sizeof weight);
        for (int k = 0; k < 1 + i % 3; k++) ops->axpy(&f.x, sums, 1, on_card(staged, N));
        want += (float)((1 + i % 3) * (i + 1));
    }
    assert_sums(&f, N, want, 0);
    fv_cuda_launches c = {0};
    for (int pass = 0; pass < PASSES; pass++) {
        if (pass == 2) c = fv_cuda_counts();
        ops->clear(&f.x, f.sums, SUMS * sizeof(float));
        want = 0;
        for (int i = 0; i < 3; i++) {
            for (int k = 0; k < N; k++) weight[k] = (float)(10 * pass + i + 1000), more[k] = (float)pass;
            const float *staged = fv_cuda_stage(&f.x, weight, sizeof weight), *other = fv_cuda_stage(&f.x, more, sizeof more);
            if (pass == 0) place[i] = staged;
            else assert_ptr_equal(staged, place[i]);
            assert_true(i == 0 || place[i] != place[i - 1]);
            for (int k = 0; k < 3; k++) ops->axpy(&f.x, sums, 1, on_card(staged, N)), ops->axpy(&f.x, sums, 1, on_card(other, N));
            want += (float)(3 * (11 * pass + i + 1000));
        }
        assert_sums(&f, N, want, 0);
    }
    assert_happened(c, 0, 2, 0, 0);
    /* Bytes with the address of others; a kernel that has their address alone. */
    address[7] = fv_cuda_stage(&f.x, lone, sizeof lone);
    const float *leads = fv_cuda_stage(&f.x, address, sizeof address);
    ops->axpy(&f.x, on_card(f.sums, 1), 0, on_card(leads, 1));
    lone[0] = -1;
    assert_ptr_not_equal(fv_cuda_stage(&f.x, lone, sizeof lone), address[7]);
    ops->axpy(&f.x, on_card(f.sums, 1), 0, on_card(f.rows, 1));
    fv_cuda_flush();
    lone[0] = -2;
    assert_ptr_equal(fv_cuda_stage(&f.x, lone, sizeof lone), address[7]);
    /* An operation that asks for more than there are gets the rest from its scratch. */
    static int32_t lists[100][4];
    const int32_t *staged[100];
    for (int i = 0; i < 100; i++) lists[i][0] = i, staged[i] = fv_cuda_stage(&f.x, lists[i], sizeof lists[i]);
    for (int i = 0; i < 100; i++) {
        int32_t back = -1;
        ops->download(&back, staged[i], sizeof back);
        assert_int_equal(back, i);
    }
    close_field(&f);
}

/* Sequence `number` of launches, whose results say in which order they ran. */
static void run_sequence(const field *f, int number) {
    float want = 1;
    fv_view one = on_card(f->sums, 1);
    ops->upload(f->sums, &want, sizeof want);
    for (int bit = 0; bit < 9; bit++) {
        if (number >> bit & 1) ops->scale(&f->x, one, 2);
        else ops->axpy(&f->x, one, 1, on_card(f->rows, 1));
        want = number >> bit & 1 ? 2 * want : want + 1;
    }
    float got;
    ops->download(&got, f->sums, sizeof got);
    assert_true(got == want);
}

static void the_oldest_graphs_go(void **state) {
    (void)state;
    enum { SEQUENCES = 300 };
    field f = open_field();
    fv_cuda_launches c = fv_cuda_counts();
    for (int n = 0; n < SEQUENCES; n++)
        for (int again = 0; again < 3; again++) run_sequence(&f, n);
    assert_int_equal(fv_cuda_counts().made - c.made, SEQUENCES);
    int graphs = fv_stand_in_graphs();
    assert_true(graphs < SEQUENCES);
    c = fv_cuda_counts();
    for (int n = SEQUENCES - graphs; n < SEQUENCES; n++) run_sequence(&f, n);
    assert_happened(c, 0, graphs, 0, 0);
    for (int n = 0; n < SEQUENCES; n++) run_sequence(&f, n);
    assert_int_equal(fv_stand_in_graphs(), graphs);
    /* A graph of the same kernels that was not given for long serves others, and what it had is remembered. */
    enum { CHANGED = 3 + 1 + ROWS_ADDED + 1 };
    static const int rows[] = {0, 0, 5, 5, -1, 9, 9, 0, 9}, happened[][4] = {{1, 0, 0, 0}, {0, 1, 1, 0}, {1, 0, 0, 0}, {0, 1, 1, 0}, {0}, {1, 0, 0, 0}, {0, 1, 0, CHANGED}, {0, 1, 0, CHANGED}, {0, 1, 0, 0}};
    for (size_t pass = 0; pass < FV_COUNT(rows); pass++) {
        for (int i = 0; rows[pass] < 0 && i < 200; i++) run_sequence(&f, SEQUENCES - 1);
        if (rows[pass] < 0) continue;
        c = fv_cuda_counts();
        for (int k = 0; k < 3; k++) ops->scale(&f.x, on_card(f.sums, SUMS), (float)rows[pass]);
        ops->clear(&f.x, f.sums, (size_t)(SUMS - rows[pass]) * sizeof(float));
        add_rows(&f, rows[pass], 2, 700);
        assert_happened(c, happened[pass][0], happened[pass][1], happened[pass][2], happened[pass][3]);
        assert_int_equal(fv_stand_in_graphs(), graphs);
    }
    close_field(&f);
}

/* ---- errors ---- */

/* In a process of its own: what fails there stays there. */
static void in_a_child(void (*what)(int number), int number) {
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        what(number);
        _exit(0);
    }
    int status = -1;
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void must(bool true_there, const char *what, const char *text) {
    if (true_there) return;
    fprintf(stderr, "%s: %s\n", what, text);
    _exit(1);
}

static const struct {
    const char *call, *want;
    int odd; /* of a second pass: another than in the first is an update */
} refused[] = {
    {"cudaLaunchKernel", "cuda: cudaLaunchKernel for kernel axpy_numbers of ", 3},
    {"cudaGraphCreate", "cuda: cudaGraphCreate, 0 bytes: ", 3},
    {"cudaGraphAddKernelNode", "cuda: cudaGraphAddKernelNode for kernel axpy_numbers of ", 3},
    {"cudaGraphAddMemsetNode", "cuda: cudaGraphAddMemsetNode for zeros, 4000 bytes: ", 3},
    {"cudaGraphInstantiate", "cuda: cudaGraphInstantiate, ", 3},
    {"cudaGraphExecKernelNodeSetParams", "cuda: cudaGraphExecKernelNodeSetParams for kernel axpy_numbers of ", 4},
    {"cudaGraphLaunch", "cuda: cudaGraphLaunch of 15 launches that begin with zeros", 3},
};

/* The first error is told by every check from then on, in the same words; nothing is launched after it. */
static void refuse_one(int number) {
    field f = open_field();
    fv_error err, again;
    fv_stand_in_refuse(refused[number].call, 0);
    fv_cuda_flush();
    for (int pass = 0; pass < 3; pass++) {
        ops->clear(&f.x, f.sums, SUMS * sizeof(float));
        for (int r = 0; r < ROWS_ADDED; r++) ops->axpy(&f.x, on_card(f.sums, SUMS), pass == 2 && r == refused[number].odd ? 2 : 1, on_card(f.rows + r * SUMS, SUMS));
        for (int i = 0; i < 2; i++) ops->scale(&f.x, on_card(f.sums, SUMS), 0.5f); /* other launches than in the tests before */
        must(fv_cuda_well() || pass > 0, "an error before the window is given", refused[number].call);
        if (ops->check(&err) != FV_OK) break;
    }
    must(!fv_cuda_well() && err.status == FV_IO, "no error", refused[number].call);
    must(strncmp(err.text, refused[number].want, strlen(refused[number].want)) == 0, refused[number].want, err.text);
    must(strstr(err.text, "operations asked for, the latest first: scale [1000] [], scale [1000] [], axpy") != NULL, "operations", err.text);
    fv_cuda_launches c = fv_cuda_counts();
    ops->scale(&f.x, on_card(f.sums, SUMS), 0.5f);
    must(ops->check(&again) == FV_IO && strcmp(again.text, err.text) == 0, "another error", again.text);
    must(fv_cuda_counts().launches == c.launches, "a launch after the error", "");
}

/* A kernel of a graph that fails is told of when the host waits, as any other. */
static void fail_in_a_graph(int number) {
    (void)number;
    field f = open_field();
    fv_error err;
    for (int pass = 0; pass < 3; pass++) add_rows(&f, 0, 3, 400);
    fv_stand_in_fail(5);
    fv_cuda_launches c = fv_cuda_counts();
    for (int r = 0; r < 1000; r++) ops->scale(&f.x, on_card(f.sums, SUMS), 1);
    must(fv_cuda_well() && fv_cuda_counts().plain > c.plain, "an error before the host waits", "");
    must(ops->check(&err) == FV_IO && strncmp(err.text, "cuda: cudaStreamSynchronize, 0 bytes: an illegal memory access", 40) == 0, "the error", err.text);
}

/* Without memory for graphs, launches go on one by one; where there is none for a block, graphs give theirs back. */
static void no_room_for_graphs(int number) {
    (void)number;
    field f = open_field();
    fv_error err;
    add_rows(&f, 0, 3, 400);
    fv_stand_in_memory(0);
    fv_cuda_launches c = fv_cuda_counts();
    for (int i = 0; i < 3; i++) {
        for (int r = 0; r < 100; r++) ops->scale(&f.x, on_card(f.sums, SUMS), 1);
        must(ops->check(&err) == FV_OK, "no room for graphs", err.text);
    }
    must(fv_cuda_counts().plain == c.plain + 3 && fv_cuda_counts().made == c.made, "a graph without memory", "");
    void *data;
    must(fv_stand_in_graphs() > 0 && ops->alloc(&data, (size_t)1 << 40, &err) == FV_NO_MEMORY && fv_stand_in_graphs() == 0, "graphs are kept", err.text);
    for (int i = 0; i < 2; i++) add_rows(&f, 0, 3, 400);
    must(fv_stand_in_graphs() == 1, "no graph again", "");
}

static void errors_name_the_call(void **state) {
    (void)state;
    for (size_t i = 0; i < FV_COUNT(refused); i++) in_a_child(refuse_one, (int)i);
    in_a_child(fail_in_a_graph, 0);
    in_a_child(no_room_for_graphs, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_repeats_becomes_a_graph), cmocka_unit_test(long_passes_are_many_graphs), cmocka_unit_test(uploads_come_in_order),
        cmocka_unit_test(staged_places_are_not_taken_early), cmocka_unit_test(errors_name_the_call), cmocka_unit_test(the_oldest_graphs_go),
    };
    return cmocka_run_group_tests(tests, open_card, NULL);
}
