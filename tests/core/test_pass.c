/* Passes: every operation's way back against finite differences, gradients that meet, blocks run again, errors that stick. Slots: what is trained,
 * what is frozen, one AdamW step by hand. */
#include "core/pass.h"
#include "core/random.h"
#include "core/rotary.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 12, HEADS = 3, DIM = 4, WORDS = 11, ROWS = 6, PATCHES = 5, MLP = 7 };
enum { EMBED, PATCH, PATCH_BIAS, NORM, NORM_BIAS, HEAD_NORM, Q, K, V, GATE, UP, DOWN, PLACES, WEIGHTS };

typedef struct {
    fv_weight weights[WEIGHTS];
    fv_arena *memory, *arena, *scratch;
    fv_slot *slot;
} fixture;

static fv_weight random_weight(fixture *f, const char *name, bool linear, int rank, int64_t a, int64_t b, int64_t c, double size) {
    fv_view v = {.dtype = FV_F32, .rank = rank, .shape = {a, b, c}};
    v.data = FV_TAKE(f->memory, float, fv_elements(v));
    fv_random r = fv_random_stream(fv_random_key(3, name, 0, 0));
    for (int64_t i = 0; i < fv_elements(v); i++) fv_f32(v)[i] = (float)(size * fv_normal(&r));
    return (fv_weight){.name = name, .view = v, .linear = linear};
}

static void fill_weights(fixture *f) {
    fv_weight *w = f->weights;
    w[EMBED] = random_weight(f, "model.embed.weight", true, 2, WORDS, WIDTH, 1, 0.6);
    w[PATCH] = random_weight(f, "model.visual.patch.weight", true, 3, WIDTH, 2, 5, 0.4);
    w[PATCH_BIAS] = random_weight(f, "model.visual.patch.bias", false, 1, WIDTH, 1, 1, 0.2);
    w[NORM] = random_weight(f, "model.norm.weight", false, 1, WIDTH, 1, 1, 1);
    w[NORM_BIAS] = random_weight(f, "model.norm.bias", false, 1, WIDTH, 1, 1, 0.3);
    w[HEAD_NORM] = random_weight(f, "model.head_norm.weight", false, 1, DIM, 1, 1, 1);
    w[Q] = random_weight(f, "model.q.weight", true, 2, WIDTH, WIDTH, 1, 0.4);
    w[K] = random_weight(f, "model.k.weight", true, 2, DIM, WIDTH, 1, 0.4);
    w[V] = random_weight(f, "model.v.weight", true, 2, DIM, WIDTH, 1, 0.4);
    w[GATE] = random_weight(f, "model.gate.weight", true, 2, MLP, WIDTH, 1, 0.4);
    w[UP] = random_weight(f, "model.up.weight", true, 2, MLP, WIDTH, 1, 0.4);
    w[DOWN] = random_weight(f, "model.down.weight", true, 2, WIDTH, MLP, 1, 0.4);
    w[PLACES] = random_weight(f, "model.visual.places.weight", false, 2, 6, WIDTH, 1, 0.4);
}

