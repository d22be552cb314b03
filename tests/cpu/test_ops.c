/* Every operation that works row by row, in one table and one loop (tests/cpu/op_loop.h). PyTorch's numbers are in tests/cpu/data/ops.json, made by
 * tests/peers/ops_torch.py. */
#include "tests/cpu/op_loop.h"

#include "core/hollow.h"

/* A weight in the back end's layout; free it. */
static void *packed_of(const bag *b, fv_view weight) {
    size_t bytes = (b->ops->linear_packed_bytes(weight) + 63) / 64 * 64;
    void *packed = aligned_alloc(64, bytes > 0 ? bytes : 64);
    b->ops->linear_pack(&b->exec, packed, weight);
    return packed;
}

static void linear_forward(bag *b) {
    fv_view weight = table_of(V(b, "w"), 19);
    void *packed = packed_of(b, weight);
    b->ops->linear(&b->exec, &(fv_linear_map){.y = V(b, "y"), .w = weight, .packed = packed, .bias = V(b, "b")}, 1, V(b, "x"));
    free(packed);
}
static void linear_back(bag *b) {
    b->ops->linear_back(&b->exec, D(b, "x"), table_of(D(b, "w"), 19), D(b, "b"), D(b, "y"), V(b, "x"), table_of(V(b, "w"), 19), NULL);
}

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

/* Each row goes to two slots of a page of its own, as where branches begin: its gradient is the sum of theirs. */
static void with_slots(bag *b, bool back) {
    int32_t row[2 * ROWS], slot[2 * ROWS];
    for (int i = 0; i < 2 * (int)b->rows; i++) row[i] = i / 2, slot[i] = i / 2 * FV_PAGE + i % 2 * FV_PAGE / 2 + fv_i32(I(b, "lane"))[i];
    fv_view rows = fv_ints(row, 2 * b->rows), slots = fv_ints(slot, 2 * b->rows);
    fv_view keys = {.data = (back ? D(b, "keys") : V(b, "keys")).data, .rank = 4, .shape = {b->rows, KV, DIM, FV_PAGE}};
    fv_view values = {.data = (back ? D(b, "values") : V(b, "values")).data, .rank = 4, .shape = {b->rows, KV, FV_PAGE, DIM}};
    if (back) b->ops->kv_write_back(&b->exec, D(b, "k"), D(b, "v"), keys, values, rows, slots);
    else b->ops->kv_write(&b->exec, keys, values, V(b, "k"), V(b, "v"), rows, slots);
}
static void kv_write_forward(bag *b) {
    memset(V(b, "keys").data, 0, fv_bytes(V(b, "keys"))); /* fresh pages */
    memset(V(b, "values").data, 0, fv_bytes(V(b, "values")));
    with_slots(b, false);
}
static void kv_write_back(bag *b) { with_slots(b, true); }

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

/* A row of the bag is twenty rows of two heads: a run of three, and one of seventeen that ends inside a page. */
enum { RUN = 20, RUN_HEADS = 2, RUN_WIDTH = RUN_HEADS * DIM, FIRST = 3 };
static void with_runs(bag *b, bool back) {
    int32_t run_row[2 * ROWS + 1] = {0};
    int64_t rows = b->rows * RUN;
    for (int i = 0; i < (int)b->rows; i++) run_row[2 * i + 1] = i * RUN + FIRST, run_row[2 * i + 2] = (i + 1) * RUN;
    fv_runs r = {.rows = (int)rows, .heads = RUN_HEADS, .head_dim = DIM, .scale = 0.25f, .runs = 2 * (int)b->rows, .run_row = run_row};
    fv_view q = table_of(V(b, "q"), RUN_WIDTH), k = table_of(V(b, "k"), RUN_WIDTH), v = table_of(V(b, "v"), RUN_WIDTH);
    fv_view out = table_of(V(b, "out"), RUN_WIDTH), stats = table_of(V(b, "stats"), 2 * RUN_HEADS);
    if (!back) b->ops->attend_runs(&b->exec, out, stats, q, k, v, &r);
    else
        b->ops->attend_runs_back(&b->exec, table_of(D(b, "q"), RUN_WIDTH), table_of(D(b, "k"), RUN_WIDTH), table_of(D(b, "v"), RUN_WIDTH), table_of(D(b, "out"), RUN_WIDTH), out,
                                 stats, q, k, v, &r);
}
static void attend_runs_forward(bag *b) { with_runs(b, false); }
static void attend_runs_back(bag *b) { with_runs(b, true); }

