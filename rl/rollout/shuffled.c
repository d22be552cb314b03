#include "rl/rollout/shuffled.h"

#include "core/random.h"
#include "rl/rollout/trajectories.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

fv_status fv_shuffled_open(fv_shuffled *s, int prompts, int group_size, int terms, fv_error *err) {
    *s = (fv_shuffled){.prompts = prompts, .size = group_size / 2, .terms = terms};
    size_t n = (size_t)prompts * (size_t)s->size;
    s->samples = calloc((size_t)prompts, sizeof *s->samples);
    s->clip = calloc((size_t)prompts, sizeof *s->clip);
    s->now = calloc((size_t)prompts, sizeof *s->now);
    s->term = calloc(n * (size_t)terms, sizeof *s->term);
    s->responses = calloc(n, sizeof *s->responses);
    s->joined = calloc((size_t)(group_size + s->size), sizeof *s->joined);
    if (s->samples && s->clip && s->now && s->term && s->responses && s->joined) return FV_OK;
    return fv_fail(err, FV_NO_MEMORY, "shuffled frames of %d prompts: out of memory", prompts);
}

void fv_shuffled_clear(fv_shuffled *s) {
    fv_rollout_clear(&s->rollout);
    for (int i = 0; i < s->prompts && s->samples; i++) fv_sample_clear_prompt(&s->samples[i]);
}

void fv_shuffled_close(fv_shuffled *s) {
    fv_shuffled_clear(s);
    free(s->samples);
    free(s->clip);
    free(s->now);
    free(s->term);
    free(s->responses);
    free(s->joined);
}

/* ---- Prompts ---- */

static bool is_clip(const fv_picture *p) { return p->video && p->frame_count > 1; }

static fv_status shuffle_clip(const fv_model *m, const fv_picture *clip, uint64_t key, fv_picture **out, fv_error *err) {
    int *order = malloc((size_t)clip->frame_count * sizeof *order);
    if (!order) return fv_fail(err, FV_NO_MEMORY, "shuffled frames: out of memory");
    for (int i = 0; i < clip->frame_count; i++) order[i] = i;
    fv_random draws = fv_random_stream(key);
    fv_shuffle(&draws, order, clip->frame_count, sizeof *order);
    fv_status s = fv_picture_reorder(m, clip, order, out, err);
    free(order);
    return s;
}

/* The prompt with its clips shuffled: tokens and time stamps stay, so it costs what the ordered one does. */
static fv_status shuffle_prompt(const fv_model *m, const fv_prompt *in, uint64_t key, fv_prompt *out, fv_error *err) {
    size_t n = (size_t)in->tokens.count;
    size_t pictures = (size_t)in->picture_count;
    *out = (fv_prompt){.mask = calloc(n + 1, 1), .pictures = calloc(pictures, sizeof *out->pictures), .picture_at = calloc(pictures, sizeof *out->picture_at)};
    out->tokens = (fv_ids){.ids = malloc((n + 1) * sizeof *out->tokens.ids), .room = in->tokens.count + 1};
    if (!out->mask || !out->pictures || !out->picture_at || !out->tokens.ids) return fv_fail(err, FV_NO_MEMORY, "shuffled frames: out of memory");
    out->tokens.count = in->tokens.count;
    memcpy(out->tokens.ids, in->tokens.ids, n * sizeof *out->tokens.ids);
    memcpy(out->mask, in->mask, n);
    for (int i = 0; i < in->picture_count; i++) {
        fv_picture **to = &out->pictures[i];
        if (is_clip(in->pictures[i])) FV_TRY(shuffle_clip(m, in->pictures[i], fv_random_key(key, "clip", (uint64_t)i, 0), to, err));
        else *to = fv_picture_keep(in->pictures[i]);
        out->picture_at[i] = in->picture_at[i];
        out->picture_count++;
    }
    return FV_OK;
}

static fv_status prepare(fv_shuffled *s, const fv_sample *from, int i, const fv_model *m, uint64_t key, fv_error *err) {
    fv_sample *to = &s->samples[i];
    fv_sample_clear_prompt(to);
    s->clip[i] = false;
    for (int k = 0; k < from->prompt.picture_count && from->error.status == FV_OK; k++) s->clip[i] |= is_clip(from->prompt.pictures[k]);
    if (!s->clip[i]) return FV_OK;
    to->row = from->row;
    to->env = from->env;
    return shuffle_prompt(m, &from->prompt, key, &to->prompt, err);
}

fv_status fv_shuffled_run(fv_shuffled *s, const fv_grpo_batch *b, fv_engine *e, const fv_model *m, fv_slot *slot, fv_jobs *tools, const fv_rollout_options *options,
                          const bool *again, fv_error *err) {
    for (int i = 0; i < s->prompts; i++) {
        bool now = !again || again[i];
        if (now) FV_TRY(prepare(s, &b->samples[i], i, m, fv_random_key(options->seed, "frames", (uint64_t)options->step, (uint64_t)options->numbers[i]), err));
        s->now[i] = now && s->clip[i];
    }
    fv_rollout_options o = *options;
    o.group_size = s->size;
    o.seed = fv_random_key(options->seed, "shuffled", 0, 0);
    return fv_rollout_beside(&s->rollout, &b->rollout, e, m, slot, tools, s->samples, s->prompts, s->now, &o, err);
}

/* ---- Judging ---- */

void fv_shuffled_index(fv_shuffled *s) {
    for (int i = 0; i < s->prompts * s->size; i++) {
        double *terms = s->term + (size_t)i * (size_t)s->terms;
        for (int t = 0; t < s->terms; t++) terms[t] = NAN;
        fv_trajectory_response(&s->rollout, i, terms, &s->responses[i]);
        s->responses[i].aside = true;
        s->responses[i].frames = "shuffled";
    }
}

fv_group fv_shuffled_join(fv_shuffled *s, const fv_grpo_batch *b, int prompt) {
    const fv_group *ordered = &b->groups[prompt];
    int n = ordered->count, more = s->clip[prompt] ? s->size : 0;
    memcpy(s->joined, ordered->items, (size_t)n * sizeof *s->joined);
    memcpy(s->joined + n, s->responses + (size_t)prompt * (size_t)s->size, (size_t)more * sizeof *s->joined);
    for (int i = 0; i < n; i++) s->joined[i].frames = "ordered";
    return (fv_group){.items = s->joined, .count = n + more};
}

void fv_shuffled_part(fv_shuffled *s, fv_grpo_batch *b, int prompt) {
    fv_group *ordered = &b->groups[prompt];
    memcpy(ordered->items, s->joined, (size_t)ordered->count * sizeof *ordered->items);
    if (s->clip[prompt]) memcpy(s->responses + (size_t)prompt * (size_t)s->size, s->joined + ordered->count, (size_t)s->size * sizeof *s->responses);
}

void fv_shuffled_metrics(const fv_shuffled *s, const fv_pipeline *p, fv_metrics *m) {
    for (int k = 0; k < p->terms.count; k++) {
        double sum = 0, n = 0;
        for (int i = 0; i < s->prompts * s->size; i++) {
            if (!s->clip[i / s->size] || s->responses[i].error[0] || isnan(s->responses[i].terms[k])) continue;
            sum += s->responses[i].terms[k];
            n++;
        }
        fv_metric_named(m, n ? sum / n : NAN, "shuffled/%s/mean", p->terms.uses[k].label);
    }
}
