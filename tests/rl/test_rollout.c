/* Rollouts with a tool: a model that was taught to zoom acts in its environment. */
#include "lesson.h"

#include "rl/rollout/rollout.h"
#include "rl/rollout/trajectories.h"

enum { GROUP = 6, ROOM = 8192 };

static char taught[SMALL_KINDS][300];

static int teach(void **state) {
    if (lesson_begin(state)) return -1;
    for (int k = 0; k < SMALL_KINDS; k++) {
        fv_error err = {0};
        char out[32];
        snprintf(out, sizeof out, "taught%d", k);
        char *stages = lesson_sft(100);
        fv_status s = lesson_run(lesson_recipe(k, out, NULL, NULL, stages), false, &err);
        free(stages);
        if (s != FV_OK) {
            print_error("%s\n", err.text);
            return -1;
        }
        char *metrics = lesson_metrics(out);
        print_message("model %d was taught: %s", k, strstr(metrics, "{\"step\": 100"));
        free(metrics);
        snprintf(taught[k], sizeof taught[k], "%s", lesson_checkpoint(out));
    }
    return 0;
}

/* All that a rollout needs. */
typedef struct {
    small s;
    fv_dataset *data;
    fv_feed *feed;
    fv_jobs *tools;
    fv_engine *engine;
    fv_sample samples[LESSON_ROWS];
    int64_t numbers[LESSON_ROWS];
    json_t *env;
} stage;

static void open_stage(stage *g, int kind, const fv_ops *ops, int threads, bool tools, const char *env, const fv_engine_options *o) {
    memset(g, 0, sizeof *g);
    small_open_at(&g->s, taught[kind], ops, threads, false);
    json_t *spec = json_string(small_path("questions.jsonl"));
    g->env = json_loads(env, 0, NULL);
    MUST(fv_dataset_open(&g->data, spec, 1, err));
    json_decref(spec);
    fv_feed_options options = {.env = g->env, .generate = true};
    MUST(fv_feed_open(&g->feed, g->s.model, g->data, g->s.pool, &options, err));
    if (tools) MUST(fv_jobs_open(&g->tools, 2, err));
    MUST(fv_engine_open(&g->engine, g->s.model, g->s.slot, o, err));
    for (int i = 0; i < LESSON_ROWS; i++) g->numbers[i] = i;
    fv_feed_take(g->feed, g->numbers, LESSON_ROWS, g->samples);
    for (int i = 0; i < LESSON_ROWS; i++)
        if (g->samples[i].error.status != FV_OK) fail_msg("%s", g->samples[i].error.text);
}

static void close_stage(stage *g) {
    for (int i = 0; i < LESSON_ROWS; i++) fv_sample_clear(&g->samples[i]);
    fv_engine_close(g->engine);
    fv_jobs_close(g->tools);
    fv_feed_close(g->feed);
    fv_dataset_close(g->data);
    json_decref(g->env);
    small_close(&g->s);
}

static const char zoom_env[] = "{\"tools\": [\"image_zoom_in_tool\"], \"prompt\": \"none\", \"max_turns\": 3, \"hint\": false}";

static fv_rollout roll(stage *g, const fv_rollout_options *o) {
    fv_rollout r;
    fv_rollout_options own = *o;
    own.numbers = g->numbers;
    MUST(fv_rollout_run(&r, g->engine, g->s.model, g->s.slot, g->tools, g->samples, LESSON_ROWS, &own, NULL, NULL, err));
    return r;
}

static const fv_rollout_options usual = {.group_size = GROUP, .temperature = 1, .top_p = 1, .max_new_tokens = 80, .max_response = 400, .max_tokens = 2000, .seed = 5, .step = 2};

