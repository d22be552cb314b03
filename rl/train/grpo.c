/* Group-relative policy optimisation: rollouts, rewards, advantages, streams, one backward over the tree. The algorithm is the parts' (rl/part.h). */
#include "core/random.h"
#include "rl/engine/vocabulary.h"
#include "rl/judge/judging.h"
#include "rl/rollout/second_pass.h"
#include "rl/rollout/shuffled.h"
#include "rl/rollout/trajectories.h"
#include "rl/train/learn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    fv_trainer *t;
    const fv_stage *stage;
    fv_pipeline *pipeline;
    fv_curriculum rows;
    fv_feed *feed;
    fv_engine *engine;
    fv_jobs *tools;
    fv_second_pass second;
    fv_shuffled shuffled;
    fv_others others;
    fv_judging *judging; /* NULL: no term asks a judge */
    const char *term_names[FV_MAX_PARTS];
    int64_t steps;
    bool fruitful; /* some response was scored, in this run or before it was resumed */
} grpo;

/* ---- One step ---- */

static fv_rollout_options rollout_options(const grpo *g, const fv_grpo_batch *b, int64_t step, int retry) {
    const json_t *s = g->stage->json;
    return (fv_rollout_options){.group_size = b->group_size, .temperature = (float)fv_get_at(s, "rollout.temperature", step, g->steps),
                                .top_p = (float)fv_get_at(s, "rollout.top_p", step, g->steps), .top_k = (int)fv_get_int(s, "rollout.top_k"),
                                .max_new_tokens = (int)fv_get_int(s, "rollout.max_new_tokens"), .max_response = (int)fv_get_int(s, "rollout.max_response"),
                                .max_tokens = (int)fv_get_int(s, "max_tokens"), .step = step, .numbers = b->places,
                                .seed = fv_random_key(g->t->seed, "rollout", (uint64_t)g->t->stage, (uint64_t)retry)};
}

static int64_t draw(grpo *g, int64_t step, int retry, int i) {
    return fv_curriculum_row(&g->rows, fv_random_key(g->t->seed, "data", (uint64_t)g->t->stage, (uint64_t)retry), step, i);
}

static bool needs(const grpo *g, unsigned what) { return (g->pipeline->needs & what) != 0; }

static fv_learner learner_of(const grpo *g) {
    return (fv_learner){.t = g->t, .stage = g->stage, .steps = g->steps, .pipeline = g->pipeline, .others = &g->others, .engine = g->engine, .beside = {&g->second.rollout, &g->shuffled.rollout}};
}

/* The passes beside a rollout that some part asks for; of the prompts that `again` marks, NULL: of all. */
static fv_status roll_beside(grpo *g, fv_grpo_batch *b, const fv_rollout_options *o, const bool *again, fv_error *err) {
    if (needs(g, FV_NEED_SECOND_PASS)) FV_TRY(fv_second_pass_run(&g->second, &b->rollout, g->engine, g->t->model, g->t->policy, o, again, err));
    if (needs(g, FV_NEED_SHUFFLED)) FV_TRY(fv_shuffled_run(&g->shuffled, b, g->engine, g->t->model, g->t->policy, g->tools, o, again, err));
    return FV_OK;
}

/* The step's rows; those of the next are made ready meanwhile, where there is something to do it (rl/train/feed.h). */
static fv_status take_rows(grpo *g, fv_grpo_batch *b, int64_t step, fv_error *err) {
    for (int i = 0; i < b->prompts; i++) b->numbers[i] = draw(g, step, 0, i);
    fv_feed_take(g->feed, b->numbers, b->prompts, b->samples);
    if (fv_train_reads_ahead(g->t->ops->device) && step + 1 < g->steps) {
        int64_t *next = malloc((size_t)b->prompts * sizeof *next);
        for (int i = 0; next && i < b->prompts; i++) next[i] = draw(g, step + 1, 0, i);
        if (next) fv_feed_expect(g->feed, next, b->prompts);
        free(next);
    }
    return fv_train_bad_rows(g->t, b->samples, b->prompts, err);
}

static fv_status roll(grpo *g, fv_grpo_batch *b, int64_t step, fv_error *err) {
    FV_TRY(take_rows(g, b, step, err));
    fv_rollout_options o = rollout_options(g, b, step, 0);
    FV_TRY(fv_rollout_run(&b->rollout, g->engine, g->t->model, g->t->policy, g->tools, b->samples, b->prompts, &o, NULL, NULL, err));
    return roll_beside(g, b, &o, NULL, err);
}

