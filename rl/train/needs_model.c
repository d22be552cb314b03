#include "rl/train/needs_model.h"

#include "core/hollow.h"

#include <stdlib.h>
#include <string.h>

/* ---- Opening ---- */

static fv_status open_model(fv_needs_model *m, fv_error *err) {
    const fv_recipe *r = m->recipe;
    const char *path = fv_get_text(r->json, "model.path");
    m->made = path != NULL;
    if (!path && json_array_size(fv_get(r->json, "lora.modules_to_save")))
        return fv_fail(err, FV_UNSUPPORTED, "%s: what lora.modules_to_save takes of a model that is still to be made is not known", r->file);
    FV_TRY(path ? fv_model_open(&m->model, path, err) : fv_model_outline(&m->model, &m->shapes, fv_get_text(r->json, "model.init"), err));
    FV_TRY(fv_model_watch(m->model, fv_get(r->json, "image"), fv_get(r->json, "video"), err));
    return fv_train_adapt(m->model, r, err);
}

static fv_status without_values(fv_weight **out, const fv_model *m, fv_error *err) {
    *out = calloc((size_t)m->count + 1, sizeof **out);
    if (!*out) return fv_fail(err, FV_NO_MEMORY, "a list of weights: out of memory");
    for (int i = 0; i < m->count; i++) {
        (*out)[i] = m->weights[i];
        (*out)[i].view.data = NULL;
    }
    return FV_OK;
}

static fv_exec exec_of(const fv_needs_model *m) { return (fv_exec){m->pool, m->scratch}; }

static fv_status open_all(fv_needs_model *m, fv_error *err) {
    const json_t *r = m->recipe->json;
    const fv_ops *like;
    FV_TRY(fv_ops_find(&like, fv_get_text(r, "device"), fv_get_text(r, "precision"), err));
    fv_hollow_ops(&m->ops, like);
    FV_TRY(fv_pool_open(&m->pool, (int)fv_get_int(r, "threads"), err));
    m->scratch = fv_hollow_arena(FV_ARENA_SCRATCH);
    if (!m->scratch) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", m->recipe->file);
    FV_TRY(open_model(m, err));
    FV_TRY(without_values(&m->weights, m->model, err));
    return fv_train_policy(&m->policy, m->recipe, m->model, m->weights, &m->ops, exec_of(m), err);
}

fv_status fv_needs_open(fv_needs_model *m, const fv_recipe *recipe, fv_error *err) {
    *m = (fv_needs_model){.recipe = recipe};
    fv_status s = open_all(m, err);
    if (s != FV_OK) fv_needs_close(m);
    return s;
}

void fv_needs_close(fv_needs_model *m) {
    fv_slot_close(m->policy);
    free(m->weights);
    fv_model_close(m->model);
    fv_new_weights_clear(&m->shapes);
    fv_arena_free(m->scratch);
    fv_pool_close(m->pool);
    memset(m, 0, sizeof *m);
}

/* ---- Slots ---- */

/* A DoRA magnitude has its factors there (core/adapter.h). */
static double packed_bytes(const fv_slot *s, int i) {
    const fv_param *p = &s->params[i];
    bool borrowed = s->lender && i < s->lender->weights && p->packed == s->lender->params[i].packed;
    if (!p->packed || borrowed) return 0;
    return p->linear ? (double)s->ops->linear_packed_bytes(fv_weight_matrix(p->w)) : 2 * (double)fv_bytes(p->w);
}

static void add_slot(fv_needs_weights *w, const fv_slot *s) {
    for (int i = 0; i < s->count; i++) {
        const fv_param *p = &s->params[i];
        const fv_view state[] = {p->grad, p->m, p->v};
        w->held += packed_bytes(s, i);
        if (p->grad.data || s->ops->device != FV_CPU) w->held += (double)fv_bytes(p->w);
        for (size_t k = 0; k < FV_COUNT(state); k++)
            if (state[k].data) w->optimizer += (double)fv_bytes(state[k]);
    }
}

/* Of a slot on a device the host's file is not counted: it is read once, and the card has what is needed. F16 has an f32 copy of each of its tensors (core/weights.h:
 * fv_weights_widen). */
fv_needs_weights fv_needs_policy(const fv_needs_model *m) {
    fv_needs_weights w = {0};
    add_slot(&w, m->policy);
    bool offloads = m->ops.device != FV_CPU && fv_get_bool(m->recipe->json, "offload_optimizer");
    for (int i = 0; i < m->policy->count && offloads; i++) {
        const fv_param *p = &m->policy->params[i];
        w.offloaded += (p->m.data ? (double)fv_bytes(p->m) : 0) + (p->v.data ? (double)fv_bytes(p->v) : 0);
    }
    for (int i = 0; i < m->model->count && m->ops.device == FV_CPU; i++) {
        fv_view now = m->weights[i].view, stored = m->model->file ? fv_weights_stored(m->model->file, (size_t)i) : now;
        w.file += (double)fv_bytes(stored);
        if (stored.dtype != now.dtype) w.held += (double)fv_bytes(now);
        if (m->policy->params[i].grad.data) w.droppable += (double)fv_bytes(stored);
    }
    return w;
}

