/* Writing into the tree: whatever shares a batch, however long prompts are cut, however few pages there are, on any number of threads and any
 * instruction set, the same tokens with the same bits, and those of an independent packed pass. */
#include "small.h"

#include "core/guard.h"
#include "core/random.h"

enum { PROMPTS = 2, GROUP = 3, TURNS = 3, EPISODES = PROMPTS * GROUP, ROOM = 4096 };

static const char system_text[] = "<|im_start|>system\nLook closely.<|im_end|>\n";
static const char *const question[PROMPTS] = {
    "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is there, and where?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nAnd here? <|vision_start|><|video_pad|><|vision_end|> Tell me all of it, from left to right.<|im_end|>\n<|im_start|>assistant\n"};
static const char observation[] = "\n<|im_start|>user\n<tool_response><|vision_start|><|image_pad|><|vision_end|></tool_response><|im_end|>\n<|im_start|>assistant\n";

/* What an episode wrote, as far as numbers go. */
typedef struct {
    int count;
    int32_t ids[256];
    float logp[256], entropy[256];
} written;

typedef struct {
    fv_tree *tree;
    int segment[EPISODES], turn[EPISODES]; /* what is being written, of which turn */
    bool taken[EPISODES];
} play;

static int length_of(int episode, int turn) { return 3 + (episode * 7 + turn * 11) % 29; }

static fv_ask ask_of(const play *p, int episode, float temperature) {
    return (fv_ask){.segment = p->segment[episode], .temperature = temperature, .top_p = episode % 2 ? 0.9f : 1.0f, .top_k = episode == 4 ? 20 : 0,
                    .key = fv_random_key(9, "test", (uint64_t)episode, 0), .max_new = length_of(episode, p->turn[episode])};
}

static void begin_turn(play *p, fv_engine *e, int episode, int parent, float temperature) {
    MUST(fv_tree_branch(p->tree, parent, 0, temperature, 0, &p->segment[episode], err));
    fv_ask ask = ask_of(p, episode, temperature);
    MUST(fv_engine_ask(e, &ask, err));
}

/* A system turn that both questions share, a question with a picture and one with a clip, a group below each. `only` >= 0: that episode alone. */
static void plant(play *p, const small *s, fv_engine *e, int only, float temperature) {
    memset(p, 0, sizeof *p);
    MUST(fv_tree_new(&p->tree, s->model, err));
    fv_engine_begin(e, p->tree);
    int root = small_add(p->tree, s->model, -1, system_text, 0, 0, 0);
    for (int q = 0; q < PROMPTS; q++) {
        int prompt = small_add(p->tree, s->model, root, question[q], q ? 84 : 112, 56, 3 + (unsigned)q);
        for (int k = 0; k < GROUP; k++)
            if (only < 0 || only == q * GROUP + k) begin_turn(p, e, q * GROUP + k, prompt, temperature);
    }
}

/* Every episode has three turns with a picture as the answer to each; the last turn of one branches off in the middle of its path. */
static fv_status run(play *p, const small *s, fv_engine *e, float temperature, fv_error *err) {
    fv_done done[EPISODES];
    while (fv_engine_active(e)) {
        int n;
        FV_TRY(fv_engine_step(e, done, EPISODES, &n, err));
        for (int i = 0; i < n; i++) {
            int episode = 0;
            while (p->segment[episode] != done[i].segment) episode++;
            if (++p->turn[episode] == TURNS) continue;
            int from = done[i].segment;
            if (episode == 2 && p->turn[episode] == 2) from = p->tree->segments[p->tree->segments[from]->parent]->parent; /* a second way on from the first turn */
            int below = small_add(p->tree, s->model, from, observation, 56, 28 * (1 + episode % 2), 40 + (unsigned)(episode * TURNS + p->turn[episode]));
            begin_turn(p, e, episode, below, temperature);
        }
    }
    return FV_OK;
}

