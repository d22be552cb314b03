/* Group-relative policy optimisation: rollouts, rewards, advantages, streams, one backward over the tree. The algorithm is the parts' (rl/part.h). */
#include "core/random.h"
#include "rl/grpo_batch.h"
#include "rl/train.h"
#include "rl/trajectories.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    fv_trainer *t;
    const fv_stage *stage;
    fv_pipeline *pipeline;
    fv_dataset *data;
    fv_feed *feed;
    fv_engine *engine;
    fv_jobs *tools;
    fv_slot *reference;
    fv_weight *reference_weights;
    const char *term_names[FV_MAX_PARTS];
    int64_t steps;
} grpo;

/* ---- One step ---- */

static fv_status roll(grpo *g, fv_grpo_batch *b, int64_t step, int retry, fv_error *err) {
    fv_trainer *t = g->t;
    const json_t *s = g->stage->json;
    int prompts = b->prompts;
    uint64_t key = fv_random_key(t->seed, "data", (uint64_t)t->stage, (uint64_t)retry);
    for (int i = 0; i < prompts; i++) b->numbers[i] = fv_dataset_draw(g->data, key, step * prompts + i);
    fv_feed_take(g->feed, b->numbers, prompts, b->samples);
    bool stop = !strcmp(fv_get_text(t->recipe->json, "bad_rows"), "stop");
    for (int i = 0; i < prompts; i++) {
        if (b->samples[i].error.status == FV_OK) continue;
        fv_run_bad_row(t->run, b->samples[i].row ? b->samples[i].row->id : NULL, &b->samples[i].error);
        if (stop) return fv_fail(err, b->samples[i].error.status, "%s", b->samples[i].error.text);
    }
    fv_rollout_options o = {.group_size = b->group_size, .temperature = (float)fv_get_at(s, "rollout.temperature", step, g->steps),
                            .top_p = (float)fv_get_num(s, "rollout.top_p"), .top_k = (int)fv_get_int(s, "rollout.top_k"),
                            .max_new_tokens = (int)fv_get_int(s, "rollout.max_new_tokens"), .max_response = (int)fv_get_int(s, "rollout.max_response"),
                            .max_tokens = (int)fv_get_int(s, "max_tokens"), .seed = fv_random_key(t->seed, "rollout", (uint64_t)t->stage, (uint64_t)retry), .step = step,
                            .numbers = b->numbers};
    return fv_rollout_run(&b->rollout, g->engine, t->model, t->policy, g->tools, b->samples, prompts, &o, NULL, NULL, err);
}

static fv_status judge(grpo *g, fv_grpo_batch *b, int64_t step, fv_error *err) {
    fv_moment when = {step, g->steps, g->t->seed};
    FV_TRY(fv_grpo_batch_index(b, g->pipeline->terms.count, err));
    for (int i = 0; i < b->prompts; i++) {
        FV_TRY(fv_pipeline_reward(g->pipeline, &b->groups[i], &when, err));
        fv_pipeline_advantage(g->pipeline, &b->groups[i], &when);
    }
    return FV_OK;
}

/* DAPO's dynamic sampling (arXiv 2503.14476, section 3.2): groups without a difference teach nothing; further prompts take their places. */
static fv_status resample(grpo *g, fv_grpo_batch *b, int64_t step, fv_error *err) {
    int tries = (int)fv_get_int(g->stage->json, "dynamic_sampling");
    for (int k = 1; k <= tries && fv_grpo_batch_flat(b) * 2 > b->prompts; k++) {
        fv_grpo_batch_clear(b);
        FV_TRY(roll(g, b, step, k, err));
        FV_TRY(judge(g, b, step, err));
    }
    return FV_OK;
}

typedef struct {
    double loss, logp_difference, logp_difference_max, ratio_min, ratio_max, ratio_sum, clipped_low, clipped_high, kl;
    int64_t compared, tokens;
} step_sums;

static void compare(step_sums *sum, const float *now, const float *sampled, int n) {
    for (int i = 0; i < n; i++) {
        double d = fabs((double)now[i] - (double)sampled[i]), ratio = exp((double)now[i] - (double)sampled[i]);
        if (!(d <= sum->logp_difference_max)) sum->logp_difference_max = d; /* a NAN stays visible */
        sum->logp_difference += d;
        sum->ratio_sum += ratio;
        if (!sum->compared || ratio < sum->ratio_min) sum->ratio_min = ratio;
        if (!sum->compared || ratio > sum->ratio_max) sum->ratio_max = ratio;
        sum->compared++;
    }
}