/* A prompt's answers, with those that only set a bar for them. */
static fv_group join_group(grpo *g, fv_grpo_batch *b, int prompt) { return needs(g, FV_NEED_SHUFFLED) ? fv_shuffled_join(&g->shuffled, b, prompt) : b->groups[prompt]; }

static void part_group(grpo *g, fv_grpo_batch *b, int prompt) {
    if (needs(g, FV_NEED_SHUFFLED)) fv_shuffled_part(&g->shuffled, b, prompt);
}

static fv_status pay_group(grpo *g, fv_grpo_batch *b, int prompt, const fv_moment *when, fv_error *err) {
    fv_group group = join_group(g, b, prompt);
    FV_TRY(fv_pipeline_reward(g->pipeline, &group, when, err));
    part_group(g, b, prompt);
    return FV_OK;
}

/* All who may be asked about: the batch's responses, then, prompt by prompt, those that set a bar. */
static fv_status list_judged(grpo *g, const fv_grpo_batch *b, fv_judged **list, int *count, fv_error *err) {
    const fv_shuffled *s = &g->shuffled;
    int n = b->prompts * b->group_size;
    *count = n + s->prompts * s->size;
    *list = malloc((size_t)*count * sizeof **list);
    if (!*list) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    for (int i = 0; i < n; i++) (*list)[i] = (fv_judged){&b->responses[i], &b->samples[b->rollout.trajectories[i].sample]};
    for (int i = n; i < *count; i++) (*list)[i] = (fv_judged){&s->responses[i - n], &s->samples[(i - n) / s->size]};
    return FV_OK;
}

/* Whether any was asked about, which is over now. */
static bool were_asked(fv_response *responses, int n) {
    bool any = false;
    for (int i = 0; i < n; i++) {
        any |= responses[i].unjudged;
        responses[i].unjudged = false;
    }
    return any;
}

/* Asks, and pays once more the groups in which somebody was asked about; terms are functions of their arguments. */
static fv_status ask_judge(grpo *g, fv_grpo_batch *b, const fv_moment *when, fv_error *err) {
    fv_judged *list;
    int count, bars = g->shuffled.size;
    FV_TRY(list_judged(g, b, &list, &count, err));
    fv_status s = fv_judging_run(g->judging, list, count, err);
    free(list);
    for (int p = 0; p < b->prompts && s == FV_OK; p++) {
        bool ordered = were_asked(b->groups[p].items, b->group_size), shuffled = bars && were_asked(g->shuffled.responses + p * bars, bars);
        if (ordered || shuffled) s = pay_group(g, b, p, when, err);
    }
    return s;
}

static fv_status compare_group(grpo *g, fv_grpo_batch *b, int prompt, const fv_moment *when, fv_error *err) {
    fv_trainer *t = g->t;
    fv_group group = join_group(g, b, prompt);
    fv_vocabulary_source from = {.model = t->model, .slot = t->policy, .engine = g->engine, .arena = t->arena, .micro_tokens = fv_get_int(g->stage->json, "optim.micro_tokens")};
    if (needs(g, FV_NEED_VOCABULARY)) FV_TRY(fv_vocabulary_visit_group(&from, b, prompt, &group, g->pipeline, when, err));
    FV_TRY(fv_pipeline_advantage(g->pipeline, &group, when, err));
    part_group(g, b, prompt);
    return FV_OK;
}

static fv_status judge(grpo *g, fv_grpo_batch *b, int64_t step, fv_error *err) {
    fv_moment when = {step, g->steps, g->t->seed};
    FV_TRY(fv_grpo_batch_index(b, g->pipeline->terms.count, err));
    if (needs(g, FV_NEED_SHUFFLED)) fv_shuffled_index(&g->shuffled);
    if (needs(g, FV_NEED_SECOND_PASS)) fv_second_pass_tell(&g->second, b->responses);
    for (int i = 0; i < b->prompts; i++) FV_TRY(pay_group(g, b, i, &when, err));
    if (g->judging) FV_TRY(ask_judge(g, b, &when, err));
    fv_learner l = learner_of(g);
    if (needs(g, FV_NEED_VALUE)) FV_TRY(fv_learn_values(&l, b, err));
    for (int i = 0; i < b->prompts; i++) FV_TRY(compare_group(g, b, i, &when, err));
    fv_pipeline_settle(g->pipeline, b->groups, b->prompts, &when);
    return FV_OK;
}

