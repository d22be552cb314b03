/* The tower's integer work by hand, and that a picture's embeddings don't depend on what else is in the pass. Its numbers are compared with
 * transformers in tests/language/test_decoder.c. */
#include "core/random.h"
#include "vision/tower.h"
#include "vision/tower_layout.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Windows of 2 x 2 merged cells over 3 x 5 cells: the right and lower ones are cut. */
static void windows_follow_each_other(void **state) {
    (void)state;
    fv_arena *arena = fv_arena_new(0);
    fv_tower_config c = {.hidden = 16, .heads = 2, .patch = 2, .merge = 2, .window = 8};
    fv_patches picture = {.grid = {1, 6, 10}}, small = {.grid = {2, 2, 4}};
    const fv_patches *both[] = {&picture, &small};
    fv_tower_layout l = fv_tower_lay_out(arena, &c, both, 2);
    assert_int_equal(l.rows, 76);
    assert_int_equal(l.cells, 19);
    static const int32_t cells[] = {0, 1, 5, 6, 2, 3, 7, 8, 4, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
    for (int i = 0; i < 19; i++) {
        assert_int_equal(fv_i32(l.order)[4 * i], 4 * cells[i]);
        assert_int_equal(fv_i32(l.order)[4 * i + 3], 4 * cells[i] + 3);
        assert_int_equal(fv_i32(l.back)[cells[i]], i);
    }
    static const int32_t windows[] = {0, 16, 32, 40, 48, 56, 60, 68, 76}, frames[] = {0, 60, 68, 76};
    assert_int_equal(l.window.runs, 8);
    assert_memory_equal(l.window.run_row, windows, sizeof windows);
    assert_int_equal(l.frame.runs, 3);
    assert_memory_equal(l.frame.run_row, frames, sizeof frames);
    int last = 4 * 4 + 3; /* cell (0, 2), its lower right patch */
    assert_int_equal(fv_i32(l.order)[last], 4 * 2 + 3);
    assert_int_equal(fv_i32(l.position)[last], 1);
    assert_int_equal(fv_i32(l.position)[l.rows + last], 5);
    fv_arena_free(arena);
}

/* A table of 5 x 5 over 4 x 2 patches: rows at 0, 4/3, 8/3, 4, columns at 0 and 4. */
static void learned_positions_reach_the_corners(void **state) {
    (void)state;
    fv_arena *arena = fv_arena_new(0);
    fv_tower_config c = {.hidden = 16, .heads = 2, .patch = 2, .merge = 2, .positions = 25};
    fv_patches picture = {.grid = {1, 4, 2}};
    const fv_patches *one = &picture;
    fv_tower_layout l = fv_tower_lay_out(arena, &c, &one, 1);
    assert_false(l.permuted);
    const int32_t *corner = fv_i32(l.corner);
    const float *mix = fv_f32(l.mix);
    static const int32_t third_patch[] = {5, 6, 10, 11}; /* row 1, column 0 */
    assert_memory_equal(corner + 8, third_patch, sizeof third_patch);
    assert_float_equal(mix[8], 2.0 / 3, 1e-6);
    assert_float_equal(mix[10], 1.0 / 3, 1e-6);
    assert_true(mix[9] == 0 && mix[11] == 0);
    assert_int_equal(corner[28], 24); /* the last patch: the table's last row, once */
    assert_true(mix[28] == 1 && mix[29] == 0 && mix[30] == 0 && mix[31] == 0);
    fv_arena_free(arena);
}

/* ---- a small tower with random weights ---- */

enum { MAX_WEIGHTS = 40 };

typedef struct {
    fv_weight weights[MAX_WEIGHTS];
    int count;
    fv_arena *memory, *arena, *scratch;
    fv_tower *tower;
    fv_slot *slot;
} fixture;

static void add_weight(fixture *f, int64_t n, int64_t k, const char *name) {
    fv_view v = k ? fv_mat(FV_TAKE(f->memory, float, n * k), n, k) : fv_vec(FV_TAKE(f->memory, float, n), n);
    fv_random r = fv_random_stream(fv_random_key(1, name, 0, 0));
    for (int64_t i = 0; i < fv_elements(v); i++) fv_f32(v)[i] = (float)(0.3 * fv_normal(&r));
    assert_true(f->count < MAX_WEIGHTS);
    f->weights[f->count++] = (fv_weight){.name = strcpy(FV_TAKE(f->memory, char, strlen(name) + 1), name), .view = v};
}

static void add_affine(fixture *f, int64_t n, int64_t k, const char *place) {
    char name[96];
    snprintf(name, sizeof name, "visual.%s.weight", place);
    add_weight(f, n, k, name);
    snprintf(name, sizeof name, "visual.%s.bias", place);
    add_weight(f, n, 0, name);
}

static void open_tower(fixture *f) {
    memset(f, 0, sizeof *f);
    f->memory = fv_arena_new(0);
    f->arena = fv_arena_new(0);
    f->scratch = fv_arena_new(0);
    fv_tower_config c = {.hidden = 16, .depth = 2, .heads = 2, .intermediate = 20, .out_hidden = 24, .patch = 2, .temporal = 2, .merge = 2,
                         .channels = 3, .rms_norm = true, .gated = true, .window = 8, .full_blocks = 2};
    add_weight(f, 16, 24, "visual.patch_embed.proj.weight");
    for (int i = 0; i < c.depth; i++) {
        char place[64];
        static const char *const norms[] = {"norm1", "norm2"}, *const linears[] = {"attn.qkv", "attn.proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"};
        static const int sizes[][2] = {{48, 16}, {16, 16}, {20, 16}, {20, 16}, {16, 20}};
        for (int n = 0; n < 2; n++) {
            snprintf(place, sizeof place, "visual.blocks.%d.%s.weight", i, norms[n]);
            add_weight(f, 16, 0, place);
        }
        for (int n = 0; n < 5; n++) {
            snprintf(place, sizeof place, "blocks.%d.%s", i, linears[n]);
            add_affine(f, sizes[n][0], sizes[n][1], place);
        }
    }
    add_weight(f, 16, 0, "visual.merger.ln_q.weight");
    add_affine(f, 64, 64, "merger.mlp.0");
    add_affine(f, 24, 64, "merger.mlp.2");
    fv_error err = {0};
    const fv_ops *ops;
    if (fv_tower_open(&f->tower, &c, f->weights, f->count, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_ops_find(&ops, "cpu", NULL, &err) != FV_OK) fail_msg("%s", err.text);
    fv_slot_options options = {.name = "policy", .train = true};
    if (fv_slot_open(&f->slot, ops, (fv_exec){.scratch = f->scratch}, f->weights, f->count, &options, &err) != FV_OK) fail_msg("%s", err.text);
}

static void close_tower(fixture *f) {
    fv_slot_close(f->slot);
    fv_tower_close(f->tower);
    fv_arena_free(f->memory);
    fv_arena_free(f->arena);
    fv_arena_free(f->scratch);
}

static fv_patches random_picture(fixture *f, int t, int h, int w, uint64_t key) {
    fv_patches p = {.grid = {t, h, w}};
    int n = fv_patches_rows(&p) * 24;
    p.pixels = FV_TAKE(f->memory, float, n);
    for (int i = 0; i < n; i++) p.pixels[i] = (float)(2 * fv_uniform_at(key, (uint64_t)i) - 1);
    return p;
}

static void pictures_do_not_mix(void **state) {
    (void)state;
    fixture f;
    open_tower(&f);
    fv_patches a = random_picture(&f, 1, 6, 10, 1), b = random_picture(&f, 1, 2, 4, 2), clip = random_picture(&f, 2, 4, 4, 3);
    const fv_patches *together[] = {&a, &b, &clip};
    fv_pass p = fv_pass_begin(f.slot, f.arena, true);
    fv_var *all = fv_tower_forward(&p, f.tower, together, 3).embeds;
    assert_int_equal(fv_rows(all->v), 15 + 2 + 8);
    assert_int_equal(fv_cols(all->v), 24);
    const float *at = fv_f32(all->v);
    for (int i = 0; i < 3; i++) {
        fv_pass alone = fv_pass_begin(f.slot, f.arena, false);
        fv_var *one = fv_tower_forward(&alone, f.tower, &together[i], 1).embeds;
        assert_memory_equal(one->v.data, at, fv_bytes(one->v));
        at += fv_elements(one->v);
    }
    assert_int_equal(p.error.status, FV_OK);
    close_tower(&f);
}

/* The slot of another model is noticed before anything is read. */
static void another_models_slot(void **state) {
    (void)state;
    fixture f;
    open_tower(&f);
    fv_patches a = random_picture(&f, 1, 6, 10, 1);
    const fv_patches *one = &a;
    fv_pass p = fv_pass_begin(f.slot, f.arena, false);
    f.slot->weights--;
    fv_tower_out out = fv_tower_forward(&p, f.tower, &one, 1);
    f.slot->weights++;
    assert_int_equal(p.error.status, FV_LIMIT);
    assert_int_equal(fv_rows(out.embeds->v), 15);
    close_tower(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_follow_each_other),
        cmocka_unit_test(learned_positions_reach_the_corners),
        cmocka_unit_test(pictures_do_not_mix),
        cmocka_unit_test(another_models_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
