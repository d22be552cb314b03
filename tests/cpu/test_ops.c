/* Every operation that works row by row, in one table and one loop. For each case:
 *   - PyTorch's numbers, forward and backward (tests/cpu/data/ops.json, made by tests/peers/ops_torch.py);
 *   - finite differences of a random projection, summed in double;
 *   - the same bits for every batch size, thread count and instruction set, also of gradients that several calls add up. */
#include "core/ops.h"
#include "core/random.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- cases ----------------------------------------------------------------------------------------------------------------- */

/* SEEN is input that wants a gradient, once a row or once altogether (WHOLE); RESULT has a gradient coming in; KEPT has none. */
typedef enum { NONE, SEEN, WHOLE, RESULT, KEPT, CONSTANT, INTEGER } role;

typedef struct {
    const char *name;
    role role;
    int64_t size;       /* numbers a row; altogether for WHOLE */
    int32_t low, high;  /* INTEGER: drawn from [low, high) */
} field;

enum { FIELDS = 8, MAX_THREADS = 3, MAX_TABLES = 4, ROWS = 64 };

typedef struct bag {
    const struct op_case *c;
    const fv_ops *ops;
    fv_exec exec;
    int64_t rows;
    float *data[FIELDS], *grad[FIELDS];
    int32_t *ints[FIELDS];
} bag;

typedef struct op_case {
    const char *name;
    field fields[FIELDS];
    void (*forward)(bag *b), (*back)(bag *b);
    fv_activation f;
} op_case;

static int find(const bag *b, const char *name) {
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++)
        if (strcmp(b->c->fields[i].name, name) == 0) return i;
    fail_msg("%s has no field %s", b->c->name, name);
    return 0;
}

static fv_view view_of(const bag *b, float *data, int i) {
    const field *f = &b->c->fields[i];
    return f->role == WHOLE ? fv_vec(data, f->size) : fv_mat(data, b->rows, f->size);
}

static fv_view V(const bag *b, const char *name) { return view_of(b, b->data[find(b, name)], find(b, name)); }
static fv_view D(const bag *b, const char *name) { return view_of(b, b->grad[find(b, name)], find(b, name)); }
static fv_view I(const bag *b, const char *name) {
    int i = find(b, name);
    return fv_ints(b->ints[i], b->rows * b->c->fields[i].size);
}
static fv_view table_of(fv_view v, int64_t cols) { return fv_mat(fv_f32(v), fv_elements(v) / cols, cols); }

static void rms_forward(bag *b) { b->ops->rms_norm(&b->exec, V(b, "y"), V(b, "inv"), V(b, "x"), V(b, "w"), 1e-6f); }
static void rms_back(bag *b) { b->ops->rms_norm_back(&b->exec, D(b, "x"), D(b, "w"), D(b, "y"), V(b, "x"), V(b, "w"), V(b, "inv")); }

static void layer_forward(bag *b) { b->ops->layer_norm(&b->exec, V(b, "y"), V(b, "stats"), V(b, "x"), V(b, "w"), V(b, "b"), 1e-6f); }
static void layer_back(bag *b) {
    b->ops->layer_norm_back(&b->exec, D(b, "x"), D(b, "w"), D(b, "b"), D(b, "y"), V(b, "x"), V(b, "w"), V(b, "stats"));
}

static void gather_forward(bag *b) { b->ops->gather(&b->exec, V(b, "y"), table_of(V(b, "table"), 18), I(b, "index")); }
static void gather_back(bag *b) { b->ops->scatter_add(&b->exec, table_of(D(b, "table"), 18), D(b, "y"), I(b, "index")); }

static void blend_forward(bag *b) { b->ops->blend(&b->exec, V(b, "y"), table_of(V(b, "table"), 19), I(b, "index"), V(b, "mix")); }
static void blend_back(bag *b) { b->ops->blend_back(&b->exec, table_of(D(b, "table"), 19), D(b, "y"), I(b, "index"), V(b, "mix")); }