static void open_slot(fixture *f, const fv_slot_options *options) {
    memset(f, 0, sizeof *f);
    f->memory = fv_arena_new(0);
    f->arena = fv_arena_new(0);
    f->scratch = fv_arena_new(0);
    fill_weights(f);
    const fv_ops *ops;
    fv_error err = {0};
    if (fv_ops_find(&ops, "cpu", NULL, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_slot_open(&f->slot, ops, (fv_exec){.scratch = f->scratch}, f->weights, WEIGHTS, options, &err) != FV_OK) fail_msg("%s", err.text);
}

static void close_slot(fixture *f) {
    fv_slot_close(f->slot);
    fv_arena_free(f->memory);
    fv_arena_free(f->arena);
    fv_arena_free(f->scratch);
}

/* ---- a model of everything ---- */

static fv_view ints(fv_pass *p, int n, const int32_t *values) { return fv_ints(memcpy(FV_TAKE(p->arena, int32_t, n), values, sizeof(int32_t) * (size_t)n), n); }

/* Four rows of a prompt, and two answers of a row each, which share its page by copying. */
static fv_kv branches(fv_pass *p) {
    static const int32_t run_row[] = {0, 4, 5, 6}, run_page[] = {0, 1, 2, 3}, pages[] = {0, 1, 2}, limit[] = {1, 2, 3, 4, 5, 5};
    static const int32_t row[] = {0, 1, 2, 3, 0, 1, 2, 3, 4, 0, 1, 2, 3, 5}, slot[] = {0, 1, 2, 3, 16, 17, 18, 19, 20, 32, 33, 34, 35, 36};
    fv_attention *plan = FV_TAKE(p->arena, fv_attention, 1);
    *plan = (fv_attention){.rows = ROWS, .heads = HEADS, .kv_heads = 1, .head_dim = DIM, .scale = 0.5f, .runs = 3, .run_row = run_row,
                           .run_page = run_page, .pages = pages, .limit = limit};
    return (fv_kv){.row = fv_ints(row, 14), .slot = fv_ints(slot, 14), .pages = 3, .plan = plan};
}

static fv_var *pictures(fv_pass *p) {
    float *pixels = FV_TAKE(p->arena, float, PATCHES * 10), *mix = FV_TAKE(p->arena, float, PATCHES * 4);
    int32_t *corner = FV_TAKE(p->arena, int32_t, PATCHES * 4);
    for (int i = 0; i < PATCHES * 10; i++) pixels[i] = (float)(2 * fv_uniform_at(5, (uint64_t)i) - 1);
    for (int i = 0; i < PATCHES * 4; i++) {
        mix[i] = (float)fv_uniform_at(6, (uint64_t)i);
        corner[i] = i % 6;
    }
    fv_view index = fv_ints(corner, PATCHES * 4);
    index.rank = 2;
    index.shape[0] = PATCHES;
    index.shape[1] = 4;
    fv_var *x = fv_linear(p, fv_input(p, fv_mat(pixels, PATCHES, 10)), PATCH, PATCH_BIAS);
    x = fv_add(p, x, fv_blend(p, PLACES, index, fv_mat(mix, PATCHES, 4)));
    return fv_act(p, fv_act(p, x, FV_GELU_TANH), FV_GELU_QUICK);
}

static fv_var *attention(fv_pass *p, fv_var *x) {
    static const int32_t axis[] = {0, 1};
    int32_t position[2 * ROWS];
    float inv_freq[2];
    for (int i = 0; i < 2 * ROWS; i++) position[i] = i * 3 % 7;
    fv_rotary_frequencies(inv_freq, 2, 4, 100);
    fv_view cos = fv_mat(FV_TAKE(p->arena, float, ROWS * 2), ROWS, 2), sin = fv_mat(FV_TAKE(p->arena, float, ROWS * 2), ROWS, 2);
    p->slot->ops->rotary_table(&p->slot->exec, cos, sin, fv_ints(position, 2 * ROWS), fv_vec(inv_freq, 2), fv_ints(axis, 2));
    fv_var *h = fv_layer_norm(p, x, NORM, NORM_BIAS, 1e-6f);
    fv_var *q = fv_rms_norm(p, fv_linear(p, h, Q, -1), HEAD_NORM, 1e-5f), *k = fv_rms_norm(p, fv_linear(p, h, K, -1), HEAD_NORM, 1e-5f);
    fv_rotary(p, q, cos, sin, HEADS);
    fv_rotary(p, k, cos, sin, 1);
    fv_kv kv = branches(p);
    return fv_attend(p, q, k, fv_linear(p, h, V, -1), &kv);
}

static void layer(fv_pass *p, fv_var *y, fv_var *x, void *context) {
    (void)context;
    x = fv_add(p, x, attention(p, x));
    fv_var *gate_up[2];
    fv_linears(p, x, (fv_affine[]){{GATE, -1}, {UP, -1}}, 2, gate_up);
    fv_var *h = fv_linear(p, fv_swiglu(p, gate_up[0], gate_up[1]), DOWN, -1);
    fv_add_to(p, y, x, fv_act(p, fv_act(p, h, FV_SILU), FV_GELU_ERF));
}

static fv_var *hidden(fv_pass *p) {
    static const int32_t ids[] = {3, 0, 10, 3, -1, 7}, order[] = {1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10};
    fv_var *seen = pictures(p), *x = fv_embed(p, EMBED, ints(p, ROWS, ids));
    x = fv_overwrite(p, x, fv_gather(p, seen, ints(p, 2, (int32_t[]){2, 0})), ints(p, 2, (int32_t[]){1, 4}));
    x = fv_add_rows(p, x, fv_gather(p, seen, ints(p, 3, (int32_t[]){4, 4, 1})), ints(p, 3, (int32_t[]){0, 0, 5}));
    x = fv_block(p, x, layer, NULL);
    fv_var *pairs = fv_gather(p, fv_reshape(p, x, 2 * ROWS, WIDTH / 2), ints(p, 2 * ROWS, order));
    return fv_add(p, x, fv_reshape(p, pairs, ROWS, WIDTH)); /* x is used twice, in two shapes */
}

/* sum of stream * log-prob and stream * entropy; `back` writes the streams and runs the tape. */
static double loss(fixture *f, bool train, bool checkpoint) {
    static const int32_t target[] = {1, 10, 0, 3, 3, 6};
    float temperature[ROWS];
    for (int r = 0; r < ROWS; r++) temperature[r] = r % 2 ? 1.0f : 0.7f;
    fv_arena_reset(f->arena);
    fv_pass p = fv_pass_begin(f->slot, f->arena, train);
    p.checkpoint = checkpoint;
    fv_scored s = fv_logprob(&p, hidden(&p), EMBED, fv_ints(target, ROWS), fv_vec(temperature, ROWS));
    double sum = 0;
    for (int r = 0; r < ROWS; r++) {
        float a = (float)(fv_uniform_at(8, (uint64_t)r) - 0.3), b = (float)(fv_uniform_at(9, (uint64_t)r) - 0.5);
        sum += (double)a * fv_f32(s.logp->v)[r] + (double)b * fv_f32(s.entropy->v)[r];
        if (!train) continue;
        fv_f32(fv_grad(&p, s.logp))[r] = a;
        fv_f32(fv_grad(&p, s.entropy))[r] = b;
    }
    fv_pass_back(&p);
    if (p.error.status != FV_OK) fail_msg("%s", p.error.text);
    return sum;
}

/* Along one random direction for each weight: f32 noise of 1e-6 over a step of 4e-3, and the cubic term, stay below 2e-3 of the slope. */
static void gradients_are_slopes(void **state) {
    (void)state;
    fixture f;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    loss(&f, true, false);
    int64_t n = fv_slot_trained(f.slot), at = 0;
    float *start = malloc(sizeof(float) * (size_t)n), *moved = malloc(sizeof(float) * (size_t)n);
    fv_slot_snapshot(f.slot, start);
    for (int w = 0; w < WEIGHTS; w++) {
        int64_t size = fv_elements(f.slot->params[w].w);
        double slope = 0, value[2], step = 4e-3, length = 0;
        fv_random r = fv_random_stream(fv_random_key(4, "direction", (uint64_t)w, 0));
        double *direction = malloc(sizeof(double) * (size_t)size);
        for (int64_t i = 0; i < size; i++) {
            direction[i] = fv_normal(&r);
            slope += direction[i] * fv_f32(f.slot->params[w].grad)[i];
            length += (double)fv_f32(f.slot->params[w].grad)[i] * fv_f32(f.slot->params[w].grad)[i];
        }
        for (int side = 0; side < 2; side++) {
            memcpy(moved, start, sizeof(float) * (size_t)n);
            for (int64_t i = 0; i < size; i++) moved[at + i] += (float)((side ? step : -step) * direction[i]);
            fv_slot_restore(f.slot, moved);
            value[side] = loss(&f, false, false);
        }
        double measured = (value[1] - value[0]) / (2 * step);
        if (fabs(measured - slope) > 2e-3 * (fabs(slope) + sqrt(length))) fail_msg("%s: slope %.6f, measured %.6f", f.weights[w].name, slope, measured);
        assert_true(length > 1e-4); /* every weight is reached */
        at += size;
        free(direction);
    }
    free(start);
    free(moved);
    close_slot(&f);
}

static void blocks_run_again_with_the_same_bits(void **state) {
    (void)state;
    fixture f, g;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    open_slot(&g, &(fv_slot_options){.name = "policy", .train = true});
    double want = loss(&f, true, false), got = loss(&g, true, true), inference = loss(&g, false, false);
    assert_memory_equal(&got, &want, sizeof want);
    assert_memory_equal(&inference, &want, sizeof want);
    for (int w = 0; w < WEIGHTS; w++) assert_memory_equal(g.slot->params[w].grad.data, f.slot->params[w].grad.data, fv_bytes(f.slot->params[w].grad));
    fv_slot_zero_grad(g.slot);
    fv_f32(g.slot->params[Q].grad)[0] = NAN; /* cleared all the same */
    fv_slot_zero_grad(g.slot);
    assert_true(fv_slot_grad_norm(g.slot) == 0);
    close_slot(&f);
    close_slot(&g);
}

/* What is frozen has no gradient and stays as the model has it; the others' gradients are what they were. */
static void frozen_weights_stay(void **state) {
    (void)state;
    static const char *const freeze[] = {"visual.*", "model.?ead", "*q.weight"};
    fixture f, all;
    open_slot(&all, &(fv_slot_options){.name = "policy", .train = true});
    fv_slot *none;
    fv_error err;
    fv_slot_options options = {.name = "policy", .train = true, .freeze = freeze, .freeze_count = 3};
    assert_int_equal(fv_slot_open(&none, all.slot->ops, all.slot->exec, all.weights, WEIGHTS, &options, &err), FV_BAD_RECIPE);
    assert_null(none);
    assert_non_null(strstr(err.text, "freeze: model.?ead matches no weight"));

    static const char *const works[] = {"visual.*", "*q.weight"};
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true, .freeze = works, .freeze_count = 2});
    loss(&f, true, false);
    loss(&all, true, false);
    for (int w = 0; w < WEIGHTS; w++) {
        bool frozen = w == PATCH || w == PATCH_BIAS || w == PLACES || w == Q;
        assert_true(frozen == !f.slot->params[w].grad.data);
        if (frozen) assert_ptr_equal(f.slot->params[w].w.data, f.weights[w].view.data);
        else assert_memory_equal(f.slot->params[w].grad.data, all.slot->params[w].grad.data, fv_bytes(f.weights[w].view));
    }
    fv_slot_step(f.slot, &(fv_optim){.lr = 1, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f}, NULL);
    assert_memory_equal(f.slot->params[Q].w.data, all.slot->params[Q].w.data, fv_bytes(f.weights[Q].view));
    close_slot(&f);
    close_slot(&all);
}