/* One trajectory in figures: tokens and bits of its path, text, reason. */
static void same_trajectory(const fv_rollout *a, int i, const fv_rollout *b, int k, const char *what) {
    const fv_trajectory *x = &a->trajectories[i], *y = &b->trajectories[k];
    if (strcmp(x->text, y->text)) fail_msg("%s: trajectory %d wrote \"%s\", and then \"%s\"", what, i, x->text, y->text);
    assert_string_equal(x->stop_reason, y->stop_reason);
    assert_int_equal(x->turn_count, y->turn_count);
    assert_true(x->tokens == y->tokens && x->pictures == y->pictures && x->calls == y->calls && x->failures == y->failures);
    for (int t = 0; t < x->turn_count; t++) {
        const fv_segment *p = a->tree->segments[x->turns[t].segment], *q = b->tree->segments[y->turns[t].segment];
        assert_int_equal(p->count, q->count);
        assert_memory_equal(p->ids, q->ids, (size_t)p->count * sizeof *p->ids);
        assert_memory_equal(p->logp, q->logp, (size_t)p->count * sizeof *p->logp);
        assert_memory_equal(p->entropy, q->entropy, (size_t)p->count * sizeof *p->entropy);
    }
}

static int check_bits(small *s, const fv_rollout *r) {
    static float now[ROOM], then[ROOM];
    int leaves[LESSON_ROWS * GROUP], n = 0;
    for (int i = 0; i < LESSON_ROWS * r->group_size; i++) leaves[n++] = r->trajectories[i].turns[r->trajectories[i].turn_count - 1].segment;
    n = small_score(s, r->tree, leaves, n, now, then, ROOM);
    assert_memory_equal(now, then, (size_t)n * sizeof *now);
    return n;
}

static void agents_zoom_and_answer(void **state) {
    int kind = (int)(intptr_t)*state, calls = 0, pictures = 0, answers = 0, tokens = 0;
    stage g;
    open_stage(&g, kind, NULL, 2, true, zoom_env, NULL);
    fv_rollout r = roll(&g, &usual);
    for (int i = 0; i < LESSON_ROWS * GROUP; i++) {
        const fv_trajectory *t = &r.trajectories[i];
        calls += t->calls;
        pictures += t->pictures;
        answers += !strcmp(t->stop_reason, "answer");
        tokens += t->tokens;
        assert_true(t->sample == i / GROUP && t->member == i % GROUP);
        assert_true(t->pictures <= t->calls - t->failures);
        if (t->pictures) {
            assert_non_null(strstr(t->text, "<tool_response>"));
            assert_true(t->turns[0].step.has_box && t->turns[0].observation >= 0);
        }
    }
    print_message("%d trajectories: %d calls, %d pictures, %d answers, %d tokens\n", LESSON_ROWS * GROUP, calls, pictures, answers, tokens);
    assert_true(pictures >= 6 && answers >= 6);
    assert_int_equal(check_bits(&g.s, &r), tokens);
    fv_rollout_clear(&r);
    close_stage(&g);
}

/* Nothing of what shares the machine or the batch shows: threads, instruction sets, worker threads, pages, other samples. */
static void every_way_acts_the_same(void **state) {
    int kind = (int)(intptr_t)*state;
    stage first;
    const fv_ops *tables[4];
    int n = fv_ops_cpu_all(tables, 4);
    open_stage(&first, kind, NULL, 1, false, zoom_env, NULL);
    fv_rollout want = roll(&first, &usual);
    for (int i = 0; i < n; i++)
        for (int threads = 1; threads <= 3; threads++) {
            fv_engine_options o = {.max_rows = threads == 2 ? 23 : 0, .max_pages = threads == 3 ? 40 : 0};
            stage g;
            open_stage(&g, kind, tables[i], threads, threads > 1, zoom_env, &o);
            fv_rollout r = roll(&g, &usual);
            for (int k = 0; k < LESSON_ROWS * GROUP; k++) same_trajectory(&want, k, &r, k, tables[i]->name);
            check_bits(&g.s, &r);
            fv_rollout_clear(&r);
            close_stage(&g);
        }
    fv_rollout_clear(&want);
    close_stage(&first);
}

