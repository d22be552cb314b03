#include "rl/session.h"

#include <string.h>

static fv_status open_all(fv_session *s, const fv_session_options *o, fv_error *err) {
    FV_TRY(fv_ops_find(&s->ops, o->device ? o->device : "cpu", o->precision, err));
    FV_TRY(fv_model_open(&s->model, o->model, err));
    if (o->adapter) FV_TRY(fv_model_adapt(s->model, o->adapter, err));
    FV_TRY(fv_model_watch(s->model, o->image, o->video, err));
    if (o->note && s->model->note[0]) o->note(o->model, s->model->note);
    FV_TRY(fv_pool_open(&s->pool, o->threads, err));
    FV_TRY(fv_jobs_open(&s->tools, fv_pool_threads(s->pool), err));
    s->scratch = fv_ops_arena(s->ops, FV_ARENA_SCRATCH);
    s->arena = fv_ops_arena(s->ops, FV_ARENA_SCRATCH);
    if (!s->scratch || !s->arena) return fv_fail(err, FV_NO_MEMORY, "%s: out of memory", o->model);
    fv_slot_options how = {.name = "policy", .train = o->gradients, .no_optimizer = true, .adapter = fv_model_adapter(s->model)};
    return fv_slot_open(&s->slot, s->ops, (fv_exec){s->pool, s->scratch}, s->model->weights, s->model->count, &how, err);
}

fv_status fv_session_open(fv_session *out, const fv_session_options *options, fv_error *err) {
    memset(out, 0, sizeof *out);
    fv_status s = open_all(out, options, err);
    if (s != FV_OK) fv_session_close(out);
    return s;
}

void fv_session_close(fv_session *s) {
    fv_slot_close(s->slot);
    fv_jobs_close(s->tools);
    fv_pool_close(s->pool);
    fv_model_close(s->model);
    fv_arena_free(s->arena);
    fv_arena_free(s->scratch);
    memset(s, 0, sizeof *s);
}
