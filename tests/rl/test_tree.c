/* The trajectory tree: where segments begin, their positions, orders, pictures, what is dropped, and planting of prompts. */
#include "small.h"

#include "core/random.h"
#include "rl/train/feed.h"

static small one;

static int open_one(void **state) {
    if (small_begin(state)) return -1;
    small_open(&one, SMALL_QWEN25, NULL, 1, false);
    return 0;
}

static int close_one(void **state) {
    small_close(&one);
    return small_end(state);
}

static const char picture_text[] = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nLook: <|vision_start|><|image_pad|><|vision_end|> What is it?<|im_end|>\n";

static int append(fv_tree *t, int parent, const int32_t *ids, int n) {
    int out;
    MUST(fv_tree_branch(t, parent, 0, 0.7f, 3, &out, err));
    for (int i = 0; i < n; i++) MUST(fv_tree_append(t, out, ids[i], -1.0f - (float)i, 0.5f, err));
    return out;
}

/* A prompt cut in two has the positions of the whole; what is written below goes on from there. */
static void positions_go_on(void **state) {
    (void)state;
    fv_prompt p = small_prompt(one.model, picture_text, 112, 56, 1);
    fv_tree *t;
    int whole, head, tail;
    MUST(fv_tree_new(&t, one.model, err));
    MUST(fv_tree_add(t, -1, FV_BY_ENVIRONMENT, &p, 0, p.tokens.count, &whole, err));
    MUST(fv_tree_add(t, -1, FV_BY_ENVIRONMENT, &p, 0, 5, &head, err));
    MUST(fv_tree_add(t, head, FV_BY_ENVIRONMENT, &p, 5, p.tokens.count, &tail, err));
    const fv_segment *w = t->segments[whole], *h = t->segments[head], *l = t->segments[tail];
    assert_int_equal(l->start, 5);
    assert_memory_equal(w->position, h->position, 5 * 3 * sizeof(int32_t));
    assert_memory_equal(w->position + 15, l->position, (size_t)(w->count - 5) * 3 * sizeof(int32_t));
    assert_int_equal(w->next, l->next);
    assert_int_equal(w->picture_at[0], l->picture_at[0] + 5);
    assert_int_equal(h->picture_count, 0);
    int grid = w->picture_at[0];
    assert_int_equal(w->position[3 * grid], w->position[3 * (grid + 5)]);              /* one frame: t stays */
    assert_int_equal(w->position[3 * (grid + 4) + 1], w->position[3 * grid + 1] + 1);  /* 4 merged columns: h moves on after them */
    assert_int_equal(w->position[3 * (grid + 3) + 2], w->position[3 * grid + 2] + 3);

    const int32_t ids[] = {7, 8, 9};
    int leaf = append(t, tail, ids, 3);
    const fv_segment *s = t->segments[leaf];
    assert_int_equal(s->start, w->count);
    for (int i = 0; i < 9; i++) assert_int_equal(s->position[i], w->next + i / 3);
    assert_int_equal(fv_tree_tokens(t, leaf), w->count + 3);
    assert_int_equal(fv_tree_tokens(t, -1), 0);
    assert_int_equal(fv_tree_depth(t, leaf), 3);
    int path[3];
    fv_tree_path(t, leaf, path);
    assert_true(path[0] == head && path[1] == tail && path[2] == leaf);
    assert_true(s->mask[0] == 1 && s->logp[2] == -3.0f && s->temperature == 0.7f && s->version == 3);
    assert_true(isnan(w->logp[0]) && w->mask[0] == 0);

    fv_prompt_clear(&p); /* the tree holds references of its own */
    assert_int_equal(w->pictures[0]->refs, 2);
    assert_non_null(w->pictures[0]->image);
    fv_tree_free(t);
}

/* What order must be, the slow way. */
static void order_below(const fv_tree *t, int parent, const bool *wanted, int *order, int *n) {
    for (int i = 0; i < t->count; i++)
        if (t->segments[i]->parent == parent && wanted[i]) {
            order[(*n)++] = i;
            order_below(t, i, wanted, order, n);
        }
}