/* The draws belong to the row and the member, not to their places in a batch. */
static void rows_draw_for_themselves(void **state) {
    (void)state;
    stage g;
    open_stage(&g, SMALL_QWEN25, NULL, 1, false, zoom_env, NULL);
    fv_rollout all = roll(&g, &usual), one;
    fv_rollout_options o = usual;
    o.group_size = 2;
    o.numbers = &g.numbers[2];
    MUST(fv_rollout_run(&one, g.engine, g.s.model, g.s.slot, NULL, &g.samples[2], 1, &o, NULL, NULL, err));
    for (int k = 0; k < 2; k++) same_trajectory(&all, 2 * GROUP + k, &one, k, "alone");
    fv_rollout_clear(&one);
    o = usual;
    o.step++;
    fv_rollout next = roll(&g, &o);
    int same = 0;
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) same += !strcmp(all.trajectories[k].text, next.trajectories[k].text);
    assert_true(same < LESSON_ROWS * GROUP); /* another step draws anew */
    fv_rollout_clear(&next);
    fv_rollout_clear(&all);
    close_stage(&g);
}

/* Some samples once more, in the same tree: those are new, the others stay. */
static void some_can_be_rolled_out_again(void **state) {
    (void)state;
    stage g;
    open_stage(&g, SMALL_QWEN3, NULL, 1, true, zoom_env, NULL);
    fv_rollout before = roll(&g, &usual), r = roll(&g, &usual);
    bool again[LESSON_ROWS] = {false, true, false, false};
    fv_rollout_options o = usual;
    o.numbers = g.numbers;
    o.seed = 77;
    MUST(fv_rollout_again(&r, g.engine, g.s.model, g.s.slot, g.tools, again, &o, err));
    int same = 0;
    for (int k = 0; k < LESSON_ROWS * GROUP; k++)
        if (k / GROUP != 1) same_trajectory(&before, k, &r, k, "kept");
        else same += !strcmp(before.trajectories[k].text, r.trajectories[k].text);
    assert_true(same < GROUP);
    assert_true(r.stats.rows > before.stats.rows);
    check_bits(&g.s, &r);
    fv_rollout_clear(&before);
    fv_rollout_clear(&r);
    close_stage(&g);
}

/* Says `text` to every agent of the stage. */
static void say_to_all(stage *g, fv_rollout *r, const char *text, const volatile int *stop) {
    fv_rollout_options o = usual;
    o.numbers = g->numbers;
    o.stop = stop;
    for (int i = 0; i < LESSON_ROWS; i++) {
        fv_prompt_clear(&g->samples[i].prompt);
        g->samples[i].prompt = small_prompt(g->s.model, text, 0, 0, 0);
    }
    MUST(fv_rollout_go_on(r, g->engine, g->s.model, g->s.slot, g->tools, &o, NULL, NULL, err));
}

/* A second question after the first one's answers, a third that is stopped at once, a fourth: the bits are those of whole conversations, and no token goes
 * through the decoder twice. */
static void conversations_go_on(void **state) {
    int kind = (int)(intptr_t)*state;
    volatile int stop = 1;
    stage g;
    open_stage(&g, kind, NULL, 2, true, zoom_env, NULL);
    fv_rollout r = roll(&g, &usual);
    int64_t again = r.stats.fed_again, rows = r.stats.rows;
    say_to_all(&g, &r, "\n<|im_start|>user\nWhich digit?<|im_end|>\n<|im_start|>assistant\n", NULL);
    check_bits(&g.s, &r);
    assert_true(r.stats.rows > rows);
    rows = r.stats.rows;
    say_to_all(&g, &r, "\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n", &stop);
    assert_true(r.stats.rows == rows);
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
        const fv_trajectory *t = &r.trajectories[k];
        assert_string_equal(t->stop_reason, "stopped");
        assert_true(t->truncated && t->tokens == 0 && t->leaf == t->turns[0].segment);
    }
    say_to_all(&g, &r, "<|im_end|>\n<|im_start|>user\nWell?<|im_end|>\n<|im_start|>assistant\n", NULL);
    check_bits(&g.s, &r);
    int tokens = 0, written = 0;
    for (int i = 0; i < r.tree->count; i++) tokens += r.tree->segments[i]->count;
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
        assert_int_equal(r.tree->segments[r.trajectories[k].prompt]->parent >= 0, 1);
        written += r.trajectories[k].tokens;
    }
    assert_true(written > 0 && r.stats.rows - r.stats.fed_again < tokens);
    assert_true(r.stats.fed_again == again);
    fv_rollout_clear(&r);
    close_stage(&g);
}

