#include "bench/bench.h"

#include "core/file.h"
#include "core/progress.h"
#include "rl/engine/pack.h"

#include <stdlib.h>
#include <string.h>

static const fv_bench list[] = {
    {"decode", "a prompt of 512 tokens against the peak rate; one answer and eight, as bytes of weights against the memory's bandwidth", false, fv_bench_decode},
    {"grpo", "a GRPO step of 4 prompts with a picture x 8 answers of 64 tokens, as arithmetic against the peak rate", false, fv_bench_grpo},
    {"sft", "a supervised step of 8 conversations with a picture, as arithmetic against the peak rate; four answers a prompt against one", false, fv_bench_sft},
    {"tree", "training a group of 8 over the tree against its answers one by one", false, fv_bench_tree},
    {"video", "a video file decoded and made into patches, against its decoding alone (--video FILE)", true, fv_bench_video},
};

const fv_bench *fv_benches(int *count) {
    *count = (int)FV_COUNT(list);
    return list;
}

const fv_bench *fv_bench_find(const char *name) {
    for (size_t i = 0; i < FV_COUNT(list); i++)
        if (!strcmp(list[i].name, name)) return &list[i];
    return NULL;
}

/* ---- what a bench runs on ---- */

static fv_status open_model(fv_bench_rig *r, const fv_bench_options *o, const char *preset, fv_error *err) {
    if (o->model) return fv_model_open(&r->model, o->model, err);
    char folder[] = "/tmp/fovea-bench-XXXXXX";
    if (!mkdtemp(folder)) return fv_fail(err, FV_IO, "%s: can't be made", folder);
    fv_status s = fv_model_init(preset, 1, folder, FV_F32, err);
    if (s == FV_OK) s = fv_model_open(&r->model, folder, err);
    fv_path_remove(folder, NULL); /* an open model keeps its mapping */
    return s;
}

static fv_status open_rig(fv_bench_rig *r, const fv_bench_options *o, const char *preset, bool train, fv_error *err) {
    FV_TRY(fv_ops_find(&r->ops, o->device ? o->device : "cpu", o->precision, err));
    FV_TRY(fv_pool_open(&r->pool, o->threads, err));
    FV_TRY(open_model(r, o, preset, err));
    r->scratch = fv_ops_arena(r->ops, FV_ARENA_SCRATCH);
    r->arena = fv_ops_arena(r->ops, FV_ARENA_PASS);
    if (!r->scratch || !r->arena) return fv_fail(err, FV_NO_MEMORY, "bench: out of memory");
    fv_slot_options how = {.name = "policy", .train = train};
    return fv_slot_open(&r->slot, r->ops, (fv_exec){r->pool, r->scratch}, r->model->weights, r->model->count, &how, err);
}

fv_status fv_bench_open(fv_bench_rig *r, const fv_bench_options *o, const char *preset, bool train, fv_error *err) {
    memset(r, 0, sizeof *r);
    fv_status s = open_rig(r, o, preset, train, err);
    if (s != FV_OK) fv_bench_close(r);
    return s;
}

void fv_bench_close(fv_bench_rig *r) {
    fv_slot_close(r->slot);
    fv_model_close(r->model);
    fv_pool_close(r->pool);
    fv_arena_free(r->arena);
    fv_arena_free(r->scratch);
    memset(r, 0, sizeof *r);
}

double fv_bench_body(const fv_model *m) {
    const fv_text_config *c = &m->config.text;
    return c->layers * ((double)c->hidden * c->head_dim * (2 * c->heads + 2 * c->kv_heads) + 3.0 * c->hidden * c->intermediate);
}

double fv_bench_head(const fv_model *m) { return (double)m->config.text.hidden * m->config.text.vocabulary; }

/* ---- limits ---- */

enum { READ_BYTES = 256 << 20, TURNS = 5, SUMS = 64 };

typedef struct {
    const float *data;
    double sum[1024];
} reading;

/* Many sums side by side, so that the additions are never waited for. */
static void read_range(void *context, int64_t begin, int64_t end, int worker) {
    reading *r = context;
    float sum[SUMS] = {0};
    for (int64_t i = begin; i < end; i++)
        for (int j = 0; j < SUMS; j++) sum[j] += r->data[i * SUMS + j];
    for (int j = 0; j < SUMS; j++) r->sum[worker] += (double)sum[j];
}

