/* Very small models with random weights, of every family, in a temporary folder; prompts, pictures and clips for them. */
#ifndef FV_TESTS_RL_SMALL_H
#define FV_TESTS_RL_SMALL_H

#include "core/file.h"
#include "core/random.h"
#include "rl/engine/engine.h"
#include "rl/engine/pack.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MUST(call)                                                                                                     \
    do {                                                                                                               \
        fv_error must_err_ = {0}, *err = &must_err_;                                                                   \
        if ((call) != FV_OK) fail_msg("%s", err->text);                                                                \
    } while (0)

/* The first two are what most tests of this folder run; bits are compared over all families. */
enum { SMALL_QWEN25, SMALL_QWEN3, SMALL_KINDS, SMALL_QWEN2_VL = SMALL_KINDS, SMALL_TEXT2, SMALL_TEXT3, SMALL_FAMILIES };

/* What their weights are stored as: both types of models that see and of those that do not. */
static const fv_dtype small_dtypes[SMALL_FAMILIES] = {FV_F32, FV_F32, FV_BF16, FV_F32, FV_BF16};

/* Vision and text of 32 numbers, two layers each. The second has deepstack, learned positions and an output projection of its own, as the last has; the last two
 * see nothing. */
static const char *const small_configs[SMALL_FAMILIES] = {
    "{\"architectures\": [\"Qwen2_5_VLForConditionalGeneration\"], \"model_type\": \"qwen2_5_vl\", \"tie_word_embeddings\": true, \"text_config\": {\"model_type\": "
    "\"qwen2_5_vl_text\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 48, "
    "\"hidden_act\": \"silu\", \"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-06, \"initializer_range\": 0.2, \"rope_parameters\": {\"rope_type\": "
    "\"default\", \"rope_theta\": 1000.0, \"mrope_section\": [2, 1, 1]}, \"tie_word_embeddings\": true}, \"vision_config\": {\"model_type\": "
    "\"qwen2_5_vl_vision\", \"depth\": 2, \"hidden_size\": 16, \"num_heads\": 2, \"intermediate_size\": 24, \"fullatt_block_indexes\": [1], \"hidden_act\": \"silu\", "
    "\"out_hidden_size\": 32, \"in_channels\": 3, \"patch_size\": 14, \"temporal_patch_size\": 2, \"spatial_merge_size\": 2, \"window_size\": 56, "
    "\"tokens_per_second\": 2, \"initializer_range\": 0.2}}",
    "{\"architectures\": [\"Qwen3VLForConditionalGeneration\"], \"model_type\": \"qwen3_vl\", \"tie_word_embeddings\": false, \"text_config\": {\"model_type\": "
    "\"qwen3_vl_text\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 12, "
    "\"intermediate_size\": 48, \"hidden_act\": \"silu\", \"rms_norm_eps\": 1e-06, \"attention_bias\": false, \"max_position_embeddings\": 4096, "
    "\"initializer_range\": 0.2, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1000.0, \"mrope_section\": [2, 2, 2], "
    "\"mrope_interleaved\": true}, \"tie_word_embeddings\": false}, \"vision_config\": {\"model_type\": \"qwen3_vl\", \"depth\": 2, \"hidden_size\": 16, "
    "\"num_heads\": 2, \"intermediate_size\": 24, \"hidden_act\": \"gelu_pytorch_tanh\", \"out_hidden_size\": 32, \"in_channels\": 3, \"patch_size\": 14, "
    "\"temporal_patch_size\": 2, \"spatial_merge_size\": 2, \"num_position_embeddings\": 16, \"deepstack_visual_indexes\": [0], \"initializer_range\": 0.2}}",
    "{\"architectures\": [\"Qwen2VLForConditionalGeneration\"], \"model_type\": \"qwen2_vl\", \"tie_word_embeddings\": true, \"text_config\": {\"model_type\": "
    "\"qwen2_vl_text\", \"hidden_size\": 32, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 48, "
    "\"hidden_act\": \"silu\", \"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-06, \"initializer_range\": 0.2, \"rope_parameters\": {\"rope_type\": "
    "\"default\", \"rope_theta\": 1000.0, \"mrope_section\": [2, 1, 1]}, \"tie_word_embeddings\": true}, \"vision_config\": {\"model_type\": "
    "\"qwen2_vl_vision\", \"depth\": 2, \"embed_dim\": 16, \"hidden_size\": 32, \"num_heads\": 2, \"mlp_ratio\": 2, \"hidden_act\": \"quick_gelu\", "
    "\"in_channels\": 3, \"patch_size\": 14, \"temporal_patch_size\": 2, \"spatial_merge_size\": 2, \"initializer_range\": 0.2}}",
    "{\"architectures\": [\"Qwen2ForCausalLM\"], \"model_type\": \"qwen2\", \"tie_word_embeddings\": true, \"hidden_size\": 32, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 48, \"hidden_act\": \"silu\", \"max_position_embeddings\": 4096, "
    "\"rms_norm_eps\": 1e-06, \"initializer_range\": 0.2, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1000.0}}",
    "{\"architectures\": [\"Qwen3ForCausalLM\"], \"model_type\": \"qwen3\", \"tie_word_embeddings\": false, \"hidden_size\": 32, \"num_hidden_layers\": 2, "
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 12, \"intermediate_size\": 48, \"hidden_act\": \"silu\", "
    "\"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-06, \"attention_bias\": false, \"initializer_range\": 0.2, \"rope_parameters\": {\"rope_type\": "
    "\"default\", \"rope_theta\": 1000.0}}",
};

