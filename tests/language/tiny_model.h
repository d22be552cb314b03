/* A fixture of tests/peers/tiny_models.py, opened: the model with its weights, what transformers computed, and a slot to run it. */
#ifndef FV_TESTS_LANGUAGE_TINY_MODEL_H
#define FV_TESTS_LANGUAGE_TINY_MODEL_H

#include "core/weights.h"
#include "language/config.h"
#include "language/decoder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_WEIGHTS = 160, MAX_PICTURES = 4 };

typedef struct {
    fv_weights *file;
    fv_config config;
    fv_weight weights[MAX_WEIGHTS];
    int count;
    fv_tower *tower;
    fv_decoder *decoder;
    fv_pool *pool;
    fv_arena *arena, *scratch;
    fv_slot *slot;
    fv_patches pictures[MAX_PICTURES];
    const fv_patches *picture_list[MAX_PICTURES];
    int picture_count;
    int32_t row[256], index[256]; /* rows that hold pictures, and which merged patch they take */
    int visual;
} tiny;

static inline fv_view tiny_view(const tiny *t, const char *name) {
    const fv_tensor *found = fv_weights_find(t->file, name);
    if (!found) fail_msg("the fixture has no %s", name);
    return found->view;
}

static inline void tiny_pictures(tiny *t) {
    fv_view grid = tiny_view(t, "grid_thw"), pixels = tiny_view(t, "pixel_values"), ids = tiny_view(t, "input_ids");
    float *at = pixels.data;
    t->picture_count = (int)grid.shape[0];
    for (int i = 0; i < t->picture_count; i++) {
        memcpy(t->pictures[i].grid, fv_i32(grid) + 3 * i, sizeof t->pictures[i].grid);
        t->pictures[i].pixels = at;
        at += fv_patches_rows(&t->pictures[i]) * fv_cols(pixels);
        t->picture_list[i] = &t->pictures[i];
    }
    for (int r = 0; r < (int)fv_elements(ids); r++) {
        if (fv_i32(ids)[r] != t->config.image_token && fv_i32(ids)[r] != t->config.video_token) continue;
        t->row[t->visual] = r;
        t->index[t->visual] = t->visual;
        t->visual++;
    }
}

