/* Adapters in passes and slots: gradients are slopes, also where numbers drop out; what is trained and what is not; DoRA's lengths follow every update. Against
 * PEFT: tests/language/test_lora.c. */
#include "core/adapter.h"
#include "core/pass.h"
#include "core/random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 5, WIDTH = 12, MIDDLE = 7, RANK = 3 };
enum { UP, UP_BIAS, DOWN, WEIGHTS };

typedef struct {
    fv_arena *memory, *arena, *scratch;
    fv_weight weights[WEIGHTS];
    fv_adapter_part parts[2];
    fv_adapter adapter;
    fv_slot *slot;
} fixture;

static fv_weight made(fixture *f, const char *name, int64_t rows, int64_t cols, double size) {
    fv_view v = cols ? fv_mat(FV_TAKE(f->memory, float, rows * cols), rows, cols) : fv_vec(FV_TAKE(f->memory, float, rows), rows);
    for (int64_t i = 0; i < fv_elements(v); i++) fv_f32(v)[i] = (float)(size * (fv_uniform_at(fv_random_key(3, name, 0, 0), (uint64_t)i) - 0.5));
    return (fv_weight){.name = name, .view = v};
}

static void open_fixture(fixture *f, bool dora, const fv_slot_options *options) {
    memset(f, 0, sizeof *f);
    f->memory = fv_arena_new(0);
    f->arena = fv_arena_new(0);
    f->scratch = fv_arena_new(0);
    f->weights[UP] = made(f, "model.up.weight", MIDDLE, WIDTH, 1);
    f->weights[UP_BIAS] = made(f, "model.up.bias", MIDDLE, 0, 1);
    f->weights[DOWN] = made(f, "model.down.weight", WIDTH, MIDDLE, 1);
    f->weights[UP].linear = f->weights[DOWN].linear = true;
    f->parts[0] = (fv_adapter_part){.weight = UP, .scale = 1.5f, .a = made(f, "up.A", RANK, WIDTH, 2), .b = made(f, "up.B", MIDDLE, RANK, 2)};
    f->parts[1] = (fv_adapter_part){.weight = DOWN, .scale = 0.5f, .a = made(f, "down.A", RANK, MIDDLE, 2), .b = made(f, "down.B", WIDTH, RANK, 2)};
    if (dora) f->parts[0].magnitude = made(f, "up.m", MIDDLE, 0, 6);
    if (dora) f->parts[1].magnitude = made(f, "down.m", WIDTH, 0, 6);
    f->adapter = (fv_adapter){.parts = f->parts, .part_count = 2};
    fv_slot_options o = *options;
    const fv_ops *ops;
    fv_error err = {0};
    o.adapter = &f->adapter;
    assert_int_equal(fv_ops_find(&ops, "cpu", NULL, &err), FV_OK);
    if (fv_slot_open(&f->slot, ops, (fv_exec){.scratch = f->scratch}, f->weights, WEIGHTS, &o, &err) != FV_OK) fail_msg("%s", err.text);
}

static void close_fixture(fixture *f) {
    fv_slot_close(f->slot);
    fv_arena_free(f->memory);
    fv_arena_free(f->arena);
    fv_arena_free(f->scratch);
}

/* sum of stream * output of two adapted layers */
static double loss(fixture *f, bool train, float dropout) {
    fv_arena_reset(f->arena);
    fv_pass p = fv_pass_begin(f->slot, f->arena, train);
    p.dropout = dropout;
    p.dropout_key = 11;
    fv_view in = made(f, "input", ROWS, WIDTH, 2).view;
    fv_var *y = fv_linear(&p, fv_act(&p, fv_linear(&p, fv_input(&p, in), UP, UP_BIAS), FV_SILU), DOWN, -1);
    double sum = 0;
    for (int i = 0; i < ROWS * WIDTH; i++) {
        float stream = (float)(fv_uniform_at(8, (uint64_t)i) - 0.3);
        sum += (double)stream * fv_f32(y->v)[i];
        if (train) fv_f32(fv_grad(&p, y))[i] = stream;
    }
    fv_pass_back(&p);
    if (p.error.status != FV_OK) fail_msg("%s", p.error.text);
    return sum;
}

/* Along a random direction of parameter w, which begins at `at` in a snapshot. */
static void check_slope(fixture *f, int w, int64_t at, const float *start, float *moved, float dropout) {
    const fv_param *p = &f->slot->params[w];
    int64_t n = fv_elements(p->w), all = fv_slot_trained(f->slot);
    double slope = 0, value[2], length = 0, step = 4e-3;
    for (int64_t i = 0; i < n; i++) {
        double g = fv_f32(p->grad)[i];
        slope += (fv_uniform_at(21 + (uint64_t)w, (uint64_t)i) - 0.5) * g;
        length += g * g;
    }
    for (int side = 0; side < 2; side++) {
        memcpy(moved, start, sizeof(float) * (size_t)all);
        for (int64_t i = 0; i < n; i++) moved[at + i] += (float)((side ? step : -step) * (fv_uniform_at(21 + (uint64_t)w, (uint64_t)i) - 0.5));
        fv_slot_restore(f->slot, moved);
        value[side] = loss(f, false, dropout);
    }
    double measured = (value[1] - value[0]) / (2 * step);
    if (fabs(measured - slope) > 2e-3 * (fabs(slope) + sqrt(length))) fail_msg("%s: slope %.6f, measured %.6f", p->name, slope, measured);
    assert_true(length > 1e-4);
}

