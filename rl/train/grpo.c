/* Group-relative policy optimisation: rollouts, rewards, advantages, streams, one backward over the tree. The algorithm is the parts' (rl/part.h). */
#include "core/random.h"
#include "rl/engine/vocabulary.h"
#include "rl/judge/judging.h"
#include "rl/rollout/second_pass.h"
#include "rl/rollout/shuffled.h"
#include "rl/rollout/trajectories.h"
#include "rl/train/grpo_batch.h"
#include "rl/train/train.h"

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
    fv_slot *reference;
    fv_weights *reference_file;
    fv_weight *reference_weights; /* views into the file */
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
    for (int i = 0; i < b->prompts; i++) FV_TRY(compare_group(g, b, i, &when, err));
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

/* One optimizer step: on prompts [first, last), with what its sums are divided by. */
typedef struct {
    int first, last, responses;
    int64_t tokens, step;
} span;

typedef struct {
    double loss, logp_difference, logp_difference_max, ratio_min, ratio_max, ratio_sum, clipped_low, clipped_high, kl;
    int64_t compared;
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

/* The same tokens under the reference. Its log-probs live in the arena. */
static fv_status score_reference(grpo *g, const fv_grpo_batch *b, const int *leaves, int count, const fv_targets *targets, fv_streams *s, step_sums *sum, fv_error *err) {
    fv_trainer *t = g->t;
    fv_pass pass = fv_pass_begin(g->reference, t->arena, false);
    fv_pack pack;
    FV_TRY(fv_pack_make_scored(&pack, b->rollout.tree, leaves, count, t->model->image.merge, t->arena, err));
    s->reference_logp = fv_read(&pass, fv_pack_score(&pass, t->model, fv_pack_forward(&pass, t->model, &pack, NULL), targets).logp->v);
    for (int64_t i = 0; i < s->count; i++) {
        double d = (double)s->reference_logp[i] - (double)s->logp[i];
        sum->kl += exp(d) - d - 1;
    }
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "%s: %s", g->stage->name, pass.error.text);
}

/* One pass over the paths to some leaves: forward (the one that decoding recorded, unless it is to be compared), the objectives' streams, backward. train
 * false: only the comparison with the sampled log-probs. */
static fv_status run_micro(grpo *g, fv_grpo_batch *b, const int *leaves, int count, const span *u, bool train, bool check, step_sums *sum, fv_error *err) {
    fv_trainer *t = g->t;
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(t->policy, t->arena, train);
    pass.checkpoint = fv_get_bool(g->stage->json, "optim.gradient_checkpointing");
    FV_TRY(fv_pack_make_scored(&pack, b->rollout.tree, leaves, count, t->model->image.merge, t->arena, err));
    if (!check) fv_engine_replay(g->engine, &pack, t->arena);
    fv_pack_targets(&targets, &pack, true, 0, t->arena);
    fv_scored scored = fv_pack_score(&pass, t->model, fv_pack_forward(&pass, t->model, &pack, NULL), &targets);
    fv_streams s;
    fv_grpo_batch_streams(b, &targets, fv_read(&pass, scored.logp->v), fv_read(&pass, scored.entropy->v), &s, t->arena);
    if (check) compare(sum, s.logp, s.old_logp, targets.count);
    if (train) {
        fv_moment when = {u->step, g->steps, t->seed};
        s.total = u->tokens;
        s.responses = u->responses;
        s.dlogp = FV_ZERO(t->arena, float, targets.count);
        s.dentropy = FV_ZERO(t->arena, float, targets.count);
        if (needs(g, FV_NEED_REFERENCE)) FV_TRY(score_reference(g, b, leaves, count, &targets, &s, sum, err));
        for (int k = 0; k < g->pipeline->objectives.count; k++) {
            const fv_use *use = &g->pipeline->objectives.uses[k];
            use->part->objective(use, &s, &when, &sum->loss);
        }
        sum->clipped_low += s.clipped_low;
        sum->clipped_high += s.clipped_high;
        fv_stream(&pass, scored.logp, s.dlogp);
        fv_stream(&pass, scored.entropy, s.dentropy);
        fv_pass_back(&pass);
    }
    fv_arena_reset(t->arena);
    FV_TRY(t->ops->check(err));
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "%s: %s", g->stage->name, pass.error.text);
}