static inline void tiny_open(tiny *t, const char *name, const char *isa, int threads, bool train) {
    memset(t, 0, sizeof *t);
    fv_error err = {0};
    char path[512];
    snprintf(path, sizeof path, FOVEA_SOURCE "/tests/language/data/%s.safetensors", name);
    if (fv_weights_open(&t->file, path, &err) != FV_OK) fail_msg("%s", err.text);
    fv_view text = tiny_view(t, "config");
    json_t *json;
    if (fv_json_parse(&json, text.data, fv_bytes(text), "config.json", 1, FV_BAD_MODEL, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_config_of(&t->config, json, "config.json", &err) != FV_OK) fail_msg("%s", err.text);
    json_decref(json);
    for (size_t i = 0; i < fv_weights_count(t->file); i++) {
        const fv_tensor *tensor = fv_weights_at(t->file, i);
        if (strncmp(tensor->name, "weight.", 7)) continue;
        assert_true(t->count < MAX_WEIGHTS);
        t->weights[t->count++] = (fv_weight){.name = tensor->name + 7, .view = tensor->view};
    }
    if (t->config.has_vision && fv_tower_open(&t->tower, &t->config.vision, t->weights, t->count, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_decoder_open(&t->decoder, &t->config.text, t->weights, t->count, &err) != FV_OK) fail_msg("%s", err.text);

    const fv_ops *ops = NULL, *tables[4];
    for (int i = fv_ops_cpu_all(tables, 4) - 1; i >= 0; i--)
        if (!isa || !strcmp(tables[i]->name, isa)) ops = tables[i];
    if (!ops) skip();
    assert_int_equal(fv_pool_open(&t->pool, threads, &err), FV_OK);
    t->arena = fv_arena_new(0);
    t->scratch = fv_arena_new(0);
    fv_exec exec = {.pool = t->pool, .scratch = t->scratch};
    fv_slot_options options = {.name = "policy", .train = train};
    if (fv_slot_open(&t->slot, ops, exec, t->weights, t->count, &options, &err) != FV_OK) fail_msg("%s", err.text);
    if (t->config.has_vision) tiny_pictures(t);
}

/* A slot with other options in place of the first one. */
static inline void tiny_reopen(tiny *t, const fv_slot_options *options) {
    const fv_ops *ops = t->slot->ops;
    fv_exec exec = t->slot->exec;
    fv_error err = {0};
    fv_slot_close(t->slot);
    if (fv_slot_open(&t->slot, ops, exec, t->weights, t->count, options, &err) != FV_OK) fail_msg("%s", err.text);
}

/* The model's weights as a checkpoint in bf16 has them: stored so, or the same numbers as f32. For slots that are opened afterwards. */
static inline void tiny_round(tiny *t, bool stored) {
    for (int i = 0; i < t->count; i++) {
        fv_view *v = &t->weights[i].view;
        int64_t n = fv_elements(*v);
        void *half = FV_TAKE(t->arena, uint16_t, n), *wide = FV_TAKE(t->arena, float, n);
        fv_from_f32(half, FV_BF16, fv_f32(*v), n);
        fv_to_f32(wide, half, FV_BF16, n);
        v->data = stored ? half : wide;
        v->dtype = stored ? FV_BF16 : FV_F32;
    }
}

/* The tower's output, or nothing for a text model. */
static inline fv_tower_out tiny_see(tiny *t, fv_pass *p) {
    return t->tower ? fv_tower_forward(p, t->tower, t->picture_list, t->picture_count) : (fv_tower_out){.embeds = NULL};
}

/* One sequence as one run of rows: causal. */
static inline fv_batch tiny_batch(tiny *t, const fv_tower_out *visual) {
    fv_view ids = tiny_view(t, "input_ids");
    int rows = (int)fv_elements(ids), pages = (rows + FV_PAGE - 1) / FV_PAGE;
    int32_t *run = FV_TAKE(t->arena, int32_t, 4), *page = FV_TAKE(t->arena, int32_t, pages);
    int32_t *limit = FV_TAKE(t->arena, int32_t, rows), *row = FV_TAKE(t->arena, int32_t, rows);
    run[0] = run[2] = 0;
    run[1] = rows;
    run[3] = pages;
    for (int i = 0; i < pages; i++) page[i] = i;
    for (int i = 0; i < rows; i++) {
        limit[i] = i + 1;
        row[i] = i;
    }
    return (fv_batch){.ids = ids, .position = tiny_view(t, "position_ids"), .visual = visual, .visual_row = fv_ints(t->row, t->visual),
                      .visual_index = fv_ints(t->index, t->visual), .kv_row = fv_ints(row, rows), .kv_slot = fv_ints(row, rows), .pages = pages,
                      .plan = {.rows = rows, .runs = 1, .run_row = run, .run_page = run + 2, .pages = page, .limit = limit}};
}

/* Gradients of the mean negative log-prob of tokens 1..n-1. */
static inline fv_var *tiny_run_back(tiny *t, fv_pass *p, fv_tower_out *visual) {
    *visual = tiny_see(t, p);
    fv_batch batch = tiny_batch(t, visual);
    fv_var *hidden = fv_decoder_forward(p, t->decoder, &batch);
    int n = (int)fv_elements(batch.ids) - 1;
    float *temperature = FV_TAKE(t->arena, float, n);
    for (int i = 0; i < n; i++) temperature[i] = 1;
    fv_var *sources = fv_gather(p, hidden, fv_slice(batch.kv_row, 0, n));
    fv_scored scored = fv_logprob(p, sources, fv_decoder_head(t->decoder), fv_slice(batch.ids, 1, n), fv_vec(temperature, n));
    fv_view stream = fv_grad(p, scored.logp);
    for (int i = 0; i < n; i++) fv_f32(stream)[i] = -1.0f / (float)n;
    fv_pass_back(p);
    if (p->error.status != FV_OK) fail_msg("%s", p->error.text);
    return hidden;
}

static inline fv_view tiny_logits(tiny *t, fv_slot *slot) {
    fv_pass p = fv_pass_begin(slot, t->arena, false);
    fv_tower_out visual = tiny_see(t, &p);
    fv_batch batch = tiny_batch(t, &visual);
    fv_var *logits = fv_linear(&p, fv_decoder_forward(&p, t->decoder, &batch), fv_decoder_head(t->decoder), -1);
    if (p.error.status != FV_OK) fail_msg("%s", p.error.text);
    return logits->v;
}

static inline void tiny_close(tiny *t) {
    fv_slot_close(t->slot);
    fv_arena_free(t->arena);
    fv_arena_free(t->scratch);
    fv_pool_close(t->pool);
    fv_tower_close(t->tower);
    fv_decoder_close(t->decoder);
    fv_config_clear(&t->config);
    fv_weights_close(t->file);
}

/* Largest difference, relative to the largest value. */
static inline double tiny_error(fv_view got, fv_view want) {
    double difference = 0, size = 0;
    assert_int_equal(fv_elements(got), fv_elements(want));
    for (int64_t i = 0; i < fv_elements(want); i++) {
        double d = fabs((double)fv_f32(got)[i] - fv_f32(want)[i]), s = fabs((double)fv_f32(want)[i]);
        if (!(d <= difference)) difference = d; /* NaN stays */
        if (s > size) size = s;
    }
    return size > 0 ? difference / size : difference;
}

#endif
