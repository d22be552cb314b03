/* What recipes ask of the policy beside plain answers: a second pass without the picture, answers to shuffled frames, whole rows of log-probs. */
#include "lesson.h"

#include "rl/engine/vocabulary.h"
#include "rl/pipeline.h"
#include "rl/rollout/second_pass.h"
#include "rl/rollout/shuffled.h"

enum { GROUP = 4, ROOM = 4096 };

/* ---- Clips ---- */

static fv_picture *load_clip(const fv_model *m, const char *names) {
    char text[512];
    fv_picture *out;
    snprintf(text, sizeof text, "{\"type\": \"video\", \"video\": [%s], \"fps\": 2}", names);
    json_t *part = json_loads(text, 0, NULL);
    MUST(fv_picture_load(m, part, &(fv_media){.folder = small_root}, &out, err));
    json_decref(part);
    return out;
}

/* Frames in another order are the clip that has them so; in their own order they are the clip itself. */
static void a_reordered_clip_is_the_clip_filmed_so(void **state) {
    (void)state;
    small s;
    small_open(&s, SMALL_QWEN3, NULL, 1, false);
    fv_picture *clip = load_clip(s.model, "\"a.png\", \"b.png\", \"crop.png\", \"a.png\""), *wanted = load_clip(s.model, "\"crop.png\", \"a.png\", \"a.png\", \"b.png\""), *same, *other;
    MUST(fv_picture_reorder(s.model, clip, (const int[]){0, 1, 2, 3}, &same, err));
    MUST(fv_picture_reorder(s.model, clip, (const int[]){2, 0, 3, 1}, &other, err));
    assert_true(same->hash == clip->hash && other->hash == wanted->hash && other->hash != clip->hash);
    size_t n = (size_t)fv_patches_rows(clip->patches) * 3 * 2 * 14 * 14;
    assert_memory_equal(other->patches->pixels, wanted->patches->pixels, n * sizeof(float));
    assert_true(other->fps == clip->fps && other->second_per_grid == clip->second_per_grid && other->seconds[3] == clip->seconds[3]);
    fv_picture *const all[] = {clip, wanted, same, other};
    for (size_t i = 0; i < FV_COUNT(all); i++) fv_picture_drop(all[i]);
    small_close(&s);
}

/* ---- A batch of answers, as training has it ---- */

typedef struct {
    small s;
    fv_dataset *data;
    fv_feed *feed;
    fv_engine *engine;
    fv_grpo_batch batch;
    fv_rollout_options options;
} stage;

static void open_stage(stage *g, int kind, int threads, const char *rows, int prompts, int max_new) {
    memset(g, 0, sizeof *g);
    small_open(&g->s, kind, NULL, threads, false);
    small_write("rows.jsonl", rows);
    json_t *spec = json_string(small_path("rows.jsonl"));
    MUST(fv_dataset_open(&g->data, spec, 1, err));
    json_decref(spec);
    MUST(fv_feed_open(&g->feed, g->s.model, g->data, g->s.pool, &(fv_feed_options){.generate = true}, err));
    MUST(fv_engine_open(&g->engine, g->s.model, g->s.slot, &(fv_engine_options){.record = (size_t)1 << 24}, err));
    MUST(fv_grpo_batch_open(&g->batch, prompts, GROUP, err));
    for (int i = 0; i < prompts; i++) g->batch.numbers[i] = i;
    fv_feed_take(g->feed, g->batch.numbers, prompts, g->batch.samples);
    for (int i = 0; i < prompts; i++)
        if (g->batch.samples[i].error.status != FV_OK) fail_msg("%s", g->batch.samples[i].error.text);
    g->options = (fv_rollout_options){.group_size = GROUP, .temperature = 1, .top_p = 1, .max_new_tokens = max_new, .max_tokens = 2000, .seed = 5, .step = 1, .numbers = g->batch.places};
    MUST(fv_rollout_run(&g->batch.rollout, g->engine, g->s.model, g->s.slot, NULL, g->batch.samples, prompts, &g->options, NULL, NULL, err));
}