static void read_path(const fv_tree *t, int leaf, written *w) {
    int path[32], depth = fv_tree_depth(t, leaf);
    fv_tree_path(t, leaf, path);
    w->count = 0;
    for (int d = 0; d < depth; d++) {
        const fv_segment *g = t->segments[path[d]];
        if (g->author == FV_BY_ENVIRONMENT) continue;
        memcpy(w->ids + w->count, g->ids, (size_t)g->count * sizeof *g->ids);
        memcpy(w->logp + w->count, g->logp, (size_t)g->count * sizeof *g->logp);
        memcpy(w->entropy + w->count, g->entropy, (size_t)g->count * sizeof *g->entropy);
        w->count += g->count;
    }
}

static void check_same(const written *a, const written *b, const char *what, int episode) {
    size_t n = (size_t)a->count * sizeof(float);
    if (a->count != b->count || memcmp(a->ids, b->ids, n) || memcmp(a->logp, b->logp, n) || memcmp(a->entropy, b->entropy, n)) fail_msg("episode %d differs: %s", episode, what);
}

static void check_all(const play *p, const written *want, const char *what) {
    for (int k = 0; k < EPISODES; k++) {
        written w;
        read_path(p->tree, p->segment[k], &w);
        check_same(&want[k], &w, what, k);
    }
}

/* Bits of the packed pass over all paths, and over each alone, are those that were noted while writing. */
static void check_packed(small *s, const play *p) {
    static float now[ROOM], then[ROOM];
    int n = small_score(s, p->tree, p->segment, EPISODES, now, then, ROOM);
    assert_true(n > 200);
    assert_memory_equal(now, then, (size_t)n * sizeof *now);
    for (int k = 0; k < EPISODES; k++) {
        n = small_score(s, p->tree, &p->segment[k], 1, now, then, ROOM);
        assert_memory_equal(now, then, (size_t)n * sizeof *now);
    }
}

/* One play on a fresh engine: checked against `want`, or read into it where `first`. */
static fv_engine_stats try_play(small *s, const fv_engine_options *o, written *want, bool first, const char *what, fv_status *status) {
    fv_engine *e;
    fv_error failed = {0};
    play p;
    MUST(fv_engine_open(&e, s->model, s->slot, o, err));
    plant(&p, s, e, -1, 1.0f);
    *status = run(&p, s, e, 1.0f, &failed);
    if (*status == FV_OK) {
        for (int k = 0; first && k < EPISODES; k++) read_path(p.tree, p.segment[k], &want[k]);
        check_all(&p, want, what);
        check_packed(s, &p);
    } else {
        assert_int_equal(*status, FV_LIMIT);
        assert_non_null(strstr(failed.text, "max_pages"));
    }
    fv_engine_stats stats = fv_engine_counts(e);
    fv_tree_free(p.tree);
    fv_engine_close(e);
    return stats;
}

static void every_way_writes_the_same(void **state) {
    int kind = (int)(intptr_t)*state;
    static written want[EPISODES];
    const fv_ops *tables[4];
    int n = fv_ops_cpu_all(tables, 4);
    bool first = true;
    for (int i = 0; i < n; i++)
        for (int threads = 1; threads <= 3; threads++) {
            static const int rows[] = {0, 9, 33};
            fv_engine_options o = {.max_rows = rows[(i + threads) % 3]};
            small s;
            fv_status status;
            small_open(&s, kind, tables[i], threads, false);
            try_play(&s, first ? NULL : &o, want, first, tables[i]->name, &status);
            assert_int_equal(status, FV_OK);
            first = false;
            small_close(&s);
        }
    assert_false(first);
    for (int k = 0; k < EPISODES; k++)
        for (int j = 0; j < k; j++) assert_false(want[k].count == want[j].count && !memcmp(want[k].ids, want[j].ids, (size_t)want[k].count * 4));
}