/* Two axes, nine frequencies, two heads. */
static void turn(bag *b, fv_view io, int direction) {
    enum { HALF = 9 };
    float cos[ROWS * HALF], sin[ROWS * HALF], inv_freq[HALF];
    int32_t axis[HALF], position[2 * ROWS];
    for (int i = 0; i < HALF; i++) {
        axis[i] = i % 2;
        inv_freq[i] = (float)pow(10000.0, -i / (double)HALF);
    }
    for (int64_t r = 0; r < b->rows; r++)
        for (int a = 0; a < 2; a++) position[a * b->rows + r] = fv_i32(I(b, "position"))[2 * r + a];
    fv_view c = fv_mat(cos, b->rows, HALF), s = fv_mat(sin, b->rows, HALF);
    b->ops->rotary_table(&b->exec, c, s, fv_ints(position, 2 * b->rows), fv_vec(inv_freq, HALF), fv_ints(axis, HALF));
    b->ops->rotary(&b->exec, io, c, s, 2, direction);
}
static void rotary_forward(bag *b) {
    memcpy(V(b, "y").data, V(b, "x").data, fv_bytes(V(b, "x")));
    turn(b, V(b, "y"), 1);
}
static void rotary_back(bag *b) {
    memcpy(D(b, "x").data, D(b, "y").data, fv_bytes(V(b, "x")));
    turn(b, D(b, "x"), -1);
}

static void swiglu_forward(bag *b) { b->ops->swiglu(&b->exec, V(b, "y"), V(b, "gate"), V(b, "up")); }
static void swiglu_back(bag *b) { b->ops->swiglu_back(&b->exec, D(b, "gate"), D(b, "up"), D(b, "y"), V(b, "gate"), V(b, "up")); }

static void act_forward(bag *b) { b->ops->act(&b->exec, V(b, "y"), V(b, "x"), b->c->f); }
static void act_back(bag *b) { b->ops->act_back(&b->exec, D(b, "x"), D(b, "y"), V(b, "x"), b->c->f); }

enum { HEADS = 4, KV = 2, DIM = 6, PAGES = 3 };

/* All rows are one run over pages 2 and 0. */
static void with_plan(bag *b, bool back) {
    int32_t run_row[] = {0, (int32_t)b->rows}, run_page[] = {0, 2}, pages[] = {2, 0}, first[ROWS];
    fv_attention a = {.rows = (int)b->rows, .heads = HEADS, .kv_heads = KV, .head_dim = DIM, .scale = 0.25f, .runs = 1, .run_row = run_row,
                      .run_page = run_page, .pages = pages, .limit = fv_i32(I(b, "limit"))};
    if (strcmp(b->c->name, "attention_window") == 0) {
        for (int r = 0; r < a.rows; r++) first[r] = a.limit[r] > 11 ? a.limit[r] - 11 : 0;
        a.first = first;
    }
    fv_view keys = {.data = V(b, "keys").data, .rank = 4, .shape = {PAGES, KV, DIM, FV_PAGE}}, values = V(b, "values");
    if (!back) b->ops->attention(&b->exec, V(b, "out"), V(b, "stats"), V(b, "q"), keys, values, &a);
    else
        b->ops->attention_back(&b->exec, D(b, "q"), D(b, "keys"), D(b, "values"), D(b, "out"), V(b, "out"), V(b, "stats"), V(b, "q"), keys, values, &a);
}
static void attention_forward(bag *b) { with_plan(b, false); }
static void attention_back(bag *b) { with_plan(b, true); }

static fv_head head_of(const bag *b) {
    fv_head head = {.weight = table_of(V(b, "weight"), 12)};
    size_t bytes = (b->ops->linear_packed_bytes(head.weight) + 63) / 64 * 64;
    void *packed = aligned_alloc(64, bytes > 0 ? bytes : 64);
    b->ops->linear_pack(&b->exec, packed, head.weight);
    head.packed = packed;
    return head;
}
static void free_head(fv_head head) {
    union { const void *read; void *any; } packed = {.read = head.packed};
    free(packed.any);
}
static void logprob_forward(bag *b) {
    fv_head head = head_of(b);
    b->ops->logprob(&b->exec, V(b, "logp"), V(b, "entropy"), V(b, "lse"), V(b, "hidden"), head, I(b, "target"), V(b, "temperature"));
    free_head(head);
}
static void logprob_back(bag *b) {
    fv_head head = head_of(b);
    b->ops->logprob_back(&b->exec, D(b, "hidden"), table_of(D(b, "weight"), 12), D(b, "logp"), D(b, "entropy"), V(b, "entropy"), V(b, "lse"),
                         V(b, "hidden"), head, I(b, "target"), V(b, "temperature"));
    free_head(head);
}

