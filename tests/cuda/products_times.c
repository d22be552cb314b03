/* cuda_products_times [outputs k rows]: products in bf16 beside cuBLASLt's best algorithm in the same run, for the linear operations of a model of 3 billion weights, from
 * graphs of many launches, so that the host's time does not count; with as many copies of the weights as don't fit into the second-level cache together.
 * Needs a card, CUDA's headers, and libcublasLt.so.13 on the library path, without which its columns are 0. */
#include "cuda/cuda.h"
#include "cuda/products.h"
#include "cuda/runtime.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { COPIES_MOST = 24, ALGORITHMS = 8, WAYS_MOST = 40 };
static const int64_t cached = (int64_t)300 << 20, workspace_bytes = (int64_t)64 << 20, tokens_most = 4096, width_most = 11008;
static const double bandwidth = 3350; /* GB/s of an H100's memory */

static const fv_ops *ops;
static fv_exec exec;
static cudaEvent_t begun, ended;
static struct {
    uint16_t *w, *x; /* [copies][n, k], [m, k] as they lie */
    char *packed;
    float *xf, *y;
    void *workspace;
} card;

static void must(bool fine, const char *what) {
    if (fine) return;
    fprintf(stderr, "%s: failed (%s)\n", what, cudaGetErrorString(cudaGetLastError()));
    exit(1);
}

static void *take(int64_t bytes) {
    fv_error err;
    void *p;
    if (ops->alloc(&p, (size_t)bytes, &err) == FV_OK) return p;
    fprintf(stderr, "%s\n", err.text);
    exit(1);
}

/* What is timed: launch i of a row of them. */
typedef struct {
    void (*launch)(void *context, int i);
    void *context;
} work;

/* Microseconds of a launch. */
static double micros(work w, double aim) {
    cudaStream_t stream = fv_cuda_stream();
    float ms = 0;
    w.launch(w.context, 0);
    must(cudaEventRecord(begun, stream) == cudaSuccess, "event");
    for (int i = 1; i < 4; i++) w.launch(w.context, i);
    must(cudaEventRecord(ended, stream) == cudaSuccess && cudaEventSynchronize(ended) == cudaSuccess && cudaEventElapsedTime(&ms, begun, ended) == cudaSuccess, "events");
    int n = (int)(aim / ((double)ms * 1e3 / 3 + 1));
    n = n < 4 ? 4 : n > 200 ? 200 : n;
    cudaGraph_t graph;
    cudaGraphExec_t ready;
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess, "capture");
    for (int i = 0; i < n; i++) w.launch(w.context, i);
    must(cudaStreamEndCapture(stream, &graph) == cudaSuccess && cudaGraphInstantiate(&ready, graph, 0) == cudaSuccess, "graph");
    double best = 1e30;
    for (int r = 0; r < 4; r++) {
        must(cudaEventRecord(begun, stream) == cudaSuccess && cudaGraphLaunch(ready, stream) == cudaSuccess && cudaEventRecord(ended, stream) == cudaSuccess, "graph");
        must(cudaEventSynchronize(ended) == cudaSuccess && cudaEventElapsedTime(&ms, begun, ended) == cudaSuccess, "graph");
        if (r && (double)ms * 1e3 / n < best) best = (double)ms * 1e3 / n;
    }
    cudaGraphExecDestroy(ready), cudaGraphDestroy(graph);
    return best;
}

/* ---- cuBLASLt ---- */

/* out [tokens, outputs] = a b^T in column-major words: a [outputs, k], turned [k, outputs]; b [tokens, k], turned [k, tokens]. */
typedef struct {
    cublasLtMatmulDesc_t op;
    cublasLtMatrixLayout_t a, b, out;
    cublasLtMatmulHeuristicResult_t found[ALGORITHMS];
    int count, at;
    const uint16_t *a_data, *b_data;
    int64_t a_copy;
    int copies;
    bool failed;
} blas;

static void *library;
static cublasLtHandle_t handle;
#define LT(name) ((__typeof__(&name))(uintptr_t)dlsym(library, #name))

static void run_blas(void *context, int i) {
    blas *b = context;
    float one = 1, zero = 0;
    if (LT(cublasLtMatmul)(handle, b->op, &one, b->a_data + i % b->copies * b->a_copy, b->a, b->b_data, b->b, &zero, card.y, b->out, card.y, b->out, &b->found[b->at].algo,
                           card.workspace, (size_t)workspace_bytes, fv_cuda_stream()) != CUBLAS_STATUS_SUCCESS)
        b->failed = true;
}