static void limits_end_episodes(void **state) {
    (void)state;
    stage g;
    int seen[3] = {0};
    open_stage(&g, SMALL_QWEN25, NULL, 1, false, zoom_env, NULL);
    fv_rollout_options o = usual;
    o.max_new_tokens = 5;
    fv_rollout r = roll(&g, &o);
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
        assert_true(r.trajectories[k].tokens <= 5);
        seen[0] += !strcmp(r.trajectories[k].stop_reason, "length") && r.trajectories[k].truncated;
    }
    fv_rollout_clear(&r);
    o = usual;
    o.max_response = 70; /* the call fits, the observation does not */
    r = roll(&g, &o);
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
        const fv_trajectory *t = &r.trajectories[k];
        assert_true(fv_tree_tokens(r.tree, t->leaf) - fv_tree_tokens(r.tree, t->prompt) <= 70);
        seen[1] += !strcmp(t->stop_reason, "context") && t->truncated;
    }
    fv_rollout_clear(&r);
    close_stage(&g);
    open_stage(&g, SMALL_QWEN25, NULL, 1, false, "{\"tools\": [\"image_zoom_in_tool\"], \"prompt\": \"none\", \"max_turns\": 1, \"hint\": false}", NULL);
    r = roll(&g, &usual);
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) seen[2] += !strcmp(r.trajectories[k].stop_reason, "turns");
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    fv_rollout_clear(&r);
    close_stage(&g);
}

/* The answer forced from the first view: no environment, the text begins with it, and it is not trained on. */
static void an_answer_can_be_forced(void **state) {
    (void)state;
    stage g;
    open_stage(&g, SMALL_QWEN25, NULL, 1, false, zoom_env, NULL);
    for (int i = 0; i < LESSON_ROWS; i++) g.samples[i].env = NULL;
    fv_rollout_options o = usual;
    o.group_size = 1;
    o.temperature = 0;
    o.max_response = 0;
    o.forced = "<answer>";
    fv_rollout r = roll(&g, &o);
    for (int k = 0; k < LESSON_ROWS; k++) {
        const fv_trajectory *t = &r.trajectories[k];
        assert_int_equal(strncmp(t->text, "<answer>", 8), 0);
        assert_true(!strcmp(t->stop_reason, "end") || !strcmp(t->stop_reason, "length"));
        int forced = r.tree->segments[t->turns[0].segment]->parent;
        assert_true(forced != t->prompt && r.tree->segments[forced]->mask[0] == 0);
    }
    check_bits(&g.s, &r);
    fv_rollout_clear(&r);
    close_stage(&g);
}

/* A row that could not be read takes no part and keeps its reason. */
static void bad_rows_take_no_part(void **state) {
    (void)state;
    stage g;
    open_stage(&g, SMALL_QWEN25, NULL, 1, true, zoom_env, NULL);
    fv_fail(&g.samples[1].error, FV_BAD_DATA, "row 1 is broken");
    fv_rollout r = roll(&g, &usual);
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
        fv_response response;
        double term;
        fv_trajectory_response(&r, k, &term, &response);
        assert_int_equal(response.error[0] != 0, k / GROUP == 1);
        if (k / GROUP != 1) continue;
        assert_string_equal(r.trajectories[k].stop_reason, "error");
        assert_string_equal(response.error, "row 1 is broken");
        assert_true(r.trajectories[k].turn_count == 0 && r.trajectories[k].text == NULL);
    }
    fv_rollout_clear(&r);
    close_stage(&g);
}

/* Rows of a file in the place of the stage's, under another environment. */
static fv_feed *take_others(stage *g, const fv_dataset *data, const char *env) {
    fv_feed *feed;
    json_t *config = json_loads(env, 0, NULL);
    fv_feed_options options = {.env = config, .generate = true};
    MUST(fv_feed_open(&feed, g->s.model, data, g->s.pool, &options, err));
    json_decref(config);
    for (int i = 0; i < LESSON_ROWS; i++) fv_sample_clear(&g->samples[i]);
    fv_feed_take(feed, g->numbers, LESSON_ROWS, g->samples);
    return feed;
}