/* A weight that was held begins to learn as one that begins now: AdamW's bias correction counts its own steps. */
static void held_weights_begin_anew(void **state) {
    (void)state;
    static const char *const held[] = {"*q.weight"};
    const fv_optim how = {.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f};
    fixture f, fresh;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    open_slot(&fresh, &(fv_slot_options){.name = "policy", .train = true});
    for (int step = 0; step < 4; step++) {
        assert_int_equal(fv_slot_hold(f.slot, held, step < 3, NULL), FV_OK);
        for (int64_t i = 0; i < fv_elements(f.weights[Q].view); i++) fv_f32(f.slot->params[Q].grad)[i] = fv_f32(fresh.slot->params[Q].grad)[i] = (float)(i % 5 - 2);
        fv_slot_step(f.slot, &how, NULL);
        if (step < 3) assert_memory_equal(f.slot->params[Q].w.data, f.weights[Q].view.data, fv_bytes(f.weights[Q].view));
    }
    fv_slot_step(fresh.slot, &how, NULL);
    assert_memory_equal(f.slot->params[Q].w.data, fresh.slot->params[Q].w.data, fv_bytes(f.weights[Q].view));
    close_slot(&f);
    close_slot(&fresh);
}

/* Not even its blocks' memory is kept. */
static void nothing_tracked_leaves_no_tape(void **state) {
    (void)state;
    fixture f;
    open_slot(&f, &(fv_slot_options){.name = "reference"});
    fv_pass p = fv_pass_begin(f.slot, f.arena, false);
    hidden(&p);
    size_t inference = fv_arena_here(f.arena).used;
    fv_arena_reset(f.arena);
    p = fv_pass_begin(f.slot, f.arena, true);
    fv_var *x = hidden(&p);
    assert_int_equal(fv_arena_here(f.arena).used, inference + 64); /* the tape itself */
    assert_false(x->track);
    fv_pass_back(&p);
    assert_null(x->grad.data);
    assert_int_equal(fv_slot_trained(f.slot), 0);
    close_slot(&f);
}

