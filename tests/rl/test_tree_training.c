/* Training over a tree: gradients are those of its trajectories one by one, up to the order of sums, for the cost of each segment once. */
#include "small.h"

#include "rl/train/train.h"

enum { GROUP = 5, CONVERSATIONS = 4 };

static const char prompt_text[] = "<|im_start|>system\nLook closely, and say what is there.<|im_end|>\n<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
                                  "What is on the plate to the left of the other one?<|im_end|>\n<|im_start|>assistant\n";
static const char observation[] = "\n<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|><|im_end|>\n<|im_start|>assistant\n";

/* dL/dlogp of a token: any numbers will do, as long as they belong to the token and not to the batch. */
static float stream_of(const fv_tree *t, int segment, int i) { return (float)((t->segments[segment]->ids[i] * 7 + segment * 3 + i) % 11 - 5) / 16.0f; }

/* Forward and backward over the paths to some leaves; gradients are added to the slot's. Returns the rows that it cost. lean: only the rows that
 * the targets need, in the last layer and at the ends. */
static int train_rows(small *s, const fv_tree *t, const int *leaves, int n, bool lean) {
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(s->slot, s->arena, true);
    MUST((lean ? fv_pack_make_scored : fv_pack_make)(&pack, t, leaves, n, s->model->image.merge, s->arena, err));
    fv_pack_targets(&targets, &pack, true, 0, s->arena);
    if (lean) fv_pack_want(&pack, &targets, s->arena);
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    float *dlogp = fv_f32(fv_grad(&pass, scored.logp)), *dentropy = fv_f32(fv_grad(&pass, scored.entropy));
    for (int i = 0; i < targets.count; i++) {
        dlogp[i] = stream_of(t, targets.segment[i], targets.index[i]);
        dentropy[i] = 0.25f * dlogp[i];
    }
    fv_pass_back(&pass);
    assert_int_equal(pass.error.status, FV_OK);
    fv_arena_reset(s->arena);
    return pack.rows;
}

static int train_on(small *s, const fv_tree *t, const int *leaves, int n) { return train_rows(s, t, leaves, n, false); }

static fv_view *copy_grads(const fv_slot *s) {
    fv_view *out = calloc((size_t)s->count, sizeof *out);
    for (int i = 0; i < s->count; i++) {
        out[i] = s->params[i].grad;
        out[i].data = malloc(fv_bytes(out[i]));
        memcpy(out[i].data, s->params[i].grad.data, fv_bytes(out[i]));
    }
    return out;
}

static void free_grads(fv_view *g, int n) {
    for (int i = 0; i < n; i++) free(g[i].data);
    free(g);
}

/* |a - b| / |a| of one weight's gradient, in double. */
static double difference(fv_view a, fv_view b) {
    double d = 0, size = 0;
    for (int64_t i = 0; i < fv_elements(a); i++) {
        double x = fv_f32(a)[i], y = fv_f32(b)[i];
        d += (x - y) * (x - y);
        size += x * x;
    }
    assert_true(isfinite(d));
    return size > 0 ? sqrt(d / size) : sqrt(d);
}

/* A prompt with a picture; every answer has two turns with a clip in between, the last one a second way on. */
static fv_tree *make_group(const small *s, int *leaves, int *alone) {
    fv_tree *t;
    MUST(fv_tree_new(&t, s->model, err));
    int prompt = small_add(t, s->model, -1, prompt_text, 112, 84, 1), at = 0;
    *alone = 0;
    for (int k = 0; k < GROUP; k++) {
        int turn, again;
        MUST(fv_tree_branch(t, prompt, 0, 0.8f, 0, &turn, err));
        for (int i = 0; i < 9 + 5 * k; i++) MUST(fv_tree_append(t, turn, 30 + (i * 13 + k * 5) % 100, 0, 0, err));
        int seen = small_add(t, s->model, turn, observation, 56, 56, 10 + (unsigned)k);
        for (int way = 0; way < (k == GROUP - 1 ? 2 : 1); way++) {
            MUST(fv_tree_branch(t, seen, 0, 0.8f, 0, &again, err));
            for (int i = 0; i < 20 - 3 * k; i++) MUST(fv_tree_append(t, again, 40 + (i * 11 + way) % 90, 0, 0, err));
            leaves[at++] = again;
            *alone += fv_tree_tokens(t, again);
        }
    }
    return t;
}