/* Why the first prompt or response of a batch could not be used. */
static const char *first_reason(const fv_grpo_batch *b) {
    for (int i = 0; i < b->prompts; i++)
        if (b->samples[i].error.status != FV_OK) return b->samples[i].error.text;
    for (int i = 0; i < b->prompts * b->group_size; i++)
        if (b->responses[i].error[0]) return b->responses[i].error;
    return "";
}

/* A stage that finds nothing to score would run to its end and learn nothing: it stops after the first reading of its rows. */
static fv_status check_fruit(grpo *g, const fv_grpo_batch *b, int64_t step, fv_error *err) {
    int64_t tokens, taken = (step + 1) * b->prompts;
    g->fruitful |= fv_grpo_batch_sound(b, 0, b->prompts, &tokens) > 0;
    if (g->fruitful || (taken < fv_dataset_count(g->rows.data) && step + 1 < g->steps)) return FV_OK;
    return fv_fail(err, FV_BAD_DATA, "%s: none of %lld rows could be used; the last ones: %s", g->stage->name, (long long)taken, first_reason(b));
}

/* Other rows take the places of prompts whose groups are flat. */
static fv_status replace_flat(grpo *g, fv_grpo_batch *b, int64_t step, int retry, fv_error *err) {
    bool *again = calloc((size_t)b->prompts, sizeof *again);
    if (!again) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    fv_status s = FV_OK;
    for (int i = 0; i < b->prompts && s == FV_OK; i++) {
        again[i] = fv_grpo_batch_is_flat(b, i);
        if (!again[i]) continue;
        b->numbers[i] = draw(g, step, retry, i);
        fv_sample_clear(&b->samples[i]);
        fv_feed_take(g->feed, &b->numbers[i], 1, &b->samples[i]);
        s = fv_train_bad_rows(g->t, &b->samples[i], 1, err);
    }
    fv_rollout_options o = rollout_options(g, b, step, retry);
    if (s == FV_OK) s = fv_rollout_again(&b->rollout, g->engine, g->t->model, g->t->policy, g->tools, again, &o, err);
    if (s == FV_OK) s = roll_beside(g, b, &o, again, err);
    free(again);
    return s;
}

/* DAPO's dynamic sampling (arXiv 2503.14476, section 3.2): groups without a difference teach nothing; further prompts take their places. Seconds of their rollouts are added to *rolling. */
static fv_status resample(grpo *g, fv_grpo_batch *b, int64_t step, double *rolling, fv_error *err) {
    int tries = (int)fv_get_int(g->stage->json, "dynamic_sampling");
    for (int k = 1; k <= tries && fv_grpo_batch_flat(b); k++) {
        double start = fv_now();
        FV_TRY(replace_flat(g, b, step, k, err));
        *rolling += fv_now() - start;
        FV_TRY(judge(g, b, step, err));
    }
    return FV_OK;
}

/* ---- Trajectories that are kept to look at ---- */

/* How often a prompt's row is in the batch before it. */
static int earlier(const fv_grpo_batch *b, int prompt) {
    int n = 0;
    for (int i = 0; i < prompt; i++) n += b->numbers[i] == b->numbers[prompt];
    return n;
}

/* The answers to a prompt's shuffled frames, numbered behind all others of its row. */
static fv_status show_shuffled(grpo *g, const fv_grpo_batch *b, int prompt, fv_lines *lines, const char *folder, fv_error *err) {
    fv_shuffled *s = &g->shuffled;
    s->rollout.numbered_from = (int64_t)(b->prompts + earlier(b, prompt)) * b->group_size;
    for (int i = prompt * s->size; i < (prompt + 1) * s->size && s->clip[prompt]; i++)
        FV_TRY(fv_trajectory_write(lines, folder, g->t->model, &s->rollout, i, g->t->step + 1, &s->responses[i], g->term_names, g->pipeline->terms.count, err));
    return FV_OK;
}

