#include "core/slot.h"

#include "core/adapter.h"
#include "core/memory.h"
#include "core/muon.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights by name ---- */

static bool shape_fits(fv_view v, fv_weight_use use, int64_t n, int64_t k) {
    if (use == FV_AS_VECTOR) return v.rank == 1 && v.shape[0] == n;
    if (use == FV_AS_TABLE) return v.rank == 2 && v.shape[0] == n && v.shape[1] == k;
    return v.rank >= 2 && v.shape[0] == n && fv_elements(v) == n * k;
}

fv_status fv_weight_find(const fv_weight_list *list, int *out, fv_weight_use use, int64_t n, int64_t k, fv_error *err, const char *name, ...) {
    char full[256];
    int length = snprintf(full, sizeof full, "%s", list->prefix);
    va_list args;
    va_start(args, name);
    vsnprintf(full + length, sizeof full - (size_t)length, name, args);
    va_end(args);
    *out = -1;
    for (int i = 0; i < list->count && *out < 0; i++)
        if (!strcmp(list->weights[i].name, full)) *out = i;
    if (*out < 0) return fv_fail(err, FV_BAD_MODEL, "weights: no tensor %s", full);
    fv_weight *w = &list->weights[*out];
    char shape[96], want[64];
    fv_shape_text(w->view, shape);
    if (use == FV_AS_VECTOR) snprintf(want, sizeof want, "[%lld]", (long long)n);
    else snprintf(want, sizeof want, "[%lld, %lld]", (long long)n, (long long)k);
    if (!shape_fits(w->view, use, n, k))
        return fv_fail(err, FV_BAD_MODEL, "weights: %s must be %s as config.json has it, got %s", full, want, shape);
    if (w->view.dtype != FV_F32 && w->view.dtype != FV_BF16)
        return fv_fail(err, FV_UNSUPPORTED, "weights: %s must be F32 or BF16, got %s", full, fv_dtype_name(w->view.dtype));
    w->used = true;
    if (use == FV_AS_LINEAR) w->linear = true;
    return FV_OK;
}

const char *fv_weight_prefix(const fv_weight *weights, int count, const char *const *prefixes, int prefix_count) {
    for (int p = 0; p < prefix_count; p++)
        for (int i = 0; i < count; i++)
            if (!strncmp(weights[i].name, prefixes[p], strlen(prefixes[p]))) return prefixes[p];
    return NULL;
}

fv_view fv_weight_matrix(fv_view v) {
    if (v.rank <= 2) return v;
    v.shape[1] = fv_elements(v) / v.shape[0];
    v.rank = 2;
    return v;
}

/* ---- opening ---- */

/* '*' stands for any run of characters, dots included. */
static bool matches(const char *pattern, const char *name) {
    for (; *pattern; pattern++, name++) {
        if (*pattern == '*') {
            for (const char *rest = name;; rest++) {
                if (matches(pattern + 1, rest)) return true;
                if (!*rest) return false;
            }
        }
        if (*pattern != *name) return false;
    }
    return !*name;
}

/* "visual.*" freezes the tower in both layouts of a checkpoint: "visual.x" and "model.visual.x". */
static bool pattern_takes(const char *pattern, const char *name) {
    return matches(pattern, name) || (!strncmp(name, "model.", 6) && matches(pattern, name + 6));
}

static bool named(const char *const *patterns, int count, const char *name) {
    for (int i = 0; i < count; i++)
        if (pattern_takes(patterns[i], name)) return true;
    return false;
}

static fv_status check_patterns(const char *field, const char *const *patterns, int count, const fv_slot *s, fv_error *err) {
    for (int i = 0; i < count; i++) {
        bool used = false;
        for (int w = 0; w < s->weights && !used; w++) used = pattern_takes(patterns[i], s->params[w].name);
        if (!used)
            return fv_fail(err, FV_BAD_RECIPE, "%s: %s matches no weight; names look like %s ('*' stands for anything)", field, patterns[i],
                           s->weights ? s->params[0].name : "(none)");
    }
    return FV_OK;
}

static fv_status make_buffer(const fv_ops *ops, fv_view *out, fv_view like, bool host, fv_error *err) {
    *out = like;
    out->dtype = FV_F32;
    out->device = ops->device;
    out->data = NULL;
    return (host ? ops->alloc_host : ops->alloc)(&out->data, fv_bytes(*out), err);
}

