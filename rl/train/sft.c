/* Supervised stages: cross-entropy on what the assistant wrote. */
#include "rl/train/train.h"

#include "core/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One update's batch: conversations in a tree whose system turns are shared. */
typedef struct {
    fv_tree *tree;
    int64_t *index;          /* [count] rows of a step */
    fv_sample *samples;
    int *leaves, *sample_of; /* [leaf_count] */
    int leaf_count, count;
    int64_t targets;         /* tokens with a loss */
    int64_t barren;          /* rows in a row, up to now, that had none */
} sft_batch;

/* Loss by category, for the curves: the row's `category`, else its `problem_type`. */
typedef struct {
    const char *names[48];
    double loss[48], tokens[48];
    int count;
} by_category;

static void add_category(by_category *c, const char *name, double loss) {
    if (!name) return;
    int i = 0;
    while (i < c->count && strcmp(c->names[i], name)) i++;
    if (i == (int)FV_COUNT(c->names)) return;
    if (i == c->count) {
        c->names[c->count] = name;
        c->loss[c->count] = c->tokens[c->count] = 0;
        c->count++;
    }
    c->loss[i] += loss;
    c->tokens[i] += 1;
}

/* The rows of a step, into b->index. */
static const int64_t *rows_of(const fv_trainer *t, fv_curriculum *rows, int64_t step, sft_batch *b) {
    uint64_t key = fv_random_key(t->seed, "data", (uint64_t)t->stage, 0);
    for (int i = 0; i < b->count; i++) b->index[i] = fv_curriculum_row(rows, key, step, i);
    return b->index;
}

/* A conversation of which nothing is learned is a bad row. */
static void note_barren(fv_sample *s) {
    bool learns = s->error.status != FV_OK;
    for (int k = 1; k < s->prompt.tokens.count && !learns; k++) learns = s->prompt.mask[k]; /* nothing predicts the first */
    if (!learns) fv_fail(&s->error, FV_BAD_DATA, "%s: no assistant's turn to learn from", s->row && s->row->place ? s->row->place : s->row ? s->row->id : "a row");
}

static fv_status load_batch(fv_trainer *t, const fv_stage *stage, fv_feed *feed, fv_curriculum *rows, int64_t step, int64_t steps, sft_batch *b, fv_error *err) {
    fv_feed_take(feed, rows_of(t, rows, step, b), b->count, b->samples);
    if (fv_train_reads_ahead(t->ops->device) && step + 1 < steps) fv_feed_expect(feed, rows_of(t, rows, step + 1, b), b->count);
    for (int i = 0; i < b->count; i++) note_barren(&b->samples[i]);
    FV_TRY(fv_train_bad_rows(t, b->samples, b->count, err));
    FV_TRY(fv_tree_new(&b->tree, t->model, err));
    for (int i = 0; i < b->count; i++) {
        fv_sample *s = &b->samples[i];
        if (s->error.status != FV_OK) continue;
        for (int k = 1; k < s->prompt.tokens.count; k++) b->targets += s->prompt.mask[k]; /* nothing predicts the first */
        b->sample_of[b->leaf_count] = i;
        FV_TRY(fv_tree_plant(b->tree, t->model, &s->prompt, &b->leaves[b->leaf_count++], err));
    }
    b->barren = b->targets ? 0 : b->barren + b->count;
    int64_t taken = (step + 1) * b->count;
    if (b->barren < taken || (taken < fv_dataset_count(rows->data) && step + 1 < steps)) return FV_OK;
    return fv_fail(err, FV_BAD_DATA, "%s: none of %lld rows has an assistant's turn to learn from; bad_rows.jsonl says what was skipped", stage->name, (long long)taken);
}

static void clear_batch(sft_batch *b) {
    for (int i = 0; i < b->count; i++) fv_sample_clear(&b->samples[i]);
    fv_tree_free(b->tree);
    b->tree = NULL;
    b->leaf_count = 0;
    b->targets = 0;
}