static void close_stage(stage *g) {
    fv_grpo_batch_close(&g->batch);
    fv_engine_close(g->engine);
    fv_feed_close(g->feed);
    fv_dataset_close(g->data);
    small_close(&g->s);
}

/* Log-probs of all that was sampled for `r`, from an independent pass: the same bits. */
static void check_bits(stage *g, const fv_rollout *r, int count) {
    static float now[ROOM], then[ROOM];
    int leaves[64], n = 0;
    for (int i = 0; i < count; i++)
        if (r->trajectories[i].turn_count) leaves[n++] = r->trajectories[i].turns[r->trajectories[i].turn_count - 1].segment;
    assert_true(n > 0);
    n = small_score(&g->s, r->tree, leaves, n, now, then, ROOM);
    assert_memory_equal(now, then, (size_t)n * sizeof *now);
}

static char *path_text(stage *g, int leaf) {
    const fv_tree *tree = g->batch.rollout.tree;
    int depth = fv_tree_depth(tree, leaf), path[16];
    fv_text all = {0};
    fv_tree_path(tree, leaf, path);
    for (int d = 0; d < depth; d++) {
        char *text;
        const fv_segment *s = tree->segments[path[d]];
        assert_int_equal(s->picture_count, 0);
        MUST(fv_tokenizer_decode(g->s.model->tokenizer, s->ids, s->count, false, &text, err));
        fv_text_add(&all, text);
        free(text);
    }
    return all.data;
}

static void say(stage *g, int i, const char *text) {
    free(g->batch.rollout.trajectories[i].text);
    g->batch.rollout.trajectories[i].text = strdup(text);
}

/* The second pass sees the first description and the question, no picture and nothing else of the response; a response without a description has none, so it can't hand over
 * its answer; special tokens in a description are no tokens of the prompt. */
static void the_second_pass_sees_the_description_alone(void **state) {
    (void)state;
    stage g;
    fv_second_pass p;
    fv_error why = {0};
    static const char rows[] = "{\"problem\": \"<image>Which digit?\", \"images\": [\"a.png\"], \"answer\": \"8\"}\n";
    json_t *stage_json = json_pack("{s: s}", "second_pass", "Seen: {description}\nAsked: {question}");
    open_stage(&g, SMALL_QWEN25, 2, rows, 1, 6);
    assert_int_equal(fv_second_pass_open(&p, NULL, "r.yaml: stages.rl", GROUP, &why), FV_BAD_RECIPE);
    assert_non_null(strstr(why.text, "r.yaml: stages.rl.second_pass"));
    MUST(fv_second_pass_open(&p, stage_json, "r.yaml: stages.rl", GROUP, err));
    say(&g, 0, "<description> a {question} eight </description><think>no</think>\\boxed{8}<|im_end|>");
    say(&g, 1, "<description>an eight<think>no</think>\\boxed{8}");
    say(&g, 2, "<description>x<|im_end|>\n<|im_start|>assistant\ny<|image_pad|></description><description>z</description>");
    say(&g, 3, "<description></description>");
    MUST(fv_second_pass_run(&p, &g.batch.rollout, g.engine, g.s.model, g.s.slot, &g.options, NULL, err));
    assert_string_equal(fv_second_pass_text(&p, 1), "");
    assert_int_equal(p.rollout.trajectories[1].turn_count, 0);
    static const char *const seen[] = {"Seen: a {question} eight\nAsked: Which digit?<|im_end|>\n<|im_start|>assistant\n", NULL, "Seen: x\nassistant\ny\nAsked: Which digit?<|im_end|>",
                                       "Seen: \nAsked: Which digit?<|im_end|>"};
    for (int i = 0; i < GROUP; i++) {
        if (!seen[i]) continue;
        char *text = path_text(&g, p.rollout.trajectories[i].leaf);
        if (!strstr(text, seen[i])) fail_msg("response %d: \"%s\"", i, text);
        assert_true(strlen(fv_second_pass_text(&p, i)) > 0 && !strstr(text, "boxed"));
        free(text);
    }
    check_bits(&g, &p.rollout, GROUP);
    check_bits(&g, &g.batch.rollout, GROUP);
    char *before = strdup(fv_second_pass_text(&p, 0));
    say(&g, 2, "nothing");
    MUST(fv_second_pass_run(&p, &g.batch.rollout, g.engine, g.s.model, g.s.slot, &g.options, (const bool[]){true}, err)); /* again: the same where nothing has changed */
    assert_string_equal(fv_second_pass_text(&p, 0), before);
    assert_string_equal(fv_second_pass_text(&p, 2), "");
    free(before);
    fv_second_pass_close(&p);
    json_decref(stage_json);
    close_stage(&g);
}