static fv_status make_master(fv_slot *s, fv_param *p, fv_view stored, const fv_slot_options *o, fv_error *err) {
    p->w.data = NULL; /* the slot's from here on: closing after a failure must not free the model's */
    FV_TRY(make_buffer(s->ops, &p->grad, stored, false, err));
    if (!o->no_optimizer) FV_TRY(make_buffer(s->ops, &p->m, stored, o->offload, err));
    if (!o->no_optimizer && !p->muon) FV_TRY(make_buffer(s->ops, &p->v, stored, o->offload, err));
    FV_TRY(make_buffer(s->ops, &p->w, stored, false, err));
    enum { PIECE = 4096 };
    float piece[PIECE];
    int64_t n = fv_elements(stored);
    for (int64_t i = 0; i < n && stored.data; i += PIECE) { /* no values: of a model that is only reckoned with (core/hollow.h) */
        int64_t part = n - i < PIECE ? n - i : PIECE;
        fv_to_f32(piece, (const char *)stored.data + (size_t)i * fv_dtype_size(stored.dtype), stored.dtype, part);
        s->ops->upload(fv_f32(p->w) + i, piece, (size_t)part * sizeof *piece);
    }
    return FV_OK;
}

int64_t fv_packed_most(void) { return fv_memory_limit() / 2; }

/* A weight that is trained has a copy of its master in any case: it is read many times a step. Devices want them all. */
static fv_status open_packed(fv_slot *s, fv_param *p, fv_error *err) {
    int64_t bytes = (int64_t)s->ops->linear_packed_bytes(fv_weight_matrix(p->w));
    if (!p->grad.data && bytes > s->room && s->ops->device == FV_CPU) return FV_OK;
    if (!p->grad.data) s->room -= bytes;
    p->stale = true;
    return s->ops->alloc(&p->packed, (size_t)bytes, err);
}

/* A weight that stays as it is: the model's own memory where operations can read it, else a copy in theirs. */
static fv_status make_frozen(const fv_slot *s, fv_param *p, fv_error *err) {
    fv_view stored = p->w;
    if (s->ops->device == FV_CPU) return FV_OK;
    p->w.device = s->ops->device;
    p->w.data = NULL;
    FV_TRY(s->ops->alloc(&p->w.data, fv_bytes(stored), err));
    s->ops->upload(p->w.data, stored.data, fv_bytes(stored));
    return FV_OK;
}

/* `owner` is the weight of the model whose name patterns are about. */
static fv_status open_param(fv_slot *s, fv_param *p, const fv_weight *w, const char *owner, bool train, const fv_slot_options *o, fv_error *err) {
    p->name = w->name;
    p->w = w->view;
    p->muon = w->view.rank == 2 && named(o->muon, o->muon_count, owner);
    if (train && !named(o->freeze, o->freeze_count, owner)) FV_TRY(make_master(s, p, w->view, o, err));
    else FV_TRY(make_frozen(s, p, err));
    p->linear = w->linear;
    if (!w->linear) return FV_OK;
    int i = (int)(p - s->params);
    if (s->lender && i < s->lender->weights && s->lender->params[i].w.data == p->w.data) {
        p->packed = s->lender->params[i].packed;
        return FV_OK;
    }
    return open_packed(s, p, err);
}

/* With an adapter, only what it brings whole is trained of the model's weights. */
static fv_status open_weight(fv_slot *s, int i, const fv_weight *weights, const fv_slot_options *o, fv_error *err) {
    fv_weight w = weights[i];
    bool train = o->train && !o->adapter;
    for (int k = 0; o->adapter && k < o->adapter->whole_count; k++) {
        if (o->adapter->wholes[k].weight != i) continue;
        w.view = o->adapter->wholes[k].own.view;
        train = o->train;
    }
    return open_param(s, &s->params[i], &w, w.name, train, o, err);
}