/* One pass over the paths to some leaves: forward, the objectives' streams, backward. train false: only the comparison with the sampled log-probs. */
static fv_status run_micro(grpo *g, fv_grpo_batch *b, const int *leaves, int count, bool train, bool check, int64_t total, int64_t step, step_sums *sum, fv_error *err) {
    fv_trainer *t = g->t;
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(t->policy, t->arena, train);
    FV_TRY(fv_pack_make(&pack, b->rollout.tree, leaves, count, t->model->image.merge, t->arena, err));
    fv_pack_targets(&targets, &pack, true, 0, t->arena);
    fv_scored scored = fv_pack_score(&pass, t->model, fv_pack_forward(&pass, t->model, &pack, NULL), &targets);
    const float *logp = fv_f32(scored.logp->v);
    fv_streams s;
    fv_grpo_batch_streams(b, &targets, logp, fv_f32(scored.entropy->v), &s, t->arena);
    s.total = total;
    if (check) compare(sum, logp, s.old_logp, targets.count);
    if (train && g->reference) {
        fv_pass other = fv_pass_begin(g->reference, t->arena, false);
        fv_pack again;
        FV_TRY(fv_pack_make(&again, b->rollout.tree, leaves, count, t->model->image.merge, t->arena, err));
        s.reference_logp = fv_f32(fv_pack_score(&other, t->model, fv_pack_forward(&other, t->model, &again, NULL), &targets).logp->v);
        for (int64_t i = 0; i < s.count; i++) {
            double d = (double)s.reference_logp[i] - (double)s.logp[i];
            sum->kl += exp(d) - d - 1;
        }
    }
    if (train) {
        fv_moment when = {step, g->steps, t->seed};
        s.dlogp = fv_f32(fv_grad(&pass, scored.logp));
        s.dentropy = fv_f32(fv_grad(&pass, scored.entropy));
        for (int k = 0; k < g->pipeline->objectives.count; k++) {
            const fv_use *u = &g->pipeline->objectives.uses[k];
            u->part->objective(u, &s, &when, &sum->loss);
        }
        for (int64_t i = 0; i < s.count; i++) {
            double ratio = exp((double)s.logp[i] - (double)s.old_logp[i]);
            sum->clipped_low += ratio < 1 - 0.2 && s.advantage[i] < 0;
            sum->clipped_high += ratio > 1 + 0.2 && s.advantage[i] > 0;
        }
        sum->tokens += s.count;
        fv_pass_back(&pass);
    }
    fv_arena_reset(t->arena);
    return FV_OK;
}

/* One optimizer step on prompts [first, last). A group whose advantages are all zero has no gradient (unless something besides the advantage has one): it is only compared. */
static fv_status update(grpo *g, fv_grpo_batch *b, int first, int last, bool check, int64_t step, step_sums *sum, double *norm, fv_error *err) {
    bool all = g->pipeline->objectives.count > 1 || g->reference;
    int64_t limit = fv_get_int(g->stage->json, "optim.micro_tokens"), total = 0;
    int *leaves = malloc((size_t)(last - first) * (size_t)b->group_size * sizeof *leaves);
    if (!leaves) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    fv_status s = FV_OK;
    for (int i = first; i < last; i++) total += fv_grpo_batch_tokens(b, i);
    fv_slot_zero_grad(g->t->policy);
    for (int train = 1; train >= (check ? 0 : 1) && s == FV_OK; train--) {
        int n = fv_grpo_batch_leaves(b, first, last, train, all, leaves);
        for (int at = 0; at < n && s == FV_OK;) {
            int some = fv_train_micro(b->rollout.tree, leaves, n, at, limit);
            s = run_micro(g, b, leaves + at, some, train, check, total, step, sum, err);
            at += some;
        }
    }
    free(leaves);
    FV_TRY(s);
    if (!isfinite(sum->loss)) return fv_fail(err, FV_LIMIT, "%s: the loss is %g at step %lld; a lower optim.lr may help", g->stage->name, sum->loss, (long long)step);
    fv_optim how = fv_train_optim(g->stage, step, g->steps);
    fv_slot_step(g->t->policy, &how, norm);
    return FV_OK;
}

