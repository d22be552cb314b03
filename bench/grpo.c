/* One GRPO step as training takes it: pictures made ready, the prompt once a group, continuous decoding, advantages, one backward over the tree, AdamW. The
 * work is that of bench/peers: 4 prompts with a picture of 224 x 224, 8 answers of exactly 64 tokens each, all different in reward. */
#include "bench/bench.h"

#include "core/progress.h"
#include "core/random.h"
#include "rl/engine/engine.h"
#include "rl/engine/pack.h"
#include "rl/pipeline.h"
#include "rl/train/feed.h"

#include <stdlib.h>
#include <string.h>

enum { PROMPTS = 4, GROUP = 8, ANSWERS = PROMPTS * GROUP, NEW = 64, WARMUP = 2, STEPS = 5, MOST_STEPS = 1000 };

static const char recipe_text[] = "model: {init: tiny}\ndata: none\nstages: [{kind: grpo, steps: 1, optim: {lr: 1.0e-6, clip: 1.0}}]\n";

typedef enum { PREPARE, PROMPT, DECODE, REWARD, UPDATE, OPTIMIZER, LAPS } lap;
static const char *const lap_names[] = {"prepare", "prompt", "decode", "reward", "update", "optimizer"};

typedef struct {
    fv_bench_rig rig;
    fv_engine *engine;
    fv_recipe *recipe;
    fv_pipeline *pipeline;
    fv_image *pictures[PROMPTS];
    fv_prompt prompts[PROMPTS];
    fv_error prompt_errors[PROMPTS];
    fv_tree *tree;
    int leaves[ANSWERS];
    double advantage[ANSWERS];
    int64_t rows; /* of the update's pass */
} work;

static void make_prompts(void *context, int64_t begin, int64_t end, int worker) {
    (void)worker;
    work *w = context;
    for (int64_t i = begin; i < end; i++) {
        fv_bench_prompt(&w->prompts[i], w->rig.model, w->pictures[i], &w->prompt_errors[i]);
    }
}

static fv_status prepare(work *w, fv_error *err) {
    fv_parallel(w->rig.pool, PROMPTS, 1, make_prompts, w);
    for (int i = 0; i < PROMPTS; i++)
        if (w->prompt_errors[i].status != FV_OK) return fv_fail(err, w->prompt_errors[i].status, "%s", w->prompt_errors[i].text);
    return FV_OK;
}

/* Every answer is asked for; the first step of the engine sees the pictures and feeds the prompts. */
static fv_status ask_all(work *w, uint64_t seed, fv_error *err) {
    FV_TRY(fv_tree_new(&w->tree, w->rig.model, err));
    fv_engine_begin(w->engine, w->tree);
    for (int i = 0; i < ANSWERS; i++) {
        static const int none = -1;
        int prompt = i % GROUP ? w->tree->segments[w->leaves[i - 1]]->parent : none;
        if (prompt < 0) FV_TRY(fv_tree_plant(w->tree, w->rig.model, &w->prompts[i / GROUP], &prompt, err));
        FV_TRY(fv_tree_branch(w->tree, prompt, 0, 1.0f, w->rig.slot->version, &w->leaves[i], err));
        fv_ask ask = {.segment = w->leaves[i], .temperature = 1, .top_p = 1, .key = fv_random_key(seed, "sample", 0, (uint64_t)i), .max_new = NEW};
        FV_TRY(fv_engine_ask(w->engine, &ask, err));
    }
    return FV_OK;
}

static fv_status engine_step(work *w, fv_error *err) {
    fv_done done[ANSWERS];
    int count;
    return fv_engine_step(w->engine, done, ANSWERS, &count, err);
}

/* Costs microseconds and differs between answers. */
static fv_status judge(work *w, const fv_moment *when, fv_error *err) {
    for (int p = 0; p < PROMPTS; p++) {
        fv_response items[GROUP] = {0};
        for (int k = 0; k < GROUP; k++) {
            const fv_segment *s = w->tree->segments[w->leaves[p * GROUP + k]];
            char *text;
            unsigned sum = 0;
            FV_TRY(fv_tokenizer_decode(w->rig.model->tokenizer, s->ids, s->count, true, &text, err));
            for (int i = 0; i < 64 && text[i]; i++) sum += (unsigned char)text[i];
            free(text);
            items[k] = (fv_response){.reward = sum % 97 / 97.0, .tokens = s->count};
        }
        fv_group group = {.items = items, .count = GROUP};
        FV_TRY(fv_pipeline_advantage(w->pipeline, &group, when, err));
        for (int k = 0; k < GROUP; k++) w->advantage[p * GROUP + k] = items[k].advantage;
    }
    return FV_OK;
}

static fv_streams streams_of(const work *w, const fv_targets *t, fv_scored scored, fv_arena *arena) {
    float *old = FV_TAKE(arena, float, t->count), *advantage = FV_TAKE(arena, float, t->count), *weight = FV_TAKE(arena, float, t->count);
    int32_t *response = FV_TAKE(arena, int32_t, t->count), *tokens = FV_TAKE(arena, int32_t, ANSWERS);
    int *answer_of = FV_TAKE(arena, int, w->tree->count);
    for (int a = 0; a < ANSWERS; a++) {
        answer_of[w->leaves[a]] = a;
        tokens[a] = NEW;
    }
    for (int i = 0; i < t->count; i++) {
        response[i] = answer_of[t->segment[i]];
        old[i] = w->tree->segments[t->segment[i]]->logp[t->index[i]];
        advantage[i] = (float)w->advantage[response[i]];
        weight[i] = 1;
    }
    return (fv_streams){.count = t->count, .total = t->count, .logp = fv_f32(scored.logp->v), .old_logp = old, .entropy = fv_f32(scored.entropy->v), .advantage = advantage,
                        .weight = weight, .response = response, .responses = ANSWERS, .response_tokens = tokens};
}

