/* One step of supervised training with pictures: forward, backward, AdamW over 8 conversations of one picture of 224 x 224 and an answer of 64 tokens each. Once all prompts differ, once
 * four answers share one, which is what a tree has to gain from. */
#include "bench/bench.h"

#include "core/progress.h"
#include "core/random.h"
#include "rl/train/feed.h"

enum { BATCH = 8, SHARING = 4, NEW = 64, TURNS = 5, MOST = 100 };

typedef struct {
    fv_bench_rig rig;
    fv_prompt prompts[BATCH];
    fv_tree *tree;
    int leaves[BATCH], prompt_count;
    int64_t rows; /* of a pass */
} work;

static void close_batch(work *w) {
    for (int i = 0; i < w->prompt_count; i++) fv_prompt_clear(&w->prompts[i]);
    fv_tree_free(w->tree);
    w->tree = NULL;
    w->prompt_count = 0;
}

static fv_status show(fv_prompt *out, const fv_model *m, uint64_t seed, fv_error *err) {
    fv_image *picture;
    FV_TRY(fv_bench_picture(&picture, seed, err));
    fv_status s = fv_bench_prompt(out, m, picture, err);
    fv_image_free(picture);
    return s;
}

/* `sharing` answers to each prompt. */
static fv_status make_batch(work *w, int sharing, fv_error *err) {
    FV_TRY(fv_tree_new(&w->tree, w->rig.model, err));
    int prompt = -1;
    for (int k = 0; k < BATCH; k++) {
        if (k % sharing == 0) {
            FV_TRY(show(&w->prompts[w->prompt_count], w->rig.model, (uint64_t)k, err));
            FV_TRY(fv_tree_plant(w->tree, w->rig.model, &w->prompts[w->prompt_count++], &prompt, err));
        }
        FV_TRY(fv_tree_branch(w->tree, prompt, 0, 1, 0, &w->leaves[k], err));
        for (int i = 0; i < NEW; i++) FV_TRY(fv_tree_append(w->tree, w->leaves[k], (int32_t)(fv_random_at(2, (uint64_t)(k * NEW + i)) % 200), 0, 0, err));
    }
    return FV_OK;
}

static fv_status train(work *w, fv_error *err) {
    fv_bench_rig *r = &w->rig;
    double norm;
    fv_slot_zero_grad(r->slot);
    FV_TRY(fv_bench_learn(r, w->tree, w->leaves, BATCH, &w->rows, err));
    fv_slot_step(r->slot, &(fv_optim){.lr = 1e-6f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .clip = 1}, &norm);
    return r->ops->check(err);
}

/* Median seconds of a step. */
static fv_status time_steps(work *w, int sharing, int turns, double *seconds, fv_error *err) {
    double times[MOST];
    fv_status s = make_batch(w, sharing, err);
    for (int i = -2; i < turns && s == FV_OK; i++) { /* the first two are not counted */
        double start = fv_now();
        s = train(w, err);
        if (i >= 0) times[i] = fv_now() - start;
    }
    close_batch(w);
    *seconds = s == FV_OK ? fv_bench_median(times, turns) : 0;
    return s;
}

/* Three times forward's through the decoder's matrices, and through the projection; the tower and attention are left out. */
static double operations(const work *w) { return 6 * ((double)w->rows * fv_bench_body(w->rig.model) + (double)BATCH * NEW * fv_bench_head(w->rig.model)); }

static fv_status measure(work *w, const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    int turns = !o->steps ? TURNS : o->steps < MOST ? o->steps : MOST;
    double apart, shared;
    FV_TRY(time_steps(w, 1, turns, &apart, err));
    double work_apart = operations(w), fma = fv_bench_fma(w->rig.ops, w->rig.slot->exec);
    FV_TRY(time_steps(w, SHARING, turns, &shared, err));
    json_object_set_new(out->facts, "seconds", json_pack("{s: f, s: f}", "apart", apart, "shared", shared));
    json_object_set_new(out->facts, "answer_tokens", json_integer(BATCH * NEW));
    out->line(out->context, "sft step GFLOP/s", work_apart / apart * 1e-9, fma * 1e-9);
    out->line(out->context, "sft answer tokens/s, four a prompt against one", BATCH * NEW / shared, BATCH * NEW / apart);
    return FV_OK;
}

fv_status fv_bench_sft(const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    work w = {0};
    fv_status s = fv_bench_open(&w.rig, o, "tiny", true, err);
    if (s == FV_OK) s = fv_bench_wants_tower(w.rig.model, err);
    if (s == FV_OK) s = measure(&w, o, out, err);
    close_batch(&w);
    fv_bench_close(&w.rig);
    return s;
}
