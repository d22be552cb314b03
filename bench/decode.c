/* One answer alone, token by token: every step reads all of the decoder's weights once, so the memory's bandwidth is the limit. (Models whose weights fit
 * into a cache can be above it.) */
#include "bench/bench.h"

#include "core/progress.h"
#include "core/random.h"
#include "rl/engine.h"

#include <math.h>
#include <stdlib.h>

enum { PROMPT = 32, TOKENS = 64, TURNS = 5 };

/* Seconds a token. */
static fv_status write_answer(fv_engine *e, const fv_bench_rig *r, const uint8_t *banned, uint64_t key, double *seconds, fv_error *err) {
    fv_tree *t;
    int prompt, answer, count;
    fv_done done[1];
    FV_TRY(fv_tree_new(&t, r->model, err));
    fv_engine_begin(e, t);
    fv_status s = fv_tree_branch(t, -1, FV_BY_ENVIRONMENT, 1, 0, &prompt, err);
    for (int i = 0; i < PROMPT && s == FV_OK; i++) s = fv_tree_append(t, prompt, (int32_t)(fv_random_at(key, (uint64_t)i) % 200), 0, 0, err);
    if (s == FV_OK) s = fv_tree_branch(t, prompt, 0, 1, 0, &answer, err);
    if (s == FV_OK) s = fv_engine_ask(e, &(fv_ask){.segment = answer, .temperature = 1, .top_p = 1, .key = key, .max_new = TOKENS, .banned = banned}, err);
    if (s == FV_OK) s = fv_engine_step(e, done, 1, &count, err); /* the prompt */
    double start = fv_now();
    while (s == FV_OK && fv_engine_active(e)) s = fv_engine_step(e, done, 1, &count, err);
    *seconds = (fv_now() - start) / (TOKENS - 1);
    fv_tree_free(t);
    return s;
}

/* Bytes of weights that a token reads: the decoder's matrices, and the projection. */
static double weight_bytes(const fv_model *m) {
    const fv_text_config *c = &m->config.text;
    double layer = (double)c->hidden * c->head_dim * (2 * c->heads + 2 * c->kv_heads) + 3.0 * c->hidden * c->intermediate;
    return sizeof(float) * (c->layers * layer + (double)c->hidden * c->vocabulary);
}

static fv_status measure(fv_bench_rig *r, fv_engine *e, const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    double best = 1e9, seconds, bar = fv_bench_bandwidth(r->pool); /* best of each: what other processes take is not the program's */
    uint8_t *banned = calloc(1, (size_t)r->model->config.text.vocabulary);
    if (!banned) return fv_fail(err, FV_NO_MEMORY, "bench: out of memory");
    fv_status s = FV_OK;
    fv_model_banned(r->model, banned);
    for (int i = 0; i < r->model->config.eos_count; i++) banned[r->model->config.eos[i]] = 1;
    for (int i = 0; i <= TURNS && s == FV_OK; i++) {
        s = write_answer(e, r, banned, o->seed + (uint64_t)i, &seconds, err);
        if (s == FV_OK && i && seconds < best) best = seconds; /* the first one packs the weights */
    }
    free(banned);
    FV_TRY(s);
    bar = fmax(bar, fv_bench_bandwidth(r->pool));
    out->line(out->context, "decode one answer GB/s", weight_bytes(r->model) / best * 1e-9, bar * 1e-9);
    return FV_OK;
}

fv_status fv_bench_decode(const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    fv_bench_rig r;
    fv_engine *e = NULL;
    FV_TRY(fv_bench_open(&r, o, "mid", err));
    fv_status s = fv_engine_open(&e, r.model, r.slot, NULL, err);
    if (s == FV_OK) s = measure(&r, e, o, out, err);
    fv_engine_close(e);
    fv_bench_close(&r);
    return s;
}