/* With an adapter it is the model without it, which lends its packed copies; else a file of its own, in f32. */
fv_status fv_needs_reference(const fv_needs_model *m, fv_needs_weights *out, fv_error *err) {
    *out = (fv_needs_weights){0};
    fv_slot_options o = {.name = "reference", .lender = m->policy};
    bool own = !m->model->lora;
    fv_weight *weights = m->weights;
    if (own) FV_TRY(without_values(&weights, m->model, err));
    static char elsewhere; /* an address that no weight of the policy has: nothing is lent */
    for (int i = 0; own && i < m->model->count; i++) {
        weights[i].view.dtype = FV_F32;
        weights[i].view.data = &elsewhere;
        if (m->ops.device == FV_CPU) out->file += (double)fv_bytes(weights[i].view);
    }
    out->droppable = out->file; /* products read the packed copies */
    fv_slot *s;
    fv_status status = fv_slot_open(&s, &m->ops, exec_of(m), weights, m->model->count, &o, err);
    if (own) free(weights);
    FV_TRY(status);
    add_slot(out, s);
    fv_slot_close(s);
    return FV_OK;
}

/* Matrices are all but some per cent of a model: packed copies count as once more the file. */
fv_status fv_needs_folder(const fv_needs_model *m, const char *folder, fv_needs_weights *out, fv_error *err) {
    fv_model *other;
    double all = 0, most = (double)fv_packed_most();
    FV_TRY(fv_model_open(&other, folder, err)); /* an adapter's folder is its model's, too */
    for (int i = 0; i < other->count; i++) all += (double)fv_bytes(other->weights[i].view);
    fv_model_close(other);
    if (m->ops.device == FV_CPU) *out = (fv_needs_weights){.file = all, .held = all < most ? all : most};
    else *out = (fv_needs_weights){.held = 2 * all};
    return FV_OK;
}

/* ---- Passes ---- */

/* One conversation of `rows` tokens. */
static fv_batch lay_out(fv_arena *a, int64_t rows) {
    int pages = (int)((rows + FV_PAGE - 1) / FV_PAGE);
    int32_t *zeros = FV_ZERO(a, int32_t, 3 * rows), *number = FV_TAKE(a, int32_t, rows + 1), *run = FV_ZERO(a, int32_t, 4), *next = FV_TAKE(a, int32_t, rows);
    for (int64_t r = 0; r <= rows; r++) number[r] = (int32_t)r;
    for (int64_t r = 0; r < rows; r++) next[r] = (int32_t)r + 1;
    run[1] = (int32_t)rows;
    run[3] = pages;
    return (fv_batch){.ids = fv_ints(zeros, rows),
                      .position = {.data = zeros, .dtype = FV_I32, .rank = 2, .shape = {3, rows}},
                      .plan = {.rows = (int)rows, .runs = 1, .run_row = run, .run_page = run + 2, .pages = number, .limit = next},
                      .kv_row = fv_ints(number, rows),
                      .kv_slot = fv_ints(number, rows),
                      .pages = pages};
}

static void show_pictures(fv_pass *p, const fv_model *m, const fv_needs_pass *pass, fv_batch *b, fv_tower_out *visual) {
    *visual = fv_tower_forward(p, m->tower, pass->pictures, pass->picture_count);
    int64_t tokens = fv_rows(visual->embeds->v);
    if (tokens > pass->rows) tokens = pass->rows;
    b->visual = visual;
    b->visual_row = b->visual_index = fv_ints(fv_i32(b->kv_row), tokens);
}

/* All log-probs but the first token's, whose place another's takes: as many targets as rows. */
static fv_var *score(fv_pass *p, const fv_model *m, fv_var *hidden, fv_batch *b) {
    int64_t rows = fv_rows(hidden->v);
    fv_view same = fv_ints(fv_i32(b->kv_row), rows), target = fv_ints(fv_i32(b->ids), rows), temperature = fv_vec(FV_ZERO(p->arena, float, rows), rows);
    return fv_logprob(p, fv_gather(p, hidden, same), fv_decoder_head(m->decoder), target, temperature).logp;
}

/* A processor's memory is what is written to; a card's all that is taken. */
static double taken(const fv_needs_model *m, const fv_arena *a) { return (double)(m->ops.device == FV_CPU ? fv_arena_peak(a) : fv_arena_held(a)); }

fv_status fv_needs_run(fv_needs_model *m, const fv_needs_pass *pass, double *bytes, fv_error *err) {
    fv_arena *a = fv_hollow_arena(FV_ARENA_PASS);
    if (!a) return fv_fail(err, FV_NO_MEMORY, "a pass to be measured: out of memory");
    fv_pass p = fv_pass_begin(m->policy, a, pass->train);
    p.checkpoint = pass->checkpoint;
    fv_batch b = lay_out(a, pass->rows);
    fv_tower_out visual;
    if (pass->wanted && pass->wanted < pass->rows) b.wanted = fv_ints(fv_i32(b.kv_row), pass->wanted);
    if (pass->picture_count && m->model->tower) show_pictures(&p, m->model, pass, &b, &visual);
    fv_var *logp = score(&p, m->model, fv_decoder_forward(&p, m->model->decoder, &b), &b);
    if (pass->train) {
        fv_stream(&p, logp, NULL); /* nothing is copied */
        fv_pass_back(&p);
    }
    *bytes = taken(m, a);
    fv_arena_free(a);
    return p.error.status == FV_OK ? FV_OK : fv_fail(err, p.error.status, "%s", p.error.text);
}

double fv_needs_scratch(fv_needs_model *m) {
    fv_slot_step(m->policy, &(fv_optim){.lr = 1, .clip = 1}, NULL);
    return taken(m, m->scratch);
}
