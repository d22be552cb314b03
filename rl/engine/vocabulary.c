#include "rl/engine/vocabulary.h"

#include "rl/train/train.h"

#include <stdlib.h>
#include <string.h>

static const size_t usual_room = (size_t)64 << 20;

/* A group's tokens in the order in which they are visited: by position, then by answer. */
typedef struct {
    const fv_vocabulary_source *from;
    const fv_grpo_batch *batch;
    const fv_pipeline *pipeline;
    const fv_moment *when;
    int *who;            /* [answers] the sound ones, as responses of the batch */
    int answers, positions, rows;
    int *first;          /* [positions + 1] the first row of a position */
    int *row;            /* [rows] of the visit, by answer and then by its token: base[a] + token */
    int *base;           /* [answers] */
    int32_t *target;     /* [rows] */
    float *temperature;  /* [rows] */
    fv_view hidden;      /* [rows, width] on the device */
    double *room;        /* [rows held][vocabulary] whole log-probs of rows from `held` on */
    const double **list; /* [threads][answers] scratch */
    int held, at;        /* rows and positions begin there */
    int vocabulary;
    double *noted;       /* [positions] */
} visit;

static int tokens_of(const visit *v, int a) { return v->batch->response_tokens[v->who[a]]; }

/* ---- Which rows there are ---- */

static fv_status number_rows(visit *v, int prompt, const fv_group *g, fv_error *err) {
    const fv_grpo_batch *b = v->batch;
    v->who = malloc((size_t)b->group_size * sizeof *v->who);
    v->base = malloc((size_t)b->group_size * sizeof *v->base);
    if (!v->who || !v->base) return fv_fail(err, FV_NO_MEMORY, "rows of log-probs: out of memory");
    for (int k = 0; k < b->group_size; k++) {
        int i = prompt * b->group_size + k;
        if (g->items[k].error[0] || !b->response_tokens[i]) continue;
        v->who[v->answers] = i;
        v->base[v->answers++] = v->rows;
        v->rows += b->response_tokens[i];
        if (b->response_tokens[i] > v->positions) v->positions = b->response_tokens[i];
    }
    size_t n = (size_t)v->rows + 1;
    v->first = malloc(((size_t)v->positions + 1) * sizeof *v->first);
    v->row = malloc(n * sizeof *v->row);
    v->target = malloc(n * sizeof *v->target);
    v->temperature = malloc(n * sizeof *v->temperature);
    if (!v->first || !v->row || !v->target || !v->temperature) return fv_fail(err, FV_NO_MEMORY, "rows of log-probs: out of memory");
    int at = 0;
    for (int t = 0; t < v->positions; t++) {
        v->first[t] = at;
        for (int a = 0; a < v->answers; a++)
            if (t < tokens_of(v, a)) v->row[v->base[a] + t] = at++;
    }
    v->first[v->positions] = at;
    return FV_OK;
}

/* ---- Hidden states ---- */

static int answer_of(const visit *v, int response) {
    int a = 0;
    while (v->who[a] != response) a++;
    return a;
}

/* One pass over the paths to some answers: the hidden states that predict their tokens go to these tokens' rows. */
static fv_status run_pass(visit *v, const int *leaves, int count, fv_error *err) {
    const fv_vocabulary_source *from = v->from;
    const fv_grpo_batch *b = v->batch;
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(from->slot, from->arena, false);
    FV_TRY(fv_pack_make_scored(&pack, b->rollout.tree, leaves, count, from->model->image.merge, from->arena, err));
    if (from->engine) fv_engine_replay(from->engine, &pack, from->arena);
    fv_pack_targets(&targets, &pack, true, 0, from->arena);
    fv_var *rows = fv_gather(&pass, fv_pack_forward(&pass, from->model, &pack, NULL), fv_ints(targets.source, targets.count));
    int32_t *to = FV_TAKE(from->arena, int32_t, targets.count + 1);
    for (int i = 0; i < targets.count; i++) {
        int response = b->response_of[targets.segment[i]], token = b->offset_of[targets.segment[i]] + targets.index[i];
        to[i] = v->row[v->base[answer_of(v, response)] + token];
        v->target[to[i]] = targets.target[i];
        v->temperature[to[i]] = targets.temperature[i];
    }
    if (pass.error.status == FV_OK) from->slot->ops->scatter(&from->slot->exec, v->hidden, rows->v, fv_ints(to, targets.count));
    fv_arena_reset(from->arena);
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "rows of log-probs: %s", pass.error.text);
}