static fv_status update(work *w, const fv_moment *when, fv_error *err) {
    fv_bench_rig *r = &w->rig;
    fv_pack pack;
    fv_targets targets;
    double loss = 0;
    fv_slot_zero_grad(r->slot);
    fv_pass pass = fv_pass_begin(r->slot, r->arena, true);
    FV_TRY(fv_pack_make_scored(&pack, w->tree, w->leaves, ANSWERS, r->model->image.merge, r->arena, err));
    fv_engine_replay(w->engine, &pack, r->arena);
    fv_pack_targets(&targets, &pack, true, 0, r->arena);
    fv_scored scored = fv_pack_score(&pass, r->model, fv_pack_forward(&pass, r->model, &pack, NULL), &targets);
    fv_streams s = streams_of(w, &targets, scored, r->arena);
    s.dlogp = fv_f32(fv_grad(&pass, scored.logp));
    s.dentropy = fv_f32(fv_grad(&pass, scored.entropy));
    const fv_use *objective = &w->pipeline->objectives.uses[0];
    objective->part->objective(objective, &s, when, &loss);
    fv_pass_back(&pass);
    w->rows = pack.rows;
    fv_arena_reset(r->arena);
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "bench: %s", pass.error.text);
}

static void end_step(work *w) {
    for (int i = 0; i < PROMPTS; i++) {
        fv_prompt_clear(&w->prompts[i]);
        fv_image_free(w->pictures[i]);
        w->pictures[i] = NULL;
    }
    fv_tree_free(w->tree);
    w->tree = NULL;
}

static fv_status timed_step(work *w, int64_t number, uint64_t seed, double laps[LAPS], fv_error *err) {
    fv_moment when = {number, MOST_STEPS, seed};
    double at[LAPS + 1] = {fv_now()};
    FV_TRY(prepare(w, err));
    at[PREPARE + 1] = fv_now();
    FV_TRY(ask_all(w, fv_random_key(seed, "step", (uint64_t)number, 0), err));
    FV_TRY(engine_step(w, err));
    at[PROMPT + 1] = fv_now();
    while (fv_engine_active(w->engine)) FV_TRY(engine_step(w, err));
    at[DECODE + 1] = fv_now();
    FV_TRY(judge(w, &when, err));
    at[REWARD + 1] = fv_now();
    FV_TRY(update(w, &when, err));
    at[UPDATE + 1] = fv_now();
    fv_optim how = {.lr = 1e-6f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .clip = 1};
    double norm;
    fv_slot_step(w->rig.slot, &how, &norm);
    at[OPTIMIZER + 1] = fv_now();
    for (int i = 0; i < LAPS; i++) laps[i] = at[i + 1] - at[i];
    return FV_OK;
}

static fv_status open_work(work *w, const fv_bench_options *o, fv_error *err) {
    FV_TRY(fv_bench_open(&w->rig, o, "tiny", true, err));
    fv_model *m = w->rig.model;
    FV_TRY(fv_bench_wants_tower(m, err));
    FV_TRY(fv_engine_open(&w->engine, m, w->rig.slot, &(fv_engine_options){.record = (size_t)1 << 30, .ignore_eos = true}, err));
    FV_TRY(fv_recipe_parse(&w->recipe, recipe_text, "bench", NULL, 0, err));
    return fv_pipeline_open(&w->pipeline, w->recipe->stages[0].json, err);
}

static void close_work(work *w) {
    end_step(w);
    fv_pipeline_close(w->pipeline);
    fv_recipe_close(w->recipe);
    fv_engine_close(w->engine);
    fv_bench_close(&w->rig);
}

/* Multiply-adds of a step, two operations each: the rows of rollout and update through the decoder's matrices (three times in the update: forward, and two
 * ways back), sampled tokens through the projection. The tower and attention are left out. */
static double operations(const work *w) {
    return 2 * (4 * (double)w->rows * fv_bench_body(w->rig.model) + 4.0 * ANSWERS * NEW * fv_bench_head(w->rig.model));
}

static fv_status run_steps(work *w, const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    int steps = o->steps ? o->steps : STEPS;
    if (steps > MOST_STEPS) steps = MOST_STEPS;
    double times[LAPS + 1][MOST_STEPS], laps[LAPS], total;
    for (int64_t i = 0; i < WARMUP + steps; i++) {
        for (int p = 0; p < PROMPTS; p++) FV_TRY(fv_bench_picture(&w->pictures[p], (uint64_t)(i * PROMPTS + p), err));
        FV_TRY(timed_step(w, i, o->seed, laps, err));
        end_step(w);
        if (i < WARMUP) continue;
        total = 0;
        for (int k = 0; k < LAPS; k++) total += times[k][i - WARMUP] = laps[k];
        times[LAPS][i - WARMUP] = total;
    }
    json_t *seconds = json_object();
    total = fv_bench_median(times[LAPS], steps);
    json_object_set_new(seconds, "total", json_real(total));
    for (int k = 0; k < LAPS; k++) json_object_set_new(seconds, lap_names[k], json_real(fv_bench_median(times[k], steps)));
    json_object_set_new(out->facts, "seconds", seconds);
    json_object_set_new(out->facts, "tokens", json_integer(ANSWERS * NEW));
    out->line(out->context, "grpo step GFLOP/s", operations(w) / total * 1e-9, fv_bench_fma(w->rig.ops, w->rig.slot->exec) * 1e-9);
    return FV_OK;
}

fv_status fv_bench_grpo(const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    work w = {0};
    fv_status s = open_work(&w, o, err);
    if (s == FV_OK) s = run_steps(&w, o, out, err);
    close_work(&w);
    return s;
}