/* Rows without an environment beside one that has the recipe's: no word of tools, and one turn, though the model asks for a zoom. */
static void rows_may_have_no_environment(void **state) {
    (void)state;
    static const char *const fields[LESSON_ROWS] = {"\"env_name\": \"visual_toolbox_v2\"", "\"env_name\": \"\"", "\"env\": null", "\"env\": false"};
    static const char *const envs[] = {"{\"tools\": [\"image_zoom_in_tool\"], \"prompt\": \"compact\"}", zoom_env}; /* one that describes its tools, and the lesson's */
    stage g;
    fv_dataset *data;
    fv_text rows = {0};
    int calls = 0, asked = 0;
    for (int i = 0; i < LESSON_ROWS; i++)
        fv_text_printf(&rows, "{\"prompt\": [{\"role\": \"user\", \"content\": \"<image>Which digit?\"}], \"images\": [\"a.png\"], \"answer\": \"3\", %s}\n", fields[i]);
    small_write("verl.jsonl", rows.data);
    fv_text_clear(&rows);
    json_t *spec = json_string(small_path("verl.jsonl"));
    MUST(fv_dataset_open(&data, spec, 1, err));
    json_decref(spec);
    open_stage(&g, SMALL_QWEN25, NULL, 2, true, zoom_env, NULL);
    for (int e = 0; e < 2; e++) {
        fv_feed *feed = take_others(&g, data, envs[e]);
        for (int i = 0; i < LESSON_ROWS; i++) {
            char *text;
            const fv_ids *prompt = &g.samples[i].prompt.tokens;
            if (g.samples[i].error.status != FV_OK) fail_msg("%s", g.samples[i].error.text);
            MUST(fv_tokenizer_decode(g.s.model->tokenizer, prompt->ids, prompt->count, false, &text, err));
            assert_int_equal(g.samples[i].env != NULL, i == 0);
            assert_int_equal(strstr(text, "image_zoom_in_tool") != NULL, i == 0 && e == 0);
            free(text);
        }
        fv_rollout r = roll(&g, &usual);
        for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
            const fv_trajectory *t = &r.trajectories[k];
            if (k < GROUP) calls += t->calls;
            else assert_true(t->turn_count == 1 && t->calls == 0 && t->pictures == 0);
            asked += k >= GROUP && strstr(t->text, "<tool_call>") != NULL;
        }
        fv_rollout_clear(&r);
        for (int i = 0; i < LESSON_ROWS; i++) fv_sample_clear(&g.samples[i]);
        fv_feed_close(feed);
    }
    assert_true(calls > 0 && asked > 0);
    close_stage(&g);
    fv_dataset_close(data);
}

/* What was said earlier in a prompt is context, though an assistant said it: only what was sampled is trained on. */
static void earlier_answers_are_context(void **state) {
    (void)state;
    small s;
    fv_jobs *tools = NULL;
    fv_engine *e;
    fv_rollout r;
    fv_sample sample = {0};
    int64_t number = 0;
    small_open_at(&s, taught[0], NULL, 1, false);
    json_t *messages = json_loads("[{\"role\": \"user\", \"content\": \"Hi\"}, {\"role\": \"assistant\", \"content\": \"Hello\"}, {\"role\": \"user\", \"content\": \"Again\"}]", 0, NULL);
    fv_chat_options chat = {.generation_prompt = true};
    MUST(fv_prompt_make(s.model, messages, &chat, NULL, &sample.prompt, err));
    json_decref(messages);
    int masked = 0;
    for (int i = 0; i < sample.prompt.tokens.count; i++) masked += sample.prompt.mask[i];
    assert_true(masked > 0);
    MUST(fv_engine_open(&e, s.model, s.slot, NULL, err));
    fv_rollout_options o = usual;
    o.numbers = &number;
    o.group_size = 2;
    MUST(fv_rollout_run(&r, e, s.model, s.slot, tools, &sample, 1, &o, NULL, NULL, err));
    for (int i = 0; i < r.tree->count; i++)
        for (int k = 0; k < r.tree->segments[i]->count; k++) assert_int_equal(r.tree->segments[i]->mask[k], r.tree->segments[i]->author != FV_BY_ENVIRONMENT);
    fv_rollout_clear(&r);
    fv_sample_clear(&sample);
    fv_engine_close(e);
    small_close(&s);
}