static void orders_are_depth_first(void **state) {
    (void)state;
    fv_random random = fv_random_stream(fv_random_key(3, "tree", 0, 0));
    for (int round = 0; round < 50; round++) {
        enum { N = 40 };
        fv_tree *t;
        bool wanted[N] = {false};
        int leaves[N], order[N], want[N], n = 0, leaf_count = 0;
        const int32_t ids[] = {1, 2, 3, 4};
        MUST(fv_tree_new(&t, one.model, err));
        for (int i = 0; i < N; i++) append(t, i ? (int)fv_below(&random, i + 1) - 1 : -1, ids, (int)fv_below(&random, 5));
        for (int i = 0; i < N; i++)
            if (fv_below(&random, 3) == 0) leaves[leaf_count++] = i;
        fv_shuffle(&random, leaves, leaf_count, sizeof *leaves); /* the order of leaves does not matter */
        for (int i = 0; i < leaf_count; i++)
            for (int s = leaves[i]; s >= 0; s = t->segments[s]->parent) wanted[s] = true;
        order_below(t, -1, wanted, want, &n);
        assert_int_equal(fv_tree_order(t, leaves, leaf_count, order), n);
        assert_memory_equal(order, want, (size_t)n * sizeof *order);
        for (int i = 0; i + 1 < leaf_count; i++) { /* what two paths share, the slow way */
            bool on[N] = {false};
            int s = leaves[i + 1];
            for (int k = leaves[i]; k >= 0; k = t->segments[k]->parent) on[k] = true;
            while (s >= 0 && !on[s]) s = t->segments[s]->parent;
            assert_int_equal(fv_tree_shared(t, leaves[i], leaves[i + 1]), fv_tree_tokens(t, s));
        }
        fv_tree_free(t);
    }
}

static void what_is_dropped_is_not_packed(void **state) {
    (void)state;
    fv_tree *t;
    fv_pack pack;
    fv_error refused = {0};
    const int32_t ids[] = {1, 2, 3};
    MUST(fv_tree_new(&t, one.model, err));
    int root = append(t, -1, ids, 3), a = append(t, root, ids, 3), b = append(t, root, ids, 2), c = append(t, a, ids, 1);
    fv_tree_drop(t, a);
    assert_true(t->segments[a]->dropped && t->segments[c]->dropped);
    assert_false(t->segments[b]->dropped || t->segments[root]->dropped);
    MUST(fv_pack_make(&pack, t, &b, 1, 2, one.arena, err));
    assert_int_equal(fv_pack_make(&pack, t, &c, 1, 2, one.arena, &refused), FV_LIMIT);
    assert_non_null(strstr(refused.text, "dropped"));
    fv_arena_reset(one.arena);
    fv_tree_free(t);
}

static void prompts_share_until_a_picture(void **state) {
    (void)state;
    fv_prompt a = small_prompt(one.model, picture_text, 112, 56, 1), b = small_prompt(one.model, picture_text, 112, 56, 2);
    fv_prompt c = small_prompt(one.model, "<|im_start|>system\nBe brief, please.<|im_end|>\n", 0, 0, 0);
    assert_int_equal(fv_prompt_shared(&a, &b), a.picture_at[0]);
    int n = fv_prompt_shared(&a, &c);
    assert_true(n > 2 && n < c.tokens.count);
    assert_true(!memcmp(a.tokens.ids, c.tokens.ids, (size_t)n * 4) && a.tokens.ids[n] != c.tokens.ids[n]);
    fv_prompt_clear(&a);
    fv_prompt_clear(&b);
    fv_prompt_clear(&c);
}

/* Equal system turns are one root; a prompt without one is its own. */
static void system_turns_are_planted_once(void **state) {
    (void)state;
    fv_tree *t;
    int leaf[4];
    fv_prompt p[4] = {small_prompt(one.model, picture_text, 56, 56, 1), small_prompt(one.model, picture_text, 84, 56, 2),
                      small_prompt(one.model, "<|im_start|>system\nBe long.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n", 0, 0, 0),
                      small_prompt(one.model, "<|im_start|>user\nHi<|im_end|>\n", 0, 0, 0)};
    MUST(fv_tree_new(&t, one.model, err));
    for (int i = 0; i < 4; i++) MUST(fv_tree_plant(t, one.model, &p[i], &leaf[i], err));
    assert_int_equal(t->count, 6);
    assert_int_equal(t->segments[leaf[0]]->parent, t->segments[leaf[1]]->parent);
    assert_true(t->segments[leaf[0]]->parent >= 0 && t->segments[leaf[2]]->parent >= 0);
    assert_int_not_equal(t->segments[leaf[0]]->parent, t->segments[leaf[2]]->parent);
    assert_int_equal(t->segments[leaf[3]]->parent, -1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fv_tree_tokens(t, leaf[i]), p[i].tokens.count);
        fv_prompt_clear(&p[i]);
    }
    fv_tree_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_go_on),
        cmocka_unit_test(orders_are_depth_first),
        cmocka_unit_test(what_is_dropped_is_not_packed),
        cmocka_unit_test(prompts_share_until_a_picture),
        cmocka_unit_test(system_turns_are_planted_once),
    };
    return cmocka_run_group_tests(tests, open_one, close_one);
}
