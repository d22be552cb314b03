#include "rl/train/learn.h"

#include <math.h>
#include <stdlib.h>

/* One optimizer step: on prompts [first, last), with what its sums are divided by. */
typedef struct {
    int first, last, responses;
    int64_t tokens, step;
} span;

typedef struct {
    double loss, logp_difference, logp_difference_max, ratio_min, ratio_max, ratio_sum, clipped_low, clipped_high, kl;
    double divergence[FV_MAX_PARTS]; /* by objective, over tokens */
    bool measured[FV_MAX_PARTS];     /* and whether it was asked for */
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

/* One pass over the paths to some leaves. */
typedef struct {
    const fv_learner *l;
    const fv_grpo_batch *b;
    const int *leaves;
    int count;
    fv_moment when;
    step_sums *sum;
    fv_pass pass;
    fv_targets targets;
    fv_scored scored;
} micro;

static fv_status score_under(const micro *m, fv_other who, bool blind, fv_scored *out, fv_error *err) {
    return fv_others_score(m->l->others, who, blind, m->b->rollout.tree, m->leaves, m->count, &m->targets, out, err);
}

/* The same tokens under the reference. Its log-probs live in the arena. */
static fv_status score_reference(micro *m, fv_streams *s, fv_error *err) {
    fv_scored scored;
    FV_TRY(score_under(m, FV_OTHER_REFERENCE, false, &scored, err));
    s->reference_logp = fv_read(&m->pass, scored.logp->v);
    for (int64_t i = 0; i < s->count; i++) {
        double d = (double)s->reference_logp[i] - (double)s->logp[i];
        m->sum->kl += exp(d) - d - 1;
    }
    return FV_OK;
}

/* How far the policy's distributions are from those that an objective wants to know them from; NULL: from none. */
static fv_status compare_distributions(micro *m, const fv_use *use, fv_var **out, fv_error *err) {
    fv_compared c;
    fv_scored theirs;
    *out = NULL;
    if (!use->part->compares || !use->part->compares(use, &m->when, &c)) return FV_OK;
    FV_TRY(score_under(m, c.who, c.blind, &theirs, err));
    fv_distribution other = fv_others_distribution(m->l->others, c.who, &theirs);
    fv_view temperature = fv_vec(m->targets.temperature, m->targets.count);
    *out = fv_divergence(&m->pass, &m->scored, fv_decoder_head(m->l->t->model->decoder), &other, temperature, (float)c.beta);
    return FV_OK;
}

/* Hidden states to values. */
static fv_var *value_of(const fv_learner *l, fv_pass *pass, fv_var *hidden) { return fv_linear(pass, hidden, l->t->policy->head, l->t->policy->head + 1); }

/* An objective, with the distance that it asks for. */
static fv_status run_objective(micro *m, int k, fv_streams *s, fv_error *err) {
    const fv_use *use = &m->l->pipeline->objectives.uses[k];
    fv_var *apart;
    FV_TRY(compare_distributions(m, use, &apart, err));
    s->divergence = apart ? fv_read(&m->pass, apart->v) : NULL;
    s->ddivergence = apart ? FV_ZERO(m->pass.arena, float, s->count) : NULL;
    use->part->objective(use, s, &m->when, &m->sum->loss);
    for (int64_t i = 0; i < s->count && apart; i++) m->sum->divergence[k] += s->divergence[i];
    if (apart) fv_stream(&m->pass, apart, s->ddivergence);
    m->sum->measured[k] |= apart != NULL;
    return FV_OK;
}

/* Objectives write their streams, one after the other, and the pass takes them. */
static fv_status write_streams(micro *m, fv_streams *s, fv_error *err) {
    const fv_pipeline *parts = m->l->pipeline;
    fv_var *value = parts->needs & FV_NEED_VALUE ? value_of(m->l, &m->pass, m->scored.hidden) : NULL;
    s->dlogp = FV_ZERO(m->pass.arena, float, s->count);
    s->dentropy = FV_ZERO(m->pass.arena, float, s->count);
    s->value = value ? fv_read(&m->pass, value->v) : NULL;
    s->dvalue = value ? FV_ZERO(m->pass.arena, float, s->count) : NULL;
    if (parts->needs & FV_NEED_REFERENCE) FV_TRY(score_reference(m, s, err));
    for (int k = 0; k < parts->objectives.count; k++) FV_TRY(run_objective(m, k, s, err));
    m->sum->clipped_low += s->clipped_low;
    m->sum->clipped_high += s->clipped_high;
    fv_stream(&m->pass, m->scored.logp, s->dlogp);
    fv_stream(&m->pass, m->scored.entropy, s->dentropy);
    if (value) fv_stream(&m->pass, value, s->dvalue);
    return FV_OK;
}

static bool compares_now(const fv_learner *l, const fv_moment *when) {
    bool any = false;
    fv_compared c;
    for (int k = 0; k < l->pipeline->objectives.count; k++) {
        const fv_use *u = &l->pipeline->objectives.uses[k];
        any |= u->part->compares && u->part->compares(u, when, &c);
    }
    return any;
}

/* One pass over the paths to some leaves: forward (the one that decoding recorded, unless it is to be compared), the objectives' streams, backward. train
 * false: only the comparison with the sampled log-probs. */
static fv_status run_micro(const fv_learner *l, const fv_grpo_batch *b, const int *leaves, int count, const span *u, bool train, bool check, step_sums *sum, fv_error *err) {
    fv_trainer *t = l->t;
    micro m = {.l = l, .b = b, .leaves = leaves, .count = count, .when = {u->step, l->steps, t->seed}, .sum = sum, .pass = fv_pass_begin(t->policy, t->arena, train)};
    fv_pack pack;
    fv_streams s;
    m.pass.checkpoint = fv_get_bool(l->stage->json, "optim.gradient_checkpointing");
    FV_TRY(fv_pack_make_scored(&pack, b->rollout.tree, leaves, count, t->model->image.merge, t->arena, err));
    if (!check) fv_engine_replay(l->engine, &pack, t->arena);
    fv_pack_targets(&m.targets, &pack, true, 0, t->arena);
    if (train && compares_now(l, &m.when)) m.targets.logp = m.targets.entropy = NULL; /* whole distributions are wanted, and not the sampled tokens' log-probs alone */
    m.scored = fv_pack_score(&m.pass, t->model, fv_pack_forward(&m.pass, t->model, &pack, NULL), &m.targets);
    fv_grpo_batch_streams(b, &m.targets, fv_read(&m.pass, m.scored.logp->v), fv_read(&m.pass, m.scored.entropy->v), &s, t->arena);
    if (check) compare(sum, s.logp, s.old_logp, m.targets.count);
    if (train) {
        s.total = u->tokens;
        s.responses = u->responses;
        FV_TRY(write_streams(&m, &s, err));
        fv_pass_back(&m.pass);
    }
    fv_arena_reset(t->arena);
    FV_TRY(t->ops->check(err));
    return m.pass.error.status == FV_OK ? FV_OK : fv_fail(err, m.pass.error.status, "%s: %s", l->stage->name, m.pass.error.text);
}

/* What is done with the hidden states of a pass that only looks. */
typedef void see_pass(const fv_learner *l, fv_pass *pass, fv_var *hidden, const fv_targets *targets, void *context);

/* Passes without a tape over all answers of a rollout. replay: what decoding recorded is taken over, where it is there. */
static fv_status look_at_all(const fv_learner *l, const fv_rollout *r, bool replay, see_pass *see, void *context, fv_error *err) {
    fv_trainer *t = l->t;
    int64_t limit = fv_get_int(l->stage->json, "optim.micro_tokens");
    int count = r->sample_count * r->group_size, n = 0, *leaves = malloc(((size_t)count + 1) * sizeof *leaves);
    fv_status s = leaves ? FV_OK : fv_fail(err, FV_NO_MEMORY, "%s: out of memory", l->stage->name);
    for (int i = 0; i < count && s == FV_OK; i++)
        if (r->trajectories[i].turn_count) leaves[n++] = r->trajectories[i].turns[r->trajectories[i].turn_count - 1].segment;
    for (int at = 0, some; at < n && s == FV_OK; at += some) {
        fv_pack pack;
        fv_targets targets;
        fv_pass pass = fv_pass_begin(t->policy, t->arena, false);
        some = fv_train_micro(r->tree, leaves, n, at, limit);
        s = fv_pack_make_scored(&pack, r->tree, leaves + at, some, t->model->image.merge, t->arena, err);
        if (s != FV_OK) break;
        if (replay) fv_engine_replay(l->engine, &pack, t->arena);
        fv_pack_targets(&targets, &pack, true, 0, t->arena);
        see(l, &pass, fv_pack_forward(&pass, t->model, &pack, NULL), &targets, context);
        fv_arena_reset(t->arena);
        s = t->ops->check(err);
        if (pass.error.status != FV_OK) s = fv_fail(err, pass.error.status, "%s: %s", l->stage->name, pass.error.text);
    }
    free(leaves);
    return s;
}

static void see_values(const fv_learner *l, fv_pass *pass, fv_var *hidden, const fv_targets *targets, void *batch) {
    fv_var *rows = fv_gather(pass, hidden, fv_ints(targets->source, targets->count));
    fv_grpo_batch_values(batch, targets, fv_read(pass, value_of(l, pass, rows)->v));
}

fv_status fv_learn_values(const fv_learner *l, fv_grpo_batch *b, fv_error *err) { return look_at_all(l, &b->rollout, true, see_values, b, err); }

/* The comparison for answers that are only sampled, beside those of the batch. */
typedef struct {
    const fv_tree *tree;
    step_sums *sum;
} beside;

static void see_beside(const fv_learner *l, fv_pass *pass, fv_var *hidden, const fv_targets *targets, void *context) {
    const beside *c = context;
    const float *now = fv_read(pass, fv_pack_score(pass, l->t->model, hidden, targets).logp->v);
    for (int i = 0; i < targets->count; i++) compare(c->sum, now + i, c->tree->segments[targets->segment[i]]->logp + targets->index[i], 1);
}

/* A group whose advantages are all zero has no gradient, unless something besides the advantage has one: it is only compared. check (before the first
 * update after a rollout): so is all that other updates learn from. */
static fv_status update(const fv_learner *l, const fv_grpo_batch *b, const span *u, bool check, step_sums *sum, double *norm, fv_error *err) {
    bool all = l->pipeline->objectives.count > 1 || (l->pipeline->needs & FV_NEED_REFERENCE) || compares_now(l, &(fv_moment){u->step, l->steps, l->t->seed});
    int64_t limit = fv_get_int(l->stage->json, "optim.micro_tokens");
    int *leaves = malloc((size_t)b->prompts * (size_t)b->group_size * sizeof *leaves);
    if (!leaves) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", l->stage->name);
    fv_status s = FV_OK;
    fv_slot_zero_grad(l->t->policy);
    for (int train = 1; train >= (check ? 0 : 1) && s == FV_OK; train--) {
        int n = fv_grpo_batch_leaves(b, u->first, u->last, all, train, leaves);
        for (int at = 0; at < n && s == FV_OK;) {
            int some = fv_train_micro(b->rollout.tree, leaves, n, at, limit);
            s = run_micro(l, b, leaves + at, some, u, train, check, sum, err);
            at += some;
        }
    }
    free(leaves);
    for (size_t i = 0; i < FV_COUNT(l->beside) && check && s == FV_OK; i++) s = look_at_all(l, l->beside[i], false, see_beside, &(beside){l->beside[i]->tree, sum}, err);
    FV_TRY(s);
    *norm = 0;
    if (!u->tokens) return FV_OK; /* nothing could be scored: momentum is no reason to move */
    fv_optim how = fv_train_optim(l->stage, u->step, l->steps);
    fv_slot_step(l->t->policy, &how, norm);
    if (isfinite(sum->loss) && isfinite(*norm)) return FV_OK;
    return fv_fail(err, FV_LIMIT, "%s: loss %g, gradient norm %g at step %lld; a lower optim.lr may help", l->stage->name, sum->loss, *norm, (long long)u->step);
}

static fv_status check_exactness(const fv_learner *l, const step_sums *sum, int64_t step, fv_error *err) {
    if (sum->logp_difference_max == 0) return FV_OK;
    return fv_fail(err, FV_LIMIT, "%s: step %lld: the log-probs of rollout and training differ by %g; they must be the same bits. This is a defect of Fovea: please report it",
                   l->stage->name, (long long)step, sum->logp_difference_max);
}

fv_status fv_learn(const fv_learner *l, fv_grpo_batch *b, int64_t step, fv_metrics *m, fv_error *err) {
    int updates = (int)fv_get_int(l->stage->json, "updates"), every = (int)fv_get_int(l->stage->json, "verify");
    if (updates > b->prompts) updates = b->prompts;
    step_sums sum = {0};
    double norm = 0, norms = 0, tokens = 0, low_min = 1, high_max = 0;
    for (int k = 0; k < updates; k++) {
        double low = sum.clipped_low, high = sum.clipped_high;
        span u = {.first = b->prompts * k / updates, .last = b->prompts * (k + 1) / updates, .step = step};
        u.responses = fv_grpo_batch_sound(b, u.first, u.last, &u.tokens);
        FV_TRY(update(l, b, &u, k == 0 && every && step % every == 0, &sum, &norm, err));
        norms += norm;
        low_min = fmin(low_min, (sum.clipped_low - low) / fmax((double)u.tokens, 1));
        high_max = fmax(high_max, (sum.clipped_high - high) / fmax((double)u.tokens, 1));
        tokens += (double)u.tokens; /* all that are trained on, also of groups without a gradient, as TRL and verl divide */
    }
    if (tokens == 0) tokens = 1;
    fv_metric(m, "loss", sum.loss / updates);
    fv_metric(m, "grad_norm", norms / updates);
    fv_metric(m, "learning_rate", fv_train_rate(l->stage, step, l->steps));
    fv_metric(m, "clip_ratio/low_mean", sum.clipped_low / tokens);
    fv_metric(m, "clip_ratio/low_min", low_min);
    fv_metric(m, "clip_ratio/high_mean", sum.clipped_high / tokens);
    fv_metric(m, "clip_ratio/high_max", high_max);
    fv_metric(m, "clip_ratio/region_mean", sum.clipped_low / tokens + sum.clipped_high / tokens);
    if (l->pipeline->needs & FV_NEED_REFERENCE) fv_metric(m, "kl", sum.kl / tokens);
    for (int k = 0; k < l->pipeline->objectives.count; k++)
        if (sum.measured[k]) fv_metric_named(m, sum.divergence[k] / tokens, "divergence/%s", l->pipeline->objectives.uses[k].label);
    if (!sum.compared) return FV_OK;
    fv_metric(m, "sampling/sampling_logp_difference/mean", sum.logp_difference / (double)sum.compared);
    fv_metric(m, "sampling/sampling_logp_difference/max", sum.logp_difference_max);
    fv_metric(m, "sampling/importance_sampling_ratio/min", sum.ratio_min);
    fv_metric(m, "sampling/importance_sampling_ratio/mean", sum.ratio_sum / (double)sum.compared);
    fv_metric(m, "sampling/importance_sampling_ratio/max", sum.ratio_max);
    return check_exactness(l, &sum, step, err);
}
