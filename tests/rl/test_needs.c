/* What a run is said to need is what it takes: bytes that the table's memory and the arenas hand out, not what the system counts. */
#include "small.h"

#include "core/hollow.h"
#include "rl/train/needs.h"
#include "rl/train/needs_model.h"

static fv_recipe *recipe_of(const char *model, const char *rest) {
    fv_recipe *r;
    fv_text t = {0};
    fv_text_printf(&t, "name: needs\nout: %s/run\nthreads: 2\nmodel: {%s}\n%s", small_root, model, rest);
    MUST(fv_recipe_parse(&r, t.data, "needs.yaml", NULL, 0, err));
    fv_text_clear(&t);
    return r;
}

static fv_recipe *small_recipe(int kind, const char *rest) {
    char model[128];
    snprintf(model, sizeof model, "path: %s/model%d", small_root, kind);
    return recipe_of(model, rest);
}

/* ---- Slots ---- */

static double handed_out;
static const fv_ops *plain;

static fv_status counted(void **out, size_t bytes, fv_error *err) {
    handed_out += (double)bytes;
    return plain->alloc(out, bytes, err);
}

static const char stage[] = "stages:\n  - {name: learn, kind: sft, data: x.jsonl, steps: 1}\n";

static void slots_hold_what_is_said(void **state) {
    (void)state;
    static const char *const heads[] = {"", "freeze: [visual.*]\nmuon: [language_model.layers.*]\n", "lora: {r: 3, targets: all-linear}\n", "lora: {r: 3, targets: [q_proj, down_proj], dora: true}\n"};
    for (int kind = 0; kind < SMALL_KINDS; kind++)
        for (size_t i = 0; i < FV_COUNT(heads); i++) {
            char rest[256];
            snprintf(rest, sizeof rest, "%s%s", heads[i], stage);
            fv_recipe *r = small_recipe(kind, rest);
            fv_needs_model m;
            small s;
            fv_slot *slot;
            small_open(&s, kind, NULL, 2, false);
            plain = s.slot->ops;
            fv_ops ops = *plain;
            ops.alloc = counted;
            MUST(fv_train_adapt(s.model, r, err));
            handed_out = 0;
            MUST(fv_train_policy(&slot, r, s.model, s.model->weights, &ops, s.slot->exec, err));
            MUST(fv_needs_open(&m, r, err));
            fv_needs_weights said = fv_needs_policy(&m);
            assert_true(said.held + said.optimizer == handed_out);
            assert_true(said.optimizer > 0 && said.file > 0 && said.droppable <= said.file);
            if (!s.model->lora) { /* a file of its own, in f32, as the model's is here: all packed copies once more */
                fv_slot *reference;
                fv_needs_weights beside;
                handed_out = 0;
                MUST(fv_slot_open(&reference, &ops, s.slot->exec, s.model->weights, s.model->count, &(fv_slot_options){.name = "reference"}, err));
                MUST(fv_needs_reference(&m, &beside, err));
                assert_true(beside.held == handed_out && beside.file == said.file && beside.optimizer == 0);
                fv_slot_close(reference);
            }
            fv_needs_close(&m);
            fv_slot_close(slot);
            small_close(&s);
            fv_recipe_close(r);
        }
}

/* ---- Passes ---- */

/* A row that is forgotten in core/hollow.c would be a crash in somebody's plan. */
static void every_operation_is_there(void **state) {
    (void)state;
    const fv_ops *like;
    fv_ops hollow;
    MUST(fv_ops_find(&like, "cpu", NULL, err));
    fv_hollow_ops(&hollow, like);
    assert_true(hollow.alloc && hollow.free && hollow.upload && hollow.download && hollow.clear && hollow.check);
#define X(op) assert_true(hollow.op != NULL);
    FV_KERNEL_MAP(X)
#undef X
}

static const char text[] = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it? The rest is only there to be read, so that words and pictures both count.<|im_end|>\n"
                           "<|im_start|>assistant\n<answer>8</answer><|im_end|>\n";