static const char *category_of(const sft_batch *b, int segment) {
    for (int i = 0; i < b->leaf_count; i++)
        if (b->leaves[i] == segment) {
            const fv_row *row = b->samples[b->sample_of[i]].row;
            const char *category = fv_row_text(row, "category");
            return category ? category : fv_row_text(row, "problem_type");
        }
    return NULL;
}

/* Forward and backward over some leaves; dL/dlogp = -1 / (all targets of the update). */
static fv_status run_micro(fv_trainer *t, const fv_stage *stage, const sft_batch *b, const int *leaves, int count, double *loss, double *entropy, by_category *by, fv_error *err) {
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(t->policy, t->arena, true);
    pass.checkpoint = fv_get_bool(stage->json, "optim.gradient_checkpointing");
    if (t->model->lora) { /* off wherever a policy samples, is compared, or learns from what it sampled (docs/lora.md) */
        pass.dropout = (float)t->model->lora->config.dropout;
        pass.dropout_key = fv_random_key(t->seed, "dropout", (uint64_t)t->step, (uint64_t)(leaves - b->leaves));
    }
    FV_TRY(fv_pack_make_scored(&pack, b->tree, leaves, count, t->model->image.merge, t->arena, err));
    fv_pack_targets(&targets, &pack, true, 1.0f, t->arena);
    fv_pack_want(&pack, &targets, t->arena);
    fv_var *hidden = fv_pack_forward(&pass, t->model, &pack, NULL);
    fv_scored scored = fv_pack_score(&pass, t->model, hidden, &targets);
    float *dlogp = FV_TAKE(t->arena, float, targets.count);
    const float *logp = fv_read(&pass, scored.logp->v), *h = fv_read(&pass, scored.entropy->v);
    int segment = -1;
    const char *category = NULL;
    for (int i = 0; i < targets.count; i++) {
        dlogp[i] = (float)(-1.0 / (double)b->targets);
        *loss -= logp[i];
        *entropy += h[i];
        if (targets.segment[i] != segment) category = category_of(b, segment = targets.segment[i]);
        add_category(by, category, -logp[i]);
    }
    fv_stream(&pass, scored.logp, dlogp);
    fv_pass_back(&pass);
    fv_arena_reset(t->arena);
    FV_TRY(t->ops->check(err));
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "sft: %s", pass.error.text);
}

static fv_status update(fv_trainer *t, const fv_stage *stage, const sft_batch *b, int64_t step, int64_t steps, fv_metrics *m, fv_error *err) {
    double loss = 0, entropy = 0, norm = 0;
    by_category by = {0};
    fv_optim how = fv_train_optim(stage, step, steps);
    if (!b->targets) { /* every row was skipped: nothing to learn here, so the weights stay as they are */
        fv_metric(m, "loss", NAN);
        fv_metric(m, "learning_rate", how.lr);
        return FV_OK;
    }
    fv_slot_zero_grad(t->policy);
    for (int first = 0; first < b->leaf_count;) {
        int n = fv_train_micro(b->tree, b->leaves, b->leaf_count, first, fv_get_int(stage->json, "optim.micro_tokens"));
        FV_TRY(run_micro(t, stage, b, b->leaves + first, n, &loss, &entropy, &by, err));
        first += n;
    }
    loss /= (double)b->targets;
    fv_slot_step(t->policy, &how, &norm);
    if (!isfinite(loss) || !isfinite(norm))
        return fv_fail(err, FV_LIMIT, "%s: loss %g, gradient norm %g at step %lld; a lower optim.lr may help", stage->name, loss, norm, (long long)step);
    fv_metric(m, "loss", loss);
    fv_metric(m, "grad_norm", norm);
    fv_metric(m, "learning_rate", how.lr);
    fv_metric(m, "entropy", entropy / (double)b->targets);
    for (int i = 0; i < by.count; i++) fv_metric_named(m, by.loss[i] / by.tokens[i], "loss/%s", by.names[i]);
    return FV_OK;
}

static int64_t count_tokens(const sft_batch *b) {
    int64_t n = 0;
    for (int i = 0; i < b->tree->count; i++) n += b->tree->segments[i]->count;
    return n;
}