static void errors_stick(void **state) {
    (void)state;
    fixture f;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    fv_pass p = fv_pass_begin(f.slot, f.arena, true);
    float x[3 * 5] = {0};
    fv_var *y = fv_linear(&p, fv_input(&p, fv_mat(x, 3, 5)), Q, -1);
    assert_string_equal(p.error.text, "fv_linear: x [rows, k] needs a linear weight [n, k], got [3, 5] and [12, 12]");
    assert_int_equal(p.error.status, FV_LIMIT);
    assert_int_equal(fv_rows(y->v), 3);
    assert_int_equal(fv_cols(y->v), WIDTH);
    y = fv_rms_norm(&p, y, NORM, 1e-6f); /* goes on, computes nothing, keeps the first message */
    fv_scored s = fv_logprob(&p, y, EMBED, fv_none, fv_none);
    assert_int_equal(fv_rows(s.logp->v), 3);
    assert_non_null(strstr(p.error.text, "fv_linear"));
    fv_grad(&p, s.logp);
    fv_pass_back(&p);
    assert_true(fv_slot_grad_norm(f.slot) == 0);
    close_slot(&f);
}

/* ---- slots ---- */

/* The first step of AdamW is lr * g / (|g| + eps), after decay of matrices; a packed copy follows. */
static void one_step_by_hand(void **state) {
    (void)state;
    fixture f;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    float x[WIDTH] = {1}, *q = fv_f32(f.slot->params[Q].w), *norm = fv_f32(f.slot->params[NORM].w), q0 = q[0], norm0 = norm[0];
    fv_pass p = fv_pass_begin(f.slot, f.arena, false);
    assert_true(fv_f32(fv_linear(&p, fv_input(&p, fv_mat(x, 1, WIDTH)), Q, -1)->v)[0] == q0);
    fv_f32(f.slot->params[Q].grad)[0] = 3;
    fv_f32(f.slot->params[NORM].grad)[0] = -4;
    double length;
    fv_slot_step(f.slot, &(fv_optim){.lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .weight_decay = 0.5f, .clip = 1}, &length);
    assert_true(length == 5);
    assert_float_equal(q[0], q0 * (1 - 0.01 * 0.5) - 0.01, 1e-6);
    assert_float_equal(norm[0], norm0 + 0.01, 1e-6); /* a vector: no decay */
    assert_float_equal(fv_f32(f.slot->params[Q].m)[0], 0.1 * 3 / 5, 1e-6); /* the gradient was clipped to length 1 */
    assert_int_equal(f.slot->version, 1);
    assert_int_equal(f.slot->steps, 1);
    assert_true(fv_f32(fv_linear(&p, fv_input(&p, fv_mat(x, 1, WIDTH)), Q, -1)->v)[0] == q[0]);
    close_slot(&f);
}

