#include "rl/train/grpo_batch.h"

#include "rl/rollout/trajectories.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fv_status fv_grpo_batch_open(fv_grpo_batch *b, int prompts, int group_size, fv_error *err) {
    memset(b, 0, sizeof *b);
    b->prompts = prompts;
    b->group_size = group_size;
    size_t n = (size_t)prompts * (size_t)group_size;
    b->numbers = calloc((size_t)prompts, sizeof *b->numbers);
    b->places = calloc((size_t)prompts, sizeof *b->places);
    b->samples = calloc((size_t)prompts, sizeof *b->samples);
    b->groups = calloc((size_t)prompts, sizeof *b->groups);
    b->responses = calloc(n, sizeof *b->responses);
    b->response_tokens = calloc(n, sizeof *b->response_tokens);
    for (int i = 0; i < prompts && b->places; i++) b->places[i] = i;
    if (b->numbers && b->places && b->samples && b->groups && b->responses && b->response_tokens) return FV_OK;
    return fv_fail(err, FV_NO_MEMORY, "a batch of %d x %d responses: out of memory", prompts, group_size);
}

static void forget_index(fv_grpo_batch *b) {
    free(b->terms);
    free(b->tokens);
    free(b->noted);
    free(b->response_of);
    free(b->offset_of);
    b->terms = NULL;
    b->tokens = NULL;
    b->noted = NULL;
    b->longest = 0;
    b->response_of = b->offset_of = NULL;
}

void fv_grpo_batch_clear(fv_grpo_batch *b) {
    fv_rollout_clear(&b->rollout);
    for (int i = 0; i < b->prompts && b->samples; i++) fv_sample_clear(&b->samples[i]);
    forget_index(b);
}

void fv_grpo_batch_close(fv_grpo_batch *b) {
    fv_grpo_batch_clear(b);
    free(b->numbers);
    free(b->places);
    free(b->samples);
    free(b->groups);
    free(b->responses);
    free(b->response_tokens);
}

/* The trained tokens of a trajectory are those of its turns, in order. */
static int trained_tokens(const fv_grpo_batch *b, const fv_trajectory *t) {
    int n = 0;
    for (int k = 0; k < t->turn_count; k++) n += b->rollout.tree->segments[t->turns[k].segment]->count;
    return n;
}

fv_status fv_grpo_batch_index(fv_grpo_batch *b, int terms, fv_error *err) {
    const fv_tree *tree = b->rollout.tree;
    int n = b->prompts * b->group_size;
    int64_t total = 0;
    forget_index(b);
    for (int i = 0; i < n; i++) {
        total += b->response_tokens[i] = trained_tokens(b, &b->rollout.trajectories[i]);
        if (b->response_tokens[i] > b->longest) b->longest = b->response_tokens[i];
    }
    b->terms = malloc((size_t)n * (size_t)(terms ? terms : 1) * sizeof *b->terms);
    b->tokens = calloc(6 * (size_t)(total ? total : 1), sizeof *b->tokens);
    b->noted = malloc(((size_t)b->prompts * (size_t)b->longest + 1) * sizeof *b->noted);
    b->response_of = malloc((size_t)(tree->count ? tree->count : 1) * sizeof *b->response_of);
    b->offset_of = malloc((size_t)(tree->count ? tree->count : 1) * sizeof *b->offset_of);
    if (!b->terms || !b->tokens || !b->noted || !b->response_of || !b->offset_of) return fv_fail(err, FV_NO_MEMORY, "a batch of %d responses: out of memory", n);
    for (int i = 0; i < n * terms; i++) b->terms[i] = NAN;
    for (int s = 0; s < tree->count; s++) b->response_of[s] = -1;
    float *at = b->tokens;
    for (int i = 0; i < n; i++) {
        const fv_trajectory *t = &b->rollout.trajectories[i];
        fv_response *r = &b->responses[i];
        fv_trajectory_response(&b->rollout, i, b->terms + (size_t)i * (size_t)terms, r);
        r->tokens = b->response_tokens[i];
        float *logp = at, *entropy = at + r->tokens;
        r->token_advantage = at + 2 * r->tokens;
        r->token_weight = at + 3 * r->tokens;
        r->returns = at + 4 * r->tokens;
        at += 6 * r->tokens;
        for (int k = 0, offset = 0; k < t->turn_count; k++) {
            const fv_segment *s = tree->segments[t->turns[k].segment];
            b->response_of[t->turns[k].segment] = i;
            b->offset_of[t->turns[k].segment] = offset;
            memcpy(logp + offset, s->logp, (size_t)s->count * sizeof *logp);
            memcpy(entropy + offset, s->entropy, (size_t)s->count * sizeof *entropy);
            offset += s->count;
        }
        r->logp = logp;
        r->entropy = entropy;
    }
    for (int p = 0; p < b->prompts; p++) b->groups[p] = (fv_group){.items = b->responses + (size_t)p * (size_t)b->group_size, .count = b->group_size};
    return FV_OK;
}

