/* What decoding keeps is what training would compute: gradients from a replayed forward have the bits of those from an independent one. With an adapter, too. */
#include "small.h"

enum { GROUP = 4 };

static const char prompt_text[] = "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?<|im_end|>\n<|im_start|>assistant\n";
static const char observation[] = "\n<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n";

static void write_turn(fv_engine *e, fv_tree *t, const int *parents, int *leaves, int tokens) {
    fv_done done[GROUP];
    int count;
    for (int k = 0; k < GROUP; k++) {
        MUST(fv_tree_branch(t, parents[k], 0, 0.9f, 0, &leaves[k], err));
        fv_ask ask = {.segment = leaves[k], .temperature = 0.9f, .key = 100 + (uint64_t)k, .max_new = tokens + 5 * k};
        MUST(fv_engine_ask(e, &ask, err));
    }
    while (fv_engine_active(e)) MUST(fv_engine_step(e, done, GROUP, &count, err));
}

/* Two turns a path, with a picture in the prompt and a clip in between. */
static fv_tree *roll_out(const small *s, fv_engine *e, int *leaves) {
    fv_tree *t;
    int parents[GROUP];
    MUST(fv_tree_new(&t, s->model, err));
    fv_engine_begin(e, t);
    int prompt = small_add(t, s->model, -1, prompt_text, 84, 56, 1);
    for (int k = 0; k < GROUP; k++) parents[k] = prompt;
    write_turn(e, t, parents, leaves, 12);
    for (int k = 0; k < GROUP; k++) parents[k] = small_add(t, s->model, leaves[k], observation, 56, 56, 10 + (unsigned)k);
    write_turn(e, t, parents, leaves, 7);
    return t;
}

/* Whether it was replayed. Gradients are added to the slot's. */
static bool train_on(small *s, const fv_engine *e, const fv_tree *t, const int *leaves, int n, bool replay) {
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(s->slot, s->arena, true);
    MUST(fv_pack_make_scored(&pack, t, leaves, n, s->model->image.merge, s->arena, err));
    bool replayed = replay && fv_engine_replay(e, &pack, s->arena);
    fv_pack_targets(&targets, &pack, true, 0, s->arena);
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    for (int i = 0; i < targets.count; i++) {
        assert_true(fv_f32(scored.logp->v)[i] == t->segments[targets.segment[i]]->logp[targets.index[i]]);
        fv_f32(fv_grad(&pass, scored.logp))[i] = (float)(i % 7 - 3) / 8;
    }
    fv_pass_back(&pass);
    assert_int_equal(pass.error.status, FV_OK);
    fv_arena_reset(s->arena);
    return replayed;
}

static float *copy_grads(const fv_slot *s) {
    float *out = malloc((size_t)fv_slot_trained(s) * sizeof *out), *to = out;
    for (int i = 0; i < s->count; i++) {
        if (!s->params[i].grad.data) continue;
        memcpy(to, s->params[i].grad.data, fv_bytes(s->params[i].grad));
        to += fv_elements(s->params[i].grad);
    }
    return out;
}

static void replayed_gradients_have_the_same_bits(void **state) {
    enum { PLAIN, LORA, DORA, ADAPTERS };
    (void)state;
    for (int kind = 0; kind < SMALL_FAMILIES; kind++)
        for (int adapter = 0; adapter < ADAPTERS; adapter++) {
            small s;
            fv_engine *e;
            int leaves[GROUP];
            small_open(&s, kind, NULL, 1 + (kind + adapter) % 2, true);
            if (adapter != PLAIN) small_adapt(&s, adapter == DORA, true);
            MUST(fv_engine_open(&e, s.model, s.slot, &(fv_engine_options){.max_rows = 16, .record = 1 << 24}, err));
            fv_tree *t = roll_out(&s, e, leaves);
            fv_slot_zero_grad(s.slot);
            assert_false(train_on(&s, e, t, leaves, GROUP, false));
            float *want = copy_grads(s.slot);
            fv_slot_zero_grad(s.slot);
            assert_true(train_on(&s, e, t, leaves, GROUP, true));
            float *got = copy_grads(s.slot);
            assert_memory_equal(got, want, (size_t)fv_slot_trained(s.slot) * sizeof *got);
            free(got);
            free(want);
            fv_engine_close(e);
            fv_tree_free(t);
            small_close(&s);
        }
}

/* Other weights, another tree, no room: training then computes as ever. */
static void what_does_not_fit_is_not_replayed(void **state) {
    (void)state;
    small s;
    fv_engine *e;
    int leaves[GROUP];
    small_open(&s, SMALL_QWEN25, NULL, 1, true);
    MUST(fv_engine_open(&e, s.model, s.slot, &(fv_engine_options){.record = 1 << 24}, err));
    fv_tree *t = roll_out(&s, e, leaves);
    fv_slot_zero_grad(s.slot);
    assert_true(train_on(&s, e, t, leaves, 1, true));
    float *weights = malloc((size_t)fv_slot_trained(s.slot) * sizeof *weights);
    fv_slot_snapshot(s.slot, weights);
    fv_slot_restore(s.slot, weights);
    assert_false(train_on(&s, e, t, leaves, 1, true));
    free(weights);
    fv_tree_free(t);
    t = roll_out(&s, e, leaves);
    assert_true(train_on(&s, e, t, leaves, GROUP, true));
    fv_engine_close(e);
    fv_tree_free(t);
    MUST(fv_engine_open(&e, s.model, s.slot, &(fv_engine_options){.record = 1 << 12}, err));
    t = roll_out(&s, e, leaves);
    assert_false(train_on(&s, e, t, leaves, GROUP, true));
    fv_engine_close(e);
    fv_tree_free(t);
    small_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replayed_gradients_have_the_same_bits),
        cmocka_unit_test(what_does_not_fit_is_not_replayed),
    };
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
