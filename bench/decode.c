/* Reading and writing. A prompt alone: arithmetic is the limit. One answer alone, token by token: every step reads all of the decoder's weights once, so the memory's bandwidth is the limit. Eight
 * answers beside each other (on a card 64) read them once for all. (Models whose weights fit into a cache can be above it.) */
#include "bench/bench.h"

#include "core/progress.h"
#include "core/random.h"
#include "rl/engine/engine.h"

#include <math.h>
#include <stdio.h>

enum { READ = 512, PROMPT = 32, TOKENS = 64, MANY = 8, MANY_ON_CARD = 64, TURNS = 5 };

/* Seconds that `answers` prompts of `length` tokens take with the first token of each answer, and that each further token of all of them takes (0: `tokens` is 1). */
static fv_status write_answers(fv_engine *e, const fv_bench_rig *r, int answers, int length, int tokens, uint64_t key, double *read, double *each, fv_error *err) {
    fv_tree *t;
    int count;
    fv_done done[MANY_ON_CARD];
    FV_TRY(fv_tree_new(&t, r->model, err));
    fv_engine_begin(e, t);
    fv_status s = FV_OK;
    for (int a = 0; a < answers && s == FV_OK; a++) {
        int prompt, answer;
        s = fv_tree_branch(t, -1, FV_BY_ENVIRONMENT, 1, 0, &prompt, err);
        for (int i = 0; i < length && s == FV_OK; i++) s = fv_tree_append(t, prompt, (int32_t)(fv_random_at(key, (uint64_t)(a * length + i)) % 200), 0, 0, err);
        if (s == FV_OK) s = fv_tree_branch(t, prompt, 0, 1, 0, &answer, err);
        if (s == FV_OK) s = fv_engine_ask(e, &(fv_ask){.segment = answer, .temperature = 1, .top_p = 1, .key = key + (uint64_t)a, .max_new = tokens}, err);
    }
    double start = fv_now();
    if (s == FV_OK) s = fv_engine_step(e, done, MANY_ON_CARD, &count, err);
    double middle = fv_now();
    while (s == FV_OK && fv_engine_active(e)) s = fv_engine_step(e, done, MANY_ON_CARD, &count, err);
    *read = middle - start;
    *each = tokens > 1 ? (fv_now() - middle) / (tokens - 1) : 0;
    fv_tree_free(t);
    return s;
}

/* Bytes of weights that a token reads: the decoder's matrices, and the projection, as they are packed. */
static double weight_bytes(const fv_bench_rig *r) {
    fv_view head = fv_weight_matrix(r->slot->params[fv_decoder_head(r->model->decoder)].w);
    double each = (double)r->ops->linear_packed_bytes(head) / (double)fv_elements(head);
    return each * (fv_bench_body(r->model) + fv_bench_head(r->model));
}

/* The best of each: what other processes take is not the program's. */
static fv_status best_of(fv_engine *e, const fv_bench_rig *r, const fv_bench_options *o, int answers, int length, int tokens, double *read, double *each, fv_error *err) {
    int turns = o->steps ? o->steps : TURNS;
    *read = *each = 1e9;
    for (int i = 0; i <= turns; i++) { /* the first one packs the weights */
        double reading, writing;
        FV_TRY(write_answers(e, r, answers, length, tokens, o->seed + (uint64_t)(1000 * i), &reading, &writing, err));
        if (i && reading < *read) *read = reading;
        if (i && writing < *each) *each = writing;
    }
    return FV_OK;
}

static fv_status measure(fv_bench_rig *r, fv_engine *e, const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    bool card = r->ops->device != FV_CPU;
    int answers = card ? MANY_ON_CARD : MANY;
    const char *many_word = card ? "64" : "eight";
    char what[64];
    double prompt, one, many, unused, bytes = weight_bytes(r), fma = fv_bench_fma(r->ops, r->slot->exec), bandwidth = fv_bench_bandwidth(r->ops, r->slot->exec);
    FV_TRY(best_of(e, r, o, 1, READ, 1, &prompt, &unused, err));
    FV_TRY(best_of(e, r, o, 1, PROMPT, TOKENS, &unused, &one, err));
    FV_TRY(best_of(e, r, o, answers, PROMPT, TOKENS, &unused, &many, err));
    bandwidth = fmax(bandwidth, fv_bench_bandwidth(r->ops, r->slot->exec));
    json_object_set_new(out->facts, "tokens_per_s", json_pack("{s: f, s: f, s: f}", "prompt", READ / prompt, "one", 1 / one, many_word, answers / many));
    out->line(out->context, "prompt of 512 tokens GFLOP/s", 2 * (READ * fv_bench_body(r->model) + fv_bench_head(r->model)) / prompt * 1e-9, fma * 1e-9);
    out->line(out->context, "decode one answer GB/s", bytes / one * 1e-9, bandwidth * 1e-9);
    snprintf(what, sizeof what, "decode %s answers GB/s", many_word);
    out->line(out->context, what, bytes / many * 1e-9, bandwidth * 1e-9);
    return FV_OK;
}

fv_status fv_bench_decode(const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    fv_bench_rig r;
    fv_engine *e = NULL;
    FV_TRY(fv_bench_open(&r, o, "mid", false, err));
    fv_status s = fv_engine_open(&e, r.model, r.slot, &(fv_engine_options){.ignore_eos = true}, err);
    if (s == FV_OK) s = measure(&r, e, o, out, err);
    fv_engine_close(e);
    fv_bench_close(&r);
    return s;
}