/* f32 sums in another order differ by about 2^-24 of the sum of magnitudes, some tens of times the sum itself here (gradients of both signs), on a way back
 * of two layers and a tower: measured 1.2e-6 of a gradient's size, allowed ten times that. */
static void a_tree_has_the_gradient_of_its_paths(void **state) {
    (void)state;
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        small s;
        int leaves[GROUP + 1], alone, one_by_one = 0;
        small_open(&s, kind, NULL, 2, true);
        fv_tree *t = make_group(&s, leaves, &alone);
        fv_slot_zero_grad(s.slot);
        int rows = train_on(&s, t, leaves, GROUP); /* the second way on is for the next test */
        fv_view *tree = copy_grads(s.slot);
        fv_slot_zero_grad(s.slot);
        for (int k = 0; k < GROUP; k++) one_by_one += train_on(&s, t, &leaves[k], 1);
        double worst = 0;
        for (int i = 0; i < s.slot->count; i++) worst = fmax(worst, difference(tree[i], s.slot->params[i].grad));
        print_message("kind %d: %d rows as a tree, %d one by one; gradients differ by %.1e of their size\n", kind, rows, one_by_one, worst);
        assert_true(worst < 1.2e-5);
        assert_true(worst > 0); /* the order of sums differs: equal bits would mean that nothing was compared */
        int prompt = t->segments[0]->count;
        assert_int_equal(one_by_one - rows, (GROUP - 1) * prompt);
        free_grads(tree, s.slot->count);
        fv_tree_free(t);
        small_close(&s);
    }
}

/* A turn with two ways on: its own stream, and gradients from both. */
static void branches_add_up_in_what_they_share(void **state) {
    (void)state;
    small s;
    int leaves[GROUP + 1], alone;
    small_open(&s, SMALL_QWEN3, NULL, 1, true);
    fv_tree *t = make_group(&s, leaves, &alone);
    fv_slot_zero_grad(s.slot);
    train_on(&s, t, leaves + GROUP - 1, 2);
    fv_view *both = copy_grads(s.slot);
    int seen = t->segments[leaves[GROUP]]->parent;
    fv_slot_zero_grad(s.slot);
    train_on(&s, t, &leaves[GROUP - 1], 1);
    train_on(&s, t, &leaves[GROUP], 1);
    fv_view *each = copy_grads(s.slot);
    fv_slot_zero_grad(s.slot);
    train_on(&s, t, &seen, 1); /* counted twice: once too often */
    double worst = 0;
    for (int i = 0; i < s.slot->count; i++) {
        for (int64_t k = 0; k < fv_elements(each[i]); k++) fv_f32(each[i])[k] -= fv_f32(s.slot->params[i].grad)[k];
        worst = fmax(worst, difference(both[i], each[i]));
    }
    assert_true(worst < 1.2e-5);
    free_grads(both, s.slot->count);
    free_grads(each, s.slot->count);
    fv_tree_free(t);
    small_close(&s);
}

/* Which thread did what does not show, in no bit; nor does the instruction set. */
static void gradients_have_the_same_bits_everywhere(void **state) {
    (void)state;
    const fv_ops *tables[4];
    int n = fv_ops_cpu_all(tables, 4);
    for (int kind = 0; kind < SMALL_FAMILIES; kind++) {
        fv_view *want = NULL;
        int count = 0;
        for (int i = 0; i < n; i++)
            for (int threads = 1; threads <= 3; threads++) {
                small s;
                int leaves[GROUP + 1], alone;
                small_open(&s, kind, tables[i], threads, true);
                fv_tree *t = make_group(&s, leaves, &alone);
                fv_slot_zero_grad(s.slot);
                train_on(&s, t, leaves, GROUP + 1);
                for (int k = 0; want && k < count; k++)
                    if (memcmp(want[k].data, s.slot->params[k].grad.data, fv_bytes(want[k])))
                        fail_msg("%s, %d threads: the gradient of %s has other bits", tables[i]->name, threads, s.slot->params[k].name);
                if (!want) want = copy_grads(s.slot);
                count = s.slot->count;
                fv_tree_free(t);
                small_close(&s);
            }
        free_grads(want, count);
    }
}

/* Conversations without a common root, in passes of some rows each: a weight's gradient is one chain over all rows, whether it is cut into passes or not.
 * Only a matrix that is used at both ends (tied embeddings) mixes two chains, and their order changes. */