static double blas_micros(const fv_product *p, const uint16_t *a, const uint16_t *x, int copies, cudaDataType type, double aim) {
    if (!library) return 0;
    blas b = {.a_data = a, .b_data = x, .a_copy = p->outputs * p->k, .copies = copies};
    cublasOperation_t ta = p->a_turned ? CUBLAS_OP_N : CUBLAS_OP_T, tb = p->b_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasLtMatmulPreference_t want;
    size_t most = (size_t)workspace_bytes;
    uint64_t o = (uint64_t)p->outputs, t = (uint64_t)p->tokens, k = (uint64_t)p->k;
    must(LT(cublasLtMatmulDescCreate)(&b.op, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS, "cublasLtMatmulDescCreate");
    LT(cublasLtMatmulDescSetAttribute)(b.op, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta);
    LT(cublasLtMatmulDescSetAttribute)(b.op, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb);
    LT(cublasLtMatrixLayoutCreate)(&b.a, CUDA_R_16BF, p->a_turned ? o : k, p->a_turned ? k : o, (int64_t)(p->a_turned ? o : k));
    LT(cublasLtMatrixLayoutCreate)(&b.b, CUDA_R_16BF, p->b_turned ? t : k, p->b_turned ? k : t, (int64_t)(p->b_turned ? t : k));
    LT(cublasLtMatrixLayoutCreate)(&b.out, type, o, t, (int64_t)o);
    LT(cublasLtMatmulPreferenceCreate)(&want);
    LT(cublasLtMatmulPreferenceSetAttribute)(want, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most);
    LT(cublasLtMatmulAlgoGetHeuristic)(handle, b.op, b.a, b.b, b.out, b.out, want, ALGORITHMS, b.found, &b.count);
    double best = 1e30;
    for (; b.at < b.count; b.at++) {
        double us = micros((work){run_blas, &b}, aim);
        if (!b.failed && us < best) best = us;
    }
    return b.count ? best : 0;
}

/* ---- ours ---- */

enum { MMA = -2 };

typedef struct {
    fv_product p;
    int copies, way;
    int64_t a_copy; /* bytes */
} ours;

static void run_ours(void *context, int i) {
    ours *u = context;
    fv_product p = u->p;
    p.a.data += i % u->copies * u->a_copy;
    if (u->way == MMA) fv_multiply_mma(&p, 1);
    else if (u->way < 0) fv_multiply(&p, 1);
    else fv_multiply_wgmma(&p, 1, u->way);
}

typedef struct {
    fv_view in;
    int64_t rows;
} rounding;
static void run_rounding(void *context, int i) {
    rounding *r = context;
    (void)i;
    fv_arena_mark mark = fv_arena_here(exec.scratch);
    fv_input_blocks(&exec, r->in, r->rows);
    fv_arena_release(exec.scratch, mark);
}

static void print_times(ours u, const char *name, const uint16_t *a, const uint16_t *b, rounding r, double aim) {
    const fv_product *p = &u.p;
    double f32 = blas_micros(p, a, b, u.copies, CUDA_R_32F, aim), half = blas_micros(p, a, b, u.copies, CUDA_R_16BF, aim);
    double us[WAYS_MOST], best = 1e30, round = micros((work){run_rounding, &r}, 500);
    u.way = -1;
    double chosen = micros((work){run_ours, &u}, aim);
    int count = 0, ways[WAYS_MOST];
    for (u.way = MMA; u.way == MMA || fv_wgmma_tile(u.way); u.way += u.way == MMA ? 2 : 1) {
        if (u.way >= 0 && !fv_multiply_wgmma(p, 1, u.way)) continue;
        ways[count] = u.way;
        us[count] = micros((work){run_ours, &u}, aim);
        if (us[count] < best) best = us[count];
        count++;
    }
    double bytes = 2.0 * (double)(p->outputs * p->k) + 2.0 * (double)(p->tokens * p->k) + 4.0 * (double)(p->outputs * p->tokens);
    printf("%-11s %6lld %5lld %5lld | %8.1f %8.1f | %8.1f %8.1f | %5.3f %7.1f %5.1f%% | %6.1f |", name, (long long)p->outputs, (long long)p->k, (long long)p->tokens, f32, half, chosen, best,
           f32 / chosen, 2.0 * (double)p->outputs * (double)p->tokens * (double)p->k / chosen * 1e-6, bytes / chosen * 1e-3 / bandwidth * 100, round);
    for (int i = 0; i < count; i++) printf(" %s %.1f", ways[i] == MMA ? "mma" : fv_wgmma_tile(ways[i]), us[i]);
    printf("\n");
    fflush(stdout);
    fv_error err;
    if (ops->check(&err) != FV_OK) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static void forward(int64_t n, int64_t k, const int64_t *tokens, int count) {
    fv_view w = {.data = card.w, .dtype = FV_BF16, .device = FV_CUDA, .rank = 2, .shape = {n, k}};
    int64_t bytes = (int64_t)ops->linear_packed_bytes(w);
    int copies = (int)(cached / bytes < 1 ? 1 : cached / bytes > COPIES_MOST ? COPIES_MOST : cached / bytes);
    for (int i = 0; i < copies; i++) {
        ops->linear_pack(&exec, card.packed + i * bytes, w);
        if (i) must(cudaMemcpyAsync(card.w + i * n * k, card.w, (size_t)(n * k) * 2, cudaMemcpyDeviceToDevice, fv_cuda_stream()) == cudaSuccess, "a copy of the weights");
    }
    for (int i = 0; i < count; i++) {
        int64_t m = tokens[i];
        if (m * n > tokens_most * width_most * 5) continue;
        fv_arena_mark mark = fv_arena_here(exec.scratch);
        ours u = {.copies = copies, .a_copy = bytes, .p = {.outputs = n, .tokens = m, .k = k, .y = card.y, .fresh = true}};
        u.p.a = fv_weight_blocks(card.packed, k), u.p.b = fv_input_blocks(&exec, fv_mat(card.xf, m, k), fv_token_rows(m));
        print_times(u, "forward", card.w, card.x, (rounding){fv_mat(card.xf, m, k), fv_token_rows(m)}, m >= 512 ? 1500 : 800);
        fv_arena_release(exec.scratch, mark);
    }
}

/* The ways back of weights [n, k] over m tokens. */
static void back(int64_t n, int64_t k, int64_t m) {
    fv_arena_mark mark = fv_arena_here(exec.scratch);
    fv_view w = {.data = card.w, .dtype = FV_BF16, .device = FV_CUDA, .rank = 2, .shape = {n, k}};
    ops->linear_pack(&exec, card.packed, w);
    fv_blocks x = fv_input_blocks(&exec, fv_mat(card.xf, m, k), fv_whole_rows(m)), dy = fv_input_blocks(&exec, fv_mat(card.xf, m, n), fv_whole_rows(m));
    ours input = {.copies = 1, .p = {.outputs = k, .tokens = m, .k = n, .y = card.y, .a = fv_weight_blocks(card.packed, k), .b = dy, .a_turned = true}};
    print_times(input, "back_input", card.w, card.x, (rounding){fv_mat(card.xf, m, n), fv_whole_rows(m)}, 2500);
    ours weight = {.copies = 1, .p = {.outputs = k, .tokens = n, .k = m, .y = card.y, .a = x, .b = dy, .a_turned = true, .b_turned = true}};
    print_times(weight, "back_weight", card.x, card.w, (rounding){fv_mat(card.xf, m, n), fv_whole_rows(m)}, 2500);
    fv_arena_release(exec.scratch, mark);
}

static void fill(void *to, int64_t count, bool half) {
    enum { PIECE = 1 << 20 };
    static float f[PIECE];
    static uint16_t h[PIECE];
    uint64_t s = 1;
    for (int64_t at = 0; at < count; at += PIECE) {
        int64_t n = count - at < PIECE ? count - at : PIECE;
        for (int64_t i = 0; i < n; i++) s = s * 6364136223846793005u + 1442695040888963407u, f[i] = (float)(int32_t)(s >> 32) * 0x1p-31f;
        if (half) fv_from_f32(h, FV_BF16, f, n);
        ops->upload((char *)to + at * (half ? 2 : 4), half ? (const void *)h : (const void *)f, (size_t)n * (half ? 2 : 4));
    }
}

int main(int argc, char **argv) {
    static const int64_t shapes[][2] = {{2048, 2048}, {2560, 2048}, {11008, 2048}, {2048, 11008}, {151936, 2048}}, tokens[] = {1, 8, 16, 32, 64, 256, 512, 1024, 2048, 4096};
    fv_error err;
    if (fv_cuda_table(&ops, FV_PRECISION_BF16, &err) != FV_OK) return fprintf(stderr, "%s\n", err.text), 77;
    fv_cuda_plainly(true); /* the stream is captured here, and others work on it */
    exec.scratch = fv_ops_arena(ops, (size_t)1 << 30);
    must(cudaEventCreate(&begun) == cudaSuccess && cudaEventCreate(&ended) == cudaSuccess, "events");
    int64_t weights = (int64_t)151936 * 2048, inputs = tokens_most * width_most;
    card.w = take(weights * 2), card.packed = take(weights * 2 + (64 << 20)), card.x = take(inputs * 2), card.xf = take(inputs * 4);
    card.y = take(inputs * 5 * 4), card.workspace = take(workspace_bytes);
    fill(card.w, weights, true), fill(card.x, inputs, true), fill(card.xf, inputs, false);
    library = dlopen("libcublasLt.so.13", RTLD_NOW);
    if (!library || LT(cublasLtCreate)(&handle) != CUBLAS_STATUS_SUCCESS) library = NULL, printf("no cuBLASLt here\n");
    printf("%-11s %6s %5s %5s | %8s %8s | %8s %8s | %5s %7s %6s | %6s | every way\n", "", "out", "k", "rows", "cuBLASLt", "bf16 out", "chosen", "best", "ratio", "TFLOP/s", "memory", "round");
    if (argc == 4) {
        int64_t one = atoll(argv[3]);
        forward(atoll(argv[1]), atoll(argv[2]), &one, 1);
    }
    for (size_t i = 0; i < FV_COUNT(shapes) && argc != 4; i++) forward(shapes[i][0], shapes[i][1], tokens, FV_COUNT(tokens));
    for (int64_t m = 1024; m <= 4096 && argc != 4; m *= 4) back(2048, 2048, m), back(11008, 2048, m), back(2048, 11008, m);
    fv_arena_free(exec.scratch);
    return 0;
}