static fv_status open_part(fv_slot *s, fv_adapted *d, int first, const fv_adapter_part *part, const fv_slot_options *o, fv_error *err) {
    fv_weight a = part->a, b = part->b;
    fv_param *owner = &s->params[part->weight];
    bool dora = part->magnitude.name != NULL;
    *d = (fv_adapted){.a = first, .b = first + 1, .magnitude = dora ? first + 2 : -1, .scale = part->scale};
    owner->adapted = d;
    a.linear = b.linear = true;
    FV_TRY(open_param(s, &s->params[d->a], &a, owner->name, o->train, o, err));
    FV_TRY(open_param(s, &s->params[d->b], &b, owner->name, o->train, o, err));
    if (!dora) return FV_OK;
    fv_param *m = &s->params[d->magnitude];
    FV_TRY(open_param(s, m, &part->magnitude, owner->name, o->train, o, err));
    m->stale = true;
    return s->ops->alloc(&m->packed, 2 * fv_bytes(m->w), err);
}

static fv_status open_parts(fv_slot *s, const fv_slot_options *o, fv_error *err) {
    for (int i = 0, first = s->weights; o->adapter && i < o->adapter->part_count; i++) {
        const fv_adapter_part *part = &o->adapter->parts[i];
        if (open_part(s, &s->adapted[i], first, part, o, err) != FV_OK) return fv_fail_in(err, "%s", part->a.name);
        first += part->magnitude.name ? 3 : 2;
    }
    return FV_OK;
}

/* Patterns are about the model's weights: a head is always trained, by AdamW. */
static fv_status open_head(fv_slot *s, const fv_slot_options *options, fv_error *err) {
    if (!options->head) return FV_OK;
    fv_slot_options o = *options;
    fv_weight weight = o.head->weight;
    o.freeze_count = o.muon_count = 0;
    weight.linear = true;
    s->head = s->count - 2;
    FV_TRY(open_param(s, &s->params[s->head], &weight, weight.name, true, &o, err));
    return open_param(s, &s->params[s->head + 1], &o.head->bias, o.head->bias.name, true, &o, err);
}

static int count_parameters(const fv_adapter *a) {
    int n = 0;
    for (int i = 0; a && i < a->part_count; i++) n += a->parts[i].magnitude.name ? 3 : 2;
    return n;
}

/* Something is to be trained that `freeze` leaves, beside a value head. */
static fv_status check_left(const fv_slot *s, fv_error *err) {
    int count = s->head < 0 ? s->count : s->head;
    for (int i = 0; i < count; i++)
        if (fv_learns(&s->params[i])) return FV_OK;
    return fv_fail(err, FV_BAD_RECIPE, "freeze: all weights%s are frozen, nothing is left to train", count > s->weights ? " that the adapter changes" : "");
}

fv_status fv_slot_hold(fv_slot *s, const char *const *patterns, int count, fv_error *err) {
    FV_TRY(check_patterns("freeze", patterns, count, s, err));
    for (int i = 0; i < s->weights; i++) {
        fv_param *p = &s->params[i];
        const fv_adapted *d = p->adapted;
        p->held = named(patterns, count, p->name);
        if (d) s->params[d->a].held = s->params[d->b].held = p->held;
        if (d && d->magnitude >= 0) s->params[d->magnitude].held = p->held;
    }
    return check_left(s, err);
}

fv_status fv_slot_open(fv_slot **out, const fv_ops *ops, fv_exec exec, const fv_weight *weights, int count, const fv_slot_options *options, fv_error *err) {
    *out = NULL;
    int all = count + count_parameters(options->adapter) + (options->head ? 2 : 0), parts = options->adapter ? options->adapter->part_count : 0;
    fv_slot *s = calloc(1, sizeof *s);
    fv_param *params = calloc((size_t)all + 1, sizeof *params);
    fv_adapted *adapted = calloc((size_t)parts + 1, sizeof *adapted);
    if (!s || !params || !adapted) {
        free(s);
        free(params);
        free(adapted);
        return fv_fail(err, FV_NO_MEMORY, "slot %s: out of memory", options->name);
    }
    *s = (fv_slot){.name = options->name, .ops = ops, .exec = exec, .params = params, .count = all, .weights = count, .head = -1, .adapted = adapted, .lender = options->lender,
                   .room = options->packed_most > 0 ? options->packed_most : fv_packed_most()};
    for (int i = 0; i < count; i++) params[i].name = weights[i].name;
    fv_status status = check_patterns("freeze", options->freeze, options->freeze_count, s, err);
    if (status == FV_OK) status = check_patterns("muon", options->muon, options->muon_count, s, err);
    for (int i = 0; i < count && status == FV_OK; i++) {
        status = open_weight(s, i, weights, options, err);
        if (status != FV_OK) fv_fail_in(err, "%s", weights[i].name);
    }
    if (status == FV_OK) status = open_parts(s, options, err);
    if (status == FV_OK) status = open_head(s, options, err);
    if (status == FV_OK && options->train && options->freeze_count) status = check_left(s, err);
    if (status != FV_OK) {
        fv_fail_in(err, "slot %s", options->name);
        fv_slot_close(s);
        return status;
    }
    *out = s;
    return FV_OK;
}