#define ACT(title, which) {title, {{"x", SEEN, 23, 0, 0}, {"y", RESULT, 23, 0, 0}}, act_forward, act_back, which}
#define ATTENTION(title)                                                                                               \
    {title,                                                                                                            \
     {{"q", SEEN, HEADS * DIM, 0, 0}, {"keys", WHOLE, PAGES * KV * DIM * 16, 0, 0}, {"values", WHOLE, PAGES * KV * DIM * 16, 0, 0},  \
      {"limit", INTEGER, 1, 1, 33}, {"out", RESULT, HEADS * DIM, 0, 0}, {"stats", KEPT, 2 * HEADS, 0, 0}},             \
     attention_forward, attention_back, 0}

static const op_case cases[] = {
    {"rms_norm", {{"x", SEEN, 21, 0, 0}, {"w", WHOLE, 21, 0, 0}, {"y", RESULT, 21, 0, 0}, {"inv", KEPT, 1, 0, 0}}, rms_forward, rms_back, 0},
    {"layer_norm", {{"x", SEEN, 37, 0, 0}, {"w", WHOLE, 37, 0, 0}, {"b", WHOLE, 37, 0, 0}, {"y", RESULT, 37, 0, 0}, {"stats", KEPT, 2, 0, 0}},
     layer_forward, layer_back, 0},
    {"gather", {{"table", WHOLE, 5 * 18, 0, 0}, {"index", INTEGER, 1, -1, 5}, {"y", RESULT, 18, 0, 0}}, gather_forward, gather_back, 0},
    {"blend", {{"table", WHOLE, 6 * 19, 0, 0}, {"index", INTEGER, 4, 0, 6}, {"mix", CONSTANT, 4, 0, 0}, {"y", RESULT, 19, 0, 0}},
     blend_forward, blend_back, 0},
    {"rotary", {{"x", SEEN, 36, 0, 0}, {"position", INTEGER, 2, 0, 30000}, {"y", RESULT, 36, 0, 0}}, rotary_forward, rotary_back, 0},
    {"swiglu", {{"gate", SEEN, 23, 0, 0}, {"up", SEEN, 23, 0, 0}, {"y", RESULT, 23, 0, 0}}, swiglu_forward, swiglu_back, 0},
    ACT("silu", FV_SILU), ACT("gelu_erf", FV_GELU_ERF), ACT("gelu_tanh", FV_GELU_TANH), ACT("gelu_quick", FV_GELU_QUICK),
    ATTENTION("attention"), ATTENTION("attention_window"),
    {"logprob", {{"hidden", SEEN, 12, 0, 0}, {"weight", WHOLE, 29 * 12, 0, 0}, {"target", INTEGER, 1, 0, 29}, {"temperature", CONSTANT, 1, 0, 0},
      {"logp", RESULT, 1, 0, 0}, {"entropy", RESULT, 1, 0, 0}, {"lse", KEPT, 2, 0, 0}}, logprob_forward, logprob_back, 0},
};

/* ---- bags of numbers ------------------------------------------------------------------------------------------------------- */

static struct {
    const fv_ops *ops[MAX_TABLES];
    int tables;
    fv_exec exec[MAX_THREADS + 1]; /* by the number of threads */
} fixture;

static int64_t count_of(const bag *b, int i) { return b->c->fields[i].size * (b->c->fields[i].role == WHOLE ? 1 : b->rows); }

static bag new_bag(const op_case *c, int64_t rows) {
    bag b = {.c = c, .ops = fixture.ops[0], .exec = fixture.exec[1], .rows = rows};
    for (int i = 0; i < FIELDS && c->fields[i].name; i++) {
        size_t n = (size_t)count_of(&b, i);
        if (c->fields[i].role == INTEGER) b.ints[i] = calloc(n, sizeof(int32_t));
        else b.data[i] = calloc(n, sizeof(float)), b.grad[i] = calloc(n, sizeof(float));
    }
    return b;
}

static void free_bag(bag *b) {
    for (int i = 0; i < FIELDS; i++) free(b->data[i]), free(b->grad[i]), free(b->ints[i]);
}

