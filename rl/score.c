#include "rl/score.h"

#include "core/file.h"
#include "core/progress.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_AT_ONCE = 32, TOKENS_A_PASS = 4096 };

typedef struct {
    fv_session *s;
    const fv_score_options *o;
    fv_score_counts *counts;
    fv_feed *feed;
    fv_out *out;
    json_t *names; /* of the files that --dump makes, as keys */
    double loss;
} scorer;

/* The temperature of a row's log-probs: what the user says, else what its tokens were sampled at; greedy rows are at 1. */
static float temperature_of(const scorer *c, const fv_sample *sample) {
    const json_t *row = sample->row->json;
    double t = c->o->temperature;
    if (!(t > 0) && fv_json_find(row, "input_ids")) t = json_number_value(json_object_get(row, "temperature"));
    return t > 0 ? (float)t : 1.0f;
}

/* A row's tensors need a file of their own: a name that the system takes and that no other row has. */
static fv_status claim_name(scorer *c, const char *id, fv_error *err) {
    const size_t most = 255 - strlen(".safetensors.tmp-XXXXXX");
    fv_text name = {0};
    fv_status status = FV_OK;
    fv_score_file(&name, id);
    if (name.failed) status = fv_fail(err, FV_NO_MEMORY, "score: out of memory");
    else if (strlen(id) > most) status = fv_fail(err, FV_BAD_DATA, "id is the name of a file under --dump and must have at most %zu bytes, this one has %zu", most, strlen(id));
    else if (json_object_get(c->names, name.data)) status = fv_fail(err, FV_BAD_DATA, "id %s is the name of a file under --dump (a / becomes _), and so is another row's", id);
    else if (json_object_set_new(c->names, name.data, json_true())) status = fv_fail(err, FV_NO_MEMORY, "score: out of memory");
    fv_text_clear(&name);
    return status;
}

/* What can be wrong with a row for scoring alone goes into its error. */
static void check_sample(scorer *c, fv_sample *s) {
    const json_t *t = fv_json_find(s->row->json, "input_ids") ? fv_json_find(s->row->json, "temperature") : NULL;
    fv_status status = FV_OK;
    if (t && (!json_is_number(t) || json_number_value(t) < 0)) status = fv_fail(&s->error, FV_BAD_DATA, "temperature must be a number from 0");
    else if (c->o->dump) status = claim_name(c, s->row->id, &s->error);
    if (status != FV_OK) fv_fail_in(&s->error, "%s", s->row->place ? s->row->place : s->row->id);
}

/* ---- One line ---- */

static void write_grids(fv_text *out, const char *name, const fv_prompt *p, bool video) {
    fv_text_printf(out, ", \"%s\": [", name);
    for (int i = 0, n = 0; i < p->picture_count; i++) {
        const fv_picture *pic = p->pictures[i];
        if (pic->video != video) continue;
        fv_text_printf(out, "%s[%d, %d, %d]", n++ ? ", " : "", pic->patches->grid[0], pic->patches->grid[1], pic->patches->grid[2]);
    }
    fv_text_char(out, ']');
}

static void write_line(scorer *c, const fv_sample *sample, const float *logp) {
    const fv_prompt *p = &sample->prompt;
    fv_text t = {0};
    fv_text_add(&t, "{\"id\": ");
    fv_text_json(&t, sample->row->id, strlen(sample->row->id));
    fv_text_add(&t, ", \"input_ids\": [");
    for (int i = 0; i < p->tokens.count; i++) fv_text_printf(&t, "%s%d", i ? ", " : "", p->tokens.ids[i]);
    fv_text_add(&t, "], \"logprobs\": [");
    for (int i = 0; i < p->tokens.count; i++) {
        if (i) fv_text_add(&t, ", ");
        fv_text_f32(&t, logp[i]); /* null for the first */
    }
    fv_text_add(&t, "], \"loss_mask\": [");
    for (int i = 0; i < p->tokens.count; i++) fv_text_printf(&t, "%s%d", i ? ", " : "", p->mask[i]);
    fv_text_char(&t, ']');
    write_grids(&t, "image_grid_thw", p, false);
    write_grids(&t, "video_grid_thw", p, true);
    fv_text_add(&t, ", \"second_per_grid_ts\": [");
    for (int i = 0, n = 0; i < p->picture_count; i++) {
        if (!p->pictures[i]->video) continue;
        if (n++) fv_text_add(&t, ", ");
        fv_text_f64(&t, p->pictures[i]->second_per_grid);
    }
    fv_text_add(&t, "]}\n");
    fv_out_text(c->out, &t);
    fv_text_clear(&t);
}

/* ---- One pass ---- */