/* The comparison for answers that are only sampled, beside those of the batch. */
static fv_status check_beside(grpo *g, const fv_rollout *r, int64_t limit, step_sums *sum, fv_error *err) {
    fv_trainer *t = g->t;
    int count = r->sample_count * r->group_size, n = 0, *leaves = malloc(((size_t)count + 1) * sizeof *leaves);
    fv_status s = leaves ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    for (int i = 0; i < count && s == FV_OK; i++)
        if (r->trajectories[i].turn_count) leaves[n++] = r->trajectories[i].turns[r->trajectories[i].turn_count - 1].segment;
    for (int at = 0, some; at < n && s == FV_OK; at += some) {
        fv_pack pack;
        fv_targets targets;
        fv_pass pass = fv_pass_begin(t->policy, t->arena, false);
        some = fv_train_micro(r->tree, leaves, n, at, limit);
        s = fv_pack_make_scored(&pack, r->tree, leaves + at, some, t->model->image.merge, t->arena, err);
        if (s != FV_OK) break;
        fv_pack_targets(&targets, &pack, true, 0, t->arena);
        const float *now = fv_read(&pass, fv_pack_score(&pass, t->model, fv_pack_forward(&pass, t->model, &pack, NULL), &targets).logp->v);
        for (int i = 0; i < targets.count; i++) compare(sum, now + i, r->tree->segments[targets.segment[i]]->logp + targets.index[i], 1);
        fv_arena_reset(t->arena);
        if (pass.error.status != FV_OK) s = fv_fail(err, pass.error.status, "%s: %s", g->stage->name, pass.error.text);
    }
    free(leaves);
    return s;
}

/* A group whose advantages are all zero has no gradient, unless something besides the advantage has one: it is only compared. check (before the first
 * update after a rollout): so is all that other updates learn from. */
static fv_status update(grpo *g, fv_grpo_batch *b, const span *u, bool check, step_sums *sum, double *norm, fv_error *err) {
    bool all = g->pipeline->objectives.count > 1 || needs(g, FV_NEED_REFERENCE);
    int64_t limit = fv_get_int(g->stage->json, "optim.micro_tokens");
    int *leaves = malloc((size_t)b->prompts * (size_t)b->group_size * sizeof *leaves);
    if (!leaves) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    fv_status s = FV_OK;
    fv_slot_zero_grad(g->t->policy);
    for (int train = 1; train >= (check ? 0 : 1) && s == FV_OK; train--) {
        int n = fv_grpo_batch_leaves(b, u->first, u->last, all, train, leaves);
        for (int at = 0; at < n && s == FV_OK;) {
            int some = fv_train_micro(b->rollout.tree, leaves, n, at, limit);
            s = run_micro(g, b, leaves + at, some, u, train, check, sum, err);
            at += some;
        }
    }
    free(leaves);
    if (check && s == FV_OK) s = check_beside(g, &g->second.rollout, limit, sum, err);
    if (check && s == FV_OK) s = check_beside(g, &g->shuffled.rollout, limit, sum, err);
    FV_TRY(s);
    *norm = 0;
    if (!u->tokens) return FV_OK; /* nothing could be scored: momentum is no reason to move */
    fv_optim how = fv_train_optim(g->stage, u->step, g->steps);
    fv_slot_step(g->t->policy, &how, norm);
    if (isfinite(sum->loss) && isfinite(*norm)) return FV_OK;
    return fv_fail(err, FV_LIMIT, "%s: loss %g, gradient norm %g at step %lld; a lower optim.lr may help", g->stage->name, sum->loss, *norm, (long long)u->step);
}

static fv_status check_exactness(const grpo *g, const step_sums *sum, int64_t step, fv_error *err) {
    if (sum->logp_difference_max == 0) return FV_OK;
    return fv_fail(err, FV_LIMIT, "%s: step %lld: the log-probs of rollout and training differ by %g; they must be the same bits. This is a defect of Fovea: please report it",
                   g->stage->name, (long long)step, sum->logp_difference_max);
}