/* Where a value head is what responses are compared with, equal ones have advantages, too; and a filter has none. */
static bool rewards_are_equal(const fv_group *g) {
    double first = NAN;
    bool equal = true;
    for (int i = 0; i < g->count; i++) {
        if (g->items[i].error[0]) continue;
        if (isnan(first)) first = g->items[i].reward;
        equal = equal && g->items[i].reward == first;
    }
    return equal;
}

bool fv_grpo_batch_is_flat(const fv_grpo_batch *b, int prompt) {
    const fv_group *g = &b->groups[prompt];
    if (b->by_reward || (g->count && g->items[0].value)) return rewards_are_equal(g);
    for (int i = 0; i < g->count; i++) {
        for (int k = 0; k < g->items[i].tokens; k++)
            if (g->items[i].token_advantage[k] != 0) return false;
    }
    return true;
}

int fv_grpo_batch_flat(const fv_grpo_batch *b) {
    int n = 0;
    for (int p = 0; p < b->prompts; p++) n += fv_grpo_batch_is_flat(b, p);
    return n;
}

int fv_grpo_batch_sound(const fv_grpo_batch *b, int first, int last, int64_t *tokens) {
    int n = 0;
    *tokens = 0;
    for (int i = first * b->group_size; i < last * b->group_size; i++) {
        if (b->responses[i].error[0]) continue;
        *tokens += b->response_tokens[i];
        n++;
    }
    return n;
}

int fv_grpo_batch_leaves(const fv_grpo_batch *b, int first, int last, bool all, bool train, int *leaves) {
    int n = 0;
    for (int p = 0; p < b->prompts; p++) {
        bool learned = p >= first && p < last && (all || !fv_grpo_batch_is_flat(b, p));
        for (int i = p * b->group_size; i < (p + 1) * b->group_size; i++) {
            const fv_trajectory *t = &b->rollout.trajectories[i];
            if (t->turn_count && (learned && !b->responses[i].error[0]) == train) leaves[n++] = t->turns[t->turn_count - 1].segment;
        }
    }
    return n;
}

void fv_grpo_batch_streams(const fv_grpo_batch *b, const fv_targets *targets, const float *logp, const float *entropy, fv_streams *out, fv_arena *arena) {
    int n = targets->count;
    float *old = FV_TAKE(arena, float, n ? n : 1), *advantage = FV_TAKE(arena, float, n ? n : 1), *weight = FV_TAKE(arena, float, n ? n : 1);
    float *old_value = FV_ZERO(arena, float, n ? n : 1), *returns = FV_ZERO(arena, float, n ? n : 1); /* zeros without a value head */
    int32_t *response = FV_TAKE(arena, int32_t, n ? n : 1);
    for (int i = 0; i < n; i++) {
        const fv_response *r = &b->responses[b->response_of[targets->segment[i]]];
        int k = b->offset_of[targets->segment[i]] + targets->index[i];
        old[i] = r->logp[k];
        advantage[i] = r->token_advantage[k];
        weight[i] = r->token_weight[k];
        if (r->value) old_value[i] = r->value[k], returns[i] = r->returns[k];
        response[i] = b->response_of[targets->segment[i]];
    }
    *out = (fv_streams){.count = n, .logp = logp, .old_logp = old, .entropy = entropy, .advantage = advantage, .weight = weight, .old_value = old_value, .returns = returns, .response = response,
                        .response_tokens = b->response_tokens};
}

void fv_grpo_batch_values(fv_grpo_batch *b, const fv_targets *targets, const float *value) {
    for (int i = 0; i < targets->count; i++) {
        fv_response *r = &b->responses[b->response_of[targets->segment[i]]];
        float *values = r->returns + r->tokens; /* behind them (fv_grpo_batch_index) */
        values[b->offset_of[targets->segment[i]] + targets->index[i]] = value[i];
        r->value = values;
    }
}

typedef struct {
    double sum, square, min, max, n;
} spread;