static fv_status show(grpo *g, fv_grpo_batch *b, int64_t step, fv_error *err) {
    int64_t every = fv_get_int(g->stage->json, "rollout.every"), n = fv_get_int(g->stage->json, "rollout.show");
    if (!n || step % every) return FV_OK;
    char name[64];
    snprintf(name, sizeof name, "trajectories/step-%lld.jsonl", (long long)g->t->step + 1);
    char *path = fv_run_path(g->t->run, name), *folder = fv_run_path(g->t->run, "trajectories");
    fv_lines *lines = NULL;
    fv_status s = fv_path_remove(path, err); /* of a run that was killed after this step and resumed before it */
    if (s == FV_OK) s = fv_lines_open(&lines, path, err);
    for (int i = 0; i < b->prompts * b->group_size && i < n && s == FV_OK; i++) {
        b->rollout.numbered_from = (int64_t)earlier(b, i / b->group_size) * b->group_size;
        s = fv_trajectory_write(lines, folder, g->t->model, &b->rollout, i, g->t->step + 1, &b->responses[i], g->term_names, g->pipeline->terms.count, err);
        bool last = (i + 1) % b->group_size == 0;
        if (s == FV_OK && last && needs(g, FV_NEED_SHUFFLED)) s = show_shuffled(g, b, i / b->group_size, lines, folder, err);
    }
    fv_lines_close(lines);
    free(folder);
    free(path);
    return s;
}

/* ---- The whole of a step ---- */

static void sampled_metrics(const grpo *g, const fv_grpo_batch *b, fv_metrics *m) {
    fv_grpo_batch_metrics(b, g->pipeline, m);
    if (needs(g, FV_NEED_SECOND_PASS)) fv_second_pass_metrics(&g->second, m);
    if (needs(g, FV_NEED_SHUFFLED)) fv_shuffled_metrics(&g->shuffled, g->pipeline, m);
    if (g->judging) fv_judging_metrics(g->judging, m);
}

static void clear_step(grpo *g, fv_grpo_batch *b) {
    fv_second_pass_clear(&g->second);
    fv_shuffled_clear(&g->shuffled);
    fv_grpo_batch_clear(b);
}

/* Tokens of all samples, each with its prompt, as TRL and verl count them. */
static double tokens_of(const fv_rollout *r) {
    double n = 0;
    for (int i = 0; r->tree && i < r->sample_count * r->group_size; i++)
        if (r->trajectories[i].leaf >= 0) n += fv_tree_tokens(r->tree, r->trajectories[i].leaf);
    return n;
}

static double sampled_tokens(const grpo *g, const fv_grpo_batch *b) { return tokens_of(&b->rollout) + tokens_of(&g->second.rollout) + tokens_of(&g->shuffled.rollout); }

static fv_status one_step(grpo *g, fv_grpo_batch *b, int64_t step, fv_metrics *m, fv_error *err) {
    double start = fv_now();
    FV_TRY(roll(g, b, step, err));
    double rolling = fv_now() - start;
    FV_TRY(judge(g, b, step, err));
    FV_TRY(resample(g, b, step, &rolling, err));
    FV_TRY(check_fruit(g, b, step, err));
    double judged = fv_now();
    FV_TRY(show(g, b, step, err));
    sampled_metrics(g, b, m);
    fv_learner l = learner_of(g);
    FV_TRY(fv_learn(&l, b, step, m, err));
    fv_pipeline_update(g->pipeline, b->groups, b->prompts, &(fv_moment){step, g->steps, g->t->seed});
    json_t *parts = fv_pipeline_save(g->pipeline);
    if (!parts) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    json_object_set_new(g->t->state, "parts", parts);
    double end = fv_now();
    double tokens = json_number_value(json_object_get(g->t->state, "num_tokens")) + sampled_tokens(g, b);
    json_object_set_new(g->t->state, "num_tokens", json_real(tokens));
    fv_metric(m, "num_tokens", tokens);
    fv_metric(m, "timing_s/gen", rolling);
    fv_metric(m, "timing_s/reward", judged - start - rolling);
    fv_metric(m, "timing_s/update_actor", end - judged);
    fv_metric(m, "step_time", end - start);
    fv_metric(m, "perf/throughput", sampled_tokens(g, b) / (end - start));
    fv_metric(m, "epoch", (double)((step + 1) * b->prompts) / (double)fv_dataset_count(g->rows.data));
    return FV_OK;
}

