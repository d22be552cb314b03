/* Whole models on the card: pictures, decoding from the page pool, an independent packed pass, gradients (of blocks that are run again, and of a
 * forward that decoding recorded), steps of the optimizer, a saved model. Both architectures. In f32 all of it with the CPU's bits; in bf16 decoding
 * and training with each other's. */
#include "tests/rl/small.h"

#include "core/random.h"
#include "cuda/cuda.h"
#include "language/model.h"
#include "rl/train/train.h"

enum { PROMPTS = 2, GROUP = 2, ANSWERS = PROMPTS * GROUP, LONGEST = 24, ROOM = 512, STEPS = 2 };

static const char system_text[] = "<|im_start|>system\nLook closely.<|im_end|>\n";
static const char *const question[PROMPTS] = {
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is there?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nAnd here? <|vision_start|><|image_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n"};

/* What a run leaves. */
typedef struct {
    int32_t ids[ANSWERS * LONGEST];
    float sampled[ROOM], scored[ROOM];
    int tokens, targets;
    float *weights; /* after the last step */
    int64_t trained;
    double norm;
    char *saved;    /* the model's file */
    size_t saved_size;
} leavings;

/* A prompt that both questions share, a picture in each, two answers below it. */
static void write_answers(small *s, fv_engine *e, fv_tree **tree, int *leaves, int step) {
    MUST(fv_tree_new(tree, s->model, err));
    fv_engine_begin(e, *tree);
    int root = small_add(*tree, s->model, -1, system_text, 0, 0, 0);
    for (int i = 0; i < ANSWERS; i++) {
        static int prompt;
        if (i % GROUP == 0) prompt = small_add(*tree, s->model, root, question[i / GROUP], i ? 84 : 56, 56, 3 + (unsigned)i);
        MUST(fv_tree_branch(*tree, prompt, 0, 1.0f, 0, &leaves[i], err));
        fv_ask ask = {.segment = leaves[i], .temperature = 1, .top_p = i % 2 ? 0.9f : 1.0f, .top_k = i == 2 ? 20 : 0,
                      .key = fv_random_key(9, "test", (uint64_t)i, (uint64_t)step), .max_new = LONGEST - 3 * i};
        MUST(fv_engine_ask(e, &ask, err));
    }
    fv_done done[ANSWERS];
    for (int n; fv_engine_active(e);) MUST(fv_engine_step(e, done, ANSWERS, &n, err));
}

/* step 1 learns from the forward that decoding recorded. */
static void train(small *s, const fv_engine *e, const fv_tree *t, const int *leaves, int step, double *norm) {
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(s->slot, s->arena, true);
    pass.checkpoint = step == 0;
    MUST(fv_pack_make_scored(&pack, t, leaves, ANSWERS, s->model->image.merge, s->arena, err));
    fv_pack_targets(&targets, &pack, true, 0, s->arena);
    if (step == 0) fv_pack_want(&pack, &targets, s->arena);
    else assert_true(fv_engine_replay(e, &pack, s->arena));
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    float *stream = FV_TAKE(s->arena, float, targets.count);
    for (int i = 0; i < targets.count; i++) stream[i] = (float)((targets.target[i] * 7 + i) % 11 - 5) / 16.0f;
    fv_slot_zero_grad(s->slot);
    fv_stream(&pass, scored.logp, stream);
    fv_stream(&pass, scored.entropy, stream);
    fv_pass_back(&pass);
    assert_int_equal(pass.error.status, FV_OK);
    fv_arena_reset(s->arena);
    fv_slot_step(s->slot, &(fv_optim){.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.1f, .clip = 1}, norm);
    MUST(s->slot->ops->check(err));
}

/* offload: moments lie in the host's memory, which changes no bits. */
static leavings run(int kind, const fv_ops *ops, bool offload) {
    leavings l = {.tokens = 0};
    small s;
    int leaves[ANSWERS];
    fv_engine *e;
    small_open(&s, kind, ops, 1, true);
    if (offload) {
        fv_exec exec = s.slot->exec;
        fv_slot_close(s.slot);
        MUST(fv_slot_open(&s.slot, ops, exec, s.model->weights, s.model->count, &(fv_slot_options){.name = "policy", .train = true, .offload = true}, err));
    }
    MUST(fv_engine_open(&e, s.model, s.slot, &(fv_engine_options){.max_rows = 40, .record = (size_t)16 << 20}, err));
    for (int step = 0; step < STEPS; step++) { /* the second answers from the weights that the first has trained */
        fv_tree *t;
        write_answers(&s, e, &t, leaves, step);
        l.tokens = 0;
        for (int i = 0; i < ANSWERS; i++) {
            const fv_segment *g = t->segments[leaves[i]];
            memcpy(l.ids + l.tokens, g->ids, (size_t)g->count * sizeof *g->ids);
            l.tokens += g->count;
        }
        l.targets = small_score(&s, t, leaves, ANSWERS, l.scored, l.sampled, ROOM);
        train(&s, e, t, leaves, step, &l.norm);
        fv_tree_free(t);
    }
    fv_engine_close(e);
    l.trained = fv_slot_trained(s.slot);
    l.weights = malloc((size_t)l.trained * sizeof *l.weights);
    fv_slot_snapshot(s.slot, l.weights);
    const char *folder = small_path(ops->name);
    MUST(fv_model_save(s.model, s.slot, folder, FV_BF16, err));
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    MUST(fv_file_read(&l.saved, &l.saved_size, path, err));
    MUST(fv_path_remove(folder, err));
    small_close(&s);
    return l;
}

static void the_card_has_the_cpus_bits(void **state) {
    (void)state;
    const fv_ops *tables[4];
    assert_int_equal(fv_ops_cpu_all(tables, 4), 2);
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        leavings cpu = run(kind, tables[0], false), card = run(kind, tables[1], kind % 2 == 1);
        assert_true(cpu.tokens > 40 && cpu.norm > 0);
        assert_int_equal(card.tokens, cpu.tokens);
        assert_memory_equal(card.ids, cpu.ids, (size_t)cpu.tokens * sizeof *cpu.ids);
        assert_int_equal(card.targets, cpu.targets);
        size_t bytes = (size_t)cpu.targets * sizeof *cpu.scored;
        assert_memory_equal(card.sampled, card.scored, bytes); /* decoding is training */
        assert_memory_equal(card.sampled, cpu.sampled, bytes);
        assert_memory_equal(&card.norm, &cpu.norm, sizeof cpu.norm);
        assert_memory_equal(card.weights, cpu.weights, (size_t)cpu.trained * sizeof *cpu.weights);
        assert_int_equal(card.saved_size, cpu.saved_size);
        assert_memory_equal(card.saved, cpu.saved, cpu.saved_size);
        free(cpu.weights), free(card.weights), free(cpu.saved), free(card.saved);
    }
}

/* Products on tensor cores: a token's log-prob is the same as it is drawn and as it is trained, and a run is the same twice. */
static void bf16_is_on_policy(void **state) {
    (void)state;
    const fv_ops *tables[4], *bf16;
    assert_int_equal(fv_ops_cpu_all(tables, 4), 2);
    MUST(fv_cuda_table(&bf16, FV_PRECISION_BF16, err));
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        leavings once = run(kind, bf16, false), again = run(kind, bf16, false), f32 = run(kind, tables[1], false);
        size_t bytes = (size_t)once.targets * sizeof *once.scored, weights = (size_t)once.trained * sizeof *once.weights;
        assert_true(once.tokens > 40 && once.norm > 0);
        assert_memory_equal(once.sampled, once.scored, bytes);
        assert_int_equal(again.targets, once.targets);
        assert_memory_equal(again.scored, once.scored, bytes);
        assert_memory_equal(again.weights, once.weights, weights);
        assert_memory_not_equal(f32.weights, once.weights, weights); /* it is another arithmetic */
        free(once.weights), free(again.weights), free(f32.weights), free(once.saved), free(again.saved), free(f32.saved);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_card_has_the_cpus_bits), cmocka_unit_test(bf16_is_on_policy)};
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