/* What one path takes when it is alone: each segment has its own copy of the page that it begins in. */
static int longest_path(const small *s) {
    fv_engine *e;
    play p;
    int most = 0;
    MUST(fv_engine_open(&e, s->model, s->slot, NULL, err));
    plant(&p, s, e, -1, 1.0f);
    MUST(run(&p, s, e, 1.0f, err));
    for (int k = 0; k < EPISODES; k++) {
        int pages = 0;
        for (int g = p.segment[k]; g >= 0; g = p.tree->segments[g]->parent)
            pages += (fv_tree_tokens(p.tree, g) + FV_PAGE - 1) / FV_PAGE - p.tree->segments[g]->start / FV_PAGE;
        if (pages > most) most = pages;
    }
    fv_tree_free(p.tree);
    fv_engine_close(e);
    return most;
}

static void few_pages_change_nothing(void **state) {
    int kind = (int)(intptr_t)*state;
    static written want[EPISODES];
    small s;
    fv_status status;
    small_open(&s, kind, NULL, 2, false);
    int64_t peak = try_play(&s, NULL, want, true, "", &status).peak_pages, fed_again = 0;
    int least = longest_path(&s);
    assert_true(peak > 2 * least);
    for (int64_t pages = peak; pages > least - 6; pages -= pages > least + 12 ? 7 : 1)
        for (int rows = 0; rows <= 11; rows += 11) {
            fv_engine_options o = {.max_pages = pages, .max_rows = rows};
            fv_engine_stats stats = try_play(&s, &o, want, false, "few pages", &status);
            assert_true(stats.peak_pages <= pages);
            if (pages >= least && status != FV_OK) fail_msg("%d pages of %d that one path takes were not enough", (int)pages, least);
            if (pages < least) assert_int_equal(status, FV_LIMIT);
            fed_again += stats.fed_again;
        }
    assert_true(fed_again > 0);
    small_close(&s);
}

/* An answer does not depend on its neighbours. */
static void alone_is_as_in_company(void **state) {
    (void)state;
    static written want[EPISODES];
    small s;
    fv_status status;
    small_open(&s, SMALL_QWEN3, NULL, 1, false);
    try_play(&s, NULL, want, true, "", &status);
    fv_engine *e;
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    for (int k = 0; k < EPISODES; k++) {
        play p;
        written w;
        plant(&p, &s, e, k, 1.0f);
        MUST(run(&p, &s, e, 1.0f, err));
        read_path(p.tree, p.segment[k], &w);
        check_same(&want[k], &w, "alone", k);
        fv_tree_free(p.tree);
    }
    fv_engine_close(e);
    small_close(&s);
}

/* Greedy text of equal prompts is the same in every member, and its log-probs are at temperature 1. */
static void greedy_repeats(void **state) {
    (void)state;
    static float now[ROOM], then[ROOM];
    small s;
    fv_engine *e;
    play p;
    small_open(&s, SMALL_QWEN25, NULL, 2, false);
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    plant(&p, &s, e, -1, 0.0f);
    MUST(run(&p, &s, e, 0.0f, err));
    written a, b;
    read_path(p.tree, p.segment[0], &a);
    read_path(p.tree, p.segment[1], &b);
    int n = length_of(0, 0) < length_of(1, 0) ? length_of(0, 0) : length_of(1, 0);
    assert_memory_equal(a.ids, b.ids, (size_t)n * sizeof *a.ids);
    n = small_score(&s, p.tree, p.segment, EPISODES, now, then, ROOM);
    assert_memory_equal(now, then, (size_t)n * sizeof *now);
    fv_tree_free(p.tree);
    fv_engine_close(e);
    small_close(&s);
}

