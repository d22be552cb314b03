/* Packed passes: a tree of many segments gives each token the bits that it has when its path is alone and in one piece. */
#include "small.h"

#include "core/random.h"
#include "rl/train/feed.h"

#include <math.h>

enum { SEGMENTS = 24, ROOM = 2048 };

/* A tree of random words: segments of no, one, sixteen, many tokens, so that pages are shared, copied and begun at every place. */
static fv_tree *make_tree(const small *s, uint64_t seed, int *leaves, int *leaf_count) {
    static const int lengths[] = {0, 1, 3, 15, 16, 17, 32, 40};
    fv_random random = fv_random_stream(fv_random_key(seed, "pack", 0, 0));
    fv_tree *t;
    MUST(fv_tree_new(&t, s->model, err));
    bool inner[SEGMENTS] = {false};
    for (int i = 0; i < SEGMENTS; i++) {
        int out, parent = i < 2 ? i - 1 : (int)fv_below(&random, i), n = i == 0 ? 5 : lengths[fv_below(&random, 8)];
        MUST(fv_tree_branch(t, parent, 0, 1.0f, 0, &out, err));
        for (int k = 0; k < n; k++) MUST(fv_tree_append(t, out, (int32_t)fv_below(&random, 200), 0, 0, err));
        if (parent >= 0) inner[parent] = true;
    }
    *leaf_count = 0;
    for (int i = 0; i < SEGMENTS; i++)
        if (!inner[i]) leaves[(*leaf_count)++] = i;
    return t;
}

/* Log-probs of all tokens by segment and index. */
static void score_tree(small *s, const fv_tree *t, const int *leaves, int n, float out[SEGMENTS][64]) {
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(s->slot, s->arena, false);
    MUST(fv_pack_make(&pack, t, leaves, n, s->model->image.merge, s->arena, err));
    int rows = 0;
    for (int i = 0; i < pack.segments; i++) rows += t->segments[pack.order[i]]->count;
    assert_int_equal(pack.rows, rows);
    fv_pack_targets(&targets, &pack, false, 1.0f, s->arena);
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    assert_int_equal(pass.error.status, FV_OK);
    for (int i = 0; i < targets.count; i++) out[targets.segment[i]][targets.index[i]] = fv_f32(scored.logp->v)[i];
    fv_arena_reset(s->arena);
}

/* The same path as one segment. */
static void score_path(small *s, const fv_tree *t, int leaf, float *out) {
    int path[SEGMENTS], depth = fv_tree_depth(t, leaf), root;
    fv_tree *alone;
    fv_pack pack;
    fv_targets targets;
    fv_tree_path(t, leaf, path);
    MUST(fv_tree_new(&alone, s->model, err));
    MUST(fv_tree_branch(alone, -1, 0, 1.0f, 0, &root, err));
    for (int d = 0; d < depth; d++)
        for (int i = 0; i < t->segments[path[d]]->count; i++) MUST(fv_tree_append(alone, root, t->segments[path[d]]->ids[i], 0, 0, err));
    fv_pass pass = fv_pass_begin(s->slot, s->arena, false);
    MUST(fv_pack_make(&pack, alone, &root, 1, s->model->image.merge, s->arena, err));
    fv_pack_targets(&targets, &pack, false, 1.0f, s->arena);
    fv_scored scored = fv_pack_score(&pass, s->model, fv_pack_forward(&pass, s->model, &pack, NULL), &targets);
    out[0] = 0;
    for (int i = 0; i < targets.count; i++) out[1 + i] = fv_f32(scored.logp->v)[i];
    fv_arena_reset(s->arena);
    fv_tree_free(alone);
}

static void a_tree_has_the_bits_of_its_paths(void **state) {
    (void)state;
    for (int kind = 0; kind < SMALL_FAMILIES; kind++) {
        small s;
        small_open(&s, kind, NULL, 1, false);
        for (uint64_t seed = 0; seed < 6; seed++) {
            static float packed[SEGMENTS][64], path[ROOM];
            int leaves[SEGMENTS], n;
            fv_tree *t = make_tree(&s, seed, leaves, &n);
            memset(packed, 0, sizeof packed);
            score_tree(&s, t, leaves, n, packed);
            for (int i = 0; i < n; i++) {
                score_path(&s, t, leaves[i], path);
                for (int g = leaves[i]; g >= 0; g = t->segments[g]->parent)
                    assert_memory_equal(packed[g], path + t->segments[g]->start, (size_t)t->segments[g]->count * sizeof *path);
            }
            fv_tree_free(t);
        }
        small_close(&s);
    }
}

static void threads_and_instruction_sets_agree(void **state) {
    (void)state;
    static float want[SEGMENTS][64], got[SEGMENTS][64];
    const fv_ops *tables[4];
    int count = fv_ops_cpu_all(tables, 4);
    for (int kind = 0; kind < SMALL_FAMILIES; kind++)
        for (int i = 0; i < count; i++)
            for (int threads = 1; threads <= 3; threads++) {
                int leaves[SEGMENTS], n;
                small s;
                small_open(&s, kind, tables[i], threads, false);
                fv_tree *t = make_tree(&s, 1, leaves, &n);
                memset(got, 0, sizeof got);
                score_tree(&s, t, leaves, n, i || threads > 1 ? got : want);
                if (i || threads > 1) assert_memory_equal(got, want, sizeof got);
                fv_tree_free(t);
                small_close(&s);
            }
}