/* Rows of the pass that a leaf's path runs through, and the log-probs that stand in its segments. */
static void read_path(const fv_pack *pack, int leaf, int32_t *rows, float *logp) {
    for (int id = leaf; id >= 0; id = pack->tree->segments[id]->parent) {
        const fv_segment *g = pack->tree->segments[id];
        for (int i = 0; i < g->count; i++) rows[g->start + i] = pack->row_of[id] + i;
        memcpy(logp + g->start, g->logp, (size_t)g->count * sizeof *logp);
    }
}

static fv_status write_row(scorer *c, const fv_pack *pack, const fv_var *hidden, const fv_tower_out *visual, const fv_sample *sample, int leaf, fv_error *err) {
    int n = sample->prompt.tokens.count;
    int32_t *rows = FV_TAKE(c->s->arena, int32_t, n);
    float *logp = FV_TAKE(c->s->arena, float, n);
    read_path(pack, leaf, rows, logp);
    for (int i = 1; i < n; i++)
        if (!isfinite(logp[i])) return fv_fail(err, FV_LIMIT, "%s: the log-prob of token %d is no finite number; are the weights?", sample->row->place ? sample->row->place : sample->row->id, i);
    for (int i = 1; i < n; i++)
        if (sample->prompt.mask[i]) c->loss -= logp[i], c->counts->targets++;
    write_line(c, sample, logp);
    c->counts->rows++;
    fv_scored_row row = {c->s->model, c->s->slot, pack, hidden, visual, sample, rows};
    return c->o->dump ? fv_score_dump(c->o->dump, &row, c->s->arena, err) : FV_OK;
}

/* d(sum of negative log-probs of learned tokens): the mean is taken at the end, when their number is known. */
static void run_back(fv_pass *pass, const scorer *c, const fv_pack *pack, fv_var *hidden, float temperature) {
    fv_targets learned;
    fv_pack_targets(&learned, pack, true, temperature, c->s->arena);
    if (!learned.count) return;
    fv_scored scored = fv_pack_score(pass, c->s->model, hidden, &learned);
    float *dlogp = FV_TAKE(c->s->arena, float, learned.count);
    for (int i = 0; i < learned.count; i++) dlogp[i] = -1.0f;
    fv_stream(pass, scored.logp, dlogp);
    fv_pass_back(pass);
}

/* Rows of one temperature as one tree. A row is its own root when gradients are wanted: those of a shared root would be summed in another order in
 * another batch. */
static fv_status run_tree(scorer *c, fv_tree *tree, const fv_sample *const *samples, int *leaves, int n, float temperature, fv_error *err) {
    fv_session *s = c->s;
    for (int i = 0; i < n; i++) {
        const fv_prompt *p = &samples[i]->prompt;
        if (c->o->grad) FV_TRY(fv_tree_add(tree, -1, FV_BY_ENVIRONMENT, p, 0, p->tokens.count, &leaves[i], err));
        else FV_TRY(fv_tree_plant(tree, s->model, p, &leaves[i], err));
    }
    fv_pack pack;
    fv_targets targets;
    fv_tower_out visual;
    fv_pass pass = fv_pass_begin(s->slot, s->arena, c->o->grad != NULL);
    pass.checkpoint = true;
    FV_TRY(fv_pack_make(&pack, tree, leaves, n, s->model->image.merge, s->arena, err));
    fv_var *hidden = fv_pack_forward(&pass, s->model, &pack, &visual);
    fv_pack_targets(&targets, &pack, false, temperature, s->arena);
    if (targets.count) {
        fv_pass plain = fv_pass_begin(s->slot, s->arena, false);
        const float *logp = fv_read(&plain, fv_pack_score(&plain, s->model, fv_input(&plain, hidden->v), &targets).logp->v);
        for (int i = 0; i < targets.count; i++) tree->segments[targets.segment[i]]->logp[targets.index[i]] = logp[i];
    }
    if (c->o->grad) run_back(&pass, c, &pack, hidden, temperature);
    if (pass.error.status != FV_OK) return fv_fail(err, pass.error.status, "score: %s", pass.error.text);
    FV_TRY(s->slot->ops->check(err));
    for (int i = 0; i < n; i++) FV_TRY(write_row(c, &pack, hidden, &visual, samples[i], leaves[i], err));
    return FV_OK;
}

static fv_status run_batch(scorer *c, const fv_sample *const *samples, int n, float temperature, fv_error *err) {
    fv_tree *tree;
    int leaves[ROWS_AT_ONCE];
    FV_TRY(fv_tree_new(&tree, c->s->model, err));
    fv_status status = run_tree(c, tree, samples, leaves, n, temperature, err);
    fv_tree_free(tree);
    fv_arena_reset(c->s->arena);
    return status;
}

/* ---- All of them ---- */