/* A group's prompt goes through the decoder once and its picture through the tower once. */
static void a_group_costs_its_prompt_once(void **state) {
    (void)state;
    small s;
    fv_engine *e;
    play p;
    small_open(&s, SMALL_QWEN25, NULL, 1, false);
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    plant(&p, &s, e, -1, 1.0f);
    int64_t prompts = 0, wrote = 0;
    for (int g = 0; g < p.tree->count; g++) prompts += p.tree->segments[g]->count;
    fv_done done[EPISODES];
    while (fv_engine_active(e)) { /* first turns alone */
        int n;
        MUST(fv_engine_step(e, done, EPISODES, &n, err));
    }
    for (int k = 0; k < EPISODES; k++) wrote += p.tree->segments[p.segment[k]]->count;
    fv_engine_stats stats = fv_engine_counts(e);
    assert_int_equal(stats.rows, prompts + wrote - EPISODES); /* the last token of each is fed to nobody */
    assert_int_equal(stats.pictures, PROMPTS);
    assert_int_equal(stats.fed_again, 0);
    fv_tree_free(p.tree);
    fv_engine_close(e);
    small_close(&s);
}

/* Pages that were used before hold old numbers: nothing of them is seen. */
static void an_engine_can_be_used_again(void **state) {
    (void)state;
    static written want[EPISODES];
    small s;
    fv_engine *e;
    small_open(&s, SMALL_QWEN3, NULL, 1, false);
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    for (int again = 0; again < 3; again++) {
        play p;
        plant(&p, &s, e, -1, 1.0f);
        MUST(run(&p, &s, e, 1.0f, err));
        for (int k = 0; !again && k < EPISODES; k++) read_path(p.tree, p.segment[k], &want[k]);
        check_all(&p, want, "again");
        fv_tree_free(p.tree);
    }
    fv_engine_close(e);
    small_close(&s);
}

/* What ends a turn becomes what an answer drew first, so that the next one, whose draws are the same, ends at once. */
static void stops_have_their_reasons(void **state) {
    (void)state;
    enum { ASKS = 4 };
    small s;
    fv_engine *e;
    fv_tree *t;
    small_open(&s, SMALL_QWEN25, NULL, 1, false);
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    MUST(fv_tree_new(&t, s.model, err));
    fv_engine_begin(e, t);
    int prompt = small_add(t, s.model, -1, question[0], 56, 56, 1), segment[ASKS], tokens = fv_tree_tokens(t, prompt);
    fv_stop stops[ASKS] = {0};
    for (int k = 0; k < ASKS; k++) {
        MUST(fv_tree_branch(t, prompt, 0, 1, 0, &segment[k], err));
        fv_ask ask = {.segment = segment[k], .temperature = 1, .key = k > 1, .max_new = 8, .max_total = k == 3 ? tokens + 5 : 0};
        MUST(fv_engine_ask(e, &ask, err));
        if (k == 1 || k == 2) continue; /* the last three are done together */
        while (fv_engine_active(e)) {
            fv_done done[ASKS];
            int n;
            MUST(fv_engine_step(e, done, ASKS, &n, err));
            for (int i = 0; i < n; i++)
                for (int q = 0; q < ASKS; q++)
                    if (segment[q] == done[i].segment) stops[q] = done[i].stop;
        }
        if (k == 0) s.model->config.eos[0] = t->segments[segment[0]]->ids[0];
    }
    assert_int_equal(stops[0], FV_STOP_LENGTH);
    assert_int_equal(t->segments[segment[0]]->count, 8);
    assert_int_equal(stops[1], FV_STOP_END);
    assert_int_equal(t->segments[segment[1]]->count, 1);
    assert_int_equal(stops[2], FV_STOP_LENGTH);
    assert_int_equal(t->segments[segment[2]]->count, 8);
    assert_int_equal(stops[3], FV_STOP_CONTEXT);
    assert_string_equal(fv_stop_name(stops[3]), "context");
    assert_int_equal(t->segments[segment[3]]->count, 5);
    fv_tree_free(t);
    fv_engine_close(e);
    small_close(&s);
}