static fv_status run_steps(grpo *g, fv_grpo_batch *b, int64_t from, fv_error *err) {
    fv_trainer *t = g->t;
    fv_progress *progress = fv_train_progress(t, g->stage, from, g->steps);
    fv_status s = FV_OK;
    double smooth = NAN;
    for (int64_t step = from; step < g->steps && s == FV_OK; step++) {
        fv_metrics m = {0};
        s = one_step(g, b, step, &m, err);
        clear_step(g, b);
        if (s == FV_OK) s = fv_train_after(t, g->stage, step + 1, g->steps, &m, err);
        double reward = fv_metric_get(&m, "reward");
        smooth = isnan(smooth) ? reward : 0.8 * smooth + 0.2 * reward;
        fv_progress_update(progress, step + 1, "reward %.3f", smooth);
    }
    if (s == FV_OK && from >= g->steps) s = fv_train_end(t, g->stage, from, err);
    fv_progress_close(progress);
    return s;
}

/* ---- Opening a stage ---- */

size_t fv_train_record(const fv_stage *stage) {
    bool replays = stage->kind == FV_STAGE_GRPO && fv_get_int(stage->json, "verify") != 1; /* 1: every forward is an independent one */
    if (replays) replays = !fv_get_bool(stage->json, "optim.gradient_checkpointing");           /* which asks for memory, and this takes it */
    return replays ? (size_t)1 << 30 : 0;
}

static fv_status open_beside(grpo *g, fv_error *err) {
    int prompts = (int)fv_get_int(g->stage->json, "rollout.prompts"), group = (int)fv_get_int(g->stage->json, "rollout.group_size");
    char place[256];
    snprintf(place, sizeof place, "%.160s: stages.%.64s", g->t->recipe->file, g->stage->name);
    if (needs(g, FV_NEED_SECOND_PASS)) FV_TRY(fv_second_pass_open(&g->second, g->stage->json, place, prompts * group, err));
    return needs(g, FV_NEED_SHUFFLED) ? fv_shuffled_open(&g->shuffled, prompts, group, g->pipeline->terms.count, err) : FV_OK;
}

static fv_status open_stage(grpo *g, int64_t from, fv_error *err) {
    fv_trainer *t = g->t;
    FV_TRY(fv_pipeline_open(&g->pipeline, g->stage->json, err));
    if (from) FV_TRY(fv_pipeline_load(g->pipeline, json_object_get(t->state, "parts"), err));
    for (int k = 0; k < g->pipeline->terms.count; k++) g->term_names[k] = g->pipeline->terms.uses[k].label;
    FV_TRY(open_beside(g, err));
    FV_TRY(fv_others_open(&g->others, t, g->stage, g->pipeline, from, err));
    if (needs(g, FV_NEED_JUDGE)) FV_TRY(fv_judging_open(&g->judging, t, g->others.reference, g->stage, g->pipeline, err));
    FV_TRY(fv_train_data(t, g->stage, &g->rows, err));
    fv_feed_options options = {.env = fv_recipe_env(t->recipe, g->stage), .ask = fv_get(t->recipe->json, "ask"), .generate = true, .max_tokens = (int)fv_get_int(g->stage->json, "max_tokens"),
                               .ahead = fv_train_reads_ahead(t->ops->device)};
    FV_TRY(fv_feed_open(&g->feed, t->model, g->rows.data, t->pool, &options, err));
    FV_TRY(fv_jobs_open(&g->tools, fv_pool_threads(t->pool), err));
    fv_engine_options how = {.record = fv_train_record(g->stage), .ignore_eos = fv_get_bool(g->stage->json, "rollout.ignore_eos")};
    return fv_engine_open(&g->engine, t->model, t->policy, &how, err);
}

static void close_stage(grpo *g) {
    fv_engine_close(g->engine);
    fv_jobs_close(g->tools);
    fv_second_pass_close(&g->second);
    fv_shuffled_close(&g->shuffled);
    fv_feed_close(g->feed);
    fv_curriculum_close(&g->rows);
    fv_judging_close(g->judging);
    fv_others_close(&g->others);
    fv_pipeline_close(g->pipeline);
}

fv_status fv_train_grpo(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err) {
    grpo g = {.t = t, .stage = stage, .steps = fv_get_int(stage->json, "steps"), .fruitful = from > 0};
    fv_grpo_batch b;
    fv_status s = fv_grpo_batch_open(&b, (int)fv_get_int(stage->json, "rollout.prompts"), (int)fv_get_int(stage->json, "rollout.group_size"), err);
    if (s == FV_OK) s = open_stage(&g, from, err);
    if (s == FV_OK) s = run_steps(&g, &b, from, err);
    fv_grpo_batch_close(&b);
    close_stage(&g);
    return s;
}