static char small_root[64];

static inline const char *small_path(const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", small_root, name);
    return path;
}

static inline void small_write(const char *name, const char *text) {
    fv_error err = {0};
    if (fv_file_write(small_path(name), text, strlen(text), &err) != FV_OK) fail_msg("%s", err.text);
}

/* Group set-up: the folder with the models, "model0", "model1", ... */
static inline int small_begin(void **state) {
    (void)state;
    fv_error err = {0};
    snprintf(small_root, sizeof small_root, "/tmp/fovea-rl-XXXXXX");
    if (!mkdtemp(small_root)) return -1;
    for (int k = 0; k < SMALL_FAMILIES; k++) {
        char name[32];
        snprintf(name, sizeof name, "config%d.json", k);
        if (fv_file_write(small_path(name), small_configs[k], strlen(small_configs[k]), &err) != FV_OK) return -1;
        const char *config = small_path(name);
        snprintf(name, sizeof name, "model%d", k);
        if (fv_model_init(config, 5, small_path(name), small_dtypes[k], &err) == FV_OK) continue;
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

static inline int small_end(void **state) {
    (void)state;
    return fv_path_remove(small_root, NULL) != FV_OK;
}

/* A model with what it runs on. */
typedef struct {
    fv_model *model;
    fv_pool *pool;
    fv_arena *scratch, *arena;
    fv_slot *slot;
} small;

static inline void small_open_at(small *s, const char *folder, const fv_ops *ops, int threads, bool train) {
    fv_error err = {0};
    memset(s, 0, sizeof *s);
    if (!ops && fv_ops_find(&ops, "cpu", NULL, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_model_open(&s->model, folder, &err) != FV_OK) fail_msg("%s", err.text);
    if (fv_pool_open(&s->pool, threads, &err) != FV_OK) fail_msg("%s", err.text);
    s->scratch = fv_ops_arena(ops, 0);
    s->arena = fv_ops_arena(ops, 0);
    fv_slot_options o = {.name = "policy", .train = train};
    if (fv_slot_open(&s->slot, ops, (fv_exec){s->pool, s->scratch}, s->model->weights, s->model->count, &o, &err) != FV_OK) fail_msg("%s", err.text);
}

/* ops NULL: the machine's best. */
static inline void small_open(small *s, int kind, const fv_ops *ops, int threads, bool train) {
    char name[32];
    snprintf(name, sizeof name, "model%d", kind);
    small_open_at(s, small_path(name), ops, threads, train);
}

/* The same model with a new adapter for every linear layer, a slot over both, and something in B: a fresh one would change nothing. */
static inline void small_adapt(small *s, bool dora, bool train) {
    fv_error err = {0};
    const fv_ops *ops = s->slot->ops;
    fv_exec exec = s->slot->exec;
    json_t *config = json_pack("{s: s, s: i, s: i, s: s, s: b}", "peft_type", "LORA", "r", 3, "lora_alpha", 6, "target_modules", "all-linear", "use_dora", dora);
    if (fv_model_adapt_new(s->model, config, 9, &err) != FV_OK) fail_msg("%s", err.text);
    json_decref(config);
    for (int i = 0; i < s->model->lora->adapter.part_count; i++) {
        fv_view b = s->model->lora->adapter.parts[i].b.view;
        for (int64_t k = 0; k < fv_elements(b); k++) fv_f32(b)[k] = (float)(0.4 * fv_uniform_at((uint64_t)i, (uint64_t)k) - 0.2);
    }
    fv_slot_close(s->slot);
    fv_slot_options o = {.name = "policy", .train = train, .adapter = fv_model_adapter(s->model)};
    if (fv_slot_open(&s->slot, ops, exec, s->model->weights, s->model->count, &o, &err) != FV_OK) fail_msg("%s", err.text);
}

static inline void small_close(small *s) {
    fv_slot_close(s->slot);
    fv_arena_free(s->arena);
    fv_arena_free(s->scratch);
    fv_pool_close(s->pool);
    fv_model_close(s->model);
}

/* A picture of coloured noise. */
static inline fv_image *small_picture(int width, int height, unsigned seed) {
    fv_image *im;
    fv_error err = {0};
    if (fv_image_new(&im, width, height, (const uint8_t[]){0, 0, 0}, &err) != FV_OK) fail_msg("%s", err.text);
    for (int i = 0; i < width * height * 3; i++) im->rgb[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24);
    return im;
}

/* Text with one picture of noise (width 0: none) where <|image_pad|> stands, or a clip of four where <|video_pad|> does. To a model that sees nothing both are
 * tokens like others. */
static inline fv_prompt small_prompt(const fv_model *m, const char *text, int width, int height, unsigned seed) {
    enum { FRAMES = 4 };
    bool clip = strstr(text, "<|video_pad|>");
    fv_prompt p;
    fv_error err = {0};
    fv_image *images[FRAMES] = {NULL};
    fv_media media = {.images = images, .image_count = !width || !m->tower ? 0 : clip ? FRAMES : 1};
    json_t *part = clip ? json_pack("{s: [s, s, s, s]}", "video", "#0", "#1", "#2", "#3") : json_pack("{s: s}", "image", "#0");
    const json_t *parts[] = {part};
    for (int i = 0; i < media.image_count; i++) images[i] = small_picture(width, height, seed + 100 * (unsigned)i);
    if (fv_prompt_text(m, text, parts, media.image_count > 0, &media, &p, &err) != FV_OK) fail_msg("%s", err.text);
    for (int i = 0; i < media.image_count; i++) fv_image_free(images[i]);
    json_decref(part);
    return p;
}

/* The prompt as a segment of its own. */
static inline int small_add(fv_tree *t, const fv_model *m, int parent, const char *text, int width, int height, unsigned seed) {
    int out;
    fv_error err = {0};
    fv_prompt p = small_prompt(m, text, width, height, seed);
    if (fv_tree_add(t, parent, FV_BY_ENVIRONMENT, &p, 0, p.tokens.count, &out, &err) != FV_OK) fail_msg("%s", err.text);
    fv_prompt_clear(&p);
    return out;
}

/* Log-probs of everything that was sampled on the paths to `leaves`, from an independent packed pass: into `out`, in canonical order, beside what stood in the
 * tree when it was sampled. Returns how many. */
static inline int small_score(small *s, const fv_tree *t, const int *leaves, int leaf_count, float *now, float *then, int room) {
    fv_error err = {0};
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(s->slot, s->arena, false);
    if (fv_pack_make(&pack, t, leaves, leaf_count, s->model->image.merge, s->arena, &err) != FV_OK) fail_msg("%s", err.text);
    fv_pack_targets(&targets, &pack, true, 0, s->arena);
    assert_true(targets.count <= room);
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    assert_int_equal(pass.error.status, FV_OK);
    const float *logp = fv_read(&pass, scored.logp->v);
    for (int i = 0; i < targets.count; i++) {
        now[i] = logp[i];
        then[i] = t->segments[targets.segment[i]]->logp[targets.index[i]];
    }
    fv_arena_reset(s->arena);
    return targets.count;
}

#endif