/* A second pass that can't be asked is its response's error, and nobody else's. */
static void a_second_pass_that_breaks_is_told(void **state) {
    (void)state;
    stage g;
    fv_second_pass p;
    static const char rows[] = "{\"input_ids\": [5, 6, 7, 8]}\n";
    json_t *stage_json = json_pack("{s: s}", "second_pass", "{description}?");
    open_stage(&g, SMALL_QWEN25, 1, rows, 1, 4);
    MUST(fv_second_pass_open(&p, stage_json, "r.yaml: stages.rl", GROUP, err));
    for (int i = 0; i < GROUP; i++) say(&g, i, i == 2 ? "<description>d</description>" : "none");
    MUST(fv_second_pass_run(&p, &g.batch.rollout, g.engine, g.s.model, g.s.slot, &g.options, NULL, err));
    MUST(fv_grpo_batch_index(&g.batch, 1, err));
    fv_second_pass_tell(&p, g.batch.responses);
    for (int i = 0; i < GROUP; i++) assert_true((g.batch.responses[i].error[0] != 0) == (i == 2) && (i == 2 || !strcmp(g.batch.responses[i].second_text, "")));
    assert_non_null(strstr(g.batch.responses[2].error, "second pass: "));
    assert_non_null(strstr(g.batch.responses[2].error, "rows.jsonl:1: a row of tokens has no question"));
    fv_second_pass_close(&p);
    json_decref(stage_json);
    close_stage(&g);
}

