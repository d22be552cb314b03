/* What sharing is worth: forward and backward of one group of 8 answers, over the tree (the prompt once) and as 8 conversations one by one. The prompt is four
 * times as long as an answer. */
#include "bench/bench.h"

#include "core/progress.h"
#include "core/random.h"

enum { GROUP = 8, ANSWER = 64, PROMPT = 4 * ANSWER, TURNS = 5 };

static fv_status make_tree(fv_tree **out, int leaves[GROUP], const fv_model *m, fv_error *err) {
    FV_TRY(fv_tree_new(out, m, err));
    int prompt;
    FV_TRY(fv_tree_branch(*out, -1, FV_BY_ENVIRONMENT, 1, 0, &prompt, err));
    for (int i = 0; i < PROMPT; i++) {
        FV_TRY(fv_tree_append(*out, prompt, (int32_t)(fv_random_at(1, (uint64_t)i) % 200), 0, 0, err));
        (*out)->segments[prompt]->mask[i] = 0;
    }
    for (int k = 0; k < GROUP; k++) {
        FV_TRY(fv_tree_branch(*out, prompt, 0, 1, 0, &leaves[k], err));
        for (int i = 0; i < ANSWER; i++) FV_TRY(fv_tree_append(*out, leaves[k], (int32_t)(fv_random_at(2, (uint64_t)(k * ANSWER + i)) % 200), 0, 0, err));
    }
    return FV_OK;
}

static fv_status measure(fv_bench_rig *r, const fv_tree *t, const int *leaves, const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    enum { MOST = 100 };
    int turns = !o->steps ? TURNS : o->steps < MOST ? o->steps : MOST;
    double shared[MOST], alone[MOST];
    for (int i = -1; i < turns; i++) { /* the first turn is not counted */
        double start = fv_now();
        FV_TRY(fv_bench_learn(r, t, leaves, GROUP, NULL, err));
        double middle = fv_now();
        for (int k = 0; k < GROUP; k++) FV_TRY(fv_bench_learn(r, t, leaves + k, 1, NULL, err));
        if (i < 0) continue;
        shared[i] = middle - start;
        alone[i] = fv_now() - middle;
    }
    double tokens = GROUP * ANSWER;
    out->line(out->context, "tree training tokens/s against unshared", tokens / fv_bench_median(shared, turns), tokens / fv_bench_median(alone, turns));
    return FV_OK;
}

fv_status fv_bench_tree(const fv_bench_options *o, fv_bench_out *out, fv_error *err) {
    fv_bench_rig r;
    fv_tree *t = NULL;
    int leaves[GROUP];
    FV_TRY(fv_bench_open(&r, o, "tiny", true, err));
    fv_status s = make_tree(&t, leaves, r.model, err);
    if (s == FV_OK) s = measure(&r, t, leaves, o, out, err);
    fv_tree_free(t);
    fv_bench_close(&r);
    return s;
}