/* Of DoRA only magnitudes': the lengths that A and B move count as constants, in PEFT as well. */
static void gradients_are_slopes(void **state) {
    (void)state;
    static const struct {
        bool dora;
        float dropout;
    } ways[] = {{false, 0}, {false, 0.4f}, {true, 0}};
    for (size_t c = 0; c < FV_COUNT(ways); c++) {
        fixture f;
        open_fixture(&f, ways[c].dora, &(fv_slot_options){.name = "policy", .train = true});
        loss(&f, true, ways[c].dropout);
        int64_t all = fv_slot_trained(f.slot), at = 0;
        float *start = malloc(sizeof(float) * (size_t)all), *moved = malloc(sizeof(float) * (size_t)all);
        fv_slot_snapshot(f.slot, start);
        for (int w = WEIGHTS; w < f.slot->count; w++) {
            assert_non_null(f.slot->params[w].grad.data);
            if (!ways[c].dora || f.slot->params[w].w.rank == 1) check_slope(&f, w, at, start, moved, ways[c].dropout);
            at += fv_elements(f.slot->params[w].w);
        }
        assert_int_equal(at, all); /* nothing of the model is trained */
        free(start);
        free(moved);
        close_fixture(&f);
    }
}

/* A share of what A sees is left out, the same for the same key, and with it on average nothing changes. */
static void dropout_is_by_key(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, false, &(fv_slot_options){.name = "policy"});
    double all = loss(&f, false, 0), some = loss(&f, false, 0.4f);
    assert_true(all != some && some == loss(&f, false, 0.4f) && all == loss(&f, false, 0));
    /* one layer, A of ones, B of ones: the sum of what is kept, over (1 - p), is that of all but for chance */
    enum { MANY = 4000 };
    for (int64_t i = 0; i < RANK * WIDTH; i++) fv_f32(f.parts[0].a.view)[i] = 1;
    for (int64_t i = 0; i < MIDDLE * RANK; i++) fv_f32(f.parts[0].b.view)[i] = 1;
    for (int64_t i = 0; i < MIDDLE * WIDTH; i++) fv_f32(f.weights[UP].view)[i] = 0;
    f.slot->version++;
    for (int w = 0; w < f.slot->count; w++) f.slot->params[w].stale = true;
    fv_arena_reset(f.arena);
    fv_pass p = fv_pass_begin(f.slot, f.arena, false);
    p.dropout = 0.25f;
    float *ones = FV_TAKE(f.arena, float, MANY * WIDTH);
    for (int i = 0; i < MANY * WIDTH; i++) ones[i] = 1;
    fv_var *y = fv_linear(&p, fv_input(&p, fv_mat(ones, MANY, WIDTH)), UP, -1);
    double sum = 0, whole = 1.5 * RANK * WIDTH; /* scale * r * k: without dropout */
    for (int r = 0; r < MANY; r++) sum += fv_f32(y->v)[r * MIDDLE];
    assert_true(fabs(sum / MANY / whole - 1) < 0.01); /* 48000 draws: one standard deviation is 0.0026 */
    close_fixture(&f);
}

/* Patterns name the model's weights; an adapter's matrices go with theirs. Frozen ones are not trained, and matrices can be Muon's. */
static void patterns_name_the_models_weights(void **state) {
    (void)state;
    static const char *const freeze[] = {"down.*"}, *const muon[] = {"up.*"};
    fixture f;
    open_fixture(&f, true, &(fv_slot_options){.name = "policy", .train = true, .freeze = freeze, .freeze_count = 1, .muon = muon, .muon_count = 1});
    const fv_adapted *up = f.slot->params[UP].adapted, *down = f.slot->params[DOWN].adapted;
    for (int w = 0; w < WEIGHTS; w++) assert_true(!f.slot->params[w].grad.data && f.slot->params[w].w.data == f.weights[w].view.data);
    assert_true(f.slot->params[up->a].grad.data && f.slot->params[up->b].grad.data && f.slot->params[up->magnitude].grad.data);
    assert_true(!f.slot->params[down->a].grad.data && !f.slot->params[down->b].grad.data && !f.slot->params[down->magnitude].grad.data);
    assert_true(f.slot->params[up->a].muon && f.slot->params[up->b].muon && !f.slot->params[up->magnitude].muon);
    close_fixture(&f);
}

/* After a step the lengths are those of the new matrices: a slot that was opened with them computes the same bits. */
static void lengths_follow_updates(void **state) {
    (void)state;
    fixture f, g;
    open_fixture(&f, true, &(fv_slot_options){.name = "policy", .train = true});
    double before = loss(&f, true, 0);
    fv_slot_step(f.slot, &(fv_optim){.lr = 0.1f, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f}, NULL);
    double after = loss(&f, false, 0);
    assert_true(before != after);
    open_fixture(&g, true, &(fv_slot_options){.name = "policy"});
    for (int w = WEIGHTS; w < g.slot->count; w++) g.slot->params[w].w = f.slot->params[w].w;
    double again = loss(&g, false, 0);
    assert_memory_equal(&again, &after, sizeof again);
    close_fixture(&g);
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_slopes),
        cmocka_unit_test(dropout_is_by_key),
        cmocka_unit_test(patterns_name_the_models_weights),
        cmocka_unit_test(lengths_follow_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