/* Half as many answers to each clip, of as many tokens, in an order that the seed gives; a picture has none; and what they get reaches nobody else. */
static void shuffled_frames_cost_the_same(void **state) {
    (void)state;
    static const char rows[] = "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"video\", \"video\": [\"a.png\", \"b.png\", \"crop.png\", \"a.png\", \"b.png\", \"b.png\"]}, {\"type\": \"text\", \"text\": \"Which?\"}]}]}\n"
                               "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\", \"image\": \"a.png\"}, {\"type\": \"text\", \"text\": \"Which?\"}]}]}\n";
    stage g;
    fv_shuffled s;
    uint64_t hash = 0;
    for (int time = 0; time < 2; time++) {
        open_stage(&g, SMALL_QWEN3, 1 + time, rows, 2, 6);
        MUST(fv_shuffled_open(&s, 2, GROUP, 1, err));
        MUST(fv_shuffled_run(&s, &g.batch, g.engine, g.s.model, g.s.slot, NULL, &g.options, NULL, err));
        MUST(fv_grpo_batch_index(&g.batch, 1, err));
        const fv_prompt *in = &g.batch.samples[0].prompt, *out = &s.samples[0].prompt;
        assert_true(s.clip[0] && !s.clip[1] && out->tokens.count == in->tokens.count);
        assert_memory_equal(out->tokens.ids, in->tokens.ids, (size_t)in->tokens.count * sizeof *in->tokens.ids);
        assert_true(out->pictures[0]->hash != in->pictures[0]->hash && (!time || out->pictures[0]->hash == hash));
        hash = out->pictures[0]->hash;
        check_bits(&g, &s.rollout, 2 * s.size);
        fv_shuffled_index(&s);
        fv_group all = fv_shuffled_join(&s, &g.batch, 0), still = fv_shuffled_join(&s, &g.batch, 1);
        assert_true(still.count == GROUP);
        all = fv_shuffled_join(&s, &g.batch, 0);
        assert_true(all.count == GROUP + GROUP / 2 && all.items[GROUP].aside && !all.items[0].aside && !strcmp(all.items[GROUP].frames, "shuffled"));
        for (int i = 0; i < all.count; i++) all.items[i].reward = i;
        fv_shuffled_part(&s, &g.batch, 0);
        assert_true(g.batch.responses[GROUP - 1].reward == GROUP - 1 && isnan(g.batch.responses[GROUP].reward) && s.responses[1].reward == GROUP + 1);
        char *text = strdup(s.rollout.trajectories[1].text);
        MUST(fv_shuffled_run(&s, &g.batch, g.engine, g.s.model, g.s.slot, NULL, &g.options, (const bool[]){true, false}, err)); /* again: the same where nothing has changed */
        assert_string_equal(s.rollout.trajectories[1].text, text);
        assert_true(s.samples[0].prompt.pictures[0]->hash == hash);
        free(text);
        fv_shuffled_close(&s);
        close_stage(&g);
    }
}

/* ---- Whole rows of log-probs ---- */

/* The row of an answer as a file has it: [own tokens][vocabulary], by a product and a log-softmax in double. */
static json_t *rows_of(stage *g, int i) {
    fv_pack pack;
    fv_targets targets;
    const fv_trajectory *t = &g->batch.rollout.trajectories[i];
    fv_pass pass = fv_pass_begin(g->s.slot, g->s.arena, false);
    MUST(fv_pack_make(&pack, g->batch.rollout.tree, &t->leaf, 1, g->s.model->image.merge, g->s.arena, err));
    fv_pack_targets(&targets, &pack, true, 0, g->s.arena);
    const fv_var *hidden = fv_pack_forward(&pass, g->s.model, &pack, NULL);
    fv_view head = g->s.slot->params[fv_decoder_head(g->s.model->decoder)].w;
    int64_t vocabulary = head.shape[0], width = head.shape[1];
    json_t *rows = json_array();
    double *logits = malloc((size_t)vocabulary * sizeof *logits);
    for (int k = 0; k < targets.count; k++) {
        const float *h = fv_f32(hidden->v) + targets.source[k] * width;
        double most = -INFINITY, sum = 0;
        for (int64_t v = 0; v < vocabulary; v++) {
            double l = 0;
            for (int64_t c = 0; c < width; c++) l += (double)h[c] * (double)fv_f32(head)[v * width + c];
            logits[v] = l / targets.temperature[k];
            most = fmax(most, logits[v]);
        }
        for (int64_t v = 0; v < vocabulary; v++) sum += exp(logits[v] - most);
        json_t *row = json_array();
        for (int64_t v = 0; v < vocabulary; v++) json_array_append_new(row, json_real(logits[v] - most - log(sum)));
        json_array_append_new(rows, row);
    }
    free(logits);
    fv_arena_reset(g->s.arena);
    return json_pack("{s: o}", "logprobs", rows);
}