static fv_status learn(grpo *g, fv_grpo_batch *b, int64_t step, fv_metrics *m, fv_error *err) {
    int updates = (int)fv_get_int(g->stage->json, "updates"), every = (int)fv_get_int(g->stage->json, "verify");
    if (updates > b->prompts) updates = b->prompts;
    step_sums sum = {0};
    double norm = 0, norms = 0;
    for (int u = 0; u < updates; u++) {
        bool check = u == 0 && every && step % every == 0;
        FV_TRY(update(g, b, b->prompts * u / updates, b->prompts * (u + 1) / updates, check, step, &sum, &norm, err));
        norms += norm;
    }
    double tokens = sum.tokens ? (double)sum.tokens : 1;
    fv_metric(m, "loss", sum.loss / updates);
    fv_metric(m, "grad_norm", norms / updates);
    fv_metric(m, "learning_rate", fv_train_rate(g->stage, step, g->steps));
    fv_metric(m, "clip_ratio/low_mean", sum.clipped_low / tokens);
    fv_metric(m, "clip_ratio/high_mean", sum.clipped_high / tokens);
    fv_metric(m, "clip_ratio/region_mean", (sum.clipped_low + sum.clipped_high) / tokens);
    if (g->reference) fv_metric(m, "kl", sum.kl / tokens);
    if (sum.compared) {
        fv_metric(m, "sampling/sampling_logp_difference/mean", sum.logp_difference / (double)sum.compared);
        fv_metric(m, "sampling/sampling_logp_difference/max", sum.logp_difference_max);
        fv_metric(m, "sampling/importance_sampling_ratio/min", sum.ratio_min);
        fv_metric(m, "sampling/importance_sampling_ratio/mean", sum.ratio_sum / (double)sum.compared);
        fv_metric(m, "sampling/importance_sampling_ratio/max", sum.ratio_max);
        if (!(sum.logp_difference_max == 0) && g->t->ops->name[0] == 'c' && g->t->ops->name[1] == 'p')
            return fv_fail(err, FV_LIMIT, "%s: step %lld: the log-probs of rollout and training differ by %g; on the CPU they must be the same bits. This is a defect of Fovea: please report it",
                           g->stage->name, (long long)step, sum.logp_difference_max);
    }
    return FV_OK;
}

/* ---- Trajectories that are kept to look at ---- */

static fv_status show(grpo *g, const fv_grpo_batch *b, int64_t step, fv_error *err) {
    int64_t every = fv_get_int(g->stage->json, "rollout.every"), n = fv_get_int(g->stage->json, "rollout.show");
    if (!n || step % every) return FV_OK;
    char name[64];
    snprintf(name, sizeof name, "trajectories/step-%lld.jsonl", (long long)g->t->step + 1);
    char *path = fv_run_path(g->t->run, name), *folder = fv_run_path(g->t->run, "trajectories");
    fv_lines *lines = NULL;
    fv_status s = fv_path_remove(path, err); /* of a run that was killed after this step and resumed before it */
    if (s == FV_OK) s = fv_lines_open(&lines, path, err);
    for (int i = 0; i < b->prompts * b->group_size && i < n && s == FV_OK; i++)
        s = fv_trajectory_write(lines, folder, g->t->model, &b->rollout, i, g->t->step + 1, &b->responses[i], g->term_names, g->pipeline->terms.count, err);
    fv_lines_close(lines);
    free(folder);
    free(path);
    return s;
}