static fv_status run_passes(visit *v, fv_error *err) {
    const fv_tree *tree = v->batch->rollout.tree;
    int *leaves = malloc((size_t)v->answers * sizeof *leaves);
    if (!leaves) return fv_fail(err, FV_NO_MEMORY, "rows of log-probs: out of memory");
    for (int a = 0; a < v->answers; a++) {
        const fv_trajectory *t = &v->batch->rollout.trajectories[v->who[a]];
        leaves[a] = t->turns[t->turn_count - 1].segment;
    }
    fv_status s = FV_OK;
    for (int at = 0; at < v->answers && s == FV_OK;) {
        int some = fv_train_micro(tree, leaves, v->answers, at, v->from->micro_tokens);
        s = run_pass(v, leaves + at, some, err);
        at += some;
    }
    free(leaves);
    return s;
}

/* ---- Rows ---- */

static void keep_block(void *context, int64_t row, int64_t rows, int64_t col, int64_t cols, const float *logp) {
    visit *v = context;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) v->room[(row + r) * v->vocabulary + col + c] = (double)logp[r * cols + c];
}

static void look(void *context, int64_t begin, int64_t end, int worker) {
    visit *v = context;
    const double **list = v->list + (size_t)worker * (size_t)v->answers;
    for (int64_t k = begin; k < end; k++) {
        int t = v->at + (int)k;
        for (int a = 0; a < v->answers; a++)
            list[a] = t < tokens_of(v, a) ? v->room + (size_t)(v->row[v->base[a] + t] - v->held) * (size_t)v->vocabulary : NULL;
        v->noted[t] = fv_pipeline_visit(v->pipeline, list, v->answers, v->vocabulary, v->when);
    }
}

/* How many positions from `at` on are held at once. */
static int some_positions(const visit *v, int at, int most) {
    int n = 1;
    while (at + n < v->positions && v->first[at + n + 1] - v->first[at] <= most) n++;
    return n;
}

/* Visits all positions, as many at once as there is room for. The largest number of rows decides how much room: one position has at most `answers`. */
static fv_status look_at_all(visit *v, fv_error *err) {
    const fv_exec *x = &v->from->slot->exec;
    const fv_ops *ops = v->from->slot->ops;
    size_t room = v->from->room ? v->from->room : usual_room;
    int head = fv_decoder_head(v->from->model->decoder), most = (int)(room / ((size_t)v->vocabulary * sizeof(double)));
    if (most < v->answers) most = v->answers;
    if (most > v->rows) most = v->rows;
    v->room = malloc((size_t)most * (size_t)v->vocabulary * sizeof *v->room);
    v->list = malloc((size_t)fv_pool_threads(x->pool) * (size_t)v->answers * sizeof *v->list);
    if (!v->room || !v->list) return fv_fail(err, FV_NO_MEMORY, "rows of log-probs: out of memory");
    fv_head projection = {v->from->slot->params[head].w, fv_slot_packed(v->from->slot, head)};
    fv_view temperature = fv_vec(v->temperature, v->rows), lse = fv_mat(FV_NUMBERS(v->from->arena, 2 * v->rows), v->rows, 2);
    ops->logprob(x, fv_vec(FV_NUMBERS(v->from->arena, v->rows), v->rows), (fv_view){0}, lse, v->hidden, projection, fv_ints(v->target, v->rows), temperature);
    for (int n; v->at < v->positions; v->at += n) {
        n = some_positions(v, v->at, most);
        v->held = v->first[v->at];
        int rows = v->first[v->at + n] - v->held;
        ops->vocabulary(x, fv_slice(lse, v->held, rows), fv_slice(v->hidden, v->held, rows), projection, fv_slice(temperature, v->held, rows), keep_block, v);
        fv_parallel(x->pool, n, 1, look, v);
    }
    fv_arena_reset(v->from->arena);
    return FV_OK;
}

fv_status fv_vocabulary_visit_group(const fv_vocabulary_source *from, fv_grpo_batch *b, int prompt, fv_group *g, const fv_pipeline *p, const fv_moment *when, fv_error *err) {
    const fv_ops *ops = from->slot->ops;
    visit v = {.from = from, .batch = b, .pipeline = p, .when = when, .vocabulary = from->model->config.text.vocabulary, .noted = b->noted + (size_t)prompt * (size_t)b->longest};
    int width = from->model->config.text.hidden;
    void *hidden = NULL;
    fv_status s = number_rows(&v, prompt, g, err);
    if (s == FV_OK && v.rows) {
        s = ops->alloc(&hidden, (size_t)v.rows * (size_t)width * sizeof(float), err);
        v.hidden = fv_mat(hidden, v.rows, width);
        if (s == FV_OK) s = run_passes(&v, err);
        if (s == FV_OK) s = look_at_all(&v, err);
    }
    if (hidden) ops->free(hidden);
    for (int a = 0; a < v.answers && s == FV_OK; a++) g->items[v.who[a] - prompt * b->group_size].noted = v.noted;
    free(v.who);
    free(v.first);
    free(v.row);
    free(v.base);
    free(v.target);
    free(v.temperature);
    free(v.room);
    free(v.list);
    return s;
}