static fv_status run_steps(fv_trainer *t, const fv_stage *stage, fv_feed *feed, fv_curriculum *rows, sft_batch *b, int64_t from, int64_t steps, fv_error *err) {
    fv_progress *progress = fv_train_progress(t, stage, from, steps);
    double smooth = json_is_number(json_object_get(t->state, "smooth_loss")) ? json_number_value(json_object_get(t->state, "smooth_loss")) : -1;
    double stop_at = fv_get_num(stage->json, "stop_at"), tokens = json_number_value(json_object_get(t->state, "num_tokens"));
    fv_status s = FV_OK;
    for (int64_t step = from; step < steps && s == FV_OK; step++) {
        fv_metrics m = {0};
        double start = fv_now();
        s = load_batch(t, stage, feed, rows, step, steps, b, err);
        double loaded = fv_now();
        if (s == FV_OK) s = update(t, stage, b, step, steps, &m, err);
        if (s != FV_OK) break;
        double loss = fv_metric_get(&m, "loss");
        if (b->targets) smooth = smooth < 0 ? loss : 0.98 * smooth + 0.02 * loss;
        tokens += (double)count_tokens(b);
        json_object_set_new(t->state, "smooth_loss", json_real(smooth));
        json_object_set_new(t->state, "num_tokens", json_real(tokens));
        fv_metric(&m, "num_tokens", tokens);
        fv_metric(&m, "epoch", (double)((step + 1) * b->count) / (double)fv_dataset_count(rows->data));
        fv_metric(&m, "timing_s/data", loaded - start);
        fv_metric(&m, "step_time", fv_now() - start);
        clear_batch(b);
        bool enough = (smooth >= 0 && smooth < stop_at) || step + 1 == steps;
        if (enough) json_object_del(t->state, "smooth_loss"); /* the next stage begins with none, also after a resumption */
        s = fv_train_after(t, stage, step + 1, enough ? step + 1 : steps, &m, err);
        fv_progress_update(progress, step + 1, "loss %.4f", smooth);
        if (enough) break;
    }
    if (s == FV_OK && from >= steps) {
        json_object_del(t->state, "smooth_loss");
        s = fv_train_end(t, stage, from, err);
    }
    clear_batch(b);
    fv_progress_close(progress);
    return s;
}

fv_status fv_train_sft(fv_trainer *t, const fv_stage *stage, int64_t from, fv_error *err) {
    fv_curriculum rows;
    fv_feed *feed = NULL;
    sft_batch b = {.count = (int)fv_get_int(stage->json, "batch")};
    FV_TRY(fv_train_data(t, stage, &rows, err));
    if (!rows.steps) {
        fv_curriculum_close(&rows);
        return fv_fail(err, FV_BAD_RECIPE, "%s: stages.%s: neither steps nor epochs says that there is anything to do", t->recipe->file, stage->name);
    }
    fv_feed_options options = {.env = fv_recipe_env(t->recipe, stage), .ask = fv_get(t->recipe->json, "ask"), .max_tokens = (int)fv_get_int(stage->json, "max_tokens"),
                               .ahead = fv_train_reads_ahead(t->ops->device)};
    fv_status s = fv_feed_open(&feed, t->model, rows.data, t->pool, &options, err);
    b.index = calloc((size_t)b.count, sizeof *b.index);
    b.samples = calloc((size_t)b.count, sizeof *b.samples);
    b.leaves = calloc((size_t)b.count, sizeof *b.leaves);
    b.sample_of = calloc((size_t)b.count, sizeof *b.sample_of);
    if (s == FV_OK && (!b.index || !b.samples || !b.leaves || !b.sample_of)) s = fv_fail(err, FV_NO_MEMORY, "%s: out of memory", stage->name);
    if (s == FV_OK) s = run_steps(t, stage, feed, &rows, &b, from, rows.steps, err);
    free(b.index);
    free(b.samples);
    free(b.leaves);
    free(b.sample_of);
    fv_feed_close(feed);
    fv_curriculum_close(&rows);
    return s;
}