/* The numbers' side of the arena of a real pass. */
static double real_pass(small *s, const fv_tree *t, int leaf, bool train, bool checkpoint) {
    fv_pack pack;
    fv_targets targets;
    fv_arena *a = fv_arena_new_over(s->slot->ops->alloc, s->slot->ops->free, 0);
    fv_pass pass = fv_pass_begin(s->slot, a, train);
    pass.checkpoint = checkpoint;
    MUST(fv_pack_make(&pack, t, &leaf, 1, s->model->image.merge, a, err));
    fv_pack_targets(&targets, &pack, false, 1, a);
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    if (train) {
        fv_stream(&pass, scored.logp, FV_ZERO(a, float, targets.count));
        fv_pass_back(&pass);
    }
    assert_int_equal(pass.error.status, FV_OK);
    double peak = (double)fv_arena_peak(a);
    fv_arena_free(a);
    return peak;
}

static void near(double said, double real, double share) {
    if (!(said >= real * (1 - share) && said <= real * (1 + share))) fail_msg("%.0f bytes were said, %.0f taken", said, real);
}

static void passes_take_what_is_said(void **state) {
    (void)state;
    static const char *const heads[] = {"", "freeze: [visual.*]\n", "lora: {r: 3, targets: all-linear}\n"};
    for (int kind = 0; kind < SMALL_KINDS; kind++)
        for (size_t i = 0; i < FV_COUNT(heads); i++)
            for (int how = 0; how < 3; how++) {
                bool train = how > 0, checkpoint = how > 1;
                char rest[256];
                snprintf(rest, sizeof rest, "%s%s", heads[i], stage);
                fv_recipe *r = small_recipe(kind, rest);
                fv_needs_model m;
                small s;
                fv_tree *t;
                double said;
                small_open(&s, kind, NULL, 2, false);
                fv_slot *inference = s.slot;
                MUST(fv_train_adapt(s.model, r, err));
                MUST(fv_train_policy(&s.slot, r, s.model, s.model->weights, inference->ops, inference->exec, err));
                MUST(fv_tree_new(&t, s.model, err));
                int leaf = small_add(t, s.model, -1, text, 280, 196, 1);
                const fv_patches *views[] = {t->segments[leaf]->pictures[0]->patches};
                double real = real_pass(&s, t, leaf, train, checkpoint), scratch = (double)fv_arena_peak(s.scratch);
                MUST(fv_needs_open(&m, r, err));
                MUST(fv_needs_run(&m, &(fv_needs_pass){.rows = t->segments[leaf]->count, .pictures = views, .picture_count = 1, .train = train, .checkpoint = checkpoint}, &said, err));
                near(said, real, 0.01); /* one target more */
                double said_scratch = fv_needs_scratch(&m); /* a bound: blocks are taken to be whole */
                if (train && !(said_scratch >= 0.95 * scratch && said_scratch <= 2 * scratch)) fail_msg("%.0f bytes of scratch were said, %.0f taken", said_scratch, scratch);
                fv_needs_close(&m);
                fv_tree_free(t);
                fv_slot_close(inference);
                small_close(&s);
                fv_recipe_close(r);
            }
}

/* ---- Refusing ---- */

/* Qwen2.5-VL-72B's sizes. */
static const char large[] =
    "{\"architectures\": [\"Qwen2_5_VLForConditionalGeneration\"], \"model_type\": \"qwen2_5_vl\", \"tie_word_embeddings\": false, \"text_config\": {\"model_type\": "
    "\"qwen2_5_vl_text\", \"hidden_size\": 8192, \"num_hidden_layers\": 80, \"num_attention_heads\": 64, \"num_key_value_heads\": 8, \"intermediate_size\": 29568, "
    "\"hidden_act\": \"silu\", \"max_position_embeddings\": 128000, \"rms_norm_eps\": 1e-06, \"rope_parameters\": {\"rope_type\": "
    "\"default\", \"rope_theta\": 1000000.0, \"mrope_section\": [16, 24, 24]}, \"tie_word_embeddings\": false}, \"vision_config\": {\"model_type\": "
    "\"qwen2_5_vl_vision\", \"depth\": 32, \"hidden_size\": 1280, \"num_heads\": 16, \"intermediate_size\": 3456, \"fullatt_block_indexes\": [7, 15, 23, 31], \"hidden_act\": \"silu\", "
    "\"out_hidden_size\": 8192, \"in_channels\": 3, \"patch_size\": 14, \"temporal_patch_size\": 2, \"spatial_merge_size\": 2, \"window_size\": 112, "
    "\"tokens_per_second\": 2}}";