static void fill_random(bag *b) {
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++) {
        const field *f = &b->c->fields[i];
        fv_random r = fv_random_stream(fv_random_key(1, b->c->name, (uint64_t)i, 0));
        for (int64_t k = 0; k < count_of(b, i); k++) {
            if (f->role == INTEGER) b->ints[i][k] = f->low + (int32_t)fv_below(&r, f->high - f->low);
            if (f->role == SEEN || f->role == WHOLE) b->data[i][k] = (float)fv_normal(&r);
            if (f->role == CONSTANT) b->data[i][k] = (float)fv_uniform_in(&r, 0.5, 1.5);
            if (f->role == RESULT) b->grad[i][k] = (float)fv_normal(&r);
        }
    }
}

/* Rows [first, first + rows) of a bag, in the same memory. */
static bag rows_of(const bag *b, int64_t first, int64_t rows) {
    bag s = *b;
    s.rows = rows;
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++) {
        if (b->c->fields[i].role == WHOLE) continue;
        int64_t skip = first * b->c->fields[i].size;
        if (b->ints[i]) s.ints[i] += skip;
        else s.data[i] += skip, s.grad[i] += skip;
    }
    return s;
}

static bool is_input(role r) { return r == SEEN || r == WHOLE; }

static void clear_gradients(bag *b) {
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++)
        if (is_input(b->c->fields[i].role)) memset(b->grad[i], 0, (size_t)count_of(b, i) * sizeof(float));
}

/* ---- checks ---------------------------------------------------------------------------------------------------------------- */

static json_t *numbers(json_t *entry, const char *prefix, const char *name, int64_t count) {
    char key[40];
    snprintf(key, sizeof key, "%s%s", prefix, name);
    json_t *list = json_object_get(entry, key);
    assert_int_equal(json_array_size(list), count);
    return list;
}

/* Within 1e-5 of the list's largest number: f32 over chains of up to some hundred terms, against float64. */
static void compare(const bag *b, json_t *entry, const char *prefix, int i, const float *got) {
    int64_t n = count_of(b, i);
    json_t *want = numbers(entry, prefix, b->c->fields[i].name, n);
    double largest = 1;
    for (int64_t k = 0; k < n; k++) largest = fmax(largest, fabs(json_number_value(json_array_get(want, (size_t)k))));
    for (int64_t k = 0; k < n; k++) {
        double w = json_number_value(json_array_get(want, (size_t)k));
        if (!(fabs(got[k] - w) <= 1e-5 * largest))
            fail_msg("%s on %s: %s%s[%d] is %.9g, PyTorch has %.9g", b->c->name, b->ops->name, prefix, b->c->fields[i].name, (int)k, got[k], w);
    }
}

static void check_pytorch(const op_case *c, json_t *entry) {
    bag b = new_bag(c, json_integer_value(json_object_get(entry, "rows")));
    for (int i = 0; i < FIELDS && c->fields[i].name; i++) {
        role role_of = c->fields[i].role;
        if (role_of == KEPT) continue;
        json_t *list = numbers(entry, role_of == RESULT ? "d" : "", c->fields[i].name, count_of(&b, i));
        for (int64_t k = 0; k < count_of(&b, i); k++) {
            double x = json_number_value(json_array_get(list, (size_t)k));
            if (role_of == INTEGER) b.ints[i][k] = (int32_t)x;
            else *(role_of == RESULT ? b.grad[i] + k : b.data[i] + k) = (float)x;
        }
    }
    for (int t = 0; t < fixture.tables; t++) {
        b.ops = fixture.ops[t];
        clear_gradients(&b);
        c->forward(&b);
        c->back(&b);
        for (int i = 0; i < FIELDS && c->fields[i].name; i++) {
            if (c->fields[i].role == RESULT) compare(&b, entry, "", i, b.data[i]);
            if (is_input(c->fields[i].role)) compare(&b, entry, "d", i, b.grad[i]);
        }
    }
    free_bag(&b);
}

static double projection(bag *b) {
    b->c->forward(b);
    double sum = 0;
    for (int i = 0; i < FIELDS && b->c->fields[i].name; i++)
        for (int64_t k = 0; b->c->fields[i].role == RESULT && k < count_of(b, i); k++) sum += (double)b->data[i][k] * b->grad[i][k];
    return sum;
}