static bool borrowed(const fv_slot *s, int i) { return s->lender && i < s->lender->weights && s->params[i].packed == s->lender->params[i].packed; }

void fv_slot_close(fv_slot *s) {
    if (!s) return;
    for (int i = 0; i < s->count; i++) {
        fv_param *p = &s->params[i];
        if (p->grad.data || s->ops->device != FV_CPU) s->ops->free(p->w.data); /* a master, or a copy on the device */
        s->ops->free(p->grad.data);
        s->ops->free(p->m.data);
        s->ops->free(p->v.data);
        if (!borrowed(s, i)) s->ops->free(p->packed);
    }
    free(s->adapted);
    free(s->params);
    free(s);
}

/* ---- use ---- */

const void *fv_slot_packed(fv_slot *s, int weight) {
    if (borrowed(s, weight)) return fv_slot_packed(s->lender, weight);
    fv_param *p = &s->params[weight];
    if (p->stale && p->packed) s->ops->linear_pack(&s->exec, p->packed, fv_weight_matrix(p->w));
    p->stale = false;
    return p->packed;
}

static void weights_changed(fv_slot *s) {
    s->version++;
    for (int i = 0; i < s->count; i++)
        if (s->params[i].grad.data && s->params[i].packed) s->params[i].stale = true;
}

void fv_slot_zero_grad(fv_slot *s) {
    for (int i = 0; i < s->count; i++)
        if (s->params[i].grad.data) s->ops->clear(&s->exec, s->params[i].grad.data, fv_bytes(s->params[i].grad));
}

double fv_slot_grad_norm(const fv_slot *s) {
    double sum = 0;
    for (int i = 0; i < s->count; i++)
        if (fv_learns(&s->params[i])) sum += s->ops->dot(&s->exec, s->params[i].grad, s->params[i].grad);
    return sqrt(sum);
}

void fv_slot_step(fv_slot *s, const fv_optim *how, double *norm) {
    double length = how->clip > 0 || norm ? fv_slot_grad_norm(s) : 0;
    if (norm) *norm = length;
    fv_adamw adamw = {.lr = how->lr, .beta1 = how->beta1, .beta2 = how->beta2, .eps = how->eps, .grad_scale = 1};
    s->steps++;
    if (how->clip > 0 && length > how->clip) adamw.grad_scale = (float)(how->clip / length);
    for (int i = 0; i < s->count; i++) {
        fv_param *p = &s->params[i];
        p->missed += p->held;
        if (!fv_learns(p)) continue;
        if (p->muon) {
            fv_muon muon = {how->muon_rate > 0 ? how->lr * how->muon_rate : how->lr, how->weight_decay, adamw.grad_scale};
            fv_muon_step(s->ops, &s->exec, p->w, p->m, p->grad, &muon);
            continue;
        }
        adamw.step = s->steps - p->missed;
        adamw.weight_decay = p->w.rank >= 2 ? how->weight_decay : 0;
        s->ops->adamw(&s->exec, p->w, p->m, p->v, p->grad, fv_none, &adamw);
    }
    weights_changed(s);
}

int64_t fv_slot_trained(const fv_slot *s) {
    int64_t n = 0;
    for (int i = 0; i < s->count; i++)
        if (s->params[i].grad.data) n += fv_elements(s->params[i].w);
    return n;
}

void fv_slot_snapshot(const fv_slot *s, float *out) {
    for (int i = 0; i < s->count; i++) {
        const fv_param *p = &s->params[i];
        if (!p->grad.data) continue;
        s->ops->download(out, p->w.data, fv_bytes(p->w));
        out += fv_elements(p->w);
    }
}

void fv_slot_restore(fv_slot *s, const float *in) {
    for (int i = 0; i < s->count; i++) {
        const fv_param *p = &s->params[i];
        if (!p->grad.data) continue;
        s->ops->upload(p->w.data, in, fv_bytes(p->w));
        in += fv_elements(p->w);
    }
    weights_changed(s);
}