static void masters_of_bf16(void **state) {
    (void)state;
    fixture f;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    enum { N = WIDTH * WIDTH };
    uint16_t stored[N];
    float want[N];
    fv_from_f32(stored, FV_BF16, fv_f32(f.weights[Q].view), N);
    fv_to_f32(want, stored, FV_BF16, N);
    fv_weight w = f.weights[Q];
    w.view.dtype = FV_BF16;
    w.view.data = stored;
    fv_slot *s;
    fv_error err;
    assert_int_equal(fv_slot_open(&s, f.slot->ops, f.slot->exec, &w, 1, &(fv_slot_options){.name = "policy", .train = true}, &err), FV_OK);
    assert_int_equal(s->params[0].w.dtype, FV_F32);
    assert_memory_equal(s->params[0].w.data, want, sizeof want);
    fv_slot_close(s);
    close_slot(&f);
}

/* Memory runs out at any point of opening: an error, and everything is given back. */
static int allocations_left;
static const fv_ops *real_ops;

static fv_status scarce(void **out, size_t bytes, fv_error *err) {
    *out = NULL;
    if (allocations_left-- <= 0) return fv_fail(err, FV_NO_MEMORY, "memory: the system refused %zu bytes", bytes);
    return real_ops->alloc(out, bytes, err);
}

static void out_of_memory(void **state) {
    (void)state;
    fixture f;
    open_slot(&f, &(fv_slot_options){.name = "policy", .train = true});
    fv_ops poor = *f.slot->ops;
    real_ops = f.slot->ops;
    poor.alloc = scarce;
    fv_slot_options options = {.name = "policy", .train = true};
    for (int n = 0;; n++) {
        allocations_left = n;
        fv_slot *s;
        fv_error err;
        fv_status status = fv_slot_open(&s, &poor, f.slot->exec, f.weights, 2, &options, &err);
        fv_slot_close(s);
        if (status == FV_OK) break;
        assert_int_equal(status, FV_NO_MEMORY);
        assert_null(s);
        assert_non_null(strstr(err.text, "slot policy: model."));
        assert_true(n < 20);
    }
    close_slot(&f);
}

/* Where exponents are exact in f32, frequencies are the correctly rounded ones, as torch has them. */
static void frequencies(void **state) {
    (void)state;
    static const int widths[] = {4, 64, 128, 40, 12};
    for (size_t w = 0; w < FV_COUNT(widths); w++) {
        float got[64];
        fv_rotary_frequencies(got, widths[w] / 2, widths[w], 1e6);
        for (int i = 0; i < widths[w] / 2; i++) {
            float exponent = (float)(2 * i) / (float)widths[w], want = 1.0f / (float)pow(1e6, (double)exponent);
            assert_true(got[i] == want);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(blocks_run_again_with_the_same_bits),
        cmocka_unit_test(frozen_weights_stay),
        cmocka_unit_test(held_weights_begin_anew),
        cmocka_unit_test(nothing_tracked_leaves_no_tape),
        cmocka_unit_test(errors_stick),
        cmocka_unit_test(one_step_by_hand),
        cmocka_unit_test(masters_of_bf16),
        cmocka_unit_test(out_of_memory),
        cmocka_unit_test(frequencies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