static fv_status learn(grpo *g, fv_grpo_batch *b, int64_t step, fv_metrics *m, fv_error *err) {
    int updates = (int)fv_get_int(g->stage->json, "updates"), every = (int)fv_get_int(g->stage->json, "verify");
    if (updates > b->prompts) updates = b->prompts;
    step_sums sum = {0};
    double norm = 0, norms = 0, tokens = 0, low_min = 1, high_max = 0;
    for (int k = 0; k < updates; k++) {
        double low = sum.clipped_low, high = sum.clipped_high;
        span u = {.first = b->prompts * k / updates, .last = b->prompts * (k + 1) / updates, .step = step};
        u.responses = fv_grpo_batch_sound(b, u.first, u.last, &u.tokens);
        FV_TRY(update(g, b, &u, k == 0 && every && step % every == 0, &sum, &norm, err));
        norms += norm;
        low_min = fmin(low_min, (sum.clipped_low - low) / fmax((double)u.tokens, 1));
        high_max = fmax(high_max, (sum.clipped_high - high) / fmax((double)u.tokens, 1));
        tokens += (double)u.tokens; /* all that are trained on, also of groups without a gradient, as TRL and verl divide */
    }
    if (tokens == 0) tokens = 1;
    fv_metric(m, "loss", sum.loss / updates);
    fv_metric(m, "grad_norm", norms / updates);
    fv_metric(m, "learning_rate", fv_train_rate(g->stage, step, g->steps));
    fv_metric(m, "clip_ratio/low_mean", sum.clipped_low / tokens);
    fv_metric(m, "clip_ratio/low_min", low_min);
    fv_metric(m, "clip_ratio/high_mean", sum.clipped_high / tokens);
    fv_metric(m, "clip_ratio/high_max", high_max);
    fv_metric(m, "clip_ratio/region_mean", sum.clipped_low / tokens + sum.clipped_high / tokens);
    if (needs(g, FV_NEED_REFERENCE)) fv_metric(m, "kl", sum.kl / tokens);
    if (!sum.compared) return FV_OK;
    fv_metric(m, "sampling/sampling_logp_difference/mean", sum.logp_difference / (double)sum.compared);
    fv_metric(m, "sampling/sampling_logp_difference/max", sum.logp_difference_max);
    fv_metric(m, "sampling/importance_sampling_ratio/min", sum.ratio_min);
    fv_metric(m, "sampling/importance_sampling_ratio/mean", sum.ratio_sum / (double)sum.compared);
    fv_metric(m, "sampling/importance_sampling_ratio/max", sum.ratio_max);
    return check_exactness(g, &sum, step, err);
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
    FV_TRY(learn(g, b, step, m, err));
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

/* The reference is the policy as the stage found it; kept in the run folder, since a resumed run must have the same one. Of a policy with an adapter it is
 * the model without it, as in TRL: the weights are there already. */
static fv_status open_reference(grpo *g, int64_t from, fv_error *err) {
    fv_trainer *t = g->t;
    bool judges = needs(g, FV_NEED_JUDGE) && fv_get_bool(t->recipe->json, "judge.reference");
    if (!needs(g, FV_NEED_REFERENCE) && !judges) return FV_OK;
    fv_slot_options o = {.name = "reference", .lender = t->policy};
    if (t->model->lora) return fv_slot_open(&g->reference, t->ops, (fv_exec){t->pool, t->scratch}, t->model->weights, t->model->count, &o, err);
    char name[128];
    snprintf(name, sizeof name, "reference-%s", g->stage->name);
    char *folder = fv_run_path(t->run, name);
    fv_status s = from ? FV_OK : fv_run_save_model(folder, t->model, t->policy, FV_F32, false, err);
    if (s == FV_OK) s = fv_weights_open(&g->reference_file, folder, err);
    free(folder);
    FV_TRY(s);
    g->reference_weights = calloc((size_t)t->model->count, sizeof *g->reference_weights);
    if (!g->reference_weights) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", g->stage->name);
    for (int i = 0; i < t->model->count; i++) {
        g->reference_weights[i] = t->model->weights[i];
        FV_TRY(fv_weights_get(g->reference_file, t->model->weights[i].name, &g->reference_weights[i].view, err));
    }
    return fv_slot_open(&g->reference, t->ops, (fv_exec){t->pool, t->scratch}, g->reference_weights, t->model->count, &o, err);
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
    FV_TRY(open_reference(g, from, err));
    if (needs(g, FV_NEED_JUDGE)) FV_TRY(fv_judging_open(&g->judging, t, g->reference, g->stage, g->pipeline, err));
    FV_TRY(fv_train_data(t, g->stage, &g->rows, err));
    fv_feed_options options = {.env = fv_recipe_env(t->recipe, g->stage), .ask = fv_get(t->recipe->json, "ask"), .generate = true, .max_tokens = (int)fv_get_int(g->stage->json, "max_tokens"),
                               .ahead = fv_train_reads_ahead(t->ops->device)};
    FV_TRY(fv_feed_open(&g->feed, t->model, g->rows.data, t->pool, &options, err));
    FV_TRY(fv_jobs_open(&g->tools, fv_pool_threads(t->pool), err));
    fv_engine_options how = {.record = fv_train_record(g->stage)};
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
    fv_slot_close(g->reference);
    free(g->reference_weights);
    fv_weights_close(g->reference_file);
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
    for (int64_t step = from; step < g.steps && s == FV_OK; step++) {
        fv_metrics m = {0};
        double start = fv_now(), kept = 0;
        s = roll(&g, &b, step, err);
        if (s == FV_OK) s = judge(&g, &b, step, err);
        if (s == FV_OK) s = check_fruit(&g, &b, step, err);
        if (s == FV_OK) sampled_metrics(&g, &b, &m);
        for (int i = 0; i < b.prompts * b.group_size && s == FV_OK; i++) {
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
        if (s == FV_OK) s = fv_train_after(t, stage, step + 1, g.steps, &m, err);
    }
    if (s == FV_OK && from >= g.steps) s = fv_train_end(t, stage, from, err);
    fv_lines_close(lines);
    free(path);
    fv_grpo_batch_close(&b);
    close_stage(&g);
    return s;
}