/* With ignore_eos no answer ends before its limit, of so many that some would. */
static void ends_can_be_ignored(void **state) {
    (void)state;
    enum { ANSWERS = 32, NEW = 100 };
    for (int ignored = 0; ignored < 2; ignored++) {
        small s;
        fv_engine *e;
        fv_tree *t;
        int ended = 0;
        small_open(&s, SMALL_QWEN25, NULL, 2, false);
        MUST(fv_engine_open(&e, s.model, s.slot, &(fv_engine_options){.ignore_eos = ignored}, err));
        MUST(fv_tree_new(&t, s.model, err));
        fv_engine_begin(e, t);
        int prompt = small_add(t, s.model, -1, system_text, 0, 0, 0), segment;
        for (int k = 0; k < ANSWERS; k++) {
            MUST(fv_tree_branch(t, prompt, 0, 1, 0, &segment, err));
            MUST(fv_engine_ask(e, &(fv_ask){.segment = segment, .temperature = 1, .key = fv_random_key(4, "test", (uint64_t)k, 0), .max_new = NEW}, err));
        }
        while (fv_engine_active(e)) {
            fv_done done[ANSWERS];
            int n;
            MUST(fv_engine_step(e, done, ANSWERS, &n, err));
            for (int i = 0; i < n; i++) ended += done[i].stop == FV_STOP_END;
        }
        assert_true(ignored ? ended == 0 : ended > 0);
        fv_tree_free(t);
        fv_engine_close(e);
        small_close(&s);
    }
}

/* Once an engine has seen as much work, steps that only write take no memory. */
static void decoding_allocates_nothing(void **state) {
    (void)state;
    small s;
    fv_engine *e;
    small_open(&s, SMALL_QWEN3, NULL, 2, false);
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    for (int again = 0; again < 2; again++) {
        fv_tree *t;
        fv_done done[GROUP];
        MUST(fv_tree_new(&t, s.model, err));
        fv_engine_begin(e, t);
        int n, prompt = small_add(t, s.model, -1, question[0], 56, 56, 1);
        for (int k = 0; k < GROUP; k++) {
            int segment;
            MUST(fv_tree_branch(t, prompt, 0, 1, 0, &segment, err));
            fv_ask ask = {.segment = segment, .temperature = 1, .top_p = 0.95f, .key = (uint64_t)k, .max_new = 60};
            MUST(fv_engine_ask(e, &ask, err));
        }
        MUST(fv_engine_step(e, done, GROUP, &n, err)); /* the prompt, and room for 64 tokens in each answer */
        if (again) fv_guard_begin();
        while (fv_engine_active(e)) MUST(fv_engine_step(e, done, GROUP, &n, err));
        if (again) assert_int_equal(fv_guard_end(), 0);
        fv_tree_free(t);
    }
    fv_engine_close(e);
    small_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"every way writes the same (Qwen2.5-VL)", every_way_writes_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"every way writes the same (Qwen3-VL)", every_way_writes_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        {"every way writes the same (Qwen2-VL, bf16)", every_way_writes_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN2_VL},
        {"every way writes the same (Qwen2)", every_way_writes_the_same, NULL, NULL, (void *)(intptr_t)SMALL_TEXT2},
        {"every way writes the same (Qwen3, bf16)", every_way_writes_the_same, NULL, NULL, (void *)(intptr_t)SMALL_TEXT3},
        {"few pages change nothing (Qwen2.5-VL)", few_pages_change_nothing, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"few pages change nothing (Qwen3-VL)", few_pages_change_nothing, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        cmocka_unit_test(alone_is_as_in_company),
        cmocka_unit_test(greedy_repeats),
        cmocka_unit_test(a_group_costs_its_prompt_once),
        cmocka_unit_test(an_engine_can_be_used_again),
        cmocka_unit_test(stops_have_their_reasons),
        cmocka_unit_test(ends_can_be_ignored),
        cmocka_unit_test(decoding_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, small_begin, small_end);
}