static fv_status one_step(grpo *g, fv_grpo_batch *b, int64_t step, fv_metrics *m, fv_error *err) {
    double start = fv_now();
    FV_TRY(roll(g, b, step, 0, err));
    double rolled = fv_now();
    FV_TRY(judge(g, b, step, err));
    FV_TRY(resample(g, b, step, err));
    double judged = fv_now();
    FV_TRY(show(g, b, step, err));
    fv_grpo_batch_metrics(b, g->pipeline, m);
    FV_TRY(learn(g, b, step, m, err));
    fv_pipeline_update(g->pipeline, b->groups, b->prompts, &(fv_moment){step, g->steps, g->t->seed});
    json_object_set_new(g->t->state, "parts", fv_pipeline_save(g->pipeline));
    double end = fv_now();
    double tokens = json_number_value(json_object_get(g->t->state, "num_tokens")) + (double)b->rollout.stats.rows;
    json_object_set_new(g->t->state, "num_tokens", json_real(tokens));
    fv_metric(m, "num_tokens", tokens);
    fv_metric(m, "timing_s/gen", rolled - start);
    fv_metric(m, "timing_s/reward", judged - rolled);
    fv_metric(m, "timing_s/update_actor", end - judged);
    fv_metric(m, "step_time", end - start);
    fv_metric(m, "perf/throughput", (double)b->rollout.stats.rows / (end - start));
    return FV_OK;
}

static fv_status run_steps(grpo *g, fv_grpo_batch *b, int64_t from, fv_error *err) {
    fv_trainer *t = g->t;
    fv_progress *progress = t->quiet ? NULL : fv_progress_open(&(fv_progress_options){.label = g->stage->name, .unit = "step", .total = g->steps, .first = from});
    fv_status s = FV_OK;
    double smooth = NAN;
    for (int64_t step = from; step < g->steps && s == FV_OK; step++) {
        fv_metrics m = {0};
        s = one_step(g, b, step, &m, err);
        fv_grpo_batch_clear(b);
        if (s == FV_OK) s = fv_train_after(t, g->stage, step + 1, g->steps, &m, err);
        double reward = fv_metric_get(&m, "reward");
        smooth = isnan(smooth) ? reward : 0.8 * smooth + 0.2 * reward;
        fv_progress_update(progress, step + 1, "reward %.3f", smooth);
    }
    fv_progress_close(progress);
    return s;
}

/* ---- Opening a stage ---- */

/* The reference is the policy as the stage found it; kept in the run folder, since a resumed run must have the same one. */
static fv_status open_reference(grpo *g, int64_t from, fv_error *err) {
    fv_trainer *t = g->t;
    if (!(g->pipeline->needs & FV_NEED_REFERENCE)) return FV_OK;
    char name[128];
    snprintf(name, sizeof name, "reference-%s", g->stage->name);
    char *folder = fv_run_path(t->run, name);
    fv_status s = FV_OK;
    if (from == 0) {
        char *temporary = NULL;
        s = fv_path_remove(folder, err);
        if (s == FV_OK) s = fv_folder_begin(&temporary, folder, err);
        if (s == FV_OK) s = fv_model_save(t->model, t->policy, temporary, FV_F32, err);
        if (s == FV_OK) s = fv_folder_commit(temporary, folder, err);
        free(temporary);
    }
    fv_weights *file = NULL;
    if (s == FV_OK) s = fv_weights_open(&file, folder, err);
    g->reference_weights = calloc((size_t)t->model->count, sizeof *g->reference_weights);
    if (s == FV_OK && !g->reference_weights) s = fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    for (int i = 0; i < t->model->count && s == FV_OK; i++) {
        fv_view from_file, *view = &g->reference_weights[i].view;
        g->reference_weights[i] = t->model->weights[i];
        s = fv_weights_get(file, t->model->weights[i].name, &from_file, err);
        if (s == FV_OK) {
            *view = from_file;
            view->data = malloc(fv_bytes(from_file));
            if (!view->data) s = fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
            else memcpy(view->data, from_file.data, fv_bytes(from_file));
        } else {
            view->data = NULL;
        }
    }
    fv_weights_close(file);
    free(folder);
    fv_slot_options o = {.name = "reference"};
    return s == FV_OK ? fv_slot_open(&g->reference, t->ops, (fv_exec){t->pool, t->scratch}, g->reference_weights, t->model->count, &o, err) : s;
}