static void add(spread *s, double v) {
    if (isnan(v)) return;
    if (!s->n || v < s->min) s->min = v;
    if (!s->n || v > s->max) s->max = v;
    s->sum += v;
    s->square += v * v;
    s->n++;
}

static double mean(const spread *s) { return s->n ? s->sum / s->n : NAN; }
static double deviation(const spread *s) { return s->n > 1 ? sqrt(fmax(0, (s->square - s->sum * s->sum / s->n) / (s->n - 1))) : 0; }

/* verl's tags: how much of what happened the value head had expected, 1 - var(returns - values) / var(returns). */
static void add_values(const fv_grpo_batch *b, fv_metrics *m) {
    spread value = {0}, returns = {0}, missed = {0};
    for (int i = 0; i < b->prompts * b->group_size; i++) {
        const fv_response *r = &b->responses[i];
        for (int t = 0; t < r->tokens && r->value && !r->error[0]; t++) {
            add(&value, r->value[t]);
            add(&returns, r->returns[t]);
            add(&missed, (double)r->returns[t] - (double)r->value[t]);
        }
    }
    double var = deviation(&returns) * deviation(&returns), rest = deviation(&missed) * deviation(&missed);
    if (!value.n) return;
    fv_metric(m, "critic/values/mean", mean(&value));
    fv_metric(m, "critic/returns/mean", mean(&returns));
    fv_metric(m, "critic/vf_explained_var", var > 0 ? 1 - rest / var : NAN);
}

void fv_grpo_batch_metrics(const fv_grpo_batch *b, const fv_pipeline *p, fv_metrics *m) {
    spread reward = {0}, length = {0}, terminated = {0}, entropy = {0}, turns = {0}, weight = {0};
    double calls = 0, failures = 0, clipped = 0, errors = 0;
    int n = b->prompts * b->group_size;
    for (int i = 0; i < n; i++) {
        const fv_trajectory *t = &b->rollout.trajectories[i];
        const fv_response *r = &b->responses[i];
        errors += r->error[0] != 0;
        if (r->error[0]) continue;
        add(&reward, r->reward);
        add(&length, t->tokens);
        bool cut = t->truncated && strcmp(t->stop_reason, "turns") != 0; /* after the last turn that is allowed a response has ended, too */
        if (!cut) add(&terminated, t->tokens);
        clipped += cut;
        add(&turns, t->turn_count);
        calls += t->calls;
        failures += t->failures;
        for (int k = 0; k < r->tokens; k++) {
            add(&entropy, r->entropy[k]);
            add(&weight, r->token_weight[k]);
        }
    }
    fv_metric(m, "reward", mean(&reward));
    fv_metric(m, "reward_std", deviation(&reward));
    fv_metric(m, "frac_reward_zero_std", (double)fv_grpo_batch_flat(b) / b->prompts);
    for (int k = 0; k < p->terms.count; k++) {
        spread term = {0};
        for (int i = 0; i < n; i++)
            if (!b->responses[i].error[0]) add(&term, b->responses[i].terms[k]);
        fv_metric_named(m, mean(&term), "rewards/%s/mean", p->terms.uses[k].label);
        fv_metric_named(m, deviation(&term), "rewards/%s/std", p->terms.uses[k].label);
    }
    fv_metric(m, "completions/mean_length", mean(&length));
    fv_metric(m, "completions/min_length", length.min);
    fv_metric(m, "completions/max_length", length.max);
    fv_metric(m, "completions/mean_terminated_length", mean(&terminated));
    fv_metric(m, "completions/min_terminated_length", terminated.n ? terminated.min : NAN);
    fv_metric(m, "completions/max_terminated_length", terminated.n ? terminated.max : NAN);
    fv_metric(m, "completions/clipped_ratio", length.n ? clipped / length.n : NAN);
    fv_metric(m, "entropy", mean(&entropy));
    if (p->weights.count) {
        fv_metric(m, "token_weight/mean", mean(&weight));
        fv_metric(m, "token_weight/max", weight.max);
    }
    add_values(b, m);
    fv_metric(m, "tools/call_frequency", length.n ? calls / length.n : NAN);
    fv_metric(m, "tools/failure_frequency", calls ? failures / calls : 0);
    fv_metric(m, "num_turns/mean", mean(&turns));
    fv_metric(m, "num_turns/min", turns.min);
    fv_metric(m, "num_turns/max", turns.max);
    fv_metric(m, "response/aborted_ratio", n ? errors / n : NAN);
}