static void equal_pictures_are_seen_once(void **state) {
    (void)state;
    small s;
    fv_tree *t;
    fv_pack pack;
    static const char text[] = "a<|vision_start|><|image_pad|><|vision_end|>b";
    small_open(&s, SMALL_QWEN3, NULL, 1, false);
    MUST(fv_tree_new(&t, s.model, err));
    int a = small_add(t, s.model, -1, text, 84, 56, 1), b = small_add(t, s.model, a, text, 56, 56, 2), c = small_add(t, s.model, a, text, 84, 56, 1), leaves[] = {b, c};
    MUST(fv_pack_make(&pack, t, leaves, 2, s.model->image.merge, s.arena, err));
    assert_int_equal(pack.picture_count, 2);
    assert_int_equal(fv_elements(pack.visual_row), 6 + 4 + 6);
    assert_int_equal(fv_i32(pack.visual_index)[0], 0);
    assert_int_equal(fv_i32(pack.visual_index)[6], 6);
    assert_int_equal(fv_i32(pack.visual_index)[10], 0);
    fv_arena_reset(s.arena);
    fv_tree_free(t);
    small_close(&s);
}

static void tokens_are_predicted_by_the_one_before(void **state) {
    (void)state;
    small s;
    fv_tree *t;
    fv_pack pack;
    fv_targets targets;
    int root, empty, leaf;
    small_open(&s, SMALL_QWEN25, NULL, 1, false);
    MUST(fv_tree_new(&t, s.model, err));
    root = small_add(t, s.model, -1, "abc", 0, 0, 0);
    MUST(fv_tree_branch(t, root, 0, 0.5f, 0, &empty, err));
    MUST(fv_tree_branch(t, empty, 0, 0.5f, 0, &leaf, err));
    MUST(fv_tree_append(t, leaf, 4, 0, 0, err));
    MUST(fv_tree_append(t, leaf, 5, 0, 0, err));
    MUST(fv_pack_make(&pack, t, &leaf, 1, s.model->image.merge, s.arena, err));
    int last = t->segments[root]->count - 1;
    assert_int_equal(fv_pack_source(&pack, root, 0), -1);
    assert_int_equal(fv_pack_source(&pack, leaf, 0), last);
    assert_int_equal(fv_pack_source(&pack, leaf, 1), last + 1);
    fv_pack_targets(&targets, &pack, true, 0, s.arena);
    assert_int_equal(targets.count, 2); /* nothing of the prompt is trained on */
    assert_true(targets.temperature[0] == 0.5f && targets.target[1] == 5 && targets.index[1] == 1);
    fv_pack_targets(&targets, &pack, false, 2.0f, s.arena);
    assert_int_equal(targets.count, last + 2);
    assert_true(targets.temperature[0] == 2.0f);
    fv_arena_reset(s.arena);
    fv_tree_free(t);
    small_close(&s);
}

/* More answers than the prompt has tokens: the last token of each is a target and no row. */
static void many_short_answers_fit(void **state) {
    (void)state;
    enum { ANSWERS = 200, LENGTH = 2 };
    small s;
    fv_tree *t;
    fv_pack pack;
    fv_targets targets;
    int root, leaves[ANSWERS];
    small_open(&s, 0, NULL, 1, false);
    MUST(fv_tree_new(&t, s.model, err));
    root = small_add(t, s.model, -1, "abc", 0, 0, 0);
    for (int i = 0; i < ANSWERS; i++) {
        MUST(fv_tree_branch(t, root, 0, 1.0f, 0, &leaves[i], err));
        for (int k = 0; k < LENGTH; k++) MUST(fv_tree_append(t, leaves[i], (int32_t)((i + k) % 200), 0, 0, err));
    }
    MUST(fv_pack_make_scored(&pack, t, leaves, ANSWERS, s.model->image.merge, s.arena, err));
    fv_pack_targets(&targets, &pack, true, 0, s.arena);
    assert_int_equal(targets.count, ANSWERS * LENGTH);
    assert_true(targets.count > pack.rows);
    fv_pass pass = fv_pass_begin(s.slot, s.arena, false);
    fv_scored scored = fv_pack_score(&pass, s.model, fv_pack_forward(&pass, s.model, &pack, NULL), &targets);
    assert_int_equal(pass.error.status, FV_OK);
    for (int i = 0; i < targets.count; i++) {
        assert_true(isfinite(fv_f32(scored.logp->v)[i]) && targets.temperature[i] == 1.0f);
        assert_int_equal(targets.target[i], t->segments[targets.segment[i]]->ids[targets.index[i]]);
    }
    fv_tree_free(t);
    small_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_the_bits_of_its_paths),
        cmocka_unit_test(threads_and_instruction_sets_agree),
        cmocka_unit_test(equal_pictures_are_seen_once),
        cmocka_unit_test(tokens_are_predicted_by_the_one_before), cmocka_unit_test(many_short_answers_fit),
    };
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