/* Sound rows in passes of at most `tokens` tokens (or one row) and one temperature. */
static fv_status run_samples(scorer *c, fv_sample *samples, int n, fv_error *err) {
    const fv_sample *batch[ROWS_AT_ONCE];
    int count = 0, tokens = 0, most = c->o->tokens ? c->o->tokens : TOKENS_A_PASS;
    float temperature = 1;
    for (int i = 0; i < n; i++) {
        if (samples[i].error.status == FV_OK) check_sample(c, &samples[i]);
        if (samples[i].error.status != FV_OK) {
            c->counts->bad++;
            if (c->o->bad) c->o->bad(c->o->context, &samples[i].error);
            continue;
        }
        float own = temperature_of(c, &samples[i]);
        int more = samples[i].prompt.tokens.count;
        if (count && (own != temperature || tokens + more > most)) {
            FV_TRY(run_batch(c, batch, count, temperature, err));
            count = tokens = 0;
        }
        batch[count++] = &samples[i];
        tokens += more;
        temperature = own;
    }
    return count ? run_batch(c, batch, count, temperature, err) : FV_OK;
}

static fv_status run_all(scorer *c, int64_t rows, fv_progress *progress, fv_error *err) {
    fv_sample *samples = calloc(ROWS_AT_ONCE, sizeof *samples);
    fv_status status = samples ? FV_OK : fv_fail(err, FV_NO_MEMORY, "score: out of memory");
    for (int64_t first = 0; first < rows && status == FV_OK;) {
        int64_t index[ROWS_AT_ONCE];
        int n = (int)(rows - first < ROWS_AT_ONCE ? rows - first : ROWS_AT_ONCE);
        for (int i = 0; i < n; i++) index[i] = first + i;
        n = fv_feed_some(c->feed, index, n, samples);
        status = run_samples(c, samples, n, err);
        for (int i = 0; i < n; i++) fv_sample_clear(&samples[i]);
        first += n;
        fv_progress_update(progress, first, "%lld tokens learned", (long long)c->counts->targets);
        if (status == FV_OK && c->o->stop && *c->o->stop) status = fv_fail(err, FV_CANCELLED, "score: stopped; %s was not written", c->o->out);
    }
    free(samples);
    return status;
}

/* As the checkpoint, or else the adapter's own file, calls it. */
static const char *name_of(const scorer *c, int i) {
    const fv_adapter *a = fv_model_adapter(c->s->model);
    for (int k = 0; a && k < a->whole_count; k++)
        if (a->wholes[k].weight == i) return a->wholes[k].own.name;
    return c->s->slot->params[i].name;
}

/* The mean's gradient, under the weights' names and in their shapes; with an adapter, of what is trained then. */
static fv_status save_gradient(scorer *c, fv_error *err) {
    const fv_slot *slot = c->s->slot;
    if (!c->counts->targets) return fv_fail(err, FV_BAD_DATA, "%s: no token of the file has loss_mask 1, so there is no gradient", c->o->grad);
    fv_tensor *tensors = calloc((size_t)slot->count, sizeof *tensors);
    if (!tensors) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", c->o->grad);
    size_t n = 0;
    for (int i = 0; i < slot->count; i++) {
        if (!slot->params[i].grad.data) continue;
        fv_view flat = fv_vec(slot->params[i].grad.data, fv_elements(slot->params[i].grad));
        slot->ops->scale(&slot->exec, flat, (float)(1.0 / (double)c->counts->targets));
        tensors[n++] = (fv_tensor){name_of(c, i), slot->params[i].grad};
    }
    fv_status status = fv_weights_save_from(c->o->grad, tensors, n, FV_F32, slot->ops, err);
    free(tensors);
    return status;
}

fv_status fv_score(fv_score_counts *counts, fv_session *s, const fv_dataset *data, const fv_score_options *options, fv_error *err) {
    memset(counts, 0, sizeof *counts);
    scorer c = {.s = s, .o = options, .counts = counts};
    int64_t rows = fv_dataset_count(data);
    if (options->dump) FV_TRY(fv_folder_make(options->dump, err));
    if (options->grad) {
        FV_TRY(fv_out_open(&c.out, options->grad, err)); /* it is written last: better to know now that it can't be */
        fv_out_abandon(c.out);
        fv_slot_zero_grad(s->slot);
    }
    FV_TRY(fv_out_open(&c.out, options->out, err));
    c.names = json_object();
    fv_progress *progress = options->quiet ? NULL : fv_progress_open(&(fv_progress_options){.label = "score", .unit = "row", .total = rows});
    fv_status status = fv_feed_open(&c.feed, s->model, data, s->pool, &(fv_feed_options){0}, err);
    if (status == FV_OK) status = run_all(&c, rows, progress, err);
    fv_progress_close(progress);
    fv_feed_close(c.feed);
    if (status == FV_OK && options->grad) status = save_gradient(&c, err);
    json_decref(c.names);
    counts->loss = counts->targets ? c.loss / (double)counts->targets : NAN;
    if (status == FV_OK) return fv_out_commit(c.out, err);
    fv_out_abandon(c.out);
    return status;
}