static void weights_of(fv_pipeline *p, stage *g, bool visited, int64_t micro, float *out) {
    json_t *rows[GROUP] = {NULL};
    fv_moment when = {0, 1, 1};
    bool small_pieces = micro == 1; /* a pass an answer, a visit a position */
    fv_vocabulary_source from = {g->s.model, g->s.slot, small_pieces ? NULL : g->engine, g->s.arena, micro, small_pieces};
    MUST(fv_grpo_batch_index(&g->batch, 0, err));
    fv_group *all = &g->batch.groups[0];
    snprintf(all->items[2].error, sizeof all->items[2].error, "left out");
    for (int i = 0; i < GROUP && !visited; i++) all->items[i].given = rows[i] = rows_of(g, i);
    if (visited) MUST(fv_vocabulary_visit_group(&from, &g->batch, 0, all, p, &when, err));
    MUST(fv_pipeline_advantage(p, all, &when, err));
    for (int i = 0; i < GROUP; i++) {
        memcpy(out, all->items[i].token_weight, (size_t)all->items[i].tokens * sizeof *out);
        out += all->items[i].tokens;
        json_decref(rows[i]);
    }
}

/* Token weights by visiting the policy's rows are those of rows worked out by hand and read from a file, up to rounding; and have the same bits for any number of threads, from passes that
 * decoding recorded and from ones of any size, many positions at once or one. */
static void visited_weights_are_those_of_rows(void **state) {
    (void)state;
    static float read[ROOM], whole[ROOM], pieces[ROOM];
    static const char rows[] = "{\"problem\": \"<image>Which digit?\", \"images\": [\"a.png\"], \"answer\": \"8\"}\n";
    stage g;
    fv_pipeline *p;
    json_t *parts = json_loads("{\"weights\": [{\"rule\": \"divergence\", \"alpha\": 1.7, \"bound\": 11}]}", 0, NULL);
    MUST(fv_pipeline_open(&p, parts, err));
    for (int kind = 0; kind < SMALL_KINDS; kind++) {
        double low = 2, high = 0;
        open_stage(&g, kind, 1 + kind, rows, 1, 24);
        weights_of(p, &g, true, 1000, whole);
        weights_of(p, &g, true, 1, pieces);
        weights_of(p, &g, false, 0, read);
        int n = 0, at = 0;
        for (int i = 0; i < GROUP; i++) n += g.batch.response_tokens[i];
        assert_true(n > 0 && n < ROOM);
        assert_memory_equal(whole, pieces, (size_t)n * sizeof *whole);
        for (int i = 0; i < GROUP; i++)
            for (int k = 0; k < g.batch.response_tokens[i]; k++, at++) {
                if (fabs((double)whole[at] - (double)read[at]) > 1e-5) fail_msg("token %d of answer %d: %.9g, expected %.9g", k, i, (double)whole[at], (double)read[at]); /* log-probs are f32 here */
                if (i == 2) assert_true(whole[at] == 1);
                low = fmin(low, whole[at]);
                high = fmax(high, whole[at]);
            }
        assert_true(low == 1 && high > 1.69);
        close_stage(&g);
    }
    fv_pipeline_close(p);
    json_decref(parts);
}

/* Only one part can look: two that ask are refused. */
static void two_visitors_are_refused(void **state) {
    (void)state;
    fv_pipeline *p;
    fv_error why = {0};
    json_t *parts = json_loads("{\"weights\": [{\"rule\": \"divergence\", \"alpha\": 2, \"bound\": 11}, {\"rule\": \"divergence\", \"alpha\": 3, \"bound\": 1}]}", 0, NULL);
    assert_int_equal(fv_pipeline_open(&p, parts, &why), FV_LIMIT);
    assert_non_null(strstr(why.text, "only one"));
    json_decref(parts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reordered_clip_is_the_clip_filmed_so), cmocka_unit_test(the_second_pass_sees_the_description_alone), cmocka_unit_test(a_second_pass_that_breaks_is_told), cmocka_unit_test(shuffled_frames_cost_the_same),
        cmocka_unit_test(visited_weights_are_those_of_rows),      cmocka_unit_test(two_visitors_are_refused),
    };
    return cmocka_run_group_tests(tests, lesson_begin, small_end);
}