static fv_status open_stage(grpo *g, int64_t from, fv_error *err) {
    fv_trainer *t = g->t;
    FV_TRY(fv_pipeline_open(&g->pipeline, g->stage->json, err));
    if (from) FV_TRY(fv_pipeline_load(g->pipeline, json_object_get(t->state, "parts"), err));
    for (int k = 0; k < g->pipeline->terms.count; k++) g->term_names[k] = g->pipeline->terms.uses[k].part->name;
    unsigned missing = g->pipeline->needs & ~(unsigned)FV_NEED_REFERENCE;
    if (missing) return fv_fail(err, FV_UNSUPPORTED, "%s: stages.%s: a part asks for a pass that training does not run yet (needs 0x%x)", t->recipe->file, g->stage->name, missing);
    FV_TRY(open_reference(g, from, err));
    FV_TRY(fv_train_data(t, g->stage, &g->data, err));
    const json_t *env = fv_get(g->stage->json, "env") ? fv_get(g->stage->json, "env") : fv_get(t->recipe->json, "env");
    fv_feed_options options = {.env = env, .generate = true, .max_tokens = (int)fv_get_int(g->stage->json, "max_tokens")};
    FV_TRY(fv_feed_open(&g->feed, t->model, g->data, t->pool, &options, err));
    FV_TRY(fv_jobs_open(&g->tools, fv_pool_threads(t->pool), err));
    return fv_engine_open(&g->engine, t->model, t->policy, NULL, err);
}

static void close_stage(grpo *g) {
    fv_engine_close(g->engine);
    fv_jobs_close(g->tools);
    fv_feed_close(g->feed);
    fv_dataset_close(g->data);
    fv_slot_close(g->reference);
    for (int i = 0; i < g->t->model->count && g->reference_weights; i++) free(g->reference_weights[i].view.data);
    free(g->reference_weights);
    fv_pipeline_close(g->pipeline);
}

fv_status fv_train_grpo(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err) {
    grpo g = {.t = t, .stage = stage, .steps = fv_get_int(stage->json, "steps")};
    fv_grpo_batch b;
    fv_status s = fv_grpo_batch_open(&b, (int)fv_get_int(stage->json, "rollout.prompts"), (int)fv_get_int(stage->json, "rollout.group_size"), err);
    if (s == FV_OK) s = open_stage(&g, from, err);
    if (s == FV_OK) s = run_steps(&g, &b, from, err);
    fv_grpo_batch_close(&b);
    close_stage(&g);
    return s;
}

/* Rejection sampling: rollouts whose responses all filters keep become rows of RUN/STAGE.jsonl, to be trained on by a later stage (data: that file). */
fv_status fv_train_filter(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err) {
    grpo g = {.t = t, .stage = stage, .steps = fv_get_int(stage->json, "steps")};
    fv_grpo_batch b;
    char name[128];
    snprintf(name, sizeof name, "%s.jsonl", stage->name);
    char *path = fv_run_path(t->run, name);
    fv_lines *lines = NULL;
    fv_status s = fv_grpo_batch_open(&b, (int)fv_get_int(stage->json, "rollout.prompts"), (int)fv_get_int(stage->json, "rollout.group_size"), err);
    if (s == FV_OK) s = open_stage(&g, from, err);
    if (s == FV_OK) s = fv_lines_open(&lines, path, err);
    if (s == FV_OK) s = fv_lines_truncate(lines, from ? (uint64_t)fv_get_int(t->state, "filtered_bytes") : 0, err);
    for (int64_t step = from; step < g.steps && s == FV_OK; step++) {
        fv_metrics m = {0};
        double start = fv_now(), kept = 0;
        s = roll(&g, &b, step, 0, err);
        if (s == FV_OK) s = judge(&g, &b, step, err);
        if (s == FV_OK) fv_grpo_batch_metrics(&b, g.pipeline, &m);
        for (int i = 0; i < b.prompts * b.group_size && s == FV_OK; i++) {
            if (!fv_pipeline_keeps(g.pipeline, &b.responses[i])) continue;
            s = fv_trajectory_write(lines, t->run->folder, t->model, &b.rollout, i, t->step + 1, &b.responses[i], g.term_names, g.pipeline->terms.count, err);
            kept++;
        }
        fv_metric(&m, "filter/kept", kept / (b.prompts * b.group_size));
        fv_metric(&m, "step_time", fv_now() - start);
        fv_grpo_batch_clear(&b);
        if (s == FV_OK) json_object_set_new(t->state, "filtered_bytes", json_integer((json_int_t)fv_lines_size(lines)));
        if (s == FV_OK) s = fv_train_after(t, stage, step + 1, g.steps, &m, err);
    }
    fv_lines_close(lines);
    free(path);
    fv_grpo_batch_close(&b);
    close_stage(&g);
    return s;
}