/* Under a limit the feed takes the first rows alone, the same ones, and leaves the other samples as they were. */
static void rows_are_taken_as_memory_allows(void **state) {
    (void)state;
    stage g;
    fv_feed *narrow;
    fv_sample some[LESSON_ROWS] = {0};
    open_stage(&g, SMALL_QWEN25, NULL, 1, false, zoom_env, NULL);
    fv_feed_options options = {.env = g.env, .generate = true, .bytes = 1};
    MUST(fv_feed_open(&narrow, g.s.model, g.data, g.s.pool, &options, err));
    assert_int_equal(fv_feed_some(g.feed, g.numbers, 1, some), 1);
    fv_sample_clear(&some[0]);
    int taken = fv_feed_some(narrow, g.numbers, LESSON_ROWS, some);
    assert_int_equal(taken, 2);
    for (int i = 0; i < LESSON_ROWS; i++) {
        assert_int_equal(some[i].row != NULL, i < taken);
        if (i >= taken) continue;
        assert_int_equal(some[i].prompt.tokens.count, g.samples[i].prompt.tokens.count);
        assert_memory_equal(some[i].prompt.tokens.ids, g.samples[i].prompt.tokens.ids, (size_t)some[i].prompt.tokens.count * sizeof(int32_t));
        fv_sample_clear(&some[i]);
    }
    fv_feed_close(narrow);
    close_stage(&g);
}

/* A Thinking model's answers are begun with "<think>" by its chat format, those to observations as well. (The last test: it changes a model's folder.) */
static void answers_to_observations_begin_as_others(void **state) {
    (void)state;
    char path[400];
    snprintf(path, sizeof path, "%s/chat_template.jinja", taught[SMALL_QWEN3]);
    MUST(fv_file_copy(FOVEA_SOURCE "/tests/language/data/chat/qwen3_vl_thinking/chat_template.jinja", path, err));
    stage g;
    int observations = 0;
    open_stage(&g, SMALL_QWEN3, NULL, 2, true, zoom_env, NULL);
    fv_rollout r = roll(&g, &usual);
    for (int k = 0; k < LESSON_ROWS * GROUP; k++) {
        const fv_trajectory *t = &r.trajectories[k];
        for (int i = 0; i < t->turn_count; i++) {
            if (t->turns[i].observation < 0) continue;
            const fv_segment *s = r.tree->segments[t->turns[i].observation];
            char *text;
            MUST(fv_tokenizer_decode(g.s.model->tokenizer, s->ids, s->count, false, &text, err));
            static const char end[] = "<|im_start|>assistant\n<think>\n";
            assert_true(strlen(text) > sizeof end && !strcmp(text + strlen(text) + 1 - sizeof end, end));
            free(text);
            observations++;
        }
    }
    assert_true(observations > 0);
    fv_rollout_clear(&r);
    close_stage(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        {"agents zoom and answer (Qwen2.5-VL)", agents_zoom_and_answer, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"agents zoom and answer (Qwen3-VL)", agents_zoom_and_answer, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        {"every way acts the same (Qwen2.5-VL)", every_way_acts_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"every way acts the same (Qwen3-VL)", every_way_acts_the_same, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        cmocka_unit_test(rows_draw_for_themselves),
        cmocka_unit_test(some_can_be_rolled_out_again),
        {"conversations go on (Qwen2.5-VL)", conversations_go_on, NULL, NULL, (void *)(intptr_t)SMALL_QWEN25},
        {"conversations go on (Qwen3-VL)", conversations_go_on, NULL, NULL, (void *)(intptr_t)SMALL_QWEN3},
        cmocka_unit_test(limits_end_episodes),
        cmocka_unit_test(an_answer_can_be_forced),
        cmocka_unit_test(bad_rows_take_no_part),
        cmocka_unit_test(rows_may_have_no_environment),
        cmocka_unit_test(earlier_answers_are_context),
        cmocka_unit_test(rows_are_taken_as_memory_allows),
        cmocka_unit_test(answers_to_observations_begin_as_others),
    };
    return cmocka_run_group_tests(tests, teach, small_end);
}