static fv_head head_of(const bag *b) {
    fv_view weight = table_of(V(b, "weight"), 12);
    return (fv_head){weight, packed_of(b, weight)};
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

/* The other model is narrower, and its head is the same for all. beta and its vocabulary are in the case's name. */
enum { OTHER = 5, VOCABULARY = 29, MOST_OTHERS = 37 };
typedef struct {
    float weight[MOST_OTHERS * OTHER], lse[2 * ROWS], other_lse[2 * ROWS], unused[ROWS];
    fv_head head, other_head;
    fv_distribution p, q;
    float beta;
} two_models;

static void open_two(two_models *m, bag *b) {
    int32_t zero[ROWS] = {0};
    char *of;
    m->beta = strtof(b->c->name + strlen("divergence_"), &of);
    int64_t others = strtol(of + strlen("_of_"), NULL, 10);
    for (int i = 0; i < others * OTHER; i++) m->weight[i] = (float)(i * 7 % 13 - 6) / 8;
    fv_view other_weight = fv_mat(m->weight, others, OTHER), unused = fv_vec(m->unused, b->rows), none = {0};
    m->head = head_of(b);
    m->other_head = (fv_head){other_weight, packed_of(b, other_weight)};
    m->p = (fv_distribution){V(b, "hidden"), fv_mat(m->lse, b->rows, 2), m->head};
    m->q = (fv_distribution){V(b, "other"), fv_mat(m->other_lse, b->rows, 2), m->other_head};
    b->ops->logprob(&b->exec, unused, none, m->p.lse, m->p.hidden, m->p.head, fv_ints(zero, b->rows), V(b, "temperature"));
    b->ops->logprob(&b->exec, unused, none, m->q.lse, m->q.hidden, m->q.head, fv_ints(zero, b->rows), V(b, "temperature"));
}
static void close_two(two_models *m) {
    free_head(m->head);
    free_head(m->other_head);
}
static void divergence_forward(bag *b) {
    two_models m;
    open_two(&m, b);
    b->ops->divergence(&b->exec, V(b, "y"), V(b, "pull"), m.p, m.q, V(b, "temperature"), m.beta);
    close_two(&m);
}
static void divergence_back(bag *b) {
    two_models m;
    open_two(&m, b);
    b->ops->divergence_back(&b->exec, D(b, "hidden"), table_of(D(b, "weight"), 12), D(b, "y"), V(b, "pull"), m.p, m.q, V(b, "temperature"), m.beta);
    close_two(&m);
}
/* The log-probs' way back without what the forward kept. */
static void logprob_back_alone(bag *b) {
    fv_head head = head_of(b);
    b->ops->logprob_back(&b->exec, D(b, "hidden"), table_of(D(b, "weight"), 12), D(b, "logp"), D(b, "entropy"), V(b, "entropy"), fv_none, V(b, "hidden"), head, I(b, "target"),
                         V(b, "temperature"));
    free_head(head);
}

#define DIVERGENCE(title)                                                                                              \
    {title, {{"hidden", SEEN, 12, 0, 0}, {"weight", WHOLE, VOCABULARY * 12, 0, 0}, {"other", CONSTANT, OTHER, 0, 0}, {"temperature", CONSTANT, 1, 0, 0},  \
     {"y", RESULT, 1, 0, 0}, {"pull", KEPT, 1, 0, 0}}, divergence_forward, divergence_back, 0}
#define LOGPROB(title, back)                                                                                           \
    {title, {{"hidden", SEEN, 12, 0, 0}, {"weight", WHOLE, 29 * 12, 0, 0}, {"target", INTEGER, 1, 0, 29}, {"temperature", CONSTANT, 1, 0, 0},  \
     {"logp", RESULT, 1, 0, 0}, {"entropy", RESULT, 1, 0, 0}, {"lse", KEPT, 2, 0, 0}}, logprob_forward, back, 0}
#define ACT(title, which) {title, {{"x", SEEN, 23, 0, 0}, {"y", RESULT, 23, 0, 0}}, act_forward, act_back, which}
#define ATTENTION(title)                                                                                               \
    {title,                                                                                                            \
     {{"q", SEEN, HEADS * DIM, 0, 0}, {"keys", WHOLE, PAGES * KV * DIM * 16, 0, 0}, {"values", WHOLE, PAGES * KV * DIM * 16, 0, 0},  \
      {"limit", INTEGER, 1, 1, 33}, {"out", RESULT, HEADS * DIM, 0, 0}, {"stats", KEPT, 2 * HEADS, 0, 0}},             \
     attention_forward, attention_back, 0}

static const op_case cases[] = {
    {"linear", {{"x", SEEN, 19, 0, 0}, {"w", WHOLE, 23 * 19, 0, 0}, {"b", WHOLE, 23, 0, 0}, {"y", RESULT, 23, 0, 0}}, linear_forward, linear_back, 0},
    {"rms_norm", {{"x", SEEN, 21, 0, 0}, {"w", WHOLE, 21, 0, 0}, {"y", RESULT, 21, 0, 0}, {"inv", KEPT, 1, 0, 0}}, rms_forward, rms_back, 0},
    {"layer_norm", {{"x", SEEN, 37, 0, 0}, {"w", WHOLE, 37, 0, 0}, {"b", WHOLE, 37, 0, 0}, {"y", RESULT, 37, 0, 0}, {"stats", KEPT, 2, 0, 0}},
     layer_forward, layer_back, 0},
    {"gather", {{"table", WHOLE, 5 * 18, 0, 0}, {"index", INTEGER, 1, -1, 5}, {"y", RESULT, 18, 0, 0}}, gather_forward, gather_back, 0},
    {"blend", {{"table", WHOLE, 6 * 19, 0, 0}, {"index", INTEGER, 4, 0, 6}, {"mix", CONSTANT, 4, 0, 0}, {"y", RESULT, 19, 0, 0}},
     blend_forward, blend_back, 0},
    {"rotary", {{"x", SEEN, 36, 0, 0}, {"position", INTEGER, 2, 0, 30000}, {"y", RESULT, 36, 0, 0}}, rotary_forward, rotary_back, 0},
    {"swiglu", {{"gate", SEEN, 23, 0, 0}, {"up", SEEN, 23, 0, 0}, {"y", RESULT, 23, 0, 0}}, swiglu_forward, swiglu_back, 0},
    ACT("silu", FV_SILU), ACT("gelu_erf", FV_GELU_ERF), ACT("gelu_tanh", FV_GELU_TANH), ACT("gelu_quick", FV_GELU_QUICK),
    {"kv_write", {{"k", SEEN, KV * DIM, 0, 0}, {"v", SEEN, KV * DIM, 0, 0}, {"lane", INTEGER, 2, 0, FV_PAGE / 2}, {"keys", RESULT, KV * DIM * FV_PAGE, 0, 0},
      {"values", RESULT, KV * DIM * FV_PAGE, 0, 0}}, kv_write_forward, kv_write_back, 0},
    ATTENTION("attention"), ATTENTION("attention_window"),
    {"attend_runs", {{"q", SEEN, RUN * RUN_WIDTH, 0, 0}, {"k", SEEN, RUN * RUN_WIDTH, 0, 0}, {"v", SEEN, RUN * RUN_WIDTH, 0, 0}, {"out", RESULT, RUN * RUN_WIDTH, 0, 0},
      {"stats", KEPT, RUN * 2 * RUN_HEADS, 0, 0}}, attend_runs_forward, attend_runs_back, 0},
    LOGPROB("logprob", logprob_back), LOGPROB("logprob_alone", logprob_back_alone),
    DIVERGENCE("divergence_0_of_29"), DIVERGENCE("divergence_0.25_of_37"), DIVERGENCE("divergence_1_of_23"),
};

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

/* Some case's gradients are others on this table than on the first. */
static bool is_noticed(const fv_ops *changed) {
    bool noticed = false;
    for (size_t c = 0; c < FV_COUNT(cases) && !noticed; c++) {
        bag want = new_bag(&cases[c], 4), got = new_bag(&cases[c], 4);
        bag *both[] = {&want, &got};
        got.ops = changed;
        for (size_t i = 0; i < FV_COUNT(both); i++) {
            fill_random(both[i]);
            cases[c].forward(both[i]);
            cases[c].back(both[i]);
        }
        for (int i = 0; i < FIELDS && cases[c].fields[i].name; i++)
            if (is_input(cases[c].fields[i].role)) noticed |= memcmp(got.grad[i], want.grad[i], (size_t)count_of(&got, i) * sizeof(float)) != 0;
        free_bag(&want);
        free_bag(&got);
    }
    return noticed;
}

/* Each way back of the table is part of some case: one that does nothing, as hollow operations, is noticed. */
static void every_way_back_has_a_case(void **state) {
    (void)state;
    fv_ops hollow, changed;
    fv_hollow_ops(&hollow, fixture.ops[0]);
#define X(op)                                                                                                          \
    changed = *fixture.ops[0];                                                                                         \
    changed.op = hollow.op;                                                                                            \
    if (strstr(#op, "_back") && !is_noticed(&changed)) fail_msg(#op " is in no case of tests/cpu/test_ops.c; add one");
    FV_KERNEL_MAP(X)
#undef X
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pytorch_numbers), cmocka_unit_test(finite_differences), cmocka_unit_test(rows_threads_and_instruction_sets),
        cmocka_unit_test(every_way_back_has_a_case),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