/* 70 thousand million parameters without their embeddings: file and master in f32, gradient, two moments, packed copy. */
static void large_models_are_refused(void **state) {
    (void)state;
    char model[128];
    fv_needs n;
    fv_error why = {0};
    small_write("large.json", large);
    snprintf(model, sizeof model, "init: %s/large.json", small_root);
    fv_recipe *r = recipe_of(model, "data: x.jsonl\nstages:\n  - {name: rl, kind: grpo, steps: 1, optim: {micro_tokens: 2048}}\n");
    MUST(fv_needs_find(&n, r, err));
    assert_true(n.bytes[FV_NEEDS_WEIGHTS] > 70e9 * 12 && n.bytes[FV_NEEDS_WEIGHTS] < 72e9 * 12);
    assert_true(n.bytes[FV_NEEDS_OPTIMIZER] > 70e9 * 12 && n.bytes[FV_NEEDS_OPTIMIZER] < 72e9 * 12);
    assert_true(n.at_least);
    n.limit = 512.0 * (1 << 30);
    assert_int_equal(fv_needs_check(&n, r, &why), FV_LIMIT);
    assert_non_null(strstr(why.text, "needs.yaml: stage rl does not fit into memory, it needs at least "));
    assert_non_null(strstr(why.text, " GiB of 512.0: "));
    assert_non_null(strstr(why.text, "lora.r (an adapter alone is trained), freeze"));
    n.limit = 4e12;
    MUST(fv_needs_check(&n, r, err));
    fv_recipe_close(r);
}

/* Each part that is large names its fields; a file that can be dropped does not count. */
static void what_is_large_is_named(void **state) {
    (void)state;
    fv_error why = {0};
    fv_recipe *r = small_recipe(0, "stages:\n  - {name: learn, kind: sft, data: x.jsonl, steps: 1}\n  - {name: rl, kind: grpo, data: x.jsonl, steps: 1}\n");
    fv_needs n = {.stage = &r->stages[0], .limit = 1e9};
    n.bytes[FV_NEEDS_ACTIVATIONS] = 9e8;
    n.bytes[FV_NEEDS_WEIGHTS] = 2e8;
    n.droppable = 1.5e8;
    MUST(fv_needs_check(&n, r, err));
    n.droppable = 0.5e8;
    assert_int_equal(fv_needs_check(&n, r, &why), FV_LIMIT);
    assert_non_null(strstr(why.text, "a smaller model.path; stages.learn.optim.micro_tokens"));
    n.stage = &r->stages[1];
    n.bytes[FV_NEEDS_KEYS] = 5e8;
    assert_int_equal(fv_needs_check(&n, r, &why), FV_LIMIT);
    assert_non_null(strstr(why.text, "stages.rl.optim.micro_tokens, optim.gradient_checkpointing; stages.rl.rollout.prompts, rollout.group_size, rollout.max_new_tokens"));
    n.limit = 0; /* not known */
    MUST(fv_needs_check(&n, r, err));
    fv_recipe_close(r);
}

/* On a card the program, pictures and offloaded moments are not held against its memory, and a file that can be dropped was never there. */
static void a_card_holds_what_lies_there(void **state) {
    (void)state;
    fv_error why = {0};
    fv_recipe *r = small_recipe(0, "stages:\n  - {name: learn, kind: sft, data: x.jsonl, steps: 1}\n");
    fv_needs n = {.stage = &r->stages[0], .limit = 1e9, .card = true, .offloaded = 4e8, .droppable = 1e9};
    n.bytes[FV_NEEDS_PROGRAM] = 3e8;
    n.bytes[FV_NEEDS_PICTURES] = 3e8;
    n.bytes[FV_NEEDS_OPTIMIZER] = 6e8;
    n.bytes[FV_NEEDS_ACTIVATIONS] = 7.9e8;
    MUST(fv_needs_check(&n, r, err));
    n.offloaded = 0;
    assert_int_equal(fv_needs_check(&n, r, &why), FV_LIMIT);
    assert_non_null(strstr(why.text, "stage learn does not fit into the card's memory, it needs about 1.85 GiB of 0.93: "));
    fv_recipe_close(r);
}