/* What a filter kept goes to the log; where it kept nothing the stages behind it have nothing to go on. best: reward of what this process saw. */
static fv_status filter_ended(const fv_trainer *t, const fv_stage *stage, const char *path, int64_t kept, int64_t seen, double best, fv_error *err) {
    fv_run_log(t->run, "stage %s kept %lld of %lld responses", stage->name, (long long)kept, (long long)seen);
    if (kept || stage == &t->recipe->stages[t->recipe->stage_count - 1]) return FV_OK;
    return fv_fail(err, FV_BAD_DATA, "%s: stage %s kept none of %lld responses, of which the best was paid %.4g; its `keep` asks for more than that, or it needs more steps", path, stage->name, (long long)seen, best);
}

/* Rejection sampling: rollouts whose responses all filters keep become rows of RUN/STAGE.jsonl, to be trained on by a later stage (data: that file). */
fv_status fv_train_filter(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err) {
    grpo g = {.t = t, .stage = stage, .steps = fv_get_int(stage->json, "steps"), .fruitful = from > 0};
    fv_grpo_batch b;
    char name[128];
    snprintf(name, sizeof name, "%s.jsonl", stage->name);
    char *path = fv_run_path(t->run, name);
    fv_lines *lines = NULL;
    fv_status s = fv_grpo_batch_open(&b, (int)fv_get_int(stage->json, "rollout.prompts"), (int)fv_get_int(stage->json, "rollout.group_size"), err);
    if (s == FV_OK) s = open_stage(&g, from, err);
    if (s == FV_OK) s = fv_lines_open(&lines, path, err);
    if (s == FV_OK) s = fv_lines_truncate(lines, from ? (uint64_t)fv_get_int(t->state, "filtered_bytes") : 0, err);
    fv_progress *progress = s == FV_OK ? fv_train_progress(t, stage, from, g.steps) : NULL;
    int64_t all = from ? fv_get_int(t->state, "filtered_kept") : 0, seen = from * b.prompts * b.group_size;
    double best = -INFINITY;
    b.by_reward = true;
    for (int64_t step = from; step < g.steps && s == FV_OK; step++) {
        fv_metrics m = {0};
        double start = fv_now(), kept = 0;
        s = roll(&g, &b, step, err);
        if (s == FV_OK) s = judge(&g, &b, step, err);
        if (s == FV_OK) s = check_fruit(&g, &b, step, err);
        if (s == FV_OK) sampled_metrics(&g, &b, &m);
        for (int i = 0; i < b.prompts * b.group_size && s == FV_OK; i++) {
            if (!b.responses[i].error[0]) best = fmax(best, b.responses[i].reward);
            b.rollout.numbered_from = (step * b.prompts + i / b.group_size) * b.group_size; /* rows come again in later steps */
            if (!fv_pipeline_keeps(g.pipeline, &b.responses[i], &(fv_moment){step, g.steps, t->seed})) continue;
            s = fv_trajectory_write(lines, t->run->folder, t->model, &b.rollout, i, t->step + 1, &b.responses[i], g.term_names, g.pipeline->terms.count, err);
            kept++;
        }
        fv_metric(&m, "filter/kept", kept / (b.prompts * b.group_size));
        fv_metric(&m, "step_time", fv_now() - start);
        clear_step(&g, &b);
        if (s == FV_OK) s = fv_lines_sync(lines, err); /* a checkpoint counts on what it has noted down */
        if (s == FV_OK) json_object_set_new(t->state, "filtered_bytes", json_integer((json_int_t)fv_lines_size(lines)));
        all += (int64_t)kept;
        seen += b.prompts * b.group_size;
        json_object_set_new(t->state, "filtered_kept", json_integer((json_int_t)all));
        fv_progress_update(progress, step + 1, "kept %lld of %lld", (long long)all, (long long)seen);
        if (s == FV_OK && step + 1 == g.steps) s = filter_ended(t, stage, path, all, seen, best, err);
        if (s == FV_OK) s = fv_train_after(t, stage, step + 1, g.steps, &m, err);
    }
    fv_progress_close(progress);
    if (s == FV_OK && from >= g.steps) s = fv_train_end(t, stage, from, err);
    fv_lines_close(lines);
    free(path);
    fv_grpo_batch_close(&b);
    close_stage(&g);
    return s;
}