/* Central differences with step 1/128: its error h^2 f'''/6 and f32's noise eps |f| / h are both some 1e-5 of the projection. */
static void check_differences(const op_case *c) {
    const float step = 0x1p-7f;
    bag b = new_bag(c, 4);
    fill_random(&b);
    c->forward(&b);
    c->back(&b);
    for (int i = 0; i < FIELDS && c->fields[i].name; i++)
        for (int64_t k = 0; is_input(c->fields[i].role) && k < count_of(&b, i); k++) {
            float at = b.data[i][k];
            b.data[i][k] = at + step;
            double up = projection(&b);
            b.data[i][k] = at - step;
            double slope = (up - projection(&b)) / (2 * (double)step);
            b.data[i][k] = at;
            if (!(fabs(slope - b.grad[i][k]) <= 2e-3 * (1 + fabs(slope))))
                fail_msg("%s: d%s[%d] is %.9g, differences give %.9g", c->name, c->fields[i].name, (int)k, b.grad[i][k], slope);
        }
    free_bag(&b);
}

static void same_bits(const bag *got, const bag *want, int threads, int64_t batch) {
    for (int i = 0; i < FIELDS && got->c->fields[i].name; i++) {
        role r = got->c->fields[i].role;
        const float *a = is_input(r) ? got->grad[i] : got->data[i], *b = is_input(r) ? want->grad[i] : want->data[i];
        if (r == CONSTANT || r == INTEGER || memcmp(a, b, (size_t)count_of(got, i) * sizeof(float)) == 0) continue;
        int64_t k = 0;
        while (memcmp(a + k, b + k, sizeof(float)) == 0) k++;
        fail_msg("%s on %s, %d threads, %d rows at once: %s%s[%d] is %a, not %a", got->c->name, got->ops->name, threads, (int)batch,
                 is_input(r) ? "d" : "", got->c->fields[i].name, (int)k, (double)a[k], (double)b[k]);
    }
}

static void check_bits(const op_case *c) {
    static const int64_t batches[] = {1, 2, 7, 64};
    bag want = new_bag(c, ROWS), got = new_bag(c, ROWS);
    fill_random(&want);
    fill_random(&got);
    c->forward(&want);
    c->back(&want);
    for (int t = 0; t < fixture.tables; t++)
        for (int threads = 1; threads <= MAX_THREADS; threads++)
            for (size_t s = 0; s < FV_COUNT(batches); s++) {
                clear_gradients(&got);
                got.ops = fixture.ops[t];
                got.exec = fixture.exec[threads];
                for (int64_t r = 0; r < ROWS; r += batches[s]) {
                    bag part = rows_of(&got, r, ROWS - r < batches[s] ? ROWS - r : batches[s]);
                    c->forward(&part);
                    c->back(&part);
                }
                same_bits(&got, &want, threads, batches[s]);
            }
    free_bag(&want);
    free_bag(&got);
}

static void pytorch_numbers(void **state) {
    (void)state;
    json_error_t why;
    json_t *file = json_load_file(FOVEA_SOURCE "/tests/cpu/data/ops.json", 0, &why);
    if (file == NULL) fail_msg("ops.json: line %d: %s", why.line, why.text);
    for (size_t i = 0; i < FV_COUNT(cases); i++) check_pytorch(&cases[i], json_object_get(file, cases[i].name));
    json_decref(file);
}

static void finite_differences(void **state) {
    (void)state;
    for (size_t i = 0; i < FV_COUNT(cases); i++) check_differences(&cases[i]);
}

static void rows_threads_and_instruction_sets(void **state) {
    (void)state;
    for (size_t i = 0; i < FV_COUNT(cases); i++) check_bits(&cases[i]);
}

static int open_fixture(void **state) {
    (void)state;
    fixture.tables = fv_ops_cpu_all(fixture.ops, MAX_TABLES);
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fixture.exec[threads].scratch = fv_arena_new(0);
        if (fv_pool_open(&fixture.exec[threads].pool, threads, NULL) != FV_OK) return -1;
    }
    return fixture.tables > 0 ? 0 : -1;
}

static int close_fixture(void **state) {
    (void)state;
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        fv_pool_close(fixture.exec[threads].pool);
        fv_arena_free(fixture.exec[threads].scratch);
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pytorch_numbers), cmocka_unit_test(finite_differences), cmocka_unit_test(rows_threads_and_instruction_sets),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