/* More of anything needs more of its part. */
static void stages_need_what_their_rows_are(void **state) {
    (void)state;
    static const char *const stages[] = {"batch: 32, kind: sft, optim: {micro_tokens: 800}", "batch: 32, kind: sft, optim: {micro_tokens: 2400}",
                                         "kind: grpo, rollout: {prompts: 2, group_size: 4, max_new_tokens: 40}, optim: {micro_tokens: 400}",
                                         "kind: grpo, rollout: {prompts: 2, group_size: 16, max_new_tokens: 400}, optim: {micro_tokens: 400}"};
    fv_needs n[FV_COUNT(stages)];
    fv_image *im = small_picture(84, 84, 1);
    MUST(fv_image_save(im, small_path("a.png"), err));
    fv_image_free(im);
    small_write("rows.jsonl", "{\"id\": \"1\", \"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a.png\"}, {\"type\": \"text\", \"text\": \"Which digit?\"}]}, "
                              "{\"role\": \"assistant\", \"content\": \"8\"}], \"answer\": \"8\"}\n");
    for (size_t i = 0; i < FV_COUNT(stages); i++) {
        char rest[512];
        snprintf(rest, sizeof rest, "env: {tools: [image_zoom_in_tool], max_turns: 3}\nstages:\n  - {name: one, steps: 1, data: %s/rows.jsonl, %s}\n", small_root, stages[i]);
        fv_recipe *r = small_recipe(1, rest);
        MUST(fv_needs_find(&n[i], r, err));
        assert_false(n[i].at_least);
        fv_recipe_close(r);
    }
    double one = 84 * 84 * 3 * sizeof(float) * 2 + 84 * 84 * 3; /* patches hold a picture twice: two frames */
    assert_true(n[0].bytes[FV_NEEDS_PICTURES] == 32 * one);
    assert_true(n[2].bytes[FV_NEEDS_PICTURES] == 2 * one + 2 * 4 * 2 * one); /* each answer may zoom twice */
    assert_true(n[0].bytes[FV_NEEDS_KEYS] == 0);
    double numbers = 1000 * 2 * 10 * 32; /* a thousand more rows and more: two layers keep more than ten rows of 32 numbers of each */
    assert_true(n[1].bytes[FV_NEEDS_ACTIVATIONS] > n[0].bytes[FV_NEEDS_ACTIVATIONS] + numbers * sizeof(float));
    assert_true(n[3].bytes[FV_NEEDS_KEYS] > 8 * n[2].bytes[FV_NEEDS_KEYS]);
}

/* A pass keeps what its own stage's gradients need, whatever others train. */
static void held_parts_keep_nothing(void **state) {
    (void)state;
    static const char *const freezes[] = {"[visual.*]", "[]"};
    fv_needs n[2];
    for (size_t i = 0; i < 2; i++) {
        char rest[768];
        snprintf(rest, sizeof rest,
                 "stages:\n  - {name: one, kind: sft, steps: 1, batch: 32, data: %s/rows.jsonl, freeze: %s, optim: {micro_tokens: 2400}}\n"
                 "  - {name: two, kind: sft, steps: 1, batch: 1, data: %s/rows.jsonl, freeze: [language_model.*], optim: {micro_tokens: 10}}\n",
                 small_root, freezes[i], small_root);
        fv_recipe *r = small_recipe(1, rest);
        MUST(fv_needs_find(&n[i], r, err));
        fv_recipe_close(r);
    }
    assert_true(n[0].bytes[FV_NEEDS_ACTIVATIONS] < n[1].bytes[FV_NEEDS_ACTIVATIONS]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(slots_hold_what_is_said), cmocka_unit_test(every_operation_is_there), cmocka_unit_test(passes_take_what_is_said), cmocka_unit_test(large_models_are_refused),
                                       cmocka_unit_test(what_is_large_is_named), cmocka_unit_test(a_card_holds_what_lies_there), cmocka_unit_test(stages_need_what_their_rows_are),
                                       cmocka_unit_test(held_parts_keep_nothing)};
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