static double host_bandwidth(fv_pool *pool) {
    reading r = {.data = fv_aligned_alloc(READ_BYTES)};
    if (!r.data) return 0;
    memset((void *)(uintptr_t)r.data, 0, READ_BYTES);
    double best = 1e9;
    for (int i = 0; i < TURNS; i++) {
        double start = fv_now();
        fv_parallel(pool, READ_BYTES / (SUMS * (int)sizeof(float)), 1, read_range, &r);
        double spent = fv_now() - start;
        if (spent < best) best = spent;
    }
    free((void *)(uintptr_t)r.data);
    return READ_BYTES / best;
}

static double card_bandwidth(const fv_ops *ops, fv_exec exec) {
    fv_view a = fv_vec(NULL, READ_BYTES / (int64_t)sizeof(float)), b = a;
    double best = 0;
    fv_error err;
    a.device = b.device = ops->device;
    bool fine = ops->alloc(&a.data, READ_BYTES, &err) == FV_OK && ops->alloc(&b.data, READ_BYTES, &err) == FV_OK;
    for (int i = 0; i < 2 * TURNS && fine; i++) {
        double start = fv_now();
        if (i % 2) ops->dot(&exec, a, b);
        else ops->clear(&exec, a.data, READ_BYTES);
        if (!(fine = ops->check(&err) == FV_OK)) break; /* and waits for it */
        double rate = (i % 2 ? 2.0 : 1.0) * READ_BYTES / (fv_now() - start);
        if (rate > best) best = rate;
    }
    ops->free(a.data);
    ops->free(b.data);
    return best;
}

double fv_bench_bandwidth(const fv_ops *ops, fv_exec exec) { return ops->device == FV_CPU ? host_bandwidth(exec.pool) : card_bandwidth(ops, exec); }

/* The matrix product at its best shape: on a processor what the instruction set gives for f32 less a few per cent. */
double fv_bench_fma(const fv_ops *ops, fv_exec exec) {
    bool card = ops->device != FV_CPU;
    int64_t M = card ? 4096 : 1008, N = card ? 4096 : 256, K = card ? 4096 : 512;
    fv_view w = fv_mat(NULL, N, K), x = fv_mat(NULL, M, K), y = fv_mat(NULL, M, N);
    fv_view *all[] = {&w, &x, &y};
    void *packed = NULL;
    double best = 1e9;
    fv_error err;
    fv_status status = ops->alloc(&packed, ops->linear_packed_bytes(w), &err);
    for (size_t i = 0; i < FV_COUNT(all) && status == FV_OK; i++) status = ops->alloc(&all[i]->data, fv_bytes(*all[i]), &err);
    if (status == FV_OK) {
        ops->linear_pack(&exec, packed, w);
        for (int i = 0; i < 10 * TURNS; i++) {
            double start = fv_now();
            ops->linear(&exec, &(fv_linear_map){.y = y, .w = w, .packed = packed}, 1, x);
            if (ops->check(&err) != FV_OK) break; /* and waits for it */
            double spent = fv_now() - start;
            if (spent < best) best = spent;
        }
    }
    for (size_t i = 0; i < FV_COUNT(all); i++) ops->free(all[i]->data);
    ops->free(packed);
    return 2.0 * (double)M * (double)N * (double)K / best;
}

fv_status fv_bench_learn(fv_bench_rig *r, const fv_tree *t, const int *leaves, int count, int64_t *rows, fv_error *err) {
    fv_pack pack;
    fv_targets targets;
    fv_pass pass = fv_pass_begin(r->slot, r->arena, true);
    FV_TRY(fv_pack_make_scored(&pack, t, leaves, count, r->model->image.merge, r->arena, err));
    fv_pack_targets(&targets, &pack, true, 0, r->arena);
    fv_scored scored = fv_pack_score(&pass, r->model, fv_pack_forward(&pass, r->model, &pack, NULL), &targets);
    float *dlogp = fv_f32(fv_grad(&pass, scored.logp));
    for (int i = 0; i < targets.count; i++) dlogp[i] = -1.0f / (float)targets.count;
    fv_pass_back(&pass);
    if (rows) *rows = pack.rows;
    fv_arena_reset(r->arena);
    return pass.error.status == FV_OK ? FV_OK : fv_fail(err, pass.error.status, "bench: %s", pass.error.text);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double fv_bench_median(double *values, int count) {
    qsort(values, (size_t)count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}