static void accumulated_passes_are_one(void **state) {
    (void)state;
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        small s;
        fv_tree *t;
        int leaves[CONVERSATIONS];
        small_open(&s, kind, NULL, 2, true);
        MUST(fv_tree_new(&t, s.model, err));
        for (int k = 0; k < CONVERSATIONS; k++) {
            int prompt = small_add(t, s.model, -1, prompt_text, 56, 56, 20 + (unsigned)k);
            MUST(fv_tree_branch(t, prompt, 0, 1, 0, &leaves[k], err));
            for (int i = 0; i < 8 + k; i++) MUST(fv_tree_append(t, leaves[k], 50 + (i * 3 + k) % 80, 0, 0, err));
        }
        fv_slot_zero_grad(s.slot);
        train_on(&s, t, leaves, CONVERSATIONS);
        fv_view *whole = copy_grads(s.slot);
        fv_slot_zero_grad(s.slot);
        int passes = 0;
        for (int at = 0, n; at < CONVERSATIONS; at += n, passes++) {
            n = fv_train_micro(t, leaves, CONVERSATIONS, at, 150);
            train_on(&s, t, leaves + at, n);
        }
        assert_true(passes > 1 && passes < CONVERSATIONS);
        int tied = fv_decoder_head(s.model->decoder);
        for (int i = 0; i < s.slot->count; i++) {
            const fv_param *p = &s.slot->params[i];
            if (i == tied && kind == SMALL_QWEN25) assert_true(difference(whole[i], p->grad) < 1e-5);
            else if (memcmp(whole[i].data, p->grad.data, fv_bytes(whole[i]))) fail_msg("kind %d: the gradient of %s depends on how passes are cut", kind, p->name);
        }
        free_grads(whole, s.slot->count);
        fv_tree_free(t);
        small_close(&s);
    }
}

/* What is left out has no part in any result: not a bit of a gradient changes, wherever what is learned stands and ends. */
static void rows_that_nobody_asks_for_change_nothing(void **state) {
    (void)state;
    for (int kind = 0; kind < SMALL_FAMILIES; kind++) {
        small s;
        int leaves[GROUP + 1], alone;
        small_open(&s, kind, NULL, 2, true);
        fv_tree *t = make_group(&s, leaves, &alone);
        for (int k = 0; k < GROUP; k++) { /* some answers are learned in part, and one ends in what is not learned */
            fv_segment *last = t->segments[leaves[k]];
            for (int i = 0; i < last->count; i++) last->mask[i] = k != 1 && (i % 3 != k % 3 || i < 4) && i < last->count - k;
        }
        fv_slot_zero_grad(s.slot);
        int rows = train_rows(&s, t, leaves, GROUP + 1, false);
        fv_view *whole = copy_grads(s.slot);
        fv_slot_zero_grad(s.slot);
        assert_true(train_rows(&s, t, leaves, GROUP + 1, true) < rows);
        for (int i = 0; i < s.slot->count; i++) assert_memory_equal(s.slot->params[i].grad.data, whole[i].data, fv_bytes(whole[i]));
        free_grads(whole, s.slot->count);
        fv_tree_free(t);
        small_close(&s);
    }
}

/* Passes are filled by what they really cost: a prompt counts once a group, a system turn once. */
static void passes_are_filled_by_their_rows(void **state) {
    (void)state;
    small s;
    int leaves[GROUP + 1], alone;
    small_open(&s, SMALL_QWEN25, NULL, 1, false);
    fv_tree *t = make_group(&s, leaves, &alone);
    int rows = 0;
    for (int i = 0; i < t->count; i++) rows += t->segments[i]->count;
    assert_int_equal(fv_train_micro(t, leaves, GROUP + 1, 0, rows), GROUP + 1);
    assert_int_equal(fv_train_micro(t, leaves, GROUP + 1, 0, rows - 1), GROUP);
    assert_int_equal(fv_train_micro(t, leaves, GROUP + 1, 2, 1), 1); /* one at least */
    assert_int_equal(fv_train_micro(t, leaves, GROUP + 1, GROUP, 1 << 30), 1);
    fv_tree_free(t);
    small_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_the_gradient_of_its_paths),
        cmocka_unit_test(branches_add_up_in_what_they_share),
        cmocka_unit_test(gradients_have_the_same_bits_everywhere),
        cmocka_unit_test(accumulated_passes_are_one),
        cmocka_unit_test(rows_that_nobody_asks_for_change_nothing),
        cmocka_unit_test(passes_are_filled_by_their_rows),
    };
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
